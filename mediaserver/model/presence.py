"""Who is there: sessions come, take the place of older ones, are lost for a while, and end."""

from mediaserver.commands import ClosePeer, CloseReason, Command
from mediaserver.model import rows
from mediaserver.model.news import Fact
from mediaserver.model.people import Direction, Participant
from mediaserver.model.room import Room


def join(room: Room, user: str, direction: Direction, peer: int, row: int | None = None) -> list[Command]:
    """Called when the new session's offer has been accepted. An older one that is connected goes on until
    take_over(), so that the others hear no gap, and a session that fails to connect costs nobody anything. row:
    of a listener to the mix, from rows.take()."""
    participant = room.participants.setdefault(user, Participant(room.csrcs.of(user)))
    if row is not None:
        participant.rows[peer] = row
    if direction in participant.connected:
        older = participant.coming.get(direction)
        participant.coming[direction] = peer
        participant.ready.discard(direction)
    else:
        older = participant.peers.get(direction)
        participant.peers[direction] = peer
    return [] if older is None else _replaced(room, participant, older)


def connected(room: Room, user: str, direction: Direction, peer: int) -> None:
    """Media can flow over the session."""
    if _is_coming(room, user, direction, peer):
        room.participants[user].ready.add(direction)
        _back_in_time(room, user, direction)
        return
    participant = _participant(room, user, direction, peer)
    if participant is None or direction in participant.connected:
        return
    if not participant.connected:
        room.tell("participant.joined", user)
    participant.connected.add(direction)
    room.note(Fact.PRESENT, user)
    if direction is Direction.PUBLISH:
        room.tell("publishing.started", user)
    else:
        room.tell("listening.started", user, mode="mix" if peer in participant.rows else "select")


def take_over(room: Room, user: str, direction: Direction, peer: int) -> list[Command]:
    """The session is connected and its media has begun: the older one goes. Nothing happens when there is none."""
    if not _is_coming(room, user, direction, peer):
        return []
    participant = room.participants[user]
    older, participant.peers[direction] = participant.peers[direction], participant.coming.pop(direction)
    participant.ready.discard(direction)
    return _replaced(room, participant, older)


def late(room: Room, user: str, direction: Direction, peer: int) -> None:
    """The client has not been heard of for seconds; it may be on its way to another network."""
    participant = _participant(room, user, direction, peer)
    if participant is None or direction not in participant.connected:
        return
    if not participant.late:
        room.tell("participant.reconnecting", user)
    participant.late.add(direction)


def in_time(room: Room, user: str, direction: Direction, peer: int) -> None:
    """The client has been heard of again."""
    if _participant(room, user, direction, peer) is not None:
        _back_in_time(room, user, direction)


def leave(
    room: Room, user: str, direction: Direction, peer: int, reason: CloseReason = CloseReason.DELETED
) -> list[Command]:
    """The session has ended by itself. Nothing happens when it is no longer the user's: it was replaced."""
    if _is_coming(room, user, direction, peer):
        participant = room.participants[user]
        del participant.coming[direction]
        participant.ready.discard(direction)
        return rows.drop(room, participant.rows.pop(peer, None))
    if _participant(room, user, direction, peer) is None:
        return []
    return _forget(room, user, direction, reason)


def evict(room: Room, user: str, directions: tuple[Direction, ...], reason: CloseReason) -> list[Command]:
    """Ends his sessions of these directions, those that are coming too."""
    participant = room.participants.get(user)
    if participant is None:
        return []
    commands: list[Command] = []
    for direction in directions:
        if direction in participant.coming:
            peer = participant.coming.pop(direction)
            participant.ready.discard(direction)
            commands += [ClosePeer(peer, reason), *rows.drop(room, participant.rows.pop(peer, None))]
    there = [direction for direction in directions if direction in participant.peers]
    commands += [ClosePeer(participant.peers[direction], reason) for direction in there]
    for direction in there:
        commands += _forget(room, user, direction, reason)
    return commands


def tell_stopped(room: Room, direction: Direction, user: str, reason: CloseReason) -> None:
    room.tell("publishing.stopped" if direction is Direction.PUBLISH else "listening.stopped", user, reason=reason)


def _is_coming(room: Room, user: str, direction: Direction, peer: int) -> bool:
    participant = room.participants.get(user)
    return participant is not None and participant.coming.get(direction) == peer


def _back_in_time(room: Room, user: str, direction: Direction) -> None:
    participant = room.participants[user]
    if direction not in participant.late:
        return
    participant.late.remove(direction)
    if not participant.late:
        room.tell("participant.reconnected", user)


def _replaced(room: Room, participant: Participant, peer: int) -> list[Command]:
    """Its end, which is nobody's news: another session of the user has its place."""
    return [ClosePeer(peer, CloseReason.REPLACED), *rows.drop(room, participant.rows.pop(peer, None))]


def _participant(room: Room, user: str, direction: Direction, peer: int) -> Participant | None:
    """The user, if this peer is his session of that direction."""
    participant = room.participants.get(user)
    return participant if participant is not None and participant.peers.get(direction) == peer else None


def _forget(room: Room, user: str, direction: Direction, reason: CloseReason) -> list[Command]:
    """A session has ended. One that is coming has its place; that is no news if it is ready."""
    participant = room.participants[user]
    if direction in participant.ready:
        (_, *commands) = take_over(room, user, direction, participant.coming[direction])
        return commands
    commands = rows.drop(room, participant.rows.pop(participant.peers.pop(direction), None))
    participant.late.discard(direction)
    if direction in participant.connected:
        participant.connected.remove(direction)
        room.note(Fact.PRESENT, user)
        tell_stopped(room, direction, user, reason)
        if not participant.connected:
            room.tell("participant.left", user, reason=reason)
    if direction in participant.coming:
        participant.peers[direction] = participant.coming.pop(direction)
    if not participant.peers:
        del room.participants[user]
        room.release_csrc(user)
    return commands
