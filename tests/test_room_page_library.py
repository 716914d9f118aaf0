"""The library in the room page's music panel: what there is, and each reason for which there is nothing to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Locator, expect

from mediaserver.settings import DEVELOPMENT_KEY
from tests.conftest import StartServer
from tests.pieces import put_into, until_listed
from tests.server import Server
from tests.test_room_page import SONG_HZ, House, User, house, rooms

__all__ = ["house", "rooms"]  # fixtures
TRIES = """library => {
    library.states = [];
    const seen = new MutationObserver(() => library.states.push(library.dataset.state));
    seen.observe(library, {attributeFilter: ['data-state']});
}"""
LOOKED_AGAIN_MS = 30_000  # the server each 10 s, and then the page


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "library"
    path.mkdir()
    return path


@pytest.fixture
def media(start_server: StartServer, directory: Path) -> Server:
    """Its library is empty."""
    return start_server("--cors-origin", "*", "--media-dir", str(directory))


@pytest.fixture
def song(microphones: Callable[[int], Path]) -> Path:
    return microphones(SONG_HZ)


async def panel_of(house: House) -> tuple[User, Locator]:
    """ann's, who leads a room."""
    ann = await house.comes("ann")
    await house.opens(ann, "Concert", "by who takes it")
    await ann.press("Music")
    return ann, ann.page.locator("room-library")


async def test_an_empty_library_says_so_and_shows_what_is_put_there(house: House, directory: Path, song: Path) -> None:
    ann, library = await panel_of(house)
    await expect(library).to_have_attribute("data-state", "empty")
    await ann.sees("The library is empty.")
    await expect(library.get_by_label("Find a piece")).to_be_hidden()
    put_into(directory, song, "Song")
    await expect(library.get_by_role("button", name="Song")).to_be_visible(timeout=LOOKED_AGAIN_MS)
    await expect(library.get_by_label("Find a piece")).to_be_visible()
    assert ann.errors == []


async def test_a_search_that_finds_nothing_says_so_and_goes_back(house: House, directory: Path, song: Path) -> None:
    put_into(directory, song, "Song")
    await asyncio.to_thread(until_listed, house.media.url, "Song")
    ann, library = await panel_of(house)
    await expect(library.get_by_role("button", name="Song")).to_be_visible()
    await library.get_by_label("Find a piece").fill("nocturne")
    await ann.sees("No piece has this in its title, artist or album.")
    await expect(library.get_by_role("button", name="Song")).to_have_count(0)
    await library.get_by_label("Find a piece").fill("son")
    await expect(library.get_by_role("button", name="Song")).to_be_visible()


async def test_the_library_is_loaded_anew_when_the_panel_is_opened_again_and_when_the_page_is_seen_again(
    house: House, directory: Path, song: Path, microphones: Callable[[int], Path]
) -> None:
    put_into(directory, song, "Song")
    await asyncio.to_thread(until_listed, house.media.url, "Song")
    ann, library = await panel_of(house)
    await expect(library.get_by_role("button", name="Song")).to_be_visible()
    put_into(directory, microphones(1200), "Ballad")
    await asyncio.to_thread(until_listed, house.media.url, "Song", "Ballad")
    await expect(library.get_by_role("button", name="Ballad")).to_have_count(0)
    await ann.press("Music")
    await ann.press("Music")
    await expect(library.get_by_role("button", name="Ballad")).to_be_visible()
    put_into(directory, microphones(1300), "Waltz")
    await asyncio.to_thread(until_listed, house.media.url, "Song", "Ballad", "Waltz")
    await ann.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(library.get_by_role("button", name="Waltz")).to_be_visible()


async def test_a_library_that_cannot_be_reached_is_no_missing_one_and_can_be_tried_again(
    house: House, directory: Path, song: Path, start_server: StartServer
) -> None:
    put_into(directory, song, "Song")
    ann = await house.comes("ann")
    await house.opens(ann, "Concert", "by who takes it")
    await asyncio.to_thread(house.media.kill)
    await ann.press("Music")
    library = ann.page.locator("room-library")
    await expect(library).to_have_attribute("data-state", "failed", timeout=20_000)
    await ann.sees("The library cannot be reached just now.")
    await library.evaluate(TRIES)
    await library.get_by_role("button", name="Try again").click()
    await ann.until("document.querySelector('room-library').states.join() === 'loading,failed'")
    port = house.media.url.rpartition(":")[2]
    await asyncio.to_thread(start_server, "--cors-origin", "*", "--port", port, "--media-dir", str(directory))
    await expect(library.get_by_role("button", name="Song")).to_be_visible(timeout=LOOKED_AGAIN_MS)
    await expect(library.get_by_role("button", name="Try again")).to_be_hidden()


class TestWithoutALibrary:
    @pytest.fixture
    def media(self, start_server: StartServer) -> Server:
        return start_server("--cors-origin", "*")

    async def test_a_server_without_one_says_so_and_takes_addresses(self, house: House) -> None:
        ann, library = await panel_of(house)
        await expect(library).to_have_attribute("data-state", "no-library")
        await ann.sees("This server has no music library.")
        await expect(library.get_by_role("button", name="Try again")).to_be_hidden()
        await expect(library.get_by_label("Address of a piece or a stream")).to_be_visible()


async def test_a_panel_shows_how_loud_it_is_and_another_song_is_as_loud(
    house: House, directory: Path, song: Path
) -> None:
    put_into(directory, song, "Song")
    await asyncio.to_thread(until_listed, house.media.url, "Song")
    ann, library = await panel_of(house)
    volume, ducking, mine, places = (
        ann.page.locator(f"room-music [name={name}]") for name in ("volume", "ducking", "music-mine", "places")
    )
    await library.get_by_role("button", name="Song").click()
    await expect(ann.page.locator(".now strong")).to_have_text("Song")
    for slider, value in ((volume, "-25"), (ducking, "20"), (mine, "-9")):
        await slider.fill(value)
    await places.check()
    room = quote(str(await ann.page.evaluate("document.querySelector('voice-app').room.id")))
    async with asyncio.timeout(10):
        while (await state_of(house, room))["mix"].get("layout") != "arc":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await state_of(house, f"{room}/players/music"))["volume_db"] == -25
    await ann.press("Music")
    await ann.press("Music")  # the panel is another
    await expect(volume).to_have_value("-25")
    await expect(ducking).to_have_value("20")
    await expect(mine).to_have_value("-9")
    await expect(places).to_be_checked()
    await library.get_by_role("button", name="Song").click()
    await expect(ann.page.locator(".now strong")).to_have_text("Song")
    assert (await state_of(house, f"{room}/players/music"))["volume_db"] == -25
    assert ann.errors == []


async def state_of(house: House, path: str) -> dict[str, Any]:
    """Of the media server."""
    url = f"{house.media.url}/v1/rooms/{path}"
    response = await asyncio.to_thread(httpx.get, url, auth=DEVELOPMENT_KEY, timeout=10)
    return dict(response.raise_for_status().json())
