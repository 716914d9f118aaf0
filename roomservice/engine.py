"""Changes documents: reads one, applies the model, commits it with everything that comes of it, and then sees to it.

Of two changes at once, one finds the revision changed and is applied anew. After the commit nothing can be lost: what
this process does not come to, another one or the next does.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from roomservice.aggregates import AGGREGATES, Aggregate
from roomservice.commit import Commit, Due, Kept, Numbered, TimerChange, Write
from roomservice.interface import Bus, Conflict, Storage
from roomservice.model.effects import Effect, Elapsed, Timer, What
from roomservice.outcome import commit_of

log = logging.getLogger(__name__)

S = TypeVar("S")

ATTEMPTS = 20
"""To write a document that other instances write, too. More helps only where so many do that they should not."""

PAUSE_S = 0.02
"""Before the second attempt, on average; longer before each further one."""

REMEMBERED = 1000
"""Documents, as they were read last: one that has not changed is not parsed again."""


class NotFound(LookupError):
    """There is no such document."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"There is no such {kind}.")
        self.kind = kind
        self.id = id


class TooBusy(Exception):
    """Too many change the document at once."""


@dataclass(frozen=True, slots=True)
class Changed(Generic[S]):
    """before: None of what is new. events: as they were told."""

    before: S | None
    after: S
    effects: Sequence[Effect]
    revision: int
    events: Sequence[Numbered] = ()


class Outbox(Protocol):
    """Sees to jobs and timers that a commit has made."""

    async def committed(self, commit: Commit) -> None:
        """Does what can be done at once. Never raises, and does not wait for long."""
        ...


Commands = Callable[[S], Iterable[Any]]
Also = Callable[[S, S], Commit]
"""What else goes into the commit, of the state before and after."""


class Engine:
    """clock: Unix time in s."""

    def __init__(
        self,
        storage: Storage,
        bus: Bus,
        clock: Callable[[], float],
        aggregates: Mapping[str, Aggregate[Any]] = AGGREGATES,
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.aggregates = aggregates
        self._bus = bus
        self._outbox: Outbox | None = None
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._known: dict[tuple[str, str], tuple[int, Any]] = {}
        self._following_up: set[asyncio.Task[None]] = set()

    def attach(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def stop(self) -> None:
        """What was committed is published yet."""
        if self._following_up:
            await asyncio.wait(self._following_up)

    # ---- documents

    async def read(self, aggregate: Aggregate[S], id: str) -> S:
        """NotFound, Unavailable."""
        return (await self._load(aggregate, id))[1]

    async def read_many(self, aggregate: Aggregate[S], ids: Sequence[str]) -> list[S]:
        """Those that there are, in this order. Unavailable."""
        known = {id: self._known[aggregate.kind, id] for id in ids if (aggregate.kind, id) in self._known}
        revisions = {id: revision for id, (revision, _) in known.items()}
        found = {kept.id: kept for kept in await self.storage.load_many(aggregate.kind, ids, revisions)}
        return [self._parsed(aggregate, found[id], known.get(id)) for id in ids if id in found]

    async def create(
        self, aggregate: Aggregate[S], id: str, outcome: tuple[S, Sequence[Effect]], also: Commit | None = None
    ) -> Changed[S]:
        """Conflict when there is one of this id; Engaged, Unavailable."""
        state, effects = outcome
        commit = commit_of(aggregate, id, None, before=None, after=state, done=effects, now=self.clock()) + (
            also or Commit()
        )
        events = await self.commit(commit)
        self._remember((aggregate.kind, id), 1, state)
        return Changed(None, state, effects, 1, events)

    async def change(
        self, aggregate: Aggregate[S], id: str, commands: Commands[S], also: Also[S] | None = None
    ) -> Changed[S]:
        """All of the commands, which may look at the state that they change, or none. Illegal of the model; NotFound,
        Engaged, TooBusy, Unavailable."""
        changed, commit = await self._changed(aggregate, id, commands, also)
        if commit is None:
            return changed
        return await self._seen_to(commit, changed)

    async def remove(
        self,
        aggregate: Aggregate[S],
        id: str,
        check: Callable[[S], None] | None = None,
        along: Sequence[Aggregate[Any]] = (),
    ) -> S:
        """What it was. check: may raise, and nothing happens then. along: what else goes that has this id. NotFound,
        TooBusy, Unavailable."""
        for attempt in range(ATTEMPTS):
            revision, state = await self._load(aggregate, id)
            if check is not None:
                check(state)
            gone = {aggregate.kind: revision}
            for other in along:
                with suppress(NotFound):
                    gone[other.kind], _ = await self._load(other, id)
            try:
                await self.commit(Commit(writes=tuple(Write(kind, id, last, None) for kind, last in gone.items())))
            except Conflict:
                await _pause(attempt)
                continue
            for kind in gone:
                self._known.pop((kind, id), None)
            return state
        raise TooBusy

    async def commit(self, commit: Commit) -> Sequence[Numbered]:
        """Of what is no document's change, too. Conflict, Engaged, Unavailable."""
        events = await self.storage.commit(commit, self.clock())
        await self._follow_up(commit, events)
        return events

    async def fire(self, due: Due) -> None:
        """What comes of a timer that has run out; it is dropped in the same commit. Unavailable."""
        drop = TimerChange(due.kind, due.id, due.timer, None, only=due.deadline)
        aggregate = self.aggregates.get(due.kind)
        if aggregate is None:
            log.error("There is a timer of a %s, which nothing here knows.", due.kind)
            await self.storage.commit(Commit(timers=(drop,)), self.clock())
            return
        try:
            if due.timer == Timer(What.FORGET):
                await self.remove(aggregate, due.id)
                await self.storage.commit(Commit(timers=(drop,)), self.clock())
                return
            changed, commit = await self._changed(aggregate, due.id, lambda _: [Elapsed(due.timer)], None, drop)
        except NotFound:
            await self.storage.commit(Commit(timers=(drop,)), self.clock())
            return
        assert commit is not None
        await self._seen_to(commit, changed)

    # ----

    async def _load(self, aggregate: Aggregate[S], id: str) -> tuple[int, S]:
        """NotFound, Unavailable."""
        known = self._known.get((aggregate.kind, id))
        kept = await self.storage.load(aggregate.kind, id, known[0] if known else 0)
        if kept is None:
            raise NotFound(aggregate.kind, id)
        return kept.revision, self._parsed(aggregate, kept, known)

    def _parsed(self, aggregate: Aggregate[S], kept: Kept, known: tuple[int, S] | None) -> S:
        """known: what was known when it was asked for."""
        state = known[1] if known is not None and known[0] == kept.revision else aggregate.read(kept)
        self._remember((kept.kind, kept.id), kept.revision, state)
        return state

    async def _changed(
        self,
        aggregate: Aggregate[S],
        id: str,
        commands: Commands[S],
        also: Also[S] | None,
        drop: TimerChange | None = None,
    ) -> tuple[Changed[S], Commit | None]:
        """Committed; no commit where nothing has changed. drop: a timer that goes in any case, unless it is set
        anew."""
        key = (aggregate.kind, id)
        for attempt in range(ATTEMPTS):
            async with self._turns.setdefault(key, asyncio.Lock()):
                revision, before = await self._load(aggregate, id)
                now, effects, after = self.clock(), list[Effect](), before
                for command in commands(before):
                    after, done = aggregate.apply(after, command, now)
                    effects += done
                commit = commit_of(aggregate, id, revision, before=before, after=after, done=effects, now=now)
                if also is not None:
                    commit += also(before, after)
                if drop is not None:
                    commit = Commit(timers=(drop,)) + commit
                elif after == before and commit == Commit(writes=commit.writes):
                    return Changed(before, after, effects, revision), None
                try:
                    events = await self.storage.commit(commit, now)
                except Conflict:
                    log.debug("%s %s was changed by another instance meanwhile.", *key)
                else:
                    self._remember(key, revision + 1, after)
                    return Changed(before, after, effects, revision + 1, events), commit
            await _pause(attempt)
        raise TooBusy

    async def _seen_to(self, commit: Commit, changed: Changed[S]) -> Changed[S]:
        await self._follow_up(commit, changed.events)
        return changed

    async def _follow_up(self, commit: Commit, events: Sequence[Numbered]) -> None:
        """Even if who asked does not wait for it any more."""
        task = asyncio.create_task(self._see_to(commit, events))
        self._following_up.add(task)
        task.add_done_callback(self._following_up.discard)
        await asyncio.shield(task)

    async def _see_to(self, commit: Commit, events: Sequence[Numbered]) -> None:
        """The media first: who is told that he has a seat can publish at once."""
        if self._outbox is not None and (commit.jobs or commit.timers):
            await self._outbox.committed(commit)
        if events:
            await self._bus.publish(events)

    def _remember(self, key: tuple[str, str], revision: int, state: Any) -> None:
        self._known.pop(key, None)
        self._known[key] = (revision, state)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


async def _pause(attempt: int) -> None:
    """Longer each time, and not as long as the others'."""
    await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_S * (attempt + 1))
