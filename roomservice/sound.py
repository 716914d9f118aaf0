"""What is heard in a room beside its seats, by the media server's client: music, effects, and who is connected how."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import TypeVar

from mediaserver.client import (
    CallError,
    EffectDocument,
    EffectState,
    MediaDocument,
    MediaServer,
    ParticipantDocument,
    PlayerDocument,
    PlayerStateDocument,
    Refused,
)
from roomservice.interface import MediaError, SoundRefusedError

MAX_PIECES = 500
"""That are told at once."""

FULL = 507
"""Of HTTP: trying again later does not help."""

T = TypeVar("T")


class MediaServerSound:
    """As interface.Sound."""

    def __init__(self, server: MediaServer) -> None:
        self._server = server

    async def players(self, room: str) -> list[PlayerStateDocument]:
        return (await _asked(self._server.players(room))).document.players

    async def put_player(self, room: str, player: str, document: PlayerDocument) -> PlayerStateDocument:
        return (await _asked(self._server.put_player(room, player, document))).document

    async def set_volume(self, room: str, player: str, volume_db: float) -> PlayerStateDocument:
        return (await _asked(self._server.patch_player(room, player, {"volume_db": volume_db}))).document

    async def play(self, room: str, player: str, track: str | None, position_ms: int) -> PlayerStateDocument:
        return (await _asked(self._server.play(room, player, track, position_ms))).document

    async def pause(self, room: str, player: str) -> PlayerStateDocument:
        return (await _asked(self._server.pause(room, player))).document

    async def stop(self, room: str, player: str) -> PlayerStateDocument:
        return (await _asked(self._server.stop(room, player))).document

    async def seek(self, room: str, player: str, position_ms: int) -> PlayerStateDocument:
        return (await _asked(self._server.seek(room, player, position_ms))).document

    async def skip(self, room: str, player: str, *, back: bool) -> PlayerStateDocument:
        call = self._server.previous_track if back else self._server.next_track
        return (await _asked(call(room, player))).document

    async def delete_player(self, room: str, player: str) -> None:
        await _asked(self._server.delete_player(room, player))

    async def play_effect(self, room: str, document: EffectDocument) -> EffectState:
        return (await _asked(self._server.play_effect(room, document))).document

    async def start_effect(self, room: str, effect: str, document: EffectDocument) -> EffectState:
        return (await _asked(self._server.start_effect(room, effect, document))).document

    async def stop_effect(self, room: str, effect: str) -> None:
        await _asked(self._server.stop_effect(room, effect))

    async def sounds(self) -> list[str]:
        return await _asked(self._server.sounds())

    async def library(self, search: str) -> list[MediaDocument]:
        return await _asked(_first(self._server.media(search=search), MAX_PIECES))

    async def upload(self, title: str, chunks: AsyncIterator[bytes]) -> tuple[MediaDocument, bool]:
        done = await _asked(self._server.upload_media(chunks, title=title))
        return done.document, done.created

    async def delete_piece(self, piece: str) -> None:
        await _asked(self._server.delete_media(piece))

    async def settings(self, room: str) -> tuple[float, bool]:
        mix = (await _asked(self._server.room(room))).document.mix
        if mix.ducking_db is not None:
            return mix.ducking_db, mix.layout == "arc"
        states = await _asked(_first(self._server.rooms(prefix=room, page=1), 1))  # what its scenario comes to
        return states[0].mix.ducking_db if states and states[0].name == room else 0.0, mix.layout == "arc"

    async def configure(self, room: str, *, ducking_db: float | None, places: bool | None) -> None:
        mix: dict[str, object] = {}
        if ducking_db is not None:
            mix["ducking_db"] = ducking_db
        if places is not None:
            mix |= {"layout": "arc", "stereo": True} if places else {"layout": None, "stereo": None}
        await _asked(self._server.patch_room(room, {"mix": mix}))

    async def participants(self, room: str, after: str, limit: int) -> tuple[list[ParticipantDocument], str | None]:
        found = await _asked(self._server.participant_page(room, after or None, page=limit))
        return found.participants, found.next


async def _first(items: AsyncGenerator[T, None], count: int) -> list[T]:
    found: list[T] = []
    async with aclosing(items):
        async for item in items:
            found.append(item)
            if len(found) == count:
                break
    return found


async def _asked(call: Awaitable[T]) -> T:
    """MediaError, SoundRefusedError."""
    try:
        return await call
    except Refused as refused:
        if refused.status == 429 or (refused.status >= 500 and refused.status != FULL):
            raise MediaError(str(refused)) from refused
        raise SoundRefusedError(refused.detail, refused.kind) from refused
    except CallError as error:
        raise MediaError(str(error)) from error
    except ValueError as error:
        raise SoundRefusedError(str(error)) from error
