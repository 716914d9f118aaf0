"""Stages that are a few biquads in a row."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.machine_code import STAGE, Pointer, inlined, kernel
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
# Of Butterworth filters, the resonant ones first.
_Q4 = 1 / (2 * math.sin(math.pi / 8)), 1 / (2 * math.sin(3 * math.pi / 8))
_Q8 = (
    1 / (2 * math.sin(math.pi / 16)),
    1 / (2 * math.sin(3 * math.pi / 16)),
    1 / (2 * math.sin(5 * math.pi / 16)),
    1 / (2 * math.sin(7 * math.pi / 16)),
)


@inlined
def _clean(frame: Any, begin: int, size: int) -> None:
    for i in range(begin, begin + size):
        x = frame[i]
        x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
        frame[i] = min(max(x, -_OVERLOAD), _OVERLOAD)


@inlined
def _removing_below(hertz: float, q: float) -> Any:
    """A biquad b0, b1, b2, a1, a2: a high-pass by the bilinear transform."""
    cosine, alpha = math.cos(2 * math.pi * hertz / 48000), math.sin(2 * math.pi * hertz / 48000) / (2 * q)
    b = (1 + cosine) / (2 * (1 + alpha))
    return b, -2 * b, b, -2 * cosine / (1 + alpha), (1 - alpha) / (1 + alpha)


@inlined
def _removing_above(hertz: float, q: float) -> Any:
    """A low-pass likewise."""
    cosine, alpha = math.cos(2 * math.pi * hertz / 48000), math.sin(2 * math.pi * hertz / 48000) / (2 * q)
    b = (1 - cosine) / (2 * (1 + alpha))
    return b, 2 * b, b, -2 * cosine / (1 + alpha), (1 - alpha) / (1 + alpha)


# A biquad's memory is two numbers, each as a float32 and the rest that it leaves of the float64: a filter at 1/600 of
# the sample rate that rounds its memory to float32 at each sample has noise 85 dB below its signal. Two at a time,
# since the CPU can work on the second while the first waits for its own last sample.


@inlined
def _filter(frame: Any, begin: int, channels: int, state: Any, at: int, one: Any, two: Any) -> None:  # noqa: PLR0917 - inlined
    """A hop of one channel, from `begin` on in steps of `channels`, through two biquads whose memory is at `at`."""
    b0, b1, b2, a1, a2 = one
    d0, d1, d2, c1, c2 = two
    s1 = float64(state[at]) + float64(state[at + uintp(1)])
    s2 = float64(state[at + uintp(2)]) + float64(state[at + uintp(3)])
    t1 = float64(state[at + uintp(4)]) + float64(state[at + uintp(5)])
    t2 = float64(state[at + uintp(6)]) + float64(state[at + uintp(7)])
    for n in range(_HOP):
        x = float64(frame[begin + n * channels])
        y = b0 * x + s1
        s1 = b1 * x - a1 * y + s2
        s2 = b2 * x - a2 * y
        z = d0 * y + t1
        t1 = d1 * y - c1 * z + t2
        t2 = d2 * y - c2 * z
        frame[begin + n * channels] = float32(z)
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


@kernel(*STAGE, fastmath={"contract"})
def _high_pass(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, uintp(8) * channels)
    hertz = min(max(float64(carray(params_, 1)[0]), 20.0), 400.0)
    one, two = _removing_below(hertz, _Q4[1]), _removing_below(hertz, _Q4[0])
    for hop in range(hops):
        begin = hop * size
        _clean(frame, begin, size)
        for channel in range(channels):
            _filter(frame, begin + channel, channels, state, uintp(8) * channel, one, two)


high_pass = Stage(
    name="high_pass",
    kernel=_high_pass,
    params=(Param("frequency_hz", "Hz", 20, 400, 80),),
    state_mono=8,
    state_stereo=16,
    tail_samples=48000,
)
"""A Butterworth high-pass of fourth order: -3 dB at `frequency_hz`, 24 dB per octave below. Takes away rumble, steps
on the floor, mains hum and the breath's blow, which cost Opus bits and loudspeakers their travel. Second order leaves
7 dB more of 50 Hz."""


@kernel(*STAGE, fastmath={"contract"})
def _telephone(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, uintp(24) * channels)
    drive = float32(10) ** (min(max(carray(params_, 1)[0], float32(0)), float32(30)) / float32(20))
    below_one, below_two = _removing_below(300.0, _Q4[1]), _removing_below(300.0, _Q4[0])
    above_one, above_two = _removing_above(3400.0, _Q8[3]), _removing_above(3400.0, _Q8[2])
    above_three, above_four = _removing_above(3400.0, _Q8[1]), _removing_above(3400.0, _Q8[0])
    for hop in range(hops):
        begin = hop * size
        _clean(frame, begin, size)
        for channel in range(channels):
            _filter(frame, begin + channel, channels, state, uintp(24) * channel, below_one, below_two)
        for i in range(begin, begin + size):
            # A rational approximation of tanh, exact at 0 and ±3.
            x = min(max(frame[i] * drive, float32(-3)), float32(3))
            frame[i] = x * (float32(27) + x * x) / (float32(27) + float32(9) * x * x) / drive
        for channel in range(channels):
            at = uintp(24) * channel
            _filter(frame, begin + channel, channels, state, at + uintp(8), above_one, above_two)
            _filter(frame, begin + channel, channels, state, at + uintp(16), above_three, above_four)


telephone = Stage(
    name="telephone",
    kernel=_telephone,
    params=(Param("drive_db", "dB", 0, 30, 12),),
    state_mono=24,
    state_stereo=48,
    tail_samples=48000,
)
"""A telephone of the analogue network: 300 to 3,400 Hz, and a carbon microphone that saturates, `drive_db` above
where it would without. Quiet speech passes the middle of the band unchanged."""
