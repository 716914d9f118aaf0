"""What repairs losses, as bytes: RED (RFC 2198), generic NACK (RFC 4585) and the reports it lives on (RFC 3550, 3611).

Written from the RFCs for the benchmark's own peers; it shares nothing with the plane. Bad input is None or empty.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NTP_EPOCH_S = 2_208_988_800  # 1900 to 1970
RED_MAX_BLOCK = (1 << 10) - 1  # bytes, RFC 2198 section 3
RED_MAX_OFFSET = (1 << 14) - 1  # samples


@dataclass(frozen=True)
class Rtp:
    """What a receiver needs of an RTP packet (RFC 3550 section 5.1), without header extensions."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    payload: bytes


def parse_rtp(packet: bytes) -> Rtp | None:
    if len(packet) < 12 or packet[0] >> 6 != 2:
        return None
    payload_type, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", packet)
    count = packet[0] & 0x0F
    at = 12 + 4 * count
    if len(packet) < at:
        return None
    csrcs = struct.unpack_from(f"!{count}I", packet, 12)
    if packet[0] & 0x10:
        if len(packet) < at + 4:
            return None
        at += 4 + 4 * struct.unpack_from("!H", packet, at + 2)[0]
    end = len(packet) - (packet[-1] if packet[0] & 0x20 else 0)
    if end < at:
        return None
    return Rtp(payload_type & 0x7F, sequence, timestamp, ssrc, csrcs, packet[at:end])


# RED


@dataclass(frozen=True)
class Block:
    """offset: by how many samples it is older than the packet; 0 for the packet's own frame."""

    payload_type: int
    offset: int
    payload: bytes


def pack_red(blocks: Sequence[Block]) -> bytes:
    """The blocks in order, the packet's own frame last. Those that RFC 2198 has no room for are left out."""
    *older, own = blocks
    older = [block for block in older if len(block.payload) <= RED_MAX_BLOCK and 0 < block.offset <= RED_MAX_OFFSET]
    head = b"".join(
        struct.pack("!I", 1 << 31 | block.payload_type << 24 | block.offset << 10 | len(block.payload))
        for block in older
    )
    return head + bytes([own.payload_type]) + b"".join(block.payload for block in (*older, own))


def parse_red(payload: bytes) -> list[Block]:
    """The blocks of a RED payload, the packet's own frame last; none when it is malformed."""
    heads: list[tuple[int, int, int]] = []
    at = 0
    while at < len(payload) and payload[at] & 0x80:
        if at + 4 > len(payload):
            return []
        word = struct.unpack_from("!I", payload, at)[0]
        heads.append((word >> 24 & 0x7F, word >> 10 & RED_MAX_OFFSET, word & RED_MAX_BLOCK))
        at += 4
    if at >= len(payload):
        return []
    own = payload[at]
    at += 1
    blocks = []
    for payload_type, offset, size in heads:
        if at + size > len(payload):
            return []
        blocks.append(Block(payload_type, offset, payload[at : at + size]))
        at += size
    return [*blocks, Block(own, 0, payload[at:])]


# RTCP


@dataclass
class Compound:
    """What a peer has to know of a compound packet."""

    nacks: list[int] = field(default_factory=list)  # sequence numbers asked for
    sender_report: tuple[int, int] | None = None  # SSRC, middle 32 bits of its NTP time
    reference_time: tuple[int, int] | None = None  # XR, the same
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)  # by SSRC: fraction lost of 256, cumulative
    goodbye: bool = False


def parse_rtcp(compound: bytes) -> Compound | None:
    result = Compound()
    while compound:
        if len(compound) < 8 or compound[0] >> 6 != 2:
            return None
        count, kind, words = compound[0] & 0x1F, compound[1], struct.unpack_from("!H", compound, 2)[0]
        size = 4 + 4 * words
        if size > len(compound):
            return None
        packet, compound = compound[:size], compound[size:]
        ssrc = struct.unpack_from("!I", packet, 4)[0] if size >= 8 else 0
        if kind == 200 and size >= 28:
            result.sender_report = ssrc, struct.unpack_from("!Q", packet, 8)[0] >> 16 & 0xFFFFFFFF
            _take_blocks(packet[28:], count, result)
        elif kind == 201:
            _take_blocks(packet[8:], count, result)
        elif kind == 203:
            result.goodbye = True
        elif kind == 205 and count == 1:
            for at in range(12, size - 3, 4):
                first, mask = struct.unpack_from("!HH", packet, at)
                result.nacks += [first, *(first + 1 + bit & 0xFFFF for bit in range(16) if mask >> bit & 1)]
        elif kind == 207:
            _take_extended(packet, ssrc, result)
    return result


def _take_blocks(data: bytes, count: int, result: Compound) -> None:
    for at in range(0, min(24 * count, len(data) - 23), 24):
        ssrc, loss = struct.unpack_from("!II", data, at)
        result.blocks[ssrc] = loss >> 24, (loss & 0xFFFFFF ^ 0x800000) - 0x800000


def _take_extended(packet: bytes, ssrc: int, result: Compound) -> None:
    at = 8
    while at + 4 <= len(packet):
        kind, words = packet[at], struct.unpack_from("!H", packet, at + 2)[0]
        if kind == 4 and words == 2 and at + 12 <= len(packet):  # RFC 3611 section 4.4
            result.reference_time = ssrc, struct.unpack_from("!Q", packet, at + 4)[0] >> 16 & 0xFFFFFFFF
        at += 4 + 4 * words


def _packet(count: int, kind: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def nack(sender: int, media: int, sequences: Iterable[int]) -> bytes:
    """A generic NACK, RFC 4585 section 6.2.1, for these sequence numbers (any order, modulo 2^16)."""
    fields: list[tuple[int, int]] = []
    for sequence in sequences:
        distance = sequence - fields[-1][0] & 0xFFFF if fields else 0
        if fields and 1 <= distance <= 16:
            fields[-1] = fields[-1][0], fields[-1][1] | 1 << distance - 1
        else:
            fields.append((sequence & 0xFFFF, 0))
    body = struct.pack("!II", sender, media) + b"".join(struct.pack("!HH", *each) for each in fields)
    return _packet(1, 205, body)


@dataclass(frozen=True)
class Loss:
    """A report block, RFC 3550 section 6.4.1. fraction: of 256; jitter: in samples; last_sr: middle 32 bits of NTP;
    delay_s: since that sender report came."""

    ssrc: int
    fraction: int
    cumulative: int
    highest: int
    jitter: int
    last_sr: int = 0
    delay_s: float = 0.0

    def pack(self) -> bytes:
        return struct.pack(
            "!IIIIII",
            self.ssrc,
            min(self.fraction, 255) << 24 | self.cumulative & 0xFFFFFF,
            self.highest & 0xFFFFFFFF,
            self.jitter,
            self.last_sr,
            min(round(self.delay_s * 65536), 0xFFFFFFFF),
        )


def receiver_report(sender: int, losses: Sequence[Loss] = ()) -> bytes:
    return _packet(len(losses), 201, struct.pack("!I", sender) + b"".join(loss.pack() for loss in losses))


def sender_report(sender: int, now: float, timestamp: int, packets: int, octets: int) -> bytes:
    """now: Unix time; timestamp: the media's then."""
    body = struct.pack("!IQIII", sender, ntp(now), timestamp & 0xFFFFFFFF, packets, octets)
    return _packet(0, 200, body)


def name(sender: int, cname: bytes = b"bench") -> bytes:
    """SDES with a CNAME, RFC 3550 section 6.5."""
    item = bytes([1, len(cname)]) + cname
    return _packet(1, 202, struct.pack("!I", sender) + item + bytes(4 - len(item) % 4))


def answer_reference_time(sender: int, of: int, last: int, delay_s: float) -> bytes:
    """XR with DLRR, RFC 3611 section 4.5: by it a receiver learns its round trip. last: middle 32 bits of its NTP."""
    block = struct.pack("!BBHIII", 5, 0, 3, of, last, min(round(delay_s * 65536), 0xFFFFFFFF))
    return _packet(0, 207, struct.pack("!I", sender) + block)


def ntp(now: float) -> int:
    seconds = int(now)
    return (seconds + NTP_EPOCH_S) << 32 | int((now - seconds) * 2**32)
