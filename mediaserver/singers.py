"""Singers as the node has them: what ktv.py is told of them, from clients' reports and the plane's figures."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from mediaserver.census import Census
from mediaserver.ktv import Alignment, Choir, ClientDelays, Figures
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.sessions import State


class Sessions(Protocol):
    """What is needed of a node."""

    @property
    def rooms(self) -> Mapping[str, Room]: ...
    @property
    def census(self) -> Census: ...


class Singers:
    """All methods are called in the event loop and return at once."""

    def __init__(self, node: Sessions) -> None:
        self._node = node
        self._singing: dict[int, Room] = {}  # by id, rooms with music to sing to
        self._choirs: dict[int, Choir] = {}  # by room id, theirs

    def report(self, room: Room, user: str, client: ClientDelays) -> None:
        """What a participant's client says of itself. Nothing is kept of a room without music to sing to."""
        if room.programme.aligned():
            self._choir(room).report(user, client)

    def note(self, room: Room) -> None:
        """The room has music to sing to."""
        self._singing[room.id] = room

    def look(self) -> list[Room]:
        """To be called once a second: the rooms with music to sing to."""
        for room in tuple(self._singing.values()):
            if not room.programme.aligned() or self._node.rooms.get(room.name) is not room:
                del self._singing[room.id]
                self._choirs.pop(room.id, None)
        return list(self._singing.values())

    def look_at(self, room: Room) -> Alignment:
        """How late what is to be heard there now."""
        choir = self._choir(room)
        choir.keep(room.participants)
        return choir.look(self._figures(room))

    def _choir(self, room: Room) -> Choir:
        return self._choirs.setdefault(room.id, Choir())

    def _figures(self, room: Room) -> Iterator[tuple[str, Figures]]:
        """Of those who publish from a seat and hear the mix."""
        for user in room.speakers.keys() & room.participants.keys():
            participant = room.participants[user]
            publishing, listening = (participant.peers.get(direction) for direction in Direction)
            if publishing is None or listening is None or listening not in participant.rows:
                continue
            sessions = [self._node.census.of(peer) for peer in (listening, publishing)]
            if any(session.state is not State.CONNECTED for session in sessions):
                continue
            there, here = (session.stats for session in sessions)
            # Nothing waits while he is silent; it will as long as it should.
            waits_ms = here.playout_delay_ms or here.playout_target_ms
            round_trips = (there.round_trip_ms, here.round_trip_ms)
            yield user, Figures(round_trips, waits_ms, here.lateness_ms, room.speakers[user].heard)
