"""Groups, their attributes and their silences; and a group under any sequence of commands, by hypothesis."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roomservice.model import attributes, groups
from roomservice.model.attributes import Attributes
from roomservice.model.effects import Effect, Tell
from roomservice.model.errors import Illegal
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
    Member,
    Profile,
    Quit,
    RemoveMember,
    SetCard,
    SetGroupAttributes,
    SetProfile,
    Silence,
)

NOW = 1_000.0


class Club:
    """A group of ann, who owns it, bob, an admin, and cyd, and what was told."""

    def __init__(self, joining: Joining = Joining.OPEN) -> None:
        self.group, self.last = groups.create("g", "ann", Profile(name="Jazz", joining=joining), NOW)
        if joining is Joining.OPEN:
            self.do(Join("bob"))
            self.do(Join("cyd", card="drums"))
            self.do(AppointInGroup("ann", "bob"))

    def do(self, command: Command, at_s: float = 0.0) -> list[Effect]:
        self.group, self.last = groups.apply(self.group, command, NOW + at_s)
        return self.last

    def refused(self, command: Command, at_s: float = 0.0) -> str:
        before = self.group
        with pytest.raises(Illegal) as caught:
            self.do(command, at_s)
        assert self.group == before
        return caught.value.problem

    def speaks(self, user: str, at_s: float = 0.0) -> str:
        try:
            groups.check_speaks(self.group, user, NOW + at_s)
        except Illegal as illegal:
            return illegal.problem
        return ""

    @property
    def told(self) -> list[tuple[str, tuple[str, ...] | None]]:
        return [(effect.event, effect.users) for effect in self.last if isinstance(effect, Tell)]


def test_who_joins_and_who_quits_is_told_to_the_group() -> None:
    club = Club()
    assert club.group.role_of("ann") is GroupRole.OWNER
    assert club.group.role_of("bob") is GroupRole.ADMIN
    assert club.group.role_of("dan") is None
    club.do(Join("dan"))
    assert club.told == [("group_member_entered", None)]
    assert club.do(Join("dan")) == []
    club.do(Quit("dan"))
    assert club.told == [("group_member_left", None), ("group_left", ("dan",))]
    assert club.refused(Quit("dan")) == "not-a-member"


def test_a_group_by_invitation_is_joined_by_who_was_invited() -> None:
    club = Club(Joining.INVITATION)
    assert club.refused(Join("bob")) == "not-invited"
    club.do(InviteMembers("ann", ("bob", "cyd", "ann")))
    assert club.told == [("group_invited", ("bob", "cyd"))]
    assert club.do(InviteMembers("ann", ("bob",))) == []
    club.do(Join("bob"))
    assert club.refused(InviteMembers("bob", ("dan",))) == "not-permitted"
    assert club.refused(InviteMembers("ann", ())) == "nobody-invited"
    club.do(Quit("bob"))
    assert club.refused(Join("bob")) == "not-invited"


def test_in_an_open_group_each_member_invites() -> None:
    club = Club()
    club.do(InviteMembers("cyd", ("dan",)))
    assert club.told == [("group_invited", ("dan",))]


def test_an_owner_hands_it_over_or_dismisses_it() -> None:
    club = Club()
    assert club.refused(Quit("ann")) == "owner-stays"
    club.do(HandOverGroup("ann", "cyd"))
    assert (club.group.role_of("cyd"), club.group.role_of("ann")) == (GroupRole.OWNER, GroupRole.ADMIN)
    club.do(Quit("ann"))
    assert club.refused(DismissGroup("bob")) == "not-permitted"
    club.do(DismissGroup("cyd"))
    assert club.told == [("group_dismissed", None)]
    assert club.group.members == {}
    assert club.refused(Join("ann")) == "group-dismissed"
    assert club.speaks("cyd") == "group-dismissed"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (RemoveMember("cyd", "bob"), "not-permitted"),
        (RemoveMember("bob", "ann"), "outranked"),
        (RemoveMember("bob", "bob"), "outranked"),
        (RemoveMember("bob", "dan"), "no-such-member"),
        (RemoveMember("dan", "cyd"), "not-a-member"),
        (DismissGroup("bob"), "not-permitted"),
        (HandOverGroup("bob", "cyd"), "not-permitted"),
        (HandOverGroup("ann", "dan"), "no-such-member"),
        (AppointInGroup("bob", "cyd"), "not-permitted"),
        (AppointInGroup("ann", "ann", False), "outranked"),
        (AppointInGroup("ann", "dan"), "no-such-member"),
        (SetProfile("cyd", name="Rock"), "not-permitted"),
        (SetProfile("bob", name="Rock", version=7), "stale-version"),
        (SetProfile("bob", name="é" * 2049), "too-much"),
        (SetCard("cyd", "bob", "x"), "not-permitted"),
        (SetCard("bob", "ann", "x"), "outranked"),
        (Silence("cyd"), "not-permitted"),
        (Silence("cyd", "cyd"), "not-permitted"),
        (Silence("bob", "ann"), "outranked"),
        (Silence("bob", "dan"), "no-such-member"),
        (SetGroupAttributes("cyd", {"a": "b"}), "not-permitted"),
        (InviteMembers("cyd", tuple(map(str, range(101)))), "too-much"),
    ],
)
def test_each_role_does_what_it_may(command: Command, expected: str) -> None:
    assert Club().refused(command) == expected


def test_a_profile_has_a_version_and_says_what_is_new() -> None:
    club = Club()
    club.do(SetProfile("bob", name="Jazz", notice="Tonight at nine", version=0))
    (effect,) = club.last
    assert isinstance(effect, Tell)
    assert effect.data == {"group": "g", "changed": {"notice": "Tonight at nine"}, "version": 1, "by": "bob"}
    assert club.do(SetProfile("bob", notice="Tonight at nine")) == []
    club.do(SetCard("cyd", "cyd", "bass"))
    club.do(SetCard("ann", "cyd", "double bass"))
    assert club.group.members["cyd"].card == "double bass"
    assert club.do(SetCard("cyd", "cyd", "double bass")) == []


def test_who_is_silenced_is_so_until_then_and_after_joining_again() -> None:
    club = Club()
    club.do(Silence("bob", "cyd", seconds=60))
    assert club.speaks("cyd", 59) == "chat-muted"
    assert club.speaks("cyd", 60) == ""
    club.do(Quit("cyd"))
    club.do(Join("cyd"))
    assert club.speaks("cyd", 59) == "chat-muted"
    club.do(Silence("bob", "cyd", silent=False))
    assert club.speaks("cyd", 1) == ""
    assert club.do(Silence("bob", "cyd", silent=False)) == []


def test_when_all_are_silenced_owner_and_admins_speak() -> None:
    club = Club()
    club.do(Silence("bob"))
    assert [club.speaks(user) for user in ("ann", "bob", "cyd", "dan")] == ["", "", "chat-muted", "not-a-member"]
    assert club.do(Silence("bob")) == []
    club.do(Silence("ann", silent=False))
    assert club.speaks("cyd") == ""


def test_the_audience_group_of_a_room_follows_the_room() -> None:
    group = groups.of_room("r", "ann", NOW)
    roles = {"ann": GroupRole.OWNER, "bob": GroupRole.MEMBER}.get
    for command in (Join("cyd"), Quit("bob"), DismissGroup("ann"), RemoveMember("ann", "bob")):
        with pytest.raises(Illegal, match="audience group"):
            groups.apply(group, command, NOW, roles)
    with pytest.raises(Illegal, match="Only members"):
        groups.apply(group, SetProfile("cyd", name="x"), NOW, roles)
    group, _ = groups.apply(group, Silence("ann", "bob"), NOW, roles)
    with pytest.raises(Illegal, match="silenced"):
        groups.check_speaks(group, "bob", NOW, roles)
    groups.check_speaks(group, "ann", NOW, roles)
    with pytest.raises(Illegal, match="audience group"):
        groups.apply(group, SetProfile("ann", joining=Joining.INVITATION), NOW, roles)


def test_a_full_group_takes_nobody() -> None:
    members = {str(number): Member(NOW) for number in range(groups.MAX_MEMBERS)}
    with pytest.raises(Illegal) as caught:
        groups.apply(Group("g", "0", NOW, members=members), Join("ann"), NOW)
    assert caught.value.problem == "group-full"


def test_who_was_invited_first_is_forgotten_first() -> None:
    club = Club(Joining.INVITATION)
    for start in range(0, 300, 100):
        club.do(InviteMembers("ann", tuple(f"u{number}" for number in range(start, start + 100))))
    assert len(club.group.invited) == groups.MAX_INVITED
    assert club.group.invited[0] == "u100"


# ---- attributes


def test_attributes_change_with_a_version() -> None:
    known, new = attributes.changed(Attributes(), {"mood": "fine", "none": None}, 0)
    assert (known, new) == (Attributes({"mood": "fine"}, 1), {"mood": "fine"})
    assert attributes.changed(known, {"mood": "fine"}) == (known, {})
    assert attributes.changed(known, {"mood": None}) == (Attributes({}, 2), {"mood": None})


@pytest.mark.parametrize(
    ("values", "version", "expected"),
    [
        ({"mood": "fine"}, 1, "stale-version"),
        ({"": "x"}, None, "attribute-too-large"),
        ({"k" * 65: "x"}, None, "attribute-too-large"),
        ({"k": "é" * 1025}, None, "attribute-too-large"),
        ({"k": "\ud800" * 683}, None, "attribute-too-large"),
        ({str(number): "x" for number in range(33)}, None, "too-many-attributes"),
    ],
)
def test_attributes_are_bounded(values: dict[str, str | None], version: int | None, expected: str) -> None:
    with pytest.raises(Illegal) as caught:
        attributes.changed(Attributes(), values, version)
    assert caught.value.problem == expected


# ---- anything may happen

USERS = ("ann", "bob", "cyd", "dan")
user = st.sampled_from(USERS)
flag = st.booleans()
version = st.sampled_from((None, None, 0, 1))
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(Join, user),
    st.builds(Join, user),
    st.builds(InviteMembers, user, st.lists(user, max_size=3).map(tuple)),
    st.builds(Quit, user),
    st.builds(RemoveMember, user, user),
    st.builds(HandOverGroup, user, user),
    st.builds(AppointInGroup, user, user, flag),
    st.builds(SetProfile, user, name=st.sampled_from((None, "a", "b")), joining=st.sampled_from((None, *Joining))),
    st.builds(SetCard, user, user, st.sampled_from(("", "x"))),
    st.builds(Silence, user, st.one_of(st.none(), user), flag, st.sampled_from((None, 30.0))),
    st.builds(
        SetGroupAttributes, user, st.dictionaries(st.sampled_from("ab"), st.sampled_from((None, "1", "2"))), version
    ),
)


class GroupMachine(RuleBasedStateMachine):
    """A group beside a listener who knows only what was told, and what he knows must be what is."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.group, _ = groups.create("g", "ann", Profile(), NOW)
        self.members, self.owner, self.admins = {"ann"}, "ann", set[str]()
        self.profile: dict[str, Any] = {"name": "", "joining": Joining.OPEN}
        self.attributes: dict[str, str] = {}
        self.all_silenced = False

    @rule(command=commands)
    def does(self, command: Command) -> None:
        before = self.group
        try:
            self.group, effects = groups.apply(before, command, self.now)
        except Illegal:
            return
        assert bool(effects) == (self.group != before)
        for effect in effects:
            assert isinstance(effect, Tell)
            self.hear(effect)

    def hear(self, tell: Tell) -> None:
        said: Any = tell.data
        match tell.event:
            case "group_member_entered":
                assert said["user"] not in self.members
                self.members.add(said["user"])
            case "group_member_left":
                self.members.remove(said["user"])
                self.admins.discard(said["user"])
            case "group_role":
                (self.admins.add if said["role"] == "admin" else self.admins.remove)(said["user"])
            case "group_owner":
                self.admins = (self.admins | {self.owner}) - {said["user"]}
                self.owner = said["user"]
            case "group_info":
                self.profile |= said["changed"]
            case "group_attributes":
                self.attributes = {
                    key: value for key, value in {**self.attributes, **said["changed"]}.items() if value is not None
                }
            case "group_silenced" if said["user"] is None:
                self.all_silenced = said["silent"]

    @rule(seconds=st.sampled_from((1.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: len(self.group.members) > 2)
    @rule(by=user)
    def is_dismissed(self, by: str) -> None:
        try:
            after, _ = groups.apply(self.group, DismissGroup(by), self.now)
        except Illegal:
            assert by != self.owner
            return
        for name in USERS:
            with pytest.raises(Illegal):
                groups.apply(after, Join(name), self.now)

    @invariant()
    def what_was_told_is_what_is(self) -> None:
        group = self.group
        assert set(group.members) == self.members == groups.followers(group)
        assert group.owner == self.owner in self.members
        assert {name for name in USERS if group.role_of(name) is GroupRole.ADMIN} == self.admins
        assert {"name": group.profile.name, "joining": group.profile.joining} == self.profile
        assert group.attributes.values == self.attributes
        assert group.all_silenced == self.all_silenced

    @invariant()
    def who_leads_is_heard(self) -> None:
        for name in (self.owner, *self.admins):
            groups.check_speaks(self.group, name, self.now)


TestGroups = GroupMachine.TestCase
TestGroups.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
