"""The packet plane by peers that share no code with it and leave DTLS out: what is on the wire, packet by packet."""

import struct
import time
from itertools import pairwise

import pytest
from aioice.stun import Class
from aiortc.rtp import RtcpByePacket, RtcpRrPacket, RtcpSrPacket

from mediaserver import _native
from tests.rawplane import (
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AES_128_CM_SHA1_80,
    FRAME,
    ROOM,
    RawPeer,
    RawPlane,
    talk,
)

PROFILES = {
    "AES128_CM_SHA1_80": AES_128_CM_SHA1_80,
    "AEAD_AES_128_GCM": AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": AEAD_AES_256_GCM,
}
UNIX_TO_NTP_S = 2_208_988_800


def numbered(count: int) -> list[bytes]:
    return [i.to_bytes(4, "big") + bytes(60) for i in range(count)]


def assert_continuous(listener: RawPeer) -> None:
    """Every packet came in its order, under one SSRC, at distances of a frame or, where the stream paused, more."""
    packets = listener.received
    assert len({packet.ssrc for packet in packets}) == 1
    for before, after in pairwise(packets):
        assert (after.sequence_number - before.sequence_number) % 2**16 == 1
        assert FRAME <= (after.timestamp - before.timestamp) % 2**32 < 2**31


# What is forwarded


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_is_forwarded_to_every_profile(profile: int) -> None:
    payloads = [bytes([size % 256]) * size for size in (1, 2, 3, 15, 16, 17, 120, 1100)]
    with RawPlane() as raw:
        listeners = [raw.listener(10 + other, profile=other) for other in PROFILES.values()]
        speaker = raw.publisher(7, profile=profile)
        for payload in payloads:
            speaker.send(payload)
        for listener in listeners:
            listener.receive_until(lambda listener=listener: len(listener.received) == len(payloads))  # type: ignore[misc]
            assert listener.payloads() == payloads
            assert_continuous(listener)
            assert listener.undecryptable == 0


def test_streams_go_on_over_the_wrap_of_sequence_numbers_on_both_sides() -> None:
    with RawPlane(workers=2) as raw:
        listeners = [raw.listener(8, worker=0), raw.listener(9, worker=1)]
        speaker = raw.publisher(7)
        batch = 256
        # Both sides begin below 2^15, so that so many packets lead over the wrap of either.
        for sent in range(batch, 2**16 + 1, batch):
            for payload in numbered(batch):
                speaker.send(payload)
            for listener in listeners:
                listener.receive_until(lambda listener=listener, sent=sent: len(listener.received) == sent)  # type: ignore[misc]
        for stream in (speaker.sent, *(listener.received for listener in listeners)):
            assert [before.sequence_number > after.sequence_number for before, after in pairwise(stream)].count(
                True
            ) == 1
        for listener in listeners:
            assert_continuous(listener)
            assert listener.undecryptable == 0


def test_what_a_listener_offered_is_in_each_packet() -> None:
    with RawPlane() as raw:
        listener, speaker = raw.listener(8, slots=2), raw.publisher(7)
        for level in (-20, -127, 0):
            speaker.send(b"speech", level_dbov=level)
        listener.receive_until(lambda: len(listener.received) == 3)
        assert {packet.payload_type for packet in listener.received} == {111}
        assert [packet.csrc for packet in listener.received] == [[7]] * 3
        assert [packet.extensions.mid for packet in listener.received] == ["0"] * 3
        assert [packet.extensions.audio_level for packet in listener.received] == [(True, 20), (True, 127), (True, 0)]
        assert [packet.marker for packet in listener.received] == [1, 0, 0], "the first of a talkspurt is marked"


def test_only_the_negotiated_stream_is_forwarded() -> None:
    with RawPlane() as raw:
        listener, speaker = raw.listener(8), raw.publisher(7)
        speaker.send(b"first")
        speaker.send_datagram(speaker.seal(b"another codec", payload_type=0))
        stream, speaker.ssrc = speaker.ssrc, 0x600D
        speaker.send(b"another stream beside it")
        speaker.ssrc = stream
        speaker.send(b"")
        speaker.send(b"last")
        listener.receive_until(lambda: b"last" in listener.payloads())
        assert listener.payloads() == [b"first", b"last"]
        assert raw.counter("dropped_malformed") == 3
        # Once the first has fallen silent, another SSRC is another microphone, and the listener's stream goes on.
        speaker.ssrc = 0x600D
        for attempt in range(100):
            time.sleep(0.01)
            speaker.send(bytes([attempt]))
            if raw.counter("packets_forwarded") > 2:
                break
        listener.receive_until(lambda: len(listener.received) > 2)
        first, last, new = (packet.sequence_number for packet in listener.received)
        assert (last - first) % 2**16 == 4, "what is refused leaves a gap, as what is lost does"
        assert (new - last) % 2**16 == 1
        assert len({packet.ssrc for packet in listener.received}) == 1


def test_without_keys_nothing_is_forwarded_either_way() -> None:
    with RawPlane() as raw:
        number, listener = raw.add_listener(8)
        listener.check()
        other, speaker = raw.add_publisher(7)
        speaker.check()
        speaker.send(b"too early")
        raw.until(lambda: raw.counter("dropped_early") == 1)
        raw.connect(other, speaker)
        speaker.send(b"to nobody")
        raw.until(lambda: raw.counter("rtp_received") == 1)
        raw.connect(number, listener)
        speaker.send(b"to the listener")
        listener.receive_until(lambda: listener.received)
        assert listener.payloads() == [b"to the listener"]


def test_listeners_of_both_workers_follow_the_speaker_who_is_louder() -> None:
    with RawPlane(workers=2) as raw:
        listeners = [raw.listener(20 + i, worker=i % 2) for i in range(4)]
        ann, bob = raw.publisher(7), raw.publisher(8)
        for payload in numbered(30):
            ann.send(b"ann" + payload, level_dbov=-40)
            bob.send(b"bob" + payload, level_dbov=-70)
        raw.until(lambda: raw.counter("rtp_received") == 60)
        bob_begun = time.monotonic()
        # Louder by far, but who speaks keeps the slot for a second at least.
        while not all(listener.received and listener.received[-1].csrc == [8] for listener in listeners):
            assert time.monotonic() < bob_begun + 10
            ann.send(b"ann", level_dbov=-40)
            bob.send(b"bob", level_dbov=-15)
            time.sleep(0.02)
            for listener in listeners:
                held = len(listener.received)
                listener.receive_until(lambda listener=listener, held=held: len(listener.received) > held)  # type: ignore[misc]
        for listener in listeners:
            order = [packet.csrc[0] for packet in listener.received]
            assert order == sorted(order), "one change, and none back"
            assert {packet.payload[:3] for packet in listener.received if packet.csrc == [8]} == {b"bob"}
            assert_continuous(listener)


def test_a_newer_publisher_of_a_user_takes_over_with_its_first_packet() -> None:
    with RawPlane() as raw:
        listener, older = raw.listener(8), raw.publisher(7)
        older.send(b"older 1")
        newer = raw.publisher(7)
        older.send(b"older 2")
        newer.send(b"newer 1")
        older.send(b"older 3")
        newer.send(b"newer 2")
        listener.receive_until(lambda: b"newer 2" in listener.payloads())
        assert listener.payloads() == [b"older 1", b"older 2", b"newer 1", b"newer 2"]
        assert_continuous(listener)
        assert raw.counter("dropped_muted") == 1


def test_a_removed_peer_is_told_and_gets_nothing_more() -> None:
    with RawPlane() as raw:
        number, listener = raw.add_listener(8)
        raw.connect(number, listener)
        other, speaker = raw.add_publisher(7)
        raw.connect(other, speaker)
        speaker.send(b"speech")
        listener.receive_until(lambda: listener.received)
        farewell = b"\x15\xfe\xfd" + bytes(20)
        raw.plane.remove_peer(number, [farewell])
        listener.receive_until(lambda: listener.others)
        assert listener.others == [farewell]
        (goodbye,) = (packet for packet in listener.reports if isinstance(packet, RtcpByePacket))
        assert goodbye.sources == [listener.received[0].ssrc]
        speaker.send(b"to nobody")
        raw.until(lambda: raw.counter("rtp_received") == 2)
        assert raw.counter("packets_forwarded") == 1
        assert raw.counter("peers") == 1
        raw.plane.remove_peer(other, [farewell])
        speaker.receive_until(lambda: speaker.others)
        assert any(isinstance(packet, RtcpByePacket) for packet in speaker.reports)


# Reports


def test_sender_reports_count_and_keep_time_over_a_change_of_speaker() -> None:
    with RawPlane() as raw:
        listener, ann = raw.listener(8), raw.publisher(7)

        def reports() -> list[RtcpSrPacket]:
            return [packet for packet in listener.reports if isinstance(packet, RtcpSrPacket)]

        speaker, count = ann, 0
        begun, origin = time.monotonic(), speaker.timestamp
        while len(reports()) < 2:
            assert time.monotonic() < begun + 20
            # Its media time is the clock's, however late this machine lets it send.
            speaker.timestamp = (origin + round((time.monotonic() - begun) * 48_000)) % 2**32
            speaker.send(bytes(60))
            count += 1
            listener.receive_until(lambda: len(listener.received) == count)  # noqa: B023
            time.sleep(0.02)
            if reports() and speaker is ann:
                speaker = raw.publisher(7)  # with a timestamp and sequence numbers of its own
                origin = speaker.timestamp
        first, second = (report.sender_info for report in reports()[:2])
        elapsed_s = (second.ntp_timestamp - first.ntp_timestamp) / 2**32
        assert (second.rtp_timestamp - first.rtp_timestamp) % 2**32 == pytest.approx(48_000 * elapsed_s, rel=0.05)
        assert second.ntp_timestamp / 2**32 - UNIX_TO_NTP_S == pytest.approx(time.time(), abs=5)
        for info in (first, second):
            assert 0 < info.packet_count <= count
            assert info.octet_count == 60 * info.packet_count
        assert first.packet_count < second.packet_count
        assert_continuous(listener)


def test_a_publisher_is_told_what_it_lost_and_when_its_report_came() -> None:
    with RawPlane() as raw:
        number, speaker = raw.add_publisher(7)
        raw.connect(number, speaker)
        talk(speaker, numbered(50))
        for _ in range(10):
            speaker.seal(b"lost on the way")
        talk(speaker, numbered(40))
        ntp = (UNIX_TO_NTP_S + 1_000_000_000 << 32) + 0x12345678
        speaker.send_compound(struct.pack("!BBHIQIII", 0x80, 200, 6, speaker.ssrc, ntp, speaker.timestamp, 90, 90 * 64))
        speaker.receive_until(lambda: any(report.lsr for report in blocks(speaker)), within_s=4)
        block = blocks(speaker)[-1]
        assert (block.ssrc, block.packets_lost) == (speaker.ssrc, 10)
        assert block.highest_sequence % 2**16 == (speaker.sequence - 1) % 2**16
        assert block.lsr == ntp >> 16 & 0xFFFFFFFF
        assert 0 <= block.dlsr / 65536 < 2
        stats = raw.stats[number]
        assert (stats.packets_lost, stats.packets_received, stats.ssrc) == (10, 90, speaker.ssrc)
        assert max(report.fraction_lost for report in blocks(speaker)) / 256 == pytest.approx(0.1, abs=0.02)
        assert stats.round_trip_ms is None

        # The receiver reference time of our report, answered as RFC 3611 section 4.5 says, gives the round trip.
        speaker.receive_until(lambda: reference_times(speaker))
        us, middle = reference_times(speaker)[-1]
        delay_s = 0.25  # pretended: the answer comes sooner, so the round trip must not become negative
        dlrr = struct.pack("!BBHIBBHIII", 0x80, 207, 5, speaker.ssrc, 5, 0, 3, us, middle, round(delay_s * 65536))
        speaker.send_compound(dlrr)
        us, middle = reference_times(speaker)[-1]
        speaker.send_compound(struct.pack("!BBHIBBHIII", 0x80, 207, 5, speaker.ssrc, 5, 0, 3, us, middle, 0))
        raw.until(lambda: stats.round_trip_ms is not None)
        assert stats.round_trip_ms is not None
        assert 0 <= stats.round_trip_ms < 2000


def blocks(speaker: RawPeer) -> list:  # type: ignore[type-arg]
    return [report for packet in speaker.reports if isinstance(packet, RtcpRrPacket) for report in packet.reports]


def reference_times(speaker: RawPeer) -> list[tuple[int, int]]:
    """(SSRC of the sender, middle 32 bits of its clock) of each RFC 3611 receiver reference time."""
    times = []
    for compound in speaker.compounds:
        at = 0
        while at < len(compound):
            _, kind, words = struct.unpack_from("!BBH", compound, at)
            if kind == 207:
                ssrc, block, ntp = struct.unpack_from("!IIQ", compound, at + 4)
                assert block == 0x04000002
                times.append((ssrc, ntp >> 16 & 0xFFFFFFFF))
            at += 4 * (words + 1)
    return times


# ICE


def test_a_check_is_answered_with_the_address_it_came_from() -> None:
    with RawPlane() as raw:
        _, peer = raw.add_publisher(7)
        answer = peer.check()
        assert answer.message_class is Class.RESPONSE
        assert answer.attributes["XOR-MAPPED-ADDRESS"] == peer.socket.getsockname()
        assert "FINGERPRINT" in answer.attributes
        refused = peer.check(password="another")
        assert refused.message_class is Class.ERROR
        assert refused.attributes["ERROR-CODE"][0] == 401


def test_after_an_ice_restart_the_old_credentials_hold_until_the_new_are_used() -> None:
    with RawPlane() as raw:
        listener = raw.listener(8)
        number, speaker = raw.add_publisher(7)
        raw.connect(number, speaker)
        old = speaker.ufrag, speaker.password

        unused, new = ("first", "1" * 24), ("second", "2" * 24)
        raw.plane.restart_ice(number, *unused)
        raw.plane.restart_ice(number, *new)
        raw.until(lambda: speaker.check().message_class is Class.RESPONSE)
        speaker.send(b"over the old pair")
        listener.receive_until(lambda: b"over the old pair" in listener.payloads())

        speaker.socket.close()
        speaker.socket = speaker.open_socket()
        speaker.ufrag, speaker.password = new
        assert speaker.check().message_class is Class.RESPONSE
        speaker.send(b"over the new pair")
        listener.receive_until(lambda: b"over the new pair" in listener.payloads())
        assert_continuous(listener)
        told = [kind for kind in raw.events(number) if kind != _native.VOICE]
        assert told == [_native.ICE_CONNECTED, _native.MEDIA]

        unauthentic = raw.counter("dropped_unauthentic")
        for ufrag, password in [old, unused]:
            speaker.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                speaker.check(ufrag=ufrag, password=password)
        assert raw.counter("dropped_unauthentic") == unauthentic + 2


def test_who_says_goodbye_and_asks_no_more_loses_consent_soon() -> None:
    with RawPlane() as raw:
        leaver, speaker = raw.add_publisher(7)
        raw.connect(leaver, speaker)
        stayer, other = raw.add_publisher(9)
        raw.connect(stayer, other)
        begun = time.monotonic()
        for peer in (speaker, other):
            peer.send(b"speech")
            peer.send_compound(struct.pack("!BBHIBBHI", 0x80, 201, 1, peer.ssrc, 0x81, 203, 1, peer.ssrc))
        raw.until(lambda: raw.counter("rtcp_received") == 2)
        other.check()  # as a browser does that has only stopped its stream
        raw.until(lambda: _native.CONSENT_EXPIRED in raw.events(leaver), within_s=12)
        assert time.monotonic() - begun > 7
        assert _native.CONSENT_EXPIRED not in raw.events(stayer)


def test_late_consent_is_told_once_and_its_return_too() -> None:
    with RawPlane() as plane:
        number, peer = plane.add_publisher(1)
        stranger, unconnected = plane.add_publisher(2)
        unconnected.check()
        plane.connect(number, peer)
        time.sleep(6)
        assert _native.CONSENT_LATE not in plane.events(number)
        plane.until(lambda: _native.CONSENT_LATE in plane.events(number), within_s=3)
        time.sleep(2)
        peer.send(bytes(10))  # media is no consent
        assert _native.CONSENT_BACK not in plane.events(number)
        peer.check()
        plane.until(lambda: _native.CONSENT_BACK in plane.events(number))
        peer.check()
        time.sleep(0.1)
        events = plane.events(number)
        assert (events.count(_native.CONSENT_LATE), events.count(_native.CONSENT_BACK)) == (1, 1)
        assert _native.CONSENT_EXPIRED not in events
        assert _native.CONSENT_LATE not in plane.events(stranger)


def test_ipv6_and_ipv4_are_served_under_one_port() -> None:
    with RawPlane(hosts=["127.0.0.1", "::1"]) as raw:
        assert raw.address(host=0)[1] == raw.address(host=1)[1]
        four, six = raw.add_listener(8), raw.add_listener(9, host=1)
        listeners = [raw.connect(*four), raw.connect(*six)]
        speaker = raw.publisher(7)
        for payload in numbered(10):
            speaker.send(payload)
        for listener in listeners:
            listener.receive_until(lambda listener=listener: len(listener.received) == 10)  # type: ignore[misc]
            assert_continuous(listener)
        assert raw.stats[six[0]].address == f"[::1]:{six[1].socket.getsockname()[1]}"


def test_a_room_can_be_closed_while_it_talks() -> None:
    with RawPlane(workers=2) as raw:
        raw.listener(8, worker=1)
        speaker = raw.publisher(7)
        talk(speaker, numbered(20))
        raw.until(lambda: raw.counter("packets_forwarded") == 20)
        for peer in (1, 2):
            raw.plane.remove_peer(peer, [])
        raw.plane.remove_room(ROOM)
        talk(speaker, numbered(20))
        raw.until(lambda: raw.counter("dropped_stranger") == 20)
        assert (raw.counter("peers"), raw.counter("rooms")) == (0, 0)
