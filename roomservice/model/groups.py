"""Groups: who is in one, what it shows, and who may be silenced in it.

Rules held here
- The owner is who made it or was handed it. He appoints admins, and he does not quit: he hands it over or dismisses it.
- A group is open, and anybody joins; or it is by invitation, and who was invited joins. Nobody is put into a group: he
  joins himself. Admins invite; in an open group each member does.
- Owner and admins act on those of a lower role. A member who is removed may join again as any other.
- Who is silenced, or everybody: owner and admins still speak. A silence that has a deadline is over by itself.
- The audience group of a room has no members of its own: they are who is in the room, its host is the owner, and its
  admins are the admins. So it is in step with the room at every moment. Joining, quitting and roles are the room's.
- A dismissed group has no members and stays so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from roomservice.model.attributes import NO_ATTRIBUTES, Attributes, changed, size
from roomservice.model.effects import Effect, Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_, without

MAX_MEMBERS = 1000
"""Of one group. More makes each change of it cost more to write down; a room's audience group has the room's bound."""

MAX_GROUPS = 500
"""That one user is in."""

MAX_INVITED = 200
"""Who were invited and have not joined; the oldest is forgotten."""

MAX_AT_ONCE = 100
"""Whom one command invites."""

MAX_ADMINS = 50
MAX_SILENCED = 1000
MAX_PROFILE_BYTES = 4096
"""Of each of name, notice, avatar and extra, and of a member's card."""


class GroupRole(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


RANK = {None: 0, GroupRole.MEMBER: 0, GroupRole.ADMIN: 1, GroupRole.OWNER: 2}
"""None is a stranger."""


class Joining(StrEnum):
    OPEN = "open"
    INVITATION = "invitation"


@dataclass(frozen=True, slots=True)
class Member:
    """card: what the member shows of himself in this group."""

    joined_at: float
    admin: bool = False
    card: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """version: rises with each change."""

    name: str = ""
    notice: str = ""
    avatar: str = ""
    extra: str = ""
    joining: Joining = Joining.OPEN
    version: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """of_room: it is the audience group of the room of the same id, and owner and members are not its own. members in
    the order in which they joined. silenced: until when (Unix time in s), None until it is undone."""

    id: str
    owner: str
    created_at: float
    of_room: bool = False
    profile: Profile = Profile()
    members: Mapping[str, Member] = field(default_factory=dict)
    invited: tuple[str, ...] = ()
    all_silenced: bool = False
    silenced: Mapping[str, float | None] = field(default_factory=dict)
    attributes: Attributes = NO_ATTRIBUTES
    dismissed_at: float | None = None

    def role_of(self, user: str) -> GroupRole | None:
        """None is a stranger."""
        member = self.members.get(user)
        if member is None:
            return None
        if user == self.owner:
            return GroupRole.OWNER
        return GroupRole.ADMIN if member.admin else GroupRole.MEMBER

    def is_silenced(self, user: str, now: float) -> bool:
        if user not in self.silenced:
            return False
        until = self.silenced[user]
        return until is None or now < until


RoleOf = Callable[[str], GroupRole | None]


# ---- commands


@dataclass(frozen=True, slots=True)
class Join:
    by: str
    card: str = ""


@dataclass(frozen=True, slots=True)
class InviteMembers:
    by: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quit:
    by: str


@dataclass(frozen=True, slots=True)
class RemoveMember:
    by: str
    user: str


@dataclass(frozen=True, slots=True)
class DismissGroup:
    by: str


@dataclass(frozen=True, slots=True)
class HandOverGroup:
    by: str
    user: str


@dataclass(frozen=True, slots=True)
class AppointInGroup:
    """To be an admin, or to be none."""

    by: str
    user: str
    admin: bool = True


@dataclass(frozen=True, slots=True)
class SetProfile:
    """What is None stays."""

    by: str
    name: str | None = None
    notice: str | None = None
    avatar: str | None = None
    extra: str | None = None
    joining: Joining | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class SetCard:
    """Of oneself; owner and admins, of those of a lower role."""

    by: str
    user: str
    card: str


@dataclass(frozen=True, slots=True)
class Silence:
    """user: None for everybody but owner and admins. seconds: None until it is undone."""

    by: str
    user: str | None = None
    silent: bool = True
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SetGroupAttributes:
    by: str
    values: Mapping[str, str | None]
    version: int | None = None


Command = (
    Join
    | InviteMembers
    | Quit
    | RemoveMember
    | DismissGroup
    | HandOverGroup
    | AppointInGroup
    | SetProfile
    | SetCard
    | Silence
    | SetGroupAttributes
)
Outcome = tuple[Group, list[Effect]]


def create(group_id: str, owner: str, profile: Profile, now: float) -> Outcome:
    """A group with its owner in it. Its id is new. Illegal: too-much."""
    _check_texts(profile.name, profile.notice, profile.avatar, profile.extra)
    group = Group(group_id, owner, now, profile=replace(profile, version=0), members={owner: Member(now)})
    return group, [Tell("group_created", {"group": group_id, "owner": owner, "name": profile.name}, (owner,))]


def of_room(room_id: str, host: str, now: float) -> Group:
    """The audience group of a room, as it is before anybody has changed anything of it."""
    return Group(room_id, host, now, of_room=True)


def apply(group: Group, command: Command, now: float, role_of: RoleOf | None = None) -> Outcome:
    """The group after it, and what is to be done outside. role_of: in the audience group of a room, who is what in the
    room. Illegal, with the problem's name."""
    if group.dismissed_at is not None:
        raise Illegal(Problem.GROUP_DISMISSED)
    if group.of_room and isinstance(command, _OF_MEMBERS):
        raise Illegal(Problem.GROUP_OF_ROOM)
    roles = role_of or group.role_of
    if not isinstance(command, Join) and roles(command.by) is None:
        raise Illegal(Problem.NOT_A_MEMBER)
    return HANDLERS[type(command)](group, command, now, roles)


def check_speaks(group: Group, user: str, now: float, role_of: RoleOf | None = None) -> None:
    """Whether he may send a message to the group. Illegal: group-dismissed, not-a-member, chat-muted."""
    if group.dismissed_at is not None:
        raise Illegal(Problem.GROUP_DISMISSED)
    role = (role_of or group.role_of)(user)
    if role is None:
        raise Illegal(Problem.NOT_A_MEMBER)
    if role is GroupRole.MEMBER and (group.all_silenced or group.is_silenced(user, now)):
        raise Illegal(Problem.CHAT_MUTED)


def followers(group: Group) -> frozenset[str]:
    """Who gets what is told to the group, beside those who are in its room."""
    return frozenset(group.members)


# ---- members


def _join(group: Group, command: Join, now: float, roles: RoleOf) -> Outcome:
    user = command.by
    if user in group.members:
        return group, []
    if group.profile.joining is Joining.INVITATION and user not in group.invited:
        raise Illegal(Problem.NOT_INVITED)
    if len(group.members) >= MAX_MEMBERS:
        raise Illegal(Problem.GROUP_FULL)
    _check_texts(command.card)
    group = replace(
        group,
        members=with_(group.members, user, Member(now, card=command.card)),
        invited=tuple(name for name in group.invited if name != user),
    )
    return group, [Tell("group_member_entered", {"group": group.id, "user": user, "card": command.card})]


def _invite(group: Group, command: InviteMembers, now: float, roles: RoleOf) -> Outcome:
    if group.profile.joining is not Joining.OPEN:
        _check_leads(roles, command.by)
    users = tuple(dict.fromkeys(command.users))
    if not users:
        raise Illegal(Problem.NOBODY_INVITED)
    if len(users) > MAX_AT_ONCE:
        raise Illegal(Problem.TOO_MUCH)
    new = tuple(user for user in users if user not in group.members and user not in group.invited)
    if not new:
        return group, []
    group = replace(group, invited=(*group.invited, *new)[-MAX_INVITED:])
    said = {"group": group.id, "name": group.profile.name, "by": command.by}
    return group, [Tell("group_invited", said, new)]


def _quit(group: Group, command: Quit, now: float, roles: RoleOf) -> Outcome:
    if roles(command.by) is GroupRole.OWNER:
        raise Illegal(Problem.OWNER_STAYS)
    return _gone(group, command.by, {"group": group.id, "user": command.by, "why": "quit"})


def _remove(group: Group, command: RemoveMember, now: float, roles: RoleOf) -> Outcome:
    _check_over(roles, command.by, command.user)
    return _gone(group, command.user, {"group": group.id, "user": command.user, "why": "removed", "by": command.by})


def _gone(group: Group, user: str, said: Mapping[str, object]) -> Outcome:
    """What he is silenced for stays: nobody gets rid of it by joining again."""
    group = replace(group, members=without(group.members, user))
    return group, [Tell("group_member_left", said), Tell("group_left", said, (user,))]


def _dismiss(group: Group, command: DismissGroup, now: float, roles: RoleOf) -> Outcome:
    if roles(command.by) is not GroupRole.OWNER:
        raise Illegal(Problem.NOT_PERMITTED)
    group = replace(group, members={}, invited=(), silenced={}, dismissed_at=now)
    return group, [Tell("group_dismissed", {"group": group.id, "by": command.by})]


def _hand_over(group: Group, command: HandOverGroup, now: float, roles: RoleOf) -> Outcome:
    """Who owned it is an admin then."""
    by, user = command.by, command.user
    if roles(by) is not GroupRole.OWNER:
        raise Illegal(Problem.NOT_PERMITTED)
    _check_member(roles, user)
    if user == by:
        return group, []
    members = with_(group.members, by, replace(group.members[by], admin=True))
    members = with_(members, user, replace(members[user], admin=False))
    group = replace(group, owner=user, members=members, silenced=without(group.silenced, user))
    return group, [Tell("group_owner", {"group": group.id, "user": user, "by": by})]


def _appoint(group: Group, command: AppointInGroup, now: float, roles: RoleOf) -> Outcome:
    user, admin = command.user, command.admin
    if roles(command.by) is not GroupRole.OWNER:
        raise Illegal(Problem.NOT_PERMITTED)
    _check_over(roles, command.by, user)
    if group.members[user].admin == admin:
        return group, []
    if admin and sum(member.admin for member in group.members.values()) >= MAX_ADMINS:
        raise Illegal(Problem.TOO_MUCH)
    group = replace(group, members=with_(group.members, user, replace(group.members[user], admin=admin)))
    said = {"group": group.id, "user": user, "role": str(group.role_of(user)), "by": command.by}
    return group, [Tell("group_role", said)]


# ---- what it shows


def _set_profile(group: Group, command: SetProfile, now: float, roles: RoleOf) -> Outcome:
    _check_leads(roles, command.by)
    before = group.profile
    if command.version is not None and command.version != before.version:
        raise Illegal(Problem.STALE_VERSION)
    if group.of_room and command.joining is not None:
        raise Illegal(Problem.GROUP_OF_ROOM)
    names = ("name", "notice", "avatar", "extra", "joining")
    wanted = {name: getattr(command, name) for name in names if getattr(command, name) is not None}
    new: dict[str, Any] = {name: value for name, value in wanted.items() if value != getattr(before, name)}
    if not new:
        return group, []
    _check_texts(*new.values())
    group = replace(group, profile=replace(before, **new, version=before.version + 1))
    said = {"group": group.id, "changed": new, "version": group.profile.version, "by": command.by}
    return group, [Tell("group_info", said)]


def _set_card(group: Group, command: SetCard, now: float, roles: RoleOf) -> Outcome:
    user = command.user
    if user != command.by:
        _check_over(roles, command.by, user)
    _check_texts(command.card)
    if group.members[user].card == command.card:
        return group, []
    group = replace(group, members=with_(group.members, user, replace(group.members[user], card=command.card)))
    return group, [Tell("group_member_info", {"group": group.id, "user": user, "card": command.card})]


def _set_attributes(group: Group, command: SetGroupAttributes, now: float, roles: RoleOf) -> Outcome:
    _check_leads(roles, command.by)
    attributes, new = changed(group.attributes, command.values, command.version)
    if not new:
        return group, []
    group = replace(group, attributes=attributes)
    said = {"group": group.id, "changed": new, "version": attributes.version, "by": command.by}
    return group, [Tell("group_attributes", said)]


# ---- silence


def _silence(group: Group, command: Silence, now: float, roles: RoleOf) -> Outcome:
    user = command.user
    until = None if command.seconds is None or user is None else now + command.seconds
    said = {"group": group.id, "user": user, "silent": command.silent, "until": until, "by": command.by}
    told: list[Effect] = [Tell("group_silenced", said)]
    if user is None:
        _check_leads(roles, command.by)
        if group.all_silenced == command.silent:
            return group, []
        return replace(group, all_silenced=command.silent), told
    if roles(user) is None and user in group.silenced:  # who has left is spared before he joins again
        _check_leads(roles, command.by)
    else:
        _check_over(roles, command.by, user)
    standing = {name: end for name, end in group.silenced.items() if end is None or now < end}
    if command.silent:
        standing = {**standing, user: until}
        if len(standing) > MAX_SILENCED:
            raise Illegal(Problem.TOO_MUCH)
    elif user in standing:
        del standing[user]
    else:
        return group, []
    return replace(group, silenced=standing), told


_OF_MEMBERS = (Join, InviteMembers, Quit, RemoveMember, DismissGroup, HandOverGroup, AppointInGroup, SetCard)
"""What a room does itself for its audience group."""

HANDLERS: dict[type, Callable[[Group, Any, float, RoleOf], Outcome]] = {
    Join: _join,
    InviteMembers: _invite,
    Quit: _quit,
    RemoveMember: _remove,
    DismissGroup: _dismiss,
    HandOverGroup: _hand_over,
    AppointInGroup: _appoint,
    SetProfile: _set_profile,
    SetCard: _set_card,
    Silence: _silence,
    SetGroupAttributes: _set_attributes,
}


# ----


def _check_member(roles: RoleOf, user: str) -> None:
    if roles(user) is None:
        raise Illegal(Problem.NO_SUCH_MEMBER)


def _check_leads(roles: RoleOf, by: str) -> None:
    if RANK[roles(by)] < 1:
        raise Illegal(Problem.NOT_PERMITTED)


def _check_over(roles: RoleOf, by: str, user: str) -> None:
    """Illegal: not-permitted, no-such-member, outranked."""
    _check_leads(roles, by)
    _check_member(roles, user)
    if RANK[roles(user)] >= RANK[roles(by)]:
        raise Illegal(Problem.OUTRANKED)


def _check_texts(*texts: str) -> None:
    if any(size(text) > MAX_PROFILE_BYTES for text in texts):
        raise Illegal(Problem.TOO_MUCH)
