"""The media library: a directory of music, by whatever way it came there.

    DIR/ab12….mp3          what was uploaded, under the id of its content
    DIR/any/where.flac     what was put there by hand, found within SCAN_S of its last change
    DIR/.library/ab12….json  .cover    what is known of each
    DIR/.incoming/…        uploads that are under way; what is left of them is removed at the start

An item is in the library when it has been decoded to its end, and not before. Everything that touches the disk happens
in other threads; the index is in memory.
"""

import asyncio
import contextlib
import hashlib
import itertools
import os
import time
import uuid
from bisect import insort
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mediaserver import logs
from mediaserver.music.checking import Found, NotMusicError, check
from mediaserver.music.children import ChildError, Children
from mediaserver.music.config import Bounds
from mediaserver.music.items import ID, Item, from_json, moved, to_json

log = logs.get(__name__, limited=True)
T = TypeVar("T")

SCAN_S = 10.0
# A file that was changed later than that may still be written.
SETTLED_S = 2.0
MAX_SCANNED = 100_000
MAX_DEPTH = 8
WRITE_BYTES = 1024 * 1024
# Checks at a time: each keeps a CPU busy.
CHECKS = 1
SUFFIXES = {
    "audio/mpeg": ".mp3",
    "audio/aac": ".aac",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "audio/wav": ".wav",
    "video/mp2t": ".ts",
}


class LibraryError(Exception):
    """The library cannot be used; the message is a sentence."""


class TooLargeError(Exception):
    """A file is larger than the library takes."""


class LibraryFullError(Exception):
    """The library has as much as it may."""


class Library:
    """All methods are called in the event loop."""

    def __init__(
        self, directory: Path, children: Children, bounds: Bounds | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """LibraryError when the directory cannot be made or written to."""
        self.directory = directory
        self.bounds = bounds or Bounds()
        self._children = children
        self._clock = clock
        self._known = directory / ".library"
        self._incoming = directory / ".incoming"
        self.total = 0  # bytes of all items
        self._items: dict[str, Item] = {}
        self._order: list[tuple[str, str]] = []  # (order, id)
        self._rejected: dict[str, tuple[int, int]] = {}  # path -> (size, mtime) of what is no music
        self._checks = asyncio.Semaphore(CHECKS)
        self._keeping = asyncio.Lock()  # of files coming under the name that they have here, and going
        self._untold: set[str] = set()  # items of which the only upload does not know yet
        self._skipped: set[str] = set()  # paths that were not looked at, and logged
        self._arriving = 0  # bytes of uploads that are under way
        try:
            for path in (self._known, self._incoming):
                path.mkdir(parents=True, exist_ok=True)
            for left in self._incoming.iterdir():
                left.unlink()
            for path in self._known.glob("*.json"):
                self._load(path)
        except OSError as error:
            raise LibraryError(f"The media directory {directory} cannot be used: {error.strerror}.") from None

    def __len__(self) -> int:
        return len(self._items)

    def get(self, identifier: str) -> Item | None:
        return self._items.get(identifier)

    def path(self, identifier: str) -> Path | None:
        """Where the item's file is."""
        item = self._items.get(identifier)
        return self.directory / item.path if item is not None else None

    def page(self, cursor: str, limit: int, search: str = "") -> tuple[list[Item], str | None]:
        """Items in their order behind the cursor, and the cursor of the next page; None on the last. search: words that
        must be in title, artist or album."""
        words = search.casefold().split()
        found: list[Item] = []
        for order, identifier in self._order:
            if order <= cursor or not self._items[identifier].fits(words):
                continue
            if len(found) == limit:
                return found, found[-1].order
            found.append(self._items[identifier])
        return found, None

    async def add(self, chunks: AsyncIterator[bytes], title: str = "") -> tuple[Item, bool]:
        """Takes a file, and says whether it is new. title: for one that does not say its own. NotMusicError,
        TooLargeError, LibraryFullError, and whatever the chunks raise; nothing is left of it then, nor when it is
        cancelled."""
        path = self._incoming / uuid.uuid4().hex
        try:
            identifier, size = await self._receive(path, chunks)
            if identifier in self._items:
                self._untold.discard(identifier)
                return self._items[identifier], False
            found = await self._check(path, size)
            keeping = asyncio.ensure_future(self._keep(path, identifier, size, found, title))
            try:
                kept = await asyncio.shield(keeping)
            except asyncio.CancelledError:
                await _uninterrupted(self._take_back(keeping))
                raise
            self._untold.discard(identifier)
            return kept
        finally:
            with contextlib.suppress(OSError):
                await asyncio.shield(asyncio.to_thread(path.unlink, missing_ok=True))

    async def remove(self, identifier: str) -> bool:
        """Whether it was there. What is playing of it plays on."""
        async with self._keeping:
            return await self._remove(identifier)

    async def cover(self, identifier: str) -> bytes | None:
        """The picture of it; None when it has none."""
        item = self._items.get(identifier)
        if item is None or not item.cover_type:
            return None
        try:
            return await asyncio.to_thread((self._known / f"{identifier}.cover").read_bytes)
        except OSError:
            return None

    async def watch(self) -> None:
        """Finds what was put there by hand, until it is cancelled."""
        while True:
            try:
                await self.scan()
            except OSError as error:
                log.warning("the media directory could not be read", reason=error.strerror)
            except Exception:  # a defect: the next look may be at what it is no trouble to
                log.exception("the media directory could not be looked through")
            await asyncio.sleep(SCAN_S)

    async def scan(self) -> None:
        """Looks once: new files come in, files that are gone or changed go."""
        there, skipped = await asyncio.to_thread(self._walk)
        for path, reason in skipped.items():
            if path not in self._skipped:
                log.warning("something in the media directory is left out", path=path, reason=reason)
        self._skipped = set(skipped)
        by_path = {item.path: item for item in self._items.values()}
        for path, item in by_path.items():
            if there.get(path) != (item.size, item.mtime_ns):
                self._forget(item)
        settled = (self._clock() - SETTLED_S) * 1e9
        for path, (size, mtime_ns) in there.items():
            known = by_path.get(path)
            is_known = known is not None and self._items.get(known.id) is known
            if is_known or mtime_ns > settled or self._rejected.get(path) == (size, mtime_ns):
                continue
            await self._adopt(path, size, mtime_ns)
        self._rejected = {path: state for path, state in self._rejected.items() if path in there}

    # Uploads

    async def _receive(self, path: Path, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Writes it, and gives its id and size."""
        if len(self._items) >= self.bounds.max_items:
            raise LibraryFullError(f"The library has {self.bounds.max_items} items, as many as it may.")
        digest, size, pending = hashlib.sha256(), 0, bytearray()
        file = await asyncio.to_thread(path.open, "xb")

        def write(data: bytes) -> None:
            digest.update(data)
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                raise LibraryFullError(f"The file could not be written: {error.strerror}.") from None

        try:
            async for chunk in chunks:
                size += len(chunk)
                self._arriving += len(chunk)
                if size > self.bounds.max_file:
                    raise TooLargeError(f"The file is larger than {self.bounds.max_file} bytes.")
                if self.total + self._arriving > self.bounds.max_total:
                    raise LibraryFullError("The library has as many bytes as it may.")
                pending += chunk
                if len(pending) >= WRITE_BYTES:
                    await _uninterrupted(asyncio.to_thread(write, bytes(pending)))
                    pending.clear()
            await _uninterrupted(asyncio.to_thread(write, bytes(pending)))
        finally:
            self._arriving -= size
            file.close()
        return _id(digest.hexdigest()), size

    async def _check(self, path: Path, size: int) -> Found:
        async with self._checks:
            fd = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return await check(self._children, fd, size, self.bounds.max_duration_s)
            finally:
                os.close(fd)

    async def _keep(self, path: Path, identifier: str, size: int, found: Found, title: str) -> tuple[Item, bool]:
        name = identifier + SUFFIXES[found.media_type]

        def move() -> int:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(path, self.directory / name)
            return (self.directory / name).stat().st_mtime_ns

        async with self._keeping:  # of two uploads of the same, one is new
            if identifier in self._items:
                self._untold.discard(identifier)
                return self._items[identifier], False
            mtime_ns = await asyncio.to_thread(move)
            item = self._item(identifier, name, size, mtime_ns, found)
            item = replace(item, title=item.title or _line(title))
            await self._register(item, found)
            self._untold.add(identifier)
            return item, True

    async def _take_back(self, keeping: "asyncio.Future[tuple[Item, bool]]") -> None:
        """Of an upload that was cancelled: what it brought goes, unless another of the same was told of it."""
        with contextlib.suppress(OSError):
            item, _ = await keeping
            async with self._keeping:
                if item.id in self._untold:
                    await self._remove(item.id)

    async def _remove(self, identifier: str) -> bool:
        """Within the lock: else its file could be that of an upload of the same which has just come."""
        self._untold.discard(identifier)
        item = self._items.get(identifier)
        if item is None:
            return False
        self._forget(item)
        await _uninterrupted(asyncio.to_thread(self._unlink, item))
        return True

    def _item(self, identifier: str, path: str, size: int, mtime_ns: int, found: Found) -> Item:
        return Item(
            identifier,
            path,
            found.media_type,
            size,
            round(found.duration_s, 3),
            found.codec,
            found.sampling_rate,
            found.channels,
            round(self._clock(), 3),
            mtime_ns,
            found.tags.get("title", ""),
            found.tags.get("artist", ""),
            found.tags.get("album", ""),
            found.cover_type,
        )

    async def _register(self, item: Item, found: Found) -> None:
        def write() -> None:
            if found.cover:
                _write(self._known / f"{item.id}.cover", found.cover)
            _write(self._known / f"{item.id}.json", to_json(item).encode())

        await _uninterrupted(asyncio.to_thread(write))
        self._insert(item)

    def _insert(self, item: Item) -> None:
        if item.id in self._items:
            self._forget(self._items[item.id])
        self._items[item.id] = item
        self.total += item.size
        insort(self._order, (item.order, item.id))

    # What was put there by hand

    def _load(self, path: Path) -> None:
        """At the start: an item whose file is still as it was. Others are found again, or are gone."""
        item = from_json(path.read_text(encoding="utf-8", errors="replace"))
        if item is None or item.id != path.stem or not _is_inside(item.path):
            path.unlink()
            return
        try:
            state = (self.directory / item.path).stat(follow_symlinks=False)
        except OSError:
            path.unlink()  # its file is gone; were it found elsewhere, it would be decoded again
            return
        if (state.st_size, state.st_mtime_ns) == (item.size, item.mtime_ns):
            self._insert(item)

    def _walk(self) -> tuple[dict[str, tuple[int, int]], dict[str, str]]:
        """Every file that could be one: path -> (size, mtime), and what is left out: path -> why. No links are
        followed. OSError when the library's own directory cannot be read."""
        found: dict[str, tuple[int, int]] = {}
        skipped: dict[str, str] = {}
        waiting = [(self.directory, "", 0)]
        while waiting:
            directory, prefix, depth = waiting.pop()
            try:
                with os.scandir(directory) as entries:
                    listed = list(itertools.islice(entries, MAX_SCANNED))
            except OSError as error:
                if not prefix:
                    raise
                skipped[prefix] = error.strerror or "unreadable"
                continue
            for entry in listed:
                if entry.name.startswith(".") or len(found) + len(skipped) >= MAX_SCANNED:
                    continue
                path = prefix + entry.name
                if not _is_text(entry.name):
                    skipped[path.encode(errors="backslashreplace").decode()] = "its name is not UTF-8"
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < MAX_DEPTH:
                            waiting.append((Path(entry.path), f"{path}/", depth + 1))
                    elif entry.is_file(follow_symlinks=False):
                        state = entry.stat(follow_symlinks=False)
                        found[path] = (state.st_size, state.st_mtime_ns)
                except FileNotFoundError:
                    continue  # it has gone since
                except OSError as error:
                    skipped[path] = error.strerror or "unreadable"
        return found, skipped

    async def _adopt(self, path: str, size: int, mtime_ns: int) -> None:
        whole = self.directory / path
        if size > self.bounds.max_file or len(self._items) >= self.bounds.max_items:
            self._rejected[path] = (size, mtime_ns)
            return
        try:
            identifier = await asyncio.to_thread(_id_of_file, whole)
            kept = await asyncio.to_thread(self._remembered, identifier)
            if identifier in self._items:
                self._rejected[path] = (size, mtime_ns)  # the same once more
            elif kept is not None:
                item = moved(kept, path, mtime_ns)
                await asyncio.to_thread(_write, self._known / f"{identifier}.json", to_json(item).encode())
                self._insert(item)
            else:
                found = await self._check(whole, size)
                item = self._item(identifier, path, size, mtime_ns, found)
                title = item.title or Path(path).stem[:200]
                await self._register(replace(item, title=title), found)
        except NotMusicError as error:
            log.info("a file in the media directory is no music", path=path, reason=error.reason)
            self._rejected[path] = (size, mtime_ns)
        except ChildError as error:
            log.warning("a file in the media directory could not be checked", path=path, reason=str(error))
        except OSError as error:
            log.warning("a file in the media directory could not be read", path=path, reason=error.strerror)
        except Exception:  # a defect: the files after it must still be looked at
            log.exception("a file in the media directory was not taken", path=path)
            self._rejected[path] = (size, mtime_ns)

    def _remembered(self, identifier: str) -> Item | None:
        try:
            item = from_json((self._known / f"{identifier}.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None
        return item if item is not None and item.id == identifier else None

    def _forget(self, item: Item) -> None:
        if self._items.get(item.id) is item:
            del self._items[item.id]
            self._order.remove((item.order, item.id))
            self.total -= item.size

    def _unlink(self, item: Item) -> None:
        for path in (
            self.directory / item.path,
            self._known / f"{item.id}.json",
            self._known / f"{item.id}.cover",
        ):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _line(text: str) -> str:
    """Without what orders lists or ends lines."""
    return "".join(filter(str.isprintable, text)).strip()


def _is_text(name: str) -> bool:
    """Whether it can be written down, and shown to anybody: a file's name is any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _id(digest: str) -> str:
    identifier = digest[:32]
    assert ID.fullmatch(identifier)
    return identifier


def _id_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return _id(hashlib.file_digest(file, "sha256").hexdigest())


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _is_inside(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in Path(path).parts


async def _uninterrupted(work: Awaitable[T]) -> T:
    """To its end, even if who waits for it is cancelled: a thread cannot be."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
