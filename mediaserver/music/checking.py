"""Whether a file is music, found out by decoding all of it in a process of its own."""

import asyncio
import os
from dataclasses import dataclass

from mediaserver.music.children import Children, Report
from mediaserver.music.formats import CONTAINERS, MAX_COVER, RATE, TAGS, picture_type
from mediaserver.music.jobs import Job, Output, Reason
from mediaserver.music.sandbox import Bounds

# Decoding takes a 300th of a file's duration, longer on a busy machine.
TIMEOUT_S = 300.0
CPU_S = 240


class NotMusicError(Exception):
    """The file cannot be played. The message is a sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Found:
    media_type: str
    codec: str
    sampling_rate: int
    channels: int
    duration_s: float
    tags: dict[str, str]
    cover: bytes
    cover_type: str


async def check(children: Children, fd: int, size: int, max_s: float) -> Found:
    """What the opened file is. NotMusicError when it is none, or longer than max_s; ChildError when there is no
    decoder."""
    cover = os.memfd_create("cover", os.MFD_CLOEXEC)
    try:
        said: dict[str, Report] = {}
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def hear(report: Report) -> None:
            said[report["report"]] = report
            if report["report"] == "gone" and not gone.done():
                gone.set_result(None)

        job = Job(Output.COVER, size=size, max_s=max_s)
        child = await children.start(job, Bounds(CPU_S, MAX_COVER), [fd, cover], hear)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await gone
        except TimeoutError:
            said["error"] = {"reason": "decoder-hung", "detail": "It took too long to decode."}
        finally:
            child.kill()
        return _found(said, cover)
    finally:
        os.close(cover)


def _found(said: dict[str, Report], cover: int) -> Found:
    error, form, end = said.get("error"), said.get("format"), said.get("end")
    if error is not None:
        raise NotMusicError(str(error.get("reason")), str(error.get("detail")))
    if form is None or end is None:
        raise NotMusicError("decoder-died", "The decoder's process ended over it.")
    size = said.get("cover", {}).get("bytes", 0)
    picture = os.pread(cover, size, 0) if isinstance(size, int) and 0 < size <= MAX_COVER else b""
    cover_type = picture_type(picture)
    try:
        return Found(
            CONTAINERS[form["container"]],
            str(form["codec"])[:32],
            int(form["rate"]),
            int(form["channels"]),
            end["frames"] / RATE,
            {name: str(form[name]) for name in TAGS if name in form},
            picture if cover_type else b"",
            cover_type or "",
        )
    except (KeyError, TypeError, ValueError):
        raise NotMusicError(Reason.DEFECT, "The decoder said what makes no sense.") from None
