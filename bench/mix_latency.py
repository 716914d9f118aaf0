"""How long a voice takes from a mouth to an ear through the mixer, and which part of the server it waits in.

Real peers chirp (mediaserver load --sound chirps), the listeners' decoders say when each chirp comes out. One voice a
room, whose packets are passed on as they are, and two, which are mixed and encoded; on a clean path, and on one with
20 ms of delay and up to 30 ms of jitter on the speakers' side.

*Added* is what the mixer adds to a forwarded packet: mouth to ear, less the frame (20 ms), the look-ahead of the
speaker's encoder (6.5 ms) and the path's constant delay. The mixer's own limiter (5 ms), the look-ahead of its encoder
(6.5 ms) and the path's jitter are in it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench import loaded, results
from bench.processes import Histogram, Metrics, Server, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Table
from mediaserver.client import CallError
from mediaserver.loadgen.network import CLEAN, Network
from mediaserver.loadgen.plan import Plan

FRAME_MS = 20.0
LOOK_AHEAD_MS = 6.5  # Opus's, 312 samples
LIMITER_MS = 5.0  # 240 samples
JITTERY = Network(delay_ms=20.0, jitter_ms=30.0)
JOIN_RATE = 100.0
SETTLE_S = 1.0  # after the last join, until jitter buffers know their path
MILLISECONDS = "milliseconds from mouth to ear"


@dataclass(frozen=True)
class Size:
    """rooms: each has a phase of its own, of its speakers' packets against its ticks."""

    rooms: int = 24
    seconds: float = 20.0
    rounds: int = 3
    paths: tuple[str, ...] = ("clean", "jittery")


QUICK = Size(rooms=20, seconds=4.5, rounds=1, paths=("clean",))


@dataclass(frozen=True)
class Case:
    voices: int
    path: str
    network: Network

    @property
    def name(self) -> str:
        return f"{'one voice' if self.voices == 1 else f'{self.voices} voices'}, {self.path}"

    @property
    def apart_ms(self) -> float:
        """What of mouth to ear is not the mixer's."""
        return FRAME_MS + LOOK_AHEAD_MS + self.network.delay_ms


CASES = (
    Case(1, "clean", CLEAN),
    Case(2, "clean", CLEAN),
    Case(1, "jittery", JITTERY),
    Case(2, "jittery", JITTERY),
)


@dataclass(frozen=True)
class Parts:
    """Means, ms, by the server's own account; passed: the share of frames that were not encoded."""

    jitter_buffer: float
    tick: float
    sending: float
    late: float
    computing: float
    passed: float

    @property
    def together(self) -> float:
        """With the limiter, and the encoder's look-ahead, which a voice that is passed on waits for as well."""
        return self.jitter_buffer + self.tick + LIMITER_MS + LOOK_AHEAD_MS + self.sending


@dataclass(frozen=True)
class Heard:
    """raw_ms: mouth to ear of each chirp."""

    case: Case
    raw_ms: Sequence[float]
    said: int
    parts: Parts
    faults: dict[str, int]
    doubts: list[str]

    @property
    def added_ms(self) -> list[float]:
        return [raw - self.case.apart_ms for raw in self.raw_ms]


def halves(heard: Heard) -> tuple[Heard, Heard]:
    """What was heard earlier, and what later."""
    middle = (len(heard.raw_ms) + 1) // 2
    return replace(heard, raw_ms=heard.raw_ms[:middle]), replace(heard, raw_ms=heard.raw_ms[-middle:])


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank. ValueError without values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]


def mean_ms(histogram: Histogram) -> float:
    return 1000 * histogram.sum / histogram.count if histogram.count else 0.0


def parts_of(before: Metrics, after: Metrics) -> Parts:
    def since(name: str) -> float:
        histogram = f"mediaserver_{name}_seconds"
        return mean_ms(after.histogram(histogram) - before.histogram(histogram))

    def frames(name: str) -> float:
        counter = f"mediaserver_plane_frames_{name}_total"
        return after.total(counter) - before.total(counter)

    passed, encoded = frames("passed"), frames("encoded")
    target = since("playout_target")
    return Parts(
        jitter_buffer=target,
        tick=since("playout_wait") - target,
        sending=since("mix_residence"),
        late=since("tick_lateness"),
        computing=since("tick_duration"),
        passed=passed / (passed + encoded) if passed + encoded else 0.0,
    )


def listen(server: Server, case: Case, size: Size, round_number: int) -> Heard:
    """CannotMeasure when nobody heard anything."""
    plan = Plan(
        rooms=size.rooms,
        speakers=case.voices,
        listeners=1,
        mode="mix",
        sound="chirps",
        join_rate=JOIN_RATE,
        duration_s=SETTLE_S + size.seconds,
        seed=1 + round_number,
        prefix=f"mouth-{case.voices}-{case.path}-{round_number}",
        up=case.network,
    )
    begin = plan.last_join_s + SETTLE_S
    try:
        found = loaded.run(server, plan, [begin, begin + 0.9 * size.seconds])
    except (CallError, OSError, ValueError) as error:
        raise CannotMeasure(f"The load cannot be made: {error}") from None
    _, first, last = found.looks
    raw_ms = [us / 1000 for us in found.report.mouth_to_ear_us]
    if not raw_ms:
        raise CannotMeasure("No chirp came from a mouth to an ear.")
    said = int(found.report.snapshot["chirps_said"])
    return Heard(
        case, raw_ms, said, parts_of(first.metrics, last.metrics), dict(found.report.faults), found.report.doubts
    )


def keys_of(heard: Sequence[Heard]) -> dict[str, float | None]:
    """One round's figures: those of the clean path are of the case that is worse, with one voice or with two."""
    keys: dict[str, float | None] = {}
    for each in heard:
        name = f"{'one' if each.case.voices == 1 else 'two'}_{each.case.path}"
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            keys[f"mix_added_{word}_ms_{name}"] = percentile(each.added_ms, share)
            keys[f"mouth_to_ear_{word}_ms_{name}"] = percentile(each.raw_ms, share)
    for word in ("p50", "p99"):
        clean = [keys[f"mix_added_{word}_ms_{name}_clean"] or 0.0 for name in ("one", "two")]
        keys[f"mix_added_{word}_ms"] = max(clean)
    return keys


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when this process may use one core only, or the server takes no load."""
    run = Run("mix-latency", quick=quick)
    size = size or (QUICK if quick else Size())
    cases = [case for case in CASES if case.path in size.paths]
    server_core, generator_core = two_cores()
    rounds: list[list[Heard]] = []
    with bound_to(generator_core), Server(core=server_core) as server:
        rounds += [[listen(server, case, size, number) for case in cases] for number in range(size.rounds)]
    by_round = [keys_of(heard) for heard in rounds]
    keys: dict[str, float | None] = {
        key: statistics.median(each[key] or 0.0 for each in by_round) for key in by_round[0]
    }
    # Of one round, its halves stand for rounds.
    apart = by_round if size.rounds > 1 else [keys_of(half) for half in zip(*map(halves, rounds[0]), strict=True)]
    noise = {key: results.spread([each[key] or 0.0 for each in apart]) for key in keys}
    keys["mix_constant_ms"] = LIMITER_MS + LOOK_AHEAD_MS
    together = [[heard[i] for heard in rounds] for i in range(len(cases))]
    return run.result(
        keys,
        noise=noise,
        tables=[times_table(together), parts_table(together)],
        series=[results.distribution(each[0].case.name, _raw(each), MILLISECONDS) for each in together],
        remarks=remarks_of(together),
    )


def _raw(rounds: Sequence[Heard]) -> list[float]:
    return [ms for each in rounds for ms in each.raw_ms]


def times_table(together: Sequence[Sequence[Heard]]) -> Table:
    rows: list[list[str | float | int | None]] = []
    for rounds in together:
        case, raw = rounds[0].case, _raw(rounds)
        added = [ms - case.apart_ms for ms in raw]
        shares = (0.5, 0.9, 0.99, 0.999)
        rows.append(
            [
                *(case.name, len(raw), sum(each.said for each in rounds), case.apart_ms),
                *(percentile(raw, share) for share in (0.5, 0.99)),
                *(percentile(added, share) for share in shares),
                max(added),
            ]
        )
    columns = [
        *(Column("rooms with"), Column("chirps heard"), Column("said"), Column("a forwarded packet", "ms")),
        *(Column(f"mouth to ear {word}", "ms") for word in ("p50", "p99")),
        *(Column(f"added {word}", "ms") for word in ("p50", "p90", "p99", "p99.9", "max")),
    ]
    note = (
        "The floor is a forwarded packet: the frame of 20 ms, 6.5 ms of the speaker's encoder, and the path. Added is "
        "all beyond. Chirps that were said before anybody listened, or two at once, are not heard."
    )
    return Table("From mouth to ear", columns, rows, note)


def parts_table(together: Sequence[Sequence[Heard]]) -> Table:
    rows: list[list[str | float | int | None]] = []
    for rounds in together:
        parts = [each.parts for each in rounds]

        def mean(name: str, parts: Sequence[Parts] = parts) -> float:
            return float(statistics.mean(getattr(each, name) for each in parts))

        added = statistics.mean(ms for each in rounds for ms in each.added_ms)
        rows.append(
            [
                rounds[0].case.name,
                *(mean("jitter_buffer"), mean("tick"), LIMITER_MS, LOOK_AHEAD_MS),
                *(mean("sending"), mean("late"), mean("computing")),
                *(mean("together"), added, 100 * mean("passed")),
            ]
        )
    columns = [
        Column("rooms with"),
        *(Column("jitter buffer", "ms"), Column("tick and alignment", "ms")),
        *(Column("limiter", "ms", 1), Column("encoder's look-ahead", "ms", 1)),
        *(Column("tick to sent", "ms", 3), Column("of it late", "ms", 3), Column("computing", "ms", 3)),
        *(Column("together", "ms"), Column("measured", "ms"), Column("passed on", "%", 1)),
    ]
    note = (
        "Means. The parts are what the server says of itself (/metrics), `measured` is what ears heard. Who is passed "
        "on is not limited and not encoded, and waits as long, so that a mix can take over at any tick."
    )
    return Table("Where it waits in the server", columns, rows, note)


def remarks_of(together: Sequence[Sequence[Heard]]) -> list[str]:
    remarks: list[str] = []
    for rounds in together:
        doubts = {doubt for each in rounds for doubt in each.doubts}
        remarks += [f"DOUBT {rounds[0].case.name}: {doubt}" for doubt in sorted(doubts)]
        faults = {name for each in rounds for name in each.faults}
        remarks += [f"FAULT {rounds[0].case.name}: {', '.join(sorted(faults))}"] if faults else []
    return remarks


def main() -> None:
    arguments = results.parser("mix-latency", __doc__).parse_args()
    results.finish("mix-latency", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
