"""The AppServer API's `/login` is tried no more often than `login`."""

import json
import math
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                await _refused(413, "The body is too large.", Connection="close")(scope, receive, send)
                return
        address, name = scope["client"][0] if scope.get("client") else "", _name(body)
        wait_s = self._desk.login_wait_s(address, name)
        if wait_s:
            await too_often(wait_s)(scope, receive, send)
            return
        read: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return read.pop() if read else await receive()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._desk.login_answered(address, name, message["status"])
                if message["status"] == 503:
                    message = {**message, "headers": [*message["headers"], (b"retry-after", b"2")]}
            await send(message)

        await self._inner(scope, again, watched)


def _name(body: bytearray) -> str:
    """Whose password is tried; empty when the API will take it for nobody's."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    name = asked.get("username") if isinstance(asked, dict) else None
    return name if isinstance(name, str) else ""


def too_often(wait_s: float) -> JSONResponse:
    """As that API says it."""
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return _refused(429, "This is asked for too often.", "too-often", **headers)


def _refused(status: int, sentence: str, problem: str = "", **headers: str) -> JSONResponse:
    details: dict[str, Any] = {"problem": problem} if problem else {}
    return JSONResponse({"code": status, "message": sentence, "details": details}, status, headers)
