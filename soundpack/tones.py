"""Tones of telephones and clocks. Those of telephones follow ITU-T E.180: 425 Hz, and the cadences most of Europe
has."""

from __future__ import annotations

import numpy as np

from soundpack.shaping import RATE, Sound, add, ramped, times

TONE_HZ = 425.0


def _tone(hertz: float, seconds: float, ramp_s: float = 0.008) -> Sound:
    return ramped(np.asarray(np.sin(2 * np.pi * hertz * times(seconds))), ramp_s)


def ring_back() -> Sound:
    """What a caller hears while it rings: 1 s of tone, 4 s of silence. To be repeated."""
    return np.concatenate([_tone(TONE_HZ, 1.0), np.zeros(4 * RATE)])


def busy() -> Sound:
    """0.5 s of tone, 0.5 s of silence. To be repeated."""
    return np.concatenate([_tone(TONE_HZ, 0.5), np.zeros(RATE // 2)])


def countdown() -> Sound:
    """Three, two, one, go: short tones a second apart, and a long one an octave above them."""
    sound = np.zeros(round(3.8 * RATE))
    for second in range(3):
        add(sound, _tone(880, 0.16), float(second))
    add(sound, _tone(1760, 0.75, 0.02), 3.0)
    return sound
