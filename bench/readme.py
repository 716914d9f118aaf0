"""What README.md shows of a report: one plot and three figures, between two comments, and what made them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench import plots
from bench.document import Report
from bench.results import ROOT, Series

README = ROOT / "README.md"
IMAGE = ROOT / "docs" / "images" / "benchmarks.svg"
BEGIN, END = "<!-- scripts/bench report --readme -->", "<!-- end of what it writes -->"
FIGURES = 3

# Key -> the sentence, with the figure in it. The first three that were measured are shown.
SENTENCES = {
    "ratio_janus_audiobridge": "a mix for 200 listeners takes {:.0f} times less CPU time than Janus AudioBridge's",
    "mix_added_p50_ms": "mixing adds {:.0f} ms to a voice in the median",
    "joins_per_s": "one core takes {:.0f} joins a second",
    "plane_ratio_forward_1000": "a packet to one of 1,000 listeners costs {:.2f} times what OpenSSL and the kernel do",
    "ratio_forward_to_floor": "a forwarded packet costs {:.2f} times what OpenSSL and the kernel cost alone",
    "ratio_janus_videoroom": "a forwarded packet takes {:.1f} times less CPU time than in Janus VideoRoom",
    "plane_mix_us_1000": "a packet of a mix for one of 1,000 listeners takes {:.1f} µs of CPU time",
    "bytes_per_listener": "a listener takes {:,.0f} bytes of memory",
}
# Benchmarks whose cost is plotted against listeners; the first that was measured is shown.
PLOTTED = ("plane", "peers", "capacity")


class CannotShow(Exception):
    """Why there is nothing to show, in a sentence."""


def figures(keys: Mapping[str, float | None]) -> list[str]:
    """CannotShow when fewer than three were measured."""
    found = [text.format(figure) for key, text in SENTENCES.items() if (figure := keys.get(key)) is not None]
    if len(found) < FIGURES:
        raise CannotShow(f"Of the figures that README.md can show, only {len(found)} were measured.")
    return found[:FIGURES]


def plot(report: Report) -> plots.Plot:
    """CannotShow when no cost against listeners was measured."""
    for name in PLOTTED:
        for result in report.results:
            groups: dict[tuple[str, str], list[Series]] = {}
            for series in result.series:
                if series.kind == "cost" and "listener" in series.x_name and len(series.x) > 1:
                    groups.setdefault((series.x_name, series.y_name), []).append(series)
            if result.name == name and groups:
                return plots.plot(name, max(groups.values(), key=len))
    raise CannotShow("No benchmark measured costs against listeners, so there is no plot for README.md.")


def block(report: Report, drawn: plots.Plot, image: str) -> str:
    """image: its address from README.md."""
    listed = "\n".join(f"- {sentence[0].upper()}{sentence[1:]}." for sentence in figures(report.keys))
    machine = report.machine
    where = f"{machine.cores} cores ({machine.cpu}), Linux {machine.kernel.partition('-')[0]}, commit {report.commit}"
    return (
        f"{BEGIN}\n{listed}\n\n![{drawn.alt}]({image})\n\n"
        f"Made by `{report.command}` on {where}, {report.started[:10]}.\n{END}"
    )


def write(report: Report, readme: Path = README, image: Path = IMAGE) -> None:
    """CannotShow when there is too little to show, or README.md has no place for it."""
    drawn = plot(report)
    text = readme.read_text(encoding="utf-8")
    made = block(report, drawn, image.relative_to(readme.parent).as_posix())
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise CannotShow(f"{readme.name} has no line {BEGIN} and no {END} after it.")
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_text(drawn.svg, encoding="utf-8")
    readme.write_text(pattern.sub(lambda _: made, text), encoding="utf-8")
