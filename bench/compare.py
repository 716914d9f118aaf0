"""Two files of benchmarks, reports or single results, side by side: ratios, and which of them are changes.

A change is flagged when it is larger than the noise: what the rounds of the two runs differ by among themselves,
together (the root of the sum of their squares), and never less than --least. A figure whose run did not say its noise
is taken to have that of --unknown.

Exit status: 0 when nothing is flagged, 3 when something is; 1 when the files have nothing in common, 2 for bad options
or files that cannot be read.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import document, results
from bench.document import Report
from bench.results import Column, Machine, Result, Table
from bench.targets import TARGETS

LEAST = 0.05
UNKNOWN = 0.15
FLAGGED = 3  # the exit status; 1 and 2 mean that nothing was compared


@dataclass(frozen=True)
class Change:
    """ratio: of the second to the first; None when the first is 0 or one is missing. noise: relative, of both together;
    known: both said theirs."""

    key: str
    first: float | None
    second: float | None
    ratio: float | None
    noise: float
    known: bool

    @property
    def flagged(self) -> bool:
        """Larger than the noise, in either direction: twice as much is as far as half. What one of them did not measure
        has not changed."""
        if self.first is None or self.second is None:
            return False
        if self.ratio is None or self.ratio <= 0:
            return abs(self.second - self.first) > self.noise * max(abs(self.first), abs(self.second))
        return abs(math.log(self.ratio)) > math.log1p(self.noise)

    @property
    def verdict(self) -> str:
        if self.first is None or self.second is None:
            return "only in one"
        if not self.flagged:
            return ""
        target = next((each for each in TARGETS if each.key == self.key), None)
        if target is None:
            return "changed"
        return "better" if (self.second < self.first) == target.at_most else "WORSE"


def compare(
    first: Report | Result, second: Report | Result, *, least: float = LEAST, unknown: float = UNKNOWN
) -> list[Change]:
    """Of all keys that one of them has, in the first one's order; those that neither measured are left out."""
    keys = [*first.keys, *(key for key in second.keys if key not in first.keys)]
    found = []
    for key in keys:
        one, other = first.keys.get(key), second.keys.get(key)
        if one is None and other is None:
            continue
        noises = [_noise(each.noise, key) for each in (first, second)]
        together = math.hypot(*(unknown if noise is None else noise for noise in noises))
        ratio = other / one if one and other is not None else None
        found.append(Change(key, one, other, ratio, max(least, together), None not in noises))
    return found


def _noise(noise: Mapping[str, float], key: str) -> float | None:
    return noise.get(key)


def table(changes: list[Change]) -> Table:
    columns = [
        Column("figure"),
        Column("first", digits=3),
        Column("second", digits=3),
        Column("second / first", digits=3),
    ]
    columns += [Column("noise", "%", 1), Column("verdict")]
    rows: list[list[results.Cell]] = [
        [
            *(each.key, each.first, each.second, each.ratio),
            *(f"{'' if each.known else '~'}{100 * each.noise:.1f}", each.verdict),
        ]
        for each in changes
    ]
    return Table("Changes beyond the noise are named; ~: of a figure whose noise is not known", columns, rows)


def differences(first: Machine, second: Machine) -> list[str]:
    """What was not the same, other than the server: the ratios are of this as well."""
    names = ("cpu", "cores", "kernel", "memory_mib", "python", "openssl", "libopus", "scheduler", "governor")
    return [
        f"{name}: {getattr(first, name)} and {getattr(second, name)}"
        for name in names
        if getattr(first, name) != getattr(second, name)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", type=Path, metavar="A.json")
    parser.add_argument("second", type=Path, metavar="B.json")
    parser.add_argument("--least", type=float, default=LEAST, help="share below which nothing is a change (0.05)")
    parser.add_argument("--unknown", type=float, default=UNKNOWN, help="noise of figures that have none (0.15)")
    parser.add_argument("--all", action="store_true", help="also what did not change")
    arguments = parser.parse_args()
    if not (arguments.least >= 0 and arguments.unknown >= 0):
        parser.error("a share is not negative")
    try:
        first, second = (document.read_either(file) for file in (arguments.first, arguments.second))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    changes = compare(first, second, least=arguments.least, unknown=arguments.unknown)
    if not any(each.first is not None and each.second is not None for each in changes):
        print("bench compare: the two files have no figure in common.", file=sys.stderr)
        sys.exit(1)
    flagged = [each for each in changes if each.flagged]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(results.grid(table([each for each in changes if arguments.all or each.flagged])))
    if alone := sum(each.first is None or each.second is None for each in changes):
        console.print(f"{alone} figures are in one of the two alone; --all lists them", style="dim", markup=False)
    for line in differences(first.machine, second.machine):
        console.print(f"not the same machine: {line}", style="yellow", markup=False)
    runs = " and ".join(f"{each.commit} ({each.started})" for each in (first, second))
    console.print(f"{runs}: {len(flagged)} of {len(changes)} figures changed by more than the noise", markup=False)
    sys.exit(FLAGGED if flagged else 0)


if __name__ == "__main__":
    main()
