"""A file on its way into the media library, for as long as its sender waits for what becomes of it."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from mediaserver.music.items import Item
from mediaserver.music.library import Library


class Upload:
    """Of one request."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._has_come = asyncio.Event()

    async def into(self, library: Library, title: str) -> tuple[Item, bool]:
        """As Library.add(). ClientDisconnect when the sender goes before he has the answer; nothing is left then."""
        adding = asyncio.ensure_future(library.add(self._chunks(), title))
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((adding, gone), return_when=asyncio.FIRST_COMPLETED)
            if not adding.done():
                raise ClientDisconnect
            return adding.result()
        finally:
            for task in (adding, gone):
                task.cancel()
            await asyncio.wait((adding, gone))

    async def _chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._request.stream():
            yield chunk
        self._has_come.set()

    async def _gone(self) -> None:
        """Nothing but that the sender goes can come behind the body."""
        await self._has_come.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
