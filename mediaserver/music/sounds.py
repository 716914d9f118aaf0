"""A piece of the library as samples in memory, for sound effects."""

import asyncio
import os
from pathlib import Path

import numpy as np

from mediaserver.music.checking import NotMusicError
from mediaserver.music.children import Children, Report
from mediaserver.music.formats import RATE
from mediaserver.music.jobs import Job, Output
from mediaserver.music.sandbox import Bounds
from mediaserver.music.sinks import Samples

# 23 MB. What is longer is music, and plays from a deck.
MAX_SOUND_S = 60.0
TIMEOUT_S = 30.0


async def load(children: Children, path: Path, max_s: float = MAX_SOUND_S) -> Samples:
    """All of it: float32, 48 kHz, of shape (frames, 2). NotMusicError when it is none, or longer than max_s; ChildError
    when there is no decoder; OSError when it cannot be read."""
    fd = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
    memory = os.memfd_create("sound", os.MFD_CLOEXEC)
    try:
        os.truncate(memory, int(max_s * RATE) * 8)
        said: dict[str, Report] = {}
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(report: Report) -> None:
            said[report["report"]] = report
            if report["report"] == "gone" and not gone.done():
                gone.set_result(None)

        job = Job(Output.MEMORY, size=os.fstat(fd).st_size, max_s=max_s)
        child = await children.start(job, Bounds(int(TIMEOUT_S), 0), [fd, memory], hear)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await gone
        except TimeoutError:
            raise NotMusicError("decoder-hung", "It took too long to decode.") from None
        finally:
            child.kill()
        if (error := said.get("error")) is not None:
            raise NotMusicError(str(error.get("reason")), str(error.get("detail")))
        frames = said.get("end", {}).get("frames")
        if not isinstance(frames, int) or not 0 < frames <= int(max_s * RATE):
            raise NotMusicError("decoder-died", "The decoder's process ended over it.")
        data = await asyncio.to_thread(os.pread, memory, frames * 8, 0)
        # The plane refuses what is no number, and another process has written this.
        return np.nan_to_num(np.frombuffer(data, np.float32).reshape(-1, 2))
    finally:
        os.close(fd)
        os.close(memory)
