"""Music and effects in the plane's mixes, through real sockets, kernels and Opus: what a listener receives."""

import multiprocessing
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from mediaserver import _native
from tests.mixplane import MixListener, MixPlane, Pcm, decode, levels_db, say, sine, tone
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


def largest_step(pcm: Pcm) -> float:
    return float(np.abs(np.diff(pcm[:, 0])).max())


def test_nothing_that_is_done_to_music_or_effects_is_a_step(room: MixPlane) -> None:
    """Start, volume, pause, going on, seek, another audience, an effect's beginning and end, and stop, all of a tone
    whose own steps are known; an effect begins at once, so it is one that begins softly."""
    pitch_hz, level = 300, 10 ** (-18 / 20)
    own = level * 2 * np.pi * pitch_hz / RATE
    listener = room.mix_listener(1, 1)
    fade = 960
    soft = sine(300, 1.0) * np.clip(np.arange(RATE) / 2400, 0, 1)[:, None].astype(np.float32)
    plane = room.plane
    plane.add_player(ROOM, MUSIC, 1.0)
    clip = _native.Clip(soft)
    acts: list[Callable[[], None]] = [
        lambda: plane.add_deck(ROOM, MUSIC, 1, ring_of(sine(pitch_hz, 5.0)), gain=1.0, fade_samples=fade),
        lambda: plane.fade_deck(ROOM, MUSIC, 1, gain=0.4, fade_samples=fade),
        lambda: plane.fade_deck(ROOM, MUSIC, 1, gain=0.0, fade_samples=fade, then="hold"),
        lambda: plane.fade_deck(ROOM, MUSIC, 1, gain=1.0, fade_samples=fade),
        lambda: plane.add_deck(ROOM, MUSIC, 2, ring_of(sine(pitch_hz, 5.0)), gain=1.0, fade_samples=fade),
        lambda: plane.fade_deck(ROOM, MUSIC, 1, gain=0.0, fade_samples=fade, then="remove"),
        lambda: plane.set_row(ROOM, 1, [(MUSIC, 0.0)]),
        lambda: plane.set_row(ROOM, 1, []),
        lambda: plane.start_effect(ROOM, DING, 5, clip, gain=0.5, repeat=False),
        lambda: plane.stop_effect(ROOM, DING),
        lambda: plane.fade_deck(ROOM, MUSIC, 2, gain=0.0, fade_samples=fade, then="remove"),
    ]
    for act in acts:
        act()
        time.sleep(0.3)
    heard = decode(listener.packets(), timed=False)
    assert len(heard) > 2 * RATE
    # Two at the same time at most, a fade's or ramp's own slope, and what Opus adds.
    assert 0.5 * own < largest_step(heard) < 1.5 * 2 * (own + level / fade)


def test_a_cross_fade_of_unlike_tracks_is_as_loud_as_they_are(room: MixPlane) -> None:
    listener = room.mix_listener(1, 1)
    random = np.random.default_rng(2)
    first, second = (np.asarray(random.normal(0, 0.1, (5 * RATE, 1)), np.float32) for _ in range(2))
    room.plane.add_player(ROOM, MUSIC, 1.0)
    room.plane.add_deck(ROOM, MUSIC, 1, ring_of(first), gain=1.0, fade_samples=480)
    time.sleep(1.0)
    room.plane.add_deck(ROOM, MUSIC, 2, ring_of(second), gain=1.0, fade_samples=RATE)
    room.plane.fade_deck(ROOM, MUSIC, 1, gain=0.0, fade_samples=RATE, then="remove")
    time.sleep(2.0)
    heard = decode(listener.packets(), timed=False)[RATE // 2 :, 0]
    power = np.square(heard[: len(heard) // 9600 * 9600]).reshape(-1, 9600).mean(axis=1)
    assert len(power) >= 8
    assert 10 * np.log10(power / np.median(power)) == pytest.approx(0, abs=1)


def test_music_ducks_as_fast_as_it_shall_and_comes_back_as_slowly(room: MixPlane) -> None:
    """As a listener hears it: down by 12 dB within 120 ms of the first word, up again within 800 ms of when speech is
    taken to be over."""
    by_db, music_hz, voice_hz = 12.0, 2000, 400
    room.configure(ducking=10 ** (-by_db / 20))
    talker, listener = room.publisher(1), room.mix_listener(9, 1)
    room.plane.add_player(ROOM, MUSIC, 1.0)
    room.plane.add_deck(ROOM, MUSIC, 1, ring_of(sine(music_hz, 5.4)), gain=1.0, fade_samples=480)
    listener.wait(lambda packet: len(packet.payload) > 10)
    with room.talk(say(talker, tone(voice_hz, 1.2), at_s=0.8)) as pacer:
        pacer.finish()
    time.sleep(2.2)
    heard = decode(listener.packets(), timed=False)[:, 0]
    music, voice = (envelope_db(heard, hertz) for hertz in (music_hz, voice_hz))
    talks = np.flatnonzero(voice > -24)
    begin, end = talks[0], talks[-1]
    full, ducked = np.median(music[20 : begin - 20]), np.median(music[begin + 30 : end - 5])
    assert full - ducked == pytest.approx(by_db, abs=1)
    down = np.flatnonzero(music[begin - 20 :] < ducked + 1)[0] + begin - 20
    leaves = np.flatnonzero(music[end - 10 :] > ducked + 1)[0] + end - 10
    back = np.flatnonzero(music[end:] > full - 1)[0] + end
    assert (down - begin) * HOP_MS <= 120 + 20, "and a tick"
    assert (back - leaves) * HOP_MS <= 800 + 20
    assert (back - leaves) * HOP_MS > 400, "not at once"
    down_steps = np.diff(music[begin - 20 : down + 1])
    assert np.abs(down_steps).max() < by_db / 2, "it glides"


HOP_MS = 10


def envelope_db(pcm: NDArray[np.float32], pitch_hz: float) -> NDArray[np.float64]:
    """Of this pitch, each 10 ms, in windows of 20 ms."""
    size, hop = RATE // 50, RATE * HOP_MS // 1000
    probe = np.exp(-2j * np.pi * pitch_hz * np.arange(size) / RATE) * np.hanning(size)
    starts = range(0, len(pcm) - size, hop)
    amplitudes = [2 * abs(np.dot(pcm[start : start + size], probe)) / np.hanning(size).sum() for start in starts]
    return np.asarray(20 * np.log10(np.maximum(amplitudes, 1e-6)))
