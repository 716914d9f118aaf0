"""Nothing is fetched but what may be: redirects, names that lie or change their mind, servers that misbehave."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mediaserver.music import gate as gate_module
from mediaserver.music.addresses import Policy, RefusedError
from mediaserver.music.gate import FetchError, Gate, StalledError
from tests.radio import LOOPBACK, Radio, Request, radio


@pytest.fixture
async def server() -> AsyncIterator[Radio]:
    async with radio() as found:

        @found.route("/a")
        async def answer(request: Request) -> None:
            await request.answer(b"sound")

        yield found


async def fetch(gate: Gate, url: str, limit: int = 1000) -> bytes:
    return (await gate.bytes(url, limit=limit, timeout_s=5))[0]


async def test_what_is_allowed_is_fetched_with_nothing_of_ours_in_it(server: Radio) -> None:
    server.mean("radio.example", ["127.0.0.1"])
    assert await fetch(server.gate(), server.url("/a", "radio.example")) == b"sound"
    (request,) = server.requests
    assert request.headers.keys() <= {"host", "user-agent", "accept", "accept-encoding", "connection", ""}
    assert request.headers["host"] == f"radio.example:{server.port}"
    assert request.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", ["/", "/;stream.mp3", "/a;b=c/d?x=1;2&y=%20", "/%2e%2e/a"])
async def test_the_path_is_asked_for_as_it_is_written(server: Radio, path: str) -> None:
    @server.route(path.partition("?")[0])
    async def answer(request: Request) -> None:
        await request.answer(b"here")

    assert await fetch(server.gate(), server.url(path)) == b"here"
    assert server.requests[0].path == path


@pytest.mark.parametrize(
    "answer",
    [
        *(["127.0.0.1"], ["::1"], ["169.254.169.254"], ["10.0.0.7"], ["0.0.0.0"], ["::ffff:127.0.0.1"]),
        *(["8.8.8.8", "127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"], ["100.64.0.1"], ["fe80::1"]),
    ],
)
async def test_a_name_that_leads_inside_is_refused_before_any_connection(server: Radio, answer: list[str]) -> None:
    server.mean("radio.example", answer)
    with pytest.raises(RefusedError):
        await fetch(server.gate(networks=()), server.url("/a", "radio.example"))
    assert server.connections == 0


async def test_a_name_that_the_system_knows_as_loopback_is_refused(server: Radio) -> None:
    for host in ("localhost", "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"):
        with pytest.raises(RefusedError):
            await fetch(Gate(Policy()), server.url("/a", host))
    assert server.connections == 0


async def test_a_name_that_means_something_else_the_second_time_is_asked_once_for_a_connection(server: Radio) -> None:
    # The answer that was checked is the one that is connected to; the next connection is checked anew.
    server.mean("rebind.example", ["127.0.0.1"], ["127.0.0.2"])
    gate = server.gate(networks=(ipaddress.ip_network("127.0.0.1/32"),))
    assert await fetch(gate, server.url("/a", "rebind.example")) == b"sound"
    assert server.looked_up == ["rebind.example"]
    with pytest.raises(RefusedError):
        await fetch(gate, server.url("/a", "rebind.example"))
    assert server.connections == 1


@pytest.mark.parametrize(
    "target",
    [
        *("http://10.0.0.1/", "http://127.0.0.2:1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/"),
        *("file:///etc/passwd", "data:audio/mpeg,x", "concat:/etc/passwd", "http://0/", "http://0x7f000002/"),
        *("http://inside.example/", "http://user:x@radio.example/", "ftp://radio.example/", "", "//inside.example"),
    ],
)
async def test_a_redirect_is_checked_as_any_address(server: Radio, target: str) -> None:
    server.mean("radio.example", ["127.0.0.1"])
    server.mean("inside.example", ["10.1.1.1"])

    @server.route("/r")
    async def answer(request: Request) -> None:
        await request.redirect(target)

    gate = server.gate(networks=(ipaddress.ip_network("127.0.0.1/32"),))
    with pytest.raises((RefusedError, FetchError)) as refused:
        await fetch(gate, server.url("/r", "radio.example"))
    # An empty Location is the same address again, until that is too often.
    assert isinstance(refused.value, RefusedError) == bool(target)


async def test_good_redirects_are_followed_and_no_more_than_five(server: Radio) -> None:
    for number in range(8):

        @server.route(f"/r{number}")
        async def answer(request: Request, number: int = number) -> None:
            await request.redirect(f"/r{number - 1}" if number else "a")

    assert await fetch(server.gate(), server.url("/r4")) == b"sound"
    with pytest.raises(FetchError, match="redirected more than 5"):
        await fetch(server.gate(), server.url("/r5"))


async def test_refusals_and_failures_of_a_server_are_fetch_errors(server: Radio) -> None:
    @server.route("/gzip")
    async def gzip(request: Request) -> None:
        await request.answer(b"x", "audio/mpeg", "200 OK", "Content-Encoding: gzip")

    @server.route("/nonsense")
    async def nonsense(request: Request) -> None:
        await request.write(b"220 smtp.example ready\r\n")

    @server.route("/short")
    async def short(request: Request) -> None:
        await request.head("200 OK", "Content-Length: 100")
        await request.write(b"sound")

    @server.route("/header")
    async def header(request: Request) -> None:
        await request.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000)
        await request.stall()

    @server.route("/closed")
    async def closed(request: Request) -> None:
        pass

    for path in ("/none", "/gzip", "/nonsense", "/short", "/header", "/closed"):
        with pytest.raises(FetchError):
            await fetch(server.gate(), server.url(path))
    with pytest.raises(FetchError):
        await fetch(server.gate(), "http://127.0.0.1:1/")
    with pytest.raises(FetchError):
        await fetch(server.gate(), server.url("/a", "nowhere.example"))


async def test_size_and_time_are_bounded(server: Radio, monkeypatch: pytest.MonkeyPatch) -> None:
    @server.route("/endless")
    async def endless(request: Request) -> None:
        await request.head("200 OK")
        while True:
            await request.write(bytes(1000))

    @server.route("/slow")
    async def slow(request: Request) -> None:
        await request.head("200 OK")
        await request.stall()

    with pytest.raises(FetchError, match="more than 5000 bytes"):
        await fetch(server.gate(), server.url("/endless"), 5000)
    with pytest.raises(StalledError):
        await server.gate().bytes(server.url("/slow"), limit=10, timeout_s=0.1)
    monkeypatch.setattr(gate_module, "READ_TIMEOUT_S", 0.1)
    with pytest.raises(StalledError):
        await fetch(server.gate(), server.url("/slow"))


async def test_tls_is_checked_for_the_name_though_the_connection_is_to_an_address(tmp_path: Path) -> None:
    context, authority = certificate_of("radio.example", tmp_path)
    found = Radio()

    @found.route("/a")
    async def answer(request: Request) -> None:
        await request.answer(b"sound")

    server = await asyncio.start_server(found.handle, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for name in ("radio.example", "other.example"):
        found.mean(name, ["127.0.0.1"])
    gate = Gate(Policy(networks=LOOPBACK), resolve=found.resolve, tls=authority)
    async with server:
        assert await fetch(gate, f"https://radio.example:{port}/a") == b"sound"
        for url in (f"https://other.example:{port}/a", f"https://127.0.0.1:{port}/a"):
            with pytest.raises(FetchError):
                await fetch(gate, url)
        with pytest.raises(FetchError):  # whom we do not know
            await fetch(Gate(Policy(networks=LOOPBACK), resolve=found.resolve), f"https://radio.example:{port}/a")
    assert len(found.requests) == 1


def certificate_of(name: str, directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for this name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = directory / "pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + built.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context, ssl.create_default_context(cafile=str(pem))


async def test_an_address_of_ipv6_is_fetched_too() -> None:
    async with radio("::1") as server:

        @server.route("/a")
        async def answer(request: Request) -> None:
            await request.answer(b"sound")

        assert await fetch(server.gate(), server.url("/a", "[::1]")) == b"sound"
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
        with pytest.raises(RefusedError):
            await fetch(server.gate(networks=()), server.url("/a", "[::1]"))
