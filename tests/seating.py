"""Seats for tests of the room model, in few words."""

from collections.abc import Iterable

from mediaserver.commands import Command
from mediaserver.model import seats
from mediaserver.model.people import MuteSource, Speaker
from mediaserver.model.room import Room


def set_speaker(
    room: Room,
    user: str,
    *,
    may_publish: bool = True,
    gain_db: float = 0.0,
    seat: int | None = None,
    mutes: Iterable[MuteSource] | None = None,
) -> list[Command]:
    """A seat, or another use of the one he has. mutes: None leaves them."""
    if mutes is None:
        known = room.speakers.get(user)
        mutes = known.mutes if known else ()
    return seats.take(room, user, Speaker(may_publish, frozenset(mutes), gain_db, seat))
