"""What FFmpeg reads from in a decoder's process: a file that was opened for us, or the pipe of a stream."""

import os

from mediaserver.music.framing import Receiver
from mediaserver.music.jobs import Job
from mediaserver.music.reports import Reports

INPUT = 0
# What a file may have before its format is known: tags with a large cover, or an index at its end. More is memory.
MAX_HEAD = 16 * 1024 * 1024


class Input:
    """What FFmpeg reads from, forward only. Counts what is read until the format is known."""

    def __init__(self, job: Job, reports: Reports) -> None:
        self._size = job.size or 0
        self._place = 0
        self._head: int | None = 0
        self.was_empty = True
        self.went_too_far = False
        self._receiver = Receiver(INPUT, lambda offset: reports.say("seek", offset=offset)) if job.piped else None

    @property
    def is_at_hand(self) -> bool:
        """Whether bytes cost nothing to get."""
        return self._receiver is None

    def read(self, size: int) -> bytes:
        if self._head is not None and self._head > MAX_HEAD:
            self.went_too_far = True
            return b""
        data = os.pread(INPUT, size, self._place) if self._receiver is None else self._receiver.read(size)
        self._place += len(data)
        if self._head is not None:
            self._head += len(data)
        if data:
            self.was_empty = False
        return data

    def known(self) -> None:
        """The format is: from now on as much as there is may be read."""
        self._head = None


class SeekableInput(Input):
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self._size
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: size}[whence]
        place = max(0, min(place, size))
        if self._receiver is not None and place != self._place and place < size:
            self._receiver.seek(place)
        self._place = place
        return place

    def tell(self) -> int:
        return self._place
