"""The AppServer API is asked no more often than `/v1`. Its `/login` has limits of its own (login.py)."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from roomservice.interface import Unavailable
from roomservice.operations.problems import Refused
from roomservice.wire.desk import HTTP_DEVICE, Desk
from roomservice.wire.login import PATH as LOGIN
from roomservice.wire.login import too_often

WEIGHTS = {"/create": 5.0, "/updateMeetingInfo": 5.0}
"""Of a user's allowance; the others take 1."""


class LimitedAppServer:
    """An ASGI app around that API. 429 is answered as that API answers. Who has no token is not counted: he is refused
    there."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] != LOGIN
        if asks and (wait_s := await self._wait_s(scope)):
            await too_often(wait_s)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    async def _wait_s(self, scope: Scope) -> float:
        """0 when he may ask."""
        _, _, token = Headers(scope=scope).get("Authorization", "").partition(" ")
        try:
            device = await self._desk.device_of(token.strip(), HTTP_DEVICE)
        except (Refused, Unavailable):
            return 0.0
        return self._desk.wait_s(device.user, WEIGHTS.get(scope["path"], 1.0))
