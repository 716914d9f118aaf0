"""Signalling: one invites another, or some of a group, and each of them answers once.

Rules held here
- An invitee accepts or rejects once, while the invitation neither has timed out nor was cancelled.
- Only the inviter cancels, and only while somebody has not answered: those end as cancelled.
- A timeout of 0 is none. Else who has not answered by then has timed out.
- The invitation ends once: when all have answered, by themselves, by the timeout or by being cancelled. It is
  recorded then, and nothing can happen to it any more.
- An invitation in a group is of its members, inviter and invitees, and everybody in the group is told of all of it;
  else inviter and invitee are, the invitee's other devices too.
- Data is the app's own text and goes both ways.
- `callback` in what is told is what the Tencent document calls it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from roomservice.model.effects import Effect, Elapsed, Record, Tell, Timer, What, timer_changes
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_

MAX_INVITEES = 1000
MAX_DATA_BYTES = 8192
MAX_TIMEOUT_S = 24 * 3600.0


class Answer(StrEnum):
    NONE = "none"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Invitation:
    """group: None when it is from one to one; of_room: it is the audience group of a room. invitees in the order in
    which they were named. deadline: Unix time in s, None without a timeout."""

    id: str
    inviter: str
    invitees: Mapping[str, Answer]
    created_at: float
    group: str | None = None
    data: str = ""
    deadline: float | None = None
    of_room: bool = False

    @property
    def ended(self) -> bool:
        return Answer.NONE not in self.invitees.values()


@dataclass(frozen=True, slots=True)
class Accept:
    by: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    by: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    by: str
    data: str = ""


Command = Accept | Reject | Cancel | Elapsed
Outcome = tuple[Invitation, list[Effect]]


def invite(invitation_id: str, by: str, invitee: str, *, now: float, timeout_s: float = 0.0, data: str = "") -> Outcome:
    """From one to one. Illegal: invites-himself, too-much."""
    return _begin(Invitation(invitation_id, by, {invitee: Answer.NONE}, now, None, data), timeout_s)


def invite_in_group(
    invitation_id: str,
    by: str,
    group: str,
    *,
    members: frozenset[str],
    invitees: tuple[str, ...],
    now: float,
    timeout_s: float = 0.0,
    data: str = "",
    of_room: bool = False,
) -> Outcome:
    """members: of the group, now. Illegal: not-a-member, nobody-invited, invites-himself, too-much."""
    if not {by, *invitees} <= members:
        raise Illegal(Problem.NOT_A_MEMBER)
    answers = dict.fromkeys(invitees, Answer.NONE)
    return _begin(Invitation(invitation_id, by, answers, now, group, data, of_room=of_room), timeout_s)


def apply(invitation: Invitation, command: Command, now: float) -> Outcome:
    """The invitation after it, and what is to be done outside. Illegal, with the problem's name."""
    match command:
        case Accept(by, data):
            return _answer(invitation, by, Answer.ACCEPTED, data, now)
        case Reject(by, data):
            return _answer(invitation, by, Answer.REJECTED, data, now)
        case Cancel(by, data):
            return _cancel(invitation, by, data, now)
        case Elapsed():
            return _elapsed(invitation, now)


def timers(invitation: Invitation) -> dict[Timer, float]:
    if invitation.ended or invitation.deadline is None:
        return {}
    return {Timer(What.INVITATION): invitation.deadline}


def _begin(invitation: Invitation, timeout_s: float) -> Outcome:
    if not invitation.invitees:
        raise Illegal(Problem.NOBODY_INVITED)
    if invitation.inviter in invitation.invitees:
        raise Illegal(Problem.INVITES_HIMSELF)
    if len(invitation.invitees) > MAX_INVITEES or not 0 <= timeout_s <= MAX_TIMEOUT_S:
        raise Illegal(Problem.TOO_MUCH)
    _check_data(invitation.data)
    if timeout_s:
        invitation = replace(invitation, deadline=invitation.created_at + timeout_s)
    said = {
        "callback": "onReceiveNewInvitation",
        "id": invitation.id,
        "inviter": invitation.inviter,
        "group": invitation.group,
        "invitees": list(invitation.invitees),
        "data": invitation.data,
        "until": invitation.deadline,
    }
    told = Tell("invitation_received", said, _told(invitation, *invitation.invitees))
    return invitation, [told, *timer_changes({}, timers(invitation))]


def _answer(invitation: Invitation, by: str, answer: Answer, data: str, now: float) -> Outcome:
    if by not in invitation.invitees:
        raise Illegal(Problem.NOT_INVITED)
    if invitation.invitees[by] in (Answer.ACCEPTED, Answer.REJECTED):
        raise Illegal(Problem.ALREADY_ANSWERED)
    _check_open(invitation, now)
    _check_data(data)
    accepted = answer is Answer.ACCEPTED
    event = "invitee_accepted" if accepted else "invitee_rejected"
    callback = "onInviteeAccepted" if accepted else "onInviteeRejected"
    said = {"callback": callback, "id": invitation.id, "invitee": by, "data": data}
    told = Tell(event, said, _told(invitation, invitation.inviter, by))
    return _after(invitation, with_(invitation.invitees, by, answer), [told], now)


def _cancel(invitation: Invitation, by: str, data: str, now: float) -> Outcome:
    if by != invitation.inviter:
        raise Illegal(Problem.NOT_THE_INVITER)
    _check_open(invitation, now)
    _check_data(data)
    said = {"callback": "onInvitationCancelled", "id": invitation.id, "inviter": by, "data": data}
    told = Tell("invitation_cancelled", said, _told(invitation, by, *_waiting(invitation)))
    return _after(invitation, _all_of_them(invitation, Answer.CANCELLED), [told], now)


def _elapsed(invitation: Invitation, now: float) -> Outcome:
    if invitation.ended or invitation.deadline is None or now < invitation.deadline:
        return invitation, []
    late = _waiting(invitation)
    said = {"callback": "onInvitationTimeout", "id": invitation.id, "invitees": list(late)}
    told = Tell("invitation_timed_out", said, _told(invitation, invitation.inviter, *late))
    return _after(invitation, _all_of_them(invitation, Answer.TIMED_OUT), [told], now)


def _after(invitation: Invitation, invitees: Mapping[str, Answer], told: list[Effect], now: float) -> Outcome:
    after = replace(invitation, invitees=invitees)
    if after.ended:
        answers = {user: str(answer) for user, answer in invitees.items()}
        kept = {"id": after.id, "inviter": after.inviter, "group": after.group, "answers": answers}
        told.append(Record("invitation", {**kept, "from": after.created_at, "to": now}))
    return after, [*told, *timer_changes(timers(invitation), timers(after))]


def _all_of_them(invitation: Invitation, answer: Answer) -> dict[str, Answer]:
    """Of those who have not answered."""
    return {user: answer if given is Answer.NONE else given for user, given in invitation.invitees.items()}


def _waiting(invitation: Invitation) -> tuple[str, ...]:
    return tuple(user for user, answer in invitation.invitees.items() if answer is Answer.NONE)


def _told(invitation: Invitation, *users: str) -> tuple[str, ...] | None:
    return None if invitation.group is not None else users


def _check_open(invitation: Invitation, now: float) -> None:
    """The timer may fire later than it is due; an answer that comes between is too late all the same."""
    if invitation.ended or (invitation.deadline is not None and now >= invitation.deadline):
        raise Illegal(Problem.INVITATION_ENDED)


def _check_data(data: str) -> None:
    if len(data.encode(errors="surrogatepass")) > MAX_DATA_BYTES:
        raise Illegal(Problem.TOO_MUCH)
