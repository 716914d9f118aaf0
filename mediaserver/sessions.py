"""One WHIP or WHEP session: ICE credentials, the DTLS handshake and its timers, up to the keys that the plane needs.

    connecting ──ICE_CONNECTED──▶ securing ──handshake complete──▶ connected
         └─────────────┴─ 30 s ─┐                                      │
                                ▼   consent expired, close_notify       │
                              closed ◀─────────────────────────────────┘

Rules
- The keys go to the plane exactly once.
- The handshake's state lives until the first authenticated SRTP or SRTCP packet, or 60 s after it completed: until then
  its last flight may have been lost, and only this state can answer the client's repetition.
- Before that state is released its close_notify is written and kept: so however a session ends, the client is told.
- Its owner is told of the end exactly once, whatever ends the session.
- A session can move to another room; `entrance` is the name of the one that its address was made for.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from mediaserver import logs
from mediaserver.commands import CloseReason
from mediaserver.dtls import Handshake
from mediaserver.microphone import Microphone
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.negotiation import Agreement
from mediaserver.plane import Driver, Event
from mediaserver.quality import Quality
from mediaserver.sdp import IceCredentials

if TYPE_CHECKING:
    from mediaserver._native import PeerStats

log = logs.get(__name__, limited=True)
faults = logging.getLogger(__name__)

# From the answer to the end of the handshake. Lower turns away slow networks, higher keeps the state of those who left.
SETUP_TIMEOUT_S = 30.0
# After the handshake completed. Lower risks a client whose last flight was lost and who sends nothing; higher costs
# OpenSSL's state, some 50 kB, of listeners who never report.
RELEASE_AFTER_S = 60.0


class State(StrEnum):
    CONNECTING = "connecting"
    SECURING = "securing"
    CONNECTED = "connected"
    CLOSED = "closed"


class Timers(Protocol):
    """What a session needs of the event loop; tests bring their own time."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None], /) -> asyncio.TimerHandle: ...


class Owner(Protocol):
    """Who is told what becomes of a session."""

    def connected(self, session: "Session") -> None:
        """Media can flow."""

    def media(self, session: "Session") -> None:
        """Some has come."""

    def voice(self, session: "Session") -> None:
        """It begins or ends to speak, or something with the microphone does; the stats say what."""

    def loses(self, session: "Session") -> None:
        """Packets of it begin to be lost; the stats say how many, and when none are any more."""

    def late(self, session: "Session") -> None:
        """The client has not been heard of for seconds."""

    def in_time(self, session: "Session") -> None:
        """It has been heard of again."""

    def ended(self, session: "Session", reason: CloseReason) -> None: ...


class Session:
    """Looks after a peer that has just been added to the plane.

    `id` is the last part of its URL, `peer` its number in the plane, `mid` the section that ICE attributes belong to,
    `credentials` our ICE credentials, `remote` the client's ufrag and password; `red`: redundant audio was agreed on;
    `maxptime`: the longest packets that it takes, in ms, if it says.
    """

    def __init__(
        self,
        *,
        room: Room,
        user: str,
        direction: Direction,
        peer: int,
        worker: int,
        stats: "PeerStats",
        agreed: Agreement,
        handshake: Handshake,
        driver: Driver,
        timers: Timers,
        owner: Owner,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.room = room
        self.entrance = room.name
        self.user = user
        self.direction = direction
        self.peer = peer
        self.state = State.CONNECTING
        self.quality = Quality()
        self.microphone = Microphone()
        self.stats = stats
        self.worker = worker
        self.mid = agreed.mid
        self.credentials = agreed.ice
        self.remote = agreed.remote_ice
        self.red = agreed.red
        self.maxptime = agreed.maxptime
        self._driver = driver
        self._timers = timers
        self._owner = owner
        self._handshake: Handshake | None = handshake
        self._close_notify = b""
        self._retransmission: asyncio.TimerHandle | None = None
        self._began = timers.time()
        self._limit = timers.call_at(timers.time() + SETUP_TIMEOUT_S, self._setup_timed_out)
        driver.adopt(peer, worker, self.handle)

    @property
    def duration_s(self) -> float:
        """Since it was made, to a tenth of a second."""
        return round(self._timers.time() - self._began, 1)

    def log(self, event: str, **fields: object) -> None:
        """An event of this session, for the operator."""
        log.info(event, room=self.room.name, user=self.user, peer=self.peer, direction=self.direction, **fields)

    @property
    def etag(self) -> str:
        """Strong entity tag of the current ICE session (RFC 9725 section 4.3.1): a new one with every restart."""
        return f'"{self.credentials.ufrag}"'

    def restart_ice(self, remote: tuple[str, str]) -> None:
        """New credentials on both sides (RFC 8445 section 9); media goes on over the old pair until a new one works."""
        self.remote = remote
        self.credentials = IceCredentials.generate()
        self._driver.plane.restart_ice(self.peer, self.credentials.ufrag, self.credentials.pwd)

    def handle(self, event: Event, data: bytes) -> None:
        """An event of the plane. An exception in here is a bug; it costs this session alone."""
        try:
            self._handle(event, data)
        except Exception:
            faults.exception("%s session of peer %d failed at %s", self.direction, self.peer, event.name)
            self.end(CloseReason.INTERNAL_ERROR)

    def end(self, reason: CloseReason) -> None:
        """Says goodbye and forgets the peer. A second call does nothing."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._limit.cancel()
        self._release()
        self._driver.remove_peer(self.peer, [self._close_notify] if self._close_notify else [])
        self._owner.ended(self, reason)

    def _handle(self, event: Event, data: bytes) -> None:
        match event:
            case Event.DATAGRAM if self._handshake is not None:
                self._advance(self._handshake, self._handshake.receive(self._timers.time(), data))
            case Event.ICE_CONNECTED if self.state is State.CONNECTING:
                self.state = State.SECURING
            case Event.MEDIA:
                self._release_in_plane()
                self._owner.media(self)
            case Event.VOICE:
                self._owner.voice(self)
            case Event.LOSS:
                self._owner.loses(self)
            case Event.CONSENT_LATE if self.state is State.CONNECTED:
                self._owner.late(self)
            case Event.CONSENT_BACK if self.state is State.CONNECTED:
                self._owner.in_time(self)
            case Event.CONSENT_EXPIRED:
                self.end(CloseReason.CONSENT_EXPIRED)

    def _advance(self, handshake: Handshake, datagrams: list[bytes]) -> None:
        """Performs what the handshake's last step asks for."""
        if datagrams:
            self._driver.plane.send(self.peer, datagrams)
        if handshake.failed is not None:
            log.debug("handshake failed", peer=self.peer, why=handshake.failed)
            self.end(CloseReason.HANDSHAKE_FAILED if handshake.keys is None else CloseReason.PEER_CLOSED)
            return
        if handshake.keys is not None and self.state is not State.CONNECTED:
            self.state = State.CONNECTED
            self.log("session connected")
            self._driver.plane.set_keys(self.peer, handshake.keys.profile, handshake.keys.material)
            self._limit.cancel()
            self._limit = self._timers.call_at(self._timers.time() + RELEASE_AFTER_S, self._release_in_plane)
            self._owner.connected(self)
        if self._retransmission is not None:
            self._retransmission.cancel()
            self._retransmission = None
        if handshake.deadline is not None:
            self._retransmission = self._timers.call_at(handshake.deadline, self._retransmit)

    def _retransmit(self) -> None:
        self._retransmission = None
        if self._handshake is not None:
            self._advance(self._handshake, self._handshake.timeout(self._timers.time()))

    def _setup_timed_out(self) -> None:
        self.end(CloseReason.HANDSHAKE_TIMEOUT)

    def _release_in_plane(self) -> None:
        """The client has our last flight, or it is too late to matter: from now on its DTLS is nobody's."""
        if self._handshake is None or self.state is not State.CONNECTED:
            return
        self._limit.cancel()
        self._release()
        self._driver.plane.release_handshake(self.peer)

    def _release(self) -> None:
        if self._retransmission is not None:
            self._retransmission.cancel()
            self._retransmission = None
        if self._handshake is not None:
            self._close_notify = self._handshake.close()
            self._handshake = None
