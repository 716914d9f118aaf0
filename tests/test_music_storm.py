"""What music must not do to speech: decoders that are killed, streams that lie, everything at once; and to encrypted
rooms nothing at all."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mediaserver.schema_programme import MAX_EFFECTS, MAX_PLAYERS
from tests.client import Listener, assert_continuous, listen, until
from tests.clips import encode, tone
from tests.conftest import StartServer
from tests.control import Control
from tests.edge import Edge, assert_problem, serving
from tests.test_music_room import TONE_DB, hears, play, until_status, upload
from tests.test_music_room import serving as serving_file
from tests.voices import level_db

SPEECH_HZ = 440
SPEECH_DB = -20.0  # at least, in every second of it


class Stage:
    """A server's room in which ann talks and bob hears the mix."""

    def __init__(self, control: Control, room: str, pid: int, bob: Listener) -> None:
        self.control, self.room, self.pid, self.bob = control, room, pid, bob

    def decoders(self) -> set[int]:
        """Processes of the server's fork server."""
        return {child for one in _children(self.pid) for child in _children(one)}

    async def speech_goes_on(self, seconds: int = 2) -> None:
        """Nothing of the mix is lost, and ann is in each second of it as loud as ever."""
        self.bob.clear()
        for _ in range(seconds):
            await asyncio.sleep(1.0)
            assert level_db(self.bob.samples(1.0), SPEECH_HZ) > SPEECH_DB
        assert len(self.bob.slots[0].packets) > 40
        assert_continuous(self.bob.slots[0].packets)
        assert await self.control.metric("mediaserver_plane_dropped_overload_total") == 0


def _children(pid: int) -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if fields[0] != "Z" and int(fields[1]) == pid:
            found.add(int(path.parent.name))
    return found


@pytest.fixture
async def stage(start_server: StartServer, tmp_path: Path, room: str) -> AsyncIterator[Stage]:
    library = tmp_path / "library"
    library.mkdir()
    options = ("--media-dir", str(library), "--media-allow-network", "127.0.0.0/8", "--workers", "1")
    server = start_server(*options)
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(Control(server.url))
        await control.call("PUT", "rooms", room, json={"mix": {"bitrate": 128_000, "music": True, "ducking_db": 0}})
        ann = await stack.enter_async_context(await control.speak(room, "ann", SPEECH_HZ))
        await ann.connected()
        token = await control.token(room, "bob")
        address = f"/whep/{quote(room, safe='')}?mode=mix"
        bob = await stack.enter_async_context(await listen(control.http, address, token, slots=1))
        await bob.connected()
        await until(lambda: level_db(bob.samples(1.0), SPEECH_HZ) > SPEECH_DB, say="ann is heard")
        yield Stage(control, room, server.process.pid, bob)


async def test_a_decoder_that_is_killed_ends_its_track_and_nothing_else(stage: Stage) -> None:
    control, room = stage.control, stage.room
    first, second = [await upload(control, encode(tone(hertz, 90, 48_000), "flac")) for hertz in (700, 1000)]
    await play(control, room, first, second, volume_db=-6)
    await hears(stage.bob, 700, TONE_DB - 6, within_db=3)
    [decoder] = stage.decoders()
    os.kill(decoder, signal.SIGKILL)
    await stage.speech_goes_on()
    await hears(stage.bob, 1000, TONE_DB - 6, within_db=3)
    state = await control.call("GET", "rooms", room, "players", "music")
    assert (state["track"], state["status"]) == ("track 1", "playing")
    assert await control.metric("mediaserver_decoder_deaths_total", how="died") == 1
    assert await control.metric("mediaserver_tracks_failed_total", reason="decoder-died") == 1
    assert await control.metric("mediaserver_decoders") == 1
    assert await control.metric("mediaserver_players", status="playing") == 1
    assert await control.metric("mediaserver_library_items") == 2


async def test_a_fork_server_that_is_killed_is_started_again(stage: Stage) -> None:
    control, room = stage.control, stage.room
    song = await upload(control, encode(tone(700, 90, 48_000), "flac"))
    await play(control, room, song, song, volume_db=-6)
    await hears(stage.bob, 700, TONE_DB - 6, within_db=3)
    [fork_server] = _children(stage.pid)
    os.kill(fork_server, signal.SIGKILL)
    await stage.speech_goes_on()
    state = await until_status(control, room, "playing")
    assert state["track"] == "track 1"
    await hears(stage.bob, 700, TONE_DB - 6, within_db=3)
    assert await control.metric("mediaserver_decoder_deaths_total", how="fork-server") == 1


async def test_streams_that_lie_are_passed_over_and_speech_goes_on(stage: Stage) -> None:
    control, room = stage.control, stage.room
    junk = random.Random(7).randbytes(300_000)
    lies = [junk, b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100_000), b"#EXTM3U\n" + b"file:///etc/passwd\n" * 500, b""]
    async with AsyncExitStack() as stack:
        urls = [f"{await stack.enter_async_context(serving_file(data))}/song.mp3" for data in lies]
        urls.append("http://[::1]:1/x.mp3")
        song = f"{await stack.enter_async_context(serving_file(encode(tone(1000, 60, 48_000), 'mp3')))}/song.mp3"
        await control.call(
            "PUT", "rooms", room, "players", "music", json={"tracks": [{"url": url} for url in (*urls, song)]}
        )
        await stage.speech_goes_on(3)
        await hears(stage.bob, 1000, TONE_DB, within_db=3)
        state = await control.call("GET", "rooms", room, "players", "music")
        assert state["track"] == str(len(urls))
        assert await control.metric("mediaserver_tracks_failed_total") == len(urls)
        assert await control.metric("mediaserver_fetches_refused_total") >= 2


async def test_all_players_and_effects_come_and_go_at_random_and_speech_goes_on(stage: Stage) -> None:
    control, room = stage.control, stage.room
    chance = random.Random(11)
    songs = [await upload(control, encode(tone(hertz, 20, 48_000, 0.05), "mp3")) for hertz in (700, 1000)]
    sounds = (await control.call("GET", "sounds"))["sounds"]
    players = [f"player {number}" for number in range(MAX_PLAYERS)]
    effects = [f"effect {number}" for number in range(MAX_EFFECTS)]

    over = asyncio.Event()

    async def storm() -> None:
        while not over.is_set():
            player, effect = chance.choice(players), chance.choice(effects)
            match chance.randrange(6):
                case 0 | 1:
                    tracks = [{"media": song} for song in songs]
                    wish = {"tracks": tracks, "volume_db": -30, "shuffle": True, "crossfade_ms": 300, "repeat": "all"}
                    await control.call("PUT", "rooms", room, "players", player, json=wish)
                    await control.call("POST", "rooms", room, "players", player, "seek", json={"position_ms": 9000})
                case 2:
                    await control.call("DELETE", "rooms", room, "players", player)
                case 3 | 4:
                    wish = {"sound": sounds[effects.index(effect) % len(sounds)], "gain_db": -40}
                    await control.call("PUT", "rooms", room, "effects", effect, json=wish)
                case 5:
                    await control.call("DELETE", "rooms", room, "effects", effect)

    async def everything() -> None:
        """As many as there may be, at first; one more is refused."""
        for player in players:
            wish = {"tracks": [{"media": songs[0]}], "volume_db": -30}
            await control.call("PUT", "rooms", room, "players", player, json=wish)
        for number, effect in enumerate(effects):
            wish = {"sound": sounds[number % len(sounds)], "gain_db": -40}
            await control.call("PUT", "rooms", room, "effects", effect, json=wish)

    await everything()
    assert await control.metric("mediaserver_effects") == MAX_EFFECTS
    storming = asyncio.create_task(storm())
    try:
        await stage.speech_goes_on(6)
    finally:
        over.set()  # to the answer of its last call: none comes after what follows
        await storming
    await control.call("PATCH", "rooms", room, json={"players": None, "effects": None})
    await until(lambda: not stage.decoders(), say="no decoder is left")
    await stage.speech_goes_on(1)
    assert await control.metric("mediaserver_decoders") == 0
    assert await control.metric("mediaserver_decoder_deaths_total") == 0


async def test_next_previous_shuffle_and_repeat_play_what_they_say(stage: Stage) -> None:
    control, room = stage.control, stage.room
    pitches = {"track 0": 700, "track 1": 1000, "track 2": 1600}
    songs = [await upload(control, encode(tone(hertz, 25, 48_000), "flac")) for hertz in pitches.values()]

    async def asks(what: str) -> str:
        state = await control.call("POST", "rooms", room, "players", "music", what)
        await hears(stage.bob, pitches[state["track"]], TONE_DB, within_db=3)
        return str(state["track"])

    await play(control, room, *songs, repeat="all")
    await hears(stage.bob, 700, TONE_DB, within_db=3)
    assert [await asks("next") for _ in range(3)] == ["track 1", "track 2", "track 0"]
    assert await asks("previous") == "track 2"
    await control.call("PATCH", "rooms", room, "players", "music", json={"repeat": "one"})
    await control.call("POST", "rooms", room, "players", "music", "seek", json={"position_ms": 23_500})
    await asyncio.sleep(3.0)
    await hears(stage.bob, 1600, TONE_DB, within_db=3)
    state = await control.call("GET", "rooms", room, "players", "music")
    assert state["track"] == "track 2"
    assert state["position_ms"] < 10_000
    await control.call("PATCH", "rooms", room, "players", "music", json={"repeat": "all", "shuffle": True})
    assert {await asks("next") for _ in range(3)} == set(pitches)


# Encrypted rooms

PLAYER: dict[str, Any] = {"tracks": [{"url": "https://radio.example.org/x.mp3"}]}
EFFECT: dict[str, Any] = {"sound": "ding"}
WAYS: dict[str, tuple[str, tuple[str, ...], dict[str, Any]]] = {
    "PUT player": ("PUT", ("rooms", "safe", "players", "music"), PLAYER),
    "PUT effect": ("PUT", ("rooms", "safe", "effects", "call"), EFFECT),
    "POST effect": ("POST", ("rooms", "safe", "effects"), EFFECT),
    "PUT room, player": ("PUT", ("rooms", "safe"), {"e2ee": True, "players": {"music": PLAYER}}),
    "PUT room, effect": ("PUT", ("rooms", "safe"), {"e2ee": True, "effects": {"call": EFFECT}}),
    "PATCH player": ("PATCH", ("rooms", "safe"), {"players": {"music": PLAYER}}),
    "PATCH effect": ("PATCH", ("rooms", "safe"), {"effects": {"call": EFFECT}}),
    "new, player": ("PUT", ("rooms", "new"), {"e2ee": True, "players": {"music": PLAYER}}),
    "new, effect": ("PUT", ("rooms", "new"), {"e2ee": True, "effects": {"call": EFFECT}}),
}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_is_played_into_an_encrypted_room(edge: Edge, way: str) -> None:
    await edge.control("PUT", "rooms", "safe", json={"e2ee": True})
    before = (await edge.control("GET", "rooms", "safe")).json()
    method, path, document = WAYS[way]
    assert_problem(await edge.control(method, *path, json=document), "encrypted-room")
    assert (await edge.control("GET", "rooms", "safe")).json() == before
    assert "new" not in edge.node.rooms
    assert not edge.plane.columns


async def test_an_encrypted_room_of_many_with_music_is_refused_alone(edge: Edge) -> None:
    rooms = {"safe": {"e2ee": True, "players": {"music": PLAYER}}, "open": {}}
    results = (await edge.control("PUT", "rooms", json={"rooms": rooms})).json()["rooms"]
    assert (results["safe"]["status"], results["open"]["status"]) == (409, 201)
    assert list(edge.node.rooms) == ["open"]
