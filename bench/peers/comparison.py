"""This server beside others, and beside what no server can do without: `scripts/bench peers`.

In one run and in turn, round by round, with the same senders and receivers (the library of `mediaserver load`, which
verifies what every listener hears): this server; Debian's Janus (VideoRoom of audio alone for forwarding, AudioBridge
at 48 kHz for mixing); a relay of aiortc (bench/peers/relay.py), which decodes and encodes; and the floor, a program
that only seals with OpenSSL and calls sendmmsg. Each server is bound to one core, and the generator to another. CPU
seconds are those of the server's processes while all listeners are in.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from bench import results
from bench.fitting import Line, line
from bench.loads import Account, Charge, Crowd, Part, ServerRooms, one_by_one, play, prefix
from bench.peers import floor, janus
from bench.processes import Process, Server, two_cores
from bench.programs import build
from bench.results import CannotMeasure, Column, Result, Run, Series, Table, spread
from mediaserver.loadgen.places import Addresses, Places
from mediaserver.loadgen.plan import Mode, Plan
from mediaserver.loadgen.sounds import speech

TALKERS = {"forward": 1, "mix": 2}
AS_INSTALLED = "Janus VideoRoom, a thread each"
OURS, VIDEOROOM, AUDIOBRIDGE, RELAY = "this server", "Janus VideoRoom", "Janus AudioBridge", "aiortc relay"
Kind = Literal["forward", "mix"]
ISSUE_LISTENERS = {"forward": 1000, "mix": 200}


@dataclass(frozen=True)
class Sizes:
    """Listeners at which each is measured; rounds of all; seconds of each window."""

    forward: tuple[int, ...] = (25, 100, 200, 1000)
    videoroom: tuple[int, ...] = (25, 200)
    as_installed: tuple[int, ...] = (25, 100)
    mix: tuple[int, ...] = (1, 50, 200)
    audiobridge: tuple[int, ...] = (1, 50, 100)
    relay: tuple[int, ...] = (1, 10)
    floor: tuple[int, ...] = (1000,)
    rounds: int = 3
    seconds: float = 5.0

    @classmethod
    def quick(cls) -> Sizes:
        return cls((100, 1000), (100,), (), (1, 50), (1, 50), (5,), (1000,), rounds=1, seconds=1.2)


@dataclass(frozen=True)
class Contender:
    """join_rate: that its HTTP takes without falling behind; the way of joining is not what is compared here. forwards:
    its listeners get the speaker's own packets."""

    name: str
    kind: Kind
    counts: tuple[int, ...]
    places: Callable[[], Places]
    cpu_s: Callable[[], float]
    bind: str = "127.0.0.1"
    join_rate: float = 100.0
    forwards: bool = True

    @property
    def plan(self) -> Plan:
        mode: Mode = "select" if self.kind == "forward" and self.forwards else "mix"
        return Plan(
            speakers=TALKERS[self.kind],
            listeners=max(self.counts),
            mode=mode,
            join_rate=self.join_rate,
            prefix=prefix(),
        )


@dataclass(frozen=True)
class Price:
    """trouble: why it is no price."""

    contender: str
    kind: Kind
    listeners: int
    charge: Charge
    trouble: str = ""

    @property
    def good(self) -> bool:
        return not self.trouble


def measure(quick: bool, *, install: bool = False, sizes: Sizes | None = None) -> Result:
    """CannotMeasure when the server and the generator cannot have a core each."""
    sizes = sizes or (Sizes.quick() if quick else Sizes())
    server_core, generator_core = two_cores()
    run = Run("peers", quick=quick)
    remarks: list[str] = []
    if install and janus.version() is None:
        try:
            janus.install()
        except (OSError, RuntimeError) as error:
            remarks.append(f"Janus could not be installed: {str(error).splitlines()[0]}")
    prices: list[Price] = []
    floors: dict[int, list[float]] = {count: [] for count in sizes.floor}
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-peers-")))
        program = build("floor")
        contenders = [*_contenders(stack, sizes, server_core, generator_core, remarks)]
        frames, _ = speech(1)
        payload = round(statistics.mean(len(packet) for packet, _ in frames)) + 33  # with the marker's padding
        for number in range(sizes.rounds):
            for contender in contenders:
                # Every second round the other way around: whoever comes later finds a warmer, or a busier, machine.
                counts = contender.counts[:: 1 if number % 2 == 0 else -1]
                prices += _prices(contender, counts, sizes.seconds, generator_core)
            for listeners, found in floors.items():
                with floor.sinks(listeners, generator_core) as ports:
                    found.append(
                        floor.us_per_packet(
                            program, ports, directory, seconds=sizes.seconds, payload=payload, core=server_core
                        )
                    )
    return _result(run, prices, floors, remarks)


def _contenders(
    stack: contextlib.ExitStack, sizes: Sizes, core: int, generator_core: int, remarks: list[str]
) -> Iterator[Contender]:
    server = stack.enter_context(Server(core=core))
    ours: tuple[tuple[Kind, tuple[int, ...]], ...] = (("forward", sizes.forward), ("mix", sizes.mix))
    for own_kind, own_counts in ours:
        yield Contender(OURS, own_kind, own_counts, partial(ServerRooms, server), server.cpu_s, join_rate=300.0)

    version, address = janus.version(), janus.own_address()
    if version is None:
        remarks.append("Janus is not installed: `scripts/bench peers --install` installs Debian's package.")
    elif address is None:
        remarks.append("Janus was not measured: it needs an address beside loopback's, and this machine has none.")
    else:
        remarks.append(f"Janus {version}: ICE-lite, no event handlers, its plugins' defaults else.")
        for event_loops in (1, 0) if sizes.as_installed else (1,):
            other = stack.enter_context(
                janus.Janus(address, core=core, gateway_core=generator_core, event_loops=event_loops)
            )
            for name, kind, plugin, counts in _of_janus(sizes, event_loops):
                whip, whep = (f"{other.url}/{way}/{plugin}/{{room}}" for way in ("whip", "whep"))
                places = partial(Addresses, whip, whep)
                yield Contender(name, kind, counts, places, other.server.cpu_s, bind=address, join_rate=100.0)

    log = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-relay-"))) / "log"
    command = [sys.executable, "-m", "bench.peers.relay", "127.0.0.1"]
    relay = stack.enter_context(Process(command, log, core=core))
    url = relay.wait_for(r"serving on (\S+)/")
    yield Contender(
        RELAY,
        "forward",
        sizes.relay,
        lambda: Addresses(f"{url}/whip/{{room}}", f"{url}/whep/{{room}}"),
        relay.cpu_s,
        join_rate=10.0,
        forwards=False,
    )


def _of_janus(sizes: Sizes, event_loops: int) -> list[tuple[str, Kind, str, tuple[int, ...]]]:
    """Name, kind, plugin and listeners of what is measured of one Janus."""
    if event_loops == 0:
        return [(AS_INSTALLED, "forward", "videoroom", sizes.as_installed)]
    return [
        (VIDEOROOM, "forward", "videoroom", sizes.videoroom),
        (AUDIOBRIDGE, "mix", "audiobridge", sizes.audiobridge),
    ]


def _prices(contender: Contender, counts: Sequence[int], seconds: float, core: int) -> list[Price]:
    """In one load, whose listeners come, or go, from one number to the next."""
    found: list[Price] = []

    async def script(crowd: Crowd) -> None:
        for listeners in counts:
            await crowd.become(listeners)
            charge = await crowd.charge(seconds)
            found.append(Price(contender.name, contender.kind, listeners, charge, ", ".join(charge.troubles)))

    if counts:
        plan, account = contender.plan, Account(contender.cpu_s)
        play(plan, contender.places(), account, script, one_by_one(plan), core=core, bind=contender.bind)
    return found


# ---- what it comes to


def _of(prices: Sequence[Price], name: str, kind: Kind, listeners: int | None = None) -> list[Charge]:
    """Of loads without trouble, by the rounds."""
    wanted = [p for p in prices if (p.contender, p.kind) == (name, kind) and p.good]
    return [p.charge for p in wanted if listeners in (None, p.listeners)]


def fit(prices: Sequence[Price], name: str, kind: Kind) -> Line | None:
    """Cores against listeners, of loads that were all heard. None with fewer than two sizes."""
    charges = _of(prices, name, kind)
    if len({each.listeners for each in charges}) < 2:
        return None
    return line([each.listeners for each in charges], [each.cores for each in charges])


def each_round(charges: Sequence[Charge], cost: Callable[[Charge | Part], float]) -> list[float]:
    """What each round cost; of one round alone, what each part of it did."""
    return [cost(part) for part in charges[0].parts] if len(charges) == 1 else [cost(charge) for charge in charges]


def a_packet(of: Charge | Part) -> float:
    return of.us_per_packet


def in_cores(of: Charge | Part) -> float:
    return of.cores


def ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float | None, float]:
    """How many times as much the others are, and how far the rounds lie apart: taken within each round, as far as both
    have one. One figure alone is of all rounds."""
    if 1 in (len(ours), len(others)):
        count = max(len(ours), len(others)) if ours and others else 0
        ours, others = (list(each) * count if len(each) == 1 else each for each in (ours, others))
    found = [theirs / own for own, theirs in zip(ours, others, strict=False)]
    return (statistics.median(found), spread(found)) if found else (None, 0.0)


def _common(prices: Sequence[Price], kind: Kind, other: str) -> int | None:
    """The most listeners that both coped with."""
    sizes = [{each.listeners for each in _of(prices, name, kind)} for name in (OURS, other)]
    return max(sizes[0] & sizes[1], default=None)


@dataclass
class Findings:
    prices: list[Price]
    floors: dict[int, list[float]]
    remarks: list[str]
    keys: dict[str, float | None] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)

    def to_floor(self) -> None:
        """At the most listeners of which there is both."""
        self.keys["ratio_forward_to_floor"] = None
        both = [count for count, found in self.floors.items() if found and _of(self.prices, OURS, "forward", count)]
        if not both:
            return
        ours = each_round(_of(self.prices, OURS, "forward", max(both)), a_packet)
        found, self.noise["ratio_forward_to_floor"] = ratio(self.floors[max(both)], ours)
        self.keys["forward_floor_us"] = statistics.median(self.floors[max(both)])
        self.keys["ratio_forward_to_floor"] = found
        if max(both) != ISSUE_LISTENERS["forward"]:
            self.remarks.append(f"ratio_forward_to_floor is of {max(both):,} listeners, not of 1,000.")

    def to_janus(self, key: str, name: str, kind: Kind) -> None:
        """Per packet, or per listener, at the most listeners with whom both coped; of a mix at the issue's 200, by
        Janus' line where it has not coped with so many; and of the lines' slopes."""
        self.keys |= {key: None, f"{key}_marginal": None}
        own, other = fit(self.prices, OURS, kind), fit(self.prices, name, kind)
        if own is not None and other is not None and own.slope > 0:
            self.keys[f"{key}_marginal"] = other.slope / own.slope
            self.keys[key.replace("ratio", kind) + "_core_share"] = other.at(ISSUE_LISTENERS[kind])
            self.keys[key.replace("ratio", kind) + "_marginal_core_share"] = other.slope
        common = _common(self.prices, kind, name)
        if common is None:
            return
        packets = kind == "forward"
        ours, theirs = (
            each_round(_of(self.prices, whose, kind, common), a_packet if packets else in_cores)
            for whose in (OURS, name)
        )
        found, self.noise[key] = ratio(ours, theirs)
        self.keys[key] = found
        if packets:
            self.keys[key.replace("ratio", "forward") + "_us"] = statistics.median(theirs)
        wanted = ISSUE_LISTENERS["mix"]
        if packets or common >= wanted or other is None or own is None:
            return
        measured = [each.cores for each in _of(self.prices, OURS, kind, wanted)]
        self.keys[key] = other.at(wanted) / (statistics.median(measured) if measured else own.at(wanted))
        self.remarks.append(
            f"{key} is of {wanted} listeners, for whom {name} would take {other.at(wanted):.2f} cores by its line of "
            f"up to {common} (extrapolated: it has one core); at {common} the ratio is {found or 0:.1f}."
        )


def _result(run: Run, prices: list[Price], floors: dict[int, list[float]], remarks: list[str]) -> Result:
    findings = Findings(prices, floors, remarks)
    findings.to_floor()
    findings.to_janus("ratio_janus_videoroom", VIDEOROOM, "forward")
    findings.to_janus("ratio_janus_videoroom_as_installed", AS_INSTALLED, "forward")
    findings.to_janus("ratio_janus_audiobridge", AUDIOBRIDGE, "mix")
    remarks += [
        f"{price.contender} with {price.listeners} listeners: {price.trouble}. It is not counted."
        for price in prices
        if price.trouble
    ]
    remarks += [
        f"DOUBT {price.contender}, {price.listeners}: {' '.join(price.charge.doubts)}"
        for price in prices
        if price.charge.doubts
    ]
    return run.result(
        findings.keys,
        noise={key: value for key, value in findings.noise.items() if value},
        tables=[_table(prices, floors, "forward"), _table(prices, floors, "mix")],
        series=[*_series(prices), *_floor_series(floors)],
        remarks=list(dict.fromkeys(remarks)),
    )


FORWARD_AXES, MIX_AXES = ((f"listeners {words}", "CPU (% of a core)") for words in ("forwarded to", "who hear a mix"))
COLUMNS = [
    Column("server"),
    Column("listeners"),
    Column("CPU", "% of a core"),
    Column("per listener", "% of a core", 4),
    Column("per packet heard", "µs"),
    Column("times ours"),
    Column("heard"),
]


def _table(prices: list[Price], floors: dict[int, list[float]], kind: Kind) -> Table:
    rows: list[list[results.Cell]] = []
    names = dict.fromkeys(price.contender for price in prices if price.kind == kind)
    for name in names:
        mine = [price for price in prices if (price.contender, price.kind) == (name, kind)]
        for listeners in sorted({price.listeners for price in mine}):
            here = [price for price in mine if price.listeners == listeners]
            charges = [price.charge for price in here]
            troubles = next((price.trouble for price in here if price.trouble), "")
            cores = statistics.median(each.cores for each in charges)
            packet = statistics.median(each.us_per_packet for each in charges)
            ours = each_round(_of(prices, OURS, kind, listeners), a_packet)
            times, _ = ratio(ours, each_round(charges, a_packet))
            rows.append(
                [name, listeners, 100 * cores, 100 * cores / listeners, packet, times, troubles or "all"],
            )
        if (fitted := fit(prices, name, kind)) is not None:
            rows.append(
                [name, "each further", None, 100 * fitted.slope, None, None, f"begins at {100 * fitted.start:.2f} %"]
            )
    if kind == "forward":
        for listeners, found in floors.items():
            if found:
                cost = statistics.median(found)
                times, _ = ratio(each_round(_of(prices, OURS, kind, listeners), a_packet), found)
                rows.append(["the floor", listeners, cost * listeners / 2e2, cost / 2e2, cost, times, "not decrypted"])
    title = {
        "forward": "Forwarding: one talker, 50 packets a second",
        "mix": "Mixing: two talkers all the time, 48 kHz, 20 ms",
    }[kind]
    return Table(title, COLUMNS, rows, "CPU of the server's processes, medians of the rounds; joins are not in it.")


def _series(prices: list[Price]) -> Iterator[Series]:
    for name, kind in dict.fromkeys((price.contender, price.kind) for price in prices):
        charges = _of(prices, name, kind)
        sizes = sorted({each.listeners for each in charges})
        if sizes:
            cost = [statistics.median(100 * each.cores for each in charges if each.listeners == size) for size in sizes]
            axes = {"forward": FORWARD_AXES, "mix": MIX_AXES}[kind]
            yield Series(name, "cost", [*map(float, sizes)], cost, *axes)


def _floor_series(floors: dict[int, list[float]]) -> Iterator[Series]:
    sizes = [size for size in sorted(floors) if floors[size]]
    if sizes:
        share = [100 * 50 * size * statistics.median(floors[size]) / 1e6 for size in sizes]
        yield Series("the floor", "cost", [*map(float, sizes)], share, *FORWARD_AXES, floor=True)


def main() -> None:
    parser = results.parser("peers", __doc__)
    parser.add_argument("--install", action="store_true", help="install Debian's janus by apt-get if it is missing")
    arguments = parser.parse_args()
    results.finish("peers", lambda: measure(arguments.quick, install=arguments.install), arguments.json)


__all__ = ["CannotMeasure", "measure"]
