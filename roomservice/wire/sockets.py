"""All WebSockets of this instance: accepted, kept alive, and let go."""

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from roomservice.commit import Session
from roomservice.hub import Hub
from roomservice.presence import MISSED, Presence
from roomservice.wire.closing import Close
from roomservice.wire.desk import Desk
from roomservice.wire.socket import Socket, Texts

log = logging.getLogger(__name__)

PATH = "/v1/ws"
MAX_SOCKETS = 20_000
"""At a time on one instance. Each takes some 50 KB, and more while its client does not read."""

REFRESHED_AT_ONCE = 500
TICK_S = 1.0


class Sockets:
    """An ASGI app for PATH; other connections are passed to `inner`. run() beside it."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        desk: Desk,
        hub: Hub,
        presence: Presence,
        heartbeat_s: float,
        clock: Callable[[], float],
        most: int = MAX_SOCKETS,
    ) -> None:
        self._inner = inner
        self._desk = desk
        self._hub = hub
        self._presence = presence
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._most = most
        self._texts = Texts()
        self.all: set[Socket] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self._inner(scope, receive, send)
            return
        await receive()  # websocket.connect
        if scope["path"] != PATH or len(self.all) >= self._most:
            status = 404 if scope["path"] != PATH else 503
            await send({"type": "websocket.http.response.start", "status": status, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b""})
            return
        await send({"type": "websocket.accept"})
        client = scope.get("client")
        socket = Socket(
            receive,
            send,
            client[0] if client else "",
            desk=self._desk,
            hub=self._hub,
            presence=self._presence,
            texts=self._texts,
            heartbeat_s=self._heartbeat_s,
            clock=self._clock,
        )
        self.all.add(socket)
        try:
            await socket.serve()
        finally:
            self.all.discard(socket)

    async def run(self) -> None:
        """For ever: who is silent is closed, and the sessions of the others are refreshed."""
        refreshed = time.monotonic()
        while True:
            await asyncio.sleep(min(TICK_S, self._heartbeat_s / 4))
            self.look(time.monotonic(), self._clock())
            begun = time.monotonic()
            if begun - refreshed >= self._heartbeat_s:
                try:
                    await self._refresh()
                except Exception as error:  # at the next tick again: who comes too late finds them swept
                    log.warning("Sessions could not be refreshed: %s", error)
                else:
                    refreshed = begun

    def has(self, session: Session) -> bool:
        """Of a socket that is here."""
        if session.data.get("http"):
            return False
        return any(socket.session is not None and socket.session.id == session.id for socket in self.all)

    def look(self, now: float, wall: float) -> None:
        """now: time.monotonic(); wall: Unix time in s."""
        for socket in list(self.all):
            if socket.session is None:
                continue
            if not socket.busy and now - socket.heard > MISSED * self._heartbeat_s:
                socket.close(Close.HEARTBEAT_LOST)
            elif wall >= socket.token_until:
                socket.close(Close.UNAUTHORISED)

    async def _refresh(self) -> None:
        known = [(socket, socket.session) for socket in self.all if socket.session is not None]
        for begin in range(0, len(known), REFRESHED_AT_ONCE):
            some = known[begin : begin + REFRESHED_AT_ONCE]
            there = await self._presence.refresh([session for _, session in some])
            for socket, session in some:
                if session.id not in there:
                    socket.close(Close.HEARTBEAT_LOST)
