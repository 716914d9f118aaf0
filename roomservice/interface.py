"""What the room service asks of the world, one Protocol per responsibility. An app brings its own users, storage,
messaging, push or media by an object that has these methods; the rest of the service does not notice.

Users are named by opaque strings. Times are Unix time in seconds. Every method may be called any number of times at
once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from roomservice.model.effects import Speaker
from roomservice.model.room import Room


class Users(Protocol):
    """Who there is, and how they prove it."""

    async def authenticate(self, name: str, password: str) -> str | None:
        """The user's id, or None when the password is not his, or there is no such user and none may sign up."""
        ...


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
class Stored:
    """A room as it is kept. revision: rises by one each time; pv, uv: visits, and different visitors."""

    listing: Listing
    room: Room
    revision: int = 0
    pv: int = 0
    uv: int = 0


class Conflict(Exception):
    """Somebody else has written the room since it was read, or there is one of its name already."""


class Storage(Protocol):
    """Rooms, kept. A room is read, changed and written; of two who change it at once, one must read it again."""

    async def add(self, listing: Listing, room: Room) -> Stored:
        """Conflict when there is one of this id."""
        ...

    async def get(self, room: str) -> Stored | None: ...

    async def page(self, number: int, size: int, status: int | None = None) -> Sequence[Stored]:
        """The newest first; number from 1."""
        ...

    async def save(self, stored: Stored) -> Stored:
        """With its revision one higher than `stored` says. Conflict when that is not what is kept."""
        ...

    async def delete(self, room: str) -> None:
        """Nothing happens when there is none."""
        ...

    async def visit(self, room: str, user: str) -> None:
        """Counts."""
        ...

    async def ready(self) -> bool:
        """Can it be read?"""
        ...


class Messaging(Protocol):
    """Notifications to clients, in order for each room and user."""

    async def to_room(self, room: str, event: str, data: Mapping[str, object]) -> None: ...

    async def to_users(
        self, users: Sequence[str], event: str, data: Mapping[str, object], except_device: str | None = None
    ) -> None: ...

    async def online(self, users: Sequence[str]) -> frozenset[str]:
        """Which of them have a device that is there."""
        ...


class Push(Protocol):
    """To users who are offline."""

    async def push(self, user: str, event: str, data: Mapping[str, object]) -> None: ...


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a user sends and hears: after # the token that WHIP and WHEP take as `Authorization: Bearer`. whip: empty
    for who has no seat."""

    whip: str = ""
    whep: str = ""


class MediaError(Exception):
    """The media server could not be told, with a sentence why. What it was to do stays wanted."""


class Media(Protocol):
    """The media server. What is put is the desired state: putting it again changes nothing."""

    async def put(self, room: str, speakers: Mapping[str, Speaker]) -> None:
        """There is such a room, with these speakers and no others. MediaError."""
        ...

    async def cut_off(self, room: str, user: str) -> None:
        """His sessions end, and his tokens are revoked. MediaError."""
        ...

    async def close(self, room: str) -> None:
        """Nothing happens when there is none. MediaError."""
        ...

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        """MediaError."""
        ...

    async def ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What a service is made of."""

    users: Users
    storage: Storage
    media: Media
