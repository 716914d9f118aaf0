"""From an offer to a peer of the plane: what is agreed on, and where its packets are moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediaserver import negotiation, sdp
from mediaserver.dtls import Certificate
from mediaserver.model.errors import EncryptedRoomError
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.negotiation import Agreement, UnsupportedOfferError
from mediaserver.plane import Driver
from mediaserver.sessions import Session
from mediaserver.settings import Settings

if TYPE_CHECKING:
    from mediaserver._native import PeerStats, Slot


class UnsuitedSessionError(Exception):
    """What a session agreed on cannot be had where it is to go; the message is a sentence for the client."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One that has just been added to the plane. row: of the gain matrix, if it listens to the mix."""

    number: int
    worker: int
    stats: "PeerStats"
    agreed: Agreement
    row: int | None = None


class Peers:
    """Each method adds one to the plane, or raises SdpError or UnsupportedOfferError: then nothing has changed."""

    def __init__(self, settings: Settings, driver: Driver, certificate: Certificate) -> None:
        self._settings = settings
        self._driver = driver
        self._certificate = certificate

    def publisher(self, room: Room, user: str, offer: str) -> Peer:
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_receive(offer, fingerprint, self.candidates(room.home), e2ee=room.e2ee)
        section = agreed.sections[0]
        number = self._driver.next_peer()
        stats = self._driver.plane.add_publisher(
            number,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrcs.of(user),
            payload_type=agreed.payload_types[0],
            level_id=section.level_id,
            report_ssrc=negotiation.random_ssrc(),
            red_payload_type=0 if room.e2ee or section.red is None else section.red,
            nack=section.nack,
        )
        return Peer(number, room.home, stats, agreed)

    def listener(self, room: Room, user: str, offer: str, speakers: Sequence[str]) -> Peer:
        """speakers: whom to put in the slots, in order, instead of the loudest; they have seats."""
        worker = self._driver.listener_worker(room.home)
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_send(offer, fingerprint, self.candidates(worker), e2ee=room.e2ee)
        if len(speakers) > len(agreed.sections):
            raise UnsupportedOfferError("More speakers are named than the offer has audio sections to put them in.")
        peer = self._add_listener(room, user, worker, agreed)
        if speakers:
            self._driver.plane.set_sources(peer.number, [room.csrcs.of(name) for name in speakers])
        return peer

    def mix_listener(self, room: Room, user: str, offer: str, take_row: Callable[[], int]) -> Peer:
        """take_row: called when all is agreed on; what it raises is raised."""
        worker = self._driver.listener_worker(room.home)
        fingerprint = self._certificate.fingerprint
        agreed = negotiation.to_send_mix(offer, fingerprint, self.candidates(worker), room.mix.ptime_ms)
        return self._add_listener(room, user, worker, agreed, take_row())

    def candidates(self, worker: int) -> list[sdp.Candidate]:
        """Where clients find it."""
        bound = self._driver.plane.addresses(worker)
        tcp = self._driver.plane.tcp_addresses(worker)
        return [
            *(sdp.Candidate(address, port) for address, port in self._settings.announced(bound)),
            *(sdp.Candidate(address, port, tcp=True) for address, port in self._settings.announced(tcp)),
        ]

    def _add_listener(self, room: Room, user: str, worker: int, agreed: Agreement, row: int | None = None) -> Peer:
        number = self._driver.next_peer()
        stats = self._driver.plane.add_listener(
            number,
            worker,
            room.id,
            ufrag=agreed.ice.ufrag,
            pwd=agreed.ice.pwd,
            csrc=room.csrcs.of(user),
            slots=self._slots(agreed),
            cname=agreed.sendings[0].cname,
            row=row,
        )
        return Peer(number, worker, stats, agreed, row)

    def _slots(self, agreed: Agreement) -> "list[Slot]":
        return [
            self._driver.make_slot(
                ssrc=sending.ssrc,
                payload_type=payload_type,
                mid=section.mid,
                mid_id=section.mid_id,
                level_id=section.level_id,
                csrc_level_id=section.csrc_level_id,
                red_payload_type=(section.red or 0) if sending.red else 0,
                nack=section.nack,
            )
            for section, payload_type, sending in zip(
                agreed.sections, agreed.payload_types, agreed.sendings, strict=True
            )
        ]


def check_suited(target: Room, session: Session, *, hears_mix: bool) -> None:
    """What a session has agreed on stays as it is, wherever it goes. EncryptedRoomError, UnsuitedSessionError."""
    if target.e2ee and session.direction is Direction.PUBLISH and session.red:
        raise EncryptedRoomError("He sends redundant audio, which cannot be taken apart there; he has to join anew.")
    ptime_ms = target.mix.ptime_ms
    if hears_mix and negotiation.too_long(session.maxptime, ptime_ms):
        raise UnsuitedSessionError(
            f"The other room's mix has packets of {ptime_ms} ms, his client takes {session.maxptime} at most."
        )
