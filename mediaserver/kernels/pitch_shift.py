"""Pitch up and down, without the tempo: a voice of another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.machine_code import STAGE, Pointer, inlined, kernel
from mediaserver.kernels.stage import Param, Stage

if TYPE_CHECKING:
    carray: Any
    float32: Any
    float64: Any
    int32: Any
    uintp: Any
else:
    from numba import carray, float32, float64, int32, uintp

FADE = 240
"""Samples over which one reading place fades into the other: 5 ms."""

SHORTEST, LONGEST = 250, 600
"""Samples of a jump: a period of voices from 80 Hz, or several of higher ones. Longer: more delay; shorter: low voices
become rough; and one octave up, a fade uses up 240."""

_WINDOW = 320  # samples that are compared for a jump
_COARSE = 4  # and how many of them are passed over at first
_HOP = uintp(480)
_MEMORY = 4096
_MASK = int32(_MEMORY - 1)
_LARGEST = np.finfo(np.float32).max
_OVERLOAD = np.float32(64)

# The voice is read from a memory at another speed than it is written, so the reading place nears what is written, or
# falls behind. In time it jumps to where the signal looks most like it does here (by normalised correlation of what
# lies before both), which in a voice is a whole number of periods away, and fades over to there.
#
# State: where the memory is written next; delay of the reading place in samples; how far it is to jump, and how much of
# the fade is left; the memory of each channel.
_NEXT, _LATE, _JUMP, _LEFT, _SAMPLES = uintp(0), uintp(1), uintp(2), uintp(3), uintp(4)


@inlined
def _likeness(state: Any, channels: int, here: int, there: int, apart: int) -> Any:
    """Square, with its sign, of the normalised correlation of the windows that end at two places of the memory, every
    `apart`-th sample of them."""
    product, energy_here, energy_there = float32(0), float32(1e-9), float32(1e-9)
    for n in range(_WINDOW // apart):
        a = state[_SAMPLES + uintp((here - int32(n) * apart) & _MASK) * channels]
        b = state[_SAMPLES + uintp((there - int32(n) * apart) & _MASK) * channels]
        product += a * b
        energy_here += a * a
        energy_there += b * b
    return product * abs(product) / (energy_here * energy_there)


@inlined
def _best_jump(state: Any, channels: int, here: int, direction: int) -> Any:
    """How far it is to the place that looks most like `here`, before it (-1) or after it (1)."""
    best, found = float32(-2), int32(SHORTEST)
    for k in range((LONGEST - SHORTEST) // _COARSE + 1):
        jump = int32(SHORTEST + k * _COARSE)
        likeness = _likeness(state, channels, here, here + direction * jump, int32(_COARSE))
        if likeness > best:
            best, found = likeness, jump
    best, coarse = float32(-2), found
    for k in range(2 * _COARSE - 1):
        jump = coarse + int32(k) - int32(_COARSE - 1)
        if SHORTEST <= jump <= LONGEST:
            likeness = _likeness(state, channels, here, here + direction * jump, int32(1))
            if likeness > best:
                best, found = likeness, jump
    # Between samples, by the parabola through the best and its neighbours: else high notes become hoarse.
    below = _likeness(state, channels, here, here + direction * (found - int32(1)), int32(1))
    above = _likeness(state, channels, here, here + direction * (found + int32(1)), int32(1))
    curve = below + above - 2 * best
    between = (below - above) / (2 * curve) if curve < -1e-6 else 0.0
    return float32(found) + float32(min(max(between, -0.5), 0.5))


@inlined
def _read(state: Any, channel: int, channels: int, now: int, late: Any) -> Any:
    """The memory `late` samples ago, between samples by a cubic through four of them (Catmull and Rom)."""
    whole = int32(late)
    t = late - float32(whole)
    a = state[_SAMPLES + uintp((now - whole + int32(1)) & _MASK) * channels + channel]
    b = state[_SAMPLES + uintp((now - whole) & _MASK) * channels + channel]
    c = state[_SAMPLES + uintp((now - whole - int32(1)) & _MASK) * channels + channel]
    d = state[_SAMPLES + uintp((now - whole - int32(2)) & _MASK) * channels + channel]
    half = float32(0.5)
    return b + half * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


@kernel(*STAGE, fastmath={"contract"})
def _pitch(samples_: Pointer, state_: Pointer, params_: Pointer, samples: int, channels_: int) -> None:
    channels = uintp(channels_)
    size = _HOP * channels
    hops = uintp(samples) // _HOP
    frame = carray(samples_, hops * size)
    state = carray(state_, _SAMPLES + uintp(_MEMORY) * channels)
    semitones = min(max(float64(carray(params_, 1)[0]), -12.0), 12.0)
    falls_behind = float32(1 - 2 ** (semitones / 12))  # samples per sample
    nearest = float32(4) + max(-falls_behind, float32(0)) * float32(FADE)
    for i in range(hops * size):
        x = frame[i]
        x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
        frame[i] = min(max(x, -_OVERLOAD), _OVERLOAD)
    if semitones == 0:
        hops = uintp(0)
    for hop in range(hops):
        begin = hop * size
        now = int32(state[_NEXT])
        late, jump, left = state[_LATE], state[_JUMP], state[_LEFT]
        for n in range(_HOP):
            for channel in range(channels):
                state[_SAMPLES + uintp(now & _MASK) * channels + channel] = frame[begin + n * channels + channel]
            if left == 0:
                here = now - int32(late)
                if falls_behind < 0 and late < nearest:
                    jump = _best_jump(state, channels, here, int32(-1))
                    left = float32(FADE)
                elif falls_behind > 0 and late > float32(LONGEST + 4):
                    jump = -_best_jump(state, channels, here, int32(1))
                    left = float32(FADE)
            share = left / float32(FADE)
            for channel in range(channels):
                y = _read(state, channel, channels, now, max(late, float32(1)))
                if left > 0:
                    y = y * share + _read(state, channel, channels, now, late + jump) * (float32(1) - share)
                frame[begin + n * channels + channel] = y
            late += falls_behind
            if left > 0:
                left -= float32(1)
                if left == 0:
                    late += jump
            now = (now + int32(1)) & _MASK
        state[_NEXT], state[_LATE], state[_JUMP], state[_LEFT] = float32(now), late, jump, left


pitch = Stage(
    name="pitch",
    kernel=_pitch,
    params=(Param("semitones", "", -12, 12, 0),),
    state_mono=4 + _MEMORY,
    state_stereo=4 + 2 * _MEMORY,
    tail_samples=LONGEST + FADE + 8,
    delay_samples=LONGEST + FADE + 8,
)
"""Pitch and formants by `semitones`, as a tape at another speed, and the tempo as it was. Between nothing and 17.7 ms
of delay, 8 ms in the mean; at 0 semitones none at all. Both channels are read at the same places, found in the left
one."""
