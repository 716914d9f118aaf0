"""The limiter of each mix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.arrays import Samples, check_channels, pointer_to, shape_of
from mediaserver.kernels.machine_code import Pointer, kernel, pointer

if TYPE_CHECKING:
    carray: Any
    float32: Any
    int32: Any
    uintp: Any
else:
    from numba import carray, float32, int32, uintp

CEILING_DBFS = -1.0
"""What the limiter lets through. Higher: what decoders overshoot is clipped at the listener; lower: quieter rooms."""

LIMITER_BLOCK = 240
"""Samples of the limiter's look-ahead, which is its delay and its attack time: 5 ms. Longer: more delay for everyone;
shorter: the gain follows the waveform of low voices. Here it stands still in any steady tone from 50 Hz up, whose peaks
are at most two blocks apart."""

LIMITER_RELEASE_DB_PER_S = 60.0
"""How fast the limiter lets go: 0.3 dB in a block, and back from 16 full-scale speakers (25 dB) in 0.4 s, about two
syllables. Faster: the gain is heard to pump between syllables; slower: one shout leaves the room quiet for long."""

OVERLOAD = 64.0
"""Samples beyond ±OVERLOAD (36 dB over full scale) are taken as that. Higher: a broken or hostile source silences its
room for longer afterwards (here 0.6 s); lower: the sum of that many speakers at full scale is clipped."""

_LARGEST = np.finfo(np.float32).max
_MAGNITUDE = np.int32(0x7FFFFFFF)  # of float32: the bits without the sign; as integers they are ordered as the values
_BLOCK = uintp(LIMITER_BLOCK)
_CEILING = np.float32(10 ** (CEILING_DBFS / 20))
_RELEASE = np.float32(10 ** (-LIMITER_RELEASE_DB_PER_S / 20 * LIMITER_BLOCK / 48000))
_OVERLOAD = np.float32(OVERLOAD)


# The limiter works on blocks of 5 ms. It holds one block back, so that it knows the blocks on both sides of the border
# up to which it sets the gain. A block's need is the attenuation that brings its peak to the ceiling. At a border the
# attenuation is what the needier side needs, or the last border's less the release if that is more; from border to
# border the gain goes in a straight line. Both ends of the line satisfy the block, so all of it does.
#
# State: attenuation - 1 at the last border, need - 1 of the block held back, that block, room for the next one.
# Zeros are unity gain and silence held back.


@kernel(pointer, pointer, pointer, int32, int32, fastmath={"contract"})
def _limit(out_: Pointer, inputs_: Pointer, state_: Pointer, samples: int, channels: int) -> None:
    stereo = uintp(channels) - uintp(1)
    size = _BLOCK * uintp(channels)
    blocks = uintp(samples) // _BLOCK
    held = uintp(2)
    fresh = held + size
    out = carray(out_, blocks * size)
    inputs = carray(inputs_, blocks * size)
    state = carray(state_, fresh + size)
    for block in range(blocks):
        at = block * size
        peak = np.int32(0)
        for i in range(size):
            x = inputs[at + i]
            x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
            x = min(max(x, -_OVERLOAD), _OVERLOAD)
            state[fresh + i] = x
            # As integers: LLVM does not vectorise the maximum of floats, for fear of NaN.
            peak = max(peak, np.int32(np.float32(x).view(np.int32) & _MAGNITUDE))
        need = max(np.int32(peak).view(np.float32) / _CEILING, float32(1))
        before = state[0] + float32(1)
        after = max(need, state[1] + float32(1), before * _RELEASE)
        state[0] = after - float32(1)
        state[1] = need - float32(1)
        gain = float32(1) / after
        slope = (gain - float32(1) / before) / float32(_BLOCK)
        for i in range(size):
            ahead = float32(int32(_BLOCK - uintp(1) - (i >> stereo)))
            y = state[held + i] * (gain - slope * ahead)
            out[at + i] = min(max(y, -_CEILING), _CEILING)  # for the last bit of rounding
        for i in range(size):
            state[held + i] = state[fresh + i]


def limiter_state_size(channels: int) -> int:
    """float32 values of a limiter's state. All zeros is a fresh limiter: unity gain, silence held back."""
    check_channels(channels)
    return 2 + 2 * LIMITER_BLOCK * channels


def limit(out: Samples, inputs: Samples, state: Samples) -> None:
    """Look-ahead limiter of one row: `inputs`, 240 samples (5 ms) later, never above -1 dBFS.

    out, inputs [samples, channels], samples a multiple of 240, may be the same array; state
    [limiter_state_size(channels)] carries the limiter from frame to frame. Both channels have the same gain. While the
    gain is 1, what comes out is bit for bit what went in. The gain has no steps: it falls in a straight line over the
    5 ms before a peak and rises by 60 dB/s. NaN and infinite samples become 0.

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
