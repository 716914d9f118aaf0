"""Who asks: a participant with a bearer token (RFC 6750), or a room service with an API key, either by its secret
(HTTP Basic, RFC 7617) or by a request that it signed.

What an endpoint needs is a dependency:

    participant             a participant's token; gives its claims
    reads, controls         a key with this right that reaches the room of the path; without a room in the path any
                            room, and the endpoint must ask key.reaches() of each that it touches
    administers             a key with right admin
    self_or_reads,          the participant of the path himself, or such a key
    self_or_controls
    muter                   who may set or undo this mute
    SessionOf               the session of the path, for its own user or a key that controls

401 is for who has not proved who he is, 403 for who has but may not. A key learns of rooms that it does not reach only
that: 403, whether they exist or not.
"""

import base64
import binascii
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBase, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.datastructures import Headers
from starlette.types import Scope

from mediaserver import tokens
from mediaserver.http.nodes import NodeOf, existing_room, node_of
from mediaserver.http.paths import MuteSourcePath, RoomName, SessionId, UserName, decode
from mediaserver.http.problems import Problem
from mediaserver.keys import ApiKey, Rights
from mediaserver.model.people import Direction, MuteSource
from mediaserver.model.room import Room
from mediaserver.node import Node
from mediaserver.sessions import Session
from mediaserver.tokens import Claims, Mode, Reason, SignedRequest
from mediaserver.used_ids import id_of

BEARER = 'Bearer realm="media"'
SERVICE = 'Basic realm="control", charset="UTF-8", Bearer realm="control"'
# What OpenAPI is told of addresses that take either.
BY_SERVICE_OR_PARTICIPANT: dict[str, Any] = {"security": [{"service": []}, {"signed-request": []}, {"participant": []}]}

_IDENTIFIED = "mediaserver.identified"  # of the ASGI scope

Authorization = tuple[str, str]
"""Scheme, in lower case, and credentials; empty when there are none."""


def authorization(headers: Headers) -> Authorization:
    return parse_authorization(headers.get("authorization", ""))


def parse_authorization(header: str) -> Authorization:
    scheme, _, credentials = header.partition(" ")
    return scheme.lower(), credentials.strip()


def identify(node: Node, given: Authorization) -> ApiKey | SignedRequest | Claims | None:
    """Who these credentials prove to be there; None without any that could. Nothing is used up by it.

    The problems invalid-token and unauthorized (a wrong secret) otherwise, whose words do not tell what keys there are.
    """
    scheme, credentials = given
    if scheme == "basic":
        return _by_secret(node, credentials)
    if scheme != "bearer":
        return None
    try:
        found = tokens.verify_any(node.api_keys, credentials, node.clock())
        if isinstance(found, SignedRequest) and _use_of(found) in node.used_requests:
            raise tokens.TokenError(Reason.USED, "The signed request has been used.")
    except tokens.TokenError as error:
        raise invalid_token(str(error)) from None
    return found


def identified(node: Node, scope: Scope) -> ApiKey | SignedRequest | Claims | None:
    """identify() of this HTTP request, worked out once: a signature costs 50 µs, and rates, body limit and endpoint all
    ask. What was good when the request began is good for it to its end."""
    if _IDENTIFIED not in scope:
        try:
            scope[_IDENTIFIED] = identify(node, authorization(Headers(scope=scope)))
        except Problem as problem:
            scope[_IDENTIFIED] = problem
    found: ApiKey | SignedRequest | Claims | Problem | None = scope[_IDENTIFIED]
    if isinstance(found, Problem):
        raise found
    return found


def key_of(node: Node, scope: Scope) -> ApiKey | None:
    """The API key that the request proves to have; nothing is used up by the question."""
    try:
        found = identified(node, scope)
    except Problem:
        return None
    key = found.key if isinstance(found, SignedRequest) else found
    return key if isinstance(key, ApiKey) else None


def is_service(node: Node, scope: Scope) -> bool:
    """Whether the request is from a room service that may change rooms; nothing is used up by the question."""
    key = key_of(node, scope)
    return key is not None and key.may(Rights.CONTROL)


def _by_secret(node: Node, credentials: str) -> ApiKey:
    try:
        identifier, _, secret = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        identifier = secret = ""
    key = node.api_keys.get(identifier)
    if not node.api_keys.check(identifier, secret) or key is None:
        raise Problem("unauthorized", "The API key is not known here.", {"WWW-Authenticate": SERVICE})
    return key


def _use_of(request: SignedRequest) -> str:
    return "" if request.id is None else id_of("request", request.key.id, request.id)


async def _caller(request: Request) -> ApiKey | Claims | None:
    """Who asks; a signed request is used up by it."""
    if not hasattr(request.state, "caller"):
        node = await node_of(request)
        found = identified(node, request.scope)
        if isinstance(found, SignedRequest):
            if found.id is not None and not node.used_requests.use(_use_of(found), found.expires, node.clock()):
                raise invalid_token("The signed request has been used.")
            found = found.key
        request.state.caller = found
    caller: ApiKey | Claims | None = request.state.caller
    return caller


class _Participant(SecurityBase):
    """As a dependency: the claims of the request's bearer token; 401 without a good one."""

    scheme_name = "participant"
    model = HTTPBearer(bearerFormat="JWT", description="A participant's token, see POST /v1/rooms/{room}/tokens")

    async def __call__(self, request: Request) -> Claims:
        if authorization(request.headers)[0] != "bearer":
            raise Problem("unauthorized", "A participant's bearer token is needed.", {"WWW-Authenticate": BEARER})
        caller = await _caller(request)
        if not isinstance(caller, Claims):
            raise invalid_token("This is a signed request, not a participant's token.")
        return caller


class _SignedRequest(SecurityBase):
    """For OpenAPI only: the other way to be the room service."""

    scheme_name = "signed-request"
    model = HTTPBearer(
        bearerFormat="JWT",
        description="A JWT whose header has `typ` control+jwt and the API key's id as `kid`, signed by its secret with "
        "HS256; its claims are `iat`, `exp` at most 300 s later, and `jti` if it is for one request only",
    )

    async def __call__(self) -> None:
        pass


class _Service(SecurityBase):
    """As a dependency: the API key that the request proves to have, if it has this right where the request goes."""

    scheme_name = "service"
    model = HTTPBase(scheme="basic", description="Id and secret of an API key")

    def __init__(self, right: Rights) -> None:
        self._right = right

    async def __call__(self, request: Request, _: Annotated[None, Security(_SignedRequest())] = None) -> ApiKey:
        caller = await _caller(request)
        if isinstance(caller, Claims):
            raise Problem("forbidden", "This is for the room service: it needs an API key, not a participant's token.")
        if caller is None:
            raise Problem("unauthorized", "An API key's id and secret are needed.", {"WWW-Authenticate": SERVICE})
        if not caller.may(self._right):
            raise _insufficient(request, f"This needs a key with the right {self._right}.")
        if (segment := request.path_params.get("room")) is not None:
            require_reach(request, caller, _room_name(segment))
        return caller


def require_reach(request: Request, key: ApiKey, room: str) -> None:
    """403 when the key is not for this room: for rooms that are named elsewhere than in the path."""
    if not key.reaches(room):
        raise _insufficient(request, "The key is not for this room.")


participant = _Participant()
reads, controls, administers = _Service(Rights.READ), _Service(Rights.CONTROL), _Service(Rights.ADMIN)

ParticipantOf = Annotated[Claims, Security(participant)]
ReadsOf = Annotated[ApiKey, Security(reads)]
ControlsOf = Annotated[ApiKey, Security(controls)]
AdministersOf = Annotated[ApiKey, Security(administers)]


def invalid_token(why: str) -> Problem:
    """RFC 6750 section 3.1."""
    challenge = f'{BEARER}, error="invalid_token", error_description="{why}"'
    return Problem("invalid-token", why, {"WWW-Authenticate": challenge})


def admitted(node: Node, claims: Claims, name: str) -> Room:
    """The room of this name, if the token is for it and has not been revoked there."""
    if claims.room != name:
        raise Problem("forbidden", "The token is for another room.")
    room = existing_room(node, name)
    if room.is_revoked(claims.user, claims.issued):
        raise _revoked()
    return room


def _revoked() -> Problem:
    return invalid_token("The token was revoked when its user was removed from the room.")


@contextmanager
def opening(node: Node, claims: Claims, direction: Direction) -> Iterator[None]:
    """Around whatever opens a session: a one-time token is used by it, unless it fails. 401 when it has been used."""
    if not claims.once:
        yield
        return
    use = id_of("token", claims.key_id, claims.id, direction)
    if not node.used_tokens.use(use, claims.expires, node.clock()):
        raise invalid_token("The token has been used.")
    try:
        yield
    except BaseException:
        node.used_tokens.release(use)
        raise


async def session_of(request: Request, room: RoomName, session: SessionId, node: NodeOf) -> Session:
    """The session of the path, for its own user or the room service. It keeps its address, and the token that it was
    opened with goes on being good for it, when it has moved to another room."""
    caller = await _participant_or(controls, request)
    if isinstance(caller, Claims) and caller.room != room:
        raise Problem("forbidden", "The token is for another room.")
    found = session_at(request, node, room, session)
    if found is None:
        admitted(node, caller, room) if isinstance(caller, Claims) else existing_room(node, room)
        raise Problem("no-session", "There is no such session: it has ended or never was.")
    if isinstance(caller, ApiKey):
        require_reach(request, caller, found.room.name)
    elif found.room.is_revoked(caller.user, caller.issued):
        raise _revoked()
    elif caller.user != found.user:
        raise Problem("forbidden", "The session is another user's.")
    return found


def session_at(request: Request, node: Node, room: str, session: str) -> Session | None:
    """What there is at this address, whoever asks."""
    direction = Direction.PUBLISH if request.url.path.startswith("/whip/") else Direction.LISTEN
    found = node.census.find(direction, session)
    return found if found is not None and room in (found.entrance, found.room.name) else None


SessionOf = Annotated[Session, Depends(session_of)]


async def self_or_reads(request: Request, room: RoomName, user: UserName) -> None:
    """Who may see what belongs to this participant: a key that reads, and he himself."""
    await _check_self(request, await _participant_or(reads, request), room, user)


async def self_or_controls(request: Request, room: RoomName, user: UserName) -> None:
    """Who may change what belongs to this participant: a key that controls, and he himself."""
    await _check_self(request, await _participant_or(controls, request), room, user)


async def muter(request: Request, room: RoomName, user: UserName, source: MuteSourcePath) -> None:
    """Who may set or undo this mute: a key that controls any, a participant his own source `self`."""
    if source is MuteSource.SELF:
        await self_or_controls(request, room, user)
    else:
        await controls(request)


async def _participant_or(service: _Service, request: Request) -> Claims | ApiKey:
    """The participant who asks, or the room service with the right that this needs."""
    caller = await _caller(request)
    return caller if isinstance(caller, Claims) else await service(request)


async def _check_self(request: Request, caller: Claims | ApiKey, room: str, user: str) -> None:
    if isinstance(caller, Claims):
        node = await node_of(request)
        if not _was_moved(node, caller, room):
            admitted(node, caller, room)
        if caller.user != user:
            raise Problem("forbidden", "This belongs to another participant.")


def _was_moved(node: Node, claims: Claims, name: str) -> bool:
    """Whether the token's user is connected to this room by a session that he opened in the token's room."""
    room = node.rooms.get(name)
    participant = room.participants.get(claims.user) if room else None
    if room is None or participant is None or room.is_revoked(claims.user, claims.issued):
        return False
    return any(node.census.of(peer).entrance == claims.room for peer in participant.peers.values())


def issue(
    node: Node,
    key: ApiKey,
    room: str,
    user: str,
    *,
    may_publish: bool,
    may_listen: bool,
    ttl_s: int,
    mode: Mode | None = None,
    once: bool = False,
) -> tuple[str, int]:
    """A token signed with this key, and when it expires (Unix time, seconds)."""
    now = node.clock()
    expires = int(now) + ttl_s
    claims = Claims(room, user, may_publish, may_listen, expires, now, secrets.token_hex(8), mode, once)
    return tokens.issue(key, claims), expires


def _insufficient(request: Request, why: str) -> Problem:
    """RFC 6750 section 3.1; HTTP Basic has no such words."""
    if authorization(request.headers)[0] != "bearer":
        return Problem("forbidden", why)
    challenge = f'Bearer realm="control", error="insufficient_scope", error_description="{why}"'
    return Problem("forbidden", why, {"WWW-Authenticate": challenge})


def _room_name(segment: str) -> str:
    try:
        return decode(segment)
    except ValueError as error:
        errors = [{"in": ["path", "room"], "detail": f"Value error, {error}"}]
        raise Problem("invalid", f"path.room: {error}.", errors=errors) from None
