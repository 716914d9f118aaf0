"""What may happen in a room: every command, what it needs, and what carries it out. The one way to change a room.

Rules held here
- A command is looked at in this order: is the room open; may the role do it; then what its own file says. The first
  that says no names the problem, and nothing has changed.
- Effects come in this order: the media server, then notifications, then timers. Who is told that he has a seat can
  publish at once.
- Saying again what already is has no effects.
"""

from collections.abc import Callable
from typing import Any

from roomservice.model import attendance, configuring, details, seats, stage
from roomservice.model.attendance import (
    Appoint,
    Back,
    Ban,
    Dismiss,
    Enter,
    HandOver,
    Kick,
    Leave,
    Lost,
    Outcome,
    Respite,
    Unban,
)
from roomservice.model.authority import Operation, check
from roomservice.model.configuring import Configure
from roomservice.model.details import DirectSound, Like, SendCommand, SetInfo, SetUserInfo
from roomservice.model.effects import CutOff, Effect, Elapsed, OpenMedia, Reopen, What, speaker_changes, timer_changes
from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Room, Settings, UserInfo, speakers, timers
from roomservice.model.seats import LeaveSeat, LockSeat, MoveSeat, Mute, SetListener, TakeSeat
from roomservice.model.stage import (
    AnswerHand,
    AnswerStageInvite,
    CancelStageInvite,
    InviteOnstage,
    LowerHand,
    RaiseHand,
)

Command = (
    Enter
    | Leave
    | Dismiss
    | Kick
    | Ban
    | Unban
    | HandOver
    | Appoint
    | TakeSeat
    | LeaveSeat
    | MoveSeat
    | LockSeat
    | Mute
    | SetListener
    | RaiseHand
    | LowerHand
    | AnswerHand
    | InviteOnstage
    | CancelStageInvite
    | AnswerStageInvite
    | Configure
    | SetInfo
    | SetUserInfo
    | Like
    | SendCommand
    | DirectSound
)
"""What somebody may want; `by` is who, and None the service itself."""

Sign = Lost | Back | Respite | Elapsed
"""What the service sees happen; no role is asked for it."""


def _of_self(command: MoveSeat | Mute | SetUserInfo) -> bool:
    return command.by is not None and command.user in (None, command.by)


HANDLERS: dict[type, tuple[Operation | Callable[[Any], Operation], Callable[[Room, Any, float], Outcome]]] = {
    Enter: (Operation.ENTER, attendance.enter),
    Leave: (Operation.LEAVE, attendance.leave),
    Dismiss: (Operation.DISMISS, attendance.dismiss),
    Kick: (Operation.KICK, attendance.kick),
    Ban: (Operation.BAN, attendance.ban),
    Unban: (Operation.UNBAN, attendance.unban),
    HandOver: (Operation.HAND_OVER, attendance.hand_over),
    Appoint: (Operation.APPOINT, attendance.appoint),
    TakeSeat: (Operation.TAKE_SEAT, seats.take_seat),
    LeaveSeat: (Operation.LEAVE_SEAT, seats.leave_seat),
    MoveSeat: (lambda move: Operation.MOVE_SEAT if _of_self(move) else Operation.MOVE_OTHER, seats.move_seat),
    LockSeat: (Operation.LOCK_SEAT, seats.lock_seat),
    Mute: (lambda mute: Operation.MUTE_SELF if _of_self(mute) else Operation.MUTE_OTHER, seats.mute),
    SetListener: (Operation.SET_LISTENER, seats.set_listener),
    RaiseHand: (Operation.RAISE_HAND, stage.raise_hand),
    LowerHand: (Operation.LOWER_HAND, stage.lower_hand),
    AnswerHand: (Operation.ANSWER_HAND, stage.answer_hand),
    InviteOnstage: (Operation.INVITE_ONSTAGE, stage.invite_onstage),
    CancelStageInvite: (Operation.INVITE_ONSTAGE, stage.cancel_stage_invite),
    AnswerStageInvite: (Operation.ANSWER_INVITE, stage.answer_stage_invite),
    Configure: (Operation.CONFIGURE, configuring.configure),
    SetInfo: (Operation.SET_INFO, details.set_info),
    SetUserInfo: (
        lambda said: Operation.SET_OWN_INFO if _of_self(said) else Operation.SET_OTHER_INFO,
        details.set_user_info,
    ),
    Like: (Operation.LIKE, details.like),
    SendCommand: (Operation.SEND_COMMAND, details.send_command),
    DirectSound: (Operation.DIRECT_SOUND, details.direct_sound),
}


def operation_of(command: Command) -> Operation:
    """What the table of authority.py calls it."""
    operation, _ = HANDLERS[type(command)]
    return operation if isinstance(operation, Operation) else operation(command)


def create(room_id: str, host: str, settings: Settings, info: UserInfo, now: float) -> tuple[Room, list[Effect]]:
    """A new room. Its id is new."""
    room, (opened, *told) = attendance.create(room_id, host, settings, info, now)
    return room, [opened, *speaker_changes({}, speakers(room)), *told]


def apply(room: Room, command: Command | Sign, now: float) -> tuple[Room, list[Effect]]:
    """The room after it, and what is to be done outside. Illegal, with the problem's name."""
    if room.dismissed_at is not None:
        if isinstance(command, Sign):
            return room, []
        raise Illegal(Problem.ROOM_DISMISSED)
    if isinstance(command, Sign):
        after, done = _signs(room, command, now)
    else:
        check(room, command.by, operation_of(command))
        after, done = HANDLERS[type(command)][1](room, command, now)
    return after, _in_order(room, after, done)


def restore(room: Room) -> list[Effect]:
    """What the outside must be told after it has forgotten everything: the media server's part, and the timers."""
    if room.dismissed_at is not None:
        return []
    return [OpenMedia(), *speaker_changes({}, speakers(room)), *timer_changes({}, timers(room))]


def _signs(room: Room, sign: Sign, now: float) -> Outcome:
    match sign:
        case Lost():
            return attendance.lost(room, sign, now)
        case Back():
            return attendance.back(room, sign, now)
        case Respite():
            return attendance.respite(room, sign, now)
        case Elapsed(timer):
            if timer.what is What.AWAY:
                return attendance.away_elapsed(room, timer.of, now)
            if timer.what is What.HOST_GONE:
                return attendance.host_gone_elapsed(room, now)
            if timer.what is What.STAGE_INVITE:
                return stage.stage_invite_elapsed(room, timer.of, now)
            raise ValueError(f"A room has no timer for {timer.what}.")


def _in_order(before: Room, after: Room, done: list[Effect]) -> list[Effect]:
    """A media room that closes needs no word of its speakers; one who is cut off has lost his seat by that."""
    cut = {effect.user for effect in done if isinstance(effect, CutOff)}
    media: list[Effect] = []
    if after.dismissed_at is None:
        known = {user: speaker for user, speaker in speakers(before).items() if user not in cut}
        media = speaker_changes(known, speakers(after))
        if before.settings.scenario != after.settings.scenario:
            media.append(Reopen())
    outside = [effect for effect in done if isinstance(effect, CutOff)]
    told = [effect for effect in done if not isinstance(effect, CutOff)]
    return [*outside, *media, *told, *timer_changes(timers(before), timers(after))]
