"""The voice-room page in Debian's Chromium, as its users have it: a room service, a media server, microphones of WAV
files. Sound is measured by Web Audio in each page, not assumed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser import Chromium, chromium
from tests.conftest import StartServer
from tests.pieces import put_into, until_listed
from tests.server import Server
from tests.test_rs_serve import Process

ANN_HZ, BOB_HZ, CEM_HZ, SONG_HZ = 550, 690, 790, 1000
HEARD_DB, SILENT_DB = -45, -55
FIREFOX_HZ = 1000  # its fake microphone's
BROWSERS = Path(__file__).parent / "browsers"

# The loudest that one pitch was in what the page plays, in dB: its room's or its call's.
LISTEN = """async ([pitch, milliseconds]) => {
    const app = document.querySelector('voice-app');
    const media = app.querySelector('call-bar').current?.media ?? app.room?.media;
    const slots = media?.listener?.slots ?? [];
    if (!slots.length) return -120;
    const context = new AudioContext();
    await context.resume();
    const ears = slots.map(({stream}) => {
        const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
        context.createMediaStreamSource(stream).connect(analyser);
        return analyser;
    });
    const bins = new Float32Array(ears[0].frequencyBinCount);
    const bin = Math.round(pitch * 8192 / context.sampleRate);
    let loudest = -120;
    const end = performance.now() + milliseconds;
    while (performance.now() < end) {
        await new Promise(resolve => setTimeout(resolve, 40));
        for (const ear of ears) {
            ear.getFloatFrequencyData(bins);
            loudest = Math.max(loudest, ...bins.subarray(bin - 1, bin + 2));
        }
    }
    await context.close();
    return loudest;
}"""

# Whether what a page made of events is what the service says.
AS_TOLD = """async () => {
    const {signaling, room} = document.querySelector('voice-app');
    const view = await signaling.call('get_room', {room: room.id});
    const people = await signaling.call('get_attendee_list', {room: room.id});
    const of = ({title, host, admins, seats, hands, invites, likes, online, settings: {mode}}) =>
        JSON.stringify([title, host, admins, seats, hands, invites, likes, online, mode]);
    const one = ({user, role, seat, mutes, away}) => [user, role, seat, mutes, away];
    const sorted = people => JSON.stringify(people.map(one).sort());
    return of(view) === of(room.state) && sorted(people.attendees) === sorted([...room.state.people.values()]);
}"""


@dataclass
class User:
    """Somebody with the page open."""

    name: str
    page: Page
    errors: list[str]

    async def press(self, words: str, *, exact: bool = False) -> None:
        await self.page.get_by_role("button", name=words, exact=exact).click()

    async def sees(self, words: str) -> None:
        await expect(self.page.get_by_text(words).first).to_be_visible(timeout=10_000)

    async def loudest_db(self, pitch_hz: int, seconds: float = 0.6) -> float:
        return float(await self.page.evaluate(LISTEN, [pitch_hz, 1000 * seconds]))

    async def hears(self, pitch_hz: int, within_s: float = 12.0) -> None:
        deadline = time.monotonic() + within_s
        while (level := await self.loudest_db(pitch_hz)) < HEARD_DB:
            assert time.monotonic() < deadline, f"{self.name} hears {pitch_hz} Hz at {level} dB only; {self.errors}"

    async def hears_no_more(self, pitch_hz: int, within_s: float = 6.0) -> None:
        deadline = time.monotonic() + within_s
        while (level := await self.loudest_db(pitch_hz, 1.0)) > SILENT_DB:
            assert time.monotonic() < deadline, f"{self.name} hears {pitch_hz} Hz at {level} dB still"

    async def until(self, expression: str, within_s: float = 10.0) -> None:
        """Of JavaScript, with `app` and `room`."""
        deadline = time.monotonic() + within_s
        names = "const app = document.querySelector('voice-app'); const {room} = app;"
        script = f"(() => {{ {names} return {expression}; }})()"
        while not await self.page.evaluate(script):
            assert time.monotonic() < deadline, f"{self.name}: not within {within_s} s: {expression}; {self.errors}"
            await asyncio.sleep(0.1)


class Rooms:
    """A room service that can be killed and started again, and knows its users still."""

    def __init__(self, directory: Path, media_url: str, *options: str) -> None:
        self._directory, self._media_url = directory, media_url
        self._options = ("--sign-up", "open", "--secret", "s" * 32, *options)
        self.process = Process(directory, media_url, *self._options)

    @property
    def url(self) -> str:
        return self.process.url

    def restart(self) -> None:
        port = self.url.rpartition(":")[2]
        self.process.kill()
        self.process = Process(self._directory, self._media_url, *self._options, "--port", port)


class House:
    """Both servers, and everybody's browsers."""

    def __init__(self, media: Server, rooms: Rooms, stack: AsyncExitStack, microphones: Callable[[int], Path]) -> None:
        self.media, self.rooms = media, rooms
        self._stack, self._microphones = stack, microphones

    async def browser(self, pitch_hz: int | None = None) -> Chromium:
        return await self._stack.enter_async_context(chromium(self._microphones(pitch_hz) if pitch_hz else None))

    async def comes(
        self, name: str, pitch_hz: int | None = None, *, browser: Chromium | None = None, hash: str = ""
    ) -> User:
        tab = await (browser or await self.browser(pitch_hz)).open(f"{self.rooms.url}/{hash}")
        user = User(name, tab.page, tab.errors)
        await tab.page.get_by_label("Your name").fill(name)
        await tab.page.get_by_label("Password").fill(f"{name}'s password")
        await user.press("Come in")
        return user

    async def opens(self, user: User, title: str, mode: str = "by raising a hand") -> None:
        await user.press("New room")
        await user.page.get_by_label("What is it about?").fill(title)
        await user.page.get_by_label(mode).check()
        await user.press("Open the room")
        await expect(user.page.get_by_role("heading", name=title)).to_be_visible(timeout=10_000)

    async def enters(self, user: User, title: str) -> None:
        await user.press(f"Open {title}")
        await expect(user.page.get_by_role("heading", name=title)).to_be_visible(timeout=10_000)


@pytest.fixture
def media(start_server: StartServer, tmp_path: Path, microphones: Callable[[int], Path]) -> Server:
    library = tmp_path / "library"
    library.mkdir()
    put_into(library, microphones(SONG_HZ), "Song")
    server = start_server("--cors-origin", "*", "--media-dir", str(library))
    until_listed(server.url, "Song")
    return server


@pytest.fixture
def rooms(media: Server, tmp_path: Path) -> Iterator[Rooms]:
    running = Rooms(tmp_path, media.url)
    yield running
    running.process.stop()


@pytest.fixture
async def house(media: Server, rooms: Rooms, microphones: Callable[[int], Path]) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(media, rooms, stack, microphones)


async def a_hand_is_raised(ann: User, bob: User, cem: User) -> None:
    # bob raises his hand, and ann gives him a seat
    await bob.press("Raise your hand")
    await bob.sees("Your hand is up")
    await ann.press("Give a seat: bob")
    await expect(bob.page.locator(".seat.me[data-user=bob]")).to_be_visible(timeout=10_000)
    await ann.hears(BOB_HZ)
    await cem.hears(BOB_HZ)
    await cem.hears(ANN_HZ)


async def mutes(ann: User, bob: User, cem: User) -> None:
    # mute by oneself, shown to all; then by the host while he talks, which he cannot undo
    await bob.press("Mute", exact=True)
    await cem.hears_no_more(BOB_HZ)
    await expect(cem.page.locator(".seat.muted[data-user=bob]")).to_contain_text("muted himself")
    await bob.press("Unmute", exact=True)
    await cem.hears(BOB_HZ)
    await ann.page.locator(".seat[data-user=bob]").click()
    await ann.page.get_by_role("dialog").get_by_role("button", name="Mute", exact=True).click()
    await cem.hears_no_more(BOB_HZ)
    await expect(bob.page.locator(".seat.muted[data-user=bob]")).to_contain_text("muted by the host")
    await ann.page.locator(".seat[data-user=bob]").click()
    await ann.page.get_by_role("dialog").get_by_role("button", name="Unmute", exact=True).click()
    await cem.hears(BOB_HZ)


async def an_invitation(ann: User, bob: User, cem: User) -> None:
    # the host invites cem, who accepts; and sets bob back to listening
    await ann.press("People")
    await ann.page.get_by_role("complementary").get_by_role("button", name="cem").click()
    await ann.press("Invite to a seat")
    await cem.sees("ann invites you to a seat")
    await cem.press("Accept")
    await bob.hears(CEM_HZ)
    await ann.page.locator(".seat[data-user=bob]").click()
    await ann.press("Back to listening")
    await cem.hears_no_more(BOB_HZ)
    await expect(bob.page.get_by_role("button", name="Raise your hand")).to_be_visible()


async def chat_and_likes(ann: User, bob: User, cem: User) -> None:
    # chat and likes reach everybody

    await bob.page.get_by_role("textbox", name="Message").fill("hello <b>all</b>")
    await bob.press("Send")
    await expect(ann.page.get_by_role("button", name="Chat")).to_have_attribute("data-unread", "1")
    await ann.press("Chat")
    await expect(ann.page.get_by_role("log")).to_contain_text("hello <b>all</b>")
    await cem.press("Like")
    await expect(ann.page.locator(".badge")).to_have_text("1")


async def test_three_browsers_go_through_the_flows_of_a_voice_room(house: House) -> None:
    """Alibaba: create, enter, request a microphone, leave it, leave the room, dismiss. ZEGO: raise a hand, invite, set
    to listener, mute by oneself and by the host."""
    ann, bob, cem = await asyncio.gather(
        house.comes("ann", ANN_HZ), house.comes("bob", BOB_HZ), house.comes("cem", CEM_HZ)
    )
    await ann.sees("Nobody is talking yet")
    await house.opens(ann, "Evening talk")
    await bob.sees("ann talking")  # in the lobby
    await house.enters(bob, "Evening talk")
    await house.enters(cem, "Evening talk")
    await bob.hears(ANN_HZ)
    await expect(bob.page.locator(".seat.speaking[data-user=ann]")).to_be_visible(timeout=10_000)

    await a_hand_is_raised(ann, bob, cem)
    await mutes(ann, bob, cem)
    await an_invitation(ann, bob, cem)
    await chat_and_likes(ann, bob, cem)

    for user in (ann, bob, cem):
        assert await user.page.evaluate(AS_TOLD)

    # cem leaves the seat and the room; the host dismisses it
    await cem.press("Leave the seat")
    await bob.hears_no_more(CEM_HZ)
    await cem.press("Leave", exact=True)
    await cem.sees("Evening talk")
    await ann.press("Leave", exact=True)
    await ann.press("Close the room for all")
    await bob.sees("The room was closed.")
    await bob.sees("Nobody is talking yet")
    assert [user.errors for user in (ann, bob, cem)] == [[], [], []]


async def test_a_call_rings_is_answered_heard_muted_and_ends(house: House) -> None:
    """anyRTC: one to one; Tencent: its duration is in the final message."""
    ann, bob = await asyncio.gather(house.comes("ann", ANN_HZ), house.comes("bob", BOB_HZ))
    await calls(ann, "bob")
    await ann.sees("Calling bob")
    await bob.sees("ann is calling")
    await bob.press("Decline")
    await ann.sees("The call is over: declined.")

    await calls(ann, "bob")
    await bob.press("Accept")
    await bob.sees("In a call with ann")
    await ann.hears(BOB_HZ)
    await bob.hears(ANN_HZ)
    await bob.page.locator("call-bar").get_by_role("button", name="Mute").click()
    await ann.hears_no_more(BOB_HZ)
    await bob.page.locator("call-bar").get_by_role("button", name="Unmute").click()
    await ann.hears(BOB_HZ)
    await ann.press("Hang up")
    await bob.sees("The call is over. It lasted 0:")
    assert [user.errors for user in (ann, bob)] == [[], []]


async def calls(user: User, other: str) -> None:
    await user.press("Call", exact=True)
    await user.page.get_by_label("Whom do you want to call?").fill(other)
    await user.page.get_by_role("dialog").get_by_role("button", name="Call").click()


async def test_music_and_effects_are_heard_under_the_voices(house: House) -> None:
    """Alibaba: background music, sound effects, audio mixing. What is not for a listener is left out for him alone."""
    ann, bob = await asyncio.gather(house.comes("ann", ANN_HZ), house.comes("bob"))
    await house.opens(ann, "Concert", "by who takes it")
    await house.enters(bob, "Concert")
    await ann.press("Mute", exact=True)  # music makes way for a voice
    await ann.press("Music")
    await ann.page.get_by_role("button", name="Song").click()
    await bob.hears(SONG_HZ)
    await bob.press("Music")
    await expect(bob.page.locator(".now strong")).to_have_text("Song")
    await expect(bob.page.locator(".now .controls")).to_be_hidden()
    await bob.page.get_by_label("Music for you alone").fill("-60")
    await bob.hears_no_more(SONG_HZ)
    await ann.hears(SONG_HZ)
    await ann.page.locator(".now").get_by_role("button", name="Pause").click()
    await ann.hears_no_more(SONG_HZ)
    await ann.press("Ding")
    await ann.press("Unmute", exact=True)
    await bob.hears(ANN_HZ)
    assert [user.errors for user in (ann, bob)] == [[], []]


async def test_a_cut_of_five_seconds_and_a_restart_of_either_server_are_survived(
    house: House, start_server: StartServer
) -> None:
    """For five seconds neither server says anything, as behind a tunnel. Then one after the other is killed."""
    ann, bob = await asyncio.gather(house.comes("ann", ANN_HZ), house.comes("bob", BOB_HZ))
    await house.opens(ann, "Tunnel", "by who takes it")
    await house.enters(bob, "Tunnel")
    await bob.press("Take a seat")
    await ann.hears(BOB_HZ)
    both = (house.media.process, house.rooms.process.process)
    for process in both:
        process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(5)
    for process in both:
        process.send_signal(signal.SIGCONT)
    await bob.hears(ANN_HZ, within_s=20)
    await ann.hears(BOB_HZ, within_s=20)
    assert await bob.page.evaluate(AS_TOLD)

    port = house.media.url.rpartition(":")[2]
    await asyncio.to_thread(house.media.kill)
    await bob.sees("The sound was interrupted")
    await asyncio.to_thread(start_server, "--cors-origin", "*", "--port", port)
    await bob.hears(ANN_HZ, within_s=40)
    await ann.hears(BOB_HZ, within_s=40)

    await asyncio.to_thread(house.rooms.restart)
    await bob.until("app.signaling.state === 'connected' && room?.state", within_s=30)
    await ann.until("app.signaling.state === 'connected' && room?.state", within_s=30)
    await bob.press("Mute", exact=True)
    await ann.hears_no_more(BOB_HZ)
    assert await ann.page.evaluate(AS_TOLD)


async def test_debians_firefox_joins_talks_and_listens(
    start_server: StartServer, tmp_path: Path, microphones: Callable[[int], Path]
) -> None:
    """Firefox leaves loopback out, so media goes by an address of this machine's own, which no packet leaves."""
    secret = "s" * 32
    media = start_server(
        *(
            "--cors-origin",
            "*",
            "--api-key",
            f"rooms:{secret}",
            "--media-address",
            own_address(),
            "--drain-timeout",
            "0",
        )
    )
    rooms = Rooms(tmp_path, media.url, "--media-key", f"rooms:{secret}")
    async with AsyncExitStack() as stack:
        stack.callback(rooms.process.stop)
        house = House(media, rooms, stack, microphones)
        ann = await house.comes("ann", ANN_HZ)
        await house.opens(ann, "Foxes", "by who takes it")
        program = ("node", str(BROWSERS / "firefox.mjs"), rooms.url, "fox", "Foxes", str(ANN_HZ))
        environment = {**os.environ, "PULSE_SERVER": stack.enter_context(sound_server(tmp_path))}
        fox = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, env=environment)
        assert fox.stdin is not None
        assert fox.stdout is not None
        try:
            said = {"db": SILENT_DB, "speaks": False}
            deadline = time.monotonic() + 60
            while said["db"] < HEARD_DB or not said["speaks"]:
                assert time.monotonic() < deadline, said
                said |= json.loads(await asyncio.wait_for(fox.stdout.readline(), 60))
                assert not said.get("errors")
            await ann.hears(FIREFOX_HZ)
        finally:
            fox.stdin.close()
            await asyncio.wait_for(fox.wait(), 20)


@contextmanager
def sound_server(directory: Path) -> Iterator[str]:
    """Firefox's Web Audio stands still without an output device: PulseAudio has one that nobody hears. Its address."""
    socket = directory / "sound"
    modules = ("module-null-sink", f"module-native-protocol-unix socket={socket} auth-anonymous=1")
    command = ["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]
    for module in modules:
        command += ["-L", module]
    environment = {**os.environ, "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"unix:{socket}"
    finally:
        process.terminate()
        process.wait(10)


def own_address() -> str:
    """One of this machine's that is no loopback."""
    found = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    (address, *_) = (one for one in found if "." in one)
    return address
