"""Event streams over real HTTP: the draft's requests, what is read, and how streams end."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import uvicorn

from mediaserver.http import events
from mediaserver.server import Server, listen
from mediaserver.streams import STREAMS_PER_SESSION
from tests.edge import ROOM, USER, Edge, assert_problem, bearer


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """An edge behind uvicorn, whose client is a real one: httpx's own ASGI transport cannot read a stream."""
    edge = Edge(cors_origin=["https://example.org"])
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(edge.app, lifespan="on", log_config=None, timeout_graceful_shutdown=2)
    server = Server(config, edge.node)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=10) as edge.http:
        assert (await edge.http.get("/readyz")).status_code == 200
        edge.seat()
        yield edge
        server.should_exit = True
        await running


async def create(edge: Edge, user: str = USER, **options: Any) -> str:
    """Address of a new event stream of a new session."""
    link = (await edge.whep(user)).headers["link"]
    address = re.findall("<(.*)>", link)[0]
    response = await edge.http.post(address, headers=bearer(user), **options)
    assert response.status_code == 201, response.text
    return str(response.headers["location"])


async def read(edge: Edge, address: str) -> AsyncGenerator[tuple[str, Any], None]:
    """(event, parsed data); comments are ("", text)."""
    async with edge.http.stream("GET", address) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        event = ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(":")
            if name == "event":
                event = value.strip()
            elif name == "data":
                yield event, json.loads(value)
            elif line.startswith(":"):
                yield "", value


async def test_a_stream_tells_the_sources_at_once_and_when_they_change(edge: Edge) -> None:
    csrc = edge.room.csrcs.of(USER)
    async with aclosing(read(edge, await create(edge))) as stream:
        source = {"csrc": csrc, "user": USER, "may_publish": True, "muted_by": [], "seat": None, "publishing": False}
        assert await anext(stream) == ("sources", {"sources": [source]})
        await edge.control("PUT", "rooms", ROOM, "speakers", USER, "mutes", "host")
        assert await anext(stream) == ("sources", {"sources": [{**source, "muted_by": ["host"]}]})
        response = await edge.whip()
        publishing = {**source, "muted_by": ["host"], "seat": None, "publishing": True}
        assert await anext(stream) == ("sources", {"sources": [publishing]})
        assert await anext(stream) == ("active", {})
        await edge.http.delete(response.headers["location"], headers=bearer())
        assert (await anext(stream))[0] == "sources"
        assert await anext(stream) == ("inactive", {})


async def test_a_stream_tells_who_speaks_and_how_loudly(edge: Edge) -> None:
    stats = edge.plane.peers[edge.peer_of(await edge.whip())].stats
    async with aclosing(read(edge, await create(edge, json=["levels"]))) as stream:
        stats.level_dbov, stats.speaking = -20.6, True
        assert await anext(stream) == ("levels", {"levels": {USER: -21}, "speaking": [USER]})
        stats.level_dbov, stats.speaking = -127.0, False
        events_after = [await anext(stream)]
        while events_after[-1][1]["speaking"]:
            events_after.append(await anext(stream))
        assert events_after[-1] == ("levels", {"levels": {USER: -127}, "speaking": []})


async def test_names_of_any_script_arrive_as_they_are(edge: Edge) -> None:
    edge.seat("Ünal \u4e2d\U0001f600")
    async with aclosing(read(edge, await create(edge))) as stream:
        _, table = await anext(stream)
        assert table["sources"][1]["user"] == "Ünal \u4e2d\U0001f600"


async def test_a_quiet_stream_says_that_it_lives(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    async with aclosing(read(edge, await create(edge, json=["active"]))) as stream:
        assert await anext(stream) == ("", "")
        assert await anext(stream) == ("", "")


async def test_a_stream_ends_with_its_session_and_is_not_found_then(edge: Edge) -> None:
    address = await create(edge)
    told = []
    async with aclosing(read(edge, address)) as stream:
        told.append(await anext(stream))
        await edge.control("DELETE", "rooms", ROOM, "participants", USER)
        told += [event async for event in stream]
    assert [event for event, _ in told] == ["sources"]
    assert_problem(await edge.http.get(address), "no-session")


async def test_the_player_can_end_a_stream(edge: Edge) -> None:
    address = await create(edge)
    async with aclosing(read(edge, address)) as stream:
        await anext(stream)
        assert (await edge.http.delete(address)).status_code == 200
        assert [event async for event in stream] == []
    assert_problem(await edge.http.delete(address), "no-session")
    assert_problem(await edge.http.get(address), "no-session")


async def test_a_reader_that_comes_back_begins_with_the_whole_table(edge: Edge) -> None:
    address = await create(edge)
    for _ in range(3):
        async with aclosing(read(edge, address)) as stream:
            assert (await anext(stream))[0] == "sources"


async def test_a_reader_that_has_gone_costs_nothing(edge: Edge) -> None:
    address = await create(edge)
    async with aclosing(read(edge, address)) as stream:
        await anext(stream)
        assert edge.node.streams.are_read(edge.room)
    for _ in range(500):
        if not edge.node.streams.are_read(edge.room):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the reader is still there")


async def test_streams_of_a_session_are_bounded(edge: Edge) -> None:
    link = re.findall("<(.*)>", (await edge.whep()).headers["link"])[0]
    for _ in range(STREAMS_PER_SESSION):
        assert (await edge.http.post(link, headers=bearer())).status_code == 201
    assert_problem(await edge.http.post(link, headers=bearer()), "streams-taken")


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"json": ["viewercount"]}, "invalid"),
        ({"json": {"levels": True}}, "invalid"),
        ({"json": {"levels_every_ms": 49}}, "invalid"),
        ({"json": {"levels_every_ms": 75}}, "invalid"),
        ({"json": {"levels_every_ms": 2050}}, "invalid"),
        ({"json": {"levels_every_ms": "fast"}}, "invalid"),
        ({"json": {"events": ["viewercount"]}}, "invalid"),
        ({"content": "[", "headers": {"Content-Type": "application/json"}}, "malformed"),
        ({"content": "[]", "headers": {"Content-Type": "text/plain"}}, "unsupported-media-type"),
    ],
)
async def test_a_wish_for_other_events_is_refused(edge: Edge, options: dict[str, Any], kind: str) -> None:
    link = re.findall("<(.*)>", (await edge.whep()).headers["link"])[0]
    headers = {**options.pop("headers", {}), **bearer()}
    assert_problem(await edge.http.post(link, headers=headers, **options), kind)


async def test_a_publishing_session_has_no_events(edge: Edge) -> None:
    url = (await edge.whip()).headers["location"]
    assert_problem(await edge.http.post(f"{url}/sse", headers=bearer()), "not-found")


async def test_a_stream_cannot_be_read_by_guessing_or_in_another_room(edge: Edge) -> None:
    address = await create(edge)
    edge.node.open_room("other")
    for wrong in (address[:-1], address + "x", address.replace(f"/{ROOM}/", "/other/")):
        assert_problem(await edge.http.get(wrong), "no-session")
    assert_problem(await edge.http.get(address, headers={"Accept": "application/json"}), "not-acceptable")


async def test_another_origins_page_may_read_if_it_is_named(edge: Edge) -> None:
    address = await create(edge)
    async with edge.http.stream("GET", address, headers={"Origin": "https://example.org"}) as response:
        assert response.headers["access-control-allow-origin"] == "https://example.org"


async def test_closing_the_node_ends_the_streams(edge: Edge) -> None:
    async with aclosing(read(edge, await create(edge))) as stream:
        await anext(stream)
        edge.node.close()
        async with asyncio.timeout(2):
            assert [event async for event in stream] == []
