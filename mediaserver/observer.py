"""What is told because time passes, and not because somebody asked: levels, who speaks, whose quality is low."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from mediaserver.feed import Level
from mediaserver.model import Direction, Room
from mediaserver.quality import Verdict
from mediaserver.sessions import Session, State
from mediaserver.streams import Streams

LEVELS_EVERY_S = 0.2
"""Between two looks at the levels. Higher makes a page's meters lag, lower costs every reader bandwidth."""

QUALITY_EVERY = 5
"""Looks between two at the quality of all sessions."""


class Observed(Protocol):
    """What the observer needs of a node."""

    @property
    def rooms(self) -> Mapping[str, Room]: ...
    @property
    def sessions(self) -> Mapping[str, Session]: ...
    @property
    def streams(self) -> Streams: ...
    def session_of(self, peer: int) -> Session: ...
    def align(self) -> None:
        """To be called once a second."""

    def tells(self, type: str) -> bool:
        """Whether anybody wants to be told events of this type."""

    def record(self, room: Room) -> None: ...


class Observer:
    def __init__(self, node: Observed) -> None:
        self._node = node
        self._speaking: dict[int, set[str]] = {}  # room id -> users
        self._looks = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LEVELS_EVERY_S)
            self.look(loop.time())

    def look(self, now: float) -> None:
        """now: seconds of a clock that does not jump."""
        node = self._node
        tells_speaking = node.tells("speaking.started")
        for room in node.rooms.values():
            is_read = node.streams.are_read(room)
            if not is_read and not tells_speaking:
                continue
            levels = self.levels(room)
            if is_read:
                node.streams.levels(room, levels)
            if tells_speaking:
                self._tell_speaking(room, {user for user, level in levels.items() if level.speaking})
        if tells_speaking:
            ids = {room.id for room in node.rooms.values()}
            self._speaking = {room: users for room, users in self._speaking.items() if room in ids}
        self._looks += 1
        if self._looks % QUALITY_EVERY == 0:
            node.align()
            for session in tuple(node.sessions.values()):
                self._judge(session, now)

    def levels(self, room: Room) -> dict[str, Level]:
        """Of those who publish; they all have seats."""
        levels = {}
        for user in room.speakers.keys() & room.participants.keys():
            peer = room.participants[user].peers.get(Direction.PUBLISH)
            if peer is not None:
                stats = self._node.session_of(peer).stats
                levels[user] = Level(stats.level_dbov, stats.speaking)
        return levels

    def _tell_speaking(self, room: Room, users: set[str]) -> None:
        heard = {user for user in users if room.speakers[user].heard}
        before = self._speaking.get(room.id, set())
        if heard == before:
            return
        for user in sorted(before - heard):
            room.tell("speaking.stopped", user)
        for user in sorted(heard - before):
            room.tell("speaking.started", user)
        self._speaking[room.id] = heard
        self._node.record(room)

    def _judge(self, session: Session, now: float) -> None:
        if session.state is not State.CONNECTED:
            return
        lost = session.stats.fraction_lost
        if not session.quality.update(now, lost):
            return
        if session.quality.verdict is Verdict.LOW:
            session.room.tell("quality.low", session.user, direction=session.direction, fraction_lost=round(lost, 3))
        else:
            session.room.tell("quality.recovered", session.user, direction=session.direction)
        self._node.record(session.room)
