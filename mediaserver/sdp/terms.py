"""What offers and answers speak of: sections, extensions, and what we do on a section."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mediaserver.dtls import Fingerprint
from mediaserver.sdp.text import TOKEN

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
CSRC_LEVEL = "urn:ietf:params:rtp-hdrext:csrc-audio-level"

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
REVERSED: Mapping[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


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
            if not re.fullmatch(TOKEN, name):
                raise ValueError(f"{name!r} is not a token.")


@dataclass(frozen=True, slots=True)
class Receiving:
    """We receive on a section. red: redundant audio too, where it is offered; which a room whose payloads are encrypted
    end to end cannot take apart."""

    red: bool = True
