"""Looks once a second at how loaded the workers and the event loop are, and tells admission control (admission.py)."""

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from mediaserver import logs
from mediaserver.admission import LATE_S, Admission, Sample
from mediaserver.plane import Driver

log = logs.get(__name__)

SAMPLE_EVERY_S = 1.0
# The lag is that of a timer of this period. Shorter sees shorter stalls, and wakes an idle process more often.
PROBE_EVERY_S = 0.1
LAG_WINDOW_S = 5.0
LOOKS = 6  # that load() reaches back: 5 s
LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Lag:
    """How much later than asked for the event loop runs its timers: the newest lags, and a histogram of all."""

    def __init__(self) -> None:
        self.counts = [0] * (len(LAG_BOUNDS_S) + 1)
        self.sum_s = 0.0
        self._recent: list[float] = []

    def note(self, lag_s: float) -> None:
        lag_s = max(0.0, lag_s)
        self.counts[bisect_left(LAG_BOUNDS_S, lag_s)] += 1
        self.sum_s += lag_s
        self._recent.append(lag_s)
        del self._recent[: -round(LAG_WINDOW_S / PROBE_EVERY_S)]

    def p90_s(self) -> float | None:
        """Of the last LAG_WINDOW_S; None before that many have been noted."""
        if len(self._recent) < LAG_WINDOW_S / PROBE_EVERY_S:
            return None
        return sorted(self._recent)[len(self._recent) * 9 // 10]


@dataclass(frozen=True, slots=True)
class Load:
    """Of one worker over the last seconds: its share of a core, and how late its rooms' ticks began, in seconds."""

    cpu_share: float = 0.0
    tick_late_p99_s: float = 0.0


class Watch:
    """The task that looks. Workers that take nobody new are avoided by the driver while another one does."""

    def __init__(self, driver: Driver, admission: Admission) -> None:
        self.lag = Lag()
        self._driver = driver
        self._admission = admission
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._told: list[str] = []
        self._seen: deque[tuple[float, list[tuple[float, list[int]]]]] = deque(
            maxlen=LOOKS
        )  # CPU s and ticks by worker

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers = [
            loop.call_at(loop.time() + PROBE_EVERY_S, self._probe, loop.time() + PROBE_EVERY_S),
            loop.call_later(SAMPLE_EVERY_S, self._sample),
        ]

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers = []

    def look(self, now: float) -> None:
        """Takes one sample; `now` in seconds of the event loop's clock."""
        plane = self._driver.plane
        workers = range(plane.workers)
        seen = [(plane.counters(worker)["cpu_ns"] / 1e9, plane.tick_lateness(worker)[1]) for worker in workers]
        self._seen.append((now, seen))
        ticks = [_ticks(*plane.tick_lateness(worker)[:2]) for worker in workers]
        self._admission.feed(
            Sample(
                time=now,
                cpu_s=[cpu_s for cpu_s, _ in seen],
                ticks=[total for total, _ in ticks],
                late=[late for _, late in ticks],
                lag_s=self.lag.p90_s(),
            )
        )
        refusals = [self._admission.refusal(worker) for worker in workers]
        self._driver.avoided = {worker for worker in workers if refusals[worker] is not None}
        told = [reason or "open" for reason in refusals]
        if told != (self._told or ["open"] * len(told)):
            log.warning("admission changed", workers=told)
        self._told = told

    def load(self, worker: int) -> Load:
        """Between the oldest and the newest of the last LOOKS looks."""
        if len(self._seen) < 2:
            return Load()
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        (cpu_before, ticks_before), (cpu_after, ticks_after) = before[worker], after[worker]
        counts = [newer - older for older, newer in zip(ticks_before, ticks_after, strict=True)]
        bounds_s = [*self._driver.plane.tick_lateness(worker)[0], float("inf")]
        place = bisect_left(list(accumulate(counts)), sum(counts) * 0.99)
        late_s = min(bounds_s[place], bounds_s[-2]) if sum(counts) else 0.0
        return Load((cpu_after - cpu_before) / (now - then), late_s)

    def _probe(self, due: float) -> None:
        assert self._loop is not None
        now = self._loop.time()
        self.lag.note(now - due)
        due = now + PROBE_EVERY_S
        self._timers[0] = self._loop.call_at(due, self._probe, due)

    def _sample(self) -> None:
        assert self._loop is not None
        self._timers[1] = self._loop.call_later(SAMPLE_EVERY_S, self._sample)
        self.look(self._loop.time())


def _ticks(bounds_s: Sequence[float], counts: Sequence[int]) -> tuple[int, int]:
    """All ticks, and the late ones, of a histogram with these upper bounds."""
    on_time = bisect_right(bounds_s, LATE_S)
    return sum(counts), sum(counts[on_time:])
