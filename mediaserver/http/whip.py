"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): an offer in, an answer out, and the session at its own address.

Both protocols are the same but for the direction of the media, and the draft repeats the RFC's text: the sections named
here are the RFC's for both.
"""

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response

from mediaserver import sdp
from mediaserver.commands import CloseReason
from mediaserver.feed import EVENTS
from mediaserver.http.auth import BY_SERVICE_OR_PARTICIPANT, ParticipantOf, SessionOf, admitted, opening
from mediaserver.http.describe import described, text
from mediaserver.http.media import SDP, SDP_FRAGMENT, require_accepts, require_content_type
from mediaserver.http.nodes import NodeOf
from mediaserver.http.paths import RoomName, encode
from mediaserver.http.problems import Problem, refusals
from mediaserver.model.people import Direction
from mediaserver.negotiation import slots_offered
from mediaserver.node import Node
from mediaserver.sessions import Session
from mediaserver.settings import IceServer
from mediaserver.tokens import Mode

router = APIRouter(tags=["media"])

MODES = get_args(Mode)
EVENTS_RELATION = "urn:ietf:params:whep:ext:core:server-sent-events"


# What OpenAPI is told of routes whose bodies are not JSON.
_OPUS = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n"
    "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "a=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\na=setup:{setup}\r\na=mid:0\r\n"
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na={direction}\r\na=rtcp-mux\r\n"
    "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
)
_FRAGMENT = text(
    SDP_FRAGMENT,
    "a=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:EsAx\r\n"
    "a=ice-pwd:oY2uYro0UCOQ4zxjKXaWCBui\r\n",
)


def _sdp(direction: str, setup: str = "actpass") -> dict[str, Any]:
    session = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    return text(SDP, session + _OPUS.format(direction=direction, setup=setup))


def _creates(offered: str, answered: str, *kinds: str) -> dict[str, Any]:
    return {
        "status_code": 201,
        "response_class": Response,
        "openapi_extra": {"requestBody": {"required": True, "content": _sdp(offered)}},
        "responses": {
            201: described(
                "The answer. Location is the session, ETag its ICE session",
                *("Location", "ETag", "Link", "Cache-Control"),
                content=_sdp(answered, "passive"),
            ),
            **refusals(
                *("no-room", "bad-sdp", "not-acceptable", "unsupported-offer", "overloaded", "shutting-down"), *kinds
            ),
        },
    }


_PATCHES: dict[str, Any] = {
    "response_class": Response,
    "openapi_extra": {
        "parameters": [
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": "The ICE session that the candidates belong to, by its ETag; a restart may say `*`",
                "schema": {"type": "string", "examples": ["*"]},
            }
        ],
        "requestBody": {"required": True, "content": _FRAGMENT},
        **BY_SERVICE_OR_PARTICIPANT,
    },
    "responses": {
        200: described("ICE is restarted: our new credentials. ETag is the new ICE session", "ETag", content=_FRAGMENT),
        204: described("The candidates were taken notice of"),
        **refusals("no-room", "no-session", "bad-sdp", "precondition-failed", "precondition-required"),
    },
}
_DELETES: dict[str, Any] = {
    "summary": "End the session",
    "response_class": Response,
    "openapi_extra": BY_SERVICE_OR_PARTICIPANT,
    "responses": {200: described("It has ended"), **refusals("no-room", "no-session")},
}
_STATES: dict[str, Any] = {
    "summary": "Is the session there?",
    "status_code": 204,
    "response_class": Response,
    "openapi_extra": BY_SERVICE_OR_PARTICIPANT,
    "responses": {204: described("It is"), **refusals("no-room", "no-session")},
}
_ENDPOINTS: dict[str, Any] = {
    "summary": "Is the endpoint there?",
    "status_code": 204,
    "response_class": Response,
    "responses": {204: described("It is, whether there is a room or not")},
}


@router.post("/whip/{room}", summary="Publish: a WHIP session", **_creates("sendonly", "recvonly"))
async def publish(request: Request, room: RoomName, claims: ParticipantOf, node: NodeOf) -> Response:
    """The user needs a seat in the room. A newer session takes the place of an older one."""
    if not claims.may_publish:
        raise Problem("forbidden", "The token does not allow publishing.")
    offer = await _offer(request)
    found = admitted(node, claims, room)
    with opening(node, claims, Direction.PUBLISH):
        if not found.may_publish(claims.user):
            raise Problem("forbidden", "The user has no seat in this room from which he may publish.")
        session, answer = node.publish(found, claims.user, offer)
    return _created(node, session, answer)


@router.post(
    "/whep/{room}",
    summary="Listen: a WHEP session",
    **_creates(
        *("recvonly", "sendonly"),
        *("unknown-mode", "malformed", "no-speaker", "encrypted-room", "mixes-taken"),
    ),
)
async def listen(
    request: Request,
    room: RoomName,
    *,
    claims: ParticipantOf,
    node: NodeOf,
    mode: Annotated[
        str,
        Query(
            description="`mix`: one stream with everybody but oneself; `select`: each audio m-line carries "
            "one speaker. Default: a mix if the offer has one audio m-line, the room is not end-to-end encrypted, and "
            "no speakers are named; else a selection",
            json_schema_extra={"enum": list(MODES)},
            examples=["mix"],
        ),
    ] = "",
    speakers: Annotated[
        str, Query(description="`select`: users for the m-lines in order, with commas between; not the loudest")
    ] = "",
    speaker: Annotated[list[str], Query(description="The same, for names that have commas")] = [],  # noqa: B006
) -> Response:
    """Either the room's mix, or the packets of its speakers. A newer session takes the place of an older one."""
    if mode and mode not in MODES:
        raise Problem("unknown-mode", f"The modes are: {', '.join(MODES)}.")
    if not claims.may_listen:
        raise Problem("forbidden", "The token does not allow listening.")
    if claims.mode is not None and mode not in ("", claims.mode):
        raise Problem("forbidden", f"The token allows mode={claims.mode} only.")
    mode = mode or claims.mode or ""
    offer = await _offer(request)
    names = [name for name in speakers.split(",") if name] + speaker
    found = admitted(node, claims, room)
    if mode == "mix" and names:
        raise Problem("malformed", "Speakers are named for mode=select; a mix has everybody.")
    if not mode:
        mode = "select" if names or found.e2ee or slots_offered(offer) > 1 else "mix"
    with opening(node, claims, Direction.LISTEN):
        if mode == "mix":
            session, answer = node.listen_to_mix(found, claims.user, offer)
        else:
            session, answer = node.listen(found, claims.user, offer, names)
    return _created(node, session, answer)


@router.patch(
    "/whip/{room}/{session}", summary="Trickle ICE or ICE restart", operation_id="patch_publishing", **_PATCHES
)
@router.patch(
    "/whep/{room}/{session}", summary="Trickle ICE or ICE restart", operation_id="patch_listening", **_PATCHES
)
async def patch(request: Request, session: SessionOf, node: NodeOf) -> Response:
    """Section 4.3: `If-Match` names the ICE session that the candidates belong to; a restart may say `*`."""
    require_content_type(request, SDP_FRAGMENT)
    _check_precondition(request, session)
    fragment = sdp.parse_fragment(await _text(request))
    if fragment.ufrag is None or fragment.pwd is None or (fragment.ufrag, fragment.pwd) == session.remote:
        # An ICE-lite agent sends no checks of its own, so the client's candidates are of no use to it.
        return Response(status_code=204)
    answer = node.restart_ice(session, (fragment.ufrag, fragment.pwd))
    # Fresh credentials as well: those of the first answer may have expired.
    links = {"Link": ", ".join(servers)} if (servers := _ice_servers(node)) else {}
    return Response(
        answer, media_type=SDP_FRAGMENT, headers={"ETag": session.etag, "Cache-Control": "no-store", **links}
    )


@router.delete("/whip/{room}/{session}", operation_id="stop_publishing", **_DELETES)
@router.delete("/whep/{room}/{session}", operation_id="stop_listening", **_DELETES)
async def delete(session: SessionOf) -> Response:
    """Section 4.2. The peer is told by close_notify, as by any end."""
    session.end(CloseReason.DELETED)
    return Response(status_code=200)


@router.head("/whip/{room}", include_in_schema=False)
@router.head("/whep/{room}", include_in_schema=False)
@router.get("/whip/{room}", operation_id="get_whip_endpoint", **_ENDPOINTS)
@router.get("/whep/{room}", operation_id="get_whep_endpoint", **_ENDPOINTS)
async def endpoint(room: RoomName) -> Response:
    """Section 4.1: a resource without a representation answers GET with success and no content."""
    return Response(status_code=204)


@router.head("/whip/{room}/{session}", include_in_schema=False)
@router.head("/whep/{room}/{session}", include_in_schema=False)
@router.get("/whip/{room}/{session}", operation_id="get_publishing", **_STATES)
@router.get("/whep/{room}/{session}", operation_id="get_listening", **_STATES)
async def state(session: SessionOf) -> Response:
    return Response(status_code=204)


def session_path(session: Session) -> str:
    protocol = "whip" if session.direction is Direction.PUBLISH else "whep"
    return f"/{protocol}/{encode(session.room.name)}/{session.id}"


async def _offer(request: Request) -> str:
    require_content_type(request, SDP)
    require_accepts(request, SDP)
    return await _text(request)


async def _text(request: Request) -> str:
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError:
        raise Problem("bad-sdp", "The session description is not UTF-8.") from None


def _created(node: Node, session: Session, answer: str) -> Response:
    """Section 4.2, and the links of sections 4.6 (ICE servers) and 4.9 (extensions)."""
    location = session_path(session)
    links = _ice_servers(node)
    if session.direction is Direction.LISTEN:
        links.append(f'<{location}/sse>; rel="{EVENTS_RELATION}"; events="{",".join(EVENTS)}"')
    headers = {"Location": location, "ETag": session.etag, "Cache-Control": "no-store"}
    if links:
        headers["Link"] = ", ".join(links)
    return Response(answer, 201, headers, SDP)


def _ice_servers(node: Node) -> list[str]:
    """Links to the settings' servers; the time-limited credentials are this answer's own."""
    servers = list(node.settings.ice_servers)
    if turn := node.settings.turn:
        username, credential = turn.credentials(node.clock())
        servers += [IceServer(url, username, credential) for url in turn.urls]
    return [_ice_server(server) for server in servers]


def _ice_server(server: IceServer) -> str:
    """Section 4.6."""
    credentials = f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
    return f'<{server.url}>; rel="ice-server"' + (credentials if server.username else "")


def _check_precondition(request: Request, session: Session) -> None:
    """RFC 9110 section 13.1.1, with the strong comparison."""
    header = ",".join(request.headers.getlist("if-match"))
    if not header.strip():
        raise Problem("precondition-required", "If-Match must name the ICE session, by its ETag or *.")
    if header.strip() != "*" and session.etag not in (tag.strip() for tag in header.split(",")):
        raise Problem("precondition-failed", "If-Match names an ICE session that is not the current one.")
