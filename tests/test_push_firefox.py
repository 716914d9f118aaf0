"""Who has closed the page is rung by his browser: Debian's Firefox with a push service of its kind on loopback, from
the tick in the page to the call that a click on the notification opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from py_vapid import Vapid02

from tests.conftest import StartServer
from tests.firefox import Firefox, firefox
from tests.push_service import PushService, push_service
from tests.test_music_gate import certificate_of
from tests.test_room_page import ANN_HZ, FIREFOX_HZ, House, Rooms, User, own_address, sound_server

ALLOW, DENY = 1, 2
"""Of `permissions.default.desktop-notification`."""

TICK = "ring-choice input"
TICKED = "document.querySelector('ring-choice input')?.checked"
WRITE = """text =>
    document.querySelector('voice-app').signaling.call('send_direct_message', {user: 'fox', text})"""
RINGS = "document.querySelector('call-bar')?.current?.state === 'ringing'"


class Town:
    """The servers, ann's Chromium, and browsers of fox, who is often not there."""

    def __init__(self, house: House, push: PushService, ann: User, sound: str, stack: AsyncExitStack) -> None:
        self.house, self.push, self.ann = house, push, ann
        self._sound, self._stack = sound, stack

    async def firefox(self, notifications: int = ALLOW) -> Firefox:
        preferences = {
            "dom.push.serverURL": self.push.address,
            "dom.push.testing.allowInsecureServerURL": True,
            "dom.push.connection.enabled": True,
            "dom.push.retryBaseInterval": 200,
            "permissions.default.desktop-notification": notifications,
            "alerts.useSystemBackend": False,
            "media.navigator.streams.fake": True,
            "media.navigator.audio.fake_frequency": FIREFOX_HZ,
            "media.navigator.permission.disabled": True,
            "media.autoplay.default": 0,
            "media.autoplay.block-webaudio": False,
            "media.peerconnection.ice.obfuscate_host_addresses": False,
            "intl.accept_languages": "en",
        }
        return await self._stack.enter_async_context(firefox(preferences, {"PULSE_SERVER": self._sound}))

    async def logs_in(self, fox: Firefox) -> None:
        await fox("open", url=self.house.rooms.url)
        await fox("fill", selector="input[name=name]", value="fox")
        await fox("fill", selector="input[name=password]", value="fox's password")
        await fox("press", name="Come in")
        await fox("see", text="Ring here while the page is closed")

    async def goes_but_is_rung(self, fox: Firefox) -> None:
        """He logs in, ticks the box, and closes the page."""
        await self.logs_in(fox)
        await fox("click", selector=TICK)
        await fox("see", text="You are called even while the page is closed.")
        await fox("close")
        await self.is_away()

    async def is_away(self) -> None:
        """The service knows that fox has no page open any more."""
        online = "app.signaling.call('query_online', {users: ['fox']}).then(({users}) => !users[0].online)"
        await self.ann.until(online)

    async def calls(self) -> None:
        await self.ann.press("Call", exact=True)
        await self.ann.page.get_by_label("Whom do you want to call?").fill("fox")
        await self.ann.page.get_by_role("dialog").get_by_role("button", name="Call", exact=True).click()
        await self.ann.sees("Calling fox")

    async def writes(self, text: str) -> None:
        await self.ann.page.evaluate(WRITE, text)

    def posted(self) -> int:
        """How many pushes the room service has sent."""
        return len(self.push.endpoints.received)

    async def posts(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.posted() < count:  # noqa: ASYNC110 - nobody would set an event
                await asyncio.sleep(0.05)


@pytest.fixture
async def town(
    start_server: StartServer,
    tmp_path: Path,
    microphones: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Town]:
    async with AsyncExitStack() as stack:
        context, _ = certificate_of("localhost", tmp_path)
        push = await stack.enter_async_context(push_service(context))
        push.endpoints.url = push.endpoints.url.replace("127.0.0.1", "localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "pem"))  # the room service trusts it
        secret, key = "s" * 32, Vapid02()
        key.generate_keys()
        key.save_key(str(tmp_path / "vapid.pem"))
        # Firefox leaves loopback out of media.
        media = start_server(
            *("--cors-origin", "*", "--api-key", f"rooms:{secret}", "--media-address", own_address()),
            *("--drain-timeout", "0"),
        )
        rooms = Rooms(
            tmp_path,
            media.url,
            *("--media-key", f"rooms:{secret}", "--push-service", push.host),
            *("--vapid-key", str(tmp_path / "vapid.pem"), "--vapid-subject", "mailto:ops@example.org"),
        )
        stack.callback(rooms.process.stop)
        house = House(media, rooms, stack, microphones)
        ann = await house.comes("ann", ANN_HZ)
        yield Town(house, push, ann, stack.enter_context(sound_server(tmp_path)), stack)


async def test_a_click_on_the_notification_of_a_call_opens_the_page_and_there_it_is_answered(town: Town) -> None:
    fox = await town.firefox()
    await town.goes_but_is_rung(fox)
    await town.calls()
    assert await fox.notified("ann is calling") == "Click to answer"
    await fox("clickNotification", title="ann is calling")
    await fox("adopt", url=town.house.rooms.url)
    await fox.until(RINGS)
    await fox("press", name="Accept")
    await town.ann.sees("In a call with fox")
    await town.ann.hears(FIREFOX_HZ)
    await town.push.acknowledged(2)  # it rings, it need not ring any more
    assert await fox("notifications") == []
    assert await fox("errors") == []


async def test_a_call_that_was_given_up_is_shown_as_missed_and_a_message_as_what_was_written(town: Town) -> None:
    fox = await town.firefox()
    await town.goes_but_is_rung(fox)
    await town.calls()
    await fox.notified("ann is calling")
    await town.ann.press("Hang up")
    await fox.notified("ann called")
    await town.writes("are you there? <b>now</b>")
    assert await fox.notified("ann") == "are you there? <b>now</b>"
    await town.push.acknowledged(3)
    shown = {one["title"] for one in await fox("notifications")}
    assert "ann called" in shown
    assert "ann is calling" not in shown
    await fox("clickNotification", title="ann called")
    await fox("adopt", url=town.house.rooms.url)
    await fox("see", text="Nobody is talking yet")  # logged in, and nothing rings
    assert await fox("errors") == []


async def test_of_two_browsers_that_ring_one_answers_and_the_other_falls_silent(town: Town) -> None:
    phone, desk = await town.firefox(), await town.firefox()
    await town.goes_but_is_rung(phone)
    await town.goes_but_is_rung(desk)
    await town.calls()
    await asyncio.gather(phone.notified("ann is calling"), desk.notified("ann is calling"))
    await phone("clickNotification", title="ann is calling")
    await phone("adopt", url=town.house.rooms.url)
    await phone.until(RINGS)
    await phone("press", name="Accept")
    await town.ann.sees("In a call with fox")
    await desk.not_notified("ann is calling")
    assert await desk("notifications") == []
    # Who logs out of one of them is rung on the other.
    await phone("press", name="Hang up")
    await phone("press", name="Log out")
    await phone("see", text="Come in")
    await town.is_away()
    await town.writes("bye")
    await desk.notified("ann")
    assert await phone("notifications") == []
    assert len(town.push.channels) == 1


async def test_who_has_logged_out_is_pushed_to_no_more(town: Town) -> None:
    fox = await town.firefox()
    await town.goes_but_is_rung(fox)
    await town.writes("one")
    await fox.notified("ann")
    await fox("open", url=town.house.rooms.url)  # he is logged in still
    await fox.until(TICKED)
    await fox("press", name="Log out")
    await fox("see", text="Come in")
    assert town.push.channels == {}
    await town.is_away()
    posted = town.posted()
    await town.writes("two")
    await town.calls()
    await asyncio.sleep(3)
    assert town.posted() == posted


async def test_a_subscription_that_its_push_service_dropped_is_forgotten_and_the_page_makes_another(town: Town) -> None:
    fox = await town.firefox()
    await town.goes_but_is_rung(fox)
    (lost,) = town.push.channels
    await town.push.lose_all()
    await town.writes("one")
    await town.posts(1)
    await town.writes("two")
    await asyncio.sleep(3)
    assert town.posted() == 1
    await fox("open", url=town.house.rooms.url)
    await town.push.registered(1)
    assert lost not in town.push.channels
    await fox.until(TICKED)
    await fox("close")
    await town.is_away()
    await town.writes("three")
    assert await fox.notified("ann") == "three"


async def test_notifications_that_are_refused_are_told_and_nothing_is_subscribed(town: Town) -> None:
    fox = await town.firefox(DENY)
    await town.logs_in(fox)
    await fox("click", selector=TICK)
    await fox("see", text="Notifications were refused. Allow them for this site to be called.")
    assert not await fox("evaluate", script=TICKED)
    assert town.push.channels == {}
