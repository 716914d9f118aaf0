"""The gain matrix: the columns of a room are summed into its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mediaserver.kernels.arrays import Samples, check_channels, pointer_to, shape_of
from mediaserver.kernels.machine_code import Pointer, kernel, pointer

if TYPE_CHECKING:
    carray: Any
    float32: Any
    int32: Any
    uintp: Any
else:
    from numba import carray, float32, int32, uintp

# In the kernels, indices are unsigned: a negative index means "from the end" in Python, and the test for it stands in
# the way of SIMD. Both channels of a frame go through one flat loop: in stereo an odd index is the right channel, and
# `stereo` (0 or 1) is at once the mask for that and the shift from index to frame.
#
# fastmath "contract" lets a * b + c round once instead of twice; nothing is reordered, NaN and infinity keep their
# meaning.


@kernel(pointer, pointer, pointer, pointer, int32, int32, int32, int32, fastmath={"contract"})
def _mix(  # noqa: PLR0917 - a C function
    out_: Pointer,
    inputs_: Pointer,
    gains_from_: Pointer,
    gains_to_: Pointer,
    rows_: int,
    columns_: int,
    samples: int,
    channels_: int,
) -> None:
    rows, columns, channels = uintp(rows_), uintp(columns_), uintp(channels_)
    stereo = channels - uintp(1)
    size = uintp(samples) * channels
    last = uintp(samples) - uintp(1)
    out = carray(out_, rows * size)
    inputs = carray(inputs_, columns * size)
    gains_from = carray(gains_from_, rows * columns * channels)
    gains_to = carray(gains_to_, rows * columns * channels)
    for row in range(rows):
        o = row * size
        for i in range(size):
            out[o + i] = 0.0
        for column in range(columns):
            x = column * size
            left = (row * columns + column) * channels
            right = left + stereo
            left_from, left_to = gains_from[left], gains_to[left]
            right_from, right_to = gains_from[right], gains_to[right]
            if left_from != left_to or right_from != right_to:
                # Counted from the end, so that the last sample has exactly the new gain.
                left_slope = (left_to - left_from) / float32(samples)
                right_slope = (right_to - right_from) / float32(samples)
                for i in range(size):
                    ahead = float32(int32(last - (i >> stereo)))
                    left_gain = left_to - left_slope * ahead
                    right_gain = right_to - right_slope * ahead
                    out[o + i] += inputs[x + i] * (right_gain if i & stereo else left_gain)
            elif left_to != right_to:
                for i in range(size):
                    out[o + i] += inputs[x + i] * (right_to if i & stereo else left_to)
            elif left_to != 0.0:
                for i in range(size):
                    out[o + i] += inputs[x + i] * left_to


def mix(out: Samples, inputs: Samples, gains_from: Samples, gains_to: Samples) -> None:
    """Sums the columns of a room into its rows, each cell with its own gain.

    out [rows, samples, channels] is overwritten; inputs [columns, samples, channels]; gains_from, gains_to [rows,
    columns, channels] are linear. Over the frame a gain goes in a straight line: sample n (from 0) has
    from + (to - from) · (n + 1) / samples, so the last one has exactly `to`, and a next frame that starts from there
    joins without a step. A cell that is 0 at both ends costs nothing, and what is in its column does not matter.

    ValueError if an array is not float32 in C order, shapes do not agree, or `out` overlaps an input.
    """
    rows, samples, channels = shape_of("out", out, 3)
    columns = shape_of("inputs", inputs, 3)[0]
    check_channels(channels)
    pointers = (
        pointer_to("out", out, (rows, samples, channels), written=True),
        pointer_to("inputs", inputs, (columns, samples, channels)),
        pointer_to("gains_from", gains_from, (rows, columns, channels)),
        pointer_to("gains_to", gains_to, (rows, columns, channels)),
    )
    if any(np.may_share_memory(out, array) for array in (inputs, gains_from, gains_to)):
        raise ValueError("out overlaps an input")
    _mix.ctypes(*pointers, rows, columns, samples, channels)
