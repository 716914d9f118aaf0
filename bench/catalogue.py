"""Which benchmarks there are, in the order in which a report runs them: those that answer its targets come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).parent
QUICK_S = 288.0
"""Of a quick run as a whole: its benchmarks' shares together are not more; the page and a benchmark that will not end
take the rest of the 5 minutes."""


@dataclass(frozen=True)
class FullOnly:
    """What a quick run cannot say, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Entry:
    """quick: options for a first impression. quick_s: its share of a quick run. longest_s: after which it is taken to
    hang in a full one. full_s: about what it takes there. full_only: what the first impression leaves out."""

    name: str
    about: str
    quick_s: float
    full_s: float
    full_only: Sequence[FullOnly] = ()
    options: Sequence[str] = ()
    quick: Sequence[str] = ("--quick",)
    longest_s: float = 1800.0

    @property
    def module(self) -> str:
        return f"bench.{self.name.replace('-', '_')}"

    @property
    def exists(self) -> bool:
        path = BENCH / self.name.replace("-", "_")
        return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


ENTRIES = (
    Entry(
        *("forward-latency", "How long the server keeps a forwarded packet", 12, 200),
        full_only=(FullOnly("4,000 listeners, and p99.9", "each packet to 4,000 sockets takes a tenth of a second"),),
    ),
    Entry(
        *("mix-latency", "How long a voice takes through the mixer, from mouth to ear", 20, 280),
        full_only=(FullOnly("a path with jitter", "chirps come once a second, so a distribution takes its time"),),
    ),
    Entry(
        *("join", "How many peers can join in a second, and how long it takes them", 27, 100),
        full_only=(
            FullOnly("the highest rate that is kept up with", "it takes seconds until joins pile up, or do not"),
        ),
    ),
    Entry(
        *("idle", "What silent rooms cost", 21, 450),
        full_only=(FullOnly("1,000 and 5,000 rooms", "15,000 peers take three minutes to join"),),
    ),
    Entry(
        *("peers", "This server, Janus, an aiortc relay and the floor, in one run", 43, 435),
        full_only=(FullOnly("Janus as Debian has it, and 200 listeners", "each size is a load of its own"),),
    ),
    Entry(
        *("tick", "How late ticks are while the server is busy with other things", 26, 170),
        full_only=(FullOnly("20 rooms of 20 listeners, 12 s at a time", "p99.9 of a second's ticks is one tick"),),
    ),
    Entry(
        *("plane", "What a packet costs beside the floor", 12, 60),
        full_only=(FullOnly("4,000 listeners", "their sockets alone take ten seconds to connect"),),
        quick=("--rounds", "2", "--listeners", "100", "1000"),
    ),
    Entry(
        *("growth", "How a tick's cost grows with seats, talkers, listeners and rooms", 18, 190),
        full_only=(
            FullOnly("500 seats, 32 talkers, 1,000 listeners, 32 rooms", "an exponent of few sizes is a guess"),
        ),
    ),
    Entry("control", "Control calls while a room plays", 12, 30, quick=("--quick", "--seconds", "2")),
    Entry(
        *("capacity", "How many listeners one core has room for", 25, 540),
        full_only=(
            FullOnly("what a core really carries", "thousands of listeners take a minute to join"),
            FullOnly("forwarded listeners", "peers has their price"),
        ),
    ),
    Entry("kernels", "Numerical kernels beside NumPy", 12, 60),
    Entry(
        *("music", "What music, effects and care for voices add", 16, 170),
        full_only=(FullOnly("other formats than MP3, most voice effects", "each is measured for itself"),),
        quick=("--quick", "--rooms", "4", "--rounds", "2", "--seconds", "0.2", "--voices", "hall", "higher"),
    ),
    Entry(
        *("roomservice", "How fast a room's events reach everybody in it", 10, 100),
        full_only=(FullOnly("2,000 clients", "they take most of a minute to enter"),),
    ),
    Entry("moved", "What a publisher costs whose room is another worker's", 9, 25, quick=("--rounds", "2")),
    Entry(
        *("quality", "How speech and music sound at loss and jitter", 24, 1100),
        full_only=(
            FullOnly("music, other losses, other repairs, ViSQOL, recovery", "all of it is listened to in real time"),
        ),
        quick=("--brief",),
        longest_s=7200.0,
    ),
)
