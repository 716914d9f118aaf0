"""Rows of a room's gain matrix: what each listener of a mix hears, and how few distinct things that is. Pure.

A row is all columns at their own gain but for the cells that it names: one's own voice is 0, what the listener turned
down or up for himself is a factor, and players and effects that are not for him are 0. Listeners of whom all that is
equal share one row, so they share its encoder: an audience of thousands is one row. Factors are rounded to STEP_DB and
places to STEP_PAN, so that nearly equal wishes are equal.

    a seat changes ─▶ model/seats.py: take() ─▶ model/rows.py: follow() ─▶ hearing_of(), Rows.take()
                      ─▶ AddRow, SetListenerRow, RemoveRow, which performing.py does in the plane
    music starts   ─▶ model/playing.py asks programme.py for factors ─▶ SetRow, for the rows of whom it is not for
"""

import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from mediaserver.programme import Crowd

STEP_DB = 3.0
"""Rounding of a listener's own gains. Finer makes more rows of like wishes, coarser is heard as a jump."""

MIN_GAIN_DB, MAX_GAIN_DB = -60.0, 12.0
"""The lowest is silence; the highest leaves the limiter something to do."""

STEP_PAN = 0.25
"""Rounding of where a listener wants to hear others."""

Cells = tuple[tuple[str, float], ...]
"""(user, factor on his column), by user; factor 1 is left out."""

Places = tuple[tuple[str, float], ...]
"""(user, pan -1..1), by user: where this listener hears him otherwise than others do."""


class Hearing(NamedTuple):
    """What makes a row: the listener's own cells and places, his factor on all music, and the crowd that he is of."""

    cells: Cells = ()
    places: Places = ()
    music: float = 1.0
    crowd: Crowd = Crowd(seated=False)

    @property
    def wish(self) -> "Hearing":
        """Without what the room decides: crowds with the same wishes count as one mix."""
        return self._replace(crowd=Crowd(seated=False))


class TooManyMixesError(Exception):
    """The listener's wishes would make one more distinct mix than the room allows; a sentence for the client."""


@dataclass(frozen=True, slots=True)
class Ears:
    """What one listener wants for himself alone: others' gains in dB, whom he does not want to hear at all, where he
    wants to hear whom (-1 left, 1 right), and the gain of all music in dB."""

    user_gains_db: Mapping[str, float] = field(default_factory=dict)
    user_mutes: frozenset[str] = frozenset()
    user_pans: Mapping[str, float] = field(default_factory=dict)
    music_gain_db: float = 0.0

    def cells(self) -> dict[str, float]:
        factors = {user: linear(in_steps(gain_db, STEP_DB)) for user, gain_db in self.user_gains_db.items()}
        return factors | dict.fromkeys(self.user_mutes, 0.0)

    def to_json(self) -> dict[str, Any]:
        """As the control API has it."""
        document: dict[str, Any] = {}
        if self.user_gains_db:
            document["user_gains_db"] = dict(self.user_gains_db)
        if self.user_mutes:
            document["user_mutes"] = dict.fromkeys(sorted(self.user_mutes), True)
        if self.user_pans:
            document["user_pans"] = dict(self.user_pans)
        if self.music_gain_db:
            document["music_gain_db"] = self.music_gain_db
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        muted = (user for user, is_muted in document.get("user_mutes", {}).items() if is_muted)
        return cls(
            document.get("user_gains_db", {}),
            frozenset(muted),
            document.get("user_pans", {}),
            document.get("music_gain_db", 0.0),
        )


def in_steps(value: float, step: float) -> float:
    return round(value / step) * step


def linear(gain_db: float) -> float:
    """The factor on amplitude; 0 at MIN_GAIN_DB and below."""
    return 0.0 if gain_db <= MIN_GAIN_DB else 10.0 ** (gain_db / 20.0)


def decibels(factor: float) -> float:
    """The gain of a factor on amplitude, to 0.1; MIN_GAIN_DB for what is as good as silence."""
    return MIN_GAIN_DB if factor <= 10.0 ** (MIN_GAIN_DB / 20.0) else round(20.0 * math.log10(factor), 1)


def cells_of(user: str, ears: Ears, *, seated: bool) -> Cells:
    """The row of a listener: his own wishes, and himself at 0 if he has a seat."""
    factors = ears.cells() | ({user: 0.0} if seated else {})
    if not seated:
        factors.pop(user, None)
    return tuple(sorted((name, factor) for name, factor in factors.items() if factor != 1.0))


def hearing_of(user: str, ears: Ears, crowd: Crowd) -> Hearing:
    """The row of a listener, whatever the room plays."""
    places = sorted((other, in_steps(pan, STEP_PAN)) for other, pan in ears.user_pans.items() if other != user)
    music = linear(in_steps(ears.music_gain_db, STEP_DB))
    return Hearing(cells_of(user, ears, seated=crowd.seated), tuple(places), music, crowd)


def is_wished(hearing: Hearing, speakers: Container[str]) -> bool:
    """Whether the row is there because listeners want something, and not for mix-minus and the room's programme alone.
    No music at all is free: it is one more row for each that there is without."""
    cells = hearing.cells
    return (
        bool(hearing.places)
        or hearing.music not in {0.0, 1.0}
        or len(cells) > 1
        or any(factor != 0.0 or user not in speakers for user, factor in cells)
    )


@dataclass(slots=True)
class Rows:
    """The rows that have listeners, and their plane ids. Those that come of listeners' wishes are limited in number,
    since each can cost an encoder; rows of mere mix-minus are as many as there are seats."""

    wished_limit: int
    _rows: dict[Hearing, "_Row"] = field(default_factory=dict)
    _last_id: int = 0

    def __len__(self) -> int:
        return len(self._rows)

    def check(self, coming: Iterable[Hearing], leaving: Iterable[int | None], speakers: Container[str]) -> None:
        """TooManyMixesError when listeners who hear so may not come, were those on the rows `leaving` to go.
        speakers: who has a seat. Who gives and takes seats is not refused for what listeners wish, so does not ask:
        there can be more rows than are allowed, and who comes again to one of them brings nothing new."""
        left, here = Counter(leaving), {hearing.wish for hearing in self._rows}
        stay = {hearing.wish for hearing, row in self._rows.items() if row.listeners > left[row.id]}
        new = {hearing.wish for hearing in coming if is_wished(hearing, speakers)} - stay
        if new - here and len(new) + sum(is_wished(hearing, speakers) for hearing in stay) > self.wished_limit:
            raise TooManyMixesError(f"The room has {self.wished_limit} mixes of listeners' own already.")

    def __iter__(self) -> Iterator[tuple[int, Hearing]]:
        """(id, what is heard) of each row."""
        for hearing, row in self._rows.items():
            yield row.id, hearing

    def take(self, hearing: Hearing) -> tuple[int, bool]:
        """The id of the row where this is heard, one more listener on it, and whether it is new."""
        row = self._rows.get(hearing)
        if row is not None:
            row.listeners += 1
            return row.id, False
        self._last_id += 1
        self._rows[hearing] = _Row(self._last_id)
        return self._last_id, True

    def drop(self, row: int) -> Hearing | None:
        """One listener less; what he heard if he was the last, for then the row is gone."""
        hearing, known = next(item for item in self._rows.items() if item[1].id == row)
        known.listeners -= 1
        if known.listeners > 0:
            return None
        del self._rows[hearing]
        return hearing

    def name(self, user: str) -> bool:
        """Whether some row has a cell for this user."""
        return any(name == user for hearing in self._rows for name, _ in (*hearing.cells, *hearing.places))


@dataclass(slots=True)
class _Row:
    id: int
    listeners: int = 1
