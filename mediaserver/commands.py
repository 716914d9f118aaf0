"""What the room model asks for: values that the plane driver performs, in order.

The model decides and returns these; it never touches a socket, a clock or the plane itself.
"""

from dataclasses import dataclass
from enum import StrEnum

from mediaserver.programme import EffectSpec, PlayerSpec
from mediaserver.voices import Chain


class CloseReason(StrEnum):
    """Why a session, or a user's presence in a room, ended. The values are metric labels, so the set is closed."""

    DELETED = "deleted"
    REPLACED = "replaced"
    KICKED = "kicked"
    SEAT_REMOVED = "seat-removed"
    ROOM_CLOSED = "room-closed"
    SHUTDOWN = "shutdown"
    CONSENT_EXPIRED = "consent-expired"
    HANDSHAKE_FAILED = "handshake-failed"
    HANDSHAKE_TIMEOUT = "handshake-timeout"
    PEER_CLOSED = "peer-closed"
    INTERNAL_ERROR = "internal-error"
    MOVED = "moved"
    RESTARTED = "restarted"


@dataclass(frozen=True, slots=True)
class Mix:
    """How a room's mixes are encoded, one setting for all. bitrate: bit/s; ptime_ms: 20, 40 or 60; complexity: of
    Opus, 0..10; music: coded for music instead of voice, and no gate on soft sounds; passthrough: one voice alone is
    not encoded again; ducking_db: by how much music goes down while somebody speaks."""

    stereo: bool = False
    bitrate: int = 48_000
    ptime_ms: int = 20
    complexity: int = 5
    music: bool = False
    passthrough: bool = True
    ducking_db: float = 0.0


@dataclass(frozen=True, slots=True)
class AddRoom:
    """`home` is the worker of the room's publishers. e2ee: payloads are end-to-end encrypted, so nothing is mixed."""

    room: int
    home: int
    mix: Mix = Mix()
    e2ee: bool = False


@dataclass(frozen=True, slots=True)
class ConfigureRoom:
    room: int
    mix: Mix
    e2ee: bool


@dataclass(frozen=True, slots=True)
class RemoveRoom:
    """Comes after a ClosePeer for each of the room's peers."""

    room: int


@dataclass(frozen=True, slots=True)
class SetColumn:
    """The source's column in the room's gain matrix; gain is linear, 0.0 is silence for everyone. pan: where it is
    heard in a stereo mix, -1 (left) to 1."""

    room: int
    csrc: int
    gain: float
    pan: float = 0.0


@dataclass(frozen=True, slots=True)
class RemoveColumn:
    room: int
    csrc: int


@dataclass(frozen=True, slots=True)
class AddRow:
    """A row of the gain matrix: every column at its own gain but for these (csrc, factor). like: the row that its first
    listener comes from, so that he hears gains move and no break."""

    room: int
    row: int
    cells: tuple[tuple[int, float], ...]
    like: int | None
    places: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SetRow:
    """Other cells and places, for all who listen to the row."""

    room: int
    row: int
    cells: tuple[tuple[int, float], ...]
    places: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class SetChain:
    """What is done to a column before it is mixed."""

    room: int
    csrc: int
    chain: Chain


@dataclass(frozen=True, slots=True)
class OpenPlayer:
    """A music player's column, and the player."""

    room: int
    player: str
    csrc: int
    spec: PlayerSpec


@dataclass(frozen=True, slots=True)
class ChangePlayer:
    room: int
    player: str
    csrc: int
    spec: PlayerSpec


@dataclass(frozen=True, slots=True)
class ClosePlayer:
    room: int
    player: str
    csrc: int


@dataclass(frozen=True, slots=True)
class AddTap:
    """A player's music once more in a column of its own, later. Comes after its OpenPlayer."""

    room: int
    csrc: int
    player_csrc: int
    pan: float
    delay_samples: int


@dataclass(frozen=True, slots=True)
class SetDelay:
    """How much later a speaker's column or a tap is heard, at 48 kHz; it glides there."""

    room: int
    csrc: int
    delay_samples: int


@dataclass(frozen=True, slots=True)
class StartEffect:
    """It ends by itself, unless it repeats, and the room is told: model/playing.py, effect_ended()."""

    room: int
    effect: str
    csrc: int
    spec: EffectSpec


@dataclass(frozen=True, slots=True)
class ChangeEffect:
    """Another gain, place or audience; whether it is heard already, or its sound is still being loaded."""

    room: int
    effect: str
    csrc: int
    spec: EffectSpec


@dataclass(frozen=True, slots=True)
class StopEffect:
    room: int
    effect: str
    csrc: int


@dataclass(frozen=True, slots=True)
class RemoveRow:
    """Comes after its last listener has been given another row or closed."""

    room: int
    row: int


@dataclass(frozen=True, slots=True)
class SetListenerRow:
    peer: int
    row: int


@dataclass(frozen=True, slots=True)
class ClosePeer:
    """End the session of this peer politely: it is told by close_notify and RTCP BYE."""

    peer: int
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class MovePeer:
    """The peer is of another room from now on, over the connection that it has. csrc: its user's there; row: of a
    listener to the mix, there."""

    peer: int
    room: int
    csrc: int
    row: int | None = None


Command = (
    AddRoom
    | ConfigureRoom
    | RemoveRoom
    | SetColumn
    | RemoveColumn
    | AddRow
    | SetRow
    | SetChain
    | OpenPlayer
    | ChangePlayer
    | ClosePlayer
    | AddTap
    | SetDelay
    | StartEffect
    | ChangeEffect
    | StopEffect
    | RemoveRow
    | SetListenerRow
    | ClosePeer
    | MovePeer
)
