"""Repair of what a speaker sends, on a real plane: redundant copies are not passed on, lost packets are asked for."""

import struct

import pytest
from aiortc.rtp import RtcpRtpfbPacket

from tests.rawplane import PAYLOAD_TYPE, ROOM, RawPeer, RawPlane

RED = 63


def redundant(*frames: bytes) -> bytes:
    """RFC 2198: the last is the packet's own, each of the others is 20 ms older than the next."""
    copies = frames[:-1]
    headers = b"".join(
        struct.pack("!I", (0x80 | PAYLOAD_TYPE) << 24 | 960 * (len(copies) - place) << 10 | len(copy))
        for place, copy in enumerate(copies)
    )
    return headers + bytes([PAYLOAD_TYPE]) + b"".join(frames)


def questions(peer: RawPeer) -> list[int]:
    """Sequence numbers that the peer was asked for, in the order of the questions."""
    nacks = [report for report in peer.reports if isinstance(report, RtcpRtpfbPacket)]
    assert all((nack.fmt, nack.ssrc, nack.media_ssrc) == (1, 1, peer.ssrc) for nack in nacks)
    return [sequence for nack in nacks for sequence in nack.lost]


@pytest.mark.parametrize("moves", [False, True])
def test_a_listener_of_the_speaker_gets_the_packets_own_frame_alone(moves: bool) -> None:
    with RawPlane(workers=2) as raw:
        number, speaker = raw.add_publisher(7, red_payload_type=RED)
        raw.connect(number, speaker)
        hall = ROOM + 1
        raw.add_room(hall, 1)
        if moves:
            raw.plane.set_column(hall, 7, 1.0)
            raw.plane.move_peer(number, hall, csrc=7)
        other, listener = raw.add_listener(8, room=hall if moves else ROOM)
        raw.connect(other, listener)
        speaker.send_datagram(speaker.seal(redundant(b"own"), payload_type=RED))
        speaker.send_datagram(speaker.seal(redundant(b"older", b"own", b"next"), payload_type=RED))
        speaker.send(b"plain")
        listener.receive_until(lambda: len(listener.received) == 3)
        assert listener.payloads() == [b"own", b"next", b"plain"]
        assert {packet.payload_type for packet in listener.received} == {PAYLOAD_TYPE}
        speaker.send_datagram(speaker.seal(b"\x80 not redundant audio", payload_type=RED))
        speaker.send(b"goes on")
        listener.receive_until(lambda: len(listener.received) == 4)
        assert raw.counter("dropped_malformed") == 1


def test_a_speaker_is_asked_for_what_got_lost_and_his_listeners_get_it() -> None:
    with RawPlane() as raw:
        number, speaker = raw.add_publisher(7, nack=True)
        raw.connect(number, speaker)
        listener = raw.listener(8)
        speaker.send(b"first")
        lost = speaker.seal(b"lost")
        speaker.send(b"last")
        speaker.receive_until(lambda: questions(speaker))
        assert questions(speaker) == [speaker.sent[1].sequence_number]
        speaker.send_datagram(lost)
        listener.receive_until(lambda: len(listener.received) == 3)
        assert listener.payloads() == [b"first", b"last", b"lost"]
        assert raw.stats[number].packets_asked == 1
        assert raw.counter("packets_asked") == 1


def test_a_speaker_who_did_not_offer_it_is_asked_for_nothing() -> None:
    with RawPlane() as raw:
        listener, speaker = raw.listener(8), raw.publisher(7)
        speaker.send(b"first")
        speaker.seal(b"lost")
        speaker.send(b"last")
        listener.receive_until(lambda: len(listener.received) == 2)
        assert raw.counter("packets_asked") == 0
