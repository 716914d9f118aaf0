"""Chromium behind a network that loses packets: what it asks for again it gets."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Route

from tests.browser import Tab, chromium
from tests.control import Control
from tests.netem import Link, Relay
from tests.server import Server
from tests.test_browser import ANN_HZ, People, hears, join

INBOUND = """(async () => {
    const stats = [...(await page.media.listener.connection.getStats()).values()];
    return stats.find(({type}) => type === 'inbound-rtp');
})()"""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def people(stack: AsyncExitStack, room: str, microphones: Callable[[int], Path]) -> People:
    return People(stack, room, microphones)


async def lossy_listener(
    stack: AsyncExitStack, server: Server, room: str, relay: Relay, options: str, *, nack: bool = True
) -> Tab:
    """A listener whose media comes through the relay."""
    browser = await stack.enter_async_context(chromium())
    tab = await browser.open(f"{server.url}/?room={quote(room)}&user=eve&listen=1&{options}")

    async def through_the_relay(route: Route) -> None:
        offer = route.request.post_data or ""
        response = await route.fetch(post_data=offer if nack else offer.replace("a=rtcp-fb:111 nack\r\n", ""))
        await route.fulfill(response=response, body=relay.rewrite(await response.text()))

    await tab.page.route(lambda url: "/whep/" in url and "mode=" in url, through_the_relay)
    await join(tab)
    return tab


async def counter(tab: Tab, server: Server, name: str) -> float:
    response = await tab.page.request.get(f"{server.url}/metrics")
    lines = (await response.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"mediaserver_plane_{name}{{"))


@pytest.mark.parametrize("hearing", ["mode=mix", "slots=1"])
async def test_chromium_asks_for_what_is_lost_and_gets_it(
    stack: AsyncExitStack, server: Server, room: str, microphones: Callable[[int], Path], hearing: str
) -> None:
    people = People(stack, room, microphones)
    people.hearing = hearing
    await people.speaker(server, "ann", ANN_HZ)
    with Relay(down=Link(delay_ms=10), up=Link(delay_ms=10), seed=4) as relay:
        eve = await lossy_listener(stack, server, room, relay, hearing)
        await hears(eve, ANN_HZ)
        relay.set_link("down", Link(loss=0.1, delay_ms=10))
        await eve.until(f"{INBOUND}.then(({{nackCount}}) => nackCount > 20)", within_s=20)
        await hears(eve, ANN_HZ)
        inbound = await eve.state(INBOUND)
        asked = await counter(eve, server, "packets_nacked_total")
        sent = await counter(eve, server, "packets_retransmitted_total")
    assert sent > 10
    assert sent >= 0.3 * asked  # it asks again and again while a packet is on its way
    assert inbound["packetsLost"] < relay.counters["down"].lost / 2
    assert eve.errors == []


async def lossy_speaker(people: People, server: Server, relay: Relay, *, nack: bool = True) -> Tab:
    """A speaker whose media goes through the relay."""
    tab = await people.open(await people.browser(ANN_HZ), server, "ann")

    async def through_the_relay(route: Route) -> None:
        offer = route.request.post_data or ""
        response = await route.fetch(post_data=offer if nack else offer.replace("a=rtcp-fb:111 nack\r\n", ""))
        await route.fulfill(response=response, body=relay.rewrite(await response.text()))

    await tab.page.route(lambda url: "/whip/" in url, through_the_relay)
    await join(tab)
    return tab


@pytest.mark.parametrize("kind", ["red", "nack", "fec"])
async def test_what_chromium_loses_on_its_way_to_the_mixer_is_repaired(
    people: People, server: Server, control: Control, kind: str
) -> None:
    """By redundant copies where it has them; where it has none it is asked to send again, or uses Opus's own."""
    room = people.room
    people.hearing = "mode=mix"
    people.script = "" if kind == "red" else "RTCRtpSender.getCapabilities = undefined;"
    clean = Link(delay_ms=10)
    with Relay(down=clean, up=clean, seed=5) as relay:
        ann = await lossy_speaker(people, server, relay, nack=kind != "fec")
        people.script = ""
        eve = await people.listener(server, "eve")
        await hears(eve, ANN_HZ)
        answer = await ann.state("page.media.publisher.connection.remoteDescription.sdp")
        assert ("a=rtcp-fb:111 nack\r\n" in answer) is (kind != "fec")
        assert f"useinbandfec={int(kind != 'red')}" in answer
        assert re.search(rf"^m=audio \d+ UDP/TLS/RTP/SAVPF {'63 111' if kind == 'red' else '111 63'}\r$", answer, re.M)

        async def counts() -> dict[str, float]:
            sessions = (await control.participants(room))["ann"]["sessions"]
            [session] = [session for session in sessions if session["direction"] == "publish"]
            return {name: value for name, value in session.items() if isinstance(value, (int, float))}

        relay.set_link("up", Link(loss=0.1, delay_ms=10))
        repaired = "frames_recovered" if kind == "fec" else f"frames_from_{kind}"
        deadline = time.monotonic() + 30
        while (now := await counts())[repaired] < 40:
            assert time.monotonic() < deadline, now
            await asyncio.sleep(0.5)
        settled = now
        await asyncio.sleep(8)
        now = await counts()
        await hears(eve, ANN_HZ)
    made_up = now["frames_concealed"] - settled["frames_concealed"]
    brought_back = now[repaired] - settled[repaired]
    assert brought_back > 15
    # Opus has no copy of a frame in the packet behind it when it is soft, and none in the next but one.
    assert made_up < brought_back * (2 if kind == "fec" else 0.5), now
    assert now["playout_delay_ms"] < 200
    assert ann.errors == []


async def test_chromium_that_loses_much_gets_red_and_plays_it(
    stack: AsyncExitStack, server: Server, room: str, microphones: Callable[[int], Path]
) -> None:
    people = People(stack, room, microphones)
    people.hearing = "mode=mix"
    await people.speaker(server, "ann", ANN_HZ)
    with Relay(down=Link(loss=0.2, delay_ms=10), up=Link(delay_ms=10), seed=5) as relay:
        eve = await lossy_listener(stack, server, room, relay, "mode=mix", nack=False)
        await hears(eve, ANN_HZ)
        tiers = ("listeners_lossy", "listeners_very_lossy")
        deadline = time.monotonic() + 25
        while sum([await counter(eve, server, name) for name in tiers]) == 0:
            assert time.monotonic() < deadline, "its loss moves it to no other tier"
            await asyncio.sleep(0.5)
        await asyncio.sleep(1)
        red = await counter(eve, server, "frames_red_total")
        before = await eve.state(INBOUND)
        await asyncio.sleep(5)
        after = await eve.state(INBOUND)
        assert await counter(eve, server, "frames_red_total") > red + 100
        # All that it gets is RED now, and a fifth of it is lost for good: without the copies that would be made up.
        samples, concealed = (after[key] - before[key] for key in ("totalSamplesReceived", "concealedSamples"))
        assert concealed < 0.1 * samples
        await hears(eve, ANN_HZ)
    assert eve.errors == []
