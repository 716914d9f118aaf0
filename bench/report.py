"""All benchmarks in one run: one page of HTML, and one file of JSON with every figure and every sample of the plots.

Each runs in a process of its own. One that cannot run, that fails or takes too long is named in the report, with why.
With --quick all of them run in less than 5 minutes together, for a first impression: rounds are short, and what cannot
be said in so short a time is named, with why. Each has a share of the 5 minutes (bench/catalogue.py); one that takes
longer, with what others have left of theirs, is stopped and named. In full they take about an hour.
--from makes the page of a file that is there already.

Exit status: 0 when every benchmark ran, 1 when one did not (the page is there all the same), 2 for bad options. Targets
that are missed are in the page, not in the status.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from json import JSONDecodeError, loads
from pathlib import Path

from bench import document, older, page, programs, readme, results
from bench.catalogue import ENTRIES, Entry
from bench.document import Missing, Report
from bench.results import ROOT, CannotMeasure, Machine, Result, Run
from bench.targets import TARGETS, judge
from mediaserver import kernels

PATIENCE_S = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
QUICK_PATIENCE_S = ((signal.SIGINT, 2.0), (signal.SIGKILL, 2.0))
DIRECTORY = ROOT / "build" / "bench"
TOLD_BYTES = 400
NOT_ASKED = "It was not asked for."


class DidNotRun(Exception):
    """Why a benchmark gave no result, in a sentence."""


def measure(entry: Entry, *, quick: bool, longest_s: float, logs: Path) -> Result:
    """Runs it in a process of its own. DidNotRun when there is no result."""
    if not entry.exists:
        raise DidNotRun(f"There is no {entry.module} in this checkout.")
    options = entry.quick if quick else entry.options
    line = " ".join(["scripts/bench", entry.name, *options])
    run = Run(entry.name, quick=quick, command=line)
    with tempfile.TemporaryDirectory(prefix="bench-report-") as directory:
        file = Path(directory) / "result.json"
        command = [sys.executable, "-m", entry.module, "--json", str(file), *options]
        _run(command, logs / f"{entry.name}.log", longest_s, QUICK_PATIENCE_S if quick else PATIENCE_S)
        if not file.exists():
            raise DidNotRun("It ended well, but wrote no result.")
        text = file.read_bytes()
    try:
        if entry.name not in older.READERS:
            return replace(results.parse(text, entry.name), command=line)
        found = older.READERS[entry.name](loads(text))
        return run.result(found.keys, noise=found.noise, tables=found.tables, series=found.series)
    except (ValueError, KeyError, TypeError, JSONDecodeError) as error:
        raise DidNotRun(f"Its result cannot be read: {type(error).__name__}: {error}") from error


Patience = Sequence[tuple[signal.Signals, float]]


def _run(command: Sequence[str], log: Path, longest_s: float, patience: Patience = PATIENCE_S) -> None:
    """DidNotRun when it fails or takes longer."""
    with log.open("wb") as output:
        # A session of its own: what it has started ends with it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            status = process.wait(max(0.0, longest_s))
        except subprocess.TimeoutExpired:
            raise DidNotRun(f"It was stopped after {max(0.0, longest_s):.0f} s, longer than it may take.") from None
        finally:
            _end(process, patience)
    if status:
        raise DidNotRun(f"It ended with status {status}: {_last_words(log)}")


def _end(process: subprocess.Popen[bytes], patience: Patience) -> None:
    """Politely, with all that it has started, and then not."""
    for number, patience_s in patience:
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    try:
        os.killpg(process.pid, signal.SIGKILL)  # what it has left behind
    except ProcessLookupError:
        return


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-TOLD_BYTES:] if lines else "it said nothing."


def compile_all() -> None:
    """What is compiled once and kept, so that in a new checkout no benchmark spends its share on it."""
    kernels.plane_arguments()
    with contextlib.suppress(CannotMeasure):  # who needs one says so
        for name in programs.NAMES:
            programs.build(name)


def run_all(entries: Sequence[Entry], *, quick: bool, command: str, logs: Path) -> Report:
    """A quick run's shares add up: who needs less leaves the rest to those behind him."""
    compile_all()
    machine, (commit, dirty) = Machine.here(), results.commit()
    started, begun = datetime.now(UTC), time.monotonic()
    found: list[Result] = []
    missing: list[Missing] = []
    until = begun
    for entry in entries:
        entry_begun = time.monotonic()
        until += entry.quick_s
        longest_s = until - time.monotonic() if quick else entry.longest_s
        print(f"{entry.name}: {entry.about}", file=sys.stderr, flush=True)
        try:
            found.append(measure(entry, quick=quick, longest_s=longest_s, logs=logs))
        except DidNotRun as error:
            missing.append(Missing(entry.name, str(error)))
            print(f"    {error}", file=sys.stderr, flush=True)
        else:
            print(f"    {time.monotonic() - entry_begun:.1f} s", file=sys.stderr, flush=True)
    # Two benchmarks may have a key of one name: the one whose target it is goes first, then who ran first.
    keys: dict[str, float | None] = {}
    noise: dict[str, float] = {}
    owners = {target.key: target.bench for target in TARGETS}
    for result in found:
        for key, figure in result.keys.items():
            if key not in keys or owners.get(key) == result.name:
                keys[key] = figure
                noise.pop(key, None)
                if key in result.noise:
                    noise[key] = result.noise[key]
    return Report(
        kind="report",
        command=command,
        machine=machine,
        commit=commit,
        dirty=dirty,
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begun, 1),
        quick=quick,
        keys=keys,
        noise=noise,
        results=found,
        missing=missing,
    )


def told(report: Report) -> str:
    """The targets, for a terminal."""
    lines = []
    for each in judge(report.keys, report.noise, quick=report.quick):
        figure = "-" if each.figure is None else each.target.say(each.figure)
        lines.append(f"{each.target.text:<66} {each.target.limit_text:>13} {figure:>12}   {each.verdict}")
    return "\n".join(lines)


def main() -> None:
    names = [entry.name for entry in ENTRIES]
    parser = argparse.ArgumentParser(
        prog="bench report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less than 5 minutes")
    parser.add_argument("--html", type=Path, metavar="FILE", default=DIRECTORY / "report.html", help="the page")
    parser.add_argument("--json", type=Path, metavar="FILE", default=DIRECTORY / "report.json", help="all figures")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these alone")
    parser.add_argument("--skip", nargs="+", choices=names, metavar="NAME", default=[], help="all but these")
    parser.add_argument("--from", dest="made", type=Path, metavar="FILE", help="measure nothing: the page of this file")
    parser.add_argument("--install", action="store_true", help="let `peers` install Debian's janus if it is missing")
    parser.add_argument(
        "--readme", action="store_true", help="also write the plot and the three figures of README.md, docs/images/"
    )
    arguments = parser.parse_args()
    if arguments.made is not None:
        try:
            report = document.read(arguments.made)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    else:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        wanted = [e for e in ENTRIES if e.name not in arguments.skip and e.name in (arguments.only or names)]
        if arguments.install:
            wanted = [replace(e, options=(*e.options, "--install")) if e.name == "peers" else e for e in wanted]
        command = results.command_line("report")
        report = run_all(wanted, quick=arguments.quick, command=command, logs=DIRECTORY)
        left_out = [Missing(name, NOT_ASKED) for name in names if name not in {e.name for e in wanted}]
        report = replace(report, missing=[*report.missing, *left_out])
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        document.write(report, arguments.json)
    arguments.html.parent.mkdir(parents=True, exist_ok=True)
    arguments.html.write_text(page.page(report), encoding="utf-8")
    print(told(report))
    print(f"{arguments.html}\n{arguments.made or arguments.json}")
    if arguments.readme:
        try:
            readme.write(report)
        except readme.CannotShow as error:
            print(f"bench report: {error}", file=sys.stderr)
            sys.exit(1)
    if any(each.reason != NOT_ASKED for each in report.missing):
        sys.exit(1)


if __name__ == "__main__":
    main()
