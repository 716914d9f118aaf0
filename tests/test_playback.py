"""What rooms play, on a node whose plane is the stand-in: documents with players, and who reads of them meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from mediaserver.feed import Playing, Subscription
from mediaserver.model.room import Room
from mediaserver.programme import PlayerSpec, PlayerState, player_column
from tests.edge import ROOM, USER, Edge, serving

TRACKS = [{"media": "nosuch"}]
TWO = {"a": {"tracks": TRACKS}, "b": {"tracks": TRACKS}}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


async def listening(edge: Edge, user: str = USER) -> Subscription:
    """He listens to the room, which is made if need be, and reads its events."""
    edge.node.open_room(ROOM)
    peer = edge.peer_of(await edge.whep(user))
    session = edge.node.census.of(peer)
    subscription = edge.node.streams.read(session.room, session.id, edge.node.streams.create(session.id))
    assert subscription is not None
    return subscription


def told(subscription: Subscription) -> list[dict[str, str]]:
    """Of each time that players were told: their statuses by name."""
    told = [json.loads(data)["players"] for event, data in subscription._queue if event == "players"]
    return [{player["player"]: player["status"] for player in players} for players in told]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_two_players_that_begin_at_once_are_both_there_while_somebody_reads(edge: Edge, method: str) -> None:
    subscription = await listening(edge)
    response = await edge.control(method, "rooms", ROOM, json={"players": TWO, "speakers": {"bob": {}}})
    assert response.status_code == 200, response.text
    assert told(subscription)[0] == {"a": "loading", "b": "loading"}, "what is told is true of all of them"
    columns = {edge.room.csrcs.of(player_column(name)) for name in TWO} | {edge.room.csrcs.of("bob")}
    assert {csrc for _, csrc in edge.plane.columns} == columns
    players = await edge.control("GET", "rooms", ROOM, "players")
    assert {player["name"] for player in players.json()["players"]} == {"a", "b"}
    assert (await edge.control("DELETE", "rooms", ROOM)).status_code == 204
    assert not edge.node.census.sessions
    assert not edge.plane.rooms


async def test_a_speaker_who_goes_as_players_begin_is_no_trouble_to_who_reads(edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    subscription = await listening(edge, "bob")
    response = await edge.control("PUT", "rooms", ROOM, json={"players": TWO})
    assert response.status_code == 200, response.text
    assert USER not in edge.room.participants
    assert told(subscription)[0] == {"a": "loading", "b": "loading"}


async def test_a_command_that_fails_keeps_no_other_from_being_performed(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = await listening(edge)
    add_player = edge.plane.add_player

    def fail(room: int, csrc: int, *rest: float) -> None:
        if csrc == edge.room.csrcs.of(player_column("a")):
            raise OSError("no more of them")
        add_player(room, csrc, *rest)

    with monkeypatch.context() as broken:
        broken.setattr(edge.plane, "add_player", fail)
        response = await edge.control("PATCH", "rooms", ROOM, json={"players": TWO})
    assert response.status_code == 500
    assert told(subscription) == [{"a": "idle", "b": "loading"}]
    edge.node.observer.look(1.0)
    for path in (("players",), ("players", "a")):
        assert (await edge.control("GET", "rooms", ROOM, *path)).status_code == 200
    assert (await edge.http.get("/metrics")).status_code == 200
    assert (await edge.control("PATCH", "rooms", ROOM, json={"metadata": {"a": 1}})).status_code == 200
    edge.plane.columns[edge.room.id, edge.room.csrcs.of(player_column("a"))] = 1.0  # the stand-in is strict
    assert (await edge.control("DELETE", "rooms", ROOM)).status_code == 204
    assert not edge.node.census.sessions
    assert not edge.plane.rooms


async def test_a_room_that_cannot_be_looked_at_keeps_nothing_from_the_others(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await listening(edge)
    other, _ = edge.node.open_room("other")
    looked: list[str] = []

    def playing(room: Room) -> Sequence[Playing]:
        looked.append(room.name)
        if room is edge.room:
            raise KeyError("a defect")
        return ()

    rooms = [edge.room, other]
    fed: Any = edge.node.streams
    monkeypatch.setattr(fed, "read_rooms", lambda: rooms)
    monkeypatch.setattr(fed, "played", playing)
    for room in rooms:
        edge.node.playback.set_player(room, "a", PlayerSpec(state=PlayerState.STOPPED))
    looked.clear()
    await asyncio.sleep(0.5)
    assert looked.count(other.name) >= 2
    assert looked.count(edge.room.name) >= 2
