"""One m-line of an offer and its attributes, read."""

import math
import re
from collections.abc import Iterable, Sequence

from aiortc import sdp

from mediaserver.sdp.terms import AUDIO_LEVEL, CSRC_LEVEL, MID, REVERSED, Direction, Extension, Section
from mediaserver.sdp.text import TOKEN, Attributes, SdpError, inherited

_MEDIA_LINE = re.compile(rf"m=({TOKEN}) ([0-9]{{1,5}})(?:/[0-9]+)? ({TOKEN}(?:/{TOKEN})*) ({TOKEN}(?: {TOKEN})*)")
_EXTMAP = re.compile(r"([0-9]{1,5})(?:/(sendrecv|sendonly|recvonly|inactive))? ([^ ]+)(?: .*)?")

# What a browser may write for DTLS-SRTP (RFC 9429 section 5.1.2); without keys in the description all mean the same.
_PROTOCOLS = frozenset(
    f"{transport}RTP/{profile}" for transport in ("UDP/TLS/", "TCP/DTLS/", "") for profile in ("SAVPF", "SAVP")
)


def section_of(
    index: int, line: str, media: sdp.MediaDescription, attributes: Attributes, session: Attributes
) -> Section:
    match = _MEDIA_LINE.fullmatch(line)
    if match is None or int(match[2]) > 65535:
        raise SdpError("An m-line is malformed.")
    kind, port, protocol, formats = match[1], int(match[2]), match[3], tuple(match[4].split(" "))
    mid = media.rtp.muxId
    if mid and not re.fullmatch(TOKEN, mid):
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
        extmap_allow_mixed=bool(inherited("extmap-allow-mixed", (attributes, session))),
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


def _direction(attributes: Attributes, session: Attributes) -> Direction:
    for level in (attributes, session):
        for direction in REVERSED:
            if direction in level:
                return direction
    return "sendrecv"  # RFC 8866 section 6.7


def _as_direction(value: str) -> Direction:
    return next(direction for direction in REVERSED if direction == value)


def _milliseconds(name: str, attributes: Attributes) -> int | None:
    """A packet time (RFC 8866 section 6.4), rounded up as RFC 7587 section 7 wants 2.5 ms written."""
    for value in attributes.get(name, ()):
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value) or float(value) == 0:
            raise SdpError(f"The {name} attribute is not a number of milliseconds.")
        return math.ceil(float(value))
    return None
