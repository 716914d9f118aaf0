"""One media server: its rooms, their sessions, and the plane that moves their packets.

The main path, top to bottom:
    HTTP asks ─▶ a Room changes and says what follows from it (model/) ─▶ perform() does that in the plane
    the plane reports ─▶ the Session of that peer (sessions.py) ─▶ when it ends, its Room is told
After either, the room's Feed tells its readers what changed.
"""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from mediaserver import logs, sdp, tracing
from mediaserver.admission import Admission
from mediaserver.capacity import Capacity
from mediaserver.census import Census
from mediaserver.commands import (
    AddTap,
    ChangeEffect,
    ChangePlayer,
    ClosePeer,
    ClosePlayer,
    CloseReason,
    Command,
    MovePeer,
    OpenPlayer,
    StartEffect,
    StopEffect,
)
from mediaserver.document import check, put
from mediaserver.dtls import Certificate, Handshake
from mediaserver.journal import Journal
from mediaserver.keys import KeyRing
from mediaserver.load import Watch
from mediaserver.matrix import Rows
from mediaserver.model import aligning, lifecycle, memory, moves, presence, rows, seats
from mediaserver.model.errors import EncryptedRoomError, NoSeatError
from mediaserver.model.news import Fact
from mediaserver.model.people import Direction, Speaker
from mediaserver.model.room import Room
from mediaserver.music.service import Music
from mediaserver.observer import Observer
from mediaserver.outbox import Outbox
from mediaserver.peers import Peer, Peers, check_suited
from mediaserver.performing import perform_in_plane
from mediaserver.plane import Driver
from mediaserver.playback import Playback
from mediaserver.schema import RoomDocument
from mediaserver.sessions import Session, Timers
from mediaserver.settings import Settings
from mediaserver.singers import Singers
from mediaserver.store import Store, StoredRoom
from mediaserver.streams import Streams
from mediaserver.used_ids import UsedIds
from mediaserver.webhooks import Surroundings, Webhooks

log = logs.get(__name__)
traffic = logs.get(__name__, limited=True)  # what clients can cause


# After a session is connected it takes the place of an older one, though no media has come of it: a muted microphone
# may send nothing. Lower is heard as a gap by whose first packets are lost, higher lets two sessions of a user go on.
TAKE_OVER_S = 1.0


class ClosingError(Exception):
    """The server is about to stop and takes no new sessions."""


class DrainingError(Exception):
    """The server takes no new rooms, as it is to be stopped."""


class Node:
    """All methods are called from the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        certificate: Certificate,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is Unix time in seconds, with which tokens are compared. StateError when the state file cannot be
        used, LibraryError when the media directory cannot."""
        self.settings = settings
        self.driver = driver
        self.api_keys = KeyRing(settings.api_keys, settings.option_api_keys, settings.api_key_file)
        self.used_requests = UsedIds()  # signed ones, of the room service
        self.clock = clock
        self.rooms: dict[str, Room] = {}
        self.census = Census()
        self.store = Store(settings.state)
        self.journal = Journal(self.store, clock)
        self._stored = self.journal.load()
        self.used_tokens = UsedIds(note=self.journal.note_use)  # one-time ones, of participants
        self.used_tokens.restore(self.journal.uses())
        self.outbox = Outbox(self.store)
        self.webhooks = Webhooks(settings.webhooks, self.outbox, Surroundings(clock=clock))
        self.draining = False
        self.admission = Admission(driver.plane.workers, settings.max_worker_load)
        self.watch = Watch(driver, self.admission)
        self.capacity = Capacity(settings.limits, driver, self.admission, self.census)
        self.refused_rates: Counter[str] = Counter()  # requests, by whose rate they exceeded: api-key, address
        self._leaving = False
        self._certificate = certificate
        self._by_id: dict[int, Room] = {}
        self._peers = Peers(settings, driver, certificate)
        self._room_ids = itertools.count(1)
        self._timers: Timers | None = None
        self._began = 0.0
        self._performing = 0  # calls of perform() that have not returned
        self._changed: dict[int, Room] = {}  # by id, whose change is yet to be made known
        self.playback = Playback(self, driver, Music(settings.music, driver.make_ring))
        self.streams = Streams(self.playback.now)
        self.observer = Observer(self)
        self.singers = Singers(self)
        self._observing: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Within a running event loop. Rooms that were written down are there again, without their sessions."""
        loop = asyncio.get_running_loop()
        self.store.start(loop)
        self.webhooks.start()
        self.driver.start(loop)
        self._timers = loop
        self._began = loop.time()
        for stored, document in self._stored:
            self._restore(stored, document)
        self._stored.clear()
        self._observing = loop.create_task(self.observer.run())
        self.watch.start(loop)
        self.playback.music.start()

    def drain(self, *, for_good: bool = False) -> None:
        """Takes no new rooms from now on, but sessions in those that exist. `for_good`: the process is to end."""
        if not self.draining:
            log.warning("draining", rooms=len(self.rooms), sessions=len(self.census.sessions))
            for room in self.rooms.values():
                room.tell("room.draining")
                self.record(room)
        self.draining = True
        self._leaving = self._leaving or for_good

    def undrain(self) -> None:
        """Takes new rooms again. ClosingError when the process is about to end."""
        if self._leaving:
            raise ClosingError
        if self.draining:
            log.warning("not draining any more")
        self.draining = False

    def close(self) -> None:
        """Ends all sessions politely and takes no more. What is queued is sent by stop() at the latest."""
        if self.ready:
            self.outbox.end_streams()
        self._timers = None
        for session in tuple(self.census.sessions.values()):
            session.end(CloseReason.SHUTDOWN)
        if not self.store.survives:
            for name in tuple(self.rooms):
                self.close_room(name)

    def stop(self) -> None:
        """The end of everything; the driver sends the farewells first. Rooms that are written down are there again when
        the server starts anew."""
        self.close()
        if self._observing is not None:
            self._observing.cancel()
        self.observer.stop()
        self.watch.stop()
        self.playback.close()
        for room in self.rooms.values():
            self.streams.close_room(room)
        self.driver.stop()
        self.webhooks.stop()
        self.store.stop()

    @property
    def uptime_s(self) -> float:
        """Since start()."""
        return 0.0 if self._timers is None else self._timers.time() - self._began

    @property
    def ready(self) -> bool:
        """Whether new sessions are taken."""
        return self._timers is not None

    # Rooms

    def open_room(self, name: str, *, e2ee: bool = False) -> tuple[Room, bool]:
        """The room of this name, and whether it is new. e2ee: what it is to be if it is new. FullError when there
        are too many rooms, ClosingError when the server is about to stop."""
        if not self.ready:
            raise ClosingError
        if room := self.rooms.get(name):
            return room, False
        self.capacity.check_rooms(len(self.rooms) + 1)
        if self.draining:
            raise DrainingError
        home = self.driver.emptiest_worker()
        self.capacity.admit(home)
        room = self._add_room(name, secrets.token_hex(6), home, e2ee)
        self.perform(lifecycle.start(room))
        self.record(room)
        traffic.info("room opened", room=name)
        return room, True

    def put_room(self, name: str, document: RoomDocument) -> tuple[Room, bool]:
        """Brings the room to the document, and makes it if there is none; whether it is new. As open_room(), and
        EncryptedRoomError, FullRoomError or TooManyMixesError: then nothing has changed."""
        check(document, self.rooms.get(name))
        self._check_sounds(document)
        self.capacity.check_seats(len(document.speakers))
        room, is_new = self.open_room(name, e2ee=bool(document.e2ee))
        self.change(room, put(room, document))
        return room, is_new

    def patch_room(self, room: Room, document: RoomDocument) -> None:
        """Brings the room to the document exactly, what belongs to participants included. As put_room()."""
        check(document, room)
        self._check_sounds(document)
        self.capacity.check_seats(len(document.speakers))
        self.change(room, put(room, document, exact=True))

    def take_seat(self, room: Room, user: str, speaker: Speaker) -> None:
        """FullRoomError or SeatTakenError: then nothing has changed."""
        self.capacity.check_seats(len(room.speakers.keys() | {user}))
        self.change(room, seats.take(room, user, speaker))

    def close_room(self, name: str) -> None:
        """Nothing happens when there is none."""
        room = self.rooms.pop(name, None)
        if room is None:
            return
        del self._by_id[room.id]
        self.streams.close_room(room)
        try:
            self.perform(lifecycle.end(room))
        finally:
            self.journal.forget(room)
        traffic.info("room closed", room=name)

    def move(self, room: Room, user: str, target: Room) -> None:
        """The user goes to another room, over the connections that he has. NotConnectedError; EncryptedRoomError
        when he listens to the mix and there is none, or sends what only a server that looks into it can forward;
        UnsuitedSessionError; FullError, FullRoomError or TooManyMixesError of the target. Then nothing has changed."""
        participant = room.participants.get(user)
        if participant is not None and target is not room:
            if user in room.speakers and user not in target.speakers:
                self.capacity.check_seats(len(target.speakers) + 1)
            if Direction.LISTEN in participant.peers:
                self.capacity.check_listeners(target, user)
            for peer in (*participant.peers.values(), *participant.coming.values()):
                check_suited(target, self.census.of(peer), hears_mix=peer in participant.rows)
        commands = moves.move(room, user, target)
        self.change(target, commands)
        self.change(room, ())

    def room_of(self, number: int) -> Room | None:
        """By its number in the plane."""
        return self._by_id.get(number)

    def change(self, room: Room, commands: Iterable[Command]) -> None:
        """Makes a change of the room true, and known."""
        self._changed[room.id] = room
        self.perform(commands)

    def align(self) -> None:
        """Brings music and singers to what is measured now. To be called once a second."""
        for room in self.singers.look():
            with logs.surviving(traffic, "music and singers were not aligned", room=room.name):
                if commands := aligning.align(room, self.singers.look_at(room)):
                    self.change(room, commands)

    async def settled(self) -> None:
        """Returns when all changes made so far would survive a crash. StateError when they cannot be written down."""
        await self.store.settled()

    def tells(self, type: str) -> bool:
        """Whether anybody wants to be told events of this type."""
        return self.outbox.wants(type)

    def record(self, room: Room) -> None:
        """Writes down what a room has to say, while it is there. To be called after it may have changed."""
        if room.id in self._by_id:
            self.journal.record(room)

    def _add_room(self, name: str, instance: str, home: int, e2ee: bool) -> Room:
        room = Room(next(self._room_ids), name, home, instance, e2ee=e2ee)
        room.rows = Rows(self.settings.limits.mixes_per_room)
        self.rooms[name] = self._by_id[room.id] = room
        self.streams.open_room(room)
        return room

    def _restore(self, stored: StoredRoom, document: RoomDocument) -> None:
        room = self._add_room(stored.name, stored.instance, self.driver.emptiest_worker(), bool(document.e2ee))
        self.perform(lifecycle.start(room))
        for kind in (Fact.LISTENER, Fact.REVOKED):
            for user, value in stored.facts.get(kind, {}).items():
                memory.recall(room, kind, user, value)
        self.perform(put(room, document))
        # None of this is news, but that those who were there are no longer.
        self.journal.restored(room, stored)
        for user, value in stored.facts.get(Fact.PRESENT, {}).items():
            memory.recall(room, Fact.PRESENT, user, value)
        self.change(room, ())

    def _check_sounds(self, document: RoomDocument) -> None:
        for effect in document.effects.values():
            self.playback.check_sound(effect.sound)

    def perform(self, commands: Iterable[Command]) -> None:
        """All of them, also when one fails: the first failure is raised in the end. What changes because of them (a
        player says that it begins, a session ends) is known afterwards: until then a room can name players that have
        not been opened."""
        self._performing += 1
        try:
            self._perform_each(commands)
        finally:
            self._performing -= 1
            if not self._performing:
                self._make_known()

    @tracing.traced("perform")
    def _perform_each(self, commands: Iterable[Command]) -> None:
        failure: Exception | None = None
        for command in commands:
            try:
                self._perform_one(command)
            except Exception as error:
                if failure is not None:
                    log.exception("a command failed after another one", command=type(command).__name__)
                failure = failure or error
        if failure is not None:
            raise failure

    def _perform_one(self, command: Command) -> None:
        match command:
            case MovePeer(peer, room, csrc, row):
                self._rehome(self.census.of(peer), self._by_id[room])
                self.driver.plane.move_peer(peer, room, csrc=csrc, row=row)
            case ClosePeer(peer, reason):
                self.census.of(peer).end(reason)
            case OpenPlayer() | ChangePlayer() | ClosePlayer() | AddTap():
                self.playback.perform(command)
            case StartEffect() | ChangeEffect() | StopEffect():
                self.playback.perform(command)
            case _:
                perform_in_plane(self.driver.plane, self.driver.stages, command)

    def _make_known(self) -> None:
        """What has changed, to those who read of it and to the state; once, however often a room has changed."""
        while self._changed:
            room = self._changed.pop(next(iter(self._changed)))
            if room.programme.aligned() and room.id in self._by_id:
                self.singers.note(room)
                if not room.alignment.loops_ms:
                    # It is about to begin: then it need not move when it is heard.
                    self.perform(aligning.align(room, self.singers.look_at(room)))
            self.streams.changed(room)
            self.record(room)

    # Sessions

    def publish(self, room: Room, user: str, offer: str) -> tuple[Session, str]:
        """A new WHIP session and its answer. SdpError, UnsupportedOfferError, FullError, OverloadedError or
        ClosingError: then nothing has changed."""
        self._check_room_for(room, user, Direction.PUBLISH)
        return self._enter(room, user, Direction.PUBLISH, self._peers.publisher(room, user, offer))

    def listen(self, room: Room, user: str, offer: str, speakers: Sequence[str] = ()) -> tuple[Session, str]:
        """A new WHEP session and its answer; as publish(). `speakers`: whom to put in the slots, in order, instead of
        the loudest; NoSeatError when one has no seat, UnsupportedOfferError when they are more than the slots."""
        self._check_room_for(room, user, Direction.LISTEN)
        if missing := [name for name in speakers if name not in room.speakers]:
            raise NoSeatError(f"{missing[0]} has no seat in this room.")
        return self._enter(room, user, Direction.LISTEN, self._peers.listener(room, user, offer, speakers))

    def listen_to_mix(self, room: Room, user: str, offer: str) -> tuple[Session, str]:
        """A new WHEP session on the room's mix, and its answer; as publish(). Also EncryptedRoomError and
        TooManyMixesError."""
        if room.e2ee:
            raise EncryptedRoomError("The room is end-to-end encrypted, so it has no mix; ask for mode=select.")
        self._check_room_for(room, user, Direction.LISTEN)
        peer = self._peers.mix_listener(room, user, offer, lambda: self._take_row(room, user))
        return self._enter(room, user, Direction.LISTEN, peer)

    def _take_row(self, room: Room, user: str) -> int:
        row, commands = rows.take(room, user)
        self.perform(commands)
        return row

    def restart_ice(self, session: Session, remote: tuple[str, str]) -> str:
        """New ICE credentials; returns our fragment with them (RFC 9725 section 4.3.3)."""
        session.restart_ice(remote)
        return sdp.fragment(session.credentials, self._peers.candidates(session.worker), session.mid)

    def _check_room_for(self, room: Room, user: str, direction: Direction) -> None:
        if self._timers is None:
            raise ClosingError
        self.capacity.check_session(room, user, direction, self._timers.time())

    def _rehome(self, session: Session, room: Room) -> None:
        self.streams.move(session.id, session.room, room)
        self.census.move(session, room)

    def _enter(self, room: Room, user: str, direction: Direction, peer: Peer) -> tuple[Session, str]:
        """From now on the peer's session looks after it, and an older one of the user goes."""
        assert self._timers is not None
        session = Session(
            room=room,
            user=user,
            direction=direction,
            peer=peer.number,
            worker=peer.worker,
            stats=peer.stats,
            agreed=peer.agreed,
            handshake=Handshake(self._certificate, peer.agreed.offer.fingerprints),
            driver=self.driver,
            timers=self._timers,
            owner=self,
        )
        self.census.enter(session)
        self.capacity.returning.forget((room.name, user, direction))
        self.perform(presence.join(room, user, direction, peer.number, peer.row))
        if direction is Direction.PUBLISH:
            self.streams.changed(room)
        return session, peer.agreed.answer

    def connected(self, session: Session) -> None:
        """What a session calls when media can flow."""
        presence.connected(session.room, session.user, session.direction, session.peer)
        self.record(session.room)
        if self._timers is not None:
            self._timers.call_at(self._timers.time() + TAKE_OVER_S, lambda: self.media(session))

    def media(self, session: Session) -> None:
        """What a session calls when its media has begun: an older one, which was heard until now, has done its part."""
        self.perform(presence.take_over(session.room, session.user, session.direction, session.peer))
        self.record(session.room)

    def voice(self, session: Session) -> None:
        """What a session calls when the plane has heard that something changed in what it says."""
        if self._timers is not None:
            self.observer.voice(session, self._timers.time())

    def loses(self, session: Session) -> None:
        """What a session calls when packets of it begin to be lost."""
        self.observer.loses(session)

    def late(self, session: Session) -> None:
        """What a session calls when its client has not been heard of for seconds."""
        presence.late(session.room, session.user, session.direction, session.peer)
        self.record(session.room)

    def in_time(self, session: Session) -> None:
        """What a session calls when it has been heard of again."""
        presence.in_time(session.room, session.user, session.direction, session.peer)
        self.record(session.room)

    def ended(self, session: Session, reason: CloseReason) -> None:
        """What a session calls at its end."""
        room, direction = session.room, session.direction
        self.census.leave(session, reason)
        self.streams.end(room, session.id)
        commands = presence.leave(room, session.user, direction, session.peer, reason)
        if direction is Direction.PUBLISH:
            self.change(room, commands)
        else:
            self.perform(commands)
            self.record(room)
        if reason is not CloseReason.KICKED and self._timers is not None:
            self.capacity.returning.lost((room.name, session.user, direction), self._timers.time())
        session.log("session ended", reason=reason, duration_s=session.duration_s)
