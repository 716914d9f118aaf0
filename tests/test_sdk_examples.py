"""The SDK's examples, as who reads its README opens them: in Chromium, with microphones, over both servers."""

from __future__ import annotations

import asyncio
import json
import time

from playwright.async_api import Page, expect

from tests.browser import Tab
from tests.test_room_page import ANN_HZ, BOB_HZ, HEARD_DB, SILENT_DB, House, house, media, rooms

__all__ = ["house", "media", "rooms"]  # fixtures

# The SDK plays by elements of no document: each that plays is remembered.
REMEMBER = """window.played = new Set();
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () { window.played.add(this); return play.call(this); };"""

# The loudest that a pitch was in what the page plays, in dB, over half a second.
LISTEN = """async pitch => {
    const context = new AudioContext();
    await context.resume();
    const live = [...window.played].filter(player => player.srcObject?.active);
    const ears = live.map(player => {
        const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
        context.createMediaStreamSource(player.srcObject).connect(analyser);
        return analyser;
    });
    let loudest = -120;
    for (let i = 0; i < 12; i++) {
        await new Promise(resolve => setTimeout(resolve, 40));
        for (const ear of ears) {
            const bins = new Float32Array(ear.frequencyBinCount);
            ear.getFloatFrequencyData(bins);
            loudest = Math.max(loudest, bins[Math.round(pitch * 8192 / context.sampleRate)]);
        }
    }
    await context.close();
    return loudest;
}"""


async def opened(at: House, example: str, user: str, pitch_hz: int | None = None) -> Tab:
    browser = await at.browser(pitch_hz)
    tab = await browser.open(f"{at.rooms.url}/sdk/examples/{example}.html", script=REMEMBER)
    await tab.page.get_by_label("Name").fill(user)
    await tab.page.get_by_label("Password").fill(f"{user}'s password")
    await press(tab.page, "Sign in")
    return tab


async def press(page: Page, words: str) -> None:
    await page.get_by_role("button", name=words, exact=True).click()


async def hears(tab: Tab, pitch_hz: int) -> None:
    deadline = time.monotonic() + 12
    while (level := await tab.page.evaluate(LISTEN, pitch_hz)) < HEARD_DB:
        assert time.monotonic() < deadline, f"{pitch_hz} Hz at {level} dB only; {tab.errors}"


async def hears_no_more(tab: Tab, pitch_hz: int) -> None:
    deadline = time.monotonic() + 6
    while (level := await tab.page.evaluate(LISTEN, pitch_hz)) > SILENT_DB:
        assert time.monotonic() < deadline, f"{pitch_hz} Hz at {level} dB still; {tab.errors}"


async def test_a_voice_room(house: House) -> None:
    ann, bob = await asyncio.gather(
        opened(house, "voice-room", "ann", ANN_HZ), opened(house, "voice-room", "bob", BOB_HZ)
    )
    await ann.page.get_by_label("Title").fill("Tea")
    await press(ann.page, "Open a room")
    await expect(ann.page.get_by_role("heading", name="Tea")).to_be_visible(timeout=10_000)
    await bob.page.reload()  # nothing is kept: he signs in again, and the room is in the list
    await bob.page.get_by_label("Name").fill("bob")
    await bob.page.get_by_label("Password").fill("bob's password")
    await press(bob.page, "Sign in")
    await press(bob.page, "Enter Tea (1)")
    await hears(bob, ANN_HZ)
    await press(bob.page, "Take a seat")
    await hears(ann, BOB_HZ)
    await expect(ann.page.get_by_role("listitem").filter(has_text="bob")).to_contain_text("🔊", timeout=10_000)
    await press(bob.page, "Mute")
    await hears_no_more(ann, BOB_HZ)
    await expect(ann.page.get_by_role("listitem").filter(has_text="bob")).to_contain_text("(muted)")
    await press(bob.page, "Leave")
    await expect(bob.page.get_by_label("Title")).to_be_visible()
    assert (ann.errors, bob.errors) == ([], [])


async def test_a_call(house: House) -> None:
    ann, bob = await asyncio.gather(opened(house, "call", "ann", ANN_HZ), opened(house, "call", "bob", BOB_HZ))
    for answer in ("Decline", "Accept"):
        await expect(bob.page.get_by_label("Whom")).to_be_visible(timeout=10_000)
        await ann.page.get_by_label("Whom").fill("bob")
        await press(ann.page, "Call")
        await expect(bob.page.get_by_role("status")).to_have_text("ann calls you.", timeout=10_000)
        await expect(ann.page.get_by_role("status")).to_have_text(
            "It rings at bob.", timeout=10_000
        )  # it is heard, too
        await press(bob.page, answer)
        if answer == "Decline":
            await expect(ann.page.get_by_role("status")).to_contain_text("(rejected)", timeout=10_000)
    await hears(ann, BOB_HZ)
    await hears(bob, ANN_HZ)
    await press(bob.page, "Mute")
    await hears_no_more(ann, BOB_HZ)
    await press(ann.page, "Hang up")
    await expect(bob.page.get_by_role("status")).to_contain_text("The call is over after", timeout=10_000)
    assert (ann.errors, bob.errors) == ([], [])


async def test_signaling_alone(house: House) -> None:
    ann = await opened(house, "signaling", "ann")
    await ann.page.get_by_label("Method").fill("create_room")
    await ann.page.get_by_label("Parameters").fill('{"title": "Silent"}')
    await press(ann.page, "Call")
    answer = ann.page.locator("#answer")
    await expect(answer).to_contain_text('"Silent"', timeout=10_000)
    room = json.loads(await answer.inner_text())["id"]
    await ann.page.get_by_label("Method").fill("set_room_info")
    await ann.page.get_by_label("Parameters").fill(json.dumps({"room": room, "values": {"topic": "tea"}}))
    await press(ann.page, "Call")
    await expect(ann.page.locator("#events")).to_contain_text('room_info {"changed":{"topic":"tea"}')
    await ann.page.get_by_label("Method").fill("login_room")
    await ann.page.get_by_label("Parameters").fill('{"room": "none"}')
    await press(ann.page, "Call")
    await expect(ann.page.get_by_role("alert")).not_to_be_empty()
    assert ann.errors == []
