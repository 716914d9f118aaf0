"""The node's events, as they happen and without end: who is cut off goes on where he was."""

import json
import random
import time
from asyncio import sleep
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

import httpx

from mediaserver.client.calls import Calls, Query, path
from mediaserver.client.errors import BadAnswerError, CallError, Refused
from mediaserver.client.patience import Patience
from mediaserver.client.sse import Message, Parser
from mediaserver.events import PREFIX, Event

SILENCE_S = 45.0
"""A stream without even a comment for so long is dead; the server sends one each 15 s. Less takes a slow network for a
dead one, more notices later."""

RECONNECTING = Patience(first_wait_s=0.5, longest_wait_s=30.0)
"""Only its waits: a stream that was there once is not given up."""

EVENT_STREAM = "text/event-stream"
_PASSING = (408, 409, 429)  # of refusals below 500, which would else be repeated for ever


@dataclass(frozen=True, slots=True)
class StreamEvent(Event):
    """An event, and its `position` in the stream: what events() is to be given to go on after it.

    `type` is without the prefix that all have, as mediaserver/events.py lists them; one that is not there is of a newer
    server. `gap` says that `dropped` events are missing before it; it is about no room.
    """

    position: str


async def follow(
    calls: Calls, query: Query, last_event_id: str | None, waits: Patience = RECONNECTING
) -> AsyncGenerator[StreamEvent, None]:
    """The first connection is tried as any call is. CallError when it does not come about, or when a later one is
    refused for good: because the key is not known any more, say."""
    position, failures, connected, began = last_event_id or "", 0, False, time.monotonic()
    while True:
        parser = Parser(position)
        headers = {"Accept": EVENT_STREAM} | ({"Last-Event-ID": position} if position else {})
        failure: CallError | None = None  # when the server ends the stream: it restarts
        try:
            async with calls.stream(path("events"), query=query, headers=headers, silence_s=SILENCE_S) as response:
                if response.headers.get("Content-Type", "").partition(";")[0] != EVENT_STREAM:
                    raise BadAnswerError("The answer is no stream of events.")
                connected = True
                async for chunk in response.aiter_bytes():
                    for message in _messages(parser, chunk):
                        event = parse(message)
                        position, failures = event.position, 0
                        yield event
                    position = parser.last_id
        except (httpx.RequestError, TimeoutError) as error:
            failure = calls.unreachable(error)
        except Refused as refused:
            if refused.status < 500 and refused.status not in _PASSING:
                raise
            failure = refused
        failures += 1
        at_least_s = (failure.retry_after_s if isinstance(failure, Refused) else parser.retry_s) or 0.0
        wait_s: float | None = at_least_s + waits.backoff_s(failures, random.random())
        if not connected:
            wait_s = calls.patience.wait_s(failures, time.monotonic() - began, at_least_s, random.random())
        if wait_s is None:
            raise failure or BadAnswerError("The stream of events ended before it began.")
        await sleep(wait_s)


def parse(message: Message) -> StreamEvent:
    """From the wire form (events.to_wire). BadAnswerError when it is none."""
    try:
        wire = json.loads(message.data)
        instance, _, number = wire["id"].rpartition("/")
        return StreamEvent(
            room=wire.get("room", ""),
            instance=instance,
            sequence=int(wire.get("sequence", number)),
            type=wire["type"].removeprefix(PREFIX),
            user=wire.get("subject"),
            time=datetime.fromisoformat(wire["time"]).timestamp(),
            data=wire["data"],
            position=message.id,
        )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise BadAnswerError("An event of the stream is not one that this client understands.") from None


def _messages(parser: Parser, chunk: bytes) -> list[Message]:
    try:
        return parser.feed(chunk)
    except ValueError as error:
        raise BadAnswerError(str(error)) from None
