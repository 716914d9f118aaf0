"""How many listeners one core carries: `scripts/bench capacity`.

The server on one core, the generator on another. Four ways of listening are ramped up, step by step, until 0.1 % of the
packets are lost or the tick is 5 ms late at the 99th percentile: a mix in packets of 20 ms, a mix in packets of 60 ms,
one talker forwarded, and rooms (8 seats, of whom 3 talk on average, and 50 listeners, mixed). Each step is charged with
the CPU seconds of the server's processes. Where the generator's core is full before the server's is, the ramp ends
there, and the line through the steps says where the server's core would be full: that figure is extrapolated, and is
called so.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import results
from bench.fitting import Line, line
from bench.loads import BUSY, MAX_LOST, Charge, NoWindow, ServerRooms, charge, prefix
from bench.processes import Histogram, Server, two_cores
from bench.results import Cell, Column, Result, Run, Series, Table
from mediaserver.loadgen.places import Places
from mediaserver.loadgen.plan import MAX_PEERS, Plan
from mediaserver.schema import MixDocument, RoomDocument

MAX_LATE_MS = 5.0
FULL = 0.97
"""Share of the server's core above which there is nothing left to give."""
LISTENERS_OF_ROOM = 50
SEATS, SPURT_S, SILENCE_S = 8, 1.2, 2.0
"""3 of 8 talk at a time, on average."""
TARGETS = {"mix, 20 ms": 5_000, "mix, 60 ms": 12_000}


@dataclass(frozen=True)
class Way:
    """plan: for so many listeners. unit: what is counted. steps: listeners."""

    name: str
    key: str
    steps: tuple[int, ...]
    plan: Callable[[int, float], Plan]
    document: RoomDocument
    per_unit: int = 1
    unit: str = "listeners"


def _one_room(listeners: int, seconds: float, **options: object) -> Plan:
    # 2 talkers make a mix that is a mix: one alone would be passed through.
    return Plan(listeners=listeners, join_rate=250.0, duration_s=seconds + 3, prefix=prefix(), **options)  # type: ignore[arg-type]


def _rooms(listeners: int, seconds: float) -> Plan:
    return Plan(
        rooms=max(1, listeners // LISTENERS_OF_ROOM),
        speakers=SEATS,
        listeners=LISTENERS_OF_ROOM,
        mode="mix",
        spurt_s=SPURT_S,
        silence_s=SILENCE_S,
        join_rate=250.0,
        duration_s=seconds + 3,
        prefix=prefix(),
    )


KEYS = ("mixed_20ms", "mixed_60ms", "forwarded", "rooms")
STEPS = (250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000)


def ways(steps: Sequence[int] = STEPS) -> list[Way]:
    listed = tuple(steps)
    of_rooms = tuple(step for step in listed if step % LISTENERS_OF_ROOM == 0)

    def mixed(listeners: int, seconds: float) -> Plan:
        return _one_room(listeners, seconds, speakers=2, mode="mix")

    def forwarded(listeners: int, seconds: float) -> Plan:
        return _one_room(listeners, seconds, speakers=1, mode="select")

    return [
        Way("mix, 20 ms", "mixed_20ms", listed, mixed, RoomDocument()),
        Way("mix, 60 ms", "mixed_60ms", listed, mixed, RoomDocument(mix=MixDocument(ptime_ms=60))),
        Way("forwarded", "forwarded", listed, forwarded, RoomDocument()),
        Way("rooms", "rooms", of_rooms, _rooms, RoomDocument(), LISTENERS_OF_ROOM, "rooms"),
    ]


@dataclass(frozen=True)
class Step:
    """ended: why the ramp does not go on behind it; "" when it does."""

    listeners: int
    charge: Charge | None
    ended: str

    @property
    def coped(self) -> bool:
        return self.charge is not None and not self.ended.startswith("server")

    @property
    def priced(self) -> bool:
        """Everybody got all: its CPU time is what that costs, however late ticks were."""
        return (
            self.charge is not None
            and self.charge.lost <= MAX_LOST
            and not self.charge.report.faults.get("not_connected")
        )


@dataclass(frozen=True)
class Ramp:
    way: Way
    steps: tuple[Step, ...]

    @property
    def charges(self) -> list[Charge]:
        return [step.charge for step in self.steps if step.priced and step.charge is not None]

    @property
    def measured(self) -> int:
        """Listeners of the largest step before the first that the server did not cope with."""
        good = itertools.takewhile(lambda step: step.coped, self.steps)
        return max((step.charge.listeners for step in good if step.charge is not None), default=0)

    @property
    def by_server(self) -> bool:
        """The server ended it: `measured` is what it carries."""
        return any(step.ended.startswith("server") for step in self.steps)

    @property
    def fitted(self) -> Line | None:
        charges = self.charges
        if len({each.listeners for each in charges}) < 2:
            return None
        return line([each.listeners for each in charges], [each.cores for each in charges])

    @property
    def extrapolated(self) -> float | None:
        """Listeners with whom the core would be full by CPU time alone."""
        fitted = self.fitted
        return (1.0 - fitted.start) / fitted.slope if fitted is not None and fitted.slope > 0 else None


def verdict(found: Charge) -> str:
    """Why the ramp ends with this step; "" when it goes on. Pure."""
    late = found.late_p99_ms
    if found.cores > FULL:
        return f"server: its core is full ({found.cores:.0%})"
    generator = found.generator > BUSY or bool(found.report.snapshot["packets_skipped"])
    if found.lost > MAX_LOST or found.report.faults.get("not_connected", 0):
        # What a full generator does not read is lost in its own sockets.
        who = "generator: full, and" if generator else "server:"
        absent = found.report.faults.get("not_connected", 0)
        return f"{who} {found.lost:.2%} lost" + (f", {absent} did not get in" if absent else "")
    if late is not None and late > MAX_LATE_MS:
        return f"server: ticks {late:.1f} ms late at p99"
    if generator:
        return f"generator: its core is full ({found.generator:.0%})"
    return ""


def ramp(way: Way, server: Server, core: int, seconds: float) -> Ramp:
    def places() -> Places:
        return ServerRooms(server, way.document)

    def lateness() -> Histogram:
        return server.metrics().histogram("mediaserver_tick_lateness_seconds")

    steps: list[Step] = []
    for listeners in way.steps:
        plan_of = way.plan(listeners, seconds)
        if plan_of.peers > MAX_PEERS:
            break
        try:
            found = charge(plan_of, places, server.cpu_s, core=core, lateness=lateness)
        except (NoWindow, ValueError) as error:
            steps.append(Step(listeners, None, f"not charged: {error}"))
            break
        steps.append(Step(listeners, found, verdict(found)))
        # One late step has a price all the same, and a line needs two.
        if steps[-1].ended and (not steps[-1].priced or sum(step.priced for step in steps) > 1):
            break
    return Ramp(way, tuple(steps))


def measure(
    quick: bool, *, steps: Sequence[int] | None = None, seconds: float | None = None, only: Sequence[str] = ()
) -> Result:
    """steps: listeners of each, rising. only: keys of ways, none: all. CannotMeasure when server and generator cannot
    have a core each."""
    server_core, generator_core = two_cores()
    run = Run("capacity", quick=quick)
    steps = steps or ((200, 600) if quick else STEPS)
    seconds = seconds or (2.5 if quick else 6.0)
    with Server(core=server_core) as server:
        ramps = [ramp(way, server, generator_core, seconds) for way in ways(steps) if way.key in (only or KEYS)]
    return _result(run, ramps)


def _result(run: Run, ramps: Sequence[Ramp]) -> Result:
    keys: dict[str, float | None] = {}
    remarks: list[str] = []
    for each in ramps:
        way, unit = each.way, each.way.per_unit
        of_last = each.charges[-1].ms_per_listener_second if each.charges else None
        extrapolated = each.extrapolated
        keys[f"{way.key}_measured"] = float(each.measured // unit)
        keys[f"{way.key}_extrapolated"] = None if extrapolated is None else round(extrapolated / unit, 1)
        keys[f"{way.key}_cpu_ms_per_listener_s"] = of_last
        if not each.by_server:
            why = next((step.ended for step in each.steps if step.ended), "the ramp ended")
            remarks.append(
                f"{way.name}: the server coped with all {each.measured // unit:,} {way.unit} of the last good step "
                f"({why}); where its core would be full is extrapolated from the CPU time per listener."
            )
        target = TARGETS.get(way.name)
        if target is not None and extrapolated is not None:
            remarks.append(
                f"{way.name}: target {target:,} listeners on one core; measured {each.measured:,}, by CPU time alone "
                f"(extrapolated) {extrapolated:,.0f}."
            )
        remarks += [
            f"DOUBT {way.name}, {step.listeners:,}: {' '.join(step.charge.report.doubts)}"
            for step in each.steps
            if step.charge is not None and step.charge.report.doubts
        ]
    return run.result(keys, tables=[_table(ramps), *map(_steps, ramps)], series=[*map(_series, ramps)], remarks=remarks)


def _table(ramps: Sequence[Ramp]) -> Table:
    rows: list[list[Cell]] = []
    for each in ramps:
        per_packet = statistics.median(found.us_per_packet for found in each.charges[-2:]) if each.charges else None
        extrapolated = each.extrapolated
        rows.append(
            [
                each.way.name,
                each.way.unit,
                each.measured // each.way.per_unit,
                "yes" if each.by_server else "no",
                None if extrapolated is None else round(extrapolated / each.way.per_unit),
                per_packet,
            ]
        )
    columns = [
        Column("way"),
        Column("what"),
        Column("carried, measured"),
        Column("is that the server's end"),
        Column("one core full at, extrapolated"),
        Column("per packet heard", "µs"),
    ]
    note = f"End: {MAX_LOST:.1%} lost, or ticks {MAX_LATE_MS:.0f} ms late at the 99th percentile, or a full core."
    return Table("One core", columns, rows, note)


def _steps(each: Ramp) -> Table:
    rows: list[list[Cell]] = []
    for step in each.steps:
        found = step.charge
        figures: list[Cell] = (
            [None] * 6
            if found is None
            else [
                100 * found.cores,
                found.ms_per_listener_second,
                100 * found.lost,
                found.late_p99_ms,
                100 * found.generator,
                found.us_per_packet,
            ]
        )
        rows.append([step.listeners, *figures, step.ended or "goes on"])
    columns = [
        Column("listeners"),
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
    charges = each.charges
    return Series(
        each.way.name,
        "cost",
        [float(found.listeners) for found in charges],
        [100 * found.cores for found in charges],
        "listeners",
        "CPU (% of a core)",
    )


def main() -> None:
    parser = results.parser("capacity", __doc__)
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="listeners of each step, rising")
    parser.add_argument("--only", choices=KEYS, nargs="+", default=(), help="these ways alone")
    arguments = parser.parse_args()
    results.finish(
        "capacity", lambda: measure(arguments.quick, steps=arguments.steps, only=arguments.only), arguments.json
    )


if __name__ == "__main__":
    main()
