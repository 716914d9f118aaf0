"""The offers of WHIP and WHEP clients, and what their answers say (RFC 8866, RFC 9429). Pure."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mediaserver.dtls import FINGERPRINT_ALGORITHMS, Fingerprint

LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
LEVEL_ID = 1
PAYLOAD_TYPE = 111
MAX_ANSWER_BYTES = 1 << 17
"""Of SDP. A conference server's answer to eight sections is about 8 kB."""


class AnswerError(ValueError):
    """An answer that no peer can be made of."""


@dataclass(frozen=True, slots=True)
class Ice:
    ufrag: str
    password: str

    @property
    def pair(self) -> tuple[str, str]:
        return self.ufrag, self.password


@dataclass(frozen=True, slots=True)
class Answer:
    """candidates: UDP, best first. payload_type: of Opus in the first accepted section; level_id: of RFC 6464's
    extension there, 0 when it has none."""

    ice: Ice
    fingerprints: tuple[Fingerprint, ...]
    candidates: tuple[tuple[str, int], ...]
    payload_type: int
    level_id: int


def offer(ice: Ice, fingerprint: Fingerprint, *, sends: bool, sections: int, ssrc: int, cname: str) -> str:
    """Opus alone, on `sections` bundled audio sections. The DTLS role is the client's (RFC 9725 section 4.4.1 allows it
    to be said in the offer). NACK and RED are not offered: what is repaired could not be counted as lost."""
    mids = [str(i) for i in range(sections)]
    lines = [
        "v=0",
        f"o=- {ssrc} 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(mids)}",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS *",
    ]
    for mid in mids:
        lines += [
            f"m=audio 9 UDP/TLS/RTP/SAVPF {PAYLOAD_TYPE}",
            "c=IN IP4 0.0.0.0",
            "a=rtcp:9 IN IP4 0.0.0.0",
            f"a=ice-ufrag:{ice.ufrag}",
            f"a=ice-pwd:{ice.password}",
            "a=ice-options:trickle",
            f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
            "a=setup:active",
            f"a=mid:{mid}",
            f"a=extmap:{LEVEL_ID} {LEVEL_URI}",
            f"a={'sendonly' if sends else 'recvonly'}",
            "a=rtcp-mux",
            f"a=rtpmap:{PAYLOAD_TYPE} opus/48000/2",
            f"a=fmtp:{PAYLOAD_TYPE} minptime=10;useinbandfec=1",
        ]
        if sends:
            lines += [f"a=msid:{cname} {cname}-{mid}", f"a=ssrc:{ssrc} cname:{cname}"]
    return "\r\n".join(lines) + "\r\n"


def parse_answer(text: str, *, ipv6: bool) -> Answer:
    """ipv6: the family of our sockets. AnswerError, with a sentence, when it lacks what a peer needs."""
    if len(text.encode()) > MAX_ANSWER_BYTES:
        raise AnswerError("The answer is too long.")
    parts = re.split(r"^(?=m=)", text, flags=re.MULTILINE)
    session, media = parts[0], [part for part in parts[1:] if not re.match(r"m=\S+ 0 ", part)]
    if not media:
        raise AnswerError("The answer accepts no audio.")
    first = media[0]
    both = first + session  # what a section says goes before what the session says

    ufrag, password = _value(both, "ice-ufrag"), _value(both, "ice-pwd")
    if ufrag is None or password is None:
        raise AnswerError("The answer has no ICE credentials.")
    if (_value(both, "setup") or "") != "passive":
        raise AnswerError("The answer does not take the server's role of DTLS.")
    fingerprints = tuple(_fingerprints(first) or _fingerprints(session))
    if not fingerprints:
        raise AnswerError("The answer has no certificate fingerprint.")
    candidates = _candidates(text, ipv6)
    if not candidates:
        raise AnswerError(f"The answer has no candidate of UDP over IPv{6 if ipv6 else 4}.")
    payload_type = re.search(r"^a=rtpmap:(\d{1,3}) opus/48000", first, re.MULTILINE | re.IGNORECASE)
    if payload_type is None or int(payload_type[1]) > 127:
        raise AnswerError("The answer does not accept Opus.")
    level = re.search(rf"^a=extmap:(\d{{1,3}})(?:/\w+)? {re.escape(LEVEL_URI)}\s*$", first, re.MULTILINE)
    level_id = int(level[1]) if level and 1 <= int(level[1]) <= 14 else 0
    return Answer(Ice(ufrag, password), fingerprints, candidates, int(payload_type[1]), level_id)


def _value(text: str, attribute: str) -> str | None:
    found = re.search(rf"^a={attribute}:(\S+)\s*$", text, re.MULTILINE)
    return found[1] if found else None


def _fingerprints(text: str) -> list[Fingerprint]:
    found = []
    for algorithm, value in re.findall(r"^a=fingerprint:(\S+) (\S+)\s*$", text, re.MULTILINE):
        if algorithm.lower() in FINGERPRINT_ALGORITHMS:
            try:
                found.append(Fingerprint(algorithm.lower(), value.upper()))
            except ValueError as error:
                raise AnswerError(f"The answer's fingerprint cannot be used: {error}") from None
    return found


def _candidates(text: str, ipv6: bool) -> tuple[tuple[str, int], ...]:
    found: dict[tuple[str, int], int] = {}
    pattern = r"^a=candidate:\S+ 1 udp (\d{1,10}) (\S+) (\d{1,5}) typ "
    for priority, address, port in re.findall(pattern, text, re.MULTILINE | re.IGNORECASE):
        try:
            version = ipaddress.ip_address(address).version
        except ValueError:
            continue  # a name: mDNS is for browsers
        if version == (6 if ipv6 else 4) and 0 < int(port) < 65536:
            found.setdefault((address, int(port)), int(priority))
    return tuple(_sorted(found))


def _sorted(found: dict[tuple[str, int], int]) -> Sequence[tuple[str, int]]:
    return sorted(found, key=lambda address: -found[address])
