"""Applause and laughter: many of one kind of event, no two alike."""

from __future__ import annotations

import numpy as np

from soundpack.shaping import RATE, Sound, add, band, decaying, ending, in_a_room, ramped, resonance, shaped, times


def applause() -> Sound:
    """Eighty people. A clap is a burst of noise of some milliseconds, coloured by the hollow of the hands (0.6 to 2.5
    kHz); everybody has his own hands and his own pace of 3 to 5 claps a second, and stops when he has had enough."""
    random = np.random.default_rng(1)
    sound = np.zeros(round(4.0 * RATE))
    for _ in range(80):
        hollow, width = random.uniform(600, 2500), random.uniform(500, 1500)
        pace, nearness = random.uniform(3, 5), random.uniform(0.2, 1) ** 2
        begin, end = random.exponential(0.25), random.uniform(1.8, 3.6)
        at = begin
        while at < end:
            burst = random.normal(size=2400) * decaying(random.uniform(0.02, 0.05), 0.05)
            clap = shaped(burst, resonance(hollow, width)) + 0.15 * shaped(burst, band(2000, 9000))
            fatigue = 1 - 0.6 * (at / end) ** 3
            add(sound, ramped(clap, 0.0005), at, nearness * fatigue * random.uniform(0.6, 1))
            at += random.normal(1, 0.06) / pace
    room = in_a_room(sound, random, 0.5, 0.5)
    return ending(shaped(room, band(150, 9000)), 0.6)


FORMANTS_OF_A = (
    (730, 90),
    (1150, 110),
    (2500, 170),
    (3500, 250),
)  # hertz and width, of a man; a woman's are 1.17 times


def _voiced(pitch: Sound, random: np.random.Generator) -> Sound:
    """What the vocal folds give: harmonics that fall by 12 dB per octave, a little rough."""
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.01 * random.normal(size=len(pitch)))) / RATE
    count = int(6000 / pitch.max())
    return np.asarray(np.sum([np.sin(k * phase) / k**1.3 for k in range(1, count + 1)], axis=0))


def _laugher(random: np.random.Generator, high: bool) -> Sound:
    """Ha-ha-ha: breath, then a short "a", 4 to 6 times a second, each a little lower and softer than the one before."""
    size = 1.17 if high else 1.0
    pitch = random.uniform(230, 330) if high else random.uniform(130, 190)
    pace, syllables = random.uniform(4.2, 5.8), int(random.integers(6, 10))
    sound = np.zeros(round(2.6 * RATE))
    tilt = random.uniform(0.93, 1.07)
    for number in range(syllables):
        strength = (1 - number / (syllables + 2)) * random.uniform(0.8, 1)
        length = 0.6 / pace
        t = times(length)
        melody = pitch * (1.15 - 0.035 * number) * (1 + 0.22 * np.exp(-t / 0.03) - 0.12 * t / length)
        vowel = _voiced(melody, random) * np.sin(np.pi * np.minimum(t / length, 1) ** 0.6) ** 1.2
        breath = random.normal(size=round(0.09 * RATE)) * np.sin(np.pi * times(0.09) / 0.09)
        at = number / pace + random.normal(0, 0.008) + 0.02
        add(sound, breath, at, 0.35 * strength)
        add(sound, vowel, at + 0.06, strength)
    widths = [(f * size * tilt, w) for f, w in FORMANTS_OF_A]
    levels = (1.0, 0.6, 0.18, 0.1)
    return shaped(
        sound, lambda f: np.sum([g * resonance(c, w)(f) for g, (c, w) in zip(levels, widths, strict=True)], axis=0)
    )


def laugh() -> Sound:
    """Seven people in a living room, the first of them near."""
    random = np.random.default_rng(2)
    sound = np.zeros(round(3.0 * RATE))
    for number in range(7):
        voice = _laugher(random, high=number % 2 == 1)
        near = 1.0 if number == 0 else random.uniform(0.25, 0.5)
        add(sound, voice / np.abs(voice).max(), 0.0 if number == 0 else random.uniform(0.05, 0.5), near)
    room = in_a_room(sound, random, 0.4, 0.25)
    return ending(shaped(room, band(100, 7000)), 0.3)
