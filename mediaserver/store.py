"""What survives a crash: the rooms as they shall be, the log of events, and how far each webhook has come; one file.

    the event loop queues ─▶ the store's thread takes all that is queued: one transaction of SQLite
    ─▶ the loop is told: who waited goes on, readers learn the positions of the new events

The queue never blocks who writes. While the disk refuses, the taken batch is tried again and the queue grows up to
LIMIT; settled() says so to who wants to know.
"""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mediaserver.events import GAP, Event

log = logging.getLogger(__name__)

T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]
# An event and its place in the log.
Placed = tuple[int, Event]

APPLICATION_ID = 0x766F6963  # "voic"
SCHEMA_VERSION = 1
# Events and changes of rooms that may wait for a disk. More costs memory (about 1 KB each), less loses events sooner.
LIMIT = 100_000
# Between two attempts to write to a disk that refused. Callers of settled() wait as long for its refusal.
RETRY_S = 1.0
# How long what nobody waits for, the webhooks' cursors, may stay unwritten. More makes a crash repeat more deliveries,
# less costs a flush of the disk for each delivery.
LAZY_S = 0.5

_SCHEMA = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE rooms (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, instance TEXT NOT NULL,"
    " revision INTEGER NOT NULL, sequence INTEGER NOT NULL, document TEXT NOT NULL)",
    "CREATE TABLE facts (room TEXT NOT NULL, kind TEXT NOT NULL, user TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (room, kind, user)) WITHOUT ROWID",
    "CREATE TABLE events (position INTEGER PRIMARY KEY, room TEXT NOT NULL, instance TEXT NOT NULL,"
    " sequence INTEGER NOT NULL, type TEXT NOT NULL, user TEXT, time REAL NOT NULL, data TEXT NOT NULL)",
    "CREATE TABLE cursors (reader TEXT PRIMARY KEY, position INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID",
)
# The room keeps its id, and with it its place.
_PUT_ROOM = (
    "INSERT INTO rooms (name, instance, revision, sequence, document) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, revision = excluded.revision,"
    " sequence = excluded.sequence, document = excluded.document"
)
# A room's own row is written when its document changes, and its events are numbered on in between.
_COUNT = "UPDATE rooms SET sequence = max(sequence, ?) WHERE name = ? AND instance = ?"


class StateError(Exception):
    """The state cannot be opened or written; the message is one sentence for who started the server or called it."""


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """facts: what load() found of users by kind and user, values of JSON; put_fact() writes them."""

    name: str
    instance: str
    revision: int
    sequence: int
    document: str
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredCursor:
    """`position`: the last event that the reader is done with. `dropped`: events skipped that it was not told of."""

    position: int
    dropped: int


@dataclass(slots=True)
class _Batch:
    """What one transaction writes, and who waits for it."""

    rooms: dict[str, StoredRoom | None] = field(default_factory=dict)
    facts: dict[tuple[str, str, str], str | None] = field(default_factory=dict)  # JSON by room, kind and user
    replaced: set[str] = field(default_factory=set)  # rooms of these that were deleted before they were put
    events: list[tuple[Event, str]] = field(default_factory=list)  # and its data in JSON
    lost: dict[tuple[str, str], int] = field(default_factory=dict)  # by room and instance: the last sequence that is
    cursors: dict[str, StoredCursor | None] = field(default_factory=dict)
    prune: tuple[int, frozenset[int]] | None = None
    waiters: list[asyncio.Future[None]] = field(default_factory=list)
    reads: list[tuple[asyncio.Future[Any], Query[Any]]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.rooms) + len(self.facts) + len(self.events)

    @property
    def urgent(self) -> bool:
        return bool(self.rooms or self.facts or self.events or self.waiters or self.reads)

    @property
    def lazy(self) -> bool:
        return bool(self.cursors) or self.prune is not None

    @property
    def writes(self) -> bool:
        return bool(self.rooms or self.facts or self.events) or self.lazy


class Store:
    """All methods but the private ones of the thread are called from the event loop's thread.

    `on_commit` are called in the loop with the events of each transaction, in the order of the log.
    """

    def __init__(self, path: str | None) -> None:
        """None keeps the state in memory. StateError when the file cannot be opened, is locked by another process, is
        not ours, or is of a newer schema."""
        self.path = path
        self.on_commit: list[Callable[[Sequence[Placed]], None]] = []
        self.lost = 0  # events that a full queue did not take
        self.commits = 0  # transactions written
        self.failing = False  # whether the last attempt to write failed
        self._connection = _open(path)
        self.id = str(self._about("id"))
        self.pruned = int(self._about("pruned"))  # up to here only what a webhook still wants is kept; at the start
        self._head = self._last_position()
        self._changed = threading.Condition()
        self._queued = _Batch()
        self._taken = _Batch()  # what the thread is about to write
        self._kept = {name for (name,) in self._connection.execute("SELECT name FROM rooms")}  # taken ones as well
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # Life

    def load(self) -> list[StoredRoom]:
        """All rooms, in the order in which they were made. Before start()."""
        assert self._thread is None
        facts: dict[str, dict[str, dict[str, Any]]] = {}
        for room, kind, user, value in self._connection.execute("SELECT room, kind, user, value FROM facts"):
            facts.setdefault(room, {}).setdefault(kind, {})[user] = json.loads(value)
        rows = self._connection.execute("SELECT name, instance, revision, sequence, document FROM rooms ORDER BY id")
        return [
            StoredRoom(name, instance, revision, sequence, document, facts.get(name, {}))
            for name, instance, revision, sequence, document in rows
        ]

    def facts(self, kind: str) -> dict[str, Any]:
        """Those of this kind that are of no room: put with the room "". Before start()."""
        assert self._thread is None
        rows = self._connection.execute("SELECT user, value FROM facts WHERE room = '' AND kind = ?", (kind,))
        return {user: json.loads(value) for user, value in rows}

    def cursors(self) -> dict[str, StoredCursor]:
        """Of all readers that ever had one. Before start()."""
        assert self._thread is None
        rows = self._connection.execute("SELECT reader, position, dropped FROM cursors")
        return {reader: StoredCursor(position, dropped) for reader, position, dropped in rows}

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.Thread(target=self._run, name="store")
        self._thread.start()

    def stop(self) -> None:
        """Commits what is queued and closes the file. Whoever still waits is refused."""
        with self._changed:
            if self._stopping:
                return
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        else:
            with contextlib.suppress(sqlite3.Error):
                self._write(self._queued)
        self._connection.close()
        for future in [*self._queued.waiters, *(future for future, _ in self._queued.reads)]:
            _refuse(future, "The server's state is closed.")

    # Writing: queued, and at once done for the caller

    def put_room(self, room: StoredRoom) -> None:
        """Makes or changes it; of several changes that wait the last wins."""
        for text in (room.name, room.instance, room.document):
            text.encode()  # text that is not Unicode is the caller's defect, not the thread's
        with self._changed:
            if self._queued.rooms.get(room.name, room) is None:
                del self._queued.rooms[room.name]  # it was deleted before: this is a new one, and stands last
            self._queued.rooms[room.name] = room
            self._changed.notify()

    def delete_room(self, name: str) -> None:
        with self._changed:
            self._queued.rooms.pop(name, None)
            self._queued.facts = {key: value for key, value in self._queued.facts.items() if key[0] != name}
            # What the file does not have need not be deleted: so names do not pile up while the disk refuses.
            if name in self._kept:
                self._queued.rooms[name] = None
                self._queued.replaced.add(name)
                self._changed.notify()

    def put_fact(self, room: str, kind: str, user: str, value: Any) -> None:
        """What is to be remembered of a user of this room: a value for JSON, or None to forget it. It goes with the
        room."""
        text = None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)
        (room + user).encode()
        with self._changed:
            self._queued.facts[room, kind, user] = text
            self._changed.notify()

    def append(self, event: Event) -> None:
        """When more than LIMIT wait for the disk the newest are lost; a gap in the log says how many."""
        for text in (event.room, event.instance, event.user or ""):
            text.encode()
        data = json.dumps(dict(event.data), separators=(",", ":"), allow_nan=False)
        with self._changed:
            if self._queued.size + self._taken.size < LIMIT:
                self._queued.events.append((event, data))
            else:
                self._lose(event)
            self._changed.notify()

    def put_cursor(self, reader: str, cursor: StoredCursor | None) -> None:
        """None forgets it. Written with the next transaction, or within LAZY_S."""
        with self._changed:
            self._queued.cursors[reader] = cursor
            self._changed.notify()

    def prune(self, upto: int, wanted: Iterable[int] = ()) -> None:
        """Forgets the events up to this position, but for those at the wanted ones."""
        with self._changed:
            self._queued.prune = upto, frozenset(wanted)
            self._changed.notify()

    async def settled(self) -> None:
        """Returns when all that was queued before is committed. StateError when the disk refuses: it is tried again, so
        what was queued may be committed later."""
        loop = asyncio.get_running_loop()
        with self._changed:
            if self._stopping:
                raise StateError("The server's state is closed.")
            if not (self._queued.size or self._taken.writes):
                return
            future = loop.create_future()
            self._queued.waiters.append(future)
            self._changed.notify()
        await future

    # Reading

    async def read(self, query: Query[T]) -> T:
        """What `query` returns, run on the store's thread after all that was queued before. It may not write."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._stopping:
                raise StateError("The server's state is closed.")
            self._queued.reads.append((future, query))
            self._changed.notify()
        return await future

    @property
    def head(self) -> int:
        """Position of the last event that is committed. Readers may not have been told of it yet."""
        return self._head

    @property
    def survives(self) -> bool:
        """Whether what is committed is there again after the process has ended."""
        return self.path is not None

    @property
    def waiting(self) -> int:
        """Events and changes of rooms that are not committed yet."""
        return self._queued.size + self._taken.size

    def _lose(self, event: Event) -> None:
        """The events that do not fit become one gap at the end of the queue, which counts them."""
        self.lost += 1
        # Its number is used up: the room counts on from there after a restart.
        self._queued.lost[event.room, event.instance] = event.sequence
        if self.lost == 1:
            log.error("Events are lost: %d changes of the state wait for the disk already.", LIMIT)
        dropped = 1
        if self._queued.events and self._queued.events[-1][0].type == GAP:
            dropped += self._queued.events.pop()[0].data["dropped"]
        gap = Event("", f"gap/{event.instance}", event.sequence, GAP, None, event.time, {"dropped": dropped})
        self._queued.events.append((gap, json.dumps(gap.data)))

    # The thread

    def _run(self) -> None:
        while self._take():
            batch, last = self._taken, False
            while not (committed := self._attempt(batch)) and not last:
                last = self._wait_to_retry()
            for future, query in batch.reads:
                self._answer(future, query)
            if committed:
                with self._changed:
                    self._taken = _Batch()
                    self._kept -= {name for name, room in batch.rooms.items() if room is None}
        if self.waiting:
            log.error("The server ends with %d changes of its state that the disk did not take.", self.waiting)

    def _take(self) -> bool:
        """Waits for work and takes all there is; False at the end."""
        with self._changed:
            deadline: float | None = None
            while not self._queued.urgent and not self._stopping:
                if self._queued.lazy and deadline is None:
                    deadline = time.monotonic() + LAZY_S
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            if self._taken.writes:
                return False  # the last attempt of a store that stops has failed
            self._taken, self._queued = self._queued, _Batch()
            self._kept.update(self._taken.rooms)
            return self._taken.urgent or self._taken.lazy

    def _attempt(self, batch: _Batch) -> bool:
        """Writes the batch and tells the loop; False when the disk refused."""
        try:
            placed = self._write(batch) if batch.writes else []
        except Exception as error:  # a defect, too, must not end the thread: whoever waits would wait forever
            self._fail(batch, error)
            return False
        if self.failing:
            self.failing = False
            log.warning("The state is written again.")
        self.commits += batch.writes
        waiters, batch.waiters = batch.waiters, []
        self._in_loop(self._tell, placed, waiters)
        return True

    def _wait_to_retry(self) -> bool:
        """Meanwhile reads are answered, and new waiters refused with the next attempt. True when the store stops."""
        deadline = time.monotonic() + RETRY_S
        while True:
            with self._changed:
                left = deadline - time.monotonic()
                if self._stopping or left <= 0:
                    waiters, self._queued.waiters = self._queued.waiters, []
                    self._taken.waiters += waiters
                    return self._stopping
                self._changed.wait(left)
                reads, self._queued.reads = self._queued.reads, []
            for future, query in reads:
                self._answer(future, query)

    def _write(self, batch: _Batch) -> list[Placed]:
        """One transaction. sqlite3.Error: nothing of it was written."""
        connection = self._connection
        placed = [(position, event) for position, (event, _) in enumerate(batch.events, self._head + 1)]
        rows = [_event_row(position, *item) for position, item in enumerate(batch.events, self._head + 1)]
        if self.failing and placed and self._last_position() == placed[-1][0]:
            self._head = placed[-1][0]  # the disk reported a fault after it had kept the transaction
            return placed
        try:
            connection.execute("BEGIN IMMEDIATE")
            gone = [(name,) for name in batch.rooms if name in batch.replaced]
            connection.executemany("DELETE FROM rooms WHERE name = ?", gone)
            connection.executemany("DELETE FROM facts WHERE room = ?", gone)
            connection.executemany(_PUT_ROOM, (_room_row(room) for room in batch.rooms.values() if room))
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany(_COUNT, _last_sequences(batch))
            for key, value in batch.facts.items():
                if value is None:
                    connection.execute("DELETE FROM facts WHERE room = ? AND kind = ? AND user = ?", key)
                else:
                    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (*key, value))
            for reader, cursor in batch.cursors.items():
                connection.execute("DELETE FROM cursors WHERE reader = ?", (reader,))
                if cursor is not None:
                    row = reader, cursor.position, cursor.dropped
                    connection.execute("INSERT INTO cursors VALUES (?, ?, ?)", row)
            if batch.prune is not None:
                self._prune(*batch.prune)
            connection.execute("COMMIT")
        except Exception:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if placed:
            self._head = placed[-1][0]
        return placed

    def _prune(self, upto: int, wanted: frozenset[int]) -> None:
        """The newest event stays in any case: it says where the log has come to."""
        rows = self._connection.execute("SELECT position FROM events WHERE position <= ?", (min(upto, self._head - 1),))
        gone = [(position,) for (position,) in rows.fetchall() if position not in wanted]
        self._connection.executemany("DELETE FROM events WHERE position = ?", gone)
        self._connection.execute("UPDATE about SET value = ? WHERE name = 'pruned'", (str(upto),))

    def _fail(self, batch: _Batch, error: Exception) -> None:
        if not self.failing:
            self.failing = True
            defect = None if isinstance(error, sqlite3.Error) else error
            log.error("The state cannot be written, and is tried again: %s.", error, exc_info=defect)
        waiters, batch.waiters = batch.waiters, []
        self._in_loop(_refuse_all, waiters, f"The server's state cannot be written: {error}.")

    def _answer(self, future: asyncio.Future[T], query: Query[T]) -> None:
        try:
            result = query(self._connection)
        except Exception as error:  # whatever it is, it belongs to who asked
            self._in_loop(_resolve, future, None, error)
        else:
            self._in_loop(_resolve, future, result, None)

    def _in_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody in it waits
            self._loop.call_soon_threadsafe(function, *arguments)

    def _tell(self, placed: list[Placed], waiters: list[asyncio.Future[None]]) -> None:
        for future in waiters:
            if not future.done():
                future.set_result(None)
        if placed:
            for function in self.on_commit:
                function(placed)

    def _last_position(self) -> int:
        (position,) = self._connection.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
        return int(position)

    def _about(self, name: str) -> Any:
        return self._connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()[0]


def event_of(row: Sequence[Any]) -> Placed:
    """From a row of the table of events, all columns."""
    position, room, instance, sequence, type_, user, when, data = row
    return position, Event(room, instance, sequence, type_, user, when, json.loads(data))


def _event_row(position: int, event: Event, data: str) -> tuple[Any, ...]:
    return position, event.room, event.instance, event.sequence, event.type, event.user, event.time, data


def _room_row(room: StoredRoom) -> tuple[Any, ...]:
    return room.name, room.instance, room.revision, room.sequence, room.document


def _last_sequences(batch: _Batch) -> list[tuple[int, str, str]]:
    """Where the numbering of each room has come to."""
    last = {(event.room, event.instance): event.sequence for event, _ in batch.events} | batch.lost
    return [(sequence, room, instance) for (room, instance), sequence in last.items()]


def _resolve(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _refuse(future: asyncio.Future[Any], why: str) -> None:
    _resolve(future, None, StateError(why))


def _refuse_all(futures: Iterable[asyncio.Future[Any]], why: str) -> None:
    for future in futures:
        _refuse(future, why)


def _open(path: str | None) -> sqlite3.Connection:
    """The database, locked for this process and of our schema. StateError."""
    try:
        if path is not None:
            # Names of rooms and users are in it: for the server's own user alone.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = ":memory:" if path is None else os.path.abspath(path)
        connection = sqlite3.connect(database, timeout=0, isolation_level=None, check_same_thread=False)
    except OSError as error:
        raise StateError(f"The state file {path} cannot be opened: {error.strerror}.") from None
    except (sqlite3.Error, ValueError) as error:
        raise StateError(f"The state file {path} cannot be opened: {error}.") from None
    try:
        _prepare(connection, path)
    except StateError:
        connection.close()
        raise
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StateError(f"The state file {path} is in use by another process.") from None
        raise StateError(f"The state file {path} cannot be used: {error}.") from None
    except sqlite3.Error as error:
        connection.close()
        raise StateError(f"The state file {path} is damaged or not a database: {error}.") from None
    return connection


def _prepare(connection: sqlite3.Connection, path: str | None) -> None:
    # Exclusive before the first access: then the lock stays ours, and the log needs no shared memory.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN IMMEDIATE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != APPLICATION_ID and (tables or application or version):
        raise StateError(f"The file {path} is a database, but not the state of a media server.")
    if version > SCHEMA_VERSION:
        raise StateError(f"The state file {path} was written by a newer version of the server.")
    if not tables:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO about VALUES ('id', ?), ('pruned', '0')", (secrets.token_hex(8),))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    (told,) = connection.execute("SELECT count(*) FROM about WHERE name IN ('id', 'pruned')").fetchone()
    if verdict != "ok" or told != 2:
        raise StateError(f"The state file {path} is damaged.")
    # Last, so that a file which is refused is as it was.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
