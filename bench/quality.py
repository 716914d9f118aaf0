"""How speech and music sound that went through the server: PESQ, ViSQOL and added delay, by loss, jitter and repair.

Real recordings go from a talker through the server (a process of its own, over SRTP on loopback) to listeners: mixed,
and by selective forwarding. One side's network is emulated, by seed. What is heard is compared with what was said, and
its PESQ is taken off that of the same codec chain in process, without a network: "lost". The delay is what the network
and the server add to that chain, less the emulated path's own. bench/ear.py says how listeners play what they get.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import cases
from bench import quality_report as report
from bench.processes import Server
from bench.rooms import Call, Counts, ask_features, batches, brief, perform, plan
from bench.verdict import Verdict, judge_recording


def _ordinarily() -> None:
    """Who runs the benchmark at a high or real-time priority means the server and the peers."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, max(0, os.getpriority(os.PRIO_PROCESS, 0)))


def run(server: Server, calls: list[Call]) -> tuple[list[Verdict], list[tuple[Call, Counts]], report.Machine]:
    verdicts: list[Verdict] = []
    counted: list[tuple[Call, Counts]] = []
    late_s: list[float] = []
    begun, cpu_s, ticks = time.monotonic(), server.cpu_s(), server.ticks()
    talking_s = 0.0
    todo = batches(calls)
    with multiprocessing.get_context("forkserver").Pool(os.cpu_count() or 1, _ordinarily) as pool:
        for number, batch in enumerate(todo, 1):
            print(f"  {number} of {len(todo)}: {len(batch)} rooms", flush=True)
            before = time.monotonic()
            recordings, counts, loop = perform(server, batch, number)
            talking_s += time.monotonic() - before
            counted += counts
            late_s += loop.late_s
            # Only now, and done before the next batch: what judges would make the peers late.
            recordings.sort(key=lambda each: (each.case.content, each.number, each.codings))
            verdicts += [each for each in pool.imap_unordered(judge_recording, recordings, 8) if each is not None]
    late_ticks = [after - before for before, after in zip(ticks, server.ticks(), strict=True)]
    server_cores = (server.cpu_s() - cpu_s) / talking_s
    machine = report.machine(late_s, late_ticks[0] / max(1, late_ticks[1]), server_cores, time.monotonic() - begun)
    return verdicts, counted, machine


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them, as .png or .svg")
    parser.add_argument("--quick", action="store_true", help="only speech, and the cases that have targets")
    parser.add_argument(
        "--brief",
        action="store_true",
        help="of those, in 20 s: the mixer, two lanes of two sentences, one repair, PESQ",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server and the judges end, too
    if importlib.util.find_spec("pesq") is None:
        raise SystemExit("The Python package pesq is missing: scripts/setup bench installs it.")
    # Judges are as many as there are cores; their libraries need no threads of their own.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if arguments.brief:
        os.environ[cases.BRIEF] = "1"  # for the judges, too, which are processes of their own
    with Server() as server:
        features = ask_features(server)
        calls = plan(features, quick=arguments.quick or arguments.brief)
        calls = brief(calls, features) if arguments.brief else calls
        print(report.describe(features, server, calls))
        verdicts, counted, machine = run(server, calls)
    rows = report.summarise(verdicts, counted)
    keys = report.keys(rows, verdicts)
    print(report.table(rows, features))
    print(report.targets(keys))
    print(machine.text())
    if arguments.json:
        details = {"features": asdict(features), "machine": asdict(machine), "cases": [asdict(row) for row in rows]}
        result = {**keys, "noise": report.noise(verdicts, counted), **details}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    if arguments.plot:
        report.plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
