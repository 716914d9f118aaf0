"""Music and effects in the plane's mixes, through real sockets, kernels and Opus: what a listener receives."""

import multiprocessing
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mediaserver import _native
from tests.mixplane import MixListener, MixPlane, Pcm, decode, levels_db, sine
from tests.rawplane import ROOM

MUSIC, DING = 70, 80
RATE = 48_000


@pytest.fixture
def room() -> Iterator[MixPlane]:
    with MixPlane(music=True, bitrate=96_000) as plane:
        plane.plane.add_row(ROOM, 1, [])
        yield plane


def both(pcm: Pcm) -> Pcm:
    return np.ascontiguousarray(np.repeat(pcm, 2, axis=1))


def ring_of(pcm: Pcm) -> _native.Ring:
    ring = _native.Ring(1 << 18)
    writer = _native.RingWriter(ring.fd)
    assert writer.write(both(pcm)) == len(pcm)
    writer.finish()
    return ring


def heard(listener: MixListener, seconds: float) -> Pcm:
    time.sleep(0.15)
    listener.clear()
    time.sleep(seconds)
    return decode(listener.packets())


def events(room: MixPlane, within_s: float, *kinds: int) -> list[tuple[int, int]]:
    """Those of decks and effects, until the last of `kinds` has come."""
    found: list[tuple[int, int]] = []
    deadline = time.monotonic() + within_s
    while [kind for kind, _ in found] != list(kinds):
        assert time.monotonic() < deadline, found
        found += [(kind, number) for kind, number, _ in room.plane.poll() if kind >= _native.DECK_STARVED]
        time.sleep(0.01)
    return found


def test_a_track_is_heard_at_its_column_s_gain_and_ends(room: MixPlane) -> None:
    listener = room.mix_listener(1, 1)
    room.plane.add_player(ROOM, MUSIC, 0.5)
    room.plane.add_deck(ROOM, MUSIC, 9, ring_of(sine(1000, 2.0)), gain=1.0, fade_samples=480)
    [level] = levels_db(heard(listener, 1.0), 1000)
    assert level == pytest.approx(-24.0, abs=0.5)
    assert events(room, 3.0, _native.DECK_RESUMED, _native.DECK_ENDED) == [
        (_native.DECK_RESUMED, 9),
        (_native.DECK_ENDED, 9),
    ]


def _write(fd: int, pcm: Pcm) -> None:
    writer = _native.RingWriter(fd)
    while len(pcm):
        pcm = pcm[writer.write(pcm) :]
        time.sleep(0.01)
    writer.finish()


def test_another_process_fills_the_ring_while_it_is_played(room: MixPlane) -> None:
    listener = room.mix_listener(1, 1)
    ring = _native.Ring(RATE)
    decoder = multiprocessing.get_context("fork").Process(target=_write, args=(ring.fd, both(sine(700, 4.0))))
    decoder.start()
    room.plane.add_player(ROOM, MUSIC, 1.0)
    room.plane.add_deck(ROOM, MUSIC, 1, ring, gain=1.0, fade_samples=480)
    try:
        [level] = levels_db(heard(listener, 3.0), 700)
        assert level == pytest.approx(-18.0, abs=0.5)
        frames, then_ns = ring.position
        assert frames > 2 * RATE
        assert room.plane.unix_time_ns(then_ns) / 1e9 == pytest.approx(time.time(), abs=0.5)
        events(room, 5.0, _native.DECK_RESUMED, _native.DECK_ENDED)
    finally:
        decoder.join(5)
    assert decoder.exitcode == 0


def test_an_effect_is_for_whom_his_row_names_it(room: MixPlane) -> None:
    room.plane.add_row(ROOM, 2, [(DING, 0.0)])
    callee, other = room.mix_listener(1, 1), room.mix_listener(2, 2)
    tone = _native.Clip(sine(440, 0.5))
    room.plane.start_effect(ROOM, DING, 5, tone, gain=1.0, repeat=True)
    time.sleep(0.2)
    callee.clear()
    other.clear()
    time.sleep(1.2)
    [level] = levels_db(decode(callee.packets()), 440)
    assert level == pytest.approx(-18.0, abs=0.6)
    assert all(len(packet.payload) <= 2 for packet in other.packets())
    room.plane.stop_effect(ROOM, DING)
    assert events(room, 2.0, _native.EFFECT_ENDED) == [(_native.EFFECT_ENDED, 5)]


def test_what_is_no_ring_or_clip_or_fade_is_refused(room: MixPlane) -> None:
    with pytest.raises(OSError, match="ring"):
        _native.RingWriter(-1)
    with pytest.raises(ValueError, match="finite"):
        _native.Clip(np.full((10, 1), np.nan, np.float32))
    with pytest.raises(ValueError, match="samples"):
        _native.Clip(np.zeros((0, 1), np.float32))
    with pytest.raises(ValueError, match="minute"):
        room.plane.fade_deck(ROOM, MUSIC, 1, gain=1.0, fade_samples=100 * RATE)
    with pytest.raises(ValueError, match="hold"):
        room.plane.fade_deck(ROOM, MUSIC, 1, gain=1.0, fade_samples=1, then="stop")
    with pytest.raises(ValueError, match="no such stage"):
        room.plane.set_chain(ROOM, MUSIC, [(5, [])])
