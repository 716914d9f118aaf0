"""What the media server tells of rooms, passed on to clients of this instance as it happens; and whether it is there.

Every instance reads it for its own clients. Nothing of it is kept: who was away asks how it is now. When the media
server has forgotten, or events are missing, all documents that have a media room are put again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from mediaserver.client import CallError, MediaServer, StreamEvent
from roomservice.hub import Hub, Passing
from roomservice.talking_now import TalkingNow

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


LOOK_S = 2.0
"""Between looks whether it is there. The stream of events waits longer each time it is not."""


class Restarts:
    """Whether the media server may have forgotten, by how long it says that it is up."""

    def __init__(self) -> None:
        self._up_s: float | None = 0.0

    def seen(self, up_s: float | None) -> bool:
        """None when it is not there. True when it came back, or was another process in between."""
        before, self._up_s = self._up_s, up_s
        return up_s is not None and (before is None or up_s < before)


class MediaEvents:
    """put_again: brings the media server to all that it shall be. run() and look() are to be run side by side."""

    def __init__(
        self, server: MediaServer, hub: Hub, talking: TalkingNow, put_again: Callable[[], Awaitable[None]]
    ) -> None:
        self._server = server
        self._talking = talking
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
            self._talking.forget()
            await asyncio.sleep(AGAIN_S)

    async def look(self) -> None:
        """For ever: after an end of the media server, rooms are there again as soon as it is."""
        restarts = Restarts()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                up_s: float | None = (await self._server.node()).uptime_s
            except CallError:
                up_s = None
            try:
                if restarts.seen(up_s):
                    await self._put_again()
            except Exception:
                log.exception("The media server could not be told again.")

    async def _take(self, event: StreamEvent) -> None:
        if event.type == "gap":
            self._talking.forget()
            await self._put_again()
            for stream in self._hub.streams():
                if stream.startswith(("room:", "call:")):
                    self._hub.pass_on(Passing(stream, event.time, RESTARTED, {}))
            return
        self._talking.take(event.type, event.room, event.user)
        user = {} if event.user is None else {"user": event.user}
        name = event.type.replace(".", "_")
        for kind in ("room", "call"):
            self._hub.pass_on(Passing(f"{kind}:{event.room}", event.time, name, {**user, **event.data}))
