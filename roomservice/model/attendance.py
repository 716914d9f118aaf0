"""Who is in the room, and who is its host.

Rules held here
- Entering again is a sign of life and nothing else. Who is banned cannot enter until the ban is over.
- Of whom there is no sign of life is away; after the grace period he has left, and his seat is free.
- After the service itself was away, graces begin anew.
- Who has left, however he did, hears nothing more: his media sessions end.
- A kick makes a user leave; he may come again. A ban is a kick that lasts. Both take an admin's role away.
- The host is gone from when he is away or has left. When he comes back in time, nothing has happened; else the next
  admin who is present is the host, or the room is dismissed. Who was host before is an admin then.
- A dismissed room is empty and stays so: no timer runs, and nothing more can happen in it.
"""

from dataclasses import dataclass, replace

from roomservice.model.authority import check_over
from roomservice.model.effects import CloseMedia, CutOff, Effect, MuteSource, OpenMedia, Record, Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_, without
from roomservice.model.room import NOTHING_SHOWN, Attendee, HostGone, Role, Room, Seat, Settings, UserInfo

MAX_ADMINS = 100
MAX_BANS = 10_000
"""Of one room. Raising it makes each change of a room cost more to write down."""


@dataclass(frozen=True, slots=True)
class Enter:
    by: str
    info: UserInfo = NOTHING_SHOWN


@dataclass(frozen=True, slots=True)
class Leave:
    by: str


@dataclass(frozen=True, slots=True)
class Dismiss:
    by: str | None


@dataclass(frozen=True, slots=True)
class Kick:
    by: str | None
    user: str


@dataclass(frozen=True, slots=True)
class Ban:
    """seconds: None for ever. Also of who is not in the room."""

    by: str | None
    user: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Unban:
    by: str | None
    user: str


@dataclass(frozen=True, slots=True)
class HandOver:
    by: str | None
    user: str


@dataclass(frozen=True, slots=True)
class Appoint:
    """To be an admin, or to be none."""

    by: str | None
    user: str
    admin: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no sign of life from him any more. From the service itself."""

    user: str


@dataclass(frozen=True, slots=True)
class Back:
    """There is one again. From the service itself."""

    user: str


@dataclass(frozen=True, slots=True)
class Respite:
    """The service was not there for a while, so that nobody could come back. From the service itself."""


Outcome = tuple[Room, list[Effect]]


def create(room_id: str, host: str, settings: Settings, info: UserInfo, now: float) -> Outcome:
    """A room with its host in it, on his seat if the settings give him one."""
    seats = tuple(Seat(host if number == settings.host_seat else None) for number in range(settings.seats))
    room = Room(room_id, host, now, settings, attendees={host: Attendee(now, info)}, came=1, seats=seats)
    return room, [OpenMedia(), Tell("room_created", {"room": room_id, "host": host})]


def enter(room: Room, command: Enter, now: float) -> Outcome:
    user = command.by
    if room.is_banned(user, now):
        raise Illegal(Problem.BANNED)
    if user in room.attendees:
        return back(room, Back(user), now)
    if len(room.attendees) >= room.settings.capacity:
        raise Illegal(Problem.ROOM_FULL)
    room = replace(
        room,
        attendees=with_(room.attendees, user, Attendee(now, command.info, room.came)),
        came=room.came + 1,
        bans=without(room.bans, user),
    )
    if user == room.host:
        room = replace(room, host_until=None)
    info = command.info
    shown = {"user": user, "role": room.role_of(user), "nick": info.nick, "avatar": info.avatar, "extra": info.extra}
    return room, [Tell("attendee_entered", shown)]


def leave(room: Room, command: Leave, now: float) -> Outcome:
    return without_user(room, command.by, now), [CutOff(command.by), _left(command.by, "left")]


def lost(room: Room, command: Lost, now: float) -> Outcome:
    user = command.user
    if user not in room.attendees or user in room.away:
        return room, []
    room = replace(room, away=with_(room.away, user, now + room.settings.away_grace_s))
    if user == room.host:
        room = replace(room, host_until=now + room.settings.host_grace_s)
    return room, [Tell("attendee_lost", {"user": user})]


def back(room: Room, command: Back, now: float) -> Outcome:
    user = command.user
    if user not in room.away:
        return room, []
    room = replace(room, away=without(room.away, user))
    if user == room.host:
        room = replace(room, host_until=None)
    return room, [Tell("attendee_back", {"user": user})]


def respite(room: Room, command: Respite, now: float) -> Outcome:
    settings = room.settings
    away = {user: max(until, now + settings.away_grace_s) for user, until in room.away.items()}
    host_until = None if room.host_until is None else max(room.host_until, now + settings.host_grace_s)
    return replace(room, away=away, host_until=host_until), []


def away_elapsed(room: Room, user: str, now: float) -> Outcome:
    if now < room.away.get(user, float("inf")):
        return room, []
    return without_user(room, user, now), [CutOff(user), _left(user, "lost")]


def host_gone_elapsed(room: Room, now: float) -> Outcome:
    if room.host_until is None or now < room.host_until:
        return room, []
    present = (user for user in room.attendees if user in room.admins and user not in room.away)
    heir = next(present, None) if room.settings.host_gone is HostGone.NEXT_ADMIN else None
    if heir is None:
        return dismissed(room, now, "host gone")
    return _with_host(room, heir, now, "host gone")


def dismiss(room: Room, command: Dismiss, now: float) -> Outcome:
    return dismissed(room, now, "dismissed")


def dismissed(room: Room, now: float, reason: str) -> Outcome:
    """Everybody hears of it who is in the room now: the notification goes to its group, which ends after that."""
    ended = replace(
        room,
        dismissed_at=now,
        attendees={},
        away={},
        seats=tuple(Seat() for _ in room.seats),
        hands={},
        invites={},
        host_until=None,
    )
    record = {"room": room.id, "host": room.host, "from": room.created_at, "to": now, "likes": room.likes}
    return ended, [
        Tell("room_dismissed", {"room": room.id, "reason": reason}),
        CloseMedia(),
        Record("room", {**record, "reason": reason}),
    ]


def kick(room: Room, command: Kick, now: float) -> Outcome:
    check_attendee(room, command.user)
    check_over(room, command.by, command.user)
    return _expel(room, command.user, now, "kicked", {"by": command.by})


def ban(room: Room, command: Ban, now: float) -> Outcome:
    check_over(room, command.by, command.user)
    user = command.user
    until = None if command.seconds is None else now + command.seconds
    again = room.is_banned(user, now)
    others = {name: end for name, end in room.bans.items() if name != user and room.is_banned(name, now)}
    if len(others) >= MAX_BANS:
        raise Illegal(Problem.TOO_MUCH)
    room = replace(room, bans={**others, user: until}, admins=room.admins - {user})
    if user not in room.attendees:  # who is not in the room may hear it by an address of the AppServer API
        return room, [] if again else [CutOff(user)]
    return _expel(room, user, now, "banned", {"by": command.by, "until": until})


def unban(room: Room, command: Unban, now: float) -> Outcome:
    return replace(room, bans=without(room.bans, command.user)), []


def hand_over(room: Room, command: HandOver, now: float) -> Outcome:
    check_attendee(room, command.user)
    if command.user == room.host:
        raise Illegal(Problem.ALREADY_HOST)
    return _with_host(room, command.user, now, "handed over")


def appoint(room: Room, command: Appoint, now: float) -> Outcome:
    user = command.user
    if user == room.host:
        raise Illegal(Problem.ALREADY_HOST)
    if command.admin == (user in room.admins):
        return room, []
    if command.admin:
        check_attendee(room, user)
        if len(room.admins) >= MAX_ADMINS:
            raise Illegal(Problem.TOO_MUCH)
    room = replace(room, admins=room.admins ^ {user})
    return room, [Tell("role_changed", {"user": user, "role": room.role_of(user)})]


def check_attendee(room: Room, user: str) -> None:
    """Illegal: no-such-attendee."""
    if user not in room.attendees:
        raise Illegal(Problem.NO_SUCH_ATTENDEE)


def without_user(room: Room, user: str, now: float) -> Room:
    """What others have muted stays muted if he comes again; his own mute goes."""
    mutes = room.mutes.get(user, frozenset()) - {MuteSource.SELF}
    gone = replace(
        room,
        attendees=without(room.attendees, user),
        away=without(room.away, user),
        seats=tuple(replace(seat, user=None) if seat.user == user else seat for seat in room.seats),
        mutes=with_(room.mutes, user, mutes) if mutes else without(room.mutes, user),
        hands=without(room.hands, user),
        invites=without(room.invites, user),
    )
    if user == room.host and room.host_until is None:
        gone = replace(gone, host_until=now + room.settings.host_grace_s)
    return gone


def _with_host(room: Room, heir: str, now: float, reason: str) -> Outcome:
    before = room.host
    room = replace(
        room,
        host=heir,
        admins=room.admins - {heir} | {before},
        host_until=now + room.settings.host_grace_s if heir in room.away else None,
    )
    changes: list[Effect] = [Tell("host_changed", {"user": heir, "before": before, "reason": reason})]
    if room.role_of(before) is not Role.STRANGER:
        changes.append(Tell("role_changed", {"user": before, "role": room.role_of(before)}))
    return room, changes


def _expel(room: Room, user: str, now: float, reason: str, why: dict[str, object]) -> Outcome:
    gone = replace(without_user(room, user, now), admins=room.admins - {user})
    said = {"room": room.id, "reason": reason, **why}
    return gone, [CutOff(user), Tell("expelled", said, (user,)), _left(user, reason)]


def _left(user: str, reason: str) -> Tell:
    return Tell("attendee_left", {"user": user, "reason": reason})
