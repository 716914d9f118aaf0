"""Signalling, as the Tencent document has it; and under any sequence of answers, by hypothesis."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomservice.model import invitations
from roomservice.model.effects import DropTimer, Effect, Elapsed, Record, SetTimer, Tell, Timer, What
from roomservice.model.errors import Illegal
from roomservice.model.invitations import Accept, Answer, Cancel, Invitation, Reject

NOW = 1_000.0
TIMER = Timer(What.INVITATION)
CLASS = frozenset({"teacher", "ann", "bob", "cyd"})


def told(effects: list[Effect], event: str) -> list[Tell]:
    return [effect for effect in effects if isinstance(effect, Tell) and effect.event == event]


def one(timeout_s: float = 30.0) -> tuple[Invitation, list[Effect]]:
    return invitations.invite("i", "ann", "bob", now=NOW, timeout_s=timeout_s, data='{"room": 7}')


def group(*invitees: str, timeout_s: float = 30.0) -> Invitation:
    return invitations.invite_in_group(
        "i", "teacher", "class", members=CLASS, invitees=invitees, now=NOW, timeout_s=timeout_s, data="raise hands"
    )[0]


def problem(invitation: Invitation, command: invitations.Command, now: float = NOW) -> str:
    with pytest.raises(Illegal) as caught:
        invitations.apply(invitation, command, now)
    return caught.value.problem


def test_one_to_one_is_received_answered_and_over() -> None:
    invitation, effects = one()
    (received,) = told(effects, "invitation_received")
    assert received.users == ("bob",)
    assert received.data["data"] == '{"room": 7}'
    assert SetTimer(TIMER, NOW + 30) in effects
    invitation, effects = invitations.apply(invitation, Accept("bob", "coming"), NOW + 5)
    (accepted,) = told(effects, "invitee_accepted")
    assert accepted.users == ("ann", "bob")
    assert accepted.data == {"callback": "onInviteeAccepted", "id": "i", "invitee": "bob", "data": "coming"}
    assert DropTimer(TIMER) in effects
    assert [effect.data["answers"] for effect in effects if isinstance(effect, Record)] == [{"bob": "accepted"}]
    assert invitation.ended


def test_who_is_on_another_call_rejects_with_his_own_words() -> None:
    _, effects = invitations.apply(one()[0], Reject("bob", "line busy"), NOW)
    assert told(effects, "invitee_rejected")[0].data["data"] == "line busy"


def test_a_timeout_is_told_to_both_and_comes_once() -> None:
    invitation, effects = invitations.apply(one()[0], Elapsed(TIMER), NOW + 30)
    (late,) = told(effects, "invitation_timed_out")
    assert late.users == ("ann", "bob")
    assert invitations.apply(invitation, Elapsed(TIMER), NOW + 31) == (invitation, [])


def test_an_answer_after_the_deadline_is_too_late_though_the_timer_is_late() -> None:
    assert problem(one()[0], Accept("bob"), NOW + 30) == "invitation-ended"
    assert problem(one()[0], Cancel("ann"), NOW + 30) == "invitation-ended"


def test_without_a_timeout_it_stands_for_ever() -> None:
    invitation, effects = one(0)
    assert not [effect for effect in effects if isinstance(effect, SetTimer)]
    assert invitations.apply(invitation, Elapsed(TIMER), NOW + 1e9) == (invitation, [])
    assert invitations.apply(invitation, Accept("bob"), NOW + 1e9)[0].ended


def test_a_cancelled_one_cannot_be_accepted() -> None:
    invitation, effects = invitations.apply(one()[0], Cancel("ann", "changed my mind"), NOW)
    assert told(effects, "invitation_cancelled")[0].users == ("ann", "bob")
    assert problem(invitation, Accept("bob")) == "invitation-ended"


def test_an_answered_one_cannot_be_cancelled() -> None:
    invitation, _ = invitations.apply(one()[0], Accept("bob"), NOW)
    assert problem(invitation, Cancel("ann")) == "invitation-ended"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Accept("cyd"), "not-invited"),
        (Reject("ann"), "not-invited"),
        (Cancel("bob"), "not-the-inviter"),
        (Cancel("cyd"), "not-the-inviter"),
        (Accept("bob", "x" * 10_000), "too-much"),
    ],
)
def test_others_have_no_say(command: invitations.Command, expected: str) -> None:
    assert problem(one()[0], command) == expected


def test_the_teacher_lets_hands_be_raised_and_one_speak() -> None:
    """Steps 1 to 3, and then 4 to 6, of the document's case: everybody in the group hears of all of it."""
    invitation = group("ann", "bob", "cyd")
    invitation, effects = invitations.apply(invitation, Accept("bob", "raise hands"), NOW + 1)
    assert told(effects, "invitee_accepted")[0].users is None
    assert not invitation.ended
    invitation, _ = invitations.apply(invitation, Reject("ann"), NOW + 2)
    assert problem(invitation, Accept("ann"), NOW + 3) == "already-answered"
    invitation, effects = invitations.apply(invitation, Elapsed(TIMER), NOW + 30)
    assert told(effects, "invitation_timed_out")[0].data["invitees"] == ["cyd"]
    assert invitation.invitees == {"ann": Answer.REJECTED, "bob": Answer.ACCEPTED, "cyd": Answer.TIMED_OUT}
    speaking, _ = invitations.invite_in_group(
        "s", "teacher", "class", members=CLASS, invitees=("bob",), now=NOW + 31, data="speak"
    )
    speaking, effects = invitations.apply(speaking, Accept("bob"), NOW + 32)
    assert speaking.ended
    assert told(effects, "invitee_accepted")[0].users is None


@pytest.mark.parametrize(
    ("invitees", "expected"),
    [((), "nobody-invited"), (("dan",), "not-a-member"), (("teacher",), "invites-himself")],
)
def test_a_group_s_invitation_is_of_its_members(invitees: tuple[str, ...], expected: str) -> None:
    with pytest.raises(Illegal) as caught:
        group(*invitees)
    assert caught.value.problem == expected


def test_who_is_no_member_invites_nobody() -> None:
    with pytest.raises(Illegal) as caught:
        invitations.invite_in_group("i", "dan", "class", members=CLASS, invitees=("ann",), now=NOW)
    assert caught.value.problem == "not-a-member"


@pytest.mark.parametrize("timeout_s", [-1.0, 1e9])
def test_a_timeout_has_bounds(timeout_s: float) -> None:
    with pytest.raises(Illegal) as caught:
        one(timeout_s)
    assert caught.value.problem == "too-much"


INVITEES = ("ann", "bob", "cyd")
anybody = st.sampled_from(("teacher", *INVITEES, "dan"))
words = st.one_of(*(st.builds(kind, anybody) for kind in (Accept, Reject, Cancel)))


class InvitationMachine(RuleBasedStateMachine):
    @initialize(in_group=st.booleans(), timeout_s=st.sampled_from((0.0, 30.0)))
    def invite(self, in_group: bool, timeout_s: float) -> None:
        self.now = NOW
        self.timer: float | None = None
        self.ends = 0
        self.answered: dict[str, str] = {}
        self.invitation, effects = (
            invitations.invite_in_group(
                "i", "teacher", "class", members=CLASS, invitees=INVITEES, now=NOW, timeout_s=timeout_s
            )
            if in_group
            else invitations.invite("i", "teacher", "ann", now=NOW, timeout_s=timeout_s)
        )
        self.perform(effects)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SetTimer(_, deadline):
                    assert self.timer is None
                    self.timer = deadline
                case DropTimer():
                    assert self.timer is not None
                    self.timer = None
                case Record(_, data):
                    self.ends += 1
                    answers: Any = data["answers"]
                    assert {user: answers[user] for user in self.answered} == self.answered
                case Tell("invitee_accepted" | "invitee_rejected" as event, data):
                    assert data["invitee"] not in self.answered, "answered twice"
                    self.answered[str(data["invitee"])] = event.removeprefix("invitee_")
                case Tell("invitation_timed_out", data):
                    late: Any = data["invitees"]
                    for user in late:
                        assert user not in self.answered, "timed out after an answer"
                        self.answered[user] = "timed out"

    @rule(command=words)
    def say(self, command: invitations.Command) -> None:
        before = self.invitation
        try:
            self.invitation, effects = invitations.apply(before, command, self.now)
        except Illegal:
            assert self.invitation is before
        else:
            assert effects, "a legal word changes something"
            self.perform(effects)

    @rule(seconds=st.sampled_from((1.0, 29.0, 40.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_timer_fires(self) -> None:
        self.invitation, effects = invitations.apply(self.invitation, Elapsed(TIMER), self.now)
        self.perform(effects)

    @invariant()
    def it_ends_once_when_all_have_answered(self) -> None:
        assert self.ends == self.invitation.ended
        assert {TIMER: self.timer} == invitations.timers(self.invitation) or (
            self.timer is None and not invitations.timers(self.invitation)
        )


TestInvitations = InvitationMachine.TestCase
TestInvitations.settings = settings(max_examples=150, stateful_step_count=20, deadline=None, derandomize=True)
