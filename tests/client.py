"""A WHIP and WHEP client on aiortc: an implementation of WebRTC that shares no code with the server's media path.

What it sends was encoded beforehand and what it receives is decoded, so that a test can have a dozen speakers on a
small machine and still listen. It uses 127.0.0.1 alone: no other interface, no STUN server, no waiting for either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self, TypeVar
from urllib.parse import urljoin

import aioice.ice
import httpx
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RtpPacket
from av import AudioFrame

from tests.netem import Relay
from tests.voices import FRAME, SAMPLE_RATE, OpusFrame, Samples, opus_frames

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]

KEPT_SECONDS = 30
T = TypeVar("T")


class RefusedError(Exception):
    """The server did not answer 201; `response` says why."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"{response.status_code}: {response.text}")
        self.response = response


async def until(what: Callable[[], T], *, within_s: float = 10.0, say: str = "") -> T:
    """Waits for `what()` to be true and returns its value. AssertionError after `within_s`."""
    deadline = time.monotonic() + within_s
    while not (value := what()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {say or what}"
        await asyncio.sleep(0.02)
    return value


class Session:
    """One peer connection and its WHIP or WHEP resource. As a context manager it ends with DELETE, if it still can."""

    def __init__(self, http: httpx.AsyncClient, token: str | None, relay: Relay | None) -> None:
        # Not MAX_BUNDLE: sharing a transport from the start, aiortc would take the candidates of the last m-line alone,
        # and in a bundled answer only the first has any (RFC 9429 section 5.3.1).
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
        self.url = ""  # of the session: the Location of the answer
        self.etag = ""
        self.answer = ""
        self.response: httpx.Response | None = None
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._relay = relay
        self._closed = asyncio.Event()
        self.pc.on("connectionstatechange", self._on_state)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.url and not self._closed.is_set():
            with contextlib.suppress(httpx.TransportError):
                await self.delete()
        await self.pc.close()

    @property
    def open(self) -> bool:
        return self.pc.connectionState == "connected"

    async def offer(self, url: str) -> None:
        """Posts the offer and applies the answer. RefusedError on anything but 201."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.response = await self._http.post(
            url,
            content=self.pc.localDescription.sdp,
            headers={"Content-Type": "application/sdp", **self._headers},
        )
        if self.response.status_code != 201:
            await self.pc.close()
            raise RefusedError(self.response)
        self.url = urljoin(str(self.response.url), self.response.headers["Location"])
        self.etag = self.response.headers.get("ETag", "")
        self.answer = self.response.text
        answer = self._relay.rewrite(self.answer) if self._relay else self.answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def connected(self, within_s: float = 20.0) -> None:
        await until(lambda: self.pc.connectionState not in ("new", "connecting"), within_s=within_s, say="connected")
        assert self.open, f"the connection is {self.pc.connectionState}"

    async def closed(self, within_s: float = 5.0) -> None:
        """Waits for the server to close the connection (close_notify). TimeoutError when it does not."""
        await asyncio.wait_for(self._closed.wait(), within_s)

    async def delete(self) -> httpx.Response:
        return await self._http.delete(self.url, headers=self._headers)

    async def patch(self, fragment: str, etag: str = "*") -> httpx.Response:
        return await self._http.patch(
            self.url,
            content=fragment,
            headers={"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag, **self._headers},
        )

    async def restart_ice(self) -> httpx.Response:
        """RFC 9725 section 4.3.3. aiortc has no ICE restart, so its ICE agent is given the new credentials by hand."""
        connection = self._ice
        ufrag, password = secrets.token_hex(4), secrets.token_hex(16)
        response = await self.patch(f"a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n")
        if response.status_code != 200:
            raise RefusedError(response)
        lines = dict(line.partition(":")[::2] for line in response.text.splitlines())
        connection._local_username, connection._local_password = ufrag, password
        connection.remote_username, connection.remote_password = lines["a=ice-ufrag"], lines["a=ice-pwd"]
        self.etag = response.headers["ETag"]
        await self.nominate()
        return response

    async def nominate(self) -> None:
        """An authenticated request that nominates the pair in use, from whatever address the server now sees."""
        connection = self._ice
        assert connection.remote_password is not None
        pair = connection._nominated[1]
        request = connection.build_request(pair, nominate=True)
        await pair.protocol.request(request, pair.remote_addr, integrity_key=connection.remote_password.encode())

    async def vanish(self) -> None:
        """Stops without a word to the server: no DELETE, no BYE, no close_notify."""
        connection = self._ice
        for protocol in connection._protocols:
            protocol.transport.abort()
        self._closed.set()

    async def send_datagram(self, data: bytes) -> None:
        """Anything, on the connection's own socket."""
        await self._ice.send(data)

    @property
    def _ice(self) -> aioice.ice.Connection:
        return self.pc.getTransceivers()[0].receiver.transport.transport._connection

    def _on_state(self) -> None:
        if self.pc.connectionState in ("closed", "failed"):
            self._closed.set()


class Microphone(MediaStreamTrack):
    """Marks a sender as in use; what it sends comes from Speaker."""

    kind = "audio"

    async def recv(self) -> AudioFrame:
        raise MediaStreamError


class Speaker(Session):
    """A WHIP session that repeats a voice. All attributes may be changed while it speaks."""

    def __init__(self, http: httpx.AsyncClient, token: str | None, pitch_hz: int | None, relay: Relay | None) -> None:
        super().__init__(http, token, relay)
        self.frames: tuple[OpusFrame, ...] = opus_frames(pitch_hz)
        self.sends_levels = True  # RFC 6464
        self.paused = False  # as with DTX: nothing is sent, and time goes on
        self.sent = 0
        self._begun: float | None = None
        self._tick = 0
        self.sender = self.pc.addTrack(Microphone())
        self.sender._next_encoded_frame = self._next_frame  # type: ignore[method-assign]

    async def _next_frame(self, codec: object) -> RTCEncodedFrame:
        while True:
            if self._begun is None:
                self._begun = time.monotonic()
            self._tick += 1
            await asyncio.sleep(max(0.0, self._begun + self._tick * FRAME / SAMPLE_RATE - time.monotonic()))
            if not self.paused:
                break
        frame = self.frames[self._tick % len(self.frames)]
        self.sent += 1
        level = frame.level_dbov if self.sends_levels else None
        return RTCEncodedFrame([frame.payload], self._tick * FRAME, level)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Heard:
    """What one received RTP packet says about itself."""

    at: float  # time.monotonic()
    sequence_number: int
    timestamp: int
    ssrc: int
    csrcs: tuple[int, ...]
    payload: bytes


def assert_continuous(packets: Iterable[Heard]) -> None:
    """One stream to whoever receives it, however often the speaker changes: nothing lost or twice, no way back."""
    for before, after in pairwise(packets):
        assert after.ssrc == before.ssrc
        assert (after.sequence_number - before.sequence_number) % 2**16 == 1
        step = (after.timestamp - before.timestamp) % 2**32
        # Where the stream paused, media time ran on with the clock; the server's, so a client that was held up sees
        # another distance.
        longest = (after.at - before.at + 0.5) * SAMPLE_RATE
        assert FRAME <= step <= max(FRAME, longest), f"timestamps {before.timestamp} and {after.timestamp}"


@dataclass
class Slot:
    """One audio m-line of a listener: its packets, and what they decode to."""

    mid: str = ""
    packets: deque[Heard] = field(default_factory=lambda: deque(maxlen=50 * KEPT_SECONDS))
    _pcm: deque[Samples] = field(default_factory=lambda: deque(maxlen=50 * KEPT_SECONDS))

    @property
    def csrc(self) -> int | None:
        """Who was in the last packet; None before the first."""
        return self.packets[-1].csrcs[0] if self.packets and self.packets[-1].csrcs else None

    def samples(self, seconds: float) -> Samples:
        """The last `seconds` that were decoded, or less when there is less."""
        pcm = np.concatenate([np.zeros(0, np.float32), *self._pcm])
        return pcm[-round(seconds * SAMPLE_RATE) :]

    def clear(self) -> None:
        self.packets.clear()
        self._pcm.clear()

    async def _decode(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                interleaved = frame.to_ndarray().ravel()[:: len(frame.layout.channels)]
                self._pcm.append(np.asarray(interleaved / 32768, np.float32))


class Listener(Session):
    """A WHEP session with `slots` audio m-lines."""

    def __init__(self, http: httpx.AsyncClient, token: str | None, slots: int, relay: Relay | None) -> None:
        super().__init__(http, token, relay)
        self.slots = [Slot() for _ in range(slots)]
        self._tasks: set[asyncio.Task[None]] = set()
        for slot in self.slots:
            receiver = self.pc.addTransceiver("audio", "recvonly").receiver
            receiver._handle_rtp_packet = self._overhear(  # type: ignore[method-assign]
                slot, receiver._handle_rtp_packet
            )
        self.pc.on("track", self._on_track)

    async def __aexit__(self, *exc: object) -> None:
        await super().__aexit__(*exc)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def csrcs(self) -> set[int]:
        """Everyone in the slots now."""
        return {slot.csrc for slot in self.slots if slot.csrc is not None}

    def samples(self, seconds: float) -> Samples:
        """The last `seconds` of all slots together."""
        slots = [slot.samples(seconds) for slot in self.slots]
        size = max(map(len, slots))
        return np.asarray(np.sum([np.pad(pcm, (size - len(pcm), 0)) for pcm in slots], axis=0), np.float32)

    def clear(self) -> None:
        for slot in self.slots:
            slot.clear()

    async def create_events(self, wish: Any = None) -> str:
        """A new event stream of the session, at the address that the answer links; its own address, for events().
        wish: the body, in JSON."""
        assert self.response is not None
        link = re.search(
            r'<([^>]+)>; rel="urn:ietf:params:whep:ext:core:server-sent-events"', self.response.headers["Link"]
        )
        assert link, self.response.headers["Link"]
        body = {} if wish is None else {"json": wish}
        response = await self._http.post(urljoin(self.url, link[1]), headers=self._headers, **body)
        if response.status_code != 201:
            raise RefusedError(response)
        return urljoin(self.url, response.headers["Location"])

    async def events(self, url: str) -> AsyncIterator[tuple[str, Any]]:
        """The server-sent events at `url` as (event, parsed data)."""
        async with self._http.stream("GET", url, headers=self._headers, timeout=None) as response:
            if response.status_code != 200:
                await response.aread()
                raise RefusedError(response)
            event = "message"
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if name == "event":
                    event = value.strip()
                elif name == "data":
                    yield event, json.loads(value)
                    event = "message"

    @staticmethod
    def _overhear(slot: Slot, handle: Callable[..., Any]) -> Callable[..., Any]:
        async def overhear(packet: RtpPacket, arrival_time_ms: int) -> None:
            slot.packets.append(
                Heard(
                    time.monotonic(),
                    packet.sequence_number,
                    packet.timestamp,
                    packet.ssrc,
                    tuple(packet.csrc),
                    packet.payload,
                )
            )
            await handle(packet, arrival_time_ms)

        return overhear

    def _on_track(self, track: MediaStreamTrack) -> None:
        transceivers = self.pc.getTransceivers()
        number = next(i for i, transceiver in enumerate(transceivers) if transceiver.receiver.track is track)
        self.slots[number].mid = transceivers[number].mid or ""
        self._tasks.add(asyncio.create_task(self.slots[number]._decode(track)))


async def speak(
    http: httpx.AsyncClient, url: str, token: str | None, pitch_hz: int | None, *, relay: Relay | None = None
) -> Speaker:
    """A speaker whose offer was accepted; `async with` it, and wait for `connected()`."""
    speaker = Speaker(http, token, pitch_hz, relay)
    await speaker.offer(url)
    return speaker


async def listen(
    http: httpx.AsyncClient, url: str, token: str | None, *, slots: int = 2, relay: Relay | None = None
) -> Listener:
    listener = Listener(http, token, slots, relay)
    await listener.offer(url)
    return listener
