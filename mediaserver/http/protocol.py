"""HTTP/1.1 as uvicorn reads it by httptools, with the bounds that h11 has and llhttp leaves to its user.

httptools costs a call a third of what h11 does. What is refused here is answered 400 and the connection is closed:

- a head of more than MAX_HEAD bytes, trailers of a chunked body included, however slowly it comes;
- HTTP/1.1 without exactly one Host (RFC 9112 section 3.2).

Trailers are dropped (RFC 9110 section 6.5.1): among the headers they would get past whoever has read those already.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# The longest token, twice, and everything else that a browser and its proxies send. Raising it lets every connection
# hold so much memory before anybody knows who asks.
MAX_HEAD = 32 * 1024


class Http(HttpToolsProtocol):
    _head = 0  # bytes of this request's target, headers and trailers
    _unparsed = 0  # bytes received since the parser gave anything of them: an element that has not ended yet
    _in_head = True

    def data_received(self, data: bytes) -> None:
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("A header is too long.")

    def on_message_begin(self) -> None:
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            raise httptools.HttpParserError("not one Host")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        super().on_message_complete()

    def _count(self, *parts: bytes) -> None:
        self._unparsed = 0
        self._head += sum(map(len, parts))
        if self._head > MAX_HEAD:
            raise httptools.HttpParserError("the head is too long")
