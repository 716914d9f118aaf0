"""The kernels against plain NumPy, their promises to the listener, and what their machine code may not do."""

from __future__ import annotations

import ctypes
import errno
import itertools
import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve, firwin, resample

from mediaserver import kernels
from mediaserver.kernels import (
    LIMITER_BLOCK,
    LIMITER_DELAY,
    Samples,
    levels,
    limit,
    limiter,
    limiter_state_size,
    machine_code,
    mix,
)

if TYPE_CHECKING:
    llvm: Any
    numba: Any
else:
    import llvmlite.binding as llvm
    import numba

Float64 = npt.NDArray[np.float64]

RATE = 48000
CEILING = np.float32(10 ** (kernels.CEILING_DBTP / 20))
RELEASE_PER_BLOCK = 10 ** (kernels.LIMITER_RELEASE_DB_PER_S * LIMITER_BLOCK / RATE / 20)


def noise(seed: int, *shape: int) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def tone(hertz: float, samples: int, phase: float = 0.0) -> Samples:
    return np.sin(2 * np.pi * (hertz * np.arange(samples) / RATE + phase)).astype(np.float32)


# --- mix


def mixed(inputs: Samples, gains_from: Samples, gains_to: Samples) -> Samples:
    out = np.full((len(gains_to), *inputs.shape[1:]), np.nan, np.float32)
    mix(out, inputs, gains_from, gains_to)
    return out


def reference_mix(inputs: Samples, gains_from: Samples, gains_to: Samples) -> Float64:
    samples = inputs.shape[1]
    progress = (np.arange(samples) + 1)[:, None] / samples
    start, end = gains_from[:, :, None, :].astype(np.float64), gains_to[:, :, None, :].astype(np.float64)
    result: Float64 = (inputs[None] * (start + (end - start) * progress)).sum(axis=1)
    return result


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 5),
    columns=st.integers(0, 8),
    shape=st.tuples(st.sampled_from([1, 2, 7, 240, 480, 959, 960, 1920, 2880]), st.sampled_from([1, 2])),
    ramped=st.floats(0, 1),
)
def test_mix_agrees_with_numpy(seed: int, rows: int, columns: int, shape: tuple[int, int], ramped: float) -> None:
    samples, channels = shape
    rng = np.random.default_rng(seed)
    inputs = noise(seed, columns, samples, channels)
    gains_from = rng.choice([0, 0, 1, 0.5, -0.25, 1.41, 8], (rows, columns, channels)).astype(np.float32)
    new = rng.choice([0, 1, 0.7, 3], gains_from.shape).astype(np.float32)
    gains_to = np.where(rng.random((rows, columns, 1)) < ramped, new, gains_from)
    loudest = reference_mix(np.abs(inputs), np.maximum(abs(gains_from), abs(gains_to)), abs(gains_from) + abs(gains_to))
    difference = np.abs(mixed(inputs, gains_from, gains_to) - reference_mix(inputs, gains_from, gains_to))
    assert (difference <= 1e-6 * loudest + 1e-9).all()


def test_row_without_columns_is_silence() -> None:
    out = mixed(noise(1, 0, 960, 2), np.zeros((3, 0, 2), np.float32), np.zeros((3, 0, 2), np.float32))
    assert out.shape == (3, 960, 2)
    assert (out == 0).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_single_source_at_unity_passes_bit_for_bit(channels: int) -> None:
    inputs = noise(2, 5, 960, channels)
    gains = np.eye(5, dtype=np.float32)[:, :, None].repeat(channels, axis=2)
    assert (mixed(inputs, gains, gains) == inputs).all()


def test_equal_rows_have_equal_mixes() -> None:
    inputs = noise(3, 16, 960, 2)
    gains_from, gains_to = noise(4, 1, 16, 2).repeat(17, axis=0), noise(5, 1, 16, 2).repeat(17, axis=0)
    out = mixed(inputs, gains_from, gains_to)
    assert (out == out[0]).all()


def test_what_is_in_a_muted_column_does_not_matter() -> None:
    inputs = noise(6, 4, 960, 2)
    gains = np.full((2, 4, 2), 0.5, np.float32)
    gains[:, 1] = 0
    clean = mixed(inputs, gains, gains)
    inputs[1] = np.nan
    assert (mixed(inputs, gains, gains) == clean).all()


def test_seat_panning_has_its_own_gain_in_each_ear() -> None:
    gains = np.array([[[1.0, 0.25]]], np.float32)
    out = mixed(np.ones((1, 960, 2), np.float32), gains, gains)
    assert (out[0, :, 0] == 1).all()
    assert (out[0, :, 1] == np.float32(0.25)).all()


@given(before=st.floats(-8, 8, width=32), after=st.floats(-8, 8, width=32), samples=st.integers(1, 2880))
def test_last_sample_of_a_ramp_has_exactly_the_new_gain(before: float, after: float, samples: int) -> None:
    gains_from, gains_to = np.full((1, 1, 2), before, np.float32), np.full((1, 1, 2), after, np.float32)
    out = mixed(np.ones((1, samples, 2), np.float32), gains_from, gains_to)
    assert (out[0, -1] == np.float32(after)).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_frames_join_without_a_step(channels: int) -> None:
    course = [0.0, 1.0, 1.0, 0.3, 0.0, 0.0, 1.4, 0.7]
    constant = np.ones((1, 960, channels), np.float32)
    gains = [np.full((1, 1, channels), gain, np.float32) for gain in course]
    heard = np.concatenate([mixed(constant, before, after)[0] for before, after in itertools.pairwise(gains)])
    largest = np.abs(np.diff(course)).max() / 960
    assert np.abs(np.diff(heard, axis=0)).max() <= largest * 1.001


MIX_ARGUMENTS = {
    "out": np.zeros((3, 960, 2), np.float32),
    "inputs": np.zeros((4, 960, 2), np.float32),
    "gains_from": np.zeros((3, 4, 2), np.float32),
    "gains_to": np.zeros((3, 4, 2), np.float32),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("out", np.zeros((3, 960, 2))),
        ("out", np.zeros((3, 960), np.float32)),
        ("out", np.zeros((3, 959, 2), np.float32)),
        ("out", np.zeros((3, 960, 3), np.float32)),
        ("out", np.zeros((3, 2, 960), np.float32).transpose(0, 2, 1)),
        ("out", np.frombuffer(bytes(3 * 960 * 2 * 4), np.float32).reshape(3, 960, 2)),
        ("inputs", np.zeros((4, 960, 1), np.float32)),
        ("inputs", np.zeros((8, 960, 2), np.float32)[::2]),
        ("inputs", np.zeros((4, 960, 2), np.int16)),
        ("gains_from", np.zeros((3, 5, 2), np.float32)),
        ("gains_to", np.zeros((4, 3, 2), np.float32)),
    ],
)
def test_mix_refuses_arrays_that_do_not_fit(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"out|inputs|gains|channels"):
        mix(**{**MIX_ARGUMENTS, name: value})


def test_mix_refuses_to_write_over_its_inputs() -> None:
    frame, gains = np.zeros((2, 960, 1), np.float32), np.zeros((2, 2, 1), np.float32)
    with pytest.raises(ValueError, match="overlaps"):
        mix(frame, frame, gains, gains)


# --- limit


def limited(signal: Samples, *frames: int) -> Samples:
    """The signal through a fresh limiter, in frames of these sizes in turn, else in one."""
    state = np.zeros(limiter_state_size(signal.shape[1]), np.float32)
    out = np.full_like(signal, np.nan)
    start = 0
    for end in [*np.cumsum(frames, dtype=int), len(signal)]:
        limit(out[start:end], signal[start:end], state)
        start = int(end)
    return out


def delayed(signal: Samples) -> Samples:
    return np.concatenate([np.zeros_like(signal[:LIMITER_DELAY]), signal[:-LIMITER_DELAY]])


def true_peak(signal: Samples, times: int = 16) -> float:
    """Of the signal oversampled by its spectrum, with silence before and after it."""
    padded = np.pad(signal.astype(np.float64), ((RATE // 10, RATE // 10), (0, 0)))
    return float(np.abs(resample(padded, len(padded) * times, axis=0)).max())


def reference_limit(signal: Samples) -> Float64:
    """The same in float64, from its description: needs of blocks, attenuations asked for at borders, lines between
    them. Border k is the end of block k - 1, 8 samples before the end of the samples that have arrived by then."""
    late = limiter.TAPS // 2
    padded = np.pad(signal.astype(np.float64), ((LIMITER_BLOCK + late, 0), (0, 0)))
    taps = limiter.interpolators().astype(np.float64)
    between = np.stack([[np.convolve(row, tap[::-1])[: len(row)] for row in padded.T] for tap in taps])
    points = np.abs(between).max(axis=(0, 1))[late:]  # the largest between sample n - 8 and the next, at n
    at_samples = np.abs(padded).max(axis=1)
    blocks = len(signal) // LIMITER_BLOCK
    highest = CEILING * 10 ** (-limiter.MARGIN_DB / 20)
    needs, borders = [1.0] * limiter.LIMITER_HOLD, [1.0] * 4
    gains = [1.0]
    for block in range(blocks):
        begin = LIMITER_BLOCK * (block + 1)  # in `padded`: `late` and a block before the first that arrives
        peak = max(at_samples[begin : begin + LIMITER_BLOCK + 1].max(), points[begin : begin + LIMITER_BLOCK].max())
        needs = [max(peak / highest, 1.0), *needs[:-1]]
        borders = [max(*needs, borders[0] / RELEASE_PER_BLOCK), *borders[:3]]
        gains.append(float(np.mean(1 / np.array(borders))))
    # The gain set when block b has arrived is that of the border 200 samples before its end, 40 samples after what is
    # heard then: in terms of what is heard, 40 samples after the block's end.
    at = np.arange(blocks + 1) * LIMITER_BLOCK + LIMITER_DELAY - 4 * LIMITER_BLOCK - late
    gain = np.interp(np.arange(len(signal)), at, gains)
    return delayed(signal) * gain[:, None]


def chorus(kind: str) -> Samples:
    """Two seconds of 16 speakers at full scale."""
    samples, rng = 2 * RATE, np.random.default_rng(16)
    signal = np.zeros((samples, 1), np.float32)
    if kind == "in phase":
        signal[:, 0] = 16 * tone(200, samples)
    elif kind == "of their own":
        for hertz, phase in zip(rng.uniform(80, 400, 16), rng.random(16), strict=True):
            signal[:, 0] += tone(hertz, samples, phase)
    elif kind == "square":
        for hertz in rng.uniform(80, 400, 16):
            signal[:, 0] += np.sign(tone(hertz, samples))
    elif kind == "noise":
        signal = 16 * noise(17, samples, 2)
    elif kind == "sudden":
        signal[:, 0] = 0.1 * tone(300, samples)
        signal[RATE // 2 + 117 : RATE] *= 160
    elif kind == "clicks":
        signal[rng.random(signal.shape) < 1e-3] = 16
    return signal


CHORUSES = ["in phase", "of their own", "square", "noise", "sudden", "clicks"]


@pytest.mark.parametrize("kind", CHORUSES)
def test_sixteen_speakers_at_full_scale_stay_under_the_ceiling(kind: str) -> None:
    signal = chorus(kind)
    assert np.abs(signal).max() > 8
    assert np.abs(limited(signal)).max() <= CEILING


def heard_by_opus(signal: npt.ArrayLike) -> Samples:
    """What is below 20 kHz, with silence before and after it: no codec of ours carries more."""
    below = firwin(511, 19_800, fs=RATE)[:, None]
    padded = np.pad(np.asarray(signal, np.float64), ((4800, 4800), (0, 0)))
    filtered = np.asarray(fftconvolve(padded, below, mode="same", axes=0), np.float32)
    return filtered[: len(filtered) // LIMITER_BLOCK * LIMITER_BLOCK]


def between_samples(kind: str) -> Samples:
    """A second whose peaks are not at the samples."""
    match kind:
        case "clipped noise":
            signal = np.clip(4 * noise(18, RATE), -1.2, 1.2)
        case "random signs":
            signal = np.sign(noise(19, RATE)) * np.float32(1.3)
        case "a quarter of the sample rate":
            signal = 1.4 * tone(12_000, RATE, 0.125)
        case "bursts of 19 kHz":
            signal = 3 * noise(20, 100).repeat(480) * tone(19_000, RATE, 0.05)
        case "sweep":
            signal = np.float32(1.3) * np.sin(2 * np.pi * 10_000 * np.linspace(0, 1, RATE) ** 2).astype(np.float32)
        case _:
            signal = 2 * tone(float(kind), RATE, 0.1)
    return heard_by_opus(signal[:, None])


BETWEEN = ["clipped noise", "random signs", "a quarter of the sample rate", "bursts of 19 kHz", "sweep"]
BETWEEN += ["15000", "17000", "18000", "19000", "19750"]


@pytest.mark.parametrize("kind", BETWEEN)
def test_no_true_peak_is_over_the_ceiling(kind: str) -> None:
    signal = between_samples(kind)
    assert true_peak(signal) > 1.3
    assert 0.96 * CEILING < true_peak(limited(signal)) <= CEILING


@pytest.mark.parametrize("kind", CHORUSES)
def test_no_true_peak_of_sixteen_speakers_is_over_the_ceiling(kind: str) -> None:
    assert 0.96 * CEILING < true_peak(limited(heard_by_opus(chorus(kind)))) <= CEILING


@pytest.mark.parametrize("kind", CHORUSES)
def test_limiter_agrees_with_numpy(kind: str) -> None:
    signal = chorus(kind)
    assert np.abs(limited(signal) - reference_limit(signal)).max() < 2e-6


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 2]), exponents=st.lists(st.floats(-40, 38), min_size=1)
)
def test_no_input_exceeds_the_ceiling(seed: int, channels: int, exponents: list[float]) -> None:
    scale = np.repeat(10.0 ** np.array(exponents), LIMITER_BLOCK)[:, None]
    signal = (np.random.default_rng(seed).choice([-1, 0, 0.9, 1], (len(scale), channels)) * scale).astype(np.float32)
    assert np.abs(limited(signal)).max() <= CEILING


@pytest.mark.parametrize("hertz", [50, 80, 100, 123, 200, 440, 997])
def test_limited_tone_is_clean(hertz: float) -> None:
    heard = limited(16 * tone(hertz, 2 * RATE)[:, None])[RATE:, 0].astype(np.float64)
    basis = np.stack([tone(hertz, RATE), tone(hertz, RATE, 0.25)], axis=1).astype(np.float64)
    pure = basis @ np.linalg.lstsq(basis, heard, rcond=None)[0]
    distortion_db = 10 * math.log10(np.mean((heard - pure) ** 2) / np.mean(pure**2))
    assert distortion_db < -80


@pytest.mark.parametrize("kind", CHORUSES)
def test_gain_has_no_steps(kind: str) -> None:
    # A pilot that is never 0 shows the gain; its level follows the chorus, so the limiter has the same work.
    chorus_level = np.abs(chorus(kind)).max(axis=1, keepdims=True)
    signal = np.maximum(chorus_level, np.float32(0.01))
    gain = (limited(signal)[LIMITER_DELAY:] / delayed(signal)[LIMITER_DELAY:]).astype(np.float64)[:, 0]
    steps = np.diff(gain)
    assert steps.min() >= -1.0 / (4 * LIMITER_BLOCK)  # from unity to nothing in 4 ms would be that
    assert (steps <= (RELEASE_PER_BLOCK - 1) * gain[1:] / LIMITER_BLOCK + 1e-6).all()


def test_gain_rises_at_the_release_rate() -> None:
    signal = np.full((RATE, 1), 0.01, np.float32)
    signal[:480] = 16
    gain_db = 20 * np.log10(limited(signal)[LIMITER_DELAY:, 0] / 0.01)
    at = 50 * LIMITER_BLOCK - 1
    assert gain_db[at + RATE // 10] - gain_db[at] == pytest.approx(kernels.LIMITER_RELEASE_DB_PER_S / 10, abs=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_below_the_ceiling_what_comes_out_is_what_went_in(channels: int) -> None:
    signal = heard_by_opus(noise(20, 9600, channels))
    signal *= np.float32(0.98 * CEILING / true_peak(signal))
    signal[-200] = -0.0
    assert limited(signal).tobytes() == delayed(signal).tobytes()


def test_after_the_release_what_comes_out_is_what_went_in_again() -> None:
    signal = heard_by_opus(noise(21, RATE, 2))
    signal *= np.float32(0.98 * CEILING / true_peak(signal))
    signal[4800:5760] *= 16
    ready = 5760 + int(0.5 * RATE)
    assert (limited(signal)[ready:] == delayed(signal)[ready:]).all()


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 2]),
    blocks=st.lists(st.integers(1, 12), min_size=1, max_size=12),
)
def test_frames_of_any_size_equal_one_long_run(seed: int, channels: int, blocks: list[int]) -> None:
    total = sum(blocks) * LIMITER_BLOCK
    loudness = np.random.default_rng(seed).uniform(0, 4, sum(blocks)).repeat(LIMITER_BLOCK)[:, None]
    signal = (noise(seed, total, channels) * loudness).astype(np.float32)
    frames = [n * LIMITER_BLOCK for n in blocks]
    assert (limited(signal, *frames) == limited(signal)).all()


def test_limiter_works_in_place() -> None:
    signal = noise(22, 2880, 2) * 4
    expected = limited(signal)
    state = np.zeros(limiter_state_size(2), np.float32)
    limit(signal, signal, state)
    assert (signal == expected).all()


def test_both_channels_have_the_same_gain() -> None:
    signal = np.full((9600, 2), 0.01, np.float32)
    signal[3000:4000, 0] = 5
    out = limited(signal)
    alone = signal[:, 0] == signal[:, 1]
    assert (out[delayed(alone[:, None])[:, 0], 0] == out[delayed(alone[:, None])[:, 0], 1]).all()
    assert out[3000 + LIMITER_DELAY : 4000 + LIMITER_DELAY, 1].max() < 0.002


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_becomes_silence_and_leaves_no_trace(bad: float) -> None:
    signal = noise(23, 9600, 2) * 2
    holes = np.random.default_rng(24).random(signal.shape) < 0.1
    holes[2400:3600] = True
    silenced = np.where(holes, 0, signal).astype(np.float32)
    assert (limited(np.where(holes, bad, signal).astype(np.float32)) == limited(silenced)).all()


@pytest.mark.parametrize("peak", [1e4, 3.4e38])
def test_overload_does_not_silence_the_room_for_longer_than_a_moment(peak: float) -> None:
    signal = np.full((RATE, 1), 0.1, np.float32)
    signal[100] = peak
    after = int(0.65 * RATE)
    assert (limited(signal)[after:] == np.float32(0.1)).all()


@pytest.mark.parametrize(
    ("out", "inputs", "state"),
    [
        (np.zeros((960, 1)), np.zeros((960, 1), np.float32), np.zeros(limiter_state_size(1), np.float32)),
        (np.zeros((960, 1), np.float32), np.zeros((720, 1), np.float32), np.zeros(limiter_state_size(1), np.float32)),
        (
            np.zeros((960, 1), np.float32),
            np.zeros((960, 1), np.float32),
            np.zeros(limiter_state_size(1) - 1, np.float32),
        ),
        (np.zeros((960, 2), np.float32), np.zeros((960, 2), np.float32), np.zeros(limiter_state_size(1), np.float32)),
        (np.zeros((901, 1), np.float32), np.zeros((901, 1), np.float32), np.zeros(limiter_state_size(1), np.float32)),
        (
            np.zeros((960, 3), np.float32),
            np.zeros((960, 3), np.float32),
            np.zeros(limiter_state_size(2) * 2, np.float32),
        ),
        (np.zeros(960, np.float32), np.zeros(960, np.float32), np.zeros(limiter_state_size(1), np.float32)),
    ],
)
def test_limiter_refuses_arrays_that_do_not_fit(out: Any, inputs: Any, state: Any) -> None:
    with pytest.raises(ValueError, match=r"out|inputs|state|samples|channels"):
        limit(out, inputs, state)


def test_limiter_refuses_arrays_that_overlap_in_part() -> None:
    buffer, state = np.zeros((1920, 1), np.float32), np.zeros(limiter_state_size(1), np.float32)
    with pytest.raises(ValueError, match="overlap"):
        limit(buffer[240:1200], buffer[:960], state)
    with pytest.raises(ValueError, match="overlap"):
        limit(state[:240].reshape(240, 1), buffer[:240], state)


# --- levels


def level(row: npt.ArrayLike) -> float:
    dbov = np.full(1, np.nan, np.float32)
    levels(dbov, np.asarray(row, np.float32)[None])
    return float(dbov[0])


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 5760),
    loudness_db=st.lists(st.floats(-150, 20), max_size=20),
)
def test_levels_agree_with_numpy(seed: int, samples: int, loudness_db: list[float]) -> None:
    rows = noise(seed, len(loudness_db), samples)
    rows *= (10 ** (np.array(loudness_db) / 20))[:, None].astype(np.float32)
    dbov = np.full(len(rows), np.nan, np.float32)
    levels(dbov, rows)
    power = np.square(rows, dtype=np.float64).mean(axis=1)
    assert np.allclose(dbov, np.clip(10 * np.log10(power + 1e-30), -127, 0), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("row", "dbov"),
    [
        (np.zeros(960), -127),
        (np.full(960, 1e-30), -127),
        ([], -127),
        (np.sign(tone(500, 960, 0.001)), 0),
        (tone(500, 960), -3.0103),
        (tone(500, 960) / 10, -23.0103),
        (np.full(960, 3e38), 0),
        ([*np.ones(959), np.nan], -127),
        ([*np.ones(959), -np.inf], -127),
    ],
)
def test_level_in_dbov(row: npt.ArrayLike, dbov: float) -> None:
    assert level(row) == pytest.approx(dbov, abs=1e-3)


def test_levels_refuse_arrays_that_do_not_fit() -> None:
    rows = np.zeros((3, 960), np.float32)
    refused: list[Any] = [np.zeros(2, np.float32), np.zeros(3), np.zeros((3, 1), np.float32), rows[0, :3]]
    for dbov in refused:
        with pytest.raises(ValueError, match=r"dbov"):
            levels(dbov, rows)


# --- what the machine code does, and does not


def called(source: str) -> set[str]:
    """What a kernel's C function calls that is not in its own module: functions by name, pointers as registers."""
    functions = {function.name: function for function in llvm.parse_assembly(source).functions}
    waiting = [name for name in functions if name.startswith("cfunc.")]
    assert len(waiting) == 1, "one C function in a module"
    reached = set(waiting)
    while waiting:
        function = functions.get(waiting.pop())
        for instruction in [i for block in function.blocks for i in block.instructions] if function else []:
            callee = [*instruction.operands][-1].name if instruction.opcode in {"call", "invoke"} else None
            if callee is not None and callee not in reached:
                reached.add(callee)
                waiting.append(callee)
    inside = {name for name, function in functions.items() if not function.is_declaration}
    return {name for name in reached - inside if not name.startswith("llvm.")}


SHOW_CODE = """
import json
from mediaserver.kernels import KERNELS
hits = sum(kernel.cache_hits for kernel in KERNELS.values())
code = {name: kernel.inspect_llvm() for name, kernel in KERNELS.items()} if not hits else {}
print(json.dumps([hits, code]))
"""


def compile_afresh(cache: Path, **environment: str) -> tuple[int, dict[str, str]]:
    """In a process of its own: how many kernels came from this cache, else the code that LLVM made of them."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")} | environment
    env["NUMBA_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-c", SHOW_CODE]
    root = Path(__file__).parents[1]
    result = subprocess.run(command, env=env, check=False, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stderr
    hits, code = json.loads(result.stdout)
    return hits, code


FIXED_CPUS = {"x86_64": ["x86-64-v2", "x86-64-v3", "x86-64-v4"]}.get(platform.machine(), [])


@pytest.mark.parametrize("cpu", ["", "generic", *FIXED_CPUS])
def test_kernels_call_nothing_and_come_from_the_cache_the_second_time(tmp_path: Path, cpu: str) -> None:
    environment = {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""} if cpu else {}
    hits, code = compile_afresh(tmp_path, **environment)
    assert (hits, set(code)) == (0, set(kernels.KERNELS))
    assert {name: called(source) for name, source in code.items()} == {name: set() for name in code}
    assert compile_afresh(tmp_path, **environment) == (len(code), {})


def test_kernel_with_pythons_error_model_would_be_found_out() -> None:
    with_error = numba.cfunc("float32(float32, float32)", error_model="python")(lambda a, b: a / b)
    assert any("gil" in name.lower() for name in called(with_error.inspect_llvm()))


def test_kernel_that_allocates_would_be_found_out() -> None:
    allocating = numba.cfunc("float32(int32)", error_model="numpy")(lambda n: np.zeros(n, np.float32).sum())
    assert any(name.startswith("NRT_") for name in called(allocating.inspect_llvm()))


def test_without_a_place_for_the_cache_kernels_are_compiled_at_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forget(first: int, second: int) -> None:
        pass

    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with caplog.at_level(logging.WARNING):
        kernel = machine_code.kernel(numba.int32, numba.int32, fastmath=set())(forget)
    assert kernel.address
    assert "NUMBA_CACHE_DIR" in caplog.text


FLOATS = ctypes.POINTER(ctypes.c_float)
INT = ctypes.c_int32
C_MIX = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, FLOATS, FLOATS, INT, INT, INT, INT)(kernels.addresses().mix)
C_LIMIT = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, FLOATS, INT, INT)(kernels.addresses().limit)
C_LEVELS = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, INT, INT)(kernels.addresses().levels)

COLUMNS, FRAMES = 4, 500
INPUTS = COLUMNS * 960
GAINS = COLUMNS
ROW = 960
STATE = limiter_state_size(1)


def thread_body(data_: Any) -> Any:
    """500 ticks of a room as the plane makes them; data is inputs, gains, the row, the limiter's state, its level."""
    data = numba.carray(data_, INPUTS + GAINS + ROW + STATE + 1)
    inputs, gains = data[:INPUTS], data[INPUTS : INPUTS + GAINS]
    row = data[INPUTS + GAINS : INPUTS + GAINS + ROW]
    state, dbov = data[INPUTS + GAINS + ROW : INPUTS + GAINS + ROW + STATE], data[INPUTS + GAINS + ROW + STATE :]
    for _ in range(FRAMES):
        C_MIX(row.ctypes, inputs.ctypes, gains.ctypes, gains.ctypes, 1, COLUMNS, 960, 1)
        C_LIMIT(row.ctypes, row.ctypes, state.ctypes, 960, 1)
        C_LEVELS(dbov.ctypes, row.ctypes, 1, 960)
    return data_


class Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class NativeThread:
    """A thread that Python does not know. PyDLL: unlike CDLL, it keeps the GIL during the call."""

    _held = ctypes.PyDLL(None)

    def __init__(self, body: Any, argument: Any) -> None:
        self._id = ctypes.c_ulong()
        assert self._held.pthread_create(ctypes.byref(self._id), None, body, argument) == 0

    def ends_while_the_gil_is_held(self, seconds: float) -> bool:
        until = time.time() + seconds
        deadline = Timespec(int(until), int(until % 1 * 1e9))
        result: int = self._held.pthread_timedjoin_np(self._id, None, ctypes.byref(deadline))
        assert result in {0, errno.ETIMEDOUT}
        return result == 0

    def join(self) -> None:
        assert ctypes.CDLL(None).pthread_join(self._id, None) == 0


def test_kernels_run_in_native_threads_while_another_thread_holds_the_gil() -> None:
    pointer = numba.types.CPointer(numba.float32)
    body = ctypes.c_void_p(numba.cfunc(pointer(pointer), error_model="numpy")(thread_body).address)
    rooms = []
    for seed in range(4):
        gains = np.abs(noise(seed + 100, GAINS)) * 2
        rooms.append(np.concatenate([noise(seed, INPUTS), gains, np.zeros(ROW + STATE + 1, np.float32)]))
    threads = [NativeThread(body, room.ctypes.data_as(ctypes.c_void_p)) for room in rooms]
    assert all(thread.ends_while_the_gil_is_held(60) for thread in threads)
    for room in rooms:
        mixture = mixed(room[:INPUTS].reshape(COLUMNS, 960, 1), *[room[INPUTS : INPUTS + GAINS].reshape(1, -1, 1)] * 2)
        expected = limited(np.tile(mixture[0], (FRAMES, 1)))[-960:, 0]
        assert (room[INPUTS + GAINS : INPUTS + GAINS + ROW] == expected).all()
        assert room[-1] == np.float32(level(expected))


def test_thread_that_wants_the_gil_would_be_found_out() -> None:
    body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _argument: None)
    thread = NativeThread(body, None)
    assert not thread.ends_while_the_gil_is_held(0.3)
    thread.join()
