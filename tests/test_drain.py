"""Leaving a server: what it still takes, whom it waits for, what it tells who remains."""

import asyncio
import json
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from mediaserver import drain
from mediaserver.node import ClosingError
from mediaserver.settings import DEVELOPMENT_KEY, DRAIN_TIMEOUT_S, Settings
from tests.client import until
from tests.conftest import StartServer
from tests.control import Control
from tests.edge import KEY, ROOM, Edge, assert_problem, serving
from tests.offers import offer
from tests.test_serve import Process, serve


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        edge.seat()
        yield edge


async def test_a_node_that_drains_takes_sessions_in_its_rooms_but_no_new_rooms(edge: Edge) -> None:
    edge.node.drain()
    ready = await edge.http.get("/readyz")
    assert_problem(ready, "draining")
    assert int(ready.headers["retry-after"]) >= 1
    assert (await edge.http.get("/healthz")).status_code == 200
    assert_problem(await edge.control("PUT", "rooms", "other"), "draining")
    assert (await edge.control("PUT", "rooms", ROOM)).status_code == 200
    assert (await edge.whip()).status_code == 201
    assert (await edge.whep("bob")).status_code == 201
    assert "mediaserver_draining 1.0\n" in (await edge.http.get("/metrics")).text


async def test_draining_can_be_undone_any_number_of_times(edge: Edge) -> None:
    for _ in range(2):
        edge.node.drain()
        edge.node.drain()
        edge.node.undrain()
        edge.node.undrain()
        assert (await edge.http.get("/readyz")).status_code == 200
        assert (await edge.control("PUT", "rooms", "other")).status_code in (200, 201)


async def test_who_waits_for_the_end_is_not_undone(edge: Edge) -> None:
    edge.node.drain(for_good=True)
    with pytest.raises(ClosingError):
        edge.node.undrain()
    assert edge.node.draining


async def test_an_empty_node_is_left_at_once(edge: Edge) -> None:
    async with asyncio.timeout(0.5):
        await drain.leave(edge.node, 60, asyncio.Event())


async def test_readers_are_told_to_move_and_the_hurried_are_not_waited_for(edge: Edge) -> None:
    created = await edge.whep()
    session = edge.node.census.sessions[created.headers["location"].rpartition("/")[2]]
    streams = edge.node.streams
    reader = streams.read(session.room, session.id, streams.create(session.id, ["moving"]))
    assert reader is not None
    hurry = asyncio.Event()
    leaving = asyncio.create_task(drain.leave(edge.node, 0.3, hurry))
    async with asyncio.timeout(5):
        assert await reader.get() == ("moving", '{"reason":"draining"}')
        assert not leaving.done()
        hurry.set()
        await leaving


def test_sessions_have_time_in_production_and_none_in_development() -> None:
    assert Settings.check().drain_timeout_s == 0
    key = [f"{KEY.id}:{KEY.secret}"]
    assert Settings.check(api_key=key, media_address=["192.0.2.1"]).drain_timeout_s == DRAIN_TIMEOUT_S
    assert Settings.check(drain_timeout=3.5).drain_timeout_s == 3.5


class Listener:
    """A WHEP session of the stand-in's process, in a room of its own."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.session = ""

    async def join(self, user: str = "ann") -> httpx.Response:
        entry = (await self.http.post("/dev/join", json={"room": ROOM, "user": user})).json()
        self.authorization = {"Authorization": f"Bearer {entry['token']}"}
        self.entry = str(entry["whep"])
        return await self.ask()

    async def ask(self) -> httpx.Response:
        headers = {**self.authorization, "Content-Type": "application/sdp"}
        created = await self.http.post(self.entry, content=offer("recvonly"), headers=headers)
        self.session = created.headers.get("location", "")
        self.events = re.findall("<(.*)>", created.headers.get("link", ""))
        return created

    async def leave(self) -> None:
        assert (await self.http.delete(self.session, headers=self.authorization)).status_code == 200


@asynccontextmanager
async def listening(*options: str) -> AsyncIterator[tuple[Process, Listener]]:
    async with serve("--port", "0", *options) as process:
        url = (await process.until(r"serving on (http://\S+)/"))[1]
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            listener = Listener(http)
            assert (await listener.join()).status_code == 201
            yield process, listener
        # The process can only end when its clients' connections are closed, or after some seconds.
        assert await process.end() == 0
    assert "Traceback" not in process.output


async def test_a_process_waits_for_its_sessions_and_then_ends() -> None:
    async with listening("--drain-timeout", "60", "--log-format", "json") as (process, listener):
        process.process.terminate()
        await process.until("draining")
        assert_problem(await listener.http.get("/readyz"), "draining")
        made = await listener.http.put("/v1/rooms/other", auth=DEVELOPMENT_KEY)
        assert_problem(made, "draining")
        first = listener.session
        assert (await listener.ask()).status_code == 201, "a session in a room that exists"
        assert listener.session != first
        await listener.leave()
        ended = time.monotonic()
    assert time.monotonic() - ended < 5
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    events = [line["event"] for line in lines if line["logger"] in ("mediaserver.node", "mediaserver.sessions")]
    assert events == ["room opened", "draining", "session ended", "session ended", "room closed"]
    reasons = [line["reason"] for line in lines if line["event"] == "session ended"]
    assert reasons == ["replaced", "deleted"]


async def test_who_stays_until_the_timeout_is_told_to_move_before_the_session_ends() -> None:
    async with listening("--drain-timeout", "1") as (process, listener):
        stream = await listener.http.post(listener.events[0], headers=listener.authorization)
        async with listener.http.stream("GET", stream.headers["location"]) as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "event: sources"
            begun = time.monotonic()
            process.process.terminate()
            told = {}
            async for line in lines:
                if line.startswith(("event: moving", 'data: {"reason')):
                    told[line] = time.monotonic() - begun
            ended = time.monotonic() - begun
    assert list(told) == ["event: moving", 'data: {"reason":"draining"}']
    assert 0.9 <= told["event: moving"] < ended - drain.MOVING_S / 2
    assert ended < 10
    assert "removed: 1" in process.output


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_wait(second: signal.Signals) -> None:
    async with listening("--drain-timeout", "60") as (process, _):
        process.process.terminate()
        await process.until("draining")
        begun = time.monotonic()
        process.process.send_signal(second)
    assert time.monotonic() - begun < 5
    assert "removed: 1" in process.output


async def test_an_interrupt_at_the_terminal_does_not_wait() -> None:
    async with listening("--drain-timeout", "60") as (process, _):
        begun = time.monotonic()
        process.process.send_signal(signal.SIGINT)
    assert time.monotonic() - begun < 5
    assert "draining" not in process.output


async def test_media_goes_on_while_the_server_drains(start_server: StartServer) -> None:
    server = start_server("--workers", "1", "--drain-timeout", "30", "--log-format", "json")
    async with (
        Control(server.url) as control,
        await control.speak(ROOM, "ann", 440) as speaker,
        await control.listen(ROOM, "bob") as listener,
    ):
        await speaker.connected()
        await listener.connected()
        server.terminate()
        await until(lambda: b"draining" in server.log)
        listener.clear()
        await until(lambda: len(listener.samples(0.5)) > 0)
        assert (await control.http.get("/readyz")).status_code == 503
        assert server.process.poll() is None
    server.finish(10)
    assert b'"event": "session connected"' in server.log
