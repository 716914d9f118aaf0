"""The control API as a room service uses it, and clients made with its tokens."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

from mediaserver.settings import DEVELOPMENT_KEY
from tests.client import Listener, Speaker, listen, speak
from tests.netem import Relay


class Control:
    """All calls of one server; an async context manager. Calls that are refused raise httpx.HTTPStatusError."""

    def __init__(self, url: str, key: tuple[str, str] = DEVELOPMENT_KEY) -> None:
        self.url = url
        self.http = httpx.AsyncClient(base_url=url, timeout=10)
        self._auth = httpx.BasicAuth(*key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.aclose()

    async def call(self, method: str, *path: str, json: Any = None) -> Any:
        """A call of /v1/ with the API key; the answer's JSON."""
        address = "/v1/" + "/".join(quote(part, safe="") for part in path)
        response = await self.http.request(method, address, json=json, auth=self._auth)
        response.raise_for_status()
        return response.json() if response.content else None

    async def make_room(self, room: str) -> None:
        await self.call("PUT", "rooms", room)

    async def seat(self, room: str, user: str, *, may_publish: bool = True) -> int:
        """Gives a seat and returns the user's CSRC."""
        speaker = await self.call("PUT", "rooms", room, "speakers", user, json={"may_publish": may_publish})
        return int(speaker["csrc"])

    async def unseat(self, room: str, user: str) -> None:
        await self.call("DELETE", "rooms", room, "speakers", user)

    async def mute(self, room: str, user: str, source: str = "host") -> None:
        await self.call("PUT", "rooms", room, "speakers", user, "mutes", source)

    async def unmute(self, room: str, user: str, source: str = "host") -> None:
        await self.call("DELETE", "rooms", room, "speakers", user, "mutes", source)

    async def kick(self, room: str, user: str) -> None:
        await self.call("DELETE", "rooms", room, "participants", user)

    async def move(self, room: str, user: str, target: str) -> None:
        await self.call("POST", "rooms", room, "participants", user, "move", json={"room": target})

    async def participants(self, room: str) -> dict[str, Any]:
        """The participants' documents by user."""
        found = await self.call("GET", "rooms", room, "participants")
        return {participant["user"]: participant for participant in found["participants"]}

    async def token(self, room: str, user: str, *, publish: bool = False, listen: bool = True, ttl_s: int = 60) -> str:
        wish = {"user": user, "may_publish": publish, "may_listen": listen, "ttl_s": ttl_s}
        return str((await self.call("POST", "rooms", room, "tokens", json=wish))["token"])

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, such as all workers'."""
        text = (await self.http.get("/metrics")).raise_for_status().text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        found = [sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]
        assert found, f"there is no metric {name} {labels}"
        return sum(found)

    async def speak(self, room: str, user: str, pitch_hz: int | None, *, relay: Relay | None = None) -> Speaker:
        """A speaker with a room, a seat and a token of his own; its offer has been accepted."""
        await self.make_room(room)
        await self.seat(room, user)
        return await self.come_back(room, user, pitch_hz, relay=relay)

    async def come_back(self, room: str, user: str, pitch_hz: int | None, *, relay: Relay | None = None) -> Speaker:
        """A speaker who takes the seat that he has."""
        token = await self.token(room, user, publish=True)
        return await speak(self.http, f"/whip/{quote(room, safe='')}", token, pitch_hz, relay=relay)

    async def listen(
        self, room: str, user: str, *, slots: int = 2, relay: Relay | None = None, mode: str = "select"
    ) -> Listener:
        await self.make_room(room)
        token = await self.token(room, user)
        return await listen(self.http, f"/whep/{quote(room, safe='')}?mode={mode}", token, slots=slots, relay=relay)
