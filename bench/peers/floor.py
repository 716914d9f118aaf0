"""The physical floor under the same conditions as a server: bench/floor.cpp sends to the generator's own sockets, a
packet each every 20 ms, while the generator reads them on its core."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.processes import bound_to
from mediaserver import _native

FRAME_S = 0.02
FIND_S = 10.0


@contextlib.contextmanager
def sinks(count: int, core: int | None) -> Iterator[list[int]]:
    """UDP ports of so many listeners of a generator, which has no keys for them: it reads what comes and drops it.
    Found out from where their connectivity checks come. RuntimeError when not all are found."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.0.0.1", 0))
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        asked.settimeout(FIND_S)
        with bound_to(core):
            generator = _native.LoadGenerator("127.0.0.1")
            generator.start()
        try:
            seeds = random.Random(1)
            ports: set[int] = set()
            for number in range(count):
                generator.add_listener(
                    local=("floor", "0" * 24),
                    remote=("floor", "0" * 24),
                    candidates=[asked.getsockname()],
                    seed=seeds.getrandbits(63),
                    run=0,
                    room=0,
                    report_ssrc=number + 1,
                    cname="floor",
                    forwarded=True,
                    constant=True,
                )
                while len(ports) <= number:
                    try:
                        ports.add(asked.recvfrom(2048)[1][1])
                    except TimeoutError:
                        raise RuntimeError(f"{len(ports)} of {number + 1} sinks were found.") from None
            time.sleep(1.0)  # they repeat their checks for a while
            yield sorted(ports)
        finally:
            generator.stop()


def us_per_packet(
    program: Path, ports: list[int], directory: Path, *, seconds: float, payload: int, core: int | None
) -> float:
    """CPU time of the floor's thread for each packet."""
    file = directory / f"ports-{len(ports)}"
    file.write_text("\n".join(map(str, ports)), encoding="utf-8")
    bound = [] if core is None else ["taskset", "-c", str(core)]
    numbers = [str(file), str(round(seconds / FRAME_S)), str(payload), str(round(FRAME_S * 1e6))]
    command = [*bound, str(program), "127.0.0.1", *numbers]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ})
    spent, sent = done.stdout.split()
    return float(spent) / int(sent) * 1e6
