"""What a room is. Frozen: every change is a new Room.

Rules held here
- A role is not stored. It follows: the host is the room's `host`, an admin is named in `admins`, a speaker has a
  seat, everybody else in the room listens. Host and admins keep their role when they are on a seat, or out for a
  while.
- A seat knows its user, a user not his seat: so no seat has two users. seats.py keeps a user from having two.
- Mutes are the user's, not the seat's: nobody gets rid of the host's mute by changing seats or coming anew.
- A hand is raised, and an invitation open, only for who is in the room and has no seat.
- What the media server shall do, and which timers run, is derived: `speakers` and `timers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from roomservice.model.effects import MuteSource, Speaker, Timer, What

MAX_SEATS = 1000
"""As the media server has it."""


class Role(StrEnum):
    """In a room, from the highest to the lowest. `system` is the service itself; a stranger is not in the room."""

    SYSTEM = "system"
    HOST = "host"
    ADMIN = "admin"
    SPEAKER = "speaker"
    LISTENER = "listener"
    STRANGER = "stranger"


class SeatMode(StrEnum):
    """How a listener comes to a seat. Host and admins take one at will, and invite, in each."""

    FREE = "free"
    REQUEST = "request"
    INVITATION = "invitation"


class HostGone(StrEnum):
    """What happens when the host has been gone for the grace period."""

    NEXT_ADMIN = "next admin"  # the one who came first of those present; without any, dismissal
    DISMISS = "dismiss"


class Scenario(StrEnum):
    CHAT = "chat"
    KTV = "ktv"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in s. host_seat: which one the host gets when the room is made, None for none; away_grace_s: after how long
    without a sign of life an attendee has left; host_grace_s: after how long the host is gone; invite_s: how long an
    invitation to a seat stands, 0 without end."""

    seats: int = 8
    mode: SeatMode = SeatMode.REQUEST
    host_seat: int | None = 0
    capacity: int = 10_000
    away_grace_s: float = 30.0
    host_grace_s: float = 120.0
    host_gone: HostGone = HostGone.NEXT_ADMIN
    invite_s: float = 60.0
    scenario: Scenario = Scenario.CHAT

    def __post_init__(self) -> None:
        """ValueError, with a sentence, for what no room can be."""
        if not 1 <= self.seats <= MAX_SEATS:
            raise ValueError(f"A room has 1 to {MAX_SEATS} seats.")
        if self.host_seat is not None and not 0 <= self.host_seat < self.seats:
            raise ValueError("The host's seat must be one of the room's.")
        if self.capacity < 1:
            raise ValueError("A room has place for its host at least.")
        if min(self.away_grace_s, self.host_grace_s, self.invite_s) < 0:
            raise ValueError("Times are not negative.")


@dataclass(frozen=True, slots=True)
class UserInfo:
    """What a user shows of himself in the room. extra: the app's own; version: rises with each change."""

    nick: str = ""
    avatar: str = ""
    extra: str = ""
    version: int = 0


NOTHING_SHOWN = UserInfo()


@dataclass(frozen=True, slots=True)
class Attendee:
    """number: rises with each who comes."""

    entered_at: float
    info: UserInfo = NOTHING_SHOWN
    number: int = 0


@dataclass(frozen=True, slots=True)
class Seat:
    user: str | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Hand:
    """A request for a seat, of any number or of this one."""

    raised_at: float
    seat: int | None = None


@dataclass(frozen=True, slots=True)
class StageInvite:
    """deadline: None when it stands until it is answered."""

    by: str | None
    seat: int | None
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Room:
    """attendees in the order in which they came; came: how many have so far; hands in the order in which they were
    raised. away: of whom there is no sign of life, and when they have left then. bans: until when (Unix time), None for
    ever. host_until: while the host is gone, when he is replaced. info_version rises with each change of `info`."""

    id: str
    host: str
    created_at: float
    settings: Settings = Settings()
    dismissed_at: float | None = None
    attendees: Mapping[str, Attendee] = field(default_factory=dict)
    came: int = 0
    away: Mapping[str, float] = field(default_factory=dict)
    seats: tuple[Seat, ...] = ()
    admins: frozenset[str] = frozenset()
    mutes: Mapping[str, frozenset[MuteSource]] = field(default_factory=dict)
    hands: Mapping[str, Hand] = field(default_factory=dict)
    invites: Mapping[str, StageInvite] = field(default_factory=dict)
    bans: Mapping[str, float | None] = field(default_factory=dict)
    host_until: float | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    info_version: int = 0
    likes: int = 0

    def seat_of(self, user: str) -> int | None:
        return next((number for number, seat in enumerate(self.seats) if seat.user == user), None)

    def role_of(self, user: str | None) -> Role:
        """None is the service itself."""
        if user is None:
            return Role.SYSTEM
        if user not in self.attendees:
            return Role.STRANGER
        if user == self.host:
            return Role.HOST
        if user in self.admins:
            return Role.ADMIN
        return Role.LISTENER if self.seat_of(user) is None else Role.SPEAKER

    def is_banned(self, user: str, now: float) -> bool:
        if user not in self.bans:
            return False
        until = self.bans[user]
        return until is None or now < until


def speakers(room: Room) -> dict[str, Speaker]:
    """What the media server shall do for whom."""
    return {
        seat.user: Speaker(number, room.mutes.get(seat.user, frozenset()))
        for number, seat in enumerate(room.seats)
        if seat.user is not None
    }


def timers(room: Room) -> dict[Timer, float]:
    """Which run, and until when."""
    running = {Timer(What.AWAY, user): until for user, until in room.away.items()}
    running |= {
        Timer(What.STAGE_INVITE, user): invite.deadline
        for user, invite in room.invites.items()
        if invite.deadline is not None
    }
    if room.host_until is not None:
        running[Timer(What.HOST_GONE)] = room.host_until
    return running
