"""A peer's offer, read, and the sections of it that are taken."""

from collections.abc import Iterable, Mapping, Sequence

from aiortc import sdp

from mediaserver.dtls import FINGERPRINT_ALGORITHMS, Fingerprint
from mediaserver.sdp.ice import check_credentials
from mediaserver.sdp.sections import section_of
from mediaserver.sdp.terms import Offer, Section
from mediaserver.sdp.text import SdpError, attributes_of, inherited, lines_of, text_of

MAX_SECTIONS = 64
"""m-lines of an offer. Each is answered, so more would make answers long."""

MAX_LINES = 512
"""Codec and SSRC lines of one section; aiortc's time grows with their square. A browser's video section has 120."""

MAX_SLOTS = 16
"""Audio sections that a listener gets streams on; further ones are answered with port 0."""

_SETUPS: Mapping[str, str | None] = {
    "actpass": None,
    "active": None,
    "passive": "The offer insists on being the DTLS server (setup:passive), which this server always is itself.",
    "holdconn": "The offer asks for no connection (setup:holdconn).",
}

# The lines that aiortc reads for us.
_SESSION_LINES = ("v=", "a=group:")
_MEDIA_LINES = ("a=mid:",)
_AUDIO_LINES = ("a=mid:", "a=rtpmap:", "a=fmtp:", "a=ssrc:")


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


def _offer(text: str) -> Offer:
    lines = lines_of(text)
    if not lines or lines[0] != "v=0":
        raise SdpError("This is not a session description: it does not start with v=0.")
    session_lines, groups = sdp.grouplines("\n".join(lines))
    if len(groups) > MAX_SECTIONS:
        raise SdpError(f"The offer has more than {MAX_SECTIONS} m-lines.")
    session, media = attributes_of(session_lines), [attributes_of(group) for group in groups]
    if "ice-lite" in session:
        raise SdpError("The offerer is ICE-lite, as this server is: neither would check connectivity.")
    description = sdp.SessionDescription.parse(_for_aiortc(session_lines, groups))
    sections = tuple(
        section_of(index, groups[index][0], description.media[index], attributes, session)
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
    ufrag, pwd = inherited("ice-ufrag", levels), inherited("ice-pwd", levels)
    if not ufrag or not pwd:
        raise SdpError("The offer has no ICE credentials.")
    check_credentials(ufrag[0], pwd[0])
    if not inherited("rtcp-mux", levels):
        raise SdpError("RTP and RTCP must share a port: the offer has no rtcp-mux.")
    return Offer(
        sections=sections,
        ice_ufrag=ufrag[0],
        ice_pwd=pwd[0],
        fingerprints=_fingerprints(inherited("fingerprint", levels)),
        setup=_setup(inherited("setup", levels)),
        bundle=tuple(dict.fromkeys(bundle)),
    )


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


def _for_aiortc(session_lines: Iterable[str], groups: Iterable[Sequence[str]]) -> str:
    lines = [line for line in session_lines if line.startswith(_SESSION_LINES)]
    for group in groups:
        wanted = _AUDIO_LINES if group[0].startswith("m=audio ") else _MEDIA_LINES
        kept = [line for line in group[1:] if line.startswith(wanted)]
        if len(kept) > MAX_LINES:
            raise SdpError(f"An m-line has more than {MAX_LINES} codec and SSRC attributes.")
        lines += [group[0], *kept]
    return text_of(lines)
