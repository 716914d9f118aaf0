"""The outbox: jobs that commits have left to be done outside, each by the handler of its kind.

Rules held here
- A job is leased, done, and then taken out. Of a crash between, it is done again by whoever comes to it when the lease
  is over; so what a handler does may happen twice, and has to be the same then.
- Who commits a job tries it at once, and waits for it a moment. What could not be done waits longer each time.
- A job whose lease was lost meanwhile, or that was asked for anew, is done again: what is done last has been read last.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
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
"""Jobs that one instance does at the same time."""

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
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failing: set[str] = set()
        self.woken = asyncio.Event()

    async def committed(self, commit: Commit) -> None:
        """Never raises, and waits FIRST_S at most; not at all for jobs of a kind that fails."""
        keys = {job.key for job in commit.jobs if job.due <= self._clock()}
        until = time.monotonic() + FIRST_S
        try:
            while keys and time.monotonic() < until:
                keys = await self._first(keys, until)
        except Unavailable as error:
            log.warning("%s", error)
        self.woken.set()

    async def _first(self, keys: set[str], until: float) -> set[str]:
        """Those that are to be tried again: their job was under way here, perhaps since before the commit."""
        leased = await self._storage.due_jobs(self._clock(), len(keys), LEASE_S, keys)
        for job in leased:
            self._begin(job)
        tasks = {key: self._running[key] for key in keys if key in self._running}
        hopeful = [task for task in tasks.values() if task.get_name() not in self._failing]
        if hopeful:
            await asyncio.wait(hopeful, timeout=max(0.0, until - time.monotonic()))
        return {key for key, task in tasks.items() if task in hopeful} - {job.key for job in leased}

    async def due(self) -> int:
        """Begins what is due; how much that is. Unavailable."""
        free = AT_ONCE - len(self._running)
        leased = await self._storage.due_jobs(self._clock(), free, LEASE_S) if free > 0 else ()
        for job in leased:
            self._begin(job)
        return len(leased)

    async def stop(self) -> None:
        """What is under way ends, soon."""
        tasks = list(self._running.values())
        if tasks:
            await asyncio.wait(tasks, timeout=FIRST_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, leased: Leased) -> asyncio.Task[None]:
        task = self._running[leased.key] = asyncio.create_task(self._do(leased), name=leased.kind)
        task.add_done_callback(lambda _: self._ended(leased.key, task))
        return task

    def _ended(self, key: str, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _do(self, leased: Leased) -> None:
        async with self._turns:
            try:
                await self._try(leased)
            except Unavailable as error:  # the lease will be over
                log.warning("%s", error)
            except Exception:
                log.exception("The job %s could not be seen to.", leased.key)

    async def _try(self, leased: Leased) -> None:
        handler = self._handlers.get(leased.kind)
        if handler is None:
            log.error("Nothing here knows how to do the job %s.", leased.key)
            await self._later(leased)
            return
        try:
            async with asyncio.timeout(JOB_S):
                await handler.do(leased)
        except (MediaError, PushError, TimeoutError) as error:
            if leased.attempts + 1 >= handler.attempts:
                log.warning("The job %s is given up: %s", leased.key, error)
                await self._storage.finish_job(leased)
                return
            log.warning("%s It will be tried again.", error or f"The job {leased.key} took too long.")
            await self._later(leased)
        except Exception:
            log.exception("The job %s failed.", leased.key)
            await self._later(leased)
        else:
            self._failing.discard(leased.kind)
            if not await self._storage.finish_job(leased) and handler.state:
                await self._again(leased)

    async def _later(self, leased: Leased) -> None:
        self._failing.add(leased.kind)
        now = self._clock()
        wait_s = min(AGAIN_AT_MOST_S, AGAIN_S * 2 ** min(leased.attempts, 10))
        await self._storage.retry_job(leased, now + wait_s)

    async def _again(self, leased: Leased) -> None:
        now = self._clock()
        await self._storage.commit(Commit(jobs=(Job(leased.kind, leased.key, leased.payload, now),)), now)
        self.woken.set()
