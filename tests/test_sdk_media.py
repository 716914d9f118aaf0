"""The SDK's Media in Debian's Chromium: it hears, is heard, and keeps itself connected. Sound is measured."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.browser import Tab, chromium
from tests.conftest import StartServer
from tests.control import Control
from tests.server import Server
from tests.test_browser import ANN_HZ, BOB_HZ, hears, hears_no_more

# Where an app has a room service the test has development mode. What browser.py listens to is `media`.
OPEN = """async ([room, user, publish]) => {
    const {Media} = await import('/sdk/media.js');
    window.maySpeak = publish;
    const addresses = async () => {
        const response = await fetch('/dev/join', {
            method: 'POST',
            headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({room, user, publish: maySpeak}),
        });
        const {token, whip, whep, capture} = await response.json();
        return {whep: `${whep}#token=${token}`, whip: maySpeak ? `${whip}#token=${token}` : '', capture};
    };
    const media = window.media = new Media({addresses});
    window.told = [];
    for (const name of ['state', 'published', 'unpublished', 'warning', 'ended', 'quality']) {
        media.on(name, detail => window.told.push([name, detail]));
    }
    await media.open({microphone: publish});
}"""


class Users:
    def __init__(self, stack: AsyncExitStack, room: str, microphones: Callable[[int], Path]) -> None:
        self.room = room
        self._stack = stack
        self._microphones = microphones

    async def enter(self, server: Server, user: str, pitch_hz: int | None = None) -> Tab:
        microphone = self._microphones(pitch_hz) if pitch_hz else None
        browser = await self._stack.enter_async_context(chromium(microphone))
        tab = await browser.open(f"{server.url}/?room={quote(self.room)}")
        await tab.page.evaluate(OPEN, [self.room, user, pitch_hz is not None])
        return tab


@pytest.fixture
async def users(room: str, microphones: Callable[[int], Path]) -> AsyncIterator[Users]:
    async with AsyncExitStack() as stack:
        yield Users(stack, room, microphones)


async def test_two_hear_each_other_and_see_who_is_heard_and_how_well(users: Users, server: Server) -> None:
    ann = await users.enter(server, "ann", ANN_HZ)
    bob = await users.enter(server, "bob", BOB_HZ)
    await hears(ann, BOB_HZ)
    await hears(bob, ANN_HZ)
    await bob.until(
        "media.people.get('ann')?.speaking && media.people.get('ann').heard && media.people.get('ann').level > -60"
    )
    await bob.until("told.some(([name, detail]) => name === 'quality' && detail.level === 'good')")
    await ann.state("media.setMuted(true)")
    await hears_no_more(bob, ANN_HZ)
    await ann.until("told.some(([name, detail]) => name === 'warning' && detail === 'talking-muted')")
    await ann.state("media.setMuted(false)")
    await hears(bob, ANN_HZ)
    await bob.state("media.setVolumeOf('ann', -60)")
    await hears_no_more(bob, ANN_HZ)
    await bob.state("media.setVolumeOf('ann', 0)")
    await hears(bob, ANN_HZ)
    assert [tab.errors for tab in (ann, bob)] == [[], []]


async def test_who_loses_his_seat_goes_on_listening(users: Users, server: Server, control: Control) -> None:
    ann = await users.enter(server, "ann", ANN_HZ)
    bob = await users.enter(server, "bob", BOB_HZ)
    await hears(bob, ANN_HZ)
    await ann.state("window.maySpeak = false")
    await control.unseat(users.room, "ann")
    await ann.until("told.some(([name, detail]) => name === 'unpublished' && detail === 'seat')")
    assert await ann.state("media.state") == "connected"
    await hears(ann, BOB_HZ)


async def test_it_is_connected_again_when_the_server_is_back(users: Users, start_server: StartServer) -> None:
    server = start_server()
    ann = await users.enter(server, "ann", ANN_HZ)
    bob = await users.enter(server, "bob", BOB_HZ)
    await hears(bob, ANN_HZ)
    port = server.url.rpartition(":")[2]
    await asyncio.to_thread(server.kill)
    await bob.until("media.state === 'reconnecting'", within_s=30)
    await asyncio.to_thread(start_server, "--port", port)
    for tab in (ann, bob):
        await tab.until("media.state === 'connected' && media.publisher?.connected", within_s=40)
    await hears(bob, ANN_HZ)
    await hears(ann, BOB_HZ)
    for tab in (ann, bob):
        assert "ended" not in [name for name, _ in await tab.state("told")]


# The user is asked for his microphone, and takes his time: asked[i]() allows.
ASKS = """() => {
    const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.asked = [];
    window.opened = [];
    navigator.mediaDevices.getUserMedia = async wishes => {
        await new Promise(allow => window.asked.push(allow));
        const stream = await open(wishes);
        window.opened.push(...stream.getTracks());
        return stream;
    };
}"""
LIVE = "opened.filter(({readyState}) => readyState === 'live').length"


async def test_a_microphone_that_is_allowed_too_late_is_not_open(users: Users, server: Server) -> None:
    ann, bob = await users.enter(server, "ann", ANN_HZ), await users.enter(server, "bob")
    await hears(bob, ANN_HZ)
    await ann.page.evaluate("media.unpublish()")
    await ann.page.evaluate(ASKS)
    await ann.page.evaluate("() => { window.first = media.publish(); }")
    await ann.until("asked.length === 1")
    await ann.page.evaluate("media.unpublish()")
    await ann.page.evaluate("() => { window.second = media.publish(); }")
    await ann.until("asked.length === 2")
    await ann.page.evaluate("() => { asked[1](); asked[0](); }")
    await ann.page.evaluate("Promise.all([first, second])")
    await ann.until(f"opened.length === 2 && {LIVE} === 1")
    await hears(bob, ANN_HZ)
    await ann.page.evaluate("media.unpublish()")
    await ann.until(f"{LIVE} === 0")
    await hears_no_more(bob, ANN_HZ)


async def test_it_is_connected_again_though_the_chosen_output_is_gone(
    users: Users, server: Server, control: Control
) -> None:
    await users.enter(server, "ann", ANN_HZ)
    bob = await users.enter(server, "bob")
    await hears(bob, ANN_HZ)
    await bob.page.evaluate("media.useOutput('a headset that was unplugged').catch(() => {})")
    await control.kick(users.room, "bob")
    await bob.until("told.some(([name, detail]) => name === 'state' && detail === 'reconnecting')")
    await bob.until("media.state === 'connected'", within_s=20)
    await hears(bob, ANN_HZ)
