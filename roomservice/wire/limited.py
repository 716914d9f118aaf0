"""The AppServer API is asked no more often than `/v1`: its `/login` as `login`, and the rest as a user's operations."""

import math

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roomservice.interface import Unavailable
from roomservice.operations.problems import Refused
from roomservice.wire.desk import HTTP_DEVICE, Desk

LOGIN = "/login"
WEIGHTS = {"/create": 5.0, "/updateMeetingInfo": 5.0}
"""Of a user's allowance; the others take 1."""


class LimitedAppServer:
    """An ASGI app around that API. 429 is answered as that API answers. Who has no token is not counted: he is refused
    there."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._inner(scope, receive, send)
        elif scope["path"] == LOGIN:
            await self._login(scope, receive, send)
        elif wait_s := await self._wait_s(scope):
            await _too_often(wait_s)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _login(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        if wait_s := self._desk.login_wait_s(address):
            await _too_often(wait_s)(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._desk.login_succeeded(address)
            await send(message)

        await self._inner(scope, receive, watched)

    async def _wait_s(self, scope: Scope) -> float:
        """0 when he may ask."""
        _, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
        try:
            device = await self._desk.device_of(token.strip(), HTTP_DEVICE)
        except (Refused, Unavailable):
            return 0.0
        return self._desk.wait_s(device.user, WEIGHTS.get(scope["path"], 1.0))


def _too_often(wait_s: float) -> JSONResponse:
    status = {"code": 429, "message": "This is asked for too often.", "details": {"problem": "too-often"}}
    return JSONResponse(status, 429, {"Retry-After": str(math.ceil(wait_s))})
