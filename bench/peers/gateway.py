"""WHIP and WHEP for Janus, which speaks an API of its own: POST /{whip,whep}/{videoroom,audiobridge}/ROOM.

Only the signalling goes through here (RFC 9725, and the draft of WHEP), media goes between client and Janus; what this
costs is not on Janus' account, nor on its core. One session of the Janus API serves all, with a handle for each client.

    python -m bench.peers.gateway URL_OF_JANUS      prints the address that it serves
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bench.peers import description

ANSWER_S = 10.0
NO_SUCH_FEED = 428
RETRY_S = 0.05
PACKAGES = {"videoroom": "janus.plugin.videoroom", "audiobridge": "janus.plugin.audiobridge"}


class JanusError(Exception):
    """What Janus has against a request, in its words; code: of the plugin, 0 of Janus itself."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.code = code


class Janus:
    """Its HTTP API: requests are answered at once, or by an event that the session's long poll brings."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=60, limits=httpx.Limits(max_connections=64))
        self._session = ""
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}

    async def open(self) -> None:
        self._session = f"/{(await self._post('', janus='create'))['data']['id']}"

    async def poll(self) -> None:
        """For ever."""
        while True:
            response = await self._http.get(self._session, params={"maxev": 50})
            found = response.json()
            for event in found if isinstance(found, list) else [found]:
                waiting = self._waiting.pop(event.get("transaction", ""), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(event)

    async def attach(self, plugin: str) -> int:
        return int((await self._post(self._session, janus="attach", plugin=PACKAGES[plugin]))["data"]["id"])

    async def detach(self, handle: int) -> None:
        await self._post(f"{self._session}/{handle}", janus="detach")

    async def message(self, handle: int, body: dict[str, Any], jsep: dict[str, str] | None = None) -> dict[str, Any]:
        """The event or the answer to it. JanusError when it is an error."""
        request: dict[str, Any] = {"janus": "message", "body": body}
        if jsep is not None:
            request["jsep"] = jsep
        answer = await self._post(f"{self._session}/{handle}", **request)
        data = answer.get("plugindata", {}).get("data", {})
        if "error" in data:
            raise JanusError(f"{body['request']}: {data['error']}", int(data["error_code"]))
        return answer

    async def complete(self, handle: int) -> None:
        """No candidates will come."""
        await self._post(f"{self._session}/{handle}", janus="trickle", candidate={"completed": True})

    async def _post(self, path: str, **request: Any) -> dict[str, Any]:
        transaction = f"t{next(self._numbers)}"
        later: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        if request["janus"] == "message":
            self._waiting[transaction] = later
        answer: dict[str, Any] = (await self._http.post(path, json={**request, "transaction": transaction})).json()
        if answer["janus"] == "error":
            raise JanusError(str(answer["error"]["reason"]))
        if answer["janus"] == "ack" and request["janus"] == "message":
            return await asyncio.wait_for(later, ANSWER_S)
        self._waiting.pop(transaction, None)
        return answer

    async def close(self) -> None:
        await self._http.aclose()


class Gateway:
    """Rooms are made when somebody comes first."""

    def __init__(self, janus: Janus) -> None:
        self._janus = janus
        self._rooms: dict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._made: set[tuple[str, str]] = set()
        self._feeds: dict[str, list[str]] = defaultdict(list)  # of a VideoRoom: its publishers
        self._numbers = itertools.count()

    async def whip(self, plugin: str, room: str, offer: str) -> tuple[str, int]:
        """The answer, and the number of the session."""
        await self._make(plugin, room)
        handle = await self._janus.attach(plugin)
        name = f"speaker-{next(self._numbers)}"
        if plugin == "audiobridge":
            return await self._bridge(handle, room, offer, name, muted=False), handle
        await self._janus.message(handle, {"request": "join", "ptype": "publisher", "room": room, "id": name})
        event = await self._janus.message(handle, {"request": "publish", "audiocodec": "opus"}, _jsep("offer", offer))
        await self._janus.complete(handle)
        self._feeds[room].append(name)
        return str(event["jsep"]["sdp"]), handle

    async def whep(self, plugin: str, room: str, offer: str) -> tuple[str, int]:
        await self._make(plugin, room)
        handle = await self._janus.attach(plugin)
        if plugin == "audiobridge":
            name = f"listener-{next(self._numbers)}"
            return await self._bridge(handle, room, offer, name, muted=True), handle
        client = description.parse(offer)
        for _ in range(round(ANSWER_S / RETRY_S)):
            if self._feeds[room]:
                break
            await asyncio.sleep(RETRY_S)  # whoever is to be heard is about to come
        streams = [{"feed": feed} for feed in self._feeds[room][: len(client.sections)]]
        join = {"request": "join", "ptype": "subscriber", "room": room, "streams": streams}
        server = description.parse(str((await self._subscribe(handle, join))["jsep"]["sdp"]))
        answer = description.answer_to_server(server, client)
        await self._janus.message(handle, {"request": "start"}, _jsep("answer", answer))
        await self._janus.complete(handle)
        return description.answer_to_client(server, client), handle

    async def leave(self, handle: int) -> None:
        with contextlib.suppress(JanusError):  # gone already
            await self._janus.detach(handle)

    async def _subscribe(self, handle: int, join: dict[str, Any]) -> dict[str, Any]:
        """A publisher can be subscribed to when his handshake is complete, a moment after he was here."""
        for _ in range(round(ANSWER_S / RETRY_S)):
            try:
                return await self._janus.message(handle, join)
            except JanusError as error:
                if error.code != NO_SUCH_FEED:
                    raise
            await asyncio.sleep(RETRY_S)
        raise JanusError("The publisher does not come.", NO_SUCH_FEED)

    async def _bridge(self, handle: int, room: str, offer: str, name: str, *, muted: bool) -> str:
        await self._janus.message(handle, {"request": "join", "room": room, "id": name, "muted": muted})
        event = await self._janus.message(handle, {"request": "configure", "muted": muted}, _jsep("offer", offer))
        await self._janus.complete(handle)
        return str(event["jsep"]["sdp"])

    async def _make(self, plugin: str, room: str) -> None:
        key = plugin, room
        async with self._rooms[key]:
            if key in self._made:
                return
            handle = await self._janus.attach(plugin)
            body: dict[str, Any] = {"request": "create", "room": room, "permanent": False, "audiolevel_event": False}
            if plugin == "audiobridge":
                body |= {"sampling_rate": 48_000}
            else:
                # Who comes is told to nobody: in a room of thousands that would be most of the work.
                body |= {"publishers": 64, "audiocodec": "opus", "notify_joining": False}
            await self._janus.message(handle, body)
            self._made.add(key)


def _jsep(kind: str, sdp: str) -> dict[str, str]:
    return {"type": kind, "sdp": description.without_trickle(sdp)}


def application(url: str) -> Starlette:
    janus = Janus(url)
    gateway = Gateway(janus)

    async def publish_or_listen(request: Request) -> Response:
        act = gateway.whip if request.path_params["way"] == "whip" else gateway.whep
        plugin, room = request.path_params["plugin"], request.path_params["room"]
        if request.path_params["way"] not in ("whip", "whep") or plugin not in PACKAGES:
            return PlainTextResponse("There is nothing here.", 404)
        try:
            answer, handle = await act(plugin, room, (await request.body()).decode())
        except (JanusError, ValueError, TimeoutError) as error:
            return PlainTextResponse(f"{type(error).__name__}: {error}", 502)
        return PlainTextResponse(answer, 201, {"Location": f"/session/{handle}"}, media_type="application/sdp")

    async def leave(request: Request) -> Response:
        await gateway.leave(request.path_params["handle"])
        return Response(status_code=204)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await janus.open()
        polling = asyncio.create_task(janus.poll())
        yield
        polling.cancel()
        await janus.close()

    return Starlette(
        routes=[
            Route("/session/{handle:int}", leave, methods=["DELETE"]),
            Route("/{way}/{plugin}/{room}", publish_or_listen, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


def serve(app: Starlette) -> None:
    """On a port that the kernel chooses, which is printed once it can be called."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    print(f"serving on http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    serve(application(sys.argv[1]))
