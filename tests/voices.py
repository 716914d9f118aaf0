"""Voices that tests can tell apart: a pitch with its partials in syllables, which no noise suppressor takes for noise.

Pitches whose first three partials do not meet: 440, 590, 770 and 350 Hz. Signals last a whole number of periods of
everything in them, so that they can be repeated without a click.
"""

import fractions
import functools
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # mono, 48 kHz, full scale 1.0

SAMPLE_RATE = 48_000
FRAME = 960  # samples in a packet of 20 ms
PARTIALS = 3
SYLLABLES_PER_SECOND = 3


def voice(pitch_hz: int, seconds: int = 2, *, peak: float = 0.25) -> Samples:
    """`seconds` of the voice; an integer pitch makes it repeatable."""
    t = np.arange(SAMPLE_RATE * seconds) / SAMPLE_RATE
    shaped = np.clip(2 * np.sin(2 * np.pi * SYLLABLES_PER_SECOND * t) + 0.5, 0, 1)
    shaped *= np.sum([np.sin(2 * np.pi * pitch_hz * k * t) / k for k in range(1, PARTIALS + 1)], axis=0)
    return np.asarray(shaped * (peak / np.abs(shaped).max()), np.float32)


def level_db(samples: Samples, pitch_hz: int) -> float:
    """The strongest fifth of a second of the voice's pitch, in dB below a full-scale sine; -120 for silence.

    The window is narrower than a syllable's pause is long, so one syllable is enough; Hann keeps other voices out.
    """
    size = SAMPLE_RATE // 5
    window = np.hanning(size)
    probe = np.exp(-2j * np.pi * pitch_hz * np.arange(size) / SAMPLE_RATE) * window * 2 / window.sum()
    starts = range(0, len(samples) - size + 1, size // 4)
    loudest = max((abs(np.dot(samples[start : start + size], probe)) for start in starts), default=0.0)
    return float(20 * np.log10(max(loudest, 1e-6)))


def write_wav(path: Path, samples: Samples) -> Path:
    """16 bits, mono: the form in which Chromium reads a fake microphone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@dataclass(frozen=True)
class OpusFrame:
    """20 ms of Opus and its RFC 6464 level, -127..0 dBov."""

    payload: bytes
    level_dbov: int


@functools.cache
def opus_frames(pitch_hz: int | None, seconds: int = 2) -> tuple[OpusFrame, ...]:
    """The voice as packets to repeat; None is silence."""
    samples = voice(pitch_hz, seconds) if pitch_hz else np.zeros(SAMPLE_RATE * seconds, np.float32)
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = SAMPLE_RATE, "mono", "flt"
    encoder.bit_rate, encoder.options = 32_000, {"application": "voip", "frame_duration": "20"}
    encoder.time_base = fractions.Fraction(1, SAMPLE_RATE)
    frames = []
    # Twice over, and the second half is kept: then the encoder's start is not in it.
    for number, chunk in enumerate(np.concatenate([samples, samples]).reshape(-1, 1, FRAME)):
        frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, number * FRAME
        level = 20 * np.log10(max(float(np.sqrt(np.mean(chunk**2))), 1e-7))
        frames += [OpusFrame(bytes(packet), max(-127, round(level))) for packet in encoder.encode(frame)]
    return tuple(frames[-len(samples) // FRAME :])
