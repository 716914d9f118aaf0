"""Who is there: sessions of devices, who is told of them, and what becomes of who is gone.

Rules held here
- A session is a device that is there. It lasts while it is refreshed, by the instance that has its socket or by
  heartbeats over HTTP; who has one is online. One that is over stays until it is swept; what refreshes it before saves
  it.
- A device has one session: a newer one ends the older. By the policy `replace` so does another device's.
- A user's sessions begin and end one after another: each is a commit with the next revision of his document
  (KIND), so that of two that end at once the second finds that it is the last.
- Whose last session ends, however it does, is lost to the rooms that he is in; whose first begins is back. His rooms
  hear of it before the session is gone from the store, so that a crash between loses no sign; and who has told
  something looks again, until it was true when it had been told.
- An instance that ends takes no session away: its clients come to another one, or to its successor.
"""

import asyncio
import random
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol
from weakref import WeakValueDictionary

from roomservice.commit import Commit, Event, Session, SessionChange, Subscription, Write, user_stream
from roomservice.engine import Engine, TooBusy
from roomservice.interface import Conflict
from roomservice.settings import DevicePolicy, ServiceSettings

KIND = "presence"
"""Document of a user: empty, and its revision says how often his sessions have changed."""

SESSION_ENDED, PRESENCE_CHANGED = "session_ended", "presence_changed"

MISSED = 3
"""Heartbeats that may be missed. Fewer loses clients whose network pauses, more keeps the dead online for longer."""

MAX_SESSIONS = 16
"""Of one user at a time; the oldest ends for a new one."""

ATTEMPTS = 20
"""To change the sessions of a user whose other devices come and go at other instances at the same time."""

PAUSE_S = 0.02
"""Before the second, on average; longer before each further one."""

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
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def tell(self, signs: Signs) -> None:
        """These, too, from now on."""
        self._signs.append(signs)

    # ---- sessions

    async def begin(self, user: str, device: str, data: Mapping[str, object] | None = None) -> Session:
        """TooBusy."""
        async with self._turn(user):
            for attempt in range(ATTEMPTS):
                now = self._clock()
                revision, known = await self._look(user)
                session = Session(uuid.uuid4().hex, user, device, self._instance, now, self._until(now), data or {})
                ended = self._replaced(session, known)
                remain = [*(one for one in known if one not in ended), session]
                for gone in {one.device for one in ended} - {device}:
                    for signs in self._signs:
                        await signs.lost(user, gone, last=False)
                try:
                    await self._commit(user, revision, remain, ended, session)
                except Conflict:
                    await _pause(attempt)
                    continue
                for signs in self._signs:
                    await signs.back(user, device)
                await self._until_true(user, device, revision + 1)
                return session
        raise TooBusy

    async def beat(self, user: str, device: str) -> None:
        """A sign of life over HTTP: for who has no socket, a session of its own."""
        for session in await self._engine.storage.sessions_of([user]):
            if session.device == device and (not session.data.get("http") or await self.refresh([session])):
                return
        await self.begin(user, device, {"http": True})

    async def refresh(self, sessions: Sequence[Session]) -> frozenset[str]:
        """Ids of those that there are still."""
        if not sessions:
            return frozenset()
        return await self._engine.storage.refresh_sessions([one.id for one in sessions], self._until(self._clock()))

    async def expire(self, session: Session) -> None:
        """One that was over when it was looked for, and is still."""
        await self.end(session, "expired", alive=False)

    async def end(self, session: Session, reason: str, *, alive: bool = True) -> None:
        """Nothing happens when it has ended before; nor, if not alive, when it has been refreshed. TooBusy."""
        user, device = session.user, session.device
        async with self._turn(user):
            for attempt in range(ATTEMPTS):
                revision, known = await self._look(user)
                its = next((one for one in known if one.id == session.id), None)
                if its is None or (not alive and its.until > self._clock()):
                    return
                remain = [one for one in known if one is not its]
                await self._sign(user, device, remain)
                try:
                    await self._commit(user, revision, remain, [session], reason=reason)
                except Conflict:
                    await _pause(attempt)
                    continue
                await self._until_true(user, device, revision + 1)
                return
        raise TooBusy

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

    def _turn(self, user: str) -> asyncio.Lock:
        return self._turns.setdefault(user, asyncio.Lock())

    async def _look(self, user: str) -> tuple[int, Sequence[Session]]:
        """The revision before the sessions: a commit of this one finds a conflict if they have changed since. Those
        that are over are among them: they end yet, each in its turn."""
        kept = await self._engine.storage.load(KIND, user, 0)
        return 0 if kept is None else kept.revision, await self._engine.storage.sessions_of([user])

    async def _sign(self, user: str, device: str, there: Collection[Session]) -> None:
        """What is to be heard of the device that came or went. Of the others, too, that they are there: another
        instance that knew less may have told otherwise."""
        devices = {one.device for one in there}
        for signs in self._signs:
            if device not in devices:
                await signs.lost(user, device, last=not devices)
            for one in sorted(devices):
                await signs.back(user, one)

    async def _until_true(self, user: str, device: str, told: int) -> None:
        """told: the revision of which was told."""
        while True:
            revision, there = await self._look(user)
            if revision == told:
                return
            await self._sign(user, device, there)
            told = revision

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
        revision: int,
        remain: Sequence[Session],
        ended: Sequence[Session],
        begun: Session | None = None,
        *,
        reason: str = "replaced",
    ) -> None:
        """revision: that was looked at. Conflict when it has changed."""
        events = [
            Event(user_stream(user), SESSION_ENDED, {"session": one.id, "device": one.device, "reason": reason})
            for one in ended
        ]
        said = {"user": user, "online": bool(remain), "devices": sorted({one.device for one in remain})}
        events.append(Event(presence_stream(user), PRESENCE_CHANGED, said))
        changes = [SessionChange(one, False) for one in ended]
        if begun is not None:
            changes.append(SessionChange(begun))
        write = Write(KIND, user, revision or None, "{}")
        await self._engine.commit(Commit(writes=(write,), events=tuple(events), sessions=tuple(changes)))


async def _pause(attempt: int) -> None:
    """Longer each time, and not as long as the others'."""
    await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_S * (attempt + 1))
