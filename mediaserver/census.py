"""The sessions of a node: which there are, in which rooms, and how they ended."""

from collections import Counter

from mediaserver.commands import CloseReason
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.sessions import Session


class Census:
    """sessions: by id. started, endings: since the start of the server."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.started: Counter[Direction] = Counter()
        self.endings: Counter[CloseReason] = Counter()
        self._peers: dict[int, Session] = {}
        self._population: Counter[tuple[int, Direction]] = Counter()  # by room id and direction
        self._lost: Counter[Direction] = Counter()  # RTP packets, of sessions that have ended

    def enter(self, session: Session) -> None:
        self.sessions[session.id] = session
        self._peers[session.peer] = session
        self._count(session, 1)
        self.started[session.direction] += 1

    def leave(self, session: Session, reason: CloseReason) -> None:
        del self.sessions[session.id]
        del self._peers[session.peer]
        self._count(session, -1)
        self._lost[session.direction] += max(0, session.stats.packets_lost)
        self.endings[reason] += 1

    def move(self, session: Session, room: Room) -> None:
        self._count(session, -1)
        session.room = room
        self._count(session, 1)

    def find(self, direction: Direction, identifier: str) -> Session | None:
        """The session of this id if it is one of this direction."""
        session = self.sessions.get(identifier)
        return session if session is not None and session.direction is direction else None

    def of(self, peer: int) -> Session:
        """Of a peer that a room names."""
        return self._peers[peer]

    def population(self, room: Room) -> dict[Direction, int]:
        """Sessions of the room."""
        return {direction: self._population[room.id, direction] for direction in Direction}

    def packets_lost(self) -> dict[Direction, int]:
        """RTP packets lost since the start, by direction."""
        lost = Counter(self._lost)
        for session in self.sessions.values():
            lost[session.direction] += max(0, session.stats.packets_lost)
        return {direction: lost[direction] for direction in Direction}

    def _count(self, session: Session, by: int) -> None:
        key = (session.room.id, session.direction)
        self._population[key] += by
        if not self._population[key]:
            del self._population[key]  # rooms come and go
