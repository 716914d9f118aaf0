"""How good is what was heard, and how late: PESQ, ViSQOL, and the delay by correlation. Pure.

Signals are mono. Delays are found by comparing what was said with what was heard in short windows, so that they follow
a delay that changes; the codec's own is measured the same way and taken off by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.codec import RATE, Pcm
from bench.corpus import NATIVE_RATE, resample

WINDOW_S = 0.5  # two or three syllables: shorter finds other places that sound alike
HOP_S = 0.4
MAX_DELAY_S = 0.9
# Below: another sound, or one that was concealed. A window that fits at all fits with 0.8 and more.
LEAST_MATCH = 0.6
QUIET_DB = -45.0  # windows whose RMS is less, below full scale, have nothing to compare
WORST_PESQ = 1.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Delays:
    """Of each window that was found again: its middle and its delay, in seconds of the said signal."""

    at_s: Floats
    delay_s: Floats


def delays(said: Pcm, heard: Pcm, *, hop_s: float = HOP_S, reach_s: float = MAX_DELAY_S) -> Delays:
    """Both at 16 kHz and from the same instant on: heard[k + d] is said[k] with a delay of d, 0 to reach_s."""
    window, reach, hop = (round(seconds * NATIVE_RATE) for seconds in (WINDOW_S, reach_s, hop_s))
    padded = np.pad(heard.astype(np.float64), (0, max(0, len(said) + window + reach - len(heard))))
    size = _fast(window + reach)
    at, found = [], []
    for begin in range(0, len(said) - window + 1, hop):
        piece = said[begin : begin + window].astype(np.float64)
        energy = float(piece @ piece)
        if energy < window * 10 ** (QUIET_DB / 10):
            continue
        field = padded[begin : begin + window + reach]
        products = np.fft.irfft(np.fft.rfft(field, size) * np.conj(np.fft.rfft(piece, size)), size)[: reach + 1]
        sums = np.concatenate([[0.0], np.cumsum(field * field)])
        match = products / np.sqrt(np.maximum(sums[window:] - sums[: reach + 1], 1e-9) * energy)
        best = int(np.argmax(match))
        if match[best] >= LEAST_MATCH:
            at.append((begin + window / 2) / NATIVE_RATE)
            found.append(best / NATIVE_RATE)
    return Delays(np.asarray(at), np.asarray(found))


def overall_delay_s(said: Pcm, heard: Pcm) -> float:
    """The one delay, 0 to MAX_DELAY_S, at which the whole of it fits best; both at 16 kHz."""
    reach = round(MAX_DELAY_S * NATIVE_RATE)
    size = _fast(len(said) + len(heard))
    spectrum = np.fft.rfft(heard.astype(np.float64), size) * np.conj(np.fft.rfft(said.astype(np.float64), size))
    return float(np.argmax(np.fft.irfft(spectrum, size)[:reach])) / NATIVE_RATE


def _fast(size: int) -> int:
    """A length from `size` on whose transform is fast."""
    power = 1 << max(0, size.bit_length() - 4)
    return -(-size // power) * power


def pesq(reference: Pcm, degraded: Pcm) -> float:
    """Wide-band MOS-LQO (ITU-T P.862.2) of 48 kHz signals; the worst where it finds no utterance."""
    # The rest of the benchmark is of use, and tested, without it.
    from pesq import PesqError  # noqa: PLC0415
    from pesq import pesq as measure  # noqa: PLC0415

    try:
        return float(measure(NATIVE_RATE, *(resample(pcm, RATE, NATIVE_RATE) for pcm in (reference, degraded)), "wb"))
    except (PesqError, ValueError):  # it divides by the energy of a signal that has none
        return WORST_PESQ


@cache
def _visqol(mode: str) -> Any:
    from visqol import VisqolApi  # noqa: PLC0415

    api = VisqolApi()
    api.create(mode=mode)
    return api


def visqol(reference: Pcm, degraded: Pcm, *, music: bool) -> float | None:
    """MOS-LQO of 48 kHz signals: speech mode at 16 kHz, audio mode at 48. None where it cannot be had."""
    rate = RATE if music else NATIVE_RATE
    try:
        api = _visqol("audio" if music else "speech")
        signals = (np.asarray(resample(pcm, RATE, rate), np.float64) for pcm in (reference, degraded))
        return float(api.measure_from_arrays(*signals, rate).moslqo)
    except (ImportError, ValueError, RuntimeError):
        return None


def recovery_s(measured: Delays, burst_from_s: float, burst_until_s: float, within_s: float = 0.02) -> float | None:
    """Seconds from the burst's end until the delay is, and stays, within `within_s` of its median before the burst.
    None: not until the end of the signal."""
    before = np.median(measured.delay_s[measured.at_s < burst_from_s])
    slow = measured.at_s[(measured.at_s >= burst_from_s) & (measured.delay_s > before + within_s)]
    if len(slow) == 0:
        return 0.0
    after = measured.at_s[measured.at_s > slow[-1]]
    return max(0.0, float(after[0]) - burst_until_s) if len(after) else None
