"""Token buckets: how often something may happen. Pure; the time is an argument, in seconds of any one clock."""


class Bucket:
    """Fills at `rate` tokens a second up to `burst`, and is full at first."""

    __slots__ = ("_time", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._time = now

    def take(self, now: float, cost: float = 1.0) -> bool:
        """Takes `cost` tokens if there are so many, and says whether there were."""
        self._fill(now)
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def charge(self, now: float, cost: float) -> None:
        """Takes tokens whether there are any or not: what was not foreseen is paid later, at most a whole burst."""
        self._fill(now)
        self._tokens = max(-self.burst, self._tokens - cost)

    def wait_s(self, now: float, cost: float = 1.0) -> float:
        """Until take() would say yes, if nobody takes anything before."""
        self._fill(now)
        return max(0.0, (cost - self._tokens) / self.rate)

    def _fill(self, now: float) -> None:
        if now > self._time:
            self._tokens = min(self.burst, self._tokens + (now - self._time) * self.rate)
            self._time = now
