"""What the voice-room page says when something is not as it should be: each of these is a designed state."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser import chromium
from tests.test_room_page import House, house, media, rooms

__all__ = ["house", "media", "rooms"]  # fixtures


async def test_who_refuses_the_microphone_is_told_and_goes_on_listening(house: House) -> None:
    bob = await house.comes("bob", 590)
    await house.opens(bob, "Evening talk")
    async with chromium(asks=True) as browser:
        ann = await house.comes("ann", browser=browser)
        await house.opens(ann, "Morning talk")
        await ann.sees("The microphone was refused.")
        await ann.press("Leave", exact=True)
        await (
            ann.page.get_by_role("dialog").get_by_role("button", name="Leave", exact=True).click()
        )  # and the room stays
        await house.enters(ann, "Evening talk")
        await ann.hears(590)


async def test_a_wrong_password_is_told_in_words(house: House) -> None:
    ann = await house.comes("ann")
    await ann.sees("Nobody is talking yet")
    other = await house.comes("ann")
    await other.page.evaluate("sessionStorage.clear()")
    await other.page.reload()
    await other.page.get_by_label("Your name").fill("ann")
    await other.page.get_by_label("Password").fill("another")
    await other.press("Come in")
    await expect(other.page.get_by_role("alert")).to_have_text(
        "This name has another password, or cannot be made here."
    )


async def test_who_is_banned_is_told_and_does_not_come_back(house: House) -> None:
    ann, bob = await house.comes("ann", 440), await house.comes("bob")
    await house.opens(ann, "Evening talk")
    await house.enters(bob, "Evening talk")
    await ann.press("People")
    await ann.page.get_by_role("complementary").get_by_role("button", name="bob").click()
    await ann.press("Ban for an hour")
    await ann.press("Yes")
    await bob.sees("You are banned from this room.")
    await bob.press("Open Evening talk")
    await bob.sees("You are banned from this room.")
    await expect(bob.page.get_by_role("heading", name="Rooms")).to_be_visible()


async def test_an_address_of_a_room_leads_into_it_and_one_of_no_room_back_to_the_list(house: House) -> None:
    ann = await house.comes("ann", 440)
    await house.opens(ann, "Evening talk")
    address = "#" + ann.page.url.rpartition("#")[2]
    bob = await house.comes("bob", hash=address)
    await expect(bob.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
    cem = await house.comes("cem", hash="#no-such-room")
    await cem.sees("There is no such room any more.")
    await cem.sees("Evening talk")
