"""Users with devices on a room service with a real media server: what flows of calls and signalling are tried with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from mediaserver.client import MediaServer
from mediaserver.settings import DEVELOPMENT_KEY
from roomservice.media import MediaServerMedia
from roomservice.push.both import PushByAll
from roomservice.push.hook import HookPush
from tests.client import Listener, Session, Speaker, listen, speak
from tests.push_receiver import Receiver, receiver
from tests.rpc import Rpc
from tests.wired import Wired, wired

SECRET = "the app and the service know it"
"""Of the push hook."""


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
        speaker = await speak(self._town.http, *parted(whip), pitch_hz)
        await self._town.entered(speaker)
        return speaker

    async def hears(self, whep: str) -> Listener:
        listener = await listen(self._town.http, *parted(whep, "?mode=mix"), slots=1)
        await self._town.entered(listener)
        return listener

    async def crashes(self) -> None:
        """Without a word."""
        self.rpc.socket.transport.abort()


class Phones:
    """hook: what was pushed."""

    def __init__(self, service: Wired, hook: Receiver, stack: AsyncExitStack) -> None:
        self.service = service
        self.hook = hook
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

    async def entered(self, session: Session) -> None:
        """Connected, until the stack is closed."""
        await self._stack.enter_async_context(session)
        await session.connected()

    async def gone(self, user: str) -> None:
        """Waits until the service knows that he has no device any more."""
        async with asyncio.timeout(10):
            while (await self.service.presence.online([user]))[user]:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.02)

    def later(self, seconds: float) -> None:
        """The service's clock goes on."""
        self.service.ahead[0] += seconds


@asynccontextmanager
async def phones(media_url: str) -> AsyncIterator[Phones]:
    """On the media server at this address. Heartbeats are rare, so that a clock that is turned ends no session."""
    with receiver() as hook:
        async with (
            MediaServer(media_url, *DEVELOPMENT_KEY) as control,
            httpx.AsyncClient() as http,
            AsyncExitStack() as stack,
        ):
            push = PushByAll()
            media = MediaServerMedia(control, media_url)
            service = await stack.enter_async_context(wired(media=media, push=push, heartbeat_s=300.0))
            push.add(HookPush(http, f"{hook.url}/push", SECRET, service.world.clock))
            yield Phones(service, hook, await stack.enter_async_context(AsyncExitStack()))


def parted(address: str, query: str = "") -> tuple[str, str]:
    """Of WHIP or WHEP: what is posted to, and the token that goes with it."""
    bare, _, token = address.partition("#token=")
    return bare + query, token
