"""What operations work with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roomservice.accounts import Accounts
from roomservice.aggregates import ROOM
from roomservice.engine import Engine, NotFound, TooBusy
from roomservice.interface import Conflict, Crowded, Media, MediaError, Sound, SoundRefusedError, Unavailable
from roomservice.library import Library, TooLargeError, TooManyError
from roomservice.operations.problems import (
    CONTENDED,
    MEDIA_REFUSED,
    MEDIA_UNREACHABLE,
    NO_SUCH_ROOM,
    NO_SUCH_THING,
    OF_MEDIA,
    TOO_LARGE,
    TOO_OFTEN,
    UNAVAILABLE,
    Refused,
)
from roomservice.presence import Presence
from roomservice.settings import ServiceSettings
from roomservice.talk.talk import Talk
from roomservice.talking_now import TalkingNow


@dataclass(frozen=True, slots=True)
class World:
    """clock: Unix time in s."""

    engine: Engine
    accounts: Accounts
    presence: Presence
    media: Media
    sound: Sound
    talk: Talk
    talking: TalkingNow
    library: Library
    settings: ServiceSettings
    clock: Callable[[], float]


def _not_found(error: NotFound) -> Refused:
    return Refused(NO_SUCH_ROOM) if error.kind == ROOM.kind else Refused(NO_SUCH_THING, str(error))


def _sound_refused(error: SoundRefusedError) -> Refused:
    return Refused(error.kind if error.kind in OF_MEDIA else MEDIA_REFUSED, str(error))


NAMED: dict[type[Exception], Callable[[Any], Refused]] = {
    NotFound: _not_found,
    TooBusy: lambda _: Refused(CONTENDED, retry_after_s=1.0),
    Conflict: lambda _: Refused(CONTENDED, retry_after_s=1.0),
    SoundRefusedError: _sound_refused,
    TooLargeError: lambda error: Refused(TOO_LARGE, str(error)),
    TooManyError: lambda error: Refused(TOO_OFTEN, str(error), retry_after_s=error.wait_s),
    MediaError: lambda _: Refused(MEDIA_UNREACHABLE, retry_after_s=3.0),
    Crowded: lambda error: Refused(UNAVAILABLE, str(error), retry_after_s=2.0),
    Unavailable: lambda _: Refused(UNAVAILABLE, retry_after_s=1.0),
}
"""What exceptions of the world are called."""
