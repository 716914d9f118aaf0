"""Offers of real and imitated clients, what we answer them, ICE fragments, and a fuzzer for both parsers."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, sdp
from aiortc.mediastreams import AudioStreamTrack
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.dtls import Fingerprint
from mediaserver.sdp import (
    AUDIO_LEVEL,
    MAX_BYTES,
    MAX_LINES,
    MAX_SECTIONS,
    MAX_SLOTS,
    MID,
    Candidate,
    IceCredentials,
    Offer,
    Receiving,
    SdpError,
    Section,
    Sending,
    answer,
    fragment,
    listener_sections,
    parse_fragment,
    parse_offer,
    publisher_section,
)

FIXTURES = {
    path.stem: path.read_bytes().decode("ascii") for path in sorted((Path(__file__).parent / "fixtures").glob("*.sdp"))
}

ICE = IceCredentials("289b31b754eaa438", "0b66f472495ef0ccac7bda653ab6be49ea13114472a5d10a")
FINGERPRINT = Fingerprint("sha-256", ":".join(f"{byte:02X}" for byte in range(32)))
CANDIDATES = [Candidate("192.0.2.7", 40001), Candidate("2001:db8::7", 40001)]

TRANSPORT = [
    "a=ice-ufrag:EsAw",
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32),
    "a=setup:actpass",
]
OPUS = ["a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1"]


def audio(mid: str, *extra: str, direction: str = "sendonly", port: int = 9) -> list[str]:
    """An audio section with Opus and no transport of its own."""
    return [f"m=audio {port} UDP/TLS/RTP/SAVPF 111 0", f"a=mid:{mid}", f"a={direction}", *OPUS, *extra]


def description(*sections: list[str], session: list[str] | None = None, bundle: str | None = None) -> str:
    """An offer; its transport is at session level and its BUNDLE group has all mids, unless told otherwise."""
    mids = re.findall(r"^a=mid:(.*)$", "\n".join(line for section in sections for line in section), re.MULTILINE)
    group = " ".join(mids) if bundle is None else bundle
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *([f"a=group:BUNDLE {group}"] if group else [])]
    lines += TRANSPORT if session is None else session
    return "\r\n".join([*lines, *(line for section in sections for line in section)]) + "\r\n"


def without(name: str) -> list[str]:
    return [line for line in TRANSPORT if not line.startswith(f"a={name}")]


def use(section: Section, listening: bool) -> Sending | Receiving:
    return Sending(1000 + section.index, "server", "room", f"slot{section.index}") if listening else Receiving()


def answered(text: str, listening: bool = False) -> str:
    offer = parse_offer(text)
    sections = listener_sections(offer) if listening else (publisher_section(offer),)
    uses = {section.mid: use(section, listening) for section in sections}
    return answer(offer, uses, ICE, FINGERPRINT, CANDIDATES)


def split(text: str) -> tuple[list[str], list[list[str]]]:
    """The lines of the session and of each section."""
    session, *sections = [part.split("\r\n")[:-1] for part in re.split(r"^(?=m=)", text, flags=re.MULTILINE)]
    return session, sections


# Offers


def test_chromium_publisher_is_read() -> None:
    offer = parse_offer(FIXTURES["chromium-whip-audio"])
    [section] = offer.sections
    assert publisher_section(offer) is section
    assert (section.kind, section.mid, section.direction) == ("audio", "0", "sendonly")
    assert section.payload_type == 111
    assert section.fmtp == {"minptime": "10", "useinbandfec": "1"}
    assert (section.mid_id, section.level_id) == (4, 1)
    assert section.extmap_allow_mixed
    assert section.rtcp_rsize
    assert len(section.ssrcs) == 1
    assert (section.ptime, section.maxptime) == (None, None)
    assert offer.setup == "actpass"
    assert offer.bundle == ("0",)
    assert len(offer.ice_ufrag) == 4
    assert len(offer.ice_pwd) == 24
    assert [fingerprint.algorithm for fingerprint in offer.fingerprints] == ["sha-256"]


def test_chromium_publisher_with_video_first_is_read() -> None:
    offer = parse_offer(FIXTURES["chromium-whip-video-first-data"])
    assert [section.kind for section in offer.sections] == ["video", "audio", "application"]
    assert [section.acceptable for section in offer.sections] == [False, True, False]
    assert publisher_section(offer).mid == "1"
    assert offer.bundle == ("0", "1", "2")


def test_chromium_listener_gets_a_slot_for_each_audio_section() -> None:
    offer = parse_offer(FIXTURES["chromium-whep-audio-video-data"])
    assert [section.kind for section in offer.sections] == ["audio", "video", "audio", "application"]
    assert [section.mid for section in listener_sections(offer)] == ["0", "2"]


def test_aiortc_offers_are_read() -> None:
    publisher = parse_offer(FIXTURES["aiortc-whip-audio"])
    assert publisher_section(publisher).payload_type == 96
    assert {fingerprint.algorithm for fingerprint in publisher.fingerprints} == {"sha-256", "sha-384", "sha-512"}
    listener = parse_offer(FIXTURES["aiortc-whep-two-audio"])
    assert [(section.mid, section.mid_id, section.level_id) for section in listener_sections(listener)] == [
        ("0", 1, 2),
        ("1", 1, 2),
    ]


def test_a_fingerprint_at_session_level_counts_for_the_section() -> None:
    offer = parse_offer(FIXTURES["firefox-like-whip"])
    assert offer.fingerprints[0].value.startswith("3C:4A:AF")
    assert publisher_section(offer).fmtp["maxplaybackrate"] == "48000"
    assert publisher_section(offer).level_id == 1


def test_a_whole_transport_at_session_level_counts_for_the_section() -> None:
    offer = parse_offer(FIXTURES["broadcaster-like-whip"])
    assert (offer.ice_ufrag, offer.setup) == ("Zk3f", "actpass")
    assert publisher_section(offer).mid == "audio"


def test_a_sections_own_transport_overrides_the_sessions() -> None:
    own = ["a=ice-ufrag:ownU", "a=ice-pwd:" + "o" * 22, "a=fingerprint:sha-384 " + ":".join(["CD"] * 48)]
    offer = parse_offer(description(audio("0", *own)))
    assert offer.ice_ufrag == "ownU"
    assert offer.ice_pwd == "o" * 22
    assert [fingerprint.algorithm for fingerprint in offer.fingerprints] == ["sha-384"]


def test_the_first_audio_sections_transport_counts_not_a_video_sections() -> None:
    video = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", *TRANSPORT]
    offer = parse_offer(description(video, audio("a", *without("ice-ufrag"), "a=ice-ufrag:audi"), session=[]))
    assert offer.ice_ufrag == "audi"


def test_a_bundle_only_section_has_its_tags_transport() -> None:
    tag = audio("0", *TRANSPORT, direction="recvonly")
    second = ["m=audio 0 UDP/TLS/RTP/SAVPF 111", "a=mid:1", "a=bundle-only", "a=recvonly", "a=rtpmap:111 opus/48000/2"]
    for sections in ([tag, second], [second, tag]):
        offer = parse_offer(description(*sections, session=[], bundle="0 1"))
        assert offer.ice_ufrag == "EsAw"
        assert len(listener_sections(offer)) == 2


def test_a_bundle_only_section_whose_tag_would_be_rejected_is_refused() -> None:
    video = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", *TRANSPORT]
    offer = parse_offer(description(video, audio("a", "a=bundle-only", port=0)))
    with pytest.raises(SdpError, match="its audio must come first"):
        publisher_section(offer)


def test_a_disabled_section_is_not_taken() -> None:
    offer = parse_offer(description(audio("0", port=0), audio("1")))
    assert publisher_section(offer).mid == "1"


def test_direction_is_sendrecv_unless_the_section_or_the_session_says_otherwise() -> None:
    section = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", *OPUS]
    assert parse_offer(description(section)).sections[0].direction == "sendrecv"
    inherited = parse_offer(description(section, audio("1"), session=[*TRANSPORT, "a=recvonly"]))
    assert [section.direction for section in inherited.sections] == ["recvonly", "sendonly"]


def test_a_publisher_and_a_listener_need_sections_of_their_direction() -> None:
    offers = {name: parse_offer(description(audio("0", direction=name))) for name in sdp.DIRECTIONS}
    for name in ("sendonly", "sendrecv"):
        assert publisher_section(offers[name]).mid == "0"
    for name in ("recvonly", "sendrecv"):
        assert [section.mid for section in listener_sections(offers[name])] == ["0"]
    for name in ("recvonly", "inactive"):
        with pytest.raises(SdpError, match="sends Opus"):
            publisher_section(offers[name])
    for name in ("sendonly", "inactive"):
        with pytest.raises(SdpError, match="receives Opus"):
            listener_sections(offers[name])


def test_the_first_sending_section_is_the_publishers() -> None:
    offer = parse_offer(description(audio("0", direction="recvonly"), audio("1"), audio("2", direction="sendrecv")))
    assert publisher_section(offer).mid == "1"


def test_a_listener_gets_at_most_16_slots() -> None:
    offer = parse_offer(description(*(audio(str(n), direction="recvonly") for n in range(20))))
    assert [section.mid for section in listener_sections(offer)] == [str(n) for n in range(MAX_SLOTS)]


def test_audio_sections_outside_of_one_bundle_group_are_refused() -> None:
    sections = [audio("0", direction="recvonly"), audio("1", direction="recvonly")]
    for bundle in ("", "0", "1"):
        with pytest.raises(SdpError, match="not in one BUNDLE group"):
            listener_sections(parse_offer(description(*sections, bundle=bundle)))


def test_a_single_section_needs_no_bundle_group() -> None:
    text = description(audio("0"), bundle="")
    assert parse_offer(text).bundle == ()
    assert "BUNDLE" not in answered(text)


@pytest.mark.parametrize(
    ("rtpmap", "payload_type"),
    [
        ("111 opus/48000/2", 111),
        ("111 OPUS/48000/2", 111),
        ("111 opus/48000", None),
        ("111 opus/48000/1", None),
        ("111 opus/16000/2", None),
        ("111 multiopus/48000/2", None),
        ("112 opus/48000/2", None),
    ],
)
def test_only_opus_at_48_khz_with_two_channels_in_the_m_line_is_taken(rtpmap: str, payload_type: int | None) -> None:
    section = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=rtcp-mux", f"a=rtpmap:{rtpmap}"]
    offer = parse_offer(description(section, audio("1")))
    assert offer.sections[0].payload_type == payload_type


def test_the_m_lines_first_opus_is_taken() -> None:
    maps = ["a=rtpmap:96 opus/48000/2", "a=rtpmap:97 opus/48000/2", "a=fmtp:97 stereo=1"]
    section = ["m=audio 9 UDP/TLS/RTP/SAVPF 97 96", "a=mid:0", "a=rtcp-mux", *maps]
    taken = parse_offer(description(section)).sections[0]
    assert taken.payload_type == 97
    assert taken.fmtp == {"stereo": "1"}


@pytest.mark.parametrize("payload_type", [64, 77, 95, 128])
def test_a_payload_type_that_looks_like_rtcp_is_not_taken(payload_type: int) -> None:
    section = [f"m=audio 9 UDP/TLS/RTP/SAVPF {payload_type}", "a=mid:0", "a=rtcp-mux"]
    offer = parse_offer(description([*section, f"a=rtpmap:{payload_type} opus/48000/2"], audio("1")))
    assert offer.sections[0].payload_type is None


def test_fmtp_names_are_lower_case_without_spaces() -> None:
    section = [*audio("0")[:-1], "a=fmtp:111 minptime=10; UseInbandFEC=1 ;cbr;x-y=a=b"]
    assert parse_offer(description(section)).sections[0].fmtp == {
        "minptime": "10",
        "useinbandfec": "1",
        "cbr": "",
        "x-y": "a=b",
    }


@pytest.mark.parametrize(("value", "ptime"), [("20", 20), ("60", 60), ("2.5", 3), ("120", 120)])
def test_packet_times_are_read(value: str, ptime: int) -> None:
    section = parse_offer(description(audio("0", f"a=ptime:{value}", f"a=maxptime:{value}"))).sections[0]
    assert (section.ptime, section.maxptime) == (ptime, ptime)


def test_extensions_with_direction_and_parameters_are_read() -> None:
    extmaps = [f"a=extmap:3/sendonly {MID}", f"a=extmap:1 {AUDIO_LEVEL} vad=on", "a=extmap:2/recvonly urn:x:y"]
    section = parse_offer(description(audio("0", *extmaps))).sections[0]
    assert (section.mid_id, section.level_id) == (3, 1)


def test_an_extension_of_the_other_direction_counts_as_not_offered() -> None:
    for direction, other in (("sendonly", "recvonly"), ("recvonly", "sendonly"), ("sendrecv", "sendonly")):
        section = audio("0", f"a=extmap:1/{other} {AUDIO_LEVEL}", direction=direction)
        assert parse_offer(description(section)).sections[0].level_id == 0


@pytest.mark.parametrize(
    ("number", "taken"), [(1, 1), (14, 14), (15, 0), (16, 16), (255, 255), (256, 0), (4096, 0), (0, 0)]
)
def test_extension_ids_that_cannot_be_written_count_as_not_offered(number: int, taken: int) -> None:
    assert parse_offer(description(audio("0", f"a=extmap:{number} {AUDIO_LEVEL}"))).sections[0].level_id == taken


def test_session_level_extensions_count_for_the_section() -> None:
    text = description(audio("0"), session=[*TRANSPORT, f"a=extmap:5 {AUDIO_LEVEL}", "a=extmap-allow-mixed"])
    section = parse_offer(text).sections[0]
    assert section.level_id == 5
    assert section.extmap_allow_mixed


def test_what_aiortc_cannot_read_in_a_rejected_section_does_no_harm() -> None:
    nonsense = ["a=fmtp:97 apt=96", "a=rtpmap:nonsense", "a=ssrc:1", "a=extmap:1", "a=setup:whatever"]
    video = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", *nonsense]
    assert publisher_section(parse_offer(description(video, audio("a")))).mid == "a"


def test_mdns_and_other_candidates_in_an_offer_are_not_looked_at() -> None:
    candidates = ["a=candidate:1 1 udp 1 6041f8b3.local 9 typ host", "a=candidate:nonsense", "a=end-of-candidates"]
    assert publisher_section(parse_offer(description(audio("0", *candidates)))).mid == "0"


def test_fingerprints_of_unknown_algorithms_are_skipped() -> None:
    weak = "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)
    lower = "a=fingerprint:SHA-256 " + ":".join(["ab"] * 32)
    offer = parse_offer(description(audio("0", weak, lower)))
    assert offer.fingerprints == (Fingerprint("sha-256", ":".join(["AB"] * 32)),)


def test_the_peers_password_is_not_in_the_repr() -> None:
    offer = parse_offer(description(audio("0")))
    assert offer.ice_pwd not in repr(offer)
    assert ICE.pwd not in repr(ICE)
    assert "vw5LmwG4y/e6dPP" not in repr(parse_fragment("a=ice-ufrag:ysXw\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n"))


# Offers that are refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not start with v=0"),
        ('{"sdp": "v=0"}', "does not start with v=0"),
        ("v=0\r\n", "no audio section with Opus"),
        (description(["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:0"]), "no audio section with Opus"),
        (description(["m=audio 9 RTP/AVP 111", "a=mid:0", *OPUS]), "no audio section with Opus"),
        (description(audio("0", port=0)), "no audio section with Opus"),
        (description(audio("0"), session=without("ice-ufrag")), "no ICE credentials"),
        (description(audio("0"), session=without("ice-pwd")), "no ICE credentials"),
        (description(audio("0", "a=ice-ufrag:abc")), "ICE credentials must be"),
        (description(audio("0", "a=ice-ufrag:" + "a" * 257)), "ICE credentials must be"),
        (description(audio("0", "a=ice-ufrag:ab cd")), "ICE credentials must be"),
        (description(audio("0", "a=ice-pwd:" + "a" * 21)), "ICE credentials must be"),
        (description(audio("0", "a=ice-pwd:" + "a" * 257)), "ICE credentials must be"),
        (description(audio("0"), session=[*TRANSPORT, "a=ice-lite"]), "ICE-lite"),
        (description(audio("0"), session=without("fingerprint")), "no certificate fingerprint"),
        (description(audio("0", "a=fingerprint:sha-1 " + ":".join(["AB"] * 20))), "no certificate fingerprint"),
        (description(audio("0", "a=fingerprint:sha-256 " + ":".join(["AB"] * 31))), "not 32 hexadecimal pairs"),
        (description(audio("0", "a=fingerprint:sha-256")), "not 32 hexadecimal pairs"),
        (description(audio("0"), session=without("setup")), "no valid DTLS setup"),
        (description(audio("0", "a=setup:whatever")), "no valid DTLS setup"),
        (description(audio("0", "a=setup:passive")), "setup:passive"),
        (description(audio("0", "a=setup:holdconn")), "setup:holdconn"),
        (description([line for line in audio("0") if line != "a=rtcp-mux"]), "no rtcp-mux"),
        (description([line for line in audio("0") if "mid" not in line]), "audio section's mid"),
        (description(audio("a" * 17)), "audio section's mid"),
        (description(audio("a b")), "not a token"),
        (description(audio("ä")), "not a token"),
        (description(audio("0"), audio("0")), "same mid"),
        (description(audio("0", "a=ptime:soon")), "ptime"),
        (description(audio("0", "a=ptime:0")), "ptime"),
        (description(audio("0", "a=ptime:-20")), "ptime"),
        (description(audio("0", "a=maxptime:" + "9" * 5000)), "maxptime"),
        (description(audio("0", "a=extmap:x urn:y")), "extmap"),
        (description(audio("0", "a=extmap:1/both urn:y")), "extmap"),
        (description(audio("0", f"a=extmap:1 {MID}", f"a=extmap:1 {AUDIO_LEVEL}")), "same id"),
        (description(audio("0", "a=ssrc:4294967296 cname:x")), "32 bits"),
        (description(audio("0", "a=ssrc:-1 cname:x")), "32 bits"),
        (description(audio("0", "a=ssrc:1")), "malformed"),
        (description(audio("0", "a=fmtp:112 x=y")), "malformed"),
        (description(audio("0", "a=rtpmap:113 opus")), "malformed"),
        (description(audio("0", "a=rtpmap:113 opus/" + "9" * 5000)), "malformed"),
        (description(["m=audio"]), "malformed"),
        (description(["m=audio 65536 UDP/TLS/RTP/SAVPF 111", "a=mid:0", *OPUS]), "m-line is malformed"),
        (description(["m=audio 9 UDP/TLS/RTP/SAVPF 111  0", "a=mid:0", *OPUS]), "m-line is malformed"),
        (description(*(audio(str(n)) for n in range(MAX_SECTIONS + 1))), "more than 64 m-lines"),
        (description(audio("0", *(f"a=ssrc:{n} cname:x" for n in range(MAX_LINES)))), "codec and SSRC attributes"),
        (description(audio("0", "a=x:" + "y" * MAX_BYTES)), "64 KiB"),
        (description(audio("0", "a=x:" + "ä" * (MAX_BYTES // 2))), "64 KiB"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_with_a_sentence(text: str, reason: str) -> None:
    with pytest.raises(SdpError, match=re.escape(reason)) as caught:
        parse_offer(text)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("setup", ["actpass", "active"])
def test_offers_that_let_us_be_the_dtls_server_are_taken(setup: str) -> None:
    assert parse_offer(description(audio("0", f"a=setup:{setup}"))).setup == setup


# Answers


@pytest.mark.parametrize("name", FIXTURES)
def test_answers_have_the_offers_sections_with_only_the_accepted_ones_in_the_bundle_group(name: str) -> None:
    offered = sdp.SessionDescription.parse(FIXTURES[name])
    listening = "whep" in name
    given = sdp.SessionDescription.parse(answered(FIXTURES[name], listening))
    wanted = [media.kind == "audio" for media in offered.media]
    assert [(media.kind, media.rtp.muxId) for media in given.media] == [
        (media.kind, media.rtp.muxId) for media in offered.media
    ]
    assert [media.port != 0 for media in given.media] == wanted
    [bundle] = [group.items for group in given.group if group.semantic == "BUNDLE"]
    assert bundle == [media.rtp.muxId for media, taken in zip(offered.media, wanted, strict=True) if taken]
    for media, theirs, taken in zip(given.media, offered.media, wanted, strict=True):
        assert media.ice is not None
        assert media.ice.iceLite
        assert media.direction == (("sendonly" if listening else "recvonly") if taken else "inactive")
        if taken:
            assert media.dtls is not None
            assert media.dtls.role == "server"
            assert (media.ice.usernameFragment, media.ice.password) == (ICE.ufrag, ICE.pwd)
            offers_red = any(codec.mimeType == "audio/red" for codec in theirs.rtp.codecs)
            wanted_codecs = ["audio/opus", *(["audio/red"] if offers_red and not listening else [])]
            assert [codec.mimeType for codec in media.rtp.codecs] == wanted_codecs
            assert media.rtcp_mux


def test_answer_to_a_publisher_line_by_line() -> None:
    session, [section] = split(answered(FIXTURES["firefox-like-whip"].split("m=video")[0]))
    assert re.fullmatch(r"o=- [0-9]{1,19} 1 IN IP4 192\.0\.2\.7", session.pop(1))
    assert session == [
        "v=0",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=msid-semantic:WMS *",
        "a=ice-lite",
        "a=ice-options:trickle ice2",
    ]
    assert section == [
        "m=audio 40001 UDP/TLS/RTP/SAVPF 109",
        "c=IN IP4 192.0.2.7",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 40001 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::7 40001 typ host",
        "a=end-of-candidates",
        f"a=ice-ufrag:{ICE.ufrag}",
        f"a=ice-pwd:{ICE.pwd}",
        f"a=fingerprint:sha-256 {FINGERPRINT.value}",
        "a=setup:passive",
        "a=mid:0",
        f"a=extmap:1 {AUDIO_LEVEL}",
        f"a=extmap:3 {MID}",
        "a=extmap-allow-mixed",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtpmap:109 opus/48000/2",
        "a=fmtp:109 minptime=10;useinbandfec=1",
        "a=maxptime:60",
    ]


def test_a_section_that_we_send_on_names_its_stream() -> None:
    _, sections = split(answered(FIXTURES["chromium-whep-two-audio"], listening=True))
    for index, section in enumerate(sections):
        assert f"a=msid:room slot{index}" in section
        assert f"a=ssrc:{1000 + index} cname:server" in section
        assert "a=sendonly" in section


def test_candidates_stand_in_the_tagged_section_only() -> None:
    _, sections = split(answered(FIXTURES["chromium-whep-two-audio"], listening=True))
    assert [sum(line.startswith("a=candidate") for line in section) for section in sections] == [2, 0]


def test_a_rejected_section_has_port_0_and_nothing_to_connect_to() -> None:
    session, sections = split(answered(FIXTURES["chromium-whip-video-first-data"]))
    assert "a=group:BUNDLE 1" in session
    video, _, application = sections
    assert video[0].startswith("m=video 0 UDP/TLS/RTP/SAVPF 96 97 ")
    assert video[1:] == ["c=IN IP4 0.0.0.0", "a=mid:0", "a=inactive"]
    assert application[0] == "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"


def test_surplus_slots_are_rejected() -> None:
    text = answered(description(*(audio(str(n), direction="recvonly") for n in range(18))), listening=True)
    ports = [media.port for media in sdp.SessionDescription.parse(text).media]
    assert ports == [40001] * MAX_SLOTS + [0, 0]


def test_the_tag_is_the_offers_first_accepted_one() -> None:
    sections = [
        audio("a", direction="recvonly"),
        audio("b", direction="recvonly"),
        ["m=video 9 RTP/SAVPF 96", "a=mid:v"],
    ]
    session, answers = split(answered(description(*sections, bundle="v b a"), listening=True))
    assert "a=group:BUNDLE b a" in session
    assert [any(line.startswith("a=candidate") for line in section) for section in answers] == [False, True, False]


@pytest.mark.parametrize(
    ("offered", "listening", "expected"),
    [
        ("useinbandfec=1", False, "minptime=10;useinbandfec=1"),
        ("usedtx=1", False, "minptime=10;useinbandfec=1;usedtx=1"),
        ("usedtx=0", False, "minptime=10;useinbandfec=1"),
        ("sprop-stereo=1", False, "minptime=10;useinbandfec=1;stereo=1"),
        ("stereo=1", False, "minptime=10;useinbandfec=1"),
        ("stereo=1", True, "minptime=10;useinbandfec=1;sprop-stereo=1"),
        ("sprop-stereo=1", True, "minptime=10;useinbandfec=1"),
        ("stereo=0;sprop-stereo=0", True, "minptime=10;useinbandfec=1"),
    ],
)
def test_stereo_and_dtx_are_answered_as_rfc_7587_says(offered: str, listening: bool, expected: str) -> None:
    section = [*audio("0", direction="sendrecv")[:-1], f"a=fmtp:111 {offered}"]
    assert f"a=fmtp:111 {expected}\r\n" in answered(description(section), listening)


@pytest.mark.parametrize(("offered", "expected"), [("20", "20"), ("60", "60"), ("120", "60"), ("2.5", "10")])
def test_ptime_is_echoed_between_10_and_60_ms(offered: str, expected: str) -> None:
    text = answered(description(audio("0", f"a=ptime:{offered}")))
    assert f"a=ptime:{expected}\r\na=maxptime:60\r\n" in text


def test_ptime_that_was_not_offered_is_not_answered() -> None:
    assert "a=ptime" not in answered(description(audio("0")))


def test_what_was_not_offered_is_not_answered() -> None:
    text = answered(description(audio("0")))
    for name in ("extmap", "rtcp-rsize", "ssrc", "msid:"):
        assert f"a={name}" not in text


def test_an_extension_with_a_direction_is_answered_with_its_reverse() -> None:
    text = answered(description(audio("0", f"a=extmap:3/sendonly {MID}", f"a=extmap:1 {AUDIO_LEVEL} vad=on")))
    assert f"a=extmap:3/recvonly {MID}\r\n" in text
    assert f"a=extmap:1 {AUDIO_LEVEL}\r\n" in text


def test_an_ipv6_only_server_is_answered_validly() -> None:
    offer = parse_offer(description(audio("0")))
    text = answer(offer, {"0": Receiving()}, ICE, FINGERPRINT, [Candidate("2001:db8:0::1", 5000)])
    assert re.search(r"^o=- \d+ 1 IN IP6 2001:db8::1\r$", text, re.MULTILINE)
    assert "\r\nc=IN IP6 2001:db8::1\r\n" in text


def test_passive_tcp_candidates_come_after_all_of_udp() -> None:
    offer = parse_offer(description(audio("0")))
    candidates = [Candidate("192.0.2.1", 1), Candidate("2001:db8::1", 1)]
    candidates += [Candidate("192.0.2.1", 1, tcp=True), Candidate("2001:db8::1", 1, tcp=True)]
    text = answer(offer, {"0": Receiving()}, ICE, FINGERPRINT, candidates)
    assert "a=candidate:3 1 tcp 1520434687 192.0.2.1 1 typ host tcptype passive\r\n" in text
    [media] = sdp.SessionDescription.parse(text).media
    assert [candidate.protocol for candidate in media.ice_candidates] == ["udp", "udp", "tcp", "tcp"]
    priorities = [candidate.priority for candidate in media.ice_candidates]
    assert priorities == sorted(set(priorities), reverse=True)
    assert len({candidate.foundation for candidate in media.ice_candidates}) == 4


def test_candidates_have_distinct_priorities_in_our_order_and_a_foundation_for_each_address() -> None:
    offer = parse_offer(description(audio("0")))
    candidates = [Candidate("192.0.2.1", 1), Candidate("192.0.2.1", 2), Candidate("2001:db8::1", 1)]
    [media] = sdp.SessionDescription.parse(answer(offer, {"0": Receiving()}, ICE, FINGERPRINT, candidates)).media
    priorities = [candidate.priority for candidate in media.ice_candidates]
    assert sorted(priorities, reverse=True) == priorities
    assert len(set(priorities)) == 3
    assert [candidate.foundation for candidate in media.ice_candidates] == ["1", "1", "3"]
    assert {(c.protocol, c.component, c.type) for c in media.ice_candidates} == {("udp", 1, "host")}
    assert media.ice_candidates_complete


def test_different_sessions_have_different_session_ids_and_the_same_answer_is_the_same_text() -> None:
    offer, use_ = parse_offer(description(audio("0"))), {"0": Receiving()}
    first, again = (answer(offer, use_, ICE, FINGERPRINT, CANDIDATES) for _ in range(2))
    other = answer(offer, use_, IceCredentials.generate(), FINGERPRINT, CANDIDATES)
    assert first == again
    assert first.splitlines()[1] != other.splitlines()[1]


@pytest.mark.parametrize(
    ("accepted", "candidates"),
    [
        ({}, CANDIDATES),
        ({"0": Receiving()}, []),
        ({"9": Receiving()}, CANDIDATES),
        ({"v": Receiving()}, CANDIDATES),
        ({"0": Sending(1, "c", "s", "t")}, CANDIDATES),
        ({"0": Receiving(), "1": Receiving()}, CANDIDATES),
    ],
)
def test_an_answer_that_does_not_fit_the_offer_is_a_mistake_of_ours(
    accepted: Mapping[str, Sending | Receiving], candidates: list[Candidate]
) -> None:
    video = ["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v"]
    offer = parse_offer(description(audio("0"), audio("1"), video, bundle="0 v"))
    with pytest.raises(ValueError, match=r"\."):
        answer(offer, accepted, ICE, FINGERPRINT, candidates)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Candidate("example.org", 5000),
        lambda: Candidate("fe80::1%eth0", 5000),
        lambda: Candidate("127.0.0.1", 0),
        lambda: Candidate("127.0.0.1", 65536),
        lambda: Sending(1 << 32, "c", "s", "t"),
        lambda: Sending(-1, "c", "s", "t"),
        lambda: Sending(1, "c\r\na=x", "s", "t"),
        lambda: Sending(1, "c", "a b", "t"),
        lambda: Sending(1, "c", "s", ""),
        lambda: IceCredentials("abc", "a" * 22),
        lambda: IceCredentials("abcd", "a" * 21),
        lambda: IceCredentials("ab:d", "a" * 22),
    ],
)
def test_values_that_cannot_be_written_into_a_description_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


def test_generated_credentials_are_valid_and_all_different() -> None:
    generated = [IceCredentials.generate() for _ in range(100)]
    assert len({credentials.ufrag for credentials in generated}) == 100
    assert all(len(credentials.pwd) >= 32 for credentials in generated)


@pytest.mark.parametrize("listening", [False, True])
async def test_aiortc_accepts_the_answer(listening: bool) -> None:
    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        for _ in range(2 if listening else 1):
            client.addTransceiver("audio" if listening else AudioStreamTrack(), "recvonly" if listening else "sendonly")
        await client.setLocalDescription(await client.createOffer())
        text = answered(client.localDescription.sdp, listening)
        await client.setRemoteDescription(RTCSessionDescription(text, "answer"))
        directions = [transceiver.currentDirection for transceiver in client.getTransceivers()]
        assert directions == (["recvonly", "recvonly"] if listening else ["sendonly"])
        if listening:
            assert [t.receiver.track.id for t in client.getTransceivers()] == ["slot0", "slot1"]
    finally:
        await client.close()


# Repair


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [
        ("a=rtcp-fb:111 nack", True),
        ("a=rtcp-fb:* nack", True),
        ("a=rtcp-fb:111 transport-cc", False),
        ("a=rtcp-fb:111 nack pli", False),  # of pictures
        ("a=rtcp-fb:0 nack", False),  # of another codec
    ],
)
def test_a_listener_who_offers_nack_may_ask_for_lost_packets(offered: str, agreed: bool) -> None:
    offer = description(audio("0", offered, direction="recvonly"))
    [section] = listener_sections(parse_offer(offer))
    assert section.nack is agreed
    assert ("a=rtcp-fb:111 nack\r\n" in answered(offer, listening=True)) is agreed


def test_a_publisher_who_offers_nack_is_asked_for_lost_packets() -> None:
    offer = description(audio("0", "a=rtcp-fb:111 nack"))
    assert "a=rtcp-fb:111 nack\r\n" in answered(offer)
    assert "rtcp-fb" not in answered(description(audio("0")))


def redundant(formats: str, parameters: str = "111/111", codec: str = "red/48000/2") -> str:
    section = [f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}", "a=mid:0", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2"]
    section += ["a=rtpmap:63 " + codec, f"a=fmtp:63 {parameters}"]
    return description(section, audio("1"))


@pytest.mark.parametrize("formats", ["111 63", "63 111", "0 63 9 111"])
def test_redundant_audio_is_taken_from_publishers_in_their_order_of_preference(formats: str) -> None:
    offer = redundant(formats)
    assert publisher_section(parse_offer(offer)).red == 63
    [line, *section] = split(answered(offer))[1][0]
    wanted = [each for each in formats.split(" ") if each in ("111", "63")]
    assert line.split(" ")[3:] == wanted
    assert "a=rtpmap:63 red/48000/2" in section
    assert "a=fmtp:63 111/111" in section


@pytest.mark.parametrize(("formats", "fec"), [("63 111", 0), ("111 63", 1)])
def test_who_sends_redundant_audio_is_asked_for_no_in_band_fec(formats: str, fec: int) -> None:
    offer = redundant(formats).replace("a=rtpmap:111", "a=fmtp:111 useinbandfec=1\r\na=rtpmap:111")
    assert f"a=fmtp:111 minptime=10;useinbandfec={fec}\r\n" in answered(offer)
    encrypted = answer(parse_offer(offer), {"0": Receiving(red=False)}, ICE, FINGERPRINT, CANDIDATES)
    assert "a=fmtp:111 minptime=10;useinbandfec=1\r\n" in encrypted


def test_an_encrypted_room_takes_no_redundant_audio() -> None:
    offer = parse_offer(redundant("63 111"))
    text = answer(offer, {"0": Receiving(red=False)}, ICE, FINGERPRINT, CANDIDATES)
    assert " red/" not in text
    assert re.search(r"^m=audio \d+ UDP/TLS/RTP/SAVPF 111\r$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("formats", "parameters", "codec"),
    [
        ("111", "111/111", "red/48000/2"),  # not in the m-line
        ("63 111", "0/0", "red/48000/2"),
        ("63 111", "111/0", "red/48000/2"),
        ("63 111", "", "red/48000/2"),
        ("63 111", "111/111", "red/8000"),
    ],
)
def test_redundant_audio_of_anything_but_the_opus_that_is_taken_is_left_out(
    formats: str, parameters: str, codec: str
) -> None:
    offer = redundant(formats, parameters, codec)
    assert publisher_section(parse_offer(offer)).red is None
    assert " red/" not in answered(offer)


@pytest.mark.parametrize(
    ("formats", "lines", "agreed"),
    [
        ("111 63", ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"], 63),
        ("111 63", ["a=rtpmap:63 RED/48000/2", "a=fmtp:63 111/111/111"], 63),
        ("63 111", ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"], 63),
        ("111 63", ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/0"], None),  # other blocks, too
        ("111 63", ["a=rtpmap:63 red/48000/2"], None),
        ("111 63", ["a=rtpmap:63 red/8000", "a=fmtp:63 111/111"], None),
        ("111 70", ["a=rtpmap:70 red/48000/2", "a=fmtp:70 111/111"], None),  # would be taken for RTCP
        ("111", ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"], None),
    ],
)
def test_red_of_opus_is_found_and_answered_where_we_send_it(formats: str, lines: list[str], agreed: int | None) -> None:
    section = audio("0", *lines, direction="recvonly")
    text = description([section[0].replace("111 0", formats), *section[1:]])
    offer = parse_offer(text)
    [section_read] = listener_sections(offer)
    assert section_read.payload_type == 111
    assert section_read.red == agreed
    for red in (False, True):
        uses = {"0": Sending(1, "cname", "room", "slot0", red)}
        _, [answer_lines] = split(answer(offer, uses, ICE, FINGERPRINT, CANDIDATES))
        wanted = formats if red and agreed else "111"
        assert answer_lines[0] == f"m=audio 40001 UDP/TLS/RTP/SAVPF {wanted}"
        assert (f"a=rtpmap:{agreed} red/48000/2" in answer_lines) is (red and agreed is not None)
        assert (f"a=fmtp:{agreed} 111/111" in answer_lines) is (red and agreed is not None)


# Fragments


RESTART = """\
a=ice-options:trickle ice2
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:ysXw
a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ srflx raddr 0.0.0.0 rport 0 generation 0
a=candidate:473322822 1 tcp 1518280447 2001:db8::1 9 typ host tcptype active generation 0 network-cost 50
a=candidate:2073117739 1 UDP 2113937151 6041f8b3-0594-4dc9-bd7a-6ac956883560.local 41516 typ host
a=end-of-candidates
""".replace("\n", "\r\n")


def test_an_ice_restart_fragment_is_read() -> None:
    assert parse_fragment(RESTART) == parse_fragment(RESTART.replace("\r\n", "\n"))
    result = parse_fragment(RESTART)
    assert (result.ufrag, result.pwd, result.mid) == ("ysXw", "vw5LmwG4y/e6dPP/zAP9Gp5k", "0")
    assert (result.candidates, result.complete) == (4, True)


def test_a_fragment_of_one_candidate_or_of_their_end_is_read() -> None:
    one = parse_fragment("m=audio 9 RTP/AVP 0\r\na=mid:a1\r\na=candidate:1 1 udp 1 ::1 9 typ host\r\n")
    assert (one.ufrag, one.pwd, one.mid, one.candidates, one.complete) == (None, None, "a1", 1, False)
    end = parse_fragment("a=end-of-candidates")
    assert (end.mid, end.candidates, end.complete) == (None, 0, True)


def test_unknown_attributes_of_a_fragment_are_ignored() -> None:
    assert parse_fragment("a=end-of-candidates\r\na=something:new\r\na=\r\n\r\n").complete


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither"),
        ("a=mid:0\r\n", "neither"),
        ("hello", "only a= and m= lines"),
        ("v=0\r\na=end-of-candidates", "only a= and m= lines"),
        ("a=ice-ufrag:ysXw", "belong together"),
        ("a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k", "belong together"),
        ("a=ice-ufrag:ysX\r\na=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k", "ICE credentials must be"),
        (RESTART + "a=ice-ufrag:other\r\n", "more than one set"),
        ("a=mid:a b\r\na=end-of-candidates", "not a token"),
        ("a=candidate:", "candidate is malformed"),
        ("a=candidate:1 1 udp 1 127.0.0.1 9", "candidate is malformed"),
        ("a=candidate:1 1 udp 1 127.0.0.1 65536 typ host", "candidate is malformed"),
        ("a=candidate:1 1 udp 1 127.0.0.1 9 typ host generation", "candidate is malformed"),
        ("a=candidate:1 1 udp 99999999999 127.0.0.1 9 typ host", "candidate is malformed"),
        ("a=candidate:" + "1" * 33 + " 1 udp 1 127.0.0.1 9 typ host", "candidate is malformed"),
        ("a=candidate:1 1 udp 1 " + "a" * 256 + " 9 typ host", "candidate is malformed"),
        ("a=candidate:1 1 udp 1 <script> 9 typ host", "candidate is malformed"),
        ("a=x:" + "y" * MAX_BYTES, "64 KiB"),
    ],
)
def test_a_malformed_fragment_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SdpError, match=re.escape(reason)):
        parse_fragment(text)


def test_our_fragment_is_the_one_of_rfc_9725() -> None:
    text = fragment(ICE, [Candidate("198.51.100.1", 39132)], "0")
    assert text.split("\r\n") == [
        "a=ice-lite",
        "a=ice-options:trickle ice2",
        "m=audio 9 RTP/AVP 0",
        "a=mid:0",
        "a=ice-ufrag:289b31b754eaa438",
        "a=ice-pwd:0b66f472495ef0ccac7bda653ab6be49ea13114472a5d10a",
        "a=candidate:1 1 udp 2130706431 198.51.100.1 39132 typ host",
        "a=end-of-candidates",
        "",
    ]


def test_our_fragment_can_be_read_back() -> None:
    result = parse_fragment(fragment(ICE, CANDIDATES, "a"))
    assert (result.ufrag, result.pwd, result.mid) == (ICE.ufrag, ICE.pwd, "a")
    assert (result.candidates, result.complete) == (2, True)


# Fuzzing


def check(text: str) -> None:
    """parse_offer() returns or raises SdpError, and what is not our own refusal was raised inside of aiortc. Whatever
    parses can be answered, and aiortc reads the answer."""
    try:
        offer = parse_offer(text)
    except SdpError as error:
        assert_foreign(error.__cause__)
        return
    for listening in (False, True):
        try:
            sections = listener_sections(offer) if listening else (publisher_section(offer),)
        except SdpError:
            continue
        check_answer(offer, {section.mid: use(section, listening) for section in sections})


def assert_foreign(cause: BaseException | None) -> None:
    if cause is None or (type(cause) is ValueError and "fingerprint" in str(cause)):
        return
    traceback = cause.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback is not None
    assert "aiortc" in traceback.tb_frame.f_code.co_filename, cause


def check_answer(offer: Offer, uses: Mapping[str, Sending | Receiving]) -> None:
    text = answer(offer, uses, ICE, FINGERPRINT, CANDIDATES)
    assert all(line.isascii() and line.isprintable() and line[1] == "=" for line in text.split("\r\n")[:-1])
    given = sdp.SessionDescription.parse(text)
    assert [(media.kind, media.rtp.muxId) for media in given.media] == [
        (section.kind, section.mid) for section in offer.sections
    ]
    assert [media.port != 0 for media in given.media] == [section.mid in uses for section in offer.sections]
    for group in given.group:
        assert group.semantic == "BUNDLE"
        assert set(map(str, group.items)) == set(uses)


numbers = st.sampled_from(["0", "-1", "65536", "4294967296", "9" * 40, "9" * 5000, "1e9", "٣", "1_0", "", " ", "0x10"])
oddities = st.sampled_from([*"\0\x0b\x1c\x85\u2028\ud800\ufeffé\r\n/:;= "])
known_lines = st.sampled_from(sorted({line for text in FIXTURES.values() for line in text.splitlines()}))


shuffled = st.lists(known_lines, max_size=60).map(lambda lines: "\r\n".join(["v=0", *lines]))


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A real offer with a few of its lines deleted, doubled, swapped, replaced, damaged or given odd numbers."""
    lines = draw(st.sampled_from(sorted(FIXTURES.values()))).splitlines()
    places = st.integers(0, 10_000).map(lambda n: n % len(lines))
    for _ in range(draw(st.integers(1, 6))):
        if not lines:
            break
        place, other = draw(places), draw(places)
        match draw(st.integers(0, 7)):
            case 0:
                del lines[place]
            case 1:
                lines.insert(other, lines[place])
            case 2:
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                lines[place] = draw(known_lines)
            case 4:
                lines[place] = re.sub(r"\d+", lambda _: draw(numbers), lines[place], count=draw(st.integers(1, 3)))
            case 5:
                cut = draw(st.integers(0, len(lines[place])))
                lines[place] = lines[place][:cut] + draw(oddities) + lines[place][cut + draw(st.integers(0, 1)) :]
            case 6:
                lines[place] = lines[place][: draw(st.integers(0, len(lines[place])))]
            case _:
                lines[place] = lines[place] + draw(st.sampled_from([" ", ";", "=", ":", "/", " x", "x" * 300, "\t"]))
    return draw(st.sampled_from(["\r\n", "\n"])).join(lines) + "\r\n"


@settings(max_examples=500, deadline=None, derandomize=True)
@given(mutants())
def test_mutated_real_offers_are_answered_or_refused(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(max_size=300), shuffled))
def test_random_text_and_shuffled_lines_are_answered_or_refused(text: str) -> None:
    check(text)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_mutated_fragments_are_read_or_refused(data: st.DataObject) -> None:
    lines = RESTART.splitlines()
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(lines) - 1))
        cut = data.draw(st.integers(0, len(lines[place])))
        lines[place] = lines[place][:cut] + data.draw(st.one_of(st.text(max_size=5), numbers)) + lines[place][cut + 1 :]
    try:
        result = parse_fragment("\r\n".join(lines))
    except SdpError as error:
        assert_foreign(error.__cause__)
        return
    assert (result.ufrag is None) == (result.pwd is None)
    assert 0 <= result.candidates <= len(lines)


@pytest.mark.parametrize("name", FIXTURES)
def test_every_line_of_a_real_offer_may_be_missing_or_doubled(name: str) -> None:
    lines = FIXTURES[name].splitlines()
    for place in range(len(lines)):
        check("\r\n".join(lines[:place] + lines[place + 1 :]))
        check("\r\n".join(lines[: place + 1] + lines[place:]))


def test_an_address_is_written_in_its_short_form() -> None:
    assert Candidate("2001:0DB8::0007", 1).connection == "IN IP6 2001:db8::7"
