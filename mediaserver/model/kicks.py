"""Kicks: out of the room, and not back with a token from before."""

from mediaserver.commands import CloseReason, Command
from mediaserver.model import presence, seats
from mediaserver.model.news import Fact
from mediaserver.model.people import Direction
from mediaserver.model.room import Room

REVOCATION_LIFETIME_S = 8 * 24 * 3600.0
"""How long a kick is remembered: longer than any token lives (tokens.py), and a day for clocks."""


def kick(room: Room, user: str, now: float) -> list[Command]:
    """Ends both sessions, takes the seat and refuses tokens issued until `now` (Unix time, seconds)."""
    for name in [name for name, time in room.kicked.items() if time < now - REVOCATION_LIFETIME_S]:
        del room.kicked[name]
        room.note(Fact.REVOKED, name)
    room.kicked[user] = now
    room.note(Fact.REVOKED, user)
    commands = presence.evict(room, user, tuple(Direction), CloseReason.KICKED)
    return [*commands, *seats.vacate(room, user, CloseReason.KICKED)]
