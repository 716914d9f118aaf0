"""What a player is to be like, as it is asked for."""

import random
from dataclasses import dataclass
from enum import StrEnum

# A start, a cut and a new volume without a click. Longer is heard as slow, shorter as a click on deep sounds.
CUT_MS = 20.0


class Repeat(StrEnum):
    NONE = "none"
    ONE = "one"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Track:
    """One entry of a playlist: its own name there, and what is played: `library:ID`, or an http(s) address."""

    key: str
    source: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What a player is to be like. Fades in ms, the volume in dB; seed: of the order in which `shuffle` plays."""

    tracks: tuple[Track, ...] = ()
    repeat: Repeat = Repeat.NONE
    shuffle: bool = False
    seed: int = 0
    volume_db: float = 0.0
    fade_in_ms: float = CUT_MS
    fade_out_ms: float = CUT_MS
    crossfade_ms: float = 0.0


def order_of(plan: Plan, first: str | None = None) -> tuple[str, ...]:
    """The keys as they are played; with `shuffle` this one first."""
    keys = [track.key for track in plan.tracks]
    if plan.shuffle:
        random.Random(plan.seed).shuffle(keys)
        if first in keys:
            keys.remove(first)
            keys.insert(0, first)
    return tuple(keys)
