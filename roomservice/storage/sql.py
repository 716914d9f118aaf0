"""In a database, by SQLAlchemy's async engine: SQLite, PostgreSQL (12), MySQL (8) or MariaDB (10.6), or newer ones.

What of it is where: tables.py, types.py (what there is), committing.py (how it changes), due.py (timers and jobs),
reading.py (how it is read), forgetting.py (what is kept no longer), migrating.py and migrations/ (how tables come
about). Here: connections, transactions, and what becomes of errors.
"""

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from sqlite3 import SQLITE_BUSY, OperationalError
from typing import Any

from sqlalchemy import URL, event, insert, make_url, select, text, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import await_only

from roomservice.commit import (
    Commit,
    Due,
    Events,
    Kept,
    KeptMessage,
    KeptRecord,
    Leased,
    Numbered,
    Session,
    Visits,
)
from roomservice.interface import Unavailable
from roomservice.storage import due, forgetting, reading
from roomservice.storage.committing import AT_ONCE, Again, carry_out
from roomservice.storage.migrating import migrate
from roomservice.storage.retention import Retention
from roomservice.storage.tables import engagements, room_visits, sessions, users

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mariadb+aiomysql",
}

CONNECT_S = 5.0
OPERATION_S = 10.0
"""After so long the database cannot be reached. Less gives up where it is only slow, more keeps clients waiting."""

START_S = 60.0
"""For the tables, which another instance may be upgrading."""

CONNECTIONS = 10
"""Of one instance, at most. More does more at a time, and leaves less of the database to other instances."""

CLOSE_S = 1.0
"""For a database's thread to end."""

ATTEMPTS = 10
"""Of a commit that the database gave up for another."""

# PostgreSQL: serialization_failure, deadlock_detected, lock_not_available. MySQL: lock wait timeout, deadlock, and what
# MariaDB says of a row that was changed since it was read.
_AGAIN_STATES = {"40001", "40P01", "55P03"}
_AGAIN_NUMBERS = {1205, 1213, 1020}


def address(url: str) -> URL:
    """With its driver. ArgumentError."""
    made = make_url(url)
    return made.set(drivername=DRIVERS.get(made.drivername, made.drivername))


def _join_threads() -> None:
    """aiosqlite's, of connections that did not come about: each has one more answer to give to the event loop."""
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(CLOSE_S)


class SqlStorage:
    """url: of SQLAlchemy's; without a driver, the one of DRIVERS. ArgumentError, NoSuchModuleError,
    ModuleNotFoundError."""

    def __init__(self, url: str, retention: Retention | None = None) -> None:
        self._retention = retention or Retention()
        where, options = address(url), dict[str, Any]()
        kind = where.get_backend_name()
        if kind == "sqlite":
            options["connect_args"] = {"timeout": CONNECT_S}
        elif kind == "postgresql":
            options["connect_args"] = {"timeout": CONNECT_S, "command_timeout": OPERATION_S}
        else:
            options |= {"connect_args": {"connect_timeout": CONNECT_S}, "isolation_level": "READ COMMITTED"}
        self._engine = create_async_engine(
            where,
            pool_pre_ping=kind != "sqlite",
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=OPERATION_S,
            **options,
        )
        self._writing = self._engine.execution_options(writes=True)
        if kind == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _on_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_on_sqlite)

    async def start(self) -> None:
        """ValueError, with a sentence, when a newer version of the service has made the tables."""
        async with self._in_time(START_S), self._writing.connect() as connection:
            await migrate(connection)

    async def close(self) -> None:
        await self._engine.dispose()
        await asyncio.to_thread(_join_threads)

    async def ready(self) -> bool:
        try:
            async with self._reading() as connection:
                await connection.execute(text("SELECT 1"))
        except Unavailable:
            return False
        return True

    # ---- what is true

    async def load(self, kind: str, id: str, known: int = 0) -> Kept | None:
        found = await self.load_many(kind, [id], {id: known})
        return found[0] if found else None

    async def load_many(
        self, kind: str, ids: Collection[str], known: Mapping[str, int] | None = None
    ) -> Sequence[Kept]:
        async with self._reading() as connection:
            return await reading.documents_of(connection, kind, ids, known or {})

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        for attempt in range(ATTEMPTS):
            try:
                async with self._transaction() as connection:
                    return await carry_out(connection, commit, now)
            except Again:
                await asyncio.sleep(random.uniform(0.5, 1.5) * 0.01 * (attempt + 1))
        raise Unavailable("The database gave up the same change too often.")

    async def rooms(self, number: int, size: int, status: int | None = None, search: str = "") -> Sequence[str]:
        async with self._reading() as connection:
            return await reading.rooms(connection, number, size, status, search)

    async def media_rooms(self, after: tuple[str, str] | None, limit: int) -> Sequence[tuple[str, str]]:
        async with self._reading() as connection:
            return await reading.media_rooms(connection, after, limit)

    async def visit(self, room: str, user: str) -> None:
        his = (room_visits.c.room == room, room_visits.c.user == user)
        for _ in range(ATTEMPTS):
            try:
                async with self._transaction() as connection:
                    visits = room_visits.c.visits + 1
                    counted = await connection.execute(update(room_visits).where(*his).values(visits=visits))
                    if counted.rowcount != 1:
                        await connection.execute(insert(room_visits).values(room=room, user=user, visits=1))
            except (IntegrityError, Again):  # of two first visits at once, one is the second
                continue
            return

    async def visits(self, rooms: Collection[str]) -> Mapping[str, Visits]:
        async with self._reading() as connection:
            return await reading.visits(connection, rooms)

    # ---- what was told

    async def events(self, stream: str, after: int, limit: int) -> Events:
        async with self._reading() as connection:
            return await reading.events_of(connection, stream, after, limit)

    async def last(self, streams: Collection[str]) -> Mapping[str, int]:
        async with self._reading() as connection:
            return await reading.last_of(connection, streams)

    async def streams_of(self, user: str) -> Mapping[str, int]:
        async with self._reading() as connection:
            return await reading.streams_of(connection, user)

    async def followers(self, stream: str) -> Sequence[str]:
        async with self._reading() as connection:
            return await reading.followers_of(connection, stream)

    async def messages(self, conversation: str, before: int | None, limit: int) -> Sequence[KeptMessage]:
        async with self._reading() as connection:
            return await reading.messages_of(connection, conversation, before, limit)

    async def message(self, conversation: str, id: str) -> KeptMessage | None:
        async with self._reading() as connection:
            return await reading.message(connection, conversation, id)

    async def marks(self, user: str, conversations: Collection[str]) -> Mapping[str, int]:
        async with self._reading() as connection:
            return await reading.marks_of(connection, user, conversations)

    async def records(self, user: str, kind: str, before: float | None, limit: int) -> Sequence[KeptRecord]:
        async with self._reading() as connection:
            return await reading.records_of(connection, user, kind, before, limit)

    # ---- who is there

    async def sessions_of(self, users: Collection[str]) -> Sequence[Session]:
        async with self._reading() as connection:
            return await reading.sessions_of(connection, users)

    async def refresh_sessions(self, sessions_: Collection[str], until: float) -> frozenset[str]:
        async with self._transaction() as connection:
            chosen = sessions.c.id.in_(list(sessions_))
            await connection.execute(update(sessions).where(chosen).values(until=until))
            return frozenset((await connection.execute(select(sessions.c.id).where(chosen))).scalars())

    async def expired_sessions(self, now: float, limit: int) -> Sequence[Session]:
        async with self._reading() as connection:
            return await reading.expired_sessions(connection, now, limit)

    async def engagement(self, user: str) -> str | None:
        async with self._reading() as connection:
            query = select(engagements.c.call).where(engagements.c.user == user)
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
            return found

    # ---- what is to be done

    async def due_timers(self, now: float, limit: int, lease_s: float) -> Sequence[Due]:
        async with self._transaction() as connection:
            return await due.lease_timers(connection, now, limit, lease_s)

    async def due_jobs(
        self,
        now: float,
        limit: int,
        lease_s: float,
        keys: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Sequence[Leased]:
        async with self._transaction() as connection:
            return await due.lease_jobs(connection, now, limit, lease_s, keys=keys, without=without)

    async def finish_job(self, leased: Leased) -> bool:
        async with self._transaction() as connection:
            return await due.finish(connection, leased)

    async def retry_job(self, leased: Leased, due_: float) -> None:
        async with self._transaction() as connection:
            await due.put_off(connection, leased, due_)

    async def next_due(self) -> float | None:
        async with self._reading() as connection:
            return await due.next_due(connection)

    async def forget(self, now: float) -> int:
        async with self._transaction() as connection:
            return await forgetting.forget(connection, self._retention, now)

    # ---- users

    async def password_of(self, user: str) -> str | None:
        async with self._reading() as connection:
            query = select(users.c.password).where(users.c.id == user)
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
            return found

    async def known_users(self, names: Collection[str]) -> frozenset[str]:
        """Which of them there are."""
        wanted, found = list(names), list[str]()
        async with self._reading() as connection:
            for first in range(0, len(wanted), AT_ONCE):
                query = select(users.c.id).where(users.c.id.in_(wanted[first : first + AT_ONCE]))
                found += (await connection.execute(query)).scalars()
        return frozenset(found)

    async def add_user(self, user: str, password_hash: str) -> bool:
        """Whether there was none of this name."""
        try:
            async with self._transaction() as connection:
                await connection.execute(insert(users).values(id=user, password=password_hash))
        except IntegrityError:
            return False
        return True

    # ---- connections

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._in_time(OPERATION_S), self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        """Again when it may succeed another time; Unavailable."""
        async with self._in_time(OPERATION_S), self._writing.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _in_time(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except IntegrityError:
            raise
        except DataError as error:
            raise ValueError(f"The database does not take this: {error.orig}") from None
        except DBAPIError as error:
            if _is_worth_another(error):
                raise Again from None
            raise Unavailable("The database cannot be reached.") from error
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise Unavailable("The database cannot be reached.") from error


def _is_worth_another(error: DBAPIError) -> bool:
    original = error.orig
    if getattr(original, "sqlstate", None) in _AGAIN_STATES:
        return True
    return bool(original and original.args and original.args[0] in _AGAIN_NUMBERS)


def _on_sqlite(connection: Any, _: object) -> None:
    """Readers do not wait for the writer (WAL), and what is committed stays when the machine fails."""
    connection.isolation_level = None  # BEGIN is ours, below
    connection.create_function("lower", 1, _lower)
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Where several open a new file at once, SQLite turns all of them away but one, and does not wait (a reader that
    would become the only writer could wait for ever): who was turned away looks again whether it is done."""
    deadline = time.monotonic() + CONNECT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        await_only(asyncio.sleep(random.uniform(0.005, 0.02)))


def _lower(value: object) -> object:
    """SQLite's own knows the letters of ASCII alone."""
    return value.lower() if isinstance(value, str) else value


def _begin_on_sqlite(connection: Any) -> None:
    """A transaction that writes says so at once: it waits for the one before it, rather than fail in the middle."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
