"""Two instances with PostgreSQL and Redis, clients split over them: as one service, whichever part of it is killed."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests import databases
from tests.rpc import Rpc
from tests.server import Server
from tests.stage import People
from tests.test_rooms import ANN_HZ, BOB_HZ, hears, loudness
from tests.test_rs_serve import Process


@dataclass
class Two:
    """The instances, and people at each; all know the same secret."""

    processes: list[Process]
    people: list[People]
    database: databases.Program
    redis: databases.Program

    async def move(self, client: Rpc, user: str, stack: AsyncExitStack) -> Rpc:
        """Comes back at the other instance, where he had got to."""
        token = await self.people[1].token(user)
        return await stack.enter_async_context(Rpc(self.processes[1].url, token, resume=client.seen))

    async def is_ready(self, number: int) -> str:
        async with httpx.AsyncClient(timeout=20) as http:
            return (await http.get(f"{self.processes[number].url}/readyz")).text

    async def until_ready(self) -> None:
        async with asyncio.timeout(20):
            while [await self.is_ready(number) for number in range(2)] != ["ready\n"] * 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@asynccontextmanager
async def two(
    database: databases.Program, redis: databases.Program, media_url: str, directory: Path
) -> AsyncIterator[Two]:
    url = await databases.emptied(database.url)
    options = ["--storage", url, "--redis", redis.url, "--sign-up", "open", "--secret", "x" * 32]
    processes: list[Process] = []
    try:
        for number in range(2):
            (directory / str(number)).mkdir()
            processes.append(Process(directory / str(number), media_url, *options))
        async with People(processes[0].url) as first, People(processes[1].url) as second:
            yield Two(processes, [first, second], database, redis)
    finally:
        for process in processes:
            process.kill()
            print(process.log.read_text())
    for process in processes:
        assert not re.search("ERROR|CRITICAL|Traceback", process.log.read_text())


@pytest.fixture
async def service(
    postgresql: databases.Program, redis: databases.Program, server: Server, tmp_path: Path
) -> AsyncIterator[Two]:
    async with two(postgresql, redis, server.url, tmp_path) as made:
        yield made


async def test_a_room_over_two_instances_and_one_is_killed(service: Two) -> None:
    """Whose instance is killed comes back at the other, and has missed nothing; he is heard all the time."""
    here, there = service.people
    async with AsyncExitStack() as stack:
        ann, bob = await here.come("ann"), await there.come("bob")
        room = (await ann.call("create_room", title="Jazz", settings={"mode": "free"}))["id"]
        await bob.call("login_room", room=room)
        await ann.event("attendee_entered", user="bob")
        await bob.call("take_seat", room=room)
        await ann.event("seat_taken", user="bob")
        await here.speaks(ann, room, ANN_HZ)
        await there.speaks(bob, room, BOB_HZ)
        ear = await there.listens(bob, room)
        await hears(ear, ANN_HZ)

        service.processes[0].kill()
        await bob.call("send_command", room=room, text="are you there?")
        ann = await service.move(ann, "ann", stack)
        assert ann.welcome["reload"] == []
        await ann.event("custom_command", text="are you there?")
        await ann.call("send_command", room=room, text="still here")
        await bob.event("custom_command", text="still here")
        numbers = [event["seq"] for event in bob.events if event["stream"] == f"room:{room}"]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "none is lost, none comes twice"
        assert not [event for event in bob.events if event["event"] in ("seat_left", "attendee_left")]
        assert loudness(ear, ANN_HZ) > -50, "who speaks does not notice"


async def test_a_call_over_two_instances_and_one_is_killed_in_the_middle(service: Two) -> None:
    here, there = service.people
    async with AsyncExitStack() as stack:
        ann, bob = await here.come("ann"), await there.come("bob")
        call = (await ann.call("start_call", users=["bob"]))["id"]
        await bob.event("call_incoming", call=call)
        await bob.call("answer_call", call=call)
        await ann.event("call_answered", user="bob")
        service.processes[0].kill()
        ann = await service.move(ann, "ann", stack)
        assert (await ann.call("get_current_call"))["call"]["id"] == call
        await ann.call("hang_up", call=call)
        ended = await bob.event("call_ended", call=call)
        assert ended["data"]["reason"] == "completed"
        await ann.event("call_ended", call=call)
        assert len([event for event in bob.events if event["event"] == "call_ended"]) == 1


async def test_a_timer_that_one_instance_set_is_fired_once_by_the_other(service: Two) -> None:
    here, there = service.people
    ann, bob = await here.come("ann"), await there.come("bob")
    room = (await ann.call("create_room", title="Jazz", settings={"invite_s": 2.0}))["id"]
    await bob.call("login_room", room=room)
    await ann.call("invite_onstage", room=room, user="bob")
    await bob.event("stage_invited", room=room)
    service.processes[0].kill()
    await bob.event("stage_invite_ended", room=room, how="timed out")
    await bob.call("send_command", room=room, text="and on")
    await bob.event("custom_command", text="and on")
    assert len([event for event in bob.events if event["event"] == "stage_invite_ended"]) == 1


async def test_redis_is_killed_and_nothing_is_lost(service: Two) -> None:
    here, there = service.people
    ann, bob = await here.come("ann"), await there.come("bob")
    room = (await ann.call("create_room", title="Jazz"))["id"]
    await bob.call("login_room", room=room)
    await ann.event("attendee_entered", user="bob")
    service.redis.kill()
    try:
        assert await service.is_ready(0) == "The bus cannot be reached.\n"
        for number in range(3):
            await bob.call("send_command", room=room, text=str(number))
        for number in range(3):
            await ann.event("custom_command", text=str(number))
    finally:
        service.redis.start()
    await service.until_ready()
    await ann.call("send_command", room=room, text="again")
    await bob.event("custom_command", text="again")


async def test_the_database_is_killed_and_comes_back(service: Two) -> None:
    """Meanwhile both say so, soon; sockets stay."""
    here, there = service.people
    ann, bob = await here.come("ann"), await there.come("bob")
    room = (await ann.call("create_room", title="Jazz"))["id"]
    await bob.call("login_room", room=room)
    service.database.kill()
    try:
        assert await service.is_ready(0) == "The storage cannot be read.\n"
        assert await ann.refused("send_command", room=room, text="lost") == "unavailable"
    finally:
        service.database.start()
    await service.until_ready()
    await ann.call("send_command", room=room, text="again")
    await bob.event("custom_command", text="again")
