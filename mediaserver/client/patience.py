"""How often and how long a call is tried. Pure: the time and the dice are arguments."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Times in seconds. With the defaults a server that says `Retry-After: 10` is not waited for: it means "elsewhere".

    timeout_s: of one attempt. Less gives up on a server that is only slow, more notices a dead one later.
    deadline_s: from the call to its end, all attempts and waiting included.
    first_wait_s, longest_wait_s: the bounds of the wait between two attempts, which doubles, times a random share so
    that clients that failed together do not come again together.
    """

    attempts: int = 4
    timeout_s: float = 5.0
    deadline_s: float = 10.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 2.0

    def wait_s(self, attempts: int, elapsed_s: float, at_least_s: float, share: float) -> float | None:
        """Before the next attempt, after this many; None when there shall be none.

        at_least_s: what the server asked for; share: random, 0 to 1."""
        if attempts >= self.attempts:
            return None
        wait_s = at_least_s + self.backoff_s(attempts, share)
        return wait_s if elapsed_s + wait_s < self.deadline_s else None

    def backoff_s(self, failures: int, share: float) -> float:
        return share * min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
