"""Who is there: sessions of devices, who is told of them, and what becomes of who is gone.

Rules held here
- A session is a device that is there. It lasts while it is refreshed, by the instance that has its socket or by
  heartbeats over HTTP; who has one is online.
- A device has one session: a newer one ends the older. By the policy `replace` so does another device's.
- Whose last session ends, however it does, is lost to the rooms that he is in; whose first begins is back. His rooms
  hear of it before the session is gone from the store, so that a crash between loses no sign; who finds that somebody
  has come back meanwhile says so after that.
- An instance that ends takes no session away: its clients come to another one, or to its successor.
"""

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from roomservice.commit import Commit, Event, Session, SessionChange, Subscription, user_stream
from roomservice.engine import Engine
from roomservice.settings import DevicePolicy, ServiceSettings

SESSION_ENDED, PRESENCE_CHANGED = "session_ended", "presence_changed"

MISSED = 3
"""Heartbeats that may be missed. Fewer loses clients whose network pauses, more keeps the dead online for longer."""

MAX_SESSIONS = 16
"""Of one user at a time; the oldest ends for a new one."""

MAX_WATCHED = 1000
"""Users whose presence one user follows. Each is a stream that his sockets are told of."""


class Signs(Protocol):
    """Who is told that a user is gone or back. Each may be told twice."""

    async def lost(self, user: str, device: str, *, last: bool) -> None:
        """last: he has no other device that is there."""
        ...

    async def back(self, user: str, device: str) -> None: ...


def presence_stream(user: str) -> str:
    return f"presence:{user}"


class TooManyWatchedError(Exception):
    """The user follows as many as he may."""


class Presence:
    """instance: the name of this process. clock: Unix time in s."""

    def __init__(
        self,
        engine: Engine,
        settings: ServiceSettings,
        instance: str,
        clock: Callable[[], float],
        signs: Sequence[Signs] = (),
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._instance = instance
        self._clock = clock
        self._signs = list(signs)

    def tell(self, signs: Signs) -> None:
        """These, too, from now on."""
        self._signs.append(signs)

    # ---- sessions

    async def begin(self, user: str, device: str, data: Mapping[str, object] | None = None) -> Session:
        now = self._clock()
        known = await self._there(user)
        session = Session(uuid.uuid4().hex, user, device, self._instance, now, self._until(now), data or {})
        ended = self._replaced(session, known)
        await self._commit(user, [*(one for one in known if one not in ended), session], ended, session)
        # Of two that begin at once, neither has seen the other: both see both now, and agree on who was first.
        known = await self._there(user)
        later = [one for one in known if (one.since, one.id) > (session.since, session.id)]
        ended = self._replaced(session, [one for one in known if one not in later and one.id != session.id])
        if ended:
            await self._commit(user, [one for one in known if one not in ended], ended)
        for signs in self._signs:
            await signs.back(user, device)
        return session

    async def beat(self, user: str, device: str) -> None:
        """A sign of life over HTTP: for who has no socket, a session of its own."""
        now = self._clock()
        for session in await self._there(user):
            if session.device == device:
                if session.data.get("http"):
                    await self._engine.storage.refresh_sessions([session.id], self._until(now))
                return
        await self.begin(user, device, {"http": True})

    async def refresh(self, sessions: Sequence[Session]) -> frozenset[str]:
        """Ids of those that there are still."""
        if not sessions:
            return frozenset()
        return await self._engine.storage.refresh_sessions([one.id for one in sessions], self._until(self._clock()))

    async def end(self, session: Session, reason: str) -> None:
        """Nothing happens when it has ended before."""
        known = await self._engine.storage.sessions_of([session.user])
        if all(one.id != session.id for one in known):
            return
        now = self._clock()
        others = [one for one in known if one.id != session.id and one.until > now]
        if all(one.device != session.device for one in others):
            for signs in self._signs:
                await signs.lost(session.user, session.device, last=not others)
        await self._commit(session.user, others, [session], reason=reason)
        for one in await self._there(session.user):
            if one not in others:
                for signs in self._signs:
                    await signs.back(session.user, one.device)

    async def end_device(self, user: str, device: str, reason: str) -> bool:
        """Whether there was a session of it."""
        found = [one for one in await self._engine.storage.sessions_of([user]) if one.device == device]
        for session in found:
            await self.end(session, reason)
        return bool(found)

    # ---- who is told

    async def online(self, users: Collection[str]) -> dict[str, list[Session]]:
        """Those of each user that are there; none for who is offline."""
        now = self._clock()
        found: dict[str, list[Session]] = {user: [] for user in users}
        for session in await self._engine.storage.sessions_of(found):
            if session.until > now:
                found[session.user].append(session)
        return found

    async def watch(self, user: str, others: Collection[str], on: bool) -> None:
        """His sockets follow the others' presence, or do no more; what is so already is not written. others: there are
        all of them, for each that is followed has a row that stays. TooManyWatchedError."""
        follows = await self._engine.storage.streams_of(user)
        watched = {stream for stream in follows if stream.startswith(presence_stream(""))}
        wanted = [presence_stream(other) for other in dict.fromkeys(others)]
        if on and len(watched.union(wanted)) > MAX_WATCHED:
            raise TooManyWatchedError
        changed = tuple(Subscription(user, stream, on) for stream in wanted if (stream in watched) is not on)
        if changed:
            await self._engine.commit(Commit(subscriptions=changed))

    # ----

    async def _there(self, user: str) -> list[Session]:
        now = self._clock()
        return [one for one in await self._engine.storage.sessions_of([user]) if one.until > now]

    def _until(self, now: float) -> float:
        return now + MISSED * self._settings.heartbeat_s

    def _replaced(self, session: Session, known: Sequence[Session]) -> list[Session]:
        """Which of those that there are end by this one."""
        if self._settings.devices is DevicePolicy.REPLACE:
            return list(known)
        same = [one for one in known if one.device == session.device]
        others = sorted((one for one in known if one not in same), key=lambda one: one.since)
        return [*same, *others[: max(0, len(others) + 1 - MAX_SESSIONS)]]

    async def _commit(
        self,
        user: str,
        remain: Sequence[Session],
        ended: Sequence[Session],
        begun: Session | None = None,
        *,
        reason: str = "replaced",
    ) -> None:
        events = [
            Event(user_stream(user), SESSION_ENDED, {"session": one.id, "device": one.device, "reason": reason})
            for one in ended
        ]
        said = {"user": user, "online": bool(remain), "devices": sorted({one.device for one in remain})}
        events.append(Event(presence_stream(user), PRESENCE_CHANGED, said))
        changes = [SessionChange(one, False) for one in ended]
        if begun is not None:
            changes.append(SessionChange(begun))
        await self._engine.commit(Commit(events=tuple(events), sessions=tuple(changes)))
