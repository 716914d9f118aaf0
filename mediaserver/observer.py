"""What is told because time passes or the plane hears something, and not because somebody asked: levels, who speaks,
what is wrong with a microphone, whose quality is low."""

import asyncio
import math
from collections.abc import Mapping, Set
from contextlib import AbstractContextManager
from typing import Protocol

from mediaserver import logs
from mediaserver.census import Census
from mediaserver.feed import LEVELS_EVERY_MS, Level
from mediaserver.microphone import Heard
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.quality import Verdict
from mediaserver.sessions import Session, State
from mediaserver.streams import Streams

log = logs.get(__name__, limited=True)

QUALITY_EVERY_MS = 1000
"""Between two looks at the quality of all sessions."""

CHANGES_EVERY_S = 0.05
"""Between two times that a room's readers are told at once who speaks. Lower lets a room full of people who toggle
their voices cost each reader more, higher makes the second of two who begin together late."""


class Observed(Protocol):
    """What the observer needs of a node."""

    @property
    def rooms(self) -> Mapping[str, Room]: ...
    @property
    def census(self) -> Census: ...
    @property
    def streams(self) -> Streams: ...
    def align(self) -> None:
        """To be called once a second."""

    def tells(self, type: str) -> bool:
        """Whether anybody wants to be told events of this type."""

    def record(self, room: Room) -> None: ...


class Observer:
    def __init__(self, node: Observed) -> None:
        self._node = node
        self._talking: set[Session] = set()  # muted or not
        self._speaking: dict[int, tuple[Room, Set[str]]] = {}  # by room id: users who were told to speak, if any
        self._told: dict[int, float] = {}  # room id -> when its readers were told at once
        self._losing: set[Session] = set()
        self._soon: dict[int, asyncio.TimerHandle] = {}  # room id -> when they will be

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        at_ms = 0
        while True:
            every_ms = LEVELS_EVERY_MS
            with logs.surviving(log, "the rooms could not be looked at"):
                every_ms = self.look(loop.time(), at_ms)
            next_ms = (at_ms // every_ms + 1) * every_ms
            await asyncio.sleep((next_ms - at_ms) / 1000)
            at_ms = next_ms

    def stop(self) -> None:
        for handle in self._soon.values():
            handle.cancel()
        self._soon.clear()

    def look(self, now: float, at_ms: int = 0) -> int:
        """now: seconds of a clock that does not jump; at_ms: those whose interval divides it are told levels. How
        often, in ms, to look as long as nobody comes or goes.

        A room of which nobody reads and in which nobody speaks is not looked at, nor a session that loses nothing."""
        node = self._node
        every_ms = LEVELS_EVERY_MS
        for room in node.streams.read_rooms():
            every_ms = math.gcd(every_ms, *node.streams.level_intervals(room))
            with _apart(room):
                self._tell_voices(room, now, at_ms)
                if room.programme.players:
                    node.streams.played(room)
        self._look_at_voices(now, at_ms)
        self._told = {room: when for room, when in self._told.items() if now - when < CHANGES_EVERY_S}
        if at_ms % QUALITY_EVERY_MS == 0:
            node.align()
            for session in tuple(self._losing):
                with _apart(session.room):
                    self._judge(session, now)
        return every_ms

    def _look_at_voices(self, now: float, at_ms: int) -> None:
        """For the room service, of rooms that nobody reads: those in which somebody speaks, or did when it was told."""
        node = self._node
        self._talking = {each for each in self._talking if each.state is State.CONNECTED and each.stats.speaking}
        if not node.tells("speaking.started"):
            self._speaking.clear()
            return
        rooms = {session.room.id: session.room for session in self._talking}
        rooms |= {id_: room for id_, (room, _) in self._speaking.items()}
        for room in rooms.values():
            if node.rooms.get(room.name) is not room:
                self._speaking.pop(room.id, None)
            elif not node.streams.are_read(room):
                with _apart(room):
                    self._tell_voices(room, now, at_ms)

    def voice(self, session: Session, now: float) -> None:
        """The plane says that this publisher begins or ends to speak, or that something with his microphone does."""
        room = session.room
        if session.stats.speaking:
            self._talking.add(session)
        self._tell_microphone(room, session.user, now)
        wait = self._told.get(room.id, -math.inf) + CHANGES_EVERY_S - now
        if wait <= 0:
            self._tell_changes(room, now)
        elif room.id not in self._soon:
            # The last of many changes is told too, so that what readers know stays true.
            loop = asyncio.get_running_loop()
            self._soon[room.id] = loop.call_later(wait, self._tell_soon, room, now + wait)

    def loses(self, session: Session) -> None:
        """The plane says that packets of it begin to be lost."""
        self._losing.add(session)

    def levels(self, room: Room) -> dict[str, Level]:
        """Of those who publish; they all have seats."""
        levels = {}
        for user in room.speakers.keys() & room.participants.keys():
            session = self._publishing(room, user)
            if session is not None:
                levels[user] = Level(session.stats.level_dbov, session.stats.speaking)
        return levels

    def greet(self, listening: Session) -> None:
        """Who begins to read events is told how his own microphone does, as `microphone` tells it."""
        session = self._publishing(listening.room, listening.user)
        if session is not None:
            self._node.streams.tell(listening.id, "microphone", _microphone(session))

    def _publishing(self, room: Room, user: str) -> Session | None:
        participant = room.participants.get(user)
        peer = participant.peers.get(Direction.PUBLISH) if participant is not None else None
        return None if peer is None else self._node.census.of(peer)

    def _tell_soon(self, room: Room, now: float) -> None:
        self._soon.pop(room.id, None)
        if self._node.rooms.get(room.name) is room:
            self._tell_changes(room, now)

    def _tell_changes(self, room: Room, now: float) -> None:
        """Who speaks now, at once."""
        if self._node.streams.are_read(room) or self._node.tells("speaking.started"):
            self._told[room.id] = now
            self._tell_voices(room, now, None)

    def _tell_voices(self, room: Room, now: float, at_ms: int | None) -> None:
        levels = self.levels(room)
        self._node.streams.levels(room, levels, at_ms)
        if self._node.tells("speaking.started"):
            self._tell_speaking(room, {user for user, level in levels.items() if level.speaking})
        for user, level in levels.items():
            if level.speaking and not room.speakers[user].heard:
                self._tell_microphone(room, user, now)

    def _tell_speaking(self, room: Room, users: set[str]) -> None:
        heard = {user for user in users if room.speakers[user].heard}
        _, before = self._speaking.get(room.id, (room, frozenset()))
        if heard == before:
            return
        for user in sorted(before - heard):
            room.tell("speaking.stopped", user)
        for user in sorted(heard - before):
            room.tell("speaking.started", user)
        if heard:
            self._speaking[room.id] = room, heard
        else:
            del self._speaking[room.id]
        self._node.record(room)

    def _tell_microphone(self, room: Room, user: str, now: float) -> None:
        """To himself, on the event streams of his listening session, and to the room service."""
        session, speaker = self._publishing(room, user), room.speakers.get(user)
        if session is None or speaker is None:
            return
        stats = session.stats
        heard = Heard(stats.speaking, not speaker.heard, stats.silent, stats.clipping)
        news = session.microphone.update(now, heard)
        if not news:
            return
        listening = room.participants[user].peers.get(Direction.LISTEN)
        streams = None if listening is None else self._node.census.of(listening).id
        muted_by = [source.value for source in sorted(speaker.mutes)]
        for type_ in news:
            talks_muted = type_ == "speaker.talks_muted"
            room.tell(type_, user, **({"muted_by": muted_by} if talks_muted else {}))
            if streams is None:
                continue
            if talks_muted:
                self._node.streams.tell(streams, "muted-speech", {"muted_by": muted_by})
            else:
                self._node.streams.tell(streams, "microphone", _microphone(session))
        self._node.record(room)

    def _judge(self, session: Session, now: float) -> None:
        if session.state is not State.CONNECTED:
            self._losing.discard(session)
            return
        lost = session.stats.fraction_lost
        news = session.quality.update(now, lost)
        if lost == 0 and session.quality.verdict is Verdict.GOOD:
            self._losing.discard(session)  # the plane says when it begins anew
        if not news:
            return
        if session.quality.verdict is Verdict.LOW:
            session.room.tell("quality.low", session.user, direction=session.direction, fraction_lost=round(lost, 3))
        else:
            session.room.tell("quality.recovered", session.user, direction=session.direction)
        self._node.record(session.room)


def _apart(room: Room) -> AbstractContextManager[None]:
    """What is wrong with one room keeps nothing from the others."""
    return logs.surviving(log, "a room could not be looked at", room=room.name)


def _microphone(session: Session) -> dict[str, bool]:
    return {"silent": session.microphone.silent, "clipping": session.microphone.clipping}
