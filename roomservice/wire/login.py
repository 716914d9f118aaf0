"""The AppServer API's `/login` is tried no more often than `login`."""

import json
import math

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roomservice.body_limit import TooLargeError, again, too_large, whole
from roomservice.wire.desk import Desk

PATH = "/login"

MAX_BODY_BYTES = 64 * 1024


class LimitedLogin:
    """An ASGI app around that API. 429 and 413 are answered as that API answers."""

    def __init__(self, inner: ASGIApp, desk: Desk) -> None:
        self._inner = inner
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        try:
            body = await whole(receive, MAX_BODY_BYTES)
        except TooLargeError:
            await too_large()(scope, receive, send)
            return
        if body is None:
            return
        address, name = scope["client"][0] if scope.get("client") else "", _name(body)
        wait_s = self._desk.login_wait_s(address, name)
        if wait_s:
            await too_often(wait_s)(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._desk.login_answered(address, name, message["status"])
                if message["status"] == 503:
                    message = {**message, "headers": [*message["headers"], (b"retry-after", b"2")]}
            await send(message)

        await self._inner(scope, again(body, receive), watched)


def _name(body: bytes) -> str:
    """Whose password is tried; empty when the API will take it for nobody's."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    name = asked.get("username") if isinstance(asked, dict) else None
    return name if isinstance(name, str) else ""


def too_often(wait_s: float) -> JSONResponse:
    """As that API says it."""
    status = {"code": 429, "message": "This is asked for too often.", "details": {"problem": "too-often"}}
    return JSONResponse(status, 429, {"Retry-After": str(math.ceil(wait_s))})
