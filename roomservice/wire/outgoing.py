"""What waits to be sent to one socket: bounded, in order, and never waited for by who puts it there."""

import asyncio
from collections import deque

MAX_WAITING = 2_000
"""Messages. More lets a slow client hold more memory; fewer sends it away over a shorter hold-up of its network."""

MAX_WAITING_BYTES = 4 << 20


class TooSlowError(Exception):
    """More waits than may."""


class Outgoing:
    """put() is called from anywhere in the event loop, next() by the one task that sends."""

    def __init__(self, most: int = MAX_WAITING, most_bytes: int = MAX_WAITING_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._there = asyncio.Event()
        self._ended = False

    def put(self, text: str) -> None:
        """TooSlowError when there is no place for it; nothing after it is taken then."""
        if self._ended:
            return
        if len(self._waiting) >= self._most or self._bytes + len(text) > self._most_bytes:
            self.end()
            raise TooSlowError
        self._waiting.append(text)
        self._bytes += len(text)
        self._there.set()

    async def next(self) -> str | None:
        """None when it has ended, and all that was put before has been given."""
        while not self._waiting:
            if self._ended:
                return None
            self._there.clear()
            await self._there.wait()
        text = self._waiting.popleft()
        self._bytes -= len(text)
        return text

    def end(self, *, drop: bool = False) -> None:
        """Nothing more is taken. drop: nor is what waits given."""
        self._ended = True
        if drop:
            self._waiting.clear()
            self._bytes = 0
        self._there.set()

    def __len__(self) -> int:
        return len(self._waiting)
