"""How fast a room's events reach everybody in it: clients on WebSockets in one room, of which one speaks to all.

The room service is the installed command, on a core of its own, in memory and without a media server. Each client is a
socket that says hello and enters the room; then one sends a custom command each interval, and every client notes when
it came. The clients are one process on another core, which reads no more of an event than its number: what is measured
includes their time. An event that a client never got is lost.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench import results
from bench.processes import Process, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Table
from roomservice import tokens

SECRET = secrets.token_hex(32)
ENTER_AT_ONCE = 20
WITHIN_S = 600.0
_NUMBER = re.compile(rb'"text": ?"n(\d+)n"')


@dataclass(frozen=True)
class Size:
    clients: int = 2000
    events: int = 50
    every_s: float = 1.0


QUICK = Size(clients=200, events=20, every_s=0.2)


@dataclass(eq=False)
class Client(asyncio.Protocol):
    """A WebSocket (RFC 6455) that understands answers, and numbers of custom commands."""

    user: str
    came: dict[int, float] = field(default_factory=dict)
    _bytes: bytearray = field(default_factory=bytearray)
    _answer: asyncio.Future[bytes] | None = None
    _open: bool = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(CannotMeasure(f"The socket of {self.user} was closed."))

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._bytes += data
        if not self._open:
            if b"\r\n\r\n" not in self._bytes:
                return
            head, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
            self._open, self._bytes = True, bytearray(rest)
            self._answered(head)
        while (frame := self._frame()) is not None:
            if b'"id"' in frame[:60] and b'"method"' not in frame[:60]:
                self._answered(frame)
            elif found := _NUMBER.search(frame):
                self.came.setdefault(int(found[1]), now)

    def _frame(self) -> bytes | None:
        data = self._bytes
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size > 125:
            wide = 2 if size == 126 else 8
            if len(data) < at + wide:
                return None
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        if len(data) < at + size:
            return None
        frame = bytes(data[at : at + size])
        del data[: at + size]
        return frame

    def _answered(self, said: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(said)

    async def handshake(self) -> None:
        self._answer = asyncio.get_running_loop().create_future()
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(self._answer, WITHIN_S)
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise CannotMeasure(answer.decode(errors="replace")[:200])

    async def call(self, method: str, **params: object) -> dict[str, object]:
        self._answer = asyncio.get_running_loop().create_future()
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer: dict[str, dict[str, object]] = json.loads(await asyncio.wait_for(self._answer, WITHIN_S))
        if "error" in answer:
            raise CannotMeasure(f"{method}: {answer['error']}")
        return answer["result"]

    def send(self, message: object) -> None:
        """Masked with zeros, which the standard leaves to a client that hides nothing."""
        said = json.dumps(message).encode()
        size = bytes([0x80 | len(said)]) if len(said) < 126 else b"\xfe" + len(said).to_bytes(2, "big")
        self.transport.write(b"\x81" + size + b"\0\0\0\0" + said)


@dataclass(frozen=True)
class Measured:
    """latency_ms: of each client and event; halves_ms: of the earlier and of the later events. cpu_s: of the service,
    while events were sent."""

    latency_ms: list[float]
    halves_ms: tuple[list[float], list[float]]
    lost: int
    enter_s: float
    cpu_s: float


async def drive(process: Process, port: int, size: Size) -> Measured:
    loop = asyncio.get_running_loop()
    clients = [Client(f"u{number}") for number in range(size.clients)]
    turns = asyncio.Semaphore(ENTER_AT_ONCE)

    async def connect(client: Client) -> None:
        async with turns:
            await loop.create_connection(lambda: client, "127.0.0.1", port)
            await client.handshake()
            token = tokens.issue(tokens.ACCESS, client.user, SECRET, time.time(), 3600.0, device_id="d")
            await client.call("hello", token=token)

    async def enter(client: Client) -> None:
        async with turns:
            await client.call("login_room", room=room)

    await asyncio.gather(*(connect(client) for client in clients))
    room = (await clients[0].call("create_room", title="Everybody"))["id"]
    begun = time.perf_counter()
    await asyncio.gather(*(enter(client) for client in clients[1:]))
    enter_s = time.perf_counter() - begun
    await asyncio.sleep(2.0)
    before, sent = process.cpu_s(), dict[int, float]()
    for number in range(size.events):
        sent[number] = time.perf_counter()
        await clients[0].call("send_command", room=room, text=f"n{number}n")
        await asyncio.sleep(max(0.0, sent[number] + size.every_s - time.perf_counter()))
    for _ in range(200):
        if all(len(client.came) == size.events for client in clients):
            break
        await asyncio.sleep(0.05)
    halves: tuple[list[float], list[float]] = ([], [])
    for client in clients:
        for number, at in client.came.items():
            halves[number >= size.events / 2].append((at - sent[number]) * 1e3)
    latency = halves[0] + halves[1]
    cpu_s = process.cpu_s() - before
    for client in clients:
        client.transport.abort()
    return Measured(latency, halves, size.clients * size.events - len(latency), enter_s, cpu_s)


def measure(quick: bool) -> Result:
    """CannotMeasure when the machine cannot do it."""
    size = QUICK if quick else Size()
    run = Run("roomservice", quick=quick)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < size.clients + 100:
        raise CannotMeasure(f"{size.clients} sockets need as many open files; the limit is {hard}.")
    service_core, client_core = two_cores()
    command = [str(Path(sys.executable).with_name("roomservice")), "serve", "--port", "0", "--storage", "none"]
    options = ["--media-url", "http://127.0.0.1:1", "--heartbeat", "300"]
    try:
        with tempfile.TemporaryDirectory() as directory, bound_to(client_core):
            environment = {"ROOMSERVICE_SECRET": SECRET}
            log = Path(directory) / "log"
            with Process([*command, *options], log, core=service_core, environment=environment) as process:
                port = int(process.wait_for(r"Uvicorn running on http://127\.0\.0\.1:(\d+)"))
                found = uvloop.run(drive(process, port, size))
    except (OSError, RuntimeError, TimeoutError) as error:
        raise CannotMeasure(str(error)) from error
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return result(run, size, found)


def rank(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def result(run: Run, size: Size, found: Measured) -> Result:
    if not found.latency_ms:
        raise CannotMeasure("No event came to anybody.")
    ordered = sorted(found.latency_ms)
    p50, p99 = (rank(ordered, share) for share in (0.5, 0.99))
    each_us = found.cpu_s / len(ordered) * 1e6
    columns = [Column("clients"), Column("events"), Column("lost"), Column("p50", "ms", 1), Column("p99", "ms", 1)]
    columns += [Column("worst", "ms", 1), Column("CPU per event and client", "µs", 1), Column("all entered in", "s", 1)]
    row: list[results.Cell] = [size.clients, size.events, found.lost, p50, p99, ordered[-1], each_us, found.enter_s]
    table = Table("From a command to every client in the room", columns, [row])
    # The target is of so many; fewer have a key of their own.
    of_all = "" if size.clients == Size.clients else f"_{size.clients}"
    keys: dict[str, float | None] = {
        f"fan_out_p50_ms{of_all}": p50,
        f"fan_out_p99_ms{of_all}": p99,
        "fan_out_lost": float(found.lost),
        "fan_out_us": each_us,
    }
    noise = {
        f"fan_out_{word}_ms{of_all}": results.spread([rank(sorted(half), share) for half in found.halves_ms if half])
        for word, share in (("p50", 0.5), ("p99", 0.99))
    }
    return run.result(
        keys, noise=noise, tables=[table], series=[results.distribution("fan-out", ordered, "latency (ms)")]
    )


def main() -> None:
    arguments = results.parser("roomservice", __doc__).parse_args()
    results.finish("roomservice", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
