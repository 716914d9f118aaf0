"""The ways to a seat that need two: raised hands, and invitations to the stage.

Rules held here
- A hand is raised where the mode is `request`, by who has no seat; raising it again may name another seat. It is
  lowered by himself, by an answer, or by taking a seat.
- A host or admin approves, and the user is on the seat at once; or rejects. An approval without a seat's number gives
  the one that was asked for, or the first that is free when none was.
- In each mode a host or admin invites who has no seat. The user answers, or the invitation is cancelled or runs out:
  it ends once. Who accepts gets the seat that was meant, or another if that has been taken or locked meanwhile.
"""

from dataclasses import dataclass, replace

from roomservice.model.attendance import Outcome, check_attendee
from roomservice.model.effects import Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_, without
from roomservice.model.room import Hand, Room, SeatMode, StageInvite
from roomservice.model.seats import check_free, free_seat, sit

MAX_HANDS = 1000
MAX_INVITES = 1000
"""At a time in one room; more make each of its changes cost more."""


@dataclass(frozen=True, slots=True)
class RaiseHand:
    """seat: which one is asked for; None for any."""

    by: str
    seat: int | None = None


@dataclass(frozen=True, slots=True)
class LowerHand:
    by: str


@dataclass(frozen=True, slots=True)
class AnswerHand:
    by: str | None
    user: str
    approve: bool
    seat: int | None = None


@dataclass(frozen=True, slots=True)
class InviteOnstage:
    by: str | None
    user: str
    seat: int | None = None


@dataclass(frozen=True, slots=True)
class CancelStageInvite:
    by: str | None
    user: str


@dataclass(frozen=True, slots=True)
class AnswerStageInvite:
    by: str
    accept: bool


def raise_hand(room: Room, command: RaiseHand, now: float) -> Outcome:
    user = command.by
    if room.seat_of(user) is not None:
        raise Illegal(Problem.ALREADY_SEATED)
    if room.settings.mode is SeatMode.FREE:
        raise Illegal(Problem.SEATS_ARE_FREE)
    if room.settings.mode is SeatMode.INVITATION:
        raise Illegal(Problem.INVITATION_NEEDED)
    if command.seat is not None:
        check_free(room, command.seat)
    known = room.hands.get(user)
    if known is None and len(room.hands) >= MAX_HANDS:
        raise Illegal(Problem.TOO_MUCH)
    hand = Hand(known.raised_at if known else now, command.seat)
    if hand == known:
        return room, []
    return replace(room, hands=with_(room.hands, user, hand)), [
        Tell("hand_raised", {"user": user, "seat": command.seat})
    ]


def lower_hand(room: Room, command: LowerHand, now: float) -> Outcome:
    _check_hand(room, command.by)
    return _lowered(room, command.by), [Tell("hand_lowered", {"user": command.by, "reason": "lowered"})]


def answer_hand(room: Room, command: AnswerHand, now: float) -> Outcome:
    user = command.user
    _check_hand(room, user)
    if not command.approve:
        said = {"user": user, "by": command.by, "reason": "rejected"}
        return _lowered(room, user), [Tell("hand_lowered", said)]
    wanted = room.hands[user].seat if command.seat is None else command.seat
    room, seated = sit(room, user, free_seat(room, wanted))
    return room, [Tell("hand_lowered", {"user": user, "by": command.by, "reason": "approved"}), *seated]


def invite_onstage(room: Room, command: InviteOnstage, now: float) -> Outcome:
    user = command.user
    check_attendee(room, user)
    if room.seat_of(user) is not None:
        raise Illegal(Problem.ALREADY_SEATED)
    if user in room.invites:
        raise Illegal(Problem.ALREADY_INVITED)
    if command.seat is not None:
        check_free(room, command.seat)
    if len(room.invites) >= MAX_INVITES:
        raise Illegal(Problem.TOO_MUCH)
    deadline = now + room.settings.invite_s if room.settings.invite_s else None
    invite = StageInvite(command.by, command.seat, deadline)
    said = {"room": room.id, "by": command.by, "seat": command.seat, "until": deadline}
    return replace(room, invites=with_(room.invites, user, invite)), [Tell("stage_invited", said, (user,))]


def cancel_stage_invite(room: Room, command: CancelStageInvite, now: float) -> Outcome:
    return _ended(room, command.user, "cancelled")


def answer_stage_invite(room: Room, command: AnswerStageInvite, now: float) -> Outcome:
    user = command.by
    invite = _invite(room, user)
    if not command.accept:
        return _ended(room, user, "rejected")
    wanted = invite.seat
    if wanted is not None and not (wanted < len(room.seats) and _is_free(room, wanted)):
        wanted = None
    seat = free_seat(room, wanted)
    room, told = _ended(room, user, "accepted")
    room, seated = sit(room, user, seat)
    return room, [*told, *seated]


def stage_invite_elapsed(room: Room, user: str, now: float) -> Outcome:
    invite = room.invites.get(user)
    if invite is None or invite.deadline is None or now < invite.deadline:
        return room, []
    return _ended(room, user, "timed out")


def _is_free(room: Room, seat: int) -> bool:
    return room.seats[seat].user is None and not room.seats[seat].locked


def _check_hand(room: Room, user: str) -> None:
    if user not in room.hands:
        raise Illegal(Problem.NO_HAND_RAISED)


def _invite(room: Room, user: str) -> StageInvite:
    if user not in room.invites:
        raise Illegal(Problem.NOT_INVITED)
    return room.invites[user]


def _lowered(room: Room, user: str) -> Room:
    return replace(room, hands=without(room.hands, user))


def _ended(room: Room, user: str, how: str) -> Outcome:
    """Told to both."""
    invite = _invite(room, user)
    both = (user,) if invite.by is None else (invite.by, user)
    said = {"room": room.id, "user": user, "how": how}
    return replace(room, invites=without(room.invites, user)), [Tell("stage_invite_ended", said, both)]
