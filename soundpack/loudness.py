"""How loud a sound is (ITU-R BS.1770-4) and how high its peaks are, by its spectrum."""

from __future__ import annotations

import math

import numpy as np

from soundpack.shaping import RATE, Sound

TARGET_LUFS = -18.0
CEILING_DBTP = -1.0


def _weighting(frequencies: Sound) -> Sound:
    """Gain of BS.1770's two filters."""
    z = np.exp(-2j * np.pi * frequencies / RATE)
    shelf = (1.53512485958697 - 2.69169618940638 * z + 1.19839281085285 * z**2) / (
        1 - 1.69065929318241 * z + 0.73248077421585 * z**2
    )
    high_pass = (1 - 2 * z + z**2) / (1 - 1.99004745483398 * z + 0.99007225036621 * z**2)
    return np.asarray(np.abs(shelf * high_pass))


def integrated_lufs(sound: Sound) -> float:
    """Gated, of blocks of 400 ms that begin every 100 ms. The sound is at least that long, and not silent."""
    size = len(sound) + RATE
    weighted = np.fft.irfft(np.fft.rfft(sound, size) * _weighting(np.fft.rfftfreq(size, 1 / RATE)), size)
    energy = np.concatenate([[0], np.cumsum(weighted[: len(sound)] ** 2)])
    begins = np.arange(0, len(sound) - RATE * 4 // 10 + 1, RATE // 10)
    blocks = (energy[begins + RATE * 4 // 10] - energy[begins]) / (RATE * 4 // 10)
    blocks = blocks[blocks > 10 ** ((-70 + 0.691) / 10)]
    blocks = blocks[blocks > blocks.mean() / 10]
    return -0.691 + 10 * math.log10(blocks.mean())


def true_peak_db(sound: Sound) -> float:
    """Of the sound at eight times its rate."""
    size = len(sound) + RATE // 10
    spectrum = np.fft.rfft(sound, size)
    return 20 * math.log10(np.abs(np.fft.irfft(spectrum, 8 * size)).max() * 8)


def levelled(sound: Sound) -> Sound:
    """At TARGET_LUFS, or as far below it as its peaks want."""
    gain_db = min(TARGET_LUFS - integrated_lufs(sound), CEILING_DBTP - 0.05 - true_peak_db(sound))
    return sound * 10 ** (gain_db / 20)
