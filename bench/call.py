"""Raw peers that have called a real server: WHIP or WHEP, ICE check, DTLS, SRTP keys.

What a peer may use (RED, NACK) is what the answer accepts, so that the benchmark follows the server's abilities.
"""

from __future__ import annotations

import re
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from bench.processes import Server
from bench.rawpeer import AES_128_GCM, binding_request
from mediaserver import _native

OPUS, RED = 111, 63
LEVEL_ID, MID_ID = 1, 4
KEY_AND_SALT = 16, 12  # bytes, AEAD_AES_128_GCM
SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it


@dataclass(frozen=True)
class Wants:
    """What a peer offers beyond Opus with in-band FEC."""

    red: bool = False
    nack: bool = False


@dataclass(frozen=True)
class Terms:
    """What the answer says. ssrc: the server's stream, 0 for publishers. red: its payload type, None when refused.
    fec: whether the server wants in-band FEC."""

    ufrag: str
    password: str
    address: tuple[str, int]
    ssrc: int
    red: int | None
    nack: bool
    fec: bool
    reduced_size: bool


def write_offer(direction: str, wants: Wants, ssrc: int, ice: tuple[str, str], fingerprint: str) -> str:
    """Of one audio section, as browsers write it. ice: ufrag and password; fingerprint: of SHA-256."""
    ufrag, password = ice
    formats = f"{RED} {OPUS}" if wants.red else f"{OPUS}"
    lines = [
        *("v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=msid-semantic: WMS"),
        *(f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}", "c=IN IP4 0.0.0.0"),
        *(f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "a=ice-options:trickle"),
        *(f"a=fingerprint:sha-256 {fingerprint}", "a=setup:actpass", "a=mid:0"),
        f"a=extmap:{LEVEL_ID} urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        f"a=extmap:{MID_ID} urn:ietf:params:rtp-hdrext:sdes:mid",
        *(f"a={direction}", "a=rtcp-mux", "a=rtcp-rsize"),
        f"a=rtpmap:{OPUS} opus/48000/2",
        f"a=fmtp:{OPUS} minptime=10;useinbandfec=1",
        *([f"a=rtcp-fb:{OPUS} nack"] if wants.nack else []),
        *([f"a=rtpmap:{RED} red/48000/2", f"a=fmtp:{RED} {OPUS}/{OPUS}/{OPUS}"] if wants.red else []),
        *([f"a=ssrc:{ssrc} cname:bench"] if direction == "sendonly" else []),
    ]
    return "\r\n".join(lines) + "\r\n"


def read_answer(answer: str) -> Terms:
    """ValueError when it is not one of ours."""

    def first(pattern: str) -> re.Match[str]:
        found = re.search(pattern, answer, re.M)
        if found is None:
            raise ValueError(f"the answer has no {pattern}:\n{answer}")
        return found

    candidate = first(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host")
    formats = first(r"^m=audio [1-9]\d* \S+ ([\d ]+)")[1].split()
    red = re.search(r"^a=rtpmap:(\d+) red/48000/2", answer, re.M | re.I)
    ssrc = re.search(r"^a=ssrc:(\d+)", answer, re.M)
    return Terms(
        ufrag=first(r"^a=ice-ufrag:(\S+)")[1],
        password=first(r"^a=ice-pwd:(\S+)")[1],
        address=(candidate[1], int(candidate[2])),
        ssrc=int(ssrc[1]) if ssrc else 0,
        red=int(red[1]) if red and red[1] in formats else None,
        nack=bool(re.search(rf"^a=rtcp-fb:({OPUS}|\*) nack\s*$", answer, re.M)),
        fec=bool(re.search(rf"^a=fmtp:{OPUS} (\S+;)?useinbandfec=1\b", answer, re.M)),
        reduced_size="a=rtcp-rsize" in answer,
    )


class _Identity:
    """One certificate for all peers: making one costs more than a handshake."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1))
        certificate = builder.not_valid_after(now + timedelta(days=30)).sign(key, hashes.SHA256())
        self.fingerprint = ":".join(f"{byte:02X}" for byte in certificate.fingerprint(hashes.SHA256()))
        self.context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        self.context.set_options(SSL.OP_NO_QUERY_MTU)
        self.context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
        self.context.use_certificate(certificate)
        self.context.use_privatekey(key)
        self.context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")


@cache
def _identity() -> _Identity:
    return _Identity()


class Peer:
    """A connected session with a socket of its own. ConnectionError when it cannot be made."""

    def __init__(self, server: Server, room: str, user: str, *, publish: bool, wants: Wants, mode: str = "") -> None:
        identity = _identity()
        self.ssrc = secrets.randbelow(2**32 - 1) + 1
        token = server.token(room, user, may_publish=publish)
        direction = "sendonly" if publish else "recvonly"
        offer = write_offer(
            direction, wants, self.ssrc, (secrets.token_hex(4), secrets.token_hex(12)), identity.fingerprint
        )
        path = f"/whip/{quote(room)}" if publish else f"/whep/{quote(room)}?mode={mode}"
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        response = server.http.post(f"{server.url}{path}", content=offer, headers=headers)
        if response.status_code != 201:
            raise ConnectionError(f"{response.status_code}: {response.text}")
        self.terms = read_answer(response.text)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(self.terms.address)
        self.socket.settimeout(3)
        self.check()
        self.material = self._handshake(identity)
        self.socket.setblocking(False)
        key, salt = KEY_AND_SALT
        client_key, server_key = self.material[:key], self.material[key : 2 * key]
        client_salt, server_salt = self.material[2 * key : 2 * key + salt], self.material[2 * key + salt :]
        self.sealer = _native.SrtpSealer(AES_128_GCM, client_key, client_salt)
        self.opener = _native.SrtpOpener(AES_128_GCM, server_key, server_salt)

    def check(self) -> None:
        """A connectivity check, which is consent as well (RFC 7675)."""
        self.socket.send(binding_request("bench", self.terms.ufrag, self.terms.password))

    def _handshake(self, identity: _Identity) -> bytes:
        connection = SSL.Connection(identity.context)
        connection.set_ciphertext_mtu(1200)
        connection.set_connect_state()
        while True:
            try:
                connection.do_handshake()
                done = True
            except SSL.WantReadError:
                done = False
            try:
                while True:
                    self.socket.send(connection.bio_read(1200))
            except SSL.WantReadError:
                pass
            if done:
                key, salt = KEY_AND_SALT
                return bytes(connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt)))
            try:
                data = self.socket.recv(2048)
            except TimeoutError:
                raise ConnectionError("the DTLS handshake is not answered") from None
            if 20 <= data[0] < 64:
                connection.bio_write(data)

    def close(self) -> None:
        self.socket.close()


def open_rtp(material: bytes, packets: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Datagrams of the server as (arrival, plain RTP); what does not authenticate, or is not RTP, is left out."""
    key, salt = KEY_AND_SALT
    opener = _native.SrtpOpener(AES_128_GCM, material[key : 2 * key], material[2 * key + salt :])
    opened = ((arrival, opener.rtp(data)) for arrival, data in packets)
    return [(arrival, plain) for arrival, plain in opened if plain is not None]
