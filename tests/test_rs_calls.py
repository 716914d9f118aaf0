"""Calls, as the anyRTC and Tencent documents have them; and several calls among five users, by hypothesis."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomservice.model import calls
from roomservice.model.calls import (
    GRACE_S,
    RING_S,
    AnswerCall,
    Call,
    Callee,
    CallIn,
    Command,
    DeviceBack,
    DeviceLost,
    HandOverCall,
    HangUp,
    MuteParty,
    RejectCall,
    RemoveParty,
    Ringing,
    State,
)
from roomservice.model.effects import (
    CloseMedia,
    CutOff,
    Disengage,
    DropSpeaker,
    DropTimer,
    Effect,
    Elapsed,
    Engage,
    MuteSource,
    OpenMedia,
    Push,
    PutSpeaker,
    Record,
    RingBack,
    SetTimer,
    Speaker,
    Tell,
    Timer,
    What,
)
from roomservice.model.errors import Illegal

NOW = 1_000.0


class Line:
    """A call and all that was to be done for it."""

    def __init__(self, *callees: Callee) -> None:
        self.call, self.last = calls.start("c", "ann", "ann-1", callees, busy=False, now=NOW, data='{"room": 7}')
        self.effects = list(self.last)

    def do(self, command: Command, at_s: float = 0.0) -> list[Effect]:
        self.call, self.last = calls.apply(self.call, command, NOW + at_s)
        self.effects += self.last
        return self.last

    def refused(self, command: Command, at_s: float = 0.0) -> str:
        with pytest.raises(Illegal) as caught:
            self.do(command, at_s)
        return caught.value.problem

    def told(self, event: str) -> list[Tell]:
        return [effect for effect in self.effects if isinstance(effect, Tell) and effect.event == event]

    @property
    def record(self) -> dict[str, Any]:
        (record,) = [effect for effect in self.effects if isinstance(effect, Record)]
        return dict(record.data)


def one(online: bool = True, busy: bool = False) -> Line:
    return Line(Callee("bob", online, busy))


def three() -> Line:
    """bob and cyd have answered ann."""
    line = Line(Callee("bob"), Callee("cyd"))
    line.do(AnswerCall("bob", "bob-1"), 5)
    line.do(AnswerCall("cyd", "cyd-1"), 6)
    return line


def test_one_to_one_rings_at_both_ends_is_answered_and_lasts() -> None:
    line = one()
    assert line.told("call_incoming")[0].users == ("bob",)
    assert line.told("call_incoming")[0].data["data"] == '{"room": 7}'
    assert [effect for effect in line.last if isinstance(effect, SetTimer)] == [
        SetTimer(Timer(What.RINGING, "bob"), NOW + RING_S)
    ]
    assert RingBack("ann", True) in line.last
    line.do(Ringing("bob"), 1)
    assert line.told("call_ringing")[0].users == ("ann",)
    assert line.do(Ringing("bob"), 2) == []
    effects = line.do(AnswerCall("bob", "bob-1"), 10)
    assert RingBack("ann", False) in effects
    assert PutSpeaker("bob", Speaker(None)) in effects
    assert DropTimer(Timer(What.RINGING, "bob")) in effects
    line.do(HangUp("ann", "ann-1"), 70)
    assert line.record["reason"] == "completed"
    assert line.record["duration_s"] == 60
    assert line.told("call_ended")[0].data == {"call": "c", "reason": "completed", "duration_s": 60}
    assert line.told("call_ended")[0].users == ("ann", "bob")
    assert line.last.index(CloseMedia()) < line.last.index(line.told("call_ended")[0])


def test_the_media_is_ready_before_anybody_is_told() -> None:
    kinds = [type(effect) for effect in one().last]
    assert kinds.index(OpenMedia) < kinds.index(PutSpeaker) < kinds.index(Tell)


def test_answering_on_one_device_stops_the_others() -> None:
    line = one()
    line.do(AnswerCall("bob", "bob-1"), 5)
    (elsewhere,) = line.told("call_answered_elsewhere")
    assert (elsewhere.users, elsewhere.except_device) == (("bob",), "bob-1")
    assert line.refused(AnswerCall("bob", "bob-2"), 6) == "answered-elsewhere"
    assert line.refused(HangUp("bob", "bob-2"), 6) == "answered-elsewhere"
    assert line.refused(RejectCall("bob"), 6) == "already-answered"
    assert line.do(AnswerCall("bob", "bob-1"), 7) == []


def test_a_rejection_ends_it_with_its_words() -> None:
    line = one()
    line.do(RejectCall("bob", "in a meeting"), 5)
    assert line.record["reason"] == "rejected"
    assert line.record["duration_s"] == 0
    assert line.told("call_party_left")[0].data["data"] == "in a meeting"


def test_nobody_answers_for_60_s() -> None:
    line = one()
    assert line.do(Elapsed(Timer(What.RINGING, "bob")), RING_S - 1) == []
    line.do(Elapsed(Timer(What.RINGING, "bob")), RING_S)
    assert line.record["reason"] == "timed out"
    assert line.told("call_party_left")[0].users == ("ann", "bob")
    assert line.refused(AnswerCall("bob", "bob-1"), RING_S) == "call-ended"


def test_an_answer_after_60_s_is_too_late_though_the_timer_is_late() -> None:
    assert one().refused(AnswerCall("bob", "bob-1"), RING_S) == "invitation-ended"


def test_the_caller_cancels() -> None:
    line = one()
    line.do(HangUp("ann", "ann-1"), 5)
    assert line.record["reason"] == "cancelled"
    assert line.told("call_ended")[0].users == ("ann", "bob")


def test_a_busy_callee_does_not_ring_and_the_caller_hears_why() -> None:
    line = one(busy=True)
    assert line.record["reason"] == "busy"
    assert line.told("call_missed")[0].users == ("bob",)
    assert line.told("call_ended")[0].users == ("ann",)
    kept = {type(effect) for effect in line.effects}
    assert not kept & {OpenMedia, PutSpeaker, SetTimer, Engage, CloseMedia, RingBack}


def test_a_busy_caller_calls_nobody() -> None:
    with pytest.raises(Illegal) as caught:
        calls.start("c", "ann", "ann-1", (Callee("bob"),), busy=True, now=NOW)
    assert caught.value.problem == "busy"


def test_who_is_offline_is_pushed_to_and_may_answer_for_60_s() -> None:
    line = one(online=False)
    (push,) = [effect for effect in line.effects if isinstance(effect, Push)]
    assert (push.user, push.event, push.data["until"]) == ("bob", "call_incoming", NOW + RING_S)
    assert line.told("call_incoming")[0].users == ("bob",)  # for when he is back
    line.do(AnswerCall("bob", "bob-1"), 59)
    assert line.call.of(State.IN) == ("ann", "bob")


def test_devices_that_were_pushed_to_are_told_when_they_need_not_ring_any_more() -> None:
    def pushed(*effects: Effect) -> list[tuple[str, str, object]]:
        return [
            (effect.user, effect.event, effect.data.get("reason")) for effect in effects if isinstance(effect, Push)
        ]

    line = one(online=False)
    assert pushed(*line.do(AnswerCall("bob", "bob-1"), 5)) == [("bob", "call_stopped", "in")]
    line = one(online=False)
    assert pushed(*line.do(HangUp("ann", "ann-1"), 5)) == [("bob", "call_stopped", "cancelled")]
    line = one(online=False)
    assert pushed(*line.do(Elapsed(Timer(What.RINGING, "bob")), RING_S)) == [("bob", "call_stopped", "timed out")]
    line = one()
    assert pushed(*line.do(HangUp("ann", "ann-1"), 5)) == []


@pytest.mark.parametrize(("who", "other"), [("ann", "bob"), ("bob", "ann")])
def test_a_crash_of_either_side_is_told_and_ends_the_call_after_the_grace(who: str, other: str) -> None:
    line = one()
    line.do(AnswerCall("bob", "bob-1"), 5)
    line.do(DeviceLost(who, f"{who}-1"), 10)
    assert line.told("call_party_lost")[0].users == (other,)
    assert line.do(DeviceLost(who, f"{who}-1"), 11) == []
    line.do(Elapsed(Timer(What.AWAY, who)), 10 + GRACE_S)
    assert line.told("call_party_left")[0].data["reason"] == "crashed"
    assert line.record["duration_s"] == 5 + GRACE_S


def test_who_is_back_in_time_goes_on() -> None:
    line = one()
    line.do(AnswerCall("bob", "bob-1"), 5)
    line.do(DeviceLost("bob", "bob-1"), 10)
    assert line.do(DeviceBack("bob", "bob-2"), 11) == []
    assert DropTimer(Timer(What.AWAY, "bob")) in line.do(DeviceBack("bob", "bob-1"), 12)
    assert line.do(Elapsed(Timer(What.AWAY, "bob")), 60) == []


@pytest.mark.parametrize(
    "command", [HangUp("cyd", "cyd-1"), RemoveParty("ann", "cyd"), Elapsed(Timer(What.AWAY, "cyd"))]
)
def test_who_is_out_however_he_went_is_cut_off_while_the_others_go_on(command: Command) -> None:
    line = three()
    line.do(DeviceLost("cyd", "cyd-1"), 10)
    effects = line.do(command, 10 + GRACE_S)
    assert CutOff("cyd") in effects
    assert not [effect for effect in effects if isinstance(effect, CloseMedia | DropSpeaker)]
    effects = line.do(HangUp("bob", "bob-1"), 11 + GRACE_S)
    assert CloseMedia() in effects
    assert not [effect for effect in effects if isinstance(effect, CutOff)]


def test_the_caller_s_crash_while_it_rings_ends_it() -> None:
    line = one()
    line.do(DeviceLost("ann", "ann-1"), 10)
    line.do(Elapsed(Timer(What.AWAY, "ann")), 10 + GRACE_S)
    assert line.record["reason"] == "crashed"


def test_a_callee_whose_last_device_is_lost_while_it_rings_is_pushed_to_and_rings_on() -> None:
    line = one()
    assert line.do(DeviceLost("bob", "bob-1"), 5) == []
    (push,) = line.do(DeviceLost("bob"), 6)
    assert isinstance(push, Push)
    line.do(AnswerCall("bob", "bob-2"), 30)
    assert line.call.of(State.IN) == ("ann", "bob")


def test_one_to_many_goes_on_until_one_is_left() -> None:
    line = Line(Callee("bob"), Callee("cyd", online=False), Callee("dan", busy=True))
    line.do(AnswerCall("bob", "bob-1"), 5)
    line.do(RejectCall("cyd"), 6)
    assert line.call.ended_at is None
    line.do(HangUp("bob", "bob-1"), 10)
    assert line.record["parties"] == {"ann": "completed", "bob": "hung up", "cyd": "rejected", "dan": "busy"}


def test_others_are_called_in_during_a_call() -> None:
    line = one()
    assert line.refused(CallIn("bob", (Callee("cyd"),)), 1) == "not-in-call"
    line.do(AnswerCall("bob", "bob-1"), 5)
    effects = line.do(CallIn("bob", (Callee("cyd"), Callee("dan", busy=True))), 10)
    assert SetTimer(Timer(What.RINGING, "cyd"), NOW + 10 + RING_S) in effects
    assert not [effect for effect in effects if isinstance(effect, RingBack)]
    assert line.told("call_parties")[-1].data["parties"] == {"cyd": "ringing", "dan": "busy"}
    line.do(AnswerCall("cyd", "cyd-1"), 15)
    line.do(HangUp("bob", "bob-1"), 20)
    line.do(CallIn("ann", (Callee("bob"),)), 25)
    line.do(AnswerCall("bob", "bob-2"), 26)
    assert line.call.of(State.IN) == ("ann", "bob", "cyd")


def test_it_does_not_go_on_ringing_for_nobody() -> None:
    line = one()
    line.do(AnswerCall("bob", "bob-1"), 5)
    line.do(CallIn("ann", (Callee("cyd"),)), 10)
    line.do(HangUp("ann", "ann-1"), 15)
    assert line.call.of(State.RINGING) == ("cyd",)
    line.do(HangUp("bob", "bob-1"), 20)
    assert line.record["parties"]["cyd"] == "cancelled"
    assert line.told("call_ended")[0].users == ("ann", "bob", "cyd")


def test_the_owner_mutes_removes_and_hands_over() -> None:
    line = three()
    assert PutSpeaker("bob", Speaker(None, frozenset({MuteSource.HOST}))) in line.do(MuteParty("ann", "bob", True), 7)
    assert line.do(MuteParty("bob", "bob", False), 8) == []
    assert line.do(MuteParty("ann", "bob", True), 8) == []
    line.do(HandOverCall("ann", "bob"), 9)
    effects = line.do(RemoveParty("bob", "cyd"), 10)
    assert effects[:2] == [Disengage("cyd"), CutOff("cyd")]
    assert DropSpeaker("cyd") not in effects


def test_when_the_owner_goes_who_came_in_first_has_the_call() -> None:
    line = three()
    line.do(HangUp("ann", "ann-1"), 10)
    assert line.call.owner == "bob"
    assert line.call.ended_at is None


ROLES: dict[str, Callable[[Call], str]] = {
    "owner": lambda _: "ann",
    "party": lambda _: "bob",
    "ringing": lambda _: "dan",
    "stranger": lambda _: "eve",
}
N = "not-in-call"
P = "not-permitted"
TABLE: dict[str, tuple[Callable[[str], Command], tuple[str, str, str, str]]] = {
    "call in": (lambda by: CallIn(by, (Callee("fay"),)), ("ok", "ok", N, N)),
    "ring": (Ringing, ("already-answered", "already-answered", "ok", N)),
    "answer": (lambda by: AnswerCall(by, f"{by}-1"), ("ok", "ok", "ok", N)),
    "reject": (RejectCall, ("already-answered", "already-answered", "ok", N)),
    "hang up": (lambda by: HangUp(by, f"{by}-1"), ("ok", "ok", N, N)),
    "mute self": (lambda by: MuteParty(by, by, True), ("ok", "ok", N, N)),
    "mute other": (lambda by: MuteParty(by, "cyd", True), ("ok", P, N, N)),
    "remove": (lambda by: RemoveParty(by, "cyd"), ("ok", P, N, N)),
    "remove owner": (lambda by: RemoveParty(by, "ann"), ("outranked", P, N, N)),
    "hand over": (lambda by: HandOverCall(by, "cyd"), ("ok", P, N, N)),
}


@pytest.mark.parametrize(("what", "role"), [(what, role) for what in TABLE for role in ROLES])
def test_a_role_in_a_call_may_do_what_the_table_says(what: str, role: str) -> None:
    line = three()
    line.do(CallIn("ann", (Callee("dan"),)), 7)
    command, expected = TABLE[what]
    try:
        line.do(command(ROLES[role](line.call)), 8)
        outcome = "ok"
    except Illegal as illegal:
        outcome = illegal.problem
    assert outcome == expected[list(ROLES).index(role)]


def test_the_table_tries_every_command_but_the_service_s_own() -> None:
    tried = {type(command("x")) for command, _ in TABLE.values()}
    assert tried | {DeviceLost, DeviceBack, Elapsed} == set(calls.HANDLERS)


@pytest.mark.parametrize(
    ("callees", "expected"),
    [
        ((), "nobody-invited"),
        ((Callee("ann"),), "invites-himself"),
        (tuple(Callee(str(number)) for number in range(100)), "call-full"),
    ],
)
def test_a_call_has_callees_but_not_the_caller_nor_too_many(callees: tuple[Callee, ...], expected: str) -> None:
    with pytest.raises(Illegal) as caught:
        calls.start("c", "ann", "ann-1", callees, busy=False, now=NOW)
    assert caught.value.problem == expected


USERS = ("ann", "bob", "cyd", "dan", "eve")
user = st.sampled_from(USERS)
device = st.sampled_from((1, 2))


class CallMachine(RuleBasedStateMachine):
    """Calls among five users with two devices each, beside an outside that knows only what effects have told it."""

    @initialize(answering=st.frozensets(st.sampled_from(("bob", "cyd", "dan"))))
    def begin(self, answering: frozenset[str]) -> None:
        self.now = NOW
        self.calls: dict[str, Call] = {}
        self.engaged: dict[str, str] = {}
        self.timers: dict[tuple[str, Timer], float] = {}
        self.media: dict[str, dict[str, Speaker]] = {}
        self.ring_backs: set[tuple[str, str]] = set()
        self.records: dict[str, int] = {}
        self.start("ann", 1, frozenset({"bob", "cyd", "dan"}))
        for by in sorted(answering):
            self.answer(by, 1)

    def perform(self, call: str, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Engage(name):
                    assert name not in self.engaged, "in two calls"
                    self.engaged[name] = call
                case Disengage(name):
                    assert self.engaged.pop(name) == call
                case OpenMedia():
                    assert call not in self.media
                    self.media[call] = {}
                case PutSpeaker(name, speaker):
                    assert self.media[call].get(name) != speaker
                    self.media[call][name] = speaker
                case DropSpeaker(name) | CutOff(name):
                    del self.media[call][name]
                case RingBack(name, on):
                    assert ((call, name) in self.ring_backs) != on
                    self.ring_backs ^= {(call, name)}
                case CloseMedia():
                    del self.media[call]
                    self.ring_backs = {entry for entry in self.ring_backs if entry[0] != call}
                case SetTimer(timer, deadline):
                    assert self.timers.get((call, timer)) != deadline
                    self.timers[call, timer] = deadline
                case DropTimer(timer):
                    del self.timers[call, timer]
                case Record(_, data):
                    self.records[call] = self.records.get(call, 0) + 1
                    duration: Any = data["duration_s"]
                    assert duration >= 0

    def do(self, call: str, command: Command) -> None:
        before = self.calls[call]
        try:
            after, effects = calls.apply(before, command, self.now)
        except Illegal:
            return
        assert after != before or all(isinstance(effect, Tell | Push) for effect in effects)
        self.calls[call] = after
        self.perform(call, effects)

    def known(self, names: frozenset[str]) -> tuple[Callee, ...]:
        """What the service knows when it is asked to call them."""
        return tuple(Callee(name, name != "eve", name in self.engaged) for name in sorted(names))

    @rule(by=user, which=device, names=st.frozensets(user, min_size=1, max_size=3))
    def start(self, by: str, which: int, names: frozenset[str]) -> None:
        name = f"call {len(self.calls)}"
        try:
            self.calls[name], effects = calls.start(
                name, by, f"{by}-{which}", self.known(names), busy=by in self.engaged, now=self.now
            )
        except Illegal:
            return
        self.perform(name, effects)

    @rule(by=user, which=device, data=st.data())
    def say(self, by: str, which: int, data: st.DataObject) -> None:
        """Something in the call that he is engaged in; now and then, in another."""
        where = self.engaged.get(by) or next(iter(self.calls), None)
        if where is None:
            return
        words: list[st.SearchStrategy[Command]] = [
            st.just(Ringing(by)),
            st.just(AnswerCall(by, f"{by}-{which}")),
            st.just(RejectCall(by)),
            st.just(HangUp(by, f"{by}-{which}")),
            st.builds(MuteParty, st.just(by), user, st.booleans()),
            st.builds(RemoveParty, st.just(by), user),
            st.builds(HandOverCall, st.just(by), user),
            st.just(DeviceLost(by, f"{by}-{which}")),
            st.just(DeviceLost(by)),
            st.just(DeviceBack(by, f"{by}-{which}")),
        ]
        self.do(where, data.draw(st.one_of(*words)))

    @rule(by=user, which=device)
    def answer(self, by: str, which: int) -> None:
        if by in self.engaged:
            self.do(self.engaged[by], AnswerCall(by, f"{by}-{which}"))

    @rule(by=user)
    def hang_up(self, by: str) -> None:
        if by in self.engaged:
            self.do(self.engaged[by], HangUp(by, str(self.calls[self.engaged[by]].parties[by].device)))

    @rule(by=user)
    def crash(self, by: str) -> None:
        if by in self.engaged:
            self.do(self.engaged[by], DeviceLost(by))

    @rule(by=user, names=st.frozensets(user, min_size=1, max_size=2))
    def call_in(self, by: str, names: frozenset[str]) -> None:
        if by in self.engaged:
            self.do(self.engaged[by], CallIn(by, self.known(names)))

    @rule(seconds=st.sampled_from((1.0, 16.0, 61.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for (call, timer), deadline in sorted(self.timers.items(), key=lambda item: item[1]):
            if deadline <= self.now and self.timers.get((call, timer)) == deadline:
                self.do(call, Elapsed(timer))
                assert self.timers.get((call, timer)) != deadline, "a timer that fired is gone"

    @rule(of=user, what=st.sampled_from((What.RINGING, What.AWAY)))
    def a_timer_of_the_past_fires(self, of: str, what: What) -> None:
        for name, call in self.calls.items():
            if self.timers.get((name, Timer(what, of)), self.now + 1) > self.now:
                assert calls.apply(call, Elapsed(Timer(what, of)), self.now) == (call, [])

    @invariant()
    def the_outside_agrees(self) -> None:
        going = {name: call for name, call in self.calls.items() if call.ended_at is None}
        assert self.engaged == {name: call for call in going for name in calls.engaged(going[call])}
        assert self.timers == {
            (name, timer): deadline for name in going for timer, deadline in calls.timers(going[name]).items()
        }
        assert self.media == {name: calls.speakers(call) for name, call in going.items()}
        assert self.ring_backs == {(name, listener) for name in going for listener in calls.ring_back(going[name])}

    @invariant()
    def a_call_ends_once_and_goes_on_only_while_it_has_a_reason_to(self) -> None:
        for name, call in self.calls.items():
            assert self.records.get(name, 0) == (call.ended_at is not None) == (call.reason is not None)
            if call.ended_at is None:
                inside = call.of(State.IN)
                assert call.owner in inside
                assert len(inside) > 1 or call.of(State.RINGING)
            else:
                assert call.of(State.IN, State.RINGING) == ()


TestCalls = CallMachine.TestCase
TestCalls.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
