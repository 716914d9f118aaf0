"""What rooms play, on a node whose plane is the stand-in: documents with players, and who reads of them meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from mediaserver.feed import Playing, Subscription
from mediaserver.matrix import linear
from mediaserver.model.room import Room
from mediaserver.place import pan_gains
from mediaserver.programme import PlayerSpec, PlayerState, effect_column, player_column
from mediaserver.soundbank import Samples
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


class Loading:
    """A sound of the library that is decoded when the test says so."""

    def __init__(self, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded: asyncio.Future[Samples] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(edge.node.playback.sounds, "_decode", self._decode)

    async def _decode(self, _: str) -> Samples:
        return await self.decoded

    async def finish(self) -> None:
        self.decoded.set_result(np.zeros((480, 1), np.float32))
        await asyncio.sleep(0.01)


async def put_effect(edge: Edge, **wish: Any) -> None:
    response = await edge.control("PUT", "rooms", ROOM, "effects", "call", json={"sound": "library:song", **wish})
    assert response.status_code == 200, response.text


async def test_an_effect_that_is_changed_while_it_is_loaded_begins_as_it_was_wished_last(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.node.open_room(ROOM)
    sound = Loading(edge, monkeypatch)
    await put_effect(edge)
    await put_effect(edge, gain_db=-6.0, pan=1.0)
    assert not edge.plane.columns
    await sound.finish()
    key = edge.room.id, edge.room.csrcs.of(effect_column("call"))
    assert edge.plane.effects.keys() == {key}
    assert edge.plane.columns == {key: linear(-6.0)}
    assert edge.plane.places[key] == pan_gains(1.0)
    await put_effect(edge, gain_db=-12.0)
    assert edge.plane.columns == {key: linear(-12.0)}
    assert edge.plane.places[key] == pan_gains(0.0)
    await edge.control("DELETE", "rooms", ROOM, "effects", "call")
    assert not edge.plane.columns


async def test_an_effect_that_is_changed_and_stopped_while_it_is_loaded_leaves_nothing(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.node.open_room(ROOM)
    sound = Loading(edge, monkeypatch)
    await put_effect(edge)
    await put_effect(edge, gain_db=-6.0)
    await edge.control("DELETE", "rooms", ROOM, "effects", "call")
    assert not edge.plane.columns
    assert not edge.plane.effects
    assert sound.decoded.cancelled()


async def test_an_effect_whose_sound_is_a_defect_s_occasion_has_ended(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.node.open_room(ROOM)
    sound = Loading(edge, monkeypatch)
    await put_effect(edge)
    sound.decoded.set_exception(ValueError("a defect"))
    await asyncio.sleep(0.01)
    assert not edge.room.programme.effects
