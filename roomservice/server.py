"""The process: what a service is made of, and its HTTP."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator

import uvicorn

from mediaserver.client import MediaServer
from roomservice.appserver.app import Edge, create_app
from roomservice.bus.opening import open_bus
from roomservice.instance import Instance
from roomservice.media import MediaServerMedia
from roomservice.passwords import Passwords
from roomservice.push.both import PushByAll
from roomservice.service import Service
from roomservice.settings import ServiceSettings, SignUp
from roomservice.storage.opening import open_storage
from roomservice.users import OwnUsers, valid_name

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
    asyncio.run(_serve(settings))


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
    try:
        await storage.start()
        async with MediaServer(settings.media_url, *settings.media_key) as server:
            media = MediaServerMedia(server, settings.media_public_url or settings.media_url)
            users = OwnUsers(storage, Passwords(), settings.sign_up)
            instance = Instance(storage, bus, media, PushByAll([]), time.time)
            app = create_app(Edge(Service(instance), users, settings, time.time))
            config = uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                server_header=False,
                log_config=None,
                timeout_graceful_shutdown=GRACE_S,
            )
            await Server(config).serve()
    finally:
        await storage.close()
