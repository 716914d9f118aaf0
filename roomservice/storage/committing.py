"""A commit, in one transaction of a database.

Locks are taken in one order, so that commits wait for each other and do not block each other: documents, engagements,
timers, jobs and the like, and the streams' rows last, sorted: who has those numbers his events, and is done soon.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, bindparam, case, delete, insert, literal_column, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from roomservice.commit import Commit, Engagement, Numbered, RoomInfo, Write
from roomservice.interface import Conflict, Engaged
from roomservice.storage.numbering import Outcome, counted, number
from roomservice.storage.tables import (
    document_parts,
    documents,
    engagements,
    events,
    followers,
    jobs,
    marks,
    messages,
    record_users,
    records,
    room_infos,
    room_visits,
    sessions,
    streams,
    timers,
)
from roomservice.storage.upserts import New, upsert

AT_ONCE = 1000
"""Names in a statement: databases take 32,000 at most."""


class Again(Exception):
    """Somebody came between; the same commit may succeed now."""


async def carry_out(connection: AsyncConnection, commit: Commit, now: float) -> Sequence[Numbered]:
    """Conflict, Engaged, Again: the transaction is to be rolled back."""
    for write in sorted(commit.writes, key=lambda write: (write.kind, write.id)):
        await _write(connection, write)
    await _engage(connection, commit.engagements)
    await _set_timers(connection, commit)
    await _put_jobs(connection, commit)
    await _set_marks(connection, commit)
    await _keep_records(connection, commit, now)
    await _change_sessions(connection, commit)
    return await _tell(connection, commit, now)


# ---- documents


async def _write(connection: AsyncConnection, write: Write) -> None:
    if write.revision is None:
        row = {"kind": write.kind, "id": write.id, "revision": 1, "body": write.body, "media": write.media}
        try:
            await connection.execute(insert(documents).values(**row))
        except IntegrityError:
            raise Conflict from None
    else:
        known = (documents.c.kind == write.kind, documents.c.id == write.id, documents.c.revision == write.revision)
        if write.body is None:
            done = await connection.execute(delete(documents).where(*known))
        else:
            values = {"revision": write.revision + 1, "body": write.body, "media": write.media}
            done = await connection.execute(update(documents).where(*known).values(**values))
        if done.rowcount != 1:
            raise Conflict
    await _write_parts(connection, write)
    if write.info is not None:
        row = columns(write.info)
        await upsert(connection, room_infos, [row], lambda new: {name: new[name] for name in row if name != "id"})
    elif write.body is None and write.kind == "room":
        await connection.execute(delete(room_infos).where(room_infos.c.id == write.id))
        await connection.execute(delete(room_visits).where(room_visits.c.room == write.id))


async def _write_parts(connection: AsyncConnection, write: Write) -> None:
    its = (document_parts.c.kind == write.kind, document_parts.c.id == write.id)
    if write.body is None:
        await connection.execute(delete(document_parts).where(*its))
        return
    gone = [name for name, body in write.parts.items() if body is None]
    for first in range(0, len(gone), AT_ONCE):
        chosen = document_parts.c.name.in_(gone[first : first + AT_ONCE])
        await connection.execute(delete(document_parts).where(*its, chosen))
    there = [
        {"kind": write.kind, "id": write.id, "name": name, "body": body}
        for name, body in write.parts.items()
        if body is not None
    ]
    await upsert(connection, document_parts, there, lambda new: {"body": new["body"]})


def columns(info: RoomInfo) -> dict[str, object]:
    """Of `room_infos`."""
    return {
        "id": info.id,
        "created_at": _moment(info.created_at),
        "updated_at": _moment(info.updated_at),
        "title": _text(info.title),
        "anchor": _text(info.anchor),
        "extends": _text(info.extends),
        "status": info.status,
        "mode": info.mode,
        "chat_id": info.chat_id,
        "pk_id": "",
        "notice": _text(info.notice),
        "meeting_id": info.id,
        "cover_url": _text(info.cover_url),
        "anchor_id": _text(info.anchor_id),
        "anchor_nick": _text(info.anchor_nick),
        "vod_id": "",
        "meeting_info": info.meeting_info,
        "started_at": _moment(info.started_at),
        "stopped_at": _moment(info.stopped_at),
    }


def _moment(time: float | None) -> datetime | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).replace(tzinfo=None)


def _text(said: str) -> str:
    """PostgreSQL's text has no character 0; the document keeps it."""
    return said.replace("\0", "\N{REPLACEMENT CHARACTER}")


# ---- what comes of it


async def _engage(connection: AsyncConnection, changes: Sequence[Engagement]) -> None:
    for one in sorted((one for one in changes if not one.on), key=lambda one: one.user):
        his = (engagements.c.user == one.user, engagements.c.call == one.call)
        await connection.execute(delete(engagements).where(*his))
    wanted = {one.user: one.call for one in changes if one.on}
    if not wanted:
        return
    await upsert(connection, engagements, [{"user": user, "call": wanted[user]} for user in sorted(wanted)])
    query = select(engagements.c.user, engagements.c.call).where(engagements.c.user.in_(sorted(wanted)))
    known = {row.user: row.call for row in await connection.execute(query.with_for_update())}
    for user, call in wanted.items():
        if user not in known:
            raise Again
        if known[user] != call:
            raise Engaged(user, known[user])


async def _set_timers(connection: AsyncConnection, commit: Commit) -> None:
    last = {(one.kind, one.id, one.timer): one for one in commit.timers}
    for change in commit.timers:
        if change.deadline is not None:
            continue
        timer = change.timer
        known = [
            timers.c.kind == change.kind,
            timers.c.id == change.id,
            timers.c.what == str(timer.what),
            timers.c.of == timer.of,
        ]
        if change.only is not None:
            known.append(timers.c.deadline == change.only)
        await connection.execute(delete(timers).where(*known))
    rows = [
        {
            "kind": one.kind,
            "id": one.id,
            "what": str(one.timer.what),
            "of": one.timer.of,
            "deadline": one.deadline,
            "due": one.deadline,
        }
        for one in last.values()
        if one.deadline is not None
    ]
    await upsert(connection, timers, rows, lambda new: {"deadline": new["deadline"], "due": new["due"]})


async def _put_jobs(connection: AsyncConnection, commit: Commit) -> None:
    rows = [
        {
            "key": job.key,
            "kind": job.kind,
            "payload": _json(job.payload),
            "due": job.due,
            "attempts": 0,
            "version": 1,
            "lease": "",
            "leased_until": 0.0,
        }
        for job in sorted({job.key: job for job in commit.jobs}.values(), key=lambda job: job.key)
    ]

    def again(new: New) -> Mapping[str, object]:
        replaced = {name: new[name] for name in ("kind", "payload", "due", "attempts")}
        return {**replaced, "version": jobs.c.version + literal_column("1")}

    await upsert(connection, jobs, rows, again)


async def _set_marks(connection: AsyncConnection, commit: Commit) -> None:
    newest: dict[tuple[str, str], int] = {}
    for mark in commit.marks:
        key = (mark.user, mark.conversation)
        newest[key] = max(mark.number, newest.get(key, 0))
    rows = [{"user": user, "conversation": talk, "number": at} for (user, talk), at in sorted(newest.items())]

    def forward(new: New) -> Mapping[str, object]:
        return {"number": case((marks.c.number > new["number"], marks.c.number), else_=new["number"])}

    await upsert(connection, marks, rows, forward)


async def _keep_records(connection: AsyncConnection, commit: Commit, now: float) -> None:
    if not commit.records:
        return
    kept = [{"kind": one.kind, "id": one.id, "at": now, "data": _json(one.data)} for one in commit.records]
    await upsert(connection, records, kept, lambda new: {"at": new["at"], "data": new["data"]})
    concerned = [
        {"user": user, "kind": one.kind, "at": now, "id": one.id} for one in commit.records for user in one.users
    ]
    await upsert(connection, record_users, concerned)


async def _change_sessions(connection: AsyncConnection, commit: Commit) -> None:
    begun = [
        {
            "id": one.session.id,
            "user": one.session.user,
            "device": one.session.device,
            "instance": one.session.instance,
            "since": one.session.since,
            "until": one.session.until,
            "data": _json(one.session.data),
        }
        for one in commit.sessions
        if one.on
    ]
    await upsert(
        connection, sessions, begun, lambda new: {name: new[name] for name in ("instance", "since", "until", "data")}
    )
    ended = [one.session.id for one in commit.sessions if not one.on]
    if ended:
        await connection.execute(delete(sessions).where(sessions.c.id.in_(ended)))


# ---- what is told


async def _tell(connection: AsyncConnection, commit: Commit, now: float) -> Sequence[Numbered]:
    last = await _lock(connection, sorted(counted(commit)))
    following = await _following(connection, commit)
    recalled = await _recall(connection, commit)
    outcome = number(commit, now, last, following, recalled)
    await _keep(connection, outcome)
    await _follow(connection, commit, last, following)
    return outcome.events


async def _lock(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    """The streams' rows, which nobody else changes before the transaction ends."""
    if not names:
        return {}
    query = select(streams).where(streams.c.stream.in_(names)).order_by(streams.c.stream).with_for_update()
    known = {row.stream: row.last for row in await connection.execute(query)}
    if missing := [name for name in names if name not in known]:
        await upsert(connection, streams, [{"stream": name, "last": 0} for name in missing])
        known = {row.stream: row.last for row in await connection.execute(query)}
    return known


async def _following(connection: AsyncConnection, commit: Commit) -> set[tuple[str, str]]:
    """Of the commit's, those that are so before. It is of one user or of one stream nearly always, so that hardly a row
    more is read than is asked for."""
    asked = {(one.user, one.stream) for one in commit.subscriptions}
    if not asked:
        return set()
    its = _named(asked)
    query = select(followers.c.user, followers.c.stream).where(*its)
    return {(row.user, row.stream) for row in await connection.execute(query)} & asked


def _named(pairs: Collection[tuple[str, str]]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Rows of a user and of a stream of these."""
    chosen_users, chosen_streams = {user for user, _ in pairs}, {stream for _, stream in pairs}
    return followers.c.user.in_(sorted(chosen_users)), followers.c.stream.in_(sorted(chosen_streams))


async def _recall(connection: AsyncConnection, commit: Commit) -> set[tuple[str, str]]:
    """Those that could not be."""
    could_not = set()
    for recall in commit.recalls:
        there = (
            messages.c.conversation == recall.conversation,
            messages.c.id == recall.id,
            messages.c.recalled.is_(False),
        )
        done = await connection.execute(update(messages).where(*there).values(data="{}", recalled=True))
        if done.rowcount != 1:
            could_not.add((recall.conversation, recall.id))
    return could_not


async def _keep(connection: AsyncConnection, outcome: Outcome) -> None:
    if outcome.events:
        rows = [
            {
                "stream": event.stream,
                "seq": event.seq,
                "at": event.at,
                "name": event.name,
                "data": _json(event.data),
                "except_device": event.except_device,
            }
            for event in outcome.events
        ]
        await connection.execute(insert(events), rows)
    if outcome.messages:
        kept = [
            {
                "conversation": one.conversation,
                "number": one.number,
                "id": one.id,
                "by": one.by,
                "type": one.type,
                "data": _json(one.data),
                "at": one.at,
                "recalled": False,
            }
            for one in outcome.messages
        ]
        try:
            await connection.execute(insert(messages), kept)
        except IntegrityError:
            raise Conflict from None
    if outcome.last:
        newest = [{"of": stream, "newest": at} for stream, at in outcome.last.items()]
        change = update(streams).where(streams.c.stream == bindparam("of")).values(last=bindparam("newest"))
        await connection.execute(change, newest)


async def _follow(
    connection: AsyncConnection, commit: Commit, last: Mapping[str, int], following: set[tuple[str, str]]
) -> None:
    changed = [one for one in commit.subscriptions if one.on != ((one.user, one.stream) in following)]
    began = [{"user": one.user, "stream": one.stream, "since": last[one.stream]} for one in changed if one.on]
    await upsert(connection, followers, began)
    ended = {(one.user, one.stream) for one in changed if not one.on}
    by_user = len({user for user, _ in ended}) < len({stream for _, stream in ended})
    its: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in ended:
        its[pair[0] if by_user else pair[1]].append(pair)
    for pairs in its.values():
        await connection.execute(delete(followers).where(*_named(pairs)))


def _json(data: Mapping[str, object]) -> str:
    return json.dumps(data, ensure_ascii=True, separators=(",", ":"))
