"""What users bring into the media library: who may, how often, and whose it is then.

A piece is of who brought it first; what was there before, or was put there by hand, is nobody's.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from mediaserver.client import MediaDocument
from roomservice.allowance import Allowances, Rate
from roomservice.commit import Commit, Write
from roomservice.interface import Conflict, Content, Sound, Storage
from roomservice.settings import LibraryUploads, ServiceSettings

KIND = "piece"
"""Of the document that says whose a piece is."""

PER_USER = Rate(per_s=1 / 30, burst=20.0)
"""Uploads. More lets one user fill the library sooner, fewer is felt by who brings an album."""

AT_ONCE = 8
"""Uploads on this instance. Each takes a connection to the media server, and all are decoded one after the other."""

BUSY_S = 5.0
"""How long one waits while others, or another of the same user, are under way, and after how long it may be worth
trying again. One that was cancelled is over within milliseconds, but not before the next is there."""


class TooLargeError(Exception):
    """It has more bytes than are taken, with a sentence."""


class TooManyError(Exception):
    """So many uploads are not taken, or not yet. wait_s: until it may be worth trying again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("Other uploads are under way, or there were many just now.")
        self.wait_s = wait_s


class Library:
    """clock: Unix time in s."""

    def __init__(self, settings: ServiceSettings, storage: Storage, sound: Sound, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._sound = sound
        self._clock = clock
        self._allowances = Allowances(PER_USER)
        self._under_way: set[str] = set()
        self._over = asyncio.Condition()
        self.uploads = settings.library_uploads
        self.max_bytes = settings.library_upload_mib * 1024**2

    def takes_from(self, *, leads: bool) -> bool:
        """leads: whether he is host or admin of the room that he names."""
        return self.uploads is LibraryUploads.EVERYBODY or (self.uploads is LibraryUploads.LEADERS and leads)

    async def upload(self, user: str, title: str, content: Content) -> MediaDocument:
        """user: empty for the service itself. TooLargeError, TooManyError, MediaError, SoundRefusedError, Unavailable,
        and what the content raises; nothing is left of it then, nor when it is cancelled."""
        async with self._turn(user):
            if content.length is not None and content.length > self.max_bytes:
                raise self._too_large()
            piece, is_new = await self._sound.upload(title, self._bounded(content.chunks))
            if is_new and user:
                try:
                    await self._keep(user, piece.id)
                except asyncio.CancelledError:
                    await self.delete(piece.id)
                    raise
            return piece

    async def owned(self, user: str, pieces: Collection[str]) -> frozenset[str]:
        """Which of them he brought. Unavailable."""
        kept = await self._storage.load_many(KIND, pieces)
        return frozenset(one.id for one in kept if json.loads(one.body)["by"] == user)

    async def delete(self, piece: str) -> None:
        """Whatever plays of it plays on. MediaError, SoundRefusedError, Unavailable."""
        await self._sound.delete_piece(piece)
        if (kept := await self._storage.load(KIND, piece)) is not None:
            await self._write(piece, kept.revision, None)

    async def _keep(self, user: str, piece: str) -> None:
        kept = await self._storage.load(KIND, piece)  # of one that was removed by other ways than these
        body = json.dumps({"by": user, "at": round(self._clock(), 3)})
        await self._write(piece, None if kept is None else kept.revision, body)

    async def _write(self, piece: str, revision: int | None, body: str | None) -> None:
        try:
            await self._storage.commit(Commit(writes=(Write(KIND, piece, revision, body),)), self._clock())
        except Conflict:
            """Of two that bring or delete the same at once, one is enough."""

    @asynccontextmanager
    async def _turn(self, user: str) -> AsyncIterator[None]:
        if user and (wait_s := self._allowances.take(user, 1.0, self._clock())):
            raise TooManyError(wait_s)
        try:
            async with asyncio.timeout(BUSY_S), self._over:
                await self._over.wait_for(lambda: user not in self._under_way and len(self._under_way) < AT_ONCE)
                self._under_way.add(user)
        except TimeoutError:
            raise TooManyError(BUSY_S) from None
        try:
            yield
        finally:
            self._under_way.discard(user)
            async with self._over:
                self._over.notify_all()

    async def _bounded(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.max_bytes:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"A piece has at most {self.max_bytes} bytes.")
