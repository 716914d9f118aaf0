"""The room page and gestures: what waits for one, and what must not take one that is meant for another."""

from __future__ import annotations

from playwright.async_api import expect

from tests.test_room_page import ANN_HZ, House, house, media, rooms

__all__ = ["house", "media", "rooms"]  # fixtures

# As browsers do before the first gesture in a tab.
BLOCK = """
window.blocks = true;
const {play} = HTMLMediaElement.prototype;
HTMLMediaElement.prototype.play = function () {
    return window.blocks ? Promise.reject(new DOMException('no gesture', 'NotAllowedError')) : play.call(this);
};
"""


async def test_sound_that_the_browser_blocks_from_the_beginning_has_a_button(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob")
    await house.opens(ann, "Evening talk", "by who takes it")
    await bob.page.add_init_script(BLOCK)
    await bob.page.reload()
    await house.enters(bob, "Evening talk")
    await bob.sees("The browser keeps the sound off until you touch the page.")
    await bob.page.evaluate("window.blocks = false")
    await bob.press("Turn the sound on")
    await expect(bob.page.get_by_role("button", name="Turn the sound on")).to_be_hidden()
    await bob.hears(ANN_HZ)


async def test_an_invitation_does_not_take_the_words_of_who_is_writing(house: House) -> None:
    ann, bob = await house.comes("ann"), await house.comes("bob")
    await house.opens(ann, "Evening talk")
    await house.enters(bob, "Evening talk")
    await bob.page.get_by_label("Message").press_sequentially("I am")
    await ann.press("People")
    await ann.page.get_by_role("complementary").get_by_role("button", name="bob").click()
    await ann.press("Invite to a seat")
    await bob.sees("ann invites you to a seat")
    await bob.page.keyboard.type(" still writing ")
    await expect(bob.page.get_by_label("Message")).to_have_value("I am still writing ")
    await bob.press("Accept")
    await expect(bob.page.locator(".seat.me[data-user=bob]")).to_be_visible(timeout=10_000)


async def test_who_logs_out_is_out_though_the_push_service_cannot_be_reached(house: House) -> None:
    ann = await house.comes("ann")
    await expect(ann.page.get_by_role("heading", name="Rooms", exact=True)).to_be_visible(timeout=10_000)
    await ann.page.evaluate(
        "() => { navigator.serviceWorker.getRegistration = () => Promise.reject(new DOMException('x', 'AbortError')); }"
    )
    await ann.press("Log out")
    await expect(ann.page.get_by_label("Your name")).to_be_visible(timeout=10_000)
    assert await ann.page.evaluate("sessionStorage.getItem('voicerooms.account')") is None
