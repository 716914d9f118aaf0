"""The wire over real sockets: hello, calls, events and resuming; presence; and clients who mean harm."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rpc import Rpc
from tests.wired import Wired, wired


@pytest.fixture
async def service() -> Any:
    async with wired() as running:
        yield running


async def room_of(host: Rpc, **settings: Any) -> str:
    return str((await host.call("create_room", title="Jazz", settings=settings))["id"])


async def test_who_says_hello_is_known_and_gets_his_rooms_events(service: Wired) -> None:
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        assert (ann.welcome["user"], ann.welcome["device"], ann.welcome["reload"]) == ("ann", "d1", [])
        room = await room_of(ann)
        entered = await bob.call("login_room", room=room, nick="Bob")
        assert (entered["host"], entered["online"], entered["visits"]) == ("ann", 2, 1)
        assert (await ann.event("attendee_entered"))["data"]["nick"] == "Bob"
        await bob.call("operate_raise_hand", room=room)
        await ann.event("hand_raised", user="bob")
        await ann.call("answer_raise_hand", room=room, user="bob", approve=True)
        taken = await bob.event("seat_taken")
        assert taken["stream"] == f"room:{room}"
        assert taken["data"] == {"user": "bob", "seat": 1, "role": "speaker", "mutes": []}
        assert await bob.refused("take_seat", room=room, seat=5) == "already-seated"
        assert await bob.refused("lock_seat", room=room, seat=5) == "not-permitted"
        numbers = [one["seq"] for one in ann.events if one["stream"] == f"room:{room}"]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
