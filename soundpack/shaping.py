"""What sounds are shaped with: envelopes, spectra, and where they are put in a longer one. 48 kHz, float64, mono."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

RATE = 48_000

Sound: TypeAlias = NDArray[np.floating[Any]]


def times(seconds: float) -> Sound:
    """Of each sample."""
    return np.arange(round(seconds * RATE)) / RATE


def shaped(sound: Sound, gain: Callable[[Sound], Sound]) -> Sound:
    """Through a filter of zero phase that has this gain at these frequencies in Hz."""
    size = len(sound) + RATE // 4  # what rings on must not come in at the beginning
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * gain(frequencies), size)[: len(sound)])


def resonance(centre: float, width: float) -> Callable[[Sound], Sound]:
    """1 at the centre, -3 dB half a width beside it."""
    return lambda f: 1 / np.sqrt(1 + ((f**2 - centre**2) / np.maximum(f * width, 1e-9)) ** 2)


def band(low: float, high: float) -> Callable[[Sound], Sound]:
    """12 dB per octave outside."""
    return lambda f: 1 / np.sqrt((1 + (low / np.maximum(f, 1e-9)) ** 4) * (1 + (f / high) ** 4))


def decaying(seconds: float, length: float) -> Sound:
    """To -60 dB in `seconds`."""
    return np.asarray(10 ** (-3 * times(length) / seconds))


def ramped(sound: Sound, seconds: float = 0.005) -> Sound:
    """With soft ends (half a cosine)."""
    ramp = 0.5 - 0.5 * np.cos(np.pi * times(seconds) / seconds)
    sound = sound.copy()
    sound[: len(ramp)] *= ramp
    sound[-len(ramp) :] *= ramp[::-1]
    return sound


def ending(sound: Sound, seconds: float) -> Sound:
    """With a straight fade to 0 over its last seconds."""
    left = (len(sound) / RATE - times(len(sound) / RATE)) / seconds
    return np.asarray(sound * np.minimum(left, 1))


def add(target: Sound, sound: Sound, at_s: float, gain: float = 1.0) -> None:
    """Into `target`, as far as it reaches."""
    begin = round(at_s * RATE)
    end = min(begin + len(sound), len(target))
    target[begin:end] += gain * sound[: max(end - begin, 0)]


def in_a_room(sound: Sound, random: np.random.Generator, decay_s: float, share: float) -> Sound:
    """With the reverberation of a room: the sound convolved with noise that dies away."""
    tail = shaped(random.normal(size=round(decay_s * RATE)), band(200, 5000)) * decaying(decay_s, decay_s)
    tail /= np.sqrt(np.sum(tail**2))
    size = len(sound) + len(tail)
    reverberation = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]
    return np.asarray(sound + share * reverberation)
