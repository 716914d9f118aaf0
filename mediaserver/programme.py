"""What a room plays beside its speakers: music players and sound effects, and who hears which. Pure.

Each is a column of the gain matrix. Whom it is not for has 0 in its cell, so an audience is a pattern of rows: who may
hear the same belongs to one crowd, and a crowd's rows change together (matrix.py).

Music that singers sing to (`align`) has two columns: live, for who has a seat, and a tap, the same later, for who has
none, so that he hears voice and music meet (ktv.py). Each for whom the player is hears one of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from mediaserver.music.plans import Plan

# Columns have names of one kind: speakers' are their users', which have no control characters.
_PLAYER, _EFFECT, _TAP = "\x01", "\x02", "\x03"


def player_column(name: str) -> str:
    return _PLAYER + name


def effect_column(name: str) -> str:
    return _EFFECT + name


def tap_column(player: str) -> str:
    """Of an aligned player: its music as those without a seat hear it."""
    return _TAP + player


def is_music(column: str) -> bool:
    return column.startswith((_PLAYER, _TAP))


class Crowd(NamedTuple):
    """Listeners who hear the same players and effects. user: one whom some audience names; else empty."""

    seated: bool
    user: str = ""


class Public(StrEnum):
    EVERYBODY = "everybody"
    LISTENERS = "listeners"  # those without a seat
    SPEAKERS = "speakers"  # those with one: a monitor


@dataclass(frozen=True, slots=True)
class Audience:
    """users: these alone, instead of a public."""

    public: Public = Public.EVERYBODY
    users: frozenset[str] | None = None

    def has(self, crowd: Crowd) -> bool:
        if self.users is not None:
            return crowd.user in self.users
        return self.public is Public.EVERYBODY or crowd.seated == (self.public is Public.SPEAKERS)


class PlayerState(StrEnum):
    """What is asked of a player; what becomes of it is its status (music/cues.py)."""

    PLAYING = "playing"
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class PlayerSpec:
    """pan: -1 (left) to 1, in stereo mixes. align: singers sing to it, so those without a seat hear it later; by
    align_offset_ms more than was measured."""

    plan: Plan = field(default_factory=Plan)
    state: PlayerState = PlayerState.PLAYING
    audience: Audience = field(default_factory=Audience)
    pan: float = 0.0
    align: bool = False
    align_offset_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class EffectSpec:
    """sound: of the built-in pack, or of the library (`library:ID`). repeat: until it is stopped."""

    sound: str
    gain_db: float = 0.0
    pan: float = 0.0
    audience: Audience = field(default_factory=Audience)
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Programme:
    players: Mapping[str, PlayerSpec] = field(default_factory=dict)
    effects: Mapping[str, EffectSpec] = field(default_factory=dict)

    def aligned(self) -> dict[str, PlayerSpec]:
        """Players that singers sing to."""
        return {name: player for name, player in self.players.items() if player.align}

    def audiences(self) -> Iterator[Audience]:
        yield from (player.audience for player in self.players.values())
        yield from (effect.audience for effect in self.effects.values())

    def named(self) -> frozenset[str]:
        """Users whom some audience names, so that each of them is a crowd of his own."""
        return frozenset(user for audience in self.audiences() for user in audience.users or ())

    def factors(self, crowd: Crowd, music: float) -> Iterator[tuple[str, float]]:
        """(column, factor) where it is not 1, for a listener who hears music by the factor `music`."""
        for column, is_for in self._columns(crowd):
            factor = 0.0 if not is_for else music if is_music(column) else 1.0
            if factor != 1.0:
                yield column, factor

    def _columns(self, crowd: Crowd) -> Iterator[tuple[str, bool]]:
        """(column, whether the crowd hears it)."""
        for name, player in self.players.items():
            is_for = player.audience.has(crowd)
            yield player_column(name), is_for and (crowd.seated or not player.align)
            if player.align:
                yield tap_column(name), is_for and not crowd.seated
        for name, effect in self.effects.items():
            yield effect_column(name), effect.audience.has(crowd)
