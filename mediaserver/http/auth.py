"""Who asks: a participant with a bearer token (RFC 6750), or a room service with an API key (RFC 7617)."""

import base64
import binascii
import secrets
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBase, HTTPBearer
from fastapi.security.base import SecurityBase

from mediaserver import tokens
from mediaserver.http.nodes import NodeOf, existing_room, node_of
from mediaserver.http.paths import RoomName, UserName
from mediaserver.http.problems import Problem
from mediaserver.model import Direction, MuteSource, Room
from mediaserver.node import Node
from mediaserver.sessions import Session
from mediaserver.tokens import ApiKey, Claims

BEARER = 'Bearer realm="media"'
BASIC = 'Basic realm="control", charset="UTF-8"'


class _Participant(SecurityBase):
    """As a dependency: the claims of the request's bearer token; 401 without a good one."""

    scheme_name = "participant"
    model = HTTPBearer(bearerFormat="JWT", description="A participant's token, see POST /v1/rooms/{room}/tokens")

    async def __call__(self, request: Request) -> Claims:
        scheme, credentials = _authorization(request)
        if scheme != "bearer":
            raise Problem("unauthorized", "A participant's bearer token is needed.", {"WWW-Authenticate": BEARER})
        node = await node_of(request)
        try:
            return tokens.verify(node.api_keys, credentials, node.clock())
        except tokens.TokenError as error:
            raise invalid_token(str(error)) from None


class _Service(SecurityBase):
    """As a dependency: the API key that the request knows the secret of; 401 without one."""

    scheme_name = "service"
    model = HTTPBase(scheme="basic", description="Id and secret of an API key")

    async def __call__(self, request: Request) -> ApiKey:
        scheme, credentials = _authorization(request)
        if scheme == "bearer":
            await participant(request)
            raise Problem("forbidden", "This is for the room service: it needs an API key, not a participant's token.")
        if scheme != "basic":
            raise Problem("unauthorized", "An API key's id and secret are needed.", {"WWW-Authenticate": BASIC})
        try:
            identifier, _, secret = base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            identifier = secret = ""
        node = await node_of(request)
        key = node.api_keys.get(identifier)
        if not node.api_keys.check(identifier, secret) or key is None:
            raise Problem("unauthorized", "The API key is not known here.", {"WWW-Authenticate": BASIC})
        return key


participant = _Participant()
service = _Service()

ParticipantOf = Annotated[Claims, Security(participant)]
ServiceOf = Annotated[ApiKey, Security(service)]
# What OpenAPI is told of addresses that take either.
BY_SERVICE_OR_PARTICIPANT: dict[str, Any] = {"security": [{"service": []}, {"participant": []}]}


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
        raise invalid_token("The token was revoked when its user was removed from the room.")
    return room


async def session_of(request: Request, room: RoomName, session: str, node: NodeOf) -> Session:
    """The session of the path, for its own user or the room service."""
    if _authorization(request)[0] == "basic":
        await service(request)
        user, found_room = None, existing_room(node, room)
    else:
        claims = await participant(request)
        user, found_room = claims.user, admitted(node, claims, room)
    direction = Direction.PUBLISH if request.url.path.startswith("/whip/") else Direction.LISTEN
    found = node.session(found_room, direction, session)
    if found is None:
        raise Problem("no-session", "There is no such session: it has ended or never was.")
    if user is not None and user != found.user:
        raise Problem("forbidden", "The session is another user's.")
    return found


SessionOf = Annotated[Session, Depends(session_of)]


async def self_or_service(request: Request, room: RoomName, user: UserName, node: NodeOf) -> None:
    """Who may change what belongs to this participant: the room service, and he himself."""
    if _authorization(request)[0] != "bearer":
        await service(request)
        return
    claims = await participant(request)
    admitted(node, claims, room)
    if claims.user != user:
        raise Problem("forbidden", "This belongs to another participant.")


async def muter(request: Request, room: RoomName, user: UserName, source: MuteSource, node: NodeOf) -> None:
    """Who may set or undo this mute: the room service any, a participant his own source `self`."""
    if source is MuteSource.SELF:
        await self_or_service(request, room, user, node)
    else:
        await service(request)


def issue(
    node: Node, key: ApiKey, room: str, user: str, *, may_publish: bool, may_listen: bool, ttl_s: int
) -> tuple[str, int]:
    """A token signed with this key, and when it expires (Unix time, seconds)."""
    now = node.clock()
    expires = int(now) + ttl_s
    claims = Claims(room, user, may_publish, may_listen, expires, now, secrets.token_hex(8))
    return tokens.issue(key, claims), expires


def _authorization(request: Request) -> tuple[str, str]:
    """Scheme, in lower case, and credentials; empty when there are none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), credentials.strip()
