"""The operator's page in Debian's Chromium: a key, the rooms, one room and its gain matrix, a mute, a removal."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, expect

from mediaserver.settings import DEVELOPMENT_KEY
from tests.browser import Tab, chromium
from tests.client import Listener
from tests.control import Control
from tests.server import Server


@pytest.fixture
async def tab(server: Server) -> AsyncIterator[Tab]:
    async with chromium() as browser:
        yield await browser.open(f"{server.url}/ops/")


async def show(page: Page, secret: str = DEVELOPMENT_KEY[1]) -> None:
    await page.get_by_label("Key").fill(DEVELOPMENT_KEY[0])
    await page.get_by_label("Secret").fill(secret)
    await page.get_by_role("button", name="Show").click()


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def is_loud(listener: Listener) -> bool:
    samples = listener.samples(0.3)
    return bool(len(samples) and abs(samples).max() > 0.01)


async def test_a_wrong_key_is_told_and_a_right_one_is_kept_until_it_is_forgotten(tab: Tab) -> None:
    page = tab.page
    await show(page, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("There is no such key, or its secret is another.")
    await show(page)
    await expect(page.get_by_role("heading", name="Rooms")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("heading", name="Rooms")).to_be_visible()
    await page.get_by_role("button", name="Forget the key").click()
    await page.reload()
    await expect(page.get_by_label("Secret")).to_be_visible()


async def test_an_operator_sees_who_talks_and_who_hears_whom_and_mutes_and_removes(
    tab: Tab, control: Control, room: str
) -> None:
    page = tab.page
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(await control.speak(room, "ann", 440))
        eve = await stack.enter_async_context(await control.listen(room, "eve", mode="mix", slots=1))
        await control.call("PATCH", "rooms", room, "listeners", "eve", json={"user_gains_db": {"ann": -6}})
        await until(lambda: is_loud(eve))
        await show(page)
        row = page.locator("#rooms tr", has=page.get_by_role("button", name=room))
        await expect(row).to_contain_text("ann")
        await page.get_by_role("button", name=room).click()
        ann = page.locator("#people tr", has=page.get_by_role("rowheader", name="ann"))
        await expect(ann).to_contain_text("speaking")
        matrix = page.locator("#matrix tbody tr")
        await expect(matrix).to_have_count(1)
        await expect(matrix).to_contain_text("eve")
        await expect(matrix.locator("td")).to_have_text("-6")

        await page.get_by_role("button", name="Mute ann").click()
        await page.get_by_role("button", name="Leave it").click()
        await expect(ann).to_contain_text("speaking")
        await page.get_by_role("button", name="Mute ann").click()
        await page.get_by_role("button", name="Do it").click()
        await expect(ann).to_contain_text("muted by system")
        await expect(matrix.locator("td")).to_have_class("silent")
        await asyncio.sleep(0.5)  # what was on its way
        eve.clear()
        await asyncio.sleep(0.5)
        assert not is_loud(eve)
        await page.get_by_role("button", name="Unmute ann").click()
        await until(lambda: is_loud(eve))

        await page.get_by_role("button", name="Remove ann").click()
        await page.get_by_role("button", name="Do it").click()
        await expect(ann).to_have_count(0)
        assert "ann" not in (await control.call("GET", "rooms", room))["speakers"]
        await page.get_by_role("searchbox").fill("no such room")
        await expect(page.get_by_text("name begins so.")).to_be_visible()
    assert [error for error in tab.errors if "401" not in error] == []


async def test_a_server_that_is_gone_and_a_key_that_may_only_look_are_told(
    tab: Tab, control: Control, room: str
) -> None:
    page = tab.page
    await show(page)
    async with await control.speak(room, "ann", 440):
        await page.get_by_role("button", name=room).click()
        refusal = {"status": 403, "content_type": "application/problem+json", "json": {"title": "No"}}
        await page.route("**/mutes/system", lambda route: route.fulfill(**refusal))
        await page.get_by_role("button", name="Mute ann").click()
        await page.get_by_role("button", name="Do it").click()
        await expect(page.locator("#health")).to_have_text("This key may only look.")
    await page.route("**/v1/node", lambda route: route.abort())
    await expect(page.locator("#health")).to_have_text("The server cannot be reached.")
