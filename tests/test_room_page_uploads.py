"""Music that users bring into the library by the room page: chosen, dropped, cancelled, deleted, and refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, expect

from tests.clips import encode, tone
from tests.pieces import pieces
from tests.server import Server
from tests.test_room_page import SONG_HZ, House, Rooms, User, house
from tests.test_room_page_library import directory, media, panel_of

__all__ = ["directory", "house", "media"]  # fixtures
DECODED_MS = 30_000
SONG = encode(tone(SONG_HZ, 6, 48_000), "flac", 48_000, "mono")
SLOW = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}

# As when a file of a desktop is dropped on the panel.
DROPS = """([name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, {type: 'audio/flac'}));
    const panel = document.querySelector('room-music');
    const told = [];
    for (const type of ['dragover', 'drop']) {
        panel.dispatchEvent(new DragEvent(type, {dataTransfer, bubbles: true, cancelable: true}));
        told.push(panel.classList.contains('dropping'));
    }
    return told;
}"""


class TestWithUploads:
    @pytest.fixture
    def rooms(self, media: Server, tmp_path: Path) -> Iterator[Rooms]:
        running = Rooms(tmp_path, media.url, "--library-upload-mib", "1")
        yield running
        running.process.stop()

    async def test_a_chosen_file_comes_into_the_library_is_heard_by_another_and_can_be_deleted(
        self, house: House
    ) -> None:
        ann, library = await panel_of(house)
        bob = await house.comes("bob")
        await house.enters(bob, "Concert")
        async with ann.page.expect_file_chooser() as chooser:
            await library.get_by_role("button", name="Add files").press("Enter")  # by the keyboard alone
        await (await chooser.value).set_files([song_named("Evening song.flac")])
        await ann.sees("Evening song is in the library.")
        piece = library.get_by_role("button", name="Evening song 0:06", exact=True)
        await piece.click()
        await bob.hears(SONG_HZ)
        await bob.press("Music")
        await expect(bob.page.locator(".now strong")).to_have_text("Evening song")
        await library.get_by_role("button", name="Delete Evening song").click()
        await ann.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
        await expect(piece).to_have_count(0)
        await bob.hears(SONG_HZ)  # what plays plays on
        assert await asyncio.to_thread(pieces, house.media.url) == []
        assert [user.errors for user in (ann, bob)] == [[], []]

    async def test_what_is_no_music_or_too_large_is_told_beside_what_comes_in(self, house: House) -> None:
        ann, library = await panel_of(house)
        await expect(library.get_by_role("button", name="Add files")).to_be_visible()
        await choose(
            ann,
            song_named("Film.flac", bytes(1024**2) + b"x"),
            song_named("Letter.flac", b"Dear Ann, this is no music."),
            song_named("Song.flac"),
        )
        await ann.sees("Film.flac: This is too large. At most 1 MiB are taken.")
        await ann.sees("Letter.flac: There is no music in it that can be played.")
        await expect(library.get_by_role("button", name="Song 0:06")).to_be_visible(timeout=DECODED_MS)
        await library.get_by_role("button", name="Cancel Film.flac").click()
        await expect(library.locator(".uploads li")).to_have_count(1)

    async def test_a_dropped_file_comes_into_the_library_and_one_that_is_cancelled_leaves_nothing(
        self, house: House
    ) -> None:
        ann, library = await panel_of(house)
        await expect(library.get_by_role("button", name="Add files")).to_be_visible()
        assert await ann.page.evaluate(DROPS, ["Dropped.flac", base64.b64encode(SONG).decode()]) == [True, False]
        await expect(library.get_by_role("button", name="Dropped 0:06")).to_be_visible(timeout=DECODED_MS)

        network = await ann.page.context.new_cdp_session(ann.page)
        await network.send("Network.emulateNetworkConditions", SLOW)
        slow = encode(tone(800, 6, 48_000), "wav", 48_000, "mono")
        await choose(ann, song_named("Slow.wav", slow))
        await expect(library.locator(".uploads progress")).to_have_js_property("hidden", False)
        await ann.until("[...document.querySelectorAll('.uploads progress')].some(({value}) => value > 0)")
        await ann.press("Music")  # it goes on while the panel is closed
        await ann.press("Music")
        await library.get_by_role("button", name="Cancel Slow.wav").click()
        await expect(library.locator(".uploads li")).to_have_count(0)
        await network.send("Network.emulateNetworkConditions", {**SLOW, "uploadThroughput": -1})
        await choose(ann, song_named("After.flac", encode(tone(900, 2, 48_000), "flac", 48_000, "mono")))
        await expect(library.get_by_role("button", name="After 0:02")).to_be_visible(timeout=DECODED_MS)
        titles = {piece["title"] for piece in await asyncio.to_thread(pieces, house.media.url)}
        assert titles == {"Dropped", "After"}


class TestWithoutUploads:
    @pytest.fixture
    def rooms(self, media: Server, tmp_path: Path) -> Iterator[Rooms]:
        running = Rooms(tmp_path, media.url, "--library-uploads", "nobody")
        yield running
        running.process.stop()

    async def test_who_may_not_upload_is_not_offered_to(self, house: House) -> None:
        ann, library = await panel_of(house)
        await ann.sees("The library is empty.")
        await expect(library.get_by_role("button", name="Add files")).to_be_hidden()
        assert await ann.page.evaluate(DROPS, ["Dropped.flac", ""]) == [False, False]
        await expect(library.locator(".uploads li")).to_have_count(0)


def song_named(name: str, content: bytes = SONG) -> FilePayload:
    return FilePayload(name=name, mimeType="audio/flac", buffer=content)


async def choose(user: User, *files: FilePayload) -> None:
    await user.page.locator("room-uploads input").set_input_files(list(files))
