"""Sounds that tests put through stages, and what they measure on what comes out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mediaserver.kernels import Samples, Stage

RATE = 48000
FRAME = 960


def noise(seed: int, *shape: int) -> Samples:
    """White, between -1 and 1."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def tone(hertz: float, samples: int, phase: float = 0.0) -> Samples:
    """A sine of full scale; the phase in periods."""
    return np.sin(2 * np.pi * (hertz * np.arange(samples) / RATE + phase)).astype(np.float32)


def loudness_db(samples: npt.ArrayLike) -> float:
    """Mean square in dB; -300 for silence."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-30))


def staged(stage: Stage, signal: Samples, **params: float) -> Samples:
    """The signal [samples, channels] through a fresh stage, in frames of 20 ms."""
    out, state = signal.copy(), stage.fresh(signal.shape[1])
    for start in range(0, len(out), FRAME):
        stage(out[start : start + FRAME], state, stage.values(**params))
    return out
