"""The wire, put together around another ASGI app: HTTP of `/v1`, WebSockets, and the documents of both."""

from collections.abc import Mapping
from importlib.metadata import version

from starlette.types import ASGIApp, Receive, Scope, Send

from roomservice.hub import Hub
from roomservice.operations.everything import TABLE
from roomservice.operations.problems import PROBLEMS
from roomservice.operations.table import Table
from roomservice.operations.world import NAMED, World
from roomservice.wire import hello
from roomservice.wire.asyncapi import asyncapi
from roomservice.wire.desk import Desk
from roomservice.wire.events import EVENTS
from roomservice.wire.http import OperationsHttp
from roomservice.wire.limited import LimitedAppServer
from roomservice.wire.login import LimitedLogin
from roomservice.wire.openapi import openapi
from roomservice.wire.sockets import Sockets


class Wire:
    """An ASGI app; `inner` gets what it does not serve. sockets.run() is to be run beside it."""

    def __init__(
        self, inner: ASGIApp, world: World, hub: Hub, table: Table = TABLE, events: Mapping[str, str] = EVENTS
    ) -> None:
        settings = world.settings
        desk = Desk(world, table, NAMED, accounts=world.accounts, system_key=settings.system_key, clock=world.clock)
        documents = {
            "/v1/openapi.json": openapi(table, version("voicerooms")),
            "/v1/asyncapi.json": asyncapi(table, events, hello.schemas(), version("voicerooms")),
            "/v1/problems": {
                name: {"status": known.status, "meaning": known.sentence} for name, known in PROBLEMS.items()
            },
        }
        http = OperationsHttp(
            LimitedAppServer(LimitedLogin(inner, desk), desk), table, desk.call, desk.authenticate, documents
        )
        self.sockets = Sockets(
            http,
            desk=desk,
            hub=hub,
            presence=world.presence,
            heartbeat_s=settings.heartbeat_s,
            clock=world.clock,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.sockets(scope, receive, send)
