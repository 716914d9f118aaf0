"""What the media server tells of rooms, passed on to the clients of this instance as it happens.

Every instance reads it for its own clients. Nothing of it is kept: who was away asks how it is now. When the media
server has forgotten, or events are missing, all documents that have a media room are put again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from mediaserver.client import CallError, MediaServer, StreamEvent
from roomservice.hub import Hub, Passing

log = logging.getLogger(__name__)

TYPES = (
    "speaking.*",
    "speaker.talks_muted",
    "participant.*",
    "publishing.*",
    "audio.*",
    "quality.*",
    "player.*",
    "effect.*",
)

RESTARTED = "media_restarted"

AGAIN_S = 2.0
"""Before the events are asked for again, after the media server could not be reached."""


class MediaEvents:
    """put_again: brings the media server to all that it shall be."""

    def __init__(self, server: MediaServer, hub: Hub, put_again: Callable[[], Awaitable[None]]) -> None:
        self._server = server
        self._hub = hub
        self._put_again = put_again

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                # At the first connection nobody knows what was missed, nor what the media server still knows.
                await self._put_again()
                events: AsyncGenerator[StreamEvent, None] = self._server.events(TYPES)
                async with aclosing(events):
                    async for event in events:
                        await self._take(event)
            except CallError as error:
                log.info("%s", error)
            except Exception:
                log.exception("Events of the media server could not be read.")
            await asyncio.sleep(AGAIN_S)

    async def _take(self, event: StreamEvent) -> None:
        if event.type == "gap":
            await self._put_again()
            for stream in self._hub.streams():
                if stream.startswith(("room:", "call:")):
                    self._hub.pass_on(Passing(stream, event.time, RESTARTED, {}))
            return
        user = {} if event.user is None else {"user": event.user}
        name = event.type.replace(".", "_")
        for kind in ("room", "call"):
            self._hub.pass_on(Passing(f"{kind}:{event.room}", event.time, name, {**user, **event.data}))
