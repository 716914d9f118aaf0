"""What the voice-room page says when something is not as it should be: each of these is a designed state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import chromium
from tests.conftest import StartServer
from tests.server import Server
from tests.test_room_page import ANN_HZ, BOB_HZ, SILENT_DB, House, Rooms, User, calls, house, media, rooms

__all__ = ["house", "media", "rooms"]  # fixtures

CALL = "([method, params]) => document.querySelector('voice-app').signaling.call(method, params)"

TOKENS = "JSON.parse(sessionStorage.getItem('voicerooms.account'))"
SPOIL = f"other => sessionStorage.setItem('voicerooms.account', JSON.stringify({{...{TOKENS}, ...other}}))"

# A machine without a microphone.
NO_MICROPHONE = """() => {
    const none = () => Promise.reject(new DOMException('none', 'NotFoundError'));
    window.lack = () => {
        navigator.mediaDevices.getUserMedia = none;
    };
    window.plug = () => {
        delete navigator.mediaDevices.getUserMedia;
        navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
    };
    window.unplug = () => {
        window.lack();
        const app = document.querySelector('voice-app');
        const {publisher} = (app.querySelector('call-bar').current ?? app.room).media;
        const [track] = publisher.microphone.getAudioTracks();
        track.stop();
        track.dispatchEvent(new Event('ended'));
        navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
    };
}"""


# Whatever a page resumes from is kept no longer; `socket` is the one that it has now.
LONG_AWAY = """() => {
    const {send} = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
        window.socket = this;
        const message = JSON.parse(text);
        for (const stream in message.params?.resume) message.params.resume[stream] = 1e6;
        send.call(this, JSON.stringify(message));
    };
}"""


async def asks(user: User, method: str, **params: Any) -> Any:
    """Of the room service, as this user."""
    return await user.page.evaluate(CALL, [method, params])


async def in_lobby(user: User) -> None:
    await expect(user.page.get_by_role("heading", name="Rooms", exact=True)).to_be_visible(timeout=10_000)


async def a_room(user: User, title: str, **settings: object) -> str:
    """Made with settings that the page does not ask for."""
    return str((await asks(user, "create_room", title=title, settings=settings))["id"])


# ---- rooms


async def test_a_full_room_is_told_and_who_comes_when_somebody_left_is_in(house: House) -> None:
    ann, bob = await house.comes("ann"), await house.comes("bob")
    await in_lobby(ann)
    room = await a_room(ann, "Closet", capacity=1)
    await bob.press("Open Closet")
    await bob.sees("The room is full.")
    await in_lobby(bob)
    await asks(ann, "configure_room", room=room, settings={"capacity": 2})
    await house.enters(bob, "Closet")


async def test_who_is_inside_when_the_host_closes_the_room_is_told(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob")
    await house.opens(ann, "Evening talk")
    await house.enters(bob, "Evening talk")
    await ann.press("Leave", exact=True)
    await ann.press("Close the room for all")
    await bob.sees("The room was closed.")
    await bob.sees("Nobody is talking yet")
    assert "#" not in bob.page.url


async def test_a_room_whose_host_has_been_gone_for_too_long_closes_with_words_why(house: House) -> None:
    ann, bob = await house.comes("ann"), await house.comes("bob")
    await in_lobby(ann)
    await a_room(ann, "Orphans", host_grace_s=2, away_grace_s=1)
    await house.enters(bob, "Orphans")
    await ann.page.close()
    await bob.sees("The host did not come back: the room was closed.")
    await in_lobby(bob)


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
    await in_lobby(bob)


async def test_an_address_of_a_room_leads_into_it_and_one_of_no_room_back_to_the_list(house: House) -> None:
    ann = await house.comes("ann", 440)
    await house.opens(ann, "Evening talk")
    address = "#" + ann.page.url.rpartition("#")[2]
    bob = await house.comes("bob", hash=address)
    await expect(bob.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
    for name, hash in (("cem", "#no-such-room"), ("dan", "#50%")):
        user = await house.comes(name, hash=hash)
        await user.sees("There is no such room any more.")
        await user.sees("Evening talk")


async def test_the_list_of_rooms_says_that_it_loads_that_it_is_empty_and_that_it_cannot_be_had(house: House) -> None:
    ann = await house.comes("ann")
    await ann.sees("Nobody is talking yet. Open the first room.")
    answer = asyncio.Event()
    failing = [True]

    async def withheld(route: Any) -> None:
        server = route.connect_to_server()

        async def asked(message: str) -> None:
            if "get_room_list" in message and not answer.is_set():
                await answer.wait()
            if "get_room_list" in message and failing:
                id = message.partition('"id":')[2].partition(",")[0]
                route.send(f'{{"jsonrpc": "2.0", "id": {id}, "error": {{"code": -32603, "message": "Out of order."}}}}')
            else:
                server.send(message)

        route.on_message(lambda message: asyncio.ensure_future(asked(message)))

    await ann.page.route_web_socket("**/v1/ws", withheld)
    await ann.page.reload()
    await ann.sees("One moment…")
    await in_lobby(ann)
    await expect(ann.page.get_by_role("status").get_by_text("One moment…")).to_be_visible()
    answer.set()
    await ann.sees("Out of order.")
    failing.clear()
    await ann.press("Try again")
    await ann.sees("Nobody is talking yet. Open the first room.")


# ---- microphones


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


async def test_who_has_no_microphone_is_told_until_he_connects_one(house: House) -> None:
    ann = await house.comes("ann", ANN_HZ)
    await house.opens(ann, "Evening talk", "by who takes it")
    bob = await house.comes("bob", BOB_HZ)
    await bob.page.evaluate(NO_MICROPHONE)
    await bob.page.evaluate("() => window.lack()")
    await house.enters(bob, "Evening talk")
    await bob.press("Take a seat")
    await bob.sees("There is no microphone. Connect one; you go on listening.")
    await expect(bob.page.get_by_role("button", name="No microphone")).to_be_disabled()
    await bob.hears(ANN_HZ)
    await bob.page.evaluate("() => window.plug()")
    await ann.hears(BOB_HZ)
    await expect(bob.page.get_by_text("There is no microphone.")).to_be_hidden()


async def test_a_microphone_that_is_unplugged_is_told_and_the_next_one_is_used(house: House) -> None:
    ann = await house.comes("ann", ANN_HZ)
    await house.opens(ann, "Evening talk", "by who takes it")
    bob = await house.comes("bob", BOB_HZ)
    await bob.page.evaluate(NO_MICROPHONE)
    await house.enters(bob, "Evening talk")
    await bob.press("Take a seat")
    await ann.hears(BOB_HZ)
    await bob.page.evaluate("() => window.unplug()")
    await bob.sees("There is no microphone. Connect one; you go on listening.")
    await ann.hears_no_more(BOB_HZ)
    await bob.page.evaluate("() => window.plug()")
    await ann.hears(BOB_HZ)
    assert bob.errors == []


async def test_a_microphone_that_is_unplugged_in_a_call_is_told_and_the_next_one_is_used(house: House) -> None:
    ann, bob = await asyncio.gather(house.comes("ann", ANN_HZ), house.comes("bob", BOB_HZ))
    await bob.page.evaluate(NO_MICROPHONE)
    await calls(ann, "bob")
    await bob.press("Accept")
    await ann.hears(BOB_HZ)
    await bob.page.evaluate("() => window.unplug()")
    await bob.sees("There is no microphone. Connect one; you go on listening.")
    await ann.hears_no_more(BOB_HZ)
    await bob.hears(ANN_HZ)
    await bob.page.evaluate("() => window.plug()")
    await ann.hears(BOB_HZ)
    await expect(bob.page.get_by_text("There is no microphone.")).to_be_hidden()
    assert bob.errors == []


# ---- connections


async def test_a_call_goes_on_in_a_page_that_is_loaded_anew(house: House) -> None:
    ann, bob = await asyncio.gather(house.comes("ann", ANN_HZ), house.comes("bob", BOB_HZ))
    await calls(ann, "bob")
    await bob.press("Accept")
    await ann.hears(BOB_HZ)
    await bob.page.locator("call-bar").get_by_role("button", name="Mute").click()
    await ann.hears_no_more(BOB_HZ)
    await bob.page.reload()
    await bob.sees("In a call with ann")
    await bob.hears(ANN_HZ)
    assert await ann.loudest_db(BOB_HZ, 1.0) < SILENT_DB
    await bob.page.locator("call-bar").get_by_role("button", name="Unmute").click()
    await ann.hears(BOB_HZ)
    await bob.press("Hang up")
    await ann.sees("The call is over. It lasted 0:")


async def test_who_was_taken_out_while_he_was_away_for_too_long_is_told_that_he_has_left(house: House) -> None:
    ann, bob = await house.comes("ann"), await house.comes("bob")
    await in_lobby(ann)
    room = await a_room(ann, "Tunnel")
    await house.enters(bob, "Tunnel")
    await bob.page.evaluate(LONG_AWAY)
    await asks(bob, "heartbeat")
    await bob.page.context.set_offline(True)
    await bob.page.evaluate("window.socket.close()")
    await ann.page.evaluate(CALL, ["kick", {"room": room, "user": "bob"}])
    await bob.page.context.set_offline(False)
    await bob.sees("You were away for too long, and have left the room.")
    await in_lobby(bob)


async def test_who_is_offline_is_told_and_misses_nothing(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob", BOB_HZ)
    await house.opens(ann, "Tunnel", "by who takes it")
    await house.enters(bob, "Tunnel")
    await bob.page.context.set_offline(True)
    await bob.sees("You are offline. The page goes on by itself when you are back.")
    for words in ("one", "two", "three"):
        await ann.page.get_by_role("textbox", name="Message").fill(words)
        await ann.press("Send")
    await bob.page.get_by_role("textbox", name="Message").fill("said in the tunnel")
    await bob.press("Send")
    await bob.page.context.set_offline(False)
    await expect(bob.page.get_by_text("You are offline")).to_be_hidden(timeout=10_000)
    for user in (ann, bob):
        said = user.page.get_by_role("log").locator("p")
        await expect(said).to_have_count(4, timeout=20_000)
        assert sorted(await said.all_inner_texts()) == ["one", "said in the tunnel", "three", "two"]
    await bob.hears(ANN_HZ, within_s=20)


async def test_a_room_service_that_is_gone_is_told_and_come_back_to(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob", BOB_HZ)
    await house.opens(ann, "Evening talk", "by who takes it")
    await house.enters(bob, "Evening talk")
    await bob.press("Take a seat")
    await ann.hears(BOB_HZ)
    house.rooms.process.kill()
    await bob.sees("The connection was lost. It is being made again…")
    await bob.sees("The server cannot be reached. The page tries again by itself.")
    await bob.hears(ANN_HZ)  # the media server has not noticed
    async with bob.page.expect_websocket(timeout=2_000):  # its own next attempt is some seconds away
        await bob.press("Try again")
    await asyncio.to_thread(house.rooms.restart)
    await expect(bob.page.get_by_text("The server cannot be reached")).to_be_hidden(timeout=20_000)
    await bob.press("Mute", exact=True)
    await ann.hears_no_more(BOB_HZ)


async def test_a_media_server_that_is_gone_is_told_and_the_sound_comes_back(
    house: House, start_server: StartServer
) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob", BOB_HZ)
    await house.opens(ann, "Evening talk", "by who takes it")
    await house.enters(bob, "Evening talk")
    await bob.hears(ANN_HZ)
    port = house.media.url.rpartition(":")[2]
    await asyncio.to_thread(house.media.kill)
    await bob.sees("The sound was interrupted. It is coming back…")
    await asyncio.to_thread(start_server, "--cors-origin", "*", "--port", port)
    await bob.hears(ANN_HZ, within_s=40)
    await expect(bob.page.get_by_text("The sound was interrupted")).to_be_hidden()


async def test_a_seat_that_is_taken_while_the_media_server_is_gone_is_heard_once_it_is_back(
    house: House, start_server: StartServer
) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob", BOB_HZ)
    await house.opens(ann, "Evening talk", "by who takes it")
    await house.enters(bob, "Evening talk")
    await bob.hears(ANN_HZ)
    port = house.media.url.rpartition(":")[2]
    await asyncio.to_thread(house.media.kill)
    await bob.press("Take a seat")
    await bob.sees("The media server cannot be reached")
    await asyncio.to_thread(start_server, "--cors-origin", "*", "--port", port)
    await ann.hears(BOB_HZ, within_s=40)


# ---- logins


async def test_a_wrong_password_is_told_in_words(house: House) -> None:
    ann = await house.comes("ann")
    await ann.sees("Nobody is talking yet")
    other = await house.comes("ann")
    await other.page.evaluate("sessionStorage.clear()")
    await other.page.reload()
    await other.page.get_by_label("Your name").fill("ann")
    await other.page.get_by_label("Password").fill("another")
    await other.press("Come in")
    await expect(other.page.get_by_role("alert").last).to_have_text(
        "This name has another password, or cannot be made here."
    )


async def test_a_token_that_runs_out_is_replaced_unseen(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob")
    await house.opens(ann, "Evening talk")
    await house.enters(bob, "Evening talk")
    before = await bob.page.evaluate(f"{TOKENS}.access_token")
    # The page's next look at its token finds it out of date.
    await bob.page.evaluate(SPOIL, {"access_until": 0})
    await bob.page.reload()
    await expect(bob.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
    assert await bob.page.evaluate(f"{TOKENS}.access_token") != before
    await bob.hears(ANN_HZ)


async def test_who_is_logged_out_elsewhere_logs_in_again_and_is_in_the_same_room(house: House) -> None:
    ann, bob = await house.comes("ann", ANN_HZ), await house.comes("bob")
    await house.opens(ann, "Evening talk")
    await house.enters(bob, "Evening talk")
    other = await house.comes("bob")
    await in_lobby(other)
    device = await bob.page.evaluate("document.querySelector('voice-app').account.device")
    await asks(other, "end_device", device=device)
    await bob.sees("Your login has ended. Please log in again.")
    await bob.page.get_by_label("Your name").fill("bob")
    await bob.page.get_by_label("Password").fill("bob's password")
    await bob.press("Come in")
    await expect(bob.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
    await bob.hears(ANN_HZ)


async def test_a_refresh_token_that_ran_out_is_a_login_and_not_an_endless_wait(house: House) -> None:
    ann = await house.comes("ann", ANN_HZ)
    await house.opens(ann, "Evening talk")
    await ann.page.evaluate(SPOIL, {"access_until": 0, "refresh_token": "of long ago"})
    await ann.page.reload()
    await ann.sees("Your login has ended. Please log in again.")
    await ann.page.get_by_label("Your name").fill("ann")
    await ann.page.get_by_label("Password").fill("ann's password")
    await ann.press("Come in")
    await expect(ann.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)


@pytest.fixture
async def strict_house(media: Server, tmp_path: Path, microphones: Callable[[int], Path]) -> AsyncIterator[House]:
    """Whose users have one device at a time."""
    async with AsyncExitStack() as stack:
        rooms = Rooms(tmp_path, media.url, "--devices", "replace")
        stack.callback(rooms.process.stop)
        yield House(media, rooms, stack, microphones)


async def test_a_second_device_takes_the_place_of_the_first_which_can_take_it_back(strict_house: House) -> None:
    house = strict_house
    ann = await house.comes("ann", ANN_HZ)
    await house.opens(ann, "Evening talk")
    first = await house.comes("bob")
    await house.enters(first, "Evening talk")
    second = await house.comes("bob")
    await first.sees("You are somewhere else now")
    await house.enters(second, "Evening talk")
    await second.hears(ANN_HZ)
    await first.press("Go on here")
    await expect(first.page.get_by_role("heading", name="Evening talk")).to_be_visible(timeout=10_000)
    await second.sees("You are somewhere else now")
    await first.hears(ANN_HZ)
    await second.press("Come in by another name")
    await expect(second.page.get_by_label("Your name")).to_be_visible()


async def test_two_tabs_of_a_browser_are_one_device_and_other_browsers_are_others(house: House) -> None:
    elsewhere = await house.comes("ann")
    await in_lobby(elsewhere)
    context = await (await house.browser()).context()
    tabs = []
    for _ in range(2):
        page = await context.new_page()
        await page.goto(house.rooms.url)
        await page.get_by_label("Your name").fill("ann")
        await page.get_by_label("Password").fill("ann's password")
        await page.get_by_role("button", name="Come in").click()
        await expect(page.get_by_role("heading", name="Rooms", exact=True)).to_be_visible(timeout=10_000)
        tabs.append(page)
    await expect(tabs[0].get_by_text("You are somewhere else now")).to_be_visible(timeout=10_000)
    await expect(tabs[1].get_by_role("heading", name="Rooms", exact=True)).to_be_visible()
    await expect(elsewhere.page.get_by_role("heading", name="Rooms", exact=True)).to_be_visible()
