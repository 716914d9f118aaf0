"""A span for each call of the control API: its method, its route, its status and the room's name; nothing of users."""

from contextlib import suppress
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaserver import tracing


class Traces:
    """ASGI middleware. Costs nothing while tracing is off. A stream of events is no call."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not tracing.is_on() or scope["type"] != "http" or not _is_call(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        with tracing.server_span(scope["method"], carrier) as span:
            span.set_attribute("http.request.method", scope["method"])

            async def send_noted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self._app(scope, receive, send_noted)
            except Exception:
                # Answered further out (problems.py).
                span.set_attribute("http.response.status_code", 500)
                raise
            finally:
                # What the router has written into the scope by now.
                with suppress(KeyError, AttributeError):
                    route: str = scope["route"].path
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                    span.set_attribute("mediaserver.room", unquote(scope["path_params"]["room"]))


def _is_call(path: str) -> bool:
    return path.startswith("/v1/") and path != "/v1/events"
