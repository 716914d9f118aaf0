"""HTTP/1.1 on the wire, as a real server reads it: what is refused before any route is asked, and what must not be."""

import socket
import time

import pytest

from mediaserver.http.protocol import MAX_HEAD
from tests.server import Server

HOST = b"Host: test\r\n"
REFUSED = b"HTTP/1.1 400 "


def exchange(server: Server, *pieces: bytes, until: bytes = b"", within_s: float = 5.0) -> bytes:
    """What the server answers to these bytes, each sent by itself: until it says this or closes the connection."""
    host, port = server.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=within_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.001)
            while not until or until not in answer:
                data = connection.recv(65536)
                if not data:
                    break
                answer += data
        except (ConnectionResetError, BrokenPipeError):
            pass  # it closed before it had read everything
    return answer


def test_a_head_as_long_as_allowed_is_read(server: Server) -> None:
    padding = b"X-Padding: " + b"a" * (MAX_HEAD - 200) + b"\r\n"
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + padding + b"\r\n"
    assert exchange(server, head, until=b"ok\n").startswith(b"HTTP/1.1 200 ")


def test_a_head_may_come_in_small_pieces(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Padding: abc\r\n\r\n"
    pieces = [head[at : at + 1] for at in range(len(head))]
    assert exchange(server, *pieces, until=b"ok\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Padding: ",
        b"POST /dev/join HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Padding: ",
    ],
    ids=["target", "name", "value", "trailer"],
)
def test_an_element_that_never_ends_is_cut_off(server: Server, start: bytes) -> None:
    assert REFUSED in exchange(server, start, *[b"a" * 8192] * 4, b"a" * 100)


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\n" + HOST,
        b"POST /dev/join HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
    ],
    ids=["headers", "trailers"],
)
def test_many_headers_are_as_bad_as_a_long_one(server: Server, start: bytes) -> None:
    assert REFUSED in exchange(server, start, *[b"X-Padding: aaaaaaaa\r\n" * 400] * 5)


@pytest.mark.parametrize("hosts", [b"", HOST * 2], ids=["none", "two"])
def test_http_1_1_needs_one_host(server: Server, hosts: bytes) -> None:
    assert exchange(server, b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n").startswith(REFUSED)


def test_http_1_0_needs_no_host(server: Server) -> None:
    assert exchange(server, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /dev/join HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /dev/join HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /dev/join HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X Padding: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Padding: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b" folded: a\r\n\r\n",
    ],
    ids=["TLS", "version", "target", "smuggled", "lengths", "negative", "name", "NUL", "fold"],
)
def test_what_is_not_http_is_refused(server: Server, request_: bytes) -> None:
    assert exchange(server, request_).startswith(REFUSED)


def test_trailers_are_not_taken_for_headers(server: Server) -> None:
    request = (
        b"PUT /v1/rooms/trailers HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
        b"Authorization: Basic ZGV2Omtub3duLXRvLWV2ZXJ5Ym9keS1mb3ItZGV2ZWxvcG1lbnQtb25seQ==\r\n\r\n"
    )
    assert exchange(server, request, until=b"}").startswith(b"HTTP/1.1 401 ")


def test_an_upgrade_that_is_not_known_is_ignored(server: Server) -> None:
    """curl --http2 asks for one with every request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    body = b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    answer = exchange(server, b"POST /dev/join HTTP/1.1\r\n" + HOST + upgrade + body, until=b"}")
    assert answer.startswith(b"HTTP/1.1 422 "), answer


def test_a_websocket_is_not_served(server: Server) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n"
    answer = exchange(server, b"GET /healthz HTTP/1.1\r\n" + HOST + upgrade + b"\r\n", until=b"ok\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_requests_in_one_piece_are_answered_in_order(server: Server) -> None:
    """Pipelining, RFC 9112 section 9.3.2."""
    first = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    last = b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    answer = exchange(server, first * 3 + last)
    assert [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")] == [b"200"] * 3 + [b"404"]
