"""Talk on databases, where transactions come between one another: many do the same at once, and nothing is lost,
doubled or out of order."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from roomservice.model.calls import RING_S, AnswerCall, HangUp, State
from roomservice.model.errors import Illegal
from roomservice.model.groups import Join, Quit
from roomservice.model.invitations import Accept, Cancel, Reject
from roomservice.model.messages import Content, Kind
from roomservice.model.person import SetAttributes
from roomservice.storage.opening import open_storage
from tests.talking import Town
from tests.test_rs_talk_groups import jazz


@pytest.fixture
async def town(storage_url: str) -> AsyncIterator[Town]:
    storage = open_storage(storage_url)
    await storage.start()
    yield Town(storage=storage)
    await storage.close()


async def test_messages_of_many_at_once_are_numbered_without_gaps_and_told_in_order(town: Town) -> None:
    group = await jazz(town, "bob", "cyd", "dan")
    users = ("ann", "bob", "cyd", "dan")
    sent = await asyncio.gather(
        *(
            town.talk.messages.to_group(user, group, Content(Kind.TEXT, f"{number}"), f"{user}-{number}")
            for number in range(6)
            for user in users
            for _ in range(2)  # each is sent twice, as after a broken connection
        )
    )
    assert sorted({one.number for one in sent}) == list(range(1, 25))
    assert [one["number"] for one in await town.told(f"group:{group}", "message")] == list(range(1, 25))
    kept = await town.talk.messages.of_group("ann", group, None, 100)
    assert [one.number for one in kept] == list(range(24, 0, -1))


async def test_members_come_and_go_at_once_and_who_follows_is_who_is_in(town: Town) -> None:
    group = await jazz(town)
    names = [f"u{number}" for number in range(12)]
    await asyncio.gather(*(town.talk.groups.command(group, Join(name)) for name in names))
    await asyncio.gather(*(town.talk.groups.command(group, Quit(name)) for name in names[::2]))
    people = set((await town.talk.groups.gather(group)).people)
    assert people == {"ann", *names[1::2]} == set(await town.storage.followers(f"group:{group}"))


async def test_of_answers_at_once_one_ends_the_invitation(town: Town) -> None:
    invitation = await town.talk.invitations.invite("ann", "bob", 30, "")
    answers = (Accept("bob"), Reject("bob"), Cancel("ann"), Accept("bob"))
    done = await asyncio.gather(
        *(town.talk.invitations.answer(invitation.id, one) for one in answers), return_exceptions=True
    )
    assert [type(one) for one in done].count(Illegal) == 3
    assert len(await town.storage.records("bob", "invitation", None, 10)) == 1
    town.now += 31
    await town.fire()
    assert await town.told("user:bob", "invitation_timed_out") == []


async def test_nobody_is_in_two_calls_whoever_calls_whom_at_once(town: Town) -> None:
    names = [f"u{number}" for number in range(6)]
    for name in names:
        await town.comes(name)
    done: list[Any] = await asyncio.gather(
        *(town.talk.calls.start(by, f"{by}-1", [user for user in names if user != by][:2], "") for by in names),
        return_exceptions=True,
    )
    going = [one for one in done if not isinstance(one, BaseException) and one.ended_at is None]
    engaged = [user for call in going for user in call.of(State.RINGING, State.IN)]
    assert going
    assert len(engaged) == len(set(engaged))
    assert all(isinstance(one, Illegal) for one in done if isinstance(one, BaseException)), done
    call = going[0]
    callee = call.of(State.RINGING)[0]
    answers = [AnswerCall(callee, f"{callee}-{device}") for device in range(4)]
    both = await asyncio.gather(*(town.talk.calls.command(call.id, one) for one in answers), return_exceptions=True)
    assert [type(one) for one in both].count(Illegal) == 3
    town.now += RING_S
    await asyncio.gather(town.fire(), town.fire())
    await town.talk.calls.command(call.id, HangUp(call.caller, f"{call.caller}-1"))
    for user in names:
        assert await town.talk.calls.of(user) is None
    assert len(await town.talk.calls.history(callee, None, 10)) == len(
        {one.id for one in await town.talk.calls.history(callee, None, 10)}
    )


async def test_attributes_changed_at_once_have_each_its_version(town: Town) -> None:
    await asyncio.gather(*(town.talk.people.command("ann", SetAttributes({f"k{n}": "v"})) for n in range(8)))
    known = (await town.talk.people.read("ann")).attributes
    assert (len(known.values), known.version) == (8, 8)
    assert [one["version"] for one in await town.told("presence:ann", "user_attributes")] == list(range(1, 9))
