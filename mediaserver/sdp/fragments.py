"""The ICE fragments of trickle and restart (RFC 8840)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from mediaserver.sdp.ice import Candidate, IceCredentials, candidate_lines, check_credentials
from mediaserver.sdp.text import ICE_CHAR, TOKEN, SdpError, attributes_of, lines_of, text_of

_CANDIDATE = re.compile(
    rf"{ICE_CHAR}{{1,32}} [0-9]{{1,3}} {TOKEN} [0-9]{{1,10}} [0-9A-Za-z.:%_-]{{1,255}} ([0-9]{{1,5}}) typ {TOKEN}"
    r"(?: [^ ]+ [^ ]+)*"
)


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


def parse_fragment(text: str) -> Fragment:
    """Reads an application/trickle-ice-sdpfrag. SdpError when it is malformed or says nothing.

    Candidates are checked for their syntax only (RFC 8839 section 5.1); mDNS names are addresses like others."""
    lines = [line for line in lines_of(text) if line]
    if not all(line.startswith(("a=", "m=")) for line in lines):
        raise SdpError("An ICE fragment has only a= and m= lines.")
    attributes = attributes_of(lines)
    mids = attributes.get("mid", ())
    if not all(re.fullmatch(TOKEN, mid) for mid in mids):
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
        check_credentials(ufrag, pwd)
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
        *candidate_lines(candidates),
    ]
    return text_of(lines)
