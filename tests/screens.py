"""Pictures of every screen, for docs/screens.md: `scripts/screenshots`. Both servers run, people talk by aiortc and in
two Chromium tabs, and each screen is shown wide and narrow, light and dark, on one sheet."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from bench.corpus import sentence
from mediaserver.settings import DEVELOPMENT_KEY
from tests.browser import FLAGS
from tests.rpc import Rpc
from tests.server import Server
from tests.stage import People
from tests.test_rs_serve import Process
from tests.voices import SAMPLE_RATE, write_wav

ROOT = Path(__file__).parent.parent
WIDE, NARROW = (1280, 800), (390, 844)
GAP, HALF = 16, 0.5
QUALITY = 72  # of WebP; more shows nothing that is not seen already, and the repository keeps every byte
SETTLED_MS = 500
PITCHES_HZ = {"Milan": 590, "Yuki": 690, "Amara": 630, "Jonas": 550, "Leila": 730, "Omar": 610, "Ingrid": 770}
PIECES = {"Paper Boats": (220, 277, 330), "Night Bus": (196, 247, 294), "First Light": (262, 330, 392)}
TALK = [
    ("Yuki", "Good evening, everybody!"),
    ("Priya", "Hello from Pune. The sound is very clear today."),
    ("Amara", "Shall we begin with the garden books?"),
    ("Tomas", "I have only just finished the second one, no spoilers please"),
    ("Ingrid", "Could somebody play the piece from last week?"),
]
Prepare = Callable[[Page, bool], Awaitable[None]]


async def as_it_is(page: Page, wide: bool) -> None:
    """What a screen needs before its picture is taken, wide or narrow: nothing."""


class Camera:
    """directory: where the sheets go."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    async def sheet(self, page: Page, name: str, prepare: Prepare = as_it_is) -> None:
        """Wide ones at half their size above each other, narrow ones beside them."""
        taken: dict[tuple[bool, str], Image.Image] = {}
        schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
        for wide in (True, False):
            width, height = WIDE if wide else NARROW
            await page.set_viewport_size({"width": width, "height": height})
            await prepare(page, wide)
            for scheme in schemes:
                await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                await page.mouse.move(0, 0)  # over nothing that would show it
                await page.wait_for_timeout(SETTLED_MS)
                taken[wide, scheme] = Image.open(BytesIO(await page.screenshot())).convert("RGB")
        _sheet(taken).save(self._directory / f"{name}.webp", quality=QUALITY, method=6)
        print(name, file=sys.stderr)

    async def single(self, page: Page, name: str, size: tuple[int, int], scheme: Literal["light", "dark"]) -> None:
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await page.wait_for_timeout(SETTLED_MS)
        shot = Image.open(BytesIO(await page.screenshot())).convert("RGB")
        shot.save(self._directory / f"{name}.webp", quality=QUALITY, method=6)


def _sheet(taken: dict[tuple[bool, str], Image.Image]) -> Image.Image:
    wide = {scheme: taken[True, scheme].reduce(round(1 / HALF)) for scheme in ("light", "dark")}
    left, half = wide["light"].size
    height = 2 * half + GAP
    narrow = {}
    for scheme in ("light", "dark"):
        image = taken[False, scheme]
        size = (round(image.width * height / image.height), height)
        narrow[scheme] = image.resize(size, Image.Resampling.LANCZOS)
    across = narrow["light"].width
    sheet = Image.new("RGB", (left + 2 * (across + GAP), height), "#8a8f98")
    sheet.paste(wide["light"], (0, 0))
    sheet.paste(wide["dark"], (0, half + GAP))
    sheet.paste(narrow["light"], (left + GAP, 0))
    sheet.paste(narrow["dark"], (left + across + 2 * GAP, 0))
    return sheet


class House:
    """Both servers and everybody in them. Nora is the host, in `page`; Leila listens, in `other`."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[str, Rpc] = {}
        library = directory / "library"
        library.mkdir()
        shutil.copy(ROOT / "mediaserver/demo/lantern_walk.ogg", library)
        seconds = np.arange(40 * SAMPLE_RATE) / SAMPLE_RATE
        for title, chord in PIECES.items():
            tones = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in chord)
            write_wav(library / f"{title}.wav", np.asarray(0.1 * tones, np.float32))
        self.microphone = write_wav(directory / "microphone.wav", sentence("demo-congrats"))
        self.media = Server(directory / "media.log", "--cors-origin", "*", "--media-dir", str(library))
        stack.callback(self.media.stop)
        self.media.wait_ready(60)
        rooms = ("--sign-up", "open", "--library-uploads", "leaders")
        self.rooms = Process(directory, self.media.url, *rooms)
        stack.callback(self.rooms.kill)

    async def begin(self) -> None:
        self.people = await self._stack.enter_async_context(People(self.rooms.url))
        playwright = await self._stack.enter_async_context(async_playwright())
        flags = [*FLAGS, "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={self.microphone}"]
        chromium = playwright.chromium
        self.browser: Browser = await chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=flags)
        self._stack.push_async_callback(self.browser.close)
        beating = asyncio.create_task(self._beat())
        self._stack.callback(beating.cancel)

    async def _beat(self) -> None:
        """Who says nothing for long is taken for gone."""
        while True:
            await asyncio.sleep(10)
            beats = (client.call("heartbeat") for client in self._clients.values())
            await asyncio.gather(*beats, return_exceptions=True)

    async def _comes(self, name: str) -> Rpc:
        if name not in self._clients:
            self._clients[name] = await self.people.come(name)
        return self._clients[name]

    async def tab(self, url: str) -> Page:
        page = await (await self.browser.new_context()).new_page()
        page.set_default_timeout(60_000)
        await page.goto(url)
        return page

    async def talks(self, name: str, room: str, seat: int) -> Rpc:
        """On a seat, and heard."""
        client = await self._comes(name)
        await client.call("login_room", room=room, nick=name)
        await client.call("take_seat", room=room, seat=seat)
        await self.people.speaks(client, room, PITCHES_HZ[name])
        return client

    async def sits(self, name: str, room: str) -> Rpc:
        client = await self._comes(name)
        await client.call("login_room", room=room, nick=name)
        return client

    async def opens(self, host: str, title: str, mode: str = "free") -> str:
        client = await self._comes(host)
        room = (await client.call("create_room", title=title, settings={"mode": mode}, nick=host))["id"]
        await self.people.speaks(client, room, PITCHES_HZ[host])
        return str(room)


async def log_in(page: Page, name: str) -> None:
    await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Password").fill("a password")
    await press(page, "Come in")


async def press(page: Page, words: str, *, exact: bool = True) -> None:
    await page.get_by_role("button", name=words, exact=exact).click()


def panel(name: str, *, narrow: bool = True) -> Prepare:
    """With this panel open; where the page is narrow and a panel hides the stage, perhaps with none."""

    async def prepare(page: Page, wide: bool) -> None:
        wanted = name if wide or narrow else ""
        buttons = page.locator("nav.actions [data-panel]")
        for button in await buttons.all():
            opened = await button.get_attribute("aria-expanded") == "true"
            if opened != (await button.get_attribute("data-panel") == wanted):
                close = page.locator("aside").get_by_role("button", name="Close", exact=True)
                await (close if opened and await close.is_visible() else button).click(force=True)

    return prepare


async def room_id(page: Page) -> str:
    return str(await page.evaluate("document.querySelector('voice-app').room.id"))


async def _lobby(house: House, camera: Camera) -> Page:
    page = await house.tab(house.rooms.url)
    await camera.sheet(page, "login")
    await log_in(page, "Nora")
    jazz = await house.opens("Jonas", "Jazz for a rainy evening")
    await house.talks("Omar", jazz, 2)
    await house.talks("Ingrid", jazz, 3)
    await house.opens("Milan", "Questions about bread")
    await house.sits("Priya", jazz)
    await expect(page.locator(".talk").get_by_text("talking")).to_have_count(2)
    await camera.sheet(page, "lobby")
    await press(page, "New room")
    await page.get_by_label("What is it about?").fill("The evening reading circle")
    await camera.sheet(page, "new-room")
    await press(page, "Open the room")
    await expect(page.get_by_role("heading", name="The evening reading circle")).to_be_visible(timeout=10_000)
    return page


async def _room(house: House, camera: Camera, page: Page) -> tuple[Page, dict[str, Rpc]]:
    """As its host and as a listener; hands and invitations."""
    room = await room_id(page)
    listener = await house.tab(f"{house.rooms.url}/#{room}")
    await log_in(listener, "Leila")
    others = {name: await house.sits(name, room) for name in ("Yuki", "Amara", "Tomas", "Priya", "Ingrid")}
    host = page.locator("voice-app")
    for name, seat in (("Yuki", 1), ("Amara", 3), ("Tomas", 4)):
        await others[name].call("operate_raise_hand", room=room)
        await host.evaluate("(app, [name, seat]) => app.room.approve(name, seat)", [name, seat])
    for name in ("Yuki", "Amara"):
        await house.people.speaks(others[name], room, PITCHES_HZ[name])
    await others["Tomas"].call("mute", room=room, muted=True)
    await host.evaluate("app => app.room.lockSeat(7)")
    for name, words in TALK:
        await others[name].call("send_message", group=room, text=words, id=str(uuid4()))
    for _ in range(3):
        await others["Ingrid"].call("like", room=room, count=4)
    await expect(page.locator(".seat.speaking")).not_to_have_count(0)
    await camera.sheet(page, "room-host", panel("chat", narrow=False))
    await camera.sheet(listener, "room-listener", panel("chat", narrow=False))
    await camera.sheet(page, "chat", panel("chat"))
    await camera.single(page, "room", (1280, 720), "light")
    await others["Priya"].call("operate_raise_hand", room=room)
    await press(listener, "Raise your hand")
    await camera.sheet(page, "hands", panel("people", narrow=False))
    await press(listener, "Lower your hand")
    await host.evaluate("app => app.room.reject('Priya')")
    await host.evaluate("app => app.room.inviteToSeat('Leila')")
    await expect(listener.get_by_text("Nora invites you to a seat.")).to_be_visible()
    await camera.sheet(listener, "invitation", panel("", narrow=False))
    await press(listener, "Decline")
    return listener, others


async def _panels(camera: Camera, page: Page) -> None:
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await panel("music")(page, True)
    await press(page, "Lantern Walk", exact=False)
    await expect(page.locator(".now .controls").get_by_role("button", name="Pause")).to_be_visible(timeout=20_000)

    async def top(page: Page, wide: bool) -> None:
        await panel("music")(page, wide)
        await page.locator("room-music").evaluate("panel => panel.scrollTo(0, 0)")

    await camera.sheet(page, "music", top)

    async def effects(page: Page, wide: bool) -> None:
        await panel("music")(page, wide)
        await page.get_by_role("button", name="Ring back").scroll_into_view_if_needed()

    await camera.sheet(page, "effects", effects)
    await camera.sheet(page, "people", panel("people"))
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await panel("")(page, True)
    await page.locator(".seat[data-user=Yuki]").click()
    await camera.sheet(page, "person")
    await page.keyboard.press("Escape")
    await camera.sheet(page, "settings", panel("settings"))
    await panel("")(page, False)
    await press(page, "Leave")
    await camera.sheet(page, "leave")
    await page.keyboard.press("Escape")
    await camera.single(page, "room-phone", NARROW, "dark")


async def _banners(house: House, camera: Camera, page: Page, listener: Page) -> None:
    """What is told when something is not as it should be."""
    stop = panel("", narrow=False)
    host = page.locator("voice-app")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await press(page, "Mute")
    await expect(page.get_by_text("You are muted: nobody hears you.")).to_be_visible(timeout=10_000)
    await camera.sheet(page, "talking-muted", stop)
    await press(page, "Unmute")
    await host.evaluate("app => app.room.kick('Leila')")
    await expect(listener.get_by_text("You were sent out of the room.")).to_be_visible()
    await listener.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await camera.single(listener, "sent-out", WIDE, "light")
    house.rooms.kill()
    await expect(page.get_by_text("The connection was lost.")).to_be_visible()
    await camera.sheet(page, "reconnecting", stop)


async def _call(house: House, camera: Camera, others: dict[str, Rpc]) -> None:
    page = await house.tab(house.rooms.url)
    await log_in(page, "Mateo")
    await expect(page.get_by_role("heading", name="Rooms", exact=True)).to_be_visible(timeout=10_000)
    await others["Yuki"].call("start_call", users=["Mateo"])
    await expect(page.get_by_text("Yuki is calling")).to_be_visible(timeout=10_000)
    await camera.sheet(page, "call-ringing")
    await press(page, "Accept")
    await expect(page.get_by_text("In a call with Yuki")).to_be_visible(timeout=10_000)
    await camera.sheet(page, "call")
    await press(page, "Hang up")


async def _operator(house: House, camera: Camera, room: str) -> None:
    page = await house.tab(f"{house.media.url}/ops/")
    await page.get_by_label("Key").fill(DEVELOPMENT_KEY[0])
    await page.get_by_label("Secret").fill(DEVELOPMENT_KEY[1])
    await press(page, "Show")
    await expect(page.locator("#rooms button")).to_have_count(4)
    await page.wait_for_timeout(15_000)  # so that the charts have something to show
    await camera.sheet(page, "ops")
    await page.locator("#rooms button").filter(has_text=room).click()
    await expect(page.locator("#people tbody tr")).not_to_have_count(0)

    async def lower(page: Page, wide: bool) -> None:
        await page.locator("#room-title").evaluate("title => title.scrollIntoView()")

    await camera.sheet(page, "ops-room", lower)


async def _media_page(house: House, camera: Camera) -> None:
    pages = [await house.tab(f"{house.media.url}/") for _ in range(2)]
    await camera.sheet(pages[0], "media-server-join")
    for page, name in zip(pages, ("Ann", "Bob"), strict=True):
        await page.get_by_label("Your name").fill(name)
        await press(page, "Join")
    await expect(pages[0].locator("#people")).to_contain_text("Bob")
    await camera.sheet(pages[0], "media-server")


async def main(directory: Path) -> None:
    expect.set_options(timeout=60_000)
    camera = Camera(directory)
    async with AsyncExitStack() as stack:
        place: Any = stack.enter_context(tempfile.TemporaryDirectory(prefix="screens-"))
        house = House(Path(place), stack)
        await house.begin()
        await _media_page(house, camera)
        page = await _lobby(house, camera)
        listener, others = await _room(house, camera, page)
        await _panels(camera, page)
        await _operator(house, camera, await room_id(page))
        await _call(house, camera, others)
        await _banners(house, camera, page, listener)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
