"""An HTTP server on loopback that serves music as badly as a test wants, and a resolver that the test fills."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mediaserver.music.addresses import Ip, Network, Policy
from mediaserver.music.gate import FetchError, Gate

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    write: Callable[[bytes], Awaitable[None]] = field(repr=False)
    stall: Callable[[], Awaitable[None]] = field(repr=False)

    async def answer(self, body: bytes, kind: str = "audio/mpeg", status: str = "200 OK", *more: str) -> None:
        lines = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
        await self.head(status, *lines)
        await self.write(body)

    async def head(self, status: str, *lines: str) -> None:
        await self.write("".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode())

    async def redirect(self, to: str) -> None:
        await self.head("302 Found", f"Location: {to}", "Content-Length: 0")

    async def answer_range(self, body: bytes, kind: str = "audio/mpeg") -> None:
        """As a server that has Range does (RFC 9110 section 14)."""
        begin = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if "range" not in self.headers:
            await self.answer(body, kind, "200 OK", "Accept-Ranges: bytes")
            return
        span = f"Content-Range: bytes {begin}-{len(body) - 1}/{len(body)}"
        await self.answer(body[begin:], kind, "206 Partial Content", span)


Handler = Callable[[Request], Awaitable[None]]


class Radio:
    """`requests` are those that came; `names` is what names mean to the gate, in turn when there are several."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.routes: dict[str, Handler] = {}
        self.names: dict[str, list[list[str]]] = {}
        self.looked_up: list[str] = []
        self.closing = asyncio.Event()
        self.port = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def route(self, path: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self.routes[path] = handler
            return handler

        return add

    def mean(self, name: str, *answers: Sequence[str]) -> None:
        self.names[name] = [list(answer) for answer in answers]

    def gate(self, networks: tuple[Network, ...] = LOOPBACK, hosts: tuple[str, ...] = ()) -> Gate:
        return Gate(Policy(hosts, networks), resolve=self.resolve)

    async def resolve(self, host: str, port: int) -> list[Ip]:
        self.looked_up.append(host)
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        if host not in self.names:
            raise FetchError("The address's host is not known.")
        answers = self.names[host]
        return [ipaddress.ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        async def stall() -> None:
            await self.closing.wait()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            request = Request(head[0].split(" ")[1], headers, write, stall)
            self.requests.append(request)
            handler = self.routes.get(request.path.partition("?")[0])
            if handler is None:
                await request.answer(b"", "text/plain", "404 Not Found")
            else:
                await handler(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def radio(host: str = "127.0.0.1") -> AsyncIterator[Radio]:
    found = Radio()
    server = await asyncio.start_server(found.handle, host, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.closing.set()
        server.close()
        await asyncio.sleep(0)
