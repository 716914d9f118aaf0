"""The floors' programs, compiled once for each state of their sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from bench.results import ROOT, CannotMeasure

HERE = Path(__file__).parent
OPTIONS = ("-std=c++20", "-O3", "-Wall")
LIBRARIES = ("-lcrypto",)
NAMES = ("floor", "relay")


def build(name: str) -> Path:
    """The program of bench/NAME.cpp, beneath build/. CannotMeasure when it cannot be compiled."""
    source = HERE / f"{name}.cpp"
    made_of = source.read_bytes() + " ".join([*OPTIONS, *LIBRARIES]).encode()
    program = ROOT / "build" / "bench" / f"{name}-{hashlib.sha256(made_of).hexdigest()[:12]}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        subprocess.run(["g++", *OPTIONS, "-o", str(unfinished), str(source), *LIBRARIES], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CannotMeasure(f"The floor's program {source.name} cannot be built: {error}") from None
    unfinished.rename(program)
    return program
