"""The client's side of DTLS-SRTP (RFC 5764) over DTLS 1.2, for many peers that share one certificate.

As mediaserver/dtls.py: datagrams in, datagrams out, OpenSSL on memory BIOs. Two things are simpler than there. The
timer is OpenSSL's own, 1 s and doubling: on a path that loses packets, joins are slower than a browser's by that. And
nothing follows the handshake: its state is freed once the keys are there, since the client's last flight has been
answered by then.
"""

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

from mediaserver.dtls import MTU, Fingerprint, Keys, make_certificate

_DTLS_1_2 = 0xFEFD
_HEADER = 13  # of a record, RFC 6347 section 4.1
# Profile -> its number, and the bytes of its keying material.
_PROFILES = {
    b"SRTP_AEAD_AES_128_GCM": (0x0007, 2 * (16 + 12)),
    b"SRTP_AEAD_AES_256_GCM": (0x0008, 2 * (32 + 12)),
    b"SRTP_AES128_CM_SHA1_80": (0x0001, 2 * (16 + 14)),
}


class Identity:
    """The certificate of all peers of a load, and the context of their handshakes."""

    def __init__(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate: x509.Certificate = make_certificate(key)
        self.fingerprint = Fingerprint.of(crypto.X509.from_cryptography(certificate), "sha-256")
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER, _any_chain)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_tlsext_use_srtp(b":".join(_PROFILES))
        self.context = context


def _any_chain(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """Only the fingerprint counts, which is compared at the end (RFC 8827 section 6.5)."""
    return True


class ClientHandshake:
    """keys: set once it is complete and the server's certificate is the one of its answer; failed: a sentence when it
    cannot be."""

    __slots__ = ("_connection", "_expected", "failed", "keys")

    def __init__(self, identity: Identity, expected: Sequence[Fingerprint]) -> None:
        self.keys: Keys | None = None
        self.failed: str | None = None
        self._expected = expected
        connection = SSL.Connection(identity.context)
        connection.set_ciphertext_mtu(MTU)
        connection.set_connect_state()
        self._connection: SSL.Connection | None = connection

    def begin(self) -> list[bytes]:
        """The first flight."""
        return self._advance()

    def receive(self, datagram: bytes) -> list[bytes]:
        """Takes a datagram of the server; returns what is to be sent."""
        if self._connection is None:
            return []
        self._connection.bio_write(datagram)
        return self._advance()

    def timeout(self) -> list[bytes]:
        """To be called now and then: repeats the flight when it is time."""
        if self._connection is None:
            return []
        left_s = self._connection.DTLSv1_get_timeout()
        if left_s is None or left_s > 0:
            return []
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error:
            return self._fail("The DTLS handshake was repeated too often.")
        return _datagrams(self._connection)

    def _advance(self) -> list[bytes]:
        connection = self._connection
        assert connection is not None
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return _datagrams(connection)
        except SSL.Error as error:
            queue = error.args[0] if error.args else None
            reason = queue[-1][-1] if isinstance(queue, list) and queue else "the connection ended"
            return self._fail(f"The DTLS handshake failed: {reason}.")
        certificate = connection.get_peer_certificate()
        if certificate is None or not any(Fingerprint.of(certificate, f.algorithm) == f for f in self._expected):
            return self._fail("The server's certificate is not the one of its answer.")
        profile = _PROFILES.get(connection.get_selected_srtp_profile())
        if profile is None:
            return self._fail("The server takes no SRTP protection profile of ours.")
        number, size = profile
        self.keys = Keys(number, connection.export_keying_material(b"EXTRACTOR-dtls_srtp", size))
        rest = _datagrams(connection)
        self._connection = None
        return rest

    def _fail(self, why: str) -> list[bytes]:
        self.failed = why
        self._connection = None
        return []


def _datagrams(connection: SSL.Connection) -> list[bytes]:
    """What OpenSSL has written, its records packed into as few datagrams as the MTU allows."""
    output = b""
    try:
        while True:
            output += connection.bio_read(1 << 14)
    except SSL.WantReadError:
        pass
    datagrams: list[bytes] = []
    start = 0
    while start < len(output):
        end = start + _HEADER + int.from_bytes(output[start + 11 : start + 13], "big")
        record = output[start:end]
        if datagrams and len(datagrams[-1]) + len(record) <= MTU:
            datagrams[-1] += record
        else:
            datagrams.append(record)
        start = end
    return datagrams
