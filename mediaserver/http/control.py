"""The control API: what a room service says about rooms, seats, mutes and participants. Every call is idempotent."""

import dataclasses
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from mediaserver import logs
from mediaserver.commands import Mix
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, ServiceOf, issue, muter, self_or_service, service
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paths import Name, RoomName, UserName
from mediaserver.http.problems import RESPONSES, Problem
from mediaserver.matrix import MAX_GAIN_DB, MIN_GAIN_DB, Ears
from mediaserver.model import Direction, MuteSource, Room
from mediaserver.node import Node
from mediaserver.sessions import Session, State

log = logs.get(__name__, limited=True)

DEFAULT_TTL_S = 3600
MAX_TTL_S = 7 * 24 * 3600
MAX_WISHES = 64  # users that one listener hears otherwise; more would make rows long

GainDb = Annotated[float, Field(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]


class Document(BaseModel):
    """Fields that are not known are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SpeakerChange(Document):
    may_publish: bool = Field(default=True, description="false keeps the seat and its mutes but silences it")
    gain_db: GainDb = Field(default=0.0, description="For everybody, in dB; -60 is silence")


class SpeakerDocument(Document):
    user: str = Field(examples=["ann"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1; it stays while the room lives")
    may_publish: bool
    gain_db: float
    muted_by: list[MuteSource] = Field(description="Who muted the speaker; heard only when it is empty")


class MixDocument(Document):
    """How the room's mixes are encoded."""

    stereo: bool = False
    bitrate: int = Field(default=48_000, ge=6_000, le=510_000, description="bit/s")
    ptime_ms: Literal[20, 40, 60] = Field(
        default=20, description="Length of a packet; longer costs less and waits longer"
    )
    complexity: int = Field(
        default=5,
        ge=0,
        le=10,
        description="Of the Opus encoder: 9 sounds a little better in voice mode and costs twice",
    )
    music: bool = Field(default=False, description="Opus's `audio` application instead of `voip`; soft sounds are kept")


class RoomChange(Document):
    mix: MixDocument = Field(default_factory=MixDocument)
    e2ee: bool = Field(
        default=False, description="Payloads are end-to-end encrypted: nothing is mixed. Settled at first"
    )


class RoomDocument(Document):
    name: str = Field(examples=["lobby"])
    mix: MixDocument
    e2ee: bool
    speakers: list[SpeakerDocument] = Field(description="All seats, whether their users are connected or not")
    participants: int = Field(description="Connected users")


class RoomList(Document):
    rooms: list[RoomDocument]


class ListenerDocument(Document):
    """What one listener to the mix wants otherwise than others. Gains are rounded to 3 dB."""

    user_gains_db: dict[Name, GainDb] = Field(
        default_factory=dict, max_length=MAX_WISHES, description="dB by user; -60 is silence", examples=[{"carol": -6}]
    )
    user_mutes: dict[Name, bool] = Field(
        default_factory=dict, max_length=MAX_WISHES, description="Who is not to be heard", examples=[{"dave": True}]
    )


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
    playout_delay_ms: float = Field(description="Publisher who is mixed: how long his audio waits in the jitter buffer")
    frames_recovered: int = Field(description="Publisher who is mixed: lost frames that in-band FEC brought back")
    frames_concealed: int = Field(description="Publisher who is mixed: lost or late frames that were made up")
    packets_late: int = Field(description="Publisher who is mixed: packets that came too late to be heard")


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
async def put_room(room: RoomName, node: NodeOf, response: Response, change: RoomChange | None = None) -> RoomDocument:
    """Without a body an existing room stays as it is; with one, what it leaves out gets its default."""
    mix = None if change is None else Mix(**change.mix.model_dump())
    found, is_new = node.open_room(room, mix, e2ee=change is not None and change.e2ee)
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
    change = change or SpeakerChange()
    take_seat(node, room, user, may_publish=change.may_publish, gain_db=change.gain_db)
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


@router.get(
    "/rooms/{room}/listeners/{user}",
    summary="What a listener wants for himself",
    dependencies=[Depends(self_or_service)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
)
async def get_listener(room: RoomOf, user: UserName) -> ListenerDocument:
    """The participant's own bearer token will do."""
    ears = room.ears.get(user, Ears())
    return ListenerDocument(user_gains_db=dict(ears.user_gains_db), user_mutes=dict.fromkeys(ears.user_mutes, True))


@router.put(
    "/rooms/{room}/listeners/{user}",
    summary="Turn others down, up or off, for this listener alone",
    dependencies=[Depends(self_or_service)],
    openapi_extra=BY_SERVICE_OR_PARTICIPANT,
)
async def put_listener(room: RoomOf, user: UserName, node: NodeOf, wishes: ListenerDocument) -> ListenerDocument:
    """The participant's own bearer token will do. In force on the mix while the room lives. 409 when listeners want too
    many different things."""
    muted = frozenset(name for name, is_muted in wishes.user_mutes.items() if is_muted)
    node.change(room, room.set_ears(user, Ears(wishes.user_gains_db, muted)))
    return wishes


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
    log.info("kicked", room=room.name, user=user)


def take_seat(node: Node, room: Room, user: str, *, may_publish: bool = True, gain_db: float = 0.0) -> None:
    if user not in room.speakers and len(room.speakers) >= node.settings.limits.speakers_per_room:
        raise Problem("seats-taken", "The room has as many speakers as the server allows.")
    node.change(room, room.set_speaker(user, may_publish=may_publish, gain_db=gain_db))


def _room(room: Room) -> RoomDocument:
    speakers = [_speaker(room, user) for user in room.speakers]
    mix = MixDocument(**dataclasses.asdict(room.mix))
    return RoomDocument(name=room.name, mix=mix, e2ee=room.e2ee, speakers=speakers, participants=len(room.participants))


def _speaker(room: Room, user: str) -> SpeakerDocument:
    speaker = room.speakers[user]
    return SpeakerDocument(
        user=user,
        csrc=room.csrc_of(user),
        may_publish=speaker.may_publish,
        gain_db=speaker.gain_db,
        muted_by=sorted(speaker.mutes),
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
        playout_delay_ms=stats.playout_delay_ms,
        frames_recovered=stats.frames_recovered,
        frames_concealed=stats.frames_concealed,
        packets_late=stats.packets_late,
    )
