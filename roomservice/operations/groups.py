"""Groups: made, joined, led and dismissed. The audience group of a room has the room's id."""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from pydantic import Field

from roomservice.model.groups import (
    AppointInGroup,
    Command,
    DismissGroup,
    Group,
    GroupRole,
    HandOverGroup,
    InviteMembers,
    Join,
    Joining,
    Profile,
    Quit,
    RemoveMember,
    SetCard,
    SetGroupAttributes,
    SetProfile,
    Silence,
)
from roomservice.operations.fields import Text, UserId, Version
from roomservice.operations.problems import INVALID_PARAMS, Refused
from roomservice.operations.rooms import himself
from roomservice.operations.table import Caller, Done, Operation, Params, Result
from roomservice.operations.talking import AttributesView, GroupId, Values, attributes_view
from roomservice.operations.world import World
from roomservice.talk.groups import Gathering

TAG = "groups"
G = TypeVar("G", bound="InGroup")


class InGroup(Params):
    group: GroupId


class WhoInGroup(InGroup):
    user: UserId


class CreateGroup(Params):
    name: Annotated[Text, Field(description="What it is called")] = ""
    notice: Annotated[Text, Field(description="What members shall know")] = ""
    avatar: Annotated[Text, Field(description="Address of its picture")] = ""
    extra: Annotated[Text, Field(description="The app's own text")] = ""
    joining: Annotated[Joining, Field(description="Who joins: anybody (open), or who was invited (invitation)")] = (
        Joining.OPEN
    )


class SetProfileParams(InGroup):
    """What is left out stays."""

    name: Annotated[Text | None, Field(description="What it is called")] = None
    notice: Annotated[Text | None, Field(description="What members shall know")] = None
    avatar: Annotated[Text | None, Field(description="Address of its picture")] = None
    extra: Annotated[Text | None, Field(description="The app's own text")] = None
    joining: Annotated[Joining | None, Field(description="open or invitation")] = None
    version: Annotated[Version | None, Field(description="The one that is known; else nothing changes")] = None


class JoinGroup(InGroup):
    card: Annotated[Text, Field(description="What the user shows of himself in this group")] = ""


class InviteToGroup(InGroup):
    users: Annotated[list[UserId], Field(min_length=1, max_length=100, description="Who may join")]


class SetGroupAdmin(WhoInGroup):
    admin: Annotated[bool, Field(description="Whether he is one")] = True


class SetCardParams(WhoInGroup):
    card: Annotated[Text, Field(description="What is shown of him in this group")]


class SilenceGroup(InGroup):
    silent: Annotated[bool, Field(description="Whether only owner and admins may send messages")] = True


class SilenceMember(WhoInGroup):
    silent: Annotated[bool, Field(description="Whether he may send none")] = True
    seconds: Annotated[float | None, Field(gt=0, le=10 * 365 * 86_400, description="For how long, or without end")] = (
        None
    )


class ListMembers(InGroup):
    after: Annotated[str, Field(max_length=256, description="`next` of the page before; empty for the first")] = ""
    limit: Annotated[int, Field(ge=1, le=500, description="Members on a page")] = 100


class SetGroupAttributesParams(InGroup):
    values: Annotated[Values, Field(description="By key; null takes one away; others stay")]
    version: Annotated[Version | None, Field(description="The one that is known; else nothing changes")] = None


# ---- what is answered


class GroupView(Result):
    id: str = Field(description="Id of the group; a room's audience group has the room's")
    owner: str = Field(description="Id of its owner, in a room of the host")
    of_room: bool = Field(description="Whether it is the audience group of a room")
    name: str = Field(description="What it is called")
    notice: str = Field(description="What members shall know")
    avatar: str = Field(description="Address of its picture")
    extra: str = Field(description="The app's own text")
    joining: Joining = Field(description="open or invitation")
    version: int = Field(description="Of what it shows; rises by one with each change")
    members: int = Field(description="How many there are")
    role: GroupRole | None = Field(description="Of who asks; null when he is no member")
    all_silenced: bool = Field(description="Whether only owner and admins may send messages")
    silenced_until: float | None = Field(description="Of who asks, Unix time in seconds, or null")
    silenced: bool = Field(description="Whether who asks may send no messages")
    attributes: AttributesView = Field(description="The app's own values")
    created_at: float = Field(description="Unix time in seconds")


class GroupsView(Result):
    groups: list[GroupView] = Field(description="Those that the user has joined")


class MemberView(Result):
    user: str = Field(description="Id of the user")
    role: GroupRole = Field(description="owner, admin or member")
    card: str = Field(description="What is shown of him in this group")
    joined_at: float | None = Field(description="Unix time in seconds; null in a room's audience group")


class MemberPage(Result):
    members: list[MemberView] = Field(description="In the order in which they came")
    total: int = Field(description="Number of all members")
    next: str | None = Field(description="`after` of the next page, null on the last")


def group_view(found: Gathering, user: str, now: float) -> GroupView:
    group, role = found.group, found.role_of(user)
    listens = role is GroupRole.MEMBER
    return GroupView(
        id=group.id,
        owner=group.owner,
        of_room=group.of_room,
        **{name: getattr(group.profile, name) for name in ("name", "notice", "avatar", "extra", "joining", "version")},
        members=len(found.people),
        role=role,
        all_silenced=group.all_silenced,
        silenced_until=group.silenced.get(user) if listens and group.is_silenced(user, now) else None,
        silenced=listens and (group.all_silenced or group.is_silenced(user, now)),
        attributes=attributes_view(group.attributes),
        created_at=group.created_at,
    )


def _member_view(found: Gathering, user: str) -> MemberView:
    member = found.group.members.get(user)
    return MemberView(
        user=user,
        role=found.role_of(user) or GroupRole.MEMBER,
        card=member.card if member else "",
        joined_at=member.joined_at if member else None,
    )


# ---- what is done


async def _view(world: World, caller: Caller, group: str) -> GroupView:
    return group_view(await world.talk.groups.gather(group), caller.user, world.clock())


def commanding(command: Callable[[str, G], Command]) -> Callable[[World, Caller, G], Awaitable[Done]]:
    """An operation that is one command to the model."""

    async def run(world: World, caller: Caller, asked: G) -> Done:
        await world.talk.groups.command(asked.group, command(himself(caller), asked))
        return Done()

    return run


async def create_group(world: World, caller: Caller, asked: CreateGroup) -> GroupView:
    profile = Profile(asked.name, asked.notice, asked.avatar, asked.extra, asked.joining)
    group = await world.talk.groups.create(himself(caller), profile)
    return group_view(Gathering(group, group.role_of, list(group.members)), caller.user, world.clock())


async def get_group(world: World, caller: Caller, asked: InGroup) -> GroupView:
    """What it shows is seen by who is not in it, too: how else would he join."""
    return await _view(world, caller, asked.group)


async def get_groups(world: World, caller: Caller, _: Params) -> GroupsView:
    now = world.clock()
    found: list[Group] = list(await world.talk.groups.of(himself(caller)))
    views = [group_view(Gathering(group, group.role_of, list(group.members)), caller.user, now) for group in found]
    return GroupsView(groups=views)


async def join_group(world: World, caller: Caller, asked: JoinGroup) -> GroupView:
    await world.talk.groups.command(asked.group, Join(himself(caller), asked.card))
    return await _view(world, caller, asked.group)


async def get_member_list(world: World, caller: Caller, asked: ListMembers) -> MemberPage:
    found = await world.talk.groups.inside(asked.group, himself(caller))
    people = list(found.people)
    if asked.after and asked.after not in people:
        raise Refused(INVALID_PARAMS, "The member has left after whom the page would begin: begin anew.")
    first = people.index(asked.after) + 1 if asked.after else 0
    page = people[first : first + asked.limit]
    more = first + asked.limit < len(people)
    return MemberPage(
        members=[_member_view(found, user) for user in page], total=len(people), next=page[-1] if more else None
    )


OPERATIONS = (
    Operation(
        "create_group",
        ("POST", "/v1/groups"),
        CreateGroup,
        GroupView,
        create_group,
        "Makes a group; the caller is its owner and in it.",
        TAG,
        weight=5,
    ),
    Operation("get_groups", ("GET", "/v1/groups"), Params, GroupsView, get_groups, "Groups that were joined.", TAG),
    Operation(
        "get_group",
        ("GET", "/v1/groups/{group}"),
        InGroup,
        GroupView,
        get_group,
        "What a group shows, and what the caller is in it.",
        TAG,
    ),
    Operation(
        "set_group_profile",
        ("PATCH", "/v1/groups/{group}"),
        SetProfileParams,
        Done,
        commanding(
            lambda by, asked: SetProfile(
                by, asked.name, asked.notice, asked.avatar, asked.extra, asked.joining, asked.version
            )
        ),
        "Changes what a group shows. By owner and admins.",
        TAG,
    ),
    Operation(
        "dismiss_group",
        ("POST", "/v1/groups/{group}:dismiss"),
        InGroup,
        Done,
        commanding(lambda by, _: DismissGroup(by)),
        "Ends a group for all. By its owner.",
        TAG,
    ),
    Operation(
        "get_member_list",
        ("GET", "/v1/groups/{group}/members"),
        ListMembers,
        MemberPage,
        get_member_list,
        "Who is in a group. For its members.",
        TAG,
    ),
    Operation(
        "join_group",
        ("POST", "/v1/groups/{group}/members:join"),
        JoinGroup,
        GroupView,
        join_group,
        "Joins a group. From then on its events and messages come.",
        TAG,
    ),
    Operation(
        "quit_group",
        ("POST", "/v1/groups/{group}/members:quit"),
        InGroup,
        Done,
        commanding(lambda by, _: Quit(by)),
        "Leaves a group. Not for its owner.",
        TAG,
    ),
    Operation(
        "invite_to_group",
        ("POST", "/v1/groups/{group}/members:invite"),
        InviteToGroup,
        Done,
        commanding(lambda by, asked: InviteMembers(by, tuple(asked.users))),
        "Lets users join a group, and tells them. By members of an open group, else by owner and admins.",
        TAG,
        weight=5,
    ),
    Operation(
        "remove_member",
        ("POST", "/v1/groups/{group}/members/{user}:remove"),
        WhoInGroup,
        Done,
        commanding(lambda by, asked: RemoveMember(by, asked.user)),
        "Sends a member out of a group.",
        TAG,
    ),
    Operation(
        "hand_over_group",
        ("POST", "/v1/groups/{group}/members/{user}:make_owner"),
        WhoInGroup,
        Done,
        commanding(lambda by, asked: HandOverGroup(by, asked.user)),
        "Makes a member the owner; who owned the group is an admin then.",
        TAG,
    ),
    Operation(
        "set_group_admin",
        ("POST", "/v1/groups/{group}/members/{user}:set_admin"),
        SetGroupAdmin,
        Done,
        commanding(lambda by, asked: AppointInGroup(by, asked.user, asked.admin)),
        "Makes a member an admin, or no admin any more.",
        TAG,
    ),
    Operation(
        "set_member_card",
        ("PUT", "/v1/groups/{group}/members/{user}/card"),
        SetCardParams,
        Done,
        commanding(lambda by, asked: SetCard(by, asked.user, asked.card)),
        "What a member shows of himself in a group.",
        TAG,
    ),
    Operation(
        "silence_group",
        ("POST", "/v1/groups/{group}:silence"),
        SilenceGroup,
        Done,
        commanding(lambda by, asked: Silence(by, None, asked.silent)),
        "Lets only owner and admins send messages, or all again.",
        TAG,
    ),
    Operation(
        "silence_member",
        ("POST", "/v1/groups/{group}/members/{user}:silence"),
        SilenceMember,
        Done,
        commanding(lambda by, asked: Silence(by, asked.user, asked.silent, asked.seconds)),
        "Keeps a member from sending messages, or lets him again.",
        TAG,
    ),
    Operation(
        "set_group_attributes",
        ("PATCH", "/v1/groups/{group}/attributes"),
        SetGroupAttributesParams,
        Done,
        commanding(lambda by, asked: SetGroupAttributes(by, asked.values, asked.version)),
        "Changes the app's own values of a group. By owner and admins.",
        TAG,
    ),
)
