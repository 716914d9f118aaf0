"""Rows of a room's gain matrix: what each listener of a mix hears, and how few distinct things that is. Pure.

A row is all columns at their own gain but for the cells that it names: one's own voice is 0, and what the listener
turned down or up for himself is a factor. Listeners with the same cells share one row, so they share its encoder: an
audience of thousands is one row. Factors are rounded to STEP_DB, so that nearly equal wishes are equal.

    a seat changes ─▶ Room (model.py) asks cells_of() ─▶ Rows.move() ─▶ AddRow, SetListenerRow, RemoveRow (commands.py)
"""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

STEP_DB = 3.0
"""Rounding of a listener's own gains. Finer makes more rows of like wishes, coarser is heard as a jump."""

MIN_GAIN_DB, MAX_GAIN_DB = -60.0, 12.0
"""The lowest is silence; the highest leaves the limiter something to do."""

Cells = tuple[tuple[str, float], ...]
"""(user, factor on his column), by user; factor 1 is left out."""


class TooManyMixesError(Exception):
    """The listener's wishes would make one more distinct mix than the room allows; a sentence for the client."""


@dataclass(frozen=True, slots=True)
class Ears:
    """What one listener wants for himself alone: others' gains in dB, and whom he does not want to hear at all."""

    user_gains_db: Mapping[str, float] = field(default_factory=dict)
    user_mutes: frozenset[str] = frozenset()

    def cells(self) -> dict[str, float]:
        factors = {user: linear(round(gain_db / STEP_DB) * STEP_DB) for user, gain_db in self.user_gains_db.items()}
        return factors | dict.fromkeys(self.user_mutes, 0.0)

    def to_json(self) -> dict[str, Any]:
        """As the control API has it."""
        document: dict[str, Any] = {}
        if self.user_gains_db:
            document["user_gains_db"] = dict(self.user_gains_db)
        if self.user_mutes:
            document["user_mutes"] = dict.fromkeys(sorted(self.user_mutes), True)
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        muted = (user for user, is_muted in document.get("user_mutes", {}).items() if is_muted)
        return cls(document.get("user_gains_db", {}), frozenset(muted))


def linear(gain_db: float) -> float:
    """The factor on amplitude; 0 at MIN_GAIN_DB and below."""
    return 0.0 if gain_db <= MIN_GAIN_DB else 10.0 ** (gain_db / 20.0)


def cells_of(user: str, ears: Ears, *, seated: bool) -> Cells:
    """The row of a listener: his own wishes, and himself at 0 if he has a seat."""
    factors = ears.cells() | ({user: 0.0} if seated else {})
    if not seated:
        factors.pop(user, None)
    return tuple(sorted((name, factor) for name, factor in factors.items() if factor != 1.0))


def is_wished(cells: Cells, speakers: Container[str]) -> bool:
    """Whether the row is there because listeners want something, and not for mix-minus alone."""
    return len(cells) > 1 or any(factor != 0.0 or user not in speakers for user, factor in cells)


@dataclass(slots=True)
class Rows:
    """The rows that have listeners, and their plane ids. Those that come of listeners' wishes are limited in number,
    since each can cost an encoder; rows of mere mix-minus are as many as there are seats."""

    wished_limit: int
    _rows: dict[Cells, "_Row"] = field(default_factory=dict)
    _last_id: int = 0

    def __len__(self) -> int:
        return len(self._rows)

    def check(self, coming: Iterable[Cells], leaving: Iterable[int | None], speakers: Container[str]) -> None:
        """TooManyMixesError when listeners with these cells may not come, were those on the rows `leaving` to go.
        speakers: who has a seat. Who gives and takes seats is not refused for what listeners wish, so does not ask."""
        left = Counter(leaving)
        stay = {cells for cells, row in self._rows.items() if row.listeners > left[row.id]}
        new = {cells for cells in coming if is_wished(cells, speakers)} - stay
        if new and len(new) + sum(is_wished(cells, speakers) for cells in stay) > self.wished_limit:
            raise TooManyMixesError(f"The room has {self.wished_limit} mixes of listeners' own already.")

    def take(self, cells: Cells) -> tuple[int, bool]:
        """The id of the row with these cells, one more listener on it, and whether it is new."""
        row = self._rows.get(cells)
        if row is not None:
            row.listeners += 1
            return row.id, False
        self._last_id += 1
        self._rows[cells] = _Row(self._last_id)
        return self._last_id, True

    def drop(self, row: int) -> Cells | None:
        """One listener less; the cells of the row if it was the last, for then the row is gone."""
        cells, known = next(item for item in self._rows.items() if item[1].id == row)
        known.listeners -= 1
        if known.listeners > 0:
            return None
        del self._rows[cells]
        return cells

    def name(self, user: str) -> bool:
        """Whether some row has a cell for this user."""
        return any(name == user for cells in self._rows for name, _ in cells)


@dataclass(slots=True)
class _Row:
    id: int
    listeners: int = 1
