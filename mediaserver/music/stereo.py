"""Decoded frames of any rate, layout and format as what the plane mixes."""

from collections.abc import Iterator, Sequence

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from mediaserver.music.formats import RATE
from mediaserver.music.sinks import Samples


class Stereo:
    """Frames of any rate and layout as 48 kHz stereo. Level: a mono source is as loud on both sides as it was; of more
    than two channels no sum can exceed full scale unless one of them does."""

    def __init__(self) -> None:
        self._resampler: AudioResampler | None = None
        self._shape: tuple[int, str, str] | None = None
        self._gain = 1.0
        self._is_mono = False

    def convert(self, frame: AudioFrame) -> Iterator[Samples]:
        shape = (frame.sample_rate, frame.layout.name, frame.format.name)
        if shape != self._shape:  # a stream may change it on its way
            yield from self.flush()
            self._shape = shape
            self._is_mono = frame.layout.nb_channels == 1
            self._gain = 1 / loudest([channel.name for channel in frame.layout.channels])
            layout = "mono" if self._is_mono else "stereo"
            self._resampler = AudioResampler(format="flt", layout=layout, rate=RATE)
        assert self._resampler is not None
        frame.pts = None  # samples follow on each other, whatever a damaged file says
        yield from self._out(self._resampler.resample(frame))

    def flush(self) -> Iterator[Samples]:
        if self._resampler is not None:
            yield from self._out(self._resampler.resample(None))
            self._resampler = None

    def _out(self, frames: list[AudioFrame]) -> Iterator[Samples]:
        for frame in frames:
            flat: Samples = frame.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            samples = np.repeat(flat, 2).reshape(-1, 2) if self._is_mono else flat.reshape(-1, 2)
            if self._gain != 1.0:
                samples = samples * np.float32(self._gain)
            # What is no number would be one nowhere behind, and full scale by 24 dB is no music.
            yield np.ascontiguousarray(np.clip(np.nan_to_num(samples, copy=False), -16.0, 16.0), dtype=np.float32)


def loudest(channels: Sequence[str]) -> float:
    """What FFmpeg's matrix for stereo can make of channels at full scale, at the worse side."""
    if len(channels) <= 2:
        return 1.0
    sides = [0.0, 0.0]
    for name in channels:
        weight = {"FL": 1.0, "FR": 1.0, "DL": 1.0, "DR": 1.0, "LFE": 0.0, "LFE2": 0.0, "BC": 0.5}.get(name, 0.5**0.5)
        if not name.endswith("R"):
            sides[0] += weight
        if not name.endswith("L"):
            sides[1] += weight
    return max(1.0, *sides)
