"""Which benchmarks there are, in the order in which a report runs them: those that answer its targets come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """quick: options for a first impression; None: it takes longer than that may, and is left out. longest_s: after
    which it is taken to hang; quick_s: which it may take of a quick run."""

    name: str
    about: str
    options: Sequence[str] = ()
    quick: Sequence[str] | None = ("--quick",)
    longest_s: float = 1800.0
    quick_s: float = 60.0

    @property
    def module(self) -> str:
        return f"bench.{self.name.replace('-', '_')}"

    @property
    def exists(self) -> bool:
        path = BENCH / self.name.replace("-", "_")
        return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


ENTRIES = (
    Entry("forward-latency", "How long the server keeps a forwarded packet"),
    Entry("mix-latency", "How long a voice takes through the mixer, from mouth to ear"),
    Entry("join", "How many peers can join in a second, and how long it takes them"),
    Entry("idle", "What silent rooms cost"),
    Entry("peers", "This server, Janus, an aiortc relay and the floor, in one run", quick_s=100.0),
    Entry("tick", "How late ticks are while the server is busy with other things"),
    Entry("plane", "What a packet costs beside the floor", quick=("--quick", "--listeners", "100", "1000")),
    Entry("growth", "How a tick's cost grows with seats, talkers, listeners and rooms"),
    Entry("control", "Control calls while a room plays"),
    Entry(
        *("capacity", "How many listeners one core has room for"),
        quick=("--quick", "--only", "mixed_20ms", "mixed_60ms"),
    ),
    Entry("kernels", "Numerical kernels beside NumPy"),
    Entry(
        *("music", "What music, effects and care for voices add"),
        quick=("--quick", "--rounds", "1", "--seconds", "0.4"),
    ),
    Entry("roomservice", "How fast a room's events reach everybody in it"),
    Entry("attendees", "What a change of a room costs, however many are in it"),
    Entry("moved", "What a publisher costs whose room is another worker's", quick=("--rounds", "3")),
    Entry("quality", "How speech and music sound at loss and jitter", quick=None, longest_s=7200.0),
)
