"""Participants in the control API: who is connected and how well, tokens, kicks and moves."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from mediaserver import logs
from mediaserver.http.answers import answer, done
from mediaserver.http.auth import ControlsOf, controls, issue, reads
from mediaserver.http.describe import described
from mediaserver.http.idempotency import RepeatableOf
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf, RoomOf
from mediaserver.http.paging import Cursor, Limit, page
from mediaserver.http.paths import UserName
from mediaserver.http.preconditions import require
from mediaserver.http.problems import Problem, refusals
from mediaserver.model import kicks
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.node import Node
from mediaserver.scenarios import CAPTURES
from mediaserver.schema import (
    CaptureHints,
    DirectionName,
    MoveRequest,
    ParticipantDocument,
    ParticipantPage,
    SessionDocument,
    SessionState,
    TierName,
    TokenDocument,
    TokenRequest,
)
from mediaserver.sessions import Session

log = logs.get(__name__, limited=True)

router = APIRouter(prefix="/v1/rooms/{room}", tags=["participants"], dependencies=[Depends(require_json)])


@router.post(
    "/tokens",
    summary="Issue a participant's token",
    response_model=TokenDocument,
    responses={200: described("The token", "Cache-Control"), **refusals("no-room")},
)
async def post_token(
    key: ControlsOf, room: RoomOf, asked: TokenRequest, node: NodeOf, repeatable: RepeatableOf
) -> Response:
    """The token is signed with the key that asked for it, so it ends with that key."""

    async def make() -> Response:
        token, expires = issue(
            node,
            key,
            room.name,
            asked.user,
            may_publish=asked.may_publish,
            may_listen=asked.may_listen,
            mode=asked.mode,
            once=asked.once,
            ttl_s=asked.ttl_s,
        )
        response = answer(TokenDocument(token=token, expires=expires, capture=capture_of(room)))
        response.headers["Cache-Control"] = "no-store"
        return response

    return await repeatable.answer(key.id, make)


@router.get(
    "/participants",
    summary="Who is connected, and how well",
    dependencies=[Depends(reads)],
    response_model=ParticipantPage,
    responses={200: described("A page of participants"), **refusals("no-room")},
)
async def get_participants(
    room: RoomOf,
    node: NodeOf,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    direction: Annotated[DirectionName | None, Query(description="Those with a session of this direction")] = None,
    speaking: Annotated[bool | None, Query(description="Those who speak now, or do not")] = None,
) -> Response:
    """By name, a page at a time."""

    def is_meant(user: str) -> bool:
        peers = room.participants[user].peers
        if direction is not None and Direction(direction) not in peers:
            return False
        if speaking is None:
            return True
        publishing = peers.get(Direction.PUBLISH)
        return speaking == (publishing is not None and node.census.of(publishing).stats.speaking)

    names, following = page(sorted(filter(is_meant, room.participants)), cursor, limit)
    return answer(ParticipantPage(participants=[_participant(node, room, user) for user in names], next=following))


@router.get(
    "/participants/{user}",
    summary="A participant",
    dependencies=[Depends(reads)],
    response_model=ParticipantDocument,
    responses={200: described("The participant"), **refusals("no-room", "no-participant")},
)
async def get_participant(room: RoomOf, user: UserName, node: NodeOf) -> Response:
    if user not in room.participants:
        raise Problem("no-participant", "The user is not connected to this room.")
    return answer(_participant(node, room, user))


@router.delete(
    "/participants/{user}",
    summary="Kick: ends the user's sessions, takes the seat, revokes tokens issued until now",
    dependencies=[Depends(controls)],
    status_code=204,
    responses={
        204: described("The user is not connected, and has no seat", "ETag"),
        **refusals("precondition-failed", "no-room"),
    },
)
async def delete_participant(request: Request, room: RoomOf, user: UserName, node: NodeOf) -> Response:
    require(request, room)
    node.change(room, kicks.kick(room, user, node.clock()))
    log.info("kicked", room=room.name, user=user)
    await node.settled()
    return done(room)


@router.post(
    "/participants/{user}/move",
    summary="Move a participant to another room, over the connection that he has",
    response_model=ParticipantDocument,
    responses={
        200: described("The participant in the other room, whose ETag it is", "ETag"),
        **refusals(
            *("precondition-failed", "no-room", "no-participant"),
            *("encrypted-room", "unsuited-session", "mixes-taken", "seats-taken"),
        ),
    },
)
async def post_move(
    key: ControlsOf,
    request: Request,
    room: RoomOf,
    *,
    user: UserName,
    move: MoveRequest,
    node: NodeOf,
    repeatable: RepeatableOf,
) -> Response:
    """His seat goes with him, with its mutes and gain but not its number, unless the other room has one for him
    already.
    His sessions keep their addresses. The key must reach both rooms. Answered with him in the other room."""

    async def make() -> Response:
        require(request, room)
        if not key.reaches(move.room):
            raise Problem("forbidden", "The API key does not reach the other room.")
        target = node.rooms.get(move.room)
        if target is None:
            raise Problem("no-room", "There is no room of the name that the participant is to go to.")
        node.move(room, user, target)
        await node.settled()
        if user not in target.participants:
            raise Problem("no-participant", "The participant has left meanwhile.")
        return answer(_participant(node, target, user), target)

    return await repeatable.answer(key.id, make)


def capture_of(room: Room) -> CaptureHints:
    return CaptureHints(**asdict(CAPTURES[room.scenario]))


def _participant(node: Node, room: Room, user: str) -> ParticipantDocument:
    speaker, participant = room.speakers.get(user), room.participants[user]
    return ParticipantDocument(
        user=user,
        csrc=room.csrcs.of(user),
        may_publish=room.may_publish(user),
        muted_by=[source.value for source in sorted(speaker.mutes)] if speaker else [],
        reconnecting=bool(participant.late),
        sessions=[_session(node.census.of(peer)) for peer in participant.peers.values()],
    )


TIERS: tuple[TierName, ...] = ("clean", "lossy", "very-lossy")  # by the plane's number


def _session(session: Session) -> SessionDocument:
    stats = session.stats
    return SessionDocument(
        id=session.id,
        direction=session.direction.value,
        state=SessionState(session.state),
        quality=session.quality.verdict.value,
        protocol=("tcp" if stats.over_tcp else "udp") if stats.address else None,
        red=session.red,
        tier=TIERS[stats.tier],
        level_dbov=stats.level_dbov,
        speaking=stats.speaking,
        silent=stats.silent,
        clipping=stats.clipping,
        fraction_lost=stats.fraction_lost,
        packets_lost=stats.packets_lost,
        jitter_ms=stats.jitter_ms,
        round_trip_ms=stats.round_trip_ms,
        packets_received=stats.packets_received,
        bytes_received=stats.bytes_received,
        packets_sent=stats.packets_sent,
        bytes_sent=stats.bytes_sent,
        packets_nacked=stats.packets_nacked,
        packets_retransmitted=stats.packets_retransmitted,
        playout_delay_ms=stats.playout_delay_ms,
        playout_target_ms=stats.playout_target_ms,
        accelerated_ms=stats.accelerated_ms,
        decelerated_ms=stats.decelerated_ms,
        frames_recovered=stats.frames_recovered,
        frames_from_red=stats.frames_from_red,
        frames_from_nack=stats.frames_from_nack,
        packets_asked=stats.packets_asked,
        frames_concealed=stats.frames_concealed,
        packets_late=stats.packets_late,
    )
