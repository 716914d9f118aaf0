"""The client's stream of events, from a server that runs, stops and comes back."""

import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from mediaserver import webhook_signature
from mediaserver.client import MediaServer, Refused, StreamEvent, verify_webhook
from mediaserver.schema import RoomDocument, SpeakerDocument
from mediaserver.settings import DEVELOPMENT_KEY
from tests.conftest import StartServer
from tests.server import Server

ROOT = Path(__file__).parent.parent


@pytest.fixture
async def client(server: Server) -> AsyncIterator[MediaServer]:
    async with MediaServer(server.url, *DEVELOPMENT_KEY) as client:
        yield client


async def take(stream: AsyncGenerator[StreamEvent, None], number: int) -> list[StreamEvent]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(number)]


async def test_what_happens_to_a_room_is_told_in_order(client: MediaServer, room: str) -> None:
    async with aclosing(client.events(["room.started", "room.ended", "speaker.*"], [room])) as stream:
        first = asyncio.create_task(take(stream, 1))
        while not first.done():  # the stream begins when it is there, and not with what was before
            await client.put_room(room, RoomDocument(speakers={"ann": SpeakerDocument(seat=1)}))
            await client.mute(room, "ann")
            await client.delete_room(room)
        found = [*await first]
        while found[-1].type != "room.ended":
            found += await take(stream, 1)
        await client.put_room(room, RoomDocument(speakers={"ann": SpeakerDocument(seat=1)}))
        await client.mute(room, "ann")
        await client.delete_room(room)
        while found[-1].type != "speaker.muted":
            found += await take(stream, 1)
        muted, ended = found[-1], (await take(stream, 1))[0]
        assert (muted.type, muted.user, muted.data["source"], muted.room) == ("speaker.muted", "ann", "host", room)
        assert (ended.type, ended.instance) == ("room.ended", muted.instance)
        assert abs(ended.time - time.time()) < 60
    # And again, from where the mute was.
    async with aclosing(client.events(["*"], [room], last_event_id=muted.position)) as stream:
        assert (await take(stream, 1))[0].sequence == muted.sequence + 1


async def test_a_filter_that_means_nothing_is_refused(client: MediaServer) -> None:
    with pytest.raises(Refused) as refused:
        await anext(client.events(["speakers.*"]))
    assert refused.value.kind == "invalid"


async def test_a_stream_outlives_its_server(start_server: StartServer, tmp_path: Path) -> None:
    options = ("--workers", "1", "--state", str(tmp_path / "state"), "--drain-timeout", "0")
    running = start_server(*options)
    async with MediaServer(running.url, *DEVELOPMENT_KEY) as client, aclosing(client.events(["room.*"])) as stream:
        first = asyncio.create_task(take(stream, 1))
        number = 0
        while not first.done():
            number += 1
            await client.put_room(f"before {number}")
        seen = [event.room for event in await first]
        await asyncio.to_thread(running.stop)
        more = asyncio.create_task(take(stream, 1))
        start_server(*options, "--port", running.url.rpartition(":")[2])
        await client.put_room("after")
        while "after" not in seen:
            seen += [event.room for event in await more]
            more = asyncio.create_task(take(stream, 1))
        more.cancel()
        await asyncio.gather(more, return_exceptions=True)
    created = list(dict.fromkeys(seen))
    assert created[-1] == "after"
    first_number = int(created[0].split()[1])
    assert created[:-1] == [f"before {n}" for n in range(first_number, number + 1)]


def test_webhooks_are_verified_with_what_the_client_brings() -> None:
    secret = "whsec_" + "c2VjcmV0" * 5
    headers = webhook_signature.sign(secret, "msg", 1000, b"[]")
    assert verify_webhook(secret, headers, b"[]", 1001) == "msg"
    with pytest.raises(ValueError, match="signature"):
        verify_webhook(secret, headers, b"[1]", 1001)


async def test_the_example_of_the_documentation_runs(server: Server) -> None:
    program, _ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/client.md").read_text(), re.S)
    program = program.replace("http://127.0.0.1:8090", server.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(40):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    lines = output.splitlines()
    assert process.returncode == 0, output
    assert [line.split(" ")[0] for line in lines] == [
        "give",
        "precondition-failed",
        "lobby",
        "speaker.unmuted",
        "room.ended",
    ]
