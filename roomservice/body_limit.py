"""Bodies have a bound, whatever their length is said to be."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1 << 20


class TooLargeError(Exception):
    """A body has more bytes than are read."""


class BodyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await whole(receive, MAX_BODY_BYTES)
        except TooLargeError:
            await too_large()(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, again(body, receive), send)


async def whole(receive: Receive, most: int) -> bytes | None:
    """A request's body; None when who sends it has gone. most: bytes. TooLargeError."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            raise TooLargeError
    return bytes(body)


def again(body: bytes, receive: Receive) -> Receive:
    """Gives what has been read, and then what else comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again


def too_large() -> JSONResponse:
    """What is left of the body is not read, so the connection cannot be used again."""
    return JSONResponse({"code": 413, "message": "The body is too large.", "details": {}}, 413, {"Connection": "close"})
