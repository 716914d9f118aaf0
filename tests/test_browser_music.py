"""Music, effects and hints on the page: what one tab does, another one hears and shows."""

import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from shutil import copy2
from typing import Any

import numpy as np
import pytest
from playwright.async_api import expect

from soundpack import tune
from tests.browser import Tab
from tests.conftest import StartServer
from tests.control import Control
from tests.server import Server
from tests.test_browser import People, hears, hears_no_more, join

FIRST_HZ, SECOND_HZ, VOICE_HZ = 1000, 1500, 440
RATE = 48_000
DING_HZ = 1568


def write_piece(path: Path) -> Path:
    """20 s at one pitch, then 20 s at another, -20 dB."""
    t = np.arange(20 * RATE) / RATE
    samples = np.concatenate([0.1 * np.sin(2 * np.pi * pitch * t) for pitch in (FIRST_HZ, SECOND_HZ)])
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """With the demo tune in it."""
    directory = tmp_path / "library"
    directory.mkdir()
    copy2(tune.PLACE, directory)
    return directory


@pytest.fixture
def studio(start_server: StartServer, library: Path) -> Server:
    return start_server("--workers", "1", "--media-dir", str(library))


@pytest.fixture
async def people(room: str, microphones: Callable[[int], Path]) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        people = People(stack, room, microphones)
        people.hearing = "mode=mix"
        yield people


async def slide(tab: Tab, selector: str, value: int) -> None:
    """As a hand does: it is drawn, and let go."""
    await tab.page.locator(f"#music {selector}").evaluate(
        """(slider, value) => {
            slider.value = value;
            slider.dispatchEvent(new Event('input'));
            slider.dispatchEvent(new Event('change'));
        }""",
        value,
    )


async def position_s(tab: Tab) -> float:
    return float(await tab.state("document.querySelector('#music .position').value")) / 1000


async def play(tab: Tab, title: str) -> None:
    await tab.page.locator("#music .piece", has_text=title).click()


async def upload(tab: Tab, path: Path) -> None:
    await tab.page.locator("#music .upload input").set_input_files(path)
    await expect(tab.page.locator("#music .piece", has_text="piece")).to_be_visible()


async def quieter(tab: Tab, than_db: float, by_db: float) -> None:
    """Waits for the first pitch to be so much below a level, to 3 dB."""
    level = 0.0
    for _ in range(12):
        level = await tab.loudest_db(FIRST_HZ, seconds=0.6)
        if abs(than_db - level - by_db) < 3:
            return
    raise AssertionError(f"{level:.1f} dB, {than_db - level:.1f} dB below {than_db:.1f}")


async def test_a_piece_is_uploaded_and_played_and_the_other_page_hears_it_and_shows_where_it_is(
    people: People, studio: Server, tmp_path: Path
) -> None:
    ann = await people.listener(studio, "ann")
    eve = await people.listener(studio, "eve")
    await upload(ann, write_piece(tmp_path / "piece.wav"))
    await play(ann, "piece")
    await hears(eve, FIRST_HZ)
    await expect(eve.page.locator("#music .track")).to_have_text("piece ")
    begun = await position_s(eve)
    await eve.until(f"Number(document.querySelector('#music .position').value) > {1000 * (begun + 2)}")
    assert abs(await position_s(eve) - await position_s(ann)) < 1
    await expect(eve.page.locator("#music .length").first).to_have_text("0:40")

    await slide(ann, ".position", 30_000)
    await hears(eve, SECOND_HZ)
    await eve.until("Number(document.querySelector('#music .position').value) >= 30000")
    assert await position_s(eve) < 38
    await slide(ann, ".position", 1000)
    await hears(eve, FIRST_HZ)
    await eve.until("Number(document.querySelector('#music .position').value) < 15000")

    loud = await eve.loudest_db(FIRST_HZ)
    await slide(ann, ".volume", -18)  # it was -6
    await quieter(eve, loud, 12)
    await slide(ann, ".volume", -6)
    await quieter(eve, loud, 0)
    await slide(eve, ".own-volume", -60)
    await hears_no_more(eve, FIRST_HZ)
    await hears(ann, FIRST_HZ)
    await slide(eve, ".own-volume", 0)

    await ann.page.get_by_role("button", name="Pause").click()
    await hears_no_more(eve, FIRST_HZ)
    stood = await position_s(eve)
    await ann.page.get_by_role("button", name="Play", exact=True).click()
    await hears(eve, FIRST_HZ)
    await eve.until(f"Number(document.querySelector('#music .position').value) > {1000 * stood + 500}")
    await ann.page.get_by_role("button", name="Next").click()
    await play(ann, tune.TITLE)
    await expect(eve.page.locator("#music .track")).to_have_text(f"{tune.TITLE} {tune.ARTIST}")
    await hears(eve, 220)  # the bass of a minor, an octave above, and in the chord
    assert [ann.errors, eve.errors] == [[], []]


async def test_an_effect_is_heard_by_whom_it_is_for(people: People, studio: Server) -> None:
    ann = await people.listener(studio, "ann")
    bob = await people.speaker(studio, "bob", VOICE_HZ)
    await hears(ann, VOICE_HZ)
    await ann.page.locator("#music .audience").select_option(label="bob alone")
    await ann.page.get_by_role("button", name="Ding").click()
    await hears(bob, DING_HZ)
    assert await ann.loudest_db(DING_HZ, seconds=0.5) < -50
    await ann.page.locator("#music .audience").select_option("everybody")
    await ann.page.get_by_role("button", name="Ding").click()
    await hears(ann, DING_HZ)
    assert [ann.errors, bob.errors] == [[], []]


async def test_music_makes_way_for_a_voice_as_far_as_the_slider_says(
    people: People, studio: Server, tmp_path: Path
) -> None:
    ann = await people.listener(studio, "ann")
    await slide(ann, ".ducking", 0)
    await upload(ann, write_piece(tmp_path / "piece.wav"))
    await play(ann, "piece")
    await hears(ann, FIRST_HZ)
    loud = await ann.loudest_db(FIRST_HZ)
    await people.speaker(studio, "bob", VOICE_HZ)
    await hears(ann, VOICE_HZ)
    await quieter(ann, loud, 0)
    await slide(ann, ".ducking", 18)
    await quieter(ann, loud, 18)
    await slide(ann, ".ducking", 0)
    await quieter(ann, loud, 0)


async def test_who_talks_while_the_host_mutes_him_is_told_and_nobody_else(people: People, studio: Server) -> None:
    ann = await people.speaker(studio, "ann", VOICE_HZ)
    eve = await people.listener(studio, "eve")
    await hears(eve, VOICE_HZ)
    async with Control(studio.url) as control:
        await control.mute(people.room, "ann", "host")
        await expect(ann.page.locator("#hint")).to_have_text("You are muted by the host: nobody hears you.")
        await control.unmute(people.room, "ann", "host")
        await expect(ann.page.locator("#hint")).to_be_hidden()
    await expect(eve.page.locator("#hint")).to_be_hidden()


async def test_who_talks_while_he_has_muted_himself_is_told_by_his_own_page(people: People, studio: Server) -> None:
    ann = await people.speaker(studio, "ann", VOICE_HZ)
    eve = await people.listener(studio, "eve")
    await hears(eve, VOICE_HZ)
    await ann.page.get_by_role("button", name="Mute", exact=True).click()
    await expect(ann.page.locator("#hint")).to_have_text("You are muted: nobody hears you.")
    await hears_no_more(eve, VOICE_HZ)
    await ann.page.get_by_role("button", name="Unmute").click()
    await expect(ann.page.locator("#hint")).to_be_hidden()
    await hears(eve, VOICE_HZ)
    assert [ann.errors, eve.errors] == [[], []]


async def test_a_token_shows_what_plays_and_changes_ones_own_ears_alone(
    people: People, start_server: StartServer, library: Path
) -> None:
    secret = "s" * 32
    options = ("--api-key", f"key:{secret}", "--media-address", "127.0.0.1", "--state", "none", "--drain-timeout", "0")
    server = start_server(*options, "--workers", "1", "--media-dir", str(library))
    async with Control(server.url, ("key", secret)) as control:
        await control.make_room(people.room)
        token = await control.token(people.room, "eve")
        pieces: list[dict[str, Any]] = []
        while not pieces:
            pieces = (await control.call("GET", "media"))["media"]
        eve = await people.open(await people.browser(), server, "eve", f"&listen=1#token={token}")
        await join(eve)
        await expect(eve.page.locator("#music")).to_be_hidden()
        player = {"tracks": [{"media": pieces[0]["id"]}]}
        await control.call("PUT", "rooms", people.room, "players", "music", json=player)
        await expect(eve.page.locator("#music .track")).to_have_text(f"{tune.TITLE} {tune.ARTIST}")
        await hears(eve, 220)
        await eve.until("Number(document.querySelector('#music .position').value) > 1000")
        for hidden in (".controls", ".library", ".effects", ".volume", ".ducking", ".voice"):
            await expect(eve.page.locator(f"#music {hidden}")).to_be_hidden()
        await expect(eve.page.locator("#music .position")).to_be_disabled()
        await slide(eve, ".own-volume", -60)
        await hears_no_more(eve, 220)
    assert eve.errors == []
