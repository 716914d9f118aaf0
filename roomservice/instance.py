"""One instance of the service, without its edges: what is made of a storage, a bus, a media server and a push service.

Any number of them may run on the same storage and bus; none keeps anything that another needs.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from roomservice.aggregates import AGGREGATES, ROOM, Aggregate
from roomservice.commit import Leased
from roomservice.engine import Engine, NotFound
from roomservice.hub import Hub
from roomservice.interface import Bus, Media, Push, Storage
from roomservice.media_jobs import MediaJobs
from roomservice.model.attendance import Respite
from roomservice.model.effects import What
from roomservice.outbox import Handler, Outbox
from roomservice.runner import Lost, Runner

LATE_S = 5.0
"""After which a timer that has not fired says that there was no instance to fire it."""

MAX_LATE = 10_000
"""Timers that are looked at for that."""

PUSH_ATTEMPTS = 5
"""A push that comes later than these has nothing to say any more: a call rings 60 s."""


class Instance:
    """clock: Unix time in s. lost: what to do about a session that ended without a word. start() and stop() around its
    use; the storage has been started before, and is closed by who made it."""

    def __init__(
        self,
        storage: Storage,
        bus: Bus,
        media: Media,
        push: Push,
        clock: Callable[[], float],
        *,
        lost: Lost | None = None,
        aggregates: Mapping[str, Aggregate[Any]] = AGGREGATES,
    ) -> None:
        self.storage = storage
        self.bus = bus
        self.media = media
        self.clock = clock
        self.engine = Engine(storage, bus, clock, aggregates)
        self.media_jobs = MediaJobs(self.engine, media)
        self._push = push
        handlers = {
            "media": Handler(self.media_jobs.do, state=True),
            "push": Handler(self._do_push, attempts=PUSH_ATTEMPTS),
        }
        self.outbox = Outbox(storage, clock, handlers)
        self.engine.attach(self.outbox)
        self.hub = Hub(storage, bus)
        self.runner = Runner(self.engine, self.outbox, lost)

    async def start(self) -> None:
        """All media rooms are put again: the media server may have forgotten them meanwhile. Unavailable."""
        await self.hub.start()
        await self.media_jobs.put_all()
        await self._give_respite()
        self.runner.start()

    async def _give_respite(self) -> None:
        """Graces that ran out while no instance was there have not been had: they begin anew."""
        now = self.clock()
        late = await self.storage.due_timers(now - LATE_S, MAX_LATE, 0.0)
        rooms = {due.id for due in late if due.kind == ROOM.kind and due.timer.what in (What.AWAY, What.HOST_GONE)}
        for room in sorted(rooms):
            with contextlib.suppress(NotFound):
                await self.engine.change(ROOM, room, lambda _: [Respite()])

    async def stop(self) -> None:
        await self.runner.stop()
        await self.engine.stop()
        await self.outbox.stop()
        await self.hub.stop()

    async def ready(self) -> str:
        """Empty, or a sentence why not. Without its media server the service still answers."""
        if not await self.storage.ready():
            return "The storage cannot be read."
        if not await self.bus.ready():
            return "The bus cannot be reached."
        return ""

    async def _do_push(self, leased: Leased) -> None:
        payload = leased.payload
        data = payload["data"]
        assert isinstance(data, Mapping)
        await self._push.push(str(payload["user"]), str(payload["event"]), data, leased.key)
