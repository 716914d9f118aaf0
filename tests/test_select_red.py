"""Selective forwarding over networks that lose: what a speaker's redundant copies bring back reaches his listeners, and
who loses packets himself gets each with copies of those before it, if he said that he can read that (RFC 2198).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from tests.rawplane import AEAD_AES_128_GCM, AES_128_CM_SHA1_80, PAYLOAD_TYPE, ROOM, RawPeer, RawPlane
from tests.test_repair import Ear
from tests.test_speaker_repair import RED, redundant
from tests.test_tiers import read_red

OTHER_ROOM = 2


@pytest.fixture(params=[0, 1], ids=["at home", "on another worker"])
def worker(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def raw() -> Iterator[RawPlane]:
    with RawPlane(workers=2) as plane:
        yield plane


def frame(number: int) -> bytes:
    """20 ms of narrowband SILK, as far as anybody looks."""
    return b"\x08" + number.to_bytes(4, "big")


class Talker:
    """Packet `number` has frame `number` and the two before it."""

    def __init__(self, raw: RawPlane, csrc: int = 7, *, red: bool = True, room: int = ROOM) -> None:
        self.number, self.peer = raw.add_publisher(csrc, red_payload_type=RED if red else 0, room=room)
        self.red = red
        raw.connect(self.number, self.peer)
        self._next = 0

    def seal(self) -> bytes:
        number = self._next
        self._next += 1
        if not self.red:
            return self.peer.seal(frame(number))
        return self.peer.seal(redundant(*map(frame, range(max(0, number - 2), number + 1))), payload_type=RED)

    def say(self, packets: int = 1, *, lost: Callable[[int], bool] = lambda _: False, every_s: float = 0.0) -> None:
        for _ in range(packets):
            is_lost = lost(self._next)
            datagram = self.seal()
            if not is_lost:
                self.peer.send_datagram(datagram)
            time.sleep(every_s)


def report(raw: RawPlane, number: int, peer: RawPeer, lost: float) -> None:
    """A receiver report of this loss on the first slot."""
    ssrc = 1000 * number
    info = RtcpReceiverInfo(
        ssrc=ssrc, fraction_lost=int(lost * 256), packets_lost=0, highest_sequence=0, jitter=0, lsr=0, dlsr=0
    )
    peer.send_compound(bytes(RtcpRrPacket(ssrc=1, reports=[info])))


def lose(raw: RawPlane, talker: Talker, listener: tuple[int, RawPeer], lost: float, tier: int) -> None:
    """He reports this loss until it counts, while the talker goes on."""
    number, peer = listener
    deadline = time.monotonic() + 8
    while raw.stats[number].tier != tier:
        assert time.monotonic() < deadline, f"not in tier {tier}"
        talker.say(5, every_s=0.01)
        report(raw, number, peer, lost)
    time.sleep(0.1)


def frames_of(packet: RtpPacket, red: int) -> list[bytes]:
    if packet.payload_type != red:
        return [packet.payload]
    return [block.data for block in read_red(packet.payload)]


def hears(listener: RawPeer, number: int, red: int = RED) -> None:
    """Until he has got the packet of this frame."""
    listener.receive_until(lambda: listener.received and frames_of(listener.received[-1], red)[-1] == frame(number))


# What the speaker loses


def test_a_packet_lost_on_the_speakers_way_goes_to_listeners_from_the_copies_behind_it(
    raw: RawPlane, worker: int
) -> None:
    talker = Talker(raw)
    listener = raw.listener(8, worker=worker)
    talker.say(12, lost=lambda number: number in (3, 7, 8))
    listener.receive_until(lambda: len(listener.received) == 12)
    assert listener.payloads() == [frame(number) for number in range(12)]
    assert {packet.payload_type for packet in listener.received} == {PAYLOAD_TYPE}
    for before, after in itertools.pairwise(listener.received):
        assert (after.sequence_number - before.sequence_number) % 2**16 == 1
        assert (after.timestamp - before.timestamp) % 2**32 == 960
    assert raw.counter("packets_filled") == 3


def test_a_packet_that_comes_after_its_copy_is_not_sent_under_the_same_index(raw: RawPlane) -> None:
    talker = Talker(raw)
    listener = raw.listener(8, nack=True)
    ear = Ear(listener)
    talker.say(3)
    late = talker.seal()
    talker.say(3)
    ear.listen(7)
    talker.peer.send_datagram(late)
    talker.say(3)
    ear.listen(10)
    assert ear.repeats == []
    assert ear.ask(ear.order[-8:]) == ear.order[-8:]
    assert raw.counter("packets_filled") == 1


def test_what_was_said_while_he_was_muted_is_in_no_copy(raw: RawPlane) -> None:
    talker = Talker(raw)
    listener = raw.listener(8)
    talker.say(3)
    listener.receive_until(lambda: len(listener.received) == 3)
    raw.plane.set_column(ROOM, 7, 0.0)
    time.sleep(0.1)
    talker.say(4, lost=lambda number: number in (5, 6))
    time.sleep(0.1)
    raw.plane.set_column(ROOM, 7, 1.0)
    time.sleep(0.1)
    talker.say(3)
    listener.receive_until(lambda: len(listener.received) == 6)
    assert listener.payloads() == [frame(number) for number in (0, 1, 2, 7, 8, 9)]
    assert raw.counter("packets_filled") == 0


def test_copies_that_do_not_fit_the_packets_fill_nothing(raw: RawPlane) -> None:
    """A copy 20 ms old of 60 ms: nobody knows which packet that was."""
    talker = Talker(raw)
    listener = raw.listener(8)
    talker.say(3)
    talker.seal()
    talker.peer.send_datagram(talker.peer.seal(redundant(b"\x18long", frame(4)), payload_type=RED))
    listener.receive_until(lambda: len(listener.received) == 4)
    assert listener.payloads()[-1] == frame(4)
    assert raw.counter("packets_filled") == 0


# What the listener loses


@pytest.mark.parametrize("has_red", [True, False], ids=["RED speaker", "plain speaker"])
def test_who_loses_packets_gets_each_with_those_before_it_and_others_do_not(
    raw: RawPlane, worker: int, has_red: bool
) -> None:
    talker = Talker(raw, red=has_red)
    number, lossy = raw.add_listener(8, worker=worker, red_payload_type=120, payload_type=96)
    raw.connect(number, lossy)
    clean = raw.connect(*raw.add_listener(9, worker=worker, red_payload_type=120, payload_type=96))
    cannot = raw.listener(10, worker=worker)
    lose(raw, talker, (number, lossy), 0.05, 1)
    hears(lossy, talker._next - 1, 120)
    lossy.received.clear()
    talker.say(20, every_s=0.002)
    lossy.receive_until(lambda: len(lossy.received) == 20)
    for packet in lossy.received[3:]:
        assert packet.payload_type == 120
        blocks = read_red(packet.payload)
        assert [block.payload_type for block in blocks] == [96, 96]
        assert [block.offset for block in blocks] == [960, 0]
    own = [read_red(packet.payload)[-1].data for packet in lossy.received if packet.payload_type == 120]
    assert own == [frame(talker._next - len(own) + i) for i in range(len(own))]
    lossy.received.clear()
    lose(raw, talker, (number, lossy), 0.25, 2)
    hears(lossy, talker._next - 1, 120)
    talker.say(10, every_s=0.002)
    last = frame(talker._next - 1)
    hears(lossy, talker._next - 1, 120)
    assert frames_of(lossy.received[-1], 120) == [frame(talker._next - back) for back in (3, 2, 1)]
    for before, after in itertools.pairwise(lossy.received):
        assert (after.sequence_number - before.sequence_number) % 2**16 == 1
    for other, payload_type in ((clean, 96), (cannot, PAYLOAD_TYPE)):
        other.receive_until(lambda other=other: other.payloads()[-1:] == [last])  # type: ignore[misc]
        assert {packet.payload_type for packet in other.received} == {payload_type}
        assert other.payloads() == [frame(i) for i in range(talker._next)]


def test_a_frame_lost_by_the_speaker_is_in_the_next_packets_copies_too(raw: RawPlane) -> None:
    talker = Talker(raw)
    number, listener = raw.add_listener(8, red_payload_type=RED)
    raw.connect(number, listener)
    lose(raw, talker, (number, listener), 0.25, 2)
    talker.say(5)
    lost = talker._next
    talker.say(3, lost=lambda each: each == lost)
    hears(listener, lost + 2)
    behind = next(packet for packet in listener.received if frames_of(packet, RED)[-1] == frame(lost + 1))
    assert frames_of(behind, RED) == [frame(lost - 1), frame(lost), frame(lost + 1)]


def test_copies_stop_when_nothing_is_lost_any_more(raw: RawPlane) -> None:
    talker = Talker(raw)
    number, listener = raw.add_listener(8, red_payload_type=RED)
    raw.connect(number, listener)
    lose(raw, talker, (number, listener), 0.05, 1)
    assert raw.counter("listeners_lossy") == 1
    lose(raw, talker, (number, listener), 0.0, 0)
    assert raw.counter("listeners_lossy") == 0
    talker.say(3)
    hears(listener, talker._next - 1)
    packed = raw.counter("packets_red")
    talker.say(10)
    hears(listener, talker._next - 1)
    assert raw.counter("packets_red") == packed


def test_in_an_encrypted_room_nothing_is_made_of_payloads(raw: RawPlane) -> None:
    raw.add_room(OTHER_ROOM, 0, e2ee=True)
    number, listener = raw.add_listener(8, red_payload_type=RED)
    raw.connect(number, listener)
    lose(raw, Talker(raw), (number, listener), 0.25, 2)
    raw.plane.move_peer(number, OTHER_ROOM, csrc=8)
    listener.received.clear()
    talker = Talker(raw, csrc=5, red=False, room=OTHER_ROOM)
    talker.say(10)
    listener.receive_until(lambda: listener.payloads()[-10:] == [frame(each) for each in range(10)])
    assert {packet.payload_type for packet in listener.received[-10:]} == {PAYLOAD_TYPE}


@pytest.mark.parametrize("profile", [AES_128_CM_SHA1_80, AEAD_AES_128_GCM])
def test_no_index_has_two_ciphertexts_whatever_is_lost_late_repeated_or_packed(profile: int) -> None:
    random = Random(8)
    with RawPlane(workers=2) as plane:
        plane.add_room(OTHER_ROOM, 1)
        talkers = [Talker(plane, csrc, red=csrc != 3) for csrc in (1, 2, 3)] + [Talker(plane, 1, room=OTHER_ROOM)]
        number, listener = plane.add_listener(9, slots=2, profile=profile, red_payload_type=RED, nack=True)
        plane.connect(number, listener)
        ear = Ear(listener)
        late: list[tuple[RawPeer, bytes]] = []
        room = ROOM
        for step in range(500):
            for talker in random.sample(talkers, 3):
                datagram = talker.seal()
                fate = random.random()
                if fate > 0.2:
                    talker.peer.send_datagram(datagram)
                elif fate > 0.1:
                    late.append((talker.peer, datagram))
            if late and random.random() < 0.3:
                peer, datagram = late.pop(random.randrange(len(late)))
                peer.send_datagram(datagram)
            if random.random() < 0.03:
                room = OTHER_ROOM if room == ROOM else ROOM
                plane.plane.move_peer(number, room, csrc=9)
            if random.random() < 0.05:
                plane.plane.set_column(ROOM, random.choice([1, 2, 3]), random.choice([0.0, 1.0]))
            if step % 60 == 30:
                report(plane, number, listener, random.choice([0.0, 0.05, 0.25]))
            time.sleep(0.02 if step % 10 == 0 else 0.002)
            ear.listen()
            for ssrc in (1000 * number, 1000 * number + 1):
                latest = max((index for whose, index in ear.wire if whose == ssrc), default=0)
                listener.ask_again(ssrc, sorted({(latest - random.randrange(70) + 3) % 2**16 for _ in range(3)}))
        time.sleep(0.1)
        ear.listen()
        assert {data[1] & 0x7F for data in ear.wire.values()} == {PAYLOAD_TYPE, RED}
        assert {ear.wire[key][1] & 0x7F for key in ear.repeats} == {PAYLOAD_TYPE, RED}
        assert plane.counter("packets_filled") > 20
