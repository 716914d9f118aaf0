"""In memory: nothing survives a restart. For tests and for trying things out."""

from collections.abc import Sequence
from dataclasses import replace

from roomservice.interface import Conflict, Listing, Stored
from roomservice.model.room import Room


class MemoryRooms:
    def __init__(self) -> None:
        self._rooms: dict[str, Stored] = {}
        self._visitors: dict[str, dict[str, int]] = {}
        self._users: dict[str, str] = {}

    async def start(self) -> None:
        """There is nothing to be made."""

    async def close(self) -> None:
        """There is nothing to be closed."""

    # ---- rooms

    async def add(self, listing: Listing, room: Room) -> Stored:
        if listing.id in self._rooms:
            raise Conflict
        self._rooms[listing.id] = Stored(listing, room)
        return self._rooms[listing.id]

    async def get(self, room: str) -> Stored | None:
        stored = self._rooms.get(room)
        return None if stored is None else self._counted(stored)

    async def page(self, number: int, size: int, status: int | None = None) -> Sequence[Stored]:
        chosen = [stored for stored in self._rooms.values() if status is None or stored.listing.status == status]
        chosen.sort(key=lambda stored: (-stored.listing.created_at, stored.listing.id))
        return [self._counted(stored) for stored in chosen[(number - 1) * size : number * size]]

    async def save(self, stored: Stored) -> Stored:
        known = self._rooms.get(stored.listing.id)
        if known is None or known.revision != stored.revision:
            raise Conflict
        self._rooms[stored.listing.id] = replace(stored, revision=stored.revision + 1)
        return self._counted(self._rooms[stored.listing.id])

    async def delete(self, room: str) -> None:
        self._rooms.pop(room, None)
        self._visitors.pop(room, None)

    async def visit(self, room: str, user: str) -> None:
        visitors = self._visitors.setdefault(room, {})
        visitors[user] = visitors.get(user, 0) + 1

    async def ready(self) -> bool:
        return True

    def _counted(self, stored: Stored) -> Stored:
        visitors = self._visitors.get(stored.listing.id, {})
        return replace(stored, pv=sum(visitors.values()), uv=len(visitors))

    # ---- users

    async def password_of(self, user: str) -> str | None:
        return self._users.get(user)

    async def add_user(self, user: str, password_hash: str) -> bool:
        """Whether there was none of this name."""
        return self._users.setdefault(user, password_hash) is password_hash
