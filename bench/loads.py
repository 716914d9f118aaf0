"""What a load of real listeners costs a server: CPU seconds of its processes while all are in and hear.

Joins and departures are left out: the account begins when everybody is connected, and ends before anybody leaves. The
generator verifies what listeners get; what is charged for a load with faults is no price.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.places import SignedRooms
from bench.processes import Histogram, Server, bound_to
from mediaserver.client import MediaServer
from mediaserver.loadgen.places import Places
from mediaserver.loadgen.plan import Plan
from mediaserver.loadgen.report import Report
from mediaserver.loadgen.run import Load, Progress
from mediaserver.schema import RoomDocument

LOOK_S = 1.0
"""About how often the generator tells of its progress, and thus how fine the window is."""
DEAF = {"disconnected", "silent", "stalled", "undecryptable", "foreign", "corrupt"}
"""Faults with which listeners do not hear what they should, however few."""
MAX_ABSENT = 0.02
"""Share of the peers that may not have got in: the others are charged."""
EARLY_WINDOWS = 10
"""Tenths of a second of a mix in which an ear may miss its speakers: they come in while it listens already."""
MAX_LOST = 0.001
"""Share of packets beyond which a server does not cope."""
BUSY = 0.9
"""Share of its core above which the generator is full: what it asks for is not what it wants to ask for."""

LONGER_S = 15.0
"""Of a second try: as long as a join may take at most."""

_names = itertools.count()


@dataclass(frozen=True)
class Charge:
    """seconds, cpu_s, packets: of the window; packets: that listeners heard. generator: share of a core that the whole
    generator took. lateness: of ticks in the window, where the server tells."""

    plan: Plan
    seconds: float
    cpu_s: float
    packets: int
    generator: float
    report: Report
    lateness: Histogram | None = None

    @property
    def listeners(self) -> int:
        return self.plan.rooms * self.plan.listeners

    @property
    def absent(self) -> int:
        """Peers that did not get in."""
        return self.report.faults.get("not_connected", 0)

    @property
    def cores(self) -> float:
        """Of the server's."""
        return self.cpu_s / self.seconds

    @property
    def ms_per_listener_second(self) -> float:
        return 1000 * self.cores / max(1, self.listeners)

    @property
    def us_per_packet(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.packets)

    @property
    def lost(self) -> float:
        """Share of the packets that should have come."""
        tally = self.report.snapshot["tally"]
        missing = tally["lost"] + self.report.faults.get("missing", 0)
        return float(missing / max(1, tally["packets"] + missing))

    @property
    def late_p99_ms(self) -> float | None:
        found = self.lateness.interpolated(0.99) if self.lateness is not None else None
        return None if found is None else 1000 * found

    @property
    def troubles(self) -> list[str]:
        """Why listeners did not hear what they should. Empty: they did."""
        faults = self.report.faults
        found = [f"{faults[name]:,} {name}" for name in sorted(DEAF & faults.keys())]
        if self.absent > MAX_ABSENT * self.plan.peers:
            found += [f"{count:,} peers {reason}" for reason, count in self.report.failures().items()]
        if faults.get("deaf", 0) > EARLY_WINDOWS * self.plan.rooms * self.plan.ears:
            found.append(f"{faults['deaf']:,} deaf")
        return found + ([f"{self.lost:.1%} lost"] if self.lost > MAX_LOST else [])


@dataclass
class _Window:
    """Filled by the generator's progress."""

    plan: Plan
    cpu_s: Callable[[], float]
    lateness: Callable[[], Histogram] | None
    begin: tuple[float, float, float, int] | None = None  # time, the server's CPU, ours, packets
    end: tuple[float, float, float, int] | None = None
    histograms: list[Histogram] = field(default_factory=list)

    def show(self, progress: Progress) -> None:
        in_or_out = progress.connected + progress.failed
        if progress.stage != "measuring" or in_or_out < self.plan.peers or len(self.histograms) == 2:
            return
        last = progress.elapsed_s + 1.2 * LOOK_S > progress.total_s
        if self.begin is None:
            if self.lateness is not None:
                self.histograms.append(self.lateness())
            self.begin = self._now(progress)
            return
        self.end = self._now(progress)
        if last and self.lateness is not None:
            self.histograms.append(self.lateness())

    def _now(self, progress: Progress) -> tuple[float, float, float, int]:
        return time.monotonic(), self.cpu_s(), time.process_time(), progress.snapshot["tally"]["packets"]


class ServerRooms(SignedRooms):
    """Rooms of the server that is measured, with a client of their own that ends with the load."""

    def __init__(self, server: Server, document: RoomDocument = RoomDocument()) -> None:  # noqa: B008
        identity, _, secret = server.key.partition(":")
        self._client = MediaServer(server.url, identity, secret)
        super().__init__(self._client, server.url, server.key, document)

    async def close(self, plan: Plan) -> None:
        async with self._client:
            await super().close(plan)


class NoWindow(RuntimeError):
    """Not all were in for long enough."""


def charge(
    plan: Plan,
    places: Callable[[], Places],
    cpu_s: Callable[[], float],
    *,
    core: int | None = None,
    bind: str = "127.0.0.1",
    lateness: Callable[[], Histogram] | None = None,
) -> Charge:
    """Runs the load, bound to this core, and once more for longer if joins took so long that nothing was left to be
    charged. cpu_s: of the server so far. lateness: the server's histogram of it so far, which is asked for before and
    after the window. NoWindow when it cannot be charged; see Load.run() for the rest."""
    with bound_to(core):
        try:
            return _charge(plan, places(), bind, _Window(plan, cpu_s, lateness))
        except NoWindow:
            longer = replace(plan, duration_s=plan.duration_s + LONGER_S, prefix=prefix())
            return _charge(longer, places(), bind, _Window(longer, cpu_s, lateness))


def _charge(plan: Plan, places: Places, bind: str, window: _Window) -> Charge:
    report = asyncio.run(Load(plan, places, bind=bind, show=window.show).run())
    if window.begin is None or window.end is None:
        why = ", ".join(f"{count} peers {reason}" for reason, count in report.failures().items())
        raise NoWindow(f"The load was not in as a whole for long enough to be charged{': ' + why if why else ''}.")
    seconds, cpu, own, packets = (late - early for late, early in zip(window.end, window.begin, strict=True))
    between = window.histograms[1] - window.histograms[0] if len(window.histograms) == 2 else None
    return Charge(plan, seconds, cpu, int(packets), own / seconds, report, between)


def prefix() -> str:
    """Of rooms: another one each time, so that what is left of a load is not in the next one's way."""
    return f"load{next(_names)}"
