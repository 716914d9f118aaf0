"""A server that is killed in the middle of everything: what was answered is there again, every event arrives, in order,
and the room plays on for clients that come back."""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserver.webhook_signature import verify
from tests.client import Listener, Speaker, listen, speak, until
from tests.control import Control
from tests.ports import free_port
from tests.server import Server
from tests.voices import level_db, voice

SECRET = "known-to-this-test-and-its-server-only"
ROOM = "hall"
BOB_HZ = 660
VOICE_DB = level_db(voice(BOB_HZ), BOB_HZ)


class Receiver:
    """A webhook that keeps what it is told, and refuses for as long as it is told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.refuses = False
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, value in headers.items()}
                body = await reader.readexactly(int(headers["content-length"]))
                if not self.refuses:
                    verify(SECRET, headers, body, float(headers["webhook-timestamp"]))
                    self.events += json.loads(body)
                status = "503 Service Unavailable" if self.refuses else "204 No Content"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    def story(self) -> dict[str, list[dict[str, Any]]]:
        """By source, each event once, in the order in which they first came."""
        seen: set[tuple[str, str]] = set()
        story: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for event in self.events:
            key = event["source"], event["id"]
            if key not in seen:
                seen.add(key)
                story[event["source"]].append(event)
        return story


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    async with server:
        yield receiver


@pytest.mark.timeout(180)
async def test_a_room_outlives_the_server_that_is_killed(tmp_path: Path) -> None:
    async with receiving() as receiver:
        options = (
            *("--port", str(free_port()), "--state", str(tmp_path / "state.db"), "--workers", "2"),
            *("--webhook", f"{receiver.url} {SECRET} *"),
        )
        server = Server(tmp_path / "log1", *options)
        await asyncio.to_thread(server.wait_ready)
        document = {
            "speakers": {
                "ann": {"seat": 1, "mutes": {"host": True}, "gain_db": -3.0},
                "bob": {"seat": 2, "gain_db": 0.0},
            },
            "listeners": {"eve": {"user_gains_db": {"bob": -6.0}}},
            "metadata": {"title": "Evening talk"},
        }
        async with Control(server.url) as control:
            await control.call("PUT", "rooms", ROOM, json=document)
            token = await control.token(ROOM, "bob", publish=True, ttl_s=600)
            async with await talk(control, token) as bob, await hear(control) as eve:
                await asyncio.gather(bob.connected(), eve.connected())
                await hears_bob(eve)
                await until(lambda: {"speaking.started", "listening.started"} <= types(receiver), say="first events")
                answered = await mute_until_killed(control, server, receiver)
        server.kill()

        receiver.refuses = False
        again = Server(tmp_path / "log2", *options)
        await asyncio.to_thread(again.wait_ready)
        try:
            async with Control(again.url) as control:
                found = await control.call("GET", "rooms", ROOM)
                mutes = found["speakers"]["ann"].pop("mutes")
                assert mutes.pop("host") is True
                assert found["speakers"] == {
                    "ann": {"seat": 1, "gain_db": -3.0, "may_publish": True},
                    "bob": {"seat": 2, "gain_db": 0.0, "may_publish": True, "mutes": {}},
                }
                assert found["listeners"]["eve"]["user_gains_db"] == {"bob": -6.0}
                assert found["metadata"] == document["metadata"]
                # The token is good for the new process, and so is the seat.
                async with await talk(control, token) as bob, await hear(control) as eve:
                    await asyncio.gather(bob.connected(), eve.connected())
                    await hears_bob(eve)
                    await until(lambda: left(receiver), say="those who were there have left")
                    await until(lambda: joins(receiver, "bob") == 2, say="bob has joined again")
        finally:
            await asyncio.to_thread(again.stop)

        (story,) = receiver.story().values()
        assert [int(event["sequence"]) for event in story] == list(range(1, len(story) + 1))
        told = [event["type"].removeprefix("voicerooms.") for event in story if event.get("subject") == "ann"]
        changes = [what for what in told if what in ("speaker.muted", "speaker.unmuted")]
        # The host's mute, and then every change that was answered; at most the one under way beyond them.
        assert answered > 20
        assert len(changes) - 1 in (answered, answered + 1)
        assert all(a != b for a, b in pairwise(changes[1:]))
        check_presence(story)


async def mute_until_killed(control: Control, server: Server, receiver: Receiver) -> int:
    """Changes one after the other, while the webhook is away for a while, until the server dies; how many it
    answered."""
    answered = 0

    async def kill() -> None:
        await asyncio.sleep(0.3)
        receiver.refuses = True
        await asyncio.sleep(0.3)
        server.process.kill()

    killing = asyncio.create_task(kill())
    with contextlib.suppress(httpx.TransportError):
        while True:
            await (control.mute if answered % 2 == 0 else control.unmute)(ROOM, "ann", "system")
            answered += 1
    await killing
    return answered


async def talk(control: Control, token: str) -> Speaker:
    return await speak(control.http, f"/whip/{ROOM}", token, BOB_HZ)


async def hear(control: Control) -> Listener:
    return await listen(control.http, f"/whep/{ROOM}?mode=mix", await control.token(ROOM, "eve"), slots=1)


async def hears_bob(eve: Listener) -> None:
    """As loud as eve wants him."""

    def level() -> float:
        return level_db(eve.slots[0].samples(0.5), BOB_HZ)

    await until(lambda: abs(level() - (VOICE_DB - 6)) < 2, say="bob is heard at -6 dB")


def flat(receiver: Receiver) -> list[dict[str, Any]]:
    return [event for story in receiver.story().values() for event in story]


def joins(receiver: Receiver, user: str) -> int:
    return sum(
        event["type"] == "voicerooms.participant.joined" and event["subject"] == user for event in flat(receiver)
    )


def types(receiver: Receiver) -> set[str]:
    return {event["type"].removeprefix("voicerooms.") for event in flat(receiver)}


def left(receiver: Receiver) -> bool:
    gone = {
        event["subject"]
        for event in flat(receiver)
        if event["type"] == "voicerooms.participant.left" and event["data"]["reason"] == "restarted"
    }
    return gone == {"bob", "eve"}


def check_presence(story: list[dict[str, Any]]) -> None:
    present: set[str] = set()
    for event in story:
        if event["type"] == "voicerooms.participant.joined":
            assert event["subject"] not in present
            present.add(event["subject"])
        elif event["type"] == "voicerooms.participant.left":
            present.remove(event["subject"])
