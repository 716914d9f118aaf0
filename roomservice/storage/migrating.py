"""Tables make and upgrade themselves when an instance starts; of several that start at once, one does and the others
wait."""

import asyncio
from pathlib import Path
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from roomservice.interface import Unavailable

LOCK = 0x726F6F6D
"""Any number that no other program locks."""

LOCK_S = 50

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
"""Alembic's context belongs to the process, so one at a time; a lock belongs to a loop."""


async def migrate(connection: AsyncConnection, revision: str = "head") -> None:
    """ValueError, with a sentence, when a newer version of the service has made the tables; Unavailable."""
    try:
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await _locked(connection, revision)
    except CommandError as error:
        raise ValueError(f"The tables are of another version of the service: {error}") from None


async def _locked(connection: AsyncConnection, revision: str) -> None:
    kind = connection.dialect.name
    if kind in ("mysql", "mariadb"):
        got = (await connection.execute(text(f"SELECT GET_LOCK('roomservice', {LOCK_S})"))).scalar_one()
        if got != 1:
            raise Unavailable("Another instance is upgrading the tables.")
        await connection.rollback()
        try:
            await connection.run_sync(_upgrade, revision)
            await connection.commit()
        finally:
            await asyncio.shield(connection.execute(text("SELECT RELEASE_LOCK('roomservice')")))
        return
    if kind == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    elif kind == "sqlite":
        await connection.begin()  # one for all steps, before it is looked which are missing: Alembic makes one for each
    await connection.run_sync(_upgrade, revision)
    await connection.commit()


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
