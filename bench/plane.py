"""What a listener's packet costs: CPU time of the plane per packet sent, beside the physical floor of the same machine.

Three figures in one run, in turn and to the same sockets. *forward*: one publisher's packets go to N listeners, each
with its own key. *mix*: two speakers talk, and the N hear their mix. *floor*: a program that only seals with OpenSSL
and calls sendmmsg (bench/floor.cpp), below which no server can go. Loopback charges the sender for the receiver's part
of the kernel's work, in all three. Nobody reads the sockets during a round; they hold all of it, and are emptied
between rounds.
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

from bench.programs import build
from bench.rawpeer import AES_128_GCM, RawPeer
from bench.speech import packets_of_speech
from mediaserver import _native, kernels

PACKETS_PER_ROUND = 50  # what a socket's default buffer surely holds
FRAME_S = 0.02
ROW = 1


class Room:
    """A room in a plane of one worker: publishers, and N listeners with raw sockets as sinks."""

    def __init__(self, sinks: list[RawPeer], *, publishers: int, mixed: bool) -> None:
        self.plane = _native.Plane([[("127.0.0.1", 0)]], tcp=True)
        self.plane.set_kernels(**kernels.plane_arguments())
        self.plane.start()
        self.server = self.plane.addresses(0)[0]
        self.sinks = sinks
        self.counter = "packets_mixed" if mixed else "packets_forwarded"
        self.plane.add_room(1, 0)
        self.publishers = [RawPeer() for _ in range(publishers)]
        self.speech = [packets_of_speech(seed) for seed in range(publishers)]
        for number, publisher in enumerate(self.publishers, start=1):
            self.plane.set_column(1, number, 1.0)
            self.plane.add_publisher(
                number,
                1,
                ufrag=publisher.ufrag,
                pwd=publisher.password,
                csrc=number,
                payload_type=111,
                level_id=1,
                report_ssrc=9,
            )
            self._connect(number, publisher)
        if mixed:
            self.plane.add_row(1, ROW, [])
        for number, sink in enumerate(sinks, start=1000):
            slot = _native.Slot(ssrc=1000, payload_type=111, mid="0", mid_id=4, level_id=1, nack=True)
            self.plane.add_listener(
                number,
                0,
                1,
                ufrag=sink.ufrag,
                pwd=sink.password,
                csrc=number,
                slots=[slot],
                cname="bench",
                row=ROW if mixed else None,
            )
            self._connect(number, sink)

    def _connect(self, peer: int, raw: RawPeer) -> None:
        raw.socket.settimeout(2.0)
        raw.connect(self.server)
        self.plane.set_keys(peer, AES_128_GCM, raw.material)
        raw.socket.setblocking(False)

    def publish(self, number: int) -> None:
        for publisher, speech in zip(self.publishers, self.speech, strict=True):
            publisher.socket.sendto(publisher.rtp(speech[number % len(speech)]), self.server)

    def forward(self, packets: int) -> tuple[float, int]:
        """(CPU seconds of the worker, packets it sent) while `packets` go through. Paced by the plane itself: none
        waits behind a fan-out, none is lost."""
        before = self.plane.counters(0)
        for number in range(packets):
            self.publish(number)
            self._wait(before, (number + 1) * len(self.sinks))
        return self._since(before)

    def mix(self, packets: int) -> tuple[float, int]:
        """The same for a mix, in real time, since its clock is the tick. A machine that is busy skips ticks, which are
        then not counted on either side."""
        begin = time.monotonic()
        for publisher in self.publishers:
            publisher.timestamp = int(begin / FRAME_S) * 960  # media time went on since the last round
        before = self.plane.counters(0)
        for number in range(packets):
            self.publish(number)
            time.sleep(max(0.0, begin + (number + 1) * FRAME_S - time.monotonic()))
        return self._since(before)

    def _wait(self, before: dict[str, int], wanted: int) -> None:
        deadline = time.monotonic() + 5
        while self.plane.counters(0)[self.counter] - before[self.counter] < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError("the plane does not send")
            time.sleep(0.0005)

    def _since(self, before: dict[str, int]) -> tuple[float, int]:
        time.sleep(0.002)
        after = self.plane.counters(0)
        if dropped := after["dropped_overload"] + after["dropped_send"]:
            raise RuntimeError(f"{dropped} packets were dropped, so the figure would be of another load")
        return (after["cpu_ns"] - before["cpu_ns"]) * 1e-9, after[self.counter] - before[self.counter]

    def close(self) -> None:
        self.plane.stop()
        for publisher in self.publishers:
            publisher.close()


def drain(sinks: list[RawPeer], expected: int) -> None:
    """Empties the sinks; RuntimeError when one did not get `expected` datagrams (a figure of lost packets is none)."""
    for sink in sinks:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sink.socket.recv(2048)
                count += 1
        if count < expected:
            raise RuntimeError(f"a sink received {count} of {expected} packets")


def run_floor(program: Path, ports: Path, payload: int) -> float:
    command = [str(program), "127.0.0.1", str(ports), str(PACKETS_PER_ROUND), str(payload)]
    seconds, sent = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds) / int(sent) * 1e6


def measure(listeners: int, rounds: int, program: Path, directory: Path) -> dict[str, Any]:
    sinks = [RawPeer() for _ in range(listeners)]
    forwarding = Room(sinks, publishers=1, mixed=False)
    mixing = Room(sinks, publishers=2, mixed=True)
    payload = round(statistics.mean(len(packet) for packet in forwarding.speech[0]))
    try:
        ports = directory / f"ports-{listeners}"
        ports.write_text("\n".join(str(sink.socket.getsockname()[1]) for sink in sinks))
        forward_us: list[float] = []
        mix_us: list[float] = []
        floor_us: list[float] = []
        mixing.mix(PACKETS_PER_ROUND)  # its jitter buffers fill, its encoder settles
        drain(sinks, 1)
        for _ in range(rounds + 1):
            for figures, room, act in ((forward_us, forwarding, Room.forward), (mix_us, mixing, Room.mix)):
                seconds, packets = act(room, PACKETS_PER_ROUND)
                figures.append(seconds / packets * 1e6)
                drain(sinks, packets // listeners - 1)  # a mix may stand between two listeners now
            floor_us.append(run_floor(program, ports, payload))
            drain(sinks, PACKETS_PER_ROUND)
        forward_us, mix_us, floor_us = forward_us[1:], mix_us[1:], floor_us[1:]  # the first warms caches and buffers
        return {
            "n": listeners,
            "payload_bytes": payload,
            "forward_us_per_packet": round(statistics.median(forward_us), 3),
            "mix_us_per_packet": round(statistics.median(mix_us), 3),
            "floor_us_per_packet": round(statistics.median(floor_us), 3),
            "ratio_forward": round(statistics.median(map(float.__truediv__, forward_us, floor_us)), 3),
            "ratio_mix": round(statistics.median(map(float.__truediv__, mix_us, floor_us)), 3),
            "forward_us_all": [round(x, 3) for x in forward_us],
            "mix_us_all": [round(x, 3) for x in mix_us],
            "floor_us_all": [round(x, 3) for x in floor_us],
        }
    finally:
        forwarding.close()
        mixing.close()
        for sink in sinks:
            sink.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench plane", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument(
        "--listeners", type=int, nargs="+", default=[100, 1000, 4000], metavar="N", help="listeners in the room"
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each, in turn; medians are printed")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else arguments.rounds

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    results = []
    print(f"CPU time per packet sent, medians of {rounds} rounds; ratios to the floor of the same round")
    print(f"{'listeners':>9}  {'forward µs':>10}  {'mix µs':>7}  {'floor µs':>8}  {'forward':>7}  {'mix':>5}")
    with tempfile.TemporaryDirectory() as directory:
        program = build("floor")
        for listeners in arguments.listeners:
            result = measure(listeners, rounds, program, Path(directory))
            results.append(result)
            print(
                f"{listeners:>9}  {result['forward_us_per_packet']:>10.2f}  {result['mix_us_per_packet']:>7.2f}"
                f"  {result['floor_us_per_packet']:>8.2f}  {result['ratio_forward']:>7.2f}  {result['ratio_mix']:>5.2f}"
            )
    if arguments.json:
        arguments.json.write_text(json.dumps({"results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
