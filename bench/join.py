"""Joins: how many a second one core of the server takes, how long they take, and what ticks suffer meanwhile.

Real WebRTC peers (the load generator's) join the server, which is bound to one core, from the other one. *alone*: ten a
second. *storm*: 200 a second, whoever is slow; time counts from when an offer was due. *ramp*: more and more a second,
until they wait for each other. A join is a POST with an offer, a connectivity check, a DTLS handshake and, for
listeners, the first packet of a mix in which one speaker talks.

The cost of a join is the server's CPU time while they joined, without that of the packets which it sent meanwhile: this
is taken from the seconds after the joins, by listener-seconds. Below the floor no server can go that shakes hands with
the same OpenSSL and answers by the same HTTP server: bench/join_floor.py.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import join_floor, loaded, results
from bench.loaded import Loaded
from bench.processes import Cpu, Histogram, Server, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Table
from mediaserver.client import CallError
from mediaserver.loadgen.plan import Plan
from mediaserver.loadgen.report import LATE_OFFER_MS, Peer, percentiles, stages_ms

LATENESS = "mediaserver_tick_lateness_seconds"
ALONE_RATE, STORM_RATE = 10.0, 200.0
RAMP = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0)
KEPT_UP_MS = 1000.0
"""99th percentile of joins, beyond which those of a rate are taken to pile up."""
AFTER_S = 1.0  # from the last offer to when its join is taken to be over
STEADY_S = 1.5  # then, in which packets alone are sent
QUIET_S = 20.0  # within which the server must have let go of all who left
STAGES = {
    "offer": "offer made (generator)",
    "answer": "POST to answer",
    "ice": "connectivity check",
    "dtls": "DTLS handshake",
    "first_audio": "keys to first packet",
}


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of the server for one join."""

    loop: float
    plane: float
    others: float

    @property
    def total(self) -> float:
        return self.loop + self.plane + self.others


@dataclass(frozen=True)
class Joined:
    """What became of the joins at one rate. late: how late ticks were meanwhile. cost: None when it cannot be told."""

    rate: float
    peers: Sequence[Peer]
    late: Histogram
    cost: Cost | None
    doubts: Sequence[str]

    @property
    def connected(self) -> list[float]:
        """ms, from when the offer was due."""
        return [peer.connected_ms for peer in self.peers if peer.connected_ms is not None]

    @property
    def first_audio(self) -> list[float]:
        return [peer.first_audio_ms for peer in self.peers if peer.first_audio_ms is not None]

    @property
    def failed(self) -> int:
        return len(self.peers) - len(self.connected)

    @property
    def offered_late(self) -> bool:
        """The generator did not make the offers in time, so it was not this rate."""
        return percentiles([peer.offered_ms for peer in self.peers]).get("p99", 0.0) > LATE_OFFER_MS

    @property
    def kept_up(self) -> bool:
        return not self.failed and not self.offered_late and percentiles(self.connected)["p99"] <= KEPT_UP_MS


def cost_of(spent: Cpu, end_s: float, steady: Cpu, steady_s: float, connected_s: Sequence[float]) -> Cost:
    """spent: from before the first offer to `end_s` after it, when all had joined. steady: in `steady_s` seconds after
    that, in which nobody joined. connected_s: when each was connected, from the first offer.

    What packets cost while peers joined goes with the time that each was there."""
    count = len(connected_s)
    there_s = sum(max(0.0, end_s - at_s) for at_s in connected_s)
    share = there_s / (count * steady_s)  # of the steady seconds' cost
    pairs = ((spent.loop, steady.loop), (spent.plane, steady.plane), (spent.others, steady.others))
    return Cost(*(1e3 * max(0.0, during - share * after) / count for during, after in pairs))


def storm(server: Server, rate: float, seconds: float, rooms: int, prefix: str, *, steady: bool = False) -> Joined:
    """Peers join at this rate for so long. steady: afterwards packets alone are sent for a while, which tells what a
    join costs."""
    listeners = max(1, round(rate * seconds / rooms) - 1)
    plan = Plan(
        rooms=rooms,
        speakers=1,
        listeners=listeners,
        mode="mix",
        sound="speech",
        ears=0,
        join_rate=rate,
        duration_s=AFTER_S + (STEADY_S if steady else 0.0) + 0.5,
        prefix=prefix,
    )
    end_s = plan.last_join_s + AFTER_S
    found = loaded.run(server, plan, [end_s, end_s + STEADY_S] if steady else [end_s])
    _wait_for_quiet(server)
    return joined(found, rate)


def joined(found: Loaded, rate: float) -> Joined:
    peers, looks = found.report.peers, found.looks
    cost = None
    doubts = [*found.report.doubts]
    connected_s = [
        number / rate + peer.connected_ms / 1e3 for number, peer in enumerate(peers) if peer.connected_ms is not None
    ]
    if len(looks) == 3 and connected_s:
        begin, end, after = looks
        cost = cost_of(end.cpu - begin.cpu, end.at_s, after.cpu - end.cpu, after.at_s - end.at_s, connected_s)
        if (slow := sum(at_s > end.at_s for at_s in connected_s)) or len(connected_s) < len(peers):
            missing = len(peers) - len(connected_s)
            doubts.append(
                f"{slow} joins were not over {AFTER_S:.0f} s after the last offer and {missing} failed, so the cost of "
                "a join is not of all of them."
            )
    late = looks[1].metrics.histogram(LATENESS) - looks[0].metrics.histogram(LATENESS)
    return Joined(rate, peers, late, cost, doubts)


def _wait_for_quiet(server: Server) -> None:
    deadline = time.monotonic() + QUIET_S
    while server.metrics().total("mediaserver_sessions") and time.monotonic() < deadline:
        time.sleep(0.2)


# ---- all of it


@dataclass(frozen=True)
class Size:
    """Of a run. Seconds of joins; rounds of storms."""

    rooms: int = 20
    alone_s: float = 10.0
    storm_s: float = 5.0
    rounds: int = 3
    ramp_s: float = 3.0
    ramp: Sequence[float] = RAMP
    handshakes: int = 300
    requests: int = 2000


QUICK = Size(alone_s=1.0, storm_s=1.5, rounds=2, ramp=(), handshakes=100, requests=400)


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when the machine cannot do it."""
    size = size or (QUICK if quick else Size())
    run = Run("join", quick=quick)
    server_core, generator_core = two_cores()
    try:
        with bound_to(generator_core), Server("--real-time", core=server_core) as server:
            alone = storm(server, ALONE_RATE, size.alone_s, size.rooms, "alone")
            storms = [
                storm(server, STORM_RATE, size.storm_s, size.rooms, f"storm{number}", steady=True)
                for number in range(size.rounds)
            ]
            ramp = [*climb(server, size)]
        with bound_to(generator_core):
            floor = {
                "dtls": join_floor.dtls_ms(size.handshakes),
                "http": join_floor.http_ms(size.requests, server_core),
            }
    except (CallError, ValueError, OSError) as error:
        raise CannotMeasure(str(error)) from error
    return result(run, alone, storms, ramp, floor)


def climb(server: Server, size: Size) -> list[Joined]:
    """The ramp, up to the first rate that is too high."""
    found: list[Joined] = []
    for rate in size.ramp:
        found.append(storm(server, rate, size.ramp_s, size.rooms, f"ramp{rate:.0f}"))
        if not found[-1].kept_up:
            break
    return found


def result(
    run: Run, alone: Joined, storms: Sequence[Joined], ramp: Sequence[Joined], floor: dict[str, float]
) -> Result:
    costs = [each.cost for each in storms if each.cost is not None]
    per_s = [1e3 / cost.total for cost in costs if cost.total]
    late = [late_ms(each.late) for each in storms]
    audio_p99 = [percentiles(each.first_audio)["p99"] for each in storms if each.first_audio]
    kept = [each.rate for each in ramp if each.kept_up]
    alone_audio = percentiles(alone.first_audio)
    storm_audio = percentiles([ms for each in storms for ms in each.first_audio])
    keys: dict[str, float | None] = {
        "joins_per_s": _median(per_s),
        "joins_per_s_ramp": max(kept, default=None),
        "join_cpu_ms": _median([cost.total for cost in costs]),
        "join_floor_cpu_ms": floor["dtls"] + floor["http"],
        "join_ratio_to_floor": _median([cost.total / (floor["dtls"] + floor["http"]) for cost in costs]),
        "first_audio_alone_p50_ms": alone_audio.get("p50"),
        "first_audio_alone_p99_ms": alone_audio.get("p99"),
        "first_audio_p50_ms": storm_audio.get("p50"),
        "first_audio_p99_ms": _median(audio_p99),
        "tick_late_p999_ms": _median([ms for ms in late if ms is not None]),
        "joins_failed": float(alone.failed + sum(each.failed for each in storms)),
    }
    noise = {
        "joins_per_s": results.spread(per_s),
        "join_cpu_ms": results.spread([cost.total for cost in costs]),
        "first_audio_p99_ms": results.spread(audio_p99),
        "tick_late_p999_ms": results.spread([ms for ms in late if ms is not None]),
    }
    return run.result(
        keys,
        noise={key: value for key, value in noise.items() if keys[key] is not None},
        tables=[
            times_table(alone, storms),
            cost_table(costs, floor),
            *([ramp_table(ramp)] if ramp else []),
            ticks_table(storms),
        ],
        series=[
            *(
                results.distribution(name, values, "from POST to first packet (ms)")
                for name, values in (
                    (f"{ALONE_RATE:.0f} joins/s", alone.first_audio),
                    (f"{STORM_RATE:.0f} joins/s", [ms for each in storms for ms in each.first_audio]),
                )
                if values
            ),
        ],
        remarks=remarks(alone, storms, ramp),
    )


def late_ms(late: Histogram) -> float | None:
    """The bound that 99.9 % of the ticks kept; of those beyond the last bound, that one. None without ticks."""
    bound = late.quantile(0.999)
    if bound is None:
        return None
    return 1e3 * min(bound, max(each for each in late.cumulated if each != float("inf")))


def times_table(alone: Joined, storms: Sequence[Joined]) -> Table:
    columns = [Column("joins"), Column("part of a join"), *(Column(p, "ms", 1) for p in ("p50", "p90", "p99", "max"))]
    rows: list[list[results.Cell]] = []
    for name, found in (
        (f"alone ({ALONE_RATE:.0f}/s)", [alone]),
        (f"storm ({STORM_RATE:.0f}/s)", storms),
    ):
        peers = [peer for each in found for peer in each.peers]
        parts = stages_ms(peers)
        for stage, meaning in STAGES.items():
            if parts[stage]:
                rows.append([name, meaning, *percentiles(parts[stage]).values()])
        whole = percentiles([peer.first_audio_ms for peer in peers])
        if whole:
            rows.append([name, "POST due to first packet", *whole.values()])
    note = (
        "Each part as the generator sees it, from the end of the one before. They do not add up: each is sorted alone."
    )
    return Table("Where the time of a join goes", columns, rows, note)


def cost_table(costs: Sequence[Cost], floor: dict[str, float]) -> Table:
    def median(name: str) -> float | None:
        return _median([getattr(cost, name) for cost in costs])

    rows: list[list[results.Cell]] = [
        ["event loop: HTTP, SDP, tokens, handshakes", median("loop")],
        ["plane's thread: checks, keys, first packets", median("plane")],
        ["other threads and processes", median("others")],
        ["server", median("total")],
        ["floor: OpenSSL's part of a handshake", floor["dtls"]],
        ["floor: a request to an application that does nothing", floor["http"]],
        ["floor", floor["dtls"] + floor["http"]],
    ]
    return Table(f"What a join costs, at {STORM_RATE:.0f} a second", [Column("part"), Column("CPU", "ms", 3)], rows)


def ramp_table(ramp: Sequence[Joined]) -> Table:
    columns = [
        *(Column("offered", "1/s", 0), Column("joined"), Column("failed"), Column("connected p50", "ms", 1)),
        *(Column("connected p99", "ms", 1), Column("first audio p99", "ms", 1), Column("verdict")),
    ]
    rows: list[list[results.Cell]] = []
    for each in ramp:
        connected = percentiles(each.connected)
        verdict = "kept up" if each.kept_up else "generator too slow" if each.offered_late else "too many"
        rows.append(
            [
                *(each.rate, len(each.connected), each.failed, connected.get("p50"), connected.get("p99")),
                *(percentiles(each.first_audio).get("p99"), verdict),
            ]
        )
    return Table("Joins at rising rates, from when they were due; one core for the server", columns, rows)


def ticks_table(storms: Sequence[Joined]) -> Table:
    columns = [Column("round"), Column("ticks", digits=0), Column("p99 at most", "ms"), Column("p99.9 at most", "ms")]
    columns.append(Column("later than 5 ms", "%", 3))
    rows: list[list[results.Cell]] = []
    for number, each in enumerate(storms, 1):
        p99 = each.late.quantile(0.99)
        share = 100 * each.late.above(0.005) / each.late.count if each.late.count else None
        rows.append([number, each.late.count, None if p99 is None else 1e3 * p99, late_ms(each.late), share])
    return Table("How late rooms' ticks began during the storms (bounds of the server's histogram)", columns, rows)


def remarks(alone: Joined, storms: Sequence[Joined], ramp: Sequence[Joined]) -> list[str]:
    found = [f"DOUBT alone: {doubt}" for doubt in alone.doubts]
    found += [f"DOUBT storm {number}: {doubt}" for number, each in enumerate(storms, 1) for doubt in each.doubts]
    if ramp and ramp[-1].offered_late:
        found.append(
            f"DOUBT ramp: at {ramp[-1].rate:.0f} a second the generator was too slow, so this is not the server's end."
        )
    elif ramp and ramp[-1].kept_up:
        found.append(
            f"ramp: the server kept up with all rates that were tried, {ramp[-1].rate:.0f} a second the highest."
        )
    return found


def _median(values: Sequence[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def main() -> None:
    arguments = results.parser("join", __doc__).parse_args()
    results.finish("join", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
