"""Tables make and upgrade themselves, whatever there was before."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import TypeAdapter
from sqlalchemy import Connection, insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.engine import Engine
from roomservice.interface import Unavailable
from roomservice.model import listing
from roomservice.model.attendance import Enter, Lost
from roomservice.model.effects import Elapsed, Timer, What
from roomservice.model.listing import ListedRoom, Listing
from roomservice.model.room import Room, Settings, UserInfo
from roomservice.storage.migrating import migrate
from roomservice.storage.sql import SqlStorage, address
from roomservice.storage.tables import metadata, room_infos
from tests import databases

NOW = 1767323045.0


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without any tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/rooms.db"
    program: databases.Program = request.getfixturevalue(request.param)
    await databases.without_tables(program.url)
    return program.url


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_the_steps_lead_to_the_tables_that_the_service_knows(url: str) -> None:
    storage = SqlStorage(url)
    await storage.start()
    await storage.start()
    await storage.close()
    engine = create_async_engine(address(url))
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_of_instances_that_start_at_once_one_makes_the_tables(url: str) -> None:
    storages = [SqlStorage(url) for _ in range(4)]
    await asyncio.gather(*(storage.start() for storage in storages))
    for storage in storages:
        assert await storage.ready()
        await storage.close()


async def test_a_new_file_that_another_writes_to_is_waited_for(tmp_path: Path) -> None:
    """Although SQLite itself does not wait where the journal's mode is to change."""
    with closing(sqlite3.connect(tmp_path / "rooms.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE others (id TEXT)")
        storage = SqlStorage(f"sqlite:///{tmp_path}/rooms.db")
        starting = asyncio.create_task(storage.start())
        await asyncio.wait([starting], timeout=0.2)
        assert not starting.done()
        other.execute("COMMIT")
        await starting
        assert await storage.ready()
        await storage.close()


async def test_all_steps_are_made_or_none(tmp_path: Path) -> None:
    """Lest another instance finds some of them, and makes the others as well."""
    with closing(sqlite3.connect(tmp_path / "rooms.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE events (id TEXT)")  # which the second step makes
        storage = SqlStorage(f"sqlite:///{tmp_path}/rooms.db")
        with pytest.raises(Unavailable):
            await storage.start()
        assert other.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("events",)]
        other.execute("DROP TABLE events")
        await storage.start()
        await storage.close()


async def test_rooms_from_before_there_were_documents_go_on(url: str) -> None:
    """With who is in them, their timers and their revision."""
    made = listing.create(Listing("r", "Jäzz", "ann", 0.0, 0.0), Settings(away_grace_s=10.0), UserInfo("Ann"), NOW)[0]
    for command in (Enter("bob"), Lost("bob")):
        made, _ = listing.apply(made, command, NOW)
    engine = create_async_engine(address(url))
    async with engine.connect() as connection:
        await migrate(connection, "0001")
        shown = {"id": "r", "listing": TypeAdapter(Listing).dump_json(made.listing).decode(), "revision": 3}
        shown["room"] = TypeAdapter(Room).dump_json(made.room).decode()
        room_state = text(
            "INSERT INTO room_states (id, revision, listing, room) VALUES (:id, :revision, :listing, :room)"
        )
        await connection.execute(room_state, shown)
        await connection.execute(insert(room_infos).values(id="r", title="Jäzz", status=0))
        await connection.commit()
    await engine.dispose()

    storage = SqlStorage(url)
    await storage.start()
    rooms = Engine(storage, LocalBus(), lambda: NOW + 10)
    assert await rooms.read(ROOM, "r") == made
    assert await storage.rooms(1, 10, search="jä") == ["r"]
    assert await storage.media_rooms(None, 10) == [("room", "r")]
    assert sorted(await storage.followers("room:r")) == ["ann", "bob"]
    (due,) = await storage.due_timers(NOW + 10, 10, 30.0)
    assert due.timer == Timer(What.AWAY, "bob")
    await rooms.fire(due)
    after: ListedRoom = listing.apply(made, Elapsed(due.timer), NOW + 10)[0]
    (kept,) = await storage.load_many("room", ["r"])
    assert ROOM.read(kept) == after
    assert [set(json.loads(part)) for part in kept.parts.values()] == [{"ann"}]
    await storage.close()


async def test_tables_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/rooms.db"
    storage = SqlStorage(url)
    await storage.start()
    await storage.close()
    engine = create_async_engine(address(url))
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    storage = SqlStorage(url)
    with pytest.raises(ValueError, match="of another version"):
        await storage.start()
    await storage.close()
