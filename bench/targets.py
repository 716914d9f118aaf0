"""What is asked of this server: CPU time of its process, on one core, while what loads it has another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Keys = Mapping[str, float | None]


@dataclass(frozen=True)
class Beside:
    """What stands beside a figure, to judge it by: the floor, a peer, or the same by another account. of: another
    key's figure, and how people are told."""

    key: str
    say: Callable[[float], str]


@dataclass(frozen=True)
class Target:
    """at_most: the figure must not be larger than the limit, else not smaller. scale, unit, digits: how people are told
    (figure times scale). bench: which gives the key. full_only: why a quick run does not measure it; "": it does."""

    key: str
    bench: str
    text: str
    limit: float
    at_most: bool = True
    unit: str = ""
    scale: float = 1.0
    digits: int = 2
    beside: Beside | None = None
    full_only: str = ""

    def met(self, figure: float) -> bool:
        return figure <= self.limit if self.at_most else figure >= self.limit

    def worse(self, figure: float) -> float:
        """How many times worse than the limit; less than 1 where it is better."""
        if self.at_most:
            return figure / self.limit
        return self.limit / figure if figure > 0 else float("inf")

    def say(self, figure: float) -> str:
        return f"{figure * self.scale:,.{self.digits}f}{self.unit}"

    def said_beside(self, keys: Keys) -> str:
        figure = keys.get(self.beside.key) if self.beside is not None else None
        return "" if self.beside is None or figure is None else self.beside.say(figure)

    @property
    def limit_text(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.say(self.limit)}"


TARGETS = (
    Target(
        *("ratio_forward_to_floor", "peers", "A forwarded packet to 1,000 listeners: CPU time against the floor", 1.3),
        unit=" times",
        beside=Beside("forward_floor_us", "the floor: {:.2f} µs".format),
    ),
    Target(
        *("ratio_janus_videoroom", "peers", "The same: less CPU time than Janus VideoRoom", 10),
        at_most=False,
        unit=" times",
        digits=1,
        beside=Beside("forward_janus_videoroom_us", "Janus: {:.1f} µs a packet".format),
    ),
    Target(
        *("ratio_janus_audiobridge", "peers", "A mix for 200 listeners: less CPU time than Janus AudioBridge", 25),
        at_most=False,
        unit=" times",
        digits=1,
        beside=Beside("mix_janus_audiobridge_core_share", lambda share: f"Janus: {share:.2f} cores"),
    ),
    Target(
        *("ratio_janus_audiobridge_marginal", "peers", "The same for each further listener", 35),
        at_most=False,
        unit=" times",
        digits=1,
        beside=Beside("mix_janus_audiobridge_marginal_core_share", lambda share: f"Janus: {share:.2%} of a core"),
    ),
    Target(
        *(
            "mixed_20ms_extrapolated",
            "capacity",
            "Listeners of a mix one core has CPU time for, packets of 20 ms",
            5000,
        ),
        at_most=False,
        digits=0,
        beside=Beside("mixed_20ms_measured", "reached: {:,.0f}".format),
    ),
    Target(
        *("mixed_60ms_extrapolated", "capacity", "The same, packets of 60 ms", 12000),
        at_most=False,
        digits=0,
        beside=Beside("mixed_60ms_measured", "reached: {:,.0f}".format),
    ),
    Target(
        *("forward_first_p50_us", "forward-latency", "Time in the server, first of 1,000 listeners, p50", 100),
        unit=" µs",
        digits=0,
        beside=Beside("forward_first_floor_p50_us", "the floor: {:,.0f} µs".format),
    ),
    Target(
        *("forward_first_p99_us", "forward-latency", "The same, p99", 1000),
        unit=" µs",
        digits=0,
        beside=Beside("forward_first_floor_p99_us", "the floor: {:,.0f} µs".format),
    ),
    Target(
        *("forward_last_to_floor", "forward-latency", "Time in the server, last of 1,000, against the floor", 1.3),
        unit=" times",
        beside=Beside("forward_last_floor_p50_us", lambda us: f"the floor: {us / 1000:.2f} ms"),
    ),
    Target(
        *("mix_added_p50_ms", "mix-latency", "What mixing adds to a voice on a clean path, p50", 30),
        unit=" ms",
        digits=1,
        beside=Beside("mix_constant_ms", "limiter and codec alone: {:.1f} ms".format),
    ),
    Target("mix_added_p99_ms", "mix-latency", "The same, p99", 45, unit=" ms", digits=1),
    Target(
        *("idle_core_share", "idle", "5,000 silent rooms: share of one core", 0.15),
        unit=" %",
        scale=100,
        digits=1,
        full_only="15,000 peers take three minutes to join",
    ),
    Target(
        *("bytes_per_listener", "idle", "Memory of a listener", 40 * 1024),
        unit=" KiB",
        scale=1 / 1024,
        digits=1,
        beside=Beside("bytes_per_room", lambda size: f"a room: {size / 1024:,.0f} KiB"),
    ),
    Target(
        *("joins_per_s", "join", "Joins a second that one core has CPU time for", 300),
        at_most=False,
        digits=0,
        beside=Beside("join_floor_cpu_ms", lambda ms: f"OpenSSL and HTTP alone: {1000 / ms:,.0f}"),
    ),
    Target(
        *("first_audio_p99_ms", "join", "From an offer to the first packet at 200 joins a second, p99", 150),
        unit=" ms",
        digits=0,
        beside=Beside("first_audio_alone_p50_ms", "who comes alone, p50: {:.0f} ms".format),
    ),
    Target(
        *("tick_late_p999_ms", "join", "Lateness of ticks meanwhile, p99.9", 5),
        unit=" ms",
        digits=1,
        beside=Beside("tick_late_p999_ms_quiet", "while nothing happens: {:.1f} ms".format),
    ),
    Target(
        *("fan_out_p99_ms", "roomservice", "An event to 2,000 clients in a room, p99", 100),
        unit=" ms",
        digits=0,
        beside=Beside("fan_out_us", "CPU time for each client: {:.1f} µs".format),
        full_only="2,000 clients take most of a minute to enter",
    ),
)


@dataclass(frozen=True)
class Judgement:
    """figure: None when it was not measured. verdict: in a few words. beside: what to judge it by, "" for nothing."""

    target: Target
    figure: float | None
    verdict: str
    beside: str = ""

    @property
    def state(self) -> str:
        """met, missed or unknown."""
        if self.figure is None:
            return "unknown"
        return "met" if self.target.met(self.figure) else "missed"


def judge(keys: Keys, noise: Mapping[str, float] | None = None, *, quick: bool = False) -> list[Judgement]:
    """noise: of the keys, as a share; what misses its target by less says so."""
    return [_judge(target, keys, (noise or {}).get(target.key, 0.0), quick) for target in TARGETS]


def _judge(target: Target, keys: Keys, noise: float, quick: bool) -> Judgement:
    figure, beside = keys.get(target.key), target.said_beside(keys)
    if figure is None:
        why = f"full run only: {target.full_only}" if quick and target.full_only else "not measured in this run"
        return Judgement(target, None, why, beside)
    worse = target.worse(figure)
    if not target.met(figure):
        how = f"missed: {worse:.2f} times the limit" if target.at_most else f"missed: {1 / worse:.2f} of the target"
        return Judgement(target, figure, how + (", within the noise" if worse <= 1 + noise else ""), beside)
    if worse == 0:
        return Judgement(target, figure, "met", beside)
    return Judgement(target, figure, f"met, {1 / worse:.1f} times better" if worse < 0.95 else "met, just", beside)
