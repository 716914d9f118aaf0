"""Groups, messages and attributes over real HTTP and WebSockets: what clients send, and what they are told."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from roomservice import model
from roomservice.model import attributes, groups, invitations, messages
from roomservice.model.calls import GRACE_S
from roomservice.model.groups import MAX_AT_ONCE
from roomservice.operations.everything import TABLE
from roomservice.operations.problems import PROBLEMS
from roomservice.storage.retention import Retention
from roomservice.wire.events import EVENTS
from tests.push_receiver import Browser
from tests.rpc import Rpc
from tests.wired import Wired, wired


@pytest.fixture
async def service() -> AsyncIterator[Wired]:
    async with wired() as made:
        yield made


class People:
    """Clients by name, connected until the test ends."""

    def __init__(self, service: Wired, stack: AsyncExitStack) -> None:
        self._service = service
        self._stack = stack

    async def come(self, *users: str) -> list[Rpc]:
        return [await self._stack.enter_async_context(await self._service.client(user)) for user in users]


@pytest.fixture
async def people(service: Wired) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        yield People(service, stack)


async def group(owner: Rpc, *members: Rpc, **profile: Any) -> str:
    name = str((await owner.call("create_group", **profile))["id"])
    for member in members:
        await member.call("join_group", group=name)
    return name


async def test_a_group_is_made_joined_led_and_dismissed(people: People) -> None:
    ann, bob, cyd = await people.come("ann", "bob", "cyd")
    name = await group(ann, bob, name="Jazz")
    assert (await ann.event("group_member_entered"))["data"]["user"] == "bob"
    await cyd.call("join_group", group=name, card="drums")
    assert (await bob.event("group_member_entered", user="cyd"))["data"]["card"] == "drums"
    page = await bob.call("get_member_list", group=name, limit=2)
    assert ([one["user"] for one in page["members"]], page["total"], page["next"]) == (["ann", "bob"], 3, "bob")
    page = await bob.call("get_member_list", group=name, after="bob")
    assert [(one["user"], one["role"], one["card"]) for one in page["members"]] == [("cyd", "member", "drums")]
    assert await bob.refused("get_member_list", group=name, after="dan") == "invalid-params"
    await ann.call("set_group_admin", group=name, user="bob")
    assert (await cyd.event("group_role", user="bob"))["data"]["role"] == "admin"
    await bob.call("set_group_profile", group=name, notice="Tonight", version=0)
    assert (await cyd.event("group_info"))["data"]["changed"] == {"notice": "Tonight"}
    await bob.call("set_group_attributes", group=name, values={"song": "So What"})
    assert (await cyd.event("group_attributes"))["data"]["changed"] == {"song": "So What"}
    assert await cyd.refused("remove_member", group=name, user="bob") == "not-permitted"
    await bob.call("remove_member", group=name, user="cyd")
    assert (await cyd.event("group_left"))["data"] == {"group": name, "user": "cyd", "why": "removed", "by": "bob"}
    await cyd.event("stream_left", stream=f"group:{name}")
    await ann.call("hand_over_group", group=name, user="bob")
    await ann.call("quit_group", group=name)
    await bob.event("group_member_left", user="ann")
    shown = await bob.call("get_groups")
    assert [(one["id"], one["role"], one["members"]) for one in shown["groups"]] == [(name, "owner", 1)]
    await bob.call("dismiss_group", group=name)
    await bob.event("group_dismissed")
    await bob.event("stream_left", stream=f"group:{name}")
    assert await bob.refused("send_message", group=name, text="hello") == "group-dismissed"
    assert await bob.refused("get_group", group="no such") == "no-such-thing"


async def test_messages_go_to_all_are_paged_recalled_and_marked_read(people: People) -> None:
    ann, bob = await people.come("ann", "bob")
    name = await group(ann, bob)
    media = {"url": "https://cdn.example.org/a.ogg", "mime": "audio/ogg", "duration_s": 2.5}
    for number in range(5):
        await bob.call("send_message", group=name, text=f"{number}", id=f"m-{number}")
    await ann.call("send_message", group=name, type="audio", media=media)
    await ann.call("send_message", group=name, type="custom", text='{"gift": "rose"}')
    told = await bob.event("message", type="custom")
    assert (told["data"]["number"], told["data"]["data"]["text"]) == (7, '{"gift": "rose"}')
    first = await bob.call("get_messages", group=name, limit=4)
    second = await bob.call("get_messages", group=name, limit=4, before=first["before"])
    assert [one["number"] for one in (*first["messages"], *second["messages"])] == [7, 6, 5, 4, 3, 2, 1]
    assert first["messages"][1]["data"]["media"] == media | {"name": "", "bytes": None}
    assert second["before"] is None
    await bob.call("recall_message", group=name, message="m-0")
    assert (await ann.event("message_recalled"))["data"]["id"] == "m-0"
    assert (await ann.call("get_messages", group=name, before=2))["messages"][0]["recalled"]
    assert (await ann.call("mark_read", group=name, number=6))["number"] == 6
    (conversation,) = (await ann.call("get_conversations"))["conversations"]
    assert (conversation["group"], conversation["last"], conversation["unread"]) == (name, 7, 1)


async def test_the_same_message_sent_again_is_one_message(people: People) -> None:
    (ann, bob) = await people.come("ann", "bob")
    first = await ann.call("send_direct_message", user="bob", text="hello", id="m-1")
    assert await ann.call("send_direct_message", user="bob", text="hello", id="m-1") == first
    await ann.call("send_direct_message", user="bob", text="on", id="m-2")
    await bob.event("message", id="m-2")
    assert [one["data"]["id"] for one in bob.events if one["event"] == "message"] == ["m-1", "m-2"]


async def test_who_returns_gets_the_messages_that_he_missed(service: Wired) -> None:
    async with await service.client("ann") as ann:
        async with await service.client("bob") as bob:
            seen = dict(bob.seen)
        for number in range(3):
            await ann.call("send_direct_message", user="bob", text=f"{number}")
        async with await service.client("bob", resume=seen) as bob:
            for number in range(3):
                assert (await bob.event("message"))["data"]["data"] == {
                    "text": f"{number}",
                    "mentions": [],
                    "to": "bob",
                }
            await bob.call("mark_direct_read", user="ann", number=3)
        assert (await ann.event("message_read"))["data"]["number"] == 3
        async with await service.client("bob") as bob:
            (conversation,) = (await bob.call("get_conversations"))["conversations"]
            assert (conversation["user"], conversation["unread"]) == ("ann", 0)
            page = await bob.call("get_direct_messages", user="ann")
            assert [one["data"]["text"] for one in page["messages"]] == ["2", "1", "0"]


async def test_a_room_s_audience_chats_and_is_silenced(people: People) -> None:
    ann, bob, cyd = await people.come("ann", "bob", "cyd")
    room = (await ann.call("create_room", title="Jazz"))["id"]
    await bob.call("login_room", room=room)
    await bob.call("send_message", group=room, text="good evening")
    assert (await ann.event("message"))["stream"] == f"room:{room}"
    assert await cyd.refused("send_message", group=room, text="hello") == "not-a-member"
    assert await bob.refused("silence_group", group=room) == "not-permitted"
    await ann.call("silence_member", group=room, user="bob", seconds=60)
    assert (await bob.event("group_silenced"))["data"]["user"] == "bob"
    assert await bob.refused("send_message", group=room, text="hello") == "chat-muted"
    shown = await bob.call("get_group", group=room)
    assert (shown["of_room"], shown["silenced"], shown["owner"], shown["members"]) == (True, True, "ann", 2)
    await bob.call("leave_room", room=room)
    assert await bob.refused("get_messages", group=room) == "not-a-member"
    await ann.call("dismiss_room", room=room)
    assert await ann.refused("send_message", group=room, text="hello") == "room-dismissed"


async def test_attributes_of_a_user_are_told_to_who_follows_him(people: People) -> None:
    ann, bob = await people.come("ann", "bob")
    await bob.call("subscribe_presence", users=["ann"])
    await ann.call("set_user_attributes", values={"mood": "fine", "gone": None})
    assert (await bob.event("user_attributes"))["data"] == {"user": "ann", "changed": {"mood": "fine"}, "version": 1}
    assert await ann.refused("set_user_attributes", values={"mood": "bad"}, version=0) == "stale-version"
    assert (await bob.call("get_user_attributes", user="ann"))["values"] == {"mood": "fine"}


async def test_what_is_too_much_is_refused_by_name(people: People) -> None:
    ann, bob = await people.come("ann", "bob")
    name = await group(ann)
    many = [f"u{number}" for number in range(MAX_AT_ONCE + 1)]
    for method, params, problem in (
        ("send_message", {"group": name, "text": "é" * 5000}, "message-too-large"),
        ("send_message", {"group": name, "text": ""}, "message-empty"),
        ("send_message", {"group": name, "type": "image", "text": "look"}, "message-empty"),
        ("send_message", {"group": name, "text": "x" * 9000}, "invalid-params"),
        ("send_message", {"group": name, "text": "x", "id": "../.."}, "invalid-params"),
        ("send_direct_message", {"user": "nobody", "text": "x"}, "no-such-user"),
        ("send_direct_message", {"user": "ann", "text": "x"}, "talks-to-himself"),
        ("invite_to_group", {"group": name, "users": many}, "invalid-params"),
        ("invite_to_group", {"group": name, "users": ["nobody"]}, "no-such-user"),
        ("set_user_attributes", {"values": {str(number): "x" for number in range(33)}}, "too-many-attributes"),
        ("set_user_attributes", {"values": {"k": "é" * 1500}}, "attribute-too-large"),
        ("set_group_profile", {"group": name, "name": "é" * 3000}, "too-much"),
        ("recall_message", {"group": name, "message": "m"}, "no-such-message"),
        ("get_push_key", {}, "no-push"),
    ):
        assert await ann.refused(method, **params) == problem, method
    for _ in range(30):
        if (refused := await _tried(bob, ann)) is not None:
            break
    assert refused == "too-fast"


async def _tried(sender: Rpc, to: Rpc) -> str | None:
    try:
        await sender.call("send_direct_message", user=to.welcome["user"], text="x")
    except Exception as refused:
        return str(getattr(refused, "problem", refused))
    return None


class Browsers:
    """Web Push as far as registering needs it."""

    public_key = "key"

    def takes(self, endpoint: str) -> bool:
        return endpoint.startswith("https://fcm.googleapis.com/")

    def reads(self, p256dh: str, auth: str) -> bool:
        return len(p256dh) > 80


async def test_a_browser_is_registered_for_pushes_and_not_any_address() -> None:
    async with wired(browsers=Browsers()) as service, await service.client("ann") as ann:
        browser = Browser("https://fcm.googleapis.com/fcm/send/1")
        subscription = {"endpoint": browser.endpoint, "keys": browser.keys, "expirationTime": None}
        assert (await ann.call("get_push_key"))["key"] == "key"
        await ann.call("register_push", **subscription)
        assert list((await service.world.talk.people.read("ann")).subscriptions) == [browser.endpoint]
        for wrong in ({"endpoint": "https://127.0.0.1/"}, {"keys": {"p256dh": "x", "auth": "y"}}):
            assert await ann.refused("register_push", **{**subscription, **wrong}) == "push-refused"
        await ann.call("unregister_push")
        assert not (await service.world.talk.people.read("ann")).subscriptions
        await ann.call("register_push", **subscription)
        await ann.call("logout")
        assert not (await service.world.talk.people.read("ann")).subscriptions


async def test_http_does_the_same_and_says_the_same_problems(service: Wired) -> None:
    ann, bob = await service.token("ann"), await service.token("bob")
    made = (await service.call("POST", "/v1/groups", ann, json={"name": "Jazz"})).json()
    path = f"/v1/groups/{made['id']}"
    refused = await service.call("POST", f"{path}/messages", bob, json={"text": "hello"})
    assert (refused.status_code, refused.json()["problem"]) == (403, "not-a-member")
    assert (await service.call("POST", f"{path}/members:join", bob, json={})).status_code == 200
    sent = await service.call("POST", f"{path}/messages", bob, json={"text": "hello"})
    assert (sent.status_code, sent.json()["number"]) == (200, 1)
    found = await service.call("GET", f"{path}/messages?limit=10&before=2", ann)
    assert [one["id"] for one in found.json()["messages"]] == [sent.json()["id"]]
    for body, status in (({"text": ""}, 422), ({"text": "é" * 4500}, 413), ({"text": 7}, 400)):
        assert (await service.call("POST", f"{path}/messages", bob, json=body)).status_code == status
    call = await service.call("POST", "/v1/calls", ann, json={"users": ["bob"]})
    assert (await service.call("GET", "/v1/calls/current", bob)).json()["call"]["id"] == call.json()["id"]
    assert (await service.call("GET", "/v1/groups/none", ann)).status_code == 404


async def test_who_calls_over_http_alone_and_is_silent_is_missed(service: Wired) -> None:
    ann = await service.token("ann")
    async with await service.client("bob") as bob:
        call = (await service.call("POST", "/v1/calls", ann, json={"users": ["bob"]})).json()["id"]
        await bob.event("call_incoming")
        await bob.call("answer_call", call=call)
        (session,) = (await service.presence.online(["ann"]))["ann"]
        await service.presence.end(session, "expired")
        await bob.event("call_party_lost", user="ann")
        service.ahead[0] += GRACE_S
        assert (await bob.event("call_ended"))["data"]["call"] == call


def test_the_guide_names_what_there_is() -> None:
    """docs/talk.md: operations, events, fields and problems by name, and the limits as they are."""
    text = (Path(__file__).parent.parent / "docs/talk.md").read_text(encoding="utf-8")
    fields = {name for one in TABLE.values() for name in (*one.params.model_fields, *one.result.model_fields)}
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text))
    assert named - TABLE.keys() - EVENTS.keys() - fields == {"call_stopped"}, "which is pushed only"
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", text)) - {"webhook-id"} <= PROBLEMS.keys()
    of_talk = [one.name for one in TABLE.values() if one.tag in ("groups", "messages", "signalling", "calls", "push")]
    assert [name for name in of_talk if f"`{name}`" not in text] == []
    numbers = (
        *(groups.MAX_MEMBERS, groups.MAX_GROUPS, messages.MAX_TEXT_BYTES, Retention().messages),
        *(attributes.MAX_KEYS, attributes.MAX_VALUE_BYTES, groups.MAX_PROFILE_BYTES, invitations.MAX_INVITEES),
    )
    assert [number for number in numbers if f"{number:,}" not in text] == []


def test_every_event_of_the_model_is_documented() -> None:
    told = re.compile(r'Tell\(\s*"(\w+)"|event = "(\w+)"|"(call_\w+|invitee_\w+)" if')
    texts = [file.read_text(encoding="utf-8") for file in Path(model.__path__[0]).glob("*.py")]
    names = {name for text in texts for found in told.findall(text) for name in found if name}
    assert len(names) > 50
    assert names - EVENTS.keys() == set()
