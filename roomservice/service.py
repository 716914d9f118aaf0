"""The service: reads a room, applies the model, writes it, and brings the media server to it.

Of two changes at once, one finds the revision changed and is applied anew. The media server is told what the room
shall be, not what has changed: what could not be told is told again, each few seconds and after a restart, until it
is so.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

from roomservice.interface import Addresses, Conflict, Listing, Media, MediaError, MediaRoom, RoomStorage, Stored
from roomservice.model import rooms
from roomservice.model.attendance import Dismiss
from roomservice.model.effects import CloseMedia, CutOff, DropSpeaker, Effect, PutSpeaker
from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Room, SeatMode, Settings, UserInfo, speakers

log = logging.getLogger(__name__)

ATTEMPTS = 10
"""To write a room that others write, too. More helps only where so many do that they should not."""

AGAIN_S = 3.0
"""Between attempts to tell a media server that could not be told."""

PREPARED, STARTED, ENDED = 0, 1, 2


class NoRoomError(LookupError):
    """There is no room of this id."""


class BusyError(Exception):
    """Too many change the room at once."""


Commands = Callable[[Room], Iterable[rooms.Command]]


class Service:
    """clock: Unix time in s. start() and stop() around its use."""

    def __init__(self, storage: RoomStorage, media: Media, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._media = media
        self._clock = clock
        self._untold: set[str] = set()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._telling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """All rooms that are open are put again: neither side needs to remember what the other knows."""
        self._telling = asyncio.create_task(self._tell_again())

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling

    # ---- rooms

    async def create(self, listing: Listing, info: UserInfo) -> Stored:
        """The listing's id is of no account; the room has a new one. Its seats are free to take, as in the AppServer
        document, whose clients say themselves who has one. MediaError when there is no media server to hear it: then
        there is no room."""
        now = self._clock()
        name = str(uuid.uuid4())
        listing = replace(listing, id=name, chat_id=name, created_at=now, updated_at=now)
        room, _ = rooms.create(name, listing.anchor, Settings(mode=SeatMode.FREE), info, now)
        await self._media.put(name, MediaRoom(speakers(room)))
        try:
            return await self._storage.add(listing, room)
        except BaseException:
            self._untold.add(name)  # it is closed again
            raise

    async def get(self, room: str) -> Stored:
        """NoRoomError."""
        stored = await self._storage.get(room)
        if stored is None:
            raise NoRoomError
        return stored

    async def visit(self, room: str, user: str) -> Stored:
        await self.get(room)
        await self._storage.visit(room, user)
        return await self.get(room)

    async def page(self, number: int, size: int, status: int | None) -> Sequence[Stored]:
        return await self._storage.page(number, size, status)

    async def change(self, room: str, commands: Commands) -> Stored:
        """All of the commands, or none. NoRoomError, Illegal, BusyError."""
        for _ in range(ATTEMPTS):
            stored, now, effects = await self.get(room), self._clock(), list[Effect]()
            after = stored.room
            for command in commands(stored.room):
                after, done = rooms.apply(after, command, now)
                effects += done
            if after == stored.room:
                return stored
            listing = replace(stored.listing, updated_at=now)
            if after.dismissed_at is not None:
                listing = replace(listing, status=ENDED, stopped_at=now)
            with contextlib.suppress(Conflict):
                saved = await self._storage.save(replace(stored, listing=listing, room=after))
                await self._perform(after, effects)
                return saved
        raise BusyError

    async def relist(self, room: str, by: str, change: Callable[[Listing, float], Listing]) -> Stored:
        """By its host alone, while it is open. NoRoomError, Illegal, BusyError."""
        for _ in range(ATTEMPTS):
            stored, now = await self.get(room), self._clock()
            self._check_host(stored, by)
            if stored.room.dismissed_at is not None:
                raise Illegal(Problem.ROOM_DISMISSED)
            listing = replace(change(stored.listing, now), updated_at=now)
            with contextlib.suppress(Conflict):
                return await self._storage.save(replace(stored, listing=listing))
        raise BusyError

    async def delete(self, room: str, by: str) -> Stored:
        """By its host alone; an open room is dismissed before. What it was. NoRoomError, Illegal, BusyError."""
        stored = await self.get(room)
        self._check_host(stored, by)
        if stored.room.dismissed_at is None:
            stored = await self.change(room, lambda _: [Dismiss(by)])
        await self._storage.delete(room)
        return stored

    async def addresses(self, stored: Stored, user: str) -> Addresses:
        """Empty when the room has ended. MediaError."""
        room = stored.room
        if room.dismissed_at is not None:
            return Addresses()
        return await self._media.addresses(room.id, user, may_publish=room.seat_of(user) is not None)

    async def ready(self) -> bool:
        return await self._storage.ready()

    def _check_host(self, stored: Stored, by: str) -> None:
        if by != stored.room.host:
            raise Illegal(Problem.NOT_PERMITTED)

    # ---- the media server

    async def _perform(self, room: Room, effects: Iterable[Effect]) -> None:
        kinds = {type(effect) for effect in effects}
        if not kinds & {PutSpeaker, DropSpeaker, CutOff, CloseMedia}:
            return
        try:
            for effect in effects:
                if isinstance(effect, CutOff):
                    await self._media.cut_off(room.id, effect.user, str(uuid.uuid4()))
            await self._bring(room.id)
        except MediaError as error:
            self._untold.add(room.id)
            log.warning("%s It will be told again.", error)

    async def _bring(self, room: str) -> None:
        """To what the room is now, which may be newer than what the caller knows. One at a time for each room: what is
        put last must have been read last."""
        async with self._turns.setdefault(room, asyncio.Lock()):
            stored = await self._storage.get(room)
            if stored is None or stored.room.dismissed_at is not None:
                await self._media.close(room)
            else:
                await self._media.put(room, MediaRoom(speakers(stored.room)))

    async def _tell_again(self) -> None:
        """For ever. What goes wrong here is logged and tried again."""
        listed = False
        while True:
            try:
                if not listed:
                    await self._list_open()
                    listed = True
                for name in sorted(self._untold):
                    await self._bring(name)
                    self._untold.discard(name)
            except MediaError as error:
                log.info("%s", error)
            except Exception:
                log.exception("Rooms could not be told to the media server.")
            await asyncio.sleep(AGAIN_S)

    async def _list_open(self) -> None:
        number = 1
        while found := await self._storage.page(number, 100):
            self._untold |= {stored.room.id for stored in found if stored.room.dismissed_at is None}
            number += 1
