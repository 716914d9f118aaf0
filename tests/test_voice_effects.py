"""Voice effects by what comes out: pitch, bands, decay, loudness; and the gate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from scipy import signal as reference

from bench import corpus
from mediaserver.kernels import STAGES, Samples, gate, pitch, reverb, robot, telephone
from mediaserver.voices import Speech, VoiceEffect, chain_of
from tests.sound import RATE, loudness_db, noise, staged, tone

if TYPE_CHECKING:
    from mediaserver.kernels import Stage

Float64 = npt.NDArray[np.float64]


def speech(sentences: int = 6) -> Samples:
    joined = np.concatenate([corpus.sentence(name) for name in corpus.SENTENCES[:sentences]])
    return joined[: len(joined) // 960 * 960, None]


def vowel(hertz: float, seconds: float = 2.0) -> Samples:
    """Harmonics that fall by 6 dB per octave, up to 5 kHz."""
    count = int(5000 / hertz)
    sum_of_tones = sum(tone(k * hertz, round(seconds * RATE)) / k for k in range(1, count + 1))
    return np.asarray(0.2 * sum_of_tones, np.float32)[:, None]


def spectrum(signal: npt.ArrayLike) -> Float64:
    """Power in steps of 1 Hz, of the last second."""
    windowed = np.asarray(signal, np.float64).reshape(-1)[-RATE:] * np.hanning(RATE)
    return np.asarray(np.abs(np.fft.rfft(windowed)) ** 2)


def share_of_harmonics(power: Float64, hertz: float) -> float:
    """How much of the power is within 4 Hz of a multiple of `hertz`."""
    near = np.abs((np.arange(len(power)) + hertz / 2) % hertz - hertz / 2) <= 4
    return float(power[near].sum() / power.sum())


# --- pitch


@pytest.mark.parametrize("semitones", [-12, -7, -3, -1, 1, 4, 7, 12])
@pytest.mark.parametrize("hertz", [95, 150, 310])
def test_pitch_is_shifted_and_stays_clean(hertz: float, semitones: float) -> None:
    power = spectrum(staged(pitch, vowel(hertz), semitones=semitones))
    shifted = hertz * 2 ** (semitones / 12)
    strongest = int(np.argmax(power[: round(1.5 * shifted)]))
    assert strongest == pytest.approx(shifted, abs=1)
    assert share_of_harmonics(power, shifted) > 0.999


@pytest.mark.parametrize("semitones", [-12, -5, 5, 12])
def test_pitch_leaves_tempo_and_loudness(semitones: float) -> None:
    signal = speech()
    out = staged(pitch, signal, semitones=semitones)
    assert loudness_db(out) == pytest.approx(loudness_db(signal), abs=1)
    before, after = (np.square(x[: len(x) // 480 * 480, 0]).reshape(-1, 480).mean(axis=1) for x in (signal, out))
    # The same syllables, about 10 ms later.
    before, after = before[:-1] - before.mean(), after[1:] - after.mean()
    assert np.vdot(before, after) > 0.8 * np.linalg.norm(before) * np.linalg.norm(after)


@pytest.mark.parametrize("semitones", [-12, -1, 1, 12])
def test_pitch_delays_by_less_than_20_ms(semitones: float) -> None:
    signal = np.zeros((RATE, 1), np.float32)
    for begin in range(4800, RATE - 4800, 3001):
        signal[begin : begin + 240] = noise(begin, 240, 1)
    out = staged(pitch, signal, semitones=semitones)
    for begin in range(4800, RATE - 4800, 3001):
        heard = np.flatnonzero(np.abs(out[begin - 100 : begin + 2900, 0]) > 0.05) - 100
        assert heard.min() >= 0
        assert heard.min() <= pitch.delay_samples < 0.02 * RATE
        assert heard.max() < 240 + 2 * pitch.delay_samples


def test_without_a_shift_nothing_is_touched() -> None:
    signal = noise(1, RATE, 2)
    assert (staged(pitch, signal) == signal).all()


def test_both_ears_are_shifted_alike() -> None:
    signal = vowel(140).repeat(2, axis=1) * np.array([1, 0.5], np.float32)
    out = staged(pitch, signal, semitones=5)
    assert np.allclose(out[:, 0] * 0.5, out[:, 1], atol=1e-6)


# --- robot


@pytest.mark.parametrize("note", [80, 100, 150])
def test_robot_speaks_on_one_note(note: float) -> None:
    signal = speech(20)[: RATE * 20]
    seconds = [slice(0, k * RATE) for k in range(2, 20)]
    out = staged(robot, signal, note_hz=note)
    before, after = (np.sum([spectrum(x[second]) for second in seconds], axis=0) for x in (signal, out))
    assert share_of_harmonics(after, note) > 4 * share_of_harmonics(before, note)


def autocorrelation(signal: Samples, lag: int) -> float:
    x = signal[:, 0].astype(np.float64)
    return float(np.dot(x[lag:], x[:-lag]) / np.dot(x, x))


def test_robot_has_the_period_of_its_note() -> None:
    out = staged(robot, speech(), note_hz=100)
    assert autocorrelation(out, 480) > 0.6
    assert autocorrelation(speech(), 480) < 0.3


# --- telephone


def gain_db(stage: Stage, hertz: float, level: float, **params: float) -> float:
    signal = np.float32(level) * tone(hertz, RATE)[:, None]
    return loudness_db(staged(stage, signal, **params)[RATE // 2 :]) - loudness_db(signal[RATE // 2 :])


def test_telephone_has_its_band() -> None:
    assert gain_db(telephone, 300, 0.01) == pytest.approx(-3, abs=0.2)
    assert gain_db(telephone, 3400, 0.01) == pytest.approx(-3, abs=0.2)
    assert gain_db(telephone, 1000, 0.01) == pytest.approx(0, abs=0.1)
    assert gain_db(telephone, 100, 0.01) < -35
    assert gain_db(telephone, 8000, 0.01) < -45


def test_telephone_saturates_loud_voices_mildly() -> None:
    power = spectrum(staged(telephone, np.float32(0.4) * tone(500, RATE)[:, None]))
    third = 10 * math.log10(power[1495:1506].sum() / power[495:506].sum())
    assert -30 < third < -12
    assert gain_db(telephone, 1000, 1.0) < -8
    assert gain_db(telephone, 1000, 1.0, drive_db=0) > -2


# --- reverb


def decay_s(impulse_response: Float64, low: float, high: float) -> float:
    """RT60 of a band, from the slope between -5 and -35 dB of the energy that is left (ISO 3382, T30)."""
    band = reference.butter(4, [low, high], "bandpass", fs=RATE, output="sos")
    energy = np.cumsum(np.square(reference.sosfiltfilt(band, impulse_response))[::-1])[::-1]
    left_db = 10 * np.log10(energy / energy[0] + 1e-30)
    return float(2 * (np.argmax(left_db < -35) - np.argmax(left_db < -5)) / RATE)


def impulse_response(**params: float) -> Samples:
    signal = np.zeros((RATE * 5, 2), np.float32)
    signal[0] = 1
    return staged(reverb, signal, wet=1, **params)


@pytest.mark.parametrize("decay", [0.4, 0.8, 1.5, 3.0])
@pytest.mark.parametrize("room", [0, 1, 2])
def test_reverb_dies_away_as_it_says(room: int, decay: float) -> None:
    response = impulse_response(room=room, decay_s=decay)[:, 0].astype(np.float64)
    assert decay_s(response, 400, 1200) == pytest.approx(decay, rel=0.08)
    assert decay_s(response, 4000, 8000) < 1.02 * decay


def test_rooms_differ() -> None:
    first = [int(np.argmax(np.abs(impulse_response(room=room, decay_s=1)[:, 0]) > 1e-3)) for room in range(3)]
    assert first[2] < first[0] < first[1]  # the walls of a hall are far away, a plate has none
    treble = [decay_s(impulse_response(room=room, decay_s=1)[:, 0].astype(float), 4000, 8000) for room in range(3)]
    assert treble[2] > max(treble[:2])


def test_reverb_is_wide_in_stereo() -> None:
    response = impulse_response(room=1, decay_s=1.5)
    left, right = response.T
    assert abs(np.vdot(left, right)) < 0.25 * np.linalg.norm(left) * np.linalg.norm(right)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_reverb_is_about_as_loud_as_the_voice(room: int) -> None:
    signal = speech()
    for wet in (0.0, 0.3, 1.0):
        assert -4 < loudness_db(staged(reverb, signal, room=room, wet=wet)) - loudness_db(signal) <= 1


def test_dry_reverb_touches_nothing() -> None:
    signal = noise(2, RATE, 2)
    assert (staged(reverb, signal, wet=0) == signal).all()


# --- gate


def test_gate_lets_speech_through_and_takes_noise_away() -> None:
    background = np.float32(0.001) * noise(3, 3 * RATE, 1)  # -65 dBFS
    talk = speech(3)
    out = staged(gate, np.concatenate([background, talk, background]))
    assert loudness_db(out[RATE : 3 * RATE]) == pytest.approx(loudness_db(background) - 40, abs=0.5)
    assert loudness_db(out[-RATE:]) == pytest.approx(loudness_db(background) - 40, abs=0.5)
    heard = out[3 * RATE : 3 * RATE + len(talk)]
    assert loudness_db(heard - talk) < loudness_db(talk) - 40


def test_gate_opens_within_a_millisecond() -> None:
    signal = np.zeros((2 * RATE, 1), np.float32)
    signal[RATE + 17 :] = np.float32(0.1) * tone(300, RATE - 17, 0.25)[:, None]
    out = staged(gate, signal)
    assert (out[RATE + 48 :] == signal[RATE + 48 :]).all()


def test_gate_holds_and_closes_slowly() -> None:
    loud = np.where(np.arange(3 * RATE) < RATE, 0.1, 0.0005)[:, None].astype(np.float32)
    gain = 20 * np.log10(staged(gate, loud, hold_ms=300, release_ms=200, reduction_db=30) / loud)[:, 0]
    assert (gain[: RATE + 14_300] == 0).all()
    assert gain[RATE + 14_400 + 4800] == pytest.approx(-15, abs=0.5)
    assert gain[-1] == pytest.approx(-30, abs=0.01)
    assert np.abs(np.diff(gain)).max() < 0.01  # no step


def test_gate_does_not_flutter_between_its_thresholds() -> None:
    between = np.float32(10 ** (-53 / 20))
    quiet, opened = np.full((RATE, 1), between), np.full((2 * RATE, 1), between)
    opened[0:480] = 0.1
    assert staged(gate, np.concatenate([quiet, quiet]))[-1] < 0.02 * between
    assert (staged(gate, opened) == opened).all()


# --- by name


@pytest.mark.parametrize("effect", VoiceEffect)
def test_voice_effect_sounds_and_is_sane(effect: VoiceEffect) -> None:
    out = speech(2)
    before = loudness_db(out)
    stages = {stage.name: stage for stage in STAGES}
    for name, params in chain_of(Speech(), effect):
        stages[name](out, stages[name].fresh(1), stages[name].values(**dict(params)))
    assert before - 6 < loudness_db(out) < before + 2
    assert np.abs(out).max() < 1
