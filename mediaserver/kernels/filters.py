"""Stages that are a filter: what they do to one sample depends on few before it."""

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
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)
_FORGOTTEN = 1e-15  # a filter whose memory is below that (-300 dB) is at rest: no denormals, and silence is exactly 0
_SLOWEST_Q, _FASTEST_Q = 1 / (2 * math.sin(math.pi / 8)), 1 / (2 * math.sin(3 * math.pi / 8))


# State: for each channel the memory of the first section, s1 and s2, then that of the second; each as a float32 and the
# rest that it leaves of the float64. A filter at 1/600 of the sample rate that rounds its memory to float32 has noise
# 85 dB below its signal.


@kernel(*STAGE, fastmath={"contract"})
def _high_pass(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, uintp(8) * channels)
    params = carray(params_, 1)
    hertz = min(max(float64(params[0]), 20.0), 400.0)
    w = 2 * math.pi * hertz / 48000
    cosine = math.cos(w)
    alpha1, alpha2 = math.sin(w) / (2 * _FASTEST_Q), math.sin(w) / (2 * _SLOWEST_Q)
    # Both sections' numerator is b (1 - 2 z^-1 + z^-2).
    b1, b2 = (1 + cosine) / (2 * (1 + alpha1)), (1 + cosine) / (2 * (1 + alpha2))
    c1, d1 = -2 * cosine / (1 + alpha1), (1 - alpha1) / (1 + alpha1)
    c2, d2 = -2 * cosine / (1 + alpha2), (1 - alpha2) / (1 + alpha2)
    for hop in range(hops):
        begin = hop * size
        for channel in range(channels):
            at = uintp(8) * channel
            s1 = float64(state[at]) + float64(state[at + uintp(1)])
            s2 = float64(state[at + uintp(2)]) + float64(state[at + uintp(3)])
            t1 = float64(state[at + uintp(4)]) + float64(state[at + uintp(5)])
            t2 = float64(state[at + uintp(6)]) + float64(state[at + uintp(7)])
            for n in range(_HOP):
                i = begin + n * channels + channel
                x = frame[i]
                x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
                u = b1 * float64(min(max(x, -_OVERLOAD), _OVERLOAD))
                y = u + s1
                s1 = s2 - 2 * u - c1 * y
                s2 = u - d1 * y
                v = b2 * y
                z = v + t1
                t1 = t2 - 2 * v - c2 * z
                t2 = v - d2 * z
                frame[i] = float32(z)
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


high_pass = Stage(
    name="high_pass",
    kernel=_high_pass,
    params=(Param("frequency_hz", "Hz", 20, 400, 80),),
    state_mono=8,
    state_stereo=16,
    tail_samples=48000,
)
"""A Butterworth high-pass of fourth order: -3 dB at `frequency_hz`, 24 dB per octave below. Takes away rumble, steps on
the floor, mains hum and the breath's blow, which cost Opus bits and loudspeakers their travel. Second order leaves 7 dB
more of 50 Hz."""
