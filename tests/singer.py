"""A singer's client that is simulated on aiortc, and what an audience's ears find out about how well he sings in time.

The music is bursts of noise at random times, below 2 kHz, and a pilot tone. The singer sings each burst at the very
moment in which it leaves his loudspeaker, an octave or two higher: his voice is what he hears, moved to a carrier. So
in what the audience receives the envelopes of two bands tell by how much voice and music miss each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import av
import httpx
import numpy as np
from aiortc.rtcrtpsender import RTCEncodedFrame
from numpy.typing import NDArray

from mediaserver.settings import DEVELOPMENT_KEY
from tests.client import Heard, Listener, Slot, Speaker, listen
from tests.clips import encode
from tests.control import Control
from tests.mixplane import decode
from tests.netem import Relay

RATE = 48_000
FRAME = 960
MUSIC_HZ = (300.0, 2000.0)
PILOT_HZ = 3000.0
BAND_HZ = 1900.0  # of a voice, to each side of its carrier
HELD_S = 240  # that a singer hears at most

Samples = NDArray[np.float32]


def song(seconds: float, seed: int = 5) -> Samples:
    """Bursts of 25 ms, 120 to 320 ms apart, and the pilot at -26 dB."""
    draw = np.random.default_rng(seed)
    size = round(seconds * RATE)
    t = np.arange(size) / RATE
    envelope = np.zeros(size)
    window = np.hanning(RATE // 40)
    at = RATE // 10
    while at + len(window) < size:
        envelope[at : at + len(window)] = window
        at += int(draw.integers(RATE * 12 // 100, RATE * 32 // 100))
    noise = _band(draw.standard_normal(size), *MUSIC_HZ)
    bursts = envelope * noise / np.abs(noise).max()
    return np.asarray(0.5 * bursts + 0.05 * np.sin(2 * np.pi * PILOT_HZ * t), np.float32)


def _band(samples: NDArray[Any], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(frequencies < low_hz) | (frequencies > high_hz)] = 0
    return np.asarray(np.fft.irfft(spectrum, len(samples)))


def _fir(low_hz: float, high_hz: float, reach: int) -> Samples:
    """Linear phase, of twice `reach` and one taps."""
    n = np.arange(-reach, reach + 1)
    taps = 2 * high_hz / RATE * np.sinc(2 * high_hz / RATE * n) - 2 * low_hz / RATE * np.sinc(2 * low_hz / RATE * n)
    return np.asarray(taps * np.blackman(len(n)), np.float32)


REACH = 240  # 5 ms: of what the client has decoded and not played yet, so that its filter takes no time
FILTER = _fir(*MUSIC_HZ, REACH)


class Ears(Slot):
    """What the singer's client receives, decoded, and when each sample leaves his loudspeaker.

    waits_s: from the first packet's arrival to its playing, held from then on as long as packets come in time.
    output_s: of the sound device after that."""

    def __init__(self, waits_s: float, output_s: float) -> None:
        super().__init__()
        self.output_s = output_s
        self.late = 0
        self._waits_s = waits_s
        self._pcm = np.zeros(HELD_S * RATE, np.float32)  # type: ignore[assignment]
        self._first = 0  # timestamp of its first sample
        self._played_s = 0.0  # when that one leaves the jitter buffer, time.monotonic()
        self._waited: list[float] = []
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.sample_rate, decoder.layout = RATE, "mono"
        self._decoder = decoder

    def take(self, packet: Heard) -> None:
        if not self._played_s:
            self._first, self._played_s = packet.timestamp, packet.at + self._waits_s
        place = (packet.timestamp - self._first) % 2**32
        wait = self._played_s + place / RATE - packet.at
        self.late += wait < 0
        self._waited.append(wait)
        for frame in self._decoder.decode(av.Packet(packet.payload)):
            assert isinstance(frame, av.AudioFrame)
            samples = np.asarray(frame.to_ndarray().ravel() / 32768, np.float32)
            if 0 <= place <= len(self._pcm) - len(samples):
                self._pcm[place : place + len(samples)] = samples  # type: ignore[index]

    def heard(self, at_s: float, samples: int) -> Samples:
        """What is in the air from then on (time.monotonic()), of the music alone."""
        place = round((at_s - self._played_s - self.output_s) * RATE)
        if not self._played_s or place < REACH or place + samples + REACH > len(self._pcm):
            return np.zeros(samples, np.float32)
        around = self._pcm[place - REACH : place + samples + REACH]  # type: ignore[index]
        return np.asarray(np.convolve(around, FILTER, "valid"), np.float32)

    def playout_ms(self) -> float | None:
        """Of the packets since the last call, on average, as `getStats()` and `outputLatency` would tell."""
        waited, self._waited = self._waited, []
        return 1000 * (float(np.mean(waited)) + self.output_s) if waited else None


class _Voice(Speaker):
    """Sings what the ears hear, on a carrier. capture_s: from a sound in the air to its packet, which lasts 20 ms."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        token: str,
        relay: Relay | None,
        *,
        ears: Ears,
        carrier_hz: float,
        capture_s: float,
    ) -> None:
        super().__init__(http, token, None, relay)
        self._ears = ears
        self._carrier_hz = carrier_hz
        self.capture_s = capture_s
        encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "flt"
        encoder.bit_rate, encoder.options = 96_000, {"application": "audio", "frame_duration": "20"}
        encoder.time_base = fractions.Fraction(1, RATE)
        self._encoder = encoder

    async def _next_frame(self, codec: object) -> RTCEncodedFrame:
        if self._begun is None:
            self._begun = time.monotonic()
        self._tick += 1
        leaves_s = self._begun + self._tick * FRAME / RATE
        await asyncio.sleep(max(0.0, leaves_s - time.monotonic()))
        t = (self._tick * FRAME + np.arange(FRAME)) / RATE
        carrier = np.sin(2 * np.pi * self._carrier_hz * t)
        sung = np.asarray(2 * self._ears.heard(leaves_s - self.capture_s, FRAME) * carrier, np.float32)
        frame = av.AudioFrame.from_ndarray(sung.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate, frame.pts = RATE, self._tick * FRAME
        [packet] = self._encoder.encode(frame)
        return RTCEncodedFrame([bytes(packet)], self._tick * FRAME, -25)


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """This thread, and threads and processes that it starts, run before all other work of the machine, if that is
    allowed: what holds up a client is a network's delay to the server, and so is followed, but nothing is in time."""
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, parameter)


class Singer:
    """`reports` false: it says nothing any more."""

    def __init__(self, ears: Ears, voice: _Voice) -> None:
        self.ears = ears
        self.voice = voice
        self.reports = True
        self.told: dict[str, float] = {}  # what the server answered last


@asynccontextmanager
async def singing(
    control: Control,
    room: str,
    user: str,
    *,
    carrier_hz: float,
    down: Relay | None = None,
    up: Relay | None = None,
    waits_s: float = 0.06,
    output_s: float = 0.02,
    capture_s: float = 0.032,
) -> AsyncIterator[Singer]:
    """One who has a seat, hears the mix and sings, and reports each second; each session over a relay of its own."""
    await control.seat(room, user)
    token = await control.token(room, user, publish=True)
    ears = Ears(waits_s, output_s)
    name = quote(room, safe="")
    listener = Listener(control.http, token, 1, down)
    listener.slots[0].packets = _Tee(ears)  # type: ignore[assignment]
    voice = _Voice(control.http, token, up, ears=ears, carrier_hz=carrier_hz, capture_s=capture_s)
    async with listener, voice:
        await listener.offer(f"/whep/{name}?mode=mix")
        await voice.offer(f"/whip/{name}")
        await asyncio.gather(listener.connected(), voice.connected())
        singer = Singer(ears, voice)
        reporting = asyncio.create_task(_report(control, room, user, token, singer))
        try:
            yield singer
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)


class _Tee:
    """Stands for a slot's packets."""

    def __init__(self, ears: Ears) -> None:
        self.append = ears.take


async def _report(control: Control, room: str, user: str, token: str, singer: Singer) -> None:
    url = f"/v1/rooms/{quote(room, safe='')}/participants/{user}/delays"
    while True:
        await asyncio.sleep(1.0)
        playout_ms = singer.ears.playout_ms()
        if playout_ms is None or not singer.reports:
            continue
        document = {"playout_ms": playout_ms, "capture_ms": 1000 * singer.voice.capture_s}
        response = await control.http.put(url, json=document, headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 200, response.text
        singer.told = response.json()


# The audience's ears


def envelope(samples: NDArray[Any], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    """Of a band, a value each millisecond."""
    band = np.abs(_band(samples, low_hz, high_hz))
    size = len(band) // 48
    return np.convolve(band[: size * 48].reshape(size, 48).mean(axis=1), np.hanning(9) / 4, "same")


def misses_ms(samples: NDArray[Any], carrier_hz: float, reach_ms: int = 400) -> float | None:
    """By how much the voice on this carrier is later than the music; None when it does not sing it. The whole of the
    samples is looked at, at least 2 s."""
    if len(samples) < 2 * RATE:
        return None
    music = envelope(samples, *MUSIC_HZ)
    voice = envelope(samples, carrier_hz - BAND_HZ, carrier_hz + BAND_HZ)
    music, voice = music - music.mean(), voice - voice.mean()
    lags = np.arange(-reach_ms, reach_ms + 1)
    inner = music[reach_ms:-reach_ms]
    likeness = np.array([float(inner @ voice[reach_ms + lag : reach_ms + lag + len(inner)]) for lag in lags])
    best = float(likeness.max() / np.sqrt((inner @ inner) * (voice @ voice) + 1e-12))
    return float(lags[int(likeness.argmax())]) if best > 0.5 else None


def pilot_hz(samples: NDArray[Any]) -> NDArray[np.float64]:
    """The pilot's pitch in each hundredth of a second."""
    n = np.arange(len(samples))
    base = samples * np.exp(-2j * np.pi * PILOT_HZ * n / RATE)
    size = RATE // 100
    steps = base[: len(base) // size * size].reshape(-1, size) @ np.hanning(size)
    turns = np.angle(steps[1:] * np.conj(steps[:-1])) / (2 * np.pi)
    return np.asarray(PILOT_HZ + turns * 100)


async def to_song(control: Control, room: str) -> Listener:
    """Makes a room with music that singers sing to, and somebody in its audience."""
    await control.call("PUT", "rooms", room, json={"scenario": "ktv"})
    response = await control.http.post(
        "/v1/media",
        content=encode(song(60), "flac"),
        headers={"Content-Type": "audio/flac"},
        auth=httpx.BasicAuth(*DEVELOPMENT_KEY),
    )
    response.raise_for_status()
    player = {"tracks": [{"media": response.json()["id"]}], "repeat": "all", "align": True}
    await control.call("PUT", "rooms", room, "players", "song", json=player)
    token = await control.token(room, "eve")
    return await listen(control.http, f"/whep/{quote(room, safe='')}?mode=mix", token, slots=1)


async def hear(audience: Listener, seconds: float) -> NDArray[np.float32]:
    """What comes from now on, at the times that the packets say."""
    audience.clear()
    await asyncio.sleep(seconds)
    packets: list[Any] = list(audience.slots[0].packets)
    return np.ascontiguousarray(decode(packets, 2)[:, 0])


async def meet(audience: Listener, *carriers_hz: float, within_s: float = 45.0) -> None:
    """Waits for all of these voices and the music to meet within 10 ms for 6 s on end. AssertionError when they do
    not."""
    deadline = time.monotonic() + within_s
    measured: list[list[float | None]] = []
    while True:
        heard = await hear(audience, 3.0)
        measured.append([misses_ms(heard, carrier_hz) for carrier_hz in carriers_hz])
        if len(measured) > 1 and all(ms is not None and abs(ms) <= 10 for ms in (*measured[-1], *measured[-2])):
            print("missed, ms:", measured)
            return
        assert time.monotonic() < deadline, measured
