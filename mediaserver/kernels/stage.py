"""Stages: what may stand in front of a column of the gain matrix, behind one C signature.

    void stage(float *samples, float *state, const float *params, int32_t samples, int32_t channels);

`samples` is changed in place: interleaved, 48 kHz, a multiple of 480 per channel. `state` belongs to one column and is
zeros at first. Params are of the stage's table and in its order, as Stage.values() has checked them; a kernel takes
what is out of range as the end of the range. NaN and infinity in `samples` are silence, and what is beyond ±OVERLOAD is
that. A stage has no delay unless `delay_samples` says so, its gains have no steps, and how a signal is cut into frames
does not matter.

After its input falls silent a stage is heard for `tail_samples` at most, and then its output is exactly 0: the caller
need not call it again before there is a signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mediaserver.kernels.arrays import Samples, check_channels, pointer_to, shape_of
from mediaserver.kernels.machine_code import Kernel

HOP = 480
"""Samples: the stages' grid. Gains are set once in a hop (10 ms) and go in a straight line in between."""


class Param(NamedTuple):
    """A number that a stage takes; what is out of its range is refused here, and clamped by the kernel."""

    name: str
    unit: str
    lowest: float
    highest: float
    default: float


class Stage(NamedTuple):
    """A stage: where it is, what it wants, and how to call it from Python."""

    name: str
    kernel: Kernel
    params: tuple[Param, ...]
    state_mono: int
    """float32 values of its state, for one channel."""
    state_stereo: int
    tail_samples: int
    """For how long it sounds, at most, after its input fell silent."""
    delay_samples: int = 0

    @property
    def address(self) -> int:
        """Of the C function; valid as long as the process lives."""
        return self.kernel.address

    def state_size(self, channels: int) -> int:
        """float32 values. ValueError if channels are not 1 or 2."""
        check_channels(channels)
        return self.state_stereo if channels == 2 else self.state_mono

    def fresh(self, channels: int) -> Samples:
        """A state for a column that begins."""
        return np.zeros(self.state_size(channels), np.float32)

    def values(self, **given: float) -> tuple[float, ...]:
        """The params in the kernel's order, defaults where none is given. ValueError for a name that it does not have
        and for a value out of range."""
        unknown = set(given) - {param.name for param in self.params}
        if unknown:
            raise ValueError(f"{self.name} has no param {sorted(unknown)[0]!r}")
        chosen = [(param, given.get(param.name, param.default)) for param in self.params]
        for param, value in chosen:
            if not param.lowest <= value <= param.highest:  # also NaN
                bounds = f"{param.lowest:g} to {param.highest:g} {param.unit}".strip()
                raise ValueError(f"{self.name}: {param.name} is {value:g}, {bounds} expected")
        return tuple(float(value) for _, value in chosen)

    def __call__(self, samples: Samples, state: Samples, params: Sequence[float] | None = None) -> None:
        """One frame, in place: samples [n, channels], n a multiple of 480; state [state_size(channels)]; params as
        values() gives them, defaults if None.

        ValueError if an array is not float32 in C order, shapes do not agree or arrays overlap.
        """
        count, channels = shape_of("samples", samples, 2)
        size = self.state_size(channels)
        if count % HOP:
            raise ValueError(f"{count} samples are not a multiple of {HOP}")
        numbers = np.array(self.values() if params is None else params, np.float32)
        if np.may_share_memory(samples, state):
            raise ValueError("samples and state overlap")
        self.kernel.ctypes(
            pointer_to("samples", samples, (count, channels), written=True),
            pointer_to("state", state, (size,), written=True),
            pointer_to("params", numbers, (len(self.params),)),
            count,
            channels,
        )
