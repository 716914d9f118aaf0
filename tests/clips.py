"""Files of sound for tests, in every format that FFmpeg writes for us: a tone, or a tone with a click to find."""

import io
import struct
from typing import Any

import av
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

# Name -> (muxer, encoder, sampling rates, layouts)
FORMATS: dict[str, tuple[str, str, tuple[int, ...], tuple[str, ...]]] = {
    "mp3": ("mp3", "libmp3lame", (48_000, 44_100, 22_050), ("mono", "stereo")),
    "m4a": ("ipod", "aac", (48_000, 44_100, 22_050), ("mono", "stereo", "5.1")),
    "m4a alac": ("ipod", "alac", (48_000, 44_100, 22_050), ("mono", "stereo")),
    "adts": ("adts", "aac", (48_000, 44_100, 22_050), ("mono", "stereo", "5.1")),
    "ogg opus": ("ogg", "libopus", (48_000, 24_000), ("mono", "stereo", "5.1")),
    "ogg flac": ("ogg", "flac", (48_000, 44_100), ("mono", "stereo")),
    "ogg vorbis": ("ogg", "vorbis", (48_000, 44_100), ("stereo",)),
    "flac": ("flac", "flac", (48_000, 44_100, 22_050), ("mono", "stereo", "5.1")),
    "wav": ("wav", "pcm_s16le", (48_000, 44_100, 22_050), ("mono", "stereo", "5.1")),
    "wav float": ("wav", "pcm_f32le", (48_000,), ("stereo",)),
    "wav 24": ("wav", "pcm_s24le", (44_100,), ("stereo",)),
    "mpegts": ("mpegts", "aac", (48_000, 44_100), ("mono", "stereo")),
}
# What is not on the list of what is decoded: (muxer, encoder)
OTHERS = {"matroska": ("matroska", "flac"), "aiff": ("aiff", "pcm_s16be"), "wav adpcm": ("wav", "adpcm_ms")}


def tone(hz: float, seconds: float, rate: int, amplitude: float = 0.5) -> Samples:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def chirp(seconds: float, rate: int, amplitude: float = 0.5) -> Samples:
    """From 200 Hz up to 4 kHz: no two places of it look the same."""
    t = np.arange(int(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * (200 * t + 3800 * t**2 / (2 * seconds)))).astype(np.float32)


def encode(
    samples: Samples,
    form: str = "wav",
    rate: int = 48_000,
    layout: str = "mono",
    *,
    tags: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """A file with these mono samples on every channel of the layout (but LFE, which is silent), or with a row of
    samples for each channel."""
    muxer, encoder = FORMATS[form][:2] if form in FORMATS else OTHERS[form]
    file = io.BytesIO()
    channels = [channel.name for channel in av.AudioLayout(layout).channels]
    planes = samples
    if samples.ndim == 1:
        planes = np.stack([np.zeros_like(samples) if name == "LFE" else samples for name in channels])
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout=layout)
    whole.sample_rate, whole.pts = rate, 0
    codec_options = {"strict": "experimental"} if encoder == "vorbis" else {}
    with av.open(file, "w", format=muxer, options=options or {}) as container:
        container.metadata.update(tags or {})
        stream: Any = container.add_stream(encoder, rate=rate, options=codec_options)
        stream.layout = layout
        context = stream.codec_context
        context.open()
        resampler = av.AudioResampler(format=context.format, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            fifo.write(frame)
        size = context.frame_size or 1024
        while chunk := fifo.read(size, True):
            container.mux(stream.encode(chunk))
        container.mux(stream.encode(None))
    return file.getvalue()


def pitch_hz(samples: Samples, rate: int = 48_000) -> float:
    """The strongest frequency of a mono signal."""
    windowed = samples * np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(windowed, 8 * len(samples)))
    return float(np.argmax(spectrum) * rate / (8 * len(samples)))


def level_db(samples: Samples) -> float:
    """RMS against full scale."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))


def png(size: int = 100) -> bytes:
    """What begins as a PNG does, as far as anybody looks."""
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * (size // 256) + bytes(size % 256)


def with_cover(data: bytes, form: str, picture: bytes) -> bytes:
    """The file with this in the place of a cover picture, which it calls a PNG."""
    if form == "flac":
        body = struct.pack(">II9sIIIIII", 3, 9, b"image/png", 0, 16, 16, 24, 0, len(picture)) + picture
        return data[:42] + bytes([6]) + len(body).to_bytes(3, "big") + body + data[42:]
    body = b"\0image/png\0\x03\0" + picture
    tag = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes((len(tag) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + tag + data
