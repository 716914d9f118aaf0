"""How a kernel becomes a C function.

numba finds compiled code on disk again by the kernel's own file: a change in another file that it takes a constant or
a function from goes unnoticed. So a kernel uses nothing from other files of this project, not even a constant.

What else Python can raise is no less costly than a division: a range() with a step that is not a constant, for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:  # Inside a kernel numba's compiler gives the types, and its annotations know nothing of that.
    cfunc: Any
    float32: Any
    int32: Any
    njit: Any
    types: Any
    void: Any
else:
    from numba import cfunc, float32, int32, njit, types, void

Pointer: TypeAlias = Any  # float *
pointer = types.CPointer(float32)


class Kernel(Protocol):
    """What is used of numba's `CFunc`."""

    address: int
    ctypes: Callable[..., None]


def kernel(*arguments: Any, fastmath: set[str]) -> Callable[[Callable[..., None]], Kernel]:
    """Compiles a C function of these argument types, or loads it from the cache on disk.

    error_model="numpy": with Python's, every division can raise, which takes the GIL. forceinline: into numba's C
    wrapper, where LLVM then sees that there is no error to report and drops the code that would take the GIL for it.
    """

    def compile_(function: Callable[..., None]) -> Kernel:
        options = {"error_model": "numpy", "boundscheck": False, "forceinline": True, "fastmath": fastmath}
        signature = void(*arguments)
        try:
            compiled: Kernel = cfunc(signature, cache=True, **options)(function)
        except RuntimeError as error:  # no directory to cache in: a read-only file system, a user without a home
            logging.getLogger(__name__).warning("compiled at every start: no writable NUMBA_CACHE_DIR: %s", error)
            compiled = cfunc(signature, **options)(function)
        return compiled

    return compile_


STAGE = (pointer, pointer, pointer, int32, int32)
"""Argument types of a stage: samples, state, params, samples per channel, channels."""

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """Makes a part of a kernel, in the same file, a function of its own: it is copied to where it is called."""
    part: Function = njit(inline="always")(function)
    return part
