"""How long the server keeps a forwarded packet: for the first and for the last of N listeners.

One publisher's packets, one after the other, go through a plane of one worker on a core of its own to N sockets; each
listener has keys of his own. Both ends are time stamps of the kernel: when it took the packet off the publisher's
socket (SO_TIMESTAMPING) and when it put each copy into a listener's (SO_TIMESTAMPNS). So nobody's reading is in it,
neither ours nor that of thousands of sockets. In it are the kernel's way to the server's socket, waking the worker,
opening, ranking, N times sealing and sending, and the kernel's way to the listener's socket.

The *floor* is measured in the same rounds in the same way: a program that only opens, seals with OpenSSL and calls
sendmmsg (bench/relay.cpp), to the same sockets. "N times the floor" is when its last listener has his copy.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import results
from bench.plane import Room, drain
from bench.processes import bound_to, two_cores
from bench.programs import build
from bench.rawpeer import Address, RawPeer
from bench.results import CannotMeasure, Column, Result, Run, Series, Table

# Of Linux; the socket module does not name them.
SO_TIMESTAMPNS, SO_TIMESTAMPING, MSG_ERRQUEUE = 35, 37, 0x2000
TX_SOFTWARE, SOFTWARE, OPT_TSONLY = 1 << 1, 1 << 4, 1 << 11
CONTROL_BYTES = 256
INTERVAL_S = 0.02
LOST_S = 5.0
"""After which a copy is taken to be lost, and the figures with it."""
LISTENERS = 1000  # of those that the keys are of
MICROSECONDS = "microseconds in the server"


@dataclass(frozen=True)
class Size:
    """packets: of a round, for each number of listeners."""

    packets: dict[int, int]
    rounds: int = 5


FULL = Size({1: 250, 100: 250, 1000: 150, 4000: 50})
QUICK = Size({1: 25, 100: 25, 1000: 50}, rounds=2)


@dataclass(frozen=True)
class Kept:
    """µs from the publisher's socket to the first and to the last listener's, of each packet."""

    first_us: list[float]
    last_us: list[float]


# ---- the kernel's time stamps


def stamp_sending(sender: socket.socket) -> None:
    sender.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)


def stamp_receiving(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def sent_ns(sender: socket.socket) -> int:
    """When the kernel sent what was sent last; to be asked once for each. CannotMeasure when it does not say."""
    deadline = time.monotonic() + LOST_S
    while time.monotonic() < deadline:
        try:
            _, controls, _, _ = sender.recvmsg(0, CONTROL_BYTES, MSG_ERRQUEUE)
        except BlockingIOError:
            continue
        for level, kind, data in controls:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                return _ns(data)
    raise CannotMeasure("The kernel gives no time stamps of what is sent (SO_TIMESTAMPING).")


def received_ns(receiver: socket.socket) -> int | None:
    """When the kernel had the next packet of RTP of this socket, which is thrown away as all before it are; None: there
    is none yet."""
    try:
        begin, controls, _, _ = receiver.recvmsg(2, CONTROL_BYTES)
        while len(begin) < 2 or begin[0] < 128 or 192 <= begin[1] <= 223:  # RFC 5761: RTCP comes when it likes
            begin, controls, _, _ = receiver.recvmsg(2, CONTROL_BYTES)
    except BlockingIOError:
        return None
    for level, kind, data in controls:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            return _ns(data)
    raise CannotMeasure("The kernel gives no time stamps of what is received (SO_TIMESTAMPNS).")


def _ns(data: bytes) -> int:
    seconds, nanoseconds = struct.unpack_from("qq", data)
    return int(seconds * 1_000_000_000 + nanoseconds)


# ---- one round


def send_through(sender: socket.socket, packets: Sequence[bytes], server: Address, sinks: Sequence[RawPeer]) -> Kept:
    """The packets one by one, the next when every sink has the last and 20 ms have gone by. The sinks are empty before.
    CannotMeasure when a copy does not come."""
    kept = Kept([], [])
    last_sink = sinks[-1].socket
    for packet in packets:
        begun = time.monotonic()
        sender.sendto(packet, server)
        select.select(
            [last_sink], [], [], LOST_S
        )  # all are read when all are there: reading takes no time from sending
        arrivals: list[int] = []
        waiting = [sink.socket for sink in sinks]
        while waiting:
            late: list[socket.socket] = []
            for each in waiting:
                arrival = received_ns(each)
                if arrival is None:
                    late.append(each)
                else:
                    arrivals.append(arrival)
            waiting = late
            if time.monotonic() - begun > LOST_S:
                raise CannotMeasure(f"{len(waiting)} of {len(sinks)} copies of a packet did not come.")
        sent = sent_ns(sender)
        kept.first_us.append((min(arrivals) - sent) / 1000)
        kept.last_us.append((max(arrivals) - sent) / 1000)
        time.sleep(max(0.0, begun + INTERVAL_S - time.monotonic()))
    return kept


def plane_thread() -> int:
    """The thread of this process's plane that began last. CannotMeasure when there is none."""
    found = [
        int(task.name) for task in Path("/proc/self/task").iterdir() if (task / "comm").read_text().startswith("plane-")
    ]
    if not found:
        raise CannotMeasure("The plane has no thread.")
    return max(found)


@contextlib.contextmanager
def relay(sinks: Sequence[RawPeer], core: int, directory: Path) -> Iterator[Address]:
    """The floor's program, at its address. CannotMeasure when it cannot be built."""
    program, ports = build("relay"), directory / "ports"
    ports.write_text("\n".join(str(sink.socket.getsockname()[1]) for sink in sinks))
    process = subprocess.Popen(
        [str(program), "127.0.0.1", str(ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        os.sched_setaffinity(process.pid, {core})
        yield "127.0.0.1", int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


@dataclass
class Measured:
    """Rounds of both, in turn."""

    listeners: int
    ours: list[Kept]
    floor: list[Kept]


def measure_listeners(listeners: int, packets: int, rounds: int, cores: tuple[int, int]) -> Measured:
    with bound_to(cores[1]), contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sinks = [RawPeer() for _ in range(listeners)]
        for sink in sinks:
            stack.callback(sink.close)
            stamp_receiving(sink.socket)
        room = Room(sinks, publishers=1, mixed=False)
        stack.callback(room.close)
        os.sched_setaffinity(plane_thread(), {cores[0]})
        floor = stack.enter_context(relay(sinks, cores[0], directory))
        publisher, speech = room.publishers[0], room.speech[0]
        stranger = stack.enter_context(contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        stranger.setblocking(False)
        for sender in (publisher.socket, stranger):
            stamp_sending(sender)

        def through(packets: int, sender: socket.socket, server: Address, make: Callable[[int], bytes]) -> Kept:
            drain(sinks, 0)
            return send_through(sender, [make(number) for number in range(packets)], server, sinks)

        def ours(number: int) -> bytes:
            return publisher.rtp(speech[number % len(speech)])

        def sealed(number: int) -> bytes:
            # As long as one of ours: header, payload, tag.
            return b"\x90" + bytes(27 + len(speech[number % len(speech)]) + 16)

        measured = Measured(listeners, [], [])
        through(5, publisher.socket, room.server, ours)  # caches, ARP, and who is the loudest
        through(5, stranger, floor, sealed)
        for _ in range(rounds):
            measured.ours.append(through(packets, publisher.socket, room.server, ours))
            measured.floor.append(through(packets, stranger, floor, sealed))
        return measured


# ---- all of it


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000) * len(ordered) // 1000) - 1)]


def keys_of(measured: Measured) -> tuple[dict[str, float | None], dict[str, float]]:
    """The figures and how far rounds lie apart: of the medians of rounds, but for the first percentiles."""
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}

    def note(name: str, value: float, rounds: Sequence[float]) -> None:
        keys[name] = round(value, 3)
        noise[name] = results.spread(rounds)

    first = [us for kept in measured.ours for us in kept.first_us]
    for share, word in ((0.5, "p50"), (0.99, "p99")):
        by_round = [percentile(kept.first_us, share) for kept in measured.ours]
        note(f"forward_first_{word}_us", percentile(first, share), by_round)
    last = [percentile(kept.last_us, 0.5) for kept in measured.ours]
    floor = [percentile(kept.last_us, 0.5) for kept in measured.floor]
    note("forward_last_p50_us", statistics.median(last), last)
    note("forward_last_floor_p50_us", statistics.median(floor), floor)
    ratios = [ours / theirs for ours, theirs in zip(last, floor, strict=True)]
    note("forward_last_to_floor", statistics.median(ratios), ratios)
    floor_first = [percentile(kept.first_us, 0.5) for kept in measured.floor]
    note("forward_first_floor_p50_us", statistics.median(floor_first), floor_first)
    floor_worst = [percentile(kept.first_us, 0.99) for kept in measured.floor]
    note("forward_first_floor_p99_us", statistics.median(floor_worst), floor_worst)
    return keys, noise


def table_of(measured: Sequence[Measured]) -> Table:
    rows: list[list[str | float | int | None]] = []
    for each in measured:
        for who, rounds in (("server", each.ours), ("floor", each.floor)):
            for which in ("first", "last"):
                values = [us for kept in rounds for us in getattr(kept, f"{which}_us")]
                figures = [percentile(values, share) for share in (0.5, 0.9, 0.99, 0.999)]
                rows.append([each.listeners, who, which, len(values), *figures, max(values)])
    columns = [
        *(Column("listeners"), Column("who"), Column("listener"), Column("packets")),
        *(Column(word, "µs", 1) for word in ("p50", "p90", "p99", "p99.9", "max")),
    ]
    note = (
        "From the kernel's time stamp on the publisher's socket to that on the first and the last listener's. Of fewer "
        "than a thousand packets, p99.9 is the worst."
    )
    return Table("How long a forwarded packet stays", columns, rows, note)


def series_of(measured: Sequence[Measured]) -> list[Series]:
    made = []
    for each in measured:
        for who, rounds in (("server", each.ours), ("floor", each.floor)):
            for which in ("first", "last"):
                values = [us for kept in rounds for us in getattr(kept, f"{which}_us")]
                one = results.distribution(f"{which} of {each.listeners:,}, {who}", values, MICROSECONDS)
                made.append(Series(one.name, one.kind, one.x, one.y, one.x_name, one.y_name, floor=who == "floor"))
    return made


def measure(quick: bool, size: Size | None = None) -> Result:
    """CannotMeasure when this process may use one core only, or has too few descriptors."""
    run = Run("forward-latency", quick=quick)
    size = size or (QUICK if quick else FULL)
    cores = two_cores()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * max(size.packets) + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise CannotMeasure(f"{needed:,} open files are needed, and the system permits {hard:,}: see ulimit -n.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    measured = [
        measure_listeners(listeners, packets, size.rounds, cores) for listeners, packets in size.packets.items()
    ]
    told = min(measured, key=lambda each: abs(each.listeners - LISTENERS))
    keys, noise = keys_of(told)
    remarks = [] if told.listeners == LISTENERS else [f"The keys are of {told.listeners:,} listeners."]
    return run.result(
        keys,
        noise=noise if size.rounds > 1 else {},
        tables=[table_of(measured)],
        series=series_of([told]),
        remarks=remarks,
    )


def main() -> None:
    arguments = results.parser("forward-latency", __doc__).parse_args()
    results.finish("forward-latency", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
