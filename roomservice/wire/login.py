"""The AppServer API's `/login` is tried no more often than `login`."""

import math

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roomservice.wire.desk import Desk

PATH = "/login"


class LimitedLogin:
    """An ASGI app around that API. 429 is answered as that API answers."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        wait_s = self._desk.login_wait_s(address)
        if wait_s:
            status = {"code": 429, "message": "This is asked for too often.", "details": {"problem": "too-often"}}
            headers = {"Retry-After": str(math.ceil(wait_s))}
            await JSONResponse(status, 429, headers)(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                self._desk.login_succeeded(address)
            await send(message)

        await self._inner(scope, receive, watched)
