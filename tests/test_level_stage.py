"""Automatic gain: its meter against pyloudnorm, and where it brings real speech."""

from __future__ import annotations

import math

import numpy as np
import pyloudnorm
import pytest

from bench import corpus
from mediaserver.kernels import Samples, level
from mediaserver.kernels.loudness import gain_db, measured_lufs
from tests.sound import FRAME, RATE, noise, staged, tone

METER = pyloudnorm.Meter(RATE)
PAUSE = np.zeros(RATE, np.float32)


def integrated_lufs(signal: Samples) -> float:
    return float(METER.integrated_loudness(signal.astype(np.float64)))


def talk(seconds: float, begin: int = 0) -> Samples:
    """Sentences one after the other, [samples, 1]."""
    names = [*corpus.SENTENCES[begin:], *corpus.SENTENCES[:begin]]
    speech = np.concatenate([corpus.sentence(name) for name in names])
    return np.resize(speech, round(seconds * RATE))[:, None]


def scaled(signal: Samples, lufs: float) -> Samples:
    return np.asarray(signal * np.float32(10 ** ((lufs - integrated_lufs(signal)) / 20)), np.float32)


def course(signal: Samples, **params: float) -> tuple[Samples, list[float], float]:
    """What comes out, the gain in dB after each frame, and what was measured at the end."""
    out, state, gains = signal.copy(), level.fresh(signal.shape[1]), []
    for start in range(0, len(out), FRAME):
        level(out[start : start + FRAME], state, level.values(**params))
        gains.append(gain_db(state))
    return out, gains, measured_lufs(state)


@pytest.mark.parametrize("lufs", [-50, -33, -23, -12])
@pytest.mark.parametrize("begin", range(0, 24, 6))
def test_measures_what_pyloudnorm_measures(begin: int, lufs: float) -> None:
    # Silence around it, so that neither has a block that the other has not; gated by both.
    signal = scaled(np.concatenate([PAUSE[:, None], talk(13, begin), PAUSE[:, None]]), lufs)
    assert course(signal, floor_lufs=-70)[2] == pytest.approx(integrated_lufs(signal), abs=0.05)


def test_measures_both_channels_as_bs_1770_does() -> None:
    left, right = talk(12), talk(12, 5) * np.float32(0.3)
    signal = np.concatenate([np.zeros((RATE, 2), np.float32), np.hstack([left, right])])
    assert course(signal, floor_lufs=-70)[2] == pytest.approx(integrated_lufs(signal), abs=0.05)


def test_a_sine_of_full_scale_at_997_hz_is_minus_3_lufs() -> None:
    assert course(tone(997, 20 * RATE)[:, None])[2] == pytest.approx(-3.01, abs=0.02)


def test_pauses_and_murmur_do_not_count() -> None:
    speech = scaled(talk(8), -20)
    murmur = scaled(talk(4), -36)  # above the floor, but 16 LU below speech
    signal = np.concatenate([PAUSE[:, None], speech, PAUSE[:, None], murmur, PAUSE[:, None]])
    assert course(signal, floor_lufs=-70)[2] == pytest.approx(integrated_lufs(signal), abs=0.05)
    assert course(signal)[2] == pytest.approx(-20, abs=0.3)


@pytest.mark.parametrize("target", [-23.0, -18.0])
@pytest.mark.parametrize("lufs", [-38, -30, -20, -10, -6])
def test_quiet_and_loud_speakers_end_at_the_target(lufs: float, target: float) -> None:
    out, _, _ = course(scaled(talk(40), lufs), target_lufs=target)
    for begin in (15, 25):
        assert integrated_lufs(out[begin * RATE : (begin + 15) * RATE]) == pytest.approx(target, abs=1)
    assert integrated_lufs(out[15 * RATE :]) == pytest.approx(target, abs=0.5)


def test_who_moves_to_the_microphone_is_followed() -> None:
    near = scaled(talk(20), -12)
    out, gains, _ = course(np.concatenate([scaled(talk(20), -32), near]))
    assert gains[999] == pytest.approx(14, abs=1)
    assert integrated_lufs(out[-5 * RATE :]) == pytest.approx(-18, abs=1)
    assert gains[1250] < gains[999] - 12  # within 5 s


def test_boost_has_a_limit() -> None:
    out, gains, _ = course(scaled(talk(20), -45), max_gain_db=12)
    assert max(gains) == pytest.approx(12)
    assert integrated_lufs(out[10 * RATE :]) == pytest.approx(-33, abs=1)


def test_gain_moves_no_faster_than_it_may_and_without_steps() -> None:
    signal = np.concatenate([scaled(talk(10), -38), scaled(talk(10), -8)])
    _, gains, _ = course(signal, rise_db_per_s=4, fall_db_per_s=12)
    per_frame = np.diff([0, *gains])
    assert per_frame.max() == pytest.approx(4 / 50, abs=1e-5)
    assert per_frame.min() == pytest.approx(-12 / 50, abs=1e-5)
    # A pilot at the speech's level shows the gain within frames.
    loud = np.where(np.arange(8 * RATE) < 4 * RATE, 0.01, 0.8)[:, None] * np.sign(tone(300, 8 * RATE, 0.001))[:, None]
    gain = np.abs(staged(level, loud.astype(np.float32), rise_db_per_s=4, fall_db_per_s=12) / loud)[:, 0]
    assert gain.max() > 1.5
    steps_db = np.abs(np.diff(20 * np.log10(gain)))
    assert steps_db.max() < 1.1 * 12 / RATE


@pytest.mark.parametrize("room_lufs", [-70, -55])
def test_gain_stands_still_in_pauses(room_lufs: float) -> None:
    room = scaled(noise(1, 10 * RATE, 1), room_lufs)
    speech = scaled(talk(12), -30)
    signal = np.concatenate([speech, room, speech])
    _, gains, _ = course(signal)
    pause = gains[12 * 50 + 25 : 22 * 50]  # after the last block with speech in it
    assert max(pause) - min(pause) == 0
    assert gains[22 * 50 + 100] == pytest.approx(pause[-1], abs=1)


def test_noise_of_a_room_is_not_taken_for_speech() -> None:
    _, gains, measured = course(scaled(noise(2, 10 * RATE, 1), -55))
    assert set(gains) == {0.0}
    assert measured == -math.inf


def test_speech_at_the_target_is_left_alone() -> None:
    _, gains, _ = course(scaled(talk(20), -18))
    assert np.abs(gains[500:]).max() < 1
