"""What is heard in a room beside its seats, by the media server's client: music, effects, and who is connected how."""

from collections.abc import Awaitable
from contextlib import aclosing
from typing import TypeVar

from mediaserver.client import (
    CallError,
    EffectDocument,
    EffectState,
    MediaServer,
    ParticipantDocument,
    PlayerDocument,
    PlayerStateDocument,
    Refused,
)
from roomservice.interface import MediaError, SoundRefusedError

MAX_PARTICIPANTS = 1000
"""That are told at once."""


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

    async def participants(self, room: str) -> list[ParticipantDocument]:
        return await _asked(self._participants(room))

    async def _participants(self, room: str) -> list[ParticipantDocument]:
        found: list[ParticipantDocument] = []
        async with aclosing(self._server.participants(room)) as participants:
            async for participant in participants:
                found.append(participant)
                if len(found) == MAX_PARTICIPANTS:
                    break
        return found


async def _asked(call: Awaitable[T]) -> T:
    """MediaError, SoundRefusedError."""
    try:
        return await call
    except Refused as refused:
        if refused.status == 429 or refused.status >= 500:
            raise MediaError(str(refused)) from refused
        raise SoundRefusedError(refused.detail) from refused
    except CallError as error:
        raise MediaError(str(error)) from error
    except ValueError as error:
        raise SoundRefusedError(str(error)) from error
