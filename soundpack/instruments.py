"""Things that are struck or blown."""

from __future__ import annotations

import numpy as np

from soundpack.shaping import RATE, Sound, add, band, decaying, ending, ramped, resonance, shaped, times


def _modes(modes: tuple[tuple[float, float, float], ...], length: float) -> Sound:
    """Struck: each mode (hertz, level, seconds to -60 dB) dies away by itself."""
    t = times(length)
    return np.asarray(sum(level * np.sin(2 * np.pi * f * t) * decaying(decay, length) for f, level, decay in modes))


def drum_roll() -> Sound:
    """A snare drum, 22 strokes a second that grow louder, and a cymbal at the end. A stroke moves the skin (modes of a
    round membrane: 1, 1.59, 2.14) and lets the wires under it rattle."""
    random = np.random.default_rng(3)
    length, roll = 3.6, 2.3
    sound = np.zeros(round(length * RATE))
    skin = _modes(((190, 1, 0.16), (302, 0.6, 0.12), (407, 0.4, 0.1)), 0.2)
    at, hand = 0.01, 0
    while at < roll:
        wires = shaped(random.normal(size=round(0.14 * RATE)), band(1500, 7000)) * decaying(0.13, 0.14)
        strength = (0.25 + 0.75 * (at / roll) ** 1.5) * (1.0, 0.88)[hand] * random.uniform(0.85, 1)
        add(sound, ramped(skin, 0.001), at, 0.35 * strength)
        add(sound, ramped(wires, 0.001), at, 0.8 * strength)
        at += random.normal(1, 0.04) / 22
        hand = 1 - hand
    cymbal = shaped(random.normal(size=round(1.25 * RATE)), band(3000, 10_000)) * decaying(1.3, 1.25)
    clang = sum(
        0.02 * np.sin(2 * np.pi * f * times(1.25) + p) * decaying(1.2, 1.25)
        for f, p in zip(random.uniform(2500, 9000, 60), random.uniform(0, 6.3, 60), strict=True)
    )
    add(sound, ramped(skin, 0.001), roll, 0.6)
    add(sound, ramped(cymbal + clang, 0.002), roll, 0.8)
    return ending(shaped(np.tanh(2 * sound), band(50, 15_000)), 0.2)


def _blast(length: float, random: np.random.Generator) -> Sound:
    """Three trumpets of a compressed-air horn, not quite in tune. The diaphragm opens and shuts, so all harmonics are
    there; the pitch rises with the pressure and sinks with it; the bell favours 1 to 3 kHz."""
    t = times(length)
    pressure = 1 - np.exp(-t / 0.02)
    pressure *= 1 - 0.5 * np.exp((t - length) / 0.03)
    bend = 0.94 + 0.06 * pressure
    flutter = 1 + 0.003 * shaped(random.normal(size=len(t)), lambda f: 40.0 * (f < 30))
    sound = np.zeros(len(t))
    for hertz, level in ((311.0, 1.0), (370.5, 0.9), (466.0, 0.8)):
        phase = 2 * np.pi * np.cumsum(hertz * bend * flutter) / RATE
        sound += level * np.sum([np.sin(k * phase + k * k) / k**0.7 for k in range(1, int(7000 / hertz))], axis=0)
    bell = shaped(sound, lambda f: 0.35 + resonance(1500, 1400)(f) + 0.5 * resonance(2800, 900)(f))
    return ramped(bell * pressure, 0.008)


def air_horn() -> Sound:
    """Three short ones and a long one, as at a stadium or a dance hall."""
    random = np.random.default_rng(4)
    sound = np.zeros(round(1.9 * RATE))
    for at, length in ((0.0, 0.13), (0.19, 0.13), (0.38, 0.13), (0.57, 1.2)):
        add(sound, _blast(length, random), at)
    return shaped(sound, band(200, 9000))


def ding() -> Sound:
    """A desk bell: modes of a small bell, the low ones last longest."""
    sound = _modes(
        ((1568, 1, 1.9), (1574, 0.6, 1.7), (3230, 0.5, 1.2), (4720, 0.35, 0.8), (7410, 0.2, 0.4), (9980, 0.1, 0.2)), 1.8
    )
    return ending(ramped(sound, 0.001), 0.3)


def ring() -> Sound:
    """A telephone bell: a clapper between two gongs, 20 strokes a second, for one second of five (ITU-T E.180's
    cadence)."""
    sound = np.zeros(5 * RATE)
    gongs = [
        _modes(((f, 1, 0.6), (2.4 * f, 0.7, 0.35), (4.1 * f, 0.4, 0.2), (6.2 * f, 0.15, 0.1)), 0.7)
        for f in (850.0, 1065.0)
    ]
    for stroke in range(20):
        add(sound, ramped(gongs[stroke % 2], 0.0008), 0.002 + stroke / 20)
    return sound
