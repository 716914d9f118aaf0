"""The HTTP edge without sockets: the application over a node whose plane is the stand-in, and who may ask it what."""

import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import quote

import httpx

from mediaserver import tokens
from mediaserver.dtls import Certificate
from mediaserver.http.app import create_app
from mediaserver.http.problems import KINDS
from mediaserver.keys import ApiKey
from mediaserver.model.room import Room
from mediaserver.node import Node
from mediaserver.plane import Driver
from mediaserver.settings import Settings
from mediaserver.tokens import Claims, Mode
from tests import fake_plane
from tests.offers import offer
from tests.seating import set_speaker

KEY = ApiKey("alpha", "s" * 32)
ROOM, USER = "hall", "ann"
NOW = 1_000_000.0
CERTIFICATE = Certificate.generate()
SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


def bearer(
    user: str = USER,
    room: str = ROOM,
    *,
    may_publish: bool = True,
    may_listen: bool = True,
    expires: float = NOW + 60,
    issued: float = NOW - 1,
    mode: Mode | None = None,
    once: bool = False,
    key: ApiKey = KEY,
) -> dict[str, str]:
    claims = Claims(room, user, may_publish, may_listen, expires, issued, secrets.token_hex(4), mode, once)
    return {"Authorization": f"Bearer {tokens.issue(key, claims)}"}


class Edge:
    """`now` is what the node takes for Unix time."""

    def __init__(self, **options: Any) -> None:
        options = {
            "workers": 1,
            "api_key": [f"{KEY.id}:{KEY.secret}"],
            "media_address": ["127.0.0.1"],
            "state": "none",
            "rate_per_address": 0,  # tests ask as often as they like
            **options,
        }
        self.now = NOW
        settings = Settings.check(**options)
        driver = Driver(sys.modules[fake_plane.__name__], settings.binds(), tcp=settings.media_tcp)
        driver.stages = fake_plane.STAGES
        self.node = Node(settings, driver, CERTIFICATE, clock=lambda: self.now)
        self.plane = cast(fake_plane.Plane, driver.plane)
        self.app = create_app(self.node)
        self.service = httpx.BasicAuth(KEY.id, KEY.secret)
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://test")

    @property
    def room(self) -> Room:
        return self.node.rooms[ROOM]

    def seat(self, user: str = USER) -> None:
        """Makes the room, and gives the user a seat in it."""
        room, _ = self.node.open_room(ROOM)
        self.node.change(room, set_speaker(room, user))

    async def control(self, method: str, *path: str, **options: Any) -> httpx.Response:
        """A call of /v1/ with the API key."""
        address = "/v1/" + "/".join(quote(part, safe="") for part in path)
        return await self.http.request(method, address, auth=self.service, **options)

    async def whip(self, user: str = USER, **options: Any) -> httpx.Response:
        headers = {**SDP, **bearer(user)}
        return await self.http.post(f"/whip/{ROOM}", content=offer("sendonly"), headers=headers, **options)

    async def whep(self, user: str = USER, sections: int = 2, **options: Any) -> httpx.Response:
        headers = {**SDP, **bearer(user)}
        return await self.http.post(f"/whep/{ROOM}", content=offer("recvonly", sections), headers=headers, **options)

    async def patch(self, url: str, content: str, headers: Mapping[str, str], user: str = USER) -> httpx.Response:
        return await self.http.patch(url, content=content, headers={**FRAGMENT, **bearer(user), **headers})

    def peer_of(self, response: httpx.Response) -> int:
        """The plane's number for the session that this answer created."""
        return self.node.census.sessions[response.headers["Location"].rpartition("/")[2]].peer


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Edge]:
    """An edge whose node runs; `options` are those of Settings.check()."""
    edge = Edge(**options)
    async with edge.http:
        edge.node.start()
        try:
            yield edge
        finally:
            edge.node.stop()
            assert not edge.plane.peers
            assert edge.plane.stopped


def assert_problem(response: httpx.Response, kind: str) -> None:
    """It is the problem document of this kind, and says so in all the ways it should (RFC 9457 section 3.1)."""
    expected = KINDS[kind]
    assert response.status_code == expected.status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"/problems#{kind}", document
    assert (document["title"], document["status"]) == (expected.title, expected.status)
    assert document["detail"].endswith(".")
