"""What a join costs at least: one handshake of OpenSSL, and one request to an application that does nothing.

The handshake is DTLS 1.2 with an ECDSA P-256 certificate on both sides, the server's part alone, called from Python as
our server calls it but without anything around it. The request has an offer for its body, and is answered by the same
HTTP server on the same loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from pathlib import Path

import httpx
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from bench.processes import Process
from mediaserver.dtls import make_certificate
from mediaserver.loadgen.description import Ice, offer
from mediaserver.loadgen.handshake import Identity
from mediaserver.loadgen.http import Http

AT_ONCE = 8
PROFILE = b"SRTP_AEAD_AES_128_GCM"
MATERIAL_BYTES = 56


def dtls_ms(count: int) -> float:
    """CPU milliseconds of the server's side of one handshake, the mean of so many."""
    server, client = _server_context(), Identity().context
    _shake(server, client)  # warms up
    return sum(_shake(server, client) for _ in range(count)) / count * 1e3


def _server_context() -> SSL.Context:
    key = ec.generate_private_key(ec.SECP256R1())
    context = SSL.Context(SSL.DTLS_SERVER_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(make_certificate(key))
    context.use_privatekey(key)
    context.set_tlsext_use_srtp(PROFILE)
    return context


def _shake(server_context: SSL.Context, client_context: SSL.Context) -> float:
    """CPU seconds of the server's side."""
    server, client = SSL.Connection(server_context), SSL.Connection(client_context)
    server.set_accept_state()
    client.set_connect_state()
    for each in (server, client):
        each.set_ciphertext_mtu(1200)
    seconds = 0.0
    waiting = True
    while waiting:
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
            waiting = False
        flight = _output(client)
        begin = time.thread_time()
        if flight:
            server.bio_write(flight)
            with contextlib.suppress(SSL.WantReadError):
                server.do_handshake()
                server.export_keying_material(b"EXTRACTOR-dtls_srtp", MATERIAL_BYTES)
        answer = _output(server)
        seconds += time.thread_time() - begin
        if answer:
            client.bio_write(answer)
    return seconds


def _output(connection: SSL.Connection) -> bytes:
    """A flight, in one datagram however long: nothing is lost between the two."""
    output = b""
    with contextlib.suppress(SSL.WantReadError):
        while True:
            output += connection.bio_read(1 << 14)
    return output


def http_ms(count: int, core: int | None) -> float:
    """CPU milliseconds of the process that answers one request with an offer, the mean of so many."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-join-") as directory,
        socket.create_server(("127.0.0.1", 0)) as listening,
    ):
        command = [sys.executable, "-c", f"from bench.emptyapp import serve; serve({listening.fileno()})"]
        with Process(command, Path(directory) / "log", [listening.fileno()], core=core) as process:
            url = "http://{}:{}/whep/room-0".format(*listening.getsockname())
            httpx.get(url, timeout=60)  # it serves
            uvloop.run(_ask(url, count // 4))  # and is warm
            before = process.cpu_s()
            uvloop.run(_ask(url, count))
            return (process.cpu_s() - before) / count * 1e3


async def _ask(url: str, count: int) -> None:
    sdp = offer(Ice("abcd", "e" * 22), Identity().fingerprint, sends=False, sections=1, ssrc=1, cname="bench").encode()
    left = iter(range(count))
    async with Http(max_body=1 << 16) as http:

        async def one_after_another() -> None:
            for _ in left:
                await http.request("POST", url, {"Content-Type": "application/sdp"}, sdp)

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
