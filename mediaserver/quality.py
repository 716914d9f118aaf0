"""When a session's quality is worth telling: not each lossy second, but a spell of them. Pure."""

from dataclasses import dataclass
from enum import StrEnum

LOW_LOSS, GOOD_LOSS = 0.10, 0.03
"""Shares of packets lost. Repair hides what is below the first; between the two nothing changes, so that it does not
flap."""

LOW_AFTER_S, GOOD_AFTER_S = 3.0, 5.0
"""For so long it must have been bad, or good again. Shorter tells of every passing bus."""


class Verdict(StrEnum):
    GOOD = "good"
    LOW = "low"


@dataclass(slots=True)
class Quality:
    """Of one session."""

    verdict: Verdict = Verdict.GOOD
    _since: float | None = None  # since when the loss speaks against the verdict

    def update(self, now: float, fraction_lost: float) -> bool:
        """Whether the verdict has just changed. now: seconds of any clock that does not jump."""
        low = self.verdict is Verdict.LOW
        against = fraction_lost <= GOOD_LOSS if low else fraction_lost >= LOW_LOSS
        if not against:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < (GOOD_AFTER_S if low else LOW_AFTER_S):
            return False
        self.verdict = Verdict.GOOD if low else Verdict.LOW
        self._since = None
        return True
