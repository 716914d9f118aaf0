"""What goes on without being asked for, in every instance: timers that run out, jobs of the outbox, sessions that ended
without a word, and what is kept no longer.

The storage says what there is to do, and gives each piece to one instance at a time. Nothing is remembered here: an
instance that is killed leaves what it was doing to the others, and to its next start.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine

from roomservice.commit import Session
from roomservice.engine import Engine, TooBusy
from roomservice.interface import Engaged, Unavailable
from roomservice.outbox import Outbox

log = logging.getLogger(__name__)

POLL_S = 1.0
"""How late what another instance has set can be. Less costs queries while there is nothing to do."""

TIMER_LEASE_S = 10.0

SWEEP_S = 2.0
"""Between looks for sessions that are over."""

LATE_S = 10.0
"""After so long without a look, sessions may be over only because nobody could refresh them: the storage was away, or
this process."""

OTHERS_S = 15.0
"""For other instances to refresh theirs then, longer than one may wait for a storage that is away (OPERATION_S of
storage/sql.py). More keeps the dead online."""

RETENTION_S = 60.0
"""Between looks for what is kept no longer."""

PAGE = 100

Lost = Callable[[Session], Awaitable[None]]
"""What to do about a session that ended without a word. It is called again until a commit has taken the session away,
perhaps by several instances at once."""


class Runner:
    """lost: without it, sessions stay."""

    def __init__(self, engine: Engine, outbox: Outbox, lost: Lost | None = None) -> None:
        self._engine = engine
        self._outbox = outbox
        self._lost = lost
        self._tasks: list[asyncio.Task[None]] = []
        self._looked = self._sweeps_from = 0.0

    def start(self) -> None:
        self._looked = time.monotonic()
        self._spawn(self._for_ever(self._due, 0.0))
        self._spawn(self._for_ever(self._forget, RETENTION_S))
        if self._lost is not None:
            self._spawn(self._for_ever(self._sweep, SWEEP_S))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _due(self) -> None:
        self._outbox.woken.clear()
        now = self._engine.clock()
        timers = await self._engine.storage.due_timers(now, PAGE, TIMER_LEASE_S)
        await asyncio.gather(*(self._guarded(self._engine.fire(due)) for due in timers))
        jobs = await self._outbox.due()
        if timers or jobs:
            return
        next_due = await self._engine.storage.next_due()
        wait_s = POLL_S if next_due is None else min(POLL_S, next_due - self._engine.clock())
        try:
            async with asyncio.timeout(max(wait_s, 0.01)):
                await self._outbox.woken.wait()
        except TimeoutError:
            return

    async def _sweep(self) -> None:
        assert self._lost is not None
        sessions = await self._engine.storage.expired_sessions(self._engine.clock(), PAGE)
        now = time.monotonic()
        if now - self._looked > LATE_S:
            self._sweeps_from = now + OTHERS_S
        self._looked = now
        if now < self._sweeps_from:
            return
        reached = await asyncio.gather(*(self._guarded(self._lost(session)) for session in sessions))
        self._looked = time.monotonic() if all(reached) else -math.inf

    async def _forget(self) -> None:
        while await self._engine.storage.forget(self._engine.clock()):
            log.debug("Events were forgotten.")

    async def _guarded(self, work: Awaitable[None]) -> bool:
        """Whether the storage could be reached. One that fails is no matter of the others'; it comes again."""
        try:
            await work
        except Unavailable as error:
            log.warning("%s", error)
            return False
        except (TooBusy, Engaged) as error:
            log.warning("%s", error or "Too many change the document at once.")
        except Exception:
            log.exception("This will be tried again.")
        return True

    async def _for_ever(self, do: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            try:
                await do()
                await asyncio.sleep(pause_s)
            except Unavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(POLL_S)
            except Exception:
                log.exception("The service goes on.")
                await asyncio.sleep(POLL_S)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
