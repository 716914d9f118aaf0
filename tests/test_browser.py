"""The media server's page, which is the SDK's Media alone, in Debian's Chromium, with WAV files as microphones."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.async_api import expect

from tests.browser import Chromium, Tab, chromium
from tests.conftest import StartServer
from tests.control import Control
from tests.coturn import SECRET, coturn
from tests.netem import Link, Relay
from tests.server import Server

ANN_HZ, BOB_HZ = 440, 590
# A voice arrives at about -30 dB, another one's traces in its place at -60 dB and below.
HEARD_DB, SILENT_DB = -45, -55

INSIDE = """page.media?.state === 'connected'
    && [page.media.publisher, page.media.listener].every(session => !session || session.connected)"""
OUT = "page.media?.state !== 'connected'"


class People:
    """Everybody in a test's room, each with a browser and a microphone of his own."""

    def __init__(self, stack: AsyncExitStack, room: str, microphones: Callable[[int], Path]) -> None:
        self.room = room
        self.hearing = "slots=2"  # what the page's address says of how to listen
        self.script = ""  # runs before the page's own
        self._stack = stack
        self._microphones = microphones

    async def browser(self, pitch_hz: int | None = None, *, asks: bool = False) -> Chromium:
        microphone = self._microphones(pitch_hz) if pitch_hz else None
        return await self._stack.enter_async_context(chromium(microphone, asks=asks))

    async def open(self, browser: Chromium, server: Server, user: str, options: str = "") -> Tab:
        return await browser.open(
            f"{server.url}/?room={quote(self.room)}&user={user}&{self.hearing}{options}",
            script=self.script,
        )

    async def speaker(self, server: Server, user: str, pitch_hz: int) -> Tab:
        tab = await self.open(await self.browser(pitch_hz), server, user)
        await join(tab)
        return tab

    async def listener(self, server: Server, user: str) -> Tab:
        tab = await self.open(await self.browser(), server, user, "&listen=1")
        await join(tab)
        return tab


@pytest.fixture
async def people(room: str, microphones: Callable[[int], Path]) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        yield People(stack, room, microphones)


async def join(tab: Tab) -> None:
    await tab.page.get_by_role("button", name="Join").click()
    await tab.until(INSIDE)


async def hears(tab: Tab, pitch_hz: int, within_s: float = 8.0) -> None:
    deadline = time.monotonic() + within_s
    while (level := await tab.loudest_db(pitch_hz, seconds=0.6)) < HEARD_DB:
        assert time.monotonic() < deadline, f"{pitch_hz} Hz is at {level} dB only"


async def hears_no_more(tab: Tab, pitch_hz: int, within_s: float = 4.0) -> None:
    """Silence for a second; a jitter buffer may first play what it has."""
    deadline = time.monotonic() + within_s
    while (level := await tab.loudest_db(pitch_hz, seconds=1.0)) > SILENT_DB:
        assert time.monotonic() < deadline, f"{pitch_hz} Hz is still at {level} dB"


async def test_speakers_hear_each_other_and_a_listener_hears_both_and_who_they_are(
    people: People, server: Server
) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    bob = await people.speaker(server, "bob", BOB_HZ)
    eve = await people.listener(server, "eve")
    await hears(ann, BOB_HZ)
    await hears(bob, ANN_HZ)
    await hears(eve, ANN_HZ)
    await hears(eve, BOB_HZ)
    assert await ann.loudest_db(ANN_HZ) < SILENT_DB
    assert await bob.loudest_db(BOB_HZ) < SILENT_DB

    # Each voice has a slot to itself, and the CSRC of that slot is the user whom the event stream names.
    levels = await eve.levels_db(ANN_HZ, BOB_HZ)
    await eve.until("page.media.listener.slots.every(({csrcs}) => csrcs.length)")
    users = await eve.state(
        """(() => {
            const people = [...page.media.people.values()];
            return page.media.listener.slots.map(({csrcs: [csrc]}) => people.find(p => p.csrc === csrc)?.user);
        })()"""
    )
    assert sorted(users) == ["ann", "bob"]
    for user, (ann_db, bob_db) in zip(users, levels, strict=True):
        mine, other = (ann_db, bob_db) if user == "ann" else (bob_db, ann_db)
        assert mine > HEARD_DB
        assert other < SILENT_DB
    await eve.until("['ann', 'bob'].every(user => page.media.people.get(user).speaking)")
    for user in ("ann", "bob"):
        await expect(eve.page.locator(f"#people li.speaking.heard[data-user={user}]")).to_be_visible()
    assert await eve.state("page.media.people.size") == 2

    ciphers = "[...(await page.media.listener.connection.getStats()).values()].map(s => s.srtpCipher).filter(Boolean)"
    (cipher,) = await eve.state(f"(async () => {ciphers})()")
    assert cipher.removeprefix("SRTP_") == "AEAD_AES_128_GCM", "versions of Chromium differ in the prefix"
    assert [tab.errors for tab in (ann, bob, eve)] == [[], [], []]


async def test_in_a_mix_each_hears_all_but_himself_in_one_stream(
    people: People, server: Server, control: Control
) -> None:
    people.hearing = "mode=mix"
    ann = await people.speaker(server, "ann", ANN_HZ)
    bob = await people.speaker(server, "bob", BOB_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    await hears(eve, BOB_HZ)
    await hears(ann, BOB_HZ)
    await hears(bob, ANN_HZ)
    assert await ann.loudest_db(ANN_HZ) < SILENT_DB
    assert await bob.loudest_db(BOB_HZ) < SILENT_DB
    assert await eve.state("page.media.listener.slots.length") == 1
    for user in ("ann", "bob"):
        await expect(eve.page.locator(f"#people li.heard[data-user={user}]")).to_be_visible()

    await control.mute(people.room, "ann", "host")
    await hears_no_more(eve, ANN_HZ)
    await hears(eve, BOB_HZ)
    await eve.until("page.media.listener.slots[0].csrcs.length === 1")
    await control.unmute(people.room, "ann", "host")
    await hears(eve, ANN_HZ)

    loud = await eve.loudest_db(ANN_HZ)
    await control.call("PUT", "rooms", people.room, "speakers", "ann", json={"gain_db": -12})
    deadline = time.monotonic() + 5
    while abs(await eve.loudest_db(ANN_HZ) - (loud - 12)) > 2:
        assert time.monotonic() < deadline, "the speaker is not 12 dB quieter"

    await control.kick(people.room, "bob")
    await bob.until(OUT, within_s=1.0)
    await hears_no_more(eve, BOB_HZ)
    statistics = await eve.state("page.media.statistics()")
    assert statistics["receivedLoss"] == 0
    assert [tab.errors for tab in (ann, eve)] == [[], []]


async def test_a_speaker_who_mutes_himself_is_silent_until_he_unmutes(people: People, server: Server) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    await ann.page.get_by_role("button", name="Mute", exact=True).click()
    await eve.until("page.media.people.get('ann').muted_by.includes('self')")
    await hears_no_more(eve, ANN_HZ)
    await ann.page.get_by_role("button", name="Unmute").click()
    await hears(eve, ANN_HZ)
    assert await eve.state("page.media.people.get('ann').muted_by") == []
    assert ann.errors + eve.errors == []


async def test_what_the_host_muted_stays_muted_when_the_speaker_unmutes_himself(
    people: People, server: Server, control: Control
) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    await control.mute(people.room, "ann", "host")
    await hears_no_more(eve, ANN_HZ)
    await expect(ann.page.locator("#people li[data-user=ann] .note")).to_have_text("muted by the host")
    await ann.page.get_by_role("button", name="Mute", exact=True).click()
    await ann.page.get_by_role("button", name="Unmute").click()
    await eve.until("page.media.people.get('ann').muted_by.join() === 'host'")
    await hears_no_more(eve, ANN_HZ)
    await control.unmute(people.room, "ann", "host")
    await hears(eve, ANN_HZ)


async def test_a_kicked_speaker_knows_at_once_and_is_gone_for_the_others(
    people: People, server: Server, control: Control
) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    await control.kick(people.room, "ann")
    await ann.until(OUT, within_s=1.0)
    await expect(ann.page.get_by_role("alert")).to_contain_text("You were removed from the room")
    await eve.until("!page.media.people.has('ann')", within_s=1.0)
    await hears_no_more(eve, ANN_HZ)
    assert "ann" not in await control.participants(people.room)
    assert eve.errors == []


async def test_who_is_moved_talks_and_listens_on_in_the_other_room(
    people: People, server: Server, control: Control
) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    table = f"{people.room} table"
    await control.make_room(table)
    people.room = table
    bob = await people.speaker(server, "bob", BOB_HZ)
    before = await credentials_in_use(ann, "page.media.publisher")
    await control.move(f"{table.removesuffix(' table')}", "ann", table)
    await ann.until(
        f"document.querySelector('#title').textContent === {json.dumps(table)} && page.media.people.has('bob')",
        within_s=2.0,
    )
    await hears(bob, ANN_HZ)
    await hears(ann, BOB_HZ)
    await hears_no_more(eve, ANN_HZ)
    assert await credentials_in_use(ann, "page.media.publisher") == before
    # His own mute is his own there, too.
    await ann.page.get_by_role("button", name="Mute", exact=True).click()
    await bob.until("page.media.people.get('ann').muted_by.includes('self')")
    await hears_no_more(bob, ANN_HZ)
    assert ann.errors + bob.errors + eve.errors == []


async def test_an_ice_restart_changes_the_credentials_and_is_not_heard(people: People, server: Server) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    for tab, session in ((eve, "page.media.listener"), (ann, "page.media.publisher")):
        before = await credentials_in_use(tab, session)
        await tab.state("page.media.restartIce()")
        deadline = time.monotonic() + 5
        while await credentials_in_use(tab, session) == before:
            assert time.monotonic() < deadline, f"{session} still uses its old credentials"
            await asyncio.sleep(0.05)
        assert await tab.state(f"{session}.connected")
        await hears(eve, ANN_HZ)
    statistics = await eve.state("page.media.statistics()")
    assert statistics["receivedLoss"] == 0
    assert ann.errors + eve.errors == []


async def candidate_in_use(tab: Tab, session: str) -> dict[str, Any]:
    """The statistics of the local candidate that carries the session."""
    candidate: dict[str, Any] = await tab.state(
        f"""(async () => {{
            const stats = await {session}.connection.getStats();
            const transport = [...stats.values()].find(({{type}}) => type === 'transport');
            const pair = stats.get(transport.selectedCandidatePairId);
            return stats.get(pair.localCandidateId);
        }})()"""
    )
    return candidate


async def credentials_in_use(tab: Tab, session: str) -> str:
    """The local username fragment of the candidate pair that carries the session."""
    return str((await candidate_in_use(tab, session))["usernameFragment"])


RELAY_ONLY = """const Browsers = RTCPeerConnection;
window.RTCPeerConnection = class extends Browsers {
    constructor(configuration) { super({...configuration, iceTransportPolicy: 'relay'}); }
};"""


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_who_reaches_nothing_but_a_turn_server_talks_and_listens_through_it(
    people: People, start_server: StartServer, tmp_path: Path, transport: str
) -> None:
    people.script = RELAY_ONLY
    with coturn(tmp_path) as relay:
        server = start_server("--turn", relay.url(transport), "--turn-secret", SECRET)
        ann = await people.speaker(server, "ann", ANN_HZ)
        eve = await people.listener(server, "eve")
        await hears(eve, ANN_HZ)
        for tab, session in ((ann, "page.media.publisher"), (ann, "page.media.listener"), (eve, "page.media.listener")):
            candidate = await candidate_in_use(tab, session)
            assert (candidate["candidateType"], candidate["relayProtocol"]) == ("relay", transport)
        async with Control(server.url) as control:
            sessions = (await control.participants(people.room))["ann"]["sessions"]
        (publisher,) = [session for session in sessions if session["direction"] == "publish"]
        assert publisher["packets_received"] > 50
        assert ann.errors + eve.errors == []


TCP_ONLY = """const {setRemoteDescription} = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.setRemoteDescription = function ({type, sdp}) {
    const lines = sdp.split('\\r\\n').filter(line => !/^a=candidate:\\S+ 1 udp /.test(line));
    return setRemoteDescription.call(this, {type, sdp: lines.join('\\r\\n')});
};"""


async def test_who_is_let_out_by_tcp_alone_talks_and_listens_and_restarts_ice(
    people: People, server: Server, control: Control
) -> None:
    bob = await people.speaker(server, "bob", BOB_HZ)
    people.script = TCP_ONLY
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    await hears(ann, BOB_HZ)
    await hears(bob, ANN_HZ)
    for tab, session, protocol in (
        (ann, "page.media.publisher", "tcp"),
        (ann, "page.media.listener", "tcp"),
        (eve, "page.media.listener", "tcp"),
        (bob, "page.media.publisher", "udp"),
    ):
        assert (await candidate_in_use(tab, session))["protocol"] == protocol
    before = await credentials_in_use(ann, "page.media.publisher")
    await ann.state("page.media.publisher.restartIce()")
    deadline = time.monotonic() + 5
    while await credentials_in_use(ann, "page.media.publisher") == before:
        assert time.monotonic() < deadline, "the old credentials are still in use"
        await asyncio.sleep(0.05)
    await hears(eve, ANN_HZ)
    assert (await candidate_in_use(ann, "page.media.publisher"))["protocol"] == "tcp"
    statistics = await eve.state("page.media.statistics()")
    assert statistics["receivedLoss"] == 0
    assert await control.metric("mediaserver_plane_tcp_frames_received_total") > 100
    assert await control.metric("mediaserver_plane_tcp_frames_sent_total") > 100
    await control.kick(people.room, "ann")
    await ann.until(OUT, within_s=1.0)
    await expect(ann.page.get_by_role("alert")).to_contain_text("You were removed from the room")
    assert bob.errors + eve.errors == []


async def test_whose_network_stops_udp_in_mid_call_talks_and_listens_on_over_tcp(
    people: People, start_server: StartServer
) -> None:
    server = start_server("--workers", "1")
    port = int(re.findall(rb"reached at 127.0.0.1 port (\d+) \(UDP and TCP\)", server.log)[0])
    with Relay(("127.0.0.1", port)) as relay:
        people.script = f"""const {{setRemoteDescription}} = RTCPeerConnection.prototype;
        RTCPeerConnection.prototype.setRemoteDescription = function ({{type, sdp}}) {{
            sdp = sdp.replace(/^(a=candidate:\\S+ 1 udp \\d+ \\S+) \\d+/gm, '$1 {relay.address[1]}');
            return setRemoteDescription.call(this, {{type, sdp}});
        }};"""
        ann = await people.speaker(server, "ann", ANN_HZ)
        eve = await people.listener(server, "eve")
        await hears(eve, ANN_HZ)
        sessions = ((ann, "page.media.publisher"), (ann, "page.media.listener"), (eve, "page.media.listener"))
        for tab, session in sessions:
            assert (await candidate_in_use(tab, session))["protocol"] == "udp"
        urls = [await tab.state(f"{session}.url.href") for tab, session in sessions]
        relay.set_link("up", Link(loss=1.0))
        relay.set_link("down", Link(loss=1.0))
        deadline = time.monotonic() + 25
        for tab, session in sessions:
            while (await candidate_in_use(tab, session))["protocol"] != "tcp":
                assert time.monotonic() < deadline, f"{session} stays on UDP"
                await asyncio.sleep(0.1)
        await hears(eve, ANN_HZ)
        assert [await tab.state(f"{session}.url.href") for tab, session in sessions] == urls
        assert ann.errors + eve.errors == []


async def test_a_speaker_who_leaves_and_joins_again_is_heard_again_without_renegotiation(
    people: People, server: Server, control: Control
) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await hears(eve, ANN_HZ)
    description = "page.media.listener.connection.currentRemoteDescription.sdp"
    before = await eve.state(description), await eve.state("page.media.people.get('ann').csrc")
    await ann.page.get_by_role("button", name="Leave").click()
    await eve.until("!page.media.people.get('ann').publishing")
    await hears_no_more(eve, ANN_HZ)
    assert "ann" not in await control.participants(people.room)
    await join(ann)
    await hears(eve, ANN_HZ)
    assert (await eve.state(description), await eve.state("page.media.people.get('ann').csrc")) == before
    assert ann.errors + eve.errors == []


async def test_closing_a_tab_ends_its_sessions_at_once(people: People, server: Server, control: Control) -> None:
    ann = await people.speaker(server, "ann", ANN_HZ)
    eve = await people.listener(server, "eve")
    await eve.until("page.media.people.get('ann').publishing")
    await ann.page.goto("about:blank")
    await eve.until("!page.media.people.get('ann').publishing", within_s=2.0)
    assert set(await control.participants(people.room)) == {"eve"}


async def test_a_second_tab_of_a_user_takes_over_from_the_first(people: People, server: Server) -> None:
    eve = await people.listener(server, "eve")
    browser = await people.browser(ANN_HZ)
    first = await people.open(browser, server, "ann")
    await join(first)
    second = await people.open(browser, server, "ann")
    await join(second)
    await first.until(OUT, within_s=2.0)
    await expect(first.page.get_by_role("alert")).to_contain_text("or joined it from another tab")
    await hears(eve, ANN_HZ)
    assert await second.state("page.media.state") == "connected"


async def test_a_page_whose_server_stops_says_so_and_reconnects_when_it_is_back(
    people: People, start_server: StartServer
) -> None:
    server = start_server()
    ann = await people.speaker(server, "ann", ANN_HZ)
    await asyncio.to_thread(server.stop)
    await ann.until(OUT, within_s=2.0)
    await expect(ann.page.locator("#status")).to_contain_text("The connection was lost. It is being made again")
    port = server.url.rpartition(":")[2]
    again = await asyncio.to_thread(start_server, "--port", port)
    await ann.until(INSIDE, within_s=30)
    eve = await people.listener(again, "eve")
    await hears(eve, ANN_HZ)


async def test_who_refuses_the_microphone_can_still_listen(people: People, server: Server) -> None:
    await people.speaker(server, "ann", ANN_HZ)
    eve = await people.open(await people.browser(asks=True), server, "eve")
    await eve.page.get_by_role("button", name="Join").click()
    await expect(eve.page.get_by_role("alert")).to_contain_text("The microphone was refused")
    await eve.page.get_by_role("button", name="Only listen").click()
    await eve.until(INSIDE)
    await hears(eve, ANN_HZ)


async def test_a_computer_without_a_microphone_is_told_so(people: People, server: Server) -> None:
    tab = await people.open(await people.browser(), server, "eve")
    none = "() => Promise.reject(new DOMException('none', 'NotFoundError'))"
    await tab.state(f"void (navigator.mediaDevices.getUserMedia = {none})")
    await tab.page.get_by_role("button", name="Join").click()
    await expect(tab.page.get_by_role("alert")).to_contain_text("There is no microphone")
    assert await tab.state("page.media") is None
