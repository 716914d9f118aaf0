"""The server's side of DTLS-SRTP (RFC 5764) over DTLS 1.2 (RFC 6347), sans IO.

A Handshake takes datagrams and the time and returns the datagrams to send; OpenSSL does the protocol on memory BIOs.

    waiting ──ClientHello──▶ flight sent, timer running ──Finished──▶ keys ──close()──▶ closed
       └───────────────────────────────┴──────▶ failed: an alert, a wrong certificate, no SRTP profile, 60 s

Rules:
- DTLS 1.2 only, set explicitly because a newer OpenSSL may offer 1.3 by itself. RFC 8827 section 6.5 requires 1.2 of
  every WebRTC client; 1.3 has other record headers, acknowledgements instead of a last flight that is answered, and
  messages after the handshake that would keep this state alive for a whole session.
- The retransmission timer is ours. OpenSSL's starts at 1 s and reads the real clock, and pyOpenSSL can change neither.
  So the flight is kept here and sent again, as RFC 6347 section 4.2.2 says: the same messages in records of new
  sequence numbers. That is possible because a server's only timed flight is unencrypted: all records of epoch 0 get
  their numbers from this module. One trace of the real clock is left: when a datagram arrives while OpenSSL's own
  timer has run out, OpenSSL repeats the flight too, a copy that costs nothing but its bytes.
- The last flight (ChangeCipherSpec, Finished) has no timer (RFC 6347 section 4.2.4). When it is lost the client repeats
  its own, and OpenSSL answers that; so the state must live until something shows that the flight has arrived.
- There is no cookie exchange: the plane delivers datagrams only from an address that has passed an ICE check.
- Nothing a peer sends raises: it ends in `failed`, or is ignored as RFC 6347 section 4.1.2.7 asks for invalid records.
"""

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL, crypto

MTU = 1200
"""Largest datagram sent, in bytes of UDP payload. Higher is lost in tunnels whose path MTU is near IPv6's 1280."""

FIRST_TIMEOUT_S = 0.4
"""As RFC 9147 section 5.8.2 recommends for DTLS-SRTP; doubles with each retransmission. Lower repeats flights in vain
on slow paths, higher delays a join that lost a datagram."""

GIVE_UP_S = 60.0
"""From the first datagram to giving up. Lower drops people on bad networks, higher keeps the state of those who left
for longer."""

REPEAT_INTERVAL_S = 0.025
"""A repeated ClientHello is answered at once, but at most this often. Browsers repeat after 50 ms, long before our
timer: near or above that, jitter hides repetitions and joins take longer. Lower lets a flood of ClientHellos draw
several times its bytes from us."""

_MAX_DATAGRAM = 1 << 14  # OpenSSL's read buffer: a memory BIO would hand over what is beyond it as another datagram
_DTLS_1_2 = 0xFEFD
_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _APPLICATION_DATA = 20, 21, 22, 23  # RFC 6347 section 4.3.1
_CLIENT_HELLO = 1  # RFC 6347 section 4.3.2
_RECORD_HEADER = 13  # type, version, epoch [3:5], sequence number [5:11], length [11:13]

# AEAD only, and ECDSA because our key is; the first one is what RFC 8827 section 6.5 requires of everybody.
_CIPHERS = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305"

_HEX_PAIRS = {"sha-512": 64, "sha-384": 48, "sha-256": 32}  # strongest first: the order in which we prefer them
FINGERPRINT_ALGORITHMS = frozenset(_HEX_PAIRS)


@dataclass(frozen=True, slots=True)
class _Profile:
    name: bytes
    id: int
    material_size: int  # 2 * (key + salt), RFC 5764 section 4.2


# In our order of preference: the first one that the client offers too is taken.
_PROFILES = (
    _Profile(b"SRTP_AEAD_AES_128_GCM", 0x0007, 2 * (16 + 12)),
    _Profile(b"SRTP_AEAD_AES_256_GCM", 0x0008, 2 * (32 + 12)),
    _Profile(b"SRTP_AES128_CM_SHA1_80", 0x0001, 2 * (16 + 14)),
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A certificate's hash as SDP carries it (RFC 8122 section 5).

    algorithm: "sha-256", "sha-384" or "sha-512"; value: upper-case hexadecimal pairs joined by colons.
    ValueError when it is anything else.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        pairs = _HEX_PAIRS.get(self.algorithm)
        if pairs is None:
            raise ValueError(f"{self.algorithm!r} is not a supported fingerprint algorithm.")
        if not re.fullmatch(rf"[0-9A-F]{{2}}(:[0-9A-F]{{2}}){{{pairs - 1}}}", self.value):
            raise ValueError(f"The {self.algorithm} fingerprint is not {pairs} hexadecimal pairs.")

    @classmethod
    def of(cls, certificate: crypto.X509, algorithm: str) -> "Fingerprint":
        return cls(algorithm, certificate.digest(algorithm.replace("-", "")).decode("ascii"))


@dataclass(frozen=True, slots=True)
class Keys:
    """What the handshake was for.

    profile: the SRTP protection profile's number (RFC 5764 section 4.1.2, RFC 7714 section 14.2);
    material: 2 * (key + salt) bytes, client's key first (RFC 5764 section 4.2).
    """

    profile: int
    material: bytes = field(repr=False)


def make_certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Signed by itself."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    # The fingerprint is what the peer trusts; nobody looks at the dates, so they only must not be odd.
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )


class Certificate:
    """Our identity: a self-signed ECDSA P-256 certificate, and the context prepared from it for all handshakes."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.fingerprint = Fingerprint.of(crypto.X509.from_cryptography(certificate), "sha-256")
        self._context = _server_context(key, certificate)

    @classmethod
    def generate(cls) -> "Certificate":
        """A new identity, for the lifetime of a process."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = make_certificate(key)
        return cls(key, certificate)


class Handshake:
    """One peer's DTLS association, from its first datagram to the close_notify.

    Public state, to be read after each call:
    keys: set once the handshake is complete and the peer's certificate matched;
    failed: a sentence when the association cannot be used (any more), else None;
    deadline: when timeout() is due, in the seconds of `now`; None when no timer runs.
    """

    __slots__ = (
        "_connection",
        "_flight",
        "_give_up",
        "_interval",
        "_peer",
        "_sent",
        "_sequence",
        "deadline",
        "failed",
        "keys",
    )

    def __init__(self, certificate: Certificate, expected: Sequence[Fingerprint]) -> None:
        """expected: the fingerprints of the peer's offer. Of several algorithms only the strongest counts, and the
        certificate must match one of its fingerprints (RFC 8122 section 5). ValueError when there are none."""
        self.keys: Keys | None = None
        self.failed: str | None = None
        self.deadline: float | None = None
        self._peer = _Peer(expected)
        self._connection: SSL.Connection | None = _connect(certificate._context, self._peer)
        self._flight: list[bytes] = []  # records of our last flight while its answer is awaited
        self._sequence = 0  # of the next record of epoch 0
        self._sent = 0.0  # when the flight was last sent
        self._interval = FIRST_TIMEOUT_S
        self._give_up = math.inf  # 60 s from the first datagram

    def receive(self, now: float, datagram: bytes) -> list[bytes]:
        """Takes one datagram of the peer; `now` in monotonic seconds. Returns the datagrams to send, in order."""
        if self._connection is None or self.failed is not None or not _plausible(datagram):
            return []
        if self._give_up == math.inf:
            self._give_up = self.deadline = now + GIVE_UP_S
        self._connection.bio_write(datagram)
        if self.keys is not None:
            self._read(self._connection)
            return self._datagrams(_output(self._connection))
        self._advance(self._connection)
        records = _output(self._connection)
        if self.keys is not None or self.failed is not None:
            self._flight, self.deadline = [], None
            return self._datagrams(records)
        if records:
            self._flight = records
            return self._send_flight(now)
        if self._flight and _is_client_hello(datagram) and now - self._sent >= REPEAT_INTERVAL_S:
            return self._send_flight(now)
        return []

    def timeout(self, now: float) -> list[bytes]:
        """To be called when `deadline` has come; sooner does nothing. Returns the datagrams to send."""
        if self.deadline is None or now < self.deadline:
            return []
        if now >= self._give_up:
            self.failed = f"The DTLS handshake did not complete within {GIVE_UP_S:.0f} s."
            self._flight, self.deadline = [], None
            return []
        self._interval *= 2
        return self._send_flight(now)

    def close(self) -> bytes:
        """Ends the association and frees OpenSSL's state. Returns the close_notify datagram, to be sent now or later;
        empty when the handshake never completed. Afterwards receive() and timeout() return nothing."""
        connection, self._connection = self._connection, None
        self._flight, self.deadline = [], None
        if connection is None or self.keys is None:
            return b""
        _shutdown(connection)
        return b"".join(_output(connection))

    def _advance(self, connection: SSL.Connection) -> None:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            self.failed = f"The DTLS handshake failed: {_reason(error)}."
            if self._peer.matched is False:
                self.failed = "The peer's certificate does not match a fingerprint of its session description."
            return
        name = connection.get_selected_srtp_profile()
        profile = next((p for p in _PROFILES if p.name == name), None)
        if profile is None:
            self.failed = "The peer and the server have no SRTP protection profile in common."
            _shutdown(connection)
        elif not self._peer.matched:  # OpenSSL has checked it before; without that we fail closed
            self.failed = "The peer's certificate was not verified."
            _shutdown(connection)
        else:
            material = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", profile.material_size)
            self.keys = Keys(profile.id, material)
            self._read(connection)  # what came behind the Finished in the same datagram

    def _read(self, connection: SSL.Connection) -> None:
        """After the handshake: repeated flights (OpenSSL answers), alerts, and data channels, which are not for us."""
        try:
            while True:
                connection.recv(_MAX_DATAGRAM)
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self.failed = "The peer closed the DTLS association."
        except SSL.Error as error:
            self.failed = f"The DTLS association failed: {_reason(error)}."

    def _send_flight(self, now: float) -> list[bytes]:
        self._sent = now
        self.deadline = min(now + self._interval, self._give_up)
        return self._datagrams(self._flight)

    def _datagrams(self, records: list[bytes]) -> list[bytes]:
        """Numbers the records of epoch 0 and packs all into as few datagrams as the MTU allows, in order."""
        datagrams: list[bytes] = []
        for record in records:
            if record[3:5] == b"\0\0":
                numbered = record[:5] + self._sequence.to_bytes(6, "big") + record[11:]
                self._sequence += 1
            else:
                numbered = record
            if datagrams and len(datagrams[-1]) + len(numbered) <= MTU:
                datagrams[-1] += numbered
            else:
                datagrams.append(numbered)
        return datagrams


class _Peer:
    """What a handshake expects of the peer's certificate, and whether it got it."""

    __slots__ = ("expected", "matched")

    def __init__(self, expected: Sequence[Fingerprint]) -> None:
        algorithm = next((a for a in _HEX_PAIRS if any(f.algorithm == a for f in expected)), None)
        if algorithm is None:
            raise ValueError("A handshake needs a fingerprint to check the peer's certificate with.")
        self.expected = [f for f in expected if f.algorithm == algorithm]
        self.matched: bool | None = None  # None until a certificate was seen

    def check(self, certificate: crypto.X509) -> bool:
        self.matched = Fingerprint.of(certificate, self.expected[0].algorithm) in self.expected
        return self.matched


def _verify(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
    """OpenSSL's verify callback. Only the peer's own certificate counts, and of that only the fingerprint: who signed
    it and when it expires, OpenSSL's `error` and `ok`, say nothing in WebRTC (RFC 8827 section 6.5)."""
    if depth != 0:
        return True
    peer: _Peer = connection.get_app_data()
    return peer.check(certificate)


def _server_context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_SERVER_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    # Every association is new: neither tickets nor sessions nor renegotiation. The MTU is ours, not the BIO's to ask.
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(_CIPHERS)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    context.set_tlsext_use_srtp(b":".join(profile.name for profile in _PROFILES))
    return context


def _connect(context: SSL.Context, peer: _Peer) -> SSL.Connection:
    connection = SSL.Connection(context)
    connection.set_ciphertext_mtu(MTU)
    connection.set_app_data(peer)
    connection.set_accept_state()
    return connection


def _output(connection: SSL.Connection) -> list[bytes]:
    """All records that OpenSSL has written since the last call. A memory BIO keeps no borders between writes."""
    output = b""
    try:
        while True:
            output += connection.bio_read(1 << 16)
    except SSL.WantReadError:
        return _records(output)


def _records(data: bytes) -> list[bytes]:
    """Splits a datagram into its records; the last one is short when the datagram is cut off."""
    records = []
    start = 0
    while start < len(data):
        end = start + _RECORD_HEADER + int.from_bytes(data[start + 11 : start + 13], "big")
        records.append(data[start:end])
        start = end
    return records


def _plausible(datagram: bytes) -> bool:
    """Whether all of it may come from a DTLS 1.2 client. RFC 6347 section 4.1.2.7 wants invalid records discarded;
    those told apart here would make OpenSSL end the handshake, and anybody can forge them who can forge an address."""
    return 0 < len(datagram) <= _MAX_DATAGRAM and all(map(_plausible_record, _records(datagram)))


def _plausible_record(record: bytes) -> bool:
    if len(record) < _RECORD_HEADER or len(record) != _RECORD_HEADER + int.from_bytes(record[11:13], "big"):
        return False
    kind, in_clear, body = record[0], record[3:5] == b"\0\0", record[_RECORD_HEADER:]
    if kind == _CHANGE_CIPHER_SPEC:
        return not in_clear or body == b"\1"
    if kind == _APPLICATION_DATA:
        return not in_clear
    return kind in (_ALERT, _HANDSHAKE)


def _is_client_hello(datagram: bytes) -> bool:
    return (
        len(datagram) > _RECORD_HEADER
        and datagram[0] == _HANDSHAKE
        and datagram[3:5] == b"\0\0"
        and datagram[_RECORD_HEADER] == _CLIENT_HELLO
    )


def _shutdown(connection: SSL.Connection) -> None:
    try:
        connection.shutdown()
    except SSL.Error:
        return  # after a fatal alert there is nothing left to say


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words for an error: "no shared cipher", "peer did not return a certificate"."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list) and queue:
        return str(queue[-1][-1])
    return "the connection ended unexpectedly"
