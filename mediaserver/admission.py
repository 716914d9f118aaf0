"""Whether new rooms and sessions are taken, by how loaded workers and event loop are. Pure; time is an argument.

Once a second the core is fed a Sample; between samples it only answers. Each worker has two gates (its share of a CPU,
and the lateness of its rooms' ticks), the event loop one. A gate closes at the first sample beyond its limit, and opens
again after OPEN_AFTER samples in a row clearly below it, so that it does not flap about the limit.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

LOAD_WINDOW_S = 3.0
LATENESS_WINDOW_S = 5.0
# A tick that begins later is late: listeners' jitter buffers hide 20 ms, and the network needs some of them.
LATE_S = 0.005
# Of all ticks. One in a hundred is the 99th percentile.
LATE_SHARE = 0.01
# Ticks in the window of which to judge: one room makes 50 a second. Lower lets single ticks decide.
MIN_TICKS = 200
# Seconds of the window that have late ticks. A machine that paused once (1 s: all its ticks at once) is not loaded.
MIN_LATE_SECONDS = 3
MAX_LAG_S = 0.25
# What is "clearly below" a limit, as a part of it. Lower keeps gates closed longer, higher lets them flap.
RELEASE = 0.9
OPEN_AFTER = 5
# A user whose session ended so many seconds ago is coming back, not new.
RETURN_WITHIN_S = 60.0
MAX_RETURNING = 20_000


class Reason(StrEnum):
    """Why somebody new is refused."""

    WORKER_LOAD = "worker-load"
    TICK_LATENESS = "tick-lateness"
    EVENT_LOOP_LAG = "event-loop-lag"


SENTENCES = {
    Reason.WORKER_LOAD: "The server's media workers are busy.",
    Reason.TICK_LATENESS: "The server's mixers are late.",
    Reason.EVENT_LOOP_LAG: "The server answers slowly.",
}


class OverloadedError(Exception):
    """The server has too much to do to take somebody new; the message is a sentence for the client."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{SENTENCES[reason]} Try again later or elsewhere.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sample:
    """time: seconds of a monotonic clock; by worker the CPU time used, in seconds, and its ticks: all, and late ones,
    each since the start; lag_s: 90th percentile of the event loop's lag since the last sample, None when not known."""

    time: float
    cpu_s: Sequence[float]
    ticks: Sequence[int]
    late: Sequence[int]
    lag_s: float | None


class Gate:
    """Open or closed, with hysteresis."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.closed = False
        self._below = 0

    def update(self, value: float | None) -> None:
        """None: nothing is known, which counts as nothing to do."""
        if value is not None and value > self.limit:
            self.closed = True
            self._below = 0
        elif self.closed:
            self._below = self._below + 1 if value is None or value <= self.limit * RELEASE else 0
            if self._below >= OPEN_AFTER:
                self.closed = False
                self._below = 0


class Admission:
    def __init__(self, workers: int, max_load: float) -> None:
        """`max_load`: share of a CPU above which a worker takes nobody new, 0..1; 0 turns admission control off."""
        self.enabled = max_load > 0
        self._load = [Gate(max_load) for _ in range(workers)]
        self._lateness = [Gate(LATE_SHARE) for _ in range(workers)]
        self._lag = Gate(MAX_LAG_S)
        self._samples: deque[Sample] = deque()

    def feed(self, sample: Sample) -> None:
        """To be called about once a second."""
        if not self.enabled:
            return
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].time <= sample.time - LATENESS_WINDOW_S:
            self._samples.popleft()
        for worker, (load, lateness) in enumerate(zip(self._load, self._lateness, strict=True)):
            load.update(self._cpu_share(worker))
            lateness.update(self._late_share(worker))
        self._lag.update(sample.lag_s)

    def refusal(self, worker: int) -> Reason | None:
        """Why nobody new may be put on this worker; None when he may."""
        if self._load[worker].closed:
            return Reason.WORKER_LOAD
        if self._lateness[worker].closed:
            return Reason.TICK_LATENESS
        return Reason.EVENT_LOOP_LAG if self._lag.closed else None

    def _cpu_share(self, worker: int) -> float | None:
        """Over the last LOAD_WINDOW_S; None when there was no such time yet."""
        newest = self._samples[-1]
        older = [sample for sample in self._samples if sample.time <= newest.time - LOAD_WINDOW_S]
        if not older:
            return None
        return (newest.cpu_s[worker] - older[-1].cpu_s[worker]) / (newest.time - older[-1].time)

    def _late_share(self, worker: int) -> float | None:
        """Of the ticks of the last LATENESS_WINDOW_S; None when they are too few to tell."""
        samples = list(self._samples)
        ticks = samples[-1].ticks[worker] - samples[0].ticks[worker]
        late = [newer.late[worker] - older.late[worker] for older, newer in pairwise(samples)]
        if ticks < MIN_TICKS or sum(count > 0 for count in late) < MIN_LATE_SECONDS:
            return None
        return sum(late) / ticks


class Returning:
    """Who has just lost his session, and is not new when he comes back. Bounded: the oldest are forgotten first."""

    def __init__(self) -> None:
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def lost(self, who: Hashable, now: float) -> None:
        self._until[who] = now + RETURN_WITHIN_S
        self._until.move_to_end(who)
        if len(self._until) > MAX_RETURNING:
            self._until.popitem(last=False)

    def is_expected(self, who: Hashable, now: float) -> bool:
        return self._until.get(who, now) > now

    def forget(self, who: Hashable) -> None:
        """He is back, or not to come back."""
        self._until.pop(who, None)
