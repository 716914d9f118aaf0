"""Timers and jobs of a database: who gets which, for how long.

Rows that somebody else has under his hand are left to him (SKIP LOCKED: PostgreSQL, MySQL 8, MariaDB 10.6); SQLite
has one writer at a time anyway.
"""

import json
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import and_, bindparam, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from roomservice.commit import Due, Leased
from roomservice.model.effects import Timer, What
from roomservice.storage.tables import jobs, timers


async def lease_timers(connection: AsyncConnection, now: float, limit: int, lease_s: float) -> Sequence[Due]:
    query = select(timers).where(timers.c.due <= now).order_by(timers.c.due).limit(limit)
    rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
    if rows:
        one = and_(
            timers.c.kind == bindparam("a"),
            timers.c.id == bindparam("b"),
            timers.c.what == bindparam("c"),
            timers.c.of == bindparam("d"),
        )
        leased = [{"a": row.kind, "b": row.id, "c": row.what, "d": row.of} for row in rows]
        await connection.execute(update(timers).where(one).values(due=now + lease_s), leased)
    return [Due(row.kind, row.id, Timer(What(row.what), row.of), row.deadline) for row in rows]


async def lease_jobs(
    connection: AsyncConnection,
    now: float,
    limit: int,
    lease_s: float,
    *,
    keys: Collection[str] | None,
    without: Collection[str],
) -> Sequence[Leased]:
    chosen = [jobs.c.due <= now if keys is None else jobs.c.key.in_(list(keys))]
    if without:
        chosen.append(jobs.c.kind.not_in(sorted(without)))
    query = select(jobs).where(*chosen, jobs.c.leased_until <= now).order_by(jobs.c.due).limit(limit)
    rows = (await connection.execute(query.with_for_update(skip_locked=True))).all()
    found = [
        Leased(row.kind, row.key, json.loads(row.payload), row.due, row.attempts, row.version, str(uuid.uuid4()))
        for row in rows
    ]
    if found:
        leased = [{"which": one.key, "by": one.lease} for one in found]
        change = update(jobs).where(jobs.c.key == bindparam("which"))
        await connection.execute(change.values(lease=bindparam("by"), leased_until=now + lease_s), leased)
    return found


async def finish(connection: AsyncConnection, leased: Leased) -> bool:
    his = and_(jobs.c.key == leased.key, jobs.c.lease == leased.lease)
    done = await connection.execute(delete(jobs).where(his, jobs.c.version == leased.version))
    if done.rowcount == 1:
        return True
    await connection.execute(update(jobs).where(his).values(leased_until=0.0))
    return False


async def put_off(connection: AsyncConnection, leased: Leased, due: float) -> None:
    his = and_(jobs.c.key == leased.key, jobs.c.lease == leased.lease)
    values = {"leased_until": 0.0, "attempts": leased.attempts + 1, "due": due}
    done = await connection.execute(update(jobs).where(his, jobs.c.version == leased.version).values(**values))
    if done.rowcount != 1:
        await connection.execute(update(jobs).where(his).values(leased_until=0.0))


async def next_due(connection: AsyncConnection) -> float | None:
    waits = case((jobs.c.leased_until > jobs.c.due, jobs.c.leased_until), else_=jobs.c.due)
    found = [
        (await connection.execute(select(func.min(timers.c.due)))).scalar_one(),
        (await connection.execute(select(func.min(waits)))).scalar_one(),
    ]
    return min((float(one) for one in found if one is not None), default=None)
