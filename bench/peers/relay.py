"""A relay as one writes it with aiortc alone: POST /whip/ROOM brings a voice, POST /whep/ROOM takes it away.

It is the library's own way: MediaRelay gives each listener the decoded frames, and each connection encodes them again.
One voice a room. Nothing is tuned, and nothing is made slow.

    python -m bench.peers.relay ADDRESS      prints the address that it serves; media goes by UDP at ADDRESS
"""

from __future__ import annotations

import asyncio
import itertools
import sys

import aioice.ice
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bench.peers.gateway import serve

VOICE_S = 10.0
"""That a listener waits for the room's voice."""


class Relay:
    def __init__(self) -> None:
        self._relay = MediaRelay()
        self._voices: dict[str, asyncio.Future[MediaStreamTrack]] = {}
        self._sessions: dict[int, RTCPeerConnection] = {}
        self._numbers = itertools.count()

    def _voice(self, room: str) -> asyncio.Future[MediaStreamTrack]:
        if room not in self._voices or (
            self._voices[room].done() and self._voices[room].result().readyState == "ended"
        ):
            self._voices[room] = asyncio.get_running_loop().create_future()
        return self._voices[room]

    async def whip(self, request: Request) -> Response:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        voice = self._voice(request.path_params["room"])

        def arrived(track: MediaStreamTrack) -> None:
            if not voice.done():
                voice.set_result(track)

        connection.on("track", arrived)
        return await self._answer(connection, await request.body())

    async def whep(self, request: Request) -> Response:
        track = await asyncio.wait_for(asyncio.shield(self._voice(request.path_params["room"])), VOICE_S)
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTrack(self._relay.subscribe(track))
        return await self._answer(connection, await request.body())

    async def leave(self, request: Request) -> Response:
        if (connection := self._sessions.pop(request.path_params["session"], None)) is not None:
            await connection.close()
        return Response(status_code=204)

    async def _answer(self, connection: RTCPeerConnection, offer: bytes) -> Response:
        await connection.setRemoteDescription(RTCSessionDescription(offer.decode(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        number = next(self._numbers)
        self._sessions[number] = connection
        location = {"Location": f"/session/{number}"}
        return PlainTextResponse(connection.localDescription.sdp, 201, location, media_type="application/sdp")


def application() -> Starlette:
    relay = Relay()
    return Starlette(
        routes=[
            Route("/whip/{room}", relay.whip, methods=["POST"]),
            Route("/whep/{room}", relay.whep, methods=["POST"]),
            Route("/session/{session:int}", relay.leave, methods=["DELETE"]),
        ]
    )


if __name__ == "__main__":
    # aioice gathers every address but loopback; one is enough, and it may be loopback's.
    address = sys.argv[1]
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [address]
    serve(application())
