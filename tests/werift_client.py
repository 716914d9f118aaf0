"""werift, a WebRTC stack in TypeScript, in a process of its own: it has RED and NACK for audio, as aiortc has not.

tests/werift/client.mjs says what it is told and tells; what it needs is installed there by scripts/setup.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import av
import httpx
import numpy as np

from tests.netem import Relay
from tests.voices import FRAME, Samples

PROGRAM = Path(__file__).with_name("werift") / "client.mjs"


class Werift:
    """One session; an async context manager. Its media goes through the relay if there is one."""

    def __init__(self, direction: str, *, red: bool = False, nack: bool = False, relay: Relay | None = None) -> None:
        self.state: dict[str, Any] = {}
        self.answer = ""
        self.heard: dict[int, bytes] = {}  # Opus frames by timestamp
        self._options = {"direction": direction, "red": red, "nack": nack}
        self._relay = relay
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "node", str(PROGRAM), json.dumps(self._options), stdin=pipe, stdout=pipe, limit=1 << 22
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._reading is not None:
            self._reading.cancel()
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.communicate(), 5)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def join(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        """WHIP or WHEP, until it is connected."""
        offer = (await self._read())["offer"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        response = await http.post(url, content=offer, headers=headers)
        assert response.status_code == 201, response.text
        self.answer = response.text
        await self._tell({"answer": self._relay.rewrite(self.answer) if self._relay else self.answer})
        self._reading = asyncio.create_task(self._follow())
        await self.until(lambda: self.state.get("connected"))

    async def talk(self, frames: Sequence[bytes]) -> None:
        """Opus frames of 20 ms, again and again."""
        await self._tell({"frames": [base64.b64encode(frame).decode() for frame in frames]})

    async def until(self, what: Callable[[], object], *, within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            while not what():
                assert self._reading is None or not self._reading.done(), "werift has ended"
                await asyncio.sleep(0.05)

    def samples(self, seconds: float) -> Samples:
        """The last that it heard, decoded; where a frame is missing, nothing is."""
        order = sorted(self.heard)[-round(seconds * 50) :]
        decoder = av.CodecContext.create("opus", "r")
        pieces = [
            frame.to_ndarray()[0]
            for number, timestamp in enumerate(order)
            for frame in decoder.decode(_packet(self.heard[timestamp], number))
        ]
        return np.concatenate(pieces).astype(np.float32) if pieces else np.zeros(FRAME, np.float32)

    async def _follow(self) -> None:
        while True:
            self.state = await self._read()
            for timestamp, payload in self.state.pop("heard"):
                self.heard.setdefault(timestamp, base64.b64decode(payload))

    async def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20)
        assert line, "werift has ended"
        message: dict[str, Any] = json.loads(line)
        return message

    async def _tell(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        await self._process.stdin.drain()


def _packet(payload: bytes, number: int) -> av.Packet[Any]:
    packet = av.Packet(payload)
    packet.pts = number * FRAME
    return packet
