"""The wire over real sockets: hello, calls, events and resuming; presence; and clients who mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from roomservice.commit import Commit, Event
from roomservice.interface import Addresses
from roomservice.settings import DevicePolicy
from roomservice.storage.memory import MemoryStorage
from tests.client import until
from tests.rpc import Rpc
from tests.wired import Wired, wired


@pytest.fixture
async def service() -> Any:
    async with wired() as running:
        yield running


@pytest.fixture
async def frozen() -> Any:
    """A service whose clock stands still: allowances do not come back while a slow machine is at work."""
    now = time.time()
    async with wired(clock=lambda: now) as running:
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


@pytest.mark.parametrize(("method", "said"), [("kick", "not-in-room"), ("ban", "not-in-room"), ("", "room-dismissed")])
async def test_addresses_that_come_after_their_user_was_sent_out_are_not_given(
    service: Wired, monkeypatch: pytest.MonkeyPatch, method: str, said: str
) -> None:
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        room = await room_of(ann)
        await bob.call("login_room", room=room)
        given = service.played.addresses

        async def addresses(name: str, user: str, *, may_publish: bool) -> Addresses:
            await (ann.call(method, room=room, user=user) if method else ann.call("dismiss_room", room=room))
            return await given(name, user, may_publish=may_publish)

        monkeypatch.setattr(service.played, "addresses", addresses)
        assert await bob.refused("get_addresses", room=room) == said


async def test_a_list_has_no_more_of_a_room_than_a_list_needs(service: Wired) -> None:
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        for _ in range(3):
            large = {"title": "\x01" * 256, "extends": "x" * 60_000, "settings": {"seats": 1000}}
            room = (await service.call("POST", "/v1/rooms", await service.token("ann"), json=large)).json()["id"]
            for first in range(0, 15, 5):
                values = {f"{number}": "x" * 4000 for number in range(first, first + 5)}
                await ann.call("set_room_info", room=room, values=values)
        (listed, *_) = (await bob.call("get_room_list"))["rooms"]
        assert listed["seats"] == [{"seat": 0, "user": "ann", "locked": False, "mutes": []}]
        assert (listed["extends"], listed["host"], listed["online"]) == ("", "ann", 1)
        assert not {"info", "hands", "invites", "admins"} & listed.keys()
        whole = await bob.call("get_room", room=room)
        assert (len(whole["extends"]), len(whole["info"]), len(whole["seats"])) == (60_000, 15, 1000)
        await ann.call("update_room", room=room, extends="small")
        assert (await bob.call("get_room_list"))["rooms"][0]["extends"] == "small"


# ---- hello, and coming back


async def test_before_hello_only_logging_in_is_answered(service: Wired) -> None:
    async with Rpc(service.url) as stranger:
        assert await stranger.refused("get_room_list") == "unauthorised"
        assert await stranger.refused("nonsense") == "no-such-operation"
        answer = await stranger.call("login", username="ann", password="ann's password", device_id="phone")
        assert await stranger.refused("hello", token="nonsense") == "unauthorised"
        assert await stranger.closed() == (4001, "unauthorised")
    async with Rpc(service.url) as ann:
        welcome = await ann.call("hello", token=answer["access_token"])
        assert (welcome["user"], welcome["device"], welcome["heartbeat_s"]) == ("ann", "phone", 15.0)
        assert (await ann.call("hello", token=answer["access_token"]))["session"] == welcome["session"]
        other = await service.token("ann", "tablet")
        assert await ann.refused("hello", token=other) == "unauthorised"


async def test_a_refresh_token_gets_new_tokens_and_opens_nothing(service: Wired) -> None:
    async with Rpc(service.url) as ann:
        issued = await ann.call("login", username="ann", password="ann's password", device_id="phone")
        assert await ann.refused("refresh_tokens", refresh_token=issued["access_token"]) == "unauthorised"
        newer = await ann.call("refresh_tokens", refresh_token=issued["refresh_token"])
        assert (newer["user"], newer["device"]) == ("ann", "phone")
        await ann.call("hello", token=newer["access_token"])
        assert (await service.call("GET", "/v1/devices", issued["refresh_token"])).status_code == 401


async def test_who_comes_back_misses_nothing(service: Wired) -> None:
    async with await service.client("ann") as ann:
        room = await room_of(ann)
        async with await service.client("bob") as bob:
            await bob.call("login_room", room=room)
            await bob.event("stream_followed", stream=f"room:{room}")
            await bob.event("attendee_entered", user="bob")
            seen = dict(bob.seen)
        for text in ("one", "two", "three"):
            await ann.call("send_command", room=room, text=text)
        await ann.call("send_command", room=room, text="for bob", to="bob")
        async with await service.client("bob", resume=seen) as bob:
            assert bob.welcome["reload"] == []
            await bob.event("custom_command", text="three")
            await bob.event("attendee_back", user="bob")
            texts = [one["data"]["text"] for one in bob.events if one["event"] == "custom_command"]
            assert sorted(texts) == ["for bob", "one", "three", "two"]
            for stream in (f"room:{room}", "user:bob"):
                numbers = [one["seq"] for one in bob.events if one["stream"] == stream]
                assert numbers == list(range(seen[stream] + 1, seen[stream] + 1 + len(numbers)))


async def test_who_was_in_no_such_room_is_told_to_reload(service: Wired) -> None:
    async with await service.client("ann", resume={"room:nowhere": 5, "user:ann": 99, "user:bob": 1}) as ann:
        assert set(ann.welcome["reload"]) == {"room:nowhere", "user:ann", "user:bob"}
        assert set(ann.welcome["streams"]) == {"user:ann"}


async def test_the_same_device_has_one_socket_and_another_has_its_own(service: Wired) -> None:
    async with await service.client("ann", "phone") as first, await service.client("ann", "tablet") as tablet:
        async with await service.client("ann", "phone"):
            assert await first.closed() == (4002, "replaced")
            found = (await tablet.call("get_devices"))["devices"]
            assert [one["device"] for one in found] == ["tablet", "phone"]
        await tablet.event("session_ended", reason="lost")


async def test_by_policy_the_second_device_sends_the_first_away() -> None:
    async with (
        wired(devices=DevicePolicy.REPLACE) as service,
        await service.client("ann", "phone") as phone,
        await service.client("ann", "tablet") as tablet,
    ):
        assert await phone.closed() == (4002, "replaced")
        assert len((await tablet.call("get_devices"))["devices"]) == 1


async def test_logging_out_ends_a_devices_sockets_and_tokens(service: Wired) -> None:
    token = await service.token("ann", "phone")
    async with await service.client("ann", "tablet") as tablet, Rpc(service.url, token) as phone:
        await tablet.call("end_device", device="phone")
        assert await phone.closed() == (4006, "ended")
        assert (await service.call("GET", "/v1/devices", token)).status_code == 401
        assert len((await tablet.call("get_devices"))["devices"]) == 1
        service.ahead[0] += 1
        again = await service.token("ann", "phone")
        assert (await service.call("GET", "/v1/devices", again)).status_code == 200
        await tablet.call("logout")
        assert await tablet.closed() == (4006, "ended")


# ---- presence


async def test_presence_is_asked_for_and_followed(service: Wired) -> None:
    await service.token("bob"), await service.token("cyd")
    async with await service.client("ann") as ann:
        now = await ann.call("subscribe_presence", users=["bob", "cyd"])
        assert [(one["user"], one["online"]) for one in now["users"]] == [("bob", False), ("cyd", False)]
        async with await service.client("bob", "phone"):
            await ann.event("presence_changed", user="bob", online=True, devices=["phone"])
            found = await ann.call("query_online", users=["bob", "cyd", "ann"])
            assert [one["online"] for one in found["users"]] == [True, False, True]
        await ann.event("presence_changed", user="bob", online=False)
        await ann.call("unsubscribe_presence", users=["bob", "cyd"])
        assert set((await ann.call("hello", token=await service.token("ann")))["streams"]) == set()
        assert list(await service.engine.storage.streams_of("ann")) == []


async def test_made_up_names_leave_nothing_behind_and_many_are_not_followed_again_and_again(
    frozen: Wired, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[Commit] = []
    commit = frozen.engine.storage.commit

    async def noting(wanted: Commit, now: float) -> Any:
        committed.append(wanted)
        return await commit(wanted, now)

    await frozen.token("bob")
    async with await frozen.client("ann") as ann:
        monkeypatch.setattr(frozen.engine.storage, "commit", noting)
        names = [f"nobody {number}" for number in range(500)]
        assert await ann.refused("subscribe_presence", users=["bob", *names[:9]]) == "no-such-user"
        await ann.call("unsubscribe_presence", users=names)
        assert committed == [], "nor are these streams counted"
        for method, count in (("subscribe_presence", 1), ("subscribe_presence", 1), ("unsubscribe_presence", 2)):
            await ann.call(method, users=["bob"])
            assert len(committed) == count
        for _ in range(2):
            await ann.call("unsubscribe_presence", users=names)
        assert await ann.refused("unsubscribe_presence", users=names) == "too-fast"


async def test_who_is_gone_is_lost_to_his_rooms_and_back_when_he_comes(service: Wired) -> None:
    async with await service.client("ann") as ann:
        room = await room_of(ann, mode="free")
        async with await service.client("bob", "phone") as bob:
            await bob.call("login_room", room=room)
            await bob.call("take_seat", room=room, seat=3)
            async with await service.client("bob", "tablet"):
                pass
            await ann.event("seat_taken", user="bob")
        await ann.event("attendee_lost", user="bob")
        view = await ann.call("get_room", room=room)
        assert view["seats"][3]["user"] == "bob"
        async with await service.client("bob", "phone"):
            await ann.event("attendee_back", user="bob")
        assert next(one for one in ann.events if one["event"] == "attendee_lost")["data"] == {"user": "bob"}


async def test_a_room_says_to_each_who_asks_what_he_is_in_it(service: Wired) -> None:
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        room = await room_of(ann, mode="free")
        assert (await bob.call("get_room", room=room))["own"] is None
        assert (await bob.call("login_room", room=room, nick="Bob"))["own"]["nick"] == "Bob"
        await bob.call("take_seat", room=room, seat=3)
        await ann.call("mute", room=room, user="bob")
        own = (await bob.call("get_room", room=room))["own"]
        assert [own[name] for name in ("user", "role", "seat", "mutes")] == ["bob", "speaker", 3, ["host"]]
        assert (await ann.call("get_room", room=room))["own"]["role"] == "host"
        await ann.call("kick", room=room, user="bob")
        assert (await bob.call("get_room", room=room))["own"] is None
        await ann.call("dismiss_room", room=room)
        view = await ann.call("get_room", room=room)
        assert (view["own"], view["status"]) == (None, 2)


async def test_heartbeats_over_http_keep_a_user_there_until_they_stop(service: Wired) -> None:
    ann, bob = await service.token("ann"), await service.token("bob", "watch")
    room = (await service.call("POST", "/v1/rooms", ann, json={"title": "Jazz"})).json()["id"]
    await service.call("POST", f"/v1/rooms/{room}/attendees:enter", bob)

    async def away() -> bool:
        found = (await service.call("GET", f"/v1/rooms/{room}/attendees?role=listener", bob)).json()
        assert [one["user"] for one in found["attendees"]] == ["bob"]
        return bool(found["attendees"][0]["away"])

    for _ in range(3):
        await service.call("POST", "/v1/heartbeat", bob)
        service.ahead[0] += 40
        assert (await service.presence.online(["bob"]))["bob"]
    service.ahead[0] += 10
    assert not (await service.presence.online(["bob"]))["bob"]
    for _ in range(400):
        if await away():
            break
        await asyncio.sleep(0.05)
    assert await away()
    await service.call("POST", "/v1/heartbeat", bob)
    assert not await away()


async def test_a_silent_socket_is_closed_and_its_session_ends() -> None:
    async with (
        wired(heartbeat_s=0.2) as service,
        await service.client("ann") as ann,
        await service.client("bob") as bob,
    ):
        await ann.call("subscribe_presence", users=["bob"])
        beating = asyncio.create_task(_beat(ann))
        assert await bob.closed() == (4004, "heartbeat-lost")
        await ann.event("presence_changed", user="bob", online=False)
        beating.cancel()


async def _beat(client: Rpc) -> None:
    while True:
        await client.call("heartbeat")
        await asyncio.sleep(0.05)


async def test_an_instance_that_ends_takes_no_session_and_no_seat_away() -> None:
    storage = MemoryStorage()
    async with wired(storage) as first:
        ann = await (await first.client("ann")).__aenter__()
        room = await room_of(ann)
        await ann.call("take_seat", room=room)
        seen = dict(ann.seen)
    assert await ann.closed() == (1012, "")
    await ann.__aexit__()
    assert len(await storage.sessions_of(["ann"])) == 1
    async with wired(storage) as second, await second.client("ann", resume=seen) as ann:
        assert ann.welcome["reload"] == []
        view = await ann.call("get_room", room=room)
        assert view["seats"][0]["user"] == "ann"
        assert not (await ann.call("get_attendee_list", room=room))["attendees"][0]["away"]
        assert not [one for one in ann.events if one["event"] == "attendee_lost"]


async def test_who_was_away_when_the_service_was_has_his_grace_anew() -> None:
    storage = MemoryStorage()
    async with wired(storage) as first, await first.client("ann") as ann:
        room = await room_of(ann, mode="free")
        async with await first.client("bob") as bob:
            await bob.call("login_room", room=room)
            await bob.call("take_seat", room=room, seat=3)
        await ann.event("attendee_lost", user="bob")
    async with wired(storage, clock=lambda: time.time() + 1000) as second, await second.client("bob") as bob:
        view = await bob.call("get_room", room=room)
        assert (view["seats"][3]["user"], view["host"], view["status"]) == ("bob", "ann", 1)


async def test_the_token_of_a_socket_expires_with_it(service: Wired) -> None:
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        service.ahead[0] += 3000
        await bob.call("hello", token=await service.token("bob"))
        service.ahead[0] += 700
        assert await ann.closed() == (4001, "unauthorised")
        await bob.call("heartbeat")


# ---- clients who mean harm


async def test_what_is_no_json_rpc_is_answered_and_at_last_closed(service: Wired) -> None:
    async with await service.client("ann") as ann:
        await ann.socket.send("[" * 60_000)
        await ann.call("heartbeat")
        for _ in range(20):
            await ann.socket.send("nonsense")
        assert await ann.closed() == (4009, "nonsense")


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"binary", 1003), ("x" * 70_000, 1009)],
)
async def test_a_message_that_cannot_be_one_closes_the_socket(service: Wired, message: Any, code: int) -> None:
    async with await service.client("ann") as ann:
        await ann.socket.send(message)
        assert (await ann.closed())[0] == code
    async with await service.client("ann") as ann:
        await ann.call("heartbeat")


async def test_who_asks_too_often_is_refused_and_at_last_closed(frozen: Wired) -> None:
    async with await frozen.client("ann") as ann:
        batch = '[{"jsonrpc": "2.0", "method": "heartbeat"}' + ', {"jsonrpc": "2.0", "method": "heartbeat"}' * 49 + "]"
        for _ in range(10):
            await ann.socket.send(batch)
        assert await ann.closed() == (4008, "too-often")
    async with await frozen.client("bob") as bob:
        await bob.call("heartbeat")


async def test_hello_is_not_said_without_end(frozen: Wired) -> None:
    token = await frozen.token("ann")
    async with Rpc(frozen.url, token) as ann:
        for _ in range(39):
            await ann.call("hello", token=token)
        assert await ann.refused("hello", token=token) == "too-often"
    async with await frozen.client("bob") as bob:
        await bob.call("heartbeat")


@pytest.mark.parametrize("path", ["/login", "/v1/login"])
async def test_passwords_are_not_tried_quickly_and_users_log_in(frozen: Wired, path: str) -> None:
    async def tried(user: str, password: str) -> int:
        return (await frozen.http.post(path, json={"username": user, "password": password})).status_code

    assert {await tried(f"user {number}", "right") for number in range(20)} == {200}
    answers = [await tried("user 1", f"wrong {number}") for number in range(15)]
    assert answers[0] == 401
    assert answers[-1] == 429
    frozen.ahead[0] += 3
    assert await tried("user 1", "right") == 200


async def test_the_appserver_api_takes_of_the_same_allowance(frozen: Wired) -> None:
    answer = await frozen.http.post("/login", json={"username": "ann", "password": "ann's password"})
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    async def made() -> httpx.Response:
        return await frozen.http.post("/create", json={"anchor": "ann", "title": "Jazz"}, headers=headers)

    told = [(await made()).status_code for _ in range(39)]
    assert told == [200] * 20 + [400] * 19, "so many rooms he may have, and calls that are refused count"
    listed = {"user_id": "ann", "page_num": 1, "page_size": 1}
    for _ in range(4):
        assert (await frozen.http.post("/list", json=listed, headers=headers)).status_code == 200
    refused = await made()
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json() == {"code": 429, "message": refused.json()["message"], "details": {"problem": "too-often"}}
    assert (await frozen.call("GET", "/v1/devices", await frozen.token("ann"))).status_code == 200
    assert (await frozen.call("GET", "/v1/devices", await frozen.token("ann"))).status_code == 429
    assert (await frozen.http.post("/list", json=listed)).status_code == 401


async def test_who_does_not_read_is_closed_and_holds_up_nobody(service: Wired, monkeypatch: Any) -> None:
    monkeypatch.setattr("roomservice.wire.protocol.LINGER_S", 0.1)
    async with await service.client("ann") as ann, _raw(service, await service.token("bob")) as bob:
        room = await room_of(ann)
        await bob.call("login_room", room=room)
        await ann.event("attendee_entered", user="bob")
        event = Event(f"room:{room}", "custom_command", {"text": "x" * 4000})
        for _ in range(3000):
            await service.engine.commit(Commit(events=(event,)))
            await asyncio.sleep(0)  # ann reads
        await ann.event("attendee_lost", user="bob")
        await until(lambda: len(service.wire.sockets.all) == 1, say="bob's socket is gone")
        assert sum(one["event"] == "custom_command" for one in ann.events) == 3000


async def test_pings_that_nobody_reads_the_answers_of_fill_no_memory(service: Wired) -> None:
    async def flood(bob: Raw) -> None:
        while True:
            bob.writer.write((b"\x89\xfd\x00\x00\x00\x00" + b"p" * 125) * 1000)
            await bob.writer.drain()

    async with _raw(service, await service.token("bob")) as bob:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood(bob), 30)
    async with await service.client("ann") as ann:
        await ann.call("heartbeat")


async def test_fragments_without_end_fill_no_memory(service: Wired) -> None:
    async with _raw(service, await service.token("bob")) as bob:
        bob.writer.write(b"\x01\x80\x00\x00\x00\x00" + b"\x00\x80\x00\x00\x00\x00" * 2000)
        await until(lambda: not service.wire.sockets.all, say="bob's socket is gone")


async def test_who_never_says_hello_is_closed(service: Wired, monkeypatch: Any) -> None:
    monkeypatch.setattr("roomservice.wire.socket.HELLO_S", 0.1)
    async with Rpc(service.url) as stranger:
        assert await stranger.closed() == (4005, "no-hello")


async def test_there_are_no_more_sockets_than_there_may_be(service: Wired) -> None:
    service.wire.sockets._most = 1
    async with await service.client("ann"):
        with pytest.raises(InvalidStatus, match="503"):
            await (await service.client("bob")).__aenter__()
    with pytest.raises(InvalidStatus, match="404"):
        await connect(service.url.replace("http", "ws") + "/v1/nothing", proxy=None)


async def test_text_that_is_no_utf_8_ends_the_socket_quietly(service: Wired, caplog: pytest.LogCaptureFixture) -> None:
    async with await service.client("ann") as ann:
        await ann.socket.send(b"\xff\xfe", text=True)
        assert (await ann.closed())[0] == 1007
    assert not caplog.records


# ---- a client that follows no rules, byte by byte


@dataclass
class Raw:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def call(self, method: str, **params: Any) -> None:
        """The answer is not read."""
        data = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        self.writer.write(b"\x81\xfe" + len(data).to_bytes(2, "big") + bytes(4) + data)
        await self.writer.drain()


@asynccontextmanager
async def _raw(service: Wired, token: str) -> AsyncIterator[Raw]:
    """Has said hello, and reads nothing more."""
    host, port = service.url.removeprefix("http://").split(":")
    client = Raw(*await asyncio.open_connection(host, int(port), limit=1 << 12))
    try:
        client.writer.write(
            b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await client.reader.readuntil(b"\r\n\r\n")
        await client.call("hello", token=token)
        assert b"session" in await client.reader.read(4000)
        yield client
    finally:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()
