"""HTTP calls at their times, over keep-alive connections: an open loop.

Each call is due at its time whatever became of those before it, and its latency counts from then: a server that stalls
does not slow down who asks it, so no stall hides (coordinated omission).

A connection has one call under way; those that are due meanwhile wait in its queue, in order.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

Credentials = Callable[[], str]
"""The value of Authorization for the next request."""


@dataclass(slots=True)
class Call:
    """One request and what became of it. due, answered: seconds of CLOCK_MONOTONIC, which uvloop's own clock
    has in whole milliseconds only; sent: of CLOCK_REALTIME."""

    method: str
    path: str
    body: bytes = b""
    due: float = 0.0
    sent: float = 0.0
    answered: float = 0.0
    status: int = 0

    @property
    def latency_ms(self) -> float:
        return (self.answered - self.due) * 1000


class Connection(asyncio.Protocol):
    """idle: nothing is under way or waiting."""

    def __init__(self, host: str, credentials: Credentials) -> None:
        self.idle = asyncio.Event()
        self.lost = False
        self._host = host
        self._credentials = credentials
        self._waiting: deque[Call] = deque()
        self._current: Call | None = None
        self._received = b""
        self.idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.idle.set()

    def call(self, call: Call) -> None:
        self._waiting.append(call)
        self.idle.clear()
        if self._current is None:
            self._send()

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(rest) < (int(length[1]) if length else 0):
            return
        assert self._current is not None
        self._current.answered = time.monotonic()
        self._current.status = int(head[9:12])
        self._received, self._current = b"", None
        if self._waiting:
            self._send()
        else:
            self.idle.set()

    def _send(self) -> None:
        call = self._current = self._waiting.popleft()
        kind = "Content-Type: application/json\r\n" if call.body else ""
        head = (
            f"{call.method} {call.path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: {self._credentials()}\r\n"
            f"Accept: */*\r\nUser-Agent: bench\r\n{kind}Content-Length: {len(call.body)}\r\n\r\n"
        )
        call.sent = time.time()
        self._transport.write(head.encode() + call.body)


async def connect(address: tuple[str, int], credentials: Credentials) -> Connection:
    host = f"{address[0]}:{address[1]}"
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(host, credentials), *address)
    return connection


async def run(calls: Iterable[tuple[Connection, Call]], begin: float, within_s: float = 30.0) -> None:
    """Makes each call when it is due, counted from `begin` (CLOCK_MONOTONIC), which its `due` then is; they are in
    order of time. Returns when all are answered; TimeoutError when they are not `within_s` of the last."""
    used: set[Connection] = set()
    for connection, call in calls:
        call.due += begin
        await _until(call.due)
        connection.call(call)
        used.add(connection)
    await asyncio.wait_for(asyncio.gather(*(connection.idle.wait() for connection in used)), within_s)
    if any(connection.lost for connection in used):
        raise ConnectionError("the server closed a connection with calls on it")


async def _until(due: float) -> None:
    # More than once: uvloop rounds to whole milliseconds, down as well.
    while (left := due - time.monotonic()) > 0:  # noqa: ASYNC110 - it is a time that is waited for
        await asyncio.sleep(left)


def check(calls: Sequence[Call]) -> None:
    """RuntimeError when one was refused: the figures would be of something else."""
    for call in calls:
        if call.status not in (200, 201, 204):
            raise RuntimeError(f"{call.method} {call.path} was answered {call.status}")
