"""The listener's side: packets with their times of arrival in, the signal that is heard out. Pure.

The playout is ideal and the same for every case: its delay is constant and chosen after the fact, as the lateness of
the latest frame, where a frame that is later than SURE of the others by more than OUTLIER_S does not count (it is
lost), and never more than MAX_DELAY_S. A receiver that adapts cannot do better on a network whose statistics do not
change, so what is lost is lost by network and server, and not by an estimator of ours. It scales no time, and conceals
as libopus does.

A frame's sources, the best first: its own packet (or its repetition), a copy in RED, the in-band copy in the packet
behind it. Whichever has come by its time is taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench import codec, repair
from bench.call import OPUS
from bench.codec import FRAME, RATE, Pcm

SURE = 0.995
OUTLIER_S = 0.02
MAX_DELAY_S = 0.4


@dataclass(frozen=True)
class Heard:
    """pcm[0] is played at `begin`, Unix time. delay_s: of the playout. Frames by what became of them."""

    pcm: Pcm
    begin: float
    delay_s: float
    frames: int
    from_red: int
    from_fec: int
    concealed: int


@dataclass
class _Frame:
    """One frame's ways: when each came (0: never), and what it brought."""

    own_at: float = 0.0
    red_at: float = 0.0
    payload: bytes = b""


def hear(packets: Iterable[tuple[float, bytes]], *, red: int | None = None, fec: bool = False) -> Heard | None:
    """packets: (arrival, plain RTP), any order; of one SSRC. red: the payload type of RED. None: nothing came."""
    frames: dict[int, _Frame] = {}
    sequences: dict[int, int] = {}  # extended timestamp of each packet's own frame, by extended sequence number
    newest: tuple[int, int] | None = None
    for arrival, plain in sorted(packets):
        rtp = repair.parse_rtp(plain)
        if rtp is None or not rtp.payload:
            continue
        if rtp.payload_type == OPUS:
            blocks = [repair.Block(OPUS, 0, rtp.payload)]
        elif red is not None and rtp.payload_type == red:
            blocks = [block for block in repair.parse_red(rtp.payload) if block.payload_type == OPUS]
        else:
            continue
        newest = newest or (rtp.sequence, rtp.timestamp)
        sequence, timestamp = _extend(rtp.sequence, newest[0], 16), _extend(rtp.timestamp, newest[1], 32)
        newest = max(newest, (sequence, timestamp))
        for block in blocks:
            frame = frames.setdefault(timestamp - block.offset, _Frame())
            if block.offset == 0:
                frame.own_at = frame.own_at or arrival
                sequences.setdefault(sequence, timestamp)
            else:
                frame.red_at = frame.red_at or arrival
            frame.payload = frame.payload or block.payload
    if not sequences:
        return None
    for at in _gaps(sequences):
        frames.setdefault(at, _Frame())
    first = min(sequences.values())
    frames = {at: frame for at, frame in frames.items() if at >= first}
    return _play(frames, fec=fec)


def _extend(value: int, near: int, bits: int) -> int:
    half = 1 << bits - 1
    return near + ((value - near + half) % (1 << bits) - half)


def _gaps(sequences: dict[int, int]) -> list[int]:
    """Where frames are that never came. Where fewer packets are missing than time, the sender paused after them."""
    missing = []
    order = sorted(sequences)
    for before, after in itertools.pairwise(order):
        begin = sequences[before]
        lost = min(after - before - 1, (sequences[after] - begin) // FRAME - 1)
        missing += [begin + FRAME * (number + 1) for number in range(max(0, lost))]
    return missing


def _play(frames: dict[int, _Frame], *, fec: bool) -> Heard:
    order = sorted(frames)
    base = min(frame.own_at - at / RATE for at, frame in frames.items() if frame.own_at)

    def came(frame: _Frame) -> float:
        return min((at for at in (frame.own_at, frame.red_at) if at), default=0.0)

    def copied(at: int) -> float:
        """When the in-band copy of this frame came."""
        behind = frames.get(at + FRAME)
        return came(behind) if fec and behind is not None and codec.has_copy(behind.payload) else 0.0

    late = [(came(frames[at]) or copied(at)) - base - at / RATE for at in order if came(frames[at]) or copied(at)]
    usual = float(np.quantile(late, SURE))
    delay = min(max(each for each in late if each <= usual + OUTLIER_S), MAX_DELAY_S)

    decoder = codec.Decoder()
    pieces: list[Pcm] = []
    position = order[0]
    counts = {"frames": 0, "from_red": 0, "from_fec": 0, "concealed": 0}
    for at in order:
        if at < position:
            continue  # overlaps a longer frame
        if at > position:
            pieces.append(np.zeros(at - position, np.float32))
        frame, due = frames[at], base + at / RATE + delay + 1e-9
        counts["frames"] += 1
        if frame.payload and came(frame) <= due:
            piece = decoder.decode(frame.payload)
            counts["from_red"] += not 0 < frame.own_at <= due
        elif 0 < copied(at) <= due:
            piece = decoder.recover(frames[at + FRAME].payload)
            counts["from_fec"] += 1
        else:
            piece = decoder.conceal()
            counts["concealed"] += 1
        pieces.append(piece)
        position = at + len(piece)
    return Heard(np.concatenate(pieces), base + order[0] / RATE + delay, delay, **counts)
