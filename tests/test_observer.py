"""What is told because time passes: who speaks, for those who ask, and whose quality is low."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mediaserver.events import Types
from mediaserver.outbox import Filter
from mediaserver.quality import GOOD_AFTER_S, LOW_AFTER_S, Quality
from mediaserver.sessions import State
from tests import fake_plane
from tests.edge import ROOM, USER, Edge, serving


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


async def publishing(edge: Edge, user: str = USER) -> fake_plane.PeerStats:
    """What the plane measures of a speaker who is connected."""
    edge.seat(user)
    peer = edge.peer_of(await edge.whip(user))
    edge.node.census.of(peer).state = State.CONNECTED
    return edge.plane.peers[peer].stats


async def said(edge: Edge, *types: str) -> list[tuple[str, str, Any]]:
    await edge.node.settled()
    rows = await edge.node.store.read(
        lambda connection: connection.execute("SELECT type, user, data FROM events ORDER BY position").fetchall()
    )
    return [(type_, user, json.loads(data)) for type_, user, data in rows if type_ in types]


async def heard(edge: Edge, stats: fake_plane.PeerStats, **what: bool) -> None:
    """The plane says that this has changed."""
    for name, value in what.items():
        setattr(stats, name, value)
    await said_by_plane(edge, stats, fake_plane.VOICE)


async def loses(edge: Edge, stats: fake_plane.PeerStats, share: float) -> None:
    """The plane says that packets begin to be lost."""
    stats.fraction_lost = share
    await said_by_plane(edge, stats, fake_plane.LOSS)


async def said_by_plane(edge: Edge, stats: fake_plane.PeerStats, event: int) -> None:
    (peer,) = [number for number, peer in edge.plane.peers.items() if peer.stats is stats]
    edge.plane.emit(event, peer)
    await asyncio.sleep(0.02)


async def test_speaking_is_told_only_while_somebody_asks_for_it(edge: Edge) -> None:
    stats = await publishing(edge)
    await heard(edge, stats, speaking=True)
    edge.node.observer.look(0.0)
    assert await said(edge, "speaking.started") == []
    cursor = await edge.node.outbox.follow(Filter(Types.parse(["speaking.*"])))
    edge.node.observer.look(0.2)
    edge.node.observer.look(0.4)
    stats.speaking = False
    edge.node.observer.look(0.6)
    both = ("speaking.started", "speaking.stopped")
    assert await said(edge, *both) == [("speaking.started", USER, {}), ("speaking.stopped", USER, {})]
    edge.node.outbox.leave(cursor)


async def test_who_is_muted_does_not_speak(edge: Edge) -> None:
    stats = await publishing(edge)
    cursor = await edge.node.outbox.follow(Filter(Types.parse(["*"])))
    await heard(edge, stats, speaking=True)
    edge.node.observer.look(0.0)
    await edge.control("PUT", "rooms", ROOM, "speakers", USER, "mutes", "host")
    edge.node.observer.look(0.2)
    order = [type_ for type_, _, _ in await said(edge, "speaking.started", "speaker.muted", "speaking.stopped")]
    assert order == ["speaking.started", "speaker.muted", "speaking.stopped"]
    edge.node.outbox.leave(cursor)


async def test_low_quality_is_told_once_and_its_end(edge: Edge) -> None:
    stats = await publishing(edge)
    now = 0.0

    def pass_time(seconds: float) -> None:
        nonlocal now
        for _ in range(round(seconds / 0.2)):
            now += 0.2
            edge.node.observer.look(now)

    await loses(edge, stats, 0.25)
    pass_time(LOW_AFTER_S + 3)
    participant = (await edge.control("GET", "rooms", ROOM, "participants", USER)).json()
    assert participant["sessions"][0]["quality"] == "low"
    stats.fraction_lost = 0.01
    pass_time(GOOD_AFTER_S + 3)
    assert await said(edge, "quality.low", "quality.recovered") == [
        ("quality.low", USER, {"direction": "publish", "fraction_lost": 0.25}),
        ("quality.recovered", USER, {"direction": "publish"}),
    ]


async def test_a_session_that_is_not_connected_has_no_quality(edge: Edge) -> None:
    stats = await publishing(edge)
    for session in edge.node.census.sessions.values():
        session.state = State.CONNECTING
    await loses(edge, stats, 1.0)
    for second in range(20):
        for _ in range(5):
            edge.node.observer.look(float(second))
    assert await said(edge, "quality.low") == []


async def test_the_observer_looks_by_itself(edge: Edge) -> None:
    stats = await publishing(edge)
    await heard(edge, stats, speaking=True)
    cursor = await edge.node.outbox.follow(Filter(Types.parse(["speaking.*"])))
    async with asyncio.timeout(5):
        await cursor.wait()
    edge.node.outbox.leave(cursor)


def test_a_moment_of_loss_is_not_low_quality_and_a_moment_without_is_no_recovery() -> None:
    quality = Quality()
    assert not quality.update(0.0, 0.5)
    assert not quality.update(LOW_AFTER_S - 0.1, 0.05)
    assert not quality.update(LOW_AFTER_S + 0.1, 0.5)
    assert quality.update(2 * LOW_AFTER_S + 0.2, 0.5)
    assert str(quality.verdict) == "low"
    assert not quality.update(10.0, 0.0)
    assert not quality.update(12.0, 0.05)  # between the two it stays as it is
    assert not quality.update(13.0, 0.0)
    assert quality.update(13.0 + GOOD_AFTER_S, 0.0)
    assert str(quality.verdict) == "good"


async def test_what_the_plane_says_is_told_without_a_look(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = await publishing(edge)
    monkeypatch.setattr(edge.node.observer, "look", lambda now, at_ms=0: 1_000_000)
    cursor = await edge.node.outbox.follow(Filter(Types.parse(["*"])))
    await heard(edge, stats, speaking=True)
    assert await said(edge, "speaking.started") == [("speaking.started", USER, {})]
    await heard(edge, stats, silent=True, clipping=True)
    await heard(edge, stats, silent=False, clipping=False)
    audio = [type_ for type_, _, _ in await said(edge, "audio.silent", "audio.heard", "audio.clipping", "audio.clean")]
    assert audio == ["audio.silent", "audio.clipping", "audio.heard", "audio.clean"]
    edge.node.outbox.leave(cursor)


async def test_a_room_that_toggles_is_told_of_twenty_times_a_second_at_most_and_then_the_truth(edge: Edge) -> None:
    stats = await publishing(edge)
    room = edge.room
    told: list[bool] = []
    edge.node.streams.are_read = lambda room: True  # type: ignore[method-assign]
    edge.node.streams.levels = (  # type: ignore[method-assign]
        lambda room, levels, at_ms=None: told.append(levels[USER].speaking) if at_ms is None else None
    )
    session = next(iter(edge.node.census.sessions.values()))
    for step in range(1001):
        stats.speaking = step % 2 == 0
        edge.node.observer.voice(session, step / 10_000)  # 0.1 s
    assert 2 <= len(told) <= 3
    stats.speaking = True
    await asyncio.sleep(0.1)
    assert told[-1]
    assert room.speakers[USER].heard


async def test_a_closed_room_is_not_told_of(edge: Edge) -> None:
    stats = await publishing(edge)
    session = next(iter(edge.node.census.sessions.values()))
    cursor = await edge.node.outbox.follow(Filter(Types.parse(["speaking.*"])))
    stats.speaking = True
    edge.node.observer.voice(session, 0.0)
    stats.speaking = False
    edge.node.observer.voice(session, 0.01)
    edge.node.close_room(ROOM)
    await asyncio.sleep(0.1)
    assert [type_ for type_, _, _ in await said(edge, "speaking.started", "speaking.stopped")] == ["speaking.started"]
    edge.node.outbox.leave(cursor)
