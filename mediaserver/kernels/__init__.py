"""Every numba kernel of the media server: the gain-matrix mix, the limiter, the levels, the stages of columns.

A kernel is a C function (`numba.cfunc`). The packet plane takes its address from `addresses()` at start and calls it
from threads that never hold the GIL, so a kernel may not allocate, raise or touch a Python object; a bug in its caller
(a size or a pointer that does not fit) is undefined behaviour, as in C. The public function of the same name checks
its NumPy arrays and calls the same machine code; tests and benchmarks use it.

Audio is float32 at 48 kHz, full scale ±1, in C order with the channels interleaved: [..., samples, channels]. Channels
are one or two, as in Opus (RFC 7587 section 4.1).

Compiled code is kept on disk. It is found again if the source, numba's version and the CPU are the same; an image that
is built on one machine and run on another therefore sets, at build and at run time:

    NUMBA_CACHE_DIR     a directory that the server's user may write (numba tests that, even if it only reads)
    NUMBA_CPU_NAME      x86-64-v3 (AVX2), or generic where that is not known to be there
    NUMBA_CPU_FEATURES  empty: the features are those of NUMBA_CPU_NAME, not the build machine's

and compiles at build time by `python -P -c "import mediaserver.kernels"`. Without a cache every start compiles.
"""

from __future__ import annotations

from typing import NamedTuple

from mediaserver.kernels import level_meter, limiter, mixing
from mediaserver.kernels.arrays import Samples
from mediaserver.kernels.filters import high_pass, telephone
from mediaserver.kernels.level_meter import FLOOR_DBOV, levels
from mediaserver.kernels.limiter import (
    CEILING_DBTP,
    LIMITER_BLOCK,
    LIMITER_DELAY,
    LIMITER_RELEASE_DB_PER_S,
    OVERLOAD,
    limit,
    limiter_state_size,
)
from mediaserver.kernels.loudness import level
from mediaserver.kernels.machine_code import Kernel
from mediaserver.kernels.mixing import mix
from mediaserver.kernels.noise_gate import gate
from mediaserver.kernels.pitch_shift import pitch
from mediaserver.kernels.robot_voice import robot
from mediaserver.kernels.room_reverb import ROOMS, reverb
from mediaserver.kernels.stage import HOP, Param, Stage

__all__ = [
    "CEILING_DBTP",
    "FLOOR_DBOV",
    "HOP",
    "KERNELS",
    "LIMITER_BLOCK",
    "LIMITER_DELAY",
    "LIMITER_RELEASE_DB_PER_S",
    "OVERLOAD",
    "PLANE_STAGES",
    "ROOMS",
    "STAGES",
    "Addresses",
    "Param",
    "Samples",
    "Stage",
    "addresses",
    "gate",
    "high_pass",
    "level",
    "levels",
    "limit",
    "limiter_state_size",
    "mix",
    "pitch",
    "plane_arguments",
    "reverb",
    "robot",
    "telephone",
]

STAGES: tuple[Stage, ...] = (high_pass, gate, level, pitch, robot, telephone, reverb)
"""All that are kernels."""

KERNELS: dict[str, Kernel] = {
    "mix": mixing._mix,
    "limit": limiter._limit,
    "levels": level_meter._levels,
    **{stage.name: stage.kernel for stage in STAGES},
}


class Addresses(NamedTuple):
    """C functions; every pointer is to float32, every size an int32, none overlaps but where it is said.

    void mix(float *out, const float *inputs, const float *gains_from, const float *gains_to,
             int32_t rows, int32_t columns, int32_t samples, int32_t channels);
    void limit(float *out, const float *inputs, float *state, int32_t samples, int32_t channels);
    void levels(float *dbov, const float *inputs, int32_t rows, int32_t samples);
    """

    mix: int
    limit: int
    levels: int


def addresses() -> Addresses:
    """Where the kernels are; valid as long as the process lives. Arguments are as in the functions of this module."""
    return Addresses(*(KERNELS[name].address for name in Addresses._fields))


DENOISE_DELAY = 335
"""Samples: as native/src/denoise.hpp has it."""


class _Denoise(NamedTuple):
    """The one stage that is no kernel: the plane has it of its own (native/src/denoise.hpp)."""

    name: str = "denoise"

    def values(self, **given: float) -> tuple[float, ...]:
        """It has no params. ValueError when there are some."""
        if given:
            raise ValueError(f"{self.name} has no param {sorted(given)[0]!r}")
        return ()


PLANE_STAGES: tuple[Stage | _Denoise, ...] = (*STAGES, _Denoise())
"""All that can stand in front of a column; the plane knows each by its place here."""


def plane_stages() -> list[tuple[int, int, int, int, int]]:
    """What Plane.set_stages() takes."""
    return [
        (0, 0, 0, 0, DENOISE_DELAY)
        if isinstance(stage, _Denoise)
        else (stage.address, stage.state_mono, stage.state_stereo, len(stage.params), stage.tail_samples)
        for stage in PLANE_STAGES
    ]


def plane_arguments() -> dict[str, int]:
    """What Plane.set_kernels() takes."""
    sizes = {"limiter_state_mono": limiter_state_size(1), "limiter_state_stereo": limiter_state_size(2)}
    return addresses()._asdict() | sizes | {"limiter_delay": LIMITER_DELAY}
