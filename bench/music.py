"""What music, effects and care for voices cost: CPU time of the plane's thread and of the decoders, beside the same
rooms without them.

Rooms in which two people talk and one hears the mix, all in one plane of one worker. In each round every variant takes
its turn: what it has is added to every room, runs for a second, is taken away again. A figure is the median over rounds
of the variant's CPU time per tick (20 ms) less that of the plain rooms in the same round. Players play real files by
real decoders' processes, whose CPU time is the kernel's count of it; the ring is full when the second begins.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from bench.rawpeer import AES_128_GCM, RawPeer
from bench.speech import packets_of_speech
from mediaserver import _native, kernels
from mediaserver.music.children import Child, Children, Report
from mediaserver.music.deck import RING_FRAMES
from mediaserver.music.jobs import Job, Output
from mediaserver.music.sandbox import Bounds
from mediaserver.voices import Chain, Speech, VoiceEffect, chain_of

RATE = 48_000
FRAME_S = 0.02
TALKERS = 2
PLAYER, EFFECT, ROW = 70, 80, 1
SETTLE_S = 0.4  # fades and cross-fades of chains are over
FILL_S = 20.0  # within which a decoder must have filled its ring
# Name -> (muxer, encoder, sampling rate, bit rate)
FORMATS: dict[str, tuple[str, str, int, int | None]] = {
    "mp3": ("mp3", "libmp3lame", 44_100, 128_000),
    "aac": ("ipod", "aac", 44_100, 128_000),
    "opus": ("ogg", "libopus", 48_000, 96_000),
    "flac": ("flac", "flac", 44_100, None),
    "wav": ("wav", "pcm_s16le", 44_100, None),
}
CARES = {
    "high-pass": Speech(high_pass=True),
    "denoise": Speech(noise_suppression=True),
    "gate": Speech(gate=True),
    "AGC": Speech(target_lufs=-20.0),
}


@dataclass(frozen=True)
class Variant:
    """`per`: what of it there is in a room, for the figure of one."""

    name: str
    added: Callable[[Rooms], AbstractAsyncContextManager[list[int]]]
    """Within it the rooms have it; it gives the processes that work for it."""
    per: str = "room"


@dataclass(frozen=True)
class Cost:
    plane_us: float  # per tick of a room
    children_us: float  # the same of processes

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.plane_us - other.plane_us, self.children_us - other.children_us)


def song(form: str, seconds: float) -> bytes:
    """A chord with an octave's tremolo and some noise: no codec finds it too easy."""
    muxer, encoder, rate, bitrate = FORMATS[form]
    random = np.random.default_rng(1)
    t = np.arange(int(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hz * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t)) for hz in (220, 277.2, 329.6, 440))
    left = 0.1 * np.asarray(chord) + random.normal(0, 0.01, t.size)
    stereo = np.stack([left, np.roll(left, 300)]).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=muxer) as container:
        stream: Any = container.add_stream(encoder, rate=rate)
        stream.layout = "stereo"
        if bitrate:
            stream.bit_rate = bitrate
        stream.codec_context.open()
        resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=rate)
        fifo = av.AudioFifo()
        whole = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        whole.sample_rate, whole.pts = rate, 0
        for frame in [*resampler.resample(whole), *resampler.resample(None)]:
            fifo.write(frame)
        while chunk := fifo.read(stream.codec_context.frame_size or 1024, True):
            container.mux(stream.encode(chunk))
        container.mux(stream.encode(None))
    return file.getvalue()


class Rooms:
    """Equal rooms in one plane of one worker, and the talkers and listeners of all of them."""

    def __init__(self, count: int, children: Children, files: dict[str, Path], *, stereo: bool) -> None:
        self.plane = _native.Plane([[("127.0.0.1", 0)]], tcp=False)
        self.plane.set_kernels(**kernels.plane_arguments())
        self.plane.set_stages(kernels.plane_stages())
        self.plane.start()
        self.count = count
        self._children = children
        self._files = files
        self._server = self.plane.addresses(0)[0]
        self._speech = [packets_of_speech(seed) for seed in range(TALKERS)]
        self._said = 0
        self._clip = _native.Clip(np.random.default_rng(1).normal(0, 0.05, (RATE, 1)).astype(np.float32))
        self._talkers: list[list[RawPeer]] = []
        self._listeners: list[RawPeer] = []
        self._numbers = 0
        for room in range(1, count + 1):
            self.plane.add_room(room, 0, stereo=stereo, music=False, passthrough=False)
            self.plane.add_row(room, ROW, [])
            self._talkers.append([self._talker(room, csrc) for csrc in range(1, TALKERS + 1)])
            self._listen(room)

    def _talker(self, room: int, csrc: int) -> RawPeer:
        peer = RawPeer()
        self.plane.set_column(room, csrc, 1.0)
        self._numbers += 1
        self.plane.add_publisher(
            self._numbers,
            room,
            ufrag=peer.ufrag,
            pwd=peer.password,
            csrc=csrc,
            payload_type=111,
            level_id=1,
            report_ssrc=9,
        )
        return self._connected(peer)

    def _listen(self, room: int) -> None:
        peer = RawPeer()
        self._numbers += 1
        slot = _native.Slot(ssrc=1000, payload_type=111)
        self.plane.add_listener(
            self._numbers,
            0,
            room,
            ufrag=peer.ufrag,
            pwd=peer.password,
            csrc=1000,
            slots=[slot],
            cname="bench",
            row=ROW,
        )
        self._listeners.append(self._connected(peer))

    def _connected(self, peer: RawPeer) -> RawPeer:
        peer.connect(self._server)
        self.plane.set_keys(self._numbers, AES_128_GCM, peer.material)
        peer.socket.setblocking(False)
        return peer

    async def run(self, seconds: float) -> None:
        """Everybody talks, in real time."""
        frames = round(seconds / FRAME_S)
        begin = time.monotonic()
        for talkers in self._talkers:
            for talker in talkers:
                talker.timestamp = int(begin / FRAME_S) * 960  # media time went on since the last run
        for number in range(frames):
            for talkers in self._talkers:
                for talker, speech in zip(talkers, self._speech, strict=True):
                    talker.socket.sendto(talker.rtp(speech[self._said % len(speech)]), self._server)
            self._said += 1
            for listener in self._listeners:
                _empty(listener)
            await asyncio.sleep(max(0.0, begin + (number + 1) * FRAME_S - time.monotonic()))

    async def cost(self, variant: Variant, seconds: float) -> Cost:
        async with variant.added(self) as processes:
            await self.run(SETTLE_S)
            before, spent = self.plane.counters(0), sum(map(cpu_ns, processes))
            await self.run(seconds)
            after, spent = self.plane.counters(0), sum(map(cpu_ns, processes)) - spent
        ticks = after["room_ticks"] - before["room_ticks"]
        if ticks < 0.5 * seconds / FRAME_S * self.count:
            raise RuntimeError(f"the machine is too busy: {ticks} ticks in {seconds} s of {self.count} rooms")
        wall = seconds / FRAME_S * self.count  # processes work in real time, whatever ticks were skipped
        return Cost((after["cpu_ns"] - before["cpu_ns"]) / ticks / 1000, spent / wall / 1000)

    # What can be added

    @asynccontextmanager
    async def nothing(self) -> AsyncIterator[list[int]]:
        yield []

    @asynccontextmanager
    async def player(self, form: str) -> AsyncIterator[list[int]]:
        rings = [_native.Ring(RING_FRAMES) for _ in range(self.count)]
        decoders: list[Child] = []
        try:
            decoders += [await self._decoder(form, ring) for ring in rings]
            deadline = time.monotonic() + FILL_S
            while min(ring.buffered for ring in rings) < 0.9 * RING_FRAMES:
                if time.monotonic() > deadline:
                    raise RuntimeError("the decoders do not fill their rings")
                await asyncio.sleep(0.05)
            for room, ring in enumerate(rings, start=1):
                self.plane.add_player(room, PLAYER, 0.3)
                self.plane.add_deck(room, PLAYER, room, ring, gain=1.0, fade_samples=480)
            yield [decoder.pid for decoder in decoders]
        finally:
            for room in range(1, self.count + 1):
                self.plane.remove_column(room, PLAYER)
            for decoder in decoders:
                decoder.kill()
            self.plane.poll()

    async def _decoder(self, form: str, ring: _native.Ring) -> Child:
        failure: list[Report] = []

        def hear(report: Report) -> None:
            if report["report"] == "error":
                failure.append(report)

        with self._files[form].open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            child = await self._children.start(
                Job(Output.RING, size=size), Bounds(600, 0), [file.fileno(), ring.fd], hear
            )
        if failure:
            raise RuntimeError(f"{form} cannot be decoded: {failure[0]}")
        return child

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[list[int]]:
        for room in range(1, self.count + 1):
            self.plane.start_effect(room, EFFECT, room, self._clip, gain=0.3, repeat=True)
        try:
            yield []
        finally:
            for room in range(1, self.count + 1):
                self.plane.stop_effect(room, EFFECT)
            self.plane.poll()

    @asynccontextmanager
    async def chain(self, chain: Chain) -> AsyncIterator[list[int]]:
        places = {stage.name: place for place, stage in enumerate(kernels.PLANE_STAGES)}
        stages = [(places[name], kernels.PLANE_STAGES[places[name]].values(**dict(params))) for name, params in chain]
        self._set_chains(stages)
        try:
            yield []
        finally:
            self._set_chains([])

    def _set_chains(self, stages: Sequence[tuple[int, Sequence[float]]]) -> None:
        for room in range(1, self.count + 1):
            for csrc in range(1, TALKERS + 1):
                self.plane.set_chain(room, csrc, stages)

    def close(self) -> None:
        self.plane.stop()
        for peer in [*self._listeners, *(talker for talkers in self._talkers for talker in talkers)]:
            peer.close()


def _empty(listener: RawPeer) -> None:
    try:
        while True:
            listener.socket.recv(2048)
    except BlockingIOError:
        pass


def cpu_ns(pid: int) -> int:
    """What a process has had of the CPUs until now."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])


def variants(forms: Sequence[str], voices: Sequence[VoiceEffect]) -> list[Variant]:
    def chained(name: str, chain: Chain) -> Variant:
        return Variant(name, lambda rooms: rooms.chain(chain), "speaker")

    def played(form: str) -> Variant:
        return Variant(f"player, {form}", lambda rooms: rooms.player(form), "player")

    return [
        *map(played, forms),
        Variant("effect", Rooms.effect, "effect"),
        *(chained(name, chain_of(speech, None)) for name, speech in CARES.items()),
        *(chained(f"voice: {effect}", chain_of(Speech(), effect)) for effect in voices),
    ]


async def measure(rooms: Rooms, wanted: Sequence[Variant], rounds: int, seconds: float) -> list[dict[str, Any]]:
    plain = Variant("the room without", Rooms.nothing)
    added: dict[str, list[Cost]] = {variant.name: [] for variant in wanted}
    without: list[float] = []
    await rooms.cost(plain, 1.0)  # jitter buffers fill, encoders settle
    for _ in range(rounds):
        base = await rooms.cost(plain, seconds)
        without.append(base.plane_us)
        for variant in wanted:
            added[variant.name].append(await rooms.cost(variant, seconds) - base)
    results = [{"what": plain.name, "per": plain.per, "plane_us": round(statistics.median(without), 2)}]
    for variant in wanted:
        share = TALKERS if variant.per == "speaker" else 1
        costs = added[variant.name]
        plane_us = statistics.median(cost.plane_us for cost in costs)
        result = {
            "what": variant.name,
            "per": variant.per,
            "plane_us": round(plane_us / share, 2),
            "room_us": round(plane_us, 2),
            "plane_us_all": [round(cost.plane_us / share, 2) for cost in costs],
        }
        if any(cost.children_us for cost in costs):
            result["children_us"] = round(statistics.median(cost.children_us for cost in costs), 2)
        results.append(result)
    return results


def show(results: Sequence[dict[str, Any]]) -> None:
    print(f"{'added to every room':<20} {'per':<8} {'plane µs':>9} {'room µs':>9} {'decoder µs':>11}")
    for result in results:
        cells = [f"{result[key]:.2f}" if key in result else "" for key in ("plane_us", "room_us", "children_us")]
        print(f"{result['what']:<20} {result['per']:<8} {cells[0]:>9} {cells[1]:>9} {cells[2]:>11}")


async def run(
    rooms: int, rounds: int, seconds: float, forms: Sequence[str], voices: Sequence[VoiceEffect], *, stereo: bool
) -> list[dict[str, Any]]:
    children = Children()
    length_s = RING_FRAMES / RATE + SETTLE_S + seconds + 30.0  # whatever holds the machine up, no song ends
    with tempfile.TemporaryDirectory() as directory:
        files = {form: Path(directory) / form for form in forms}
        for form, path in files.items():
            path.write_bytes(song(form, length_s))
        made = Rooms(rooms, children, files, stereo=stereo)
        try:
            return await measure(made, variants(forms, voices), rounds, seconds)
        finally:
            made.close()
            children.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench music", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--rooms", type=int, default=8, help="rooms at a time, with a decoder each")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each; medians are printed")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each variant in a round")
    every = [str(effect) for effect in VoiceEffect]
    parser.add_argument("--voices", nargs="*", choices=every, default=every, metavar="VOICE", help=", ".join(every))
    parser.add_argument("--stereo", action="store_true", help="stereo mixes; speakers are mono all the same")
    parser.add_argument("--quick", action="store_true", help="3 rounds, and of the formats MP3 alone")
    arguments = parser.parse_args()
    rounds = min(3, arguments.rounds) if arguments.quick else arguments.rounds
    forms = ["mp3"] if arguments.quick else list(FORMATS)
    voices = [VoiceEffect(voice) for voice in arguments.voices]
    results = asyncio.run(run(arguments.rooms, rounds, arguments.seconds, forms, voices, stereo=arguments.stereo))
    mixes = "stereo" if arguments.stereo else "mono"
    print(f"CPU time per tick of 20 ms; {TALKERS} talkers in each room, {mixes} mixes, medians of {rounds} rounds")
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps({"stereo": arguments.stereo, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
