"""The flows of the Tencent document (shared/seeds/004), over real WebSockets, with a real media server and aiortc's
peers where somebody speaks. Callbacks are called as the document has them: the field `callback` of what is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.client import until
from tests.phones import Phone, Phones, phones
from tests.server import Server
from tests.test_rooms import ANN_HZ, BOB_HZ, hears, loudness

TIMEOUT_S = 30.0


@pytest.fixture
async def town(server: Server) -> AsyncIterator[Phones]:
    async with phones(server.url) as made:
        yield made


async def callback(phone: Phone, name: str) -> dict[str, Any]:
    """What came with the next callback of this name."""
    event = {
        "onReceiveNewInvitation": "invitation_received",
        "onInviteeAccepted": "invitee_accepted",
        "onInviteeRejected": "invitee_rejected",
        "onInvitationCancelled": "invitation_cancelled",
        "onInvitationTimeout": "invitation_timed_out",
    }[name]
    return dict((await phone.event(event, callback=name))["data"])


async def classroom(town: Phones, *students: str) -> tuple[str, list[Phone]]:
    """The teacher's group, and all phones, the teacher's first."""
    teacher, *others = everybody = await town.phones("teacher", *students)
    group = str((await teacher.call("create_group", name="class"))["id"])
    for phone in others:
        await phone.call("join_group", group=group)
    return group, everybody


# ---- one to one


async def test_invite_is_received_and_accepted(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    made = await ann.call("invite", user="bob", timeout_s=TIMEOUT_S, data="come")
    received = await callback(bob, "onReceiveNewInvitation")
    assert (received["inviter"], received["invitees"], received["data"]) == ("ann", ["bob"], "come")
    ended = await bob.call("accept", invitation=made["id"], data="coming")
    assert ended["ended"]
    for phone in (ann, bob):
        accepted = await callback(phone, "onInviteeAccepted")
        assert (accepted["invitee"], accepted["data"]) == ("bob", "coming")
    assert await bob.refused("accept", invitation=made["id"]) == "already-answered"
    assert await ann.refused("cancel", invitation=made["id"]) == "invitation-ended"


async def test_invite_is_rejected(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    made = await ann.call("invite", user="bob", timeout_s=TIMEOUT_S)
    await bob.call("reject", invitation=made["id"], data="no")
    assert (await callback(ann, "onInviteeRejected"))["data"] == "no"
    assert (await ann.call("get_invitation", invitation=made["id"]))["answers"] == {"bob": "rejected"}


async def test_invite_is_cancelled_before_it_is_handled(town: Phones) -> None:
    ann, bob, cyd = await town.phones("ann", "bob", "cyd")
    made = await ann.call("invite", user="bob", timeout_s=TIMEOUT_S)
    assert await bob.refused("cancel", invitation=made["id"]) == "not-the-inviter"
    assert await cyd.refused("accept", invitation=made["id"]) == "not-invited"
    await ann.call("cancel", invitation=made["id"], data="changed my mind")
    assert (await callback(bob, "onInvitationCancelled"))["data"] == "changed my mind"
    assert await bob.refused("accept", invitation=made["id"]) == "invitation-ended"


async def test_a_timeout_is_told_to_inviter_and_invitee(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    made = await ann.call("invite", user="bob", timeout_s=TIMEOUT_S)
    town.later(TIMEOUT_S)
    for phone in (ann, bob):
        late = await callback(phone, "onInvitationTimeout")
        assert (late["id"], late["invitees"]) == (made["id"], ["bob"])
    assert await bob.refused("accept", invitation=made["id"]) == "invitation-ended"


async def test_a_timeout_of_zero_is_none(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    open_ = await ann.call("invite", user="bob")
    timed = await ann.call("invite", user="bob", timeout_s=TIMEOUT_S)
    town.later(600)
    assert (await callback(bob, "onInvitationTimeout"))["id"] == timed["id"]
    assert (await bob.call("get_invitation", invitation=open_["id"]))["until"] is None
    await bob.call("accept", invitation=open_["id"])
    assert (await callback(ann, "onInviteeAccepted"))["id"] == open_["id"]


# ---- in a group


async def test_invite_in_group_is_of_members_and_ends_when_all_have_answered(town: Phones) -> None:
    group, (teacher, ann, bob, cyd) = await classroom(town, "ann", "bob", "cyd")
    stranger = await town.phone("stranger")
    for phone, users in ((teacher, ["stranger"]), (stranger, ["ann"])):
        assert await phone.refused("invite_in_group", group=group, users=users) == "not-a-member"
    made = await teacher.call("invite_in_group", group=group, users=["ann", "bob", "cyd"], timeout_s=TIMEOUT_S)
    for phone in (teacher, ann, bob, cyd):
        assert (await callback(phone, "onReceiveNewInvitation"))["invitees"] == ["ann", "bob", "cyd"]
    assert not (await ann.call("accept", invitation=made["id"]))["ended"]
    assert not (await bob.call("reject", invitation=made["id"]))["ended"]
    town.later(TIMEOUT_S)
    assert (await callback(teacher, "onInvitationTimeout"))["invitees"] == ["cyd"]
    found = await cyd.call("get_invitation", invitation=made["id"])
    assert (found["answers"], found["ended"]) == ({"ann": "accepted", "bob": "rejected", "cyd": "timed out"}, True)
    assert await stranger.refused("get_invitation", invitation=made["id"]) == "not-a-member"


async def test_the_group_s_events_are_listened_to(town: Phones) -> None:
    """V2TimGroupListener: enter, leave, kicked, profile, admin, dismissed."""
    group, (teacher, ann, bob) = await classroom(town, "ann", "bob")
    await teacher.event("group_member_entered", user="bob")
    await teacher.call("set_group_admin", group=group, user="ann")
    await ann.call("set_group_profile", group=group, notice="Homework")
    await bob.event("group_role", user="ann", role="admin")
    assert (await bob.event("group_info"))["data"]["changed"] == {"notice": "Homework"}
    await bob.call("quit_group", group=group)
    await ann.event("group_member_left", user="bob", why="quit")
    await teacher.call("remove_member", group=group, user="ann")
    await ann.event("group_left", why="removed")
    await teacher.call("dismiss_group", group=group)
    await teacher.event("group_dismissed")


# ---- the document's cases


async def test_a_call_of_two_by_invitation_with_the_room_in_its_data(town: Phones) -> None:
    """Steps 1 to 5 of the document's first case; its room is a voice room of ours."""
    ann, bob = await town.phones("ann", "bob")
    settings = {"mode": "free", "scenario": "call", "seats": 2}
    room = (await ann.call("create_room", title="call", settings=settings))["id"]
    made = await ann.call("invite", user="bob", timeout_s=60, data=json.dumps({"roomID": room}))
    received = await callback(bob, "onReceiveNewInvitation")
    entered = json.loads(received["data"])["roomID"]
    await bob.call("accept", invitation=made["id"])
    await bob.call("login_room", room=entered)
    await bob.call("take_seat", room=entered)
    await callback(ann, "onInviteeAccepted")
    (_, ear), (_, bobs_ear) = await _seated(ann, room, ANN_HZ), await _seated(bob, entered, BOB_HZ)
    await asyncio.gather(hears(ear, BOB_HZ), hears(bobs_ear, ANN_HZ))
    town.later(75)
    await bob.call("leave_room", room=room)
    left = await ann.event("attendee_left", user="bob")
    begun = next(one["at"] for one in ann.rpc.events if one["event"] == "attendee_entered")
    duration_s = round(left["at"] - begun)
    assert 75 <= duration_s < 100
    await ann.call("invite", user="bob", data=json.dumps({"ended": True, "duration_s": duration_s}))
    last = await callback(bob, "onReceiveNewInvitation")
    assert json.loads(last["data"]) == {"ended": True, "duration_s": duration_s}


async def test_a_call_of_two_by_invitation_is_rejected_by_a_busy_line(town: Phones) -> None:
    ann, bob = await town.phones("ann", "bob")
    made = await ann.call("invite", user="bob", timeout_s=60, data=json.dumps({"roomID": "7"}))
    await callback(bob, "onReceiveNewInvitation")
    await bob.call("reject", invitation=made["id"], data=json.dumps({"line": "busy"}))
    assert json.loads((await callback(ann, "onInviteeRejected"))["data"]) == {"line": "busy"}


async def test_the_teacher_has_hands_raised_and_lets_one_student_speak(town: Phones) -> None:
    """Steps 1 to 6 of the document's second case, in the audience group of a room; who is let speak is heard."""
    teacher, ann, bob, cyd = everybody = await town.phones("teacher", "ann", "bob", "cyd")
    room = (await teacher.call("create_room", title="class", settings={"mode": "invitation"}))["id"]
    for student in (ann, bob, cyd):
        await student.call("login_room", room=room)
    hands = await teacher.call(
        "invite_in_group", group=room, users=["ann", "bob", "cyd"], timeout_s=TIMEOUT_S, data="raise hands"
    )
    for student in (ann, bob, cyd):
        received = await callback(student, "onReceiveNewInvitation")
        assert (received["data"], student.user in received["invitees"]) == ("raise hands", True)
    for student in (ann, bob):
        await student.call("accept", invitation=hands["id"], data="raise hands")
    for phone in everybody:
        raised = [await callback(phone, "onInviteeAccepted") for _ in range(2)]
        assert [(one["invitee"], one["data"]) for one in raised] == [("ann", "raise hands"), ("bob", "raise hands")]

    speak = await teacher.call("invite_in_group", group=room, users=["bob"], timeout_s=TIMEOUT_S, data="speak")
    for phone in everybody:
        assert (await _about(phone, speak["id"]))["invitees"] == ["bob"]
    assert await ann.refused("accept", invitation=speak["id"]) == "not-invited"
    await bob.call("accept", invitation=speak["id"], data="speak")
    for phone in everybody:
        accepted = await callback(phone, "onInviteeAccepted")
        assert (accepted["invitee"], accepted["data"]) == ("bob", "speak")
    await teacher.call("invite_onstage", room=room, user="bob")
    await bob.call("response_onstage_invite", room=room, accept=True)
    media = await cyd.call("get_addresses", room=room)
    ear = await cyd.hears(media["whep"])
    await _seated(teacher, room, ANN_HZ)
    await _seated(bob, room, BOB_HZ)
    await asyncio.gather(hears(ear, ANN_HZ), hears(ear, BOB_HZ))
    await teacher.call("set_listener", room=room, user="bob")
    await until(lambda: loudness(ear, BOB_HZ) < -50, say="bob speaks no more")
    await hears(ear, ANN_HZ)


async def _about(phone: Phone, invitation: str) -> dict[str, Any]:
    while (received := await callback(phone, "onReceiveNewInvitation"))["id"] != invitation:
        pass
    return received


async def _seated(phone: Phone, room: str, pitch_hz: int) -> tuple[Any, Any]:
    """Speaks and hears in a room where he has a seat."""
    media = await phone.call("get_addresses", room=room)
    return await phone.speaks(media["whip"], pitch_hz), await phone.hears(media["whep"])
