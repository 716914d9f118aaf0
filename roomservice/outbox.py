"""The outbox: jobs that commits have left to be done outside, each by the handler of its kind.

Rules held here
- A job is leased, done, and then taken out. Of a crash between, it is done again by whoever comes to it when the lease
  is over; so what a handler does may happen twice, and has to be the same then.
- Who commits a job tries it at once, and waits for it a moment. What could not be done waits longer each time.
- Each kind has turns of its own, so that one whose server is away keeps no other waiting. A job is leased by who has a
  turn for it, and is worked on no longer than the lease.
- A job whose lease was lost meanwhile, or that was asked for anew, is done again: what is done last has been read last.
"""

import asyncio
import logging
import math
import time
from asyncio import FIRST_COMPLETED
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from roomservice.commit import Commit, Job, Leased
from roomservice.interface import MediaError, PushError, Storage, Unavailable

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Before a job that could not be done is tried again; twice as long each further time."""

AGAIN_AT_MOST_S = 15.0

JOB_S = 20.0
"""After so long a job could not be done."""

LEASE_S = 30.0
"""Longer than a job may take. More lets the jobs of an instance that died wait, less lets two work on one."""

AT_ONCE = 32
"""Jobs of a kind that one instance does at the same time."""

JAMMED_S = 0.25
"""How long an instance without a turn waits for one before it looks for timers again."""

FIRST_S = 1.0
"""How long who has committed a job waits for it. A media server that is away costs each change of a seat so long."""


@dataclass(frozen=True, slots=True)
class Handler:
    """do: MediaError or PushError when it could not be done now. attempts: after how many it is given up. state: it
    brings something to what it shall be, so that it is always done once more when in doubt."""

    do: Callable[[Leased], Awaitable[None]]
    attempts: float = math.inf
    state: bool = False


class Outbox:
    """clock: Unix time in s."""

    def __init__(self, storage: Storage, clock: Callable[[], float], handlers: Mapping[str, Handler]) -> None:
        self._storage = storage
        self._clock = clock
        self._handlers = handlers
        self._turns = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(AT_ONCE))
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failing: set[str] = set()
        self.woken = asyncio.Event()

    async def committed(self, commit: Commit) -> None:
        """Never raises, and waits FIRST_S at most; not at all for jobs of a kind that fails."""
        keys = defaultdict[str, set[str]](set)
        for job in commit.jobs:
            if job.due <= self._clock():
                keys[job.kind].add(job.key)
        until = time.monotonic() + FIRST_S
        await asyncio.gather(*(self._first(kind, those, until) for kind, those in keys.items()))
        self.woken.set()

    async def _first(self, kind: str, keys: set[str], until: float) -> None:
        """What gets no turn in time is left to due(), and so is all of a kind that fails."""
        try:
            while keys and kind not in self._failing and time.monotonic() < until:
                keys = await self._try_first(kind, keys, until)
        except TimeoutError:
            return
        except Unavailable as error:
            log.warning("%s", error)

    async def _try_first(self, kind: str, keys: set[str], until: float) -> set[str]:
        """Those that are to be tried again: their job was under way here, perhaps since before the commit.
        TimeoutError."""
        begun: Mapping[str, asyncio.Task[None]] = {}
        if new := {key for key in keys if key not in self._running}:
            async with asyncio.timeout(until - time.monotonic()):
                await self._turns[kind].acquire()
            begun = await self._lease(kind, 1 + await self._take(kind, len(new) - 1), new)
        known = {key: self._running[key] for key in keys if key in self._running and key not in begun}
        if tasks := {*begun.values(), *known.values()}:
            await asyncio.wait(tasks, timeout=max(0.0, until - time.monotonic()))
        return set(known)

    async def due(self) -> int:
        """Begins what is due; how much that is. Waits a moment if there is no turn for any of it. Unavailable."""
        count, jammed = 0, False
        for kind in self._handlers:
            if turns := await self._take(kind, AT_ONCE):
                count += len(await self._lease(kind, turns))
            else:
                jammed = True
        if jammed and not count:
            waking = asyncio.ensure_future(self.woken.wait())
            await asyncio.wait([waking, *self._running.values()], timeout=JAMMED_S, return_when=FIRST_COMPLETED)
            waking.cancel()
        return count

    async def _take(self, kind: str, most: int) -> int:
        """How many turns were free. Does not wait."""
        for taken in range(most):
            if self._turns[kind].locked():
                return taken
            await self._turns[kind].acquire()
        return most

    async def _lease(self, kind: str, turns: int, keys: set[str] | None = None) -> dict[str, asyncio.Task[None]]:
        """Begins as many at most, and gives the turns back that are not needed. What nothing here knows how to do is of
        any kind. Unavailable."""
        until = time.monotonic() + LEASE_S
        leased: Sequence[Leased] = ()
        others = [other for other in self._handlers if other != kind]
        try:
            leased = await self._storage.due_jobs(self._clock(), turns, LEASE_S, keys, others)
        finally:
            for _ in range(turns - len(leased)):
                self._turns[kind].release()
        return {job.key: self._begin(job, kind, until) for job in leased}

    async def stop(self) -> None:
        """What is under way ends, soon."""
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=FIRST_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, leased: Leased, kind: str, until: float) -> asyncio.Task[None]:
        """It has a turn of this kind. until: when the lease is over, by time.monotonic()."""
        task = self._running[leased.key] = asyncio.create_task(self._do(leased, until), name=leased.kind)
        task.add_done_callback(lambda _: self._ended(leased.key, kind, task))
        return task

    def _ended(self, key: str, kind: str, task: asyncio.Task[None]) -> None:
        self._turns[kind].release()
        if self._running.get(key) is task:
            del self._running[key]

    async def _do(self, leased: Leased, until: float) -> None:
        left_s = until - time.monotonic()
        if left_s <= 0:
            log.warning("The job %s came too late to be done: it comes again.", leased.key)
            return
        try:
            await self._try(leased, min(JOB_S, left_s))
        except Unavailable as error:  # the lease will be over
            log.warning("%s", error)
        except Exception:
            log.exception("The job %s could not be seen to.", leased.key)

    async def _try(self, leased: Leased, within_s: float) -> None:
        handler = self._handlers.get(leased.kind)
        if handler is None:
            log.error("Nothing here knows how to do the job %s.", leased.key)
            await self._later(leased)
            return
        try:
            async with asyncio.timeout(within_s):
                await handler.do(leased)
        except (MediaError, PushError, TimeoutError) as error:
            await self._failed(leased, handler, str(error) or f"The job {leased.key} took too long.")
        except Exception:
            if leased.attempts == 0:
                log.exception("The job %s failed.", leased.key)
            await self._failed(leased, handler, f"The job {leased.key} failed.")
        else:
            self._failing.discard(leased.kind)
            if not await self._storage.finish_job(leased) and handler.state:
                await self._again(leased)

    async def _failed(self, leased: Leased, handler: Handler, why: str) -> None:
        if leased.attempts + 1 >= handler.attempts:
            log.warning("The job %s is given up: %s", leased.key, why)
            await self._storage.finish_job(leased)
        else:
            log.warning("%s It will be tried again.", why)
            await self._later(leased)

    async def _later(self, leased: Leased) -> None:
        self._failing.add(leased.kind)
        now = self._clock()
        wait_s = min(AGAIN_AT_MOST_S, AGAIN_S * 2 ** min(leased.attempts, 10))
        await self._storage.retry_job(leased, now + wait_s)

    async def _again(self, leased: Leased) -> None:
        now = self._clock()
        await self._storage.commit(Commit(jobs=(Job(leased.kind, leased.key, leased.payload, now),)), now)
        self.woken.set()
