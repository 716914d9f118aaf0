"""One media server: its rooms, their sessions, and the plane that moves their packets.

The main path, top to bottom:
    HTTP asks ─▶ a Room changes and says what follows from it (model.py) ─▶ perform() does that in the plane
    the plane reports ─▶ the Session of that peer (sessions.py) ─▶ when it ends, its Room is told
After either, the room's Feed tells its readers what changed.
"""

import asyncio
import dataclasses
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from mediaserver import negotiation, sdp
from mediaserver.commands import (
    AddRoom,
    AddRow,
    ClosePeer,
    CloseReason,
    Command,
    ConfigureRoom,
    Mix,
    RemoveColumn,
    RemoveRoom,
    RemoveRow,
    SetColumn,
    SetListenerRow,
)
from mediaserver.dtls import Certificate, Handshake
from mediaserver.feed import Level
from mediaserver.matrix import Rows
from mediaserver.model import Direction, NoSeatError, Room
from mediaserver.negotiation import Agreement, UnsupportedOfferError
from mediaserver.outbox import Outbox
from mediaserver.plane import Driver
from mediaserver.sessions import Session, Timers
from mediaserver.settings import Settings
from mediaserver.store import Store
from mediaserver.streams import Streams
from mediaserver.tokens import ApiKeys
from mediaserver.webhooks import Surroundings, Webhooks

if TYPE_CHECKING:
    from mediaserver._native import PeerStats, Slot

log = logging.getLogger(__name__)

# Between two `levels` events. Higher makes a page's meters lag, lower costs every reader bandwidth.
LEVELS_EVERY_S = 0.2


class FullError(Exception):
    """A limit of the settings is reached; the message is a sentence for the client."""


class ClosingError(Exception):
    """The server is about to stop and takes no new sessions."""


class EncryptedRoomError(Exception):
    """The room is end-to-end encrypted, and what was asked needs its payloads."""


class Node:
    """All methods are called from the event loop's thread."""

    def __init__(
        self, settings: Settings, driver: Driver, certificate: Certificate, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` is Unix time in seconds, with which tokens are compared. StateError when the state file cannot be
        used."""
        self.settings = settings
        self.driver = driver
        self.api_keys = ApiKeys(settings.api_keys)
        self.clock = clock
        self.rooms: dict[str, Room] = {}
        self.sessions: dict[str, Session] = {}
        self.streams = Streams()
        self.store = Store(settings.state)
        self.outbox = Outbox(self.store)
        self.webhooks = Webhooks(settings.webhooks, self.outbox, Surroundings(clock=clock))
        self.ended: Counter[CloseReason] = Counter()
        self._certificate = certificate
        self._peers: dict[int, Session] = {}
        self._population: Counter[tuple[int, Direction]] = Counter()  # sessions by room id and direction
        self._lost: Counter[Direction] = Counter()  # RTP packets, of sessions that have ended
        self._room_ids = itertools.count(1)
        self._timers: Timers | None = None
        self._ticker: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Within a running event loop."""
        loop = asyncio.get_running_loop()
        self.store.start(loop)
        self.webhooks.start()
        self.driver.start(loop)
        self._timers = loop
        self._ticker = loop.create_task(self._tell_levels())

    def close(self) -> None:
        """Ends all sessions politely and takes no more. What is queued is sent by stop() at the latest."""
        if self.ready:
            self.outbox.end_streams()
        self._timers = None
        for session in tuple(self.sessions.values()):
            session.end(CloseReason.SHUTDOWN)
        for name in tuple(self.rooms):
            self.close_room(name)

    def stop(self) -> None:
        """The end of everything; the driver sends the farewells first."""
        self.close()
        if self._ticker is not None:
            self._ticker.cancel()
        self.driver.stop()
        self.webhooks.stop()
        self.store.stop()

    @property
    def ready(self) -> bool:
        """Whether new sessions are taken."""
        return self._timers is not None

    # Rooms

    def open_room(self, name: str, mix: Mix | None = None, *, e2ee: bool = False) -> tuple[Room, bool]:
        """The room of this name, and whether it is new. mix: how mixes are to be encoded; None leaves that as it is.
        FullError when there are too many rooms, EncryptedRoomError when `mix` is given and e2ee is not what it was."""
        if room := self.rooms.get(name):
            if mix is not None:
                if e2ee != room.e2ee:
                    raise EncryptedRoomError("Whether a room is end-to-end encrypted is settled when it is made.")
                self.perform(room.configure(mix))
            return room, False
        if not self.ready:
            raise ClosingError
        if len(self.rooms) >= self.settings.limits.rooms:
            raise FullError("The server has as many rooms as it allows.")
        room = Room(next(self._room_ids), name, self.driver.emptiest_worker(), mix=mix or Mix(), e2ee=e2ee)
        room.rows = Rows(self.settings.limits.mixes_per_room)
        self.rooms[name] = room
        self.streams.open_room(room)
        self.perform(room.open())
        return room, True

    def close_room(self, name: str) -> None:
        """Nothing happens when there is none."""
        room = self.rooms.pop(name, None)
        if room is not None:
            self.streams.close_room(room)
            self.perform(room.close())

    def change(self, room: Room, commands: Iterable[Command]) -> None:
        """Makes a change of the room true, and known."""
        self.perform(commands)
        self.streams.changed(room)

    def perform(self, commands: Iterable[Command]) -> None:
        plane = self.driver.plane
        for command in commands:
            match command:
                case AddRoom(room, home, mix, e2ee):
                    plane.add_room(room, home, **dataclasses.asdict(mix), e2ee=e2ee)
                case ConfigureRoom(room, mix, e2ee):
                    plane.configure_room(room, **dataclasses.asdict(mix), e2ee=e2ee)
                case RemoveRoom(room):
                    plane.remove_room(room)
                case SetColumn(room, csrc, gain):
                    plane.set_column(room, csrc, gain)
                case RemoveColumn(room, csrc):
                    plane.remove_column(room, csrc)
                case AddRow(room, row, cells, like):
                    plane.add_row(room, row, cells, like)
                case RemoveRow(room, row):
                    plane.remove_row(room, row)
                case SetListenerRow(peer, row):
                    plane.set_listener_row(peer, row)
                case ClosePeer(peer, reason):
                    self._peers[peer].end(reason)

    # Sessions

    def publish(self, room: Room, user: str, offer: str) -> tuple[Session, str]:
        """A new WHIP session and its answer. SdpError, UnsupportedOfferError, FullError or ClosingError: then nothing
        has changed."""
        self._check_room_for(room, user, Direction.PUBLISH)
        agreed = negotiation.to_receive(offer, self._certificate.fingerprint, self._candidates(room.home))
        peer = self.driver.next_peer()
        stats = self.driver.plane.add_publisher(
            peer,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrc_of(user),
            payload_type=agreed.payload_types[0],
            level_id=agreed.sections[0].level_id,
            report_ssrc=negotiation.random_ssrc(),
        )
        session = self._enter(room, user, Direction.PUBLISH, peer=peer, worker=room.home, stats=stats, agreed=agreed)
        return session, agreed.answer

    def listen(self, room: Room, user: str, offer: str, speakers: Sequence[str] = ()) -> tuple[Session, str]:
        """A new WHEP session and its answer; as publish(). `speakers`: whom to put in the slots, in order, instead of
        the loudest; NoSeatError when one has no seat, UnsupportedOfferError when they are more than the slots."""
        self._check_room_for(room, user, Direction.LISTEN)
        if missing := [name for name in speakers if name not in room.speakers]:
            raise NoSeatError(f"{missing[0]} has no seat in this room.")
        worker = self.driver.listener_worker(room.home)
        agreed = negotiation.to_send(offer, self._certificate.fingerprint, self._candidates(worker))
        if len(speakers) > len(agreed.sections):
            raise UnsupportedOfferError("More speakers are named than the offer has audio sections to put them in.")
        peer = self.driver.next_peer()
        stats = self.driver.plane.add_listener(
            peer,
            worker,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrc_of(user),
            slots=self._slots(agreed),
            cname=agreed.sendings[0].cname,
        )
        if speakers:
            self.driver.plane.set_sources(peer, [room.csrc_of(name) for name in speakers])
        session = self._enter(room, user, Direction.LISTEN, peer=peer, worker=worker, stats=stats, agreed=agreed)
        return session, agreed.answer

    def listen_to_mix(self, room: Room, user: str, offer: str) -> tuple[Session, str]:
        """A new WHEP session on the room's mix, and its answer; as publish(). Also EncryptedRoomError and
        TooManyMixesError."""
        if room.e2ee:
            raise EncryptedRoomError("The room is end-to-end encrypted, so it has no mix; ask for mode=select.")
        self._check_room_for(room, user, Direction.LISTEN)
        worker = self.driver.listener_worker(room.home)
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_send_mix(offer, fingerprint, self._candidates(worker), room.mix.ptime_ms)
        row, commands = room.take_row(user)
        self.perform(commands)
        peer = self.driver.next_peer()
        stats = self.driver.plane.add_listener(
            peer,
            worker,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrc_of(user),
            slots=self._slots(agreed),
            cname=agreed.sendings[0].cname,
            row=row,
        )
        session = self._enter(
            room, user, Direction.LISTEN, peer=peer, worker=worker, stats=stats, agreed=agreed, row=row
        )
        return session, agreed.answer

    def restart_ice(self, session: Session, remote: tuple[str, str]) -> str:
        """New ICE credentials; returns our fragment with them (RFC 9725 section 4.3.3)."""
        session.restart_ice(remote)
        return sdp.fragment(session.credentials, self._candidates(session.worker), session.mid)

    def session(self, room: Room, direction: Direction, identifier: str) -> Session | None:
        """The session of this id if it is one of this room and direction."""
        session = self.sessions.get(identifier)
        if session is None or session.room is not room or session.direction is not direction:
            return None
        return session

    def session_of(self, peer: int) -> Session:
        """Of a peer that a room names."""
        return self._peers[peer]

    def packets_lost(self) -> dict[Direction, int]:
        """RTP packets lost since the start, by direction."""
        lost = Counter(self._lost)
        for session in self.sessions.values():
            lost[session.direction] += max(0, session.stats.packets_lost)
        return {direction: lost[direction] for direction in Direction}

    def _check_room_for(self, room: Room, user: str, direction: Direction) -> None:
        if not self.ready:
            raise ClosingError
        if user in room.participants and direction in room.participants[user].peers:
            return  # the new session takes the place of an older one
        if len(self.sessions) >= self.settings.limits.sessions:
            raise FullError("The server has as many sessions as it allows.")
        # Publishers need no limit of their own: each needs a seat.
        listeners = self._population[room.id, Direction.LISTEN]
        if direction is Direction.LISTEN and listeners >= self.settings.limits.listeners_per_room:
            raise FullError("The room has as many listeners as the server allows.")

    def _candidates(self, worker: int) -> list[sdp.Candidate]:
        bound = self.driver.plane.addresses(worker)
        return [sdp.Candidate(address, port) for address, port in self.settings.announced(bound)]

    def _slots(self, agreed: Agreement) -> "list[Slot]":
        return [
            self.driver.make_slot(
                ssrc=sending.ssrc,
                payload_type=payload_type,
                mid=section.mid,
                mid_id=section.mid_id,
                level_id=section.level_id,
                csrc_level_id=section.csrc_level_id,
            )
            for section, payload_type, sending in zip(
                agreed.sections, agreed.payload_types, agreed.sendings, strict=True
            )
        ]

    def _enter(
        self,
        room: Room,
        user: str,
        direction: Direction,
        *,
        peer: int,
        worker: int,
        stats: "PeerStats",
        agreed: Agreement,
        row: int | None = None,
    ) -> Session:
        """The peer is in the plane; from now on its session looks after it, and an older one of the user goes."""
        assert self._timers is not None
        session = Session(
            room=room,
            user=user,
            direction=direction,
            peer=peer,
            worker=worker,
            stats=stats,
            agreed=agreed,
            handshake=Handshake(self._certificate, agreed.offer.fingerprints),
            driver=self.driver,
            timers=self._timers,
            ended=self._ended,
        )
        self.sessions[session.id] = session
        self._peers[peer] = session
        self._population[room.id, direction] += 1
        self.perform(room.join(user, direction, peer, row))
        if direction is Direction.PUBLISH:
            self.streams.changed(room)
        return session

    def _ended(self, session: Session, reason: CloseReason) -> None:
        """What a session calls at its end."""
        room, direction = session.room, session.direction
        del self.sessions[session.id]
        del self._peers[session.peer]
        self._population[room.id, direction] -= 1
        self._lost[direction] += max(0, session.stats.packets_lost)
        self.ended[reason] += 1
        self.streams.end(room, session.id)
        self.perform(room.leave(session.user, direction, session.peer))
        if direction is Direction.PUBLISH:
            self.streams.changed(room)
        log.debug("%s session of peer %d ended: %s", direction, session.peer, reason)

    async def _tell_levels(self) -> None:
        while True:
            await asyncio.sleep(LEVELS_EVERY_S)
            for room in self.rooms.values():
                if self.streams.are_read(room):
                    self.streams.levels(room, self._levels(room))

    def _levels(self, room: Room) -> dict[str, Level]:
        """Of those who publish; they all have seats."""
        levels = {}
        for user in room.speakers.keys() & room.participants.keys():
            peer = room.participants[user].peers.get(Direction.PUBLISH)
            if peer is not None:
                stats = self._peers[peer].stats
                levels[user] = Level(stats.level_dbov, stats.speaking)
        return levels
