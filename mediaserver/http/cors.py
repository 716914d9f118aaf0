"""OPTIONS and cross-origin requests (the CORS protocol of the Fetch standard).

OPTIONS is answered from the routes themselves, so what a preflight is told is what the address takes.
"""

import re
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaserver.http.paths import methods_at

# Without these a page could not follow Location, send If-Match, or find the event stream.
EXPOSED = "Accept-Patch, Accept-Post, Allow, ETag, Link, Location, Retry-After, WWW-Authenticate"
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
MAX_AGE_S = 7200  # the longest that Chromium honours
_ENDPOINT = re.compile(r"/wh[ie]p/[^/]+")
_SESSION = re.compile(r"/wh[ie]p/[^/]+/[^/]+")


class Cors:
    """ASGI middleware. `origins` are those whose pages may read our answers; "*" is any."""

    def __init__(self, app: ASGIApp, routes: FastAPI, origins: Sequence[str]) -> None:
        self._app = app
        self._routes = routes
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        granted = self._granted(Headers(scope=scope).get("origin"))
        if scope["method"] == "OPTIONS" and (methods := methods_at(self._routes, scope)):
            await _options(scope["path"], methods, granted)(scope, receive, send)
            return

        async def send_granted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(granted)
            await send(message)

        await self._app(scope, receive, send_granted if granted else send)

    def _granted(self, origin: str | None) -> dict[str, str]:
        """The headers that let this origin read the answer; none when it may not."""
        if origin is None or not self._origins:
            return {}
        exposed = {"Access-Control-Expose-Headers": EXPOSED}
        if "*" in self._origins:
            return {"Access-Control-Allow-Origin": "*", **exposed}
        if origin in self._origins:
            return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **exposed}
        return {"Vary": "Origin"}


def _options(path: str, methods: list[str], granted: dict[str, str]) -> Response:
    headers = {"Allow": ", ".join(methods), **granted}
    if _ENDPOINT.fullmatch(path):
        headers["Accept-Post"] = "application/sdp"
    if _SESSION.fullmatch(path):
        headers["Accept-Patch"] = "application/trickle-ice-sdpfrag"
    if "Access-Control-Allow-Origin" in granted:
        headers |= {
            "Access-Control-Allow-Methods": ", ".join(methods),
            "Access-Control-Allow-Headers": ALLOWED_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_S),
        }
    return Response(status_code=200, headers=headers)
