"""The pages by the rules of axe-core: nothing serious on any screen, light or dark, wide or narrow. What they look
like, `SCREENS=directory scripts/test pages_accessible` keeps in pictures."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from mediaserver.settings import DEVELOPMENT_KEY
from tests.browser import FLAGS
from tests.server import Server
from tests.test_room_page import BROWSERS, House, User, calls, house, media, rooms

__all__ = ["house", "media", "rooms"]  # fixtures

AXE = BROWSERS / "node_modules" / "axe-core" / "axe.min.js"
RUN = "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
SHAPES = [("light", 1280, 800), ("dark", 390, 844)]


@pytest.mark.parametrize(("scheme", "width", "height"), SHAPES)
async def test_no_screen_of_the_room_page_has_anything_serious(
    house: House, scheme: Any, width: int, height: int
) -> None:
    async with AsyncExitStack() as stack:
        ann = await opened(stack, house.rooms.url, scheme, width, height)
        page = ann.page
        await looked_at(page, "login", scheme)
        await page.get_by_label("Your name").fill("ann")
        await page.get_by_label("Password").fill("ann's password")
        await ann.press("Come in")
        await ann.sees("Nobody is talking yet")
        await looked_at(page, "empty lobby", scheme)
        await ann.press("New room")
        await looked_at(page, "new room", scheme)
        await page.get_by_label("What is it about?").fill("Evening talk")
        await ann.press("Open the room")
        await expect(page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
        bob = await house.comes("bob", 590)
        await house.enters(bob, "Evening talk")
        await bob.press("Raise your hand")
        await bob.page.get_by_role("textbox", name="Message").fill("Good evening!")
        await bob.press("Send")
        await expect(page.get_by_role("button", name="Give a seat: bob")).to_be_visible(timeout=10_000)
        await looked_at(page, "a raised hand", scheme)
        await ann.press("Give a seat: bob")
        await expect(page.locator(".seat[data-user=bob]")).to_be_visible(timeout=10_000)
        for name in ("Chat", "Music", "People", "Sound and devices"):
            button = page.get_by_role("navigation").get_by_role("button", name=name)
            if await button.get_attribute("aria-expanded") == "false":
                await button.click()
            await looked_at(page, name, scheme)
        await page.locator("aside").get_by_role("button", name="Close").click()
        await page.locator(".seat[data-user=bob]").click()
        await looked_at(page, "a person", scheme)
        await page.keyboard.press("Escape")
        await calls(User("bob", await second_lobby(house, stack), []), "ann")
        await ann.sees("cem is calling")
        await looked_at(page, "a call", scheme)
        await ann.press("Decline")


async def second_lobby(house: House, stack: AsyncExitStack) -> Page:
    """cem's, who is in no room."""
    return (await house.comes("cem", 790)).page


@pytest.mark.parametrize(("scheme", "width", "height"), SHAPES)
async def test_the_operators_page_has_nothing_serious(
    house: House, scheme: Any, width: int, height: int, media: Server
) -> None:
    bob = await house.comes("bob", 590)
    await house.opens(bob, "Evening talk")
    async with AsyncExitStack() as stack:
        page = (await opened(stack, f"{media.url}/ops/", scheme, width, height)).page
        await looked_at(page, "operators key", scheme)
        await page.get_by_label("Key").fill(DEVELOPMENT_KEY[0])
        await page.get_by_label("Secret").fill(DEVELOPMENT_KEY[1])
        await page.get_by_role("button", name="Show").click()
        await page.locator("#rooms button").click()
        await expect(page.locator("#people tbody tr")).to_have_count(1)
        await looked_at(page, "operators", scheme)


@pytest.mark.parametrize(("scheme", "width", "height"), SHAPES)
async def test_the_media_servers_page_has_nothing_serious(
    house: House, scheme: Any, width: int, height: int, media: Server
) -> None:
    async with AsyncExitStack() as stack:
        page = (await opened(stack, f"{media.url}/?room=lobby", scheme, width, height)).page
        await looked_at(page, "media join", scheme)
        await page.get_by_label("Your name").fill("ann")
        await page.get_by_role("button", name="Join").click()
        await expect(page.locator("#people li[data-user=ann]")).to_be_visible(timeout=10_000)
        bob = (await opened(stack, f"{media.url}/?room=lobby&user=bob", scheme, width, height)).page
        await bob.get_by_role("button", name="Join").click()
        await expect(page.locator("#people li.speaking[data-user=bob]")).to_be_visible(timeout=10_000)
        await page.locator("#music .piece").click()
        await expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=10_000)
        await looked_at(page, "media room", scheme)


async def opened(stack: AsyncExitStack, url: str, scheme: Any, width: int, height: int) -> User:
    playwright = await stack.enter_async_context(async_playwright())
    flags = [*FLAGS, "--use-fake-ui-for-media-stream"]
    browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=flags)
    stack.push_async_callback(browser.close)
    viewport: Any = {"width": width, "height": height}
    context = await browser.new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page = await context.new_page()
    await page.goto(url)
    return User("ann", page, [])


async def looked_at(page: Page, name: str, scheme: str) -> None:
    """Nothing serious or critical by axe-core."""
    await page.wait_for_timeout(300)
    if directory := os.environ.get("SCREENS"):
        await page.screenshot(
            full_page=name == "media room", path=Path(directory) / f"{name.replace(' ', '-')}-{scheme}.png"
        )
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await page.evaluate(RUN)
    serious = [
        (one["id"], one["help"], [node["html"][:160] for node in one["nodes"]][:3])
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == [], f"{name}, {scheme}"
