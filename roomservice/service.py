"""Rooms, as the AppServer API goes about with them."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from roomservice import hosting
from roomservice.aggregates import GROUP, ROOM
from roomservice.commit import Visits
from roomservice.engine import Engine, NotFound
from roomservice.instance import Instance
from roomservice.interface import Addresses, MediaError
from roomservice.model import listing as listed_rooms
from roomservice.model.attendance import Dismiss
from roomservice.model.errors import Illegal, Problem
from roomservice.model.listing import ListedRoom, Listing
from roomservice.model.room import Room, SeatMode, Settings, UserInfo


@dataclass(frozen=True, slots=True)
class Stored:
    """A room as it is kept. pv, uv: visits, and different visitors."""

    listing: Listing
    room: Room
    pv: int = 0
    uv: int = 0


Commands = Callable[[Room], Iterable[listed_rooms.Command]]


class Service:
    def __init__(self, instance: Instance, rooms_per_user: int) -> None:
        self._instance = instance
        self._rooms_per_user = rooms_per_user

    @property
    def _engine(self) -> Engine:
        return self._instance.engine

    async def start(self) -> None:
        await self._instance.start()

    async def stop(self) -> None:
        await self._instance.stop()

    async def create(self, listing: Listing, info: UserInfo) -> Stored:
        """The listing's id is of no account; the room has a new one. Its seats are free to take, as in the AppServer
        document, whose clients say themselves who has one. MediaError when there is no media server to hear it, Illegal
        when its host has as many rooms as he may: then there is no room."""
        if not await self._instance.media.ready():
            raise MediaError("The media server cannot be reached.")
        name = str(uuid.uuid4())
        listing = replace(listing, id=name, chat_id=name)
        made = listed_rooms.create(listing, Settings(mode=SeatMode.FREE), info, self._instance.clock())
        done = await hosting.create(self._engine, made, self._rooms_per_user)
        return self._counted(done.after, Visits())

    async def get(self, room: str) -> Stored:
        """NotFound."""
        listed = await self._engine.read(ROOM, room)
        return self._counted(listed, (await self._instance.storage.visits([room]))[room])

    async def visit(self, room: str, user: str) -> Stored:
        await self._engine.read(ROOM, room)
        await self._instance.storage.visit(room, user)
        return await self.get(room)

    async def page(self, number: int, size: int, status: int | None) -> Sequence[Stored]:
        names = await self._instance.storage.rooms(number, size, status)
        visits = await self._instance.storage.visits(names)
        return [self._counted(one, visits[one.room.id]) for one in await self._engine.read_many(ROOM, names)]

    async def change(self, room: str, commands: Commands) -> Stored:
        """All of the commands, or none. NotFound, Illegal, TooBusy."""
        changed = await self._engine.change(ROOM, room, lambda listed: commands(listed.room))
        return self._counted(changed.after, (await self._instance.storage.visits([room]))[room])

    async def delete(self, room: str, by: str) -> Stored:
        """By its host alone, with its audience group; an open room is dismissed before. What it was. NotFound, Illegal,
        TooBusy."""
        stored = await self.get(room)

        def check(listed: ListedRoom) -> None:
            if by != listed.room.host:
                raise Illegal(Problem.NOT_PERMITTED)

        check(ListedRoom(stored.listing, stored.room))
        if stored.room.dismissed_at is None:
            stored = await self.change(room, lambda _: [Dismiss(by)])
        await self._engine.remove(ROOM, room, check, along=(GROUP,))
        return stored

    async def addresses(self, stored: Stored, user: str) -> Addresses:
        """Empty when the room has ended, for who is banned, and for who left while they were asked for: the token may
        be newer than what ended his others. MediaError."""
        room = stored.room
        if not self._may_hear(room, user):
            return Addresses()
        seated = room.seat_of(user) is not None
        found = await self._instance.media.addresses(room.id, user, may_publish=seated)
        try:
            after = (await self._engine.read(ROOM, room.id)).room
        except NotFound:
            return Addresses()
        out = user in room.attendees and user not in after.attendees
        if out or not self._may_hear(after, user):
            return Addresses()
        return found

    def _may_hear(self, room: Room, user: str) -> bool:
        return room.dismissed_at is None and not room.is_banned(user, self._instance.clock())

    async def ready(self) -> str:
        """Empty, or a sentence why not."""
        return await self._instance.ready()

    def _counted(self, listed: ListedRoom, visits: Visits) -> Stored:
        return Stored(listed.listing, listed.room, visits.pv, visits.uv)
