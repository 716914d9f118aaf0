"""People of a room: a device on the room service's WebSocket, and media sessions at the addresses that it gives."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx

from tests.client import Listener, Speaker, listen, speak
from tests.rpc import Rpc

SILENT_DB = -50
"""What a voice that is not heard leaves at its pitch."""


def parted(address: str) -> tuple[str, str]:
    """Of WHIP or WHEP: what is posted to, and the token that goes with it."""
    bare, _, token = address.partition("#token=")
    return bare, token


class People:
    """`async with` it; who comes stays until its end, or leaves. trust: whose certificates, where it is https."""

    def __init__(self, url: str, trust: ssl.SSLContext | bool = True) -> None:
        self.url = url
        self._trust = trust
        self._stack = AsyncExitStack()
        self._tokens: dict[tuple[str, str], str] = {}

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        http = httpx.AsyncClient(timeout=20, trust_env=False, verify=self._trust)
        self.http = await self._stack.enter_async_context(http)
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._stack.__aexit__(*exc)

    async def token(self, user: str, device: str = "phone") -> str:
        """Kept: as an app keeps it."""
        if (user, device) not in self._tokens:
            asked = {"username": user, "password": f"{user}'s password", "device_id": device}
            answer = await self.http.post(f"{self.url}/v1/login", json=asked)
            self._tokens[user, device] = answer.raise_for_status().json()["access_token"]
        return self._tokens[user, device]

    async def come(self, user: str, device: str = "phone", **more: Any) -> Rpc:
        return await self._stack.enter_async_context(Rpc(self.url, await self.token(user, device), **more))

    async def speaks(self, client: Rpc, room: str, pitch_hz: int) -> Speaker:
        """At the address that he is given now, connected."""
        address = (await client.call("get_addresses", room=room))["whip"]
        assert address, "he has no seat"
        speaker = await self._stack.enter_async_context(await speak(self.http, *parted(address), pitch_hz))
        await speaker.connected()
        return speaker

    async def listens(self, client: Rpc, room: str) -> Listener:
        """To the mix, connected."""
        url, token = parted((await client.call("get_addresses", room=room))["whep"])
        listener = await listen(self.http, f"{url}?mode=mix", token, slots=1)
        await self._stack.enter_async_context(listener)
        await listener.connected()
        return listener
