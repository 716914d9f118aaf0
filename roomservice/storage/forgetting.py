"""What a database keeps no longer. Numbers go on: the streams' rows stay."""

from sqlalchemy import Column, ColumnElement, Table, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from roomservice.storage.numbering import counter
from roomservice.storage.retention import Retention
from roomservice.storage.tables import events, messages, record_users, records, streams
from roomservice.storage.types import KEY_LENGTH, Key

AT_ONCE = 200
"""Streams, conversations or records of which some is forgotten in one transaction. More is done sooner, and keeps
others waiting longer."""


async def forget(connection: AsyncConnection, retention: Retention, now: float) -> int:
    """Some of it, and how much that was."""
    prefix = counter("")
    conversation = func.substr(streams.c.stream, len(prefix) + 1, type_=Key(KEY_LENGTH))
    is_counter = streams.c.stream.startswith(prefix, autoescape=True)
    gone = await _old(connection, events, events.c.seq, now - retention.events_s)
    gone += await _old(connection, messages, messages.c.number, now - retention.messages_s)
    gone += await _many(connection, events.c.stream, events.c.seq, streams.c.stream, retention.events)
    gone += await _many(
        connection, messages.c.conversation, messages.c.number, conversation, retention.messages, is_counter
    )
    return gone + await _records(connection, now - retention.records_s)


async def _old(connection: AsyncConnection, table: Table, number: Column[int], before: float) -> int:
    of = table.primary_key.columns[0]
    query = select(of, func.max(number)).where(table.c.at <= before).group_by(of).limit(AT_ONCE)
    gone = 0
    for name, until in (await connection.execute(query)).all():
        gone += (await connection.execute(delete(table).where(of == name, number <= until))).rowcount
    return gone


async def _many(
    connection: AsyncConnection,
    of: Column[str],
    number: Column[int],
    name: ColumnElement[str],
    most: int,
    *chosen: ColumnElement[bool],
) -> int:
    """What is more than so many, of each that has a row in `streams`."""
    first = exists().where(of == name, number <= streams.c.last - most)
    query = select(name, streams.c.last).where(streams.c.last > most, *chosen, first).limit(AT_ONCE)
    gone = 0
    for one, last in (await connection.execute(query)).all():
        gone += (await connection.execute(delete(of.table).where(of == one, number <= last - most))).rowcount
    return gone


async def _records(connection: AsyncConnection, before: float) -> int:
    old = select(records.c.kind, records.c.id).where(records.c.at <= before).limit(AT_ONCE)
    gone = 0
    for kind, id in (await connection.execute(old)).all():
        his = (record_users.c.kind == kind, record_users.c.id == id)
        await connection.execute(delete(record_users).where(*his))
        gone += (await connection.execute(delete(records).where(records.c.kind == kind, records.c.id == id))).rowcount
    return gone
