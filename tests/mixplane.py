"""The packet plane in the test's own process with a mixer in its room: speakers with exact tones, listeners who note
when each packet came, and what the mix sounds like.

Speech flows from a process of its own (pacer.py) and arrival times are the kernel's, so that neither depends on when
the test's threads run. Levels are in dB below a full-scale sine, unless they are RFC 6464's.
"""

from __future__ import annotations

import fractions
import functools
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import av
import numpy as np
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from mediaserver import _native, kernels
from tests.netem import Relay, is_rtp
from tests.pacer import Departure, Pacer
from tests.rawplane import AEAD_AES_128_GCM, LEVEL_ID, PAYLOAD_TYPE, ROOM, RawPeer, RawPlane

Pcm = NDArray[np.float32]  # [samples, channels], 48 kHz, full scale 1.0

RATE = 48_000
CSRC_LEVEL_ID = 7
SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it
DEFAULTS = {
    "stereo": False,
    "bitrate": 48_000,
    "ptime_ms": 20,
    "complexity": 5,
    "music": False,
    "passthrough": False,
    "e2ee": False,
}


class MixPlane(RawPlane):
    """Its room's mixes are encoded as `options` say; see Plane.add_room()."""

    def __init__(self, *, workers: int = 1, **options: Any) -> None:
        super().__init__(workers=workers)
        self._options = {**DEFAULTS, **options}

    def __enter__(self) -> Self:
        self.plane.set_kernels(**kernels.plane_arguments())
        super().__enter__()
        self.configure()
        return self

    def configure(self, **options: Any) -> None:
        """Other settings from now on, where they differ from those at first."""
        self.plane.configure_room(ROOM, **{**self._options, **options})

    def mix_listener(
        self,
        csrc: int,
        row: int,
        *,
        room: int = ROOM,
        worker: int = 0,
        profile: int = AEAD_AES_128_GCM,
        **options: Any,
    ) -> MixListener:
        """A connected one; the row must be there. options: of its slot."""
        number, peer = self._add_peer(self.address(worker), profile, None)
        slot = _native.Slot(
            ssrc=1000 * number,
            **{"payload_type": PAYLOAD_TYPE, "level_id": LEVEL_ID, "csrc_level_id": CSRC_LEVEL_ID, **options},
        )
        self.stats[number] = self.plane.add_listener(
            number, worker, room, ufrag=peer.ufrag, pwd=peer.password, csrc=csrc, slots=[slot], cname="raw", row=row
        )
        return MixListener(number, self.connect(number, peer))

    def talk(self, schedule: Iterable[Departure], *, relay: Relay | None = None, worker: int = 0) -> Pacer:
        return Pacer(list(schedule), relay.address if relay else self.address(worker))

    def deltas(self, seconds: float, *names: str) -> list[int]:
        """By how much these counters grow meanwhile."""
        before = [self.counter(name) for name in names]
        time.sleep(seconds)
        return [self.counter(name) - count for name, count in zip(names, before, strict=True)]


class MixListener:
    """arrivals: in seconds of CLOCK_REALTIME. csrc_levels: RFC 6465, -127..0 dBov. Both by packet."""

    def __init__(self, number: int, peer: RawPeer) -> None:
        self.number = number
        self.peer = peer
        self.arrivals: list[float] = []
        self.csrc_levels: list[list[int]] = []
        self._received: list[RtpPacket] = []
        peer.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def packets(self) -> list[RtpPacket]:
        """All that have come until now, in the order of their arrival."""
        self.peer.socket.setblocking(False)
        while True:
            try:
                data, ancillary, _, _ = self.peer.socket.recvmsg(2048, 256)
            except BlockingIOError:
                return self._received
            if not is_rtp(data):
                continue
            [stamp] = [value for _, kind, value in ancillary if kind == SO_TIMESTAMPNS]
            seconds, nanoseconds = struct.unpack("qq", stamp)
            plain = self.peer._in.unprotect(data)
            self.arrivals.append(seconds + nanoseconds / 1e9)
            self._received.append(RtpPacket.parse(plain))
            self.csrc_levels.append(csrc_levels(plain))

    def wait(self, what: Callable[[RtpPacket], object], *, after: int = 0, within_s: float = 5.0) -> int:
        """Waits for a packet of which `what` is true, from the packet number `after` on; its number. AssertionError
        after `within_s`."""
        deadline = time.monotonic() + within_s
        while True:
            for number, packet in enumerate(self.packets()[after:], after):
                if what(packet):
                    return number
            assert time.monotonic() < deadline, f"not within {within_s} s, {len(self.arrivals)} packets came"
            time.sleep(0.005)

    def gaps_s(self) -> NDArray[np.float64]:
        """Between one packet's arrival and the next's."""
        self.packets()
        return np.diff(np.asarray(self.arrivals))

    def clear(self) -> None:
        self.packets()
        self._received.clear()
        self.arrivals.clear()
        self.csrc_levels.clear()


def csrc_levels(packet: bytes) -> list[int]:
    """What the RFC 6465 extension of an RTP packet says, in dBov; none when it has no such extension."""
    at = 12 + 4 * (packet[0] & 0x0F)
    if not packet[0] & 0x10 or packet[at : at + 2] != b"\xbe\xde":
        return []
    end = at + 4 + 4 * int.from_bytes(packet[at + 2 : at + 4], "big")
    at += 4
    while at < end:
        kind, size = packet[at] >> 4, (packet[at] & 0x0F) + 1
        if packet[at] == 0:  # padding
            at += 1
        elif kind == CSRC_LEVEL_ID:
            return [-(byte & 0x7F) for byte in packet[at + 1 : at + 1 + size]]
        else:
            at += 1 + size
    return []


# Sounds


def sine(pitch_hz: float, seconds: float, level_db: float = -18.0) -> Pcm:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(10 ** (level_db / 20) * np.sin(2 * np.pi * pitch_hz * t), np.float32)[:, None]


@functools.cache
def tone(
    pitch_hz: int, seconds: float, *, level_db: float = -18.0, packet_ms: int = 20, channels: int = 1
) -> tuple[bytes, ...]:
    """A sine in Opus packets of this length: CELT, which keeps a sine's level best."""
    pcm = np.repeat(sine(pitch_hz, seconds, level_db), channels, axis=1)
    return encode(pcm, packet_ms, 64_000 * channels, application="audio")


def encode(pcm: Pcm, packet_ms: int, bitrate: int, **options: str) -> tuple[bytes, ...]:
    channels = pcm.shape[1]
    layout = "stereo" if channels == 2 else "mono"
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, layout, "flt"
    encoder.bit_rate, encoder.options = bitrate, {"frame_duration": str(packet_ms), **options}
    encoder.time_base = fractions.Fraction(1, RATE)
    size = RATE // 1000 * packet_ms
    packets: list[bytes] = []
    for start in range(0, len(pcm) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(pcm[start : start + size].reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = RATE, start
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return tuple(packets)


def decode(packets: Sequence[RtpPacket], channels: int = 1, *, timed: bool = True) -> Pcm:
    """What they decode to, each at the time that its timestamp says, silence where there is none; or, not `timed`, one
    after the other."""
    decoder = av.CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = RATE, "stereo" if channels == 2 else "mono"
    pieces: list[tuple[int, Pcm]] = []
    for packet in packets:
        at = (packet.timestamp - packets[0].timestamp) % 2**32
        for frame in decoder.decode(av.Packet(packet.payload)):
            assert isinstance(frame, av.AudioFrame)
            at = at if timed else sum(len(piece) for _, piece in pieces[-1:]) + (pieces[-1][0] if pieces else 0)
            pieces.append((at, np.asarray(frame.to_ndarray().reshape(-1, channels) / 32768, np.float32)))
    pcm = np.zeros((max((at + len(piece) for at, piece in pieces), default=0), channels), np.float32)
    for at, piece in pieces:
        pcm[at : at + len(piece)] = piece
    return pcm


def say(
    speaker: RawPeer, payloads: Iterable[bytes], *, packet_ms: int = 20, at_s: float = 0.0, level_dbov: int = -21
) -> list[Departure]:
    """The speaker's next packets, each at its time; the first `at_s` from the beginning."""
    samples = RATE // 1000 * packet_ms
    schedule = []
    for number, payload in enumerate(payloads):
        departure = at_s + number * packet_ms / 1000
        schedule.append((departure, speaker.socket.fileno(), speaker.seal(payload, level_dbov=level_dbov)))
        speaker.timestamp = (speaker.timestamp + samples - 960) % 2**32  # seal() has added 20 ms
    return schedule


def pause(speaker: RawPeer, seconds: float) -> None:
    """His time goes on, and he says nothing, as with DTX."""
    speaker.timestamp = (speaker.timestamp + round(seconds * RATE)) % 2**32


# Measuring

WINDOW = RATE // 5  # 0.2 s: tones 100 Hz apart do not touch


def levels_db(pcm: Pcm, *pitches_hz: float, channel: int = 0) -> list[float]:
    """Of each pitch: the median over windows, so that a hiccup of the machine in one of them does not matter."""
    windows = _windows(pcm, channel)
    n = np.arange(WINDOW)
    hann = np.hanning(WINDOW)
    levels = []
    for pitch_hz in pitches_hz:
        probe = np.exp(-2j * np.pi * pitch_hz * n / RATE) * hann * 2 / hann.sum()
        levels.append(float(20 * np.log10(max(float(np.median(np.abs(windows @ probe))), 1e-6))))
    return levels


def rest_db(pcm: Pcm, *pitches_hz: float, channel: int = 0) -> float:
    """Power of all that is farther than 40 Hz from these pitches, relative to what is near.

    That of the best fifth of the windows: a coder's or a mixer's error is in all of them, and what a busy machine does
    to a talker or a tick is not."""
    spectra = np.abs(np.fft.rfft(_windows(pcm, channel) * np.hanning(WINDOW), axis=1)) ** 2
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    near = np.any([np.abs(frequencies - pitch_hz) <= 40 for pitch_hz in pitches_hz], axis=0)
    ratio = spectra[:, ~near].sum(axis=1) / spectra[:, near].sum(axis=1)
    return float(10 * np.log10(max(float(np.quantile(ratio, 0.2)), 1e-12)))


def _windows(pcm: Pcm, channel: int) -> NDArray[np.float64]:
    starts = range(0, len(pcm) - WINDOW + 1, WINDOW // 2)
    assert starts, f"{len(pcm)} samples are too few"
    return np.asarray([pcm[start : start + WINDOW, channel] for start in starts], np.float64)
