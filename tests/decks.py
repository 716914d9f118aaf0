"""Decks in tests: with the ring in plain Python, whose reader is the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from mediaserver.music.deck import Broken, Deck, News, Ready, Workshop
from tests.decoders import decoders
from tests.radio import Radio, radio
from tests.ring import Ring, Samples


class Listener:
    """Opens a deck and hears it: all that it says, and all that is in its ring."""

    def __init__(self, workshop: Workshop, source: str, start_s: float = 0.0) -> None:
        self.news: list[News] = []
        self.parts: list[Samples] = []
        self._changed = asyncio.Event()
        self.deck = Deck(workshop, source, start_s, self._hear)

    def _hear(self, news: News) -> None:
        self.news.append(news)

    @property
    def ring(self) -> Ring:
        assert isinstance(self.deck.ring, Ring)
        return self.deck.ring

    @property
    def ready(self) -> Ready | None:
        return next((news for news in self.news if isinstance(news, Ready)), None)

    @property
    def broken(self) -> Broken | None:
        return next((news for news in self.news if isinstance(news, Broken)), None)

    @property
    def samples(self) -> Samples:
        return np.concatenate([np.zeros((0, 2), np.float32), *self.parts])

    async def until(self, holds: Callable[[], bool], timeout_s: float = 20, *, reads: bool = True) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():
                if reads and (self.ready or self.broken):  # as the plane, which waits for enough
                    self.parts.append(self.ring.read(1 << 20))
                await asyncio.sleep(0.005)

    async def to_the_end(self, timeout_s: float = 20) -> Samples:
        """All of it, until the ring is finished and empty, or the deck is broken."""
        await self.until(lambda: self.broken is not None or (self.ring.finished and self.ready is not None), timeout_s)
        self.parts.append(self.ring.read(1 << 20))
        self.deck.close()
        return self.samples


@asynccontextmanager
async def workshop(server: Radio, find: Callable[[str], Path | None] = lambda _: None) -> AsyncIterator[Workshop]:
    async with decoders() as children:
        yield Workshop(children, server.gate(), find, Ring)


@asynccontextmanager
async def studio(find: Callable[[str], Path | None] = lambda _: None) -> AsyncIterator[tuple[Radio, Workshop]]:
    async with radio() as server, workshop(server, find) as made:
        yield server, made
