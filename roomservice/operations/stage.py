"""Seats, and the ways to one: raised hands and invitations to the stage."""

from typing import Annotated

from pydantic import Field

from roomservice.model.seats import LeaveSeat, LockSeat, MoveSeat, Mute, SetListener, TakeSeat
from roomservice.model.stage import (
    AnswerHand,
    AnswerStageInvite,
    CancelStageInvite,
    InviteOnstage,
    LowerHand,
    RaiseHand,
)
from roomservice.operations.fields import SeatNumber, UserId
from roomservice.operations.rooms import InRoom, WhoInRoom, commanding, himself
from roomservice.operations.table import Caller, Done, Operation

TAG = "seats"

AnySeat = Annotated[
    SeatNumber | None, Field(description="Number of the seat, from 0; without it the first that is free")
]


class TakeSeatParams(InRoom):
    seat: AnySeat = None


class MoveSeatParams(InRoom):
    seat: Annotated[SeatNumber, Field(description="Number of the seat to go to, from 0")]
    user: Annotated[UserId | None, Field(description="Whose; the caller's own without it")] = None


class LockSeatParams(InRoom):
    seat: Annotated[SeatNumber, Field(description="Number of the seat, from 0")]
    locked: Annotated[bool, Field(description="Whether nobody can have it")] = True


class MuteParams(InRoom):
    user: Annotated[UserId | None, Field(description="Whom; the caller himself without it")] = None
    muted: Annotated[
        bool, Field(description="False takes away the caller's own kind of mute: self, host or system")
    ] = True


class RaiseHandParams(InRoom):
    raised: Annotated[bool, Field(description="False lowers it")] = True
    seat: Annotated[SeatNumber | None, Field(description="Number of the seat that is asked for; any without it")] = None


class AnswerHandParams(WhoInRoom):
    approve: Annotated[bool, Field(description="True: he has the seat at once")]
    seat: Annotated[SeatNumber | None, Field(description="Which one; the one asked for, or the first free")] = None


class InviteOnstageParams(WhoInRoom):
    seat: AnySeat = None


class ResponseOnstageInvite(InRoom):
    accept: Annotated[bool, Field(description="True: he has the seat at once")]


def _hand(caller: Caller, asked: RaiseHandParams) -> RaiseHand | LowerHand:
    return RaiseHand(himself(caller), asked.seat) if asked.raised else LowerHand(himself(caller))


OPERATIONS = (
    Operation(
        "take_seat",
        ("POST", "/v1/rooms/{room}/seats:take"),
        TakeSeatParams,
        Done,
        commanding(lambda caller, asked: TakeSeat(himself(caller), asked.seat), there=True),
        "Takes a seat, where seats are free; host and admins in each mode.",
        TAG,
    ),
    Operation(
        "leave_seat",
        ("POST", "/v1/rooms/{room}/seats:leave"),
        InRoom,
        Done,
        commanding(lambda caller, _: LeaveSeat(himself(caller))),
        "Leaves the stage, and stays in the room.",
        TAG,
    ),
    Operation(
        "move_seat",
        ("POST", "/v1/rooms/{room}/seats:move"),
        MoveSeatParams,
        Done,
        commanding(lambda caller, asked: MoveSeat(caller.by, asked.seat, asked.user)),
        "Goes to another seat, or moves somebody there.",
        TAG,
    ),
    Operation(
        "lock_seat",
        ("POST", "/v1/rooms/{room}/seats/{seat}:lock"),
        LockSeatParams,
        Done,
        commanding(lambda caller, asked: LockSeat(caller.by, asked.seat, asked.locked)),
        "Locks a seat that nobody has, or unlocks it.",
        TAG,
    ),
    Operation(
        "mute",
        ("POST", "/v1/rooms/{room}/seats:mute"),
        MuteParams,
        Done,
        commanding(lambda caller, asked: Mute(caller.by, asked.user, asked.muted)),
        "Mutes a speaker, or takes one's own mute of him away; others' mutes stay.",
        TAG,
    ),
    Operation(
        "set_listener",
        ("POST", "/v1/rooms/{room}/attendees/{user}:set_listener"),
        WhoInRoom,
        Done,
        commanding(lambda caller, asked: SetListener(caller.by, asked.user)),
        "Takes a speaker's seat. He stays in the room.",
        TAG,
    ),
    Operation(
        "operate_raise_hand",
        ("POST", "/v1/rooms/{room}/hands:raise"),
        RaiseHandParams,
        Done,
        commanding(_hand, there=True),
        "Asks for a seat, or takes the request back.",
        TAG,
    ),
    Operation(
        "answer_raise_hand",
        ("POST", "/v1/rooms/{room}/hands/{user}:answer"),
        AnswerHandParams,
        Done,
        commanding(lambda caller, asked: AnswerHand(caller.by, asked.user, asked.approve, asked.seat)),
        "Approves or rejects a request for a seat.",
        TAG,
    ),
    Operation(
        "invite_onstage",
        ("POST", "/v1/rooms/{room}/invites/{user}:invite"),
        InviteOnstageParams,
        Done,
        commanding(lambda caller, asked: InviteOnstage(caller.by, asked.user, asked.seat)),
        "Invites an attendee to a seat.",
        TAG,
    ),
    Operation(
        "cancel_onstage_invite",
        ("POST", "/v1/rooms/{room}/invites/{user}:cancel"),
        WhoInRoom,
        Done,
        commanding(lambda caller, asked: CancelStageInvite(caller.by, asked.user)),
        "Takes an invitation back.",
        TAG,
    ),
    Operation(
        "response_onstage_invite",
        ("POST", "/v1/rooms/{room}/invites:answer"),
        ResponseOnstageInvite,
        Done,
        commanding(lambda caller, asked: AnswerStageInvite(himself(caller), asked.accept), there=True),
        "Accepts or rejects the invitation to a seat.",
        TAG,
    ),
)
