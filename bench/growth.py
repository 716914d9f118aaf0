"""How the cost of a tick grows with what a node holds: `scripts/bench growth`.

CPU time of the plane's worker for each 20 ms, while one number grows and all others stay: seats without anybody in
them, talkers, listeners of a mix, rooms (of 2 talkers and a listener each). The exponent is that of
start + factor x^exponent, with the range in which 95 % of resampled measurements have it. 1 is a price per head; above
it, the crowd itself costs; 0 is free.

The plane is driven within this process by raw peers (bench/rawpeer.py) that send seeded speech; listeners' sockets are
read between rounds only. In full it takes 3 minutes, with --quick 15 s.
"""

from __future__ import annotations

import contextlib
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench import results
from bench.fitting import Power, power
from bench.rawpeer import AES_128_GCM, RawPeer
from bench.results import CannotMeasure, Result, Run, Series, Table, spread
from bench.speech import packets_of_speech
from mediaserver import _native, kernels

FRAME_S = 0.02
TICKS = 40
"""Of one measurement: what a socket's default buffer surely holds."""
QUICK_TICKS = 10
WARM_TICKS = 5
"""Of each measurement, not counted: the jitter buffers have their packets again after the pause."""
FIRST_TICKS = 15
"""Until a new room is as it will be."""
TALKERS = 2
MAX_DROPPED = 0.01
TRIES = 5
CURVE = 50  # points of a fitted one
FREE = 0.05
"""Growth over the whole range, as a share, below which an exponent is that of noise."""


class Scene:
    """Rooms that are alike, in a plane of one worker. Sockets are this process's own."""

    def __init__(self, *, seats: int = 0, talkers: int = TALKERS, listeners: int = 1, rooms: int = 1) -> None:
        self.plane = _native.Plane([[("127.0.0.1", 0)]], tcp=False)
        self.plane.set_kernels(**kernels.plane_arguments())
        self.plane.start()
        self._server = self.plane.addresses(0)[0]
        self._next = 1
        self._publishers: list[tuple[RawPeer, tuple[bytes, ...]]] = []
        self._sinks: list[RawPeer] = []
        for room in range(1, rooms + 1):
            self.plane.add_room(room, 0)
            for seat in range(seats):
                self.plane.set_column(room, 1000 + seat, 1.0)
            for talker in range(talkers):
                self._publish(room, csrc=talker + 1)
            self.plane.add_row(room, 1, [])
            for _ in range(listeners):
                self._listen(room)

    def _publish(self, room: int, csrc: int) -> None:
        raw, peer = RawPeer(), self._number()
        self.plane.set_column(room, csrc, 1.0)
        self.plane.add_publisher(
            peer,
            room,
            ufrag=raw.ufrag,
            pwd=raw.password,
            csrc=csrc,
            payload_type=111,
            level_id=1,
            report_ssrc=9,
        )
        self._connect(peer, raw)
        self._publishers.append((raw, packets_of_speech(csrc % 8)))

    def _listen(self, room: int) -> None:
        raw, peer = RawPeer(), self._number()
        slot = _native.Slot(ssrc=1000, payload_type=111, mid="0", mid_id=4, level_id=1, nack=True)
        self.plane.add_listener(
            peer, 0, room, ufrag=raw.ufrag, pwd=raw.password, csrc=100_000 + peer, slots=[slot], cname="bench", row=1
        )
        self._connect(peer, raw)
        self._sinks.append(raw)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _connect(self, peer: int, raw: RawPeer) -> None:
        raw.connect(self._server)
        self.plane.set_keys(peer, AES_128_GCM, raw.material)
        raw.socket.setblocking(False)

    def us_per_tick(self, ticks: int) -> float | None:
        """CPU time of the worker for 20 ms, while everybody talks for so many of them, after a little that is not
        counted. None when listeners were not sent what they should have been: it would be another load's price."""
        begin = time.monotonic()
        for raw, _ in self._publishers:
            raw.timestamp = int(begin / FRAME_S) * 960  # media time went on since the last round
        before, since = self.plane.counters(0), begin
        for number in range(WARM_TICKS + ticks):
            if number == WARM_TICKS:
                before, since = self.plane.counters(0), time.monotonic()
            for raw, speech in self._publishers:
                raw.socket.sendto(raw.rtp(speech[number % len(speech)]), self._server)
            time.sleep(max(0.0, begin + (number + 1) * FRAME_S - time.monotonic()))
        after, passed = self.plane.counters(0), time.monotonic() - since
        self._drain()
        since_then = {
            name: after[name] - before[name] for name in ("packets_mixed", "dropped_overload", "dropped_send")
        }
        dropped = since_then["dropped_overload"] + since_then["dropped_send"]
        if (
            since_then["packets_mixed"] < len(self._sinks) * ticks // 2
            or dropped > MAX_DROPPED * len(self._publishers) * ticks
        ):
            return None
        return (after["cpu_ns"] - before["cpu_ns"]) / 1000 / (passed / FRAME_S)

    def _drain(self) -> None:
        for sink in self._sinks:
            with contextlib.suppress(BlockingIOError):
                while True:
                    sink.socket.recv(2048)

    def close(self) -> None:
        self.plane.stop()
        for raw in [*self._sinks, *(raw for raw, _ in self._publishers)]:
            raw.close()


@dataclass(frozen=True)
class Dimension:
    name: str
    numbers: tuple[int, ...]
    scene: Callable[[int], Scene]


def dimensions(quick: bool = False) -> list[Dimension]:
    """quick: fewer and smaller numbers."""

    def of(*numbers: int) -> tuple[int, ...]:
        return numbers[:-1:2] if quick else numbers

    return [
        Dimension("seats", of(4, 16, 64, 125, 250, 500), lambda n: Scene(seats=n)),
        Dimension("talkers", of(2, 4, 8, 16, 24, 32), lambda n: Scene(talkers=n)),
        Dimension("listeners", of(10, 50, 100, 250, 500, 1000), lambda n: Scene(listeners=n)),
        Dimension("rooms", of(1, 4, 8, 12, 16, 32), lambda n: Scene(rooms=n)),
    ]


def measure(
    quick: bool, *, of: Sequence[Dimension] | None = None, rounds: int | None = None, ticks: int | None = None
) -> Result:
    """CannotMeasure on a machine that is too busy."""
    run = Run("growth", quick=quick)
    rounds = rounds or (3 if quick else 7)
    ticks = ticks or (QUICK_TICKS if quick else TICKS)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    grown = [_grow(dimension, rounds, ticks) for dimension in of or dimensions(quick)]
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    remarks: list[str] = []
    for dimension, found, fitted in grown:
        key = f"growth_{dimension.name}_exponent"
        # Where nothing grows there is nothing to fit: the exponent would be that of the noise.
        keys[key] = 0.0 if fitted.rise < FREE else round(fitted.exponent, 2)
        last = found[-1]
        keys[f"growth_{dimension.name}_us"] = round(statistics.median(last), 1)
        noise[f"growth_{dimension.name}_us"] = spread(last)
        if fitted.rise >= FREE and fitted.high - fitted.low > 0.5:
            remarks.append(
                f"DOUBT The exponent of {dimension.name} lies anywhere from {fitted.low:.2f} to {fitted.high:.2f}."
            )
    return run.result(keys, noise=noise, tables=[_table(grown)], series=_series(grown), remarks=remarks)


Grown = tuple[Dimension, list[list[float]], Power]


def _grow(dimension: Dimension, rounds: int, ticks: int) -> Grown:
    """All sizes in turn, round by round."""
    found: list[list[float]] = [[] for _ in dimension.numbers]
    with contextlib.ExitStack() as stack:
        scenes = []
        for number in dimension.numbers:
            scenes.append(dimension.scene(number))
            stack.callback(scenes[-1].close)
        for scene in scenes:
            scene.us_per_tick(FIRST_TICKS)
        for _ in range(rounds):
            for scene, mine in zip(scenes, found, strict=True):
                mine.append(_patiently(scene, ticks))
    return dimension, found, power(dimension.numbers, found)


def _patiently(scene: Scene, ticks: int) -> float:
    """A machine that is busy with something else may lose a measurement. CannotMeasure when it loses them all."""
    for _ in range(TRIES):
        if (found := scene.us_per_tick(ticks)) is not None:
            return found
    raise CannotMeasure("This machine is too busy: the plane does not get to its ticks.")


def _table(grown: Sequence[Grown]) -> Table:
    rows: list[list[results.Cell]] = []
    for dimension, found, fitted in grown:
        first, last = dimension.numbers[0], dimension.numbers[-1]
        low, high = statistics.median(found[0]), statistics.median(found[-1])
        free = fitted.rise < FREE
        rows.append(
            [
                dimension.name,
                f"{first:,} to {last:,}",
                low,
                high,
                (high - low) / (last - first),
                0.0 if free else fitted.exponent,
                "flat" if free else f"{fitted.low:.2f} to {fitted.high:.2f}",
            ]
        )
    columns = [
        results.Column("what grows"),
        results.Column("from, to"),
        results.Column("a tick at first", "µs", 0),
        results.Column("at last", "µs", 0),
        results.Column("each further", "µs", 2),
        results.Column("exponent"),
        results.Column("95 %"),
    ]
    note = "CPU time of the plane's worker in 20 ms: start + factor x^exponent; flat: it grows by less than 5 % in all."
    return Table("Growth of a tick", columns, rows, note)


def _series(grown: Sequence[Grown]) -> list[Series]:
    made = []
    for dimension, found, fitted in grown:
        x = [float(number) for number in dimension.numbers]
        y = [statistics.median(each) for each in found]
        made.append(Series("measured", "growth", x, y, dimension.name, "a tick (µs)"))
        name = "flat" if fitted.rise < FREE else f"exponent {fitted.exponent:.2f}"
        places = [float(place) for place in np.geomspace(x[0], x[-1], CURVE)]
        curve = [fitted.at(place) for place in places]
        made.append(Series(name, "growth", places, curve, dimension.name, "a tick (µs)", fitted=True))
    return made


def main() -> None:
    arguments = results.parser("growth", __doc__).parse_args()
    results.finish("growth", lambda: measure(arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
