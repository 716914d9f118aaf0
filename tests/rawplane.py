"""The packet plane in the test's own process, and peers without DTLS: both sides are simply given the keys.

The peers share no code with the plane: STUN by bench.rawpeer and aioice, SRTP by libsrtp, RTP and RTCP by aiortc. So a
test can say what each single packet is, when it is sent, and from which address.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any, Self

import aioice.stun
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import AnyRtcpPacket, HeaderExtensionsMap, RtcpPacket, RtcpRtpfbPacket, RtpPacket
from pylibsrtp import Error, Policy, Session

from bench.rawpeer import binding_request
from mediaserver import _native
from tests.netem import Relay, is_rtcp, is_rtp, is_stun

Address = tuple[str, int]

AES_128_CM_SHA1_80, AEAD_AES_128_GCM, AEAD_AES_256_GCM = 0x0001, 0x0007, 0x0008
KEY_AND_SALT_BYTES = {AES_128_CM_SHA1_80: (16, 14), AEAD_AES_128_GCM: (16, 12), AEAD_AES_256_GCM: (32, 12)}

ROOM = 1
PAYLOAD_TYPE = 111
# Header extensions as this side's offers have them.
MID_ID, LEVEL_ID = 4, 1
EXTENSIONS = RTCRtpParameters(
    headerExtensions=[
        RTCRtpHeaderExtensionParameters(MID_ID, "urn:ietf:params:rtp-hdrext:sdes:mid"),
        RTCRtpHeaderExtensionParameters(LEVEL_ID, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
    ]
)
FRAME = 960


def keying_material(profile: int, seed: int) -> bytes:
    """What a DTLS handshake would export: RFC 5764 section 4.2."""
    key, salt = KEY_AND_SALT_BYTES[profile]
    return Random(seed).randbytes(2 * (key + salt))


class FramedSocket(socket.socket):
    """A TCP connection that carries datagrams in frames (RFC 4571), for RawPeer like a socket of UDP."""

    def __init__(self, server: Address) -> None:
        super().__init__(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_STREAM)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.settimeout(2)
        self.connect(server)
        self._came = bytearray()

    def sendto(self, data: bytes, *_: Any) -> int:  # type: ignore[override]
        self.sendall(len(data).to_bytes(2, "big") + data)
        return len(data)

    def recv(self, *_: Any) -> bytes:
        """The next datagram. ConnectionError when there comes none any more."""
        while len(self._came) < 2 or len(self._came) < 2 + int.from_bytes(self._came[:2], "big"):
            came = super().recv(65536)
            if not came:
                raise ConnectionError("closed")
            self._came += came
        size = int.from_bytes(self._came[:2], "big")
        data = bytes(self._came[2 : 2 + size])
        del self._came[: 2 + size]
        return data


class RawPeer:
    """A client with a socket: as publisher it has one stream, as listener it decrypts what comes."""

    def __init__(self, server: Address, profile: int, seed: int, relay: Relay | None) -> None:
        random = Random(seed)
        self.server = relay.address if relay else server
        self.profile = profile
        self.ufrag, self.password = random.randbytes(6).hex(), random.randbytes(12).hex()
        self.material = keying_material(profile, seed)
        self.ssrc, self.timestamp = random.getrandbits(32), random.getrandbits(32)
        self.sequence = random.getrandbits(15)
        self.sent: list[RtpPacket] = []
        self.received: list[RtpPacket] = []
        self.wire: list[bytes] = []  # every RTP datagram as it came, also those that do not decrypt
        self.reports: list[AnyRtcpPacket] = []
        self.compounds: list[bytes] = []  # the same as they came, with what aiortc does not know
        self.others: list[bytes] = []  # neither STUN nor RTP nor RTCP
        self.undecryptable = 0
        self._extensions = HeaderExtensionsMap()
        self._extensions.configure(EXTENSIONS)
        key, salt = KEY_AND_SALT_BYTES[profile]
        client_key, server_key = self.material[:key], self.material[key : 2 * key]
        client_salt, server_salt = self.material[2 * key : 2 * key + salt], self.material[2 * key + salt :]
        self._out = Session(
            Policy(key=client_key + client_salt, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
        )
        self._in = Session(
            Policy(key=server_key + server_salt, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile)
        )
        self.socket = self.open_socket()
        self._before: list[socket.socket] = []

    def open_socket(self) -> socket.socket:
        """A socket on another port of this client's."""
        host = self.server[0]
        opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        opened.bind((host, 0))
        opened.settimeout(2)
        return opened

    def move_to_tcp(self) -> socket.socket:
        """From now on over a new connection to the same port; the socket that was in use before."""
        before, self.socket = self.socket, FramedSocket(self.server)
        self._before.append(before)
        return before

    def send_datagram(self, data: bytes) -> None:
        self.socket.sendto(data, self.server)

    def check(self, *, nominate: bool = True, ufrag: str = "", password: str = "") -> aioice.stun.Message:
        """A connectivity check, and the answer to it. TimeoutError after 2 s without one."""
        password = password or self.password
        request = binding_request("raw", ufrag or self.ufrag, password, nominate=nominate)
        self.send_datagram(request)
        while True:
            data = self.socket.recv(2048)
            if is_stun(data) and data[8:20] == request[8:20]:
                answer = aioice.stun.parse_message(data)
                if answer.message_class is aioice.stun.Class.RESPONSE:
                    assert answer.check_message_integrity(password.encode())
                return answer
            self._take(data)

    def seal(self, payload: bytes, *, level_dbov: int | None = -30, payload_type: int = PAYLOAD_TYPE) -> bytes:
        """The next packet of this peer's stream, 20 ms after the last, encrypted."""
        packet = RtpPacket(
            payload_type=payload_type, sequence_number=self.sequence % 2**16, timestamp=self.timestamp, ssrc=self.ssrc
        )
        packet.payload = payload
        if level_dbov is not None:
            packet.extensions.audio_level = (True, -level_dbov)
        self.sent.append(packet)
        self.sequence += 1
        self.timestamp = (self.timestamp + FRAME) % 2**32
        return self._out.protect(packet.serialize(self._extensions))

    def send(self, payload: bytes, *, level_dbov: int | None = -30) -> None:
        self.send_datagram(self.seal(payload, level_dbov=level_dbov))

    def send_compound(self, compound: bytes) -> None:
        """RTCP, encrypted."""
        self.send_datagram(self._out.protect_rtcp(compound))

    def ask_again(self, ssrc: int, sequences: Sequence[int]) -> None:
        """A generic NACK: RFC 4585 section 6.2.1."""
        self.send_compound(bytes(RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=ssrc, lost=list(sequences))))

    def receive_until(self, what: Callable[[], object], *, within_s: float = 5.0) -> None:
        """Reads the socket until `what()` is true. AssertionError after `within_s`."""
        deadline = time.monotonic() + within_s
        while not what():
            left = deadline - time.monotonic()
            assert left > 0, f"not within {within_s} s; {len(self.received)} packets received"
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(2048)
            except TimeoutError:
                continue
            self._take(data)

    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.received]

    def close(self) -> None:
        for each in (self.socket, *self._before):
            each.close()

    def _take(self, data: bytes) -> None:
        try:
            if is_rtp(data):
                self.wire.append(data)
                self.received.append(RtpPacket.parse(self._in.unprotect(data), self._extensions))
            elif is_rtcp(data):
                self.compounds.append(self._in.unprotect_rtcp(data))
                self.reports += RtcpPacket.parse(self.compounds[-1])
            elif not is_stun(data):
                self.others.append(data)
        except Error:
            self.undecryptable += 1


class RawPlane:
    """A plane with one room, at home on worker 0, started. As a context manager it is stopped, and its peers' sockets
    are closed."""

    def __init__(self, *, workers: int = 1, hosts: Sequence[str] = ("127.0.0.1",), tcp: bool = False) -> None:
        """Each worker is bound to the hosts, under one port."""
        # A UDP port that the kernel chose may be taken on TCP, by any connection of this machine.
        for _ in range(20):
            self.plane = _native.Plane([[(host, 0) for host in hosts]] * workers, tcp=tcp)
            if not any(self.plane.tcp_failures(worker) for worker in range(workers)):
                break
        self.stats: dict[int, _native.PeerStats] = {}
        self._events: list[tuple[int, int, bytes]] = []
        self._peers = 0
        self._homes: dict[int, int] = {}  # by room
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.plane.start()
        self._stack.callback(self.plane.stop)
        self.add_room(ROOM, 0)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def add_room(self, room: int, home: int, **options: Any) -> None:
        """Another one; options as of Plane.add_room()."""
        self.plane.add_room(room, home, **options)
        self._homes[room] = home

    def address(self, worker: int = 0, host: int = 0) -> Address:
        return self.plane.addresses(worker)[host]

    def add_publisher(
        self,
        csrc: int,
        *,
        room: int = ROOM,
        profile: int = AEAD_AES_128_GCM,
        levels: bool = True,
        relay: Relay | None = None,
        red_payload_type: int = 0,
        nack: bool = False,
    ) -> tuple[int, RawPeer]:
        """A publisher who has a column in the room; not connected yet. Returns the plane's number for it, too."""
        number, peer = self._add_peer(self.address(self._homes[room]), profile, relay)
        self.plane.set_column(room, csrc, 1.0)
        self.stats[number] = self.plane.add_publisher(
            number,
            room,
            ufrag=peer.ufrag,
            pwd=peer.password,
            csrc=csrc,
            payload_type=PAYLOAD_TYPE,
            level_id=LEVEL_ID if levels else 0,
            report_ssrc=1,
            red_payload_type=red_payload_type,
            nack=nack,
        )
        return number, peer

    def add_listener(
        self,
        csrc: int,
        *,
        room: int = ROOM,
        slots: int = 1,
        worker: int = 0,
        host: int = 0,
        profile: int = AEAD_AES_128_GCM,
        relay: Relay | None = None,
        payload_type: int = PAYLOAD_TYPE,
        red_payload_type: int = 0,
        nack: bool = False,
    ) -> tuple[int, RawPeer]:
        number, peer = self._add_peer(self.address(worker, host), profile, relay)
        self.stats[number] = self.plane.add_listener(
            number,
            worker,
            room,
            ufrag=peer.ufrag,
            pwd=peer.password,
            csrc=csrc,
            slots=[
                _native.Slot(
                    ssrc=1000 * number + i,
                    payload_type=payload_type,
                    mid=str(i),
                    mid_id=MID_ID,
                    level_id=LEVEL_ID,
                    red_payload_type=red_payload_type,
                    nack=nack,
                )
                for i in range(slots)
            ],
            cname="raw",
        )
        return number, peer

    def over_tcp(self, number: int, peer: RawPeer) -> RawPeer:
        """Connected by TCP from the start."""
        peer.move_to_tcp().close()
        return self.connect(number, peer)

    def connect(self, number: int, peer: RawPeer) -> RawPeer:
        """A check that is answered, and keys on both sides."""
        peer.check()
        self.plane.set_keys(number, peer.profile, peer.material)
        return peer

    def publisher(self, csrc: int, *, profile: int = AEAD_AES_128_GCM, relay: Relay | None = None) -> RawPeer:
        """A connected one."""
        return self.connect(*self.add_publisher(csrc, profile=profile, relay=relay))

    def listener(
        self,
        csrc: int,
        *,
        slots: int = 1,
        worker: int = 0,
        profile: int = AEAD_AES_128_GCM,
        relay: Relay | None = None,
        nack: bool = False,
    ) -> RawPeer:
        """A connected one."""
        added = self.add_listener(csrc, slots=slots, worker=worker, profile=profile, relay=relay, nack=nack)
        return self.connect(*added)

    def events(self, peer: int) -> list[int]:
        """The kinds of this peer's events until now."""
        self._events += self.plane.poll()
        return [kind for kind, whose, _ in self._events if whose == peer]

    def counter(self, name: str) -> int:
        """The sum of all workers' counters of this name."""
        return sum(self.plane.counters(worker)[name] for worker in range(self.plane.workers))

    def until(self, what: Callable[[], object], *, within_s: float = 5.0) -> None:
        """Waits for `what()` to be true. AssertionError after `within_s`."""
        deadline = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
            time.sleep(0.002)

    def _add_peer(self, server: Address, profile: int, relay: Relay | None) -> tuple[int, RawPeer]:
        self._peers += 1
        peer = RawPeer(server, profile, self._peers, relay)
        self._stack.callback(peer.close)
        return self._peers, peer


def talk(speaker: RawPeer, payloads: Sequence[bytes], *, every_s: float = 0.002) -> None:
    """Sends these at an even pace, faster than speech so that tests are short."""
    begun = time.monotonic()
    for i, payload in enumerate(payloads):
        time.sleep(max(0.0, begun + i * every_s - time.monotonic()))
        speaker.send(payload)
