"""Server-sent events of a WHEP session (draft-ietf-wish-whep, extension "server-sent events").

The player posts the events it wants to the linked address, and reads the stream that it is given. feed.py says which
events there are.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Body, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from mediaserver.feed import EVENTS, LEVELS_EVERY_MS, LEVELS_GRID_MS, LONGEST_LEVELS_MS, EventName, Subscription
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, SessionOf, session_at
from mediaserver.http.describe import described, text
from mediaserver.http.media import EVENT_STREAM, require_accepts, require_json
from mediaserver.http.nodes import NodeOf, existing_room
from mediaserver.http.paths import RoomName, SessionId
from mediaserver.http.problems import Problem, refusals
from mediaserver.http.whip import session_path
from mediaserver.node import Node
from mediaserver.schema_base import Document
from mediaserver.sessions import Session

router = APIRouter(tags=["media"])

# A proxy between may close a connection on which nothing comes for a minute. Lower costs bytes for nothing.
HEARTBEAT_S = 15.0


async def _listening(request: Request, room: RoomName, session: SessionId, node: NodeOf) -> Session:
    """The session of a stream's address, without credentials: who knows the address may read."""
    found = session_at(request, node, room, session)
    if found is None:
        existing_room(node, room)
        raise _gone()
    return found


class StreamWish(Document):
    """What a reader wants to be told, and how often."""

    events: list[EventName] | None = Field(default=None, description="All, when absent", examples=[["levels"]])
    levels_every_ms: int = Field(
        default=LEVELS_EVERY_MS,
        ge=LEVELS_GRID_MS,
        le=LONGEST_LEVELS_MS,
        multiple_of=LEVELS_GRID_MS,
        description="In ms, between two `levels` while somebody speaks; who begins or ends to is told at once",
        examples=[100],
    )


_EXAMPLE = 'event: levels\ndata: {"levels": {"ann": -31.5}, "speaking": ["ann"]}\n\n'

StreamId = Annotated[str, Path(description="The last part of the stream's address", examples=["bU9sYk1xQm5ZQ2ZhYg"])]
ListeningOf = Annotated[Session, Depends(_listening)]


@router.post(
    "/whep/{room}/{session}/sse",
    summary="Create an event stream",
    status_code=201,
    response_class=Response,
    operation_id="create_event_stream",
    responses={
        201: described(
            "Location is the stream; it needs no credentials, its address is the secret", "Location", "Cache-Control"
        ),
        **refusals("no-room", "no-session", "streams-taken"),
    },
    dependencies=[Depends(require_json)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
)
async def create(
    session: SessionOf,
    node: NodeOf,
    wanted: Annotated[
        list[EventName] | StreamWish | None,
        Body(
            description="The events wanted, as the draft has it, or more of a wish; all without a body",
            examples=[["sources", "levels"], {"events": ["levels"], "levels_every_ms": 100}],
        ),
    ] = None,
) -> Response:
    wish = wanted if isinstance(wanted, StreamWish) else StreamWish(events=wanted)
    events = EVENTS if wish.events is None else wish.events
    stream = node.streams.create(session.id, events, wish.levels_every_ms)
    headers = {"Location": f"{session_path(session)}/sse/{stream}", "Cache-Control": "no-store"}
    return Response(status_code=201, headers=headers)


@router.get(
    "/whep/{room}/{session}/sse/{stream}",
    summary="Read an event stream",
    response_class=StreamingResponse,
    operation_id="read_event_stream",
    responses={
        200: described("The events that were asked for", "Cache-Control", content=text(EVENT_STREAM, _EXAMPLE)),
        **refusals("no-room", "no-session", "not-acceptable"),
    },
)
async def read(request: Request, session: ListeningOf, stream: StreamId, node: NodeOf) -> StreamingResponse:
    """Begins with the whole state, whenever it is read. A newer reader takes the place of an older one."""
    require_accepts(request, EVENT_STREAM)
    subscription = node.streams.read(session.room, session.id, stream)
    if subscription is None:
        raise _gone()
    node.observer.greet(session)
    # X-Accel-Buffering: a proxy that collects events before it passes them on would make them late.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(node, session, subscription), headers=headers, media_type=EVENT_STREAM)


@router.delete(
    "/whep/{room}/{session}/sse/{stream}",
    summary="End an event stream",
    response_class=Response,
    operation_id="delete_event_stream",
    responses={200: described("It has ended"), **refusals("no-room", "no-session")},
)
async def delete(session: ListeningOf, stream: StreamId, node: NodeOf) -> Response:
    if not node.streams.delete(session.room, session.id, stream):
        raise _gone()
    return Response(status_code=200)


async def _lines(node: Node, session: Session, subscription: Subscription) -> AsyncIterator[str]:
    """The stream as text; a comment when nothing has happened for a while."""
    try:
        while True:
            try:
                event = await asyncio.wait_for(subscription.get(), HEARTBEAT_S)
            except TimeoutError:
                yield ":\n\n"
                continue
            if event is None:
                return
            yield f"event: {event[0]}\ndata: {event[1]}\n\n"
    finally:
        node.streams.stop_reading(session.room, subscription)


def _gone() -> Problem:
    return Problem("no-session", "There is no such event stream: it or its session has ended.")
