"""What silent rooms cost: CPU time and memory of many rooms with one speaker in DTX and two listeners each.

Every peer is a real WebRTC peer that joined as others do. Then nobody says anything: a speaker sends what Opus sends in
DTX, a small packet of quiet noise about every 400 ms, everybody sends consent checks and RTCP reports, and the server
answers them. The server's process is charged for all of it, on a core that the peers do not use.

Memory is the process's proportional set size, at four moments: before anybody, with the speakers, with one listener a
room, with two. A room's first listener brings the mix along (encoder, jitter buffer, decoder), so a listener is what
the second one takes, and a room is what is there with the first less that. Handshakes have been forgotten by then.
Sockets' memory is the kernel's and is in none of these figures; the server has few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench import loaded, results
from bench.loaded import Departing, Loaded, Look
from bench.processes import Server, bound_to, two_cores
from bench.results import CannotMeasure, Column, Result, Run, Series, Table
from mediaserver import _native
from mediaserver.client import CallError
from mediaserver.loadgen.plan import FRAME_S, Join, Mode, Plan
from mediaserver.loadgen.sounds import FRAME, encode

LISTENERS = 2
TARGET_ROOMS = 5000
DTX_EVERY_S = 0.4
NOISE_RMS = 10 ** (-75 / 20)  # of full scale: below what the server takes for sound, as comfort noise is
NOISE_FRAMES = 50
JOIN_RATE = 100.0
SHARES = ("idle_core_share", "idle_core_share_projected", "idle_us_per_room_second")
MISSING = 0.01
"""Share of the peers that may be missing; with more, the figures would be of other rooms."""
SETTLE_S = 6.0
"""After joins, until handshakes are forgotten: sessions.RELEASE_AFTER_S, and then some."""


class Silent(Departing):
    """Whose speakers have nothing to say but what DTX says."""

    def _make_sounds(self) -> tuple[list[_native.LoadSound], str]:
        noise = np.random.default_rng(self._plan.seed).normal(0, NOISE_RMS, NOISE_FRAMES * FRAME).astype(np.float32)
        return [_native.LoadSound(encode(noise))], "silence"


@dataclass(frozen=True, slots=True)
class Stages(Plan):
    """All speakers join, then one listener a room, and so on; between two of them nobody does for a while."""

    pause_s: float = SETTLE_S

    def joins(self) -> Iterator[Join]:
        for number, join in enumerate(Plan.joins(self)):
            yield replace(join, at_s=join.at_s + self.pause_s * (number // self.rooms))

    @property
    def last_join_s(self) -> float:
        return (self.peers - 1) / self.join_rate + self.pause_s * self.listeners

    def ends_s(self) -> list[float]:
        """When each stage, and the pause after it, is over."""
        return [stage * self.rooms / self.join_rate + self.pause_s * stage for stage in range(1, self.listeners + 2)]


@dataclass(frozen=True)
class Idle:
    """share: of one core, and of it the event loop's and the plane's; halves: of it, by time. bytes_per_room: with its
    speaker and its mix; bytes_per_speaker: of it what is there before anybody listens."""

    rooms: int
    mode: Mode
    connected: int
    failures: dict[str, int]
    share: float
    halves: tuple[float, float]
    loop_share: float
    plane_share: float
    bytes_before: int
    bytes_all: int
    bytes_per_speaker: float
    bytes_per_room: float
    bytes_per_listener: float
    ticks_per_s: float
    sent_per_s: float

    @property
    def us_per_room_second(self) -> float:
        return 1e6 * self.share / self.rooms


def plan_of(rooms: int, mode: Mode, idle_s: float, pause_s: float, join_rate: float) -> Stages:
    return Stages(
        rooms=rooms,
        speakers=1,
        listeners=LISTENERS,
        mode=mode,
        sound="speech",
        ears=0,
        spurt_s=FRAME_S,
        silence_s=DTX_EVERY_S - FRAME_S,
        join_rate=join_rate,
        duration_s=pause_s + idle_s + 1.0,
        prefix="idle",
        pause_s=pause_s,
    )


def silence(cores: tuple[int, int], plan: Stages, idle_s: float) -> Idle:
    """In a server of its own, which has forgotten nothing of those before."""
    ends_s = plan.ends_s()
    limits = ("--max-rooms", str(plan.rooms), "--max-sessions", str(plan.peers))
    with bound_to(cores[1]), Server(*limits, core=cores[0]) as server:
        looks = [*ends_s, ends_s[-1] + idle_s / 2, ends_s[-1] + idle_s]
        found = loaded.run(server, plan, looks, load=Silent, deletes=False)
    found_idle = idle_of(found, plan)
    missing = plan.peers - found_idle.connected
    if missing > MISSING * plan.peers:
        why = "; ".join(f"{count:,}: {reason}" for reason, count in found_idle.failures.items())
        raise CannotMeasure(f"Of {plan.peers:,} peers {missing:,} did not get in, so nothing can be said ({why}).")
    return found_idle


def idle_of(found: Loaded, plan: Plan) -> Idle:
    before, with_speakers, with_one, full, middle, after = found.looks
    seconds = after.at_s - full.at_s
    spent = after.cpu - full.cpu

    per_listener = (full.memory.pss - with_one.memory.pss) / plan.rooms

    def per_s(name: str) -> float:
        return (after.metrics.total(name) - full.metrics.total(name)) / seconds

    return Idle(
        rooms=plan.rooms,
        mode=plan.mode,
        connected=found.report.connected,
        failures=found.report.failures(),
        share=spent.total / seconds,
        halves=(_share(full, middle), _share(middle, after)),
        loop_share=spent.loop / seconds,
        plane_share=spent.plane / seconds,
        bytes_before=before.memory.pss,
        bytes_all=full.memory.pss,
        bytes_per_speaker=(with_speakers.memory.pss - before.memory.pss) / plan.rooms,
        bytes_per_room=(with_one.memory.pss - before.memory.pss) / plan.rooms - per_listener,
        bytes_per_listener=per_listener,
        ticks_per_s=_ticks(full, after) / seconds,
        sent_per_s=per_s("mediaserver_plane_packets_forwarded_total") + per_s("mediaserver_plane_packets_mixed_total"),
    )


def _share(before: Look, after: Look) -> float:
    return (after.cpu - before.cpu).total / (after.at_s - before.at_s)


def _ticks(before: Look, after: Look) -> float:
    name = "mediaserver_tick_lateness_seconds"
    return (after.metrics.histogram(name) - before.metrics.histogram(name)).count


# ---- all of it


@dataclass(frozen=True)
class Size:
    """Of a run. Rooms, each number in a server of its own; seconds of silence that are measured."""

    rooms: Sequence[int] = (1000, TARGET_ROOMS)
    modes: Sequence[Mode] = ("mix", "select")
    idle_s: float = 20.0
    pause_s: float = SETTLE_S
    join_rate: float = JOIN_RATE


QUICK = Size(rooms=(200,), modes=("mix",), idle_s=4.0, pause_s=2.5, join_rate=200.0)


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when the machine cannot do it. The last number of rooms is measured in the first mode alone, which
    the keys are of."""
    size = size or (QUICK if quick else Size())
    run = Run("idle", quick=quick)
    cores = two_cores()
    found: list[Idle] = []
    try:
        for rooms in size.rooms:
            for mode in size.modes if rooms != max(size.rooms) else size.modes[:1]:
                plan = plan_of(rooms, mode, size.idle_s, size.pause_s, size.join_rate)
                found.append(silence(cores, plan, size.idle_s))
    except (CallError, ValueError, OSError) as error:
        raise CannotMeasure(str(error)) from error
    return result(run, found)


def result(run: Run, found: Sequence[Idle]) -> Result:
    largest = found[-1]
    of_mode = [each for each in found if each.mode == largest.mode]
    share = next((each.share for each in of_mode if each.rooms == TARGET_ROOMS), None)
    keys: dict[str, float | None] = {
        "idle_core_share": share,
        "idle_core_share_projected": largest.share * TARGET_ROOMS / largest.rooms,
        "idle_us_per_room_second": largest.us_per_room_second,
        "bytes_per_listener": largest.bytes_per_listener,
        "bytes_per_room": largest.bytes_per_room,
        "idle_not_connected": float(sum(sum(each.failures.values()) for each in found)),
    }
    noise = dict.fromkeys(SHARES, results.spread(largest.halves))
    if len(of_mode) > 1:
        noise["bytes_per_listener"] = results.spread([each.bytes_per_listener for each in of_mode])
    return run.result(
        keys,
        noise={key: value for key, value in noise.items() if keys[key] is not None},
        tables=[cpu_table(found), memory_table(found)],
        series=[
            Series(
                f"silent rooms, {mode}",
                "growth",
                [float(each.rooms) for each in found if each.mode == mode],
                [100 * each.share for each in found if each.mode == mode],
                "rooms",
                "% of a core",
            )
            for mode in dict.fromkeys(each.mode for each in found)
        ],
        remarks=remarks(found),
    )


def cpu_table(found: Sequence[Idle]) -> Table:
    columns = [
        *(Column("rooms"), Column("mode"), Column("peers"), Column("core", "%"), Column("event loop", "%")),
        *(
            Column("plane", "%"),
            Column("a room's second", "µs", 1),
            Column("ticks", "1/s", 0),
            Column("RTP sent", "1/s", 0),
        ),
    ]
    rows: list[list[results.Cell]] = [
        [
            *(each.rooms, each.mode, each.connected, 100 * each.share, 100 * each.loop_share),
            *(100 * each.plane_share, each.us_per_room_second, each.ticks_per_s, each.sent_per_s),
        ]
        for each in found
    ]
    note = (
        f"Each room has a speaker in DTX (a packet about every {1000 * DTX_EVERY_S:.0f} ms) and {LISTENERS} listeners; "
        "consent checks and RTCP reports are in it."
    )
    return Table("CPU time of silent rooms", columns, rows, note)


def memory_table(found: Sequence[Idle]) -> Table:
    columns = [
        *(Column("rooms"), Column("mode"), Column("before", "MiB", 1), Column("with all", "MiB", 1)),
        *(Column("a room and its speaker", "KiB", 1), Column("with its mix", "KiB", 1), Column("a listener", "KiB", 1)),
    ]
    rows: list[list[results.Cell]] = [
        [
            *(each.rooms, each.mode, each.bytes_before / 2**20, each.bytes_all / 2**20),
            *(each.bytes_per_speaker / 1024, each.bytes_per_room / 1024, each.bytes_per_listener / 1024),
        ]
        for each in found
    ]
    return Table("Memory of silent rooms (proportional set size)", columns, rows)


def remarks(found: Sequence[Idle]) -> list[str]:
    said = [
        f"DOUBT {each.rooms} rooms, {each.mode}: {count} peers: {reason}."
        for each in found
        for reason, count in each.failures.items()
    ]
    if not any(each.rooms == TARGET_ROOMS for each in found):
        said.append(
            f"{TARGET_ROOMS:,} rooms were not measured; idle_core_share_projected is what {found[-1].rooms:,} "
            "took, in proportion, and small numbers share fewer system calls."
        )
    return said


def main() -> None:
    parser = results.parser("idle", __doc__)
    parser.add_argument("--rooms", type=int, nargs="+", metavar="N", help="numbers of rooms, instead of 1000 and 5000")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size()
    if arguments.rooms:
        if not all(1 <= rooms <= 6000 for rooms in arguments.rooms):
            parser.error("a number of rooms is 1 to 6000")
        size = replace(size, rooms=tuple(sorted(arguments.rooms)))
    results.finish("idle", lambda: measure(arguments.quick, size), arguments.json)


if __name__ == "__main__":
    main()
