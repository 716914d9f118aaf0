"""Music players in the control API: what they shall play, and where in it they are."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response

from mediaserver.document import show_player, wanted_player
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import ControlsOf, controls, reads
from mediaserver.http.describe import described, merge_patch
from mediaserver.http.idempotency import Repeatable, RepeatableOf
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import PlayerName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import refusals, validated
from mediaserver.keys import ApiKey
from mediaserver.merge import merge
from mediaserver.model import playing
from mediaserver.model.room import Room
from mediaserver.music.cues import Next, Play, Previous, Seek
from mediaserver.node import Node
from mediaserver.programme import player_column
from mediaserver.schema_programme import (
    PlayerDocument,
    PlayersState,
    PlayerStateDocument,
    PlayerStatus,
    PlayRequest,
    SeekRequest,
)

router = APIRouter(prefix="/v1/rooms/{room}", tags=["players"], dependencies=[Depends(require_json)])

_PLAYER: dict[int | str, dict[str, Any]] = {200: described("The player, and what it does", "ETag")}
_NEW = ("precondition-failed", "no-room", "seats-taken", "encrypted-room")
_KNOWN = ("precondition-failed", "no-room", "no-player")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Somebody asks a player to go somewhere."""

    request: Request
    room: Room
    player: str
    node: Node
    key: ApiKey
    repeatable: Repeatable

    async def ask(self, event: Play | Seek | Next | Previous) -> Response:
        async def make() -> Response:
            require(self.request, self.room)
            self.node.playback.ask_player(self.room, self.player, event)
            await self.node.settled()
            return answer(state_of(self.node, self.room, self.player), self.room)

        return await self.repeatable.answer(self.key.id, make)


async def _asking(
    *, key: ControlsOf, request: Request, room: RoomOf, player: PlayerName, node: NodeOf, repeatable: RepeatableOf
) -> _Asking:
    return _Asking(request, room, player, node, key, repeatable)


AskingOf = Annotated[_Asking, Depends(_asking)]


@router.get(
    "/players",
    summary="All music players",
    dependencies=[Depends(reads)],
    response_model=PlayersState,
    responses={200: described("All of them", "ETag"), **refusals("no-room")},
)
async def get_players(room: RoomOf, node: NodeOf) -> Response:
    return answer(PlayersState(players=[state_of(node, room, name) for name in sorted(room.programme.players)]), room)


@router.get(
    "/players/{player}",
    summary="A music player, and where it is",
    dependencies=[Depends(reads)],
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals("no-room", "no-player")},
)
async def get_player(room: RoomOf, player: PlayerName, node: NodeOf) -> Response:
    return answer(state_of(node, room, player), room)


@router.put(
    "/players/{player}",
    summary="Make a music player, or bring it to a document",
    dependencies=[Depends(controls)],
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_NEW)},
)
async def put_player(
    request: Request, room: RoomOf, player: PlayerName, node: NodeOf, document: PlayerDocument
) -> Response:
    """What the document leaves out gets its default. A track that is played goes on if it is still in the playlist."""
    require(request, room)
    node.playback.set_player(room, player, wanted_player(document, player))
    await node.settled()
    return answer(state_of(node, room, player), room)


@router.patch(
    "/players/{player}",
    summary="Change a music player by a merge patch: pause it, turn it down",
    dependencies=[Depends(controls)],
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_KNOWN)},
    openapi_extra={"requestBody": merge_patch("PlayerDocument", {"state": "paused", "volume_db": -6})},
)
async def patch_player(
    request: Request, room: RoomOf, player: PlayerName, node: NodeOf, patch: Annotated[Any, Body()] = None
) -> Response:
    """RFC 7396, of the player as `players` of the room's document has it."""
    require(request, room)
    before = show_player(room.player(player)).model_dump(mode="json", exclude_none=True)
    document = validated(PlayerDocument, merge(before, patch))
    node.playback.set_player(room, player, wanted_player(document, player))
    await node.settled()
    return answer(state_of(node, room, player), room)


@router.delete(
    "/players/{player}",
    summary="Remove a music player",
    dependencies=[Depends(controls)],
    status_code=204,
    responses={204: described("There is no such player", "ETag"), **refusals("precondition-failed", "no-room")},
)
async def delete_player(request: Request, room: RoomOf, player: PlayerName, node: NodeOf) -> Response:
    """Nothing happens when there is none."""
    require(request, room)
    node.change(room, playing.remove_player(room, player))
    await node.settled()
    return done(room)


@router.post(
    "/players/{player}/play",
    summary="Play on, or from a track and a position",
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_KNOWN, "no-track")},
)
async def play(asking: AskingOf, asked: PlayRequest | None = None) -> Response:
    """The player's `state` is `playing` from then on."""
    asked = asked or PlayRequest()
    return await asking.ask(Play(asked.track, asked.position_ms / 1000))


@router.post(
    "/players/{player}/seek",
    summary="Go to another place in the track that is played",
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_KNOWN)},
)
async def seek(asking: AskingOf, asked: SeekRequest) -> Response:
    """Nothing happens when nothing is played. Beyond the end is the end."""
    return await asking.ask(Seek(asked.position_ms / 1000))


@router.post(
    "/players/{player}/next",
    summary="Go to the next track",
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_KNOWN)},
)
async def next_track(asking: AskingOf) -> Response:
    """After the last it ends, unless all are repeated. Nothing happens when nothing is played."""
    return await asking.ask(Next())


@router.post(
    "/players/{player}/previous",
    summary="Go to the track before, or to the beginning of this one",
    response_model=PlayerStateDocument,
    responses={**_PLAYER, **refusals(*_KNOWN)},
)
async def previous_track(asking: AskingOf) -> Response:
    """To the beginning of this one after its first 3 s. Nothing happens when nothing is played."""
    return await asking.ask(Previous())


def state_of(node: Node, room: Room, name: str) -> PlayerStateDocument:
    """NoPlayerError when there is none."""
    spec = room.player(name)
    now = node.playback.jukebox.now(room.id, name)
    playing = node.playback.shown(room, name, now)
    return PlayerStateDocument(
        **show_player(spec).model_dump(),
        name=name,
        csrc=room.csrcs.of(player_column(name)),
        status=PlayerStatus(now.status),
        failure=now.failure or None,
        track=playing.track,
        position_ms=playing.position_ms,
        duration_ms=playing.duration_ms,
        at=playing.at,
        delay_ms=playing.delay_ms,
    )
