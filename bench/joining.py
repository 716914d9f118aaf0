"""Raw peers that join a running server as browsers do: WHIP or WHEP, an ICE check, and DTLS-SRTP by OpenSSL.

Every call blocks until the server has answered. The server's certificate is not compared with its answer: a benchmark
trusts whom it has just started.
"""

from __future__ import annotations

import contextlib
import datetime
import re

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from bench.rawpeer import Address, RawPeer
from mediaserver.dtls import Fingerprint

UFRAG, PASSWORD = "bench", "apasswordof22orsochars"
PROFILE = b"SRTP_AEAD_AES_128_GCM"
MATERIAL_BYTES = 2 * (16 + 12)  # of that profile, RFC 5764 section 4.2
DTLS_1_2 = 0xFEFD


def join(http: httpx.Client, path: str, token: str, direction: str) -> tuple[RawPeer, Address]:
    """A connected peer and where the server takes its packets. direction: `sendonly` for WHIP, `recvonly` for WHEP.
    httpx.HTTPStatusError when the offer is refused, TimeoutError when the server is silent on its media port."""
    identity = _Identity()
    response = http.post(
        path,
        content=_offer(direction, identity.fingerprint),
        headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"},
        auth=httpx.Auth(),  # none but the token
    )
    answer = response.raise_for_status().text
    peer = RawPeer(ufrag=_value(answer, "ice-ufrag"), password=_value(answer, "ice-pwd"), own_ufrag=UFRAG)
    host, port = _value(answer, "candidate").split()[4:6]
    server = host, int(port)
    peer.connect(server)
    peer.use_keys(identity.handshake(peer, server))
    return peer, server


class _Identity:
    """A certificate, and the client's side of a handshake with it."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = Fingerprint.of(crypto.X509.from_cryptography(certificate), "sha-256")
        self._context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        self._context.set_min_proto_version(DTLS_1_2)
        self._context.set_max_proto_version(DTLS_1_2)
        self._context.use_certificate(certificate)
        self._context.use_privatekey(key)
        self._context.set_tlsext_use_srtp(PROFILE)

    def handshake(self, peer: RawPeer, server: Address) -> bytes:
        """Over the peer's socket; the keying material of both sides."""
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                done = False
            else:
                done = True
            with contextlib.suppress(SSL.WantReadError):  # there is nothing to say
                peer.socket.sendto(connection.bio_read(1 << 14), server)  # a flight, which loopback takes in one
            if done:
                return connection.export_keying_material(b"EXTRACTOR-dtls_srtp", MATERIAL_BYTES)
            data = peer.socket.recv(1 << 14)
            if 20 <= data[0] <= 63:  # RFC 7983: DTLS
                connection.bio_write(data)


def _offer(direction: str, fingerprint: Fingerprint) -> str:
    lines = [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 0.0.0.0",
        f"a=ice-ufrag:{UFRAG}",
        f"a=ice-pwd:{PASSWORD}",
        f"a=fingerprint:{fingerprint.algorithm} {fingerprint.value}",
        "a=setup:actpass",
        "a=mid:0",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        f"a={direction}",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
    ]
    return "\r\n".join(lines) + "\r\n"


def _value(answer: str, attribute: str) -> str:
    found = re.search(rf"^a={attribute}:(.*?)\r?$", answer, re.MULTILINE)
    if found is None:
        raise ValueError(f"the answer has no {attribute}")
    return found[1]
