"""Who may do what in a room: one table, and nothing elsewhere asks for a role.

Rules held here
- A role may do an operation when the table says so; else the move is `not-permitted`, or `not-in-room` of a stranger.
- An operation on somebody else needs a higher role than his, whatever the table says: else it is `outranked`.
  Speakers and listeners count as one.
- The service itself may do everything that is done to somebody or to the room.
"""

from enum import StrEnum

from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Role, Room


class Operation(StrEnum):
    ENTER = "enter"
    LEAVE = "leave"
    DISMISS = "dismiss"
    KICK = "kick"
    BAN = "ban"
    UNBAN = "unban"
    HAND_OVER = "hand over"
    APPOINT = "appoint"
    TAKE_SEAT = "take seat"
    LEAVE_SEAT = "leave seat"
    MOVE_SEAT = "move seat"
    MOVE_OTHER = "move other"
    LOCK_SEAT = "lock seat"
    MUTE_SELF = "mute self"
    MUTE_OTHER = "mute other"
    SET_LISTENER = "set listener"
    RAISE_HAND = "raise hand"
    LOWER_HAND = "lower hand"
    ANSWER_HAND = "answer hand"
    INVITE_ONSTAGE = "invite onstage"
    ANSWER_INVITE = "answer invite"
    CONFIGURE = "configure"
    SET_INFO = "set info"
    SET_OWN_INFO = "set own info"
    SET_OTHER_INFO = "set other info"
    LIKE = "like"
    SEND_COMMAND = "send command"
    DIRECT_SOUND = "direct sound"


_ALL = frozenset({Role.HOST, Role.ADMIN, Role.SPEAKER, Role.LISTENER})
_LEADERS = frozenset({Role.SYSTEM, Role.HOST, Role.ADMIN})
_HOST = frozenset({Role.SYSTEM, Role.HOST})

ALLOWED: dict[Operation, frozenset[Role]] = {
    Operation.ENTER: _ALL | {Role.STRANGER},
    Operation.LEAVE: _ALL,
    Operation.DISMISS: _HOST,
    Operation.KICK: _LEADERS,
    Operation.BAN: _LEADERS,
    Operation.UNBAN: _LEADERS,
    Operation.HAND_OVER: _HOST,
    Operation.APPOINT: _HOST,
    Operation.TAKE_SEAT: _ALL,
    Operation.LEAVE_SEAT: _ALL,
    Operation.MOVE_SEAT: _ALL,
    Operation.MOVE_OTHER: _LEADERS,
    Operation.LOCK_SEAT: _LEADERS,
    Operation.MUTE_SELF: _ALL,
    Operation.MUTE_OTHER: _LEADERS,
    Operation.SET_LISTENER: _LEADERS,
    Operation.RAISE_HAND: _ALL,
    Operation.LOWER_HAND: _ALL,
    Operation.ANSWER_HAND: _LEADERS,
    Operation.INVITE_ONSTAGE: _LEADERS,
    Operation.ANSWER_INVITE: _ALL,
    Operation.CONFIGURE: _HOST,
    Operation.SET_INFO: _LEADERS,
    Operation.SET_OWN_INFO: _ALL,
    Operation.SET_OTHER_INFO: _LEADERS,
    Operation.LIKE: _ALL,
    Operation.SEND_COMMAND: _ALL | {Role.SYSTEM},
    Operation.DIRECT_SOUND: _LEADERS,
}

_RANK = {Role.SYSTEM: 3, Role.HOST: 2, Role.ADMIN: 1}


def check(room: Room, by: str | None, operation: Operation) -> None:
    """Illegal: not-in-room, not-permitted."""
    role = room.role_of(by)
    if role in ALLOWED[operation]:
        return
    raise Illegal(Problem.NOT_IN_ROOM if role is Role.STRANGER else Problem.NOT_PERMITTED)


def check_over(room: Room, by: str | None, user: str) -> None:
    """Illegal: outranked. The host and admins have their rank even while they are out of the room."""
    rank = 2 if user == room.host else 1 if user in room.admins else 0
    if rank >= _RANK.get(room.role_of(by), 0):
        raise Illegal(Problem.OUTRANKED)
