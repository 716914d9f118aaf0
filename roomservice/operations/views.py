"""Rooms and their people as clients see them. Pure."""

from collections.abc import Sequence

from pydantic import Field

from roomservice.commit import Visits
from roomservice.model.effects import MuteSource
from roomservice.model.listing import ListedRoom
from roomservice.model.room import HostGone, Role, Room, Scenario, SeatMode
from roomservice.operations.table import Result

MAX_LISTED = 16
"""Seats, and who talks, of a room in a list. With more a page of 100 rooms could be larger than a socket takes."""

MAX_LISTED_EXTENDS = 1024


class AttendeeView(Result):
    user: str = Field(description="Id of the user")
    role: Role = Field(description="host, admin, speaker or listener")
    seat: int | None = Field(description="Number of his seat, null without one")
    mutes: list[MuteSource] = Field(description="Who mutes him; nobody when it is empty")
    nick: str = Field(description="What he is called here")
    avatar: str = Field(description="Address of his picture")
    extra: str = Field(description="The app's own text about him")
    version: int = Field(description="Of nick, avatar and extra; rises by one with each change")
    entered_at: float = Field(description="Unix time in seconds")
    away: bool = Field(description="Whether there is no sign of life from him")


class SeatView(Result):
    seat: int = Field(description="Its number, from 0")
    user: str | None = Field(description="Who has it")
    locked: bool = Field(description="Whether it can be had by nobody")
    mutes: list[MuteSource] = Field(description="Who mutes its user")


class HandView(Result):
    user: str = Field(description="Who asks for a seat")
    seat: int | None = Field(description="Which one he asks for, null for any")
    raised_at: float = Field(description="Unix time in seconds")


class StageInviteView(Result):
    user: str = Field(description="Who is invited")
    by: str | None = Field(description="Who invites, null for the service itself")
    seat: int | None = Field(description="To which seat, null for any")
    until: float | None = Field(description="Unix time in seconds, null without end")


class SettingsView(Result):
    seats: int = Field(description="How many there are")
    mode: SeatMode = Field(description="How a listener comes to one")
    capacity: int = Field(description="Attendees at a time")
    away_grace_s: float = Field(description="Seconds without a sign of life until an attendee has left")
    host_grace_s: float = Field(description="Seconds that the host may be gone")
    host_gone: HostGone = Field(description="What happens then")
    invite_s: float = Field(description="Seconds for which an invitation to a seat stands, 0 without end")
    scenario: Scenario = Field(description="What the room is for")


class RoomView(Result):
    id: str = Field(description="Id of the room")
    title: str = Field(description="What the list shows")
    notice: str = Field(description="What it is about")
    cover_url: str = Field(description="Address of a picture")
    extends: str = Field(description="The app's own text")
    mode: int = Field(description="As the AppServer document's `mode`")
    status: int = Field(description="0 prepared, 1 started, 2 ended")
    host: str = Field(description="Id of the host")
    host_gone_until: float | None = Field(description="While the host is gone: when he is replaced, Unix time in s")
    admins: list[str] = Field(description="Ids of the admins, whether they are in the room or not")
    settings: SettingsView = Field(description="How it works")
    seats: list[SeatView] = Field(description="By number")
    hands: list[HandView] = Field(description="Requests for a seat, the oldest first")
    invites: list[StageInviteView] = Field(description="Open invitations to a seat")
    info: dict[str, str] = Field(description="The app's own values")
    info_version: int = Field(description="Of `info`; rises by one with each change")
    likes: int = Field(description="How often it was liked")
    online: int = Field(description="Number of attendees")
    own: AttendeeView | None = Field(description="The caller as an attendee, null when he is not in the room")
    talking: list[str] = Field(description="Ids of those who speak at this moment, as far as it is known")
    visits: int = Field(description="How often it was entered")
    visitors: int = Field(description="By how many different users")
    created_at: float = Field(description="Unix time in seconds")
    started_at: float | None = Field(description="Unix time in seconds")
    stopped_at: float | None = Field(description="Unix time in seconds")


class ListedView(Result):
    id: str = Field(description="Id of the room")
    title: str = Field(description="What the list shows")
    notice: str = Field(description="What it is about")
    cover_url: str = Field(description="Address of a picture")
    extends: str = Field(description="The app's own text; empty here if it has more than 1,024 characters")
    mode: int = Field(description="As the AppServer document's `mode`")
    status: int = Field(description="0 prepared, 1 started, 2 ended")
    host: str = Field(description="Id of the host")
    settings: SettingsView = Field(description="How it works")
    seats: list[SeatView] = Field(description="Those that somebody has, by number; the first 16")
    likes: int = Field(description="How often it was liked")
    online: int = Field(description="Number of attendees")
    talking: list[str] = Field(description="Ids of those who speak at this moment, as far as it is known; the first 16")
    visits: int = Field(description="How often it was entered")
    visitors: int = Field(description="By how many different users")
    created_at: float = Field(description="Unix time in seconds")
    started_at: float | None = Field(description="Unix time in seconds")
    stopped_at: float | None = Field(description="Unix time in seconds")


class RoomPage(Result):
    rooms: list[ListedView] = Field(description="The newest first; empty beyond the last page")


class AttendeePage(Result):
    attendees: list[AttendeeView] = Field(description="In the order in which they came")
    total: int = Field(description="Number of all attendees of the room")
    next: str | None = Field(description="`after` of the next page, null on the last")


def room_view(listed: ListedRoom, visits: Visits, talking: Sequence[str], user: str) -> RoomView:
    """user: who asks."""
    listing, room = listed.listing, listed.room
    return RoomView(
        id=room.id,
        title=listing.title,
        notice=listing.notice,
        cover_url=listing.cover_url,
        extends=listing.extends,
        mode=listing.mode,
        status=listing.status,
        host=room.host,
        host_gone_until=room.host_until,
        admins=sorted(room.admins),
        settings=_settings_view(room),
        seats=_seat_views(room),
        hands=[HandView(user=user, seat=hand.seat, raised_at=hand.raised_at) for user, hand in room.hands.items()],
        invites=[
            StageInviteView(user=user, by=invite.by, seat=invite.seat, until=invite.deadline)
            for user, invite in room.invites.items()
        ],
        info=dict(room.info),
        info_version=room.info_version,
        likes=room.likes,
        online=len(room.attendees),
        own=attendee_view(room, user) if user in room.attendees else None,
        talking=list(talking),
        visits=visits.pv,
        visitors=visits.uv,
        created_at=listing.created_at,
        started_at=listing.started_at,
        stopped_at=listing.stopped_at,
    )


def listed_view(listed: ListedRoom, visits: Visits, talking: Sequence[str]) -> ListedView:
    """Bounded: one answer has a hundred of them, whatever their hosts have put into them."""
    listing, room = listed.listing, listed.room
    return ListedView(
        id=room.id,
        title=listing.title,
        notice=listing.notice,
        cover_url=listing.cover_url,
        extends=listing.extends if len(listing.extends) <= MAX_LISTED_EXTENDS else "",
        mode=listing.mode,
        status=listing.status,
        host=room.host,
        settings=_settings_view(room),
        seats=[seat for seat in _seat_views(room) if seat.user is not None][:MAX_LISTED],
        likes=room.likes,
        online=len(room.attendees),
        talking=list(talking)[:MAX_LISTED],
        visits=visits.pv,
        visitors=visits.uv,
        created_at=listing.created_at,
        started_at=listing.started_at,
        stopped_at=listing.stopped_at,
    )


def attendee_view(room: Room, user: str) -> AttendeeView:
    attendee = room.attendees[user]
    info = attendee.info
    return AttendeeView(
        user=user,
        role=room.role_of(user),
        seat=room.seat_of(user),
        mutes=_mutes(room, user),
        nick=info.nick,
        avatar=info.avatar,
        extra=info.extra,
        version=info.version,
        entered_at=attendee.entered_at,
        away=user in room.away,
    )


def _settings_view(room: Room) -> SettingsView:
    return SettingsView(**{name: getattr(room.settings, name) for name in SettingsView.model_fields})


def _seat_views(room: Room) -> list[SeatView]:
    return [
        SeatView(seat=number, user=seat.user, locked=seat.locked, mutes=_mutes(room, seat.user))
        for number, seat in enumerate(room.seats)
    ]


def _mutes(room: Room, user: str | None) -> list[MuteSource]:
    return sorted(room.mutes.get(user, ())) if user is not None else []
