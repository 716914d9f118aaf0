"""What a cost is made of: a line's start and slope, a power's exponent, and how sure that is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPONENTS = np.arange(0.02, 3.01, 0.02)
RESAMPLES = 200
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Line:
    """y = start + slope x."""

    start: float
    slope: float

    def at(self, x: float) -> float:
        return self.start + self.slope * x


@dataclass(frozen=True)
class Power:
    """y = start + factor x^exponent; low, high: of the exponent, 95 % of resampled measurements lie between them.
    rise: what y grows by over the measured x, as a share of its smallest: where that is small, the exponent says
    little."""

    start: float
    factor: float
    exponent: float
    low: float
    high: float
    rise: float

    def at(self, x: float) -> float:
        return float(self.start + self.factor * x**self.exponent)


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """Least squares of relative errors, since noise is a share of what is measured. ValueError with fewer than two
    different x."""
    if len(set(x)) < 2:
        raise ValueError("A line needs two points.")
    start, slope, _ = _best(np.asarray(x, float), np.asarray(y, float), np.ones(1))
    return Line(start, slope)


def power(x: Sequence[float], rounds: Sequence[Sequence[float]], seed: int = 1) -> Power:
    """rounds: of each x its measurements. The exponent is the one with the least relative error; its confidence is of
    bootstrapped medians. ValueError with fewer than three x."""
    if len(set(x)) < 3:
        raise ValueError("A power needs three points.")
    xs = np.asarray(x, float)
    start, factor, exponent = _best(xs, np.array([np.median(each) for each in rounds]), EXPONENTS)
    random = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        y = np.array([np.median(random.choice(np.asarray(each), len(each))) for each in rounds])
        found.append(_best(xs, y, EXPONENTS)[2])
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    first, last = (start + factor * float(end) ** exponent for end in (xs.min(), xs.max()))
    return Power(start, factor, exponent, float(low), float(high), (last - first) / first if first else 0.0)


def _best(x: Floats, y: Floats, exponents: Floats) -> tuple[float, float, float]:
    """(start, factor, exponent) with the least sum of squared relative errors; neither is negative: nothing costs less
    than nothing."""
    u = 1 / np.maximum(np.abs(y), 1e-12)
    v = u * x ** exponents[:, None]
    uu, uv, vv, u1, v1 = np.sum(u * u), v @ u, np.sum(v * v, axis=1), np.sum(u), np.sum(v, axis=1)
    determinant = np.maximum(uu * vv - uv * uv, 1e-300)
    start, factor = (u1 * vv - v1 * uv) / determinant, (uu * v1 - uv * u1) / determinant
    start, factor = np.where(factor < 0, u1 / uu, start), np.maximum(factor, 0.0)
    start, factor = np.maximum(start, 0.0), np.where(start < 0, v1 / vv, factor)
    errors = np.sum((start[:, None] * u + factor[:, None] * v - 1) ** 2, axis=1)
    best = int(np.argmin(errors))
    return float(start[best]), float(factor[best]), float(exponents[best])
