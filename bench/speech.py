"""Opus packets that are like speech, for benchmarks that need no corpus: a seeded buzz with formants and syllables."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
FRAME = 960


def buzz(seed: int, seconds: float) -> NDArray[np.float32]:
    """Mono samples: a pulse train of gliding pitch through two resonances, in syllables of 5 a second."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = random.uniform(100, 220) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.4, 0.8) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(
        np.sin(k * phase) / k * (1 + 3 * np.exp(-(((k * pitch - formant) / 200) ** 2)))
        for k in range(1, 20)
        for formant in (600 + 200 * np.sin(2 * np.pi * 1.3 * time),)
    )
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 5 * time + random.uniform(0, 6))
    breath = random.normal(0, 0.003, time.size)
    return np.asarray(0.12 * syllables * voice + breath, np.float32)


@cache
def packets_of_speech(seed: int, seconds: float = 1.0, bitrate: int = 40_000) -> tuple[bytes, ...]:
    """20 ms Opus packets, as a browser would send them."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = RATE
    encoder.layout = "mono"
    encoder.format = "flt"
    encoder.bit_rate = bitrate
    encoder.time_base = Fraction(1, RATE)
    encoder.options = {"application": "voip", "frame_duration": "20"}
    samples = buzz(seed, seconds)
    packets: list[bytes] = []
    for start in range(0, samples.size - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + FRAME], "flt", "mono")
        frame.sample_rate = RATE
        frame.pts = start
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode(None)]
    return tuple(packets)
