"""What a benchmark found, in one form for all of them: `--json` writes it, `report` and `compare` read it.

`keys` are the figures that have names of their own, among them those which issue 7 has targets for. `noise` says of a
key how far its repeated rounds lay apart, as a share of their median, so that a change can be told from chance.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cryptography.hazmat.backends.openssl import backend
from pydantic import ConfigDict, TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

ROOT = Path(__file__).parent.parent

Cell = str | float | int | None
Kind = Literal["latency", "cost", "growth"]


class CannotMeasure(Exception):
    """Why this machine cannot run a benchmark, in one sentence."""


@dataclass(frozen=True)
class Machine:
    """load_before: of the last minute, when the benchmark began. governor: of frequency scaling, None where the system
    does not say. scheduler: of this process, which its children have as well."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    cpu: str
    cores: int
    kernel: str
    memory_mib: int
    python: str
    openssl: str
    libopus: str
    scheduler: str
    load_before: float
    governor: str | None = None

    @classmethod
    def here(cls) -> Machine:
        return cls(
            cpu=_first(r"^model name\s*: (.*)$", "/proc/cpuinfo") or platform.machine(),
            cores=os.cpu_count() or 1,
            kernel=platform.release(),
            memory_mib=int(_first(r"^MemTotal:\s*(\d+) kB", "/proc/meminfo") or 0) // 1024,
            python=platform.python_version(),
            openssl=f"{backend.openssl_version_text()} (DTLS), {_debian('libssl3t64', 'libssl3') or 'another'} (SRTP)",
            libopus=_debian("libopus0") or "unknown",
            scheduler=_scheduler(),
            load_before=round(os.getloadavg()[0], 2),
            governor=_first(r"^(\S+)$", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        )

    def lines(self) -> list[tuple[str, str]]:
        """(what, value) for people."""
        return [
            ("CPU", f"{self.cpu}, {self.cores} cores" + (f", governor {self.governor}" if self.governor else "")),
            ("memory", f"{self.memory_mib / 1024:.1f} GiB"),
            ("kernel", self.kernel),
            ("software", f"Python {self.python}, {self.openssl}, libopus {self.libopus}"),
            ("scheduler", self.scheduler),
            ("load before", f"{self.load_before:.2f} of {self.cores} cores"),
        ]


@dataclass(frozen=True)
class Column:
    """unit: "" where there is none. digits: behind the point, for numbers that are no integers."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    unit: str = ""
    digits: int = 2

    @property
    def head(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def text(self, cell: Cell) -> str:
        if cell is None:
            return "-"
        if isinstance(cell, str):
            return cell
        return f"{cell:,}" if isinstance(cell, int) else f"{cell:,.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """note: what a reader needs to understand the figures, below them."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of {self.title!r} has more or fewer cells than there are columns")


@dataclass(frozen=True)
class Series:
    """A line of a plot. `latency`: x is a value, y the share of samples that are not larger (0 to 1). `cost`: y is what
    x of something cost. `growth`: the same, fitted, on logarithmic axes. x and y have names with units; series of one
    benchmark with the same kind, x_name and y_name share a plot. floor: it is no server's, but a physical limit.
    fitted: a curve through the points of another."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    kind: Kind
    x: list[float]
    y: list[float]
    x_name: str = ""
    y_name: str = ""
    floor: bool = False
    fitted: bool = False

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"the series {self.name!r} has {len(self.x)} x and {len(self.y)} y")


@dataclass(frozen=True)
class Result:
    """name: of the benchmark. started: UTC, ISO 8601. remarks: doubts, and what could not be measured and why."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    command: str
    machine: Machine
    commit: str
    dirty: bool
    started: str
    seconds: float
    quick: bool
    keys: dict[str, float | None]
    noise: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        numbers = [*self.keys.values(), *self.noise.values()]
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"a figure of {self.name!r} is no number")
        if unknown := self.noise.keys() - self.keys.keys():
            raise ValueError(f"noise of what is no key: {', '.join(sorted(unknown))}")


class Run:
    """Made when a benchmark begins; its `result()` is what was found, with machine, commit and times."""

    def __init__(self, name: str, *, quick: bool, command: str | None = None) -> None:
        self._name = name
        self._quick = quick
        self._command = command if command is not None else command_line(name)
        self._machine = Machine.here()
        self._commit, self._dirty = commit()
        self._started = datetime.now(UTC)
        self._begun = time.monotonic()

    def result(
        self,
        keys: dict[str, float | None],
        *,
        noise: dict[str, float] | None = None,
        tables: Sequence[Table] = (),
        series: Sequence[Series] = (),
        remarks: Sequence[str] = (),
    ) -> Result:
        return Result(
            name=self._name,
            command=self._command,
            machine=self._machine,
            commit=self._commit,
            dirty=self._dirty,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._begun, 2),
            quick=self._quick,
            keys=keys,
            noise=noise or {},
            tables=list(tables),
            series=list(series),
            remarks=list(remarks),
        )


def command_line(name: str) -> str:
    return " ".join(["scripts/bench", name, *sys.argv[1:]])


def commit() -> tuple[str, bool]:
    """Of the checkout ("unknown" outside of one), and whether it has changes that are not committed."""

    def git(*arguments: str) -> str | None:
        with suppress(OSError):
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.strip()
        return None

    return git("rev-parse", "--short=12", "HEAD") or "unknown", bool(git("status", "--porcelain", "-uno"))


def spread(values: Sequence[float]) -> float:
    """Half the distance between the largest and the smallest of repeated rounds, as a share of their median. 0 of
    fewer than two."""
    middle = statistics.median(values) if values else 0.0
    return abs((max(values) - min(values)) / 2 / middle) if len(values) > 1 and middle else 0.0


def distribution(name: str, values: Sequence[float], x_name: str, points: int = 400) -> Series:
    """A `latency` series of samples. Both ends are kept whole, since what is worst is what matters."""
    ordered = sorted(values)
    count = len(ordered)
    # Denser the further out: 1 - share goes down geometrically from 1 to 1 / count.
    shares = sorted({1 - count ** (-k / (points - 1)) for k in range(points)}) if count > 1 else [0.0]
    ranks = sorted({min(count - 1, int(share * count)) for share in shares} | {count - 1}) if count else []
    return Series(
        name,
        "latency",
        [float(ordered[rank]) for rank in ranks],
        [(rank + 1) / count for rank in ranks],
        x_name,
        "share of samples",
    )


# ---- files

_ADAPTER = TypeAdapter(Result)


def write(result: Result, file: Path) -> None:
    file.write_bytes(_ADAPTER.dump_json(result, indent=2) + b"\n")


def read(file: Path) -> Result:
    """ValueError, with a sentence, when the file is not what write() writes."""
    return parse(file.read_bytes(), str(file))


def parse(text: bytes, name: str) -> Result:
    """name: of the file, for the message of the ValueError."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(f"{name} is no result of a benchmark: {place}: {first['msg']}.") from None


# ---- for people


def show(result: Result, console: Console | None = None) -> None:
    """Tables, then the keys, then doubts, then where all this was measured."""
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for table in result.tables:
        console.print(f"[bold]{escape(table.title)}[/bold]")
        console.print(grid(table))
        if table.note:
            console.print(escape(table.note), style="dim")
        console.print()
    for key, figure in result.keys.items():
        noise = f"  ± {result.noise[key]:.1%} from round to round" if key in result.noise else ""
        console.print(escape(f"{key:<32} {'-' if figure is None else f'{figure:,.4g}'}{noise}"))
    for remark in result.remarks:
        console.print(escape(remark), style="yellow")
    lines = [*result.machine.lines(), ("commit", result.commit + (" with changes" if result.dirty else ""))]
    lines += [("command", result.command), ("took", f"{result.seconds:.0f} s")]
    for what, value in lines:
        console.print(escape(f"{what:<12} {value}"), style="dim")


def grid(table: Table) -> Grid:
    made = Grid(box=None, pad_edge=False, show_edge=False, header_style="")
    for number, column in enumerate(table.columns):
        words = all(isinstance(row[number], str) for row in table.rows)
        made.add_column(escape(column.head), justify="left" if words else "right", overflow="fold")
    for row in table.rows:
        made.add_row(*(escape(column.text(cell)) for column, cell in zip(table.columns, row, strict=True)))
    return made


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """With the options that all have."""
    made = argparse.ArgumentParser(
        prog=f"bench {name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    made.add_argument("--quick", action="store_true", help="less of everything, for a first impression")
    return made


def finish(name: str, measure: Callable[[], Result], file: Path | None) -> None:
    """What a main() ends with: measures, prints, writes. Exit status 1, with a sentence, when it cannot be measured."""
    try:
        result = measure()
    except CannotMeasure as error:
        print(f"bench {name}: {error}", file=sys.stderr)
        sys.exit(1)
    show(result)
    if file is not None:
        write(result, file)


# ---- the machine


def _first(pattern: str, file: str) -> str | None:
    with suppress(OSError):
        found = re.search(pattern, Path(file).read_text(encoding="utf-8"), re.MULTILINE)
        return found[1] if found else None
    return None


def _debian(*packages: str) -> str | None:
    """The version of the first of these packages that is installed."""
    for package in packages:
        with suppress(OSError):
            done = subprocess.run(
                ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
            )
            if done.returncode == 0 and done.stdout.strip():
                return done.stdout.strip()
    return None


def _scheduler() -> str:
    policy = os.sched_getscheduler(0)
    names = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO", os.SCHED_RR: "SCHED_RR"}
    if policy in (os.SCHED_FIFO, os.SCHED_RR):
        return f"{names[policy]} {os.sched_getparam(0).sched_priority}"
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    return names.get(policy, f"policy {policy}") + (f", nice {nice}" if nice else "")
