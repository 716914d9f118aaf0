"""All benchmarks in one run: one page of HTML, and one file of JSON with every figure and every sample of the plots.

Each runs in a process of its own. One that cannot run, that fails or takes too long is named in the report, with why.
With --quick the whole takes less than 5 minutes, for a first impression: short rounds, and what does not fit is named
as well. --from makes the page of a file that is there already.

Exit status: 0 when every benchmark ran, 1 when one did not (the page is there all the same), 2 for bad options. Targets
that are missed are in the page, not in the status.
"""

from __future__ import annotations

import argparse
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

from bench import document, older, page, readme, results
from bench.catalogue import ENTRIES, Entry
from bench.document import Missing, Report
from bench.results import ROOT, Machine, Result, Run
from bench.targets import TARGETS, judge

QUICK_S = 280.0
"""For all of them together; the page takes some seconds more."""
LEAST_S = 8.0  # left, for it to be worth while to begin
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
    if options is None:
        raise DidNotRun("It takes longer than a quick run may; it is in the full one.")
    line = " ".join(["scripts/bench", entry.name, *options])
    run = Run(entry.name, quick=quick, command=line)
    with tempfile.TemporaryDirectory(prefix="bench-report-") as directory:
        file = Path(directory) / "result.json"
        command = [sys.executable, "-m", entry.module, "--json", str(file), *options]
        _run(command, logs / f"{entry.name}.log", longest_s)
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


def _run(command: Sequence[str], log: Path, longest_s: float) -> None:
    """DidNotRun when it fails or takes longer."""
    with log.open("wb") as output:
        # A session of its own: what it has started ends with it.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )
        try:
            status = process.wait(longest_s)
        except subprocess.TimeoutExpired:
            raise DidNotRun(f"It was stopped after {longest_s:.0f} s.") from None
        finally:
            _end(process)
    if status:
        raise DidNotRun(f"It ended with status {status}: {_last_words(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely, with all that it has started, and then not."""
    for number, patience_s in ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
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


def run_all(entries: Sequence[Entry], *, quick: bool, budget_s: float | None, command: str, logs: Path) -> Report:
    """budget_s: for all of them together; None: as long as they take."""
    machine, (commit, dirty) = Machine.here(), results.commit()
    started, begun = datetime.now(UTC), time.monotonic()
    found: list[Result] = []
    missing: list[Missing] = []
    for entry in entries:
        left_s = float("inf") if budget_s is None else budget_s - (time.monotonic() - begun)
        longest_s = entry.quick_s if quick else entry.longest_s
        print(f"{entry.name}: {entry.about}", file=sys.stderr, flush=True)
        try:
            if left_s < LEAST_S:
                raise DidNotRun(f"Nothing is left of the {budget_s:.0f} s that this run may take.")
            found.append(measure(entry, quick=quick, longest_s=min(longest_s, left_s), logs=logs))
        except DidNotRun as error:
            missing.append(Missing(entry.name, str(error)))
            print(f"    {error}", file=sys.stderr, flush=True)
        else:
            print(f"    {found[-1].seconds:.0f} s", file=sys.stderr, flush=True)
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
    for each in judge(report.keys):
        figure = "-" if each.figure is None else each.target.say(each.figure)
        lines.append(f"{each.target.text:<58} {each.target.limit_text:>16} {figure:>16}   {each.verdict}")
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
        budget_s = QUICK_S if arguments.quick else None
        command = results.command_line("report")
        report = run_all(wanted, quick=arguments.quick, budget_s=budget_s, command=command, logs=DIRECTORY)
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
