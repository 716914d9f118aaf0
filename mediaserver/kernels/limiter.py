"""The true-peak limiter of each mix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.arrays import Samples, check_channels, pointer_to, shape_of
from mediaserver.kernels.machine_code import Pointer, inlined, kernel, pointer

if TYPE_CHECKING:
    carray: Any
    float32: Any
    int32: Any
    uintp: Any
else:
    from numba import carray, float32, int32, uintp

CEILING_DBTP = -1.0
"""What the limiter lets through, of the signal between the samples as well. Higher: what decoders overshoot is
clipped at the listener; lower: quieter rooms."""

MARGIN_DB = 0.1
"""How far below the ceiling the points are held that are looked at: what lies between them, and what the
interpolation does not see of it, came to 0.08 dB at most."""

LIMITER_DELAY = 240
"""Samples of the limiter's look-ahead: 5 ms, of which 4 are its attack. Longer: more delay for everyone; shorter: the
gain follows the waveform of low voices."""

LIMITER_BLOCK = 48
"""Samples between two settings of the gain. Longer: a shorter attack; shorter: more work."""

LIMITER_HOLD = 11
"""Blocks for which a peak counts: 11 ms, so that the gain stands still in any steady tone from 50 Hz up."""

LIMITER_RELEASE_DB_PER_S = 60.0
"""How fast the limiter lets go: back from 16 full-scale speakers (25 dB) in 0.4 s, about two syllables. Faster: the
gain is heard to pump between syllables; slower: one shout leaves the room quiet for long."""

OVERLOAD = 64.0
"""Samples beyond ±OVERLOAD (36 dB over full scale) are taken as that. Higher: a broken or hostile source silences its
room for longer afterwards (here 0.6 s); lower: the sum of that many speakers at full scale is clipped."""

OVERSAMPLING = 8
"""Points looked at per sample. BS.1770-4 (annex 2) asks for four at least, which miss 0.47 dB of the worst tone below
20 kHz; eight miss 0.12 dB."""

TAPS = 16
"""Samples that an interpolated one is made of: true within 0.1 dB up to 20 kHz. With 12, within 0.4 dB."""


def interpolators() -> Samples:
    """[OVERSAMPLING - 1, TAPS]: a windowed sinc for each point between samples TAPS / 2 - 1 and TAPS / 2."""
    at = np.arange(TAPS) - (TAPS / 2 - 1 + np.arange(1, OVERSAMPLING) / OVERSAMPLING)[:, None]
    window = np.i0(4.0 * np.sqrt(1 - (at / (TAPS / 2)) ** 2)) / np.i0(4.0)  # Kaiser's
    return np.asarray(np.sinc(at) * window, np.float32)


_LARGEST = np.finfo(np.float32).max
_MAGNITUDE = np.int32(0x7FFFFFFF)  # of float32: the bits without the sign; as integers they are ordered as the values
_DELAY = uintp(LIMITER_DELAY)
_BLOCK = uintp(LIMITER_BLOCK)
_CEILING = np.float32(10 ** (CEILING_DBTP / 20))
_HIGHEST = np.float32(10 ** ((CEILING_DBTP - MARGIN_DB) / 20))
_RELEASE = np.float32(10 ** (-LIMITER_RELEASE_DB_PER_S / 20 * LIMITER_BLOCK / 48000))
_OVERLOAD = np.float32(OVERLOAD)
_INTERPOLATORS = interpolators()
_HARMLESS = np.float32(_HIGHEST / np.abs(_INTERPOLATORS).sum(axis=1).max())
_BEHIND = uintp(TAPS // 2)  # samples that the interpolation of the last one waits for

# The gain is set at borders that are a block apart, and goes from border to border in a straight line. A block's need
# is the attenuation that brings the highest point in it to the ceiling. The attenuation asked for at a border is the
# largest need of the blocks around it, 4 ahead and 7 behind, or the last border's less the release if that is more.
# The gain there is the mean of what this border and the three before it asked for: all of those have seen the blocks
# on both sides of this border, so both ends of each line satisfy its block, and all of the line does.
#
# A point between two samples is known when the eight samples after it are, so borders are 8 samples before the ends of
# the blocks that arrive: the last need known is that of samples -56 to -8, of 240 that the limiter holds back.
#
# State: gain - 1 at the last border and the one before; attenuation - 1 asked for at the last four; need - 1 of the
# last blocks; the samples held back, and room for a block. Zeros are unity gain and silence held back.
_GAINS, _ASKED, _NEEDS = uintp(0), uintp(2), uintp(6)
_HELD = uintp(6 + LIMITER_HOLD)


@inlined
def _peak(held: Any, begin: int, end: int) -> Any:
    """The largest magnitude, as the bits of a float32: LLVM does not vectorise the maximum of floats, for fear of
    NaN."""
    peak = np.int32(0)
    for i in range(begin, end):
        peak = max(peak, np.int32(np.float32(held[i]).view(np.int32) & _MAGNITUDE))
    return peak


@inlined
def _next_gain(state: Any, need: Any) -> Any:
    """The gain at the next border, with the need of the last block known."""
    largest = need - float32(1)
    for i in range(LIMITER_HOLD - 1):
        older = state[_NEEDS + uintp(LIMITER_HOLD - 2 - i)]
        state[_NEEDS + uintp(LIMITER_HOLD - 1 - i)] = older
        largest = max(largest, older)
    state[_NEEDS] = need - float32(1)
    asked = max(largest + float32(1), (state[_ASKED] + float32(1)) * _RELEASE)
    gain = float32(1) / asked
    for i in range(3):
        older = state[_ASKED + uintp(2 - i)]
        state[_ASKED + uintp(3 - i)] = older
        gain += float32(1) / (older + float32(1))
    state[_ASKED] = asked - float32(1)
    return gain / float32(4)


@kernel(pointer, pointer, pointer, int32, int32, fastmath={"contract"})
def _limit(out_: Pointer, inputs_: Pointer, state_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    stereo = channels - uintp(1)
    size = _BLOCK * channels
    delay = _DELAY * channels
    blocks = uintp(samples) // _BLOCK
    out = carray(out_, blocks * size)
    inputs = carray(inputs_, blocks * size)
    state = carray(state_, _HELD + delay + size)
    fresh = _HELD + delay
    for block in range(blocks):
        at = block * size
        for i in range(size):
            x = inputs[at + i]
            x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
            state[fresh + i] = min(max(x, -_OVERLOAD), _OVERLOAD)
        first = fresh - _BEHIND * channels  # the sample at the last border
        peak = _peak(state, first, fresh + size - (_BEHIND - uintp(1)) * channels)
        around = _peak(state, fresh - uintp(TAPS - 1) * channels, fresh + size)
        if np.int32(around).view(np.float32) > _HARMLESS:
            for point in range(OVERSAMPLING - 1):
                for i in range(size):
                    y = float32(0)
                    for tap in range(TAPS):
                        y += _INTERPOLATORS[point, tap] * state[fresh + i - uintp(TAPS - 1 - tap) * channels]
                    peak = max(peak, np.int32(np.float32(y).view(np.int32) & _MAGNITUDE))
        need = max(np.int32(peak).view(np.float32) / _HIGHEST, float32(1))
        before, border = state[_GAINS + uintp(1)] + float32(1), state[_GAINS] + float32(1)
        after = _next_gain(state, need)
        state[_GAINS + uintp(1)] = state[_GAINS]
        state[_GAINS] = after - float32(1)
        if before != 1 or border != 1 or after != 1:
            to_border = (_BLOCK - _BEHIND) * channels
            slope = (border - before) / float32(_BLOCK)
            for i in range(to_border):
                ahead = float32(int32((to_border >> stereo) - (i >> stereo)))
                y = state[_HELD + i] * (border - slope * ahead)
                out[at + i] = min(max(y, -_CEILING), _CEILING)
            slope = (after - border) / float32(_BLOCK)
            for i in range(to_border, size):
                passed = float32(int32((i >> stereo) - (to_border >> stereo)))
                y = state[_HELD + i] * (border + slope * passed)
                out[at + i] = min(max(y, -_CEILING), _CEILING)
        else:
            for i in range(size):
                out[at + i] = state[_HELD + i]
        for i in range(delay):
            state[_HELD + i] = state[_HELD + size + i]


def limiter_state_size(channels: int) -> int:
    """float32 values of a limiter's state. All zeros is a fresh limiter: unity gain, silence held back."""
    check_channels(channels)
    return int(_HELD) + (LIMITER_DELAY + LIMITER_BLOCK) * channels


def limit(out: Samples, inputs: Samples, state: Samples) -> None:
    """True-peak look-ahead limiter of one row: `inputs`, 240 samples (5 ms) later, never above -1 dBTP.

    out, inputs [samples, channels], samples a multiple of 48, may be the same array; state
    [limiter_state_size(channels)] carries the limiter from frame to frame. The peak is that of the signal oversampled
    8 times (ITU-R BS.1770-4, annex 2), and of the samples. Both channels have the same gain. While the gain is 1,
    what comes out is bit for bit what went in. The gain has no steps: it falls in a straight line over the 4 ms
    before a peak, is held for 7 ms and rises by 60 dB/s. NaN and infinite samples become 0.

    ValueError if an array is not float32 in C order, shapes do not agree, or arrays overlap in part.
    """
    samples, channels = shape_of("out", out, 2)
    check_channels(channels)
    if samples % LIMITER_BLOCK:
        raise ValueError(f"{samples} samples are not a multiple of {LIMITER_BLOCK}")
    pointers = (
        pointer_to("out", out, (samples, channels), written=True),
        pointer_to("inputs", inputs, (samples, channels)),
        pointer_to("state", state, (limiter_state_size(channels),), written=True),
    )
    same = out.ctypes.data == inputs.ctypes.data
    if (np.may_share_memory(out, inputs) and not same) or any(np.may_share_memory(state, x) for x in (out, inputs)):
        raise ValueError("arrays overlap")
    _limit.ctypes(*pointers, samples, channels)
