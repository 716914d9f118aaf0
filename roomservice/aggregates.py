"""The kinds of documents that commands change as a whole: what the engine must know of each. Pure.

A new kind is one entry more in AGGREGATES.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import compress, filterfalse
from operator import is_not
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from roomservice.commit import Kept, RoomInfo
from roomservice.interface import MediaRoom
from roomservice.meeting import meeting_json
from roomservice.model import calls, groups, invitations, listing, person, room
from roomservice.model.calls import Call, State
from roomservice.model.effects import Effect
from roomservice.model.groups import Group
from roomservice.model.invitations import Invitation
from roomservice.model.listing import ListedRoom
from roomservice.model.person import Person

S = TypeVar("S")


def _nobody(_: object) -> Collection[str]:
    return ()


def _nothing(_: object) -> None:
    return None


def _never(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Parts(Generic[S]):
    """What of a document is kept by itself, since there can be so much of it that writing it all with each change would
    cost more than the change. type: of all of them, by name."""

    type: TypeAdapter[dict[str, Any]]
    of: Callable[[S], Mapping[str, Any]]
    put: Callable[[S, Mapping[str, Any]], S]

    def written(self, before: S | None, after: S) -> dict[str, str | None]:
        """What has changed, as JSON; None of what has gone."""
        were, are = {} if before is None else self.of(before), self.of(after)
        if were is are:
            return {}
        changed = compress(are, map(is_not, are.values(), map(were.get, are)))
        gone = dict.fromkeys(filterfalse(are.__contains__, were))
        return gone | {name: self.type.dump_json({name: are[name]}).decode() for name in changed}

    def read(self, state: S, kept: Mapping[str, str]) -> S:
        """Of state, which has none."""
        if not kept:
            return state
        return self.put(state, self.type.validate_json(f"{{{','.join(part[1:-1] for part in kept.values())}}}"))


@dataclass(frozen=True, slots=True)
class Aggregate(Generic[S]):
    """apply: the model's (state, command, now) -> (state, effects); stream: where what is told to nobody in particular
    is told; followers: whose sockets follow the document's own stream, `kind:id`; concerned: whose history has it;
    media: what its media room shall be, None when there is none (any more); info: its row in `room_infos`; ended: that
    it is forgotten after a while, with all that is left of it; parts: what of it is kept in rows of its own."""

    kind: str
    type: TypeAdapter[S]
    apply: Callable[[S, Any, float], tuple[S, list[Effect]]]
    stream: Callable[[S], str]
    followers: Callable[[S], Collection[str]] = _nobody
    concerned: Callable[[S], Collection[str]] = _nobody
    media: Callable[[S], MediaRoom | None] = _nothing
    info: Callable[[S], RoomInfo | None] = _nothing
    ended: Callable[[S], bool] = _never
    parts: Parts[S] | None = None

    def body(self, state: S) -> str:
        """Without its parts."""
        return self.type.dump_json(state if self.parts is None else self.parts.put(state, {})).decode()

    def read(self, kept: Kept) -> S:
        state = self.type.validate_json(kept.body)
        return state if self.parts is None else self.parts.read(state, kept.parts)

    def own_stream(self, id: str) -> str:
        return f"{self.kind}:{id}"


def _room_media(listed: ListedRoom) -> MediaRoom | None:
    if listed.room.dismissed_at is not None:
        return None
    return MediaRoom(room.speakers(listed.room), str(listed.room.settings.scenario))


def _room_info(listed: ListedRoom) -> RoomInfo:
    known, inside = listed.listing, listed.room
    return RoomInfo(
        id=known.id,
        title=known.title,
        anchor=known.anchor,
        anchor_id=inside.host,
        created_at=known.created_at,
        updated_at=known.updated_at,
        status=known.status,
        mode=known.mode,
        chat_id=known.chat_id,
        notice=known.notice,
        cover_url=known.cover_url,
        extends=known.extends,
        anchor_nick=known.anchor_nick,
        meeting_info=meeting_json(inside),
        started_at=known.started_at,
        stopped_at=known.stopped_at,
    )


def _with_attendees(listed: ListedRoom, attendees: Mapping[str, room.Attendee]) -> ListedRoom:
    in_order = dict(sorted(attendees.items(), key=lambda item: item[1].number))
    return replace(listed, room=replace(listed.room, attendees=in_order))


ROOM: Aggregate[ListedRoom] = Aggregate(
    "room",
    TypeAdapter(ListedRoom),
    listing.apply,
    stream=lambda listed: f"room:{listed.room.id}",
    followers=lambda listed: listed.room.attendees,
    concerned=lambda listed: {listed.room.host, *listed.room.admins},
    media=_room_media,
    info=_room_info,
    parts=Parts(TypeAdapter(dict[str, room.Attendee]), lambda listed: listed.room.attendees, _with_attendees),
)


def _call_media(call: Call) -> MediaRoom | None:
    if call.ended_at is not None:
        return None
    return MediaRoom(calls.speakers(call), "call", calls.ring_back(call))


CALL: Aggregate[Call] = Aggregate(
    "call",
    TypeAdapter(Call),
    calls.apply,
    stream=lambda call: f"call:{call.id}",
    followers=lambda call: () if call.ended_at is not None else call.of(State.IN),
    concerned=lambda call: call.parties,
    media=_call_media,
    ended=lambda call: call.ended_at is not None,
)

INVITATION: Aggregate[Invitation] = Aggregate(
    "invitation",
    TypeAdapter(Invitation),
    invitations.apply,
    stream=lambda invitation: f"{'room' if invitation.of_room else 'group'}:{invitation.group}",
    concerned=lambda invitation: {invitation.inviter, *invitation.invitees},
    ended=lambda invitation: invitation.ended,
)

GROUP: Aggregate[Group] = Aggregate(
    "group",
    TypeAdapter(Group),
    groups.apply,
    stream=lambda group: f"{'room' if group.of_room else 'group'}:{group.id}",
    followers=groups.followers,
    ended=lambda group: group.dismissed_at is not None,
)

PERSON: Aggregate[Person] = Aggregate(
    "user",
    TypeAdapter(Person),
    person.apply,
    stream=lambda known: f"presence:{known.id}",
)

AGGREGATES: dict[str, Aggregate[Any]] = {one.kind: one for one in (ROOM, CALL, INVITATION, GROUP, PERSON)}
