"""The mix by aiortc, as a room service and its participants have it from a real server."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.client import Listener, RefusedError, Session, listen, until
from tests.conftest import StartServer
from tests.control import Control
from tests.edge import assert_problem
from tests.voices import level_db, voice

ANN_HZ, BOB_HZ = 440, 590
VOICES = (("ann", ANN_HZ), ("bob", BOB_HZ))
# What the voices' own files measure at their pitch. Two generations of Opus stay within 2 dB of it.
VOICE_DB = {pitch_hz: level_db(voice(pitch_hz), pitch_hz) for pitch_hz in (ANN_HZ, BOB_HZ)}
SILENT_DB = -50


async def listen_to_mix(control: Control, room: str, user: str) -> Listener:
    await control.make_room(room)
    token = await control.token(room, user)
    return await listen(control.http, f"/whep/{quote(room, safe='')}?mode=mix", token, slots=1)


async def connected(*sessions: Session) -> None:
    await asyncio.gather(*(session.connected() for session in sessions))


async def hears(listener: Listener, pitch_hz: int, *, less_db: float = 0.0) -> None:
    """Waits for the voice to be as loud as it was spoken, or by so much less."""
    expected = VOICE_DB[pitch_hz] - less_db
    await until(
        lambda: abs(level_db(listener.samples(0.7), pitch_hz) - expected) < 2,
        say=f"{pitch_hz} Hz at {expected:.1f} dB",
    )


async def hears_no_more(listener: Listener, pitch_hz: int) -> None:
    await until(
        lambda: len(listener.samples(0.7)) > 30_000 and level_db(listener.samples(0.7), pitch_hz) < SILENT_DB,
        say=f"{pitch_hz} Hz is gone",
    )


async def level_of(listener: Listener, pitch_hz: int) -> float:
    """Of what comes in the next two seconds."""
    listener.clear()
    await until(lambda: len(listener.samples(2)) >= 90_000)
    return level_db(listener.samples(2), pitch_hz)


def csrcs_after(listener: Listener, begun: float) -> set[int]:
    """Everybody whom packets have named since then (time.monotonic())."""
    return {csrc for packet in listener.slots[0].packets if packet.at > begun for csrc in packet.csrcs}


async def wish(control: Control, room: str, user: str, **wishes: Any) -> None:
    await control.call("PUT", "rooms", room, "listeners", user, json=wishes)


async def test_everybody_hears_all_others_and_nobody_himself(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(await control.speak(room, *who)) for who in VOICES]
        ann, bob, cyd = [
            await stack.enter_async_context(await listen_to_mix(control, room, user)) for user in ("ann", "bob", "cyd")
        ]
        await connected(*speakers, ann, bob, cyd)
        for pitch_hz in (ANN_HZ, BOB_HZ):
            await hears(cyd, pitch_hz)
        await hears(ann, BOB_HZ)
        await hears(bob, ANN_HZ)
        csrcs = [await control.seat(room, user) for user in ("ann", "bob")]
        begun = time.monotonic()
        assert await level_of(ann, ANN_HZ) < SILENT_DB
        assert await level_of(bob, BOB_HZ) < SILENT_DB
        assert csrcs_after(cyd, begun) == set(csrcs)
        assert csrcs_after(ann, begun) == {csrcs[1]}
        assert csrcs_after(bob, begun) == {csrcs[0]}
        assert any(len(packet.csrcs) == 2 for packet in cyd.slots[0].packets)


async def test_a_muted_speaker_falls_silent_for_all_and_the_others_go_on(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(await control.speak(room, *who)) for who in VOICES]
        cyd = await stack.enter_async_context(await listen_to_mix(control, room, "cyd"))
        await connected(*speakers, cyd)
        for source in ("host", "self"):
            await hears(cyd, ANN_HZ)
            await hears(cyd, BOB_HZ)
            await control.mute(room, "ann", source)
            await hears_no_more(cyd, ANN_HZ)
            await hears(cyd, BOB_HZ)
            begun = time.monotonic()
            await asyncio.sleep(0.5)
            assert csrcs_after(cyd, begun) <= {await control.seat(room, "bob")}
            await control.unmute(room, "ann", source)
        await hears(cyd, ANN_HZ)


async def test_a_speakers_gain_is_heard_by_all(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await control.speak(room, "ann", ANN_HZ))
        cyd = await stack.enter_async_context(await listen_to_mix(control, room, "cyd"))
        await connected(ann, cyd)
        await hears(cyd, ANN_HZ)
        before = await level_of(cyd, ANN_HZ)
        await control.call("PUT", "rooms", room, "speakers", "ann", json={"gain_db": -12})
        await hears(cyd, ANN_HZ, less_db=12)
        assert await level_of(cyd, ANN_HZ) == pytest.approx(before - 12, abs=1)


async def test_a_listeners_own_gain_is_heard_by_him_alone(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(await control.speak(room, *who)) for who in VOICES]
        cyd = await stack.enter_async_context(await listen_to_mix(control, room, "cyd"))
        dan = await stack.enter_async_context(await listen_to_mix(control, room, "dan"))
        await connected(*speakers, cyd, dan)
        for listener in (cyd, dan):
            await hears(listener, ANN_HZ)
            await hears(listener, BOB_HZ)
        await wish(control, room, "cyd", user_gains_db={"ann": -12})
        await hears(cyd, ANN_HZ, less_db=12)
        await hears(cyd, BOB_HZ)
        await hears(dan, ANN_HZ)
        await wish(control, room, "cyd", user_mutes={"bob": True})
        await hears(cyd, ANN_HZ)
        await hears_no_more(cyd, BOB_HZ)
        await hears(dan, BOB_HZ)
        await wish(control, room, "cyd")
        await hears(cyd, BOB_HZ)


async def test_who_is_kicked_is_heard_no_more_and_hears_no_more(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        speakers = [await stack.enter_async_context(await control.speak(room, *who)) for who in VOICES]
        ann = await stack.enter_async_context(await listen_to_mix(control, room, "ann"))
        cyd = await stack.enter_async_context(await listen_to_mix(control, room, "cyd"))
        await connected(*speakers, ann, cyd)
        await hears(cyd, ANN_HZ)
        await hears(cyd, BOB_HZ)
        await control.kick(room, "ann")
        await ann.closed()
        await speakers[0].closed()
        await hears_no_more(cyd, ANN_HZ)
        await hears(cyd, BOB_HZ)


async def test_a_listener_who_gets_a_seat_speaks_and_does_not_hear_himself(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await control.speak(room, "ann", ANN_HZ))
        cyd = await stack.enter_async_context(await listen_to_mix(control, room, "cyd"))
        bob = await stack.enter_async_context(await listen_to_mix(control, room, "bob"))
        await connected(ann, cyd, bob)
        await hears(bob, ANN_HZ)
        speaking = await stack.enter_async_context(await control.speak(room, "bob", BOB_HZ))
        await connected(speaking)
        await hears(cyd, BOB_HZ)
        numbers = [packet.sequence_number for packet in bob.slots[0].packets]
        assert all((b - a) % 2**16 == 1 for a, b in itertools.pairwise(numbers))
        assert await level_of(bob, BOB_HZ) < SILENT_DB
        await hears(bob, ANN_HZ)


async def test_mixes_are_counted_and_so_is_what_a_speaker_costs(control: Control, room: str) -> None:
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await control.speak(room, "ann", ANN_HZ))
        listeners = [
            await stack.enter_async_context(await listen_to_mix(control, room, f"listener {number}"))
            for number in range(3)
        ]
        await connected(ann, *listeners)
        await hears(listeners[0], ANN_HZ)
        names = ["frames_encoded", "frames_passed", "sources_decoded", "packets_mixed"]
        for _ in range(5):
            before = [await control.metric(f"mediaserver_plane_{name}_total") for name in names]
            await asyncio.sleep(1)
            encoded, passed, decoded, mixed = [
                await control.metric(f"mediaserver_plane_{name}_total") - count
                for name, count in zip(names, before, strict=True)
            ]
            if (
                decoded <= encoded + 5
            ):  # else he began to be passed on in this second: some frames are decoded, too, then
                break
        made = encoded + passed  # his own packets, while they come in time
        assert made > 10
        assert decoded <= encoded + 5
        assert made < mixed <= 3 * (made + 5)
        participants = await control.participants(room)
        [session] = participants["ann"]["sessions"]
        assert 0 < session["playout_delay_ms"] < 500


async def test_an_encrypted_room_answers_409_and_forwards(control: Control, room: str) -> None:
    await control.call("PUT", "rooms", room, json={"e2ee": True})
    with pytest.raises(RefusedError) as refused:
        await listen_to_mix(control, room, "cyd")
    assert_problem(refused.value.response, "encrypted-room")
    async with await control.speak(room, "ann", ANN_HZ) as ann, await control.listen(room, "cyd", slots=1) as cyd:
        await connected(ann, cyd)
        await hears(cyd, ANN_HZ)


async def test_one_wish_too_many_is_refused_and_nobody_hears_a_change(start_server: StartServer, room: str) -> None:
    async with Control(start_server("--max-mixes", "2").url) as control, AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await control.speak(room, "ann", ANN_HZ))
        users = [f"listener {number}" for number in range(3)]
        listeners = [await stack.enter_async_context(await listen_to_mix(control, room, user)) for user in users]
        await connected(ann, *listeners)
        await hears(listeners[2], ANN_HZ)
        for step, user in enumerate(users[:2], 1):
            await wish(control, room, user, user_gains_db={"ann": -6 * step})
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await wish(control, room, users[2], user_gains_db={"ann": -18})
        assert_problem(refused.value.response, "mixes-taken")
        assert "2 mixes" in refused.value.response.json()["detail"]
        await hears(listeners[1], ANN_HZ, less_db=12)
        assert await level_of(listeners[2], ANN_HZ) == pytest.approx(VOICE_DB[ANN_HZ], abs=2)
