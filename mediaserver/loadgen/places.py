"""Where each peer goes: addresses of WHIP and WHEP, and the token to say there."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlsplit

from mediaserver.client import MediaServer
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.schema import RoomDocument, SpeakerDocument, TokenRequest

ROOMS_PER_CALL = 100
TOKENS_AT_ONCE = 16
"""Calls at a time. More prepares a large load sooner, and keeps a server busy that is about to be measured."""
SPARE_S = 600
"""That tokens outlive the plan by."""


@dataclass(frozen=True, slots=True)
class Place:
    url: str
    token: str | None = field(default=None, repr=False)


class Places(Protocol):
    async def open(self, plan: Plan) -> None:
        """Before the first peer joins."""

    def place(self, plan: Plan, join: Join) -> Place: ...

    async def close(self, plan: Plan) -> None:
        """After the last has left."""


class Addresses:
    """Any server's: templates in which {room} and {user} stand for names, and so in tokens. ValueError, with a
    sentence, when one is not an address."""

    def __init__(self, whip: str, whep: str, whip_token: str | None = None, whep_token: str | None = None) -> None:
        for address in (whip, whep):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError(f"{address!r} is not an address like https://media.example.org/whip/{{room}}.")
        self._addresses = {True: (whip, whip_token), False: (whep, whep_token)}

    async def open(self, plan: Plan) -> None:
        return

    def place(self, plan: Plan, join: Join) -> Place:
        address, token = self._addresses[join.speaks]
        room, user = plan.room_name(join.room), join.user
        return Place(_fill(address, quote(room, safe=""), quote(user, safe="")), token and _fill(token, room, user))

    async def close(self, plan: Plan) -> None:
        return


class OwnRooms:
    """Rooms of this project's server, made by its control API for the load and deleted after it. document: what they
    are beside the load's own seats."""

    def __init__(self, server: MediaServer, url: str, document: RoomDocument = RoomDocument()) -> None:  # noqa: B008
        self._server = server
        self._document = document
        self._url = url.rstrip("/")
        self._tokens: dict[tuple[int, bool, int], str] = {}

    async def open(self, plan: Plan) -> None:
        """client.CallError when the server refuses."""
        own = {f"speaker-{number}": SpeakerDocument() for number in range(plan.speakers)}
        document = self._document.model_copy(update={"speakers": {**self._document.speakers, **own}})
        names = [plan.room_name(room) for room in range(plan.rooms)]
        for start in range(0, len(names), ROOMS_PER_CALL):
            put = await self._server.put_rooms(dict.fromkeys(names[start : start + ROOMS_PER_CALL], document))
            for name, result in put.rooms.items():
                if result.problem is not None:
                    why = result.problem.get("detail") or result.problem.get("title") or result.status
                    raise ValueError(f"The server refuses the room {name}: {str(why).rstrip('.')}.")
        await _each(plan.joins(), lambda join: self._fetch(plan, join))

    async def _fetch(self, plan: Plan, join: Join) -> None:
        lifetime_s = min(7 * 86_400, int(plan.last_join_s + plan.duration_s) + SPARE_S)
        request = TokenRequest(
            user=join.user, may_publish=join.speaks, may_listen=not join.speaks, mode=None, ttl_s=lifetime_s
        )
        token = await self._server.token(plan.room_name(join.room), request)
        self._tokens[join.room, join.speaks, join.number] = token.token

    def place(self, plan: Plan, join: Join) -> Place:
        room = quote(plan.room_name(join.room), safe="")
        path = f"/whip/{room}" if join.speaks else f"/whep/{room}?mode={plan.mode}"
        return Place(self._url + path, self._tokens[join.room, join.speaks, join.number])

    async def close(self, plan: Plan) -> None:
        for room in range(plan.rooms):
            await self._server.delete_room(plan.room_name(room))


def _fill(template: str, room: str, user: str) -> str:
    return template.replace("{room}", room).replace("{user}", user)


async def _each(joins: Iterable[Join], work: "Work") -> None:
    """All of them, some at a time. The first error ends it."""
    left = iter(joins)

    async def one_after_another() -> None:
        for join in left:
            await work(join)

    tasks = [asyncio.create_task(one_after_another()) for _ in range(TOKENS_AT_ONCE)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


class Work(Protocol):
    async def __call__(self, join: Join) -> None: ...
