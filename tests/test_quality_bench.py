"""The quality benchmark's own parts: what it measures with must be right before what it measures can be."""

from __future__ import annotations

import itertools
import random
import struct
import time

import numpy as np
import pytest
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpPacket, RtcpRrPacket, RtcpRtpfbPacket, RtcpSrPacket

from bench import cases, codec, corpus, ear, judge, repair
from bench.call import OPUS, RED, Peer, Wants, open_rtp, read_answer, write_offer
from bench.codec import FRAME, RATE, Coding
from bench.emulation import BURST_PACKETS, Emulation, Network
from bench.processes import Server
from bench.wire import Hearer, Loop, Talker, level_dbov
from mediaserver import sdp
from mediaserver.dtls import Certificate

SENTENCES = [corpus.SENTENCES[number] for number in (0, 5, 9)]
VOICE = Coding(bitrate=32_000)
PROTECTED = Coding(bitrate=32_000, expected_loss=20)

Packets = list[tuple[float, bytes]]


def rtp(payload: bytes, number: int, *, payload_type: int = OPUS, frame: int | None = None) -> bytes:
    """Packet `number` of a stream, with this frame of it. Both numbers wrap around soon."""
    frame = number if frame is None else frame
    sequence, timestamp = 65_500 + number & 0xFFFF, 2**32 - 40_000 + frame * FRAME & 0xFFFFFFFF
    return struct.pack("!BBHII", 0x80, payload_type, sequence, timestamp, 7) + payload


def stream(payloads: list[bytes], network: Network, seed: str, *, begin: float = 1000.0) -> Packets:
    emulation = Emulation(network, seed)
    sent = ((begin + number * 0.02, rtp(payload, number)) for number, payload in enumerate(payloads))
    return [(arrival, packet) for at, packet in sent if (arrival := emulation.arrival(at)) is not None]


def pesq_lost(network: Network, coding: Coding = VOICE, *, fec: bool = False) -> float:
    """The mean over sentences."""
    losses = []
    for name in SENTENCES:
        said = corpus.sentence(name)
        frames = codec.encode(said, coding)
        heard = ear.hear(stream(frames, network, name), fec=fec)
        assert heard is not None
        offset = round((heard.begin - 1000.0 - heard.delay_s - network.path_ms / 1000) * RATE)
        sound = np.pad(heard.pcm, (offset, len(said)))[: len(said)]
        losses.append(judge.pesq(said, codec.decode(frames)[: len(said)]) - judge.pesq(said, sound))
    return float(np.mean(losses))


# PESQ


def test_pesq_of_a_signal_with_itself_is_the_best_there_is() -> None:
    said = corpus.sentence(SENTENCES[0])
    assert judge.pesq(said, said) > 4.5


def test_pesq_of_one_generation_of_opus_is_above_4_and_of_two_lower() -> None:
    said = corpus.sentence(SENTENCES[0])
    once, twice = codec.chain(said, VOICE), codec.chain(said, VOICE, cases.mix_coding("speech"))
    assert 4.2 < judge.pesq(said, once) < 4.5
    assert 3.9 < judge.pesq(said, twice) < judge.pesq(said, once) - 0.1


def test_pesq_of_silence_is_the_worst() -> None:
    said = corpus.sentence(SENTENCES[0])
    assert judge.pesq(said, np.zeros_like(said)) < 1.2


def test_a_network_without_faults_loses_no_pesq() -> None:
    assert pesq_lost(Network(path_ms=30.0)) == 0


def test_known_losses_cost_known_pesq() -> None:
    """Without repair; the bounds are those of 200 seeds, 99 % of them."""
    one, ten, thirty = (pesq_lost(Network(loss=loss)) for loss in (0.01, 0.1, 0.3))
    assert 0.0 <= one < 0.8
    assert 1.0 < ten < 2.8
    assert 2.4 < thirty < 3.4


def test_in_band_fec_brings_back_a_part_of_what_is_lost() -> None:
    assert pesq_lost(Network(loss=0.1), PROTECTED, fec=True) < pesq_lost(Network(loss=0.1), PROTECTED) - 0.5


# Delay


@pytest.mark.parametrize("delay_ms", [0.0, 12.3125, 29.0, 150.0, 499.9375])
def test_a_delay_is_measured_to_the_sample(delay_ms: float) -> None:
    said = corpus.resample(corpus.sentence(SENTENCES[0]), RATE, corpus.NATIVE_RATE)
    heard = np.pad(said, (round(delay_ms * corpus.NATIVE_RATE / 1000), 0))
    found = judge.delays(said, heard)
    assert len(found.delay_s) > 4
    assert found.delay_s * 1000 == pytest.approx(delay_ms, abs=1e-6)
    assert judge.overall_delay_s(said, heard) * 1000 == pytest.approx(delay_ms, abs=1e-6)


def test_a_delay_behind_a_second_coder_is_measured_to_a_millisecond() -> None:
    said = corpus.sentence(SENTENCES[1])
    coded = codec.chain(said, VOICE, cases.mix_coding("speech"))
    shifted = codec.chain(np.pad(codec.chain(said, VOICE), (1440 + 317, 0)), cases.mix_coding("speech"))
    narrow = [corpus.resample(pcm, RATE, corpus.NATIVE_RATE) for pcm in (coded, shifted)]
    found = judge.delays(*narrow)
    assert float(np.median(found.delay_s)) * 1000 == pytest.approx((1440 + 317) / 48, abs=1)


def test_playing_starts_when_the_packets_came_and_the_delay_chosen_is_over() -> None:
    frames = codec.encode(corpus.sentence(SENTENCES[0]), VOICE)
    heard = ear.hear(stream(frames, Network(jitter_ms=60.0, path_ms=20.0), "jitter"))
    assert heard is not None
    assert heard.concealed == 0
    assert 0.05 < heard.delay_s <= 0.06
    assert heard.begin == pytest.approx(1000.0 + 0.02 + heard.delay_s, abs=0.005)
    assert np.array_equal(heard.pcm, codec.decode(frames))


def test_recovery_is_counted_from_the_end_of_the_burst() -> None:
    at = np.arange(0, 20, 0.1)
    delay = np.where((at > 5.5) & (at < 9.95), 0.3, 0.04)
    assert judge.recovery_s(judge.Delays(at, delay), 5.0, 7.0) == pytest.approx(3.0, abs=0.11)
    assert judge.recovery_s(judge.Delays(at, np.full_like(at, 0.05)), 5.0, 7.0) == 0
    assert judge.recovery_s(judge.Delays(at, np.where(at > 6, 0.3, 0.04)), 5.0, 7.0) is None


# The emulated network


@pytest.mark.parametrize("bursty", [False, True])
@pytest.mark.parametrize("loss", cases.LOSSES)
def test_as_much_is_lost_as_was_asked_for(loss: float, bursty: bool) -> None:
    count = 200_000
    emulation = Emulation(Network(loss, bursty), "rate")
    lost = [emulation.arrival(number * 0.02) is None for number in range(count)]
    assert np.mean(lost) == pytest.approx(loss, rel=0.06)
    bursts = [len(list(group)) for gone, group in itertools.groupby(lost) if gone]
    assert np.mean(bursts) == pytest.approx(BURST_PACKETS if bursty else 1 / (1 - loss), rel=0.04)


def test_jitter_stays_in_its_bounds_and_order_is_kept() -> None:
    emulation = Emulation(Network(jitter_ms=80.0, path_ms=20.0), "jitter")
    arrivals = [emulation.arrival(number * 0.02) or 0.0 for number in range(5000)]
    delays = np.asarray(arrivals) - np.arange(5000) * 0.02
    assert delays.min() == pytest.approx(0.02, abs=0.002)
    assert delays.max() == pytest.approx(0.1, abs=0.002)
    assert np.diff(arrivals).min() >= 0


def test_the_same_seed_has_the_same_fates_and_another_has_others() -> None:
    def fates(seed: str) -> list[float | None]:
        emulation = Emulation(Network(0.1, True, 30.0, 20.0), seed)
        return [emulation.arrival(number * 0.02) for number in range(500)]

    assert fates("a") == fates("a")
    assert fates("a") != fates("b")


def test_timers_are_late_by_much_less_than_a_millisecond() -> None:
    """In the median: a busy machine makes some of them late, and the benchmark says how many."""
    loop = Loop()
    begin = time.time() + 0.05
    for number in range(200):
        loop.at(begin + number * 0.00173, lambda: None)
    loop.run(begin + 0.4)
    assert len(loop.late_s) == 200
    assert float(np.median(loop.late_s)) < 0.001


# RED and RTCP


def test_red_is_as_rfc_2198_has_it() -> None:
    packed = repair.pack_red([repair.Block(OPUS, 960, b"old"), repair.Block(OPUS, 0, b"new")])
    assert packed == bytes([0x80 | OPUS, 960 >> 6, (960 & 0x3F) << 2 | 0, 3, OPUS]) + b"oldnew"


def test_red_round_trips() -> None:
    random_ = random.Random(2198)
    for _ in range(200):
        sizes = [random_.randrange(1, 400) for _ in range(random_.randrange(1, 4))]
        blocks = [
            repair.Block(OPUS, (len(sizes) - 1 - place) * FRAME, random_.randbytes(size))
            for place, size in enumerate(sizes)
        ]
        assert repair.parse_red(repair.pack_red(blocks)) == blocks


def test_red_that_is_cut_short_is_nothing_or_a_shorter_frame() -> None:
    packed = repair.pack_red([repair.Block(OPUS, 960, b"old"), repair.Block(OPUS, 0, b"new")])
    for size in range(len(packed)):
        assert repair.parse_red(packed[:size]) == [] or size >= 8


def test_a_frame_that_is_too_large_for_red_is_left_out() -> None:
    blocks = [repair.Block(OPUS, 960, bytes(1024)), repair.Block(OPUS, 0, b"new")]
    assert repair.parse_red(repair.pack_red(blocks)) == blocks[1:]


def test_nacks_are_read_by_aiortc_and_by_ourselves() -> None:
    wanted = [65_530, 65_531, 65_535, 3, 40, 41]
    packet = repair.nack(1, 2, wanted)
    [parsed] = RtcpPacket.parse(packet)
    assert isinstance(parsed, RtcpRtpfbPacket)
    assert (parsed.fmt, parsed.ssrc, parsed.media_ssrc) == (RTCP_RTPFB_NACK, 1, 2)
    assert [sequence % 2**16 for sequence in parsed.lost] == wanted  # it does not wrap them
    ours = repair.parse_rtcp(packet)
    assert ours is not None
    assert ours.nacks == wanted


def test_reports_are_read_by_aiortc() -> None:
    loss = repair.Loss(2, 26, 100, 65_540, 48, 0x12345678, 0.5)
    compound = repair.sender_report(1, 1000.5, 960, 7, 700) + repair.receiver_report(1, [loss]) + repair.name(1)
    sender, receiver, _ = RtcpPacket.parse(compound)
    assert isinstance(sender, RtcpSrPacket)
    assert isinstance(receiver, RtcpRrPacket)
    assert sender.sender_info.ntp_timestamp == (1000 + repair.NTP_EPOCH_S) << 32 | 1 << 31
    [block] = receiver.reports
    assert (block.fraction_lost, block.packets_lost, block.highest_sequence) == (26, 100, 65_540)
    assert (block.lsr, block.dlsr) == (0x12345678, 32_768)


def test_garbage_is_no_rtcp_no_red_and_no_rtp() -> None:
    random_ = random.Random(4585)
    for size in [*range(40), *(random_.randrange(40, 200) for _ in range(300))]:
        data = random_.randbytes(size)
        repair.parse_rtcp(data)
        repair.parse_red(data)
        repair.parse_rtp(data)
    assert repair.parse_rtcp(b"\x80\xc8\x00\x06") is None


# The listener


def test_red_repairs_every_loss_that_it_covers() -> None:
    frames = codec.encode(corpus.sentence(SENTENCES[0]), VOICE)
    packets: Packets = []
    for number in range(len(frames)):
        blocks = [repair.Block(OPUS, back * FRAME, frames[number - back]) for back in (2, 1, 0) if number >= back]
        packets.append((1000 + number * 0.02, rtp(repair.pack_red(blocks), number, payload_type=RED)))
    lost = {5, 6, 30, 50, 51}
    heard = ear.hear([packet for number, packet in enumerate(packets) if number not in lost], red=RED)
    assert heard is not None
    assert (heard.from_red, heard.concealed) == (len(lost), 0)
    assert heard.delay_s == pytest.approx(0.04, abs=1e-6)
    assert np.array_equal(heard.pcm, codec.decode(frames))


def test_a_repetition_is_taken_when_it_comes_in_time_and_what_comes_twice_is_heard_once() -> None:
    frames = codec.encode(corpus.sentence(SENTENCES[0]), VOICE)
    packets = stream(frames, Network(), "")
    late = [(arrival + 0.06 * (number % 10 == 5), packet) for number, (arrival, packet) in enumerate(packets)]
    heard = ear.hear([*late, *late[40:50]])
    assert heard is not None
    assert heard.concealed == 0
    assert heard.delay_s == pytest.approx(0.06, abs=1e-6)
    assert np.array_equal(heard.pcm, codec.decode(frames))


def test_one_packet_that_is_very_late_delays_nobody() -> None:
    frames = codec.encode(corpus.sentence(SENTENCES[0]), VOICE)[:100] * 4
    packets = stream(frames, Network(), "")
    packets[200] = packets[200][0] + 0.2, packets[200][1]
    heard = ear.hear(packets)
    assert heard is not None
    assert heard.concealed == 1
    assert heard.delay_s == pytest.approx(0, abs=1e-6)


def test_a_pause_of_the_sender_is_silence_and_no_loss() -> None:
    frames = codec.encode(corpus.sentence(SENTENCES[0]), VOICE)[:60]
    packets = [
        (1000 + 0.02 * at, rtp(payload, number, frame=at))
        for number, (payload, at) in enumerate(zip(frames, [*range(30), *range(80, 110)], strict=True))
    ]
    heard = ear.hear(packets)
    assert heard is not None
    assert (heard.frames, heard.concealed) == (60, 0)
    assert not heard.pcm[30 * FRAME : 80 * FRAME].any()


# The calls


@pytest.mark.parametrize("wants", [Wants(), Wants(red=True), Wants(nack=True), Wants(True, True)])
def test_the_offer_is_one_that_the_server_reads(wants: Wants) -> None:
    text = write_offer("recvonly", wants, 1, ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"), "AB:" * 31 + "AB")
    offer = sdp.parse_offer(text)
    [section] = sdp.listener_sections(offer)
    assert section.payload_type == OPUS
    answer = sdp.answer(
        offer,
        {section.mid: sdp.Sending(5, "cname", "room", "slot")},
        sdp.IceCredentials.generate(),
        Certificate.generate().fingerprint,
        [sdp.Candidate("127.0.0.1", 5000)],
    )
    terms = read_answer(answer)
    assert (terms.address, terms.ssrc) == (("127.0.0.1", 5000), 5)
    assert terms.red is None or wants.red
    assert wants.nack or not terms.nack


def test_a_talker_is_heard_through_the_real_server_mixed_and_forwarded() -> None:
    said = np.concatenate([cases.silence(0.2), corpus.sentence(SENTENCES[0])])[: 2 * RATE]
    frames = codec.encode(said, VOICE)
    levels = [level_dbov(said[at : at + FRAME]) for at in range(0, len(said), FRAME)]
    with Server() as server:
        server.make_room("room", ["ann"])
        loop = Loop()
        peer = Peer(server, "room", "ann", publish=True, wants=Wants())
        talker = Talker(peer, frames, levels, [(1e9, Network())], "talker", red=False)
        hearers = [
            Hearer(Peer(server, "room", mode, publish=False, wants=Wants(), mode=mode), Network(), mode, nack=False)
            for mode in ("mix", "select")
        ]
        begin = time.time() + 0.1
        talker.start(loop, begin)
        for hearer in hearers:
            hearer.start(loop, begin)
        loop.run(begin + 2.6)
        sounds = [ear.hear(open_rtp(hearer.peer.material, hearer.packets)) for hearer in hearers]
        assert server.publishers("room")["ann"]["packets_received"] == len(frames)
        for each in (peer, *(hearer.peer for hearer in hearers)):
            each.close()
    mixed, forwarded = sounds
    assert mixed is not None
    assert forwarded is not None
    assert np.array_equal(forwarded.pcm[: len(said)], codec.decode(frames)[: len(forwarded.pcm)])
    reference, *others = (
        corpus.resample(pcm, RATE, corpus.NATIVE_RATE)
        for pcm in (said, np.pad(mixed.pcm, (max(0, round((mixed.begin - begin) * RATE)), 0)))
    )
    delay_s = float(np.median(judge.delays(reference, others[0]).delay_s))
    assert 0.0 < delay_s < 0.3
