"""What speakers say: recorded speech where Debian's package of it is installed, else a synthetic voice; or tones by
which a speaker is known in a mix, or chirps by which it is known when he is heard. As Opus packets of 20 ms, and their
levels."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.float32]  # mono, 48 kHz, full scale 1.0
Frames = list[tuple[bytes, int]]  # a packet, and its level: 0 (loud) to 127, RFC 6464

RATE = 48_000
FRAME = 960
SPEECH = Path("/usr/share/asterisk/sounds/en_US_f_Allison")  # of asterisk-core-sounds-en-g722
# Some seconds each, together about half a minute.
SENTENCES = (
    *("agent-newlocation", "at-tone-time-exactly", "auth-incorrect", "conf-getchannel", "conf-onlyperson"),
    *("confbridge-only-participant", "demo-nomatch", "pm-invalid-option", "vm-newpassword", "vm-reenterpassword"),
)
SPEECH_RMS = 0.05  # -26 dB, ITU-T P.56's usual
CHIRP_PEAK = 0.25
HISS_RMS = 0.008  # -42 dB, all the time: he who chirps is never silent
CHIRP_FRAME, CHIRP_SAMPLE = 10, 480  # where the middle of a chirp is
CHIRP_PERIODS = 50, 53  # frames, by kind: those of two speakers fall together now and then only
TONE_PEAK = 0.1  # -20 dB: 15 above what an ear takes for a tone, and 8 of them do not clip


def recorded(directory: Path = SPEECH) -> Pcm | None:
    """The sentences one after the other; None when none is installed."""
    parts = [read_g722(path) for name in SENTENCES if (path := directory / f"{name}.g722").is_file()]
    if not parts:
        return None
    speech = np.concatenate(parts)
    return np.asarray(speech * np.float32(SPEECH_RMS / max(float(np.sqrt(np.mean(speech**2))), 1e-6)), np.float32)


def read_g722(path: Path) -> Pcm:
    decoder = av.CodecContext.create("g722", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate, decoder.layout = 16_000, "mono"
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    parts = [
        part.to_ndarray().ravel()
        for frame in decoder.decode(av.Packet(path.read_bytes()))
        for part in resampler.resample(frame)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def synthesised(seed: int, seconds: float = 10.0) -> Pcm:
    """A buzz of gliding pitch with a formant, in syllables of four a second."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    pitch_hz = random.uniform(110, 210) * (1 + 0.1 * np.sin(2 * np.pi * 0.6 * t))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    formant_hz = 700 + 250 * np.sin(2 * np.pi * 1.1 * t)
    buzz = np.zeros_like(t)
    for k in range(1, 16):
        buzz += np.sin(k * phase) / k * (1 + 3 * np.exp(-(((k * pitch_hz - formant_hz) / 200) ** 2)))
    buzz *= np.clip(0.5 + np.sin(2 * np.pi * 4 * t), 0, 1)
    return np.asarray(buzz * (SPEECH_RMS / np.sqrt(np.mean(buzz**2))), np.float32)


def tone(hz: float, seconds: float = 1.0) -> Pcm:
    return np.asarray(TONE_PEAK * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE), np.float32)


def encode(samples: Pcm, *, tonal: bool = False, bitrate: int = 32_000) -> Frames:
    """What can be repeated: the signal is coded twice, and the second time kept. One frame a packet (RFC 6716 code 0),
    as there must be for a marker."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "flt"
    encoder.bit_rate, encoder.time_base = bitrate, Fraction(1, RATE)
    encoder.options = {"application": "audio" if tonal else "voip", "frame_duration": "20"}
    chunks = samples[: len(samples) // FRAME * FRAME].reshape(-1, 1, FRAME)
    made: Frames = []
    for number, chunk in enumerate([*chunks, *chunks]):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, number * FRAME
        made += [(bytes(packet), level(chunk)) for packet in encoder.encode(frame)]
    return made[-len(chunks) :]


def level(chunk: Pcm) -> int:
    rms = float(np.sqrt(np.mean(np.square(chunk, dtype=np.float64))))
    return int(min(127, max(0, round(-20 * np.log10(max(rms, 1e-7))))))


def speech(seed: int) -> tuple[Frames, str]:
    """The packets, and what they are of: "recorded" or "synthesised"."""
    found = recorded()
    return (encode(found), "recorded") if found is not None else (encode(synthesised(seed)), "synthesised")


def tones(frequencies_hz: Iterable[float]) -> list[Frames]:
    return [encode(tone(hz), tonal=True) for hz in frequencies_hz]


def chirping(kind: int, chirp: Iterable[float], seed: int) -> tuple[Frames, tuple[int, int, int]]:
    """What a speaker repeats who chirps once in it, in hiss like a quiet voice's; and the chirp's kind, and the frame
    and sample of its middle."""
    pattern = np.fromiter(chirp, np.float32)
    random = np.random.default_rng((seed, kind))
    white = np.fft.rfft(random.standard_normal(CHIRP_PERIODS[kind] * FRAME))
    hz = np.fft.rfftfreq(CHIRP_PERIODS[kind] * FRAME, 1 / RATE)
    hiss = np.fft.irfft(white / np.maximum(hz, 200.0) * (hz > 100))  # falls by 6 dB an octave, as voices do
    sound = hiss * (HISS_RMS / np.sqrt(np.mean(hiss**2)))
    begin = CHIRP_FRAME * FRAME + CHIRP_SAMPLE - len(pattern) // 2
    sound[begin : begin + len(pattern)] += CHIRP_PEAK * pattern
    return encode(np.asarray(sound, np.float32)), (kind, CHIRP_FRAME, CHIRP_SAMPLE)
