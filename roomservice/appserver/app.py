"""The HTTP edge: twelve endpoints, probes, and what becomes of exceptions."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from roomservice import tokens
from roomservice.appserver import meetings
from roomservice.appserver.answers import moment, room_info
from roomservice.appserver.schema import (
    CreateRequest,
    ListRequest,
    Login,
    LoginAnswer,
    MeetingActionRequest,
    MeetingInfoRequest,
    RoomRequest,
    Status,
    TokenAnswer,
    TokenRequest,
    UpdateRequest,
)
from roomservice.body_limit import BodyLimit
from roomservice.engine import NotFound, TooBusy
from roomservice.interface import Addresses, MediaError, Unavailable, Users
from roomservice.meeting import members
from roomservice.model.attendance import Dismiss
from roomservice.model.errors import Illegal, Problem
from roomservice.model.listing import Listing, Pause, Relist, Start
from roomservice.model.room import Room, UserInfo
from roomservice.service import Service, Stored
from roomservice.settings import ServiceSettings

log = logging.getLogger(__name__)

_FORBIDDEN = (Problem.NOT_PERMITTED, Problem.OUTRANKED, Problem.NOT_IN_ROOM, Problem.BANNED)


class RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Edge:
    """What the endpoints need. clock: Unix time in s."""

    service: Service
    users: Users
    settings: ServiceSettings
    clock: Callable[[], float]


def edge_of(request: Request) -> Edge:
    edge: Edge = request.app.state.edge
    return edge


def user_of(request: Request) -> str:
    """By `Authorization: Bearer` and the token of /login. 401."""
    edge = edge_of(request)
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    claims = tokens.verify(tokens.LOGIN, token.strip(), edge.settings.secret, edge.clock())
    if kind.lower() != "bearer" or claims is None:
        raise RefusedError(401, "Log in first: there is no valid token in Authorization.")
    return str(claims["id"])


Now = Annotated[Edge, Depends(edge_of)]
User = Annotated[str, Depends(user_of)]


def create_app(edge: Edge) -> FastAPI:
    """The service runs while the app does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await edge.service.start()
        yield
        await edge.service.stop()

    app = FastAPI(title="Room service", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.edge = edge
    app.add_middleware(BodyLimit)
    for path, endpoint in ENDPOINTS.items():
        app.post(path, response_model=None, operation_id=path[1:])(endpoint)
    app.get("/healthz", response_class=PlainTextResponse)(healthz)
    app.get("/readyz", response_class=PlainTextResponse)(readyz)
    for kind, answer in _ANSWERS.items():
        app.add_exception_handler(kind, answer)
    return app


# ---- who asks


async def login(asked: Login, edge: Now) -> LoginAnswer:
    user = await edge.users.authenticate(asked.username, asked.password)
    if user is None:
        raise RefusedError(401, "The name or the password is wrong.")
    now, ttl_s = edge.clock(), edge.settings.login_s
    token = tokens.issue(tokens.LOGIN, user, edge.settings.secret, now, ttl_s)
    return LoginAnswer(expire=moment(now + ttl_s), token=token)


async def token(asked: TokenRequest, edge: Now, user: User) -> TokenAnswer:
    _check_himself(user, asked.user_id)
    now, settings = edge.clock(), edge.settings

    def issued(kind: str, ttl_s: float) -> str:
        device = {"device_id": asked.device_id, "device_type": asked.device_type}
        return tokens.issue(kind, user, settings.secret, now, ttl_s, **device)

    return TokenAnswer(
        access_token=issued(tokens.ACCESS, settings.access_s), refresh_token=issued(tokens.REFRESH, settings.refresh_s)
    )


# ---- rooms


async def create(asked: CreateRequest, edge: Now, user: User) -> dict[str, object]:
    _check_himself(user, asked.anchor)
    listing = Listing(
        id="",
        title=asked.title,
        anchor=user,
        created_at=0.0,
        updated_at=0.0,
        anchor_nick=asked.anchor_nick,
        notice=asked.notice,
        cover_url=asked.cover_url,
        extends=asked.extends,
        mode=asked.mode,
    )
    return await _shown(edge, await edge.service.create(listing, UserInfo(asked.anchor_nick)), user)


async def get(asked: RoomRequest, edge: Now, user: User) -> dict[str, object]:
    """Counts as a visit."""
    _check_himself(user, asked.user_id)
    return await _shown(edge, await edge.service.visit(asked.id, user), user)


async def list_(asked: ListRequest, edge: Now, user: User) -> list[dict[str, object]]:
    """Without addresses: each would be a token that nobody uses. `/get` has them."""
    _check_himself(user, asked.user_id)
    found = await edge.service.page(asked.page_num, asked.page_size, None if asked.status < 0 else asked.status)
    return [room_info(stored, user, Addresses()) for stored in found]


async def update(asked: UpdateRequest, edge: Now, user: User) -> dict[str, object]:
    wanted = Relist(user, title=asked.title, notice=asked.notice, extends=asked.extends)
    return await _shown(edge, await edge.service.change(asked.id, lambda _: [wanted]), user)


async def start(asked: RoomRequest, edge: Now, user: User) -> dict[str, object]:
    """Started again after a pause, a room keeps the time of its first start."""
    _check_himself(user, asked.user_id)
    return await _shown(edge, await edge.service.change(asked.id, lambda _: [Start(user)]), user)


async def pause(asked: RoomRequest, edge: Now, user: User) -> dict[str, object]:
    _check_himself(user, asked.user_id)
    return await _shown(edge, await edge.service.change(asked.id, lambda _: [Pause(user)]), user)


async def stop(asked: RoomRequest, edge: Now, user: User) -> dict[str, object]:
    """The room is dismissed: it cannot be started again."""
    _check_himself(user, asked.user_id)
    return await _shown(edge, await edge.service.change(asked.id, lambda _: [Dismiss(user)]), user)


async def delete(asked: RoomRequest, edge: Now, user: User) -> dict[str, object]:
    _check_himself(user, asked.user_id)
    return await _shown(edge, await edge.service.delete(asked.id, user), user)


# ---- meetings


async def get_meeting_info(asked: MeetingInfoRequest, edge: Now, user: User) -> dict[str, object]:
    return await _meeting(edge, await edge.service.get(asked.id), user)


async def update_meeting_info(asked: MeetingActionRequest, edge: Now, user: User) -> dict[str, object]:
    def wanted(room: Room) -> list[Any]:
        return list(meetings.commands(room, user, asked.members))

    return await _meeting(edge, await edge.service.change(asked.id, wanted), user)


ENDPOINTS: dict[str, Callable[..., Any]] = {
    "/login": login,
    "/token": token,
    "/create": create,
    "/get": get,
    "/list": list_,
    "/update": update,
    "/start": start,
    "/pause": pause,
    "/stop": stop,
    "/delete": delete,
    "/getMeetingInfo": get_meeting_info,
    "/updateMeetingInfo": update_meeting_info,
}


async def healthz() -> PlainTextResponse:
    """Is the process alive?"""
    return PlainTextResponse("ok\n")


async def readyz(edge: Now) -> PlainTextResponse:
    """Can rooms be read? Without its media server the service still answers."""
    why_not = await edge.service.ready()
    return PlainTextResponse(f"{why_not}\n", 503) if why_not else PlainTextResponse("ready\n")


# ----


def _check_himself(user: str, said: str) -> None:
    if said != user:
        raise RefusedError(403, "The token is of another user.")


async def _shown(edge: Edge, stored: Stored, user: str) -> dict[str, object]:
    return room_info(stored, user, await edge.service.addresses(stored, user))


async def _meeting(edge: Edge, stored: Stored, user: str) -> dict[str, object]:
    """Members are heard in one mix: to each of them the same address, of who asks."""
    heard_at = (await edge.service.addresses(stored, user)).whep
    seated = {seat.user: heard_at for seat in stored.room.seats if seat.user is not None}
    return {"members": members(stored.room, seated)}


def _status(code: int, message: str, **details: Any) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    return JSONResponse(Status(code=code, message=message, details=details).model_dump(), code, headers)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return _status(error.status, str(error))


async def _illegal(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Illegal)
    return _status(403 if error.problem in _FORBIDDEN else 400, str(error), problem=error.problem)


async def _no_room(_: Request, __: Exception) -> JSONResponse:
    return _status(404, "There is no such room.")


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = [{"in": [str(part) for part in one["loc"]], "detail": one["msg"]} for one in error.errors()[:10]]
    return _status(400, "The request is not as it must be.", errors=found)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _status(error.status_code, str(error.detail))


async def _media(_: Request, error: Exception) -> JSONResponse:
    log.warning("%s", error)
    return _status(503, "The media server cannot be reached.")


async def _busy(_: Request, __: Exception) -> JSONResponse:
    return _status(503, "Too many change the room at once.")


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    log.warning("%s", error)
    return _status(503, str(error))


async def _bug(_: Request, __: Exception) -> JSONResponse:
    return _status(500, "Something is wrong with the service.")


_ANSWERS: dict[type[Exception], Callable[[Request, Exception], Any]] = {
    RefusedError: _refused,
    Illegal: _illegal,
    NotFound: _no_room,
    RequestValidationError: _invalid,
    HTTPException: _http,
    MediaError: _media,
    TooBusy: _busy,
    Unavailable: _unavailable,
    Exception: _bug,
}
