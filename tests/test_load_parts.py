"""The load generator's parts in Python, each alone: plans, offers and answers, handshakes, sounds, reports."""

import math
import random
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mediaserver import _native
from mediaserver.dtls import Certificate, Fingerprint, Handshake
from mediaserver.loadgen import sounds
from mediaserver.loadgen.description import AnswerError, Ice, offer, parse_answer
from mediaserver.loadgen.handshake import ClientHandshake, Identity
from mediaserver.loadgen.limits import raise_descriptors
from mediaserver.loadgen.network import Network, parse
from mediaserver.loadgen.places import Addresses
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.loadgen.report import MODELLED, Peer, Report, Usage, percentiles
from mediaserver.sdp import Candidate, IceCredentials, Receiving, Sending, answer, listener_sections, parse_offer

# ---- plans


def test_joins_are_even_in_time_and_speakers_come_first_in_all_rooms_at_once() -> None:
    plan = Plan(rooms=3, speakers=2, listeners=4, join_rate=20)
    joins = [*plan.joins()]
    assert len(joins) == len(set(joins)) == plan.peers == 18
    assert [join.at_s for join in joins] == pytest.approx([k / 20 for k in range(18)])
    assert joins[-1].at_s == pytest.approx(plan.last_join_s)
    assert [join.speaks for join in joins] == [True] * 6 + [False] * 12
    assert [join.room for join in joins[:3]] == [0, 1, 2]
    assert Counter((join.room, join.speaks) for join in joins)[2, False] == 4


def test_a_peers_numbers_are_its_own_and_the_same_for_the_same_seed() -> None:
    plan, join = Plan(rooms=2), Join(0.0, 1, True, 0)
    assert plan.random(join).random() == Plan(rooms=2).random(join).random()
    assert plan.random(join).random() != replace(plan, seed=2).random(join).random()
    assert plan.random(join).random() != plan.random(replace(join, room=0)).random()


def test_rooms_have_tones_of_their_own_as_far_as_there_are_tones() -> None:
    plan = Plan(rooms=8, speakers=4)
    masks = [plan.own_tones(room, 32) for room in range(8)]
    assert all(mask.bit_count() == 4 for mask in masks)
    assert sum(masks) == 2**32 - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rooms": 0}, "one room"),
        ({"speakers": 0}, "one room"),
        ({"listeners": -1}, "negative"),
        ({"rooms": 200, "listeners": 100}, "20,200"),
        ({"speakers": 65}, "64"),
        ({"slots": 9}, "8"),
        ({"mode": "mix", "slots": 2}, "one slot"),
        ({"join_rate": 0.0}, "rate"),
        ({"join_rate": math.nan}, "rate"),
        ({"duration_s": math.inf}, "duration"),
        ({"silence_s": -1.0}, "silences"),
        ({"seed": -1}, "seed"),
        ({"prefix": "a/b"}, "prefix"),
        ({"sound": "chirps"}, "mixes"),
        ({"sound": "chirps", "mode": "mix", "speakers": 3}, "2 speakers"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_in_a_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Plan(**options)


def test_a_network_is_read_as_it_is_written() -> None:
    network = Network(loss=0.05, burst=3, delay_ms=20, jitter_ms=30.5, duplicate=0.01)
    assert parse("loss=0.05, burst=3,delay=20,jitter=30.5,duplicate=0.01") == network
    assert parse(network.text()) == network
    assert parse("") == Network()
    assert Network().clean
    assert Network().text() == "clean"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loss", "NAME=NUMBER"),
        ("loss=much", "NAME=NUMBER"),
        ("delay_ms=3", "NAME=NUMBER"),
        ("loss=1", "everything"),
        ("loss=nan", "everything"),
        ("duplicate=2", "shares"),
        ("burst=0", "Bursts"),
        ("delay=1e6", "2,000 ms"),
        ("jitter=-1", "2,000 ms"),
    ],
)
def test_a_network_that_cannot_be_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_more_peers_than_the_system_has_descriptors_are_refused() -> None:
    with pytest.raises(ValueError, match="open files"):
        raise_descriptors(1 << 40)


def test_addresses_have_names_filled_in_and_escaped_tokens_as_they_are() -> None:
    places = Addresses("http://h/whip/{room}", "https://h/whep/{room}?u={user}", "t-{user}", None)
    plan = Plan()
    speaker = places.place(plan, Join(0, 0, True, 3))
    assert (speaker.url, speaker.token) == ("http://h/whip/load-0", "t-speaker-3")
    listener = places.place(plan, Join(0, 0, False, 1))
    assert (listener.url, listener.token) == ("https://h/whep/load-0?u=listener-1", None)
    with pytest.raises(ValueError, match="is not an address"):
        Addresses("ftp://h", "http://h")


# ---- offers and answers

ICE = Ice("0123456789ab", "0123456789abcdef0123456789abcdef")
THEIRS = IceCredentials("their", "theirPasswordOf22Charact")
CERTIFICATE = Certificate.generate()


def an_answer(*, sends: bool, sections: int = 1, candidates: tuple[Candidate, ...] = ()) -> str:
    """The server's own, to the generator's own offer."""
    fingerprint = CERTIFICATE.fingerprint
    offered = parse_offer(offer(ICE, fingerprint, sends=sends, sections=sections, ssrc=7, cname="c"))
    use = {
        section.mid: Receiving() if sends else Sending(ssrc=9 + k, cname="s", stream="st", track=f"t{k}")
        for k, section in enumerate(offered.sections)
    }
    if not sends:
        assert len(listener_sections(offered)) == sections
    return answer(offered, use, THEIRS, fingerprint, candidates or (Candidate("127.0.0.1", 5000),))


@pytest.mark.parametrize(("sends", "sections"), [(True, 1), (False, 1), (False, 8)])
def test_the_servers_answer_to_an_offer_is_understood(sends: bool, sections: int) -> None:
    parsed = parse_answer(an_answer(sends=sends, sections=sections), ipv6=False)
    assert parsed.ice == Ice(THEIRS.ufrag, THEIRS.pwd)
    assert parsed.fingerprints == (CERTIFICATE.fingerprint,)
    assert parsed.candidates == (("127.0.0.1", 5000),)
    assert parsed.payload_type == 111


def test_candidates_are_of_our_family_and_the_best_is_first() -> None:
    text = an_answer(sends=True) + (
        "a=candidate:2 1 udp 4000000000 192.0.2.1 1 typ host\r\n"
        "a=candidate:3 1 tcp 4100000000 192.0.2.2 9 typ host tcptype passive\r\n"
        "a=candidate:4 1 udp 4200000000 2001:db8::1 7 typ host\r\n"
        "a=candidate:5 1 udp 4200000000 name.local 7 typ host\r\n"
        "a=candidate:6 1 udp 4200000000 192.0.2.3 99999 typ host\r\n"
    )
    assert parse_answer(text, ipv6=False).candidates == (("192.0.2.1", 1), ("127.0.0.1", 5000))
    assert parse_answer(text, ipv6=True).candidates == (("2001:db8::1", 7),)


@pytest.mark.parametrize(
    ("pattern", "replacement", "words"),
    [
        ("m=audio 5000", "m=audio 0", "no audio"),
        ("a=ice-ufrag", "a=x", "credentials"),
        ("a=setup:passive", "a=setup:active", "role"),
        ("a=fingerprint", "a=x", "fingerprint"),
        ("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 zz", "fingerprint"),
        ("a=candidate", "a=x", "candidate"),
        ("a=rtpmap", "a=x", "Opus"),
        ("v=0", "v=0" * 50_000, "too long"),
    ],
)
def test_an_answer_that_lacks_something_is_refused_in_a_sentence(pattern: str, replacement: str, words: str) -> None:
    text = an_answer(sends=True)
    assert pattern in text
    with pytest.raises(AnswerError, match=words):
        parse_answer(text.replace(pattern, replacement), ipv6=False)


def test_whatever_an_answer_says_it_is_an_answer_or_refused() -> None:
    text = an_answer(sends=False, sections=3)
    dice = random.Random(7)
    refused = 0
    for _ in range(2000):
        damaged = [*text]
        for _ in range(dice.randrange(1, 40)):
            damaged[dice.randrange(len(damaged))] = chr(dice.choice([0, 10, 32, 48, 58, 255, 0x661, 0x10FFFF]))
        try:
            parsed = parse_answer("".join(damaged), ipv6=False)
        except AnswerError:
            refused += 1
        else:
            assert 0 <= parsed.payload_type < 128
            assert 0 <= parsed.level_id <= 14
    assert 0 < refused < 2000


# ---- handshakes


def shake(client: ClientHandshake, server: Handshake, *, lose: int = 0) -> None:
    """Until nobody has anything to say. lose: the first flights of the client that do not arrive."""
    to_server, now = client.begin(), 0.0
    if lose:
        to_server = []
    while to_server:
        now += 0.01
        to_client = [answered for datagram in to_server for answered in server.receive(now, datagram)]
        to_server = [answered for datagram in to_client for answered in client.receive(datagram)]


def test_the_clients_handshake_gives_the_keys_that_the_servers_gives() -> None:
    identity = Identity()
    client = ClientHandshake(identity, [CERTIFICATE.fingerprint])
    server = Handshake(CERTIFICATE, [identity.fingerprint])
    shake(client, server)
    assert client.keys is not None
    assert client.keys == server.keys
    assert client.failed is None
    assert client.receive(b"\x16late") == []


def test_a_server_with_another_certificate_than_its_answers_is_refused() -> None:
    identity = Identity()
    client = ClientHandshake(identity, [Certificate.generate().fingerprint])
    shake(client, Handshake(CERTIFICATE, [identity.fingerprint]))
    assert client.keys is None
    assert client.failed == "The server's certificate is not the one of its answer."


def test_an_alert_or_nonsense_ends_no_more_than_the_handshake() -> None:
    client = ClientHandshake(Identity(), [CERTIFICATE.fingerprint])
    client.begin()
    dice = random.Random(3)
    for _ in range(200):
        client.receive(b"\x16\xfe\xfd" + dice.randbytes(dice.randrange(100)))
    client.receive(bytes.fromhex("15fefd000000000000000500020228"))  # a fatal alert: handshake_failure
    assert client.keys is None
    assert client.failed is not None
    assert client.timeout() == []


# ---- sounds


def test_speech_and_tones_are_opus_frames_that_a_generator_takes() -> None:
    for frames in (sounds.encode(sounds.synthesised(1, 1.0)), *sounds.tones([400.0, 3500.0])):
        assert len(frames) == 50
        assert all(payload[0] & 3 == 0 and 0 <= level <= 127 for payload, level in frames)
        assert _native.LoadSound(frames)
    levels = [level for _, level in sounds.tones([1000.0])[0]]
    assert set(levels) == {23}  # a sine of -20 dB has 3 dB less than a square wave of it


def test_a_synthetic_voice_is_as_loud_as_speech_and_never_clips() -> None:
    voice = sounds.synthesised(1)
    assert float(np.sqrt(np.mean(voice**2))) == pytest.approx(sounds.SPEECH_RMS, rel=0.01)
    assert float(np.abs(voice).max()) < 1


def test_without_recordings_there_are_none(tmp_path: Path) -> None:
    assert sounds.recorded(tmp_path) is None


# ---- reports

CLEAN = dict.fromkeys(
    (
        *("packets", "bytes", "lost", "duplicates", "reordered", "restarts", "gaps", "undecryptable", "malformed"),
        *("marked", "missing", "repeated", "disordered", "foreign", "corrupt", "unmarked"),
        *("windows", "own_windows", "foreign_windows"),
    ),
    0,
)
TIMES = {"count": 9, "p50_us": 100, "p90_us": 200, "p99_us": 300, "p999_us": 400, "max_us": 500}


def a_report(
    plan: Plan = Plan(listeners=1),  # noqa: B008 - frozen
    peers: list[Peer] | None = None,
    usage: Usage = Usage(10, 1, 0.5, 1000),  # noqa: B008 - frozen
    lateness_us: int = 300,
    tally: dict[str, int] | None = None,
) -> Report:
    end = 10_000_000_000
    peers = peers or [
        Peer(0, True, 0, 1, 2, None, last_ns=end),
        Peer(0, False, 0, 1, 2, 3, heard=True, last_ns=end),
    ]
    snapshot = {
        "tally": CLEAN | (tally or {}),
        "delay": TIMES,
        "lateness": TIMES | {"p99_us": lateness_us},
        **dict.fromkeys(("delay_as_read", "mouth_to_ear", "queue"), TIMES),
        **dict.fromkeys(("chirps_said", *MODELLED), 0),
        "packets_sent": 100,
        "packets_skipped": 0,
        "send_failures": 0,
    }
    return Report(plan, "markers", peers, snapshot, usage)


def test_a_load_without_faults_has_none_and_every_count_makes_one() -> None:
    assert a_report().faults == {}
    counts = {"packets", "bytes", "marked", "windows", "own_windows", "foreign_windows"}
    for name in CLEAN.keys() - counts:
        assert a_report(tally={name: 3}).faults == {name: 3}
    assert a_report(tally={"foreign_windows": 2}).faults == {"foreign": 2}


def test_listeners_who_hear_nothing_or_no_more_are_faults() -> None:
    speaker = Peer(0, True, 0, 1, 2, last_ns=10_000_000_000)
    silent = Peer(0, False, 0, 1, 2)
    stalled = Peer(0, False, 0, 1, 2, 3, heard=True, last_ns=8_900_000_000)
    assert a_report(peers=[speaker, silent]).faults == {"silent": 1}
    assert a_report(peers=[speaker, stalled]).faults == {"stalled": 1}
    mute = replace(speaker, last_ns=0)
    assert a_report(peers=[mute, silent]).faults == {}


def test_peers_that_did_not_get_in_or_were_cut_off_are_faults_with_their_reasons() -> None:
    speaker = Peer(0, True, 0, 1, 2, last_ns=1, disconnected=True)
    refused = Peer(0, False, failed="refused with 503")
    report = a_report(peers=[speaker, refused])
    assert report.faults == {"not_connected": 1, "disconnected": 1}
    assert report.failures() == {"refused with 503": 1}


def test_who_has_fewer_slots_than_speakers_may_miss_some() -> None:
    assert a_report(Plan(speakers=3, slots=2, listeners=1), tally={"missing": 5}).faults == {}
    assert a_report(Plan(speakers=3, listeners=1), tally={"missing": 5}).faults == {"missing": 5}


def test_a_mix_of_markers_may_be_deaf_at_its_ends_alone() -> None:
    plan = Plan(mode="mix", listeners=1)
    assert a_report(plan, tally={"windows": 100, "own_windows": 99}).faults == {}
    assert a_report(plan, tally={"windows": 100, "own_windows": 90}).faults == {"deaf": 10}
    assert a_report(replace(plan, silence_s=2.0), tally={"windows": 100, "own_windows": 9}).faults == {}


def test_a_generator_that_was_too_slow_says_so() -> None:
    assert a_report().doubts == []
    assert "sent late" in a_report(lateness_us=6000).doubts[0]
    late = [Peer(0, True, 60, 61, 62, last_ns=1)]
    assert "offers late: 60 ms" in a_report(peers=late).doubts[0]
    assert "busy 90 %" in a_report(usage=Usage(10, 9.5, 9, 1)).doubts[0]


def test_a_network_model_that_had_no_room_says_so() -> None:
    report = a_report()
    full = replace(report, snapshot={**report.snapshot, "modelled_overflow": 3})
    assert "no room for 3" in full.doubts[0]


def test_the_document_has_the_delays_of_the_kernel_and_as_read_and_what_the_network_model_did() -> None:
    document = a_report().document()
    assert {"delay_us", "delay_as_read_us", "mouth_to_ear_us", "network"} <= document.keys()
    assert document["network"].keys() == set(MODELLED)
    assert document["generator"]["receive_queue_us"] == TIMES
    assert document["plan"]["up"] == asdict(Network())


def test_a_chirp_is_where_it_is_said_to_be() -> None:
    for kind in range(_native.LOAD_CHIRPS):
        chirp = np.asarray(_native.load_chirp(kind))
        frames, (told, frame, sample) = sounds.chirping(kind, chirp, 1)
        assert told == kind
        assert len(frames) == sounds.CHIRP_PERIODS[kind]
        assert all(level < 60 for _, level in frames)  # never silent
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.sample_rate, decoder.layout = 48_000, "mono"
        pcm = np.concatenate([f.to_ndarray().ravel() for p, _ in frames for f in decoder.decode(av.Packet(p))])
        begin = int(np.argmax(np.correlate(pcm.astype(np.float64), chirp)))
        look_ahead = begin + len(chirp) // 2 - (frame * 960 + sample)
        assert abs(look_ahead - 312) < 24  # Opus's


def test_what_a_peer_costs_is_per_peer_and_second() -> None:
    report = a_report(usage=Usage(10, 1, 0.5, 1000))
    assert report.cpu_percent_per_peer() == pytest.approx(5)  # a tenth of a core for two
    assert report.cpu_us_per_datagram() == pytest.approx(500)


def test_a_mix_of_speech_is_not_said_to_be_verified() -> None:
    assert a_report().rooms_are_verified
    assert a_report(Plan(mode="mix", listeners=1)).rooms_are_verified
    assert not a_report(Plan(mode="mix", sound="speech", listeners=1)).rooms_are_verified
    assert not a_report(Plan(mode="mix", ears=0, listeners=1)).rooms_are_verified


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([None]) == {}
    assert percentiles([5.0]) == {"p50": 5, "p90": 5, "p99": 5, "max": 5}
    assert percentiles([float(k) for k in range(1, 1001)]) == {"p50": 500, "p90": 900, "p99": 990, "max": 1000}


def test_a_fingerprint_of_any_algorithm_is_compared() -> None:
    identity = Identity()
    strong = Certificate.generate()
    client = ClientHandshake(identity, [Fingerprint("sha-512", ":".join(["00"] * 64)), strong.fingerprint])
    shake(client, Handshake(strong, [identity.fingerprint]))
    assert client.keys is not None
