"""One media server: its rooms, their sessions, and the plane that moves their packets.

The main path, top to bottom:
    HTTP asks ─▶ a Room changes and says what follows from it (model.py) ─▶ perform() does that in the plane
    the plane reports ─▶ the Session of that peer (sessions.py) ─▶ when it ends, its Room is told
After either, the room's Feed tells its readers what changed.
"""

import asyncio
import itertools
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mediaserver import logs, negotiation, sdp, tracing
from mediaserver.admission import Admission, OverloadedError, Reason, Returning
from mediaserver.commands import (
    AddTap,
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
from mediaserver.effects import Effects, SoundError
from mediaserver.feed import Playing
from mediaserver.journal import Journal
from mediaserver.jukebox import Jukebox
from mediaserver.keys import KeyRing
from mediaserver.load import Watch
from mediaserver.matrix import Rows
from mediaserver.model import (
    Direction,
    EncryptedRoomError,
    Fact,
    FullRoomError,
    NoSeatError,
    NoTrackError,
    Room,
    Speaker,
)
from mediaserver.music.checking import NotMusicError
from mediaserver.music.children import ChildError
from mediaserver.music.cues import (
    FAILURES,
    Effect,
    Next,
    Play,
    Previous,
    Seek,
    StatusChanged,
    TrackFailed,
    TrackStarted,
)
from mediaserver.music.players import Now
from mediaserver.music.service import Music
from mediaserver.music.sounds import load
from mediaserver.negotiation import Agreement, UnsupportedOfferError
from mediaserver.observer import Observer
from mediaserver.outbox import Outbox
from mediaserver.performing import perform_in_plane
from mediaserver.plane import Driver
from mediaserver.programme import EffectSpec, PlayerSpec, PlayerState
from mediaserver.schema import RoomDocument
from mediaserver.schema_programme import MAX_EFFECTS, MAX_PLAYERS
from mediaserver.sessions import Session, Timers
from mediaserver.settings import Settings
from mediaserver.singers import Singers
from mediaserver.soundbank import Samples, SoundBank
from mediaserver.store import Store, StoredRoom
from mediaserver.streams import Streams
from mediaserver.used_ids import UsedIds
from mediaserver.webhooks import Surroundings, Webhooks

if TYPE_CHECKING:
    from mediaserver._native import PeerStats, Slot

log = logs.get(__name__)
traffic = logs.get(__name__, limited=True)  # what clients can cause


# After a session is connected it takes the place of an older one, though no media has come of it: a muted microphone
# may send nothing. Lower is heard as a gap by whose first packets are lost, higher lets two sessions of a user go on.
TAKE_OVER_S = 1.0


class FullError(Exception):
    """A limit of the settings is reached; the message is a sentence for the client."""


class UnsuitedSessionError(Exception):
    """What a session agreed on cannot be had where it is to go; the message is a sentence for the client."""


class ClosingError(Exception):
    """The server is about to stop and takes no new sessions."""


class DrainingError(Exception):
    """The server takes no new rooms, as it is to be stopped."""


class UnknownSoundError(LookupError):
    """No effect has this sound; a sentence for the room service."""


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
        self.sessions: dict[str, Session] = {}
        self.streams = Streams(self.playing)
        self.store = Store(settings.state)
        self.journal = Journal(self.store, clock)
        self._stored = self.journal.load()
        self.used_tokens = UsedIds(note=self.journal.note_use)  # one-time ones, of participants
        self.used_tokens.restore(self.journal.uses())
        self.outbox = Outbox(self.store)
        self.webhooks = Webhooks(settings.webhooks, self.outbox, Surroundings(clock=clock))
        self.endings: Counter[CloseReason] = Counter()
        self.started: Counter[Direction] = Counter()
        self.draining = False
        self.admission = Admission(driver.plane.workers, settings.max_worker_load)
        self.watch = Watch(driver, self.admission)
        self.returning = Returning()
        self.refused: Counter[Reason] = Counter()  # new rooms and sessions, by admission control
        self.refused_rates: Counter[str] = Counter()  # requests, by whose rate they exceeded: api-key, address
        self._leaving = False
        self._certificate = certificate
        self._by_id: dict[int, Room] = {}
        self._peers: dict[int, Session] = {}
        self._population: Counter[tuple[int, Direction]] = Counter()  # sessions by room id and direction
        self._lost: Counter[Direction] = Counter()  # RTP packets, of sessions that have ended
        self.failed_tracks: Counter[str] = Counter()  # by cues.FAILURES, and "other"
        self._room_ids = itertools.count(1)
        self._timers: Timers | None = None
        self._began = 0.0
        self.music = Music(settings.music, driver.make_ring)
        self.observer = Observer(self)
        self.singers = Singers(self)
        self.sounds = SoundBank(driver.make_clip, self._decode_sound)
        self.effects = Effects(driver, self.sounds, self._effect_ended)
        self.jukebox = Jukebox(driver, self.music.workshop, self._player_tells)
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
        self.music.start()

    def drain(self, *, for_good: bool = False) -> None:
        """Takes no new rooms from now on, but sessions in those that exist. `for_good`: the process is to end."""
        if not self.draining:
            log.warning("draining", rooms=len(self.rooms), sessions=len(self.sessions))
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
        for session in tuple(self.sessions.values()):
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
        self.jukebox.close()
        self.effects.close()
        self.music.stop()
        for room in self.rooms.values():
            self.streams.close_room(room)
        self.driver.stop()
        self.webhooks.stop()
        self.store.stop()

    @property
    def uptime_s(self) -> float:
        """Since start()."""
        return 0.0 if self._timers is None else self._timers.time() - self._began

    def playing(self, room: Room) -> list[Playing]:
        """What the room's players do now."""
        return [self.playing_of(room, name, self.jukebox.now(room.id, name)) for name in sorted(room.programme.players)]

    def playing_of(self, room: Room, name: str, now: Now) -> Playing:
        """As it is told."""
        spec = room.player(name)
        is_somewhere = now.track is not None
        return Playing(
            name,
            now.status,
            now.track,
            now.tags.get("title"),
            now.tags.get("artist"),
            round(now.position_s * 1000) if is_somewhere else None,
            None if now.duration_s is None else round(now.duration_s * 1000),
            self.unix_time(now.at_ns) if now.at_ns else None,
            round(room.music_delay_ms(spec)) if spec.align else None,
        )

    def unix_time(self, monotonic_ns: int) -> float:
        """Seconds, on the clock of the RTCP sender reports."""
        return self.driver.plane.unix_time_ns(monotonic_ns) / 1e9

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
        if len(self.rooms) >= self.settings.limits.rooms:
            raise FullError("The server has as many rooms as it allows.")
        if self.draining:
            raise DrainingError
        home = self.driver.emptiest_worker()
        self._admit(home)
        room = self._add_room(name, secrets.token_hex(6), home, e2ee)
        self.perform(room.open())
        self.record(room)
        traffic.info("room opened", room=name)
        return room, True

    def put_room(self, name: str, document: RoomDocument) -> tuple[Room, bool]:
        """Brings the room to the document, and makes it if there is none; whether it is new. As open_room(), and
        EncryptedRoomError, FullRoomError or TooManyMixesError: then nothing has changed."""
        check(document, self.rooms.get(name))
        self._check_sounds(document)
        self._check_seats(len(document.speakers))
        room, is_new = self.open_room(name, e2ee=bool(document.e2ee))
        self.change(room, put(room, document))
        return room, is_new

    def patch_room(self, room: Room, document: RoomDocument) -> None:
        """Brings the room to the document exactly, what belongs to participants included. As put_room()."""
        check(document, room)
        self._check_sounds(document)
        self._check_seats(len(document.speakers))
        self.change(room, put(room, document, exact=True))

    def take_seat(self, room: Room, user: str, speaker: Speaker) -> None:
        """FullRoomError or SeatTakenError: then nothing has changed."""
        self._check_seats(len(room.speakers.keys() | {user}))
        self.change(room, room.take_seat(user, speaker))

    def close_room(self, name: str) -> None:
        """Nothing happens when there is none."""
        room = self.rooms.pop(name, None)
        if room is None:
            return
        del self._by_id[room.id]
        self.streams.close_room(room)
        self.perform(room.close())
        self.journal.forget(room)
        traffic.info("room closed", room=name)

    def move(self, room: Room, user: str, target: Room) -> None:
        """The user goes to another room, over the connections that he has. NotConnectedError; EncryptedRoomError
        when he listens to the mix and there is none, or sends what only a server that looks into it can forward;
        UnsuitedSessionError; FullError, FullRoomError or TooManyMixesError of the target. Then nothing has changed."""
        participant = room.participants.get(user)
        if participant is not None and target is not room:
            if user in room.speakers and user not in target.speakers:
                self._check_seats(len(target.speakers) + 1)
            if Direction.LISTEN in participant.peers:
                self._check_listeners(target, user)
            for peer in (*participant.peers.values(), *participant.coming.values()):
                self._check_suited(target, self._peers[peer], hears_mix=peer in participant.rows)
        commands = room.move(user, target)
        self.change(target, commands)
        self.change(room, ())

    def play_effect(self, room: Room, spec: EffectSpec) -> str:
        """Once; the name by which it can be stopped. EncryptedRoomError, FullRoomError or UnknownSoundError."""
        name = f"once-{secrets.token_hex(8)}"
        self.start_effect(room, name, spec)
        return name

    def start_effect(self, room: Room, name: str, spec: EffectSpec) -> None:
        """As play_effect(), and EffectTakenError."""
        _check_plain(room)
        self._check_sound(spec.sound)
        if len(room.programme.effects.keys() | {name}) > MAX_EFFECTS:
            raise FullRoomError(f"At most {MAX_EFFECTS} effects play in a room at a time.")
        self.change(room, room.start_effect(name, spec))

    def set_player(self, room: Room, name: str, spec: PlayerSpec) -> None:
        """EncryptedRoomError or FullRoomError."""
        _check_plain(room)
        if len(room.programme.players.keys() | {name}) > MAX_PLAYERS:
            raise FullRoomError(f"A room has at most {MAX_PLAYERS} players.")
        self.change(room, room.set_player(name, spec))

    def ask_player(self, room: Room, name: str, event: Seek | Next | Previous | Play) -> None:
        """NoPlayerError or NoTrackError. A player that is asked to play is to be playing from then on."""
        spec = room.player(name)
        if isinstance(event, Play) and event.key is not None and event.key not in {t.key for t in spec.plan.tracks}:
            raise NoTrackError(f"The player {name} has no track {event.key}.")
        self.jukebox.ask(room.id, name, event)
        if isinstance(event, Play):
            spec = replace(spec, state=PlayerState.PLAYING)
        self.change(room, room.set_player(name, spec))

    def _check_sound(self, sound: str) -> None:
        if not self.sounds.knows(sound):
            raise UnknownSoundError(f"There is no sound {sound}.")

    def _effect_ended(self, room_id: int, name: str, csrc: int, reason: str | None) -> None:
        room = self._by_id.get(room_id)
        if room is not None:
            self.change(room, room.effect_ended(name, csrc, reason))

    def _player_tells(self, room_id: int, name: str, effects: Sequence[Effect]) -> None:
        room = self._by_id.get(room_id)
        if room is None:
            return
        for effect in effects:
            match effect:
                case StatusChanged(status, reason):
                    room.tell("player.changed", player=name, status=status, **({"reason": reason} if reason else {}))
                case TrackStarted(key):
                    room.tell("player.track_started", player=name, track=key)
                case TrackFailed(key, reason):
                    # A decoder's own word, and a label is not to have any number of values.
                    self.failed_tracks[reason if reason in FAILURES else "other"] += 1
                    room.tell("player.track_failed", player=name, track=key, reason=reason)
        self.change(room, ())

    def _check_suited(self, target: Room, session: Session, *, hears_mix: bool) -> None:
        """What a session has agreed on stays as it is, wherever it goes."""
        if target.e2ee and session.direction is Direction.PUBLISH and session.red:
            raise EncryptedRoomError(
                "He sends redundant audio, which cannot be taken apart there; he has to join anew."
            )
        ptime_ms = target.mix.ptime_ms
        if hears_mix and negotiation.too_long(session.maxptime, ptime_ms):
            raise UnsuitedSessionError(
                f"The other room's mix has packets of {ptime_ms} ms, his client takes {session.maxptime} at most."
            )

    def change(self, room: Room, commands: Iterable[Command]) -> None:
        """Makes a change of the room true, and known."""
        self.perform(commands)
        if room.programme.aligned() and room.id in self._by_id:
            self.singers.note(room)
            if not room.alignment.loops_ms:
                # It is about to begin: then it need not move when it is heard.
                self.perform(room.align(self.singers.look_at(room)))
        self.streams.changed(room)
        self.record(room)

    def align(self) -> None:
        """Brings music and singers to what is measured now. To be called once a second."""
        for room, alignment in self.singers.look():
            if commands := room.align(alignment):
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
        self.perform(room.open())
        for kind in (Fact.LISTENER, Fact.REVOKED):
            for user, value in stored.facts.get(kind, {}).items():
                room.recall(kind, user, value)
        self.perform(put(room, document))
        # None of this is news, but that those who were there are no longer.
        self.journal.restored(room, stored)
        for user, value in stored.facts.get(Fact.PRESENT, {}).items():
            room.recall(Fact.PRESENT, user, value)
        self.change(room, ())

    def _check_sounds(self, document: RoomDocument) -> None:
        for effect in document.effects.values():
            self._check_sound(effect.sound)

    def _check_seats(self, count: int) -> None:
        limit = self.settings.limits.speakers_per_room
        if count > limit:
            raise FullRoomError(f"The server allows {limit} speakers in a room.")

    @tracing.traced("perform")
    def perform(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case MovePeer(peer, room, csrc, row):
                    self._rehome(self._peers[peer], self._by_id[room])
                    self.driver.plane.move_peer(peer, room, csrc=csrc, row=row)
                case ClosePeer(peer, reason):
                    self._peers[peer].end(reason)
                case OpenPlayer() | ChangePlayer() | ClosePlayer() | AddTap():
                    self.jukebox.perform(command)
                case StartEffect() | StopEffect():
                    self.effects.perform(command)
                case _:
                    perform_in_plane(self.driver.plane, self.driver.stages, command)

    async def _decode_sound(self, media: str) -> Samples:
        """A piece of the library, for an effect. SoundError."""
        path = self.music.library.path(media) if self.music.library is not None else None
        if path is None:
            raise SoundError(f"There is no piece {media} in the library.")
        try:
            return await load(self.music.children, path)
        except (NotMusicError, ChildError, OSError) as error:
            raise SoundError(f"The piece {media} cannot be an effect: {error}") from None

    # Sessions

    def publish(self, room: Room, user: str, offer: str) -> tuple[Session, str]:
        """A new WHIP session and its answer. SdpError, UnsupportedOfferError, FullError or ClosingError: then nothing
        has changed."""
        self._check_room_for(room, user, Direction.PUBLISH)
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_receive(offer, fingerprint, self._candidates(room.home), e2ee=room.e2ee)
        section = agreed.sections[0]
        peer = self.driver.next_peer()
        stats = self.driver.plane.add_publisher(
            peer,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrc_of(user),
            payload_type=agreed.payload_types[0],
            level_id=section.level_id,
            report_ssrc=negotiation.random_ssrc(),
            red_payload_type=0 if room.e2ee or section.red is None else section.red,
            nack=section.nack,
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
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_send(offer, fingerprint, self._candidates(worker), e2ee=room.e2ee)
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

    def session(self, direction: Direction, identifier: str) -> Session | None:
        """The session of this id if it is one of this direction."""
        session = self.sessions.get(identifier)
        return session if session is not None and session.direction is direction else None

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
        if self._timers is None:
            raise ClosingError
        if user in room.participants and direction in room.participants[user].peers:
            return  # the new session takes the place of an older one
        if len(self.sessions) >= self.settings.limits.sessions:
            raise FullError("The server has as many sessions as it allows.")
        # Publishers need no limit of their own: each needs a seat.
        if direction is Direction.LISTEN:
            self._check_listeners(room, user)
        if not self.returning.is_expected((room.name, user, direction), self._timers.time()):
            publishes = direction is Direction.PUBLISH
            self._admit(room.home if publishes else self.driver.listener_worker(room.home))

    def _admit(self, worker: int) -> None:
        """OverloadedError when nobody new may be put on this worker."""
        if reason := self.admission.refusal(worker):
            self.refused[reason] += 1
            raise OverloadedError(reason)

    def _check_listeners(self, room: Room, user: str) -> None:
        if user in room.participants and Direction.LISTEN in room.participants[user].peers:
            return
        listeners = self._population[room.id, Direction.LISTEN]
        if listeners >= self.settings.limits.listeners_per_room:
            raise FullError("The room has as many listeners as the server allows.")
        limit = room.limits.listeners
        if limit is not None and listeners >= limit:
            raise FullError("The room has as many listeners as its own limit allows.")

    def population(self, room: Room) -> dict[Direction, int]:
        """Sessions of the room."""
        return {direction: self._population[room.id, direction] for direction in Direction}

    def _rehome(self, session: Session, room: Room) -> None:
        before, session.room = session.room, room
        self._population[before.id, session.direction] -= 1
        self._population[room.id, session.direction] += 1
        self.streams.move(session.id, before, room)

    def _candidates(self, worker: int) -> list[sdp.Candidate]:
        bound = self.driver.plane.addresses(worker)
        tcp = self.driver.plane.tcp_addresses(worker)
        return [
            *(sdp.Candidate(address, port) for address, port in self.settings.announced(bound)),
            *(sdp.Candidate(address, port, tcp=True) for address, port in self.settings.announced(tcp)),
        ]

    def _slots(self, agreed: Agreement) -> "list[Slot]":
        return [
            self.driver.make_slot(
                ssrc=sending.ssrc,
                payload_type=payload_type,
                mid=section.mid,
                mid_id=section.mid_id,
                level_id=section.level_id,
                csrc_level_id=section.csrc_level_id,
                red_payload_type=(section.red or 0) if sending.red else 0,
                nack=section.nack,
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
            owner=self,
        )
        self.sessions[session.id] = session
        self._peers[peer] = session
        self._population[room.id, direction] += 1
        self.started[direction] += 1
        self.returning.forget((room.name, user, direction))
        self.perform(room.join(user, direction, peer, row))
        if direction is Direction.PUBLISH:
            self.streams.changed(room)
        return session

    def connected(self, session: Session) -> None:
        """What a session calls when media can flow."""
        session.room.connected(session.user, session.direction, session.peer)
        self.record(session.room)
        if self._timers is not None:
            self._timers.call_at(self._timers.time() + TAKE_OVER_S, lambda: self.media(session))

    def media(self, session: Session) -> None:
        """What a session calls when its media has begun: an older one, which was heard until now, has done its part."""
        self.perform(session.room.take_over(session.user, session.direction, session.peer))
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
        session.room.late(session.user, session.direction, session.peer)
        self.record(session.room)

    def in_time(self, session: Session) -> None:
        """What a session calls when it has been heard of again."""
        session.room.in_time(session.user, session.direction, session.peer)
        self.record(session.room)

    def ended(self, session: Session, reason: CloseReason) -> None:
        """What a session calls at its end."""
        room, direction = session.room, session.direction
        del self.sessions[session.id]
        del self._peers[session.peer]
        self._population[room.id, direction] -= 1
        self._lost[direction] += max(0, session.stats.packets_lost)
        self.endings[reason] += 1
        self.streams.end(room, session.id)
        self.perform(room.leave(session.user, direction, session.peer, reason))
        if direction is Direction.PUBLISH:
            self.streams.changed(room)
        self.record(room)
        if reason is not CloseReason.KICKED and self._timers is not None:
            self.returning.lost((room.name, session.user, direction), self._timers.time())
        session.log("session ended", reason=reason, duration_s=session.duration_s)


def _check_plain(room: Room) -> None:
    if room.e2ee:
        raise EncryptedRoomError("The room is end-to-end encrypted, so nothing can be mixed into it.")
