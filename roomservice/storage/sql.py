"""In a database, by SQLAlchemy's async engine. Tables that are missing are made at the start."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Select, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from roomservice.interface import Conflict, Listing, Stored
from roomservice.meeting import meeting_json
from roomservice.model.room import Room
from roomservice.storage.tables import metadata, room_infos, room_states, room_visits, users

_LISTING = TypeAdapter(Listing)
_ROOM = TypeAdapter(Room)


class SqlStorage:
    """url: of SQLAlchemy's, with an async driver: sqlite+aiosqlite:///rooms.db."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(url, pool_pre_ping=True)

    async def start(self) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._engine.dispose()

    # ---- rooms

    async def add(self, listing: Listing, room: Room) -> Stored:
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(room_infos).values(id=listing.id, **_columns(listing, room)))
                await connection.execute(insert(room_states).values(id=listing.id, revision=0, **_json(listing, room)))
        except IntegrityError:
            raise Conflict from None
        return Stored(listing, room)

    async def get(self, room: str) -> Stored | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(_rooms().where(room_states.c.id == room))).one_or_none()
        return None if row is None else _stored(row)

    async def page(self, number: int, size: int, status: int | None = None) -> Sequence[Stored]:
        query = _rooms().join(room_infos, room_infos.c.id == room_states.c.id)
        if status is not None:
            query = query.where(room_infos.c.status == status)
        query = query.order_by(room_infos.c.created_at.desc(), room_infos.c.id)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(query.offset((number - 1) * size).limit(size))).all()
        return [_stored(row) for row in rows]

    async def save(self, stored: Stored) -> Stored:
        listing, room, revision = stored.listing, stored.room, stored.revision
        async with self._engine.begin() as connection:
            changed = await connection.execute(
                update(room_states)
                .where(room_states.c.id == listing.id, room_states.c.revision == revision)
                .values(revision=revision + 1, **_json(listing, room))
            )
            if changed.rowcount != 1:
                raise Conflict
            await connection.execute(
                update(room_infos).where(room_infos.c.id == listing.id).values(**_columns(listing, room))
            )
        return replace(stored, revision=revision + 1)

    async def delete(self, room: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(room_infos).where(room_infos.c.id == room))
            await connection.execute(delete(room_states).where(room_states.c.id == room))
            await connection.execute(delete(room_visits).where(room_visits.c.room == room))

    async def visit(self, room: str, user: str) -> None:
        if await self._visit_again(room, user):
            return
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(room_visits).values(room=room, user=user, visits=1))
        except IntegrityError:  # of two first visits at once, one is the second
            await self._visit_again(room, user)

    async def _visit_again(self, room: str, user: str) -> bool:
        async with self._engine.begin() as connection:
            counted = await connection.execute(
                update(room_visits)
                .where(room_visits.c.room == room, room_visits.c.user == user)
                .values(visits=room_visits.c.visits + 1)
            )
        return counted.rowcount == 1

    async def ready(self) -> bool:
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            return False
        return True

    # ---- users

    async def password_of(self, user: str) -> str | None:
        async with self._engine.connect() as connection:
            return await _scalar(connection, select(users.c.password).where(users.c.id == user))

    async def add_user(self, user: str, password_hash: str) -> bool:
        """Whether there was none of this name."""
        try:
            async with self._engine.begin() as connection:
                await connection.execute(insert(users).values(id=user, password=password_hash))
        except IntegrityError:
            return False
        return True


async def _scalar(connection: AsyncConnection, query: Select[Any]) -> str | None:
    found = (await connection.execute(query)).scalar_one_or_none()
    return None if found is None else str(found)


def _rooms() -> Select[Any]:
    of_room = room_visits.c.room == room_states.c.id
    pv = select(func.coalesce(func.sum(room_visits.c.visits), 0)).where(of_room).scalar_subquery()
    uv = select(func.count()).select_from(room_visits).where(of_room).scalar_subquery()
    return select(room_states.c.listing, room_states.c.room, room_states.c.revision, pv.label("pv"), uv.label("uv"))


def _stored(row: Any) -> Stored:
    listing, room = _LISTING.validate_json(row.listing), _ROOM.validate_json(row.room)
    return Stored(listing, room, row.revision, int(row.pv), int(row.uv))


def _json(listing: Listing, room: Room) -> dict[str, str]:
    return {"listing": _LISTING.dump_json(listing).decode(), "room": _ROOM.dump_json(room).decode()}


def _columns(listing: Listing, room: Room) -> dict[str, object]:
    return {
        "created_at": _moment(listing.created_at),
        "updated_at": _moment(listing.updated_at),
        "title": listing.title,
        "anchor": listing.anchor,
        "extends": listing.extends,
        "status": listing.status,
        "mode": listing.mode,
        "chat_id": listing.chat_id,
        "pk_id": "",
        "notice": listing.notice,
        "meeting_id": listing.id,
        "cover_url": listing.cover_url,
        "anchor_id": room.host,
        "anchor_nick": listing.anchor_nick,
        "vod_id": "",
        "meeting_info": meeting_json(room),
        "started_at": _moment(listing.started_at),
        "stopped_at": _moment(listing.stopped_at),
    }


def _moment(time: float | None) -> datetime | None:
    """UTC, without saying so: as MySQL's datetime has it."""
    return None if time is None else datetime.fromtimestamp(time, UTC).replace(tzinfo=None)
