"""What is done to voices, by what a listener decodes: through real sockets, kernels and Opus on both ways."""

from collections.abc import Iterator

import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray

from bench import corpus
from mediaserver import _native, kernels
from mediaserver.place import arc, pan_gains
from mediaserver.voices import Chain, Speech, VoiceEffect, chain_of
from tests.mixplane import RATE, MixListener, MixPlane, Pcm, decode, encode, levels_db, say, sine
from tests.rawplane import ROOM

MUSIC = 70
METER = pyloudnorm.Meter(RATE)
PLACES = {stage.name: place for place, stage in enumerate(kernels.PLANE_STAGES)}


class VoicePlane(MixPlane):
    """With the stages that stand in front of columns."""

    def __enter__(self) -> "VoicePlane":
        self.plane.set_stages(kernels.plane_stages())
        super().__enter__()
        self.plane.add_row(ROOM, 1, [])
        return self

    def care(self, csrc: int, chain: Chain) -> None:
        stages = [(PLACES[name], kernels.PLANE_STAGES[PLACES[name]].values(**dict(params))) for name, params in chain]
        self.plane.set_chain(ROOM, csrc, stages)


@pytest.fixture
def room() -> Iterator[VoicePlane]:
    with VoicePlane(music=True, bitrate=96_000) as plane:
        yield plane


def sent(pcm: Pcm) -> tuple[bytes, ...]:
    return encode(pcm, 20, 96_000, application="audio")


def through(room: VoicePlane, chain: Chain, pcm: Pcm) -> Pcm:
    """What a talker says comes to a listener so."""
    talker, listener = room.publisher(1), room.mix_listener(9, 1)
    room.care(1, chain)
    with room.talk(say(talker, sent(pcm))) as pacer:
        pacer.finish()
    return decode(listener.packets())


def speech(seconds: float, lufs: float) -> Pcm:
    names = corpus.SENTENCES[:8]
    whole = np.resize(np.concatenate([corpus.sentence(name) for name in names]), round(seconds * RATE))
    gain = 10 ** ((lufs - METER.integrated_loudness(whole.astype(np.float64))) / 20)
    return np.asarray(whole * gain, np.float32)[:, None]


def loaded(pcm: Pcm) -> _native.Ring:
    """A ring with all of it, [samples, 2]."""
    ring = _native.Ring(1 << 18)
    writer = _native.RingWriter(ring.fd)
    assert writer.write(pcm) == len(pcm)
    writer.finish()
    return ring


def lufs_of(pcm: Pcm) -> float:
    return float(METER.integrated_loudness(pcm.astype(np.float64)))


# What a room does for every voice


def test_a_quiet_and_a_loud_talker_come_to_the_target_loudness(room: VoicePlane) -> None:
    """One speaks, then the other, as in a conversation; each is measured at his own listener."""
    target = -20.0
    room.plane.add_row(ROOM, 2, [(1, 0.0)])
    room.plane.add_row(ROOM, 3, [(2, 0.0)])
    talkers = [room.publisher(csrc) for csrc in (1, 2)]
    hear_loud, hear_quiet = room.mix_listener(8, 2), room.mix_listener(9, 3)
    seconds = 18.0
    schedule = []
    for csrc, talker, lufs in zip((1, 2), talkers, (-36.0, -11.0), strict=True):
        room.care(csrc, chain_of(Speech(target_lufs=target), None))
        schedule += say(talker, sent(speech(seconds, lufs)))
    with room.talk(schedule) as pacer:
        pacer.finish()
    for listener in (hear_loud, hear_quiet):
        heard = decode(listener.packets())
        assert lufs_of(heard[round(-7 * RATE) :]) == pytest.approx(target, abs=1.5)


def test_rumble_is_removed_and_a_voice_is_not(room: VoicePlane) -> None:
    heard = through(room, chain_of(Speech(high_pass=True), None), sine(40, 3.0) + sine(440, 3.0))
    rumble, voice = levels_db(heard[RATE:], 40, 440)
    assert voice == pytest.approx(-18, abs=1)
    assert rumble < -18 - 20


def noisy(seconds: float, noise_db: float) -> tuple[Pcm, NDArray[np.bool_]]:
    """Sentences with pauses of a second between them in the noise of a room; and where the pauses are."""
    words = np.concatenate([np.pad(corpus.sentence(name), (0, RATE)) for name in corpus.SENTENCES[:6]])
    words = np.resize(words, round(seconds * RATE))
    quiet = np.abs(words) < 1e-4
    pauses = np.convolve(quiet, np.ones(RATE // 2) / (RATE // 2), "same") > 0.999  # in the middle of one
    noise = np.random.default_rng(5).normal(0, 10 ** (noise_db / 20), words.size)
    return np.asarray(words + noise, np.float32)[:, None], pauses


@pytest.mark.parametrize(
    ("care", "noise_db", "by_db"), [(Speech(noise_suppression=True), -44, 8.0), (Speech(gate=True), -58, 10.0)]
)
def test_the_noise_of_a_room_goes_down_and_words_stay(
    room: VoicePlane, care: Speech, noise_db: float, by_db: float
) -> None:
    pcm, pauses = noisy(9.0, noise_db)
    heard = through(room, chain_of(care, None), pcm)[:, 0]
    size = min(len(heard), len(pauses)) - RATE // 5
    lag = 4000  # about: jitter buffer, limiter, coders; a pause's middle is wider
    pauses = pauses[:size] & (np.arange(size) > 3 * RATE)
    before, after = (10 * np.log10(np.mean(np.square(x[pauses]))) for x in (pcm[:size, 0], heard[lag : lag + size]))
    assert after < before - by_db
    assert lufs_of(heard[3 * RATE :, None]) == pytest.approx(lufs_of(pcm[3 * RATE :]), abs=2)


# Voice effects


def strongest_hz(pcm: Pcm) -> float:
    middle = pcm[RATE : 2 * RATE, 0] * np.hanning(RATE)
    return float(np.argmax(np.abs(np.fft.rfft(middle))))


def vowel(hertz: float, seconds: float) -> Pcm:
    return np.asarray(sum(sine(k * hertz, seconds, -20) / k for k in range(1, 12)), np.float32)


@pytest.mark.parametrize(
    ("effect", "expected_hz"), [(VoiceEffect.HIGHER, 200 * 2 ** (5 / 12)), (VoiceEffect.LOWER, 200 * 2 ** (-5 / 12))]
)
def test_a_voice_is_heard_higher_or_lower(room: VoicePlane, effect: VoiceEffect, expected_hz: float) -> None:
    heard = through(room, chain_of(Speech(), effect), vowel(200, 2.5))
    assert strongest_hz(heard) == pytest.approx(expected_hz, abs=2)


def test_a_telephone_has_no_lows_and_no_highs(room: VoicePlane) -> None:
    pitches = (100, 1000, 6000)
    heard = through(
        room, chain_of(Speech(), VoiceEffect.TELEPHONE), np.sum([sine(hz, 2.5, -24) for hz in pitches], axis=0)
    )
    low, middle, high = levels_db(heard[RATE // 2 :], *pitches)
    assert middle > low + 20
    assert middle > high + 20


def test_a_robot_speaks_on_one_note(room: VoicePlane) -> None:
    """Whatever the speaker's pitch, every sound repeats with the period of the note."""

    def periodic(pcm: Pcm, lag: int) -> float:
        x = pcm[RATE : 3 * RATE, 0].astype(np.float64)
        return float(np.dot(x[lag:], x[:-lag]) / np.dot(x, x))

    [note_hz] = [param.default for param in kernels.robot.params if param.name == "note_hz"]
    heard = through(room, chain_of(Speech(), VoiceEffect.ROBOT), speech(3.5, -20))
    lag = round(RATE / note_hz)
    assert periodic(heard, lag) > 0.5
    assert periodic(speech(3.5, -20), lag) < 0.35


@pytest.mark.parametrize(
    ("effect", "least_s"), [(VoiceEffect.ROOM, 0.1), (VoiceEffect.HALL, 0.6), (VoiceEffect.PLATE, 0.4)]
)
def test_a_room_sounds_on_after_the_last_word(room: VoicePlane, effect: VoiceEffect, least_s: float) -> None:
    def tail_s(pcm: Pcm) -> float:
        """From where the tone falls by 10 dB to where it has fallen by 40."""
        level = np.sqrt(np.convolve(np.square(pcm[:, 0]), np.ones(480) / 480, "same"))
        peak = float(np.median(level[RATE // 2 : RATE]))
        return float(np.flatnonzero(level > peak * 0.01)[-1] - np.flatnonzero(level > peak * 0.3)[-1]) / RATE

    words = np.concatenate([sine(600, 1.5), np.zeros((2 * RATE, 1), np.float32)])
    assert tail_s(through(room, chain_of(Speech(), effect), words)) > least_s
    with VoicePlane(music=True, bitrate=96_000) as plain:
        assert tail_s(through(plain, (), words)) < 0.08


def largest_step(pcm: Pcm) -> float:
    return float(np.abs(np.diff(pcm, axis=0)).max())


def test_effects_change_in_mid_speech_without_a_step(room: VoicePlane) -> None:
    """The steepest that any of them makes of the tone alone bounds what is heard while they change; a reverberation
    that begins hears the tone begin, so it has some more."""
    talker, listener = room.publisher(1), room.mix_listener(9, 1)
    effects = [None, *VoiceEffect, None]
    changes = 0.4  # s between them
    with room.talk(say(talker, sent(sine(300, 1.0 + changes * (len(effects) + 1), -14)))) as pacer:
        steady, at = [], listener.wait(lambda packet: len(packet.payload) > 10) + 25
        for effect in effects:
            listener.wait(lambda _: True, after=at)
            room.care(1, chain_of(Speech(), effect))
            at += round(changes / 0.02)
            steady.append((at - 6, at - 1))
        pacer.finish()
    heard = decode(listener.packets(), timed=False)
    begin = (steady[0][0] - 20) * 960
    alone = max(largest_step(heard[first * 960 : last * 960]) for first, last in steady)
    assert alone > 0.005
    assert largest_step(heard[begin : steady[-1][1] * 960]) < 2 * alone


# Where voices are


def sides_db(pcm: Pcm, pitch_hz: float) -> float:
    """Right over left."""
    [left], [right] = (levels_db(pcm, pitch_hz, channel=channel) for channel in (0, 1))
    return right - left


def expected_db(pan: float) -> float:
    left, right = pan_gains(pan)
    return float(20 * np.log10(right / left))


def test_seats_of_an_arc_are_where_they_are_and_a_listener_may_place_them_otherwise() -> None:
    pitches = (300, 500, 800, 1200)
    seats = arc(len(pitches))
    own = {1: 0.5, 2: -0.3}  # a listener's own, by csrc
    with VoicePlane(stereo=True, music=True, bitrate=192_000) as room:
        room.plane.add_row(ROOM, 2, [], places=[(csrc, *pan_gains(pan)) for csrc, pan in own.items()])
        talkers = [room.publisher(csrc) for csrc in range(1, 5)]
        for csrc, pan in enumerate(seats, start=1):
            room.plane.set_column(ROOM, csrc, 1.0, *pan_gains(pan))
        listener, other = room.mix_listener(8, 1), room.mix_listener(9, 2)
        schedule = [
            departure
            for talker, pitch in zip(talkers, pitches, strict=True)
            for departure in say(talker, sent(sine(pitch, 2.5, -20)))
        ]
        with room.talk(schedule) as pacer:
            pacer.finish()
        heard, otherwise = (decode(one.packets(), 2)[RATE // 2 : 2 * RATE] for one in (listener, other))
    for csrc, (pitch, pan) in enumerate(zip(pitches, seats, strict=True), start=1):
        assert sides_db(heard, pitch) == pytest.approx(expected_db(pan), abs=1)
        assert sides_db(otherwise, pitch) == pytest.approx(expected_db(own.get(csrc, pan)), abs=1)
        power = sum(10 ** (levels_db(heard, pitch, channel=channel)[0] / 10) for channel in (0, 1))
        assert 10 * np.log10(power / 2) == pytest.approx(-20, abs=1)


def test_places_change_nothing_in_a_mono_mix(room: VoicePlane) -> None:
    talkers = [room.publisher(csrc) for csrc in (1, 2)]
    for csrc, pan in ((1, -1.0), (2, 0.6)):
        room.plane.set_column(ROOM, csrc, 1.0, *pan_gains(pan))
    listener = room.mix_listener(9, 1)
    schedule = [*say(talkers[0], sent(sine(300, 2.0))), *say(talkers[1], sent(sine(700, 2.0)))]
    with room.talk(schedule) as pacer:
        pacer.finish()
    assert levels_db(decode(listener.packets())[RATE // 2 :], 300, 700) == pytest.approx([-18, -18], abs=1)


# How loud it may become


@pytest.mark.parametrize("stereo", [False, True])
def test_what_a_listener_decodes_is_not_over_full_scale(stereo: bool) -> None:
    """Three who shout, and music at +12 dB that is loud already."""
    random = np.random.default_rng(3)
    music = np.asarray(np.clip(random.normal(0, 0.4, (3 * RATE, 2)), -1, 1), np.float32)
    with VoicePlane(stereo=stereo, music=True, bitrate=256_000) as room:
        talkers = [room.publisher(csrc) for csrc in (1, 2, 3)]
        listener: MixListener = room.mix_listener(9, 1)
        ring = loaded(music)
        room.plane.add_player(ROOM, MUSIC, 10 ** (12 / 20))
        room.plane.add_deck(ROOM, MUSIC, 1, ring, gain=1.0, fade_samples=480)
        schedule = [
            departure
            for talker, hertz in zip(talkers, (110, 170, 230), strict=True)
            for departure in say(talker, sent(np.clip(vowel(hertz, 3.0) * 8, -1, 1)), level_dbov=0)
        ]
        with room.talk(schedule) as pacer:
            pacer.finish()
        heard = decode(listener.packets(), 2 if stereo else 1)[RATE // 2 :]
    assert np.sqrt(np.mean(np.square(heard))) > 0.2, "loud it is"
    # Not one sample leaves the limiter above -1 dBTP (test_kernels.py). Opus puts its own noise on top of noise that is
    # so loud, and comes there once in some seconds; without the limiter it would be half of all samples.
    assert int((np.abs(heard) >= 32767 / 32768).sum()) <= len(heard) // 10_000
