"""The process: what a service is made of, and its HTTP."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Iterator

import httpx
import uvicorn
import uvloop

from mediaserver.client import MediaServer
from roomservice.bus.opening import open_bus
from roomservice.media import MediaServerMedia
from roomservice.media_events import MediaEvents
from roomservice.pages import Pages
from roomservice.passwords import Passwords
from roomservice.settings import ServiceSettings, SignUp
from roomservice.sound import MediaServerSound
from roomservice.storage.opening import open_storage
from roomservice.users import OwnUsers, valid_name
from roomservice.whole import Whole
from roomservice.wire.protocol import MAX_MESSAGE_BYTES, BoundedWebSocket

GRACE_S = 5
"""From the first signal to giving up on requests that are still being answered."""


class Server(uvicorn.Server):
    """uvicorn, but a signal is a polite end and no exit status; a second one does not wait."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop, numbers = asyncio.get_running_loop(), (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def run(settings: ServiceSettings) -> None:
    """Until SIGTERM or SIGINT. ValueError, with a sentence, for a setting that cannot be used."""
    uvloop.run(_serve(settings))


async def make_user(storage: str, name: str, password: str) -> bool:
    """Whether there was none. ValueError for what can be no name."""
    if not valid_name(name):
        raise ValueError("A name has 1 to 256 bytes of UTF-8 without control characters, and is not a dot or two.")
    store = open_storage(storage)
    try:
        await store.start()
        return await OwnUsers(store, Passwords(), SignUp.CLOSED).add(name, password)
    finally:
        await store.close()


async def _serve(settings: ServiceSettings) -> None:
    storage, bus = open_storage(settings.storage), open_bus(settings.redis)
    logging.getLogger("uvicorn.error").addFilter(_no_connections)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # not a line for each call of the media server
    try:
        await storage.start()
        async with MediaServer(settings.media_url, *settings.media_key) as server, httpx.AsyncClient() as http:
            whole = Whole(
                settings,
                storage,
                bus,
                users=OwnUsers(storage, Passwords(), settings.sign_up),
                media=MediaServerMedia(server, settings.media_public_url or settings.media_url),
                sound=MediaServerSound(server),
                http=http,
                clock=time.time,
            )
            listening = MediaEvents(server, whole.instance.hub, whole.talking, whole.instance.media_jobs.put_all)
            config = uvicorn.Config(
                Pages(whole, settings.media_public_url or settings.media_url),
                host=settings.host,
                port=settings.port,
                server_header=False,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE_S,
                ws=BoundedWebSocket,
                ws_max_size=MAX_MESSAGE_BYTES,
                ws_per_message_deflate=False,
                ws_ping_interval=None,  # there are heartbeats
            )
            beside = [asyncio.create_task(work()) for work in (whole.wire.sockets.run, listening.run, listening.look)]
            try:
                await Server(config).serve()
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
    finally:
        await storage.close()


def _no_connections(record: logging.LogRecord) -> bool:
    """Not a line for each WebSocket: whoever connects would fill the log."""
    return not str(record.msg).startswith(('%s - "WebSocket', "connection "))
