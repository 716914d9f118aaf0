"""A session between a real DTLS client and a plane that moves nothing, on a clock that the test turns."""

import asyncio
import heapq
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from OpenSSL import SSL

from mediaserver import negotiation
from mediaserver.commands import CloseReason
from mediaserver.dtls import Certificate, Handshake
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.plane import CLEARLY_MORE_PEERS, Driver
from mediaserver.sdp import Candidate
from mediaserver.sessions import RELEASE_AFTER_S, SETUP_TIMEOUT_S, Session, State
from tests import fake_plane
from tests.offers import offer
from tests.test_dtls import IDENTITY, Client, Identity

CERTIFICATE = Certificate.generate()
PEER = 9


class Timer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTimers:
    """The event loop's time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> asyncio.TimerHandle:
        timer = Timer(callback)
        heapq.heappush(self._due, (when, next(self._numbers), timer))
        return cast(asyncio.TimerHandle, timer)

    def advance(self, seconds: float) -> None:
        """Calls what comes due, each at its own time."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.now, _, timer = heapq.heappop(self._due)
            if not timer.cancelled:
                timer.callback()
        self.now = end

    def pending(self) -> int:
        return sum(not timer.cancelled for _, _, timer in self._due)


class World:
    """One session, its plane and its client."""

    def __init__(self, identity: Identity = IDENTITY) -> None:
        self.driver = Driver(sys.modules[fake_plane.__name__], [[("127.0.0.1", 0)]])
        self.plane = cast(fake_plane.Plane, self.driver.plane)
        self.plane.add_room(1, 0)
        self.timers = FakeTimers()
        self.client = Client(identity)
        self.ends: list[CloseReason] = []
        self.spells: list[str] = []
        agreed = negotiation.to_receive(
            offer(fingerprint=IDENTITY.fingerprint()), CERTIFICATE.fingerprint, [Candidate("127.0.0.1", 40000)]
        )
        ice = agreed.ice
        stats = self.driver.plane.add_publisher(
            PEER, 1, ufrag=ice.ufrag, pwd=ice.pwd, csrc=5, payload_type=111, level_id=1, report_ssrc=7
        )
        self.peer = self.plane.peers[PEER]
        self.session = Session(
            room=Room(1, "hall", 0),
            user="ann",
            direction=Direction.PUBLISH,
            peer=PEER,
            worker=0,
            stats=stats,
            agreed=agreed,
            handshake=Handshake(CERTIFICATE, agreed.offer.fingerprints),
            driver=self.driver,
            timers=self.timers,
            owner=self,
        )

    def connected(self, session: Session) -> None:
        assert session.state is State.CONNECTED

    def media(self, session: Session) -> None:
        self.spells.append("media")

    def voice(self, session: Session) -> None:
        self.spells.append("voice")

    def loses(self, session: Session) -> None:
        self.spells.append("loses")

    def late(self, session: Session) -> None:
        self.spells.append("late")

    def in_time(self, session: Session) -> None:
        self.spells.append("in time")

    def ended(self, session: Session, reason: CloseReason) -> None:
        self.ends.append(reason)

    def emit(self, kind: int, data: bytes = b"") -> None:
        self.plane.emit(kind, PEER, data)
        self.driver.drain()

    def sent(self) -> list[bytes]:
        """What the server has sent since the last call."""
        sent, self.peer.sent = self.peer.sent, []
        return sent

    def exchange(self, datagrams: list[bytes]) -> None:
        """Carries datagrams to and fro until neither side has more to say."""
        while datagrams:
            for datagram in datagrams:
                self.emit(fake_plane.DATAGRAM, datagram)
            datagrams = [answer for datagram in self.sent() for answer in self.client.receive(datagram)]

    def connect(self) -> None:
        self.emit(fake_plane.ICE_CONNECTED)
        self.exchange(self.client.start())
        assert self.client.complete

    def farewell_reaches_the_client(self) -> bool:
        farewell = self.plane.removed[PEER].farewell
        if not farewell:
            return False
        (datagram,) = farewell
        self.client.receive(datagram)
        try:
            self.client.connection.recv(1)
        except SSL.ZeroReturnError:
            return True
        return False


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.driver.stop()


def test_a_handshake_ends_with_the_same_keys_on_both_sides(world: World) -> None:
    states = [world.session.state]
    world.emit(fake_plane.ICE_CONNECTED)
    states.append(world.session.state)
    world.exchange(world.client.start())
    states.append(world.session.state)
    assert states == [State.CONNECTING, State.SECURING, State.CONNECTED]
    keys = world.client.keys()
    assert world.peer.keys == (keys.profile, keys.material)


def test_keys_are_set_once_though_the_last_flight_is_repeated(world: World) -> None:
    world.emit(fake_plane.ICE_CONNECTED)
    first = world.client.start()
    for datagram in first:
        world.emit(fake_plane.DATAGRAM, datagram)
    last = [answer for datagram in world.sent() for answer in world.client.receive(datagram)]
    for datagram in last:
        world.emit(fake_plane.DATAGRAM, datagram)
    world.sent()  # lost: the client has not seen the end of the handshake
    assert world.session.state is State.CONNECTED
    for datagram in last:
        world.emit(fake_plane.DATAGRAM, datagram)  # a second call of set_keys would be an assertion
    assert not world.peer.released


def test_the_flight_is_repeated_when_its_answer_does_not_come(world: World) -> None:
    world.emit(fake_plane.ICE_CONNECTED)
    for datagram in world.client.start():
        world.emit(fake_plane.DATAGRAM, datagram)
    world.sent()
    world.timers.advance(0.3)
    assert not world.sent()
    world.timers.advance(0.2)
    again = world.sent()
    assert again
    world.exchange([answer for datagram in again for answer in world.client.receive(datagram)])
    assert world.client.complete


def test_the_first_media_releases_the_handshake(world: World) -> None:
    world.connect()
    assert not world.peer.released
    world.emit(fake_plane.MEDIA)
    assert world.peer.released
    assert world.timers.pending() == 0
    world.emit(fake_plane.MEDIA)  # a second release would be an assertion


def test_a_silent_peers_handshake_is_released_after_a_minute(world: World) -> None:
    world.connect()
    world.timers.advance(RELEASE_AFTER_S - 1)
    assert not world.peer.released
    world.timers.advance(2)
    assert world.peer.released
    assert world.session.state is State.CONNECTED


@pytest.mark.parametrize("released", [False, True])
def test_the_client_is_told_of_the_end_before_and_after_the_release(world: World, released: bool) -> None:
    world.connect()
    if released:
        world.emit(fake_plane.MEDIA)
    world.session.end(CloseReason.KICKED)
    assert world.ends == [CloseReason.KICKED]
    assert world.session.state is State.CLOSED
    assert world.farewell_reaches_the_client()


def test_a_session_that_is_not_connected_has_no_farewell(world: World) -> None:
    world.session.end(CloseReason.DELETED)
    assert world.plane.removed[PEER].farewell == []


def test_a_session_ends_once(world: World) -> None:
    world.connect()
    world.session.end(CloseReason.KICKED)
    world.session.end(CloseReason.DELETED)
    world.emit(fake_plane.CONSENT_EXPIRED)
    assert world.ends == [CloseReason.KICKED]
    assert world.timers.pending() == 0


def test_the_peers_going_ends_the_session(world: World) -> None:
    world.connect()
    world.emit(fake_plane.CONSENT_EXPIRED)
    assert world.ends == [CloseReason.CONSENT_EXPIRED]


def test_late_consent_alone_ends_nothing(world: World) -> None:
    world.connect()
    world.emit(fake_plane.CONSENT_LATE)
    world.emit(fake_plane.CONSENT_BACK)
    assert world.session.state is State.CONNECTED
    assert not world.ends


def test_the_peers_close_notify_ends_the_session(world: World) -> None:
    world.connect()
    world.client.connection.shutdown()
    for datagram in world.client.output():
        world.emit(fake_plane.DATAGRAM, datagram)
    assert world.ends == [CloseReason.PEER_CLOSED]


@pytest.mark.parametrize("securing", [False, True])
def test_a_setup_that_does_not_finish_ends_after_half_a_minute(world: World, securing: bool) -> None:
    if securing:
        world.emit(fake_plane.ICE_CONNECTED)
        for datagram in world.client.start():
            world.emit(fake_plane.DATAGRAM, datagram)
    world.timers.advance(SETUP_TIMEOUT_S - 1)
    assert world.ends == []
    world.timers.advance(2)
    assert world.ends == [CloseReason.HANDSHAKE_TIMEOUT]
    assert world.timers.pending() == 0


def test_a_certificate_that_the_offer_does_not_vouch_for_ends_the_session() -> None:
    world = World(Identity.generate())
    world.emit(fake_plane.ICE_CONNECTED)
    datagrams = world.client.start()
    while datagrams and not world.ends:
        for datagram in datagrams:
            world.emit(fake_plane.DATAGRAM, datagram)
        datagrams = [answer for datagram in world.sent() for answer in world.client.receive(datagram)]
    assert world.ends == [CloseReason.HANDSHAKE_FAILED]
    assert world.peer.keys is None
    world.driver.stop()


def test_an_ice_restart_changes_credentials_and_entity_tag_and_nothing_else(world: World) -> None:
    world.connect()
    etag, credentials = world.session.etag, world.session.credentials
    world.session.restart_ice(("new ufrag", "new pwd"))
    assert world.session.etag != etag
    assert world.session.credentials != credentials
    assert world.peer.options["ufrag"] == world.session.credentials.ufrag
    assert world.session.state is State.CONNECTED
    assert world.ends == []


def test_garbage_in_datagrams_neither_ends_nor_raises(world: World) -> None:
    world.emit(fake_plane.ICE_CONNECTED)
    for datagram in (b"", b"\x16", b"\x16\xfe\xfd" + bytes(10), bytes(2000), b"\xff" * 64):
        world.emit(fake_plane.DATAGRAM, datagram)
    world.exchange(world.client.start())
    assert world.client.complete
    assert world.ends == []


def test_a_defect_while_handling_an_event_costs_that_session_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> list[bytes]:
        raise RuntimeError("defect")

    monkeypatch.setattr(Handshake, "receive", fail)
    world.emit(fake_plane.DATAGRAM, b"\x16")
    assert world.ends == [CloseReason.INTERNAL_ERROR]
    assert "defect" in caplog.text


def test_events_of_a_removed_peer_are_dropped(world: World) -> None:
    world.plane.emit(fake_plane.CONSENT_EXPIRED, PEER)
    world.plane.emit(fake_plane.MEDIA, PEER)
    world.plane.emit(fake_plane.CONSENT_EXPIRED, PEER + 1)
    world.driver.drain()
    assert world.ends == [CloseReason.CONSENT_EXPIRED]


def test_listeners_stay_on_the_home_worker_until_it_has_clearly_more_peers() -> None:
    driver = Driver(sys.modules[fake_plane.__name__], [[("127.0.0.1", 0)], [("127.0.0.1", 0)]])
    placed = []
    for peer in range(1, 2 * CLEARLY_MORE_PEERS):
        worker = driver.listener_worker(0)
        driver.adopt(peer, worker, lambda *_: None)
        placed.append(worker)
    assert set(placed[: CLEARLY_MORE_PEERS + 1]) == {0}
    assert placed[CLEARLY_MORE_PEERS + 1] == 1
    assert driver.emptiest_worker() == 1
    driver.stop()
