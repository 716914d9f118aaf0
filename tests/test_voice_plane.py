"""What the compiled plane says of voices: who begins to speak, at once; microphones that give nothing, or too much."""

import time
from collections.abc import Iterator

import numpy as np
import pytest

from mediaserver import _native
from tests.mixplane import MixPlane, encode, say, sine
from tests.rawplane import ROOM, RawPeer

SPEAKER = 1


@pytest.fixture
def plane() -> Iterator[MixPlane]:
    with MixPlane() as plane:
        yield plane


def voices(plane: MixPlane, peer: int) -> int:
    """How often the plane has told of this peer's voice."""
    return plane.events(peer).count(_native.VOICE)


def publisher(plane: MixPlane) -> tuple[int, RawPeer]:
    number, peer = plane.add_publisher(SPEAKER)
    return number, plane.connect(number, peer)


@pytest.mark.parametrize("gain", [1.0, 0.0])
def test_the_first_loud_packet_is_told_by_itself_muted_or_not(plane: MixPlane, gain: float) -> None:
    number, speaker = publisher(plane)
    plane.plane.set_column(ROOM, SPEAKER, gain)
    for _ in range(3):
        speaker.send(bytes(10), level_dbov=-90)
    plane.until(lambda: plane.stats[number].packets_received == 3)
    assert voices(plane, number) == 0
    speaker.send(bytes(10), level_dbov=-30)
    plane.until(lambda: voices(plane, number) == 1)
    assert plane.stats[number].speaking
    # And its end, though no packet comes any more.
    plane.until(lambda: voices(plane, number) == 2)
    assert not plane.stats[number].speaking


def test_a_level_that_toggles_with_each_packet_floods_nobody(plane: MixPlane) -> None:
    number, speaker = publisher(plane)
    begun = time.monotonic()
    sent = 0
    while time.monotonic() < begun + 1.5:
        speaker.send(bytes(10), level_dbov=-10 if sent % 2 else -127)
        sent += 1
        time.sleep(0.001)
    plane.until(lambda: plane.stats[number].packets_received > 100)
    assert sent > 100
    assert 1 <= voices(plane, number) <= 2 + 2 * (time.monotonic() - begun) / 0.6


def test_samples_cut_at_full_scale_are_clipping_and_the_same_voice_turned_down_is_not(plane: MixPlane) -> None:
    number, speaker = publisher(plane)
    plane.plane.add_row(ROOM, 1, [])
    plane.mix_listener(90, 1)
    stats = plane.stats[number]
    shouted = np.clip(sine(440, 1.0, 3.0), -1.0, 1.0)
    with plane.talk(say(speaker, encode(0.5 * shouted, 20, 64_000, application="audio"), level_dbov=-10)):
        plane.until(lambda: stats.speaking and stats.playout_delay_ms > 0)
    assert not stats.clipping
    before = voices(plane, number)
    with plane.talk(say(speaker, encode(shouted, 20, 64_000, application="audio"), level_dbov=-4)):
        plane.until(lambda: stats.clipping)
    assert voices(plane, number) > before
    plane.until(lambda: not stats.clipping, within_s=8)
