"""How often something may be asked for: token buckets, many of them, in bounded memory. Pure: the time is an argument.

A bucket that has filled up again is forgotten, for it is like a new one. When there are more than MAX_BUCKETS others,
the one that was used the longest ago goes: an attacker with so many names gets back what he has spent, and no memory.
"""

from collections import OrderedDict
from dataclasses import dataclass

MAX_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """per_s: how much comes back in a second; burst: how much may be taken at once."""

    per_s: float
    burst: float


class Allowances:
    """One bucket for each name."""

    def __init__(self, rate: Rate, most: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._most = most
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # name -> (left, when)

    def take(self, name: str, amount: float, now: float) -> float:
        """0 when it was taken, else in how many seconds there will be as much; nothing is taken then."""
        left = self._left(name, now)
        if left < amount:
            self._put(name, left, now)
            return (amount - left) / self._rate.per_s
        self._put(name, left - amount, now)
        return 0.0

    def give_back(self, name: str, amount: float, now: float) -> None:
        self._put(name, min(self._rate.burst, self._left(name, now) + amount), now)

    def _left(self, name: str, now: float) -> float:
        left, when = self._buckets.get(name, (self._rate.burst, now))
        return min(self._rate.burst, left + max(0.0, now - when) * self._rate.per_s)

    def _put(self, name: str, left: float, now: float) -> None:
        if left >= self._rate.burst:
            self._buckets.pop(name, None)
            return
        self._buckets[name] = (left, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
