"""Who is in a room: speakers, who have seats, and participants, who have sessions. Either can be without the other."""

from dataclasses import dataclass, field
from enum import StrEnum

from mediaserver.matrix import linear
from mediaserver.voices import VoiceEffect


class Direction(StrEnum):
    """Seen from the client: WHIP publishes, WHEP listens."""

    PUBLISH = "publish"
    LISTEN = "listen"


class MuteSource(StrEnum):
    """Who muted a speaker. The sources are kept apart: undoing one's own mute must not undo the host's."""

    SELF = "self"
    HOST = "host"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Speaker:
    """A seat. `may_publish` false keeps the seat and its mutes but silences it. seat: its number, for those who show
    it. pan: where it is heard in stereo mixes, -1 (left) to 1; None leaves it to the room's layout. voice_effect:
    what is done to his voice."""

    may_publish: bool = True
    mutes: frozenset[MuteSource] = frozenset()
    gain_db: float = 0.0
    seat: int | None = None
    pan: float | None = None
    voice_effect: VoiceEffect | None = None

    @property
    def heard(self) -> bool:
        return self.may_publish and not self.mutes

    @property
    def gain(self) -> float:
        """Of his column, for everybody."""
        return linear(self.gain_db) if self.heard else 0.0


@dataclass(slots=True)
class Participant:
    """A user with sessions: their plane peers by direction, never empty.

    coming: newer sessions that are to take the place of connected ones, ready once they are connected too. rows: of the
    gain matrix, by peers that listen to a mix. connected: the directions in which media can flow; late: those whose
    client has not been heard of for seconds.
    """

    csrc: int
    peers: dict[Direction, int] = field(default_factory=dict)
    coming: dict[Direction, int] = field(default_factory=dict)
    ready: set[Direction] = field(default_factory=set)
    rows: dict[int, int] = field(default_factory=dict)
    connected: set[Direction] = field(default_factory=set)
    late: set[Direction] = field(default_factory=set)
