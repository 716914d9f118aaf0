"""Seats: who may speak, and who is muted by whom. A seat makes a column of the gain matrix, and its holder's row."""

from collections.abc import Mapping
from dataclasses import replace

from mediaserver.commands import CloseReason, Command, RemoveColumn
from mediaserver.model import presence, rows
from mediaserver.model.columns import hear, heard
from mediaserver.model.errors import FullRoomError, SeatTakenError
from mediaserver.model.people import Direction, MuteSource, Speaker
from mediaserver.model.room import Room


def take(room: Room, user: str, speaker: Speaker) -> list[Command]:
    """A seat for the user, or his seat otherwise. SeatTakenError or FullRoomError: then nothing has changed."""
    _check(room, user, speaker.seat)
    return _take(room, user, speaker)


def take_all(room: Room, speakers: Mapping[str, Speaker]) -> list[Command]:
    """These are all the seats from now on. The caller has seen to it that they are no more than the room's
    limit and that no two have the same number."""
    commands: list[Command] = []
    for user in [user for user in room.speakers if user not in speakers]:
        commands += remove(room, user)
    for user, speaker in speakers.items():
        commands += _take(room, user, speaker)
    return commands


def remove(room: Room, user: str, reason: CloseReason = CloseReason.SEAT_REMOVED) -> list[Command]:
    """Takes the seat: mutes are forgotten, a publishing session is closed, a listening one goes on."""
    if user not in room.speakers:
        return []
    commands = presence.evict(room, user, (Direction.PUBLISH,), reason)
    return [*commands, *vacate(room, user, reason), *rows.follow(room, user)]


def vacate(room: Room, user: str, reason: CloseReason) -> list[Command]:
    """Of who has no sessions here any more: the seat alone."""
    if room.speakers.pop(user, None) is None:
        return []
    room.delays.pop(user, None)
    room.revision += 1
    room.tell("speaker.unseated", user, reason=reason)
    return [RemoveColumn(room.id, room.csrcs.of(user))]


def mute(room: Room, user: str, source: MuteSource) -> list[Command]:
    """NoSeatError when the user has no seat."""
    speaker = room.speaker(user)
    return _set(room, user, replace(speaker, mutes=speaker.mutes | {source}))


def unmute(room: Room, user: str, source: MuteSource) -> list[Command]:
    """Undoes this source's mute alone. NoSeatError when the user has no seat."""
    speaker = room.speaker(user)
    return _set(room, user, replace(speaker, mutes=speaker.mutes - {source}))


def _check(room: Room, user: str, seat: int | None) -> None:
    limit = room.limits.speakers
    if user not in room.speakers and limit is not None and len(room.speakers) >= limit:
        raise FullRoomError(f"The room's own limit is {limit} speakers.")
    if seat is not None:
        holder = next((name for name, speaker in room.speakers.items() if speaker.seat == seat), user)
        if holder != user:
            raise SeatTakenError(f"Seat {seat} is taken.")


def _take(room: Room, user: str, speaker: Speaker) -> list[Command]:
    room.csrcs.keep(user)
    return [*_set(room, user, speaker), *rows.follow(room, user)]


def _set(room: Room, user: str, speaker: Speaker) -> list[Command]:
    known = room.speakers.get(user)
    if known == speaker:
        return []
    was = heard(room, user) if known else None
    room.speakers[user] = speaker
    if known is not None and _but_for_own_mute(known) == _but_for_own_mute(speaker):
        room.wishes += 1
    else:
        room.revision += 1
    _tell(room, user, known, speaker)
    return hear(room, user, was)


def _but_for_own_mute(speaker: Speaker) -> Speaker:
    return replace(speaker, mutes=speaker.mutes - {MuteSource.SELF})


def _tell(room: Room, user: str, known: Speaker | None, speaker: Speaker) -> None:
    shown = {"seat": speaker.seat, "may_publish": speaker.may_publish, "gain_db": speaker.gain_db}
    if known is None:
        room.tell("speaker.seated", user, **shown)
    elif (known.seat, known.may_publish, known.gain_db) != (speaker.seat, speaker.may_publish, speaker.gain_db):
        room.tell("speaker.changed", user, **shown)
    before = known.mutes if known else frozenset()
    for source in sorted(speaker.mutes - before):
        room.tell("speaker.muted", user, source=source)
    for source in sorted(before - speaker.mutes):
        room.tell("speaker.unmuted", user, source=source)
