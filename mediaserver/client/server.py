"""The control API of one media server, a method for each of its calls."""

import random
import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self

import httpx

from mediaserver.client.calls import Calls, Clock, path
from mediaserver.client.errors import Refused
from mediaserver.client.following import StreamEvent, follow
from mediaserver.client.library import LibraryCalls
from mediaserver.client.patience import Patience
from mediaserver.client.programme import ProgrammeCalls
from mediaserver.client.reading import conditions_of, query_of
from mediaserver.client.tagged import Tagged
from mediaserver.merge import difference
from mediaserver.schema import (
    MAX_PAGE,
    DirectionName,
    ListenerDocument,
    MoveRequest,
    NodeState,
    ParticipantDocument,
    ParticipantPage,
    PutResults,
    RoomDocument,
    RoomPage,
    Rooms,
    RoomState,
    ScenarioName,
    SpeakerDocument,
    SpeakerState,
    TokenDocument,
    TokenRequest,
)
from mediaserver.schema_base import MuteSourceName

UPDATES = 10
"""Attempts of update_room(). More helps only where so many writers change one room at once that they should not."""


class MediaServer(ProgrammeCalls, LibraryCalls):
    """An async context manager, for one event loop and any number of calls at a time.

    Every call raises CallError (errors.py) when it does not succeed, Refused when the server said no; and ValueError
    before anything is sent for what can be no name of a room or user. What is read has the ETag of its room, and what
    is changed can be guarded with it: `if_match` makes a change only while nobody else has changed the room's document
    (Refused with status 412 otherwise).

    url: https://media.example.org; key_id, secret: an API key, which signs every request and is never sent itself.
    patience: how often and how long is tried. transport: instead of the network, for tests. clock: Unix time
    in seconds.
    """

    def __init__(
        self,
        url: str,
        key_id: str,
        secret: str,
        *,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = time.time,
    ) -> None:
        super().__init__(Calls(url, (key_id, secret), patience=patience, transport=transport, clock=clock))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._calls.close()

    # ---- rooms

    async def rooms(
        self,
        *,
        prefix: str = "",
        user: str | None = None,
        active: bool | None = None,
        scenario: ScenarioName | None = None,
        page: int = MAX_PAGE,
    ) -> AsyncGenerator[RoomState, None]:
        """Rooms at a glance, by name. prefix: names that begin so; user: where this one has a seat or is connected;
        active: where somebody is connected, or nobody; page: how many are asked for at a time."""
        query = query_of(prefix=prefix or None, user=user, active=active, scenario=scenario, limit=page)
        cursor: str | None = None
        while True:
            found = await self._read(RoomPage, "GET", path("rooms"), query=[*query, *query_of(cursor=cursor)])
            for room in found.document.rooms:
                yield room
            if (cursor := found.document.next) is None:
                return

    async def room(self, name: str) -> Tagged[RoomDocument]:
        return await self._read(RoomDocument, "GET", path("rooms", name))

    async def put_room(
        self, name: str, document: RoomDocument | None = None, *, if_match: str | None = None, only_new: bool = False
    ) -> Tagged[RoomDocument]:
        """Makes the room or brings it to the document. Without one, a room that is there stays as it is. What belongs
        to participants, their `self` mutes and what listeners want, stays where the document does not name it.

        only_new: 412 when there is a room of this name."""
        return await self._read(
            RoomDocument, "PUT", path("rooms", name), document, conditions=conditions_of(if_match, only_new)
        )

    async def patch_room(
        self, name: str, patch: Mapping[str, Any], *, if_match: str | None = None
    ) -> Tagged[RoomDocument]:
        """By a merge patch (RFC 7396) of the document; None takes a member away."""
        return await self._read(
            RoomDocument, "PATCH", path("rooms", name), dict(patch), conditions=conditions_of(if_match)
        )

    async def update_room(self, name: str, function: Callable[[RoomDocument], RoomDocument]) -> Tagged[RoomDocument]:
        """Reads the document, and makes of the room what the function makes of it; and again when somebody else changed
        the room meanwhile. The function may change what it is given and return it. It may be called several times.

        What becomes of the document is exact, what belongs to participants included."""
        for attempt in range(1, UPDATES + 1):
            known = await self.room(name)
            wanted = function(known.document.model_copy(deep=True))
            patch = difference(known.document.model_dump(mode="json"), wanted.model_dump(mode="json"))
            if not patch:
                return known
            try:
                return await self.patch_room(name, patch, if_match=known.etag)
            except Refused as refused:
                if refused.status != 412 or attempt == UPDATES:
                    raise
            await sleep(self._calls.patience.backoff_s(attempt, random.random()))
        raise AssertionError("unreachable")

    async def delete_room(self, name: str, *, if_match: str | None = None) -> None:
        """Closes it and all its sessions. Nothing happens when there is none."""
        await self._calls.call("DELETE", path("rooms", name), conditions=conditions_of(if_match))

    async def put_rooms(self, rooms: Mapping[str, RoomDocument]) -> PutResults:
        """Each as by put_room(); at most 1,000. One that is refused does not keep the others from being put: look at
        each result."""
        return (await self._read(PutResults, "PUT", path("rooms"), Rooms(rooms=dict(rooms)))).document

    # ---- speakers

    async def speaker(self, room: str, user: str) -> Tagged[SpeakerState]:
        return await self._read(SpeakerState, "GET", path("rooms", room, "speakers", user))

    async def put_speaker(
        self, room: str, user: str, document: SpeakerDocument | None = None, *, if_match: str | None = None
    ) -> Tagged[SpeakerState]:
        """Gives a seat or changes it; mutes that the document does not name stay. Without a document, a seat that is
        there stays as it is."""
        return await self._read(
            SpeakerState,
            "PUT",
            path("rooms", room, "speakers", user),
            document,
            conditions=conditions_of(if_match),
        )

    async def patch_speaker(
        self, room: str, user: str, patch: Mapping[str, Any], *, if_match: str | None = None
    ) -> Tagged[SpeakerState]:
        """By a merge patch (RFC 7396) of a SpeakerDocument."""
        return await self._read(
            SpeakerState,
            "PATCH",
            path("rooms", room, "speakers", user),
            dict(patch),
            conditions=conditions_of(if_match),
        )

    async def delete_speaker(self, room: str, user: str, *, if_match: str | None = None) -> None:
        """Takes the seat: publishing ends, mutes are forgotten. Nothing happens when there is none."""
        await self._calls.call("DELETE", path("rooms", room, "speakers", user), conditions=conditions_of(if_match))

    async def mute(
        self, room: str, user: str, source: MuteSourceName = "host", *, if_match: str | None = None
    ) -> Tagged[SpeakerState]:
        return await self._mute("PUT", room, user, source, if_match)

    async def unmute(
        self, room: str, user: str, source: MuteSourceName = "host", *, if_match: str | None = None
    ) -> Tagged[SpeakerState]:
        """The speaker is heard when no other source mutes him."""
        return await self._mute("DELETE", room, user, source, if_match)

    async def _mute(
        self, method: str, room: str, user: str, source: MuteSourceName, if_match: str | None
    ) -> Tagged[SpeakerState]:
        address = path("rooms", room, "speakers", user, "mutes", source)
        return await self._read(SpeakerState, method, address, conditions=conditions_of(if_match))

    # ---- listeners

    async def listener(self, room: str, user: str) -> Tagged[ListenerDocument]:
        """What this user wants to hear otherwise than others do; empty when he wants nothing, or is not there."""
        return await self._read(ListenerDocument, "GET", path("rooms", room, "listeners", user))

    async def put_listener(
        self, room: str, user: str, document: ListenerDocument, *, if_match: str | None = None
    ) -> Tagged[ListenerDocument]:
        return await self._read(
            ListenerDocument,
            "PUT",
            path("rooms", room, "listeners", user),
            document,
            conditions=conditions_of(if_match),
        )

    async def patch_listener(
        self, room: str, user: str, patch: Mapping[str, Any], *, if_match: str | None = None
    ) -> Tagged[ListenerDocument]:
        return await self._read(
            ListenerDocument,
            "PATCH",
            path("rooms", room, "listeners", user),
            dict(patch),
            conditions=conditions_of(if_match),
        )

    async def delete_listener(self, room: str, user: str, *, if_match: str | None = None) -> None:
        await self._calls.call("DELETE", path("rooms", room, "listeners", user), conditions=conditions_of(if_match))

    # ---- participants

    async def participants(
        self,
        room: str,
        *,
        direction: DirectionName | None = None,
        speaking: bool | None = None,
        page: int = MAX_PAGE,
    ) -> AsyncGenerator[ParticipantDocument, None]:
        """Who is connected, by name. direction: who has such a session; speaking: who speaks now, or does not."""
        cursor: str | None = None
        while True:
            found = await self.participant_page(room, cursor, direction=direction, speaking=speaking, page=page)
            for participant in found.participants:
                yield participant
            if (cursor := found.next) is None:
                return

    async def participant_page(
        self,
        room: str,
        cursor: str | None = None,
        *,
        direction: DirectionName | None = None,
        speaking: bool | None = None,
        page: int = MAX_PAGE,
    ) -> ParticipantPage:
        """Likewise, one page. cursor: `next` of the page before."""
        query = query_of(direction=direction, speaking=speaking, limit=page, cursor=cursor)
        return (await self._read(ParticipantPage, "GET", path("rooms", room, "participants"), query=query)).document

    async def participant(self, room: str, user: str) -> ParticipantDocument:
        address = path("rooms", room, "participants", user)
        return (await self._read(ParticipantDocument, "GET", address)).document

    async def kick(self, room: str, user: str, *, if_match: str | None = None) -> None:
        """Ends the user's sessions, takes the seat, and revokes the tokens that were issued until now; whether he is
        there or not."""
        await self._calls.call("DELETE", path("rooms", room, "participants", user), conditions=conditions_of(if_match))

    async def move(self, room: str, user: str, to: str, *, if_match: str | None = None) -> Tagged[ParticipantDocument]:
        """Over the connection that he has, to a room that is there. The answer is the participant in the other room,
        with that room's ETag; if_match is of the room that he leaves."""
        address = path("rooms", room, "participants", user, "move")
        return await self._read(
            ParticipantDocument, "POST", address, MoveRequest(room=to), conditions=conditions_of(if_match)
        )

    async def token(self, room: str, request: TokenRequest) -> TokenDocument:
        """With which a participant joins the room."""
        return (await self._read(TokenDocument, "POST", path("rooms", room, "tokens"), request)).document

    # ---- the node

    async def node(self) -> NodeState:
        return (await self._read(NodeState, "GET", path("node"))).document

    async def drain(self) -> NodeState:
        """The server takes no new rooms."""
        return (await self._read(NodeState, "POST", path("node", "drain"))).document

    async def undrain(self) -> NodeState:
        return (await self._read(NodeState, "DELETE", path("node", "drain"))).document

    async def events(
        self, types: Iterable[str] = (), rooms: Iterable[str] = (), *, last_event_id: str | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """What happens on the node, from now on or after the event of this `position`, until the iterator is closed.

        types: as in "speaker.*", "room.ended", "*"; none means all but speaking.*. rooms: of these alone; none means
        all. When the connection ends, it is made again, and the stream goes on where it was. An event `gap` says that
        some are missing: then read the rooms anew."""
        query = [*query_of(types=",".join(types) or None), *(("room", name) for name in rooms)]
        async with aclosing(follow(self._calls, query, last_event_id)) as events:
            async for event in events:
                yield event
