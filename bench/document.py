"""The report's file: all results of one run, what could not be measured and why, and how the targets were met."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from bench import results
from bench.results import Machine, Result


@dataclass(frozen=True)
class Missing:
    """A benchmark without a result, and why, in a sentence."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """keys, noise: of all results. started: UTC, ISO 8601."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["report"]
    command: str
    machine: Machine
    commit: str
    dirty: bool
    started: str
    seconds: float
    quick: bool
    keys: dict[str, float | None]
    noise: dict[str, float]
    results: list[Result] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)


_ADAPTER = TypeAdapter(Report)


def write(report: Report, file: Path) -> None:
    file.write_bytes(_ADAPTER.dump_json(report, indent=2) + b"\n")


def read(file: Path) -> Report:
    """ValueError, with a sentence, when the file is not what write() writes."""
    try:
        return _ADAPTER.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"{file} is no report of benchmarks: {place}: {first['msg']}.") from None


def read_either(file: Path) -> Report | Result:
    """A report, or a single benchmark's result. ValueError, with a sentence, when it is neither."""
    text = file.read_bytes()
    return read(file) if b'"kind": "report"' in text or b'"kind":"report"' in text else results.parse(text, str(file))
