"""The ring of the contract in plain Python, for tests of who writes into it: shared memory, one writer, one reader."""

import mmap
import os
import struct
import time
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
HEADER = 64  # bytes: capacity, written, read, finished, each written by one side


class _Shared:
    def __init__(self, fd: int) -> None:
        self.memory = mmap.mmap(fd, 0)
        self.head: Any = np.frombuffer(self.memory, np.uint64, 8)
        self.capacity = self._get(0)
        self.frames: Any = np.frombuffer(self.memory, np.float32, offset=HEADER).reshape(-1, 2)

    def _get(self, number: int) -> int:
        return int(self.head[number])

    def _set(self, number: int, value: int) -> None:
        self.head[number] = value  # one store: the other side never sees half a number

    @property
    def buffered(self) -> int:
        return self._get(1) - self._get(2)


class Ring(_Shared):
    def __init__(self, capacity_frames: int) -> None:
        self.fd = os.memfd_create("ring")
        os.truncate(self.fd, HEADER + 8 * capacity_frames)
        os.pwrite(self.fd, struct.pack("<Q", capacity_frames), 0)
        super().__init__(self.fd)

    @property
    def finished(self) -> bool:
        return self._get(3) != 0

    @property
    def position(self) -> tuple[int, int]:
        return self._get(2), time.monotonic_ns()

    def read(self, most: int) -> Samples:
        """What the plane does: takes what there is."""
        begin, count = self._get(2), min(most, self.buffered)
        found: Samples = self.frames[(begin + np.arange(count)) % self.capacity].copy()
        self._set(2, begin + count)
        return found

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class RingWriter(_Shared):
    @property
    def space(self) -> int:
        return self.capacity - self.buffered

    def write(self, samples: Samples) -> int:
        begin, count = self._get(1), min(len(samples), self.space)
        self.frames[(begin + np.arange(count)) % self.capacity] = samples[:count]
        self._set(1, begin + count)
        return count

    def finish(self) -> None:
        self._set(3, 1)
