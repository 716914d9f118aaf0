"""Decoders' processes as asyncio sees them: started by the fork server, heard line by line, ended when they misbehave.

The loop never waits for one. What a child says is not believed further than its form: a line too long, too many of
them, or what is no report ends it.
"""

import asyncio
import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mediaserver import logs
from mediaserver.buckets import Bucket
from mediaserver.music.jobs import Job
from mediaserver.music.sandbox import Bounds

log = logs.get(__name__)

MAX_LINE = 4096
# A decoder says two a second, and one for each place that it seeks in a file.
REPORTS_PER_S, REPORTS_BURST = 50.0, 500.0
START_TIMEOUT_S = 20.0
# The fork server's start loads FFmpeg; a machine that is busy takes seconds for it.
MAX_CHILDREN = 256
WRITER = "mediaserver._native:RingWriter"

# Why a decoder, or the process that starts them, ended without having said so.
DEATHS = ("died", "misbehaved", "fork-server")

Report = dict[str, Any]
Listener = Callable[[Report], None]


class ChildError(Exception):
    """No decoder could be started; the message is a sentence."""


class Child:
    """One decoder. `listener` hears each report, and last of all {"report": "gone", "status"}, once."""

    def __init__(self, pid: int, pidfd: int, reports: int, listener: Listener) -> None:
        self.pid = pid
        self.heard_at = 0.0  # when it said something, on the loop's clock
        self._pidfd = pidfd
        self._reports = reports
        self._listener: Listener | None = listener
        self._buffer = b""
        self._status: int | None = None
        self.is_killed = False  # by us
        self.has_misbehaved = False
        self._loop = asyncio.get_running_loop()
        self._bucket = Bucket(REPORTS_PER_S, REPORTS_BURST, self._loop.time())
        self.heard_at = self._loop.time()
        os.set_blocking(reports, False)
        self._loop.add_reader(reports, self._read)

    @property
    def is_gone(self) -> bool:
        return self._listener is None

    def kill(self) -> None:
        """At once, whatever it does. Nothing is heard of it any more but that it is gone."""
        self.is_killed = True
        with suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def ended(self, status: int) -> None:
        """The fork server says so. What it said before that is heard first."""
        self._status = status
        self._read()
        self._close()

    def _read(self) -> None:
        while self._reports >= 0:
            try:
                data = os.read(self._reports, 65_536)
            except BlockingIOError:
                return
            if not data:
                self._stop_reading()
                return
            self._buffer += data
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._hear(line)
                if self._reports < 0:
                    return  # it has misbehaved, and is heard no more
            if len(self._buffer) > MAX_LINE:
                self._misbehaved()

    def _hear(self, line: bytes) -> None:
        now = self._loop.time()
        try:
            report = json.loads(line) if len(line) <= MAX_LINE else None
        except (ValueError, RecursionError):
            report = None
        if not isinstance(report, dict) or not isinstance(report.get("report"), str) or not self._bucket.take(now):
            self._misbehaved()
            return
        self.heard_at = now
        if self._listener is not None and report["report"] != "gone":
            self._listener(report)

    def _misbehaved(self) -> None:
        self.has_misbehaved = True
        if self._reports >= 0:
            log.warning("decoder %d said what is no report, and was ended", self.pid)
        self._stop_reading()
        self.kill()

    def _stop_reading(self) -> None:
        if self._reports >= 0:
            self._loop.remove_reader(self._reports)
            os.close(self._reports)
            self._reports = -1

    def _close(self) -> None:
        self._stop_reading()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        listener, self._listener = self._listener, None
        if listener is not None:
            listener({"report": "gone", "status": self._status})


class Children:
    """All decoders of a node. The fork server is started by the first job, and again if it should end."""

    def __init__(self, writer: str = WRITER) -> None:
        self.deaths: Counter[str] = Counter()  # by DEATHS
        self._writer = writer
        self._server: _Server | None = None
        self._starting: asyncio.Lock | None = None

    @property
    def count(self) -> int:
        return len(self._server.children) if self._server else 0

    async def prepare(self) -> None:
        """Starts the fork server, so that the first job need not wait for it. ChildError when that cannot be."""
        await self._running()

    async def start(self, job: Job, bounds: Bounds, fds: Sequence[int], listener: Listener) -> Child:
        """A decoder with these descriptors (input, and output if the job has one), which may be closed afterwards.
        ChildError when there cannot be one."""
        if self.count >= MAX_CHILDREN:
            raise ChildError(f"There are {MAX_CHILDREN} decoders already.")
        return await (await self._running()).fork(job, bounds, fds, listener)

    async def _running(self) -> "_Server":
        if self._starting is None:
            self._starting = asyncio.Lock()
        async with self._starting:
            if self._server is None or self._server.is_gone:
                self._server = await _Server.start(self._writer, self.deaths)
            return self._server

    def close(self) -> None:
        """Ends all of them."""
        if self._server is not None:
            self._server.close()
            self._server = None


class _Server:
    def __init__(self, process: "subprocess.Popen[bytes]", channel: socket.socket, deaths: Counter[str]) -> None:
        self.children: dict[int, Child] = {}
        self._deaths = deaths
        self.is_gone = False
        self._process = process
        self._channel = channel
        self._numbers = itertools.count(1)
        self._awaited: dict[int, tuple[asyncio.Future[Child], int, Listener]] = {}
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(channel, self._read)

    @classmethod
    async def start(cls, writer: str, deaths: Counter[str]) -> "_Server":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # One thread: a process with several cannot be forked. No variable of the server's is needed there.
        environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-m", "mediaserver.music.forkserver", str(theirs.fileno()), writer]
        with theirs:
            try:
                # Some milliseconds, once; by vfork, so that the server's size does not matter.
                process = subprocess.Popen(  # noqa: ASYNC220
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
                )
            except OSError:
                ours.close()
                raise ChildError("The decoders' process could not be started.") from None
        server = cls(process, ours, deaths)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await server._ready
        except (TimeoutError, ChildError):
            raise ChildError("The decoders' process could not be started.") from None
        finally:
            if not server._is_ready:
                server.close()
        return server

    @property
    def _is_ready(self) -> bool:
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    async def fork(self, job: Job, bounds: Bounds, fds: Sequence[int], listener: Listener) -> Child:
        number = next(self._numbers)
        read, write = os.pipe()
        future: asyncio.Future[Child] = self._loop.create_future()
        self._awaited[number] = (future, read, listener)
        request = {"id": number, "job": dataclasses.asdict(job), "bounds": dataclasses.asdict(bounds)}
        try:
            socket.send_fds(self._channel, [json.dumps(request).encode()], [fds[0], write, *fds[1:]])
        except OSError:
            self._awaited.pop(number, None)
            os.close(read)
            raise ChildError("The decoders' process takes no jobs.") from None
        finally:
            os.close(write)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await future
        except TimeoutError:
            self.close()
            raise ChildError("The decoders' process did not answer.") from None
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().kill()  # it began in the moment in which nobody wanted it any more
            raise

    def close(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.kill()
        self._process.wait()  # it is dead, and only to be buried
        if not self._ready.done():
            self._ready.set_exception(ChildError("The decoders' process ended."))
        for future, read, _ in self._awaited.values():
            os.close(read)
            if not future.done():
                future.set_exception(ChildError("The decoders' process ended."))
        self._awaited.clear()
        for child in list(self.children.values()):
            child.kill()
            child.ended(-signal.SIGKILL)
        self.children.clear()

    def _read(self) -> None:
        while not self.is_gone:
            try:
                data, fds, _, _ = socket.recv_fds(self._channel, 1024, 1)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                log.warning("the decoders' process ended")
                self._deaths["fork-server"] += 1
                self.close()
                return
            message = json.loads(data)
            if "ready" in message:
                if not self._ready.done():
                    self._ready.set_result(None)
            elif "status" in message:
                self._ended(message["pid"], message["status"])
            else:
                self._began(message["id"], message["pid"], fds[0])

    def _began(self, number: int, pid: int, pidfd: int) -> None:
        future, reports, listener = self._awaited.pop(number)
        child = self.children[pid] = Child(pid, pidfd, reports, listener)
        if future.cancelled():
            child.kill()
        else:
            future.set_result(child)

    def _ended(self, pid: int, status: int) -> None:
        child = self.children.pop(pid, None)
        if child is None:
            return
        was_killed = child.is_killed  # not by what is read of it now that it has ended
        child.ended(status)
        if child.has_misbehaved:
            self._deaths["misbehaved"] += 1
        elif status != 0 and not was_killed:
            self._deaths["died"] += 1
