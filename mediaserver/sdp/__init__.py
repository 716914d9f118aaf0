"""Session descriptions: a peer's offer in, our answer out, and the ICE fragments of trickle and restart. Pure text.

    offers.py     an offer, read by aiortc and by sections.py, and which of its sections are taken
    answers.py    what is answered to it
    fragments.py  trickle and restart
    terms.py, ice.py, text.py   what they speak of

Only offers.py and sections.py touch aiortc.sdp. aiortc reads codecs, formats, SSRCs and groups, and raises whatever it
likes on bad input, so parse_offer() turns every failure into SdpError. It is given only the lines it reads for us: what
it makes of a video section that is going to be rejected cannot spoil an audio offer. The attributes it does not know,
knows halfway (ptime, maxptime, extmap with direction and parameters) or applies at one level only (direction, ICE and
DTLS, which may stand at session level or, with BUNDLE, in another section) are read here.

The answerer is ICE-lite (RFC 8445 section 2.5) and always the DTLS server; audio is Opus; RTP and RTCP share one port.
Section numbers of JSEP are those of RFC 9429.
"""

from mediaserver.sdp.answers import answer
from mediaserver.sdp.fragments import Fragment, fragment, parse_fragment
from mediaserver.sdp.ice import Candidate, IceCredentials
from mediaserver.sdp.offers import (
    MAX_LINES,
    MAX_SECTIONS,
    MAX_SLOTS,
    listener_sections,
    parse_offer,
    publisher_section,
)
from mediaserver.sdp.terms import AUDIO_LEVEL, CSRC_LEVEL, MID, Direction, Extension, Offer, Receiving, Section, Sending
from mediaserver.sdp.text import MAX_BYTES, SdpError

__all__ = [
    "AUDIO_LEVEL",
    "CSRC_LEVEL",
    "MAX_BYTES",
    "MAX_LINES",
    "MAX_SECTIONS",
    "MAX_SLOTS",
    "MID",
    "Candidate",
    "Direction",
    "Extension",
    "Fragment",
    "IceCredentials",
    "Offer",
    "Receiving",
    "SdpError",
    "Section",
    "Sending",
    "answer",
    "fragment",
    "listener_sections",
    "parse_fragment",
    "parse_offer",
    "publisher_section",
]
