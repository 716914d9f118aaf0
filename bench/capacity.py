"""How many listeners one core carries: `scripts/bench capacity`.

The server on one core, the generator on another. Four ways of listening are ramped up until 0.1 % of the packets are
lost or ticks are 5 ms late at the 99th percentile: a mix in packets of 20 ms, a mix in packets of 60 ms, one talker
forwarded, and rooms (8 seats, of whom 3 talk on average, and 50 listeners, mixed). Listeners stay, and others come to
them: twice as many, or to where the line through the steps says that a core is full; then the end is enclosed
to 8 %. A step that goes wrong is measured again before it is believed.

Each step is charged with the CPU seconds of the server's processes. The generator takes about as much for a packet as
the server, so its core may be full first: then the ramp ends there and says so, and where the server's core would be
full is what the line promises. The two figures stand side by side: `measured` was reached, `extrapolated` was not.

In full it takes 8 to 10 minutes, with --quick (two steps of three of them) 25 s.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench import results
from bench.fitting import Line, line
from bench.loads import (
    BUSY,
    MAX_LOST,
    Account,
    Charge,
    Crowd,
    ServerRooms,
    most_peers,
    one_by_one,
    play,
    prefix,
    room_by_room,
)
from bench.processes import Histogram, Server, bound_to, two_cores
from bench.results import Cell, Column, Result, Run, Series, Table, spread
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.schema import MixDocument, RoomDocument

MAX_LATE_MS = 5.0
FULL = 0.97
"""Share of the server's core above which there is nothing left to give."""
LISTENERS_OF_ROOM = 50
SEATS, SPURT_S, SILENCE_S = 8, 1.2, 2.0
"""3 of 8 talk at a time, on average."""
FACTOR = 2.0
CLOSE = 0.08
"""Between the last step that went well and the first that did not, as a share: then the end is known."""
MOST_STEPS = 16
JOIN_RATE = 300.0
"""Offers a second, as far as both cores have time for them beside the packets."""
MOST_LISTENERS = 16_000


@dataclass(frozen=True)
class Way:
    """plan: for so many units at most. first: units of the first step. unit: what is counted."""

    name: str
    key: str
    first: int
    plan: Callable[[int], Plan]
    units: Callable[[Plan], Iterator[Sequence[Join]]] = one_by_one
    ptime_ms: Literal[20, 40, 60] = 20
    peers_of_unit: int = 1
    unit: str = "listeners"
    quick: tuple[int, ...] = (150, 500)
    """Of a quick run; without any it leaves this way out."""

    @property
    def document(self) -> RoomDocument:
        return RoomDocument(mix=MixDocument(ptime_ms=self.ptime_ms))

    @property
    def most(self) -> int:
        return most_peers(MOST_LISTENERS) // self.peers_of_unit


def _one_room(speakers: int, mode: str) -> Callable[[int], Plan]:
    def plan(listeners: int) -> Plan:
        return Plan(speakers=speakers, listeners=listeners, mode=mode, join_rate=JOIN_RATE, prefix=prefix())  # type: ignore[arg-type]

    return plan


def _rooms(rooms: int) -> Plan:
    return Plan(
        rooms=rooms,
        speakers=SEATS,
        listeners=LISTENERS_OF_ROOM,
        mode="mix",
        spurt_s=SPURT_S,
        silence_s=SILENCE_S,
        ears=0,  # a decoder in each room would be the generator's end
        join_rate=JOIN_RATE,
        prefix=prefix(),
    )


# 2 talkers make a mix that is a mix: one alone would be passed through.
WAYS = (
    Way("mix, 20 ms", "mixed_20ms", 500, _one_room(2, "mix")),
    Way("mix, 60 ms", "mixed_60ms", 1000, _one_room(2, "mix"), ptime_ms=60),
    Way("forwarded", "forwarded", 500, _one_room(1, "select"), quick=()),  # `peers` has its price
    Way(
        *("rooms", "rooms", 10, _rooms, room_by_room),
        peers_of_unit=SEATS + LISTENERS_OF_ROOM,
        unit="rooms",
        quick=(3, 7),
    ),
)
KEYS = tuple(way.key for way in WAYS)


@dataclass(frozen=True)
class Step:
    """ended: whose end it is, and why; "" when it went well."""

    units: int
    charge: Charge
    ended: str

    @property
    def shown(self) -> bool:
        """The server coped with it, and everybody got all."""
        return not self.ended.startswith("server") and self.priced

    @property
    def priced(self) -> bool:
        """Everybody got all: its CPU time is what that costs, however late ticks were."""
        return self.charge.lost <= MAX_LOST and not self.charge.absent


@dataclass(frozen=True)
class Ramp:
    """steps: in the order in which they were taken."""

    way: Way
    steps: tuple[Step, ...]
    trouble: str = ""

    @property
    def priced(self) -> list[Step]:
        return [step for step in self.steps if step.priced]

    @property
    def measured(self) -> int:
        """Units of the largest step that was shown to work, below all that were not."""
        return max((step.units for step in self.steps if step.shown and step.units < self._failed), default=0)

    @property
    def _failed(self) -> float:
        return min((step.units for step in self.steps if not step.shown), default=float("inf"))

    @property
    def end(self) -> str:
        """Why it goes no farther: of the smallest step that did not go well. "" when all did."""
        found = [step for step in self.steps if step.ended]
        return min(found, key=lambda step: step.units).ended if found else self.trouble

    @property
    def by_server(self) -> bool:
        """The server ended it: `measured` is what it carries."""
        return self.end.startswith("server")

    @property
    def fitted(self) -> Line | None:
        return _fit([(step.units, step.charge.cores) for step in self.priced])

    @property
    def extrapolated(self) -> float | None:
        """Units with which the core would be full by CPU time alone."""
        return _full(self.fitted)

    @property
    def noise(self) -> float | None:
        """Of the extrapolation, from part to part of the steps' windows."""
        count = min((len(step.charge.parts) for step in self.priced), default=0)
        fits = [_fit([(step.units, step.charge.parts[k].cores) for step in self.priced]) for k in range(count)]
        ends = [end for fitted in fits if (end := _full(fitted)) is not None]
        return spread(ends) if len(ends) > 1 else None

    @property
    def generator_full(self) -> float | None:
        """Units with which the generator's core would be full."""
        return _full(_fit([(step.units, step.charge.generator) for step in self.priced]), BUSY)


def _fit(points: Sequence[tuple[int, float]]) -> Line | None:
    if len({units for units, _ in points}) < 2:
        return None
    return line([float(units) for units, _ in points], [share for _, share in points])


def _full(fitted: Line | None, share: float = 1.0) -> float | None:
    return (share - fitted.start) / fitted.slope if fitted is not None and fitted.slope > 0 else None


def verdict(found: Charge) -> str:
    """Whose end this step is, and why; "" when it is nobody's. Pure."""
    if found.cores > FULL:
        return f"server: its core is full ({found.cores:.0%})"
    generator = found.generator > BUSY or found.skipped > 0
    if found.lost > MAX_LOST or found.absent:
        # What a full generator does not read is lost in its own sockets.
        who = f"generator: its core is full ({found.generator:.0%}), and" if generator else "server:"
        return f"{who} {found.lost:.2%} lost" + (f", {found.absent} did not get in" if found.absent else "")
    late = found.late_p99_ms
    if late is not None and late > MAX_LATE_MS:
        return f"server: ticks {late:.1f} ms late at p99"
    if generator:
        return f"generator: its core is full ({found.generator:.0%})"
    return ""


def next_units(ramp: Ramp) -> int | None:
    """Units of the next step; None when the end is known. Pure."""
    way, steps = ramp.way, ramp.steps
    if not steps:
        return min(way.first, way.most)
    if len(steps) >= MOST_STEPS:
        return None
    first_bad = min((step for step in steps if step.ended), key=lambda step: step.units, default=None)
    bad = float("inf") if first_bad is None else first_bad.units
    good = max((step.units for step in steps if step.units < bad), default=0)
    if first_bad is not None:
        if first_bad.shown or first_bad.units - good <= max(1, CLOSE * first_bad.units):
            return None
        return (good + first_bad.units) // 2 or None
    wanted = FACTOR * good
    for full in (ramp.extrapolated, ramp.generator_full):
        if full is not None:
            wanted = min(wanted, max(full, (1 + CLOSE / 2) * good))
    wanted = min(max(good + 1, round(wanted)), way.most)
    return wanted if wanted > good else None


def climb(way: Way, server: Server, core: int, seconds: float, units: Sequence[int] | None = None) -> Ramp:
    """units: of each step; None: as next_units() says."""
    steps: list[Step] = []
    given = iter(units) if units is not None else None

    async def script(crowd: Crowd) -> None:
        while (wanted := next(given, None) if given is not None else next_units(Ramp(way, tuple(steps)))) is not None:
            await crowd.become(wanted)
            found = await crowd.charge(seconds)
            # Once is chance, on a machine that is not only ours.
            if given is None and verdict(found):
                found = await crowd.charge(seconds)
            steps.append(Step(wanted, found, verdict(found)))
            # One late step has a price all the same, and a line needs two.
            if given is not None and steps[-1].ended and (not steps[-1].priced or len(steps) > 1):
                return

    def lateness() -> Histogram:
        return server.metrics().histogram("mediaserver_tick_lateness_seconds")

    plan = way.plan(max(units) if units is not None else way.most)
    trouble = ""
    try:
        account = Account(server.cpu_s, lateness)
        play(plan, ServerRooms(server, way.document), account, script, way.units(plan), core=core)
    except ValueError as error:
        trouble = f"not charged: {error}"
    return Ramp(way, tuple(steps), trouble)


def measure(
    quick: bool, *, units: Sequence[int] | None = None, seconds: float | None = None, only: Sequence[str] = ()
) -> Result:
    """units: of each step of all ways. only: keys of ways, none: all. CannotMeasure when server and generator cannot
    have a core each."""
    server_core, generator_core = two_cores()
    run = Run("capacity", quick=quick)
    seconds = seconds or (1.2 if quick else 4.0)
    ramps = []
    with contextlib.ExitStack() as stack:
        server: Server | None = None
        for way in WAYS:
            if way.key in (only or KEYS) and (units or way.quick or not quick):
                if server is None or not quick:  # who has had ten thousand is not who has had none
                    stack.close()
                    limits = ("--max-sessions", str(MOST_LISTENERS + 1000), "--max-listeners", str(MOST_LISTENERS))
                    with bound_to(generator_core):
                        server = stack.enter_context(Server(*limits, core=server_core))
                ramps.append(climb(way, server, generator_core, seconds, units or (way.quick if quick else None)))
    return _result(run, ramps)


def _result(run: Run, ramps: Sequence[Ramp]) -> Result:
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    remarks: list[str] = []
    for each in ramps:
        way, priced = each.way, each.priced
        extrapolated = each.extrapolated
        keys[f"{way.key}_measured"] = float(each.measured)
        keys[f"{way.key}_extrapolated"] = None if extrapolated is None else round(extrapolated, 1)
        if extrapolated is not None and each.noise is not None:
            noise[f"{way.key}_extrapolated"] = each.noise
        keys[f"{way.key}_cpu_ms_per_listener_s"] = None
        if priced:
            last = max(priced, key=lambda step: step.units).charge
            keys[f"{way.key}_cpu_ms_per_listener_s"] = round(last.ms_per_listener_second, 4)
            noise[f"{way.key}_cpu_ms_per_listener_s"] = spread([part.cores for part in last.parts])
        if each.end and not each.by_server:
            remarks.append(
                f"{way.name}: {each.measured:,} {way.unit} is not the server's end ({each.end}); where its core would "
                "be full is extrapolated from the CPU time."
            )
        remarks += [
            f"DOUBT {way.name}, {step.units:,} {way.unit}: {' '.join([*step.charge.faults, *step.charge.doubts])}"
            for step in each.steps
            if step.priced and (step.charge.faults or step.charge.doubts)
        ]
    if endless := [each.way.name for each in ramps if not each.end]:
        remarks.append(
            f"No end was met of {'; '.join(endless)}: where the core would be full is extrapolated from the CPU time."
        )
    tables = [_table(ramps), *map(_steps, ramps)]
    return run.result(keys, noise=noise, tables=tables, series=[*map(_series, ramps)], remarks=remarks)


def _table(ramps: Sequence[Ramp]) -> Table:
    rows: list[list[Cell]] = []
    for each in ramps:
        charges = [step.charge for step in sorted(each.priced, key=lambda step: step.units)]
        extrapolated, generator = each.extrapolated, each.generator_full
        rows.append(
            [
                each.way.name,
                each.way.unit,
                each.measured,
                each.end or "no end was met",
                None if extrapolated is None else round(extrapolated),
                None if generator is None else round(generator),
                statistics.median(found.us_per_packet for found in charges[-2:]) if charges else None,
            ]
        )
    columns = [
        Column("way"),
        Column("what"),
        Column("reached"),
        Column("what ended it"),
        Column("by CPU time, extrapolated"),
        Column("generator full at"),
        Column("per packet heard", "µs"),
    ]
    note = (
        f"End: {MAX_LOST:.1%} lost, or ticks {MAX_LATE_MS:.0f} ms late at the 99th percentile, or a full core. The "
        "generator has a core of its own; where it is full first, the server's end was not reached."
    )
    return Table("One core", columns, rows, note)


def _steps(each: Ramp) -> Table:
    rows: list[list[Cell]] = [
        [
            step.units,
            100 * step.charge.cores,
            step.charge.ms_per_listener_second,
            100 * step.charge.lost,
            step.charge.late_p99_ms,
            100 * step.charge.generator,
            step.charge.us_per_packet,
            step.ended or "goes on",
        ]
        for step in sorted(each.steps, key=lambda step: step.units)
    ]
    columns = [
        Column(each.way.unit),
        Column("CPU", "% of a core"),
        Column("CPU per listener-second", "ms", 3),
        Column("lost", "%", 3),
        Column("tick late p99", "ms"),
        Column("generator", "% of a core"),
        Column("per packet heard", "µs"),
        Column("then"),
    ]
    return Table(f"Steps: {each.way.name}", columns, rows)


def _series(each: Ramp) -> Series:
    steps = sorted(each.priced, key=lambda step: step.units)
    return Series(
        each.way.name,
        "cost",
        [float(step.charge.listeners) for step in steps],
        [100 * step.charge.cores for step in steps],
        "listeners",
        "CPU (% of a core)",
    )


def main() -> None:
    parser = results.parser("capacity", __doc__)
    parser.add_argument(
        "--steps", type=int, nargs="+", metavar="N", help="listeners (or rooms) of each step, instead of a search"
    )
    parser.add_argument("--only", choices=KEYS, nargs="+", default=(), help="these ways alone")
    arguments = parser.parse_args()
    if arguments.steps and not all(0 < step <= MOST_LISTENERS for step in arguments.steps):
        parser.error(f"a step is 1 to {MOST_LISTENERS:,}")
    results.finish(
        "capacity", lambda: measure(arguments.quick, units=arguments.steps, only=arguments.only), arguments.json
    )


if __name__ == "__main__":
    main()
