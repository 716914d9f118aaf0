"""Names in paths, and which methods an address takes.

Names of rooms and users are opaque UTF-8 and may hold a slash. So routes match the path as it was sent, and each name
is percent-decoded by itself afterwards (RFC 3986 section 2.4).
"""

from typing import Annotated
from urllib.parse import quote, unquote_to_bytes

from fastapi import FastAPI, Path
from pydantic import AfterValidator
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from mediaserver.model.people import MuteSource
from mediaserver.names import MAX_NAME_BYTES
from mediaserver.schema_base import NAME_FORMAT, check_name

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class RawPath:
    """ASGI middleware: routes see the path undecoded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)


def decode(segment: str) -> str:
    """The name that a path segment encodes. ValueError when it is none."""
    try:
        return check_name(unquote_to_bytes(segment).decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded UTF-8") from None


def encode(name: str) -> str:
    """A name as one path segment."""
    return quote(name, safe="")


# The route sees the segment, which is longer than the name that it encodes; OpenAPI speaks of the name.
_NAME = {"minLength": 1, "maxLength": MAX_NAME_BYTES, **NAME_FORMAT}
RoomName = Annotated[
    str,
    Path(description="Name of the room, one percent-encoded segment", examples=["lobby"], json_schema_extra=_NAME),
    AfterValidator(decode),
]
UserName = Annotated[
    str,
    Path(description="Name of the user, one percent-encoded segment", examples=["ann"], json_schema_extra=_NAME),
    AfterValidator(decode),
]
PlayerName = Annotated[
    str,
    Path(description="Name of the player, one percent-encoded segment", examples=["music"], json_schema_extra=_NAME),
    AfterValidator(decode),
]
EffectName = Annotated[
    str,
    Path(description="Name of the effect, one percent-encoded segment", examples=["call"], json_schema_extra=_NAME),
    AfterValidator(decode),
]
MuteSourcePath = Annotated[MuteSource, Path(description="Who mutes: the participant, the host or the system")]
SessionId = Annotated[
    str, Path(description="The last part of the session's address, see `Location`", examples=["Xq3vJ0pTz1uYh8sK"])
]


def methods_at(app: FastAPI, scope: Scope) -> list[str]:
    """The methods that the address of this request takes; empty when there is nothing at it."""
    matching = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]
    return [*matching, "OPTIONS"] if matching else []
