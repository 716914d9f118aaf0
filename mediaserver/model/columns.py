"""Columns of the gain matrix: how a speaker is heard by everybody, whatever a listener's own row makes of it."""

from mediaserver.commands import Command, SetChain, SetColumn
from mediaserver.model.people import Speaker
from mediaserver.model.room import Layout, Room
from mediaserver.place import arc
from mediaserver.voices import Chain, chain_of

PLACES = 8
"""Of an arc, in a room that has no limit of speakers."""

Heard = tuple[float, float, Chain]
"""Gain, pan, and what is done to his voice."""


def heard(room: Room, user: str) -> Heard:
    speaker = room.speakers[user]
    return speaker.gain, _pan(room, speaker), chain_of(room.speech, speaker.voice_effect)


def _pan(room: Room, speaker: Speaker) -> float:
    if speaker.pan is not None:
        return speaker.pan
    places = arc(room.limits.speakers or PLACES) if room.layout is Layout.ARC else ()
    return places[speaker.seat] if speaker.seat is not None and speaker.seat < len(places) else 0.0


def hear(room: Room, user: str, was: Heard | None) -> list[Command]:
    """What it takes to hear him as he is to be heard now. was: heard() before; None: he had no column."""
    (gain, pan, chain), csrc = heard(room, user), room.csrcs.of(user)
    commands: list[Command] = []
    if was is None or was[:2] != (gain, pan):
        commands.append(SetColumn(room.id, csrc, gain, pan))
    if chain != (was[2] if was else ()):
        commands.append(SetChain(room.id, csrc, chain))
    return commands
