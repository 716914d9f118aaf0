"""Bytes into the pipe of a decoder's process, as fast as it takes them."""

import asyncio
import fcntl
import os
import struct
import termios
from contextlib import suppress

from mediaserver.music.framing import HEADER, frame

# A write of so much to a pipe is all or nothing (PIPE_BUF): a feed that is broken off leaves no part of a frame.
PAYLOAD = 4096 - HEADER.size
PIPE_BYTES = 256 * 1024


class Pipe:
    """The writing end. Both ends are made here; `reader` is the decoder's, and closed here when it has it."""

    def __init__(self) -> None:
        self.reader, self._fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        with suppress(OSError):  # the user has as much in pipes as he may; the usual size does
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.generation = 0

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        self.close_reader()
        if self._fd >= 0:
            asyncio.get_running_loop().remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1

    @property
    def waiting(self) -> int:
        """Bytes that the decoder has not taken yet."""
        if self._fd < 0:
            return 0
        return int(struct.unpack("i", fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4)))[0])

    async def put(self, data: bytes) -> None:
        """BrokenPipeError when nobody takes it any more."""
        for begin in range(0, len(data), PAYLOAD):
            await self._write(frame(self.generation, data[begin : begin + PAYLOAD]))

    async def end(self) -> None:
        await self._write(frame(self.generation, b""))

    async def _write(self, whole: bytes) -> None:
        while self._fd >= 0:
            try:
                os.write(self._fd, whole)
            except BlockingIOError:
                await self._writable()
            else:
                return
        raise BrokenPipeError

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        fd = self._fd
        loop.add_writer(fd, _settle, ready)
        try:
            await ready
        finally:
            if self._fd == fd:
                loop.remove_writer(fd)


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
