"""What the room model asks for: values that the plane driver performs, in order.

The model decides and returns these; it never touches a socket, a clock or the plane itself.
"""

from dataclasses import dataclass
from enum import StrEnum


class CloseReason(StrEnum):
    """Why a session ended. The values are metric labels, so the set is closed."""

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


@dataclass(frozen=True, slots=True)
class AddRoom:
    """`home` is the worker of the room's publishers."""

    room: int
    home: int


@dataclass(frozen=True, slots=True)
class RemoveRoom:
    """Comes after a ClosePeer for each of the room's peers."""

    room: int


@dataclass(frozen=True, slots=True)
class SetColumn:
    """The source's column in the room's gain matrix; gain is linear, 0.0 is silence for everyone."""

    room: int
    csrc: int
    gain: float


@dataclass(frozen=True, slots=True)
class RemoveColumn:
    room: int
    csrc: int


@dataclass(frozen=True, slots=True)
class ClosePeer:
    """End the session of this peer politely: it is told by close_notify and RTCP BYE."""

    peer: int
    reason: CloseReason


Command = AddRoom | RemoveRoom | SetColumn | RemoveColumn | ClosePeer
