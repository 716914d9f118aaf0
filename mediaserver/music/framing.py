"""How bytes of a stream reach a decoder's process: frames in a pipe, which seeking makes old.

    generation u32 | length u32, little-endian | bytes     length 0: the input ends here

The decoder says `seek` with an offset and from then on drops frames of earlier generations; who feeds it counts one
generation further for each `seek` that it has read, and goes on from there.
"""

import os
import struct
from collections.abc import Callable

HEADER = struct.Struct("<II")
MAX_FRAME = 64 * 1024


def frame(generation: int, data: bytes) -> bytes:
    return HEADER.pack(generation, len(data)) + data


class Receiver:
    """The decoder's end. read() waits."""

    def __init__(self, fd: int, say_seek: Callable[[int], None]) -> None:
        self._fd = fd
        self._say_seek = say_seek
        self._generation = 0
        self._left = 0
        self._ended = False

    def seek(self, offset: int) -> None:
        self._skip(self._left)
        self._generation += 1
        self._ended = False
        self._say_seek(offset)

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._left and not self._ended:
            generation, length = HEADER.unpack(self._exactly(HEADER.size))
            if generation != self._generation:
                self._skip(length)
            elif length:
                self._left = length
            else:
                self._ended = True
        if self._ended:
            return b""
        data = os.read(self._fd, min(size, self._left))
        if not data:
            raise EOFError
        self._left -= len(data)
        return data

    def _skip(self, length: int) -> None:
        while length:
            length -= len(self._exactly(min(length, MAX_FRAME)))
        self._left = 0

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = os.read(self._fd, size - len(data))
            if not more:
                raise EOFError
            data += more
        return data
