"""Signalling and calls by the engine, on a storage in memory: who rings, who is told, and what is recorded."""

import asyncio
from typing import Any

import pytest

from roomservice.engine import NotFound
from roomservice.interface import Addresses
from roomservice.model.calls import GRACE_S, RING_S, AnswerCall, HangUp, MuteParty, RejectCall, RemoveParty, State
from roomservice.model.errors import Illegal
from roomservice.model.groups import Join, Profile
from roomservice.model.invitations import Accept, Answer, Cancel, Reject
from tests.talking import NoMedia, Town
from tests.test_rs_talk_groups import problem, room


async def town(*online: str) -> Town:
    made = Town()
    for user in online:
        await made.comes(user)
    return made


# ---- signalling


async def test_an_invitation_is_received_answered_and_recorded_once() -> None:
    here = await town("ann", "bob")
    invitation = await here.talk.invitations.invite("ann", "bob", 30, "room 7")
    (received,) = await here.told("user:bob", "invitation_received")
    assert (received["callback"], received["data"], received["until"]) == (
        "onReceiveNewInvitation",
        "room 7",
        here.now + 30,
    )
    assert await here.pushed() == []
    answered = await here.talk.invitations.answer(invitation.id, Accept("bob", "coming"))
    assert answered.ended
    assert (await here.told("user:ann", "invitee_accepted"))[0]["data"] == "coming"
    assert await problem(here.talk.invitations.answer(invitation.id, Reject("bob"))) == "already-answered"
    (record,) = await here.storage.records("bob", "invitation", None, 10)
    assert record.data["answers"] == {"bob": "accepted"}


async def test_of_two_answers_at_once_one_counts() -> None:
    here = await town("ann", "bob")
    invitation = await here.talk.invitations.invite("ann", "bob", 30, "")
    commands = (Accept("bob"), Reject("bob"), Cancel("ann"))
    done = await asyncio.gather(
        *(here.talk.invitations.answer(invitation.id, command) for command in commands), return_exceptions=True
    )
    assert [type(one) for one in done].count(Illegal) == 2
    assert len(await here.storage.records("ann", "invitation", None, 10)) == 1


async def test_a_timeout_fires_once_for_all_who_are_late_and_zero_is_none() -> None:
    here = await town("ann", "bob")
    await here.talk.invitations.invite("ann", "bob", 30, "")
    never = await here.talk.invitations.invite("ann", "bob", 0, "")
    here.now += 31
    await asyncio.gather(here.fire(), here.fire())
    for user in ("ann", "bob"):
        (late,) = await here.told(f"user:{user}", "invitation_timed_out")
        assert (late["callback"], late["invitees"]) == ("onInvitationTimeout", ["bob"])
    assert not (await here.talk.invitations.read("bob", never.id)).ended
    here.now += 7 * 24 * 3600
    await here.fire()
    with pytest.raises(NotFound):
        await here.talk.invitations.read("bob", never.id)
    assert len(await here.told("user:ann", "invitation_timed_out")) == 1


async def test_an_invitation_in_a_group_is_told_to_the_group_and_read_by_it() -> None:
    here = await town("ann")
    group = (await here.talk.groups.create("ann", Profile())).id
    for user in ("bob", "cyd"):
        await here.talk.groups.command(group, Join(user))
    invitation = await here.talk.invitations.invite_in_group("ann", group, ["bob"], 0, "raise hands")
    assert [user for user, _, _ in await here.pushed()] == ["bob"]
    await here.talk.invitations.answer(invitation.id, Accept("bob", "raise hands"))
    names = [event.name for event in await here.events(f"group:{group}")]
    assert names[-2:] == ["invitation_received", "invitee_accepted"]
    assert (await here.talk.invitations.read("cyd", invitation.id)).invitees == {"bob": Answer.ACCEPTED}
    assert await problem(here.talk.invitations.read("dan", invitation.id)) == "not-a-member"
    assert await problem(here.talk.invitations.invite_in_group("ann", group, ["dan"], 0, "")) == "not-a-member"
    assert await problem(here.talk.invitations.invite_in_group("dan", group, ["bob"], 0, "")) == "not-a-member"


async def test_an_invitation_among_a_room_s_audience_is_told_in_the_room() -> None:
    here = await town("ann")
    name = await room(here, "bob", "cyd")
    await here.talk.invitations.invite_in_group("ann", name, ["bob", "cyd"], 0, "raise hands")
    assert len(await here.told("room:r", "invitation_received")) == 1


# ---- calls


async def test_a_call_rings_is_answered_and_recorded_with_its_duration() -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "hi")
    assert (await here.told("user:bob", "call_incoming"))[0]["until"] == here.now + RING_S
    assert (await here.talk.calls.of("bob")) == call
    here.now += 5
    await here.talk.calls.command(call.id, AnswerCall("bob", "bob-1"))
    for user in ("ann", "bob"):
        found = await here.talk.calls.addresses(user, f"{user}-1", call.id)
        assert found.whip == f"whip/{call.id}/{user}"
    here.now += 60
    await here.talk.calls.command(call.id, HangUp("bob", "bob-1"))
    for user in ("ann", "bob"):
        (record,) = await here.talk.calls.history(user, None, 10)
        assert (record.data["reason"], record.data["duration_s"]) == ("completed", 60)
        assert (await here.told(f"user:{user}", "call_ended"))[0]["duration_s"] == 60
        assert await here.talk.calls.of(user) is None
    assert await problem(here.talk.calls.addresses("ann", "ann-1", call.id)) == "not-in-call"


async def test_a_token_that_comes_after_its_user_has_left_the_call_is_not_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    await here.talk.calls.command(call.id, AnswerCall("bob", "bob-1"))

    async def addresses(_: object, room: str, user: str, *, may_publish: bool) -> Addresses:
        await here.talk.calls.command(call.id, RemoveParty("ann", user))
        return Addresses("whip", "whep")

    monkeypatch.setattr(NoMedia, "addresses", addresses)
    assert await problem(here.talk.calls.addresses("bob", "bob-1", call.id)) == "not-in-call"


async def test_nobody_but_its_parties_sees_a_call_and_only_who_is_in_hears_it() -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    assert await problem(here.talk.calls.read("cyd", call.id)) == "not-in-call"
    assert await problem(here.talk.calls.addresses("cyd", "cyd-1", call.id)) == "not-in-call"
    assert await problem(here.talk.calls.addresses("bob", "bob-1", call.id)) == "not-in-call"
    await here.talk.calls.command(call.id, AnswerCall("bob", "bob-1"))
    assert await problem(here.talk.calls.addresses("bob", "bob-2", call.id)) == "answered-elsewhere"
    await here.talk.calls.command(call.id, RemoveParty("ann", "bob"))
    assert await problem(here.talk.calls.addresses("bob", "bob-1", call.id)) == "not-in-call"


async def test_who_is_engaged_is_busy_and_who_calls_twice_is_too() -> None:
    here = await town("ann", "bob", "cyd")
    first = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    assert await problem(here.talk.calls.start("ann", "ann-2", ["cyd"], "")) == "busy"
    second = await here.talk.calls.start("cyd", "cyd-1", ["bob"], "")
    assert second.reason == "busy"
    assert (await here.told("user:bob", "call_missed"))[0]["reason"] == "busy"
    assert (await here.talk.calls.of("bob")) == first
    assert await here.talk.calls.of("cyd") is None


async def test_of_many_who_call_one_another_at_once_nobody_is_in_two_calls() -> None:
    names = [f"u{number}" for number in range(8)]
    here = await town(*names)
    done: list[Any] = await asyncio.gather(
        *(
            here.talk.calls.start(by, f"{by}-1", [user for user in names if user != by][:3], "")
            for by in names
            for _ in range(2)
        ),
        return_exceptions=True,
    )
    assert all(isinstance(one, Illegal) or hasattr(one, "parties") for one in done)
    going = [one for one in done if not isinstance(one, Illegal) and one.ended_at is None]
    engaged = [user for call in going for user in call.of(State.RINGING, State.IN)]
    assert going
    assert len(engaged) == len(set(engaged))


async def test_who_is_offline_is_pushed_to_and_the_call_waits_for_him() -> None:
    here = await town("ann")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "hi")
    assert [(user, event, data["call"]) for user, event, data in await here.pushed()] == [
        ("bob", "call_incoming", call.id)
    ]
    here.now += RING_S - 1
    await here.fire()
    await here.comes("bob")
    found = await here.talk.calls.of("bob")
    assert found is not None
    await here.talk.calls.command(found.id, RejectCall("bob", "later"))
    assert (await here.told("user:ann", "call_party_left", "call_ended"))[0]["data"] == "later"
    assert [event for _, event, _ in await here.pushed()] == ["call_stopped"]


async def test_nobody_answers_for_a_minute_and_both_ends_hear_so() -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    here.now += RING_S
    await asyncio.gather(here.fire(), here.fire())
    for user in ("ann", "bob"):
        (ended,) = await here.told(f"user:{user}", "call_ended")
        assert ended == {"call": call.id, "reason": "timed out", "duration_s": 0}
    assert len(await here.talk.calls.history("ann", None, 10)) == 1


async def test_a_device_that_is_lost_ends_the_call_after_the_grace_and_one_that_is_back_does_not() -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    await here.talk.calls.command(call.id, AnswerCall("bob", "bob-1"))
    await here.talk.calls.lost("bob", "bob-1", last=True)
    assert len(await here.told("user:ann", "call_party_lost")) == 1
    here.now += GRACE_S - 1
    await here.talk.calls.back("bob", "bob-1")
    here.now += GRACE_S
    await here.fire()
    assert (await here.talk.calls.read("ann", call.id)).ended_at is None
    await here.talk.calls.lost("ann", "ann-1", last=True)
    here.now += GRACE_S
    await here.fire()
    (record,) = await here.talk.calls.history("bob", None, 10)
    assert record.data["parties"]["ann"] == "crashed"  # type: ignore[index]
    await here.talk.calls.lost("cyd", "cyd-1", last=True)
    await here.talk.calls.back("ann", "ann-1")


async def test_a_callee_whose_last_device_goes_while_it_rings_is_pushed_to() -> None:
    here = await town("ann", "bob")
    await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    await here.talk.calls.lost("bob", "bob-1", last=False)
    assert await here.pushed() == []
    await here.talk.calls.lost("bob", "bob-1", last=True)
    assert [(user, event) for user, event, _ in await here.pushed()] == [("bob", "call_incoming")]


async def test_others_are_called_in_and_each_who_is_in_follows_the_call() -> None:
    here = await town("ann", "bob", "cyd")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    await here.talk.calls.command(call.id, AnswerCall("bob", "bob-1"))
    await here.talk.calls.call_in("bob", call.id, ["cyd", "ann"])
    await here.talk.calls.command(call.id, AnswerCall("cyd", "cyd-1"))
    assert sorted(await here.storage.followers(f"call:{call.id}")) == ["ann", "bob", "cyd"]
    await here.talk.calls.command(call.id, MuteParty("ann", "cyd"))
    assert (await here.told("user:bob", "call_muted"))[0]["mutes"] == ["host"]
    assert await problem(here.talk.calls.command(call.id, MuteParty("bob", "cyd"))) == "not-permitted"


async def test_a_call_that_has_ended_is_forgotten_after_a_day_and_its_record_is_not() -> None:
    here = await town("ann", "bob")
    call = await here.talk.calls.start("ann", "ann-1", ["bob"], "")
    await here.talk.calls.command(call.id, HangUp("ann", "ann-1"))
    here.now += 24 * 3600 + 1
    await here.fire()
    with pytest.raises(NotFound):
        await here.talk.calls.read("ann", call.id)
    assert len(await here.talk.calls.history("ann", None, 10)) == 1
