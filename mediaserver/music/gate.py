"""The only way out: every byte of music that comes from elsewhere comes through here.

A name is resolved when a connection is made to it, each of its IP addresses is checked (addresses.py), and the
connection goes to one of those: a name that means another address a moment later changes nothing. TLS is checked for
the name. Redirects are followed one by one, each as any address. No proxy, cookie or credential of the environment is
used, and a body is never decompressed: its size is what came over the network.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import certifi
import httpcore

from mediaserver.music.addresses import Address, Ip, Policy, RefusedError

MAX_REDIRECTS = 5
CONNECT_TIMEOUT_S = 10.0
# Of one read. What gives nothing for longer has stalled, and whoever reads decides what then.
READ_TIMEOUT_S = 15.0
RESOLVE_TIMEOUT_S = 5.0
MAX_IPS = 16
AGENT = "voicerooms"
_REDIRECTS = (301, 302, 303, 307, 308)

Resolve = Callable[[str, int], Awaitable[list[Ip]]]


class FetchError(Exception):
    """An address that may be fetched from gave nothing that could be used; the message is a sentence without it."""


class StalledError(FetchError):
    """Nothing came for too long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response whose body has not been read: `chunks` gives it. Header names are in lower case; `url` is where the
    last redirect led."""

    url: str
    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes] = field(repr=False)

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """What the server says; None when it says nothing usable."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


class Gate:
    """`async with gate.open(url) as answer`. One for the node: connections are not kept."""

    def __init__(self, policy: Policy, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.policy = policy
        self.refused = 0  # addresses, and redirects, that were not to be fetched from
        self._backend = _Pinned(policy, resolve or resolve_by_system)
        self._tls = tls

    @contextlib.asynccontextmanager
    async def open(
        self, url: str, *, base: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> AsyncIterator[Answer]:
        """GET. RefusedError when it, or where it redirects to, may not be fetched from; FetchError when it gave no 200
        or 206."""
        with self._counting():
            address = self.policy.parse(url, base)
        if self._tls is None:
            # A hundred certificates, which take 20 ms to read.
            self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=certifi.where())
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            max_connections=1,
            max_keepalive_connections=0,
            retries=0,
            network_backend=self._backend,
        )
        async with pool:
            for _ in range(MAX_REDIRECTS + 1):
                with self._counting(), _as_fetch_errors():
                    response = await pool.handle_async_request(_request(address, headers))
                try:
                    found = _headers(response)
                    if response.status in _REDIRECTS:
                        with self._counting():
                            address = self.policy.parse(found.get("location", ""), address.url)
                        continue
                    if response.status not in (200, 206):
                        raise FetchError(f"The address answered {response.status}.")
                    if found.get("content-encoding", "identity").lower() not in ("identity", ""):
                        raise FetchError("The address answered in an encoding that was not asked for.")
                    yield Answer(address.url, response.status, found, _chunks(response))
                    return
                finally:
                    await response.aclose()
            raise FetchError(f"The address redirected more than {MAX_REDIRECTS} times.")

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except RefusedError:
            self.refused += 1
            raise

    async def text(self, url: str, *, base: str | None = None, limit: int, timeout_s: float) -> tuple[str, str]:
        """A small document as text, and the URL that it came from. FetchError when it is longer than `limit` bytes or
        not there in time."""
        body, where = await self.bytes(url, base=base, limit=limit, timeout_s=timeout_s)
        return body.decode("utf-8", "replace"), where

    async def bytes(
        self,
        url: str,
        *,
        base: str | None = None,
        limit: int,
        timeout_s: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> tuple[bytes, str]:
        body = bytearray()
        try:
            async with asyncio.timeout(timeout_s), self.open(url, base=base, headers=headers) as answer:
                async for chunk in answer.chunks:
                    body += chunk
                    if len(body) > limit:
                        raise FetchError(f"The address gave more than {limit} bytes.")
                return bytes(body), answer.url
        except TimeoutError:
            raise StalledError(f"The address took more than {timeout_s:g} s.") from None


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to what a name meant when it was checked."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore asks of a backend
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        ips = await self._resolve(host, port)
        self._policy.check(ips)
        until = time.monotonic() + (CONNECT_TIMEOUT_S if timeout is None else timeout)
        failure: Exception = httpcore.ConnectError("no address")
        for ip in ips[:MAX_IPS]:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                stream = await self._plain.connect_tcp(str(ip), port, timeout=left, socket_options=socket_options)
                return _Radio(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore asks
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise RefusedError("Only http and https addresses are fetched.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Radio(httpcore.AsyncNetworkStream):
    """A connection whose server may begin with `ICY 200 OK`, as SHOUTcast 1 does: HTTP/1.0 in all but name."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._has_begun = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as httpcore asks
        data = await self._stream.read(max_bytes, timeout)
        if not self._has_begun:
            self._has_begun = True
            if data.startswith(b"ICY "):
                data = b"HTTP/1.0 " + data[4:]
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as httpcore asks
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore asks
    ) -> httpcore.AsyncNetworkStream:
        return _Radio(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


async def resolve_by_system(host: str, port: int) -> list[Ip]:
    """The IP addresses of a name, in the system's order. FetchError when it has none."""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError("The address's host is not known.") from None
    except TimeoutError:
        raise FetchError("The address's host could not be looked up in time.") from None
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _request(address: Address, headers: Iterable[tuple[str, str]]) -> httpcore.Request:
    fields = [("Host", _authority(address)), ("User-Agent", AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
    timeouts = {"connect": CONNECT_TIMEOUT_S, "read": READ_TIMEOUT_S, "write": READ_TIMEOUT_S, "pool": 1.0}
    parts = urlsplit(address.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # The library's own parser loses what is behind a semicolon, where many stations have their streams.
    url = httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=target)
    return httpcore.Request("GET", url, headers=[*fields, *headers], extensions={"timeout": timeouts})


def _authority(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return host if address.port == {"http": 80, "https": 443}[address.scheme] else f"{host}:{address.port}"


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


async def _chunks(response: httpcore.Response) -> AsyncIterator[bytes]:
    with _as_fetch_errors():
        async for chunk in response.aiter_stream():
            yield chunk


@contextlib.contextmanager
def _as_fetch_errors() -> Any:
    try:
        yield
    except httpcore.TimeoutException:
        raise StalledError("The address gave nothing for too long.") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ssl.SSLError, OSError):
        raise FetchError("The connection to the address could not be made, or broke.") from None
