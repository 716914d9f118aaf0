"""A room service in this process, with its HTTP and WebSockets on a real port, and a media server that is played."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import uvicorn
from argon2 import PasswordHasher
from starlette.responses import PlainTextResponse

from mediaserver.client import EffectDocument, EffectState, PlayerDocument, PlayerStateDocument
from roomservice.accounts import Accounts
from roomservice.bus.local import LocalBus
from roomservice.engine import Engine
from roomservice.hub import Hub
from roomservice.interface import Addresses, MediaError, MediaRoom, SoundRefusedError, Storage
from roomservice.operations.world import World
from roomservice.passwords import Passwords
from roomservice.presence import Presence
from roomservice.room_signs import RoomSigns
from roomservice.settings import ServiceSettings, SignUp
from roomservice.storage.memory import MemoryStorage
from roomservice.talk.talk import BrowserPush, make_talk
from roomservice.users import OwnUsers
from roomservice.wire.app import Wire
from roomservice.wire.protocol import MAX_MESSAGE_BYTES, BoundedWebSocket
from roomservice.words import AnyWords
from tests.rpc import Rpc

SECRET = "a secret of at least 32 bytes, for tests only"
SYSTEM_KEY = "the service itself, by a key of 32 bytes"
SETTINGS = ServiceSettings(SECRET, sign_up=SignUp.OPEN, system_key=SYSTEM_KEY)
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Played:
    """Media and Sound, as far as tests of the wire need them."""

    rooms: dict[str, MediaRoom] = field(default_factory=dict)
    players_: dict[str, PlayerStateDocument] = field(default_factory=dict)
    away: bool = False

    async def put(self, room: str, wanted: MediaRoom) -> None:
        self.rooms[room] = wanted

    async def cut_off(self, room: str, user: str, key: str) -> None:
        """Nobody is connected."""

    async def close(self, room: str) -> None:
        self.rooms.pop(room, None)

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        if self.away:
            raise MediaError("No answer came.")
        return Addresses(f"http://m/whip/{room}#token=t" if may_publish else "", f"http://m/whep/{room}#token=t")

    async def ready(self) -> bool:
        return not self.away

    async def players(self, room: str) -> list[PlayerStateDocument]:
        return list(self.players_.values())

    async def put_player(self, room: str, player: str, document: PlayerDocument) -> PlayerStateDocument:
        known = PlayerStateDocument(**document.model_dump(), name=player, csrc=1, status="playing")  # type: ignore[arg-type]
        self.players_[player] = known
        return known

    async def set_volume(self, room: str, player: str, volume_db: float) -> PlayerStateDocument:
        return self._player(player)

    async def play(self, room: str, player: str, track: str | None, position_ms: int) -> PlayerStateDocument:
        return self._player(player)

    async def pause(self, room: str, player: str) -> PlayerStateDocument:
        return self._player(player)

    async def stop(self, room: str, player: str) -> PlayerStateDocument:
        return self._player(player)

    async def seek(self, room: str, player: str, position_ms: int) -> PlayerStateDocument:
        return self._player(player)

    async def skip(self, room: str, player: str, *, back: bool) -> PlayerStateDocument:
        return self._player(player)

    async def delete_player(self, room: str, player: str) -> None:
        self.players_.pop(player, None)

    async def play_effect(self, room: str, document: EffectDocument) -> EffectState:
        return EffectState(**document.model_dump(), id="e1", repeat=False)

    async def start_effect(self, room: str, effect: str, document: EffectDocument) -> EffectState:
        return EffectState(**document.model_dump(), id=effect, repeat=True)

    async def stop_effect(self, room: str, effect: str) -> None:
        """It is silent."""

    async def sounds(self) -> list[str]:
        return ["applause"]

    async def participants(self, room: str) -> list[Any]:
        return []

    def _player(self, player: str) -> PlayerStateDocument:
        if player not in self.players_:
            raise SoundRefusedError("There is no such player.")
        return self.players_[player]


@dataclass
class Wired:
    """A running service. now: what its clock is ahead of the real one, in s."""

    url: str
    wire: Wire
    world: World
    engine: Engine
    hub: Hub
    presence: Presence
    played: Played
    ahead: list[float]
    http: httpx.AsyncClient

    async def token(self, user: str, device: str = "d1") -> str:
        asked = {"username": user, "password": f"{user}'s password", "device_id": device}
        answer = await self.http.post("/v1/login", json=asked)
        return str(answer.raise_for_status().json()["access_token"])

    async def client(self, user: str, device: str = "d1", **more: Any) -> Rpc:
        """To be entered."""
        return Rpc(self.url, await self.token(user, device), **more)

    async def call(self, method: str, path: str, token: str = "", **more: Any) -> httpx.Response:
        return await self.http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)


@asynccontextmanager
async def wired(
    storage: Storage | None = None,
    settings: ServiceSettings = SETTINGS,
    *,
    instance: str = "one",
    clock: Callable[[], float] = time.time,
    browsers: BrowserPush | None = None,
    **settings_: Any,
) -> AsyncIterator[Wired]:
    settings = replace(settings, **settings_)
    ahead = [0.0]

    def now() -> float:
        return clock() + ahead[0]

    kept = MemoryStorage() if storage is None else storage
    bus = LocalBus()
    engine = Engine(kept, bus, now)
    hub = Hub(kept, bus, poll_s=0.2)
    users = OwnUsers(kept, CHEAP, settings.sign_up)  # type: ignore[arg-type]
    accounts = Accounts(kept, users, settings, now)
    played = Played()
    talk = make_talk(engine, users, played, AnyWords(), browsers)
    presence = Presence(engine, settings, instance, now, [RoomSigns(engine), talk.calls])
    world = World(engine, accounts, presence, played, played, talk, settings, now)
    wire = Wire(PlainTextResponse("not here", 404), world, hub)
    config = uvicorn.Config(
        wire,
        port=0,
        log_level="warning",
        lifespan="off",
        ws=BoundedWebSocket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    await hub.start()
    serving = asyncio.create_task(server.serve())
    ticking = asyncio.create_task(wire.sockets.run())
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
            yield Wired(url, wire, world, engine, hub, presence, played, ahead, http)
    finally:
        server.should_exit = True
        await serving
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        await engine.stop()
        await hub.stop()
