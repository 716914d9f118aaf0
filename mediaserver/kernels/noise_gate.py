"""Noise gate: what is quiet is made quieter, so that a room is not the sum of its members' fans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.machine_code import STAGE, Pointer, kernel
from mediaserver.kernels.stage import Param, Stage

if TYPE_CHECKING:
    carray: Any
    float32: Any
    uintp: Any
else:
    from numba import carray, float32, uintp

_STEP = uintp(48)
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)


# In steps of 1 ms. A step that is loud enough opens the gate within itself, since all of it is there already: the gain
# goes up to 1 in a straight line until its end, and at most the first half of a millisecond of a syllable is softened.
#
# State: attenuation in dB at the end of the last step, and steps still to hold, 0 while the gate closes or is closed.
# Zeros are an open gate that begins to close.


@kernel(*STAGE, fastmath={"contract", "reassoc"})
def _gate(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _STEP * channels
    steps = uintp(samples) // _STEP
    frame = carray(samples_, steps * size)
    state = carray(state_, 2)
    params = carray(params_, 5)
    threshold_db = min(max(params[0], float32(-80)), float32(-20))
    hysteresis_db = min(max(params[1], float32(0)), float32(20))
    hold = min(max(params[2], float32(0)), float32(2000))
    release = min(max(params[3], float32(1)), float32(2000))
    reduction = min(max(params[4], float32(0)), float32(80))
    opens = float32(10) ** (threshold_db / float32(10))
    closes = float32(10) ** ((threshold_db - hysteresis_db) / float32(10))
    for step in range(steps):
        begin = step * size
        energy = float32(0)
        for i in range(begin, begin + size):
            x = frame[i]
            x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
            x = min(max(x, -_OVERLOAD), _OVERLOAD)
            frame[i] = x
            energy += x * x
        power = energy / float32(size)
        if power >= opens or (power >= closes and state[1] > 0):
            state[1] = max(hold, float32(1))
        elif state[1] > 0:
            state[1] -= float32(1)
        before = state[0]
        after = float32(0) if state[1] > 0 else min(before + reduction / release, reduction)
        state[0] = after
        if before != 0 or after != 0:
            first, last = float32(10) ** (before / float32(-20)), float32(10) ** (after / float32(-20))
            slope = (last - first) / float32(_STEP)
            for n in range(_STEP):
                gain = last - slope * float32(_STEP - uintp(1) - n)
                for channel in range(channels):
                    frame[begin + n * channels + channel] *= gain


gate = Stage(
    name="gate",
    kernel=_gate,
    params=(
        Param("threshold_db", "dBFS", -80, -20, -50),
        Param("hysteresis_db", "dB", 0, 20, 6),
        Param("hold_ms", "ms", 0, 2000, 250),
        Param("release_ms", "ms", 1, 2000, 150),
        Param("reduction_db", "dB", 0, 80, 40),
    ),
    state_mono=2,
    state_stereo=2,
    tail_samples=0,
)
"""Opens within a millisecond when a millisecond's mean square is over `threshold_db`; closes over `release_ms`, by
`reduction_db`, when none was over `threshold_db` less `hysteresis_db` for `hold_ms`. Both channels have the same
gain."""
