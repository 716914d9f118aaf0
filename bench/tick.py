"""How late the rooms' ticks are, and how long they take, while the server is busy with other things.

Rooms of two who talk and some who listen are mixed by one worker, all the time. Meanwhile, one after the other: nothing
else; Python's garbage collector, made to collect everything ten times a second (bench/collecting.py); control calls
that change the rooms; peers who join at a rate that a storm has. The server's own histograms say how late its ticks
began and how long they took, of the time in which the disturbance went on.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from bench import results
from bench.join import late_ms
from bench.loaded import Departing
from bench.loads import Account, Crowd, ServerRooms, play, room_by_room
from bench.places import SignedRooms
from bench.processes import Histogram, Server, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Table
from mediaserver.client import CallError, MediaServer
from mediaserver.loadgen.plan import Plan

LATENESS, DURATION = "mediaserver_tick_lateness_seconds", "mediaserver_tick_duration_seconds"
PREFIX = "tick"
PAUSE_S = 0.3  # between two disturbances


@dataclass(frozen=True)
class Size:
    """rooms, listeners: that are mixed; seconds: of each disturbance, which is there lead_s before it counts;
    joins_per_s, calls_per_s: of it."""

    rooms: int = 20
    listeners: int = 20
    seconds: float = 12.0
    rounds: int = 3
    joins_per_s: float = 200.0
    calls_per_s: float = 200.0
    lead_s: float = 1.0


QUICK = Size(rooms=8, listeners=8, seconds=1.2, rounds=2, lead_s=0.3)


@dataclass(frozen=True)
class Ticks:
    """done: joins, or calls, that the disturbance came to."""

    name: str
    late: Histogram
    took: Histogram
    done: int


def nothing(server: Server, size: Size, until: float) -> int:
    return 0


def join_storm(server: Server, size: Size, until: float) -> int:
    """Peers of other rooms, who listen to a mix of nobody: what counts is that they come."""
    seconds = max(0.5, until - time.monotonic())
    plan = Plan(
        rooms=8,
        speakers=1,
        listeners=max(1, int(seconds * size.joins_per_s / 8) - 1),
        mode="mix",
        sound="speech",
        ears=0,
        join_rate=size.joins_per_s,
        duration_s=0.2,
        prefix=f"storm-{time.monotonic_ns()}",
    )

    async def work() -> int:
        key_id, _, secret = server.key.partition(":")
        async with MediaServer(server.url, key_id, secret) as api:
            return (await Departing(plan, SignedRooms(api, server.url, server.key)).run()).connected

    return asyncio.run(work())


def control_calls(server: Server, size: Size, until: float) -> int:
    """Changes of a speaker's gain, room by room, by one client; what it is late by it makes up for."""
    done, begun = 0, time.monotonic()
    key_id, _, secret = server.key.partition(":")
    with httpx.Client(base_url=server.url, auth=(key_id, secret), timeout=20) as http:
        while (now := time.monotonic()) < until:
            due = begun + done / size.calls_per_s
            time.sleep(max(0.0, due - now))
            room = quote(f"{PREFIX}-{done % size.rooms}")
            body = {"speakers": {"speaker-0": {"gain_db": -(done // size.rooms % 6)}}}
            response = http.patch(f"/v1/rooms/{room}", json=body)
            if response.status_code == httpx.codes.NOT_FOUND and done:
                break  # the load is over, and its rooms are gone
            response.raise_for_status()
            done += 1
    return done


def collections(server: Server, size: Size, until: float) -> int:
    """In the server's process, as long as there is a file that it looks for."""
    wanted = Path(server.program[-1])
    wanted.touch()
    try:
        time.sleep(max(0.0, until - time.monotonic()))
    finally:
        wanted.unlink()
    return 0


@dataclass(frozen=True)
class Disturbance:
    name: str
    key: str
    act: Callable[[Server, Size, float], int]


DISTURBANCES = (
    Disturbance("nothing", "quiet", nothing),
    Disturbance("garbage collections", "collections", collections),
    Disturbance("control calls", "calls", control_calls),
    Disturbance("join storm", "joins", join_storm),
)


def disturbed(server: Server, size: Size) -> list[list[Ticks]]:
    """One after another, round by round, beside the same rooms. CannotMeasure when the load or a disturbance cannot be
    made."""
    plan = Plan(
        rooms=size.rooms,
        speakers=2,
        listeners=size.listeners,
        mode="mix",
        sound="speech",
        ears=0,
        join_rate=200.0,
        prefix=PREFIX,
    )
    rounds: list[list[Ticks]] = []

    async def script(crowd: Crowd) -> None:
        await crowd.become(size.rooms)
        rounds.extend(
            [[await during(server, each, size) for each in DISTURBANCES] for _ in range(size.rounds)],
        )

    try:
        play(plan, ServerRooms(server), Account(server.cpu_s), script, room_by_room(plan))
    except ExceptionGroup as errors:
        raise CannotMeasure(f"A disturbance cannot be made: {errors.exceptions[0]}") from None
    except (CallError, OSError, ValueError) as error:
        raise CannotMeasure(f"The load cannot be made: {error}") from None
    return rounds


async def during(server: Server, disturbance: Disturbance, size: Size) -> Ticks:
    acting = asyncio.create_task(
        asyncio.to_thread(disturbance.act, server, size, time.monotonic() + size.lead_s + size.seconds)
    )
    await asyncio.sleep(size.lead_s)
    first = await asyncio.to_thread(server.metrics)
    await asyncio.sleep(size.seconds)
    last = await asyncio.to_thread(server.metrics)
    done = await acting
    await asyncio.sleep(PAUSE_S)

    def since(name: str) -> Histogram:
        return last.histogram(name) - first.histogram(name)

    return Ticks(disturbance.name, since(LATENESS), since(DURATION), done)


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when this process may use one core only, or the server takes no load."""
    run = Run("tick", quick=quick)
    size = size or (QUICK if quick else Size())
    cores = two_cores()
    with tempfile.TemporaryDirectory(prefix="bench-tick-") as directory, bound_to(cores[1]):
        program = (
            sys.executable,
            "-c",
            "from bench.collecting import serve; serve()",
            str(Path(directory) / "collect"),
        )
        with Server("--real-time", core=cores[0], program=program) as server:
            rounds = disturbed(server, size)
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    for place, disturbance in enumerate(DISTURBANCES):
        for name, of in (("late", "late"), ("took", "took")):
            for share, word in ((0.99, "p99"), (0.999, "p999")):
                values = [quantile_ms(getattr(ticks[place], of), share) for ticks in rounds]
                key = f"tick_{name}_{word}_ms_{disturbance.key}"
                keys[key] = statistics.median(values)
                noise[key] = results.spread(values)
    worst = [max(late_ms(each.late) or 0.0 for each in ticks) for ticks in rounds]
    keys["tick_late_p999_ms"] = statistics.median(worst)
    noise["tick_late_p999_ms"] = results.spread(worst)
    return run.result(keys, noise=noise if size.rounds > 1 else {}, tables=[table_of(rounds, size)])


def quantile_ms(histogram: Histogram, share: float) -> float:
    """The bound that so many kept; the last finite one where they are beyond it. CannotMeasure without ticks."""
    bound = histogram.quantile(share)
    if bound is None:
        raise CannotMeasure("No room ticked.")
    return 1000 * min(bound, max(each for each in histogram.cumulated if each != float("inf")))


def table_of(rounds: Sequence[Sequence[Ticks]], size: Size) -> Table:
    rows: list[list[str | float | int | None]] = []
    for place in range(len(rounds[0])):
        ticks = [each[place] for each in rounds]
        row: list[str | float | int | None] = [ticks[0].name, round(sum(each.late.count for each in ticks))]
        row += [
            statistics.median(quantile_ms(getattr(each, of), share) for each in ticks)
            for of in ("late", "took")
            for share in (0.5, 0.99, 0.999)
        ]
        row.append(sum(each.late.above(0.005) for each in ticks) / sum(each.late.count for each in ticks) * 100)
        row.append(sum(each.done for each in ticks) / (size.seconds + size.lead_s) / len(ticks))
        rows.append(row)
    columns = [
        *(Column("meanwhile"), Column("ticks")),
        *(Column(f"late {word}", "ms", 3) for word in ("p50", "p99", "p99.9")),
        *(Column(f"took {word}", "ms", 3) for word in ("p50", "p99", "p99.9")),
        *(Column("late by more than 5 ms", "%", 3), Column("joins or calls a second", "", 0)),
    ]
    note = (
        f"Of {size.rooms} rooms of 2 talkers and {size.listeners} listeners on one worker. Figures are the histogram's "
        "bounds (1, 2, 5 and so on): at most that. The floor of lateness is the kernel's timer, 0.05 ms."
    )
    return Table("Ticks while the server is busy", columns, rows, note)


def main() -> None:
    arguments = results.parser("tick", __doc__).parse_args()
    results.finish("tick", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
