"""Reverberation: a feedback delay network of eight lines (Jot) behind four all-pass diffusers (Schroeder)."""

from __future__ import annotations

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

ROOMS = ("small", "hall", "plate")
"""What the number `room` means."""

LONGEST_DECAY_S = 4.0

_LINES = np.array(
    [
        [491, 577, 661, 743, 839, 937, 1033, 1129],  # a small room: walls 3 to 8 m apart
        [1433, 1709, 1999, 2273, 2557, 2843, 3137, 3449],  # a hall: 10 to 25 m
        [307, 359, 421, 487, 557, 631, 709, 797],  # a plate: dense at once
    ],
    np.int64,
)
"""Samples; primes, so that echoes do not meet."""

_DAMPING = np.array([0.20, 0.25, 0.02], np.float32)
"""How much of the sample before is taken in place of a sample at each pass: air and walls take the treble away."""

_DIFFUSERS = np.array([113, 163, 229, 337], np.int64)
_DIFFUSION = np.float32(0.6)
_STEP = uintp(48)  # all delays are longer, so a step can be computed as a whole
_LINE = uintp(4800)  # room for a line, a multiple of the step
_DIFFUSER = uintp(480)
_QUIET = np.float32(1e-7)  # what goes round and is below that (-140 dBFS) is 0
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)
_MEAN = np.float32(1 / np.sqrt(8))

# State: where the lines and the diffusers are written next; the last sample that left each line; room for a step of the
# input and of each line; the diffusers; the lines.
_AT_LINE, _AT_DIFFUSER, _LAST = uintp(0), uintp(1), uintp(2)
_INPUT = uintp(10)
_OUTPUTS = _INPUT + _STEP
_FIRST_DIFFUSER = _OUTPUTS + uintp(8) * _STEP
_FIRST_LINE = _FIRST_DIFFUSER + uintp(4) * _DIFFUSER
_SIZE = _FIRST_LINE + uintp(8) * _LINE


@inlined
def _diffuse(state: Any) -> None:
    """The step of input through the all-passes, in place."""
    at = uintp(state[_AT_DIFFUSER])
    for k in range(4):
        memory = _FIRST_DIFFUSER + uintp(k) * _DIFFUSER
        read = at + _DIFFUSER - uintp(_DIFFUSERS[k])
        for n in range(_STEP):
            j = read + n
            j = j - _DIFFUSER if j >= _DIFFUSER else j
            late = state[memory + j]
            v = state[_INPUT + n] + _DIFFUSION * late
            v = v if abs(v) > _QUIET else float32(0)
            state[_INPUT + n] = late - _DIFFUSION * v
            state[memory + at + n] = v
    state[_AT_DIFFUSER] = float32(at + _STEP if at + _STEP < _DIFFUSER else uintp(0))


@inlined
def _read_line(state: Any, line: int, delay: int, gain: Any, damping: Any) -> None:
    """A step that leaves a line: what went in `delay` samples ago, damped."""
    memory = _FIRST_LINE + line * _LINE
    out = _OUTPUTS + line * _STEP
    read = uintp(state[_AT_LINE]) + _LINE - delay
    for n in range(_STEP):
        j = read + n
        j = j - _LINE if j >= _LINE else j
        state[out + n] = state[memory + j] * gain
    before = state[_LAST + line]
    state[_LAST + line] = state[out + _STEP - uintp(1)]
    for k in range(_STEP):
        n = out + _STEP - uintp(1) - uintp(k)
        late = before if n == out else state[n - uintp(1)]
        state[n] += damping * (late - state[n])


@inlined
def _mix_lines(state: Any) -> None:
    """What left the lines, each into all of them: a Hadamard matrix, which keeps the energy."""
    for half in range(3):
        apart = uintp(1) << uintp(half)
        for pair in range(4):
            low = uintp(pair) & (apart - uintp(1))
            a = _OUTPUTS + (((uintp(pair) - low) << uintp(1)) + low) * _STEP
            b = a + apart * _STEP
            for n in range(_STEP):
                x, y = state[a + n], state[b + n]
                state[a + n], state[b + n] = x + y, x - y


@kernel(*STAGE, fastmath={"contract"})
def _reverb(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _STEP * channels
    steps = uintp(samples) // _STEP
    frame = carray(samples_, steps * size)
    state = carray(state_, _SIZE)
    params = carray(params_, 3)
    room = uintp(min(max(params[0], float32(0)), float32(2)) + float32(0.5))
    wet = min(max(params[1], float32(0)), float32(1))
    decay = min(max(float64(params[2]), 0.1), 4.0)
    damping = _DAMPING[room]
    # As loud as the input: what the lines hold of noise in the long run is 1 / (1 - gain^2) of what goes in.
    middle = float64(_LINES[room, 3] + _LINES[room, 4]) / 2
    into = float32((1 - 10 ** (-6 * middle / (decay * 48000))) ** 0.5)
    for step in range(steps):
        begin = step * size
        for n in range(_STEP):
            state[_INPUT + n] = float32(0)
            for channel in range(channels):
                x = frame[begin + n * channels + channel]
                x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
                x = min(max(x, -_OVERLOAD), _OVERLOAD)
                frame[begin + n * channels + channel] = x
                state[_INPUT + n] += x if channels == 1 else x * float32(0.5)
        _diffuse(state)
        for line in range(8):
            delay = uintp(_LINES[room, line])
            gain = float32(10 ** (-3 * float64(delay) / (decay * 48000)))
            _read_line(state, uintp(line), delay, gain, damping)
        for n in range(_STEP):
            even, odd = float32(0), float32(0)
            for pair in range(4):
                even += state[_OUTPUTS + uintp(2 * pair) * _STEP + n]
                odd += state[_OUTPUTS + uintp(2 * pair + 1) * _STEP + n]
            for channel in range(channels):
                dry = frame[begin + n * channels + channel]
                heard = (even + odd if channel == 0 else even - odd) * _MEAN
                frame[begin + n * channels + channel] = dry + wet * (heard - dry)
        _mix_lines(state)
        at = uintp(state[_AT_LINE])
        for line in range(8):
            memory = _FIRST_LINE + uintp(line) * _LINE + at
            out = _OUTPUTS + uintp(line) * _STEP
            sign = -into if line & 2 else into
            for n in range(_STEP):
                v = state[out + n] * _MEAN + sign * state[_INPUT + n]
                state[memory + n] = v if abs(v) > _QUIET else float32(0)
        state[_AT_LINE] = float32(at + _STEP if at + _STEP < _LINE else uintp(0))


reverb = Stage(
    name="reverb",
    kernel=_reverb,
    params=(
        Param("room", "", 0, len(ROOMS) - 1, 0),
        Param("wet", "", 0, 1, 0.3),
        Param("decay_s", "s", 0.1, LONGEST_DECAY_S, 0.6),
    ),
    state_mono=int(_SIZE),
    state_stereo=int(_SIZE),
    tail_samples=round(LONGEST_DECAY_S * 48000 * 180 / 60) + 48000,
)
"""A room around the voice: `room` is a place in ROOMS, `decay_s` the time in which it dies away by 60 dB at middle
frequencies, `wet` its share. In stereo the room is as wide as the loudspeakers, whatever is said in it."""
