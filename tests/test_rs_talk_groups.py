"""Groups and messages by the engine, on a storage in memory: who is told what, and what is kept."""

import asyncio

import pytest

from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.engine import NotFound
from roomservice.instance import Instance
from roomservice.model import rooms
from roomservice.model.attendance import Dismiss, Enter, Leave
from roomservice.model.errors import Illegal
from roomservice.model.groups import (
    MAX_GROUPS,
    AppointInGroup,
    DismissGroup,
    InviteMembers,
    Join,
    Joining,
    Profile,
    Quit,
    SetGroupAttributes,
    SetProfile,
    Silence,
)
from roomservice.model.listing import ListedRoom, Listing
from roomservice.model.messages import RECALL_S, Content, Kind, Reference
from roomservice.model.person import SetAttributes
from roomservice.model.room import Settings, UserInfo
from roomservice.push.both import PushByAll
from roomservice.service import Service
from roomservice.words import WordList
from tests.talking import NOW, NoMedia, Town

HELLO = Content(Kind.TEXT, "hello")


async def jazz(town: Town, *members: str, joining: Joining = Joining.OPEN) -> str:
    """ann's group."""
    group = await town.talk.groups.create("ann", Profile(name="Jazz", joining=joining))
    for member in members:
        await town.talk.groups.command(group.id, Join(member))
    return group.id


async def room(town: Town, *attendees: str) -> str:
    """ann's room."""
    inside, effects = rooms.create("r", "ann", Settings(), UserInfo(), town.now)
    listed = ListedRoom(Listing("r", "Jazz", "ann", town.now, town.now), inside)
    await town.engine.create(ROOM, "r", (listed, effects))
    for user in attendees:
        await town.engine.change(ROOM, "r", lambda _, user=user: [Enter(user)])  # type: ignore[misc]
    return "r"


async def problem(doing: object) -> str:
    with pytest.raises(Illegal) as caught:
        await doing  # type: ignore[misc]
    return caught.value.problem


# ---- groups


async def test_members_follow_the_group_and_who_left_does_not() -> None:
    town = Town()
    group = await jazz(town, "bob")
    assert await town.storage.followers(f"group:{group}") == ["ann", "bob"]
    assert [one.id for one in await town.talk.groups.of("bob")] == [group]
    await town.talk.groups.command(group, Quit("bob"))
    assert await town.storage.followers(f"group:{group}") == ["ann"]
    assert [event.name for event in await town.events("user:bob")] == ["stream_followed", "group_left", "stream_left"]
    await town.talk.groups.command(group, DismissGroup("ann"))
    assert [event.name for event in await town.events("user:ann")][-1] == "stream_left"
    assert (await town.told("user:ann"))[-1]["last"] == len(await town.events(f"group:{group}"))
    assert await town.talk.groups.of("ann") == []


async def test_a_group_that_was_dismissed_is_forgotten_after_a_day() -> None:
    town = Town()
    group = await jazz(town)
    await town.talk.groups.command(group, DismissGroup("ann"))
    assert await problem(town.talk.groups.inside(group, "ann")) == "group-dismissed"
    town.now += 24 * 3600 + 1
    await town.fire()
    with pytest.raises(NotFound):
        await town.talk.groups.gather(group)


async def test_who_was_invited_is_told_and_joins() -> None:
    town = Town()
    group = await jazz(town, joining=Joining.INVITATION)
    assert await problem(town.talk.groups.command(group, Join("bob"))) == "not-invited"
    await town.talk.groups.command(group, InviteMembers("ann", ("bob",)))
    assert await town.told("user:bob", "group_invited") == [{"group": group, "name": "Jazz", "by": "ann"}]
    await town.talk.groups.command(group, Join("bob"))


async def test_nobody_is_in_more_groups_than_he_may_be() -> None:
    town = Town()
    for _ in range(MAX_GROUPS):
        await jazz(town)
    assert await problem(town.talk.groups.create("ann", Profile())) == "too-many-groups"
    other = (await town.talk.groups.create("bob", Profile())).id
    assert await problem(town.talk.groups.command(other, Join("ann"))) == "too-many-groups"


async def test_many_change_a_group_at_once_and_none_is_lost() -> None:
    town = Town()
    group = await jazz(town)
    names = [f"u{number}" for number in range(50)]
    await asyncio.gather(*(town.talk.groups.command(group, Join(name)) for name in names))
    assert set((await town.talk.groups.gather(group)).people) == {"ann", *names}


# ---- the audience group of a room


async def test_the_audience_group_of_a_room_is_who_is_in_the_room() -> None:
    town = Town()
    name = await room(town, "bob")
    sent = await town.talk.messages.to_group("bob", name, HELLO)
    assert (await town.told("room:r", "message"))[0]["id"] == sent.id
    assert await problem(town.talk.messages.to_group("cyd", name, HELLO)) == "not-a-member"
    await town.engine.change(ROOM, name, lambda _: [Leave("bob")])
    assert await problem(town.talk.messages.to_group("bob", name, HELLO)) == "not-a-member"
    assert await problem(town.talk.groups.command(name, Join("bob"))) == "group-of-room"


async def test_host_and_admins_of_a_room_lead_its_audience_group() -> None:
    town = Town()
    name = await room(town, "bob", "cyd")
    assert await problem(town.talk.groups.command(name, Silence("bob"))) == "not-permitted"
    await asyncio.gather(
        town.talk.groups.command(name, Silence("ann")),
        town.talk.groups.command(name, SetProfile("ann", notice="Be kind")),
        town.talk.groups.command(name, SetGroupAttributes("ann", {"gift": "rose"})),
    )
    group = (await town.talk.groups.gather(name)).group
    assert (group.all_silenced, group.profile.notice, group.attributes.values) == (True, "Be kind", {"gift": "rose"})
    assert await problem(town.talk.messages.to_group("bob", name, HELLO)) == "chat-muted"
    await town.talk.messages.to_group("ann", name, HELLO)
    assert {event.name for event in await town.events("room:r")} >= {"group_silenced", "group_info", "group_attributes"}
    await town.engine.change(ROOM, name, lambda _: [Dismiss("ann")])
    assert await problem(town.talk.messages.to_group("ann", name, HELLO)) == "room-dismissed"


async def test_the_audience_group_of_a_room_goes_with_the_room() -> None:
    town = Town()
    name = await room(town)
    await town.talk.groups.command(name, SetProfile("ann", notice="Be kind"))
    assert await town.storage.load("group", name) is not None
    service = Service(Instance(town.storage, LocalBus(), NoMedia(), PushByAll([]), lambda: town.now), 20)
    with pytest.raises(Illegal):
        await service.delete(name, "bob")
    assert await town.storage.load("group", name) is not None
    await service.delete(name, "ann")
    assert await town.storage.load("group", name) is None
    with pytest.raises(NotFound):
        await town.talk.groups.gather(name)


# ---- messages


async def test_a_message_is_numbered_kept_and_told_to_the_group() -> None:
    town = Town()
    group = await jazz(town, "bob")
    picture = Content(Kind.IMAGE, "look", Reference("https://cdn.example.org/cat.webp", "image/webp"), ("bob",))
    first = await town.talk.messages.to_group("bob", group, HELLO)
    second = await town.talk.messages.to_group("ann", group, picture)
    assert (first.number, second.number) == (1, 2)
    (told, _) = await town.told(f"group:{group}", "message")
    assert told["data"] == {"text": "hello", "mentions": [], "group": group}
    kept = await town.talk.messages.of_group("bob", group, None, 10)
    assert [one.id for one in kept] == [second.id, first.id]
    assert kept[0].data["media"]["url"] == "https://cdn.example.org/cat.webp"  # type: ignore[index]
    assert [one.id for one in await town.talk.messages.of_group("bob", group, 2, 10)] == [first.id]
    assert await problem(town.talk.messages.of_group("cyd", group, None, 10)) == "not-a-member"


async def test_a_message_that_is_sent_again_is_the_same_message() -> None:
    town = Town()
    group = await jazz(town, "bob")
    several = await asyncio.gather(*(town.talk.messages.to_group("bob", group, HELLO, "m-1") for _ in range(5)))
    assert {one.number for one in several} == {1}
    assert len(await town.told(f"group:{group}", "message")) == 1
    assert await problem(town.talk.messages.to_group("ann", group, HELLO, "m-1")) == "message-exists"


async def test_who_was_offline_finds_messages_when_he_is_back_and_is_pushed_to() -> None:
    town = Town()
    await town.comes("ann")
    sent = await town.talk.messages.to_user("ann", "bob", HELLO)
    ((user, event, data),) = await town.pushed()
    assert (user, event, data["by"], data["text"]) == ("bob", "message", "ann", "hello")
    assert [one["id"] for one in await town.told("user:bob", "message")] == [sent.id]
    (conversation,) = await town.talk.messages.conversations("bob")
    assert (conversation.user, conversation.last, conversation.read) == ("ann", 1, 0)
    assert [one.id for one in await town.talk.messages.of_two("bob", "ann", None, 10)] == [sent.id]
    await town.comes("bob")
    await town.talk.messages.to_user("ann", "bob", HELLO)
    assert await town.pushed() == []


async def test_who_is_named_in_a_group_is_pushed_to_when_he_is_offline() -> None:
    town = Town()
    group = await jazz(town, "bob", "cyd")
    named = Content(Kind.TEXT, "hello bob", mentions=("bob", "ann", "stranger"))
    await town.talk.messages.to_group("ann", group, named)
    assert [user for user, _, _ in await town.pushed()] == ["bob"]


async def test_reading_goes_forward_and_the_other_is_told() -> None:
    town = Town()
    for _ in range(3):
        await town.talk.messages.to_user("ann", "bob", HELLO)
    assert await town.talk.messages.read_to_user("bob", "ann", 2) == 2
    assert [one["number"] for one in await town.told("user:ann", "message_read")] == [2]
    assert await town.talk.messages.read_to_user("bob", "ann", 1) == 2
    assert await town.talk.messages.read_to_user("bob", "ann", 99) == 3
    assert [one["number"] for one in await town.told("user:ann", "message_read")] == [2, 3]
    (conversation,) = await town.talk.messages.conversations("bob")
    assert conversation.read == conversation.last == 3


async def test_what_was_said_before_one_joined_is_not_new_to_him() -> None:
    town = Town()
    group = await jazz(town, "bob")
    for _ in range(3):
        await town.talk.messages.to_group("bob", group, HELLO)
    await town.talk.groups.command(group, Join("cyd"))
    await town.talk.messages.to_group("bob", group, HELLO)
    (conversation,) = await town.talk.messages.conversations("cyd")
    assert (conversation.group, conversation.last - conversation.read) == (group, 1)
    assert await town.talk.messages.read_in_group("cyd", group, 4) == 4
    assert await town.told("user:bob", "message_read") == []


async def test_a_message_is_taken_back_for_all() -> None:
    town = Town()
    sent = await town.talk.messages.to_user("ann", "bob", HELLO)
    assert await problem(town.talk.messages.recall_to_user("bob", "ann", sent.id)) == "not-permitted"
    assert await problem(town.talk.messages.recall_to_user("ann", "bob", "other")) == "no-such-message"
    for _ in range(2):
        await town.talk.messages.recall_to_user("ann", "bob", sent.id)
    for user in ("ann", "bob"):
        assert [one["id"] for one in await town.told(f"user:{user}", "message_recalled")] == [sent.id]
    (kept,) = await town.talk.messages.of_two("bob", "ann", None, 10)
    assert (kept.recalled, kept.data, kept.number) == (True, {}, 1)


async def test_an_admin_takes_back_what_a_member_said_and_the_member_only_soon() -> None:
    town = Town()
    group = await jazz(town, "bob", "cyd")
    await town.talk.groups.command(group, AppointInGroup("ann", "bob"))
    first = await town.talk.messages.to_group("cyd", group, HELLO)
    second = await town.talk.messages.to_group("bob", group, HELLO)
    town.now += RECALL_S + 1
    assert await problem(town.talk.messages.recall_in_group("cyd", group, first.id)) == "recall-too-late"
    assert await problem(town.talk.messages.recall_in_group("cyd", group, second.id)) == "not-permitted"
    await town.talk.messages.recall_in_group("bob", group, first.id)
    assert await problem(town.talk.messages.recall_in_group("dan", group, second.id)) == "not-a-member"


async def test_who_sends_too_fast_is_told_so_and_sends_again_later() -> None:
    town = Town()
    for _ in range(20):
        await town.talk.messages.to_user("ann", "bob", HELLO)
    assert await problem(town.talk.messages.to_user("ann", "bob", HELLO)) == "too-fast"
    assert await problem(town.talk.messages.to_user("ann", "stranger", HELLO)) == "too-fast"
    assert (await town.talk.people.read("ann")).peers == ("bob",)
    town.now += 0.5
    await town.talk.messages.to_user("ann", "bob", HELLO)


async def test_nobody_talks_to_himself() -> None:
    assert await problem(Town().talk.messages.to_user("ann", "ann", HELLO)) == "talks-to-himself"


async def test_who_there_is_not_is_neither_written_to_nor_invited_nor_called() -> None:
    town = Town()
    group = await jazz(town)
    for doing in (
        town.talk.messages.to_user("ann", "nobody", HELLO),
        town.talk.groups.command(group, InviteMembers("ann", ("bob", "nobody"))),
        town.talk.invitations.invite("ann", "nobody", 0, ""),
        town.talk.calls.start("ann", "ann-1", ["bob", "nobody"], ""),
    ):
        assert await problem(doing) == "no-such-user"
    assert await town.events("user:nobody") == await town.events("user:bob") == []


class BrokenWords:
    async def pass_on(self, user: str, conversation: str, text: str) -> str | None:
        raise RuntimeError("no connection")


async def test_words_that_are_not_wanted_are_refused_or_masked_and_a_broken_filter_refuses() -> None:
    spoken = Content(Kind.TEXT, "Scunthorpe has a Bad name, 坏 or not")
    town = Town(WordList(["bad", "坏"]))
    assert await problem(town.talk.messages.to_user("ann", "bob", spoken)) == "text-refused"
    await town.talk.messages.to_user("ann", "bob", Content(Kind.TEXT, "badly"))
    town = Town(WordList(["bad", "坏"], mask=True))
    sent = await town.talk.messages.to_user("ann", "bob", spoken)
    assert sent.data["text"] == "Scunthorpe has a *** name, * or not"
    await town.talk.messages.to_user("ann", "bob", Content(Kind.CUSTOM, '{"bad": 1}'))
    assert await problem(Town(BrokenWords()).talk.messages.to_user("ann", "bob", HELLO)) == "text-refused"


# ---- attributes


async def test_attributes_of_a_user_are_told_to_himself_and_who_follows_him() -> None:
    town = Town()
    several = [town.talk.people.command("ann", SetAttributes({f"k{number}": "v"})) for number in range(8)]
    await asyncio.gather(*several)
    known = (await town.talk.people.read("ann")).attributes
    assert (len(known.values), known.version) == (8, 8)
    for stream in ("user:ann", "presence:ann"):
        assert [one["version"] for one in await town.told(stream, "user_attributes")] == list(range(1, 9))
    assert await problem(town.talk.people.command("ann", SetAttributes({"k1": "w"}, 3))) == "stale-version"
    assert (await town.talk.people.read("nobody")).attributes.values == {}
    assert town.now == NOW
