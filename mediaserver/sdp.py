"""Session descriptions: a peer's offer in, our answer out, and the ICE fragments of trickle and restart. Pure text.

This is the only module that touches aiortc.sdp. aiortc reads codecs, formats, SSRCs and groups, and raises whatever it
likes on bad input, so parse_offer() turns every failure into SdpError. It is given only the lines it reads for us: what
it makes of a video section that is going to be rejected cannot spoil an audio offer. The attributes it does not know,
knows halfway (ptime, maxptime, extmap with direction and parameters) or applies at one level only (direction, ICE and
DTLS, which may stand at session level or, with BUNDLE, in another section) are read here.

The answerer is ICE-lite (RFC 8445 section 2.5) and always the DTLS server; audio is Opus; RTP and RTCP share one port.
Section numbers of JSEP are those of RFC 9429.
"""

import hashlib
import ipaddress
import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aiortc import sdp

from mediaserver.dtls import FINGERPRINT_ALGORITHMS, Fingerprint

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

MAX_BYTES = 64 * 1024
"""Of a description. A browser's offer of 16 audio sections has 20 KiB; more costs parsing time of the event loop."""

MAX_SECTIONS = 64
"""m-lines of an offer. Each is answered, so more would make answers long."""

MAX_LINES = 512
"""Codec and SSRC lines of one section; aiortc's time grows with their square. A browser's video section has 120."""

MAX_SLOTS = 16
"""Audio sections that a listener gets streams on; further ones are answered with port 0."""

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
CSRC_LEVEL = "urn:ietf:params:rtp-hdrext:csrc-audio-level"

_TOKEN = r"[!#-'*+\-.0-9A-Z^-z{|}~]+"  # RFC 8866 section 9
_ICE = r"[0-9A-Za-z+/]"  # ice-char, RFC 8839 section 5.1
_MEDIA_LINE = re.compile(rf"m=({_TOKEN}) ([0-9]{{1,5}})(?:/[0-9]+)? ({_TOKEN}(?:/{_TOKEN})*) ({_TOKEN}(?: {_TOKEN})*)")
_EXTMAP = re.compile(r"([0-9]{1,5})(?:/(sendrecv|sendonly|recvonly|inactive))? ([^ ]+)(?: .*)?")
_CANDIDATE = re.compile(
    rf"{_ICE}{{1,32}} [0-9]{{1,3}} {_TOKEN} [0-9]{{1,10}} [0-9A-Za-z.:%_-]{{1,255}} ([0-9]{{1,5}}) typ {_TOKEN}"
    r"(?: [^ ]+ [^ ]+)*"
)

# What a browser may write for DTLS-SRTP (RFC 9429 section 5.1.2); without keys in the description all mean the same.
_PROTOCOLS = frozenset(
    f"{transport}RTP/{profile}" for transport in ("UDP/TLS/", "TCP/DTLS/", "") for profile in ("SAVPF", "SAVP")
)

_SETUPS: Mapping[str, str | None] = {
    "actpass": None,
    "active": None,
    "passive": "The offer insists on being the DTLS server (setup:passive), which this server always is itself.",
    "holdconn": "The offer asks for no connection (setup:holdconn).",
}

_REVERSED: Mapping[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}

# The lines that aiortc reads for us.
_SESSION_LINES = ("v=", "a=group:")
_MEDIA_LINES = ("a=mid:",)
_AUDIO_LINES = ("a=mid:", "a=rtpmap:", "a=fmtp:", "a=ssrc:")

_Attributes = Mapping[str, Sequence[str]]


class SdpError(ValueError):
    """The peer's description or fragment cannot be used; the message is a sentence for it."""


@dataclass(frozen=True, slots=True)
class Extension:
    """An RTP header extension (RFC 8285 section 5) that we use. direction: as the offerer sees it."""

    id: int
    uri: str
    direction: Direction


@dataclass(frozen=True, slots=True)
class Section:
    """One m-line of an offer with its attributes.

    index: its place, from 0; mid: "" when it has none (never an audio section's case);
    direction: as the offerer sees it; enabled: not disabled by port 0; bundle_only: port 0 because it has no transport
    of its own, which disables nothing (RFC 9143 section 6);
    payload_type: of Opus, None when the section offers no Opus that we can take; fmtp: its parameters (RFC 7587
    section 6.1), names in lower case; ptime, maxptime: in ms; extensions: of those we use, the ones offered for the
    section's direction; red: payload type of redundant audio (RFC 2198) of that Opus, None when it is not offered;
    nack: whether lost packets may be asked for again (RFC 4585 section 4.2), of Opus;
    ssrcs: in the order of their first lines.
    """

    index: int
    kind: str
    protocol: str
    formats: tuple[str, ...]
    mid: str
    direction: Direction
    enabled: bool
    bundle_only: bool
    payload_type: int | None = None
    fmtp: Mapping[str, str] = field(default_factory=dict)
    ptime: int | None = None
    maxptime: int | None = None
    extensions: tuple[Extension, ...] = ()
    extmap_allow_mixed: bool = False
    rtcp_rsize: bool = False
    red: int | None = None
    nack: bool = False
    ssrcs: tuple[int, ...] = ()

    @property
    def acceptable(self) -> bool:
        return self.enabled and self.payload_type is not None

    @property
    def sends(self) -> bool:
        """Whether the offerer would send on it."""
        return self.direction in ("sendonly", "sendrecv")

    @property
    def receives(self) -> bool:
        """Whether the offerer would receive on it."""
        return self.direction in ("recvonly", "sendrecv")

    @property
    def mid_id(self) -> int:
        """The id of the mid header extension (RFC 9143 section 15); 0 when it is not offered."""
        return self._id(MID)

    @property
    def level_id(self) -> int:
        """The id of the audio level header extension (RFC 6464); 0 when it is not offered."""
        return self._id(AUDIO_LEVEL)

    @property
    def csrc_level_id(self) -> int:
        """The id of the mixer-to-client audio level header extension (RFC 6465); 0 when it is not offered."""
        return self._id(CSRC_LEVEL)

    def _id(self, uri: str) -> int:
        return next((extension.id for extension in self.extensions if extension.uri == uri), 0)


@dataclass(frozen=True, slots=True)
class Offer:
    """All m-lines in order, and the transport of the first acceptable audio section: with BUNDLE it is everybody's.

    ice_pwd is the peer's secret. fingerprints: at least one, of algorithms we know. setup: "actpass" or "active".
    bundle: the mids of that section's BUNDLE group, in the offer's order; empty when it is in none.
    """

    sections: tuple[Section, ...]
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[Fingerprint, ...]
    setup: str
    bundle: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Our side's ufrag and password (RFC 8839 section 5.4). ValueError when they are not."""

    ufrag: str
    pwd: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_ice(self.ufrag, self.pwd)

    @classmethod
    def generate(cls) -> "IceCredentials":
        """64 and 192 random bits, in characters that need no quoting in URLs and ETags."""
        return cls(secrets.token_hex(8), secrets.token_hex(24))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host candidate: an IPv4 or IPv6 address, without zone, and a UDP port; `tcp`: a TCP port to which clients
    connect (RFC 6544). ValueError when it is not."""

    address: str
    port: int
    tcp: bool = False

    def __post_init__(self) -> None:
        ip = ipaddress.ip_address(self.address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
            raise ValueError(f"{self.address} has a zone, which means nothing to others.")
        if not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is not a port.")

    @property
    def connection(self) -> str:
        """As a c= line has it (RFC 8866 section 5.7)."""
        ip = ipaddress.ip_address(self.address)
        return f"IN IP{ip.version} {ip.compressed}"


@dataclass(frozen=True, slots=True)
class Sending:
    """We send one stream on a section. cname: RTCP's (RFC 7022); stream, track: the ids of its msid (RFC 8830);
    red: whether in RED, too, where that is offered.
    ValueError when a name is not a token, so cannot be written into a description."""

    ssrc: int
    cname: str
    stream: str
    track: str
    red: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.ssrc < 1 << 32:
            raise ValueError(f"{self.ssrc} is not an SSRC.")
        for name in (self.cname, self.stream, self.track):
            if not re.fullmatch(_TOKEN, name):
                raise ValueError(f"{name!r} is not a token.")


@dataclass(frozen=True, slots=True)
class Receiving:
    """We receive on a section. red: redundant audio too, where it is offered; which a room whose payloads are encrypted
    end to end cannot take apart."""

    red: bool = True


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a trickle-ice-sdpfrag says (RFC 8840 section 9).

    ufrag, pwd: both or neither; new ones ask for an ICE restart (RFC 9725 section 4.3.3). mid: of its first m-line.
    candidates: their number; an ICE-lite agent has no use for the rest. complete: no more will follow.
    """

    ufrag: str | None
    pwd: str | None = field(repr=False)
    mid: str | None
    candidates: int
    complete: bool


def parse_offer(text: str) -> Offer:
    """Reads an offer. SdpError when it is malformed or cannot be answered by an ICE-lite, DTLS-passive audio server."""
    try:
        return _offer(text)
    except SdpError:
        raise
    except Exception as error:
        raise SdpError("The session description is malformed.") from error


def publisher_section(offer: Offer) -> Section:
    """The section that a WHIP publisher's audio is taken from: the first that sends Opus. SdpError when none does."""
    section = next((section for section in offer.sections if section.acceptable and section.sends), None)
    if section is None:
        raise SdpError("The offer has no audio section that sends Opus.")
    _require_bundle(offer, [section])
    return section


def listener_sections(offer: Offer) -> tuple[Section, ...]:
    """The sections that a WHEP listener gets streams on: the first MAX_SLOTS that receive Opus. SdpError when none."""
    sections = tuple(section for section in offer.sections if section.acceptable and section.receives)[:MAX_SLOTS]
    if not sections:
        raise SdpError("The offer has no audio section that receives Opus.")
    _require_bundle(offer, sections)
    return sections


def answer(
    offer: Offer,
    accepted: Mapping[str, Sending | Receiving],
    ice: IceCredentials,
    fingerprint: Fingerprint,
    candidates: Sequence[Candidate],
) -> str:
    """The answer that takes the sections whose mids are in `accepted` and rejects all others with port 0.

    accepted: what we do on each section by its mid, of publisher_section() or listener_sections();
    candidates: where the plane listens, the preferred first, at least one.
    ValueError when these do not fit the offer or each other.
    """
    _check_accepted(offer, accepted)
    if not candidates:
        raise ValueError("An ICE-lite agent needs a candidate.")
    mids = [section.mid for section in offer.sections if section.mid in accepted]
    bundle = [mid for mid in offer.bundle if mid in accepted]
    if len(mids) > 1 and len(bundle) != len(mids):
        raise ValueError("Sections outside of one BUNDLE group cannot be accepted together.")
    tag = bundle[0] if bundle else mids[0]
    # The session id must differ between sessions and nothing else (RFC 8866 section 5.2); the ufrag does.
    session = int.from_bytes(hashlib.sha256(ice.ufrag.encode()).digest()[:8], "big") >> 2
    lines = [
        "v=0",
        f"o=- {session} 1 {candidates[0].connection}",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {' '.join(bundle)}"] if bundle else []),
        "a=msid-semantic:WMS *",
        "a=ice-lite",
        "a=ice-options:trickle ice2",
    ]
    # Credentials, fingerprint and role stand in every accepted section, as in browsers' answers: not every client
    # looks for them at session level or in the tagged section. Candidates belong in the tagged one (RFC 9143).
    transport = [
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.pwd}",
        f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
        "a=setup:passive",
    ]
    for section in offer.sections:
        if section.mid not in accepted:
            lines += _rejected(section)
            continue
        formats = " ".join(map(str, _taken(section, accepted[section.mid])))
        lines.append(f"m={section.kind} {candidates[0].port} {section.protocol} {formats}")
        lines.append(f"c={candidates[0].connection}")
        lines += _candidate_lines(candidates) if section.mid == tag else []
        lines += transport
        lines += _media(section, accepted[section.mid])
    return _text(lines)


def parse_fragment(text: str) -> Fragment:
    """Reads an application/trickle-ice-sdpfrag. SdpError when it is malformed or says nothing.

    Candidates are checked for their syntax only (RFC 8839 section 5.1); mDNS names are addresses like others."""
    lines = [line for line in _lines(text) if line]
    if not all(line.startswith(("a=", "m=")) for line in lines):
        raise SdpError("An ICE fragment has only a= and m= lines.")
    attributes = _attributes(lines)
    mids = attributes.get("mid", ())
    if not all(re.fullmatch(_TOKEN, mid) for mid in mids):
        raise SdpError("A mid is not a token.")
    for candidate in attributes.get("candidate", ()):
        match = _CANDIDATE.fullmatch(candidate)
        if match is None or int(match[1]) > 65535:
            raise SdpError("An ICE candidate is malformed.")
    # With BUNDLE all m-lines have the same credentials; different ones would be transports that we do not have.
    ufrags, pwds = set(attributes.get("ice-ufrag", ())), set(attributes.get("ice-pwd", ()))
    if len(ufrags) > 1 or len(pwds) > 1:
        raise SdpError("The fragment has more than one set of ICE credentials.")
    ufrag, pwd = next(iter(ufrags), None), next(iter(pwds), None)
    if (ufrag is None) != (pwd is None):
        raise SdpError("An ICE ufrag and a password belong together.")
    if ufrag is not None and pwd is not None:
        _check_ice(ufrag, pwd)
    number, complete = len(attributes.get("candidate", ())), "end-of-candidates" in attributes
    if ufrag is None and not number and not complete:
        raise SdpError("The fragment has neither ICE credentials nor candidates.")
    return Fragment(ufrag, pwd, next(iter(mids), None), number, complete)


def fragment(ice: IceCredentials, candidates: Sequence[Candidate], mid: str) -> str:
    """Our side of an ICE restart: new credentials and all candidates (RFC 9725 section 4.3.3). mid: the tagged one."""
    lines = [
        "a=ice-lite",
        "a=ice-options:trickle ice2",
        "m=audio 9 RTP/AVP 0",  # a pseudo m-line: only the mid counts, RFC 8840 section 9.1
        f"a=mid:{mid}",
        f"a=ice-ufrag:{ice.ufrag}",
        f"a=ice-pwd:{ice.pwd}",
        *_candidate_lines(candidates),
    ]
    return _text(lines)


def _offer(text: str) -> Offer:
    lines = _lines(text)
    if not lines or lines[0] != "v=0":
        raise SdpError("This is not a session description: it does not start with v=0.")
    session_lines, groups = sdp.grouplines("\n".join(lines))
    if len(groups) > MAX_SECTIONS:
        raise SdpError(f"The offer has more than {MAX_SECTIONS} m-lines.")
    session, media = _attributes(session_lines), [_attributes(group) for group in groups]
    if "ice-lite" in session:
        raise SdpError("The offerer is ICE-lite, as this server is: neither would check connectivity.")
    description = sdp.SessionDescription.parse(_for_aiortc(session_lines, groups))
    sections = tuple(
        _section(index, groups[index][0], description.media[index], attributes, session)
        for index, attributes in enumerate(media)
    )
    mids = [section.mid for section in sections if section.mid]
    if len(set(mids)) != len(mids):
        raise SdpError("Two m-lines have the same mid.")
    first = next((section for section in sections if section.acceptable), None)
    if first is None:
        raise SdpError("The offer has no audio section with Opus at 48 kHz.")
    bundles = [[str(mid) for mid in group.items] for group in description.group if group.semantic == "BUNDLE"]
    bundle = next((bundle for bundle in bundles if first.mid in bundle), [])
    tag = next((section.index for section in sections if section.mid in bundle[:1]), first.index)
    # What the section does not say itself, the session or its group's tagged section says for it.
    levels = (media[first.index], session, media[tag])
    ufrag, pwd = _inherited("ice-ufrag", levels), _inherited("ice-pwd", levels)
    if not ufrag or not pwd:
        raise SdpError("The offer has no ICE credentials.")
    _check_ice(ufrag[0], pwd[0])
    if not _inherited("rtcp-mux", levels):
        raise SdpError("RTP and RTCP must share a port: the offer has no rtcp-mux.")
    return Offer(
        sections=sections,
        ice_ufrag=ufrag[0],
        ice_pwd=pwd[0],
        fingerprints=_fingerprints(_inherited("fingerprint", levels)),
        setup=_setup(_inherited("setup", levels)),
        bundle=tuple(dict.fromkeys(bundle)),
    )


def _section(
    index: int, line: str, media: sdp.MediaDescription, attributes: _Attributes, session: _Attributes
) -> Section:
    match = _MEDIA_LINE.fullmatch(line)
    if match is None or int(match[2]) > 65535:
        raise SdpError("An m-line is malformed.")
    kind, port, protocol, formats = match[1], int(match[2]), match[3], tuple(match[4].split(" "))
    mid = media.rtp.muxId
    if mid and not re.fullmatch(_TOKEN, mid):
        raise SdpError("A mid is not a token.")
    bundle_only = port == 0 and "bundle-only" in attributes
    enabled = port != 0 or bundle_only
    direction = _direction(attributes, session)
    if kind != "audio":
        return Section(index, kind, protocol, formats, mid, direction, enabled, bundle_only)
    if not 0 < len(mid) <= 16:
        raise SdpError("An audio section's mid must have 1 to 16 characters, to fit a one-byte header extension.")
    payload_type, fmtp = _opus(media, formats) if protocol in _PROTOCOLS else (None, {})
    return Section(
        index,
        kind,
        protocol,
        formats,
        mid,
        direction,
        enabled,
        bundle_only,
        payload_type,
        fmtp,
        ptime=_milliseconds("ptime", attributes),
        maxptime=_milliseconds("maxptime", attributes),
        extensions=_extensions([*attributes.get("extmap", ()), *session.get("extmap", ())], direction),
        extmap_allow_mixed=bool(_inherited("extmap-allow-mixed", (attributes, session))),
        rtcp_rsize="rtcp-rsize" in attributes,
        red=_red(media, formats, payload_type),
        nack=any(f"{which} nack" in attributes.get("rtcp-fb", ()) for which in (payload_type, "*")),
        ssrcs=_ssrcs(media),
    )


def _opus(media: sdp.MediaDescription, formats: Sequence[str]) -> tuple[int | None, dict[str, str]]:
    """Payload type and parameters of the first Opus that the m-line lists, always opus/48000/2 (RFC 7587 section 7)."""
    codecs = {codec.payloadType: codec for codec in reversed(media.rtp.codecs)}
    for payload_type in map(int, formats):
        codec = codecs.get(payload_type)
        if codec is None or (codec.mimeType.lower(), codec.clockRate, codec.channels) != ("audio/opus", 48000, 2):
            continue
        if payload_type > 127 or 64 <= payload_type <= 95:  # RTCP's packet types, with rtcp-mux: RFC 5761 section 4
            continue
        parameters = {name.strip().lower(): value for name, value in codec.parameters.items()}
        return payload_type, {name: "" if value is None else str(value).strip() for name, value in parameters.items()}
    return None, {}


def _red(media: sdp.MediaDescription, formats: Sequence[str], opus: int | None) -> int | None:
    """Payload type of red/48000/2 that says it is of this Opus alone (RFC 2198 section 5)."""
    if opus is None:
        return None
    for codec in media.rtp.codecs:
        payload_type = codec.payloadType
        if payload_type is None or (codec.mimeType.lower(), codec.clockRate, codec.channels) != ("audio/red", 48000, 2):
            continue
        blocks = next(iter(codec.parameters), "")
        usable = payload_type <= 127 and not 64 <= payload_type <= 95 and str(payload_type) in formats
        if usable and len(codec.parameters) == 1 and set(blocks.split("/")) == {str(opus)}:
            return payload_type
    return None


def _taken(section: Section, use: Sending | Receiving) -> list[int]:
    """Payload types that we take, in the offer's order: where it sends, the first is what it will send."""
    red = section.red if use.red else None
    return [int(each) for each in section.formats if each in (str(section.payload_type), str(red))]


def _ssrcs(media: sdp.MediaDescription) -> tuple[int, ...]:
    ssrcs = tuple(description.ssrc for description in media.ssrc)
    if not all(0 <= ssrc < 1 << 32 for ssrc in ssrcs):
        raise SdpError("An SSRC does not have 32 bits.")
    return ssrcs


def _extensions(values: Iterable[str], direction: Direction) -> tuple[Extension, ...]:
    """Those we use. One that is offered for another direction than the section's counts as not offered."""
    found: dict[str, Extension] = {}
    for value in values:
        match = _EXTMAP.fullmatch(value)
        if match is None:
            raise SdpError("An extmap attribute is malformed.")
        number, uri = int(match[1]), match[3]
        extension = Extension(number, uri, _as_direction(match[2] or "sendrecv"))
        # 15 is reserved, and above 255 are ids that the answerer would have to choose (RFC 8285 sections 4.2 and 7).
        if (
            uri in (MID, AUDIO_LEVEL, CSRC_LEVEL)
            and 1 <= number <= 255
            and number != 15
            and _covers(extension.direction, direction)
        ):
            found.setdefault(uri, extension)
    if len({extension.id for extension in found.values()}) != len(found):
        raise SdpError("Two header extensions have the same id.")
    return tuple(found.values())


def _covers(offered: Direction, used: Direction) -> bool:
    return offered in ("sendrecv", used)


def _direction(attributes: _Attributes, session: _Attributes) -> Direction:
    for level in (attributes, session):
        for direction in _REVERSED:
            if direction in level:
                return direction
    return "sendrecv"  # RFC 8866 section 6.7


def _as_direction(value: str) -> Direction:
    return next(direction for direction in _REVERSED if direction == value)


def _milliseconds(name: str, attributes: _Attributes) -> int | None:
    """A packet time (RFC 8866 section 6.4), rounded up as RFC 7587 section 7 wants 2.5 ms written."""
    for value in attributes.get(name, ()):
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) == 0:
            raise SdpError(f"The {name} attribute is not a number of milliseconds.")
        return math.ceil(float(value))
    return None


def _fingerprints(values: Iterable[str]) -> tuple[Fingerprint, ...]:
    fingerprints = []
    for value in values:
        algorithm, _, pairs = value.partition(" ")
        if algorithm.lower() not in FINGERPRINT_ALGORITHMS:
            continue
        try:
            fingerprints.append(Fingerprint(algorithm.lower(), pairs.upper()))
        except ValueError as error:
            raise SdpError(str(error)) from error
    if not fingerprints:
        raise SdpError("The offer has no certificate fingerprint of SHA-256, SHA-384 or SHA-512.")
    return tuple(fingerprints)


def _setup(values: Sequence[str]) -> str:
    if not values or values[0] not in _SETUPS:
        raise SdpError("The offer has no valid DTLS setup attribute.")
    refusal = _SETUPS[values[0]]
    if refusal is not None:
        raise SdpError(refusal)
    return values[0]


def _require_bundle(offer: Offer, sections: Sequence[Section]) -> None:
    """All must share the offer's transport, that of its first acceptable section. The one that becomes the BUNDLE tag
    must have a transport of its own, unless it is the offerer's tag too (RFC 9143 section 7.3.1)."""
    first = next(section for section in offer.sections if section.acceptable)
    if not all(section is first or section.mid in offer.bundle for section in sections):
        raise SdpError("The audio sections are not in one BUNDLE group.")
    tag = min(sections, key=lambda section: offer.bundle.index(section.mid) if section.mid in offer.bundle else 0)
    if tag.bundle_only and tag.mid not in offer.bundle[:1]:
        raise SdpError("The BUNDLE group begins with a section that is rejected; its audio must come first.")


def _check_accepted(offer: Offer, accepted: Mapping[str, Sending | Receiving]) -> None:
    if not accepted:
        raise ValueError("Nothing is accepted.")
    sections = {section.mid: section for section in offer.sections if section.acceptable}
    for mid, use in accepted.items():
        section = sections.get(mid)
        if section is None:
            raise ValueError(f"The offer has no acceptable section {mid!r}.")
        if not (section.receives if isinstance(use, Sending) else section.sends):
            raise ValueError(f"Section {mid!r} is {section.direction}.")


def _rejected(section: Section) -> list[str]:
    formats = " ".join(section.formats)
    return [
        f"m={section.kind} 0 {section.protocol} {formats}",
        "c=IN IP4 0.0.0.0",
        *([f"a=mid:{section.mid}"] if section.mid else []),
        "a=inactive",
    ]


def _media(section: Section, use: Sending | Receiving) -> list[str]:
    """The attributes of an accepted section but those of its transport."""
    sending = isinstance(use, Sending)
    lines = [f"a=mid:{section.mid}"]
    for extension in section.extensions:
        suffix = "" if extension.direction == "sendrecv" else f"/{_REVERSED[extension.direction]}"
        lines.append(f"a=extmap:{extension.id}{suffix} {extension.uri}")
    if section.extmap_allow_mixed:
        lines.append("a=extmap-allow-mixed")
    lines.append("a=sendonly" if sending else "a=recvonly")
    if isinstance(use, Sending):
        lines.append(f"a=msid:{use.stream} {use.track}")
    lines.append("a=rtcp-mux")
    if section.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    # Who sends copies of whole frames needs none inside of them: those cost sound (docs/decisions.md).
    taken = _taken(section, use)
    fec = sending or taken[0] == section.payload_type
    # In the m-line's order, since some clients (werift) go by that of these lines.
    for payload_type in taken:
        if payload_type == section.payload_type:
            lines.append(f"a=rtpmap:{payload_type} opus/48000/2")
            lines.append(f"a=fmtp:{payload_type} {_fmtp(section.fmtp, sending, fec)}")
        else:
            lines.append(f"a=rtpmap:{payload_type} red/48000/2")
            lines.append(f"a=fmtp:{payload_type} {section.payload_type}/{section.payload_type}")
    if section.nack:
        lines.append(f"a=rtcp-fb:{section.payload_type} nack")
    if section.ptime is not None:
        lines.append(f"a=ptime:{min(max(section.ptime, 10), 60)}")
    lines.append("a=maxptime:60")
    if isinstance(use, Sending):
        lines.append(f"a=ssrc:{use.ssrc} cname:{use.cname}")
    return lines


def _fmtp(offered: Mapping[str, str], sending: bool, fec: bool) -> str:
    """RFC 7587 section 6.1. fec: whether we want in-band FEC. `stereo` is what a receiver prefers and `sprop-stereo`
    what a sender will do, so each is the answer to the other; what the offerer says in its other role is nothing to
    us."""
    parameters = ["minptime=10", f"useinbandfec={int(fec)}"]
    if offered.get("usedtx") == "1":
        parameters.append("usedtx=1")
    if sending and offered.get("stereo") == "1":
        parameters.append("sprop-stereo=1")
    if not sending and offered.get("sprop-stereo") == "1":
        parameters.append("stereo=1")
    return ";".join(parameters)


def _candidate_lines(candidates: Sequence[Candidate]) -> list[str]:
    """Host candidates in the given order of preference (RFC 8445 section 5.1.2.1), but TCP after UDP. Those of one
    address and protocol share a foundation (section 5.1.1.3)."""
    bases = [(candidate.connection, candidate.tcp) for candidate in candidates]
    lines = []
    for place, candidate in enumerate(candidates):
        foundation = bases.index(bases[place]) + 1
        address = candidate.connection.split(" ")[2]
        if candidate.tcp:
            # RFC 6544 section 4.2: a type preference below all of UDP's, and 4 for the direction of a passive one.
            priority = (90 << 24) + ((4 << 13 | 8191 - place) << 8) + 255
            protocol, kind = "tcp", "host tcptype passive"
        else:
            priority = (126 << 24) + ((65535 - place) << 8) + 255
            protocol, kind = "udp", "host"
        lines.append(f"a=candidate:{foundation} 1 {protocol} {priority} {address} {candidate.port} typ {kind}")
    return [*lines, "a=end-of-candidates"]


def _lines(text: str) -> list[str]:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise SdpError(f"A description of more than {MAX_BYTES // 1024} KiB is not read.")
    return text.splitlines()


def _text(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _attributes(lines: Iterable[str]) -> dict[str, list[str]]:
    """The values of each attribute in order; an attribute without a value has the value ""."""
    attributes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attributes.setdefault(name, []).append(value)
    return attributes


def _inherited(name: str, levels: Iterable[_Attributes]) -> Sequence[str]:
    return next((level[name] for level in levels if name in level), ())


def _for_aiortc(session_lines: Iterable[str], groups: Iterable[Sequence[str]]) -> str:
    lines = [line for line in session_lines if line.startswith(_SESSION_LINES)]
    for group in groups:
        wanted = _AUDIO_LINES if group[0].startswith("m=audio ") else _MEDIA_LINES
        kept = [line for line in group[1:] if line.startswith(wanted)]
        if len(kept) > MAX_LINES:
            raise SdpError(f"An m-line has more than {MAX_LINES} codec and SSRC attributes.")
        lines += [group[0], *kept]
    return _text(lines)


def _check_ice(ufrag: str, pwd: str) -> None:
    if not re.fullmatch(rf"{_ICE}{{4,256}}", ufrag) or not re.fullmatch(rf"{_ICE}{{22,256}}", pwd):
        raise SdpError("ICE credentials must be 4 to 256 and 22 to 256 letters, digits, + and /.")
