"""Which one-time tokens have been used. Bounded: one that cannot be remembered is refused, never accepted."""

import hashlib
import heapq
from collections.abc import Callable, Mapping

MAX_USED = 100_000
"""Ids at a time, some 20 MB. Lower refuses one-time tokens earlier, higher costs memory."""

KEPT_AFTER_S = 10.0
"""How long an id outlives its token, for a clock that is set back. Higher remembers more for nothing."""


class FullError(Exception):
    """No further use can be remembered now; the message is a sentence for the client."""


class UsedIds:
    """An id is what one use of one token is called, see id_of(). Times are Unix time in seconds.

    The memory ends with the process: to outlive it, put what `note` was told (an id and its expiry, None when it is
    forgotten) into the next one's restore().
    """

    def __init__(self, limit: int = MAX_USED, note: Callable[[str, float | None], None] | None = None) -> None:
        self._limit = limit
        self._note = note or (lambda _id, _expires: None)
        self._expires: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []  # a heap; may name ids that have been released

    def __contains__(self, id: str) -> bool:
        return id in self._expires

    def __len__(self) -> int:
        return len(self._expires)

    def use(self, id: str, expires: float, now: float) -> bool:
        """Whether this is its first use; from now on it is used. expires: when its token cannot be used any more.
        FullError when it cannot be remembered."""
        self._prune(now)
        if id in self._expires:
            return False
        if len(self._expires) >= self._limit:
            raise FullError("The server remembers as many one-time tokens as it can; use it later, or another kind.")
        self._expires[id] = expires
        heapq.heappush(self._order, (expires, id))
        self._note(id, expires)
        return True

    def release(self, id: str) -> None:
        """The use came to nothing, so there may be another."""
        if self._expires.pop(id, None) is not None:
            self._note(id, None)
        if len(self._order) > 2 * self._limit:
            self._rebuild()

    def restore(self, entries: Mapping[str, float]) -> None:
        """What was used in another process, by id with its expiry, is used here too, even beyond the limit."""
        self._expires.update(entries)
        self._rebuild()

    def _prune(self, now: float) -> None:
        while self._order and self._order[0][0] <= now - KEPT_AFTER_S:
            expires, id = heapq.heappop(self._order)
            if self._expires.get(id) == expires:
                del self._expires[id]
                self._note(id, None)

    def _rebuild(self) -> None:
        self._order = [(expires, id) for id, expires in self._expires.items()]
        heapq.heapify(self._order)


def id_of(*parts: str) -> str:
    """Of a use, from whatever makes it one: short, however long the parts are, and without repeating them."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4) + encoded)
    return digest.hexdigest()
