"""The load generator's client reads what servers answer, keeps connections, and gives up with few words."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from mediaserver.loadgen.http import MAX_HEAD_BYTES, Http, HttpError

MAX_BODY = 1000
OK = b"HTTP/1.1 201 Created\r\nLocation: /a\r\nContent-Length: 3\r\n\r\nv=0"


class Answering:
    """Answers each request with the next of its answers; b"" closes the connection."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = iter(answers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = next(self._answers)
                writer.write(answer)
                if b"Content-Length" not in answer and b"chunked" not in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[Answering, str]]:
    server = Answering(answers)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        yield server, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def test_an_offer_is_posted_and_its_answer_is_read() -> None:
    async with answering(OK) as (server, url), Http(max_body=MAX_BODY) as http:
        response = await http.request(
            "POST", f"{url}/whip/a?mode=mix", {"Content-Type": "application/sdp"}, b"v=0 offer"
        )
    assert (response.status, response.reason, response.headers["location"], response.body) == (
        201,
        "Created",
        "/a",
        b"v=0",
    )
    [request] = server.requests
    assert request.startswith(b"POST /whip/a?mode=mix HTTP/1.1\r\nHost: 127.0.0.1:")
    assert request.endswith(b"\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\nv=0 offer")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nv=\r\n1\r\n0\r\n0\r\n\r\n", b"v=0"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it ends", b"until it ends"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"v=0"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000, b"x" * 1000),
    ],
)
async def test_bodies_are_read_however_they_end(answer: bytes, body: bytes) -> None:
    async with answering(answer) as (_, url), Http(max_body=MAX_BODY) as http:
        assert (await http.request("POST", url, {})).body == body


async def test_a_connection_is_kept_unless_the_server_closes_it() -> None:
    closing = OK.replace(b"Location: /a", b"Connection: close")
    async with answering(OK, OK, closing, OK) as (server, url), Http(max_body=MAX_BODY) as http:
        for _ in range(4):
            await http.request("POST", url, {})
    assert server.connections == 2
    async with answering(OK, OK) as (server, url), Http(max_body=MAX_BODY) as http:
        await asyncio.gather(*(http.request("POST", url, {}) for _ in range(2)))
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "the connection was closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nv=", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, "an answer without end"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (MAX_HEAD_BYTES // 2), "an answer without end"),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, why: str | None) -> None:
    async with answering(answer) as (_, url), Http(max_body=MAX_BODY) as http:
        asked = http.request("POST", url, {})
        if why is None:  # it waits for the rest
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asked, 0.2)
        else:
            with pytest.raises(HttpError, match=why):
                await asked


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http:///a", "http://a:b/", "http://127.0.0.1:1/a b\r\nc", "a", "http://127.0.0.1/ä"]
)
async def test_what_is_no_address_is_a_failure(url: str) -> None:
    async with Http(max_body=MAX_BODY) as http:
        with pytest.raises(HttpError):
            await http.request("DELETE", url, {"Authorization": "Bearer a"})


async def test_a_token_cannot_bring_headers_along() -> None:
    async with answering(OK) as (server, url), Http(max_body=MAX_BODY) as http:
        with pytest.raises(HttpError, match="not an address or a token"):
            await http.request("POST", url, {"Authorization": "Bearer a\r\nX: y"})
    assert server.requests == []
