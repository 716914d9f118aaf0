"""Every refusal is a problem document (RFC 9457). The table below is all there are; the page /problems shows it."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from mediaserver.admission import OverloadedError
from mediaserver.capacity import FullError
from mediaserver.http.describe import KINDS_OF
from mediaserver.http.paths import methods_at
from mediaserver.matrix import TooManyMixesError
from mediaserver.model.errors import (
    EffectTakenError,
    EncryptedRoomError,
    FullRoomError,
    NoPlayerError,
    NoSeatError,
    NotConnectedError,
    NoTrackError,
    SeatTakenError,
)
from mediaserver.music.checking import NotMusicError
from mediaserver.music.children import ChildError
from mediaserver.music.library import LibraryFullError, TooLargeError
from mediaserver.negotiation import UnsupportedOfferError
from mediaserver.node import ClosingError, DrainingError
from mediaserver.peers import UnsuitedSessionError
from mediaserver.playback import UnknownSoundError
from mediaserver.sdp import SdpError
from mediaserver.store import StateError
from mediaserver.streams import TooManyStreamsError
from mediaserver.used_ids import FullError as UsedIdsFullError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_PART = 64  # characters of each name on the way to an error


@dataclass(frozen=True, slots=True)
class Kind:
    """`type` is relative to the server (RFC 9457 section 3.1.1), where /problems explains it."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        return f"/problems#{self.name}"


_TABLE = [
    Kind(
        "malformed", 400, "Malformed request", "The request cannot be read: its JSON, its name in the path, a header."
    ),
    Kind("bad-sdp", 400, "Malformed session description", "The offer or the SDP fragment breaks the rules of SDP."),
    Kind("unknown-mode", 400, "Unknown mode", "The mode asked of WHEP is none that this server has."),
    Kind("unauthorized", 401, "Authentication required", "The request carries no credentials of the kind needed here."),
    Kind(
        "invalid-token",
        401,
        "Invalid token",
        "The bearer token is malformed, forged, expired, used or revoked.",
    ),
    Kind("forbidden", 403, "Not allowed", "The credentials are good, but not for this."),
    Kind("not-found", 404, "Not found", "There is nothing at this address."),
    Kind("no-room", 404, "No such room", "Rooms are made by PUT /v1/rooms/{room}."),
    Kind("no-library", 404, "No media library", "The server was started without --media-dir."),
    Kind("no-media", 404, "No such media", "The library has no file of this id, or the file has no picture."),
    Kind("no-session", 404, "No such session", "The WHIP or WHEP session has ended or never was."),
    Kind("no-participant", 404, "Not connected", "The user has no session in this room."),
    Kind("no-speaker", 404, "No such speaker", "The user has no seat; PUT /v1/rooms/{room}/speakers/{user} gives one."),
    Kind("no-player", 404, "No such player", "PUT /v1/rooms/{room}/players/{player} makes a music player."),
    Kind("no-track", 404, "No such track", "The player's playlist has no track of this key."),
    Kind("no-sound", 404, "No such sound", "GET /v1/sounds lists what effects can play."),
    Kind("method-not-allowed", 405, "Method not allowed", "The header Allow lists what this address takes."),
    Kind("not-acceptable", 406, "Not acceptable", "The client does not accept the only media type there is."),
    Kind(
        "unsupported-offer", 406, "Offer not supported", "The offer is well-formed but has nothing that can be served."
    ),
    Kind(
        "seats-taken",
        409,
        "No seat left",
        "The room has as many speakers, players or effects as it may, or somebody sits in that seat.",
    ),
    Kind(
        "idempotency-conflict", 409, "Still under way", "A request with this Idempotency-Key has not been answered yet."
    ),
    Kind("effect-taken", 409, "Another effect has this name", "It plays another sound, and has to be stopped first."),
    Kind("encrypted-room", 409, "The room is end-to-end encrypted", "What was asked needs to look into its audio."),
    Kind(
        "unsuited-session",
        409,
        "The session does not fit",
        "What the participant's session agreed on cannot be had in the other room; he has to join it anew.",
    ),
    Kind(
        "mixes-taken",
        409,
        "Too many distinct mixes",
        "Listeners' own gains make as many distinct mixes as the room allows; gains that others have too are free.",
    ),
    Kind("streams-taken", 409, "Too many event streams", "The session has as many event streams as the server allows."),
    Kind(
        "precondition-failed", 412, "Precondition failed", "If-Match or If-None-Match does not fit the current state."
    ),
    Kind(
        "too-large",
        413,
        "Content too large",
        "At most 64 KiB; a room's document 1 MiB, all rooms' 8 MiB; a file for the library as the server is set.",
    ),
    Kind("unsupported-media-type", 415, "Unsupported media type", "The content type is not the one of this address."),
    Kind("invalid", 422, "Invalid request", "The request can be read, but a value in it is not allowed; see errors."),
    Kind(
        "not-music", 422, "No music", "The file cannot be decoded, has no sound, or is too long; `reason` says which."
    ),
    Kind("idempotency-mismatch", 422, "Another request", "The Idempotency-Key was used for another request."),
    Kind(
        "precondition-required",
        428,
        "Precondition required",
        "A PATCH must say in If-Match which ICE session it is for.",
    ),
    Kind(
        "too-many-requests",
        429,
        "Too many requests",
        "This API key, or this client's address, asks more often than the server allows; Retry-After says when again.",
    ),
    Kind("internal", 500, "Internal error", "A defect of the server; its log says more."),
    Kind(
        "state-not-kept",
        503,
        "State not kept",
        "The change is in force, but the server could not write it to its disk yet; say it again.",
    ),
    Kind("library-full", 507, "Library full", "The media library has as many files or bytes as it may."),
    Kind("limit-reached", 503, "Limit reached", "The server or the room is full; try again later or elsewhere."),
    Kind("overloaded", 503, "Overloaded", "The server is too busy for new rooms and sessions; those it has go on."),
    Kind("draining", 503, "Draining", "The server takes no new rooms, as it will stop; try another one."),
    Kind("shutting-down", 503, "Shutting down", "The server is about to stop; try another one."),
]
KINDS = {kind.name: kind for kind in _TABLE}
# For what the layers below refuse; the exception's own sentence is the detail if it has one.
_BY_EXCEPTION: dict[type[Exception], str] = {
    SdpError: "bad-sdp",
    UnsupportedOfferError: "unsupported-offer",
    NoSeatError: "no-speaker",
    NotConnectedError: "no-participant",
    SeatTakenError: "seats-taken",
    FullRoomError: "seats-taken",
    NoPlayerError: "no-player",
    NoTrackError: "no-track",
    UnknownSoundError: "no-sound",
    EffectTakenError: "effect-taken",
    StateError: "state-not-kept",
    EncryptedRoomError: "encrypted-room",
    UnsuitedSessionError: "unsuited-session",
    TooManyMixesError: "mixes-taken",
    TooManyStreamsError: "streams-taken",
    TooLargeError: "too-large",
    LibraryFullError: "library-full",
    NotMusicError: "not-music",
    ChildError: "limit-reached",
    FullError: "limit-reached",
    UsedIdsFullError: "limit-reached",
    OverloadedError: "overloaded",
    DrainingError: "draining",
    ClosingError: "shutting-down",
}
# For what the framework refuses by itself.
_BY_STATUS = {400: "malformed", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


class Problem(HTTPException):
    """A refusal. `kind` is a name of the table; `detail` a sentence for a person; `members` RFC 9457 extensions."""

    def __init__(self, kind: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        self.kind = KINDS[kind]
        self.members = members
        if self.kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers = {"Retry-After": "10", **(headers or {})}
        super().__init__(self.kind.status, detail, headers)

    def document(self) -> dict[str, Any]:
        kind = self.kind
        return {"type": kind.type, "title": kind.title, "status": kind.status, "detail": self.detail, **self.members}

    def response(self) -> JSONResponse:
        return JSONResponse(self.document(), self.kind.status, self.headers, MEDIA_TYPE)


class ProblemDocument(BaseModel):
    """A refusal as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(description="What kind of refusal, relative to this server", examples=["/problems#no-room"])
    title: str = Field(description="The kind in a few words", examples=["No such room"])
    status: int = Field(description="The HTTP status code", examples=[404])
    detail: str = Field(description="This occurrence in a sentence", examples=["There is no room of this name."])


def refusals(*names: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI is told of a route: the kinds of its own. openapi.py adds those that come of what the route has."""
    responses: dict[int | str, dict[str, Any]] = {}
    for name in names:
        responses.setdefault(KINDS[name].status, {KINDS_OF: []})[KINDS_OF].append(name)
    return responses


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], value: Any) -> M:
    """What a body that was put together here means; 422 as for any body when it means nothing."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [
            {**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False, include_input=False)
        ]
        raise RequestValidationError(found) from None


def problem_of(error: Exception) -> Problem:
    """The refusal that an exception means. What is none is raised again: it is a bug."""
    if isinstance(error, Problem):
        return error
    kind = _BY_EXCEPTION.get(type(error))
    if kind is None:
        raise error
    detail = str(error) or KINDS[kind].meaning
    return Problem(kind, detail, reason=error.reason) if isinstance(error, NotMusicError) else Problem(kind, detail)


def install(app: FastAPI) -> None:
    """Makes every refusal of the app a problem document, those of the framework included."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    for error in _BY_EXCEPTION:
        app.add_exception_handler(error, _refused_below)
    app.add_exception_handler(Exception, _failed)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, Problem):
        return error.response()
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(methods_at(request.app, request.scope))
    kind = _BY_STATUS.get(error.status_code, "malformed" if error.status_code < 500 else "internal")
    return Problem(kind, KINDS[kind].meaning, headers).response()


async def _refused_below(_: Request, error: Exception) -> JSONResponse:
    return problem_of(error).response()


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem("malformed", "The body is not JSON.").response()
    # The offending values are left out: they may be secrets, and they may be large.
    errors = [{"in": _place(item["loc"]), "detail": item["msg"]} for item in found[:20]]
    detail = f"{'.'.join(map(str, errors[0]['in']))}: {found[0]['msg']}."
    return Problem("invalid", detail, errors=errors).response()


def _place(loc: Iterable[int | str]) -> list[int | str]:
    """Where in the request. Names in bodies may be as long as bodies, so they are shortened."""
    return [part if isinstance(part, int) or len(part) <= MAX_PART else part[:MAX_PART] + "…" for part in loc]


async def _failed(_: Request, __: Exception) -> JSONResponse:
    # The server logs the exception itself, after this answer.
    return Problem("internal", "The server failed to answer this request.").response()
