"""Automatic gain: every speaker at the same loudness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.arrays import Samples
from mediaserver.kernels.machine_code import STAGE, Pointer, inlined, kernel
from mediaserver.kernels.stage import Param, Stage

if TYPE_CHECKING:
    carray: Any
    float32: Any
    float64: Any
    uintp: Any
else:
    from numba import carray, float32, float64, uintp

BLOCK_HOPS = 10
"""Hops of 10 ms in a step of 100 ms; a gating block of ITU-R BS.1770-4 is four steps, and one ends with every step."""

WINDOW_BLOCKS = 150
"""Gating blocks that are remembered: 15 s of speech, pauses not counted. Longer: who moves away from the microphone
stays quiet for longer; shorter: the gain follows emphasis, and sentences lose their shape."""

_HOP = uintp(480)
_WINDOW = uintp(WINDOW_BLOCKS)
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)
_FORGOTTEN = 1e-15

# ITU-R BS.1770-4, tables 1 and 2: the coefficients at 48 kHz. The numerator of the second is 1, -2, 1.
_SHELF_B0, _SHELF_B1, _SHELF_B2 = 1.53512485958697, -2.69169618940638, 1.19839281085285
_SHELF_A1, _SHELF_A2 = -1.69065929318241, 0.73248077421585
_PASS_A1, _PASS_A2 = -1.99004745483398, 0.99007225036621
_OFFSET = -0.691  # LKFS of a mean square of 1

# The state begins with
_GAIN = uintp(0)  # gain in dB at the end of the last hop
_SPEECH = uintp(1)  # 1 if the last gating block was speech
_LOUDNESS = uintp(2)  # integrated loudness of what is remembered, LUFS; 0 if nothing is
_HOPS = uintp(3)  # of the current step
_ENERGY = uintp(4)  # weighted squares of the current step
_STEPS = uintp(5)  # weighted squares of the last four steps, the latest first
_BLOCKS = uintp(9)  # how many gating blocks are remembered
_NEXT = uintp(10)  # which of them is overwritten next
_MEMORY = uintp(11)  # mean squares of the gating blocks
_FILTERS = uintp(11 + WINDOW_BLOCKS)  # and ends with the K filter's memory, eight values a channel


@inlined
def _weighted_energy(frame: Any, begin: int, channel: int, channels: int, state: Any) -> float:
    """Cleans one channel of a hop, and sums the squares of what the K filter makes of it."""
    at = _FILTERS + uintp(8) * channel
    s1 = float64(state[at]) + float64(state[at + uintp(1)])
    s2 = float64(state[at + uintp(2)]) + float64(state[at + uintp(3)])
    t1 = float64(state[at + uintp(4)]) + float64(state[at + uintp(5)])
    t2 = float64(state[at + uintp(6)]) + float64(state[at + uintp(7)])
    energy = 0.0
    for n in range(_HOP):
        i = begin + n * channels + channel
        clean = frame[i]
        clean = clean if abs(clean) <= _LARGEST else float32(0)  # not so for NaN and infinity
        clean = min(max(clean, -_OVERLOAD), _OVERLOAD)
        frame[i] = clean
        x = float64(clean)
        y = _SHELF_B0 * x + s1
        s1 = _SHELF_B1 * x - _SHELF_A1 * y + s2
        s2 = _SHELF_B2 * x - _SHELF_A2 * y
        z = y + t1
        t1 = t2 - 2 * y - _PASS_A1 * z
        t2 = y - _PASS_A2 * z
        energy += z * z
    if max(abs(s1), abs(s2), abs(t1), abs(t2)) < _FORGOTTEN:
        s1 = s2 = t1 = t2 = 0.0
    state[at] = s1
    state[at + uintp(1)] = s1 - float64(state[at])
    state[at + uintp(2)] = s2
    state[at + uintp(3)] = s2 - float64(state[at + uintp(2)])
    state[at + uintp(4)] = t1
    state[at + uintp(5)] = t1 - float64(state[at + uintp(4)])
    state[at + uintp(6)] = t2
    state[at + uintp(7)] = t2 - float64(state[at + uintp(6)])
    return energy


@inlined
def _end_step(state: Any, floor: float) -> None:
    """The gating block that ends with a step of 100 ms: whether it is speech, and the loudness with it."""
    for step in range(3):
        state[_STEPS + uintp(3 - step)] = state[_STEPS + uintp(2 - step)]
    state[_STEPS] = state[_ENERGY]
    state[_ENERGY] = float32(0)
    state[_HOPS] = float32(0)
    state[_SPEECH] = float32(0)
    block = 0.0
    for step in range(4):
        block += float64(state[_STEPS + uintp(step)])
    block /= 4 * BLOCK_HOPS * 480
    if block > 10 ** ((floor - _OFFSET) / 10):
        state[_MEMORY + uintp(state[_NEXT])] = block
        state[_NEXT] = state[_NEXT] + float32(1) if state[_NEXT] + 1 < WINDOW_BLOCKS else float32(0)
        state[_BLOCKS] = min(state[_BLOCKS] + float32(1), float32(WINDOW_BLOCKS))
        remembered = uintp(state[_BLOCKS])
        total = 0.0
        for k in range(remembered):
            total += float64(state[_MEMORY + k])
        relative = total / float64(remembered) / 10  # 10 LU below
        total, count = 0.0, 0.0
        for k in range(remembered):
            mean = float64(state[_MEMORY + k])
            if mean > relative:
                total += mean
                count += 1
        state[_LOUDNESS] = _OFFSET + 10 * math.log10(total / count)
        state[_SPEECH] = float32(1) if block > relative else float32(0)


@kernel(*STAGE, fastmath={"contract"})
def _level(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, _FILTERS + uintp(8) * channels)
    params = carray(params_, 5)
    target = min(max(float64(params[0]), -40.0), -10.0)
    most = min(max(float64(params[1]), 0.0), 30.0)
    floor = min(max(float64(params[2]), -70.0), -30.0)
    rise = min(max(float64(params[3]), 0.1), 20.0) / 100  # dB per hop
    fall = min(max(float64(params[4]), 0.1), 40.0) / 100
    for hop in range(hops):
        begin = hop * size
        energy = 0.0
        for channel in range(channels):
            energy += _weighted_energy(frame, begin, channel, channels, state)
        state[_ENERGY] += energy
        state[_HOPS] += float32(1)
        if state[_HOPS] >= BLOCK_HOPS:
            _end_step(state, floor)
        before = float64(state[_GAIN])
        if state[_SPEECH] != 0:
            wanted = min(max(target - float64(state[_LOUDNESS]), -40.0), most)
            state[_GAIN] = min(max(wanted, before - fall), before + rise)
        after = float64(state[_GAIN])
        if before != 0 or after != 0:
            first, last = float32(10 ** (before / 20)), float32(10 ** (after / 20))
            slope = (last - first) / float32(_HOP)
            for n in range(_HOP):
                gain = last - slope * float32(_HOP - uintp(1) - n)
                for channel in range(channels):
                    frame[begin + n * channels + channel] *= gain


level = Stage(
    name="level",
    kernel=_level,
    params=(
        Param("target_lufs", "LUFS", -40, -10, -18),
        Param("max_gain_db", "dB", 0, 30, 20),
        Param("floor_lufs", "LUFS", -70, -30, -50),
        Param("rise_db_per_s", "dB/s", 0.1, 20, 3),
        Param("fall_db_per_s", "dB/s", 0.1, 40, 10),
    ),
    state_mono=int(_FILTERS) + 8,
    state_stereo=int(_FILTERS) + 16,
    tail_samples=0,
)
"""Automatic gain to a target loudness, measured as ITU-R BS.1770-4 says: K-weighted, in blocks of 400 ms that overlap
by 75 %, gated at `floor_lufs` (BS.1770: -70) and at 10 LU below the mean; over the last 15 s that were above the floor.

The gain goes towards what is missing to `target_lufs`, up by `rise_db_per_s` and down by `fall_db_per_s`, to at most
`max_gain_db`, and only while the last block was speech: in pauses it stands still, and they stay as quiet as they are.
It is unity until the first block."""


def measured_lufs(state: Samples) -> float:
    """What `level` has measured, from its state: the integrated loudness; -inf before there was any."""
    return float(state[int(_LOUDNESS)]) if state[int(_BLOCKS)] else -math.inf


def gain_db(state: Samples) -> float:
    """What `level` applies now, from its state."""
    return float(state[int(_GAIN)])
