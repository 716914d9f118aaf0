"""Rooms over HTTP alone: who sends no heartbeats is missed in them, and how many a user may have open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from roomservice.aggregates import ROOM
from roomservice.model.attendance import Dismiss
from roomservice.model.room import Room
from tests.wired import SYSTEM_KEY, Wired, wired


@pytest.fixture
async def service() -> Any:
    async with wired(rooms_per_user=3) as running:
        yield running


async def room_of(service: Wired, token: str, **settings: Any) -> str:
    asked = {"title": "Jazz", "settings": {"mode": "free", **settings}}
    return str((await service.call("POST", "/v1/rooms", token, json=asked)).raise_for_status().json()["id"])


async def becomes(service: Wired, room: str, what: Callable[[Room], bool]) -> Room:
    """Soon."""
    for _ in range(400):
        known = (await service.engine.read(ROOM, room)).room
        if what(known):
            return known
        await asyncio.sleep(0.05)
    raise AssertionError(known)


async def test_who_makes_and_enters_a_room_over_http_and_sends_no_heartbeats_is_missed(service: Wired) -> None:
    ann, bob = await service.token("ann"), await service.token("bob")
    room = await room_of(service, ann)
    await service.call("POST", f"/v1/rooms/{room}/attendees:enter", bob)
    taken = await service.call("POST", f"/v1/rooms/{room}/seats:take", bob, json={"seat": 2})
    assert taken.status_code == 200
    assert set((await service.engine.read(ROOM, room)).room.attendees) == {"ann", "bob"}
    service.ahead[0] += 46
    await becomes(service, room, lambda known: set(known.away) == {"ann", "bob"})
    service.ahead[0] += 31
    known = await becomes(service, room, lambda known: not known.attendees)
    assert known.seat_of("bob") is None
    service.ahead[0] += 121
    await becomes(service, room, lambda known: known.dismissed_at is not None)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("attendees:enter", {}),
        ("seats:take", {"seat": 2}),
        ("hands:raise", {}),
        ("invites:answer", {"accept": True}),
    ],
)
async def test_what_brings_him_to_a_seat_says_that_he_is_there(service: Wired, path: str, body: Any) -> None:
    bob = await service.token("bob")
    room = await room_of(service, await service.token("ann"), mode="request")
    await service.call("POST", f"/v1/rooms/{room}/{path}", bob, json=body)
    assert [one.device for one in (await service.presence.online(["bob"]))["bob"]] == ["d1"]
    refused = await service.call("POST", f"/v1/rooms/{room}/{path}", SYSTEM_KEY, json=body)
    assert refused.status_code == 403


async def test_who_sends_heartbeats_over_http_stays(service: Wired) -> None:
    ann = await service.token("ann")
    room = await room_of(service, ann)
    for _ in range(4):
        service.ahead[0] += 40
        assert (await service.call("POST", "/v1/heartbeat", ann)).status_code == 200
    await asyncio.sleep(2.5)  # it is swept meanwhile
    assert not (await service.engine.read(ROOM, room)).room.away


async def test_rooms_of_the_appserver_api_go_on_without_sessions_and_count(service: Wired) -> None:
    asked = {"username": "ann", "password": "ann's password"}
    token = (await service.http.post("/login", json=asked)).raise_for_status().json()["token"]
    made = [await service.call("POST", "/create", token, json={"anchor": "ann", "title": "Jazz"}) for _ in range(3)]
    refused = await service.call("POST", "/create", token, json={"anchor": "ann", "title": "Jazz"})
    assert (refused.status_code, refused.json()["details"]["problem"]) == (400, "too-many-rooms")
    service.ahead[0] += 1000
    await asyncio.sleep(2.5)
    for answer in made:
        room = (await service.engine.read(ROOM, answer.raise_for_status().json()["id"])).room
        assert (room.dismissed_at, set(room.attendees), dict(room.away)) == (None, {"ann"}, {})


async def test_a_user_has_no_more_rooms_open_than_he_may(service: Wired) -> None:
    ann, bob = await service.token("ann"), await service.token("bob")
    rooms = [await room_of(service, ann) for _ in range(3)]
    refused = await service.call("POST", "/v1/rooms", ann, json={"title": "Jazz"})
    assert (refused.status_code, refused.json()["problem"]) == (409, "too-many-rooms")
    await service.call("POST", f"/v1/rooms/{rooms[0]}/attendees:enter", bob)
    handed = await service.call("POST", f"/v1/rooms/{rooms[0]}/attendees/bob:make_host", ann)
    assert handed.status_code == 200
    assert (await service.call("POST", "/v1/rooms", ann, json={"title": "Jazz"})).status_code == 409
    for _ in range(3):
        await room_of(service, bob)
    await service.engine.change(ROOM, rooms[1], lambda _: [Dismiss("ann")])
    await room_of(service, ann)
    assert (await service.call("POST", "/v1/rooms", ann, json={"title": "Jazz"})).status_code == 409


async def test_of_rooms_that_he_makes_at_once_each_is_counted(service: Wired) -> None:
    ann = await service.token("ann")
    made = [service.call("POST", "/v1/rooms", ann, json={"title": "Jazz"}) for _ in range(10)]
    assert sorted(answer.status_code for answer in await asyncio.gather(*made)) == [200] * 3 + [409] * 7


async def test_the_document_names_the_problem(service: Wired) -> None:
    paths = (await service.http.get("/v1/openapi.json")).json()["paths"]
    assert "too-many-rooms" in paths["/v1/rooms"]["post"]["responses"]["409"]["description"]
