"""The calls for what a room plays: music players and sound effects."""

from collections.abc import Mapping
from typing import Any

from mediaserver.client.calls import path
from mediaserver.client.reading import Reader, conditions_of
from mediaserver.client.tagged import Tagged
from mediaserver.schema_programme import (
    EffectDocument,
    EffectsState,
    EffectState,
    PlayerDocument,
    PlayersState,
    PlayerStateDocument,
    PlayRequest,
    SeekRequest,
    SoundsState,
)

Player = Tagged[PlayerStateDocument]


class ProgrammeCalls(Reader):
    """A part of MediaServer. Players are in the room's document, and so are effects that play until they are stopped:
    put_room() and patch_room() know them too."""

    # ---- players

    async def players(self, room: str) -> Tagged[PlayersState]:
        return await self._read(PlayersState, "GET", path("rooms", room, "players"))

    async def player(self, room: str, player: str) -> Player:
        """What it shall do, what it does, and where it is: at `at` on the clock of the RTCP sender reports."""
        return await self._read(PlayerStateDocument, "GET", path("rooms", room, "players", player))

    async def put_player(
        self, room: str, player: str, document: PlayerDocument, *, if_match: str | None = None
    ) -> Player:
        """Makes it or brings it to the document. A track that is played goes on if it is still in the playlist."""
        return await self._read(
            PlayerStateDocument,
            "PUT",
            path("rooms", room, "players", player),
            document,
            conditions=conditions_of(if_match),
        )

    async def patch_player(
        self, room: str, player: str, patch: Mapping[str, Any], *, if_match: str | None = None
    ) -> Player:
        """By a merge patch (RFC 7396) of a PlayerDocument."""
        return await self._read(
            PlayerStateDocument,
            "PATCH",
            path("rooms", room, "players", player),
            dict(patch),
            conditions=conditions_of(if_match),
        )

    async def delete_player(self, room: str, player: str, *, if_match: str | None = None) -> None:
        """It falls silent. Nothing happens when there is none."""
        address = path("rooms", room, "players", player)
        await self._calls.call("DELETE", address, conditions=conditions_of(if_match))

    async def play(
        self,
        room: str,
        player: str,
        track: str | None = None,
        position_ms: int = 0,
        *,
        if_match: str | None = None,
    ) -> Player:
        """From this track and position; without a track what was paused goes on, or the first begins."""
        return await self._ask(room, player, "play", PlayRequest(track=track, position_ms=position_ms), if_match)

    async def pause(self, room: str, player: str, *, if_match: str | None = None) -> Player:
        return await self.patch_player(room, player, {"state": "paused"}, if_match=if_match)

    async def stop(self, room: str, player: str, *, if_match: str | None = None) -> Player:
        """What it would go on from is forgotten."""
        return await self.patch_player(room, player, {"state": "stopped"}, if_match=if_match)

    async def seek(self, room: str, player: str, position_ms: int, *, if_match: str | None = None) -> Player:
        return await self._ask(room, player, "seek", SeekRequest(position_ms=position_ms), if_match)

    async def next_track(self, room: str, player: str, *, if_match: str | None = None) -> Player:
        return await self._ask(room, player, "next", None, if_match)

    async def previous_track(self, room: str, player: str, *, if_match: str | None = None) -> Player:
        """The track before, or after its first 3 s the beginning of this one."""
        return await self._ask(room, player, "previous", None, if_match)

    async def _ask(
        self, room: str, player: str, what: str, body: PlayRequest | SeekRequest | None, if_match: str | None
    ) -> Player:
        address = path("rooms", room, "players", player, what)
        return await self._read(PlayerStateDocument, "POST", address, body, conditions=conditions_of(if_match))

    # ---- effects

    async def sounds(self) -> list[str]:
        """Names of the built-in pack; beside these, `library:ID` is a short piece of the library."""
        return (await self._read(SoundsState, "GET", path("sounds"))).document.sounds

    async def effects(self, room: str) -> Tagged[EffectsState]:
        """Those that play now."""
        return await self._read(EffectsState, "GET", path("rooms", room, "effects"))

    async def play_effect(
        self, room: str, document: EffectDocument, *, if_match: str | None = None
    ) -> Tagged[EffectState]:
        """Once. The answer has the name by which it can be stopped before its end."""
        return await self._read(
            EffectState, "POST", path("rooms", room, "effects"), document, conditions=conditions_of(if_match)
        )

    async def start_effect(
        self, room: str, effect: str, document: EffectDocument, *, if_match: str | None = None
    ) -> Tagged[EffectState]:
        """Until it is stopped; a ring tone, say. One that plays under this name is changed."""
        return await self._read(
            EffectState, "PUT", path("rooms", room, "effects", effect), document, conditions=conditions_of(if_match)
        )

    async def stop_effect(self, room: str, effect: str, *, if_match: str | None = None) -> None:
        """Nothing happens when none of this name plays."""
        address = path("rooms", room, "effects", effect)
        await self._calls.call("DELETE", address, conditions=conditions_of(if_match))
