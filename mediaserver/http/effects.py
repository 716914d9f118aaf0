"""Sound effects in the control API."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from mediaserver.document import show_effect, wanted_effect
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import ControlsOf, controls, reads
from mediaserver.http.describe import described
from mediaserver.http.idempotency import RepeatableOf
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import EffectName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import refusals
from mediaserver.model import playing
from mediaserver.programme import EffectSpec
from mediaserver.schema_programme import EffectDocument, EffectsState, EffectState, SoundsState

router = APIRouter(prefix="/v1", tags=["effects"], dependencies=[Depends(require_json)])

_EFFECT: dict[int | str, dict[str, Any]] = {200: described("The effect", "ETag")}
_REFUSED = ("precondition-failed", "no-room", "no-sound", "seats-taken", "encrypted-room")


@router.get(
    "/sounds",
    summary="Sounds that effects can play",
    dependencies=[Depends(reads)],
    response_model=SoundsState,
    responses={200: described("The built-in pack")},
)
async def get_sounds(node: NodeOf) -> Response:
    """Beside these, short pieces of the library."""
    return answer(SoundsState(sounds=node.playback.sounds.names))


@router.get(
    "/rooms/{room}/effects",
    summary="The effects that play now",
    dependencies=[Depends(reads)],
    response_model=EffectsState,
    responses={200: described("All of them", "ETag"), **refusals("no-room")},
)
async def get_effects(room: RoomOf) -> Response:
    return answer(
        EffectsState(effects=[_state(name, spec) for name, spec in sorted(room.programme.effects.items())]), room
    )


@router.post(
    "/rooms/{room}/effects",
    summary="Play an effect once",
    status_code=201,
    response_model=EffectState,
    responses={201: described("It plays", "ETag", model=EffectState), **refusals(*_REFUSED)},
)
async def post_effect(
    *,
    key: ControlsOf,
    request: Request,
    room: RoomOf,
    node: NodeOf,
    document: EffectDocument,
    repeatable: RepeatableOf,
) -> Response:
    """From the next tick on, at most 20 ms later; a piece of the library once it is decoded, when it is asked for the
    first time. It is of the moment: the room's document does not have it."""

    async def make() -> Response:
        require(request, room)
        name = node.playback.play_effect(room, wanted_effect(document, repeat=False))
        spec = room.programme.effects[name]  # a short one may be over when all is written down
        await node.settled()
        return answer(_state(name, spec), room, 201)

    return await repeatable.answer(key.id, make)


@router.put(
    "/rooms/{room}/effects/{effect}",
    summary="Play an effect until it is stopped, or change its gain",
    dependencies=[Depends(controls)],
    response_model=EffectState,
    responses={**_EFFECT, **refusals(*_REFUSED, "effect-taken")},
)
async def put_effect(
    request: Request, room: RoomOf, effect: EffectName, node: NodeOf, document: EffectDocument
) -> Response:
    """A ring tone for one callee, for example. It is in the room's document, under this name."""
    require(request, room)
    node.playback.start_effect(room, effect, wanted_effect(document, repeat=True))
    spec = room.programme.effects[effect]
    await node.settled()
    return answer(_state(effect, spec), room)


@router.delete(
    "/rooms/{room}/effects/{effect}",
    summary="Stop an effect",
    dependencies=[Depends(controls)],
    status_code=204,
    responses={204: described("There is no such effect", "ETag"), **refusals("precondition-failed", "no-room")},
)
async def delete_effect(request: Request, room: RoomOf, effect: EffectName, node: NodeOf) -> Response:
    """Nothing happens when there is none."""
    require(request, room)
    node.change(room, playing.stop_effect(room, effect))
    await node.settled()
    return done(room)


def _state(name: str, spec: EffectSpec) -> EffectState:
    return EffectState(**show_effect(spec).model_dump(), id=name, repeat=spec.repeat)
