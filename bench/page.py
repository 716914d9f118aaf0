"""A report as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Set
from html import escape

from bench import plots
from bench.catalogue import ENTRIES
from bench.document import Report
from bench.results import Result, Table
from bench.targets import Judgement, judge

BUSY = 0.25
"""Load of each core before the run, above which the machine had other things to do."""

LONG = 16
"""Rows of a table, above which it is folded."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1rem; }
p, ul { max-width: 46rem; }
code { font: .9em ui-monospace, monospace; background: #f4f4f4; padding: .1em .3em; border-radius: 3px;
  overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .2rem 0; }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #e5e5e5; text-align: right; vertical-align: top; }
th { font-weight: 600; color: #444; }
th.words, td.words { text-align: left; }
.note, figcaption { color: #555; font-size: .85rem; max-width: 46rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 33rem), 1fr)); gap: 0 2rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; }
.targets td:nth-child(2), .targets td:nth-child(3), .targets td:nth-child(4) { white-space: nowrap; }
.figure { font-weight: 600; }
a { color: #0b5394; }
td a { text-decoration: none; }
.contents { border-top: 1px solid #ddd; padding-top: 1rem; margin-top: 2.5rem; max-width: none; }
.met { color: #1b5e20; font-weight: 600; }
.missed { color: #a01010; font-weight: 600; }
.unknown { color: #555; }
.doubt { background: #fff6dc; border-left: 4px solid #c99700; padding: .5rem .8rem; margin: .8rem 0; max-width: 46rem; }
.doubt ul { margin: .2rem 0; padding-left: 1.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .9rem; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
""".strip()


def page(report: Report) -> str:
    judgements = judge(report.keys, report.noise, quick=report.quick)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Benchmarks, {escape(report.commit)}</title>",
            f"<style>\n{STYLE}\n</style>\n</head>\n<body>\n<main>",
            "<h1>What the media server costs, and how long it takes</h1>",
            *_summary(report, judgements),
            *_where(report),
            *_targets(report, judgements, {each.name for each in report.results if _doubts(each)}),
            *_missing(report),
            *_full_only(report),
            *_contents(report),
            *(line for result in report.results for line in _section(result)),
            *_how(),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _summary(report: Report, judgements: list[Judgement]) -> Iterator[str]:
    states = [each.state for each in judgements]
    met, missed, unknown = (states.count(state) for state in ("met", "missed", "unknown"))
    yield (
        f"<p>Of {len(states)} targets, <strong>{met} are met, {missed} missed</strong>, {unknown} not measured in this "
        f"run. {_ran(report)}</p>"
    )
    warnings = []
    if report.quick:
        warnings.append("This is a quick run: a first impression, with few and short rounds.")
    if report.machine.load_before > BUSY * report.machine.cores:
        warnings.append(
            f"The machine was busy when it began (load {report.machine.load_before:.2f} on {report.machine.cores} "
            "cores): times are as much the other work's as the server's, and CPU times are larger than on a quiet one."
        )
    if report.dirty:
        warnings.append("The checkout had changes that are in no commit.")
    if warnings:
        listed = "".join(f"<li>{escape(each)}</li>" for each in warnings)
        yield f'<div class="doubt" role="note"><ul>{listed}</ul></div>'


def _ran(report: Report) -> str:
    ran, missing = len(report.results), len(report.missing)
    return f"{ran} benchmarks ran, {missing} did not." if missing else f"All {ran} benchmarks ran."


def _prose(text: str) -> str:
    """As HTML; what is between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _where(report: Report) -> Iterator[str]:
    lines = [*report.machine.lines(), ("commit", report.commit + (" with changes" if report.dirty else ""))]
    lines += [("begun", report.started), ("took", f"{report.seconds / 60:.1f} minutes")]
    yield "<dl>"
    for what, value in lines:
        yield f"<dt>{escape(what)}</dt><dd>{escape(value)}</dd>"
    yield f"<dt>command</dt><dd><code>{escape(report.command)}</code></dd></dl>"


def _doubts(result: Result) -> list[str]:
    return [remark for remark in result.remarks if remark.startswith("DOUBT")]


def _targets(report: Report, judgements: list[Judgement], doubtful: Set[str]) -> Iterator[str]:
    """doubtful: benchmarks that doubt their own figures."""
    yield '<h2 id="targets">Targets</h2>'
    yield (
        "<p>CPU times are of the server's process, on a core of its own; what loads it runs on another. ± is how far "
        "the rounds of this run lay apart. A figure that was not measured is no figure.</p>"
    )
    yield '<div class="wide"><table class="targets"><thead><tr><th scope="col" class="words">what</th>'
    yield '<th scope="col">target</th><th scope="col">measured</th><th scope="col">±</th>'
    yield '<th scope="col" class="words">beside it</th><th scope="col" class="words">verdict</th></tr></thead><tbody>'
    for each in judgements:
        key = each.target.key
        figure = "-" if each.figure is None else each.target.say(each.figure)
        noise = f"{100 * report.noise[key]:.0f} %" if each.figure is not None and key in report.noise else ""
        doubts = "; it has doubts" if each.figure is not None and each.target.bench in doubtful else ""
        yield (
            f'<tr><td class="words"><a href="#{each.target.bench}">{escape(each.target.text)}</a></td>'
            f'<td>{escape(each.target.limit_text)}</td><td class="figure">{escape(figure)}</td><td>{noise}</td>'
            f'<td class="words">{escape(each.beside)}</td>'
            f'<td class="words {each.state}">{escape(each.verdict + doubts)}</td></tr>'
        )
    yield "</tbody></table></div>"


def _full_only(report: Report) -> Iterator[str]:
    if not report.quick:
        return
    yield '<h2 id="full-only">Full run only</h2>'
    yield (
        "<p>What a quick run cannot say, and why. <code>scripts/bench report</code> without <code>--quick</code> does, "
        f"in about {_minutes(sum(entry.full_s for entry in ENTRIES))}.</p>"
    )
    yield '<div class="wide"><table><tbody>'
    for entry in ENTRIES:
        for each in entry.full_only:
            cells = (f"<code>{entry.name}</code>", escape(each.what), escape(each.why))
            yield "<tr>" + "".join(f'<td class="words">{cell}</td>' for cell in cells) + "</tr>"
    yield "</tbody></table></div>"


def _minutes(seconds: float) -> str:
    return f"{5 * round(seconds / 300)} minutes"


def _contents(report: Report) -> Iterator[str]:
    if report.results:
        links = " · ".join(f'<a href="#{escape(each.name)}">{escape(each.name)}</a>' for each in report.results)
        yield f'<p class="contents">{links}</p>'


def _missing(report: Report) -> Iterator[str]:
    if not report.missing:
        return
    yield '<h2 id="missing">What did not run</h2>\n<ul>'
    reasons: dict[str, list[str]] = {}
    for each in report.missing:
        reasons.setdefault(each.reason, []).append(each.name)
    for reason, names in reasons.items():
        listed = ", ".join(f'<code id="{escape(name)}">{escape(name)}</code>' for name in names)
        yield f"<li>{listed}: {escape(reason)}</li>"
    yield "</ul>"


def _section(result: Result) -> Iterator[str]:
    about = next((entry.about for entry in ENTRIES if entry.name == result.name), "")
    yield f'<h2 id="{escape(result.name)}">{escape(result.name)}</h2>'
    yield f"<p>{escape(about)}. <code>{escape(result.command)}</code>, {result.seconds:.0f} s.</p>"
    doubts = _doubts(result)
    others = [remark for remark in result.remarks if not remark.startswith("DOUBT")]
    if doubts:
        yield '<div class="doubt" role="note"><ul>'
        yield from (f"<li>{_prose(each)}</li>" for each in doubts)
        yield "</ul></div>"
    if others:
        yield f"<ul>{''.join(f'<li>{_prose(each)}</li>' for each in others)}</ul>"
    figures = plots.plots(result)
    yield '<div class="plots">'
    for drawn in figures:
        data = base64.b64encode(drawn.svg.encode()).decode()
        yield (
            f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(drawn.alt)}" width="720" height="400">'
            f"<figcaption>{escape(drawn.title)}</figcaption></figure>"
        )
    yield "</div>"
    for table in result.tables:
        yield from _table(table)
    yield from _keys(result)


def _table(table: Table) -> Iterator[str]:
    """Folded when it is long."""
    if len(table.rows) > LONG:
        yield f"<details><summary>{escape(table.title)} ({len(table.rows)} rows)</summary>"
        yield from _rows(table)
        yield "</details>"
    else:
        yield from _rows(table)


def _rows(table: Table) -> Iterator[str]:
    words = [all(isinstance(row[k], str) for row in table.rows) for k in range(len(table.columns))]
    yield f'<div class="wide"><table><caption>{escape(table.title)}</caption><thead><tr>'
    for column, left in zip(table.columns, words, strict=True):
        yield f'<th scope="col"{_class(left)}>{escape(column.head)}</th>'
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = zip(table.columns, row, words, strict=True)
        yield "<tr>" + "".join(f"<td{_class(left)}>{escape(c.text(cell))}</td>" for c, cell, left in cells) + "</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="note">{_prose(table.note)}</p>'


def _class(words: bool) -> str:
    return ' class="words"' if words else ""


def _keys(result: Result) -> Iterator[str]:
    yield f"<details><summary>All {len(result.keys)} figures of <code>{escape(result.name)}</code></summary>"
    yield '<table><thead><tr><th scope="col" class="words">key</th><th scope="col">figure</th>'
    yield '<th scope="col">from round to round</th></tr></thead><tbody>'
    for key, figure in result.keys.items():
        noise = f"± {result.noise[key]:.1%}" if key in result.noise else ""
        shown = "-" if figure is None else f"{figure:,.5g}"
        yield f'<tr><td class="words"><code>{escape(key)}</code></td><td>{shown}</td><td>{noise}</td></tr>'
    yield "</tbody></table></details>"


def _how() -> Iterator[str]:
    yield '<h2 id="how">How to believe it</h2>'
    yield (
        "<p>Each benchmark runs alone as well: <code>scripts/bench NAME --json FILE</code>. "
        "<code>docs/benchmarks.md</code> says of each how it measures and what would make it lie: coordinated "
        "omission, shared cores, loopback that makes the sender pay for the receiver. "
        "<code>scripts/bench compare A.json B.json</code> compares two files, and flags what changed by more than the "
        "rounds of a run differ among themselves. The plots' points are in the JSON file beside this page.</p>"
    )
