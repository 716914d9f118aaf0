"""Seats: who may speak.

Rules held here
- A user has at most one seat. Who has one moves; he does not take a second.
- A locked seat is nobody's: it cannot be taken, given or moved to; one that is taken cannot be locked.
- Listeners take a seat at will only where the mode says `free`; host and admins in each mode.
- Who takes a seat has no raised hand and no open invitation any more.
- Mutes: one's own, the host's (and admins'), the service's. Each is undone by its own kind only. Only who has a seat
  is muted by himself or a host; the service mutes whom it likes, who then is so when he takes one. A change of seats
  keeps all; leaving the stage forgets one's own.
"""

from dataclasses import dataclass, replace

from roomservice.model.attendance import Outcome, check_attendee
from roomservice.model.authority import check_over
from roomservice.model.effects import MuteSource, Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_, without
from roomservice.model.room import Role, Room, Seat, SeatMode

MAX_MUTED = 10_000
"""Users of one room whose mutes are kept, present or not."""

_NEEDED = {SeatMode.REQUEST: Problem.REQUEST_NEEDED, SeatMode.INVITATION: Problem.INVITATION_NEEDED}
_LEADERS = (Role.HOST, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class TakeSeat:
    """seat: its number, from 0; None for the first that is free."""

    by: str
    seat: int | None = None


@dataclass(frozen=True, slots=True)
class LeaveSeat:
    by: str


@dataclass(frozen=True, slots=True)
class MoveSeat:
    """To another seat that is free; user: whose, None for one's own."""

    by: str | None
    seat: int
    user: str | None = None


@dataclass(frozen=True, slots=True)
class LockSeat:
    by: str | None
    seat: int
    locked: bool = True


@dataclass(frozen=True, slots=True)
class Mute:
    """user: whom, None for oneself."""

    by: str | None
    user: str | None = None
    muted: bool = True


@dataclass(frozen=True, slots=True)
class SetListener:
    """Off the stage; he stays in the room."""

    by: str | None
    user: str


def take_seat(room: Room, command: TakeSeat, now: float) -> Outcome:
    user = command.by
    has = room.seat_of(user)
    if has is not None:
        if command.seat in (None, has):
            return room, []
        raise Illegal(Problem.ALREADY_SEATED)
    mode = room.settings.mode
    if mode in _NEEDED and room.role_of(user) not in _LEADERS:
        raise Illegal(_NEEDED[mode])
    return sit(room, user, free_seat(room, command.seat))


def leave_seat(room: Room, command: LeaveSeat, now: float) -> Outcome:
    return stand_up(room, command.by, "left")


def move_seat(room: Room, command: MoveSeat, now: float) -> Outcome:
    user = command.by if command.user is None else command.user
    if user is None:
        raise Illegal(Problem.NO_SUCH_ATTENDEE)
    check_attendee(room, user)
    if user != command.by:
        check_over(room, command.by, user)
    before = room.seat_of(user)
    if before is None:
        raise Illegal(Problem.NOT_SEATED)
    if command.seat == before:
        return room, []
    seat = free_seat(room, command.seat)
    seats = list(room.seats)
    seats[before], seats[seat] = replace(seats[before], user=None), replace(seats[seat], user=user)
    return replace(room, seats=tuple(seats)), [Tell("seat_moved", {"user": user, "from": before, "seat": seat})]


def lock_seat(room: Room, command: LockSeat, now: float) -> Outcome:
    check_seat(room, command.seat)
    seat = room.seats[command.seat]
    if seat.locked == command.locked:
        return room, []
    if seat.user is not None:
        raise Illegal(Problem.SEAT_TAKEN)
    room = _with_seat(room, command.seat, replace(seat, locked=command.locked))
    return room, [Tell("seat_locked" if command.locked else "seat_unlocked", {"seat": command.seat})]


def mute(room: Room, command: Mute, now: float) -> Outcome:
    user = command.by if command.user is None else command.user
    if user is None:
        raise Illegal(Problem.NO_SUCH_ATTENDEE)
    check_attendee(room, user)
    source = MuteSource.SELF if user == command.by else MuteSource.HOST if command.by else MuteSource.SYSTEM
    if source is MuteSource.HOST:
        check_over(room, command.by, user)
    before = room.mutes.get(user, frozenset())
    after = before | {source} if command.muted else before - {source}
    if after == before:
        return room, []
    if command.muted and source is not MuteSource.SYSTEM and room.seat_of(user) is None:
        raise Illegal(Problem.NOT_SEATED)
    if user not in room.mutes and len(room.mutes) >= MAX_MUTED:
        raise Illegal(Problem.TOO_MUCH)
    room = replace(room, mutes=with_(room.mutes, user, after) if after else without(room.mutes, user))
    event = "muted" if command.muted else "unmuted"
    return room, [Tell(event, {"user": user, "source": source, "mutes": sorted(after)})]


def set_listener(room: Room, command: SetListener, now: float) -> Outcome:
    check_attendee(room, command.user)
    if command.user != command.by:
        check_over(room, command.by, command.user)
    return stand_up(room, command.user, "set to listener")


# ---- what the stage's requests and invitations end in


def check_seat(room: Room, seat: int) -> None:
    """Illegal: no-such-seat."""
    if not 0 <= seat < len(room.seats):
        raise Illegal(Problem.NO_SUCH_SEAT)


def check_free(room: Room, seat: int) -> None:
    """Illegal: no-such-seat, seat-taken, seat-locked."""
    check_seat(room, seat)
    if room.seats[seat].user is not None:
        raise Illegal(Problem.SEAT_TAKEN)
    if room.seats[seat].locked:
        raise Illegal(Problem.SEAT_LOCKED)


def free_seat(room: Room, wanted: int | None) -> int:
    """This one, or the first. Illegal: as check_free(), no-free-seat."""
    if wanted is not None:
        check_free(room, wanted)
        return wanted
    free = (number for number, seat in enumerate(room.seats) if seat.user is None and not seat.locked)
    number = next(free, None)
    if number is None:
        raise Illegal(Problem.NO_FREE_SEAT)
    return number


def sit(room: Room, user: str, seat: int) -> Outcome:
    """The user has none, and the seat is free."""
    room = replace(
        _with_seat(room, seat, Seat(user)), hands=without(room.hands, user), invites=without(room.invites, user)
    )
    mutes = sorted(room.mutes.get(user, ()))
    return room, [Tell("seat_taken", {"user": user, "seat": seat, "role": room.role_of(user), "mutes": mutes})]


def stand_up(room: Room, user: str, reason: str) -> Outcome:
    """Illegal: not-seated."""
    seat = room.seat_of(user)
    if seat is None:
        raise Illegal(Problem.NOT_SEATED)
    mutes = room.mutes.get(user, frozenset()) - {MuteSource.SELF}
    room = replace(
        _with_seat(room, seat, Seat()), mutes=with_(room.mutes, user, mutes) if mutes else without(room.mutes, user)
    )
    left = {"user": user, "seat": seat, "role": room.role_of(user), "reason": reason}
    return room, [Tell("seat_left", left)]


def _with_seat(room: Room, number: int, seat: Seat) -> Room:
    return replace(room, seats=(*room.seats[:number], seat, *room.seats[number + 1 :]))
