"""Speakers in the control API: seats, and who mutes whom. Shorthands for patches of the room's document."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response

from mediaserver.document import seat_of, show_speaker, speaker_fields, wanted_mutes, wanted_speaker
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, controls, muter, reads
from mediaserver.http.describe import described, merge_patch
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paging import Cursor, Limit, page
from mediaserver.http.paths import MuteSourcePath, UserName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import refusals, validated
from mediaserver.merge import merge
from mediaserver.model import seats
from mediaserver.model.people import MuteSource
from mediaserver.model.room import Room
from mediaserver.schema import SpeakerDocument, SpeakerPage, SpeakerState

router = APIRouter(prefix="/v1/rooms/{room}", tags=["speakers"], dependencies=[Depends(require_json)])

_SEAT: dict[int | str, dict[str, Any]] = {200: described("The seat", "ETag")}


@router.get(
    "/speakers",
    summary="All seats",
    dependencies=[Depends(reads)],
    response_model=SpeakerPage,
    responses={200: described("A page of seats", "ETag"), **refusals("no-room")},
)
async def get_speakers(room: RoomOf, limit: Limit = 100, cursor: Cursor = "") -> Response:
    """By name, a page at a time."""
    names, following = page(sorted(room.speakers), cursor, limit)
    return answer(SpeakerPage(speakers=[_state(room, user) for user in names], next=following), room)


@router.get(
    "/speakers/{user}",
    summary="A seat",
    dependencies=[Depends(reads)],
    response_model=SpeakerState,
    responses={**_SEAT, **refusals("no-room", "no-speaker")},
)
async def get_speaker(room: RoomOf, user: UserName) -> Response:
    return answer(_state(room, user), room)


@router.put(
    "/speakers/{user}",
    summary="Give a seat, or change it",
    dependencies=[Depends(controls)],
    response_model=SpeakerState,
    responses={**_SEAT, **refusals("precondition-failed", "no-room", "seats-taken")},
)
async def put_speaker(
    request: Request, room: RoomOf, user: UserName, node: NodeOf, document: SpeakerDocument | None = None
) -> Response:
    """What the document leaves out gets its default, but mutes that it does not name stay. Without a body an existing
    seat stays as it is."""
    require(request, room)
    known = room.speakers.get(user)
    if document is not None or known is None:
        document = document or SpeakerDocument()
        mutes = dict.fromkeys(known.mutes, True) if known else {}
        named = {MuteSource(source): is_set for source, is_set in document.mutes.items()}
        node.take_seat(room, user, seat_of(document, wanted_mutes(mutes | named)))
    await node.settled()
    return answer(_state(room, user), room)


@router.patch(
    "/speakers/{user}",
    summary="Change a seat by a merge patch",
    dependencies=[Depends(controls)],
    response_model=SpeakerState,
    responses={**_SEAT, **refusals("precondition-failed", "no-room", "no-speaker", "seats-taken")},
    openapi_extra={"requestBody": merge_patch("SpeakerDocument", {"gain_db": -3, "seat": None})},
)
async def patch_speaker(
    request: Request, room: RoomOf, user: UserName, node: NodeOf, patch: Annotated[Any, Body()] = None
) -> Response:
    """RFC 7396, of the seat as `speakers` of the room's document has it."""
    require(request, room)
    known = room.speaker(user)
    before = show_speaker(known).model_dump(mode="json", exclude_none=True)
    document = validated(SpeakerDocument, merge(before, patch))
    node.take_seat(room, user, wanted_speaker(document, known, exact=True))
    await node.settled()
    return answer(_state(room, user), room)


@router.delete(
    "/speakers/{user}",
    summary="Take a seat: the publishing session ends, mutes are forgotten",
    dependencies=[Depends(controls)],
    status_code=204,
    responses={204: described("There is no seat", "ETag"), **refusals("precondition-failed", "no-room")},
)
async def delete_speaker(request: Request, room: RoomOf, user: UserName, node: NodeOf) -> Response:
    """Nothing happens when there is none."""
    require(request, room)
    node.change(room, seats.remove(room, user))
    await node.settled()
    return done(room)


@router.put(
    "/speakers/{user}/mutes/{source}",
    summary="Mute a speaker, by this source",
    dependencies=[Depends(muter)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    response_model=SpeakerState,
    responses={**_SEAT, **refusals("precondition-failed", "no-room", "no-speaker")},
)
async def put_mute(request: Request, room: RoomOf, user: UserName, source: MuteSourcePath, node: NodeOf) -> Response:
    """With `self`, the participant's own bearer token will do."""
    require(request, room)
    node.change(room, seats.mute(room, user, source))
    await node.settled()
    return answer(_state(room, user), room)


@router.delete(
    "/speakers/{user}/mutes/{source}",
    summary="Undo the mute of this source",
    dependencies=[Depends(muter)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
    response_model=SpeakerState,
    responses={**_SEAT, **refusals("precondition-failed", "no-room", "no-speaker")},
)
async def delete_mute(request: Request, room: RoomOf, user: UserName, source: MuteSourcePath, node: NodeOf) -> Response:
    """With `self`, the participant's own bearer token will do. The speaker is heard when no source is left."""
    require(request, room)
    node.change(room, seats.unmute(room, user, source))
    await node.settled()
    return answer(_state(room, user), room)


def _state(room: Room, user: str) -> SpeakerState:
    """NoSeatError when there is none."""
    speaker = room.speaker(user)
    return SpeakerState(user=user, csrc=room.csrcs.of(user), heard=speaker.heard, **speaker_fields(speaker))
