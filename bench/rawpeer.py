"""A WebRTC peer without a handshake: a socket, ICE checks and SRTP under keys that both sides were given.

For benchmarks and tests of the plane alone, where DTLS would only add noise. It speaks the wire formats by itself
(struct and hmac), so that it also checks the plane's from outside.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import socket
import struct
from dataclasses import dataclass, field

from mediaserver import _native

Address = tuple[str, int]

AES_128_GCM = 0x0007
MAGIC = 0x2112A442


def binding_request(ours: str, theirs: str, password: str, *, nominate: bool = True, transaction: bytes = b"") -> bytes:
    """A STUN binding request of a controlling agent (RFC 8445 section 7.1, RFC 8489): `ours` is the sender's ufrag."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)

    body = attribute(0x0006, f"{theirs}:{ours}".encode())
    body += attribute(0x0024, struct.pack("!I", 0x6E7F1EFF))
    body += attribute(0x802A, b"\0\0\0\0\0\0\0\1")
    if nominate:
        body += attribute(0x0025, b"")
    transaction = transaction or os.urandom(12)

    def header(length: int) -> bytes:
        return struct.pack("!HHI", 0x0001, length, MAGIC) + transaction

    digest = hmac.new(password.encode(), header(len(body) + 24) + body, hashlib.sha1).digest()
    body += attribute(0x0008, digest)
    crc = binascii.crc32(header(len(body) + 8) + body) ^ 0x5354554E
    body += attribute(0x8028, struct.pack("!I", crc))
    return header(len(body)) + body


@dataclass
class RawPeer:
    """One peer's credentials, keys and socket. `material` is the keying material that Plane.set_keys() takes; ufrag and
    password are the server's, `own_ufrag` is what the server calls the peer."""

    address: str = "127.0.0.1"
    ufrag: str = field(default_factory=lambda: os.urandom(6).hex())
    password: str = field(default_factory=lambda: os.urandom(12).hex())
    material: bytes = field(default_factory=lambda: os.urandom(2 * (16 + 12)))
    own_ufrag: str = "raw"
    ssrc: int = 0x1234
    sequence: int = 1000
    timestamp: int = 0

    def __post_init__(self) -> None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 0))
        self.socket.settimeout(2.0)
        self.use_keys(self.material)

    def use_keys(self, material: bytes) -> None:
        self.material = material
        client_key, server_key = self.material[:16], self.material[16:32]
        client_salt, server_salt = self.material[32:44], self.material[44:56]
        self.sealer = _native.SrtpSealer(AES_128_GCM, client_key, client_salt)
        self.opener = _native.SrtpOpener(AES_128_GCM, server_key, server_salt)

    def check(self, server: Address, *, nominate: bool = True, password: str = "") -> None:
        """Sends a connectivity check; the response comes to the socket."""
        request = binding_request(self.own_ufrag, self.ufrag, password or self.password, nominate=nominate)
        self.socket.sendto(request, server)

    def connect(self, server: Address) -> None:
        """Checks and waits for the answer. TimeoutError after 2 s."""
        self.check(server)
        answer = self.socket.recv(2048)
        if answer[:2] != b"\x01\x01":
            raise ConnectionError(f"not a binding success response: {answer[:2].hex()}")

    def rtp(self, payload: bytes, *, payload_type: int = 111, level_id: int = 1, level: int = 30) -> bytes:
        """The next packet of this peer's stream, 20 ms after the last, sealed."""
        header = struct.pack(
            "!BBHII",
            0x90 if level_id else 0x80,
            payload_type,
            self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF,
            self.ssrc,
        )
        if level_id:
            header += struct.pack("!HHBBH", 0xBEDE, 1, level_id << 4, level | 0x80, 0)
        roll_over = self.sequence >> 16
        self.sequence += 1
        self.timestamp += 960
        return self.sealer.rtp(header + payload, roll_over)

    def close(self) -> None:
        self.socket.close()
