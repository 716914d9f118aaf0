"""The robot: a voice on one note."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.machine_code import STAGE, Pointer, kernel
from mediaserver.kernels.stage import Param, Stage

if TYPE_CHECKING:
    carray: Any
    float32: Any
    float64: Any
    uintp: Any
else:
    from numba import carray, float32, float64, uintp

_HOP = uintp(480)
_COMB = 1024
_FEEDBACK = np.float32(0.8)
_QUIET = np.float32(1e-7)  # what goes round and is below that (-140 dBFS) is 0
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)
_MASK = uintp(_COMB - 1)

# A ring modulator at half the note's frequency takes away the voice's own pitch; a comb leaves what is in tune with the
# note. State: the modulator's phase in turns, where the comb's memory is written next, and that memory of each channel.


@kernel(*STAGE, fastmath={"contract"})
def _robot(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, uintp(2) + uintp(_COMB) * channels)
    hertz = min(max(float64(carray(params_, 1)[0]), 60.0), 300.0)
    delay = uintp(48000 / hertz + 0.5)
    turn = hertz / 2 / 48000
    for hop in range(hops):
        begin = hop * size
        at = uintp(state[1])
        phase = float64(state[0])
        angle = 2 * math.pi * phase
        for channel in range(channels):
            memory = uintp(2) + uintp(_COMB) * channel
            sine, cosine = math.sin(angle), math.cos(angle)
            turn_sine, turn_cosine = math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)
            for n in range(_HOP):
                i = begin + n * channels + channel
                x = frame[i]
                x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
                x = min(max(x, -_OVERLOAD), _OVERLOAD) * float32(sine)
                sine, cosine = sine * turn_cosine + cosine * turn_sine, cosine * turn_cosine - sine * turn_sine
                y = x + _FEEDBACK * state[memory + ((at + n - delay) & _MASK)]
                y = y if abs(y) > _QUIET else float32(0)
                state[memory + ((at + n) & _MASK)] = y
                frame[i] = y * float32(0.75)  # about as loud as the voice was
        phase += turn * 480
        state[0] = phase - math.floor(phase)
        state[1] = float32((at + _HOP) & _MASK)


robot = Stage(
    name="robot",
    kernel=_robot,
    params=(Param("note_hz", "Hz", 60, 300, 100),),
    state_mono=2 + _COMB,
    state_stereo=2 + 2 * _COMB,
    tail_samples=100 * 800,
)
"""Every voice on the same note, `note_hz`, as if it were a machine's; words stay clear."""
