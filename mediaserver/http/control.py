"""The control API: what a room service says about rooms, seats, mutes and participants. Every call is idempotent."""

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, ServiceOf, issue, muter, service
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import Name, RoomName, UserName
from mediaserver.http.problems import RESPONSES, Problem
from mediaserver.model import Direction, MuteSource, Room
from mediaserver.node import Node
from mediaserver.sessions import Session, State

DEFAULT_TTL_S = 3600
MAX_TTL_S = 7 * 24 * 3600


class Document(BaseModel):
    """Fields that are not known are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SpeakerChange(Document):
    may_publish: bool = Field(default=True, description="false keeps the seat and its mutes but silences it")


class SpeakerDocument(Document):
    user: str = Field(examples=["ann"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1; it stays while the room lives")
    may_publish: bool
    muted_by: list[MuteSource] = Field(description="Who muted the speaker; heard only when it is empty")


class RoomChange(Document):
    """A room has no settings of its own yet."""


class RoomDocument(Document):
    name: str = Field(examples=["lobby"])
    speakers: list[SpeakerDocument] = Field(description="All seats, whether their users are connected or not")
    participants: int = Field(description="Connected users")


class RoomList(Document):
    rooms: list[RoomDocument]


class TokenRequest(Document):
    user: Name = Field(examples=["ann"])
    may_publish: bool = Field(default=False, description="Takes effect only while the user also has a seat in the room")
    may_listen: bool = True
    ttl_s: int = Field(default=DEFAULT_TTL_S, ge=1, le=MAX_TTL_S, description="Lifetime in seconds")


class TokenDocument(Document):
    token: str = Field(description="JWT for `Authorization: Bearer` of WHIP and WHEP", examples=["eyJhbGciOiJIUz…"])
    expires: int = Field(description="Unix time in seconds", examples=[1893456000])


class SessionDocument(Document):
    id: str = Field(description="The last part of the session's address")
    direction: Direction = Field(description="As the client sees it: WHIP publishes, WHEP listens")
    state: State
    level_dbov: float = Field(description="Publisher: smoothed level, -127..0 dBov (RFC 6464)")
    speaking: bool
    fraction_lost: float = Field(description="RTP, 0..1. Publisher: last interval here; listener: its last report")
    packets_lost: int = Field(description="RTP. Publisher: of its stream, here; listener: of all slots, as it reports")
    jitter_ms: float = Field(description="RFC 3550 A.8. Publisher: measured here; listener: worst slot it reports")
    round_trip_ms: float | None = Field(description="By RTCP; null before the first report that tells")
    packets_received: int = Field(description="Authenticated RTP packets from the client")
    bytes_received: int = Field(description="Their bytes, headers included")
    packets_sent: int = Field(description="RTP packets to the client")
    bytes_sent: int = Field(description="Their bytes, headers included")


class ParticipantDocument(Document):
    user: str = Field(examples=["ann"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1")
    may_publish: bool = Field(description="Whether the user has a seat from which he may publish")
    muted_by: list[MuteSource]
    sessions: list[SessionDocument] = Field(description="At most one of each direction")


class ParticipantList(Document):
    participants: list[ParticipantDocument]


router = APIRouter(prefix="/v1", tags=["control"], responses=RESPONSES, dependencies=[Depends(require_json)])


@router.get("/rooms", summary="All rooms", dependencies=[Depends(service)])
async def get_rooms(node: NodeOf) -> RoomList:
    return RoomList(rooms=[_room(room) for room in node.rooms.values()])


@router.put(
    "/rooms/{room}",
    summary="Make a room",
    dependencies=[Depends(service)],
    responses={201: {"description": "The room is new", "model": RoomDocument}},
)
async def put_room(room: RoomName, node: NodeOf, response: Response, _: RoomChange | None = None) -> RoomDocument:
    found, is_new = node.open_room(room)
    response.status_code = 201 if is_new else 200
    return _room(found)


@router.get("/rooms/{room}", summary="One room", dependencies=[Depends(service)])
async def get_room(room: RoomOf) -> RoomDocument:
    return _room(room)


@router.delete(
    "/rooms/{room}", summary="Close a room and all its sessions", status_code=204, dependencies=[Depends(service)]
)
async def delete_room(room: RoomName, node: NodeOf) -> None:
    node.close_room(room)


@router.post("/rooms/{room}/tokens", summary="Issue a participant's token")
async def post_token(
    key: ServiceOf, room: RoomOf, asked: TokenRequest, node: NodeOf, response: Response
) -> TokenDocument:
    """The token is signed with the key that asked for it, so it ends with that key."""
    response.headers["Cache-Control"] = "no-store"
    token, expires = issue(
        node, key, room.name, asked.user, may_publish=asked.may_publish, may_listen=asked.may_listen, ttl_s=asked.ttl_s
    )
    return TokenDocument(token=token, expires=expires)


@router.put(
    "/rooms/{room}/speakers/{user}",
    summary="Give a seat, or change its right to publish",
    dependencies=[Depends(service)],
)
async def put_speaker(
    room: RoomOf, user: UserName, node: NodeOf, change: SpeakerChange | None = None
) -> SpeakerDocument:
    take_seat(node, room, user, (change or SpeakerChange()).may_publish)
    return _speaker(room, user)


@router.delete(
    "/rooms/{room}/speakers/{user}",
    summary="Take a seat: the publishing session ends, mutes are forgotten",
    status_code=204,
    dependencies=[Depends(service)],
)
async def delete_speaker(room: RoomOf, user: UserName, node: NodeOf) -> None:
    node.change(room, room.remove_speaker(user))


@router.put(
    "/rooms/{room}/speakers/{user}/mutes/{source}",
    summary="Mute a speaker, by this source",
    dependencies=[Depends(muter)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
)
async def put_mute(room: RoomOf, user: UserName, source: MuteSource, node: NodeOf) -> SpeakerDocument:
    """With `self`, the participant's own bearer token will do."""
    node.change(room, room.mute(user, source))
    return _speaker(room, user)


@router.delete(
    "/rooms/{room}/speakers/{user}/mutes/{source}",
    summary="Undo the mute of this source",
    dependencies=[Depends(muter)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
)
async def delete_mute(room: RoomOf, user: UserName, source: MuteSource, node: NodeOf) -> SpeakerDocument:
    """With `self`, the participant's own bearer token will do. The speaker is heard when no source is left."""
    node.change(room, room.unmute(user, source))
    return _speaker(room, user)


@router.get("/rooms/{room}/participants", summary="Who is connected, and how well", dependencies=[Depends(service)])
async def get_participants(room: RoomOf, node: NodeOf) -> ParticipantList:
    return ParticipantList(participants=[_participant(node, room, user) for user in room.participants])


@router.delete(
    "/rooms/{room}/participants/{user}",
    summary="Kick: ends the user's sessions, takes the seat, revokes tokens issued until now",
    status_code=204,
    dependencies=[Depends(service)],
)
async def delete_participant(room: RoomOf, user: UserName, node: NodeOf) -> None:
    node.change(room, room.kick(user, node.clock()))


def take_seat(node: Node, room: Room, user: str, may_publish: bool = True) -> None:
    if user not in room.speakers and len(room.speakers) >= node.settings.limits.speakers_per_room:
        raise Problem("seats-taken", "The room has as many speakers as the server allows.")
    node.change(room, room.set_speaker(user, may_publish=may_publish))


def _room(room: Room) -> RoomDocument:
    speakers = [_speaker(room, user) for user in room.speakers]
    return RoomDocument(name=room.name, speakers=speakers, participants=len(room.participants))


def _speaker(room: Room, user: str) -> SpeakerDocument:
    speaker = room.speakers[user]
    return SpeakerDocument(
        user=user, csrc=room.csrc_of(user), may_publish=speaker.may_publish, muted_by=sorted(speaker.mutes)
    )


def _participant(node: Node, room: Room, user: str) -> ParticipantDocument:
    speaker = room.speakers.get(user)
    return ParticipantDocument(
        user=user,
        csrc=room.csrc_of(user),
        may_publish=room.may_publish(user),
        muted_by=sorted(speaker.mutes) if speaker else [],
        sessions=[_session(node.session_of(peer)) for peer in room.participants[user].peers.values()],
    )


def _session(session: Session) -> SessionDocument:
    stats = session.stats
    return SessionDocument(
        id=session.id,
        direction=session.direction,
        state=session.state,
        level_dbov=stats.level_dbov,
        speaking=stats.speaking,
        fraction_lost=stats.fraction_lost,
        packets_lost=stats.packets_lost,
        jitter_ms=stats.jitter_ms,
        round_trip_ms=stats.round_trip_ms,
        packets_received=stats.packets_received,
        bytes_received=stats.bytes_received,
        packets_sent=stats.packets_sent,
        bytes_sent=stats.bytes_sent,
    )
