"""What issue 7 asks for: CPU time of the server's process, on one core, while what loads it has another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """at_most: the figure must not be larger than the limit, else not smaller. scale, unit, digits: how people are told
    (figure times scale). bench: which gives the key."""

    key: str
    bench: str
    text: str
    limit: float
    at_most: bool = True
    unit: str = ""
    scale: float = 1.0
    digits: int = 2

    def met(self, figure: float) -> bool:
        return figure <= self.limit if self.at_most else figure >= self.limit

    def worse(self, figure: float) -> float:
        """How many times worse than the limit; less than 1 where it is better."""
        if self.at_most:
            return figure / self.limit
        return self.limit / figure if figure > 0 else float("inf")

    def say(self, figure: float) -> str:
        return f"{figure * self.scale:,.{self.digits}f}{self.unit}"

    @property
    def limit_text(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.say(self.limit)}"


TARGETS = (
    Target(
        "ratio_forward_to_floor", "peers", "A forwarded packet, 1,000 listeners, against the floor", 1.3, unit=" times"
    ),
    Target(
        "ratio_janus_videoroom",
        "peers",
        "Less CPU time a packet than Janus VideoRoom",
        10,
        at_most=False,
        unit=" times",
    ),
    Target(
        *("ratio_janus_audiobridge", "peers", "Less CPU time than Janus AudioBridge, 2 talkers, 200 listeners", 25),
        at_most=False,
        unit=" times",
    ),
    Target(
        *("ratio_janus_audiobridge_marginal", "peers", "The same for each further listener", 35),
        at_most=False,
        unit=" times",
    ),
    Target(
        *("mixed_20ms_extrapolated", "capacity", "Listeners of mixes one core has CPU time for, 20 ms packets", 5000),
        at_most=False,
        digits=0,
    ),
    Target(
        *("mixed_60ms_extrapolated", "capacity", "Listeners of mixes one core has CPU time for, 60 ms packets", 12000),
        at_most=False,
        digits=0,
    ),
    Target(
        *("forward_first_p50_us", "forward-latency", "Forwarding, first of 1,000 listeners, p50", 100),
        unit=" µs",
        digits=0,
    ),
    Target(
        *("forward_first_p99_us", "forward-latency", "Forwarding, first of 1,000 listeners, p99", 1000),
        unit=" µs",
        digits=0,
    ),
    Target(
        *("forward_last_to_floor", "forward-latency", "Forwarding, last listener, against N times the floor", 1.3),
        unit=" times",
    ),
    Target("mix_added_p50_ms", "mix-latency", "What mixing adds on a clean path, p50", 30, unit=" ms", digits=1),
    Target("mix_added_p99_ms", "mix-latency", "What mixing adds on a clean path, p99", 45, unit=" ms", digits=1),
    Target("idle_core_share", "idle", "5,000 silent rooms, share of one core", 0.15, unit=" %", scale=100, digits=1),
    Target(
        *("bytes_per_listener", "idle", "Resident memory of a listener", 40 * 1024),
        unit=" KiB",
        scale=1 / 1024,
        digits=1,
    ),
    Target("joins_per_s", "join", "Joins a second on one core", 300, at_most=False, digits=0),
    Target(
        *("first_audio_p99_ms", "join", "POST to first audio at 200 joins a second, p99", 150), unit=" ms", digits=0
    ),
    Target("tick_late_p999_ms", "join", "Lateness of ticks meanwhile, p99.9", 5, unit=" ms", digits=1),
)


@dataclass(frozen=True)
class Judgement:
    """figure: None when it was not measured. verdict: in a few words."""

    target: Target
    figure: float | None
    verdict: str

    @property
    def state(self) -> str:
        """met, missed or unknown."""
        if self.figure is None:
            return "unknown"
        return "met" if self.target.met(self.figure) else "missed"


def judge(keys: Mapping[str, float | None]) -> list[Judgement]:
    return [_judge(target, keys.get(target.key)) for target in TARGETS]


def _judge(target: Target, figure: float | None) -> Judgement:
    if figure is None:
        return Judgement(target, None, "not measured in this run")
    worse = target.worse(figure)
    if not target.met(figure):
        how = (
            f"missed: {worse:.2f} times the limit"
            if target.at_most
            else f"missed: {1 / worse:.2f} of what is asked for"
        )
        return Judgement(target, figure, how)
    if worse == 0:
        return Judgement(target, figure, "met")
    return Judgement(target, figure, f"met, {1 / worse:.1f} times better" if worse < 0.95 else "met, just")
