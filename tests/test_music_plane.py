"""A player with its decoders and the plane: what a listener to the room hears, through rings, kernels and Opus."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mediaserver import _native
from mediaserver.music.addresses import Policy
from mediaserver.music.children import Children
from mediaserver.music.cues import Configure, Effect, Ended, Next, Pause, Play, Resumed, Seek, Starved, Status, Stop
from mediaserver.music.deck import Workshop
from mediaserver.music.gate import Gate
from mediaserver.music.plans import Plan, Track
from mediaserver.music.players import MusicPlayer
from tests.clips import encode, tone
from tests.decoders import until
from tests.mixplane import MixListener, MixPlane, decode, levels_db
from tests.rawplane import ROOM

RATE = 48_000
MUSIC = 70
TRACKS = {"a": (700.0, "mp3"), "b": (1300.0, "m4a"), "c": (2100.0, "flac")}
KINDS: dict[int, type[Starved] | type[Resumed] | type[Ended]] = {
    _native.DECK_STARVED: Starved,
    _native.DECK_RESUMED: Resumed,
    _native.DECK_ENDED: Ended,
}


class Column:
    """players.Output over a plane that the test polls."""

    def __init__(self, plane: Any) -> None:
        self.plane = plane
        self.handlers: dict[int, Callable[[type[Starved] | type[Resumed] | type[Ended]], None]] = {}
        self.last = 0

    def add_deck(self, deck: int, ring: Any, gain: float, fade_samples: int) -> None:
        self.plane.add_deck(ROOM, MUSIC, deck, ring, gain=gain, fade_samples=fade_samples)

    def fade_deck(self, deck: int, gain: float, fade_samples: int, then: str) -> None:
        self.plane.fade_deck(ROOM, MUSIC, deck, gain=gain, fade_samples=fade_samples, then=then)

    def adopt(self, hear: Callable[[type[Starved] | type[Resumed] | type[Ended]], None]) -> int:
        self.last += 1
        self.handlers[self.last] = hear
        return self.last

    def drop(self, deck: int) -> None:
        self.handlers.pop(deck, None)

    async def poll(self) -> None:
        while True:
            for kind, number, _ in self.plane.poll():
                if kind in KINDS and number in self.handlers:
                    self.handlers[number](KINDS[kind])
            await asyncio.sleep(0.005)


@contextmanager
def room() -> Iterator[MixPlane]:
    with MixPlane(music=True, bitrate=96_000) as plane:
        plane.plane.add_row(ROOM, 1, [])
        plane.plane.add_player(ROOM, MUSIC, 1.0)
        yield plane


@asynccontextmanager
async def playing(directory: Path) -> AsyncIterator[tuple[MusicPlayer, MixListener, list[Effect]]]:
    for name, (hz, form) in TRACKS.items():
        (directory / name).write_bytes(encode(tone(hz, 6, RATE), form, RATE, "stereo"))
    told: list[Effect] = []

    def hear(effects: Sequence[Effect]) -> None:
        told.extend(effects)

    with room() as plane:
        children, column = Children(), Column(plane.plane)
        workshop = Workshop(children, Gate(Policy()), lambda name: directory / name, _native.Ring)
        player = MusicPlayer(workshop, column, hear)
        polling = asyncio.create_task(column.poll())
        try:
            yield player, plane.mix_listener(1, 1), told
        finally:
            player.close()
            polling.cancel()
            children.close()
        assert not column.handlers


async def heard_db(listener: MixListener, hz: float, seconds: float = 0.6) -> float:
    """How loud a pitch is from now on."""
    await asyncio.sleep(0.25)
    listener.clear()
    await asyncio.sleep(seconds)
    pcm = decode(listener.packets())
    # Of silence hardly a packet is sent.
    return float(levels_db(pcm, hz)[0]) if len(pcm) > RATE * seconds / 2 else -120.0


async def test_a_playlist_is_heard_as_it_is_told_to_be(tmp_path: Path) -> None:
    plan = Plan(tuple(Track(name, f"library:{name}") for name in TRACKS), volume_db=-6.0)
    async with playing(tmp_path) as (player, listener, told):
        player.ask(Configure(plan))
        player.ask(Play())
        await until(lambda: player.now().position_s > 0.1)
        assert player.now().status is Status.PLAYING
        full = -6.0 - 6.0  # the tone's own level, and the volume; in dB below a full-scale sine
        assert await heard_db(listener, 700) == pytest.approx(full, abs=0.7)
        player.ask(Pause())
        assert await heard_db(listener, 700) < -60
        position_s = player.now().position_s
        assert await heard_db(listener, 700) < -60
        assert player.now().position_s == position_s
        player.ask(Play())
        assert await heard_db(listener, 700) == pytest.approx(full, abs=0.7)
        player.ask(Configure(Plan(plan.tracks, volume_db=-20.0)))
        assert await heard_db(listener, 700) == pytest.approx(-26.0, abs=0.7)
        player.ask(Next())
        assert await heard_db(listener, 1300) == pytest.approx(-26.0, abs=1.0)
        player.ask(Seek(4.0))
        await until(lambda: player.now().position_s > 4.2)
        await until(lambda: player.now().track == "c", 10)
        assert await heard_db(listener, 2100) == pytest.approx(-26.0, abs=0.7)
        player.ask(Stop())
        assert await heard_db(listener, 2100) < -60
        assert player.now().status is Status.IDLE
        assert "TrackFailed" not in {type(effect).__name__ for effect in told}


async def test_tracks_that_cross_fade_are_heard_together(tmp_path: Path) -> None:
    plan = Plan(tuple(Track(name, f"library:{name}") for name in TRACKS), crossfade_ms=3000)
    async with playing(tmp_path) as (player, listener, _):
        player.ask(Configure(plan))
        player.ask(Play("a", 1.0))
        await until(lambda: player.now().track == "b", 10)
        await asyncio.sleep(0.7)
        listener.clear()
        await asyncio.sleep(1.2)
        pcm = decode(listener.packets())
        middle = [float(levels_db(pcm, hz)[0]) for hz in (700, 1300)]
        assert min(middle) > -18
        await asyncio.sleep(1.5)
        assert await heard_db(listener, 700) < -55
