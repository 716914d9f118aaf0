"""What happens in a room, as the ZEGO and Alibaba documents tell it."""

from dataclasses import replace

import pytest

from roomservice.model import rooms
from roomservice.model.attendance import Appoint, Back, Ban, Dismiss, Enter, HandOver, Kick, Leave, Lost, Respite, Unban
from roomservice.model.configuring import Configure
from roomservice.model.details import Like, SendCommand, SetInfo, SetUserInfo
from roomservice.model.effects import (
    CloseMedia,
    CutOff,
    DropSpeaker,
    Effect,
    Elapsed,
    MuteSource,
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
from roomservice.model.room import HostGone, Role, Room, SeatMode, Settings, UserInfo
from roomservice.model.seats import LeaveSeat, LockSeat, MoveSeat, Mute, SetListener, TakeSeat
from roomservice.model.stage import AnswerHand, AnswerStageInvite, InviteOnstage, LowerHand, RaiseHand

NOW = 1_000.0
HOST_GONE = Timer(What.HOST_GONE)


class Stage:
    """A room with its host, ann, bob and cyd, and what the last command did."""

    def __init__(self, mode: SeatMode = SeatMode.REQUEST, **more: object) -> None:
        settings = replace(Settings(seats=4, mode=mode), **more)  # type: ignore[arg-type]
        self.room, self.last = rooms.create("r", "host", settings, UserInfo("Host"), NOW)
        for name in ("ann", "bob", "cyd"):
            self.do(Enter(name, UserInfo(name.title())))

    def do(self, command: rooms.Command | rooms.Sign, at_s: float = 0.0) -> list[Effect]:
        self.room, self.last = rooms.apply(self.room, command, NOW + at_s)
        return self.last

    def refused(self, command: rooms.Command, at_s: float = 0.0) -> str:
        with pytest.raises(Illegal) as caught:
            rooms.apply(self.room, command, NOW + at_s)
        return caught.value.problem

    def told(self, event: str) -> list[Tell]:
        return [effect for effect in self.last if isinstance(effect, Tell) and effect.event == event]


def test_who_creates_a_room_is_its_host_in_it_and_on_his_seat() -> None:
    room, effects = rooms.create("r", "host", Settings(), UserInfo("Host"), NOW)
    assert effects[:2] == [OpenMedia(), PutSpeaker("host", Speaker(0))]
    assert room.role_of("host") is Role.HOST
    assert not room.seat_of("host")


def test_a_raised_hand_is_approved_and_he_speaks_before_anybody_is_told() -> None:
    stage = Stage()
    assert stage.refused(TakeSeat("ann")) == "request-needed"
    stage.do(RaiseHand("ann", 2))
    assert stage.told("hand_raised")[0].data == {"user": "ann", "seat": 2}
    effects = stage.do(AnswerHand("host", "ann", True))
    assert effects[0] == PutSpeaker("ann", Speaker(2))
    assert stage.told("seat_taken")[0].data["role"] == "speaker"
    assert stage.refused(RaiseHand("ann")) == "already-seated"


def test_hands_stand_in_the_order_in_which_they_were_raised_first() -> None:
    stage = Stage()
    stage.do(RaiseHand("bob"), 1)
    stage.do(RaiseHand("ann"), 2)
    stage.do(RaiseHand("bob", 3), 3)
    assert [(name, hand.raised_at) for name, hand in stage.room.hands.items()] == [("bob", NOW + 1), ("ann", NOW + 2)]
    assert stage.do(RaiseHand("bob", 3), 4) == []
    stage.do(LowerHand("bob"), 5)
    assert stage.refused(AnswerHand("host", "bob", True)) == "no-hand-raised"


def test_an_approval_for_a_seat_that_was_taken_meanwhile_says_so_and_another_can_be_given() -> None:
    stage = Stage()
    stage.do(RaiseHand("ann", 1))
    stage.do(RaiseHand("bob", 1))
    stage.do(AnswerHand("host", "ann", True))
    assert stage.refused(AnswerHand("host", "bob", True)) == "seat-taken"
    stage.do(AnswerHand("host", "bob", True, 3))
    assert stage.room.seat_of("bob") == 3


def test_an_invitation_to_the_stage_is_accepted_rejected_or_runs_out() -> None:
    stage = Stage(SeatMode.INVITATION)
    assert stage.refused(RaiseHand("ann")) == "invitation-needed"
    assert stage.refused(TakeSeat("ann")) == "invitation-needed"
    timer = Timer(What.STAGE_INVITE, "ann")
    assert SetTimer(timer, NOW + 60) in stage.do(InviteOnstage("host", "ann", 1))
    assert stage.told("stage_invited")[0].users == ("ann",)
    assert stage.refused(InviteOnstage("host", "ann")) == "already-invited"
    assert PutSpeaker("ann", Speaker(1)) in stage.do(AnswerStageInvite("ann", True), 5)
    assert stage.told("stage_invite_ended")[0].users == ("host", "ann")
    stage.do(InviteOnstage("host", "bob"))
    stage.do(AnswerStageInvite("bob", False))
    assert stage.told("stage_invite_ended")[0].data["how"] == "rejected"
    stage.do(InviteOnstage("host", "cyd"))
    stage.do(Elapsed(Timer(What.STAGE_INVITE, "cyd")), 60)
    assert stage.told("stage_invite_ended")[0].data["how"] == "timed out"
    assert stage.refused(AnswerStageInvite("cyd", True), 61) == "not-invited"


def test_who_accepts_gets_another_seat_when_his_is_taken_and_waits_when_none_is_free() -> None:
    stage = Stage(SeatMode.FREE, seats=2)
    stage.do(InviteOnstage("host", "ann", 1))
    stage.do(TakeSeat("bob", 1))
    assert stage.refused(AnswerStageInvite("ann", True)) == "no-free-seat"
    stage.do(LeaveSeat("host"))
    stage.do(AnswerStageInvite("ann", True))
    assert stage.room.seat_of("ann") == 0


def test_mutes_are_kept_apart_and_outlive_a_change_of_seats() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann", 1))
    stage.do(Mute("ann"))
    stage.do(Mute("host", "ann"))
    both = frozenset({MuteSource.SELF, MuteSource.HOST})
    assert PutSpeaker("ann", Speaker(1, both)) in stage.last
    assert stage.do(Mute("host", "ann")) == []
    assert PutSpeaker("ann", Speaker(3, both)) in stage.do(MoveSeat("ann", 3))
    stage.do(Mute("ann", muted=False))
    stage.do(LeaveSeat("ann"))
    stage.do(Leave("ann"))
    stage.do(Enter("ann"))
    assert PutSpeaker("ann", Speaker(1, frozenset({MuteSource.HOST}))) in stage.do(TakeSeat("ann", 1))
    assert stage.do(Mute(None, "bob"))
    stage.do(TakeSeat("bob"))
    assert PutSpeaker("bob", Speaker(2, frozenset({MuteSource.SYSTEM}))) in stage.last


def test_a_guest_who_is_set_to_listener_stays_in_the_room() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann"))
    assert stage.do(SetListener("host", "ann"))[0] == DropSpeaker("ann")
    assert stage.room.role_of("ann") is Role.LISTENER
    assert stage.refused(SetListener("host", "ann")) == "not-seated"


@pytest.mark.parametrize(
    ("seat", "problem"), [(0, "seat-taken"), (1, "seat-locked"), (4, "no-such-seat"), (-1, "no-such-seat")]
)
def test_a_seat_that_cannot_be_had(seat: int, problem: str) -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(LockSeat("host", 1))
    assert stage.refused(TakeSeat("ann", seat)) == problem
    assert stage.refused(LockSeat("host", 0)) == "seat-taken"


def test_who_leaves_the_room_leaves_his_seat() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann"))
    assert stage.do(Leave("ann"))[0] == CutOff("ann")
    assert stage.told("attendee_left")[0].data == {"user": "ann", "reason": "left"}


def test_after_the_service_was_away_graces_begin_anew() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(Lost("ann"), 10)
    [moved] = stage.do(Respite(), 60)
    assert isinstance(moved, SetTimer)
    assert (moved.timer, moved.deadline) == (Timer(What.AWAY, "ann"), stage.room.away["ann"])
    assert stage.do(Elapsed(moved.timer), 70) == []
    assert stage.do(Back("ann"), 80)
    assert stage.do(Respite(), 90) == []


def test_who_is_lost_keeps_his_seat_for_the_grace_period() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann"))
    stage.do(Lost("ann"), 10)
    stage.do(Back("ann"), 39)
    assert stage.do(Elapsed(Timer(What.AWAY, "ann")), 40) == []
    stage.do(Lost("ann"), 50)
    assert stage.do(Elapsed(Timer(What.AWAY, "ann")), 80)[0] == CutOff("ann")


def test_a_kick_cuts_off_and_a_ban_lasts() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann"))
    effects = stage.do(Kick("host", "ann"))
    assert effects[0] == CutOff("ann")
    assert DropSpeaker("ann") not in effects
    assert stage.told("expelled")[0].users == ("ann",)
    stage.do(Enter("ann"))
    stage.do(Ban("host", "ann", 60), 10)
    assert stage.refused(Enter("ann"), 69) == "banned"
    stage.do(Enter("ann"), 70)
    stage.do(Kick("host", "bob"))
    assert stage.do(Ban("host", "bob")) == [CutOff("bob")], "he may hear by an address from before"
    assert stage.refused(Enter("bob"), 1e9) == "banned"
    stage.do(Unban("host", "bob"))
    stage.do(Enter("bob"))


def test_a_host_who_is_gone_too_long_is_followed_by_the_admin_who_came_first() -> None:
    stage = Stage()
    stage.do(Appoint("host", "cyd"))
    stage.do(Appoint("host", "bob"))
    assert SetTimer(HOST_GONE, NOW + 130) in stage.do(Leave("host"), 10)
    stage.do(Elapsed(HOST_GONE), 130)
    assert stage.room.host == "bob"
    stage.do(Enter("host"), 140)
    assert stage.room.role_of("host") is Role.ADMIN


def test_a_host_who_is_back_in_time_is_the_host() -> None:
    stage = Stage()
    stage.do(Lost("host"), 10)
    stage.do(Elapsed(Timer(What.AWAY, "host")), 40)
    assert "host" not in stage.room.attendees
    stage.do(Enter("host"), 129)
    assert stage.do(Elapsed(HOST_GONE), 130) == []
    assert stage.room.role_of("host") is Role.HOST


@pytest.mark.parametrize(("gone", "admins"), [(HostGone.DISMISS, ["ann"]), (HostGone.NEXT_ADMIN, [])])
def test_without_a_next_one_the_room_is_dismissed(gone: HostGone, admins: list[str]) -> None:
    stage = Stage(host_gone=gone)
    for admin in admins:
        stage.do(Appoint("host", admin))
    stage.do(Leave("host"), 10)
    stage.do(Elapsed(HOST_GONE), 130)
    assert stage.told("room_dismissed")[0].data["reason"] == "host gone"
    assert stage.room.dismissed_at == NOW + 130


def test_the_host_hands_over() -> None:
    stage = Stage()
    stage.do(HandOver("host", "ann"))
    assert (stage.room.role_of("ann"), stage.room.role_of("host")) == (Role.HOST, Role.ADMIN)
    assert stage.refused(HandOver("ann", "dan")) == "no-such-attendee"


def test_a_dismissed_room_closes_its_media_once_and_takes_nothing_more() -> None:
    stage = Stage()
    stage.do(Like("ann", 7))
    effects = stage.do(Dismiss("host"), 60)
    assert effects.count(CloseMedia()) == 1
    (record,) = [effect for effect in effects if isinstance(effect, Record)]
    assert (record.data["from"], record.data["to"], record.data["likes"]) == (NOW, NOW + 60, 7)
    assert stage.refused(Enter("dan"), 61) == "room-dismissed"
    assert stage.do(Lost("ann"), 62) == []
    assert rooms.restore(stage.room) == []


def test_information_has_versions() -> None:
    stage = Stage()
    stage.do(SetInfo("host", {"topic": "jazz", "mood": "blue"}))
    stage.do(SetInfo("host", {"mood": None}, 1))
    assert (dict(stage.room.info), stage.room.info_version) == ({"topic": "jazz"}, 2)
    assert stage.refused(SetInfo("host", {"topic": "folk"}, 1)) == "stale-version"
    assert stage.do(SetInfo("host", {"topic": "jazz"})) == []
    assert stage.refused(SetInfo("host", {str(key): "x" for key in range(64)})) == "too-much"
    assert stage.refused(SetInfo("host", {"topic": "x" * 5000})) == "too-much"
    large = {f"key{number}": "\u00fc" * 2000 for number in range(16)}
    stage.do(SetInfo("host", large))
    assert stage.refused(SetInfo("host", {"more": "x" * 3000})) == "too-much", "64 KiB in all"
    stage.do(SetInfo("host", {"key0": None, "more": "x" * 3000}))
    stage.do(SetUserInfo("ann", "ann", nick="Annie", version=0))
    assert stage.room.attendees["ann"].info == UserInfo("Annie", "", "", 1)
    assert stage.refused(SetUserInfo("ann", "ann", nick="A", version=0)) == "stale-version"


def test_custom_commands_go_to_one_or_to_all() -> None:
    stage = Stage()
    stage.do(SendCommand("ann", "dance", "bob"))
    assert stage.told("custom_command")[0].users == ("bob",)
    stage.do(SendCommand("ann", "dance"))
    assert stage.told("custom_command")[0].users is None
    assert stage.refused(SendCommand("ann", "dance", "dan")) == "no-such-attendee"
    assert stage.refused(Like("ann", 101)) == stage.refused(Like("ann", 0)) == "too-much"


def test_fewer_seats_and_another_mode_send_people_down() -> None:
    stage = Stage()
    stage.do(RaiseHand("ann"))
    stage.do(AnswerHand("host", "ann", True, 3))
    stage.do(RaiseHand("bob"))
    stage.do(Configure("host", replace(stage.room.settings, seats=2, mode=SeatMode.FREE)))
    assert DropSpeaker("ann") in stage.last
    assert [effect.data["user"] for effect in stage.told("hand_lowered")] == ["bob"]
    assert len(stage.room.seats) == 2


def test_a_full_room_takes_nobody_else() -> None:
    assert Stage(capacity=4).refused(Enter("dan")) == "room-full"


@pytest.mark.parametrize(
    "wrong", [{"seats": 0}, {"seats": 1001}, {"host_seat": 4}, {"capacity": 0}, {"invite_s": -1.0}]
)
def test_settings_of_no_room_are_refused_in_a_sentence(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        Stage(**wrong)  # type: ignore[arg-type]


def test_a_restart_is_told_all() -> None:
    stage = Stage(SeatMode.FREE)
    stage.do(TakeSeat("ann", 2))
    stage.do(Lost("ann"), 5)
    restored: Room = stage.room
    assert rooms.restore(restored) == [
        OpenMedia(),
        PutSpeaker("host", Speaker(0)),
        PutSpeaker("ann", Speaker(2)),
        SetTimer(Timer(What.AWAY, "ann"), NOW + 35),
    ]
