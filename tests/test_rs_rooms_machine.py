"""Rooms under any sequence of commands: what must be true after each of them, by hypothesis."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roomservice.model import rooms
from roomservice.model.attendance import Appoint, Back, Ban, Dismiss, Enter, HandOver, Kick, Leave, Lost, Unban
from roomservice.model.configuring import Configure
from roomservice.model.details import Like, SetInfo
from roomservice.model.effects import (
    CloseMedia,
    CutOff,
    DropSpeaker,
    DropTimer,
    Effect,
    Elapsed,
    OpenMedia,
    PutSpeaker,
    Record,
    SetTimer,
    Speaker,
    Tell,
    Timer,
    What,
)
from roomservice.model.errors import Illegal
from roomservice.model.room import HostGone, Role, Room, SeatMode, Settings, UserInfo, speakers, timers
from roomservice.model.seats import LeaveSeat, LockSeat, MoveSeat, Mute, SetListener, TakeSeat
from roomservice.model.stage import (
    AnswerHand,
    AnswerStageInvite,
    CancelStageInvite,
    InviteOnstage,
    LowerHand,
    RaiseHand,
)

USERS = ("host", "ann", "bob", "cyd", "dan")
user = st.sampled_from(USERS)
anybody = st.one_of(st.none(), user)
seat = st.integers(-1, 4)
maybe_seat = st.one_of(st.none(), seat)
flag = st.booleans()
settings_of_rooms = st.builds(
    Settings,
    seats=st.integers(1, 4),
    mode=st.sampled_from((SeatMode.REQUEST, SeatMode.REQUEST, SeatMode.FREE, SeatMode.INVITATION)),
    host_seat=st.sampled_from((None, 0)),
    capacity=st.sampled_from((5, 5, 5, 4)),
    invite_s=st.sampled_from((0.0, 60.0)),
    host_gone=st.sampled_from(HostGone),
)
likely = st.one_of(  # to be legal, so that much happens
    st.builds(RaiseHand, user, st.sampled_from((None, 0, 1))),
    st.builds(AnswerHand, st.just("host"), user, flag, st.sampled_from((None, 0, 1))),
    st.builds(InviteOnstage, st.none(), user, st.sampled_from((None, 0, 1))),
    st.builds(AnswerStageInvite, user, flag),
    st.builds(TakeSeat, user, st.sampled_from((None, 0, 1))),
    st.builds(MoveSeat, st.none(), st.integers(0, 1), user),
    st.builds(Lost, user),
    st.builds(Leave, user),
    st.builds(Mute, st.none(), user, flag),
)
commands = st.one_of(
    st.builds(Enter, user),
    st.builds(Leave, user),
    st.builds(Kick, anybody, user),
    st.builds(Ban, anybody, user, st.sampled_from((None, 30.0))),
    st.builds(Unban, anybody, user),
    st.builds(HandOver, anybody, user),
    st.builds(Appoint, anybody, user, flag),
    st.builds(TakeSeat, user, maybe_seat),
    st.builds(LeaveSeat, user),
    st.builds(MoveSeat, anybody, seat, anybody),
    st.builds(LockSeat, anybody, seat, flag),
    st.builds(Mute, anybody, anybody, flag),
    st.builds(SetListener, anybody, user),
    st.builds(RaiseHand, user, maybe_seat),
    st.builds(LowerHand, user),
    st.builds(AnswerHand, anybody, user, flag, maybe_seat),
    st.builds(InviteOnstage, anybody, user, maybe_seat),
    st.builds(CancelStageInvite, anybody, user),
    st.builds(AnswerStageInvite, user, flag),
    st.builds(Configure, anybody, settings_of_rooms),
    st.builds(SetInfo, anybody, st.dictionaries(st.sampled_from("ab"), st.one_of(st.none(), st.just("x")))),
    st.builds(Like, user),
    st.builds(Lost, user),
    st.builds(Back, user),
)


class RoomMachine(RuleBasedStateMachine):
    """The room beside an outside that knows only what effects have told it: the media server's speakers, the timers
    that run, and who is in the room. At any time the two must agree."""

    @initialize(chosen=settings_of_rooms)
    def create(self, chosen: Settings) -> None:
        self.now = 1_000.0
        self.media: dict[str, Speaker] | None = None
        self.timers: dict[Timer, float] = {}
        self.present = {"host"}
        self.seated: dict[str, int] = {}
        self.dismissals = 0
        self.records = 0
        self.attempts = 0
        self.room, effects = rooms.create("r", "host", chosen, UserInfo(), self.now)
        self.seated = {"host": 0} if chosen.host_seat == 0 else {}
        self.perform(effects)
        for name in ("ann", "bob", "cyd"):
            self.do(Enter(name))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case OpenMedia():
                    assert self.media is None
                    self.media = {}
                case CloseMedia():
                    assert self.media is not None
                    self.media = None
                case PutSpeaker(name, speaker):
                    assert self.media is not None
                    assert self.media.get(name) != speaker, "told what it knows"
                    assert speaker.seat not in {other.seat for key, other in self.media.items() if key != name}, (
                        "two users in a seat, for a moment"
                    )
                    self.media[name] = speaker
                case DropSpeaker(name):
                    assert self.media is not None
                    del self.media[name]
                case CutOff(name):
                    assert self.media is not None
                    self.media.pop(name, None)
                case SetTimer(timer, deadline):
                    assert self.timers.get(timer) != deadline, "set twice"
                    self.timers[timer] = deadline
                case DropTimer(timer):
                    del self.timers[timer]
                case Record():
                    self.records += 1
                case Tell(event, data):
                    self.hear(event, data)

    def hear(self, event: str, data: Any) -> None:
        match event:
            case "attendee_entered":
                assert data["user"] not in self.present
                self.present.add(data["user"])
            case "attendee_left":
                self.present.remove(data["user"])
                self.seated.pop(data["user"], None)
            case "seat_taken":
                assert data["user"] not in self.seated
                self.seated[data["user"]] = data["seat"]
            case "seat_moved":
                assert self.seated[data["user"]] == data["from"]
                self.seated[data["user"]] = data["seat"]
            case "seat_left":
                assert self.seated.pop(data["user"]) == data["seat"]
            case "room_dismissed":
                self.dismissals += 1
                self.present.clear()
                self.seated.clear()

    def do(self, command: Any) -> None:
        before = self.room
        try:
            after, effects = rooms.apply(before, command, self.now)
        except Illegal:
            assert self.room is before
            return
        if after == before:
            assert not [effect for effect in effects if not isinstance(effect, Tell)]
        self.room = after
        self.perform(effects)

    @rule(name=user)
    def enter(self, name: str) -> None:
        self.do(Enter(name))

    @rule(command=likely)
    def likely_command(self, command: Any) -> None:
        self.do(command)

    @rule(command=commands)
    def any_command(self, command: Any) -> None:
        self.do(command)

    @rule(command=st.one_of(likely, commands))
    def a_command_comes_twice(self, command: Any) -> None:
        """A client that sends again does nothing again, whatever is answered."""
        self.do(command)
        known, media = dict(self.seated), None if self.media is None else dict(self.media)
        self.do(command)
        assert (self.seated, self.media) == (known, media)

    @rule(by=anybody)
    def dismiss(self, by: str | None) -> None:
        self.attempts += 1
        if self.attempts > 4:
            self.do(Dismiss(by))

    @rule(seconds=st.sampled_from((1.0, 25.0, 31.0, 61.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for timer, deadline in sorted(self.timers.items(), key=lambda item: item[1]):
            if deadline <= self.now and self.timers.get(timer) == deadline:
                self.do(Elapsed(timer))
                assert self.timers.get(timer) != deadline, "a timer that fired is gone"

    @rule(what=st.sampled_from((What.AWAY, What.HOST_GONE, What.STAGE_INVITE)), of=user)
    def a_timer_fires_that_is_not_due(self, what: What, of: str) -> None:
        timer = Timer(what, "" if what is What.HOST_GONE else of)
        if self.timers.get(timer, self.now + 1) > self.now:
            before = self.room
            self.do(Elapsed(timer))
            assert self.room == before

    @invariant()
    def the_outside_agrees(self) -> None:
        assert self.media == (None if self.room.dismissed_at is not None else speakers(self.room))
        assert self.timers == timers(self.room)
        assert self.present == set(self.room.attendees)
        assert self.seated == {holder.user: number for number, holder in enumerate(self.room.seats) if holder.user}

    @invariant()
    def no_two_users_in_a_seat_and_no_user_in_two(self) -> None:
        users = [holder.user for holder in self.room.seats if holder.user is not None]
        assert len(users) == len(set(users))
        assert set(users) <= set(self.room.attendees)
        assert not [holder for holder in self.room.seats if holder.user and holder.locked]

    @invariant()
    def hands_and_invitations_are_of_listeners_in_the_room(self) -> None:
        room = self.room
        for waiting in (*room.hands, *room.invites):
            assert waiting in room.attendees
            assert room.seat_of(waiting) is None
        assert not room.hands or room.settings.mode is SeatMode.REQUEST

    @invariant()
    def a_room_has_one_host_or_waits_for_him(self) -> None:
        room = self.room
        if room.dismissed_at is not None:
            assert not room.attendees
            assert self.dismissals == self.records == 1
            return
        assert self.dismissals == self.records == 0
        gone = room.host not in room.attendees or room.host in room.away
        assert gone == (room.host_until is not None)
        assert room.host not in room.admins
        hosts = [name for name in room.attendees if room.role_of(name) is Role.HOST]
        assert hosts == ([room.host] if room.host in room.attendees else [])

    @invariant()
    def what_is_put_again_after_a_restart_is_all(self) -> None:
        if self.room.dismissed_at is None:
            told = rooms.restore(self.room)
            assert {effect.user: effect.speaker for effect in told if isinstance(effect, PutSpeaker)} == self.media
            assert {effect.timer: effect.deadline for effect in told if isinstance(effect, SetTimer)} == self.timers


TestRooms = RoomMachine.TestCase
TestRooms.settings = settings(max_examples=200, stateful_step_count=60, deadline=None, derandomize=True)


def test_a_room_can_be_compared_and_is_not_changed() -> None:
    room, _ = rooms.create("r", "host", Settings(), UserInfo(), 0.0)
    again, _ = rooms.create("r", "host", Settings(), UserInfo(), 0.0)
    after, _ = rooms.apply(room, Enter("ann"), 1.0)
    assert isinstance(after, Room)
    assert room == again != after
