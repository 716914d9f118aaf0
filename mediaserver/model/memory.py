"""What is remembered of each user beside the room's document, so that it survives a restart."""

from typing import Any

from mediaserver.commands import CloseReason
from mediaserver.matrix import Ears
from mediaserver.model.news import Fact
from mediaserver.model.people import Direction
from mediaserver.model.presence import tell_stopped
from mediaserver.model.room import Room


def fact(room: Room, kind: Fact, user: str) -> Any:
    """A value for JSON; None when there is nothing to remember."""
    match kind:
        case Fact.LISTENER:
            return None if user not in room.ears else room.ears[user].to_json()
        case Fact.REVOKED:
            return room.kicked.get(user)
        case Fact.PRESENT:
            return sorted(room.participants[user].connected) if room.is_present(user) else None


def recall(room: Room, kind: Fact, user: str, value: Any) -> None:
    """What fact() said before a restart. Who was present then has left since."""
    match kind:
        case Fact.LISTENER:
            room.ears[user] = Ears.from_json(value)
        case Fact.REVOKED:
            room.kicked[user] = float(value)
        case Fact.PRESENT:
            for direction in value:
                tell_stopped(room, Direction(direction), user, CloseReason.RESTARTED)
            room.tell("participant.left", user, reason=CloseReason.RESTARTED)
            room.note(Fact.PRESENT, user)
