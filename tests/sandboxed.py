"""What takes the place of a ring's writer in a decoder's process, to try what such a process may do."""

import os
import socket
from collections.abc import Callable

from tests.ring import RingWriter, Samples


def _spawn() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)


def _write_memory_file() -> None:
    os.pwrite(3, bytes(10_000_000), 0)


class Prober(RingWriter):
    """Writes into the ring's first frames what could be done: test_music_decoding.PROBES."""

    def write(self, samples: Samples) -> int:
        probes: list[Callable[[], object]] = [
            lambda: None,
            lambda: os.setuid(os.getuid()) if os.getuid() else 1 / 0,
            lambda: os.open("/etc/passwd", os.O_RDONLY),
            lambda: os.listdir("/"),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
            os.pipe,
            _spawn,
            lambda: bytes(2 * 1024**3),
            _write_memory_file,
        ]
        for number, probe in enumerate(probes):
            try:
                probe()
                self.frames[number] = 1
            except (OSError, MemoryError, ZeroDivisionError):
                self.frames[number] = 0
        return len(samples)


class Babbler(RingWriter):
    """Says on the pipe of reports what the test has put into the ring's memory."""

    def write(self, samples: Samples) -> int:
        text = self.frames.tobytes()[: self._get(4)]
        while text:
            text = text[os.write(1, text) :]
        return 0
