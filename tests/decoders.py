"""Decoders in tests: a job done to its end, and what came out of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mediaserver.music.children import Child, Children
from mediaserver.music.framing import MAX_FRAME, frame
from mediaserver.music.jobs import Job, Output
from mediaserver.music.sandbox import Bounds
from tests.ring import Ring, Samples

WRITER = "tests.ring:RingWriter"
CAPACITY = 48_000
BOUNDS = Bounds(cpu_s=30, memory_file=0)


@asynccontextmanager
async def decoders(writer: str = WRITER) -> AsyncIterator[Children]:
    children = Children(writer)
    try:
        yield children
    finally:
        children.close()


async def until(holds: Callable[[], bool], timeout_s: float = 20) -> None:
    """Waits for what another process brings about."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@dataclass
class Heard:
    """What a decoder said; `gone` is its exit status once it has one."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    gone: "asyncio.Future[int]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    listen: Callable[[dict[str, Any]], None] | None = None

    def __call__(self, report: dict[str, Any]) -> None:
        self.reports.append(report)
        if self.listen is not None:
            self.listen(report)
        if report["report"] == "gone":
            self.gone.set_result(report["status"])

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [report for report in self.reports if report["report"] == kind]

    @property
    def error(self) -> str | None:
        return next((report["reason"] for report in self.of("error")), None)


@dataclass
class Decoded:
    samples: Samples
    heard: Heard

    @property
    def error(self) -> str | None:
        return self.heard.error

    @property
    def format(self) -> dict[str, Any]:
        return self.heard.of("format")[0]


def file_of(data: bytes) -> int:
    fd = os.memfd_create("clip")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    return fd


async def decode(children: Children, data: bytes, **job: Any) -> Decoded:
    """A file through a decoder and its ring, read as fast as it comes."""
    fd, ring, heard = file_of(data), Ring(CAPACITY), Heard()
    try:
        child = await children.start(Job(Output.RING, size=len(data), **job), BOUNDS, [fd, ring.fd], heard)
    finally:
        os.close(fd)
    return Decoded(await drained(child, ring, heard), heard)


async def drained(child: Child, ring: Ring, heard: Heard, timeout_s: float = 30) -> Samples:
    """All that a decoder writes until it ends."""
    found: list[Samples] = []
    try:
        async with asyncio.timeout(timeout_s):
            while not heard.gone.done():
                found.append(ring.read(CAPACITY))
                await asyncio.sleep(0.002)
    finally:
        child.kill()
    found.append(ring.read(CAPACITY))
    return np.concatenate(found)


async def checked(children: Children, data: bytes, max_s: float = 3600) -> Heard:
    """As the library looks at what was uploaded: decoded to nowhere."""
    fd, cover, heard = file_of(data), os.memfd_create("cover"), Heard()
    try:
        job = Job(Output.COVER, size=len(data), max_s=max_s)
        await children.start(job, Bounds(30, 2 * 1024 * 1024), [fd, cover], heard)
        async with asyncio.timeout(30):
            await heard.gone
    finally:
        os.close(fd)
        os.close(cover)
    return heard


class Piped:
    """A decoder that is fed by a test. `seeks` are the places that it asked for."""

    def __init__(self, child: Child, ring: Ring, heard: Heard, fd: int) -> None:
        self.child, self.ring, self.heard, self.fd = child, ring, heard, fd
        self.generation = 0

    @classmethod
    async def start(cls, children: Children, size: int | None = None, **job: Any) -> "Piped":
        read, write = os.pipe()
        ring, heard = Ring(CAPACITY), Heard()
        try:
            job = {"piped": True, "size": size, **job}
            child = await children.start(Job(Output.RING, **job), BOUNDS, [read, ring.fd], heard)
        finally:
            os.close(read)
        return cls(child, ring, heard, write)

    async def feed(self, data: bytes) -> None:
        """In small frames."""
        for begin in range(0, len(data), 5000):
            await asyncio.to_thread(os.write, self.fd, frame(self.generation, data[begin : begin + 5000]))

    async def end(self) -> None:
        await asyncio.to_thread(os.write, self.fd, frame(self.generation, b""))

    def close(self) -> None:
        os.close(self.fd)


assert MAX_FRAME >= 5000
