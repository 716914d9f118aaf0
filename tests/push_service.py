"""A push service of browsers on loopback, as Mozilla's is: browsers connect to it by a WebSocket (autopush's protocol),
and what servers post to it (RFC 8030) is handed to them unread."""

import asyncio
import base64
import json
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.typing import Subprotocol

from tests.push_receiver import Received, Receiver, receiver

GONE, CREATED = 410, 201
DELIVERED = 100
"""Of an ack: the service worker has had it."""


@dataclass
class Channel:
    """One subscription. key: the server's, of VAPID, which alone may push to it."""

    id: str
    agent: str
    key: str


@dataclass
class PushService:
    """address: for `dom.push.serverURL`. acks: code of each message that a browser has had, in order."""

    address: str = ""
    endpoints: Receiver = field(default_factory=Receiver)
    channels: dict[str, Channel] = field(default_factory=dict)
    acks: list[int] = field(default_factory=list)
    _agents: set[str] = field(default_factory=set)
    _sockets: dict[str, ServerConnection] = field(default_factory=dict)
    _waiting: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """For `--push-service`."""
        return urlsplit(self.endpoints.url).netloc

    async def lose_all(self) -> None:
        """It knows nobody any more, as after a loss of its own data: browsers are told when they connect again."""
        self.channels.clear()
        self._agents.clear()
        sockets, self._sockets = list(self._sockets.values()), {}
        for socket in sockets:
            socket.transport.abort()  # Firefox answers no closing frame

    async def acknowledged(self, count: int, within_s: float = 20.0) -> None:
        """So many messages, each by a service worker that has read it."""
        async with asyncio.timeout(within_s):
            while len(self.acks) < count:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.05)
        assert set(self.acks) == {DELIVERED}, self.acks

    async def registered(self, count: int, within_s: float = 20.0) -> None:
        """So many subscriptions."""
        async with asyncio.timeout(within_s):
            while len(self.channels) != count:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.05)

    # ---- browsers

    async def serve_browser(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosedError):  # Firefox goes without a word
            await self._serve(socket)

    async def _serve(self, socket: ServerConnection) -> None:
        agent = ""
        async for text in socket:
            message = json.loads(text)
            match message.get("messageType"):
                case "hello":
                    known = message.get("uaid", "")
                    agent = known if known in self._agents else uuid.uuid4().hex
                    self._agents.add(agent)
                    self._sockets[agent] = socket
                    hello: dict[str, Any] = {"status": 200, "uaid": agent, "use_webpush": True, "broadcasts": {}}
                    await socket.send(json.dumps({"messageType": "hello", **hello}))
                    for waiting in self._waiting.pop(agent, []):
                        await socket.send(json.dumps(waiting))
                case "register":
                    channel = Channel(message["channelID"], agent, message.get("key", ""))
                    self.channels[channel.id] = channel
                    await self._answer(socket, message, pushEndpoint=f"{self.endpoints.url}/push/{channel.id}")
                case "unregister":
                    self.channels.pop(message["channelID"], None)
                    await self._answer(socket, message)
                case "ack":
                    self.acks += [update["code"] for update in message["updates"]]
                case None:
                    await socket.send("{}")  # a ping

    async def _answer(self, socket: ServerConnection, message: dict[str, Any], **more: str) -> None:
        answer = {"messageType": message["messageType"], "status": 200, "channelID": message["channelID"], **more}
        await socket.send(json.dumps(answer))

    # ---- servers

    def take(self, loop: asyncio.AbstractEventLoop, posted: Received) -> int:
        """In the thread that has the request. The status to answer with."""
        return asyncio.run_coroutine_threadsafe(self._take(posted), loop).result(10)

    async def _take(self, posted: Received) -> int:
        channel = self.channels.get(posted.path.rpartition("/")[2])
        if channel is None:
            return GONE
        message = {
            "messageType": "notification",
            "channelID": channel.id,
            "version": uuid.uuid4().hex,
            "data": base64.urlsafe_b64encode(posted.body).rstrip(b"=").decode(),
            "headers": {"encoding": posted.headers["content-encoding"]},
        }
        if socket := self._sockets.get(channel.agent):
            await socket.send(json.dumps(message))
        else:
            self._waiting.setdefault(channel.agent, []).append(message)
        return CREATED


@asynccontextmanager
async def push_service(context: ssl.SSLContext) -> AsyncIterator[PushService]:
    """context: of a server, for the endpoints."""
    service, loop = PushService(), asyncio.get_running_loop()
    with receiver(context, lambda posted: service.take(loop, posted)) as endpoints:
        service.endpoints = endpoints
        async with serve(
            service.serve_browser, "127.0.0.1", 0, subprotocols=[Subprotocol("push-notification")]
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            service.address = f"ws://127.0.0.1:{port}/"
            yield service
