"""Where a decoder's process puts its samples: float32, 48 kHz, of shape (frames, 2)."""

import mmap
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mediaserver.music.formats import RATE
from mediaserver.music.jobs import Job, Output
from mediaserver.music.reports import Reports

# How often a full ring is looked at. Lower costs wake-ups, higher needs a longer ring.
FULL_S = 0.04

Samples = npt.NDArray[np.float32]


class Writer(Protocol):
    """The writing end of a ring (native/src/ring.hpp)."""

    def write(self, samples: Samples, /) -> int: ...
    def finish(self) -> None: ...


class Sink(Protocol):
    def put(self, samples: Samples) -> None: ...
    def end(self) -> None: ...


class RingSink:
    """Waits while the ring is full."""

    def __init__(self, writer: Writer, reports: Reports, *, finish: bool) -> None:
        self._writer, self._reports, self._finish = writer, reports, finish
        self._frames = 0

    def put(self, samples: Samples) -> None:
        while len(samples):
            taken = self._writer.write(samples)
            self._frames += taken
            samples = samples[taken:]
            self._reports.alive(self._frames)
            if len(samples):
                time.sleep(FULL_S)

    def end(self) -> None:
        if self._finish:
            self._writer.finish()


class MemorySink:
    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._frames = 0

    def put(self, samples: Samples) -> None:
        begin = self._frames * 8
        data = samples.tobytes()
        self._memory[begin : begin + len(data)] = data
        self._frames += len(samples)

    def end(self) -> None:
        pass


class Nowhere:
    def put(self, samples: Samples) -> None:
        pass

    def end(self) -> None:
        pass


def open_output(job: Job, fd: int | None, make_writer: Callable[[int], Writer]) -> Writer | mmap.mmap | None:
    """What the job writes its samples to, while it can still be opened. make_writer: RingWriter."""
    if fd is None or job.output is Output.COVER:
        return None
    return make_writer(fd) if job.output is Output.RING else mmap.mmap(fd, int(job.max_s * RATE) * 8)


def sink_of(job: Job, output: Writer | mmap.mmap | None, reports: Reports) -> Sink:
    if output is None:
        return Nowhere()
    return MemorySink(output) if isinstance(output, mmap.mmap) else RingSink(output, reports, finish=job.finish)
