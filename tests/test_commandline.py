"""The commands that ask and tell a running server: what they print, for people and for scripts, and how they fail."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
from rich.console import Console

from mediaserver.cli import main
from mediaserver.commandline import COMMANDS
from mediaserver.commandline.output import duration, printable
from mediaserver.commandline.screen import View, bar, busiest, draw, meter
from mediaserver.keys import MIN_SECRET_BYTES
from mediaserver.schema import MixState, NodeState, RoomState, ScenarioName, WorkerState
from tests.clips import encode, tone
from tests.conftest import StartServer
from tests.control import Control
from tests.ports import free_port
from tests.server import COMMAND, Server

EVIL = "evil \u202e[red]x[/red] :boom: \u2067日本"
SECRET = "s" * MIN_SECRET_BYTES


@pytest.fixture
def environment(server: Server) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MEDIASERVER_")}
    return {**clean, "MEDIASERVER_URL": server.url, "COLUMNS": "80", "LINES": "24"}


class Commands:
    """Runs the installed command against this module's server."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.url = environment["MEDIASERVER_URL"]

    async def run(self, *arguments: str, **more: str) -> tuple[int, str, str]:
        """Exit status, output, complaints."""
        process = await asyncio.create_subprocess_exec(
            *(COMMAND, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self._environment, **more},
        )
        try:
            async with asyncio.timeout(30):
                output, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, output.decode(), complaints.decode()

    async def ok(self, *arguments: str, **more: str) -> str:
        status, output, complaints = await self.run(*arguments, **more)
        assert (status, complaints) == (0, "")
        return output

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.ok(*arguments, "--json"))

    async def fails(self, *arguments: str, status: int = 1, **more: str) -> str:
        """The one sentence that it says."""
        found, output, complaints = await self.run(*arguments, **more)
        assert (found, output) == (status, ""), complaints
        assert complaints.startswith("mediaserver: ")
        assert complaints.endswith(".\n")
        assert complaints.count("\n") == 1
        return complaints.removeprefix("mediaserver: ").strip()


@pytest.fixture
def commands(environment: dict[str, str]) -> Commands:
    return Commands(environment)


@pytest.fixture
async def talking(control: Control, room: str) -> AsyncIterator[str]:
    """A room in which ann and bob talk and carol listens."""
    async with AsyncExitStack() as stack:
        for user, pitch_hz in (("ann", 300), ("bob", 500)):
            speaker = await stack.enter_async_context(await control.speak(room, user, pitch_hz))
            await speaker.connected()
        listener = await stack.enter_async_context(await control.listen(room, "carol"))
        await listener.connected()

        async with asyncio.timeout(20):
            while len(await talkers(control, room)) < 2:
                pass
        yield room


async def talkers(control: Control, room: str) -> list[str]:
    found = await control.call("GET", "rooms")
    return next(one["talking"] for one in found["rooms"] if one["name"] == room)


# ---- what they do


async def test_rooms_are_listed(commands: Commands, talking: str, control: Control) -> None:
    lines = (await commands.ok("rooms", "--prefix", talking)).splitlines()
    assert lines[0].split() == ["ROOM", "SCENARIO", "SEATS", "USERS", "PUBLISH", "LISTEN", "LOSS", "TALKING"]
    assert len(lines) == 2
    assert lines[1].startswith(talking)
    assert lines[1].removeprefix(talking).split() == ["chat", "2", "3", "2", "1", "0.0", "%", "ann,", "bob"]
    (document,) = (await commands.json("rooms", "--user", "carol", "--active"))["rooms"]
    (expected,) = (await control.call("GET", "rooms"))["rooms"]
    volatile = {"fraction_lost": 0.0, "talking": []}
    assert document | volatile == expected | volatile
    assert await commands.ok("rooms", "--prefix", "nowhere") == "No rooms.\n"
    assert await commands.json("rooms", "--idle", "--scenario", "ktv") == {"rooms": []}


async def test_seats_are_listed_with_who_sits_there(commands: Commands, talking: str, control: Control) -> None:
    await control.call("PUT", "rooms", talking, "speakers", "dora", json={"seat": 2, "gain_db": -6})
    await control.mute(talking, "dora")
    lines = (await commands.ok("speakers", talking)).splitlines()
    assert lines[1].split() == ["2", "dora", "yes", "-6.0", "dB", "host", "away"]
    assert lines[2].split()[:5] == ["ann", "yes", "0", "dB", "talking"]
    document = await commands.json("speakers", talking)
    assert document["speakers"] == (await control.call("GET", "rooms", talking))["speakers"]
    assert [one["user"] for one in document["participants"]] == ["ann", "bob"]


async def test_a_speaker_is_muted_and_unmuted(commands: Commands, talking: str, control: Control) -> None:
    assert await commands.ok("mute", talking, "ann") == f"ann is muted by host in {talking}.\n"
    state = await commands.json("mute", talking, "ann", "--source", "system")
    assert state == await control.call("GET", "rooms", talking, "speakers", "ann")
    assert state["mutes"] == {"host": True, "system": True}
    assert await commands.ok("unmute", talking, "ann") == f"ann is muted by system in {talking}.\n"
    assert await commands.ok("unmute", talking, "ann", "--source", "system") == f"ann is not muted in {talking}.\n"


async def test_a_participant_is_moved_and_kicked(commands: Commands, talking: str, control: Control) -> None:
    target = f"{talking} 2"
    await control.make_room(target)
    assert await commands.ok("move", talking, "ann", target) == f"ann is in {target}.\n"
    assert (await commands.json("move", target, "ann", talking))["user"] == "ann"
    assert await commands.ok("kick", talking, "ann") == f"ann is out of {talking}.\n"
    assert list(await control.participants(talking)) == ["bob", "carol"]


async def test_a_token_lets_its_user_in(commands: Commands, control: Control, room: str) -> None:
    await control.make_room(room)
    token = (await commands.ok("token", room, "ann", "--publish", "--once", "--ttl", "60")).strip()
    headers = {"Authorization": f"Bearer {token}"}
    own = await control.http.get(f"/v1/rooms/{room.replace('/', '%2F')}/listeners/ann", headers=headers)
    assert own.status_code == 200
    document = await commands.json("token", room, "ann", "--mode", "mix", "--no-listen")
    assert document.keys() == {"token", "expires", "capture"}


async def test_the_server_at_a_glance(commands: Commands, talking: str) -> None:
    output = await commands.ok("stats")
    assert "takes new rooms" in output
    assert "2 publishing, 1 listening" in output
    assert len(output.splitlines()) == 6  # three lines, heads, two workers
    document = NodeState.model_validate(await commands.json("stats"))
    assert document.sessions == {"publish": 2, "listen": 1}


async def test_a_server_is_drained_and_takes_rooms_again(commands: Commands, control: Control, room: str) -> None:
    try:
        assert "takes no new rooms" in await commands.ok("drain")
        with pytest.raises(Exception, match="503"):
            await control.make_room(room)
    finally:
        assert not (await commands.json("drain", "--undo"))["draining"]
    await control.make_room(room)


async def test_no_name_reaches_the_terminal_as_it_is(commands: Commands, control: Control) -> None:
    await control.make_room(EVIL)
    await control.seat(EVIL, EVIL)
    outputs = [
        await commands.ok("rooms", "--prefix", "evil"),
        await commands.ok("speakers", EVIL),
        await commands.ok("mute", EVIL, EVIL),
        await commands.ok("kick", EVIL, EVIL),
    ]
    for output in outputs:
        assert "[red]x[/red] :boom:" in output
        assert "日本" in output
        assert not set(output) & {"\u202e", "\u2067", "\x1b"}
    assert (await commands.json("rooms", "--prefix", "evil"))["rooms"][0]["name"] == EVIL
    await control.call("DELETE", "rooms", EVIL)


async def test_a_terminal_of_another_encoding_gets_what_it_can(commands: Commands, control: Control) -> None:
    await control.make_room("日本")
    assert "??" in await commands.ok("rooms", "--prefix", "日", PYTHONIOENCODING="ascii")
    assert "cpu0" in await commands.ok("top", "--once", PYTHONIOENCODING="ascii")
    output = await commands.ok("rooms", "--prefix", "日", "--json", PYTHONIOENCODING="ascii")
    assert json.loads(output)["rooms"][0]["name"] == "日本"
    await control.call("DELETE", "rooms", "日本")


# ---- music, effects and the library


@pytest.fixture
def musical(environment: dict[str, str], start_server: StartServer, tmp_path: Path) -> Commands:
    """Commands of a server with a library."""
    library = tmp_path / "library"
    library.mkdir()
    server = start_server("--workers", "1", "--media-dir", str(library))
    return Commands(environment | {"MEDIASERVER_URL": server.url})


@pytest.fixture
def songs(tmp_path: Path) -> list[str]:
    """Files of two pieces of music."""
    paths = [tmp_path / f"song {number}.flac" for number in range(2)]
    for number, path in enumerate(paths):
        path.write_bytes(encode(tone(300 + 100 * number, 30, 48_000), "flac", tags={"title": f"Song {number} {EVIL}"}))
    return [str(path) for path in paths]


async def test_files_are_played_and_commands_do_what_they_say(musical: Commands, songs: list[str], room: str) -> None:
    async with Control(musical.url) as control:
        await control.make_room(room)
        assert await musical.ok("music", room) == "Nothing is played.\n"
        lines = (await musical.ok("music", room, "play", *songs, "--repeat", "all", "--crossfade", "1.5")).splitlines()
        assert lines[0].split() == ["PLAYER", "STATUS", "TRACK", "POSITION", "DURATION", "VOLUME"]
        assert lines[1].split()[0] == "music"
        state = await control.call("GET", "rooms", room, "players", "music")
        assert (state["repeat"], state["crossfade_ms"], len(state["tracks"])) == ("all", 1500, 2)
        assert (await musical.json("music", room, "volume", "-6.5"))["volume_db"] == -6.5
        assert (await musical.json("music", room, "next"))["track"] == "1"
        assert (await musical.json("music", room, "previous"))["track"] == "0"
        assert (await musical.json("music", room, "pause"))["state"] == "paused"
        assert (await musical.json("music", room, "resume"))["state"] == "playing"
        assert (await musical.json("music", room, "seek", "20"))["position_ms"] >= 20_000
        assert (await musical.json("music", room, "stop"))["status"] == "idle"
        assert (await musical.json("music", room, "play"))["volume_db"] == -6.5
        [first, second] = [track["media"] for track in state["tracks"]]
        again = await musical.json("music", room, "play", second, "http://radio.example.org/x.mp3", "--in-order")
        assert again["tracks"] == [{"media": second}, {"url": "http://radio.example.org/x.mp3"}]
        assert (again["track"], again["repeat"]) == ("0", "all")
        assert await musical.ok("music", room, "remove") == "It is removed.\n"
        assert await musical.fails("music", room, "pause") == "The room has no player music."
        await musical.ok("music", room, "play", "nosuchid")
        async with asyncio.timeout(20):
            while "failed (not-found)" not in (shown := await musical.ok("music", room)):
                assert "nosuchid" not in shown
        assert first != second


async def test_effects_are_played_repeated_and_stopped(musical: Commands, tmp_path: Path, room: str) -> None:
    async with Control(musical.url) as control:
        await control.make_room(room)
        assert "applause" in (await musical.ok("sounds")).splitlines()
        assert (await musical.json("sounds"))["sounds"] == (await control.call("GET", "sounds"))["sounds"]
        assert await musical.ok("effect", room, "ding") == f"ding plays in {room}.\n"
        told = await musical.ok("effect", room, "ring", "--repeat", "--for", "bob", "--gain", "-3", "--pan", "-0.5")
        assert told == f"ring plays in {room} until it is stopped.\n"
        document = (await control.call("GET", "rooms", room))["effects"]
        assert document == {"ring": {"sound": "ring", "gain_db": -3.0, "pan": -0.5, "audience": ["bob"]}}
        assert await musical.ok("effect", room, "ring", "--stop") == f"ring does not play in {room}.\n"
        assert (await control.call("GET", "rooms", room))["effects"] == {}
        clip = tmp_path / "clip.wav"
        clip.write_bytes(encode(tone(900, 1, 48_000), "wav"))
        assert (await musical.json("effect", room, str(clip)))["sound"].startswith("library:")
        assert "sound" in await musical.fails("effect", room, "nosuch")


async def test_the_library_is_listed_filled_and_emptied(musical: Commands, songs: list[str], tmp_path: Path) -> None:
    assert await musical.ok("media") == "No files.\n"
    items = (await musical.json("media", "upload", *songs))["media"]
    assert [item["duration_s"] for item in items] == [30.0, 30.0]
    lines = (await musical.ok("media", "list", "--search", "song 1")).splitlines()
    assert lines[0].split() == ["ID", "TITLE", "ARTIST", "ALBUM", "DURATION", "CODEC", "MB"]
    assert len(lines) == 2
    assert lines[1].startswith(items[1]["id"])
    assert "[red]x[/red]" in lines[1]
    assert not set(lines[1]) & {"\u202e", "\u2067", "\x1b"}
    assert await musical.ok("media", "delete", items[1]["id"]) == f"{items[1]['id']} is gone.\n"
    assert [item["id"] for item in (await musical.json("media"))["media"]] == [items[0]["id"]]
    assert await musical.fails("media", "delete", items[1]["id"]) == "There is no such file in the library."
    text = tmp_path / "text.mp3"
    text.write_text("no music")
    assert "in no format that is decoded" in await musical.fails("media", "upload", str(text))


async def test_a_server_without_a_library_says_so(commands: Commands) -> None:
    assert await commands.fails("media") == "This server was started without a media library."


# ---- how they fail


@pytest.mark.parametrize("arguments", [["rooms"], ["rooms", "--json"], ["top", "--once"]], ids=str)
def test_a_disk_that_is_full_is_said(environment: dict[str, str], arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, env=environment, timeout=60, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr == b"mediaserver: The output cannot be written: No space left on device.\n"


async def test_failures_are_one_sentence_and_status_1(commands: Commands, control: Control, room: str) -> None:
    assert await commands.fails("speakers", room) == "There is no room of this name."
    assert await commands.fails("token", room, "ann") == "There is no room of this name."
    await control.make_room(room)
    assert "seat" in await commands.fails("mute", room, "nobody")
    await control.make_room(f"{room} 2")
    assert "not connected" in await commands.fails("move", room, "nobody", f"{room} 2")
    nowhere = "There is no room of the name that the participant is to go to."
    assert await commands.fails("move", room, "nobody", "nowhere") == nowhere
    assert "known" in await commands.fails("rooms", "--api-key", f"other:{SECRET}")


Complain = Callable[..., str]


@pytest.fixture
def complain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complain:
    """Runs a command in this process, and gives the one sentence that it fails with."""
    for name in [name for name in os.environ if name.startswith("MEDIASERVER_")]:
        monkeypatch.delenv(name)

    def complain(*arguments: str, status: int) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        output, complaints = capsys.readouterr()
        assert (exit_.value.code, output) == (status, ""), complaints
        assert re.fullmatch(r"mediaserver: .+\.\n", complaints)
        return str(complaints)

    return complain


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_not_there_is_said_by_every_command(command: str, complain: Complain) -> None:
    port = free_port()
    names = {
        "speakers": 1,
        "mute": 2,
        "unmute": 2,
        "kick": 2,
        "move": 3,
        "token": 2,
        "music": 1,
        "effect": 2,
    }.get(command, 0)
    sentence = complain(command, *["x"] * names, "--url", f"http://127.0.0.1:{port}", status=1)
    assert sentence.startswith(f"mediaserver: The server at http://127.0.0.1:{port} cannot be reached: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["speakers"],
        ["mute", "room", ""],
        ["kick", "a\nb", "ann"],
        ["mute", "room", "ann", "--source", "cat"],
        ["token", "room", "ann", "--ttl", "0"],
        ["rooms", "--scenario", "opera"],
        ["rooms", "--url", "ftp://127.0.0.1"],
        ["rooms", "--url", "http://["],
        ["rooms", "--api-key", "nocolon"],
        ["rooms", "--api-key", "a:short"],
        ["rooms", "--api-key", ""],
        ["rooms", "--api-key-file", os.devnull],
        ["rooms", "--api-key-file", "/nonexistent"],
        ["nosuch"],
        ["rooms", "--nosuch"],
        ["music", "room", "sing"],
        ["music", "room", "pause", "now"],
        ["music", "room", "volume"],
        ["music", "room", "volume", "loud"],
        ["music", "room", "volume", "13"],
        ["music", "room", "seek", "-1"],
        ["music", "room", "pause", "--repeat", "all"],
        ["music", "room", "play", "--nosuch"],
        ["music", "room", "play", "/nonexistent\n"],
        ["effect", "room"],
        ["effect", "room", "ding", "--gain", "20"],
        ["effect", "room", "ding", "--repeat", "--stop"],
        ["media", "upload"],
        ["media", "upload", "/nonexistent"],
        ["media", "list", "it"],
        ["media", "delete"],
        ["media", "delete", "."],
    ],
    ids=str,
)
def test_wrong_usage_is_status_2(arguments: list[str], complain: Complain) -> None:
    complain(*arguments, status=2)


def test_the_development_key_is_for_loopback_only(complain: Complain) -> None:
    for url in ("http://192.0.2.1:8090", "http://localhost.example.org", "https://127.0.0.1.example.org"):
        assert "Give --api-key or --api-key-file" in complain("rooms", "--url", url, status=2)


async def test_keys_are_given_as_the_server_has_them(
    environment: dict[str, str], start_server: StartServer, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\nalpha:{SECRET} admin\nbeta:{SECRET}2 read\n")
    server = start_server(
        "--workers", "1", "--api-key-file", str(file), "--media-address", "127.0.0.1", "--state", "none"
    )
    commands = Commands(environment | {"MEDIASERVER_URL": server.url})
    await commands.fails("stats")
    await commands.ok("stats", "--api-key-file", str(file))
    await commands.ok("stats", MEDIASERVER_API_KEY=f"alpha:{SECRET} admin beta:{SECRET}2 read *")
    await commands.ok("stats", "--api-key", f"beta:{SECRET}2", MEDIASERVER_API_KEY_FILE=str(tmp_path / "absent"))
    sentence = await commands.fails("drain", "--api-key", f"beta:{SECRET}2")
    assert "right" in sentence
    assert SECRET not in sentence


# ---- top


async def test_top_shows_the_server_and_who_talks(commands: Commands, talking: str) -> None:
    lines = (await commands.ok("top", "--once", COLUMNS="100")).splitlines()
    assert lines[0].startswith("mediaserver ")
    assert "takes new rooms" in lines[0]
    assert "2 publishing, 1 listening" in lines[1]
    assert "cpu0" in lines[2]
    assert "cpu1" in lines[2]
    (row,) = [line for line in lines if line.startswith(talking[:20])]
    assert "ann " in row
    assert "bob " in row
    assert all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_top_goes_on_without_a_terminal_until_it_is_interrupted(
    environment: dict[str, str], number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "top"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            frames = 0
            while frames < 2:
                frames += (await process.stdout.readline()).startswith(b"mediaserver ")
            process.send_signal(number)
            await process.stdout.read()
            assert await process.stderr.read() == b""
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_top_waits_for_a_server_that_has_gone(environment: dict[str, str], start_server: StartServer) -> None:
    server = start_server("--workers", "1")
    process = await asyncio.create_subprocess_exec(
        *(COMMAND, "top"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment | {"MEDIASERVER_URL": server.url},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            await process.stdout.readline()
            await asyncio.to_thread(server.stop)
            while b"cannot be reached" not in await process.stdout.readline():
                pass
            process.send_signal(signal.SIGINT)
            await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def room_state(name: str, **more: Any) -> RoomState:
    mix = MixState(
        stereo=False, bitrate=48000, ptime_ms=20, complexity=5, music=False, passthrough=True, ducking_db=0.0
    )
    fields = {"speakers": 1, "participants": 3, "publishing": 1, "listening": 2, "talking": [], "fraction_lost": 0.0}
    return RoomState(
        **{
            "name": name,
            "etag": '"x.1"',
            "instance": "x",
            "scenario": ScenarioName.CHAT,
            "mix": mix,
            "e2ee": False,
            "metadata": {},
            **fields,
            **more,
        }
    )


def node_state(workers: int, *, draining: bool = False) -> NodeState:
    each = [
        WorkerState(
            cpu_share=number / max(1, workers - 1),
            tick_late_p99_ms=0.3,
            peers=4,
            rooms=2,
            mixes=1,
            packets_received=10,
            packets_sent=20,
        )
        for number in range(workers)
    ]
    sessions: Any = {"publish": 12_345, "listen": 340_000}
    return NodeState(version="0.1.0", uptime_s=90_061, draining=draining, rooms=4, sessions=sessions, workers=each)


def lines_of(view: View, width: int, height: int | None) -> list[str]:
    console = Console(width=width, height=height or 100, color_system=None, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(draw(view, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize("workers", [1, 2, 5, 64])
@pytest.mark.parametrize("rooms", [0, 1, 3, 500])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (40, 10), (200, 60)])
def test_the_screen_fits_any_terminal(workers: int, rooms: int, width: int, height: int) -> None:
    talkers = [f"talker {number}" for number in range(9)]
    states = [room_state(f"{EVIL * 6} {number}", talking=talkers) for number in range(rooms)]
    levels = {states[0].name: dict.fromkeys(talkers, -20.0)} if states else {}
    view = View(node_state(workers, draining=True), states, levels, 1e9, 1e9, "No answer.")
    lines = lines_of(view, width, height)
    assert len(lines) <= height
    assert all(Console().render_str(line, markup=False, emoji=False).cell_len <= width for line in lines)
    assert "DRAINING" in lines[0] or width < 50
    assert sum("cpu" in line for line in lines) >= 1
    assert "No answer." in "".join(lines)
    shown = sum(line.startswith("evil") for line in lines)
    if rooms:
        assert shown == rooms or f"and {rooms - shown:,} more" in lines[-1]
    if (rooms, height) == (500, 24) and workers <= 2:
        assert shown >= 15


def test_without_a_height_all_rooms_are_shown() -> None:
    states = [room_state(f"room {number}") for number in range(50)]
    assert sum(line.startswith("room ") for line in lines_of(View(node_state(2), states), 80, None)) == 50


def test_the_busiest_rooms_come_first_and_the_loudest_in_them() -> None:
    quiet, busy = room_state("a", listening=1), room_state("b", listening=100, talking=["ann", "bob", "eve"])
    assert [room.name for room in busiest([quiet, busy])] == ["b", "a"]
    lines = lines_of(View(node_state(1), [quiet, busy], {"b": {"ann": -40.0, "bob": -12.0}}), 100, 24)
    (row,) = [line for line in lines if line.startswith("b ")]
    assert row.split()[-7:] == ["bob", meter(-12), "-12", "ann", meter(-40), "-40", "eve"]


def test_bars_and_meters_are_of_one_length_whatever_they_show() -> None:
    assert {len(bar(share / 100, 8)) for share in range(101)} == {8}
    assert (bar(0, 4), bar(1, 4), bar(0.5, 4)) == ("    ", "████", "██  ")
    assert {len(meter(level)) for level in range(-127, 1)} == {1}
    assert (meter(-127), meter(0)) == ("▁", "█")


def test_what_moves_a_cursor_is_replaced_and_the_rest_is_left() -> None:
    assert printable("a\x1b[2J\u202e\u2028\x9b\n") == "a\N{REPLACEMENT CHARACTER}[2J" + "\N{REPLACEMENT CHARACTER}" * 4
    assert printable("Müller 日本 [b]") == "Müller 日本 [b]"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (90_061, "1 d 1 h")]
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# ---- help


def test_help_says_of_every_command_what_it_says_itself() -> None:
    for name, (module, sentence) in COMMANDS.items():
        command = getattr(import_module(f"mediaserver.commandline.{module}"), name)
        assert isinstance(command, click.Command)
        assert command.get_short_help_str(100).rstrip(".") == sentence.rstrip(".")


def test_help_needs_none_of_what_commands_need() -> None:
    program = (
        "import sys; from mediaserver.cli import main; main(['--help']);"
        "print(sorted({'httpx', 'rich', 'pydantic', 'numba', 'fastapi'} & set(sys.modules)))"
    )
    began = time.monotonic()
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert time.monotonic() - began < 5  # 0.2 s on an idle machine
    assert output.endswith("[]\n")
    for name in COMMANDS:
        assert f"\n  {name} " in output
