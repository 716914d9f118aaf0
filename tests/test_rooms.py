"""The product by aiortc: speakers and listeners of a real server, over real sockets, as a room service directs them."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import aiortc.codecs
import httpx
import pytest

from mediaserver import tokens
from mediaserver.keys import ApiKey
from mediaserver.settings import DEVELOPMENT_KEY
from mediaserver.tokens import Claims
from tests.client import (
    Heard,
    Listener,
    RefusedError,
    Session,
    Slot,
    Speaker,
    assert_continuous,
    listen,
    speak,
    until,
)
from tests.conftest import StartServer
from tests.control import Control
from tests.edge import assert_problem
from tests.netem import Link, Relay, is_dtls
from tests.voices import SAMPLE_RATE, level_db, opus_frames, voice

ANN_HZ, BOB_HZ, CYD_HZ = 440, 590, 770
PITCHES_HZ = (ANN_HZ, BOB_HZ, CYD_HZ)
# What the voices' own files measure at their pitch. Opus at 32 kb/s stays within 2 dB of it.
VOICE_DB = level_db(voice(ANN_HZ), ANN_HZ)
SILENT_DB = -50


async def connected(*sessions: Session) -> None:
    await asyncio.gather(*(session.connected() for session in sessions))


SILENCE_DB = VOICE_DB - 40


def loudness(listener: Listener, pitch_hz: int) -> float:
    """Of what came last; silence when nothing did."""
    pcm = listener.samples(0.2)
    return level_db(pcm, pitch_hz) if len(pcm) else -120.0


async def hears(slot: Slot | Listener, pitch_hz: int) -> None:
    """Waits for the voice to be as loud as it was spoken."""
    await until(lambda: abs(level_db(slot.samples(0.5), pitch_hz) - VOICE_DB) < 2, say=f"{pitch_hz} Hz is heard")


async def carries(listener: Listener, *csrcs: int) -> None:
    """Waits for the slots to have these speakers and no others, judged by what comes from now on."""
    begun = time.monotonic()

    def carried() -> set[int | None]:
        return {slot.csrc for slot in listener.slots if slot.packets and slot.packets[-1].at > begun}

    await until(lambda: carried() == set(csrcs), say=f"the slots carry {csrcs}")


async def arrivals(listener: Listener, speaker: Speaker, packets: int = 25) -> list[Heard]:
    """What reaches the listener while the speaker sends some packets more."""
    # What was forwarded before is still on its way through this process's event loop.
    sent = speaker.sent + 3
    await until(lambda: speaker.sent >= sent)
    begun = time.monotonic()
    await until(lambda: speaker.sent >= sent + packets)
    return [packet for slot in listener.slots for packet in slot.packets if packet.at > begun]


@asynccontextmanager
async def event_stream(listener: Listener) -> AsyncIterator[dict[str, Any]]:
    """The latest of each event that the listener's stream has told."""
    latest: dict[str, Any] = {}
    address = await listener.create_events()

    async def read() -> None:
        async for event, data in listener.events(address):
            latest.update({event: data})
        latest["end"] = True

    reading = asyncio.create_task(read())
    try:
        await until(lambda: "sources" in latest)
        yield latest
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def is_heard(publishing: dict[str, Any]) -> bool:
    """By its session's document; the level is that of a syllable, and between two it is lower."""
    return bool(publishing["speaking"]) and -25 < publishing["level_dbov"] < -10


def users_by_csrc(events: dict[str, Any]) -> dict[int, str]:
    return {source["csrc"]: source["user"] for source in events["sources"]["sources"]}


async def listed(control: Control, room: str, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The participants, once `what` is true of them."""
    deadline = time.monotonic() + 10
    while not what(people := await control.participants(room)):
        assert time.monotonic() < deadline, people
        await asyncio.sleep(0.05)
    return people


def session_of(participant: dict[str, Any], direction: str) -> dict[str, Any]:
    (found,) = [session for session in participant["sessions"] if session["direction"] == direction]
    return dict(found)


def whip(room: str) -> str:
    return f"/whip/{quote(room, safe='')}"


def whep(room: str, **query: str) -> str:
    return str(httpx.URL(f"/whep/{quote(room, safe='')}", params={"mode": "select", **query}))


# Hearing


async def test_two_slots_carry_both_speakers_and_the_event_stream_names_them(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
        event_stream(eve) as events,
    ):
        await connected(ann, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        names = users_by_csrc(events)
        slots = {names[slot.csrc or 0]: slot for slot in eve.slots}
        assert slots.keys() == {"ann", "bob"}
        await asyncio.gather(hears(slots["ann"], ANN_HZ), hears(slots["bob"], BOB_HZ))
        await until(lambda: all(len(slot.samples(2)) == 2 * SAMPLE_RATE for slot in eve.slots))
        for user, pitch in [("ann", ANN_HZ), ("bob", BOB_HZ)]:
            others = [level_db(slots[user].samples(1.5), other) for other in PITCHES_HZ if other != pitch]
            assert max(others) < SILENT_DB
        await until(lambda: events.get("levels", {}).get("speaking") == ["ann", "bob"])
        await until(lambda: all(-25 < level < -10 for level in events["levels"]["levels"].values()))
        assert "active" in events
        for slot in eve.slots:
            assert_continuous(slot.packets)
            assert {packet.csrcs for packet in slot.packets} == {(slot.csrc,)}


async def test_a_speaker_who_listens_never_gets_himself(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "ann", slots=3) as anns_ear,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
    ):
        await connected(ann, anns_ear, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        csrcs = {user: found["csrc"] for user, found in (await control.participants(room)).items()}
        assert eve.csrcs == {csrcs["ann"], csrcs["bob"]}
        await hears(anns_ear, BOB_HZ)
        assert {packet.csrcs for slot in anns_ear.slots for packet in slot.packets} == {(csrcs["bob"],)}
        assert level_db(anns_ear.samples(1.5), ANN_HZ) < SILENT_DB


async def test_a_room_hears_nothing_of_another(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve") as eve,
        await control.listen(f"{room}'s neighbour", "dan") as dan,
    ):
        await connected(ann, eve, dan)
        await until(lambda: eve.csrcs)
        assert await arrivals(dan, ann) == []


async def test_of_twelve_speakers_two_slots_carry_those_who_talk(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(await control.speak(room, f"user{i}", None)) for i in range(12)]
        eve = await stack.enter_async_context(await control.listen(room, "eve"))
        await connected(eve, *speakers)
        people = await control.participants(room)
        csrcs = [people[f"user{i}"]["csrc"] for i in range(12)]
        await until(lambda: all(slot.packets for slot in eve.slots))

        speakers[3].frames, speakers[7].frames = opus_frames(ANN_HZ), opus_frames(BOB_HZ)
        await carries(eve, csrcs[3], csrcs[7])
        await asyncio.gather(hears(eve, ANN_HZ), hears(eve, BOB_HZ))
        slot_of_7 = next(slot for slot in eve.slots if slot.csrc == csrcs[7])

        speakers[3].frames, speakers[10].frames = opus_frames(None), opus_frames(CYD_HZ)
        await carries(eve, csrcs[7], csrcs[10])
        await asyncio.gather(hears(eve, BOB_HZ), hears(eve, CYD_HZ))
        await until(lambda: level_db(eve.samples(0.5), ANN_HZ) < SILENT_DB)
        assert slot_of_7.csrc == csrcs[7], "who talks on keeps his slot"

        for slot in eve.slots:
            assert_continuous(slot.packets)
        heard = [list(dict.fromkeys(packet.csrcs for packet in slot.packets)) for slot in eve.slots]
        assert [csrcs[3], csrcs[10]] in [[csrc for (csrc,) in order][-2:] for order in heard], heard


async def test_a_publisher_without_levels_is_ranked_by_what_it_says(
    control: Control, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        await control.speak(room, "quiet", None) as quiet,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(quiet, eve)
        await until(lambda: eve.csrcs)
        extensions = [it for it in aiortc.codecs.HEADER_EXTENSIONS["audio"] if not it.uri.endswith("ssrc-audio-level")]
        monkeypatch.setitem(aiortc.codecs.HEADER_EXTENSIONS, "audio", extensions)
        decoded = await control.metric("mediaserver_plane_level_decodes_total")
        async with await control.speak(room, "loud", ANN_HZ) as loud:
            assert "ssrc-audio-level" not in loud.answer
            await loud.connected()
            await hears(eve, ANN_HZ)
            people = await listed(control, room, lambda people: is_heard(session_of(people["loud"], "publish")))
            assert eve.csrcs == {people["loud"]["csrc"]}
            assert not session_of(people["quiet"], "publish")["speaking"]
        assert await control.metric("mediaserver_plane_level_decodes_total") > decoded


async def test_named_speakers_have_the_slots_in_their_order_however_loud_others_are(
    control: Control, room: str
) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob, the builder", BOB_HZ) as bob,
        await control.speak(room, "cyd", None) as cyd,
    ):
        token = await control.token(room, "eve")
        query = {"speakers": "cyd", "speaker": "bob, the builder"}
        async with await listen(control.http, whep(room, **query), token) as eve:
            await connected(ann, bob, cyd, eve)
            people = await control.participants(room)
            await until(lambda: all(slot.packets for slot in eve.slots))
            assert [slot.csrc for slot in eve.slots] == [people["cyd"]["csrc"], people["bob, the builder"]["csrc"]]
            await hears(eve.slots[1], BOB_HZ)
            assert {packet.csrcs for packet in eve.slots[0].packets} == {(people["cyd"]["csrc"],)}
            assert level_db(eve.samples(1.5), ANN_HZ) < SILENT_DB
        with pytest.raises(RefusedError) as nobody:
            await listen(control.http, whep(room, speakers="nobody"), token)
        assert_problem(nobody.value.response, "no-speaker")
        with pytest.raises(RefusedError) as too_many:
            await listen(control.http, whep(room, speakers="ann,cyd"), token, slots=1)
        assert_problem(too_many.value.response, "unsupported-offer")


async def test_participants_are_listed_with_how_well_they_are_connected(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(ann, eve)
        await until(lambda: len(eve.slots[0].packets) > 50)
        people = await listed(
            control,
            room,
            lambda people: (
                is_heard(session_of(people["ann"], "publish"))
                and "round_trip_ms" in session_of(people["eve"], "listen")
            ),
        )
        publishing, listening = session_of(people["ann"], "publish"), session_of(people["eve"], "listen")
        assert people.keys() == {"ann", "eve"}
        assert (people["ann"]["may_publish"], people["eve"]["may_publish"]) == (True, False)
        assert 0 <= publishing["jitter_ms"] < 100
        assert publishing["packets_received"] == pytest.approx(ann.sent, abs=25)
        assert 60 < publishing["bytes_received"] / publishing["packets_received"] < 200
        assert listening["packets_sent"] == pytest.approx(ann.sent, abs=50)
        assert 0 < listening["round_trip_ms"] < 1000
        assert 0 <= listening["jitter_ms"] < 100
        for session in (publishing, listening):
            assert (session["packets_lost"], session["fraction_lost"]) == (0, 0)


# Muting


async def test_a_muted_speaker_reaches_nobody_until_unmuted(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
        event_stream(eve) as events,
    ):
        await connected(ann, eve)
        await hears(eve, ANN_HZ)
        (csrc,) = eve.csrcs
        await control.mute(room, "ann", "host")
        await until(lambda: events["sources"]["sources"][0]["muted_by"] == ["host"])
        assert await arrivals(eve, ann) == []
        await control.unmute(room, "ann", "host")
        await until(lambda: events["sources"]["sources"][0]["muted_by"] == [])
        await carries(eve, csrc)
        await hears(eve, ANN_HZ)
        assert_continuous(eve.slots[0].packets)


async def test_a_speaker_mutes_himself_by_his_own_token_and_nobody_else(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
    ):
        await connected(ann, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        bearer = {"Authorization": f"Bearer {await control.token(room, 'ann', publish=True)}"}
        speakers = f"/v1/rooms/{quote(room, safe='')}/speakers"

        assert_problem(await control.http.put(f"{speakers}/bob/mutes/self", headers=bearer), "forbidden")
        assert_problem(await control.http.put(f"{speakers}/ann/mutes/host", headers=bearer), "forbidden")
        muted = await control.http.put(f"{speakers}/ann/mutes/self", headers=bearer)
        assert muted.json()["mutes"] == {"self": True}
        ann_csrc = muted.json()["csrc"]
        (bob_csrc,) = eve.csrcs - {ann_csrc}
        assert {packet.csrcs for packet in await arrivals(eve, ann)} == {(bob_csrc,)}
        unmuted = await control.http.delete(f"{speakers}/ann/mutes/self", headers=bearer)
        assert unmuted.json()["mutes"] == {}
        await carries(eve, ann_csrc, bob_csrc)


@pytest.mark.parametrize("mode", ["mix", "select"])
async def test_who_is_moved_is_heard_there_and_no_more_here_and_back_again(
    control: Control, room: str, mode: str
) -> None:
    table = f"{room} table"
    await control.make_room(table)
    await control.make_room(room)
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1, mode=mode) as eve,
        await control.listen(table, "zoe", slots=1, mode=mode) as zoe,
        event_stream(eve) as events,
    ):
        await connected(ann, eve, zoe)
        await hears(eve, ANN_HZ)
        for here, there, left, joined in [(room, table, eve, zoe), (table, room, zoe, eve)]:
            await control.move(here, "ann", there)
            joined.clear()
            await hears(joined, ANN_HZ)
            left.clear()
            await asyncio.sleep(0.3)
            assert loudness(left, ANN_HZ) < SILENCE_DB
            assert (await control.participants(here)).keys() == {"eve" if here == room else "zoe"}
        # A listener is moved likewise; what he receives is one stream.
        await control.move(room, "eve", table)
        await control.move(room, "ann", table)
        await until(lambda: events.get("moved") == {"room": table})
        await until(lambda: [source["user"] for source in events["sources"]["sources"]] == ["ann"])
        eve.clear()
        await hears(eve, ANN_HZ)
        assert_continuous(eve.slots[0].packets)
        assert all(session.open for session in (ann, eve, zoe))


async def test_a_speaker_muted_by_two_is_heard_when_neither_mutes_him_any_more(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve") as eve,
    ):
        await connected(ann, eve)
        await until(lambda: eve.csrcs)
        (csrc,) = eve.csrcs
        for first, second in [("self", "host"), ("system", "self")]:
            await control.mute(room, "ann", first)
            await control.mute(room, "ann", second)
            await control.mute(room, "ann", second)
            assert await arrivals(eve, ann, 10) == []
            await control.unmute(room, "ann", first)
            assert await arrivals(eve, ann, 10) == []
            await control.unmute(room, "ann", second)
            await carries(eve, csrc)


# Leaving, coming back


async def test_a_kicked_user_is_cut_off_and_cannot_come_back_by_the_old_token(control: Control, room: str) -> None:
    token = ""
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "ann") as anns_ear,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
    ):
        token = await control.token(room, "ann", publish=True)
        await connected(ann, anns_ear, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        await control.kick(room, "ann")
        await asyncio.gather(ann.closed(), anns_ear.closed())
        people = await control.participants(room)
        assert people.keys() == {"bob", "eve"}
        assert {packet.csrcs for packet in await arrivals(eve, bob)} == {(people["bob"]["csrc"],)}
        assert bob.open
        with pytest.raises(RefusedError) as refused:
            await speak(control.http, whip(room), token, ANN_HZ)
        assert_problem(refused.value.response, "invalid-token")
        assert_problem(await ann.delete(), "invalid-token")


async def test_a_deleted_session_is_closed_and_gone(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
        event_stream(eve) as events,
    ):
        await connected(ann, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        assert (await ann.delete()).status_code == 200
        await ann.closed()
        assert_problem(await ann.delete(), "no-session")
        people = await control.participants(room)
        assert people.keys() == {"bob", "eve"}
        assert {packet.csrcs for packet in await arrivals(eve, bob)} == {(people["bob"]["csrc"],)}
        publishing = {source["user"]: source["publishing"] for source in events["sources"]["sources"]}
        assert publishing == {"ann": False, "bob": True}

        assert (await eve.delete()).status_code == 200
        await eve.closed()
        await until(lambda: "end" in events, say="the event stream ends with its session")


async def test_who_comes_back_has_his_csrc_and_his_mutes(control: Control, room: str) -> None:
    async with await control.listen(room, "eve", slots=1) as eve:
        async with await control.speak(room, "ann", ANN_HZ) as ann:
            await connected(ann, eve)
            await until(lambda: eve.csrcs)
            (csrc,) = eve.csrcs
            await control.mute(room, "ann", "host")
        async with await control.speak(room, "ann", BOB_HZ) as ann:
            await ann.connected()
            assert await arrivals(eve, ann) == []
            person = (await control.participants(room))["ann"]
            assert (person["csrc"], person["muted_by"]) == (csrc, ["host"])
            await control.unmute(room, "ann", "host")
            await carries(eve, csrc)
            await hears(eve, BOB_HZ)


async def test_a_newer_publisher_of_a_user_continues_the_older_ones_stream(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as older,
        await control.listen(room, "ann") as ear,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(older, ear, eve)
        await hears(eve, ANN_HZ)
        async with await control.speak(room, "ann", BOB_HZ) as newer:
            await older.closed()
            await newer.connected()
            await hears(eve, BOB_HZ)
            person = (await control.participants(room))["ann"]
            assert len(person["sessions"]) == 2
            assert newer.url.endswith(session_of(person, "publish")["id"])
            assert ear.url.endswith(session_of(person, "listen")["id"]), "the other direction is left alone"
            assert ear.open
            assert_continuous(eve.slots[0].packets)
            assert {packet.csrcs for packet in eve.slots[0].packets} == {(person["csrc"],)}
            assert_problem(await older.delete(), "no-session")


async def test_a_speaker_who_joins_again_over_a_slow_network_leaves_no_gap(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(ann, eve)
        await hears(eve, ANN_HZ)
        eve.clear()
        slow = Link(delay_ms=150)
        with Relay(up=slow, down=slow) as relay:
            async with await control.speak(room, "ann", ANN_HZ, relay=relay) as again:
                await connected(again)
                await ann.closed(within_s=5)
                await until(lambda: again.sent > 50)
                packets = list(eve.slots[0].packets)
                assert_continuous(packets)
                steps = [(after.timestamp - before.timestamp) % 2**32 for before, after in pairwise(packets)]
                # Joining takes four round trips of 0.3 s; what is left is this process's own hesitation.
                assert max(steps) < 0.3 * SAMPLE_RATE
                await hears(eve, ANN_HZ)


async def test_a_newer_session_that_never_connects_costs_the_speaker_nothing(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(ann, eve)
        nowhere = Link(loss=1.0)
        with Relay(up=nowhere, down=nowhere) as relay:
            async with await control.speak(room, "ann", ANN_HZ, relay=relay):
                await asyncio.sleep(1)
                assert ann.open
                await hears(eve, ANN_HZ)
                assert len((await control.participants(room))["ann"]["sessions"]) == 1
        await hears(eve, ANN_HZ)


async def test_a_newer_listener_of_a_user_takes_the_place_of_the_older(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "bob") as older,
    ):
        await connected(ann, bob, older)
        await hears(older, ANN_HZ)
        async with await control.listen(room, "bob") as newer:
            await older.closed()
            await newer.connected()
            await hears(newer, ANN_HZ)
            assert bob.open
            person = (await control.participants(room))["bob"]
            assert newer.url.endswith(session_of(person, "listen")["id"])


async def test_media_goes_on_over_an_ice_restart(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await connected(ann, eve)
        await hears(eve, ANN_HZ)
        for session in (ann, eve, ann):
            etag = session.etag
            response = await session.restart_ice()
            assert session.etag != etag
            assert "a=ice-ufrag:" in response.text
            assert_problem(
                await session.patch("a=ice-ufrag:abcd\r\na=ice-pwd:" + 22 * "x" + "\r\n", etag), "precondition-failed"
            )
        assert len(await arrivals(eve, ann)) > 20
        assert_continuous(eve.slots[0].packets)


async def test_a_closed_room_closes_its_sessions(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve") as eve,
    ):
        await connected(ann, eve)
        await control.call("DELETE", "rooms", room)
        await asyncio.gather(ann.closed(), eve.closed())
        assert_problem(await eve.delete(), "no-room")


# Rights


def forged(room: str, *, expires_in_s: float) -> str:
    """A token by the server's own key, at a time of the test's choosing."""
    now = time.time()
    claims = Claims(room, "ann", True, True, now + expires_in_s, now - 100, secrets.token_hex(4))
    return tokens.issue(ApiKey(*DEVELOPMENT_KEY), claims)


@pytest.mark.parametrize("protocol", ["whip", "whep"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("missing", "unauthorized"),
        ("expired", "invalid-token"),
        ("tampered", "invalid-token"),
        ("other room", "forbidden"),
        ("no right", "forbidden"),
    ],
)
async def test_a_token_that_does_not_allow_it_opens_no_session(
    control: Control, room: str, protocol: str, fault: str, kind: str
) -> None:
    await control.make_room(room)
    await control.make_room(f"other {room}")
    await control.seat(room, "ann")
    token: str | None = None
    if fault == "expired":
        token = forged(room, expires_in_s=-10)
    elif fault == "tampered":
        head, payload, signature = forged(room, expires_in_s=60).split(".")
        token = f"{head}.{payload}.{signature[::-1]}"
    elif fault == "other room":
        token = await control.token(f"other {room}", "ann", publish=True)
    elif fault == "no right":
        token = await control.token(room, "ann", publish=protocol == "whep", listen=protocol == "whip")
    joining: Awaitable[Session] = (
        speak(control.http, whip(room), token, None) if protocol == "whip" else listen(control.http, whep(room), token)
    )
    with pytest.raises(RefusedError) as refused:
        await joining
    response = refused.value.response
    assert_problem(response, kind)
    assert response.headers.get("www-authenticate", "").startswith("Bearer ") is (response.status_code == 401)
    assert await control.participants(room) == {}


async def test_without_a_seat_the_right_to_publish_is_worth_nothing(control: Control, room: str) -> None:
    await control.make_room(room)
    token = await control.token(room, "ann", publish=True)
    with pytest.raises(RefusedError) as refused:
        await speak(control.http, whip(room), token, None)
    assert_problem(refused.value.response, "forbidden")
    await control.seat(room, "ann", may_publish=False)
    with pytest.raises(RefusedError) as refused:
        await speak(control.http, whip(room), token, None)
    assert_problem(refused.value.response, "forbidden")


async def test_who_may_not_publish_any_more_is_not_forwarded_though_he_sends_on(control: Control, room: str) -> None:
    async with (
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.listen(room, "eve") as eve,
    ):
        await connected(ann, eve)
        await until(lambda: eve.csrcs)
        await control.seat(room, "ann", may_publish=False)
        received = session_of((await control.participants(room))["ann"], "publish")["packets_received"]
        assert await arrivals(eve, ann) == []
        after = session_of((await control.participants(room))["ann"], "publish")["packets_received"]
        assert after >= received + 20, "the packets do arrive"
        await control.seat(room, "ann", may_publish=True)
        await hears(eve, ANN_HZ)


async def test_who_lost_his_seat_is_not_forwarded_though_he_ignores_the_farewell(control: Control, room: str) -> None:
    with Relay() as relay:
        async with (
            await control.speak(room, "ann", ANN_HZ, relay=relay) as ann,
            await control.listen(room, "eve") as eve,
        ):
            await connected(ann, eve)
            await until(lambda: eve.csrcs)
            farewells = relay.drop("down", is_dtls, *range(1, 100))
            strangers = await control.metric("mediaserver_plane_dropped_stranger_total")
            await control.unseat(room, "ann")
            assert "ann" not in await control.participants(room)
            await until(lambda: farewells.dropped)
            assert await arrivals(eve, ann) == []
            assert ann.open
            assert await control.metric("mediaserver_plane_dropped_stranger_total") >= strangers + 20


# The end


async def test_a_server_that_is_stopped_tells_its_clients_and_exits_well(start_server: StartServer, room: str) -> None:
    server = start_server("--workers", "2")
    async with (
        Control(server.url) as control,
        await control.speak(room, "ann", ANN_HZ) as ann,
        await control.speak(room, "bob", BOB_HZ) as bob,
        await control.listen(room, "eve") as eve,
        event_stream(eve) as events,
    ):
        await connected(ann, bob, eve)
        await until(lambda: len(eve.csrcs) == 2)
        server.terminate()
        await asyncio.gather(ann.closed(), bob.closed(), eve.closed())
        await until(lambda: "end" in events)
        await asyncio.to_thread(server.finish)
        with pytest.raises(httpx.TransportError):
            await control.make_room(room)
