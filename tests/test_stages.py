"""What every stage in front of a column promises, whatever it does to sound; and the high-pass filter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as reference

from mediaserver.kernels import HOP, STAGES, Samples, Stage, high_pass
from tests.sound import RATE, loudness_db, noise, staged, tone

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
every_layout = pytest.mark.parametrize("channels", [1, 2])


def corners(stage: Stage) -> list[dict[str, float]]:
    """Params at their defaults, all at one end, all at the other."""
    ends = [{param.name: getattr(param, end) for param in stage.params} for end in ("lowest", "highest")]
    return [{}, *ends]


@every_stage
def test_table_is_consistent(stage: Stage) -> None:
    assert stage.address
    assert stage.fresh(1).shape == (stage.state_mono,)
    assert stage.fresh(2).shape == (stage.state_stereo,)
    assert all(param.lowest <= param.default <= param.highest for param in stage.params)
    assert len({param.name for param in stage.params}) == len(stage.params)
    assert stage.tail_samples >= stage.delay_samples >= 0


def test_names_of_stages_are_their_own() -> None:
    assert len({stage.name for stage in STAGES}) == len(STAGES)


@every_layout
@every_stage
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), hops=st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_frames_of_any_size_equal_one_long_run(stage: Stage, channels: int, seed: int, hops: list[int]) -> None:
    signal = noise(seed, sum(hops) * HOP, channels) * np.float32(0.5)
    for params in corners(stage):
        whole, pieces, state = staged(stage, signal, **params), signal.copy(), stage.fresh(channels)
        start = 0
        for count in hops:
            stage(pieces[start : start + count * HOP], state, stage.values(**params))
            start += count * HOP
        assert (pieces == whole).all()


@every_layout
@every_stage
def test_stage_is_silent_when_its_tail_is_over(stage: Stage, channels: int) -> None:
    tail = math.ceil(stage.tail_samples / HOP) * HOP
    signal = np.zeros((RATE + tail + RATE, channels), np.float32)
    signal[:RATE] = noise(1, RATE, channels)
    for params in corners(stage):
        out = staged(stage, signal, **params)
        assert (out[RATE + tail :] == 0).all()
        subnormal = (np.abs(out) < np.finfo(np.float32).tiny) & (out != 0)
        assert not subnormal.any()


@every_layout
@every_stage
def test_silence_stays_silence(stage: Stage, channels: int) -> None:
    for params in corners(stage):
        assert (staged(stage, np.zeros((RATE, channels), np.float32), **params) == 0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -1e4])
@every_stage
def test_what_is_no_sound_does_no_lasting_harm(stage: Stage, bad: float) -> None:
    signal = np.float32(0.3) * noise(2, RATE * 24, 2)
    hostile = signal.copy()
    hostile[RATE : RATE + 4800 : 7] = bad
    for params in corners(stage):
        out = staged(stage, hostile, **params)
        assert np.isfinite(out).all()
        assert abs(loudness_db(out[-RATE:]) - loudness_db(staged(stage, signal, **params)[-RATE:])) < 3


@every_stage
def test_loud_input_stays_sane(stage: Stage) -> None:
    signal = noise(3, RATE * 2, 2)
    for params in corners(stage):
        assert loudness_db(staged(stage, signal, **params)) < loudness_db(signal) + 6


@every_stage
def test_params_are_named_and_in_range(stage: Stage) -> None:
    assert len(stage.values()) == len(stage.params)
    with pytest.raises(ValueError, match="no param 'volume'"):
        stage.values(volume=1)
    for param in stage.params:
        for value in (param.lowest - 0.5, param.highest + 0.5, math.nan, math.inf):
            with pytest.raises(ValueError, match=param.name):
                stage.values(**{param.name: value})


@pytest.mark.parametrize("value", [-1e9, 1e9, math.inf, -math.inf])
@every_stage
def test_params_that_nobody_checked_are_clamped(stage: Stage, value: float) -> None:
    signal = noise(4, 4800, 2)
    end = "highest" if value > 0 else "lowest"
    expected = staged(stage, signal, **{param.name: getattr(param, end) for param in stage.params})
    out = signal.copy()
    stage(out, stage.fresh(2), [value] * len(stage.params))
    assert (out == expected).all()


@every_stage
def test_stage_refuses_arrays_that_do_not_fit(stage: Stage) -> None:
    good, state = np.zeros((960, 2), np.float32), stage.fresh(2)
    refused: list[tuple[Any, Any, Any]] = [
        (np.zeros((960, 2)), state, None),
        (good[:, :1], stage.fresh(1), None),
        (good[:900], state, None),
        (good[:, 0], state, None),
        (np.zeros((960, 3), np.float32), state, None),
        (good, np.zeros(stage.state_stereo + 1, np.float32), None),
        (good, state, [1.0] * (len(stage.params) + 1)),
        (np.frombuffer(bytes(7680), np.float32).reshape(960, 2), state, None),
    ]
    for samples, memory, params in refused:
        with pytest.raises(ValueError, match=r"samples|state|params|channels"):
            stage(samples, memory, params)


# --- high_pass


def response_db(stage: Stage, hertz: float, **params: float) -> float:
    signal = tone(hertz, RATE * 2)[:, None]
    return loudness_db(staged(stage, signal, **params)[RATE:]) - loudness_db(signal[RATE:])


@every_layout
def test_high_pass_agrees_with_scipy(channels: int) -> None:
    signal = noise(5, RATE, channels)
    sections = reference.butter(4, 80, "highpass", fs=RATE, output="sos")
    expected = reference.sosfilt(sections, signal.astype(np.float64), axis=0)
    assert np.abs(staged(high_pass, signal) - expected).max() < 1e-6


def test_high_pass_takes_away_rumble_and_leaves_voices() -> None:
    assert response_db(high_pass, 80) == pytest.approx(-3.01, abs=0.02)
    assert response_db(high_pass, 50) == pytest.approx(-16.4, abs=0.2)
    assert response_db(high_pass, 20) < -48
    assert response_db(high_pass, 120) > -0.2
    assert response_db(high_pass, 1000) == pytest.approx(0, abs=0.001)


def test_high_pass_is_where_it_is_wanted() -> None:
    assert response_db(high_pass, 200, frequency_hz=200) == pytest.approx(-3.01, abs=0.02)


def test_high_pass_adds_no_noise_of_its_own() -> None:
    heard = staged(high_pass, tone(1000, RATE * 2)[:, None])[RATE:, 0].astype(np.float64)
    basis = np.stack([tone(1000, RATE), tone(1000, RATE, 0.25)], axis=1).astype(np.float64)
    rest = heard - basis @ np.linalg.lstsq(basis, heard, rcond=None)[0]
    assert loudness_db(rest) < -120


def test_constant_is_taken_away() -> None:
    out: Samples = staged(high_pass, np.full((RATE, 1), 0.5, np.float32))
    assert np.abs(out[RATE // 2 :]).max() < 1e-6
