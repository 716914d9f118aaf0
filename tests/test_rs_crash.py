"""An instance is killed at each point between a command and its last effect; whoever comes next loses and doubles
nothing."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.commit import Numbered
from roomservice.hub import Item
from roomservice.instance import Instance
from roomservice.model.attendance import Enter, Kick
from roomservice.push.both import PushByAll
from roomservice.storage.sql import SqlStorage
from tests.client import until
from tests.crashing import COMMAND_POINTS, TIMER_POINTS, Noted

ENTERED = ["room_created", "attendee_entered", "seat_taken"]


def crash(point: str, url: str, calls: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.crashing", point, url, str(calls)], check=False, capture_output=True, timeout=60
    )
    assert ended.returncode == -9, ended.stderr.decode()


def told(calls: Path) -> list[list[object]]:
    return [json.loads(line) for line in calls.read_text().splitlines()]


@pytest.mark.parametrize("point", [*COMMAND_POINTS, *TIMER_POINTS])
async def test_what_an_instance_left_when_it_was_killed_is_done_once_by_the_next(point: str, tmp_path: Path) -> None:
    url, calls = f"sqlite:///{tmp_path}/rooms.db", tmp_path / "calls"
    await asyncio.to_thread(crash, point, url, calls)
    storage = SqlStorage(url)
    await storage.start()
    heard: list[Numbered] = []

    def receive(item: Item) -> None:
        assert isinstance(item, Numbered)
        heard.append(item)

    # Its clock is ahead, so that nobody waits for the leases of who is dead.
    instance = Instance(storage, LocalBus(), Noted(calls), PushByAll([]), lambda: time.time() + 60)
    try:
        joined = await instance.hub.join("ann", "phone", receive, {"user:ann": 0, "room:r": 0})
        assert joined.reload == ()
        joined.begin()
        await instance.start()
        if point == "before commit":
            assert "bob" in (await instance.engine.read(ROOM, "r")).room.attendees, "it has not happened"
            await instance.engine.change(ROOM, "r", lambda _: [Kick("ann", "bob")])

        async def rests() -> bool:
            return await storage.next_due() is None

        async with asyncio.timeout(20):
            while not await rests():  # noqa: ASYNC110 - the storage has no events
                await asyncio.sleep(0.02)
        ends = ["attendee_lost", "attendee_left"] if point in TIMER_POINTS else ["attendee_left"]
        in_room = (await storage.events("room:r", 0, 100)).events
        assert [event.name for event in in_room] == [*ENTERED, *ends]
        assert [event.seq for event in in_room] == list(range(1, len(in_room) + 1))
        await until(
            lambda: [event for event in heard if event.stream == "room:r"] == list(in_room), say="ann hears all"
        )
        room = (await instance.engine.read(ROOM, "r")).room
        assert [seat.user for seat in room.seats[:2]] == ["ann", None]
        assert await storage.streams_of("bob") == {}
        expelled = [event.name for event in (await storage.events("user:bob", 0, 100)).events]
        left = ["stream_followed", "stream_left"]
        assert expelled == (left if point in TIMER_POINTS else ["stream_followed", "expelled", "stream_left"])
        puts = [call for call in told(calls) if call[0] == "put"]
        assert puts[-1] == ["put", "r", ["ann"]]
        cuts = [call for call in told(calls) if call[0] == "cut off"]
        assert len({str(call) for call in cuts}) == 1, "all by the same key"
    finally:
        await instance.stop()
        await storage.close()


async def test_who_came_back_before_the_next_instance_did_its_work_is_not_cut_off_again(tmp_path: Path) -> None:
    """The kick was carried out, and who did it died before he could say so; meanwhile bob was let in again."""
    url, calls = f"sqlite:///{tmp_path}/rooms.db", tmp_path / "calls"
    await asyncio.to_thread(crash, "after media", url, calls)
    storage = SqlStorage(url)
    await storage.start()
    instance = Instance(storage, LocalBus(), Noted(calls), PushByAll([]), lambda: time.time() + 60)
    try:
        before = len([call for call in told(calls) if call[0] == "cut off"])
        await instance.engine.change(ROOM, "r", lambda _: [Enter("bob")])
        await instance.start()
        async with asyncio.timeout(20):
            while await storage.next_due() is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert len([call for call in told(calls) if call[0] == "cut off"]) == before
    finally:
        await instance.stop()
        await storage.close()
