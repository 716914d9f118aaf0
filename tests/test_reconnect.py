"""Clients that vanish and come back: the room service is told, and who comes back finds everything as it was."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from mediaserver.client import MediaServer, StreamEvent
from mediaserver.settings import DEVELOPMENT_KEY
from tests.client import until
from tests.control import Control
from tests.server import Server
from tests.test_rooms import ANN_HZ, connected, hears

CONSENT_S = 30.0  # RFC 7675 section 5.1


@asynccontextmanager
async def told(server: Server, room: str) -> AsyncIterator[list[StreamEvent]]:
    """What the room service is told of the room, as it comes."""
    events: list[StreamEvent] = []
    note = events.append

    async def read() -> None:
        async with (
            MediaServer(server.url, *DEVELOPMENT_KEY) as service,
            aclosing(service.events(rooms=[room])) as stream,
        ):
            async for event in stream:
                note(event)

    reading = asyncio.create_task(read())
    try:
        yield events
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def of(events: list[StreamEvent], user: str) -> list[str]:
    return [event.type for event in events if event.user == user and event.type.startswith("participant.")]


async def test_who_vanishes_is_missed_within_seconds_and_has_left_when_consent_expires(
    server: Server, control: Control, room: str
) -> None:
    async with told(server, room) as events, await control.speak(room, "ann", ANN_HZ) as ann:
        await connected(ann)
        await until(lambda: of(events, "ann") == ["participant.joined"])
        await ann.vanish()
        await until(lambda: of(events, "ann")[-1] == "participant.reconnecting", within_s=12)
        await until(lambda: of(events, "ann")[-1] == "participant.left", within_s=CONSENT_S)
        (left,) = [event for event in events if event.type == "participant.left"]
        assert left.data == {"reason": "consent-expired"}
        assert "ann" not in await control.participants(room)
        assert "ann" in (await control.call("GET", "rooms", room))["speakers"]  # the seat stays


async def test_who_comes_back_in_time_has_never_left_and_finds_mutes_and_gains_as_they_were(
    server: Server, control: Control, room: str
) -> None:
    async with told(server, room) as events, await control.listen(room, "eve", slots=1) as eve:
        async with await control.speak(room, "ann", ANN_HZ) as ann:
            await connected(ann, eve)
            await hears(eve, ANN_HZ)
            await control.mute(room, "ann", "host")
            await control.call("PATCH", "rooms", room, json={"speakers": {"ann": {"gain_db": -6.0, "seat": 4}}})
            await ann.vanish()
            await until(lambda: of(events, "ann")[-1] == "participant.reconnecting", within_s=12)
        async with await control.come_back(room, "ann", ANN_HZ) as again:
            await connected(again)
            await until(lambda: of(events, "ann")[-1] == "participant.reconnected")
            seat = await control.call("GET", "rooms", room, "speakers", "ann")
            assert (seat["gain_db"], seat["seat"], seat["mutes"], seat["heard"]) == (-6.0, 4, {"host": True}, False)
            eve.clear()
            await until(lambda: again.sent > 25)
            assert not eve.slots[0].packets
            await control.unmute(room, "ann", "host")
            await hears(eve, ANN_HZ)
            assert "participant.left" not in of(events, "ann")
