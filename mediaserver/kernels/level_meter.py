"""The levels that packets and events carry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.arrays import Samples, pointer_to, shape_of
from mediaserver.kernels.machine_code import Pointer, kernel, pointer

if TYPE_CHECKING:
    carray: Any
    float32: Any
    float64: Any
    int32: Any
    uintp: Any
else:
    from numba import carray, float64, int32, uintp

FLOOR_DBOV = -127.0
"""The lowest level that RFC 6464 and RFC 6465 can say; digital silence."""

_FLOOR = 10 ** (FLOOR_DBOV / 10)


# fastmath "reassoc": several partial sums in SIMD registers instead of one; in float64 that is far below a level step.


@kernel(pointer, pointer, int32, int32, fastmath={"contract", "reassoc"})
def _levels(dbov_: Pointer, inputs_: Pointer, rows_: int, samples: int) -> None:
    rows, size = uintp(rows_), uintp(samples)
    dbov = carray(dbov_, rows)
    inputs = carray(inputs_, rows * size)
    for row in range(rows):
        energy = 0.0
        for i in range(size):
            x = float64(inputs[row * size + i])  # no float32 overflows when squared
            energy += x * x
        power = energy / size
        if power >= math.inf or not power > _FLOOR:  # also NaN, and 0 / 0
            dbov[row] = FLOOR_DBOV
        else:
            dbov[row] = min(10.0 * math.log10(power), 0.0)


def levels(dbov: Samples, inputs: Samples) -> None:
    """The level of each row in dBov (RFC 6464 section 3): a mean square of 1 is 0, and -127 is silence or less.

    dbov [rows] is overwritten; inputs [rows, samples], for several channels [rows, samples · channels]. A row that
    holds NaN or infinity is -127, as the limiter makes silence of those.

    ValueError if an array is not float32 in C order, shapes do not agree, or the arrays overlap.
    """
    rows, samples = shape_of("inputs", inputs, 2)
    pointers = (pointer_to("dbov", dbov, (rows,), written=True), pointer_to("inputs", inputs, (rows, samples)))
    if np.may_share_memory(dbov, inputs):
        raise ValueError("dbov overlaps inputs")
    _levels.ctypes(*pointers, rows, samples)
