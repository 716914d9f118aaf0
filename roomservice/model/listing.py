"""A room as others find it: what happens in it, and what it is announced by.

Rules held here
- Only the host changes what the room is announced by, starts and pauses it, and only while it is open. The service
  itself may, too.
- A room that is dismissed has ended, and the list says when. One that is started again keeps the time of its first
  start.
- Everybody in the room hears what has changed in the list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from roomservice.model import rooms
from roomservice.model.effects import Effect, Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Room, Settings, UserInfo

PREPARED, STARTED, ENDED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Listing:
    """What a room is announced by, beside what happens in it. status: 0 prepared, 1 started, 2 ended; mode: 0 ordinary,
    1 with guests on the line, 2 two rooms against each other; extends: the app's own."""

    id: str
    title: str
    anchor: str
    created_at: float
    updated_at: float
    anchor_nick: str = ""
    notice: str = ""
    cover_url: str = ""
    extends: str = ""
    status: int = 0
    mode: int = 0
    chat_id: str = ""
    started_at: float | None = None
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class ListedRoom:
    listing: Listing
    room: Room


@dataclass(frozen=True, slots=True)
class Relist:
    """What is None stays."""

    by: str | None
    title: str | None = None
    notice: str | None = None
    cover_url: str | None = None
    extends: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    by: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    by: str | None


Command = rooms.Command | rooms.Sign | Relist | Start | Pause
Outcome = tuple[ListedRoom, list[Effect]]


def create(listing: Listing, settings: Settings, info: UserInfo, now: float) -> Outcome:
    """A new room of the listing's id; its anchor is the host. The listing's times are of no account."""
    room, effects = rooms.create(listing.id, listing.anchor, settings, info, now)
    return ListedRoom(replace(listing, created_at=now, updated_at=now), room), effects


def apply(listed: ListedRoom, command: Command, now: float) -> Outcome:
    """The room after it, and what is to be done outside. Illegal, with the problem's name."""
    if isinstance(command, Relist | Start | Pause):
        return _relist(listed, command, now)
    room, effects = rooms.apply(listed.room, command, now)
    if room == listed.room:
        return listed, effects
    listing = replace(listed.listing, updated_at=now)
    if room.dismissed_at is not None:
        listing = replace(listing, status=ENDED, stopped_at=now)
    return ListedRoom(listing, room), effects


def _relist(listed: ListedRoom, command: Relist | Start | Pause, now: float) -> Outcome:
    room, before = listed.room, listed.listing
    if command.by not in (None, room.host):
        raise Illegal(Problem.NOT_PERMITTED)
    if room.dismissed_at is not None:
        raise Illegal(Problem.ROOM_DISMISSED)
    match command:
        case Start():
            changes: Mapping[str, object] = {"status": STARTED, "started_at": before.started_at or now}
        case Pause():
            changes = {"status": PREPARED}
        case Relist(_, title, notice, cover_url, extends):
            said = {"title": title, "notice": notice, "cover_url": cover_url, "extends": extends}
            changes = {key: value for key, value in said.items() if value is not None}
    changes = {key: value for key, value in changes.items() if value != getattr(before, key)}
    listing = replace(before, updated_at=now, **changes)  # type: ignore[arg-type]  # the fields' own types, above
    told: list[Effect] = [Tell("room_listed", {"changed": changes, "by": command.by})] if changes else []
    return replace(listed, listing=listing), told
