"""Rooms hear that their attendees are gone, and back."""

import contextlib

from roomservice.aggregates import ROOM
from roomservice.engine import Engine, NotFound
from roomservice.model.attendance import Back, Lost


class RoomSigns:
    """As presence.Signs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def lost(self, user: str, device: str, *, last: bool) -> None:
        if last:
            await self._sign(user, Lost(user))

    async def back(self, user: str, device: str) -> None:
        await self._sign(user, Back(user))

    async def _sign(self, user: str, sign: Lost | Back) -> None:
        for stream in await self._engine.storage.streams_of(user):
            kind, _, room = stream.partition(":")
            if kind == ROOM.kind:
                with contextlib.suppress(NotFound):
                    await self._engine.change(ROOM, room, lambda _: [sign])
