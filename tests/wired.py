"""A room service in this process, with its HTTP and WebSockets on a real port, and a media server that is played."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import uvicorn
from argon2 import PasswordHasher

from mediaserver.client import EffectDocument, EffectState, MediaDocument, PlayerDocument, PlayerStateDocument
from roomservice.bus.local import LocalBus
from roomservice.engine import Engine
from roomservice.hub import Hub
from roomservice.interface import Addresses, Media, MediaError, MediaRoom, Push, Sound, SoundRefusedError, Storage
from roomservice.operations.world import World
from roomservice.passwords import Passwords
from roomservice.presence import Presence
from roomservice.settings import ServiceSettings, SignUp
from roomservice.storage.memory import MemoryStorage
from roomservice.talk.talk import BrowserPush
from roomservice.users import OwnUsers
from roomservice.whole import Whole
from roomservice.wire.app import Wire
from roomservice.wire.protocol import MAX_MESSAGE_BYTES, BoundedWebSocket
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
    pieces: dict[str, MediaDocument] = field(default_factory=dict)
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

    async def library(self, search: str) -> list[MediaDocument]:
        return list(self.pieces.values())

    async def upload(self, title: str, chunks: AsyncIterator[bytes]) -> tuple[MediaDocument, bool]:
        """What has the word in it is music."""
        content = b"".join([chunk async for chunk in chunks])
        if b"music" not in content:
            raise SoundRefusedError("It has no sound.", "not-music")
        id = hashlib.sha256(content).hexdigest()[:32]
        is_new = id not in self.pieces
        facts: Any = {"duration_s": 1.0, "media_type": "audio/wav", "codec": "pcm_s16le", "sampling_rate": 48_000}
        document = MediaDocument(id=id, channels=1, size=len(content), added=0.0, has_cover=False, title=title, **facts)
        return self.pieces.setdefault(id, document), is_new

    async def delete_piece(self, piece: str) -> None:
        if self.pieces.pop(piece, None) is None:
            raise SoundRefusedError("There is no such file in the library.", "no-media")

    async def settings(self, room: str) -> tuple[float, bool]:
        return 12.0, False

    async def configure(self, room: str, *, ducking_db: float | None, places: bool | None) -> None:
        """It is so."""

    async def participants(self, room: str, after: str, limit: int) -> tuple[list[Any], str | None]:
        return [], None

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
    clock: Callable[[], float] = time.time,
    media: Media | None = None,
    sound: Sound | None = None,
    push: Push | None = None,
    browsers: BrowserPush | None = None,
    **settings_: Any,
) -> AsyncIterator[Wired]:
    settings = replace(settings, **settings_)
    ahead = [0.0]

    def now() -> float:
        return clock() + ahead[0]

    kept = MemoryStorage() if storage is None else storage
    played = Played()
    async with httpx.AsyncClient(trust_env=False) as outside:
        whole = Whole(
            settings,
            kept,
            LocalBus(),
            users=OwnUsers(kept, CHEAP, settings.sign_up),  # type: ignore[arg-type]
            media=media or played,
            sound=sound or played,
            http=outside,
            clock=now,
            push=push,
            browsers=browsers,
        )
        async with served(whole) as url, httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http:
            engine, hub = whole.instance.engine, whole.instance.hub
            yield Wired(url, whole.wire, whole.world, engine, hub, whole.presence, played, ahead, http)


@asynccontextmanager
async def served(whole: Whole) -> AsyncIterator[str]:
    """Its address."""
    config = uvicorn.Config(
        whole,
        port=0,
        log_config=None,  # its own would outlive this server, and is not how other tests' loggers are
        ws=BoundedWebSocket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    serving = asyncio.create_task(server.serve())
    ticking = asyncio.create_task(whole.wire.sockets.run())
    try:
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
