"""How late the rooms' ticks are, and how long they take, while the server is busy with other things.

Rooms of two who talk and some who listen are mixed by one worker, all the time. Meanwhile, one after the other: nothing
else; peers who join at a rate that a storm has; Python's garbage collector, made to collect everything ten times a
second (bench/collecting.py, a server of its own); control calls that change the rooms. The server's own histograms say
how late its ticks began and how long they took, of the time in which the disturbance went on.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import httpx

from bench import loaded, results
from bench.join import late_ms
from bench.places import SignedRooms
from bench.processes import Histogram, Server, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Table
from mediaserver.client import CallError, MediaServer
from mediaserver.loadgen.plan import Plan
from mediaserver.loadgen.run import Load

LATENESS, DURATION = "mediaserver_tick_lateness_seconds", "mediaserver_tick_duration_seconds"
COLLECT_EVERY_S = 0.1
PREFIX = "tick"
ROOMS_WITHIN_S = 30.0


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


QUICK = Size(rooms=10, listeners=5, seconds=4.0, rounds=1)


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
            return (await Load(plan, SignedRooms(api, server.url, server.key)).run()).connected

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


@dataclass(frozen=True)
class Disturbance:
    """program: of the server, None: the installed one."""

    name: str
    key: str
    act: Callable[[Server, Size, float], int]
    program: tuple[str, ...] | None = None


DISTURBANCES = (
    Disturbance("nothing", "quiet", nothing),
    Disturbance("join storm", "joins", join_storm),
    Disturbance(
        *("garbage collections", "collections", nothing),
        program=(sys.executable, "-m", "bench.collecting", str(COLLECT_EVERY_S)),
    ),
    Disturbance("control calls", "calls", control_calls),
)


def wait_for_rooms(server: Server) -> None:
    """Until the load has made its first. TimeoutError when it does not."""
    key_id, _, secret = server.key.partition(":")
    deadline = time.monotonic() + ROOMS_WITHIN_S
    with httpx.Client(base_url=server.url, auth=(key_id, secret), timeout=20) as http:
        while http.get(f"/v1/rooms/{PREFIX}-0").status_code != httpx.codes.OK:
            if time.monotonic() > deadline:
                raise TimeoutError("the load's rooms do not come")
            time.sleep(0.02)


def disturbed(server: Server, disturbance: Disturbance, size: Size) -> Ticks:
    """CannotMeasure when the load or the disturbance cannot be made."""
    plan = Plan(
        rooms=size.rooms,
        speakers=2,
        listeners=size.listeners,
        mode="mix",
        sound="speech",
        ears=0,
        join_rate=100.0,
        duration_s=2 * size.lead_s + size.seconds + 1.0,
        prefix=PREFIX,
    )
    begin_s = plan.last_join_s + 2 * size.lead_s
    done: list[int] = []
    failed: list[Exception] = []

    def act() -> None:
        try:
            wait_for_rooms(server)
            time.sleep(loaded.SETTLE_S + begin_s - size.lead_s)
            done.append(disturbance.act(server, size, time.monotonic() + size.seconds + size.lead_s))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        found = loaded.run(server, plan, [begin_s, begin_s + size.seconds])
    except (CallError, OSError, ValueError) as error:
        raise CannotMeasure(f"The load cannot be made: {error}") from None
    finally:
        thread.join()
    if failed:
        raise CannotMeasure(f"The disturbance ({disturbance.name}) cannot be made: {failed[0]}")
    _, first, last = found.looks

    def since(name: str) -> Histogram:
        return last.metrics.histogram(name) - first.metrics.histogram(name)

    return Ticks(disturbance.name, since(LATENESS), since(DURATION), done[0])


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when this process may use one core only, or the server takes no load."""
    run = Run("tick", quick=quick)
    size = size or (QUICK if quick else Size())
    cores = two_cores()
    with bound_to(cores[1]), contextlib.ExitStack() as stack:
        programs = {each.program for each in DISTURBANCES}
        servers = {each: stack.enter_context(Server("--real-time", core=cores[0], program=each)) for each in programs}
        rounds = [[disturbed(servers[each.program], each, size) for each in DISTURBANCES] for _ in range(size.rounds)]
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
