"""What a command makes the outside do. The edges perform effects in order, through an outbox.

Rules held here
- Timers and speakers are not told of by those who change the state: they are what `timers()` and `speakers()` say of
  a state, and the effects are the difference between two states. After a restart, the difference from nothing is all.
- A timer is (deadline, what). When it fires, `Elapsed(what)` is applied to the state, which knows its deadlines
  itself: one that is early, late, doubled or of the past does nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MuteSource(StrEnum):
    """Who muted a speaker; each undoes only his own. The media server has the same three."""

    SELF = "self"
    HOST = "host"
    SYSTEM = "system"


# ---- to clients


@dataclass(frozen=True, slots=True)
class Tell:
    """A notification. users: who gets it, on all their devices but `except_device`; None: all who are in the room, or
    in the group of an invitation."""

    event: str
    data: Mapping[str, object] = field(default_factory=dict)
    users: tuple[str, ...] | None = None
    except_device: str | None = None


@dataclass(frozen=True, slots=True)
class Push:
    """To somebody who is offline, by the app's push service."""

    user: str
    event: str
    data: Mapping[str, object] = field(default_factory=dict)


# ---- timers


class What(StrEnum):
    """What a timer is for."""

    HOST_GONE = "host gone"
    AWAY = "away"
    STAGE_INVITE = "stage invite"
    INVITATION = "invitation"
    RINGING = "ringing"
    FORGET = "forget"  # what has ended long ago; no model knows it


@dataclass(frozen=True, slots=True)
class Timer:
    """of: the user that it is about; empty when there is one for all."""

    what: What
    of: str = ""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Also moves the one that is set. deadline: Unix time in s."""

    timer: Timer
    deadline: float


@dataclass(frozen=True, slots=True)
class DropTimer:
    timer: Timer


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The command that comes of a timer."""

    timer: Timer


# ---- to the media server


@dataclass(frozen=True, slots=True)
class Speaker:
    """What the media server shall do for a user who may speak. Heard when nobody mutes him."""

    seat: int | None
    mutes: frozenset[MuteSource] = frozenset()


@dataclass(frozen=True, slots=True)
class OpenMedia:
    """The media room is there, without speakers."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """The media room is for something else from now on; speakers stay."""


@dataclass(frozen=True, slots=True)
class PutSpeaker:
    user: str
    speaker: Speaker


@dataclass(frozen=True, slots=True)
class DropSpeaker:
    user: str


@dataclass(frozen=True, slots=True)
class CutOff:
    """The user's sessions end and his tokens are revoked."""

    user: str


@dataclass(frozen=True, slots=True)
class RingBack:
    """A ring-back tone for one listener, until it is stopped."""

    user: str
    on: bool


@dataclass(frozen=True, slots=True)
class CloseMedia:
    """The media room ends, with all sessions in it."""


# ---- to the records


@dataclass(frozen=True, slots=True)
class Engage:
    """The user is busy with this call from now on; none can be in two."""

    user: str


@dataclass(frozen=True, slots=True)
class Disengage:
    user: str


@dataclass(frozen=True, slots=True)
class Record:
    """It has ended, and this is what is kept of it."""

    kind: str
    data: Mapping[str, object] = field(default_factory=dict)


Effect = (
    Tell
    | Push
    | SetTimer
    | DropTimer
    | OpenMedia
    | Reopen
    | PutSpeaker
    | DropSpeaker
    | CutOff
    | RingBack
    | CloseMedia
    | Engage
    | Disengage
    | Record
)


# ---- differences


def timer_changes(before: Mapping[Timer, float], after: Mapping[Timer, float]) -> list[Effect]:
    """What is not set any more, then what is new or moved."""
    dropped: list[Effect] = [DropTimer(timer) for timer in before if timer not in after]
    return [*dropped, *(SetTimer(timer, at) for timer, at in after.items() if before.get(timer) != at)]


def speaker_changes(before: Mapping[str, Speaker], after: Mapping[str, Speaker]) -> list[Effect]:
    """Who leaves a seat goes first: another may have it at once."""
    dropped: list[Effect] = [DropSpeaker(user) for user in before if user not in after]
    return [*dropped, *(PutSpeaker(user, wanted) for user, wanted in after.items() if before.get(user) != wanted)]
