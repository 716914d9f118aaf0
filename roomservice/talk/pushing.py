"""Who of some users is offline, and is pushed to."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from roomservice.commit import Job
from roomservice.interface import Storage


@dataclass(frozen=True, slots=True)
class Pushed:
    """mark: the same when the same thing is pushed again."""

    event: str
    data: Mapping[str, object]
    mark: str


async def push_jobs(storage: Storage, users: Collection[str], what: Pushed, now: float) -> tuple[Job, ...]:
    """Unavailable."""
    if not users:
        return ()
    online = {session.user for session in await storage.sessions_of(users) if session.until > now}
    return tuple(
        Job("push", f"push:{what.mark}:{user}", {"user": user, "event": what.event, "data": what.data}, now)
        for user in users
        if user not in online
    )
