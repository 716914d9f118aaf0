"""Quality tiers on the wire: a listener whose reports tell of loss gets the mix better protected, in RED if it said
that it can read that, and all who are in one tier get the same encode.

What a change of tier sounds like is measured where time is exact, in native/tests/test_switch.cpp.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtpPacket

from tests.mixplane import MixListener, MixPlane, say, tone
from tests.rawplane import AEAD_AES_128_GCM, AES_128_CM_SHA1_80, PAYLOAD_TYPE, ROOM
from tests.test_repair import Ear

AUDIENCE = 1
RED = 63
LOSSY, VERY_LOSSY = 0.05, 0.25


@pytest.fixture(params=[0, 1], ids=["at home", "on another worker"])
def worker(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def room() -> Iterator[MixPlane]:
    with MixPlane(workers=2) as plane:
        plane.plane.add_row(ROOM, AUDIENCE, [])
        yield plane


def report(listener: MixListener, lost: float) -> None:
    """A receiver report of this loss."""
    info = RtcpReceiverInfo(
        ssrc=1000 * listener.number,
        fraction_lost=int(lost * 256),
        packets_lost=0,
        highest_sequence=0,
        jitter=0,
        lsr=0,
        dlsr=0,
    )
    listener.peer.send_compound(bytes(RtcpRrPacket(ssrc=1, reports=[info])))


def lose(room: MixPlane, lost: float, tier: int, *listeners: MixListener) -> None:
    """They report this loss until it counts, which takes half a second of packets, and are in the tier then."""
    deadline = time.monotonic() + 5
    while waiting := [each for each in listeners if room.stats[each.number].tier != tier]:
        assert time.monotonic() < deadline, f"{len(waiting)} are not in tier {tier}"
        for listener in waiting:
            report(listener, lost)
        time.sleep(0.1)


def assert_continuous(listener: MixListener) -> None:
    """No packet is missing, and time goes on in whole frames: by one, but for ticks that a busy machine missed."""
    packets = listener.packets()[10:]
    assert len(packets) > 60
    steps = [(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(packets)]
    assert all((b.sequence_number - a.sequence_number) % 2**16 == 1 for a, b in itertools.pairwise(packets))
    assert all(step % 960 == 0 and 0 < step < 960 * 50 for step in steps)
    assert sum(step == 960 for step in steps) > 0.8 * len(steps)


@dataclass(frozen=True)
class Block:
    payload_type: int
    offset: int
    data: bytes


def read_red(payload: bytes) -> list[Block]:
    """RFC 2198 section 3; the packet's own frame last."""
    headers, at = [], 0
    while payload[at] & 0x80:
        word = int.from_bytes(payload[at : at + 4], "big")
        headers.append((word >> 24 & 0x7F, word >> 10 & 0x3FFF, word & 0x3FF))
        at += 4
    last, at = payload[at], at + 1
    blocks = []
    for payload_type, offset, size in headers:
        blocks.append(Block(payload_type, offset, payload[at : at + size]))
        at += size
    return [*blocks, Block(last, 0, payload[at:])]


def since(listener: MixListener, payload_type: int) -> list[RtpPacket]:
    """Its packets from the first of this payload type on."""
    packets = listener.packets()
    first = next(i for i, packet in enumerate(packets) if packet.payload_type == payload_type)
    return packets[first:]


def test_loss_brings_red_to_who_can_read_it_and_all_in_a_tier_get_one_encode(room: MixPlane, worker: int) -> None:
    speaker = room.publisher(1)
    reader = room.mix_listener(90, AUDIENCE, worker=worker, red_payload_type=RED)
    other = room.mix_listener(91, AUDIENCE, worker=worker, red_payload_type=RED)
    plain = room.mix_listener(92, AUDIENCE, worker=worker)
    happy = room.mix_listener(93, AUDIENCE, worker=worker, red_payload_type=RED)
    lossy = (reader, other, plain)
    with room.talk(say(speaker, tone(440, 5.0))):
        lose(room, LOSSY, 1, *lossy)
        assert room.counter("listeners_lossy") == 3
        time.sleep(0.2)
        ticks, encoded, packed = room.deltas(1.0, "room_ticks", "frames_encoded", "frames_red")
        assert abs(encoded - 2 * ticks) <= 2, "one encode for those who lose, one for who does not"
        assert abs(packed - ticks) <= 2
        time.sleep(0.2)
    red, redder = since(reader, RED), since(other, RED)
    assert {packet.payload_type for packet in happy.packets()} == {PAYLOAD_TYPE}
    assert {packet.payload_type for packet in plain.packets()} == {PAYLOAD_TYPE}
    # One may have been read a packet further than the other.
    assert {packet.payload for packet in red[-40:-3]} <= {packet.payload for packet in redder}
    own = [packet for packet in red if packet.payload_type == RED]
    for before, packet in itertools.pairwise(own):
        blocks = read_red(packet.payload)
        assert [block.payload_type for block in blocks] == [PAYLOAD_TYPE] * 2
        distance = (packet.timestamp - before.timestamp) % 2**32
        assert (blocks[0].offset, blocks[0].data) == (distance, read_red(before.payload)[-1].data)
    sent_plain = [packet.payload for packet in plain.packets()]
    assert {read_red(packet.payload)[-1].data for packet in own[5:-5]} <= set(sent_plain), (
        "the frames are those of who gets them without RED"
    )
    assert_continuous(reader)
    assert_continuous(plain)


def test_payload_types_inside_are_the_listeners_own(room: MixPlane) -> None:
    speaker = room.publisher(1)
    usual = room.mix_listener(90, AUDIENCE, red_payload_type=RED)
    unusual = room.mix_listener(91, AUDIENCE, red_payload_type=120, payload_type=96)
    with room.talk(say(speaker, tone(440, 2.5))):
        lose(room, VERY_LOSSY, 2, usual, unusual)
        time.sleep(1.2)
    ours = [read_red(packet.payload) for packet in since(usual, RED) if packet.payload_type == RED]
    theirs = [read_red(packet.payload) for packet in since(unusual, 120) if packet.payload_type == 120]
    assert {len(blocks) for blocks in ours[3:]} == {3}
    assert {block.payload_type for blocks in theirs for block in blocks} == {96}
    contents = [tuple((block.offset, block.data) for block in blocks) for blocks in ours[-20:-3]]
    assert set(contents) <= {tuple((block.offset, block.data) for block in blocks) for blocks in theirs}


def test_a_change_of_tier_leaves_no_gap(room: MixPlane, worker: int) -> None:
    speaker = room.publisher(1)
    listener = room.mix_listener(90, AUDIENCE, worker=worker)
    with room.talk(say(speaker, tone(440, 4.0))):
        lose(room, LOSSY, 1, listener)
        time.sleep(1.0)
        lose(room, VERY_LOSSY, 2, listener)
        time.sleep(1.0)
    assert_continuous(listener)


def test_who_is_better_again_goes_back_and_the_tier_is_encoded_no_more(room: MixPlane) -> None:
    speaker = room.publisher(1)
    listener = room.mix_listener(90, AUDIENCE, red_payload_type=RED)
    with room.talk(say(speaker, tone(440, 20.0))):
        lose(room, LOSSY, 1, listener)
        lose(room, 0.0, 0, listener)
        assert room.counter("listeners_lossy") == 0
        time.sleep(12.5)  # for so long the room's home believes that somebody wants the tier
        ticks, encoded = room.deltas(0.6, "room_ticks", "frames_encoded")
        assert abs(encoded - ticks) <= 2
    assert listener.packets()[-1].payload_type == PAYLOAD_TYPE


@pytest.mark.parametrize("profile", [AES_128_CM_SHA1_80, AEAD_AES_128_GCM])
def test_a_packet_of_red_is_sent_again_bit_for_bit_and_over_changes_of_tier(room: MixPlane, profile: int) -> None:
    speaker = room.publisher(1)
    listener = room.mix_listener(90, AUDIENCE, profile=profile, red_payload_type=120, payload_type=96, nack=True)
    ear = Ear(listener.peer)
    asked: list[tuple[int, int]] = []
    with room.talk(say(speaker, tone(440, 4.0))):
        room.until(lambda: room.stats[listener.number].packets_sent > 30)
        for step in range(60):
            if step in (3, 40):
                report(listener, LOSSY if step == 3 else VERY_LOSSY)
            time.sleep(0.04)
            ear.listen()
            asked.append(ear.order[-1 - step % 20])
            listener.peer.ask_again(asked[-1][0], [asked[-1][1] % 2**16])
    ear.listen()
    assert room.stats[listener.number].tier == 2
    types = {ear.wire[key][1] & 0x7F for key in ear.repeats}
    assert types == {96, 120}
    assert len(ear.repeats) > 0.8 * len(set(asked))


def test_packets_that_are_asked_for_again_are_lost_though_the_report_does_not_say_so(room: MixPlane) -> None:
    speaker = room.publisher(1)
    listener = room.mix_listener(90, AUDIENCE, nack=True)
    ear = Ear(listener.peer)
    with room.talk(say(speaker, tone(440, 2.5))):
        room.until(lambda: room.stats[listener.number].packets_sent > 40)
        ear.listen(40)
        ask = [index for _, index in ear.order[-10:]]
        listener.peer.ask_again(ear.order[-1][0], [index % 2**16 for index in ask])
        time.sleep(0.1)
        report(listener, 0.0)
        room.until(lambda: room.stats[listener.number].tier == 2)


def test_a_listener_who_moves_to_another_row_stays_in_its_tier_and_misses_nothing(room: MixPlane, worker: int) -> None:
    room.plane.add_row(ROOM, 2, [], AUDIENCE)
    speaker = room.publisher(1)
    listener = room.mix_listener(90, AUDIENCE, worker=worker, red_payload_type=RED)
    with room.talk(say(speaker, tone(440, 3.5))):
        lose(room, LOSSY, 1, listener)
        time.sleep(0.5)
        room.plane.add_row(ROOM, 3, [(7, 0.5)], AUDIENCE)
        room.plane.set_listener_row(listener.number, 3)
        time.sleep(0.5)
        moved = since(listener, RED)
        room.plane.configure_room(ROOM, **{**room._options, "bitrate": 64_000})
        time.sleep(1.0)
    assert sum(packet.payload_type == RED for packet in moved) > 0.9 * len(moved)
    steps = [(b.timestamp - a.timestamp) % 2**32 for a, b in itertools.pairwise(moved)]
    assert max(steps) < 10 * 960, "it would have to wait for half a second if its wish had been forgotten"
    assert listener.packets()[-1].payload_type == RED
