"""What a load of real listeners costs a server: CPU seconds of its processes while so many are in and hear.

Joins and departures are left out: a charge begins when everybody is connected and has settled, and ends before anybody
leaves. Listeners are connected once, and others come to them, so that a row of sizes takes one load. The generator
verifies what they get; what is charged while they do not get it is no price.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.loaded import Departing
from bench.places import SignedRooms
from bench.processes import Histogram, Server, bound_to
from mediaserver.client import MediaServer
from mediaserver.loadgen.http import Http, HttpError
from mediaserver.loadgen.places import Places
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.loadgen.report import Usage
from mediaserver.loadgen.run import Load, _Client
from mediaserver.schema import RoomDocument

FAULTS = ("undecryptable", "foreign", "foreign_windows", "corrupt")
"""With which listeners do not hear what they should, however few."""
MAX_ABSENT = 0.02
"""Share of the peers that may not have got in: the others are charged."""
MAX_DEAF = 0.05
"""Share of the tenths of a second of a mix in which an ear may miss its speakers: a busy generator's are late."""
MAX_LOST = 0.001
"""Share of packets beyond which a server does not cope."""
BUSY = 0.9
"""Share of its core above which the generator is full: what it asks for is not what it wants to ask for."""
STALL_S = 0.5
"""Without a packet, after which a listener hears nothing any more."""
SETTLE_S = 0.7
"""From the last join to a charge: reports begin, jitter buffers know their path, a mix has faded in."""
THOUSAND_SETTLE_S = 2.0
"""Beside it, after a thousand joins or more (less in proportion): handshakes have an end, for the server as well."""
JOINING = 32  # at a time
TRIES = 2
"""Of a peer that does not get in: how well a server takes joins is another question."""
PART_S = 0.5
"""Of a charge, at least: the parts tell how far it is to be trusted."""
PARTS = 3

_names = itertools.count()


@dataclass(frozen=True)
class Part:
    """Of a charge: what went by in it."""

    seconds: float
    cpu_s: float
    packets: int

    @property
    def us_per_packet(self) -> float:
        return 1e6 * self.cpu_s / max(1, self.packets)

    @property
    def cores(self) -> float:
        return self.cpu_s / self.seconds


@dataclass(frozen=True)
class Charge:
    """parts: of the window, one after another. listeners: that were in. absent: peers that did not get in, of so many.
    lost: packets that should have come, beside those that did. generator: share of a core that all of it took. faults:
    why listeners did not hear what they should; empty: they did. lateness: of ticks, where the server tells."""

    listeners: int
    peers: int
    parts: Sequence[Part]
    lost_packets: int
    generator: float
    absent: int = 0
    skipped: int = 0
    faults: Sequence[str] = ()
    doubts: Sequence[str] = ()
    lateness: Histogram | None = None

    @property
    def seconds(self) -> float:
        return sum(part.seconds for part in self.parts)

    @property
    def cpu_s(self) -> float:
        return sum(part.cpu_s for part in self.parts)

    @property
    def packets(self) -> int:
        return sum(part.packets for part in self.parts)

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
        return self.lost_packets / max(1, self.packets + self.lost_packets)

    @property
    def late_p99_ms(self) -> float | None:
        found = self.lateness.interpolated(0.99) if self.lateness is not None else None
        return None if found is None else 1000 * found

    @property
    def troubles(self) -> list[str]:
        """Why it is no price. Empty: it is one."""
        found = [*self.faults]
        if self.absent > MAX_ABSENT * self.peers:
            found.append(f"{self.absent:,} peers did not get in")
        return found + ([f"{self.lost:.1%} lost"] if self.lost > MAX_LOST else [])


class ServerRooms(SignedRooms):
    """Rooms of the server that is measured, with a client of their own that ends with the load."""

    def __init__(self, server: Server, document: RoomDocument = RoomDocument()) -> None:  # noqa: B008
        identity, _, secret = server.key.partition(":")
        self._client = MediaServer(server.url, identity, secret)
        super().__init__(self._client, server.url, server.key, document)

    async def close(self, plan: Plan) -> None:
        async with self._client:
            await super().close(plan)


@dataclass(frozen=True)
class Account:
    """What of the server is read: its CPU seconds so far, and its histogram of how late ticks were, so far."""

    cpu_s: Callable[[], float]
    lateness: Callable[[], Histogram] | None = None


@dataclass(frozen=True)
class _Look:
    at_s: float
    cpu_s: float
    own_s: float
    snapshot: dict[str, Any]


class Crowd(Departing):
    """A load that a script makes larger, smaller, and charges. units: what comes and goes as one, in this order."""

    def __init__(
        self,
        plan: Plan,
        places: Places,
        account: Account,
        script: Callable[[Crowd], Awaitable[None]],
        units: Iterator[Sequence[Join]],
        *,
        bind: str,
    ) -> None:
        super().__init__(plan, places, bind=bind)
        self._account = account
        self._script = script
        self._units = units
        self._in: list[list[_Client]] = []

    async def _play(self, http: Http, group: asyncio.TaskGroup) -> Usage:
        self._begun_ns = time.monotonic_ns()
        self._http, self._group = http, group
        await self._script(self)
        self._ending = True
        self._generator.hush()
        return Usage(0.0, 0.0, 0.0, 0)

    async def become(self, units: int) -> None:
        """So many are in when it returns, or have failed to get in, twice. ValueError when there are no more."""
        while len(self._in) > units:
            await self._goodbye(self._in.pop())
        places: list[tuple[list[_Client], int]] = []
        while len(self._in) < units:
            if (unit := next(self._units, None)) is None:
                raise ValueError("A load has no more peers than its plan.")
            self._in.append([_Client(join) for join in unit])
            places += [(self._in[-1], place) for place in range(len(unit))]
        came = len(places)
        for _ in range(TRIES):
            await self._enter(places)
            places = [(unit, place) for unit, place in places if unit[place].report.connected_ms is None]
        await asyncio.sleep(SETTLE_S + THOUSAND_SETTLE_S * min(1.0, came / 1000))

    async def _enter(self, places: Sequence[tuple[list[_Client], int]]) -> None:
        """A new peer on each of these places of units; at the plan's rate, as far as there is time for it."""
        at_once = asyncio.Semaphore(JOINING)
        begun = time.monotonic()

        async def enter(client: _Client) -> None:
            try:
                await self._join(self._http, client)
            finally:
                at_once.release()

        coming: list[asyncio.Task[None]] = []
        for number, (unit, place) in enumerate(places):
            await asyncio.sleep(max(0.0, begun + number / self._plan.join_rate - time.monotonic()))
            await at_once.acquire()
            unit[place] = _Client(unit[place].join, due_ns=time.monotonic_ns())
            self._clients.append(unit[place])
            coming.append(self._group.create_task(enter(unit[place])))
        await asyncio.gather(*coming)

    async def _goodbye(self, unit: list[_Client]) -> None:
        for client in unit:
            if client.number is not None:
                client.ready.clear()  # its end is no fault
                self._generator.leave(client.number)
            if client.session is not None:
                headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}
                with contextlib.suppress(HttpError):  # its timeouts end it then
                    await self._http.request("DELETE", client.session, headers)
                client.session = None

    async def charge(self, seconds: float) -> Charge:
        """While nobody comes or goes."""
        late = self._account.lateness
        before = None if late is None else late()
        count = max(1, min(PARTS, int(seconds / PART_S)))
        looks = [self._look_now()]
        for number in range(1, count + 1):
            await asyncio.sleep(max(0.0, looks[0].at_s + number * seconds / count - time.monotonic()))
            looks.append(self._look_now())
        faults = self._faults(looks[0], looks[-1])
        lateness = None if late is None or before is None else late() - before
        return self._charged(looks, faults, lateness)

    def _look_now(self) -> _Look:
        snapshot = self._generator.snapshot()
        return _Look(time.monotonic(), self._account.cpu_s(), time.process_time(), snapshot)

    def _charged(self, looks: Sequence[_Look], faults: list[str], lateness: Histogram | None) -> Charge:
        first, last = looks[0], looks[-1]
        seconds = last.at_s - first.at_s
        tally, earlier = last.snapshot["tally"], first.snapshot["tally"]
        lost = tally["lost"] - earlier["lost"]
        # Whom a listener has no slot for, he need not hear all of.
        if self._plan.mode == "select" and self._plan.sections >= self._plan.speakers:
            lost += tally["missing"] - earlier["missing"]
        clients = [client for unit in self._in for client in unit]
        there = [client for client in clients if client.report.connected_ms is not None]

        def since(name: str) -> int:
            return int(last.snapshot[name] - first.snapshot[name])

        doubts = []
        if (busy := (last.snapshot["cpu_s"] - first.snapshot["cpu_s"]) / seconds) > BUSY:
            doubts.append(f"The generator's thread was busy {busy:.0%} of the time.")
        if since("packets_skipped"):
            doubts.append(f"The generator left out {since('packets_skipped'):,} packets that it had no time for.")
        if since("send_failures"):
            doubts.append(f"The system refused to send {since('send_failures'):,} datagrams.")
        return Charge(
            listeners=sum(not client.join.speaks for client in there),
            peers=len(clients),
            parts=[
                Part(
                    late.at_s - early.at_s,
                    late.cpu_s - early.cpu_s,
                    int(late.snapshot["tally"]["packets"] - early.snapshot["tally"]["packets"]),
                )
                for early, late in itertools.pairwise(looks)
            ],
            lost_packets=int(lost),
            generator=(last.own_s - first.own_s) / seconds,
            absent=len(clients) - len(there),
            skipped=since("packets_skipped"),
            faults=faults,
            doubts=doubts,
            lateness=lateness,
        )

    def _faults(self, first: _Look, last: _Look) -> list[str]:
        tally, earlier = last.snapshot["tally"], first.snapshot["tally"]
        found = [f"{tally[name] - earlier[name]:,} {name}" for name in FAULTS if tally[name] > earlier[name]]
        windows, own = (tally[name] - earlier[name] for name in ("windows", "own_windows"))
        constant_tones = self._plan.constant and self._plan.kind == "markers"
        if constant_tones and self._plan.mode == "mix" and windows - own > MAX_DEAF * windows:
            found.append(f"{windows - own:,} of {windows:,} tenths of a second deaf")
        clients = [client for unit in self._in for client in unit]
        if cut_off := sum(client.report.disconnected for client in clients):
            found.append(f"{cut_off:,} disconnected")
        if self._plan.constant:
            deadline = last.at_s - STALL_S
            heard = [
                self._generator.outcome(client.number)["last_ns"] / 1e9
                for client in clients
                if client.number is not None and client.report.connected_ms is not None and not client.join.speaks
            ]
            if silent := sum(at_s < deadline for at_s in heard):
                found.append(f"{silent:,} heard nothing any more")
        return found

    async def _leave(self, http: Http) -> None:
        if isinstance(self._places, SignedRooms):  # which deletes its rooms
            await Departing._leave(self, http)
        else:
            await Load._leave(self, http)


def one_by_one(plan: Plan) -> Iterator[list[Join]]:
    """Units of a plan of one room: a listener each; the speakers come with the first."""
    joins = plan.joins()
    first = [*itertools.islice(joins, plan.speakers + 1)]
    yield first
    for join in joins:
        yield [join]


def room_by_room(plan: Plan) -> Iterator[list[Join]]:
    """Units of a plan of many rooms: a room each, with all its speakers and listeners."""
    for room in range(plan.rooms):
        yield [Join(0.0, room, True, number) for number in range(plan.speakers)] + [
            Join(0.0, room, False, number) for number in range(plan.listeners)
        ]


def play(
    plan: Plan,
    places: Places,
    account: Account,
    script: Callable[[Crowd], Awaitable[None]],
    units: Iterator[Sequence[Join]],
    *,
    core: int | None = None,
    bind: str = "127.0.0.1",
) -> None:
    """The script on a load that is bound to this core. See Load.run() for what it raises."""

    async def work() -> None:
        await Crowd(plan, places, account, script, units, bind=bind).run()

    with bound_to(core):
        uvloop.run(work())


def most_peers(wanted: int) -> int:
    """Of those, for which this process may open sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - 1000))


def prefix() -> str:
    """Of rooms: another one each time, so that what is left of a load is not in the next one's way."""
    return f"load{next(_names)}"
