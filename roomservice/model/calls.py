"""Calls: one calls another, or several; who answers is in; further ones can be called in.

Rules held here
- A party rings, is in, or is out; a party that is out can be called in again. Who rings or is in is engaged, and
  nobody is engaged in two calls: an engaged callee is out at once, with the reason `busy`, and his phone does not
  ring.
- Ringing ends by an answer, a rejection, the timeout or the caller's end, whichever is first; all others come too
  late. A user who is offline is pushed to and rings as long; a second push tells his devices when it is over.
- The device that answers is in the call. The user's other devices are told to stop, and cannot answer or hang up.
- Whose device is lost is out after the grace period with the reason `crashed`, unless he is back before. Who rings
  and is lost is pushed to, and rings on.
- The call ends once: when nobody rings and fewer than two are in; or when its owner goes before anybody has answered.
  The owner is who called; when he goes later, the one who came in first is the owner.
- Its duration counts from when two were in first. Its reason is `completed` if that ever was; else what the last
  callee who could have answered did.
- The caller hears a ring-back tone while somebody rings and nobody has answered.
- Who is out, however he went, neither sends nor hears any more: he is cut off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from roomservice.model.effects import (
    CloseMedia,
    CutOff,
    Disengage,
    Effect,
    Elapsed,
    Engage,
    MuteSource,
    OpenMedia,
    Push,
    Record,
    RingBack,
    Speaker,
    Tell,
    Timer,
    What,
    speaker_changes,
    timer_changes,
)
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_

RING_S = 60.0
"""How long a call rings, at both ends."""

GRACE_S = 15.0
"""For a device that was lost. More keeps the other waiting before a dead line, less ends calls in a tunnel."""

MAX_PARTIES = 100
"""In one call, those who are out included."""

MAX_DATA_BYTES = 4096


class State(StrEnum):
    RINGING = "ringing"
    IN = "in"
    OUT = "out"


class Reason(StrEnum):
    """Why a party is out, or a call has ended."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    BUSY = "busy"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    HUNG_UP = "hung up"
    REMOVED = "removed"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Callee:
    """Whom to call, and what is known of him: is any device of his online, is he engaged in another call."""

    user: str
    online: bool = True
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Party:
    """by: who called him; device: the one that is in the call; ring_until, lost_until: Unix time in s, of who rings and
    of whose device is lost; rings: a device has said so; pushed: he was offline while it rang."""

    state: State
    by: str
    device: str | None = None
    ring_until: float | None = None
    rings: bool = False
    pushed: bool = False
    lost_until: float | None = None
    joined_at: float | None = None
    mutes: frozenset[MuteSource] = frozenset()
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """parties in the order in which they were called first. answered_at: when two were in first."""

    id: str
    caller: str
    owner: str
    created_at: float
    parties: Mapping[str, Party] = field(default_factory=dict)
    data: str = ""
    answered_at: float | None = None
    ended_at: float | None = None
    reason: Reason | None = None

    def of(self, *states: State) -> tuple[str, ...]:
        return tuple(user for user, party in self.parties.items() if party.state in states)

    @property
    def duration_s(self) -> float:
        """Of a call that has ended; 0 when nobody answered."""
        return 0.0 if self.answered_at is None or self.ended_at is None else self.ended_at - self.answered_at


# ---- commands


@dataclass(frozen=True, slots=True)
class CallIn:
    """Further callees."""

    by: str
    callees: tuple[Callee, ...]


@dataclass(frozen=True, slots=True)
class Ringing:
    """A callee's device rings."""

    by: str


@dataclass(frozen=True, slots=True)
class AnswerCall:
    by: str
    device: str


@dataclass(frozen=True, slots=True)
class RejectCall:
    """data: the app's own, to the others."""

    by: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class HangUp:
    """By who is in; the owner's before anybody has answered cancels the call."""

    by: str
    device: str


@dataclass(frozen=True, slots=True)
class MuteParty:
    """user: oneself, or whom the owner mutes."""

    by: str
    user: str
    muted: bool = True


@dataclass(frozen=True, slots=True)
class RemoveParty:
    by: str
    user: str


@dataclass(frozen=True, slots=True)
class HandOverCall:
    by: str
    user: str


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """From the service itself. device: from which one there is no sign of life; None when it was the user's last."""

    user: str
    device: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceBack:
    user: str
    device: str


Command = (
    CallIn
    | Ringing
    | AnswerCall
    | RejectCall
    | HangUp
    | MuteParty
    | RemoveParty
    | HandOverCall
    | DeviceLost
    | DeviceBack
    | Elapsed
)
Outcome = tuple[Call, list[Effect]]


def start(
    call_id: str, by: str, device: str, callees: tuple[Callee, ...], *, busy: bool, now: float, data: str = ""
) -> tuple[Call, list[Effect]]:
    """busy: whether the caller is engaged. Illegal: busy, nobody-invited, invites-himself, call-full, too-much."""
    if busy:
        raise Illegal(Problem.BUSY)
    _check_data(data)
    caller = Party(State.IN, by, device, joined_at=now)
    empty = Call(call_id, by, by, now, {}, data)
    call, told = _call_in(replace(empty, parties={by: caller}), CallIn(by, callees), now)
    return _settled(empty, call, [OpenMedia()], told, now)


def apply(call: Call, command: Command, now: float) -> tuple[Call, list[Effect]]:
    """The call after it, and what is to be done outside. Illegal, with the problem's name."""
    sign = isinstance(command, DeviceLost | DeviceBack | Elapsed)
    if call.ended_at is not None:
        if sign:
            return call, []
        raise Illegal(Problem.CALL_ENDED)
    after, told = HANDLERS[type(command)](call, command, now)
    cut: list[Effect] = [CutOff(user) for user in call.of(State.IN) if user not in after.of(State.IN)]
    return _settled(call, after, cut, told, now)


def speakers(call: Call) -> dict[str, Speaker]:
    """What the media server shall do for whom."""
    if call.ended_at is not None:
        return {}
    return {user: Speaker(None, call.parties[user].mutes) for user in call.of(State.IN)}


def timers(call: Call) -> dict[Timer, float]:
    """Which run, and until when."""
    if call.ended_at is not None:
        return {}
    rings = {Timer(What.RINGING, user): party.ring_until for user, party in call.parties.items()}
    lost = {Timer(What.AWAY, user): party.lost_until for user, party in call.parties.items()}
    return {timer: deadline for timer, deadline in (rings | lost).items() if deadline is not None}


def engaged(call: Call) -> frozenset[str]:
    return frozenset() if call.ended_at is not None else frozenset(call.of(State.RINGING, State.IN))


def ring_back(call: Call) -> frozenset[str]:
    """Who hears the tone."""
    waits = call.ended_at is None and call.answered_at is None and call.of(State.RINGING)
    return frozenset({call.caller}) if waits else frozenset()


# ---- moves


def _call_in(call: Call, command: CallIn, now: float) -> Outcome:
    by, callees = command.by, command.callees
    _check_in(call, by)
    if not callees:
        raise Illegal(Problem.NOBODY_INVITED)
    parties, told = dict(call.parties), list[Effect]()
    for callee in callees:
        user = callee.user
        if user == by:
            raise Illegal(Problem.INVITES_HIMSELF)
        known = parties.get(user)
        if known is not None and known.state is not State.OUT:
            continue
        if callee.busy:
            parties[user] = Party(State.OUT, by, reason=Reason.BUSY)
            told.append(Tell("call_missed", {"call": call.id, "by": by, "reason": Reason.BUSY}, (user,)))
            continue
        parties[user] = Party(State.RINGING, by, ring_until=now + RING_S, pushed=not callee.online)
        said = {"call": call.id, "by": by, "data": call.data, "until": now + RING_S}
        told.append(Tell("call_incoming", said, (user,)))  # who is offline finds it when he is back
        if not callee.online:
            told.append(Push(user, "call_incoming", said))
    if len(parties) > MAX_PARTIES:
        raise Illegal(Problem.CALL_FULL)
    call = replace(call, parties=parties)
    states = {callee.user: str(_shown(parties[callee.user])) for callee in callees}
    return call, [*told, Tell("call_parties", {"call": call.id, "by": by, "parties": states}, call.of(State.IN))]


def _rings(call: Call, command: Ringing, now: float) -> Outcome:
    by = command.by
    _check_ringing(call, by, now)
    party = call.parties[by]
    if party.rings:
        return call, []
    call = _with(call, by, replace(party, rings=True))
    return call, [Tell("call_ringing", {"call": call.id, "user": by}, call.of(State.IN))]


def _answer(call: Call, command: AnswerCall, now: float) -> Outcome:
    by, device = command.by, command.device
    party = call.parties.get(by)
    if party is not None and party.state is State.IN:
        if party.device == device:
            return call, []
        raise Illegal(Problem.ANSWERED_ELSEWHERE)
    _check_ringing(call, by, now)
    call = _with(call, by, Party(State.IN, call.parties[by].by, device, joined_at=now))
    if call.answered_at is None and len(call.of(State.IN)) > 1:
        call = replace(call, answered_at=now)
    said = {"call": call.id, "user": by}
    return call, [
        Tell("call_answered", said, call.of(State.IN)),
        Tell("call_answered_elsewhere", said, (by,), except_device=device),
    ]


def _reject(call: Call, command: RejectCall, now: float) -> Outcome:
    _check_ringing(call, command.by, now)
    _check_data(command.data)
    return _out(call, command.by, Reason.REJECTED, command.data)


def _hang_up(call: Call, command: HangUp, now: float) -> Outcome:
    _check_in(call, command.by)
    if call.parties[command.by].device != command.device:
        raise Illegal(Problem.ANSWERED_ELSEWHERE)
    return _out(call, command.by, Reason.CANCELLED if call.answered_at is None else Reason.HUNG_UP)


def _remove(call: Call, command: RemoveParty, now: float) -> Outcome:
    _check_owner(call, command.by, command.user)
    return _out(call, command.user, Reason.REMOVED)


def _hand_over(call: Call, command: HandOverCall, now: float) -> Outcome:
    _check_owner(call, command.by, command.user)
    _check_in(call, command.user)
    return _owned(call, command.user)


def _mute(call: Call, command: MuteParty, now: float) -> Outcome:
    if command.by == command.user:
        _check_in(call, command.by)
    else:
        _check_owner(call, command.by, command.user)
        _check_in(call, command.user)
    source = MuteSource.SELF if command.by == command.user else MuteSource.HOST
    party = call.parties[command.user]
    mutes = party.mutes | {source} if command.muted else party.mutes - {source}
    if mutes == party.mutes:
        return call, []
    call = _with(call, command.user, replace(party, mutes=mutes))
    said = {"call": call.id, "user": command.user, "mutes": sorted(mutes)}
    return call, [Tell("call_muted" if command.muted else "call_unmuted", said, call.of(State.IN))]


def _lost(call: Call, command: DeviceLost, now: float) -> Outcome:
    user, device = command.user, command.device
    party = call.parties.get(user)
    if party is None or party.state is State.OUT:
        return call, []
    if party.state is State.RINGING:
        if device is not None or party.ring_until is None:
            return call, []
        said = {"call": call.id, "by": party.by, "data": call.data, "until": party.ring_until}
        return _with(call, user, replace(party, pushed=True)), [Push(user, "call_incoming", said)]
    if device not in (None, party.device) or party.lost_until is not None:
        return call, []
    call = _with(call, user, replace(party, lost_until=now + GRACE_S))
    return call, [Tell("call_party_lost", {"call": call.id, "user": user}, _others(call, user))]


def _back(call: Call, command: DeviceBack, now: float) -> Outcome:
    user = command.user
    party = call.parties.get(user)
    if party is None or party.lost_until is None or party.device != command.device:
        return call, []
    call = _with(call, user, replace(party, lost_until=None))
    return call, [Tell("call_party_back", {"call": call.id, "user": user}, _others(call, user))]


def _elapsed(call: Call, command: Elapsed, now: float) -> Outcome:
    timer = command.timer
    party = call.parties.get(timer.of)
    if party is None:
        return call, []
    rings = timer.what is What.RINGING
    deadline = party.ring_until if rings else party.lost_until
    if deadline is None or now < deadline:
        return call, []
    return _out(call, timer.of, Reason.TIMED_OUT if rings else Reason.CRASHED)


def _out(call: Call, user: str, reason: Reason, data: str = "") -> Outcome:
    """Illegal: not-in-call."""
    party = call.parties.get(user)
    if party is None or party.state is State.OUT:
        raise Illegal(Problem.NOT_IN_CALL)
    told: list[Effect] = []
    said = {"call": call.id, "user": user, "reason": reason, "data": data}
    call = _with(call, user, Party(State.OUT, party.by, reason=reason))
    told.append(Tell("call_party_left", said, (*call.of(State.IN), user)))
    present = sorted(call.of(State.IN), key=lambda name: call.parties[name].joined_at or 0.0)
    if user == call.owner and call.answered_at is not None and present:
        call, owned = _owned(call, present[0])
        told += owned
    return call, told


def _owned(call: Call, user: str) -> Outcome:
    call = replace(call, owner=user)
    return call, [Tell("call_owner", {"call": call.id, "user": user}, call.of(State.IN))]


HANDLERS: dict[type, Callable[[Call, Any, float], Outcome]] = {
    CallIn: _call_in,
    Ringing: _rings,
    AnswerCall: _answer,
    RejectCall: _reject,
    HangUp: _hang_up,
    MuteParty: _mute,
    RemoveParty: _remove,
    HandOverCall: _hand_over,
    DeviceLost: _lost,
    DeviceBack: _back,
    Elapsed: _elapsed,
}


# ---- what follows from any move


def _settled(before: Call, after: Call, first: list[Effect], told: list[Effect], now: float) -> Outcome:
    """Ends the call when it is over, and adds what differs: engagements, media, words, timers, in this order."""
    words = list(told)
    ended = _is_over(after)
    if ended:
        after, last = _ended(after, now)
        words += last
    words += _stopped(before, after)
    media: list[Effect] = [CloseMedia()] if ended else _media_changes(before, after, first)
    free: list[Effect] = [Disengage(user) for user in sorted(engaged(before) - engaged(after))]
    taken: list[Effect] = [Engage(user) for user in sorted(engaged(after) - engaged(before))]
    if ended:
        first = []
        if not before.parties:  # nobody could be called: there never was any media
            media = []
    return after, [*free, *taken, *first, *media, *words, *timer_changes(timers(before), timers(after))]


def _stopped(before: Call, after: Call) -> list[Effect]:
    """Who was pushed to while it rang: his devices may ring still."""
    rang = [user for user in before.of(State.RINGING) if before.parties[user].pushed]
    stopped = [(user, party) for user in rang if (party := after.parties[user]).state is not State.RINGING]
    return [
        Push(user, "call_stopped", {"call": after.id, "by": party.by, "reason": str(_shown(party))})
        for user, party in stopped
    ]


def _media_changes(before: Call, after: Call, first: list[Effect]) -> list[Effect]:
    cut = {effect.user for effect in first if isinstance(effect, CutOff)}
    known = {user: speaker for user, speaker in speakers(before).items() if user not in cut}
    heard, hears = ring_back(before), ring_back(after)
    return [
        *(RingBack(user, False) for user in heard - hears),
        *speaker_changes(known, speakers(after)),
        *(RingBack(user, True) for user in hears - heard),
    ]


def _is_over(call: Call) -> bool:
    inside = call.of(State.IN)
    if call.answered_at is None and call.owner not in inside:
        return True
    return not inside or (len(inside) < 2 and not call.of(State.RINGING))


def _ended(call: Call, now: float) -> Outcome:
    """Everybody who was ever called is told, for his list, but who was busy elsewhere."""
    reason = Reason.COMPLETED if call.answered_at is not None else _why_unanswered(call)
    left = {State.RINGING: Reason.CANCELLED, State.IN: Reason.COMPLETED if call.answered_at else Reason.CANCELLED}
    parties = {
        user: party if party.state is State.OUT else Party(State.OUT, party.by, reason=left[party.state])
        for user, party in call.parties.items()
    }
    call = replace(call, parties=parties, ended_at=now, reason=reason)
    said = {"call": call.id, "reason": reason, "duration_s": call.duration_s}
    everybody = {user: str(party.reason) for user, party in parties.items()}
    record = {**said, "caller": call.caller, "from": call.created_at, "to": now, "parties": everybody}
    concerned = tuple(user for user, party in parties.items() if party.reason is not Reason.BUSY)
    return call, [Tell("call_ended", said, concerned), Record("call", record)]


def _why_unanswered(call: Call) -> Reason:
    """The caller's own end, or what the last of those called did who could have answered."""
    caller = call.parties[call.owner]
    if caller.reason is not None:
        return caller.reason
    reasons = [party.reason for user, party in call.parties.items() if user != call.owner and party.reason]
    return next((reason for reason in reversed(reasons) if reason is not Reason.BUSY), Reason.BUSY)


# ----


def _with(call: Call, user: str, party: Party) -> Call:
    return replace(call, parties=with_(call.parties, user, party))


def _others(call: Call, user: str) -> tuple[str, ...]:
    return tuple(name for name in call.of(State.IN) if name != user)


def _shown(party: Party) -> str:
    return party.reason or party.state


def _check_data(data: str) -> None:
    if len(data.encode(errors="surrogatepass")) > MAX_DATA_BYTES:
        raise Illegal(Problem.TOO_MUCH)


def _check_in(call: Call, user: str) -> None:
    if user not in call.of(State.IN):
        raise Illegal(Problem.NOT_IN_CALL)


def _check_owner(call: Call, by: str, user: str) -> None:
    """Illegal: not-in-call, not-permitted, outranked."""
    _check_in(call, by)
    if by != call.owner:
        raise Illegal(Problem.NOT_PERMITTED)
    if by == user:
        raise Illegal(Problem.OUTRANKED)


def _check_ringing(call: Call, user: str, now: float) -> None:
    party = call.parties.get(user)
    if party is None:
        raise Illegal(Problem.NOT_IN_CALL)
    if party.state is State.IN:
        raise Illegal(Problem.ALREADY_ANSWERED)
    if party.ring_until is None or now >= party.ring_until:
        raise Illegal(Problem.INVITATION_ENDED)
