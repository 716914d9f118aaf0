"""Who of some users is offline, and is pushed to."""

from collections.abc import Collection, Mapping

from roomservice.commit import Job
from roomservice.interface import Storage


async def push_jobs(
    storage: Storage, users: Collection[str], event: str, data: Mapping[str, object], mark: str, now: float
) -> tuple[Job, ...]:
    """mark: the same when the same thing is pushed again. Unavailable."""
    if not users:
        return ()
    online = {session.user for session in await storage.sessions_of(users)}
    return tuple(
        Job("push", f"push:{mark}:{user}", {"user": user, "event": event, "data": data}, now)
        for user in users
        if user not in online
    )
