"""A deck: one source, its decoder's process, and the ring between that and the plane.

    open ─▶ (asks the address, or opens the file) ─▶ a decoder ─▶ Ready once the ring has enough ─▶ … ─▶ it is closed

What goes wrong is a `Broken` with a reason, once, and the deck is of no use any more; reconnecting comes before that:

- A file whose server has ranges goes on at the byte where it broke, in the same decoder.
- An endless stream goes on with another decoder that writes into the same ring; the plane hears silence meanwhile.
- Anything else that breaks is broken.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mediaserver import logs
from mediaserver.buckets import Bucket
from mediaserver.music.addresses import RefusedError
from mediaserver.music.children import Child, ChildError, Children, Report
from mediaserver.music.feeding import Pipe
from mediaserver.music.formats import RATE
from mediaserver.music.gate import FetchError, Gate, StalledError
from mediaserver.music.jobs import Job, Output, Reason
from mediaserver.music.sandbox import Bounds
from mediaserver.music.sources import Source, open_source

log = logs.get(__name__, limited=True)

# Seconds ahead of the plane. Longer hides longer stalls and costs 0.38 MB a second.
RING_FRAMES = 1 << 18
# What the plane begins a deck with.
READY_FRAMES = RATE // 2
OPEN_TIMEOUT_S = 20.0
# Nothing is heard of a decoder that has something to do. It says something twice a second.
HANG_S = 6.0
# Between attempts to reach a source again, and how long there are any. Radio stations restart; files are rather gone.
BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
GIVE_UP_S, GIVE_UP_ENDLESS_S = 60.0, 600.0
# Places in a file that a decoder may ask a server for: some to open it, one to seek. Each is a request.
SEEKS_PER_S, SEEKS_BURST = 1.0, 40.0
# An hour of CPU time decodes some hundreds of hours; then a stream gets another decoder.
CPU_S = 3600


class RingLike(Protocol):
    """The reader's end of a ring (native/src/ring.hpp)."""

    @property
    def fd(self) -> int: ...
    @property
    def buffered(self) -> int: ...
    @property
    def finished(self) -> bool: ...
    @property
    def position(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Ready:
    """The ring has enough to begin with. `format` is the decoder's report, with tags."""

    duration_s: float | None
    format: Report = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stalled:
    """The source gives nothing, and is asked again; the ring may still have something."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    reason: str
    detail: str = ""


News = Ready | Stalled | Broken


class BrokenError(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Workshop:
    """What decks are made with. find: the path of an item of the library, None when there is none of this id."""

    children: Children
    gate: Gate
    find: Callable[[str], Path | None]
    make_ring: Callable[[int], RingLike]


class Deck:
    """Opens itself; `hear` is told what becomes of it. All methods are called in the event loop and return at once."""

    def __init__(self, workshop: Workshop, source: str, start_s: float, hear: Callable[[News], None]) -> None:
        """source: `library:ID`, or an http(s) address."""
        self.ring = workshop.make_ring(RING_FRAMES)
        self.start_s = start_s
        self._workshop = workshop
        self._source = source
        self._hear: Callable[[News], None] | None = hear
        self._child: Child | None = None
        self._gone: asyncio.Future[Report] | None = None
        self._last: Report = {}
        self._format: Report = {}
        self._pipe: Pipe | None = None
        self._failure: BrokenError | None = None  # of the source, while the decoder goes on with what there is
        self._duration_s: float | None = None
        self._seeks: asyncio.Queue[int] = asyncio.Queue()
        self._bucket = Bucket(SEEKS_PER_S, SEEKS_BURST, time.monotonic())
        self._tasks: set[asyncio.Task[None]] = set()
        self._do(self._run())

    @property
    def position_s(self) -> float:
        """What has been heard of the track, from its beginning."""
        return self.start_s + self.ring.position[0] / RATE

    def close(self) -> None:
        """Nothing is heard of it any more. What is in its ring can still be played."""
        self._hear = None
        for task in self._tasks:
            task.cancel()
        self._end_child()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, news: News) -> None:
        if self._hear is not None:
            with logs.surviving(log, "what a deck said was not heard"):
                self._hear(news)

    def _break(self, reason: str, detail: str = "") -> None:
        self._say(Broken(reason, detail))
        self.close()

    async def _run(self) -> None:
        try:
            if self._source.startswith("library:"):
                await self._play_item(self._source.removeprefix("library:"))
            else:
                await self._play_address()
        except BrokenError as error:
            self._break(error.reason, error.detail)
        except RefusedError as error:
            self._break("refused", str(error))
        except StalledError as error:
            self._break("stalled", str(error))
        except FetchError as error:
            self._break("unreachable", str(error))
        except ChildError as error:
            self._break("no-decoder", str(error))
        except Exception as error:  # a bug of ours: the player must still hear of it
            log.exception("a deck failed")
            self._break(Reason.DEFECT, f"The player failed: {type(error).__name__}.")

    # What is played

    async def _play_item(self, identifier: str) -> None:
        path = self._workshop.find(identifier)
        try:
            fd = -1 if path is None else await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            fd = -1
        if fd < 0:
            raise BrokenError("not-found", "There is no such item in the library.")
        try:
            size = os.fstat(fd).st_size
            await self._begin(Job(Output.RING, size=size, start_s=self.start_s), fd)
        finally:
            os.close(fd)
        await self._end_of_child()

    async def _play_address(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                source = await open_source(self._workshop.gate, self._source)
        except TimeoutError:
            raise StalledError("The address gave nothing for too long.") from None
        try:
            if source.is_endless:
                self.start_s = 0.0
                await self._play_endless(source)
            else:
                await self._play_once(source)
        finally:
            await source.close()

    async def _play_once(self, source: Source) -> None:
        """One decoder, which may ask for other places if the source has them."""
        rest_s = source.begin_at(self.start_s)
        self._duration_s = source.duration_s
        pipe = self._pipe = Pipe()
        try:
            await self._begin(Job(Output.RING, piped=True, size=source.size, start_s=rest_s), pipe.reader)
            pipe.close_reader()
            await self._serve(source, pipe)
        finally:
            pipe.close()

    async def _serve(self, source: Source, pipe: Pipe) -> None:
        """Feeds the decoder from wherever it asks, until it ends."""
        place = 0
        back_off = _BackOff(GIVE_UP_S)
        ended = asyncio.ensure_future(self._end_of_child())
        try:
            while True:
                feeding = asyncio.ensure_future(self._feed_from(source, pipe, place, back_off))
                seeking = asyncio.ensure_future(self._seeks.get())
                try:
                    await asyncio.wait({seeking, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if ended.done():
                        ended.result()
                        return
                    place = seeking.result()
                    pipe.generation += 1
                finally:
                    for task in (feeding, seeking):
                        task.cancel()
                    await asyncio.gather(feeding, seeking, return_exceptions=True)
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def _feed_from(self, source: Source, pipe: Pipe, at: int, back_off: "_BackOff") -> None:
        """To the end of the source, however often it breaks, if it can be gone on with."""
        while True:
            try:
                async with aclosing(source.chunks(at)) as chunks:
                    async for chunk in chunks:
                        await pipe.put(chunk)
                        at += len(chunk)
                        back_off.works()
                if source.size is None or at >= source.size:
                    await pipe.end()
                    return
                failure: FetchError = FetchError("The connection ended before the file did.")
            except BrokenPipeError:
                return  # the decoder has ended, and says why
            except RefusedError as error:
                await self._play_out(pipe, BrokenError("refused", str(error)))
                return
            except FetchError as error:
                failure = error
            except Exception:  # a bug of ours: the decoder must not wait for ever
                log.exception("a source failed")
                await self._play_out(pipe, BrokenError(Reason.DEFECT, "The source could not be read."))
                return
            try:
                if source.size is None:
                    raise BrokenError("stalled" if isinstance(failure, StalledError) else "unreachable", str(failure))
                await self._wait(back_off, failure)
            except BrokenError as error:
                await self._play_out(pipe, error)
                return

    async def _play_out(self, pipe: Pipe, error: BrokenError) -> None:
        """What has come is played, and the track ends with it; if nothing can be made of that, this is why."""
        log.warning("a source ended early", reason=error.reason)
        self._failure = error
        with suppress(BrokenPipeError):
            await pipe.end()

    async def _play_endless(self, source: Source) -> None:
        """A decoder for each connection, all into one ring."""
        back_off = _BackOff(GIVE_UP_ENDLESS_S)
        while True:
            pipe = self._pipe = Pipe()
            failure: FetchError = FetchError("The stream ended.")
            given = 0
            try:
                await self._begin(Job(Output.RING, piped=True, finish=False), pipe.reader)
                pipe.close_reader()
                async with aclosing(source.chunks(0)) as chunks:
                    async for chunk in chunks:
                        await pipe.put(chunk)
                        given += len(chunk)
                await pipe.end()
            except FetchError as error:
                failure = error
                with suppress(BrokenPipeError):
                    await pipe.end()
            except BrokenPipeError:
                pass  # the decoder has ended, and says why
            finally:
                if not self._is_over and self._hear is not None:
                    # It has what it was given; what cannot be decoded within the ring's length is lost.
                    await self._wait_for_child(HANG_S)
                pipe.close()
                self._end_child()
            if given and self._last.get("report") == "end":
                back_off.works()
            if self._last.get("report") == "error" and not self._format:
                raise BrokenError(str(self._last.get("reason")), str(self._last.get("detail")))
            await self._wait(back_off, failure)

    async def _wait(self, back_off: "_BackOff", failure: FetchError) -> None:
        """Before the source is asked again. BrokenError when it has been long enough."""
        delay_s = back_off.next()
        if delay_s is None:
            raise BrokenError("stalled" if isinstance(failure, StalledError) else "unreachable", str(failure))
        self._say(Stalled(str(failure)))
        await asyncio.sleep(delay_s)

    # Its decoder

    @property
    def _is_over(self) -> bool:
        return self._gone is None or self._gone.done()

    async def _begin(self, job: Job, fd: int) -> None:
        self._gone = asyncio.get_running_loop().create_future()
        self._last = {}
        bounds = Bounds(CPU_S, 0)
        try:
            child = await self._workshop.children.start(job, bounds, [fd, self.ring.fd], self._listen)
        except ChildError:
            self._gone = None
            raise
        if self._hear is None:
            child.kill()
            return
        self._child = child
        self._do(self._watch(child))

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _listen(self, report: Report) -> None:
        kind = report["report"]
        if kind == "gone":
            if self._gone is not None and not self._gone.done():
                self._gone.set_result(report)
            return
        if kind in ("end", "error"):
            self._last = report
        elif kind == "format":
            self._note_format(report)
        elif kind == "seek":
            if self._bucket.take(time.monotonic()) and isinstance(report.get("offset"), int):
                self._seeks.put_nowait(max(0, report["offset"]))
            else:
                self._last = {"report": "error", "reason": "misbehaved", "detail": "The decoder seeks too often."}
                self._end_child()

    def _note_format(self, report: Report) -> None:
        if self._format:
            return
        self._format = report
        duration_s = report.get("duration_s")
        if self._duration_s is None and isinstance(duration_s, int | float) and math.isfinite(duration_s):
            self._duration_s = float(duration_s)
        self._do(self._await_ready())

    async def _await_ready(self) -> None:
        # Another process fills it, which has nothing here to set.
        while self.ring.buffered < READY_FRAMES and not self.ring.finished:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._say(Ready(self._duration_s, self._format))

    async def _end_of_child(self) -> None:
        """Until it has done all that it was told. BrokenError when it did not."""
        assert self._gone is not None
        status = (await asyncio.shield(self._gone)).get("status")
        if self._last.get("report") == "end":
            return
        if self._last.get("report") == "error":
            raise self._failure or BrokenError(str(self._last.get("reason")), str(self._last.get("detail")))
        raise BrokenError("decoder-died", f"The decoder's process ended ({status}).")

    async def _wait_for_child(self, timeout_s: float) -> None:
        if self._gone is not None:
            await asyncio.wait([self._gone], timeout=timeout_s)

    async def _watch(self, child: Child) -> None:
        """Ends one that has something to do and says nothing."""
        loop = asyncio.get_running_loop()
        while not child.is_gone:
            await asyncio.sleep(1.0)
            is_busy = self._pipe is None or self._pipe.waiting > 0
            if not is_busy:
                child.heard_at = max(child.heard_at, loop.time() - HANG_S / 2)
            elif loop.time() - child.heard_at > HANG_S and not child.is_gone:
                log.warning("a decoder hung, and was ended", pid=child.pid)
                self._last = {"report": "error", "reason": "decoder-hung", "detail": "The decoder did nothing more."}
                child.kill()
                return


class _BackOff:
    """When to try again, and when no more. works(): something came."""

    def __init__(self, give_up_s: float) -> None:
        self._give_up_s = give_up_s
        self._tries = 0
        self._since: float | None = None

    def works(self) -> None:
        self._tries, self._since = 0, None

    def next(self) -> float | None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self._give_up_s:
            return None
        self._tries += 1
        return BACK_OFF_S[min(self._tries, len(BACK_OFF_S)) - 1]
