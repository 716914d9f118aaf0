"""Talkers and hearers on one thread in real time: each behind an emulated network, with RTCP, NACKs and repeats.

A talker's packets are sealed beforehand and leave for the server when the emulated network delivers them there. What
comes from the server passes the emulation at its kernel time stamp: a packet arrives at the hearer's jitter buffer when
the network says so, and what he asks for because of it is asked then. RTCP of both directions goes the same way. Times
are Unix time, as the kernel's stamps are; waits are accurate to some tens of microseconds.
"""

from __future__ import annotations

import gc
import heapq
import itertools
import math
import select
import struct
import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from bench import repair
from bench.call import OPUS, SO_TIMESTAMPNS, Peer
from bench.codec import FRAME, RATE, Pcm
from bench.emulation import Emulation, Network

FRAME_S = FRAME / RATE
REPORT_S = 1.0  # as browsers: audio's RTCP each second or so
CONSENT_S = 4.0
# A packet that is still missing is asked for again after this; it is the least, a round trip is waited for in any case.
NACK_AGAIN_S = 0.04
NACK_TIMES = 4
NACK_SPAN = 25  # packets: what is older than half a second nobody waits for
KEPT = 200  # of a talker's packets, to be sent again
REDUNDANCY = 2  # earlier frames in each RED packet


class Loop:
    """Timers and sockets. `late_s` has how late each timer was."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self.late_s: list[float] = []

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._numbers), what))

    def add_reader(self, descriptor: int, what: Callable[[], None]) -> None:
        self._readers[descriptor] = what
        self._epoll.register(descriptor, select.EPOLLIN)

    def run(self, until: float) -> None:
        """Unix time. Who has made many objects calls gc.collect() before he sets the first timer."""
        gc.disable()  # a collection of all packets' objects would hold everybody up
        try:
            while (now := time.time()) < until:
                while self._heap and self._heap[0][0] <= now:
                    due, _, what = heapq.heappop(self._heap)
                    self.late_s.append(now - due)
                    what()
                wait = min(until, self._heap[0][0] if self._heap else until) - time.time()
                # select() waits by the microsecond, epoll's own wait by the millisecond.
                if select.select([self._epoll], [], [], max(0.0, wait))[0]:
                    for descriptor, _ in self._epoll.poll(0):
                        self._readers[descriptor]()
        finally:
            gc.enable()
            self._epoll.close()


def receive(peer: Peer, take: Callable[[float, bytes], None]) -> None:
    """All that is there, with the kernel's time of arrival."""
    while True:
        try:
            data, ancillary, _, _ = peer.socket.recvmsg(2048, 64)
        except (BlockingIOError, ConnectionRefusedError):
            return
        stamp = next(value for _, kind, value in ancillary if kind == SO_TIMESTAMPNS)
        seconds, nanoseconds = struct.unpack("qq", stamp)
        take(seconds + nanoseconds / 1e9, data)


def is_rtcp(data: bytes) -> bool:
    return len(data) > 8 and data[0] >> 6 == 2 and 192 <= data[1] < 224


def level_dbov(frame: Pcm) -> int:
    """RFC 6464: 0..127 below the level of overload."""
    rms = float(np.sqrt(np.mean(np.square(frame, dtype=np.float64))))
    return min(127, max(0, round(-20 * math.log10(max(rms, 1e-7)))))


class Talker:
    """Sends a signal's Opus frames, as plain packets or as RED. frames and levels: one each 20 ms. phases: the network
    upwards, each until so many seconds after the begin; the way down has the first one's loss and path."""

    def __init__(
        self,
        peer: Peer,
        frames: Sequence[bytes],
        levels: Sequence[int],
        phases: Sequence[tuple[float, Network]],
        seed: str,
        *,
        red: bool,
    ) -> None:
        self.peer = peer
        self._frames, self._levels, self._phases = frames, levels, phases
        network = phases[0][1]
        self._up = Emulation(network, f"{seed}/up")
        self._feedback = Emulation(Network(network.loss, network.bursty, 0.0, network.path_ms), f"{seed}/feedback")
        self._down = Emulation(Network(network.loss, network.bursty, 0.0, network.path_ms), f"{seed}/down")
        self._red = peer.terms.red if red else None
        self._sequence, self._timestamp = 1000, 48_000
        self.datagrams = [self._seal(number) for number in range(len(frames))]
        self._reference: tuple[int, int, float] | None = None
        self.sent = self.asked = self.repeated = 0
        self.media_bytes = sum(len(datagram) for datagram in self.datagrams)

    def start(self, loop: Loop, begin: float) -> None:
        """The first frame is complete at `begin`."""
        self._loop, self._begin = loop, begin
        for number, datagram in enumerate(self.datagrams):
            offset = number * FRAME_S
            self._up.network = next(network for until, network in self._phases if offset < until)
            arrival = self._up.arrival(begin + offset)
            if arrival is not None:
                loop.at(arrival, lambda datagram=datagram: self._send(datagram))  # type: ignore[misc]
        loop.add_reader(self.peer.socket.fileno(), lambda: receive(self.peer, self._take))
        loop.at(begin + 0.25, self._report)
        loop.at(begin, self._consent)

    def _seal(self, number: int) -> bytes:
        payload, payload_type = self._frames[number], OPUS
        if self._red is not None:
            payload_type = self._red
            older = range(max(0, number - REDUNDANCY), number)
            payload = repair.pack_red(
                [repair.Block(OPUS, (number - each) * FRAME, self._frames[each]) for each in older]
                + [repair.Block(OPUS, 0, payload)]
            )
        sequence = self._sequence + number
        header = struct.pack(
            "!BBHII",
            0x90,
            payload_type | (0x80 if number == 0 else 0),
            sequence & 0xFFFF,
            self._timestamp + number * FRAME & 0xFFFFFFFF,
            self.peer.ssrc,
        )
        level = self._levels[number]
        header += struct.pack("!HHBBH", 0xBEDE, 1, 1 << 4, level | (0x80 if level < 60 else 0), 0)
        return self.peer.sealer.rtp(header + payload, sequence >> 16)

    def _send(self, datagram: bytes) -> None:
        self.sent += 1
        self.peer.socket.send(datagram)

    def _take(self, at: float, data: bytes) -> None:
        if not is_rtcp(data):
            return
        arrival = self._down.arrival(at)
        if arrival is not None:
            self._loop.at(arrival, lambda: self._hear(arrival, data))

    def _hear(self, at: float, data: bytes) -> None:
        plain = self.peer.opener.rtcp(data)
        compound = repair.parse_rtcp(plain) if plain else None
        if compound is None:
            return
        if compound.reference_time:
            self._reference = *compound.reference_time, at
        self.asked += len(compound.nacks)
        newest = int((at - self._begin) / FRAME_S)
        for sequence in compound.nacks:
            number = sequence - self._sequence & 0xFFFF
            if not newest - KEPT <= number <= min(newest, len(self.datagrams) - 1):
                continue
            arrival = self._feedback.arrival(at)
            self.repeated += 1
            if arrival is not None:
                self._loop.at(arrival, lambda number=number: self._send(self.datagrams[number]))  # type: ignore[misc]

    def _report(self) -> None:
        now = time.time()
        number = max(0, int((now - self._begin) / FRAME_S))
        timestamp = self._timestamp + round((now - self._begin) * RATE)
        report = repair.sender_report(self.peer.ssrc, now, timestamp, number, 80 * number) + repair.name(self.peer.ssrc)
        if self._reference:
            of, last, at = self._reference
            report += repair.answer_reference_time(self.peer.ssrc, of, last, now - at)
        arrival = self._feedback.arrival(now)
        if arrival is not None:
            sealed = self.peer.sealer.rtcp(report)
            self._loop.at(arrival, lambda: self._send_rtcp(sealed))
        self._loop.at(now + REPORT_S, self._report)

    def _send_rtcp(self, sealed: bytes) -> None:
        self.peer.socket.send(sealed)

    def _consent(self) -> None:
        self.peer.check()
        self._loop.at(time.time() + CONSENT_S, self._consent)


class Hearer:
    """Keeps what arrives as (arrival, sealed RTP) in `packets`; asks for what is missing if `nack` is agreed."""

    def __init__(self, peer: Peer, network: Network, seed: str, *, nack: bool) -> None:
        self.peer = peer
        self._down = Emulation(network, f"{seed}/down")
        self._up = Emulation(Network(network.loss, network.bursty, 0.0, network.path_ms), f"{seed}/feedback")
        self._round_trip_s = 2 * network.path_ms / 1000
        self._nack = nack and peer.terms.nack
        self.packets: list[tuple[float, bytes]] = []
        self.asked = 0
        self._highest = -1  # extended sequence number
        self._first = 0
        self._received = self._expected_before = self._received_before = 0
        self._missing: dict[int, int] = {}  # how often it was asked for
        self._sender_report: tuple[int, float] | None = None
        self._ssrc = ssrc_of(seed)
        self._jitter, self._transit = 0.0, 0.0

    def start(self, loop: Loop, begin: float) -> None:
        self._loop = loop
        loop.add_reader(self.peer.socket.fileno(), lambda: receive(self.peer, self._take))
        loop.at(begin + 0.5, self._report)
        loop.at(begin, self._consent)

    def _take(self, at: float, data: bytes) -> None:
        if data[0] >> 6 != 2:
            return
        arrival = self._down.arrival(at)
        if arrival is None:
            return
        if is_rtcp(data):
            self._hear(arrival, data)
            return
        self.packets.append((arrival, data))
        if self._nack and arrival > at:
            self._loop.at(arrival, lambda: self._note(arrival, data))
        else:
            self._note(arrival, data)

    def _note(self, at: float, data: bytes) -> None:
        sequence, timestamp = struct.unpack_from("!HI", data, 2)
        if self._highest < 0:
            self._highest = self._first = sequence
            self._received = 1
            return
        extended = self._highest + ((sequence - self._highest + 0x8000 & 0xFFFF) - 0x8000)
        if extended > self._highest:
            for lost in range(max(self._highest + 1, extended - NACK_SPAN), extended):
                self._missing[lost] = 0
            self._highest = extended
            self._received += 1
            transit = at * RATE - timestamp
            change = abs((transit - self._transit + 2**31) % 2**32 - 2**31)
            self._jitter += (change - self._jitter) / 16 if self._transit else 0.0
            self._transit = transit
        elif self._missing.pop(extended, None) is not None:
            self._received += 1
        for old in [each for each in self._missing if each <= self._highest - NACK_SPAN]:
            del self._missing[old]
        if self._nack and 0 in self._missing.values():
            self._ask()

    def _ask(self) -> None:
        """For what was not asked for yet, and again for what has not come."""
        now = time.time()
        fresh = [each for each, times in self._missing.items() if times == 0]
        if not fresh:
            return
        for each in fresh:
            self._missing[each] += 1
        self._request(fresh, now)
        wait = max(NACK_AGAIN_S, self._round_trip_s * 1.25)
        self._loop.at(now + wait, lambda: self._again(fresh, wait))

    def _again(self, sequences: list[int], wait: float) -> None:
        still = [each for each in sequences if 0 < self._missing.get(each, 0) < NACK_TIMES]
        if not still:
            return
        now = time.time()
        for each in still:
            self._missing[each] += 1
        self._request(still, now)
        self._loop.at(now + wait, lambda: self._again(still, wait))

    def _request(self, sequences: list[int], now: float) -> None:
        self.asked += len(sequences)
        packet = repair.nack(self._ssrc, self.peer.terms.ssrc, [each & 0xFFFF for each in sequences])
        if not self.peer.terms.reduced_size:
            packet = repair.receiver_report(self._ssrc) + repair.name(self._ssrc) + packet
        self._send_rtcp(packet, now)

    def _hear(self, at: float, data: bytes) -> None:
        plain = self.peer.opener.rtcp(data)
        compound = repair.parse_rtcp(plain) if plain else None
        if compound is not None and compound.sender_report is not None:
            self._sender_report = compound.sender_report[1], at

    def _report(self) -> None:
        now = time.time()
        self._loop.at(now + REPORT_S, self._report)
        if self._highest < 0:
            return
        expected = self._highest - self._first + 1
        expected_now, received_now = expected - self._expected_before, self._received - self._received_before
        self._expected_before, self._received_before = expected, self._received
        fraction = max(0, 256 * (expected_now - received_now) // max(1, expected_now))
        last, heard_at = self._sender_report or (0, now)
        loss = repair.Loss(
            self.peer.terms.ssrc,
            fraction,
            expected - self._received,
            self._highest,
            round(self._jitter),
            last,
            max(0.0, now - heard_at),
        )
        self._send_rtcp(repair.receiver_report(self._ssrc, [loss]) + repair.name(self._ssrc), now)

    def _send_rtcp(self, packet: bytes, now: float) -> None:
        arrival = self._up.arrival(now)
        if arrival is not None:
            sealed = self.peer.sealer.rtcp(packet)
            self._loop.at(arrival, lambda: self._push(sealed))

    def _push(self, sealed: bytes) -> None:
        self.peer.socket.send(sealed)

    def _consent(self) -> None:
        self.peer.check()
        self._loop.at(time.time() + CONSENT_S, self._consent)


def ssrc_of(seed: str) -> int:
    """A receiver's own SSRC, the same for the same seed."""
    return zlib.crc32(seed.encode()) or 1
