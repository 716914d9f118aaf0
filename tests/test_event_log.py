"""GET /v1/events over real HTTP: what is read, resumed, filtered and refused, and readers that do not read."""

import asyncio
import json
import socket
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
import uvicorn

from mediaserver.events import Event
from mediaserver.http import event_log
from mediaserver.server import Server, listen
from tests.edge import KEY, NOW, ROOM, Edge, assert_problem, bearer


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """An edge behind uvicorn, whose client is a real one: httpx's own ASGI transport cannot read a stream."""
    edge = Edge()
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(edge.app, lifespan="on", log_config=None, timeout_graceful_shutdown=2)
    server = Server(config, edge.node)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=10) as edge.http:
        assert (await edge.http.get("/readyz")).status_code == 200
        yield edge
        server.should_exit = True
        await running


def tell(edge: Edge, first: int, last: int, room: str = ROOM, type_: str = "speaker.muted", **data: Any) -> None:
    for number in range(first, last + 1):
        edge.node.store.append(Event(room, "k3v9", number, type_, "ann", NOW, data))


async def read(edge: Edge, last: str | None = None, **query: Any) -> AsyncGenerator[tuple[str, str, Any], None]:
    """(id, event, parsed data); heartbeats and the beginning are (id, "", None)."""
    headers = {} if last is None else {"Last-Event-ID": last}
    async with edge.http.stream("GET", "/v1/events", params=query, headers=headers, auth=edge.service) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            else:
                data = json.loads(fields["data"]) if "data" in fields else None
                yield fields.get("id", ""), fields.get("event", ""), data
                fields = {}


async def test_a_stream_tells_what_happens_from_now_on(edge: Edge) -> None:
    tell(edge, 1, 3)
    await edge.node.store.settled()
    async with aclosing(read(edge)) as stream:
        identifier, _, _ = await anext(stream)
        assert identifier == edge.node.outbox.id(3)
        tell(edge, 4, 4, source="host")
        identifier, event, data = await anext(stream)
        assert (identifier, event) == (edge.node.outbox.id(4), "voicerooms.speaker.muted")
        assert (data["id"], data["subject"], data["data"]) == ("k3v9/4", "ann", {"source": "host"})


async def test_a_stream_is_resumed_without_loss_or_repetition(edge: Edge) -> None:
    seen: list[int] = []
    last = None
    for _ in range(5):
        async with aclosing(read(edge, last)) as stream:
            if last is None:
                last = (await anext(stream))[0]
            tell(edge, len(seen) + 1, len(seen) + 130)
            begun = len(seen)
            async for identifier, event, data in stream:
                if event:
                    last = identifier
                    seen.append(int(data["sequence"]))
                if len(seen) == begun + 130:
                    break
    assert seen == list(range(1, 651))


async def test_clients_that_cannot_set_headers_resume_by_the_query(edge: Edge) -> None:
    tell(edge, 1, 9)
    await edge.node.store.settled()
    async with aclosing(read(edge, last_event_id=edge.node.outbox.id(7))) as stream:
        found = [item async for item in _some(stream, 2)]
    assert [data["sequence"] for _, _, data in found] == ["8", "9"]


async def _some(stream: AsyncGenerator[Any, None], count: int) -> AsyncIterator[Any]:
    """Events, without what is none."""
    while count:
        item = await asyncio.wait_for(anext(stream), 5)
        if item[1]:
            count -= 1
            yield item


async def test_an_id_of_another_log_begins_with_a_gap(edge: Edge) -> None:
    tell(edge, 1, 2)
    await edge.node.store.settled()
    async with aclosing(read(edge, "another.77")) as stream:
        found = [item async for item in _some(stream, 3)]
    assert [event for _, event, _ in found] == ["voicerooms.gap"] + ["voicerooms.speaker.muted"] * 2
    assert found[0][2]["data"] == {"dropped": None}
    # Who goes on after the gap is not told of it again.
    async with aclosing(read(edge, found[0][0])) as stream:
        assert [event async for _, event, _ in _some(stream, 2)] == ["voicerooms.speaker.muted"] * 2


async def test_types_and_rooms_are_filtered(edge: Edge) -> None:
    query: dict[str, Any] = {"types": "room.*,speaking.started", "room": ["a b/ü", ROOM]}
    async with aclosing(read(edge, **query)) as stream:
        await anext(stream)
        tell(edge, 1, 1, "a b/ü", "speaking.started")
        tell(edge, 2, 2, "another", "room.changed")
        tell(edge, 3, 3, "a b/ü", "speaker.muted")
        tell(edge, 4, 4, ROOM, "room.changed")
        found = [(data["room"], data["sequence"]) async for _, _, data in _some(stream, 2)]
    assert found == [("a b/ü", "1"), (ROOM, "4")]


async def test_speaking_is_told_to_those_alone_who_ask(edge: Edge) -> None:
    async with aclosing(read(edge)) as stream:
        await anext(stream)
        tell(edge, 1, 1, type_="speaking.started")
        tell(edge, 2, 2)
        assert [data["sequence"] async for _, _, data in _some(stream, 1)] == ["2"]


async def test_a_quiet_stream_says_that_it_lives_and_where_it_is(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "HEARTBEAT_S", 0.05)
    async with aclosing(read(edge, types="room.*")) as stream:
        await anext(stream)
        tell(edge, 1, 50)
        await edge.node.store.settled()
        for _ in range(3):
            identifier, event, _ = await anext(stream)
            assert event == ""
        assert identifier == edge.node.outbox.id(50)


@pytest.mark.parametrize("query", ["types=rooms.*", "types=,", "room=", "room=a%00b", "types=" + "a" * 2000])
async def test_a_filter_that_makes_no_sense_is_refused(edge: Edge, query: str) -> None:
    assert_problem(await edge.http.get(f"/v1/events?{query}", auth=edge.service), "invalid")


async def test_participants_and_strangers_may_not_read(edge: Edge) -> None:
    assert_problem(await edge.http.get("/v1/events"), "unauthorized")
    assert_problem(await edge.http.get("/v1/events", headers=bearer()), "forbidden")
    refused = await edge.http.get("/v1/events", headers={"Accept": "text/html"}, auth=edge.service)
    assert_problem(refused, "not-acceptable")


async def test_streams_are_bounded_and_make_room_when_they_end(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "STREAMS_PER_NODE", 2)
    async with aclosing(read(edge)) as one, aclosing(read(edge)) as two:
        await anext(one)
        await anext(two)
        refused = await edge.http.get("/v1/events", auth=edge.service)
        assert_problem(refused, "limit-reached")
        assert "retry-after" in refused.headers
    async with asyncio.timeout(5):
        while edge.node.outbox.streams:  # noqa: ASYNC110 - the server tells nobody that it has noticed
            await asyncio.sleep(0.02)
    async with aclosing(read(edge)) as stream:
        await anext(stream)


async def test_a_reader_that_does_not_read_costs_nothing_and_gets_a_gap(edge: Edge) -> None:
    address = edge.http.base_url
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
    silent.connect((address.host, address.port))
    credentials = b64encode(f"{KEY.id}:{KEY.secret}".encode()).decode()
    silent.sendall(f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        while not edge.node.outbox.streams:  # noqa: ASYNC110 - it begins when the server has read the request
            await asyncio.sleep(0.01)
    (cursor,) = edge.node.outbox.streams
    async with aclosing(read(edge)) as other:
        await anext(other)
        for start in range(1, 40_001, 2_000):
            tell(edge, start, start + 1_999, reason="x" * 100)
            await edge.node.store.settled()
            seen = [item async for item in _some(other, 2_000)]
            assert int(seen[-1][2]["sequence"]) == start + 1_999
    assert cursor.dropped > 1_000
    assert cursor.pending <= 12_000
    text = b""
    silent.setblocking(False)
    loop = asyncio.get_running_loop()
    while b'"sequence":"40000"' not in text[-2_000:]:
        text += await asyncio.wait_for(loop.sock_recv(silent, 1 << 16), 5)
    assert text.count(b"event: voicerooms.gap") == 1
    gap = json.loads(text.partition(b"event: voicerooms.gap\ndata: ")[2].partition(b"\n")[0])
    assert text.count(b"event: voicerooms.speaker.muted") + gap["data"]["dropped"] == 40_000
    silent.close()


async def test_a_server_that_ends_lets_streams_have_what_has_happened(edge: Edge) -> None:
    async with aclosing(read(edge)) as stream:
        await anext(stream)
        tell(edge, 1, 3)
        edge.node.close()
        assert [data["sequence"] async for _, event, data in stream if event] == ["1", "2", "3"]
    assert_problem(await edge.http.get("/v1/events", auth=edge.service), "shutting-down")
