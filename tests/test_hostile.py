"""What strangers, and peers who mean harm, can do to a server in service: nothing that others notice."""

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pylibsrtp
from OpenSSL import SSL

from bench.rawpeer import binding_request
from tests.client import Speaker, assert_continuous, until
from tests.conftest import StartServer
from tests.control import Control
from tests.netem import Address, Predicate, Relay, is_dtls, is_rtcp, is_rtp, is_stun
from tests.offers import offer
from tests.server import Server

PITCH_HZ = 440
DATAGRAMS = 100_000
BURST = 200  # of them between two breaths of everybody else in this process
DTLS_1_2 = 0xFEFD
AMPLIFICATION_LIMIT = 3  # RFC 8445 and RFC 9000 section 8.1


class Corpus:
    """Real datagrams by their kind, overheard on the way of a call, and what can be made of them."""

    KINDS: Sequence[Predicate] = (is_stun, is_dtls, is_rtp, is_rtcp)
    KEPT = 64

    def __init__(self, seed: int) -> None:
        self.overheard: dict[Predicate, list[bytes]] = defaultdict(list)
        self.random = random.Random(seed)

    def overhear(self, relay: Relay) -> None:
        relay.drop("up", self._keep)
        relay.drop("down", self._keep)

    @property
    def complete(self) -> bool:
        return all(self.overheard[kind] for kind in self.KINDS)

    def noise(self) -> bytes:
        """Random bytes of any length, most of them behind a first byte that some parser feels responsible for."""
        data = bytearray(self.random.randbytes(self.random.choice([0, 1, 11, 12, 13, 20, 100, 1200, 1500])))
        if data and self.random.random() < 0.8:
            data[0] = self.random.choice([0, 1, 20, 22, 23, 25, 63, 128, 144, 191])
        return bytes(data)

    def mutation(self, kind: Predicate) -> bytes:
        """A real datagram with some bytes changed, cut off, repeated or put in from another; never a real one."""
        original = self.random.choice(self.overheard[kind])
        while True:
            data = bytearray(original)
            match self.random.randrange(4):
                case 0:
                    for _ in range(self.random.choice([1, 1, 2, 8])):
                        data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
                case 1:
                    del data[self.random.randrange(1, len(data)) :]
                case 2:
                    data += data[: self.random.randrange(len(data))]
                case 3:
                    other = self.random.choice(self.overheard[self.random.choice(self.KINDS)])
                    at = self.random.randrange(min(len(data), len(other)))
                    data[at:] = other[at:]
            if not any(bytes(data) in overheard for overheard in self.overheard.values()):
                return bytes(data[:1500])

    def replay(self) -> bytes:
        """A real datagram once more. Not of STUN: a check proves an address, whoever sends it from there."""
        return self.random.choice(self.overheard[self.random.choice(self.KINDS[1:])])

    def hostile(self) -> bytes:
        chance = self.random.random()
        if chance < 0.2:
            return self.noise()
        if chance < 0.3:
            return self.replay()
        return self.mutation(self.random.choice(self.KINDS))

    def _keep(self, data: bytes) -> bool:
        for kind in self.KINDS:
            if kind(data) and len(self.overheard[kind]) < self.KEPT:
                self.overheard[kind].append(data)
        return False


@dataclass
class Attacker:
    """A socket, and what went out of it and came back."""

    server: Address
    sent: int = 0  # bytes
    received: int = 0
    largest_ratio: float = 0.0
    answers: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            self.socket.sendto(data, self.server)
            self.sent += len(data)

    def drain(self) -> int:
        """Reads what has come; returns how many answers there are now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.answers.append(self.socket.recv(2048))
                self.received += len(self.answers[-1])
                self.largest_ratio = max(self.largest_ratio, self.received / max(1, self.sent))
        return len(self.answers)


@dataclass
class HalfOpen:
    """A WHEP session whose owner will not go on: he has the credentials for ICE and nothing else."""

    attacker: Attacker
    ufrag: str
    password: str

    def check(self) -> None:
        self.attacker.send(binding_request("EsAw", self.ufrag, self.password))


async def half_open(control: Control, room: str, user: str) -> HalfOpen:
    await control.make_room(room)
    response = await control.http.post(
        f"/whep/{quote(room, safe='')}?mode=select",
        content=offer("recvonly"),
        headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {await control.token(room, user)}"},
    )
    assert response.status_code == 201, response.text
    ufrag, password = (re.findall(rf"^a=ice-{name}:(\S+)", response.text, re.M)[0] for name in ("ufrag", "pwd"))
    return HalfOpen(Attacker(media_address(response.text)), ufrag, password)


def media_address(answer: str) -> Address:
    host, port = re.findall(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", answer, re.M)[0]
    return host, int(port)


def is_stun_error(data: bytes) -> bool:
    return data[:2] == b"\x01\x11"


def client_hello() -> bytes:
    """The first datagram of a DTLS 1.2 client that asks for SRTP."""
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    context.set_max_proto_version(DTLS_1_2)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    connection = SSL.Connection(context)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return bytes(connection.bio_read(2048))


async def counts(control: Control) -> list[float]:
    """What the server has of everything that takes memory."""
    names = ["rooms", "sessions", "sessions_ended_total", "plane_peers", "plane_rooms"]
    return [await control.metric(f"mediaserver_{name}") for name in names]


def memory_bytes(server: Server) -> int:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


@asynccontextmanager
async def undisturbed(control: Control, room: str) -> AsyncIterator[None]:
    """A speaker and a listener in a room of their own, who shall not notice anything."""
    async with (
        await control.speak(room, "ann", PITCH_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await asyncio.gather(ann.connected(), eve.connected())
        heard = eve.slots[0].packets
        await until(lambda: heard)
        said, last = ann.sent, heard[-1].sequence_number
        yield
        await until(lambda: (heard[-1].sequence_number - last) % 2**16 >= ann.sent - said - 2, say="all is heard")
        assert_continuous(heard)


async def test_a_hundred_thousand_hostile_datagrams_are_not_noticed_by_others(
    start_server: StartServer, room: str
) -> None:
    server = start_server("--workers", "1")
    corpus = Corpus(seed=1)
    async with Control(server.url) as control, AsyncExitStack() as stack, undisturbed(control, room):
        # Who is in a call while his address is used against the server, and passes on what a call consists of.
        relays = [stack.enter_context(Relay()), stack.enter_context(Relay())]
        for relay in relays:
            corpus.overhear(relay)
        victim = await stack.enter_async_context(await control.speak("attacked", "victim", 590, relay=relays[0]))
        ear = await stack.enter_async_context(await control.listen("attacked", "ear", slots=1, relay=relays[1]))
        await asyncio.gather(victim.connected(), ear.connected())
        await until(lambda: corpus.complete)
        # Who has nothing, and who has credentials for ICE and goes no further.
        strangers = [Attacker(media_address(victim.answer)) for _ in range(32)]
        halves = [await half_open(control, "attacked", f"half{i}") for i in range(32)]
        for half in halves:
            half.check()
        attackers = [*strangers, *(half.attacker for half in halves)]
        for attacker in attackers:
            stack.callback(attacker.socket.close)

        ways = [attacker.send for attacker in attackers] + [relay.inject for relay in relays] * 16
        received = await control.metric("mediaserver_plane_datagrams_received_total")
        peers = await control.metric("mediaserver_plane_peers")
        memory, lines = memory_bytes(server), server.log.count(b"\n")
        for _ in range(DATAGRAMS // BURST):
            for _ in range(BURST):
                corpus.random.choice(ways)(corpus.hostile())
            for attacker in attackers:
                attacker.drain()
            await asyncio.sleep(0.005)

        received = await control.metric("mediaserver_plane_datagrams_received_total") - received
        assert received > 0.9 * DATAGRAMS, "the attack did arrive"
        assert memory_bytes(server) - memory < 16 << 20
        assert server.log.count(b"\n") - lines <= 2 * len(halves)
        assert peers - len(halves) <= await control.metric("mediaserver_plane_peers") <= peers
        for stranger in strangers:
            assert all(is_stun_error(answer) for answer in stranger.answers)
            assert stranger.largest_ratio < 1
        for half in halves:
            assert half.attacker.largest_ratio <= AMPLIFICATION_LIMIT

        # Those who were attacked are in their call as before, and others can still join it.
        before = len(ear.slots[0].packets)
        await until(lambda: len(ear.slots[0].packets) > before + 10)
        assert_continuous(ear.slots[0].packets)
        assert victim.open
        async with await control.listen("attacked", "new", slots=1) as new:
            await new.connected()
            await until(lambda: new.slots[0].packets)


class Caller:
    """Who connects over TCP and sends what he likes, in frames or without, and again whenever he is thrown out."""

    def __init__(self, server: Address) -> None:
        self.server = server
        self.connections = 0
        self.connect()

    def connect(self) -> None:
        self.connections += 1
        self.socket = socket.create_connection(self.server, 2)
        self.socket.setblocking(False)

    def send(self, data: bytes, *, framed: bool) -> None:
        try:
            self.socket.sendall(len(data).to_bytes(2, "big") + data if framed else data)
        except (BlockingIOError, ConnectionError):
            self.socket.close()
            self.connect()


async def test_hostile_connections_are_not_noticed_by_others(start_server: StartServer, room: str) -> None:
    server = start_server("--workers", "1")
    corpus = Corpus(seed=3)
    async with Control(server.url) as control, AsyncExitStack() as stack, undisturbed(control, room):
        relay = stack.enter_context(Relay())
        corpus.overhear(relay)
        victim = await stack.enter_async_context(await control.speak("attacked", "victim", 590, relay=relay))
        await victim.connected()
        await until(lambda: corpus.complete)
        half = await half_open(control, "attacked", "half")
        callers = [Caller(media_address(victim.answer)) for _ in range(80)]
        check = binding_request("EsAw", half.ufrag, half.password)
        for caller in callers[:10]:
            caller.send(check, framed=True)
        memory, lines = memory_bytes(server), server.log.count(b"\n")
        for _ in range(100):
            for _ in range(BURST):
                corpus.random.choice(callers).send(corpus.hostile(), framed=corpus.random.random() < 0.9)
            await asyncio.sleep(0.005)
        assert sum(caller.connections for caller in callers) > 200, "they were thrown out"
        assert await control.metric("mediaserver_plane_tcp_frames_received_total") > 2_000, "the attack did arrive"
        assert await control.metric("mediaserver_plane_tcp_refused_total") > 0
        assert memory_bytes(server) - memory < 16 << 20
        assert server.log.count(b"\n") - lines <= 2
        for caller in callers:
            caller.socket.close()
        deadline = asyncio.get_running_loop().time() + 10
        while await control.metric("mediaserver_plane_tcp_connections") > 0:
            assert asyncio.get_running_loop().time() < deadline, "connections are left"
            await asyncio.sleep(0.05)
        assert victim.open
        half.attacker.socket.close()


async def test_an_address_that_is_not_proved_gets_at_most_three_times_what_it_sent(control: Control, room: str) -> None:
    half = await half_open(control, room, "half")
    attacker = half.attacker
    withheld = await control.metric("mediaserver_plane_dropped_amplification_total")
    with attacker.socket:
        half.check()
        await until(attacker.drain)
        hello = client_hello()
        # A ClientHello with the cookie-less handshake of DTLS-SRTP draws a whole flight, and its retransmissions.
        attacker.send(hello)
        deadline = asyncio.get_running_loop().time() + 10
        while await control.metric("mediaserver_plane_dropped_amplification_total") == withheld:
            assert asyncio.get_running_loop().time() < deadline, "the server never came to the limit"
            attacker.drain()
            await asyncio.sleep(0.05)
        assert attacker.received > len(hello), "the flight did come"
        for _ in range(5):
            attacker.send(hello)
            await asyncio.sleep(0.03)  # the server answers a repetition at most that often
            attacker.drain()
        assert attacker.largest_ratio <= AMPLIFICATION_LIMIT


async def test_who_cannot_authenticate_leaves_no_trace_and_gets_less_than_he_sends(
    control: Control, room: str, server: Server
) -> None:
    half = await half_open(control, room, "half")
    state = await counts(control)
    unauthentic = await control.metric("mediaserver_plane_dropped_unauthentic_total")
    strangers = await control.metric("mediaserver_plane_dropped_stranger_total")
    memory = memory_bytes(server)
    hello, rounds = client_hello(), 20
    with ExitStack() as stack:
        attackers = [Attacker(half.attacker.server) for _ in range(200)]
        for attacker in [*attackers, half.attacker]:
            stack.enter_context(attacker.socket)
        for _ in range(rounds):
            for attacker in attackers:
                attacker.send(binding_request("EsAw", half.ufrag, "the wrong password"))
                attacker.send(binding_request("EsAw", "unknown", half.password))
                attacker.send(hello)
                attacker.send(b"\x80\x6f" + bytes(100))
                attacker.send(b"\x80\xc8" + bytes(100))
            await asyncio.sleep(0.01)
            for attacker in attackers:
                attacker.drain()
        arrived = rounds * len(attackers) * 0.9
        assert await control.metric("mediaserver_plane_dropped_unauthentic_total") - unauthentic > 2 * arrived
        assert await control.metric("mediaserver_plane_dropped_stranger_total") - strangers > 3 * arrived
        assert await counts(control) == state
        assert memory_bytes(server) - memory < 4 << 20
        for attacker in attackers:
            assert attacker.answers, "a check with a wrong password is refused"
            assert all(is_stun_error(answer) for answer in attacker.answers)
            assert attacker.largest_ratio < 1


class Forger:
    """Encrypts whatever it likes with the keys of a connected speaker, who says nothing himself meanwhile."""

    def __init__(self, speaker: Speaker, seed: int) -> None:
        speaker.paused = True
        self._random = random.Random(seed)
        self._srtp = speaker.sender.transport._tx_srtp
        self._ssrcs = [speaker.sender._ssrc, *(self._random.getrandbits(32) for _ in range(3))]
        self._payload_type = int(re.findall(r"^a=rtpmap:(\d+) opus", speaker.answer, re.M)[0])
        # Only libsrtp knows where the speaker's own numbers ended; what it takes is ahead of them.
        self._sequence = 0
        while not self._seal(struct.pack("!BBHII", 0x80, 0, self._sequence, 0, self._ssrcs[0])):
            self._sequence += 1000

    def rtp(self) -> bytes:
        """A packet of one of four streams with anything in it; empty when libsrtp will not encrypt that."""
        chance = self._random.random()
        self._sequence += 1 if chance < 0.9 else self._random.choice([0, 2, 600, 30_000])
        first = 0x80 | self._random.choice([0, 0x10, 0x10, 0x20, 0x30, 0x03, 0x1F])
        second = self._random.choice([self._payload_type, self._payload_type | 0x80, self._random.randrange(192)])
        ssrc = self._ssrcs[0] if chance < 0.95 else self._random.choice(self._ssrcs)
        packet = struct.pack("!BBHII", first, second, self._sequence % 2**16, self._random.getrandbits(32), ssrc)
        if first & 0x10:
            kind = self._random.choice([0xBEDE, 0xBEDE, 0x1000, 0x100F, 0x1234])
            packet += struct.pack("!HH", kind, self._random.choice([0, 1, 2, 3, 300]))
        return self._seal(packet + self._random.randbytes(self._random.choice([0, 1, 4, 60, 200, 1200])))

    def rtcp(self) -> bytes:
        """Compounds of reports of which some fields are right."""
        compound = b""
        for _ in range(self._random.randrange(1, 4)):
            body = struct.pack("!I", self._random.choice(self._ssrcs)) + self._random.randbytes(
                4 * self._random.randrange(16)
            )
            words = self._random.choice([len(body) // 4, len(body) // 4, self._random.randrange(100)])
            kind = self._random.choice([200, 201, 202, 204, 205, 206, 207])
            compound += struct.pack("!BBH", 0x80 | self._random.randrange(32), kind, words) + body
        with contextlib.suppress(pylibsrtp.Error):
            return bytes(self._srtp.protect_rtcp(compound))
        return b""

    def _seal(self, packet: bytes) -> bytes:
        with contextlib.suppress(pylibsrtp.Error):
            return bytes(self._srtp.protect(packet))
        return b""


async def test_a_publisher_who_encrypts_whatever_he_likes_harms_himself_alone(
    start_server: StartServer, room: str
) -> None:
    server = start_server("--workers", "1")
    async with (
        Control(server.url) as control,
        undisturbed(control, room),
        await control.listen("attacked", "ear", slots=2) as ear,
        await control.speak("attacked", "honest", PITCH_HZ) as honest,
    ):
        async with await control.speak("attacked", "mallory", 590) as mallory:
            await asyncio.gather(ear.connected(), honest.connected(), mallory.connected())
            await until(lambda: len(ear.csrcs) == 2)
            people = await control.participants("attacked")
            csrcs = {user: people[user]["csrc"] for user in ("honest", "mallory")}
            memory, lines = memory_bytes(server), server.log.count(b"\n")
            rtp, rtcp = [await control.metric(f"mediaserver_plane_{kind}_received_total") for kind in ("rtp", "rtcp")]
            forger = Forger(mallory, seed=2)
            for _ in range(100):
                for data in [forge() for forge in (forger.rtp, forger.rtcp) for _ in range(100)]:
                    if data:
                        await mallory.send_datagram(data)
                await asyncio.sleep(0.005)
            assert await control.metric("mediaserver_plane_rtp_received_total") - rtp > 5_000, "it did authenticate"
            assert await control.metric("mediaserver_plane_rtcp_received_total") - rtcp > 5_000
            assert memory_bytes(server) - memory < 16 << 20
            assert server.log.count(b"\n") == lines
            slot = next(slot for slot in ear.slots if slot.csrc == csrcs["honest"])
            assert_continuous(slot.packets)
            assert {packet.csrcs for slot in ear.slots for packet in slot.packets} == {
                (csrc,) for csrc in csrcs.values()
            }
        # The stream that he made a mess of is whole again for whoever fills it next.
        async with await control.speak("attacked", "mallory", 590) as mallory:
            await mallory.connected()
            (slot,) = (other for other in ear.slots if other is not slot)
            slot.clear()
            await until(lambda: len(slot.packets) > 25)
            assert_continuous(slot.packets)
