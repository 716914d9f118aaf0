"""A load of real peers on a server that is measured: what the server says and costs at moments of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import uvloop

from bench.places import SignedRooms
from bench.processes import Cpu, Memory, Metrics, Server
from mediaserver.client import MediaServer
from mediaserver.loadgen.http import Http
from mediaserver.loadgen.places import Place
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.loadgen.report import Report
from mediaserver.loadgen.run import Load

SETTLE_S = 0.5  # between making rooms and the first offer


class Departing(Load):
    """Whose peers go with their rooms, or with the server, and not each with a call: by then nothing is measured."""

    async def _leave(self, http: Http) -> None:
        for client in self._clients:
            client.session = None
        await super()._leave(http)


@dataclass(frozen=True)
class Look:
    """at_s: from the first offer; negative before it, where nobody has joined yet."""

    at_s: float
    cpu: Cpu
    memory: Memory
    metrics: Metrics


@dataclass
class Loaded:
    """looks: at the times that were asked for, the first one before anybody joined."""

    report: Report
    looks: list[Look] = field(default_factory=list)


class _WatchedRooms(SignedRooms):
    """Looks at the server before the first offer, and at the times asked for from then on."""

    def __init__(self, api: MediaServer, server: Server, at_s: Sequence[float], *, deletes: bool) -> None:
        super().__init__(api, server.url, server.key)
        self.looks: list[Look] = []
        self._measured = server
        self._at_s = at_s
        self._deletes = deletes
        self._begun: float | None = None
        self._looking: asyncio.Task[None] | None = None

    async def open(self, plan: Plan) -> None:
        await super().open(plan)
        await asyncio.sleep(SETTLE_S)
        await self._look()

    def place(self, plan: Plan, join: Join) -> Place:
        if self._begun is None:
            self._begun = time.monotonic()
            self._looking = asyncio.create_task(self._look_at_times(self._begun))
        return super().place(plan, join)

    async def _look_at_times(self, begun: float) -> None:
        for at_s in self._at_s:
            await asyncio.sleep(max(0.0, begun + at_s - time.monotonic()))
            await self._look()

    async def _look(self) -> None:
        """In a thread, so that the peers go on meanwhile. CPU time first: to answer costs the server some, too."""
        begun = self._begun

        def look() -> Look:
            at_s = -SETTLE_S if begun is None else time.monotonic() - begun
            server = self._measured
            return Look(at_s, server.cpu(), server.memory(), server.metrics())

        self.looks.append(await asyncio.to_thread(look))

    async def close(self, plan: Plan) -> None:
        if self._looking is not None:
            await self._looking
        if self._deletes:
            await super().close(plan)


def run(
    server: Server, plan: Plan, at_s: Sequence[float] = (), *, load: type[Load] = Departing, deletes: bool = True
) -> Loaded:
    """The whole load, with looks at these seconds from the first offer on, all of them before it ends. deletes: the
    rooms in the end. CallError of the client, OSError and ValueError when it cannot begin."""

    async def work() -> Loaded:
        key_id, _, secret = server.key.partition(":")
        async with MediaServer(server.url, key_id, secret) as api:
            places = _WatchedRooms(api, server, at_s, deletes=deletes)
            report = await load(plan, places).run()
            return Loaded(report, places.looks)

    return uvloop.run(work())
