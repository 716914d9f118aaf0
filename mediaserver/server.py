"""Runs a node behind uvicorn until a signal, and stops it politely."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp

from mediaserver import drain, logs, realtime, tracing
from mediaserver.dtls import Certificate
from mediaserver.http.app import create_app
from mediaserver.http.protocol import Http
from mediaserver.music.library import LibraryError
from mediaserver.node import Node
from mediaserver.plane import Driver
from mediaserver.settings import Settings
from mediaserver.store import StateError

log = logging.getLogger(__name__)

# From the first signal to giving up on HTTP requests that are still being answered.
STOP_TIMEOUT_S = 5


class StartError(Exception):
    """The server cannot start; the message is one sentence for whoever started it."""


class Server(uvicorn.Server):
    """uvicorn, but a signal ends the node's sessions first and the process exits with 0. SIGTERM waits for them to end
    by themselves (drain.py); a second signal, or SIGINT, ends the wait."""

    def __init__(self, config: uvicorn.Config, node: Node) -> None:
        super().__init__(config)
        self._node = node
        tls = node.settings.tls
        if tls is not None:
            config.load()
            config.ssl = tls.context
        found = [node.api_keys.files, *([tls.files] if tls else [])]
        self._files = [files for files in found if files]
        self._watching: set[asyncio.Task[None]] = set()
        self._leaving: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for files in self._files:
            self._perform(files.watch())
        if self._node.settings.real_time:
            try:
                threads = realtime.prefer_packets(self._node.driver.plane.workers)
                log.info("%d threads that move packets have a real-time priority", threads)
            except PermissionError:
                log.warning("no real-time priority: the process has neither CAP_SYS_NICE nor RLIMIT_RTPRIO")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self._leaving is None and not self.should_exit:
            self._leaving = asyncio.get_running_loop().create_task(self._leave())
        else:
            self._hurry.set()
            super().handle_exit(sig, frame)

    async def _leave(self) -> None:
        try:
            await drain.leave(self._node, self._node.settings.drain_timeout_s, self._hurry)
        finally:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Event streams end with their sessions; uvicorn would otherwise wait for them.
        self._node.close()
        for task in self._watching:
            task.cancel()
        await super().shutdown(sockets)

    def _perform(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    def _look(self) -> None:
        for files in self._files:
            self._perform(files.look())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own raises the signal again in the end, which would be the exit status."""
        loop = asyncio.get_running_loop()
        numbers: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        if self._files:
            # Without any it ends the process, as a terminal that is closed wants.
            loop.add_signal_handler(signal.SIGHUP, self._look)
            numbers = (*numbers, signal.SIGHUP)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. StartError when an address is not free, TracingError when tracing is asked for
    and OpenTelemetry is not installed."""
    terminal = sys.stderr.isatty()
    logs.configure(
        settings.log_level, logs.chosen(settings.log_format, development=settings.development, terminal=terminal)
    )
    if settings.otlp_endpoint is not None:
        tracing.configure(settings.otlp_endpoint)
    # It warns of each request that is not HTTP, as often as anybody sends one.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    # Imported here so that the options are checked, and the HTTP edge is tested, without the compiled plane.
    from mediaserver import _native, kernels  # noqa: PLC0415

    listener = listen(settings.host, settings.port)
    try:
        _raise_file_limit()
        driver = Driver(_native, settings.binds(), tcp=settings.media_tcp)
    except OSError as error:
        raise StartError(f"The media ports cannot be opened: {_reason(error)}.") from None
    for worker in range(driver.plane.workers):
        for failure in driver.plane.tcp_failures(worker):
            log.warning("no media over TCP at %s", failure)
    driver.plane.set_kernels(**kernels.plane_arguments())
    driver.plane.set_stages(kernels.plane_stages())
    driver.stages = kernels.PLANE_STAGES
    try:
        node = Node(settings, driver, Certificate.generate())
    except (StateError, LibraryError) as error:
        raise StartError(str(error)) from None
    config = http_config(create_app(node))
    _announce(settings, driver, listener)
    # What is loaded by now stays. To look through it takes a full collection 100 ms, in which nobody is answered.
    gc.collect()
    gc.freeze()
    Server(config, node).run(sockets=[listener])
    tracing.stop()


def _raise_file_limit() -> None:
    """To what this process may have: each TCP connection is a file, and 1,024, the usual limit, are soon used up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def http_config(app: ASGIApp, lifespan: Literal["on", "off"] = "on") -> uvicorn.Config:
    """How HTTP is served."""
    return uvicorn.Config(
        app,
        http=Http,
        ws="none",
        loop="uvloop",
        lifespan=lifespan,
        log_config=None,
        # Paths hold the names of rooms and users, and the event streams' secrets.
        access_log=False,
        # Whom to believe about clients' addresses is --trusted-proxy's matter (http/rates.py).
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket. StartError when the address is not free or not one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise StartError(f"{host} port {port} cannot be listened on: {_reason(error)}.") from None


def _reason(error: OSError) -> str:
    """The system's words alone; create_server() adds its own to strerror. Name resolution has negative numbers."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)


def _announce(settings: Settings, driver: Driver, listener: socket.socket) -> None:
    if settings.development:
        log.warning("DEVELOPMENT MODE: the API key is known to everybody; give --api-key to serve anyone else.")
    host, port = listener.getsockname()[:2]
    for worker in range(settings.workers):
        bound = driver.plane.addresses(worker)
        told = ", ".join(f"{address} port {port}" for address, port in settings.announced(bound))
        protocols = "UDP and TCP" if driver.plane.tcp_addresses(worker) else "UDP"
        log.info("media worker %d is reached at %s (%s)", worker, told, protocols)
    scheme = "https" if settings.tls else "http"
    log.info("serving on %s://%s:%d/", scheme, f"[{host}]" if ":" in host else host, port)
