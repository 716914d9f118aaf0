"""What an offer and our answer to it agree on: which sections carry audio, with which SSRCs and credentials. Pure."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mediaserver import sdp
from mediaserver.dtls import Fingerprint

# All slots are tracks of one MediaStream, so that a player that knows nothing of slots plays them all.
STREAM = "room"

T = TypeVar("T")


class UnsupportedOfferError(ValueError):
    """The offer is well-formed but has no section that can be served; the message is a sentence for the client."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """`sections` are those that carry audio; `sendings` ours on them in the same order, none when we receive; red:
    whether redundant audio was agreed on."""

    offer: sdp.Offer
    sections: tuple[sdp.Section, ...]
    sendings: tuple[sdp.Sending, ...]
    ice: sdp.IceCredentials
    answer: str
    red: bool

    @property
    def maxptime(self) -> int | None:
        """The longest packets that the client takes, in ms; None when it does not say."""
        return min((section.maxptime for section in self.sections if section.maxptime is not None), default=None)

    @property
    def remote_ice(self) -> tuple[str, str]:
        """The client's ufrag and password."""
        return self.offer.ice_ufrag, self.offer.ice_pwd

    @property
    def payload_types(self) -> tuple[int, ...]:
        """Of Opus, in each of `sections`."""
        return tuple(section.payload_type for section in self.sections if section.payload_type is not None)

    @property
    def mid(self) -> str:
        """Of the section that the ICE attributes belong to: the first of the BUNDLE group that is served."""
        mids = [section.mid for section in self.sections]
        return next((mid for mid in self.offer.bundle if mid in mids), mids[0])


def to_receive(
    offer_text: str, fingerprint: Fingerprint, candidates: Sequence[sdp.Candidate], *, e2ee: bool = False
) -> Agreement:
    """For a publisher. SdpError or UnsupportedOfferError."""
    offer = sdp.parse_offer(offer_text)
    section = _choose(sdp.publisher_section, offer)
    return _agree(offer, [(section, sdp.Receiving(red=not e2ee))], fingerprint, candidates)


def to_send(
    offer_text: str, fingerprint: Fingerprint, candidates: Sequence[sdp.Candidate], *, e2ee: bool = False
) -> Agreement:
    """For a listener: one stream on each audio section that it wants to receive. SdpError or UnsupportedOfferError."""
    offer = sdp.parse_offer(offer_text)
    return _agree_to_send(offer, _choose(sdp.listener_sections, offer), fingerprint, candidates, red=not e2ee)


def slots_offered(offer_text: str) -> int:
    """On how many audio sections a listener's offer wants to receive. SdpError or UnsupportedOfferError."""
    return len(_choose(sdp.listener_sections, sdp.parse_offer(offer_text)))


def to_send_mix(
    offer_text: str, fingerprint: Fingerprint, candidates: Sequence[sdp.Candidate], ptime_ms: int
) -> Agreement:
    """For a listener to the mix: one stream, on the first audio section that it wants to receive. ptime_ms: of our
    packets. SdpError or UnsupportedOfferError."""
    offer = sdp.parse_offer(offer_text)
    section = _choose(sdp.listener_sections, offer)[0]
    if too_long(section.maxptime, ptime_ms):
        raise UnsupportedOfferError(
            f"The mix has packets of {ptime_ms} ms, the offer takes {section.maxptime} at most."
        )
    return _agree_to_send(offer, (section,), fingerprint, candidates, red=True)


def too_long(maxptime: int | None, ptime_ms: int) -> bool:
    """Whether a client that said so takes no packets of this length."""
    return maxptime is not None and maxptime < ptime_ms


def _agree_to_send(
    offer: sdp.Offer,
    sections: tuple[sdp.Section, ...],
    fingerprint: Fingerprint,
    candidates: Sequence[sdp.Candidate],
    *,
    red: bool,
) -> Agreement:
    cname = secrets.token_hex(8)
    ssrcs: set[int] = set()
    while len(ssrcs) < len(sections):
        ssrcs.add(random_ssrc())
    sendings = [sdp.Sending(ssrc, cname, STREAM, f"slot{place}", red) for place, ssrc in enumerate(sorted(ssrcs))]
    return _agree(offer, list(zip(sections, sendings, strict=True)), fingerprint, candidates)


def random_ssrc() -> int:
    """RFC 3550 section 8; never 0, which some receivers take for none."""
    return secrets.randbelow((1 << 32) - 1) + 1


def _choose(choose: Callable[[sdp.Offer], T], offer: sdp.Offer) -> T:
    try:
        return choose(offer)
    except sdp.SdpError as error:
        raise UnsupportedOfferError(str(error)) from None


def _agree(
    offer: sdp.Offer,
    uses: Sequence[tuple[sdp.Section, sdp.Sending | sdp.Receiving]],
    fingerprint: Fingerprint,
    candidates: Sequence[sdp.Candidate],
) -> Agreement:
    ice = sdp.IceCredentials.generate()
    sections = tuple(section for section, _ in uses)
    sendings = tuple(use for _, use in uses if isinstance(use, sdp.Sending))
    accepted = {section.mid: use for section, use in uses}
    red = any(section.red is not None and use.red for section, use in uses)
    return Agreement(offer, sections, sendings, ice, sdp.answer(offer, accepted, ice, fingerprint, candidates), red)
