"""Music and effects as a room service has them: files uploaded over HTTP, played into a room of a real server, and
measured at listeners who have joined it over WebRTC."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from mediaserver.settings import DEVELOPMENT_KEY
from tests.client import Listener, listen, until
from tests.clips import Samples, chirp, encode, tone
from tests.conftest import StartServer
from tests.control import Control
from tests.server import Server
from tests.voices import level_db

SILENT_DB = -60.0
TONE_DB = -6.0  # of tests.clips.tone()

Join = Callable[..., Awaitable[Listener]]


@pytest.fixture
async def control(start_server: StartServer, tmp_path: Path) -> AsyncIterator[Control]:
    library = tmp_path / "library"
    library.mkdir()
    server = start_server("--media-dir", str(library), "--media-allow-network", "127.0.0.0/8")
    async with Control(server.url) as control:
        yield control


@pytest.fixture
async def join(control: Control, room: str) -> AsyncIterator[Join]:
    """Joins the room's mix as a user."""
    async with AsyncExitStack() as stack:

        async def join(user: str) -> Listener:
            token = await control.token(room, user)
            listener = await listen(control.http, f"/whep/{quote(room, safe='')}?mode=mix", token, slots=1)
            await stack.enter_async_context(listener)
            await listener.connected()
            return listener

        yield join


async def upload(control: Control, data: bytes) -> str:
    response = await control.http.post(
        "/v1/media", content=data, headers={"Content-Type": "audio/wav"}, auth=httpx.BasicAuth(*DEVELOPMENT_KEY)
    )
    assert response.status_code == 201, response.text
    return str(response.json()["id"])


async def play(control: Control, room: str, *media: str, **fields: Any) -> dict[str, Any]:
    tracks = [{"media": name, "key": f"track {number}"} for number, name in enumerate(media)]
    player = {"tracks": tracks, **fields}
    found = await control.call("PUT", "rooms", room, "players", "music", json=player)
    assert isinstance(found, dict)
    return found


async def hears(listener: Listener, pitch_hz: int, level: float, within_db: float = 1.0) -> None:
    await until(
        lambda: abs(level_db(listener.samples(0.5), pitch_hz) - level) < within_db,
        say=f"{pitch_hz} Hz at {level} dB",
    )


async def hears_nothing(listener: Listener, pitch_hz: int, seconds: float = 1.0) -> None:
    listener.clear()
    await asyncio.sleep(seconds)
    assert level_db(listener.samples(seconds), pitch_hz) < SILENT_DB


def largest_step(samples: Samples) -> float:
    return float(np.abs(np.diff(samples)).max())


async def test_a_piece_of_the_library_is_played_paused_sought_and_stopped(
    control: Control, room: str, join: Join
) -> None:
    await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
    listener = await join("ann")
    piece = await upload(control, encode(tone(500, 20, 48_000), "flac"))
    await play(control, room, piece, volume_db=-6)
    await hears(listener, 500, TONE_DB - 6)
    state = await control.call("GET", "rooms", room, "players", "music")
    assert (state["status"], state["track"], state["duration_ms"]) == ("playing", "track 0", 20_000)
    await control.call("PATCH", "rooms", room, "players", "music", json={"state": "paused"})
    await asyncio.sleep(0.5)
    await hears_nothing(listener, 500, 0.5)
    paused = await control.call("GET", "rooms", room, "players", "music")
    assert paused["status"] == "paused"
    await control.call("PATCH", "rooms", room, "players", "music", json={"state": "playing", "volume_db": 0})
    await hears(listener, 500, TONE_DB)
    await control.call("POST", "rooms", room, "players", "music", "seek", json={"position_ms": 15_000})
    await until_status(control, room, "playing")
    sought = await control.call("GET", "rooms", room, "players", "music")
    assert 14_900 < sought["position_ms"] < 18_000
    listener.clear()
    await asyncio.sleep(1.0)
    assert largest_step(listener.samples(0.9)) < 0.05, "a tone of 500 Hz at -6 dB has 0.033"
    await control.call("PATCH", "rooms", room, "players", "music", json={"state": "stopped"})
    await asyncio.sleep(0.5)
    await hears_nothing(listener, 500, 0.5)


async def until_status(control: Control, room: str, status: str, within_s: float = 10.0) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        state = await control.call("GET", "rooms", room, "players", "music")
        if state["status"] == status:
            return dict(state)
        assert asyncio.get_running_loop().time() < deadline, state
        await asyncio.sleep(0.05)


async def test_the_position_that_is_told_is_that_of_the_sound_that_comes(
    control: Control, room: str, join: Join
) -> None:
    """What is heard at the time of a sender report, by correlation with the chirp that is played."""
    await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
    listener = await join("ann")
    song = chirp(12, 48_000)
    await play(control, room, await upload(control, encode(song, "wav")))
    await until_status(control, room, "playing")
    await asyncio.sleep(2.0)
    state = await control.call("GET", "rooms", room, "players", "music")
    heard, heard_at = listener.samples(1.0), time.time()
    place = int(np.argmax(np.correlate(song, heard, "valid"))) + len(heard)  # samples of the song that have been heard
    told = state["position_ms"] / 1000 + (heard_at - state["at"])
    assert place / 48_000 == pytest.approx(told, abs=0.3), "the client's own buffers are between them"


async def test_music_of_an_address_is_fetched_and_what_must_not_be_fetched_is_not(
    control: Control, room: str, join: Join
) -> None:
    await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
    listener = await join("ann")
    data = encode(tone(700, 10, 48_000), "mp3")
    async with serving(data) as url:
        tracks = [{"url": "http://10.0.0.1/x.mp3", "key": "refused"}, {"url": f"{url}/song.mp3", "key": "song"}]
        await control.call("PUT", "rooms", room, "players", "music", json={"tracks": tracks})
        await hears(listener, 700, TONE_DB)
        state = await control.call("GET", "rooms", room, "players", "music")
        assert state["track"] == "song"


class serving:
    """An HTTP server on loopback that has one file."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aenter__(self) -> str:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: {len(self._data)}\r\n\r\n"
            writer.write(head.encode() + self._data)
            await writer.drain()
            writer.close()

        self._server = await asyncio.start_server(answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()


async def test_a_ring_tone_rings_for_one_until_it_is_stopped(control: Control, room: str, join: Join) -> None:
    await control.make_room(room)
    bob, cem = await join("bob"), await join("cem")
    await control.call("PUT", "rooms", room, "effects", "call", json={"sound": "ring_back", "audience": ["bob"]})
    await hears_something(bob)
    cem.clear()
    await asyncio.sleep(1.0)
    assert float(np.abs(cem.samples(1.0)).max(initial=0.0)) < 0.001
    assert [effect["id"] for effect in (await control.call("GET", "rooms", room, "effects"))["effects"]] == ["call"]
    await control.call("DELETE", "rooms", room, "effects", "call")
    await asyncio.sleep(0.5)
    bob.clear()
    await asyncio.sleep(1.0)
    assert float(np.abs(bob.samples(1.0)).max(initial=0.0)) < 0.001


async def hears_something(listener: Listener) -> None:
    await until(lambda: float(np.abs(listener.samples(0.5)).max(initial=0.0)) > 0.02, say="something is heard")


async def test_an_effect_is_played_once_and_is_over(control: Control, room: str, join: Join) -> None:
    await control.make_room(room)
    ann = await join("ann")
    played = await control.call("POST", "rooms", room, "effects", json={"sound": "ding", "gain_db": 0})
    assert played["repeat"] is False
    await hears_something(ann)
    for _ in range(100):
        if not (await control.call("GET", "rooms", room, "effects"))["effects"]:
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError("it does not end")


async def test_a_short_piece_of_the_library_is_an_effect(control: Control, room: str, join: Join) -> None:
    await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
    ann = await join("ann")
    piece = await upload(control, encode(tone(900, 2, 44_100), "wav", 44_100))
    await control.call("POST", "rooms", room, "effects", json={"sound": f"library:{piece}"})
    await hears(ann, 900, TONE_DB)


async def test_music_goes_down_while_somebody_speaks_and_comes_back(control: Control, room: str, join: Join) -> None:
    settings = {"mix": {"bitrate": 96_000, "music": True, "ducking_db": 20}}
    await control.call("PUT", "rooms", room, json=settings)
    listener = await join("cem")
    await play(control, room, await upload(control, encode(tone(1500, 30, 48_000), "flac")), volume_db=-6, repeat="all")
    await hears(listener, 1500, TONE_DB - 6)
    async with await control.speak(room, "ann", 440) as ann:
        await ann.connected()
        await hears(listener, 1500, TONE_DB - 26, within_db=3.0)
        await control.mute(room, "ann")
        await hears(listener, 1500, TONE_DB - 6)


async def test_everybody_s_own_ears_and_an_audience(control: Control, room: str, join: Join) -> None:
    await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
    await control.seat(room, "ann")
    ann, bob, cem = await join("ann"), await join("bob"), await join("cem")
    piece = await upload(control, encode(tone(600, 30, 48_000), "flac"))
    await play(control, room, piece, repeat="all", audience="listeners")
    await control.call("PUT", "rooms", room, "listeners", "cem", json={"music_gain_db": -12})
    await hears(bob, 600, TONE_DB)
    await hears(cem, 600, TONE_DB - 12)
    await hears_nothing(ann, 600)
    await control.call("PATCH", "rooms", room, "players", "music", json={"audience": "everybody"})
    await hears(ann, 600, TONE_DB)


async def test_a_room_s_music_is_there_again_after_the_server_was_killed(
    start_server: StartServer, tmp_path: Path, room: str
) -> None:
    library, state = tmp_path / "library", tmp_path / "state.db"
    library.mkdir()
    options = ("--media-dir", str(library), "--state", str(state))
    server = Server(tmp_path / "first.log", *options)
    server.wait_ready()
    async with Control(server.url) as control:
        await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 96_000, "music": True}})
        await play(control, room, await upload(control, encode(tone(800, 30, 48_000), "flac")), repeat="all")
        await control.call("PUT", "rooms", room, "effects", "call", json={"sound": "busy", "audience": ["bob"]})
        await until_status(control, room, "playing")
    server.kill()
    server = start_server(*options)
    async with Control(server.url) as control:
        await until_status(control, room, "playing")
        token = await control.token(room, "ann")
        async with await listen(control.http, f"/whep/{quote(room, safe='')}?mode=mix", token, slots=1) as ann:
            await ann.connected()
            await hears(ann, 800, TONE_DB)
        [effect] = (await control.call("GET", "rooms", room, "effects"))["effects"]
        assert (effect["id"], effect["sound"]) == ("call", "busy")
