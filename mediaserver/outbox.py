"""The reading side of the log of events: who is to be told what, and how far each reader has come.

    the store commits ─▶ each Cursor notes the positions that its filter wants ─▶ its reader takes them in batches
    ─▶ done() ─▶ what no webhook wants any more, and is not among the newest, is forgotten

A cursor holds positions alone, never events, and at most `limit` of them: of more, the oldest are dropped and counted.
"""

import asyncio
import contextlib
import re
import sqlite3
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mediaserver.events import DEFAULT_TYPES, GAP, Types, gap
from mediaserver.store import Placed, StateError, Store, StoredCursor, event_of

BATCH = 100
# Events that wait for one reader. More costs the disk 300 bytes each, less loses more of a receiver's longer absence.
LIMIT = 10_000
# Newest events that are kept in any case, so that a stream can be resumed.
KEPT = 10_000
# Forgetting goes through all that is kept for slow webhooks; so often that the cost for each event does not show.
PRUNE_EVERY = 2_000

RoomFilter = Callable[[str], bool]


def every_room(_: str) -> bool:
    return True


def rooms_like(pattern: str) -> RoomFilter:
    """Rooms whose whole name is the pattern, in which `*` stands for any characters."""
    expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    return lambda room: expression.fullmatch(room) is not None


@dataclass(frozen=True, slots=True)
class Filter:
    types: Types = DEFAULT_TYPES
    rooms: RoomFilter = every_room

    def wants(self, type_: str, room: str) -> bool:
        return type_ == GAP or (type_ in self.types and self.rooms(room))


@dataclass(frozen=True, slots=True)
class Batch:
    """Some events in their order. `dropped`: how many are missing before them; None when nobody knows."""

    events: list[Placed]
    dropped: int | None
    position: int  # the last of it

    def with_gap(self, reader: str, time: float) -> list[Placed]:
        """The events, and before them the gap if there is one. `time` is of a gap that nothing follows, Unix time."""
        if self.dropped == 0:
            return self.events
        before = self.events[0][0] - 1 if self.events else self.position
        when = self.events[0][1].time if self.events else time
        return [(before, gap(reader, before, self.dropped, when)), *self.events]


class Cursor:
    """The place of one reader. Made by an Outbox."""

    def __init__(
        self, filter_: Filter, position: int, *, limit: int = LIMIT, dropped: int = 0, save: Callable[[], None] | None
    ) -> None:
        """`position`: the last that the reader is done with. `save` is called when that changes."""
        self.filter = filter_
        self.position = position
        self.dropped = dropped  # not told yet
        self.dropped_ever = dropped
        self.unknown = False  # whether it is missing an unknown number of events, and was not told yet
        self.ending = False  # whether no more will come
        self.catching_up = False
        self._limit = limit
        self._save = save
        self._positions: deque[int] = deque()
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()

    @property
    def pending(self) -> int:
        return len(self._positions)

    @property
    def positions(self) -> Iterable[int]:
        """Of the events that wait, ascending."""
        return self._positions

    def note(self, events: Sequence[Placed]) -> None:
        """Events that were committed, in their order."""
        wants = self.filter.wants
        wanted = [place for place, event in events if place > self.position and wants(event.type, event.room)]
        if wanted:
            self._positions.extend(wanted)
            self._drained.clear()
            self._bound()
            self._wake.set()

    def caught_up(self, head: int, positions: Iterable[int]) -> None:
        """Events up to `head` that were there before; some may have been noted meanwhile."""
        later = [position for position in self._positions if position > head]
        self._positions = deque(position for position in positions if position > self.position)
        self._positions.extend(later)
        self.catching_up = False
        if self._positions:
            self._drained.clear()
        else:
            self._drained.set()
        self._bound()
        self._wake.set()

    def skip(self, upto: int) -> None:
        """Drops what waits up to this position."""
        if self.catching_up and self.position < upto:
            self.position, self.unknown = upto, True  # what waits there is not known, and never will be
        while self._positions and self._positions[0] <= upto:
            self._drop()

    def next(self) -> list[int]:
        """Positions of the next batch."""
        return [self._positions[index] for index in range(min(BATCH, len(self._positions)))]

    def done(self, batch: Batch) -> None:
        """The reader has it."""
        if batch.dropped is None:
            self.unknown = False
            self.dropped = 0
        else:
            self.dropped -= batch.dropped
        for position, _ in batch.events:
            if position <= self.position:
                # Dropped while it was on its way, and it has arrived after all.
                self.dropped -= 1
                self.dropped_ever -= 1
            elif self._positions and self._positions[0] == position:
                self._positions.popleft()
        self.position = max(self.position, batch.position)
        if not self._positions:
            self._drained.set()
        self._saved()

    def is_stale(self, batch: Batch) -> bool:
        """Whether some of it has been dropped since it was taken."""
        return bool(batch.events) and batch.events[0][0] <= self.position

    def forget(self, positions: set[int]) -> None:
        """Drops these: they are no longer in the log."""
        if positions & set(self._positions):
            kept = deque(position for position in self._positions if position not in positions)
            self.dropped += len(self._positions) - len(kept)
            self.dropped_ever += len(self._positions) - len(kept)
            self._positions = kept
            self._saved()

    def end(self) -> None:
        """No more will come: the reader is told when it has what waits."""
        self.ending = True
        self._wake.set()

    async def wait(self) -> None:
        """Until there is something to take, or nothing will come."""
        while self.catching_up or not (self._positions or self.dropped or self.unknown or self.ending):
            self._wake.clear()
            await self._wake.wait()

    async def drained(self) -> None:
        """Until nothing waits."""
        await self._drained.wait()

    def _bound(self) -> None:
        while len(self._positions) > self._limit:
            self._drop()

    def _drop(self) -> None:
        self.position = self._positions.popleft()
        self.dropped += 1
        self.dropped_ever += 1
        self._saved()

    def _saved(self) -> None:
        if self._save is not None:
            self._save()


class Outbox:
    """All cursors of a store's log. All methods are called from the event loop's thread."""

    def __init__(self, store: Store, *, kept: int = KEPT, prune_every: int = PRUNE_EVERY) -> None:
        """Before the store is started."""
        self.store = store
        self.streams: set[Cursor] = set()
        self._holders: dict[str, Cursor] = {}  # webhooks' cursors, by reader
        self._stored = store.cursors()
        self._head = store.head  # the last that cursors have been told of
        self._pruned = store.pruned
        self._kept = kept
        self._prune_every = prune_every
        self._ending: asyncio.Task[None] | None = None
        store.on_commit.append(self._committed)

    # Readers

    def wants(self, type_: str) -> bool:
        """Whether any reader wants events of this type: what nobody asks for need not be written down."""
        readers = (*self._holders.values(), *self.streams)
        return any(type_ in cursor.filter.types for cursor in readers)

    def hold(self, reader: str, filter_: Filter, limit: int = LIMIT) -> Cursor:
        """The cursor of a reader that the log remembers: events are kept until it is done with them. A new reader gets
        what happens from now on. catch_up() must follow."""
        stored = self._stored.pop(reader, None) or StoredCursor(self._head, 0)
        cursor = Cursor(
            filter_, stored.position, limit=limit, dropped=stored.dropped, save=lambda: self._save(reader, cursor)
        )
        cursor.catching_up = True
        self._holders[reader] = cursor
        # At once, so that events which are queued after this wait for it even if the process is killed.
        self._save(reader, cursor)
        return cursor

    def forget_others(self) -> None:
        """Of readers that have not come back by hold()."""
        for reader in self._stored:
            self.store.put_cursor(reader, None)
        self._stored.clear()

    async def follow(self, filter_: Filter, after: str | None = None, limit: int = LIMIT) -> Cursor:
        """The cursor of a stream, for as long as it lasts; leave() must follow. `after`: the id() that the reader has
        seen last; None begins with what happens from now on. A gap is first when the log does not reach back there."""
        position, unknown = (self._head, False) if after is None else self._position(after)
        cursor = Cursor(filter_, position, limit=limit, save=None)
        cursor.unknown = unknown
        cursor.ending = self._ending is not None
        self.streams.add(cursor)
        try:
            await self.catch_up(cursor)
        except BaseException:
            self.leave(cursor)
            raise
        return cursor

    def leave(self, cursor: Cursor) -> None:
        self.streams.discard(cursor)

    async def catch_up(self, cursor: Cursor) -> None:
        """Finds what waits for it already. StateError when the store is closed."""
        cursor.catching_up = True
        start = cursor.position

        def scan(connection: sqlite3.Connection) -> tuple[int, list[int]]:
            rows = connection.execute("SELECT position, type, room FROM events WHERE position > ? ORDER BY 1", (start,))
            head, wanted = start, []
            for position, type_, room in rows:
                head = position
                if cursor.filter.wants(type_, room):
                    wanted.append(position)
            return head, wanted

        if start < self._head:
            cursor.caught_up(*await self.store.read(scan))
        else:
            cursor.caught_up(start, ())

    async def take(self, cursor: Cursor) -> Batch | None:
        """Waits for the cursor's next events; None when there will be none. It gets the same again until done().
        StateError when the store is closed."""
        while True:
            await cursor.wait()
            asked = cursor.next()
            if not asked and not cursor.dropped and not cursor.unknown:
                return None
            events = await self._events(asked)
            missing = set(asked) - {position for position, _ in events}
            cursor.forget(missing)
            # What was dropped meanwhile is in the count: it must not be here as well.
            events = [placed for placed in events if placed[0] > cursor.position]
            if events or cursor.dropped or cursor.unknown:
                dropped = None if cursor.unknown else cursor.dropped
                return Batch(events, dropped, events[-1][0] if events else cursor.position)

    def id(self, position: int) -> str:
        """With which a stream can be resumed after this position."""
        return f"{self.store.id}.{position}"

    def place(self, cursor: Cursor) -> str:
        """The id() up to which the cursor's reader has everything; empty when it is yet to be told of a gap."""
        if cursor.dropped or cursor.unknown or cursor.catching_up:
            return ""
        return self.id(cursor.position if cursor.pending else self._head)

    def end_streams(self) -> None:
        """Lets streams end, once they have what has happened up to now."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end_streams())

    # Within

    async def _end_streams(self) -> None:
        with contextlib.suppress(StateError):
            await self.store.settled()
        for cursor in self.streams:
            cursor.end()

    async def _events(self, positions: list[int]) -> list[Placed]:
        if not positions:
            return []
        marks = ",".join("?" * len(positions))
        rows = await self.store.read(
            lambda connection: connection.execute(
                f"SELECT * FROM events WHERE position IN ({marks}) ORDER BY position", positions
            ).fetchall()
        )
        return [event_of(row) for row in rows]

    def _position(self, after: str) -> tuple[int, bool]:
        """Where to go on, and whether an unknown number of events is missing there."""
        store, _, digits = after.rpartition(".")
        if store != self.store.id or not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            return self._pruned, True
        position = int(digits)
        if not self._pruned <= position <= self.store.head:
            return self._pruned, True
        return position, False

    def _committed(self, events: Sequence[Placed]) -> None:
        self._head = events[-1][0]
        for cursor in (*self._holders.values(), *self.streams):
            cursor.note(events)
        if self._head - self._pruned >= self._kept + self._prune_every:
            self._prune()

    def _prune(self) -> None:
        if any(cursor.catching_up for cursor in self._holders.values()):
            return  # what it wants is not known yet
        self._pruned = self._head - self._kept
        wanted: set[int] = set()
        for cursor in self._holders.values():
            positions = list(cursor.positions)
            wanted.update(positions[: bisect_right(positions, self._pruned)])
        for cursor in self.streams:
            cursor.skip(self._pruned)
        self.store.prune(self._pruned, wanted)

    def _save(self, reader: str, cursor: Cursor) -> None:
        self.store.put_cursor(reader, StoredCursor(cursor.position, cursor.dropped))
