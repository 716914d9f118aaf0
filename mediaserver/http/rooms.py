"""Rooms in the control API: the document that a room shall have, and rooms at a glance."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response

from mediaserver.document import show
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import ControlsOf, ReadsOf, controls, reads
from mediaserver.http.describe import described, merge_patch
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paging import Cursor, Limit, page
from mediaserver.http.paths import RoomName
from mediaserver.http.preconditions import is_unchanged, require
from mediaserver.http.problems import Problem, problem_of, refusals, validated
from mediaserver.merge import merge
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.node import Node
from mediaserver.schema import (
    MixState,
    PutResult,
    PutResults,
    RoomDocument,
    RoomPage,
    Rooms,
    RoomState,
    ScenarioName,
)
from mediaserver.schema_base import Name

router = APIRouter(prefix="/v1", tags=["rooms"], dependencies=[Depends(require_json)])

ROOMS_PER_TURN = 20  # of a bulk put, between which others get their turn
_PUT = ("encrypted-room", "mixes-taken", "seats-taken")
_NEW = ("overloaded", "draining", "shutting-down")  # also limit-reached, which is everywhere


@router.get(
    "/rooms",
    summary="Rooms at a glance",
    response_model=RoomPage,
    responses={200: described("A page of rooms"), **refusals()},
)
async def get_rooms(
    node: NodeOf,
    key: ReadsOf,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    prefix: Annotated[str, Query(max_length=256, description="Names that begin so")] = "",
    user: Annotated[Name | None, Query(description="Rooms in which this user has a seat or is connected")] = None,
    active: Annotated[bool | None, Query(description="Rooms in which somebody is connected, or nobody")] = None,
    scenario: Annotated[ScenarioName | None, Query(description="Rooms of this scenario")] = None,
) -> Response:
    """By name, a page at a time; of those that the key reaches."""

    def is_meant(room: Room) -> bool:
        return (
            room.name.startswith(prefix)
            and key.reaches(room.name)
            and (user is None or user in room.speakers or user in room.participants)
            and (active is None or active == bool(room.participants))
            and (scenario is None or scenario.value == room.scenario.value)
        )

    names = sorted(room.name for room in node.rooms.values() if is_meant(room))
    chosen, following = page(names, cursor, limit)
    return answer(RoomPage(rooms=[state_of(node, node.rooms[name]) for name in chosen], next=following))


@router.put(
    "/rooms", summary="Put many rooms", response_model=PutResults, responses={200: described("What became of each")}
)
async def put_rooms(node: NodeOf, key: ControlsOf, many: Rooms) -> Response:
    """Each as by a PUT of its own; one that is refused does not keep the others from being put. Rooms that are not
    named stay as they are."""
    results: dict[str, PutResult] = {}
    for number, (name, document) in enumerate(many.rooms.items(), 1):
        try:
            if not key.reaches(name):
                raise Problem("forbidden", "The API key does not reach this room.")
            room, is_new = node.put_room(name, document)
            results[name] = PutResult(status=201 if is_new else 200, etag=room.etag)
        except Exception as error:
            problem = problem_of(error)
            results[name] = PutResult(status=problem.kind.status, problem=problem.document())
        if number % ROOMS_PER_TURN == 0:
            await asyncio.sleep(0)
    await node.settled()
    return answer(PutResults(rooms=results))


@router.get(
    "/rooms/{room}",
    summary="The document of a room",
    dependencies=[Depends(reads)],
    response_model=RoomDocument,
    responses={
        200: described("The document", "ETag"),
        304: described("It is still as If-None-Match names it", "ETag"),
        **refusals("no-room"),
    },
)
async def get_room(request: Request, room: RoomOf) -> Response:
    if is_unchanged(request, room.etag):
        return Response(status_code=304, headers={"ETag": room.etag})
    return answer(show(room), room)


@router.put(
    "/rooms/{room}",
    summary="Make a room, or bring it to a document",
    dependencies=[Depends(controls)],
    response_model=RoomDocument,
    responses={
        200: described("The document of the room, which was there", "ETag"),
        201: described("The document of the room, which is new", "ETag", model=RoomDocument),
        **refusals("precondition-failed", *_PUT, *_NEW),
    },
)
async def put_room(request: Request, room: RoomName, node: NodeOf, document: RoomDocument | None = None) -> Response:
    """What the document leaves out gets its default; only what belongs to participants (their `self` mutes, what
    listeners want for themselves) stays where it is not named. Without a body an existing room stays as it is."""
    known = node.rooms.get(room)
    require(request, known)
    found, is_new = node.open_room(room) if document is None else node.put_room(room, document)
    await node.settled()
    return answer(show(found), found, 201 if is_new else 200)


@router.patch(
    "/rooms/{room}",
    summary="Change a room by a merge patch of its document",
    dependencies=[Depends(controls)],
    response_model=RoomDocument,
    responses={
        200: described("The document as it is now", "ETag"),
        **refusals("precondition-failed", "no-room", *_PUT),
    },
    openapi_extra={
        "requestBody": merge_patch("RoomDocument", {"speakers": {"alice": {"mutes": {"host": True}}, "bob": None}})
    },
)
async def patch_room(request: Request, room: RoomOf, node: NodeOf, patch: Annotated[Any, Body()] = None) -> Response:
    """RFC 7396. The result is put exactly, what belongs to participants included."""
    require(request, room)
    before = show(room).model_dump(mode="json", exclude_none=True)
    node.patch_room(room, validated(RoomDocument, merge(before, patch)))
    await node.settled()
    return answer(show(room), room)


@router.delete(
    "/rooms/{room}",
    summary="Close a room and all its sessions",
    dependencies=[Depends(controls)],
    status_code=204,
    responses={204: described("There is no room"), **refusals("precondition-failed")},
)
async def delete_room(request: Request, room: RoomName, node: NodeOf) -> Response:
    """Nothing happens when there is none."""
    known = node.rooms.get(room)
    require(request, known)
    node.close_room(room)
    await node.settled()
    return done()


def state_of(node: Node, room: Room) -> RoomState:
    population = node.census.population(room)
    lost = [node.census.of(peer).stats.fraction_lost for peer in _peers(room)]
    levels = node.observer.levels(room)
    return RoomState(
        name=room.name,
        etag=room.etag,
        instance=room.instance,
        scenario=ScenarioName(room.scenario),
        mix=MixState.model_validate(room.mix, from_attributes=True),
        e2ee=room.e2ee,
        speakers=len(room.speakers),
        participants=len(room.participants),
        publishing=population[Direction.PUBLISH],
        listening=population[Direction.LISTEN],
        talking=sorted(user for user, level in levels.items() if level.speaking and room.speakers[user].heard),
        fraction_lost=round(sum(lost) / len(lost), 4) if lost else 0.0,
        metadata=dict(room.metadata),
    )


def _peers(room: Room) -> Iterator[int]:
    for participant in room.participants.values():
        yield from participant.peers.values()
