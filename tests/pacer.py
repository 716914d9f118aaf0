"""Sends datagrams at their times from a process of its own: what holds up the test does not hold up its speakers.

    with Pacer(schedule, address) as pacer:   # they flow while the body runs
        ...

As a script it is that process: standard library alone, so that it is there in milliseconds.
"""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Self

Departure = tuple[float, int, bytes]
"""Seconds from the beginning, descriptor of the socket, datagram."""


class Pacer:
    """Begins at once, with the departures in order of time; leaving the context ends it, if it has not ended."""

    def __init__(self, schedule: Sequence[Departure], address: tuple[str, int]) -> None:
        departures = sorted(schedule, key=lambda departure: departure[0])
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            pass_fds={descriptor for _, descriptor, _ in departures},
        )
        assert self._process.stdin is not None
        with self._process.stdin as pipe:
            pickle.dump((departures, address), pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()

    def finish(self, within_s: float = 30.0) -> None:
        """Waits for the last departure."""
        assert self._process.wait(within_s) == 0


def _run() -> None:
    departures, address = pickle.load(sys.stdin.buffer)
    sockets = {descriptor: socket.socket(fileno=descriptor) for descriptor in {each for _, each, _ in departures}}
    begun = time.monotonic()
    for at_s, descriptor, data in departures:
        time.sleep(max(0.0, begun + at_s - time.monotonic()))
        sockets[descriptor].sendto(data, address)


if __name__ == "__main__":
    _run()
