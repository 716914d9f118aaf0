"""As much of an HTTP/1.1 client as offers need: requests with a short body over connections that are kept.

A general client costs a load more than everything else of a join does (httpx: 2.5 ms of 5), and what a generator has no
time for is not measured.
"""

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools
import httpx

MAX_HEAD_BYTES = 1 << 16
MAX_IDLE = 64
"""Connections kept of one server. Fewer are opened anew more often, more are descriptors that nobody uses."""

Origin = tuple[str, str, int]


class HttpError(Exception):
    """What went wrong, in a few words that are the same for all with the same trouble."""


@dataclass(frozen=True, slots=True)
class Response:
    """headers: by name in lower case; of several of a name, the last."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


class Http:
    """An `async with` statement closes its connections. max_body: bytes of a response's body."""

    def __init__(self, *, max_body: int) -> None:
        self._max_body = max_body
        self._idle: dict[Origin, list[_Connection]] = defaultdict(list)
        self._context: ssl.SSLContext | None = None

    async def __aenter__(self) -> "Http":
        return self

    async def __aexit__(self, *exc: object) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()

    async def request(self, method: str, url: str, headers: Mapping[str, str], content: bytes = b"") -> Response:
        """HttpError when there is no response, or none that can be read. Redirects are not followed."""
        origin, host, target = _split(url)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {headers[name]}" for name in headers)]
        if content or method == "POST":
            lines.append(f"Content-Length: {len(content)}")
        head = "\r\n".join([*lines, "", ""])
        if not head.isascii() or len(head.splitlines()) != len(lines) + 1:
            raise HttpError("not an address or a token of HTTP")
        connection = await self._connection(origin)
        kept = False
        try:
            response = await connection.request(head.encode("ascii") + content)
            kept = connection.usable and len(self._idle[origin]) < MAX_IDLE
        finally:
            if not kept:
                connection.close()
        if kept:
            self._idle[origin].append(connection)
        return response

    async def _connection(self, origin: Origin) -> "_Connection":
        while self._idle[origin]:
            connection = self._idle[origin].pop()
            if connection.usable:
                return connection
        scheme, host, port = origin
        if scheme == "https" and self._context is None:
            self._context = httpx.create_ssl_context()  # trusts whom the rest of the commands do
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self._max_body), host, port, ssl=self._context if scheme == "https" else None
            )
        except ssl.SSLCertVerificationError:
            raise HttpError("the server's TLS certificate is not trusted") from None
        except (OSError, UnicodeError) as error:
            raise HttpError(f"no connection: {getattr(error, 'strerror', None) or type(error).__name__}") from None
        return made


class _Connection(asyncio.Protocol):
    """One request at a time. usable: another one can be made."""

    def __init__(self, max_body: int) -> None:
        self.usable = False
        self._max_body = max_body
        self._answer: asyncio.Future[Response] | None = None
        self._transport: asyncio.Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body = bytearray()
        self._headers_complete = False

    async def request(self, request: bytes) -> Response:
        assert self._transport is not None
        self.usable = False
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # ---- of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self.usable = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.close()  # nobody asked
            return
        self._head_bytes += 0 if self._headers_complete else len(data)
        if self._head_bytes > MAX_HEAD_BYTES + self._max_body:
            self._fail("an answer without end")
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("the answer is not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        lengths = self._headers.keys() & {"content-length", "transfer-encoding"}
        if self._headers_complete and exc is None and not lengths:
            self._complete()  # a body that ends with the connection
        else:
            self._fail("the connection was closed")

    # ---- of httptools

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._headers_complete = True

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > self._max_body:
            self._fail("an answer without end")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # "continue": the answer follows
            self._reason, self._headers, self._headers_complete = b"", {}, False
        else:
            self._complete()

    # ----

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self.usable = self._parser.should_keep_alive()
            reason = self._reason.decode("latin-1")
            self._answer.set_result(Response(self._parser.get_status_code(), reason, self._headers, bytes(self._body)))

    def _fail(self, why: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(HttpError(why))
        self.close()


def _split(url: str) -> tuple[Origin, str, str]:
    """(origin, its name for Host, the target)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        raise HttpError("not an address of HTTP") from None
    if not parts.hostname:
        raise HttpError("not an address of HTTP")
    host = parts.netloc.rpartition("@")[2]
    return (parts.scheme, parts.hostname, port), host, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
