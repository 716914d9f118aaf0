"""A seeded UDP relay that loses, delays, reorders and duplicates datagrams between clients and one server.

It needs no privileges: a test rewrites the candidates of an SDP answer to the relay's address (`Relay.rewrite`), and
every datagram then passes through it, up (client to server) and down. Each client address has its own upstream socket,
so the server sees as many peers as there are; `Relay.rebind` gives them new ones, as a NAT does or a change of network.

`Impairment` holds all decisions and neither sockets nor clocks: time and datagrams are arguments, so that its
statistics can be proved by seed. `Relay` is the edge: one thread that sleeps in select() with microsecond timeouts.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Self

Address = tuple[str, int]
Direction = Literal["up", "down"]
Predicate = Callable[[bytes], bool]

# Datagrams in flight. More costs memory in a runaway test; fewer would overflow at 4,000 packets/s with 1 s of delay.
QUEUE_LIMIT = 8192
# Client addresses. select() serves descriptors below 1,024.
CLIENT_LIMIT = 256
DATAGRAM_LIMIT = 2048


@dataclass(frozen=True)
class Burst:
    """Gilbert-Elliott loss: a two-state chain that moves once per packet. All values are probabilities.

    Bursts last 1 / recover packets on average; in the long run lost / sent = loss * enter / (enter + recover).
    """

    enter: float
    recover: float
    loss: float = 1.0


@dataclass(frozen=True)
class Link:
    """What one direction does to a datagram. Probabilities are 0..1, times are milliseconds."""

    loss: float = 0.0
    burst: Burst | None = None
    delay_ms: float = 0.0
    jitter_ms: float = 0.0  # uniform in 0..jitter_ms on top of the delay; the order of packets is kept
    reorder: float = 0.0  # this share of packets is held for reorder_ms more, and those behind overtake it
    reorder_ms: float = 25.0
    duplicate: float = 0.0  # this share is delivered twice, the copy with its own jitter

    def __post_init__(self) -> None:
        burst = self.burst or Burst(0.0, 0.0, 0.0)
        shares = (self.loss, self.reorder, self.duplicate, burst.enter, burst.recover, burst.loss)
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise ValueError(f"a probability is outside 0..1: {self}")
        if min(self.delay_ms, self.jitter_ms, self.reorder_ms) < 0:
            raise ValueError(f"a time is negative: {self}")


@dataclass
class Counters:
    """What happened to the datagrams of one direction, over all clients."""

    received: int = 0
    lost: int = 0  # by chance
    dropped: int = 0  # by script
    refused: int = 0  # over a limit, from a stranger, or without a server to send to
    reordered: int = 0
    duplicated: int = 0
    delivered: int = 0


@dataclass
class Drop:
    """A scripted loss: of the datagrams for which `matches` holds, those whose number (from 1) is in `numbers`."""

    direction: Direction
    matches: Predicate
    numbers: Collection[int]
    seen: int = 0
    dropped: int = 0

    def applies(self, data: bytes) -> bool:
        if not self.matches(data):
            return False
        self.seen += 1
        if self.seen not in self.numbers:
            return False
        self.dropped += 1
        return True


class Impairment:
    """The fate of one client's datagrams in one direction, decided by a seeded generator."""

    def __init__(self, link: Link, seed: str) -> None:
        self.link = link
        self._random = random.Random(seed)
        self._bursting = False
        self._last_departure = 0.0

    def plan(self, now: float, counters: Counters) -> list[float]:
        """The times, in seconds as `now`, at which a datagram that arrived at `now` leaves; none when it is lost."""
        link = self.link
        if self._is_lost():
            counters.lost += 1
            return []
        departure = max(now + self._latency(), self._last_departure)
        if self._random.random() < link.reorder:
            counters.reordered += 1
            departures = [departure + link.reorder_ms / 1000]
        else:
            self._last_departure = departure
            departures = [departure]
        if self._random.random() < link.duplicate:
            counters.duplicated += 1
            departures.append(now + self._latency())
        return departures

    def _is_lost(self) -> bool:
        burst = self.link.burst
        if burst is not None:
            self._bursting ^= self._random.random() < (burst.recover if self._bursting else burst.enter)
            if self._bursting and self._random.random() < burst.loss:
                return True
        return self._random.random() < self.link.loss

    def _latency(self) -> float:
        return (self.link.delay_ms + self._random.random() * self.link.jitter_ms) / 1000


@dataclass
class _Flow:
    """One client address and the socket that stands for it at the server."""

    client: Address
    upstream: socket.socket
    impairments: dict[Direction, Impairment]


@dataclass(order=True)
class _Departure:
    at: float
    number: int  # keeps the order of equal times
    flow: _Flow = field(compare=False)
    direction: Direction = field(compare=False)
    receiver: Address = field(compare=False)
    data: bytes = field(compare=False)


class Relay:
    """The relay as a context manager. Every public method may be called from any thread, while traffic flows.

    `server` may be left out; `rewrite` then takes it from the first SDP answer it sees.
    """

    def __init__(
        self, server: Address | None = None, *, up: Link | None = None, down: Link | None = None, seed: int = 1
    ) -> None:
        self.counters: dict[Direction, Counters] = {"up": Counters(), "down": Counters()}
        self._server = server
        self._links: dict[Direction, Link] = {"up": up or Link(), "down": down or Link()}
        self._seed = seed
        self._drops: list[Drop] = []
        self._flows: dict[Address, _Flow] = {}
        self._retired: list[socket.socket] = []  # closed by the thread alone, which may be selecting on them
        self._queue: list[_Departure] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._socket = _loopback_socket()
        self._waker, self._woken = socket.socketpair()
        self._running = True
        self._thread = threading.Thread(target=self._run, name="netem", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._running = False
        self._waker.send(b"x")
        self._thread.join()
        upstreams = [flow.upstream for flow in self._flows.values()]
        for held in [self._socket, self._waker, self._woken, *self._retired, *upstreams]:
            held.close()

    @property
    def address(self) -> Address:
        """Where clients send to."""
        host, port = self._socket.getsockname()
        return host, port

    @property
    def idle(self) -> bool:
        """Whether no datagram is on its way."""
        with self._lock:
            return not self._queue

    def drop(self, direction: Direction, matches: Predicate, *numbers: int) -> Drop:
        """Loses the given occurrences (1 is the first, counted from now over all clients) of what `matches`."""
        drop = Drop(direction, matches, frozenset(numbers))
        with self._lock:
            self._drops.append(drop)
        return drop

    def set_link(self, direction: Direction, link: Link) -> None:
        """Changes the link of all clients, present and future; their random sequences go on."""
        with self._lock:
            self._links[direction] = link
            for flow in self._flows.values():
                flow.impairments[direction].link = link

    def rebind(self) -> None:
        """Every client gets a new address at the server; what the server sends to the old one is lost."""
        with self._lock:
            for flow in self._flows.values():
                self._retired.append(flow.upstream)
                flow.upstream = _loopback_socket()
        self._waker.send(b"x")

    def inject(self, data: bytes) -> None:
        """Sends a datagram to the server from the address of the first client, as who forges that address would."""
        with self._lock, contextlib.suppress(BlockingIOError):
            assert self._server is not None
            next(iter(self._flows.values())).upstream.sendto(data, self._server)

    def rewrite(self, answer: str) -> str:
        """The SDP answer with this relay as its only ICE candidate. ValueError when the server's is not in it."""
        candidates = re.findall(r"^a=candidate:\S+ 1 udp \d+ (127\.\S+) (\d+) typ host.*$", answer, re.M | re.I)
        servers = {(host, int(port)) for host, port in candidates}
        if self._server is None and servers:
            self._server = sorted(servers)[0]
        if self._server not in servers:
            raise ValueError(f"the answer has no candidate {self._server}, but {sorted(servers)}")
        host, port = self.address
        line = f"a=candidate:1 1 udp 2130706431 {host} {port} typ host\r\n"
        sections = re.split(r"^(?=m=)", answer, flags=re.M)
        return "".join(
            re.sub(r"^a=candidate:.*\r?\n", "", section, flags=re.M)
            .replace("a=end-of-candidates\r\n", "")
            .rstrip("\r\n")
            + "\r\n"
            + (line + "a=end-of-candidates\r\n" if "a=candidate:" in section else "")
            for section in sections
        )

    def _run(self) -> None:
        while self._running:
            with self._lock:
                while self._retired:
                    self._retired.pop().close()
                owners: dict[socket.socket, _Flow | None] = {flow.upstream: flow for flow in self._flows.values()}
                owners[self._socket] = None
                timeout = max(0.0, self._queue[0].at - time.monotonic()) if self._queue else None
            readable, _, _ = select.select([self._woken, *owners], [], [], timeout)
            now = time.monotonic()
            with self._lock:
                for ready in readable:
                    if ready is self._woken:
                        ready.recv(64)
                    elif ready not in self._retired:
                        self._receive(now, ready, owners[ready])
                self._depart(now)

    def _receive(self, now: float, ready: socket.socket, flow: _Flow | None) -> None:
        direction: Direction = "up" if flow is None else "down"
        for _ in range(64):  # then the other sockets and due departures have their turn
            try:
                data, source = ready.recvfrom(DATAGRAM_LIMIT)
            except BlockingIOError:
                return
            counters = self.counters[direction]
            counters.received += 1
            owner = flow or self._flow_of(source)
            if owner is None or self._server is None or (flow is not None and source != self._server):
                counters.refused += 1
                continue
            # Every script sees every datagram, so that one script's counting does not depend on another.
            verdicts = [drop.applies(data) for drop in self._drops if drop.direction == direction]
            if any(verdicts):
                counters.dropped += 1
                continue
            receiver = self._server if flow is None else owner.client
            for at in owner.impairments[direction].plan(now, counters):
                if len(self._queue) >= QUEUE_LIMIT:
                    counters.refused += 1
                    continue
                heapq.heappush(self._queue, _Departure(at, next(self._numbers), owner, direction, receiver, data))

    def _flow_of(self, client: Address) -> _Flow | None:
        flow = self._flows.get(client)
        if flow is None and len(self._flows) < CLIENT_LIMIT:
            impairments: dict[Direction, Impairment] = {
                direction: Impairment(link, f"{self._seed}/{direction}/{len(self._flows)}")
                for direction, link in self._links.items()
            }
            flow = self._flows[client] = _Flow(client, _loopback_socket(), impairments)
        return flow

    def _depart(self, now: float) -> None:
        while self._queue and self._queue[0].at <= now:
            departure = heapq.heappop(self._queue)
            sender = departure.flow.upstream if departure.direction == "up" else self._socket
            counters = self.counters[departure.direction]
            try:
                sender.sendto(departure.data, departure.receiver)
                counters.delivered += 1
            except BlockingIOError:  # the socket's send buffer is full
                counters.refused += 1


def _loopback_socket() -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    bound.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    return bound


def is_stun(data: bytes) -> bool:
    """RFC 7983: the first byte tells the protocols on one port apart."""
    return bool(data) and data[0] < 4


def is_dtls(data: bytes) -> bool:
    return bool(data) and 20 <= data[0] < 64


def is_rtcp(data: bytes) -> bool:
    """RFC 5761: RTCP packet types lie where RTP has no payload types."""
    return len(data) > 1 and 128 <= data[0] < 192 and 192 <= data[1] < 224


def is_rtp(data: bytes) -> bool:
    return len(data) > 1 and 128 <= data[0] < 192 and not is_rtcp(data)
