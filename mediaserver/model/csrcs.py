"""CSRCs (the contributing sources of RFC 3550): the numbers by which a room's columns are known in its packets."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field


def _random_csrc() -> int:
    return secrets.randbits(32)


@dataclass(slots=True)
class Csrcs:
    """Of users, and of the columns of players and effects (programme.py), by name; no two are the same."""

    draw: Callable[[], int] = _random_csrc
    _known: dict[str, int] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=lambda: {0})  # the values of _known; 0 would say "no source"
    _kept: set[str] = field(default_factory=set)

    def of(self, name: str) -> int:
        """Drawn at the first call; never 0."""
        if name not in self._known:
            csrc = 0
            while csrc in self._taken:
                csrc = self.draw()
            self._known[name] = csrc
            self._taken.add(csrc)
        return self._known[name]

    def known(self, name: str) -> int | None:
        return self._known.get(name)

    def keep(self, user: str) -> None:
        """It is about to go out in packets, so that it is to be his while the room lives."""
        self._kept.add(user)

    def release(self, user: str) -> None:
        """Nothing names it any more: it goes, unless it is kept. One for each who ever came would grow without
        bound."""
        if user in self._known and user not in self._kept:
            self.drop(user)

    def drop(self, name: str) -> int:
        """Its column is gone; what it was."""
        csrc = self._known.pop(name)
        self._taken.remove(csrc)
        return csrc
