"""What forwarding costs: CPU time of the plane per packet sent, beside the physical floor of the same machine.

One publisher is forwarded to N listeners, each with its own key and socket on loopback. In turn with it, in the same
run and to the same sockets, a program that only seals with OpenSSL and calls sendmmsg (bench/floor.cpp) shows what
no server can go below. Loopback charges the sender for the receiver's part of the kernel's work, in both.
Nobody reads the sockets during a round; they hold all of it, and are emptied between rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.rawpeer import AES_128_GCM, RawPeer
from mediaserver import _native

HERE = Path(__file__).parent
PAYLOAD = 100  # bytes of Opus: 20 ms at 40 kb/s
PACKETS_PER_ROUND = 50  # what a socket's default buffer surely holds
SOURCE_CSRC = 7


def build_floor(directory: Path) -> Path:
    program = directory / "floor"
    command = ["g++", "-std=c++20", "-O3", "-Wall", "-o", str(program), str(HERE / "floor.cpp"), "-lcrypto"]
    subprocess.run(command, check=True)
    return program


class Room:
    """A room in a plane of one worker: one publisher, N listeners with raw sockets as sinks."""

    def __init__(self, listeners: int) -> None:
        self.plane = _native.Plane([[("127.0.0.1", 0)]])
        self.plane.start()
        self.server = self.plane.addresses(0)[0]
        self.plane.add_room(1, 0)
        self.plane.set_column(1, SOURCE_CSRC, 1.0)
        self.publisher = RawPeer()
        self.plane.add_publisher(
            1, 1, ufrag=self.publisher.ufrag, pwd=self.publisher.password, csrc=SOURCE_CSRC, payload_type=111, level_id=1, report_ssrc=9
        )
        self._connect(1, self.publisher)
        self.sinks: list[RawPeer] = []
        for i in range(listeners):
            sink = RawPeer()
            slot = _native.Slot(ssrc=1000, payload_type=111, mid="0", mid_id=4, level_id=1)
            self.plane.add_listener(
                2 + i, 0, 1, ufrag=sink.ufrag, pwd=sink.password, csrc=100 + i, slots=[slot], cname="bench"
            )
            self._connect(2 + i, sink)
            self.sinks.append(sink)

    def _connect(self, peer: int, raw: RawPeer) -> None:
        raw.connect(self.server)
        self.plane.set_keys(peer, AES_128_GCM, raw.material)
        raw.socket.setblocking(False)

    def forward(self, packets: int) -> tuple[float, int]:
        """Publishes; (CPU seconds of the worker, packets forwarded) by it."""
        wanted = packets * len(self.sinks)
        before = self.plane.counters(0)
        for _ in range(packets):
            self.publisher.socket.sendto(self.publisher.rtp(bytes(PAYLOAD)), self.server)
            # Paced by the plane itself: no packet waits behind a fan-out, none is lost.
            sent_before = _ + 1
            deadline = time.monotonic() + 5
            while self.plane.counters(0)["packets_forwarded"] - before["packets_forwarded"] < sent_before * len(self.sinks):
                if time.monotonic() > deadline:
                    raise RuntimeError("the plane does not forward")
                time.sleep(0.0005)
        time.sleep(0.002)
        after = self.plane.counters(0)
        forwarded = after["packets_forwarded"] - before["packets_forwarded"]
        if forwarded != wanted:
            raise RuntimeError(f"{forwarded} packets forwarded, {wanted} expected")
        return (after["cpu_ns"] - before["cpu_ns"]) * 1e-9, forwarded

    def drain(self, expected: int) -> None:
        """Empties the sinks; RuntimeError when one did not get `expected` datagrams (a figure of lost packets is none)."""
        for sink in self.sinks:
            count = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sink.socket.recv(2048)
                    count += 1
            if count < expected:
                raise RuntimeError(f"a sink received {count} of {expected} packets")

    def close(self) -> None:
        self.plane.stop()
        for peer in [self.publisher, *self.sinks]:
            peer.close()


def measure(listeners: int, rounds: int, floor: Path, directory: Path) -> dict[str, Any]:
    room = Room(listeners)
    try:
        ports = directory / f"ports-{listeners}"
        ports.write_text("\n".join(str(sink.socket.getsockname()[1]) for sink in room.sinks))
        forward_us: list[float] = []
        floor_us: list[float] = []
        for round_number in range(rounds + 1):
            seconds, packets = room.forward(PACKETS_PER_ROUND)
            room.drain(PACKETS_PER_ROUND)
            command = [str(floor), "127.0.0.1", str(ports), str(PACKETS_PER_ROUND), str(PAYLOAD)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
            room.drain(PACKETS_PER_ROUND)
            if round_number == 0:
                continue  # warms caches and the sockets' buffers
            forward_us.append(seconds / packets * 1e6)
            floor_us.append(float(out[0]) / int(out[1]) * 1e6)
        forward, bottom = statistics.median(forward_us), statistics.median(floor_us)
        ratio = statistics.median(f / b for f, b in zip(forward_us, floor_us, strict=True))
        return {
            "n": listeners,
            "forward_us_per_packet": round(forward, 3),
            "floor_us_per_packet": round(bottom, 3),
            "ratio_forward": round(ratio, 3),
            "rounds": rounds,
            "forward_us_all": [round(x, 3) for x in forward_us],
            "floor_us_all": [round(x, 3) for x in floor_us],
        }
    finally:
        room.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench plane", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--listeners", type=int, nargs="+", default=[100, 1000, 4000], metavar="N", help="listeners in the room")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each, in turn; medians are printed")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else arguments.rounds

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = []
    print(f"{'listeners':>9}  {'forward µs':>10}  {'floor µs':>8}  {'ratio':>6}   (CPU time per packet, medians of {rounds} rounds)")
    with tempfile.TemporaryDirectory() as directory:
        floor = build_floor(Path(directory))
        for listeners in arguments.listeners:
            result = measure(listeners, rounds, floor, Path(directory))
            results.append(result)
            print(
                f"{listeners:>9}  {result['forward_us_per_packet']:>10.2f}  {result['floor_us_per_packet']:>8.2f}"
                f"  {result['ratio_forward']:>6.2f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"payload_bytes": PAYLOAD, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
