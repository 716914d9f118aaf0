"""A singer in Chromium: what the page hears it sings, frame by frame, an octave or two higher, and the page's own
module reports its delays. At the audience voice and music meet.

The script stands for loudspeaker, air and microphone, and waits for as long as Chromium says that its devices take; its
own way through the page is short. Through real devices (PulseAudio, whose loudspeaker is its microphone) voice and
music met as well: docs/decisions.md.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote

import pytest
from playwright.async_api import Request, Route

from tests.browser import chromium
from tests.client import Listener
from tests.control import Control
from tests.netem import Link, Relay
from tests.server import Server
from tests.singer import meet
from tests.test_browser import join

ANN_HZ = 6000

# Instead of a microphone: what a script makes of the frames that are played. sing() is for when there are some.
SINGER = """
const mouth = new MediaStreamTrackGenerator({kind: 'audio'});
mouth.applyConstraints = async () => {};
navigator.mediaDevices.getUserMedia = async () => new MediaStream([mouth]);
window.sing = async carrierHz => {
    const stats = [...(await page.media.listener.connection.getStats()).values()];
    const playout = stats.find(({type}) => type === 'media-playout');
    const output = playout.totalPlayoutDelay / playout.totalSamplesCount;
    const input = mouth.getSettings().latency ?? 0.015;
    const late = Math.round(48000 * (output + input));
    const past = new Float32Array(65536);
    let sample = 0;
    const transform = ({numberOfFrames, sampleRate, timestamp}, heard) => {
        const data = new Float32Array(numberOfFrames);
        for (let i = 0; i < numberOfFrames; i++, sample++) {
            past[sample % past.length] = heard[i];
            const now = past[(sample - late + past.length) % past.length];
            data[i] = 2 * now * Math.sin(2 * Math.PI * carrierHz / 48000 * (sample % 48000));
        }
        return new AudioData({format: 'f32-planar', sampleRate, numberOfFrames, numberOfChannels: 1, timestamp, data});
    };
    const writer = mouth.writable.getWriter();
    const [{receiver}] = page.media.listener.slots;
    const reader = new MediaStreamTrackProcessor({track: receiver.track}).readable.getReader();
    (async () => {
        for (;;) {
            const {value} = await reader.read();
            const heard = new Float32Array(value.numberOfFrames);
            value.copyTo(heard, {planeIndex: 0, format: 'f32-planar'});
            writer.write(transform(value, heard));
            value.close();
        }
    })();
};
"""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def test_chromium_s_voice_and_the_music_meet(
    stack: AsyncExitStack, ktv_control: Control, room: str, audience: Listener
) -> None:
    control = ktv_control
    await control.seat(room, "ann")
    way = Link(delay_ms=25.0, jitter_ms=10.0)
    relays = [stack.enter_context(Relay(up=way, down=way, seed=seed)) for seed in (5, 6)]
    browser = await stack.enter_async_context(chromium())
    tab = await browser.open(f"{control.url}/?room={quote(room)}&user=ann", script=SINGER)

    async def through_a_relay(route: Route) -> None:
        response = await route.fetch()
        relay = relays["/whip/" in route.request.url]
        await route.fulfill(response=response, body=relay.rewrite(await response.text()))

    reports: list[dict[str, float]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/delays"):
            reports.append(json.loads(request.post_data or ""))

    await tab.page.route(lambda url: "/whip/" in url or "mode=mix" in url, through_a_relay)
    tab.page.on("request", note)
    await join(tab)
    await tab.page.wait_for_timeout(500)
    await tab.state(f"sing({ANN_HZ})")
    await meet(audience, ANN_HZ)
    # A jitter buffer's worth and an output's; an input's and a packet's.
    assert 30 < reports[-1]["playout_ms"] < 300
    assert 20 < reports[-1]["capture_ms"] < 80
    said = len(reports)
    assert said >= 3
    await control.call("PATCH", "rooms", room, "players", "song", json={"align": False})
    await tab.page.wait_for_timeout(1500)
    said = len(reports)
    await tab.page.wait_for_timeout(2500)
    assert len(reports) == said, "there is nothing to sing to any more"
    assert tab.errors == []


async def test_a_singer_s_microphone_is_left_as_it_is(
    stack: AsyncExitStack, server: Server, control: Control, room: str
) -> None:
    await control.call("PUT", "rooms", room, json={"scenario": "ktv"})
    browser = await stack.enter_async_context(chromium())
    for name, scenario, processed in (("ann", "ktv", False), ("bob", "chat", True)):
        await control.call("PATCH", "rooms", room, json={"scenario": scenario})
        tab = await browser.open(f"{server.url}/?room={quote(room)}&user={name}")
        await join(tab)
        settings = await tab.state("page.media.publisher.microphone.getAudioTracks()[0].getSettings()")
        assert [settings[each] for each in ("echoCancellation", "noiseSuppression", "autoGainControl")] == [
            processed
        ] * 3
        assert tab.errors == []
