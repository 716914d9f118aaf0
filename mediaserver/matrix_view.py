"""A room's gain matrix for people to look at: what each row of listeners hears of each column. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from mediaserver.matrix import decibels, linear
from mediaserver.model.room import Room
from mediaserver.model.rows import factors
from mediaserver.programme import effect_column, player_column, tap_column

Kind = Literal["voice", "player", "tap", "effect"]

NAMED_LISTENERS = 20
"""Of a row, whose names are shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """tap: a player as late as those without a seat hear it. gain_db: for everybody."""

    kind: Kind
    name: str
    csrc: int
    gain_db: float


@dataclass(frozen=True, slots=True)
class Row:
    """gains_db: of each column for these listeners, their own factor on the column's gain; -60 is silence."""

    id: int
    listeners: int
    users: tuple[str, ...]
    gains_db: tuple[float, ...]


def columns(room: Room) -> list[Column]:
    """Voices by seat and name, then what the room plays."""
    found = list(_voices(room))
    for name, player in room.programme.players.items():
        gain_db = player.plan.volume_db
        found.append(Column("player", name, room.csrcs.of(player_column(name)), gain_db))
        if player.align:
            found.append(Column("tap", name, room.csrcs.of(tap_column(name)), gain_db))
    for name, effect in room.programme.effects.items():
        found.append(Column("effect", name, room.csrcs.of(effect_column(name)), effect.gain_db))
    return found


def rows(room: Room, of: list[Column]) -> list[Row]:
    """The largest first."""
    users: dict[int, list[str]] = {}
    listeners: Counter[int] = Counter()
    for user, participant in room.participants.items():
        for row in participant.rows.values():
            users.setdefault(row, []).append(user)
            listeners[row] += 1
    found = []
    for row, own in factors(room):
        gains = tuple(decibels(linear(column.gain_db) * own.get(column.csrc, 1.0)) for column in of)
        found.append(Row(row, listeners[row], tuple(islice(users.get(row, ()), NAMED_LISTENERS)), gains))
    return sorted(found, key=lambda row: (-row.listeners, row.id))


def _voices(room: Room) -> Iterator[Column]:
    seated = sorted(room.speakers.items(), key=lambda item: (item[1].seat is None, item[1].seat or 0, item[0]))
    for user, speaker in seated:
        yield Column("voice", user, room.csrcs.of(user), decibels(speaker.gain))
