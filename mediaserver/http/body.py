"""The limit on request bodies, whether their length is announced or they come in chunks."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaserver.http.problems import Problem

# An offer with a dozen m-lines is 20 KiB. Raising it lets every connection hold so much memory.
MAX_BODY = 64 * 1024


class BodyLimit:
    """ASGI middleware: takes the whole body before the app sees the request, or refuses it with 413."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY:
            await self._refuse(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                await self._refuse(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
        # What remains of the body is not read, so the connection cannot be used again.
        problem = Problem("too-large", f"The body is larger than {MAX_BODY} bytes.", {"Connection": "close"})
        await problem.response()(scope, receive, send)
