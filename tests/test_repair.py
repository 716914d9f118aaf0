"""Listeners ask for lost packets again: what they get is the packet that was sent, bit for bit, or nothing.

Two different packets under one SRTP index would give away the key stream, so every RTP datagram that a listener ever
receives is kept here by its index, and no index may have two.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import pytest
from aiortc.rtp import RtpPacket

from tests.mixplane import MixPlane, say, tone
from tests.netem import is_rtp
from tests.rawplane import AEAD_AES_128_GCM, AEAD_AES_256_GCM, AES_128_CM_SHA1_80, ROOM, RawPeer, RawPlane, talk

PROFILES = (AES_128_CM_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM)
OTHER_ROOM = 2


@pytest.fixture
def plane() -> Iterator[RawPlane]:
    with RawPlane() as plane:
        yield plane


class Ear:
    """Reads a listener's socket and loses nothing: ciphertexts by SSRC and extended sequence number."""

    def __init__(self, peer: RawPeer) -> None:
        self.peer = peer
        self.wire: dict[tuple[int, int], bytes] = {}
        self.order: list[tuple[int, int]] = []  # of first arrivals
        self.repeats: list[tuple[int, int]] = []
        self._highest: dict[int, int] = {}

    def listen(self, packets: int = 0, *, within_s: float = 2.0) -> None:
        """Takes what has come, and waits until it is so many packets in all."""
        deadline = time.monotonic() + within_s
        while True:
            self.peer.socket.setblocking(False)
            try:
                while True:
                    self._take(self.peer.socket.recv(2048))
            except BlockingIOError:
                pass
            if len(self.order) >= packets:
                return
            assert time.monotonic() < deadline, f"not within {within_s} s; {len(self.order)} packets came"
            time.sleep(0.002)

    def ask(self, keys: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """What of these is sent again, in 100 ms."""
        before = len(self.repeats)
        for ssrc in {ssrc for ssrc, _ in keys}:
            self.peer.ask_again(ssrc, sorted(index % 2**16 for whose, index in keys if whose == ssrc))
        time.sleep(0.1)
        self.listen()
        return self.repeats[before:]

    def _take(self, data: bytes) -> None:
        if not is_rtp(data):
            return
        ssrc, sequence = int.from_bytes(data[8:12], "big"), int.from_bytes(data[2:4], "big")
        highest = self._highest.setdefault(ssrc, sequence)
        index = highest + (sequence - highest + 2**15) % 2**16 - 2**15
        self._highest[ssrc] = max(highest, index)
        key = ssrc, index
        if key in self.wire:
            assert self.wire[key] == data, f"index {index} of {ssrc} has two ciphertexts"
            self.repeats.append(key)
        else:
            self.wire[key] = data
            self.order.append(key)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_lost_packet_of_a_speaker_is_sent_again_bit_for_bit(plane: RawPlane, profile: int) -> None:
    speaker, listener = plane.publisher(1), plane.listener(9, profile=profile, nack=True)
    ear = Ear(listener)
    talk(speaker, [b"frame %d" % i for i in range(20)])
    ear.listen(20)
    wanted = ear.order[5:8] + ear.order[15:16]
    assert ear.ask(wanted) == wanted
    assert plane.counter("packets_nacked") == plane.counter("packets_retransmitted") == 4
    # libsrtp has not seen the originals, so it opens the copies.
    opened = [RtpPacket.parse(listener._in.unprotect(ear.wire[key])) for key in wanted]
    assert [packet.payload for packet in opened] == [b"frame 5", b"frame 6", b"frame 7", b"frame 15"]
    assert [packet.csrc for packet in opened] == [[1]] * 4


def test_who_did_not_negotiate_nack_gets_nothing_again(plane: RawPlane) -> None:
    speaker, listener = plane.publisher(1), plane.listener(9)
    ear = Ear(listener)
    talk(speaker, [b"frame"] * 10)
    ear.listen(10)
    assert ear.ask(ear.order) == []
    assert plane.counter("packets_nacked") == 0


def test_what_is_asked_for_too_often_too_late_or_of_another_is_not_sent(plane: RawPlane) -> None:
    speaker, listener, other = plane.publisher(1), plane.listener(9, nack=True), plane.listener(8, nack=True)
    ear = Ear(listener)
    talk(speaker, [b"frame %d" % i for i in range(80)])
    ear.listen(80)
    ssrc, last = ear.order[-1]
    assert ear.ask([(ssrc, last)]) == [(ssrc, last)]
    assert ear.ask([(ssrc, last)]) == [(ssrc, last)]
    assert ear.ask([(ssrc, last)]) == []  # a third time
    assert ear.ask([(ssrc, last + 1)]) == []  # not sent yet
    assert ear.ask([ear.order[0]]) == []  # 79 packets ago
    other.ask_again(ssrc, [last % 2**16])
    time.sleep(1.1)
    assert ear.ask([ear.order[-2]]) == []  # a second ago
    Ear(other).listen()
    assert plane.counter("packets_retransmitted") == 2


def test_a_client_that_asks_for_everything_gets_a_bounded_number(plane: RawPlane) -> None:
    speaker, listener = plane.publisher(1), plane.listener(9, nack=True)
    ear = Ear(listener)
    begun = time.monotonic()
    for round_number in range(30):
        talk(speaker, [b"%d %d" % (round_number, i) for i in range(30)], every_s=0.0005)
        ear.listen()
        for _ in range(5):
            ssrc, latest = ear.order[-1]
            listener.ask_again(ssrc, sorted((latest - back) % 2**16 for back in range(60)))
    time.sleep(0.1)
    ear.listen()
    assert 20 < len(ear.repeats) <= 32 + 32 * (time.monotonic() - begun) + 1


def test_sequence_numbers_wrap_and_packets_before_and_after_are_sent_again(plane: RawPlane) -> None:
    speaker, listener = plane.publisher(1), plane.listener(9, nack=True)
    ear = Ear(listener)
    sent = 0
    # A stream begins below 2^15, so it wraps after 2^15 to 2^16 packets.
    while (
        not any(index % 2**16 < 20 and index > 2**15 for _, index in ear.order[-60:]) or ear.order[-1][1] % 2**16 < 10
    ):
        for _ in range(10):
            speaker.send(b"%d" % sent)
            sent += 1
        ear.listen(sent)
        assert sent < 70_000
    wanted = [key for key in ear.order[-40:] if key[1] % 2**16 > 65_530 or key[1] % 2**16 < 5]
    assert len(wanted) == 10
    assert ear.ask(wanted[:5]) == wanted[:5]
    assert ear.ask(wanted[5:]) == wanted[5:]


def test_after_an_ice_restart_packets_from_before_it_are_sent_again(plane: RawPlane) -> None:
    speaker = plane.publisher(1)
    number, listener = plane.add_listener(9, nack=True)
    plane.connect(number, listener)
    ear = Ear(listener)
    talk(speaker, [b"frame %d" % i for i in range(10)])
    ear.listen(10)
    before = ear.order[-3:]
    plane.plane.restart_ice(number, "fresh", "another-password-that-is-long")
    listener.close()
    listener.socket = listener.open_socket()
    listener.check(ufrag="fresh", password="another-password-that-is-long")
    assert ear.ask(before) == before
    talk(speaker, [b"later %d" % i for i in range(5)])
    ear.listen(15)
    assert ear.ask(ear.order[-3:]) == ear.order[-3:]


@pytest.mark.parametrize("profile", [AES_128_CM_SHA1_80, AEAD_AES_128_GCM])
def test_no_index_has_two_ciphertexts_whatever_a_listener_of_speakers_goes_through(profile: int) -> None:
    random = Random(5)
    with RawPlane(workers=2) as plane:
        plane.add_room(OTHER_ROOM, 1)
        speakers = [plane.publisher(csrc) for csrc in (1, 2, 3)]
        speakers += [plane.connect(*plane.add_publisher(csrc, room=OTHER_ROOM)) for csrc in (1, 2)]
        number, listener = plane.add_listener(9, slots=2, profile=profile, nack=True)
        plane.connect(number, listener)
        ear = Ear(listener)
        room = ROOM
        for _ in range(400):
            for speaker in random.sample(speakers, 3):
                if random.random() < 0.1:
                    speaker.sequence += random.randrange(1, 4)  # lost on the way to the server
                if random.random() < 0.01:
                    speaker.ssrc = random.getrandbits(32)
                payload = random.randbytes(random.randrange(1, 300))
                speaker.send(payload, level_dbov=random.choice([-20, -40, -80]))
            if random.random() < 0.05:
                room = OTHER_ROOM if room == ROOM else ROOM
                plane.plane.move_peer(number, room, csrc=9)
            if random.random() < 0.1:
                plane.plane.set_sources(number, random.sample([1, 2, 3], random.randrange(3)))
            time.sleep(0.002)
            ear.listen()
            for ssrc in (1000 * number, 1000 * number + 1):
                latest = max((index for whose, index in ear.wire if whose == ssrc), default=0)
                wanted = {(latest - random.randrange(70) + 3) % 2**16 for _ in range(3)}
                listener.ask_again(ssrc, sorted(wanted))
        time.sleep(0.1)
        ear.listen()
        assert len(ear.order) > 200
        assert len(ear.repeats) > 30


@pytest.mark.parametrize("options", [{}, {"music": True, "passthrough": True}], ids=["mixed", "passed on"])
@pytest.mark.parametrize("profile", [AES_128_CM_SHA1_80, AEAD_AES_128_GCM])
def test_no_index_has_two_ciphertexts_whatever_a_listener_of_mixes_goes_through(
    profile: int, options: dict[str, bool]
) -> None:
    random = Random(6)
    with MixPlane(workers=2, **options) as plane:
        plane.add_room(OTHER_ROOM, 1, **options)
        for room in (ROOM, OTHER_ROOM):
            plane.plane.add_row(room, 1, [])
            plane.plane.add_row(room, 2, [(1, 0.0)], 1)
        ann, bob = plane.publisher(1), plane.publisher(2)
        cem = plane.connect(*plane.add_publisher(3, room=OTHER_ROOM))
        member = plane.mix_listener(9, 1, profile=profile, nack=True)
        ear = Ear(member.peer)
        schedule = sorted(
            say(ann, tone(440, 4.0)) + say(bob, tone(1000, 2.0), at_s=1.0),
            key=lambda departure: departure[0],
        )
        asked = 0
        with plane.talk(schedule), plane.talk(say(cem, tone(700, 4.0)), worker=1):
            for step in range(150):
                time.sleep(0.025)
                ear.listen()
                if step % 20 == 7:
                    plane.plane.set_listener_row(member.number, random.choice([1, 2]))
                if step in (60, 100):
                    room = OTHER_ROOM if step == 60 else ROOM
                    plane.plane.move_peer(member.number, room, csrc=9, row=random.choice([1, 2]))
                if not ear.order:
                    continue
                ssrc, latest = ear.order[-1]
                member.peer.ask_again(ssrc, [(latest - random.randrange(25)) % 2**16])
                asked += 1
        time.sleep(0.1)
        ear.listen()
        assert len(ear.order) > 120
        # All but what was asked for too often is sent: changes of row lose no history, and moves none that is in time.
        assert len(ear.repeats) > asked * 0.6
        assert (plane.counter("frames_passed") > 50) is bool(options)
