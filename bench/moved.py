"""What it costs that a publisher has moved to a room whose home is another worker: CPU time of both workers per packet
of his, beside a publisher who joined that room and sits at its home. In turn, in one run, to the same listeners; the
next burst begins when the last has been sent to everybody.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from pathlib import Path
from typing import Any

from bench.rawpeer import AES_128_GCM, RawPeer
from mediaserver import _native

PACKETS_PER_ROUND = 1920
PAYLOAD = bytes(100)
AWAY, ROOM = 1, 2  # their homes are workers 0 and 1
JOINED, MOVED = 1, 2  # publishers and their CSRCs


class Rooms:
    """A plane of two workers; both publishers are in ROOM, and its listeners have a slot for each."""

    def __init__(self, listeners: int) -> None:
        self.plane = _native.Plane([[("127.0.0.1", 0)]] * 2)
        self.plane.start()
        for home, room in enumerate((AWAY, ROOM)):
            self.plane.add_room(room, home)
        self.workers = {JOINED: 1, MOVED: 0}
        self.publishers = {number: RawPeer() for number in (JOINED, MOVED)}
        for number, room in ((JOINED, ROOM), (MOVED, AWAY)):
            raw = self.publishers[number]
            self.plane.set_column(ROOM, number, 1.0)
            self.plane.add_publisher(
                number,
                room,
                ufrag=raw.ufrag,
                pwd=raw.password,
                csrc=number,
                payload_type=111,
                level_id=1,
                report_ssrc=9,
            )
            self._connect(number, raw, self.workers[number])
        self.plane.move_peer(MOVED, ROOM, csrc=MOVED)
        self.sinks = [RawPeer() for _ in range(listeners)]
        for number, sink in enumerate(self.sinks, start=1000):
            slots = [_native.Slot(ssrc=number * 10 + slot, payload_type=111) for slot in range(2)]
            self.plane.add_listener(
                number, 1, ROOM, ufrag=sink.ufrag, pwd=sink.password, csrc=number, slots=slots, cname="bench"
            )
            self._connect(number, sink, 1)
        for number in self.publishers:  # both have their slots from now on
            self.publish(number, 1)
            time.sleep(0.1)
        self.drain()

    def _connect(self, peer: int, raw: RawPeer, worker: int) -> None:
        raw.socket.settimeout(2.0)
        raw.connect(self.plane.addresses(worker)[0])
        self.plane.set_keys(peer, AES_128_GCM, raw.material)
        raw.socket.setblocking(False)

    def publish(self, number: int, packets: int) -> None:
        server = self.plane.addresses(self.workers[number])[0]
        for _ in range(packets):
            self.publishers[number].socket.sendto(self.publishers[number].rtp(PAYLOAD), server)

    def round(self, number: int, burst: int) -> float:
        """CPU microseconds per packet of this publisher. RuntimeError when not all are sent."""
        before_ns, before = self._totals("cpu_ns"), self._totals("packets_forwarded")
        for sent in range(burst, PACKETS_PER_ROUND + 1, burst):
            self.publish(number, burst)
            deadline = time.monotonic() + 5
            while self._totals("packets_forwarded") - before < sent * len(self.sinks):
                if time.monotonic() > deadline:
                    raise RuntimeError("the plane does not send")
                time.sleep(0.0002)
            self.drain()
        time.sleep(0.002)
        return (self._totals("cpu_ns") - before_ns) / sent * 1e-3

    def drain(self) -> None:
        for sink in self.sinks:
            with contextlib.suppress(BlockingIOError):
                while True:
                    sink.socket.recv(2048)

    def _totals(self, counter: str) -> int:
        return sum(self.plane.counters(worker)[counter] for worker in (0, 1))

    def close(self) -> None:
        self.plane.stop()
        for raw in (*self.publishers.values(), *self.sinks):
            raw.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench moved", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--listeners", type=int, nargs="+", default=[1, 10], metavar="N", help="listeners in the room")
    parser.add_argument("--bursts", type=int, nargs="+", default=[1, 32], metavar="N", help="packets that come at once")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of each, in turn; medians are printed")
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    print(f"CPU time of both workers per packet of a publisher, medians of {arguments.rounds} rounds")
    print(f"{'listeners':>9}  {'at once':>7}  {'at home µs':>10}  {'moved µs':>8}  {'more µs':>7}")
    for listeners in arguments.listeners:
        rooms = Rooms(listeners)
        for burst in arguments.bursts:
            rounds = [(rooms.round(JOINED, burst), rooms.round(MOVED, burst)) for _ in range(arguments.rounds + 1)][1:]
            home_us, moved_us = (statistics.median(each) for each in zip(*rounds, strict=True))
            more_us = statistics.median(moved - home for home, moved in rounds)
            print(f"{listeners:>9}  {burst:>7}  {home_us:>10.2f}  {moved_us:>8.2f}  {more_us:>7.2f}")
            results.append(
                {
                    "listeners": listeners,
                    "burst": burst,
                    "home_us": round(home_us, 3),
                    "moved_us": round(moved_us, 3),
                    "more_us": round(more_us, 3),
                    "more_us_all": [round(moved - home, 3) for home, moved in rounds],
                }
            )
        rooms.close()
    if arguments.json:
        arguments.json.write_text(json.dumps({"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
