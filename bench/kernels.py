"""What the kernels cost, beside NumPy: pytest-benchmark on mix, limit, levels and every stage for one frame of 20 ms.

The kernels are called by address from compiled code, as the plane does: a call through ctypes costs more than the
kernel. NumPy does the same work in its fastest form that we know, and is first held against the kernel's result.
Minima are printed, which other work on the machine disturbs least; the JSON also has medians. One thread.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.speech import buzz
from mediaserver import kernels
from mediaserver.kernels import Samples, Stage

if TYPE_CHECKING:
    njit: Any
else:
    from numba import njit

SAMPLES = 960
CALLS = 200  # in a round of a kernel: a round is long against the clock's resolution

FLOATS = ctypes.POINTER(ctypes.c_float)
INT = ctypes.c_int32
C_MIX = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, FLOATS, FLOATS, INT, INT, INT, INT)(kernels.addresses().mix)
C_LIMIT = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, FLOATS, INT, INT)(kernels.addresses().limit)
C_LEVELS = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, INT, INT)(kernels.addresses().levels)


def noise(*shape: int) -> Samples:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def measure_kernel(benchmark: BenchmarkFixture, calls: Callable[..., None], *arguments: Any) -> None:
    calls(*arguments)  # compiles
    benchmark.extra_info["calls"] = CALLS
    benchmark(calls, *arguments)


def measure_numpy(benchmark: BenchmarkFixture, function: Callable[..., None], *arguments: Any) -> None:
    benchmark.extra_info["calls"] = 1
    benchmark(function, *arguments)


# --- mix


def _mix_calls(out: Any, inputs: Any, gains_from: Any, gains_to: Any) -> None:
    rows, columns, channels = gains_to.shape
    for _ in range(CALLS):
        C_MIX(out.ctypes, inputs.ctypes, gains_from.ctypes, gains_to.ctypes, rows, columns, SAMPLES, channels)


mix_calls = njit(_mix_calls)

AHEAD = np.arange(SAMPLES - 1, -1, -1, dtype=np.float32)[:, None] / SAMPLES


def numpy_mix(out: Samples, inputs: Samples, gains_from: Samples, gains_to: Samples) -> None:
    """A ramp is linear in the gains: the mix with the new gains less the mix, with their change, of faded inputs."""
    planar = inputs.transpose(2, 0, 1)
    mixed = gains_to.transpose(2, 0, 1) @ planar
    change = gains_to - gains_from
    if change.any():
        mixed -= change.transpose(2, 0, 1) @ (inputs * AHEAD).transpose(2, 0, 1)
    out[:] = mixed.transpose(1, 2, 0)


SHAPES = [(columns, rows) for columns in (2, 4, 16) for rows in (1, 3, 17)]
GAINS = [(1, "constant"), (1, "ramp"), (2, "constant"), (2, "panned"), (2, "ramp")]


@pytest.mark.parametrize(("channels", "gain"), GAINS)
@pytest.mark.parametrize(("columns", "rows"), SHAPES)
@pytest.mark.parametrize("by", ["kernel", "numpy"])
def test_mix(  # noqa: PLR0917 - pytest calls it by name
    benchmark: BenchmarkFixture, by: str, columns: int, rows: int, channels: int, gain: str
) -> None:
    benchmark.extra_info["work"] = {
        "kernel": "mix",
        "columns": columns,
        "rows": rows,
        "channels": channels,
        "gain": gain,
    }
    inputs, gains_to = noise(columns, SAMPLES, channels), noise(rows, columns, channels)
    if gain == "constant":
        gains_to[:] = gains_to[..., :1]
    gains_from = gains_to * np.float32(0.5) if gain == "ramp" else gains_to
    out, expected = (np.empty((rows, SAMPLES, channels), np.float32) for _ in range(2))
    kernels.mix(expected, inputs, gains_from, gains_to)
    numpy_mix(out, inputs, gains_from, gains_to)
    assert np.allclose(out, expected, atol=1e-5)
    if by == "kernel":
        measure_kernel(benchmark, mix_calls, out, inputs, gains_from, gains_to)
    else:
        measure_numpy(benchmark, numpy_mix, out, inputs, gains_from, gains_to)


# --- limit


def _limit_calls(out: Any, inputs: Any, state: Any) -> None:
    for _ in range(CALLS):
        C_LIMIT(out.ctypes, inputs.ctypes, state.ctypes, SAMPLES, inputs.shape[1])


limit_calls = njit(_limit_calls)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("loudness", ["quiet", "loud"])
@pytest.mark.parametrize("by", ["kernel"])
def test_limit(benchmark: BenchmarkFixture, by: str, loudness: str, channels: int) -> None:
    """Quiet: no sample above -8 dBFS, so that none is looked for between them."""
    benchmark.extra_info["work"] = {"kernel": "limit", "channels": channels, "gain": loudness}
    inputs = noise(SAMPLES, channels) * np.float32(4 if loudness == "loud" else 0.35)
    state = np.zeros(kernels.limiter_state_size(channels), np.float32)
    measure_kernel(benchmark, limit_calls, np.empty_like(inputs), inputs, state)


# --- levels


def _levels_calls(dbov: Any, inputs: Any) -> None:
    rows, samples = inputs.shape
    for _ in range(CALLS):
        C_LEVELS(dbov.ctypes, inputs.ctypes, rows, samples)


levels_calls = njit(_levels_calls)


def numpy_levels(dbov: Samples, inputs: Samples) -> None:
    power = np.vecdot(inputs, inputs) / inputs.shape[1]
    np.clip(10 * np.log10(power + 1e-13), -127, 0, out=dbov)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rows", [1, 16])
@pytest.mark.parametrize("by", ["kernel", "numpy"])
def test_levels(benchmark: BenchmarkFixture, by: str, rows: int, channels: int) -> None:
    benchmark.extra_info["work"] = {"kernel": "levels", "rows": rows, "channels": channels}
    inputs = noise(rows, SAMPLES * channels)
    dbov, expected = np.empty(rows, np.float32), np.empty(rows, np.float32)
    kernels.levels(expected, inputs)
    numpy_levels(dbov, inputs)
    assert np.allclose(dbov, expected, atol=1e-3)
    if by == "kernel":
        measure_kernel(benchmark, levels_calls, dbov, inputs)
    else:
        measure_numpy(benchmark, numpy_levels, dbov, inputs)


# --- stages


def _stage_calls(address: Any, frame: Any, signal: Any, state: Any, params: Any) -> None:
    for _ in range(CALLS):
        frame[:] = signal
        address(frame.ctypes, state.ctypes, params.ctypes, SAMPLES, frame.shape[1])


stage_calls = njit(_stage_calls)

C_STAGE = ctypes.CFUNCTYPE(None, FLOATS, FLOATS, FLOATS, INT, INT)


AT_WORK = {"pitch": {"semitones": 5.0}}  # where the default does nothing


def voiced(channels: int) -> Samples:
    """A second of speech-like sound, the same in both channels."""
    return np.ascontiguousarray(np.repeat(buzz(1, 1.0)[:, None], channels, axis=1))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stage", kernels.STAGES, ids=lambda stage: stage.name)
@pytest.mark.parametrize("by", ["kernel"])
def test_stage(benchmark: BenchmarkFixture, by: str, stage: Stage, channels: int) -> None:
    """In its steady state, after a second of sound, on the frame that follows again and again; the copy is counted."""
    benchmark.extra_info["work"] = {"kernel": stage.name, "channels": channels}
    signal, state = voiced(channels), stage.fresh(channels)
    stage(signal.copy(), state)
    call = C_STAGE(stage.address)
    frame = signal[:SAMPLES].copy()
    params = np.array(stage.values(**AT_WORK.get(stage.name, {})), np.float32)
    measure_kernel(benchmark, stage_calls, call, frame, signal[:SAMPLES], state, params)


# --- the table


def run(seconds_each: float) -> list[dict[str, Any]]:
    """Runs the benchmarks above in a process of its own; one result for each piece of work, times in nanoseconds."""
    with tempfile.TemporaryDirectory() as directory:
        measured = Path(directory) / "measured.json"
        command = [sys.executable, "-m", "pytest", __file__, "--quiet", "--no-header", "--benchmark-quiet"]
        command += [f"--benchmark-json={measured}", f"--benchmark-max-time={seconds_each}", "--benchmark-disable-gc"]
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=os.environ | one_thread, stdout=sys.stderr)
        benchmarks = json.loads(measured.read_text())["benchmarks"]
    results: dict[str, dict[str, Any]] = {}
    for item in benchmarks:
        work, calls = item["extra_info"]["work"], item["extra_info"]["calls"]
        result = results.setdefault(json.dumps(work), dict(work))
        by = item["params"]["by"]
        for figure in ("median", "min", "iqr"):
            result[f"{by}_{figure}_ns"] = round(item["stats"][figure] / calls * 1e9, 1)
    for result in results.values():
        if "numpy_min_ns" in result:
            result["speedup"] = round(result["numpy_min_ns"] / result["kernel_min_ns"], 1)
        if result["kernel"] == "mix":
            result["ns_per_source"] = round(result["kernel_min_ns"] / (result["rows"] * result["columns"]), 1)
    return list(results.values())


def show(results: list[dict[str, Any]]) -> None:
    columns = ["kernel", "columns", "rows", "channels", "gain", "kernel µs", "numpy µs", "speedup", "ns/source"]
    widths = [10, 8, 6, 9, 10, 11, 11, 9, 11]
    print("".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for result in results:
        cells = [
            result["kernel"],
            result.get("columns", ""),
            result.get("rows", 1),
            result["channels"],
            result.get("gain", ""),
            f"{result['kernel_min_ns'] / 1e3:.3f}",
            f"{result['numpy_min_ns'] / 1e3:.3f}" if "numpy_min_ns" in result else "",
            result.get("speedup", ""),
            result.get("ns_per_source", ""),
        ]
        print("".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))
    print(f"(minima, for a frame of {SAMPLES} samples; ns/source: of the mix, for one column in one row)")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--quick", action="store_true", help="a thirtieth of the time, for a first impression")
    arguments = parser.parse_args()
    results = run(seconds_each=0.01 if arguments.quick else 0.3)
    show(results)
    if arguments.json:
        arguments.json.write_text(json.dumps({"samples": SAMPLES, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
