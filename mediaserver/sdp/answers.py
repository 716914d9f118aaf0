"""Our answer to an offer."""

import hashlib
from collections.abc import Mapping, Sequence

from mediaserver.dtls import Fingerprint
from mediaserver.sdp.ice import Candidate, IceCredentials, candidate_lines
from mediaserver.sdp.terms import REVERSED, Offer, Receiving, Section, Sending
from mediaserver.sdp.text import text_of


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
        lines += candidate_lines(candidates) if section.mid == tag else []
        lines += transport
        lines += _media(section, accepted[section.mid])
    return text_of(lines)


def _taken(section: Section, use: Sending | Receiving) -> list[int]:
    """Payload types that we take, in the offer's order: where it sends, the first is what it will send."""
    red = section.red if use.red else None
    return [int(each) for each in section.formats if each in (str(section.payload_type), str(red))]


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
        suffix = "" if extension.direction == "sendrecv" else f"/{REVERSED[extension.direction]}"
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
