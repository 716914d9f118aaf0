"""What happens to a player, and what follows from it: the events and effects of player.py."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from mediaserver.music.jobs import Reason
from mediaserver.music.plans import Plan

Then = Literal["go on", "hold", "remove"]


class Status(StrEnum):
    IDLE = "idle"
    LOADING = "loading"
    PLAYING = "playing"
    PAUSED = "paused"
    STALLED = "stalled"
    ENDED = "ended"
    FAILED = "failed"


# Why tracks fail.
FAILURES = (
    *Reason,
    *("not-found", "refused", "unreachable", "stalled"),
    *("no-decoder", "decoder-died", "decoder-hung", "misbehaved"),
)

# What happens


@dataclass(frozen=True, slots=True)
class Configure:
    """The plan is this from now on. What is played goes on if it is still in it."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Play:
    """This track, from this place; without a key what was paused, or the first."""

    key: str | None = None
    position_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Seek:
    position_s: float


@dataclass(frozen=True, slots=True)
class Next:
    pass


@dataclass(frozen=True, slots=True)
class Previous:
    pass


@dataclass(frozen=True, slots=True)
class Opened:
    """A deck's ring has its first sound."""

    deck: int
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A deck cannot be played, or not any further."""

    deck: int
    reason: str


@dataclass(frozen=True, slots=True)
class Starved:
    deck: int


@dataclass(frozen=True, slots=True)
class Resumed:
    deck: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The plane has played all of a deck, or faded it out."""

    deck: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the current deck has come; to be said every 100 ms or so, for cross-fades begin when it is."""

    deck: int
    position_s: float


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Configure | Play | Pause | Stop | Seek | Next | Previous
    | Opened | Failed | Starved | Resumed | Ended | Progress | Tick
)  # fmt: skip


# What follows


@dataclass(frozen=True, slots=True)
class Open:
    deck: int
    source: str
    start_s: float


@dataclass(frozen=True, slots=True)
class Start:
    """add_deck(): from silence to this volume."""

    deck: int
    volume_db: float
    fade_ms: float


@dataclass(frozen=True, slots=True)
class Fade:
    """fade_deck(): to this volume, None for silence."""

    deck: int
    volume_db: float | None
    fade_ms: float
    then: Then


@dataclass(frozen=True, slots=True)
class Close:
    """Its decoder ends. What the plane still fades of it, it has in its ring."""

    deck: int


@dataclass(frozen=True, slots=True)
class TrackStarted:
    key: str


@dataclass(frozen=True, slots=True)
class TrackFailed:
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class StatusChanged:
    status: Status
    reason: str = ""


Effect = Open | Start | Fade | Close | TrackStarted | TrackFailed | StatusChanged
