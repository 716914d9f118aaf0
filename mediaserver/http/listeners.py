"""Listeners in the control API: what each wants to hear otherwise than others do, for himself alone."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response

from mediaserver.document import ears_of, show_listener
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, self_or_controls, self_or_reads
from mediaserver.http.describe import described, merge_patch
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import UserName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import refusals, validated
from mediaserver.matrix import Ears
from mediaserver.merge import merge
from mediaserver.model import rows
from mediaserver.schema import ListenerDocument

router = APIRouter(
    prefix="/v1/rooms/{room}",
    tags=["listeners"],
    dependencies=[Depends(require_json)],
)

_WISHES: dict[int | str, dict[str, Any]] = {200: described("What the listener wants", "ETag")}


@router.get(
    "/listeners/{user}",
    summary="What a listener wants for himself",
    dependencies=[Depends(self_or_reads)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    response_model=ListenerDocument,
    responses={**_WISHES, **refusals("no-room")},
)
async def get_listener(room: RoomOf, user: UserName) -> Response:
    """The participant's own bearer token will do."""
    return answer(show_listener(room.ears.get(user, Ears())), room)


@router.put(
    "/listeners/{user}",
    summary="Turn others down, up or off, for this listener alone",
    dependencies=[Depends(self_or_controls)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    response_model=ListenerDocument,
    responses={**_WISHES, **refusals("precondition-failed", "no-room", "mixes-taken")},
)
async def put_listener(
    request: Request, room: RoomOf, user: UserName, node: NodeOf, wishes: ListenerDocument
) -> Response:
    """The participant's own bearer token will do. In force on the mix while the room lives. 409 when listeners want too
    many different things."""
    require(request, room)
    node.change(room, rows.set_ears(room, user, ears_of(wishes)))
    await node.settled()
    return answer(show_listener(room.ears.get(user, Ears())), room)


@router.patch(
    "/listeners/{user}",
    summary="Change what a listener wants by a merge patch",
    dependencies=[Depends(self_or_controls)],
    response_model=ListenerDocument,
    responses={**_WISHES, **refusals("precondition-failed", "no-room", "mixes-taken")},
    openapi_extra={
        **BY_SERVICE_OR_PARTICIPANT,
        "requestBody": merge_patch("ListenerDocument", {"user_gains_db": {"carol": None}}),
    },
)
async def patch_listener(
    request: Request, room: RoomOf, user: UserName, node: NodeOf, patch: Annotated[Any, Body()] = None
) -> Response:
    """RFC 7396. The participant's own bearer token will do."""
    require(request, room)
    before = show_listener(room.ears.get(user, Ears())).model_dump(mode="json")
    wishes = validated(ListenerDocument, merge(before, patch))
    node.change(room, rows.set_ears(room, user, ears_of(wishes)))
    await node.settled()
    return answer(show_listener(room.ears.get(user, Ears())), room)


@router.delete(
    "/listeners/{user}",
    summary="The listener wants nothing of his own any more",
    dependencies=[Depends(self_or_controls)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    status_code=204,
    responses={204: described("He wants nothing", "ETag"), **refusals("precondition-failed", "no-room")},
)
async def delete_listener(request: Request, room: RoomOf, user: UserName, node: NodeOf) -> Response:
    """The participant's own bearer token will do."""
    require(request, room)
    node.change(room, rows.set_ears(room, user, Ears()))
    await node.settled()
    return done(room)
