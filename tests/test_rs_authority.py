"""Roles and operations: every cell is tried on a real room, and is `ok` or the name of what is wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from roomservice.model import rooms
from roomservice.model.attendance import (
    Appoint,
    Ban,
    Dismiss,
    Enter,
    HandOver,
    Kick,
    Leave,
    Unban,
)
from roomservice.model.authority import ALLOWED, Operation
from roomservice.model.configuring import Configure
from roomservice.model.details import DirectSound, Like, SendCommand, SetInfo, SetUserInfo
from roomservice.model.errors import SENTENCES, Illegal, Problem
from roomservice.model.room import Role, Room, SeatMode, Settings, UserInfo
from roomservice.model.rooms import Command
from roomservice.model.seats import LeaveSeat, LockSeat, MoveSeat, Mute, SetListener, TakeSeat
from roomservice.model.stage import (
    AnswerHand,
    AnswerStageInvite,
    CancelStageInvite,
    InviteOnstage,
    LowerHand,
    RaiseHand,
)

NOW = 1_000.0
SETTINGS = Settings(seats=8, mode=SeatMode.REQUEST)
WHO = {
    Role.SYSTEM: None,
    Role.HOST: "host",
    Role.ADMIN: "admin",
    Role.SPEAKER: "speaker",
    Role.LISTENER: "listener",
    Role.STRANGER: "stranger",
}


def made(*commands: Command) -> Room:
    """A room with one of each role, `guest` on seat 2, `hand` whose hand is raised, and who is about to be told."""
    room, _ = rooms.create("r", "host", SETTINGS, UserInfo(), NOW)
    people = ("admin", "admin2", "speaker", "listener", "guest", "hand", "other")
    setting_up: list[Command] = [
        *(Enter(user) for user in people),
        Appoint("host", "admin"),
        Appoint("host", "admin2"),
        RaiseHand("speaker"),
        AnswerHand("host", "speaker", True, 1),
        RaiseHand("guest"),
        AnswerHand("host", "guest", True, 2),
        RaiseHand("hand"),
        *commands,
    ]
    for command in setting_up:
        room, _ = rooms.apply(room, command, NOW)
    return room


P = "not-permitted"
S = "not-in-room"
N = "not-seated"

# What it is, who does it -> system, host, admin, speaker, listener, stranger. Where a role may do it but has no reason
# to, the table says what keeps it from it.
TABLE: dict[str, tuple[Callable[[Any], Command], tuple[str, str, str, str, str, str]]] = {
    "enter": (Enter, (S, "ok", "ok", "ok", "ok", "ok")),
    "leave": (Leave, (P, "ok", "ok", "ok", "ok", S)),
    "dismiss": (Dismiss, ("ok", "ok", P, P, P, S)),
    "kick": (lambda by: Kick(by, "other"), ("ok", "ok", "ok", P, P, S)),
    "ban": (lambda by: Ban(by, "other", 60), ("ok", "ok", "ok", P, P, S)),
    "unban": (lambda by: Unban(by, "nobody"), ("ok", "ok", "ok", P, P, S)),
    "hand over": (lambda by: HandOver(by, "other"), ("ok", "ok", P, P, P, S)),
    "appoint": (lambda by: Appoint(by, "other"), ("ok", "ok", P, P, P, S)),
    "take seat": (TakeSeat, (P, "ok", "ok", "ok", "request-needed", S)),
    "leave seat": (LeaveSeat, (P, "ok", N, "ok", N, S)),
    "move seat": (lambda by: MoveSeat(by, 7, by), (P, "ok", N, "ok", N, S)),
    "move other": (lambda by: MoveSeat(by, 7, "guest"), ("ok", "ok", "ok", P, P, S)),
    "lock seat": (lambda by: LockSeat(by, 7), ("ok", "ok", "ok", P, P, S)),
    "mute self": (Mute, ("no-such-attendee", "ok", N, "ok", N, S)),
    "mute other": (lambda by: Mute(by, "guest"), ("ok", "ok", "ok", P, P, S)),
    "unmute other": (lambda by: Mute(by, "guest", False), ("ok", "ok", "ok", P, P, S)),
    "set listener": (lambda by: SetListener(by, "guest"), ("ok", "ok", "ok", P, P, S)),
    "raise hand": (RaiseHand, (P, "already-seated", "ok", "already-seated", "ok", S)),
    "lower hand": (LowerHand, (P, "no-hand-raised", "no-hand-raised", "no-hand-raised", "no-hand-raised", S)),
    "approve": (lambda by: AnswerHand(by, "hand", True), ("ok", "ok", "ok", P, P, S)),
    "reject": (lambda by: AnswerHand(by, "hand", False), ("ok", "ok", "ok", P, P, S)),
    "invite onstage": (lambda by: InviteOnstage(by, "other"), ("ok", "ok", "ok", P, P, S)),
    "cancel invite": (lambda by: CancelStageInvite(by, "hand"), ("not-invited",) * 3 + (P, P, S)),
    "answer invite": (lambda by: AnswerStageInvite(by, True), (P, *("not-invited",) * 4, S)),
    "configure": (lambda by: Configure(by, replace(SETTINGS, seats=4)), ("ok", "ok", P, P, P, S)),
    "set info": (lambda by: SetInfo(by, {"topic": "jazz"}), ("ok", "ok", "ok", P, P, S)),
    "set own info": (lambda by: SetUserInfo(by, by, nick="me"), ("no-such-attendee", *("ok",) * 4, S)),
    "set other info": (lambda by: SetUserInfo(by, "other", nick="you"), ("ok", "ok", "ok", P, P, S)),
    "like": (Like, (P, "ok", "ok", "ok", "ok", S)),
    "send command": (lambda by: SendCommand(by, "dance", "other"), ("ok",) * 5 + (S,)),
    "direct sound": (DirectSound, ("ok", "ok", "ok", P, P, S)),
}


def outcome(room: Room, command: Command) -> str:
    try:
        rooms.apply(room, command, NOW)
    except Illegal as illegal:
        return illegal.problem
    return "ok"


@pytest.mark.parametrize(("what", "role"), [(what, role) for what in TABLE for role in Role])
def test_a_role_may_do_what_the_table_says(what: str, role: Role) -> None:
    command, expected = TABLE[what]
    if role is Role.SYSTEM and expected[0] in (P, S):
        # The service has no body: what is done of oneself has no form that could be without a doer.
        assert Role.SYSTEM not in ALLOWED[rooms.operation_of(command("host"))]
        return
    assert outcome(made(), command(WHO[role])) == expected[list(Role).index(role)]


def test_the_table_tries_every_operation_and_every_command() -> None:
    tried = {rooms.operation_of(command("host")) for command, _ in TABLE.values()}
    assert tried == set(Operation) == set(ALLOWED)
    assert {type(command("host")) for command, _ in TABLE.values()} == set(rooms.HANDLERS)


OVER: dict[str, Callable[[str | None, str], Command]] = {
    "kick": Kick,
    "ban": Ban,
    "mute": Mute,
    "set listener": SetListener,
    "move": lambda by, user: MoveSeat(by, 7, user),
    "set info": lambda by, user: SetUserInfo(by, user, nick="x"),
}
ON_SEATS: list[Command] = [TakeSeat("admin"), TakeSeat("admin2")]


@pytest.mark.parametrize("what", OVER)
@pytest.mark.parametrize(
    ("by", "user", "expected"),
    [
        (None, "host", "ok"),
        (None, "admin", "ok"),
        (None, "speaker", "ok"),
        ("host", "admin", "ok"),
        ("host", "speaker", "ok"),
        ("admin", "host", "outranked"),
        ("admin", "admin2", "outranked"),
        ("admin", "speaker", "ok"),
    ],
)
def test_nobody_acts_on_his_equals_or_betters(what: str, by: str | None, user: str, expected: str) -> None:
    assert outcome(made(*ON_SEATS), OVER[what](by, user)) == expected


def test_an_admin_keeps_his_rank_while_he_is_out_of_the_room() -> None:
    room, _ = rooms.apply(made(), Leave("admin2"), NOW)
    assert outcome(room, Ban("admin", "admin2")) == "outranked"
    assert outcome(room, Ban("host", "admin2")) == "ok"


def test_nothing_can_be_done_in_a_room_that_is_dismissed() -> None:
    room, _ = rooms.apply(made(), Dismiss("host"), NOW)
    for command, _ in TABLE.values():
        assert outcome(room, command("host")) == "room-dismissed"


def test_every_problem_has_a_sentence_of_its_own() -> None:
    assert set(SENTENCES) == set(Problem)
    assert len(set(SENTENCES.values())) == len(Problem)
    assert str(Illegal(Problem.BANNED)) == "The user is banned from the room."
