"""What each listener of the mix hears: rows of the gain matrix, and who is on which (matrix.py: which of them are one).

A seat, a wish or a programme changes ─▶ follow() puts who hears otherwise now on another row.
"""

from collections.abc import Iterable, Iterator, Mapping

from mediaserver.commands import AddRow, Command, RemoveRow, SetListenerRow
from mediaserver.matrix import Ears, Hearing, hearing_of, is_wished
from mediaserver.model.news import Fact
from mediaserver.model.people import Participant
from mediaserver.model.room import Room
from mediaserver.programme import Crowd

MAX_EARS = 20_000
"""Listeners' wishes that a room keeps. When there are more, those of who has left go first."""

Weights = tuple[tuple[int, float], ...]
"""By CSRC: factors on columns, or places."""


def take(room: Room, user: str) -> tuple[int, list[Command]]:
    """The row that a new session of this user on the mix is to get; it is handed to presence.join().
    TooManyMixesError."""
    check_mixes(room, {user: room.ears.get(user, Ears())}, joining=True)
    return assign(room, user, None)


def assign(room: Room, user: str, like: int | None) -> tuple[int, list[Command]]:
    """The row of what he hears now, with one more listener on it. like: the row that he comes from."""
    hearing = hearing_of(user, room.ears.get(user, Ears()), _crowd(room, user))
    row, is_new = room.rows.take(hearing)
    if not is_new:
        return row, []
    return row, [AddRow(room.id, row, cells(room, hearing), like, places(room, hearing))]


def drop(room: Room, row: int | None) -> list[Command]:
    """A session has left it. None: it had none."""
    hearing = None if row is None else room.rows.drop(row)
    if row is None or hearing is None:
        return []
    for name, _ in (*hearing.cells, *hearing.places):
        room.release_csrc(name)
    return [RemoveRow(room.id, row)]


def follow(room: Room, user: str) -> list[Command]:
    """A seat or a wish changed: the user's sessions on the mix, if there are any, move to the row they have now."""
    participant = room.participants.get(user)
    commands: list[Command] = []
    if participant is None:
        return []
    for peer, before in participant.rows.items():
        row, added = assign(room, user, before)
        commands += added
        if row != before:
            participant.rows[peer] = row
            commands.append(SetListenerRow(peer, row))
        commands += drop(room, before)
    return commands


def set_ears(room: Room, user: str, ears: Ears) -> list[Command]:
    """What the user wants to hear otherwise than others do. TooManyMixesError: then nothing has changed."""
    return set_all_ears(room, {user: ears})


def set_all_ears(room: Room, wishes: Mapping[str, Ears]) -> list[Command]:
    """Likewise of several users at once: all or none."""
    changed = {user: ears for user, ears in wishes.items() if ears != room.ears.get(user, Ears())}
    check_mixes(room, changed)
    commands: list[Command] = []
    for user, ears in changed.items():
        room.ears.pop(user, None)
        if ears != Ears():
            room.ears[user] = ears
        room.note(Fact.LISTENER, user)
        room.wishes += 1
        commands += follow(room, user)
    while len(room.ears) > MAX_EARS:
        gone = next((name for name in room.ears if name not in room.participants), None)
        if gone is None:
            break
        del room.ears[gone]
        room.note(Fact.LISTENER, gone)
    return commands


def check_mixes(room: Room, wishes: Mapping[str, Ears], *, joining: bool = False) -> None:
    """TooManyMixesError when the mixes that come of these wishes would be more than the room allows. joining:
    of users who are about to listen to the mix, not only of those who do."""
    listening = dict(_listening(room, wishes))
    moving = wishes if joining else listening
    hearings = [hearing_of(user, wishes[user], _crowd(room, user)) for user in moving]
    if any(is_wished(hearing, room.speakers) for hearing in hearings):
        leaving = [row for participant in listening.values() for row in participant.rows.values()]
        room.rows.check(hearings, leaving, room.speakers)


def factors(room: Room) -> Iterator[tuple[int, dict[int, float]]]:
    """(id, factors on columns by their CSRC, where they are not 1) of each row."""
    for row, hearing in room.rows:
        yield row, dict(cells(room, hearing))


def cells(room: Room, hearing: Hearing) -> Weights:
    columns = (*hearing.cells, *room.programme.factors(hearing.crowd, hearing.music))
    return tuple((room.csrcs.of(name), factor) for name, factor in columns)


def places(room: Room, hearing: Hearing) -> Weights:
    return tuple((room.csrcs.of(name), pan) for name, pan in hearing.places)


def _crowd(room: Room, user: str) -> Crowd:
    return Crowd(user in room.speakers, user if user in room.programme.named() else "")


def _listening(room: Room, users: Iterable[str]) -> Iterator[tuple[str, Participant]]:
    """Those of them who listen to the mix."""
    for user in users:
        participant = room.participants.get(user)
        if participant is not None and participant.rows:
            yield user, participant
