"""Files that an operator changes while the server runs: they are looked at each second, and at once when asked."""

import asyncio
import logging
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

# Between two looks. Higher makes a rotated key wait, lower reads the files more often for nothing.
LOOK_EVERY_S = 1.0
# More is not read: a key file of a thousand keys is 100 KiB.
MAX_FILE_BYTES = 1 << 20


class WatchedFiles:
    """Contents are compared, not times of change: those are coarse, and a file can be replaced within one."""

    def __init__(self, what: str, paths: Sequence[Path], take: Callable[[Sequence[bytes]], None]) -> None:
        """what: for the log. take: gets the files' contents whenever they are others; ValueError, whose message is a
        sentence without anything secret, refuses them and must leave all as it was."""
        self._what = what
        self._paths = tuple(paths)
        self._take = take
        self._seen: list[bytes] | None = None
        self._complaint = ""
        self._looking = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._paths)

    async def watch(self) -> None:
        """For ever; a task to cancel."""
        while self._paths:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Takes the files if they have changed. What is wrong with them is logged once."""
        if self._paths:
            async with self._looking:
                await self._look()

    async def _look(self) -> None:
        try:
            contents = await asyncio.to_thread(_read_regular, self._paths)
            if contents is not None and contents != self._seen:
                self._take(contents)
        except ValueError as error:
            self._complain(str(error))
            return
        except Exception as error:  # a defect must not end the watch; its words may be the files'
            self._complain(f"{type(error).__name__} when the files were read.")
            return
        self._complaint = ""
        if contents is None or contents == self._seen:
            return
        if self._seen is not None:
            log.info("The %s were read again.", self._what)
        self._seen = contents

    def _complain(self, sentence: str) -> None:
        if sentence != self._complaint:
            self._complaint = sentence
            log.warning("%s The %s stay as they were.", sentence, self._what)


def read(path: Path) -> bytes:
    """ValueError when it cannot be read or is larger than any such file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it is not a file"
        raise ValueError(f"{path} cannot be read: {reason}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB.")
    return content


def _read_regular(paths: Sequence[Path]) -> list[bytes] | None:
    """None when one is a pipe or the like, which was read at the start and cannot be read again."""
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return None
    return [read(path) for path in paths]
