"""Every numba kernel of the media server: the gain-matrix mix, the limiter, the levels.

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

and compiles at build time by `python -c "import mediaserver.kernels"`. Without a cache every start compiles.
"""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # Inside a kernel numba's compiler gives the types, and its annotations know nothing of that.
    carray: Any
    cfunc: Any
    float32: Any
    float64: Any
    int32: Any
    types: Any
    uintp: Any
    void: Any
else:
    from numba import carray, cfunc, float32, float64, int32, types, uintp, void

Samples: TypeAlias = npt.NDArray[np.float32]

CEILING_DBFS = -1.0
"""What the limiter lets through. Higher: what decoders overshoot is clipped at the listener; lower: quieter rooms."""

LIMITER_BLOCK = 240
"""Samples of the limiter's look-ahead, which is its delay and its attack time: 5 ms. Longer: more delay for everyone;
shorter: the gain follows the waveform of low voices. Here it stands still in any steady tone from 50 Hz up, whose peaks
are at most two blocks apart."""

LIMITER_RELEASE_DB_PER_S = 60.0
"""How fast the limiter lets go: 0.3 dB in a block, and back from 16 full-scale speakers (25 dB) in 0.4 s, about two
syllables. Faster: the gain is heard to pump between syllables; slower: one shout leaves the room quiet for long."""

OVERLOAD = 64.0
"""Samples beyond ±OVERLOAD (36 dB over full scale) are taken as that. Higher: a broken or hostile source silences its
room for longer afterwards (here 0.6 s); lower: the sum of that many speakers at full scale is clipped."""

FLOOR_DBOV = -127.0
"""The lowest level that RFC 6464 and RFC 6465 can say; digital silence."""

_LARGEST = np.finfo(np.float32).max
_MAGNITUDE = np.int32(0x7FFFFFFF)  # of float32: the bits without the sign; as integers they are ordered as the values
_BLOCK = uintp(LIMITER_BLOCK)
_CEILING = np.float32(10 ** (CEILING_DBFS / 20))
_RELEASE = np.float32(10 ** (-LIMITER_RELEASE_DB_PER_S / 20 * LIMITER_BLOCK / 48000))
_OVERLOAD = np.float32(OVERLOAD)
_FLOOR = 10 ** (FLOOR_DBOV / 10)

Pointer: TypeAlias = Any  # float *
_pointer = types.CPointer(float32)


class Kernel(Protocol):
    """What is used of numba's `CFunc`."""

    address: int
    ctypes: Callable[..., None]


def _kernel(*arguments: Any, fastmath: set[str]) -> Callable[[Callable[..., None]], Kernel]:
    """Compiles a C function of these argument types, or loads it from the cache on disk.

    error_model="numpy": with Python's, every division can raise, which takes the GIL. forceinline: into numba's C
    wrapper, where LLVM then sees that there is no error to report and drops the code that would take the GIL for it.
    """

    def compile_(function: Callable[..., None]) -> Kernel:
        options = {"error_model": "numpy", "boundscheck": False, "forceinline": True, "fastmath": fastmath}
        signature = void(*arguments)
        try:
            kernel: Kernel = cfunc(signature, cache=True, **options)(function)
        except RuntimeError as error:  # no directory to cache in: a read-only file system, a user without a home
            logging.getLogger(__name__).warning("compiled at every start: no writable NUMBA_CACHE_DIR: %s", error)
            kernel = cfunc(signature, **options)(function)
        return kernel

    return compile_


# In the kernels, indices are unsigned: a negative index means "from the end" in Python, and the test for it stands in
# the way of SIMD. Both channels of a frame go through one flat loop: in stereo an odd index is the right channel, and
# `stereo` (0 or 1) is at once the mask for that and the shift from index to frame.
#
# fastmath "contract" lets a * b + c round once instead of twice; nothing is reordered, NaN and infinity keep their
# meaning.


@_kernel(_pointer, _pointer, _pointer, _pointer, int32, int32, int32, int32, fastmath={"contract"})
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


# The limiter works on blocks of 5 ms. It holds one block back, so that it knows the blocks on both sides of the border
# up to which it sets the gain. A block's need is the attenuation that brings its peak to the ceiling. At a border the
# attenuation is what the needier side needs, or the last border's less the release if that is more; from border to
# border the gain goes in a straight line. Both ends of the line satisfy the block, so all of it does.
#
# State: attenuation - 1 at the last border, need - 1 of the block held back, that block, room for the next one.
# Zeros are unity gain and silence held back.


@_kernel(_pointer, _pointer, _pointer, int32, int32, fastmath={"contract"})
def _limit(out_: Pointer, inputs_: Pointer, state_: Pointer, samples: int, channels: int) -> None:
    stereo = uintp(channels) - uintp(1)
    size = _BLOCK * uintp(channels)
    blocks = uintp(samples) // _BLOCK
    held = uintp(2)
    fresh = held + size
    out = carray(out_, blocks * size)
    inputs = carray(inputs_, blocks * size)
    state = carray(state_, fresh + size)
    for block in range(blocks):
        at = block * size
        peak = np.int32(0)
        for i in range(size):
            x = inputs[at + i]
            x = x if abs(x) <= _LARGEST else float32(0)  # not so for NaN and infinity
            x = min(max(x, -_OVERLOAD), _OVERLOAD)
            state[fresh + i] = x
            # As integers: LLVM does not vectorise the maximum of floats, for fear of NaN.
            peak = max(peak, np.int32(np.float32(x).view(np.int32) & _MAGNITUDE))
        need = max(np.int32(peak).view(np.float32) / _CEILING, float32(1))
        before = state[0] + float32(1)
        after = max(need, state[1] + float32(1), before * _RELEASE)
        state[0] = after - float32(1)
        state[1] = need - float32(1)
        gain = float32(1) / after
        slope = (gain - float32(1) / before) / float32(_BLOCK)
        for i in range(size):
            ahead = float32(int32(_BLOCK - uintp(1) - (i >> stereo)))
            y = state[held + i] * (gain - slope * ahead)
            out[at + i] = min(max(y, -_CEILING), _CEILING)  # for the last bit of rounding
        for i in range(size):
            state[held + i] = state[fresh + i]


# fastmath "reassoc": several partial sums in SIMD registers instead of one; in float64 that is far below a level step.


@_kernel(_pointer, _pointer, int32, int32, fastmath={"contract", "reassoc"})
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
    return Addresses(_mix.address, _limit.address, _levels.address)


def plane_arguments() -> dict[str, int]:
    """What Plane.set_kernels() takes."""
    sizes = {"limiter_state_mono": limiter_state_size(1), "limiter_state_stereo": limiter_state_size(2)}
    return addresses()._asdict() | sizes | {"limiter_delay": LIMITER_BLOCK}


def mix(out: Samples, inputs: Samples, gains_from: Samples, gains_to: Samples) -> None:
    """Sums the columns of a room into its rows, each cell with its own gain.

    out [rows, samples, channels] is overwritten; inputs [columns, samples, channels]; gains_from, gains_to [rows,
    columns, channels] are linear. Over the frame a gain goes in a straight line: sample n (from 0) has
    from + (to - from) · (n + 1) / samples, so the last one has exactly `to`, and a next frame that starts from there
    joins without a step. A cell that is 0 at both ends costs nothing, and what is in its column does not matter.

    ValueError if an array is not float32 in C order, shapes do not agree, or `out` overlaps an input.
    """
    rows, samples, channels = _shape("out", out, 3)
    columns = _shape("inputs", inputs, 3)[0]
    _channels(channels)
    pointers = (
        _array("out", out, (rows, samples, channels), written=True),
        _array("inputs", inputs, (columns, samples, channels)),
        _array("gains_from", gains_from, (rows, columns, channels)),
        _array("gains_to", gains_to, (rows, columns, channels)),
    )
    if any(np.may_share_memory(out, array) for array in (inputs, gains_from, gains_to)):
        raise ValueError("out overlaps an input")
    _mix.ctypes(*pointers, rows, columns, samples, channels)


def limiter_state_size(channels: int) -> int:
    """float32 values of a limiter's state. All zeros is a fresh limiter: unity gain, silence held back."""
    _channels(channels)
    return 2 + 2 * LIMITER_BLOCK * channels


def limit(out: Samples, inputs: Samples, state: Samples) -> None:
    """Look-ahead limiter of one row: `inputs`, 240 samples (5 ms) later, never above -1 dBFS.

    out, inputs [samples, channels], samples a multiple of 240, may be the same array; state
    [limiter_state_size(channels)] carries the limiter from frame to frame. Both channels have the same gain. While the
    gain is 1, what comes out is bit for bit what went in. The gain has no steps: it falls in a straight line over the
    5 ms before a peak and rises by 60 dB/s. NaN and infinite samples become 0.

    ValueError if an array is not float32 in C order, shapes do not agree, or arrays overlap in part.
    """
    samples, channels = _shape("out", out, 2)
    _channels(channels)
    if samples % LIMITER_BLOCK:
        raise ValueError(f"{samples} samples are not a multiple of {LIMITER_BLOCK}")
    pointers = (
        _array("out", out, (samples, channels), written=True),
        _array("inputs", inputs, (samples, channels)),
        _array("state", state, (limiter_state_size(channels),), written=True),
    )
    same = out.ctypes.data == inputs.ctypes.data
    if (np.may_share_memory(out, inputs) and not same) or any(np.may_share_memory(state, x) for x in (out, inputs)):
        raise ValueError("arrays overlap")
    _limit.ctypes(*pointers, samples, channels)


def levels(dbov: Samples, inputs: Samples) -> None:
    """The level of each row in dBov (RFC 6464 section 3): a mean square of 1 is 0, and -127 is silence or less.

    dbov [rows] is overwritten; inputs [rows, samples], for several channels [rows, samples · channels]. A row that
    holds NaN or infinity is -127, as the limiter makes silence of those.

    ValueError if an array is not float32 in C order, shapes do not agree, or the arrays overlap.
    """
    rows, samples = _shape("inputs", inputs, 2)
    pointers = (_array("dbov", dbov, (rows,), written=True), _array("inputs", inputs, (rows, samples)))
    if np.may_share_memory(dbov, inputs):
        raise ValueError("dbov overlaps inputs")
    _levels.ctypes(*pointers, rows, samples)


def _shape(name: str, array: Samples, dimensions: int) -> tuple[int, ...]:
    if array.ndim != dimensions:
        raise ValueError(f"{name} has {array.ndim} dimensions, {dimensions} expected")
    return array.shape


def _channels(channels: int) -> None:
    if channels not in {1, 2}:
        raise ValueError(f"{channels} channels, 1 or 2 expected")


def _array(name: str, array: Samples, shape: tuple[int, ...], *, written: bool = False) -> Any:
    """A pointer to its first value, after the checks that the kernel does not make."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(f"{name} is not float32 in C order")
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, {shape} expected")
    if written and not array.flags.writeable:
        raise ValueError(f"{name} is read-only")
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
