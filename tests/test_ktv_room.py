"""Singers and their music through a real server, over relays with delay and jitter: at the audience voice and music
meet, by correlation. What the singers' clients report is what a browser does (tests/singer.py)."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest

from tests.client import Listener
from tests.control import Control
from tests.mixplane import decode
from tests.netem import Link, Relay
from tests.singer import PILOT_HZ, RATE, meet, pilot_hz, singing

ANN_HZ, BOB_HZ = 6000.0, 10_000.0
# 60 ms there and back, with jitter.
WAY = Link(delay_ms=25.0, jitter_ms=10.0)


async def test_voice_and_music_meet_and_do_so_again_when_the_loop_has_changed(
    ktv_control: Control, room: str, audience: Listener
) -> None:
    async with AsyncExitStack() as stack:
        down, up = (stack.enter_context(Relay(up=WAY, down=WAY, seed=seed)) for seed in (1, 2))
        ann = await stack.enter_async_context(singing(ktv_control, room, "ann", carrier_hz=ANN_HZ, down=down, up=up))
        await meet(audience, ANN_HZ)
        loop_ms = ann.told["loop_ms"]
        assert loop_ms > 60 + 80 + 32 + 18

        # Other headphones.
        ann.ears.output_s += 0.045
        await asyncio.sleep(3.0)
        await meet(audience, ANN_HZ)
        assert ann.told["loop_ms"] > loop_ms + 25

        # Another network: 40 ms more, there and back.
        for relay in (down, up):
            relay.set_link("up", Link(delay_ms=45.0, jitter_ms=10.0))
            relay.set_link("down", Link(delay_ms=45.0, jitter_ms=10.0))
        await asyncio.sleep(3.0)
        await meet(audience, ANN_HZ)

        # He says nothing any more: what he said last goes on.
        ann.reports = False
        await asyncio.sleep(6.0)
        await meet(audience, ANN_HZ)


async def test_two_singers_of_different_loops_sing_together(
    ktv_control: Control, room: str, audience: Listener
) -> None:
    async with AsyncExitStack() as stack:
        down, up = (stack.enter_context(Relay(up=WAY, down=WAY, seed=seed)) for seed in (3, 4))
        await stack.enter_async_context(singing(ktv_control, room, "ann", carrier_hz=ANN_HZ, down=down, up=up))
        near = singing(ktv_control, room, "bob", carrier_hz=BOB_HZ, waits_s=0.03, output_s=0.008, capture_s=0.024)
        bob = await stack.enter_async_context(near)
        await meet(audience, ANN_HZ, BOB_HZ)
        assert bob.told["voice_delay_ms"] > 40


async def test_a_delay_that_changes_is_a_glide_without_a_step(
    ktv_control: Control, room: str, audience: Listener
) -> None:
    for offset_ms in (20, 60):
        await ktv_control.call("PATCH", "rooms", room, "players", "song", json={"align_offset_ms": offset_ms})
        await asyncio.sleep(0.5)
        if offset_ms == 20:
            await asyncio.sleep(6.0)
            audience.clear()
    await asyncio.sleep(10.0)
    packets: list[Any] = list(audience.slots[0].packets)
    pitches = pilot_hz(decode(packets, 2)[RATE // 5 :, 0]) / PILOT_HZ - 1
    assert np.abs(pitches).max() < 0.007
    assert float(np.mean(pitches < -0.004)) > 0.5
    late_ms = -10 * float(pitches.sum())
    assert late_ms == pytest.approx(40, abs=1.0)
    assert np.abs(pitches[-100:]).max() < 0.0005
