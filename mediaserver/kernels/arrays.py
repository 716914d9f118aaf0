"""The checks that kernels do not make: what a public function takes is float32, in C order and of the right shape."""

from __future__ import annotations

import ctypes
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]


def shape_of(name: str, array: Samples, dimensions: int) -> tuple[int, ...]:
    if array.ndim != dimensions:
        raise ValueError(f"{name} has {array.ndim} dimensions, {dimensions} expected")
    return array.shape


def check_channels(channels: int) -> None:
    if channels not in {1, 2}:
        raise ValueError(f"{channels} channels, 1 or 2 expected")


def pointer_to(name: str, array: Samples, shape: tuple[int, ...], *, written: bool = False) -> Any:
    """A pointer to its first value, after the checks that the kernel does not make."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(f"{name} is not float32 in C order")
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, {shape} expected")
    if written and not array.flags.writeable:
        raise ValueError(f"{name} is read-only")
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
