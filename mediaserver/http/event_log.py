"""The node's events as one stream of server-sent events, for room services that would rather read than be called.

It has the same events as webhooks (events.py says which there are) and can be resumed where it was left.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mediaserver.events import Event, PatternError, Types, to_wire
from mediaserver.http.auth import ReadsOf, require_reach
from mediaserver.http.describe import described, text
from mediaserver.http.media import EVENT_STREAM, require_accepts
from mediaserver.http.nodes import NodeOf
from mediaserver.http.problems import Problem, refusals
from mediaserver.node import ClosingError
from mediaserver.outbox import Cursor, Filter, Outbox
from mediaserver.schema_base import Name
from mediaserver.store import StateError

router = APIRouter(prefix="/v1", tags=["events"])

# A proxy between may close a connection on which nothing comes for a minute. Lower costs bytes for nothing.
HEARTBEAT_S = 15.0
# Each costs a connection and up to 10,000 positions of events.
STREAMS_PER_NODE = 64
_EXAMPLE = (
    'id: 6f1d2c3b.118\nevent: voicerooms.speaker.muted\ndata: {"specversion":"1.0","id":"k3v9x2m1/17",'
    '"source":"/v1/rooms/lobby","type":"voicerooms.speaker.muted","subject":"alice","time":"2025-11-25T21:00:00.125Z",'
    '"datacontenttype":"application/json","room":"lobby","sequence":"17","data":{"source":"host"}}\n\n'
)


@router.get(
    "/events",
    summary="Read the events of all rooms",
    response_class=StreamingResponse,
    operation_id="read_events",
    responses={
        200: described(
            "Each event's `data` is an [Event](#/components/schemas/Event), its `id` where to go on after it",
            content=text(EVENT_STREAM, _EXAMPLE),
        ),
        **refusals("not-acceptable", "shutting-down"),
    },
)
async def read(
    request: Request,
    node: NodeOf,
    key: ReadsOf,
    *,
    types: Annotated[
        str,
        Query(
            max_length=1024,
            description="Types or groups of them, with commas between; `*` for all",
            examples=["room.*,speaker.muted"],
        ),
    ] = "",
    room: Annotated[
        list[Name] | None, Query(max_length=100, description="Repeated: of these rooms alone; of all without it")
    ] = None,
    last_event_id: Annotated[
        str, Query(max_length=256, description="Where to go on, for clients that cannot set the header")
    ] = "",
    last_event_id_header: Annotated[
        str,
        Header(
            alias="Last-Event-ID",
            max_length=256,
            description="The `id` after which to go on, as an EventSource that reconnects sends it",
            examples=["6f1d2c3b.118"],
        ),
    ] = "",
) -> StreamingResponse:
    """Begins with what happens from now on, or after the event whose id is given. `voicerooms.gap` says where events
    are missing: the stream was left too long ago, or was read too slowly."""
    require_accepts(request, EVENT_STREAM)
    try:
        wanted = Types.parse(types.split(",") if types else ())
    except PatternError as error:
        raise Problem("invalid", str(error), errors=[{"in": ["query", "types"], "detail": str(error)}]) from None
    outbox = node.outbox
    if not node.ready:
        raise ClosingError
    if len(outbox.streams) >= STREAMS_PER_NODE:
        raise Problem("limit-reached", "The server has as many readers of events as it allows.")
    after = last_event_id_header or last_event_id or None
    for name in room or ():
        require_reach(request, key, name)
    cursor = await outbox.follow(Filter(wanted, frozenset(room).__contains__ if room else key.reaches), after)
    # X-Accel-Buffering: a proxy that collects events before it passes them on would make them late.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(outbox, cursor, node.clock, lambda: node.api_keys.get(key.id) == key, headers)


class _Stream(StreamingResponse):
    """Leaves its cursor however it ends: at its end, when the reader goes, and when it does not even begin."""

    def __init__(
        self,
        outbox: Outbox,
        cursor: Cursor,
        clock: Callable[[], float],
        may_go_on: Callable[[], bool],
        headers: Mapping[str, str],
    ) -> None:
        self._outbox = outbox
        self._cursor = cursor
        self._chunks = _chunks(outbox, cursor, clock, may_go_on)
        super().__init__(self._chunks, headers=headers, media_type=EVENT_STREAM)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._outbox.leave(self._cursor)
            await self._chunks.aclose()


async def _chunks(
    outbox: Outbox, cursor: Cursor, clock: Callable[[], float], may_go_on: Callable[[], bool]
) -> AsyncGenerator[str, None]:
    """The stream as text. The next batch is taken when the connection has taken the last: a slow reader falls behind,
    and what it is too far behind for is dropped by its cursor. It ends when its reader's key is removed or changed."""
    # A reader that is cut off before the first event goes on from here. An id without data is no event.
    if begin := outbox.place(cursor):
        yield f"id: {begin}\n\n"
    while True:
        try:
            batch = await asyncio.wait_for(outbox.take(cursor), HEARTBEAT_S)
        except TimeoutError:
            if not may_go_on():
                return
            # With where the log has come to, lest a reader of rare events resumes from a place that is forgotten.
            place = outbox.place(cursor)
            yield f":\nid: {place}\n\n" if place else ":\n\n"
            continue
        except StateError:
            return
        if batch is None or not may_go_on():
            return
        yield "".join(_text(outbox.id(position), event) for position, event in batch.with_gap("stream", clock()))
        cursor.done(batch)


def _text(identifier: str, event: Event) -> str:
    wire = to_wire(event)
    return f"id: {identifier}\nevent: {wire['type']}\ndata: {json.dumps(wire, separators=(',', ':'))}\n\n"
