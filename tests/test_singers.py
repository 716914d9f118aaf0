"""Singers at the HTTP edge and in a node whose plane is the stand-in: what is reported, and what the plane is told."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mediaserver.ktv import INHERENT_MS, PRESUMED
from mediaserver.programme import tap_column
from mediaserver.sessions import State
from tests import fake_plane
from tests.edge import ROOM, SDP, Edge, assert_problem, bearer, serving
from tests.offers import offer

REPORT = {"playout_ms": 60.0, "capture_ms": 30.0}
SONG = {"align": True, "tracks": []}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


async def sing(edge: Edge, user: str, round_trip_ms: float | None, waits_ms: float = 40.0) -> fake_plane.PeerStats:
    """A singer who is connected both ways; what the plane measures of what he sends."""
    edge.seat(user)
    publishing = await edge.whip(user)
    listening = await edge.http.post(
        f"/whep/{ROOM}?mode=mix", content=offer("recvonly"), headers={**SDP, **bearer(user)}
    )
    for response in (publishing, listening):
        peer = edge.peer_of(response)
        edge.node.census.of(peer).state = State.CONNECTED
        edge.plane.peers[peer].stats.round_trip_ms = round_trip_ms
    stats = edge.plane.peers[edge.peer_of(publishing)].stats
    stats.playout_delay_ms = waits_ms
    return stats


async def report(edge: Edge, user: str, document: Any = REPORT) -> httpx.Response:
    return await edge.http.put(f"/v1/rooms/{ROOM}/participants/{user}/delays", json=document, headers=bearer(user))


async def play(edge: Edge, **options: Any) -> None:
    assert (await edge.control("PUT", "rooms", ROOM, "players", "song", json={**SONG, **options})).status_code == 200


def delay_ms(edge: Edge, column: str) -> float:
    return edge.plane.delays.get((edge.room.id, edge.room.csrcs.of(column)), 0) / 48


async def test_music_and_quicker_voices_wait_for_the_slowest_singer(edge: Edge) -> None:
    await sing(edge, "ann", 60.0)
    bob = await sing(edge, "bob", 20.0)
    await play(edge)
    presumed = INHERENT_MS + 40 + PRESUMED.playout_ms + PRESUMED.capture_ms
    assert delay_ms(edge, tap_column("song")) == pytest.approx(presumed + 60, abs=0.02), "before anything is reported"
    for user in ("ann", "bob"):
        assert (await report(edge, user)).status_code == 200
    edge.node.align()
    answer = (await report(edge, "bob")).json()
    assert answer == {"loop_ms": INHERENT_MS + 150, "voice_delay_ms": 40.0, "music_delay_ms": INHERENT_MS + 190}
    assert delay_ms(edge, tap_column("song")) == INHERENT_MS + 190
    assert [delay_ms(edge, user) for user in ("ann", "bob")] == [0.0, 40.0]
    state = (await edge.control("GET", "rooms", ROOM, "players", "song")).json()
    assert state["delay_ms"] == INHERENT_MS + 190

    bob.playout_delay_ms = 140.0
    for _ in range(5):
        edge.node.align()
    assert delay_ms(edge, tap_column("song")) == INHERENT_MS + 250
    assert [delay_ms(edge, user) for user in ("ann", "bob")] == [60.0, 0.0]

    await edge.control("PUT", "rooms", ROOM, "speakers", "bob", "mutes", "host")
    edge.node.align()
    assert delay_ms(edge, tap_column("song")) == INHERENT_MS + 190, "nothing waits for who is muted"


async def test_what_lasts_a_moment_moves_nothing(edge: Edge) -> None:
    stats = await sing(edge, "ann", 60.0)
    await play(edge)
    await report(edge, "ann")
    edge.node.align()
    before = delay_ms(edge, tap_column("song"))
    for waits_ms in (43.0, 300.0, 38.0, 41.0, 42.0):
        stats.playout_delay_ms = waits_ms
        edge.node.align()
        assert delay_ms(edge, tap_column("song")) == before


async def test_a_taste_is_added_and_a_song_that_is_not_sung_to_is_not_late(edge: Edge) -> None:
    await sing(edge, "ann", 60.0)
    await play(edge, align_offset_ms=35)
    await report(edge, "ann")
    edge.node.align()
    assert delay_ms(edge, tap_column("song")) == INHERENT_MS + 190 + 35
    await sing(edge, "bob", 10.0)
    edge.node.align()
    assert delay_ms(edge, "bob") > 0
    await play(edge, align=False)
    assert delay_ms(edge, "bob") == 0.0
    assert (await report(edge, "ann")).json() == {"voice_delay_ms": 0.0}


async def test_listeners_and_who_does_not_hear_the_mix_are_no_singers(edge: Edge) -> None:
    edge.seat("cem")
    await edge.whip("cem")
    await edge.whep("cem")
    await edge.whep("eve")
    await play(edge)
    for user in ("cem", "eve"):
        assert (await report(edge, user)).json() == {"voice_delay_ms": 0.0, "music_delay_ms": 0.0}
    edge.node.align()
    assert edge.room.alignment.loops_ms == {}


async def test_a_report_is_for_who_is_there_and_within_bounds(edge: Edge) -> None:
    edge.seat("ann")
    assert_problem(await report(edge, "ann"), "no-participant")
    await edge.whip("ann")
    other = await edge.http.put(f"/v1/rooms/{ROOM}/participants/ann/delays", json=REPORT, headers=bearer("bob"))
    assert_problem(other, "forbidden")
    for wrong in ({"playout_ms": -1}, {"capture_ms": 1001}, {"playout_ms": "1"}, {"round_trip_ms": 1}):
        assert_problem(await report(edge, "ann", {**REPORT, **wrong}), "invalid")
    assert_problem(await report(edge, "ann", {"playout_ms": 1}), "invalid")


async def test_offsets_have_bounds(edge: Edge) -> None:
    edge.seat("ann")
    for wrong in ({"align_offset_ms": 201}, {"align_offset_ms": -201}, {"align": 1}):
        answer = await edge.control("PUT", "rooms", ROOM, "players", "song", json={**SONG, **wrong})
        assert_problem(answer, "invalid")


async def test_what_is_kept_of_singers_ends_with_them(edge: Edge) -> None:
    await sing(edge, "ann", 60.0)
    await play(edge)
    await report(edge, "ann")
    edge.node.align()
    await edge.control("DELETE", "rooms", ROOM, "participants", "ann")
    edge.node.align()
    [choir] = edge.node.singers._choirs.values()
    assert choir._singers == {}
    await edge.control("DELETE", "rooms", ROOM)
    edge.node.align()
    assert edge.node.singers._choirs == {}
