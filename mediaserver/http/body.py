"""The limit on request bodies, whether their length is announced or they come in chunks."""

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaserver.http.auth import is_service
from mediaserver.http.problems import Problem
from mediaserver.node import Node

# An offer with a dozen m-lines is 20 KiB. Raising it lets every connection hold so much memory.
MAX_BODY = 64 * 1024
# What a room service says at once: a room with all its seats and listeners, or all rooms. Raising it keeps the event
# loop longer from everything else while one body is read.
MAX_ROOM_BODY = 1024 * 1024
MAX_ROOMS_BODY = 8 * 1024 * 1024
UPLOADS = "/v1/media"
_ROOM = re.compile(r"/v1/rooms/[^/]+")


class BodyLimit:
    """ASGI middleware: takes the whole body before the app sees the request, or refuses it with 413. Files for the
    media library are passed on as they come."""

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self._app = app
        self._node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "POST" and scope["path"] == UPLOADS and is_service(self._node, scope):
            await self._app(scope, receive, send)  # read as it comes, and bounded, by the library
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        is_small = b"transfer-encoding" not in headers and length.isdigit() and int(length[:20]) <= MAX_BODY
        limit = MAX_BODY if is_small else self._limit(scope)
        if not length.isdigit() or int(length[:20]) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > limit:
                await self._refuse(limit, scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    def _limit(self, scope: Scope) -> int:
        """More than anybody's only for a room service that has proved in the header who it is."""
        limit = MAX_BODY
        if scope["method"] in ("PUT", "PATCH") and _ROOM.fullmatch(scope["path"]):
            limit = MAX_ROOM_BODY
        elif scope["method"] == "PUT" and scope["path"] == "/v1/rooms":
            limit = MAX_ROOMS_BODY
        return limit if limit > MAX_BODY and is_service(self._node, scope) else MAX_BODY

    @staticmethod
    async def _refuse(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        # What remains of the body is not read, so the connection cannot be used again.
        problem = Problem("too-large", f"The body is larger than {limit} bytes.", {"Connection": "close"})
        await problem.response()(scope, receive, send)
