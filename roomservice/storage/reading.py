"""What is read of a database."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import func, literal_column, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from roomservice.commit import Events, Kept, KeptMessage, KeptRecord, Numbered, Session, Visits
from roomservice.storage.tables import (
    document_parts,
    documents,
    followers,
    marks,
    messages,
    record_users,
    records,
    room_infos,
    room_visits,
    sessions,
    streams,
)
from roomservice.storage.tables import events as told


async def documents_of(
    connection: AsyncConnection, kind: str, ids: Collection[str], known: Mapping[str, int]
) -> Sequence[Kept]:
    """known: revisions of which neither body nor parts are read."""
    current = list[Kept]()
    if any(known.values()):
        query = select(documents.c.id, documents.c.revision).where(documents.c.kind == kind)
        rows = await connection.execute(query.where(documents.c.id.in_(list(known))))
        current = [Kept(kind, row.id, row.revision, "") for row in rows if row.revision == known[row.id]]
    others = set(ids) - {kept.id for kept in current}
    return [*current, *(await _whole(connection, kind, others) if others else ())]


async def _whole(connection: AsyncConnection, kind: str, ids: Collection[str]) -> Sequence[Kept]:
    """One statement, since each has its own view of what is committed; a part has revision 0."""
    heads = select(documents.c.id, documents.c.id.label("name"), documents.c.revision, documents.c.body)
    parts = select(document_parts.c.id, document_parts.c.name, literal_column("0"), document_parts.c.body)
    whole = union_all(
        heads.where(documents.c.kind == kind, documents.c.id.in_(list(ids))),
        parts.where(document_parts.c.kind == kind, document_parts.c.id.in_(list(ids))),
    )
    found, of = list[Any](), defaultdict[str, dict[str, str]](dict)
    for row in await connection.execute(whole):
        if row.revision:
            found.append(row)
        else:
            of[row.id][row.name] = row.body
    return [Kept(kind, row.id, row.revision, row.body, of[row.id]) for row in found]


async def rooms(connection: AsyncConnection, number: int, size: int, status: int | None, search: str) -> Sequence[str]:
    query = select(room_infos.c.id)
    if status is not None:
        query = query.where(room_infos.c.status == status)
    if search:
        query = query.where(func.lower(room_infos.c.title).contains(search.lower(), autoescape=True))
    query = query.order_by(room_infos.c.created_at.desc(), room_infos.c.id).offset((number - 1) * size).limit(size)
    return list((await connection.execute(query)).scalars())


async def media_rooms(
    connection: AsyncConnection, after: tuple[str, str] | None, limit: int
) -> Sequence[tuple[str, str]]:
    query = select(documents.c.kind, documents.c.id).where(documents.c.media.is_(True))
    if after is not None:
        kind, id = after
        query = query.where((documents.c.kind > kind) | ((documents.c.kind == kind) & (documents.c.id > id)))
    rows = await connection.execute(query.order_by(documents.c.kind, documents.c.id).limit(limit))
    return [(row.kind, row.id) for row in rows]


async def visits(connection: AsyncConnection, rooms: Collection[str]) -> Mapping[str, Visits]:
    query = select(room_visits.c.room, func.sum(room_visits.c.visits).label("pv"), func.count().label("uv"))
    query = query.where(room_visits.c.room.in_(list(rooms))).group_by(room_visits.c.room)
    known = {row.room: Visits(int(row.pv), int(row.uv)) for row in await connection.execute(query)}
    return {room: known.get(room, Visits()) for room in rooms}


# ---- what was told


async def events_of(connection: AsyncConnection, stream: str, after: int, limit: int) -> Events:
    query = select(told).where(told.c.stream == stream, told.c.seq > after).order_by(told.c.seq).limit(limit)
    last = (await last_of(connection, [stream]))[stream]  # before: what comes between is read, too
    found = tuple(_numbered(row) for row in await connection.execute(query))
    complete = found[0].seq == after + 1 if found else after == last
    return Events(found, complete)


def _numbered(row: Any) -> Numbered:
    return Numbered(row.stream, row.seq, row.at, row.name, json.loads(row.data), row.except_device)


async def last_of(connection: AsyncConnection, names: Collection[str]) -> Mapping[str, int]:
    rows = await connection.execute(select(streams).where(streams.c.stream.in_(list(names))))
    known = {row.stream: row.last for row in rows}
    return {name: known.get(name, 0) for name in names}


async def streams_of(connection: AsyncConnection, user: str) -> Mapping[str, int]:
    query = select(followers.c.stream, followers.c.since).where(followers.c.user == user)
    return {row.stream: row.since for row in await connection.execute(query)}


async def followers_of(connection: AsyncConnection, stream: str) -> Sequence[str]:
    query = select(followers.c.user).where(followers.c.stream == stream).order_by(followers.c.user)
    return list((await connection.execute(query)).scalars())


async def messages_of(
    connection: AsyncConnection, conversation: str, before: int | None, limit: int
) -> Sequence[KeptMessage]:
    query = select(messages).where(messages.c.conversation == conversation)
    if before is not None:
        query = query.where(messages.c.number < before)
    rows = await connection.execute(query.order_by(messages.c.number.desc()).limit(limit))
    return [_message(row) for row in rows]


async def message(connection: AsyncConnection, conversation: str, id: str) -> KeptMessage | None:
    query = select(messages).where(messages.c.conversation == conversation, messages.c.id == id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else _message(row)


def _message(row: Any) -> KeptMessage:
    data = json.loads(row.data)
    return KeptMessage(row.conversation, row.number, row.id, row.by, row.type, data, row.at, bool(row.recalled))


async def marks_of(connection: AsyncConnection, user: str, conversations: Collection[str]) -> Mapping[str, int]:
    query = select(marks).where(marks.c.user == user, marks.c.conversation.in_(list(conversations)))
    known = {row.conversation: row.number for row in await connection.execute(query)}
    return {conversation: known.get(conversation, 0) for conversation in conversations}


async def records_of(
    connection: AsyncConnection, user: str, kind: str, before: float | None, limit: int
) -> Sequence[KeptRecord]:
    his = record_users
    query = select(records).join(his, (his.c.kind == records.c.kind) & (his.c.id == records.c.id))
    query = query.where(his.c.user == user, his.c.kind == kind)
    if before is not None:
        query = query.where(his.c.at < before)
    rows = await connection.execute(query.order_by(his.c.at.desc(), his.c.id.desc()).limit(limit))
    return [KeptRecord(row.kind, row.id, row.at, json.loads(row.data)) for row in rows]


# ---- who is there


async def sessions_of(connection: AsyncConnection, users: Collection[str]) -> Sequence[Session]:
    rows = await connection.execute(select(sessions).where(sessions.c.user.in_(list(users))))
    return [_session(row) for row in rows]


async def expired_sessions(connection: AsyncConnection, now: float, limit: int) -> Sequence[Session]:
    query = select(sessions).where(sessions.c.until <= now).order_by(sessions.c.until).limit(limit)
    return [_session(row) for row in await connection.execute(query)]


def _session(row: Any) -> Session:
    return Session(row.id, row.user, row.device, row.instance, row.since, row.until, json.loads(row.data))
