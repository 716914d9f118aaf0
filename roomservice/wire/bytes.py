"""A body of HTTP that is passed on as it comes, and never held as a whole."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from roomservice.interface import Content
from roomservice.operations.problems import INVALID_PARAMS, Refused

STALLED_S = 30.0
"""Without a byte for so long it comes no more."""

DISCARD_S = 5.0
"""How long the rest of a body that is refused is read: a browser that is still sending does not see the answer."""

T = TypeVar("T")
_CUT_OFF = "The body did not come to its end."


class Bytes:
    """Of one request. Refused when it is of none of these kinds."""

    def __init__(self, request: Request, kinds: Sequence[str]) -> None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in kinds and f"{kind.partition('/')[0]}/*" not in kinds:
            raise Refused(INVALID_PARAMS, f"The body is the file itself, its Content-Type one of {', '.join(kinds)}.")
        length = request.headers.get("content-length", "")
        self._request = request
        self._has_ended = asyncio.Event()
        self.content = Content(self._chunks(), int(length) if length.isascii() and length.isdigit() else None)

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """What the work with it gives. ClientDisconnect, and the work is cancelled, when he who sent it all does not
        wait for that."""
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientDisconnect
            return working.result()
        finally:
            for task in (working, gone):
                task.cancel()
            await asyncio.wait((working, gone))

    async def discard(self) -> None:
        """Of what is still to come, as much as comes soon."""
        try:
            async with asyncio.timeout(DISCARD_S):
                while not self._has_ended.is_set():
                    await self._next()
        except (TimeoutError, ClientDisconnect):
            """Enough was tried."""

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            while not self._has_ended.is_set():
                async with asyncio.timeout(STALLED_S):
                    chunk = await self._next()
                if chunk:
                    yield chunk
        except (TimeoutError, ClientDisconnect):
            raise Refused(INVALID_PARAMS, _CUT_OFF) from None

    async def _gone(self) -> None:
        await self._has_ended.wait()
        while (await self._request.receive())["type"] != "http.disconnect":
            """Nothing else can come behind the body."""

    async def _next(self) -> bytes:
        message = await self._request.receive()
        if message["type"] == "http.disconnect":
            self._has_ended.set()
            raise ClientDisconnect
        if not message.get("more_body", False):
            self._has_ended.set()
        body: bytes = message.get("body", b"")
        return body
