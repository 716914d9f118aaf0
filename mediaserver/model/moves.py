"""Moves: from a room to another one, over the connections that the user has, with his seat if he has one."""

from dataclasses import replace

from mediaserver.commands import CloseReason, Command, MovePeer
from mediaserver.matrix import Ears
from mediaserver.model import presence, rows, seats
from mediaserver.model.errors import EncryptedRoomError, NotConnectedError
from mediaserver.model.news import Fact
from mediaserver.model.people import Participant
from mediaserver.model.room import Room


def move(room: Room, user: str, target: Room) -> list[Command]:
    """The user's sessions go over to another room, without a new connection, and his seat if he has one; a seat
    that the other room gives him already stays as it is. NotConnectedError when he is not here;
    EncryptedRoomError, FullRoomError or TooManyMixesError of the other room: then nothing has changed."""
    if user not in room.participants:
        raise NotConnectedError(f"{user} is not connected to this room.")
    if target is room:
        return []
    participant = room.participants[user]
    _check_arrival(target, user, participant)
    commands: list[Command] = []
    if user in room.speakers and user not in target.speakers:
        # It had its number in the room that he leaves.
        commands += seats.take(target, user, replace(room.speakers[user], seat=None))
    _depart(room, user, target)
    commands += _arrive(target, user, participant)
    for row in participant.rows.values():
        commands += rows.drop(room, row)
    commands += seats.vacate(room, user, CloseReason.MOVED)
    room.release_csrc(user)
    return commands


def _check_arrival(target: Room, user: str, participant: Participant) -> None:
    """Whether the user can move there with his sessions."""
    if not participant.rows:
        return
    if target.e2ee:
        raise EncryptedRoomError("The other room is end-to-end encrypted, so it has no mix to listen to.")
    rows.check_mixes(target, {user: target.ears.get(user, Ears())}, joining=True)


def _depart(room: Room, user: str, target: Room) -> None:
    participant = room.participants.pop(user)
    if not participant.connected:
        return
    room.note(Fact.PRESENT, user)
    for way in sorted(participant.connected):
        presence.tell_stopped(room, way, user, CloseReason.MOVED)
    room.tell("participant.left", user, reason=CloseReason.MOVED, to=target.name)


def _arrive(target: Room, user: str, participant: Participant) -> list[Command]:
    """participant: as he was in the other room. Who is connected here too has his older sessions replaced at once: the
    media of those that he brings has long begun, so nothing else would."""
    commands: list[Command] = []
    for way, peer in (*participant.peers.items(), *participant.coming.items()):
        row = None
        if peer in participant.rows:
            row, added = rows.assign(target, user, None)
            commands += added
        commands.append(MovePeer(peer, target.id, target.csrcs.of(user), row))
        commands += presence.join(target, user, way, peer, row)
        is_coming = participant.coming.get(way) == peer
        if way in (participant.ready if is_coming else participant.connected):
            presence.connected(target, user, way, peer)
            if not is_coming:
                commands += presence.take_over(target, user, way, peer)
    return commands
