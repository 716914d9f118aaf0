"""Users with devices on a room service with a real media server: what flows of calls and signalling are tried with."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from tests.client import Listener, Speaker, listen, speak
from tests.rpc import Rpc
from tests.wired import Wired


class Phone:
    """One device of a user. He is there while the stack is open, or until he goes."""

    def __init__(self, town: Phones, user: str, device: str, rpc: Rpc) -> None:
        self.user = user
        self.device = device
        self.rpc = rpc
        self.call = rpc.call
        self.refused = rpc.refused
        self.event = rpc.event
        self._town = town

    async def joins(self, call: str, pitch_hz: int) -> tuple[Speaker, Listener]:
        """The call's media: he speaks with a voice of this pitch, and hears the mix."""
        media = await self.call("get_call_media", call=call)
        return await self.speaks(media["whip"], pitch_hz), await self.hears(media["whep"])

    async def speaks(self, whip: str, pitch_hz: int) -> Speaker:
        return await self._town.entered(await speak(self._town.http, *parted(whip), pitch_hz))

    async def hears(self, whep: str) -> Listener:
        return await self._town.entered(await listen(self._town.http, *parted(whep, "?mode=mix"), slots=1))

    async def crashes(self) -> None:
        """Without a word."""
        self.rpc.socket.transport.abort()


class Phones:
    def __init__(self, service: Wired, stack: AsyncExitStack) -> None:
        self.service = service
        self.http = service.http
        self._stack = stack

    async def phone(self, user: str, device: str = "d1", **more: Any) -> Phone:
        client = await self.service.client(user, device, **more)
        return Phone(self, user, device, await self._stack.enter_async_context(client))

    async def phones(self, *users: str) -> list[Phone]:
        return [await self.phone(user) for user in users]

    async def known(self, *users: str) -> None:
        """There are these users, who are not here."""
        for user in users:
            await self.service.token(user)

    async def entered(self, session: Any) -> Any:
        """Connected, until the stack is closed."""
        await self._stack.enter_async_context(session)
        await session.connected()
        return session

    def later(self, seconds: float) -> None:
        """The service's clock goes on."""
        self.service.ahead[0] += seconds


def parted(address: str, query: str = "") -> tuple[str, str]:
    """Of WHIP or WHEP: what is posted to, and the token that goes with it."""
    bare, _, token = address.partition("#token=")
    return bare + query, token
