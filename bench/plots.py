"""Plots of results, as SVG: light, and readable without colours."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.results import Result, Series

DASHES = ("--", ":", "-.")
MARKERS = "osD^vPX*"
COLOURS = ("#0b5394", "#b45f06", "#38761d", "#741b47", "#134f5c", "#990000", "#5b5b00", "#444444")  # dark on white
ROOM = 1.6  # below and above what grows, as a factor
RARE = 1e-4  # of samples: what a distribution's axis shows at least


@dataclass(frozen=True)
class Plot:
    """alt: what it shows, for who cannot see it."""

    title: str
    svg: str
    alt: str


def plots(result: Result) -> list[Plot]:
    """One for all series of a kind that have the same axes. Where all are points, there is no line to be drawn."""
    groups: dict[tuple[str, str, str], list[Series]] = {}
    for series in result.series:
        if series.x:
            groups.setdefault((series.kind, series.x_name, series.y_name), []).append(series)
    return [
        plot(result.name, group)
        for group in groups.values()
        if group[0].kind == "latency" or any(len(series.x) > 1 for series in group)
    ]


def plot(name: str, group: Sequence[Series]) -> Plot:
    if group[0].kind == "latency":
        return _latency(name, group)
    return _lines(name, group)


def _latency(name: str, group: Sequence[Series]) -> Plot:
    """How many samples took longer (logarithmic), over how long (logarithmic)."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    figure, axes = _figure()
    for number, series in enumerate(group):
        # The worst sample is drawn where one more would be, since nothing took longer than it.
        step = 1 - series.y[-2] if len(series.y) > 1 else 1.0
        longer = [max(1 - share, step / 2) for share in series.y]
        axes.plot(series.x, longer, label=series.name, **_style(number, series, markevery=max(1, len(series.x) // 8)))
    axes.set_yscale("log")
    axes.set_xscale("log")
    _plain_decades(axes.xaxis)
    rarest = min((1 - share for series in group for share in series.y if share < 1), default=1.0)
    axes.set_ylim(min(RARE, rarest / 2), 1.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:,.10g} %"))
    for share, label in ((0.5, "p50"), (0.1, "p90"), (0.01, "p99"), (0.001, "p99.9")):
        axes.axhline(share, color="#999999", linewidth=0.6, linestyle=":")
        axes.text(1.005, share, label, transform=axes.get_yaxis_transform(), fontsize=8, va="center", color="#444444")
    unit = group[0].x_name
    axes.set_xlabel(unit)
    axes.set_ylabel("share of samples that took longer")
    title = f"{name}: {unit}, distributions"
    told = "; ".join(f"{series.name}: {_quantiles(series)}" for series in group)
    return Plot(title, _finish(figure, axes), f"Distribution on logarithmic axes, in {unit}. {told}.")


def _quantiles(series: Series) -> str:
    def at(share: float) -> float:
        return next(x for x, y in zip(series.x, series.y, strict=True) if y >= share)

    return ", ".join(f"{label} {at(share):,.4g}" for label, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)))


def _lines(name: str, group: Sequence[Series]) -> Plot:
    figure, axes = _figure()
    for number, series in enumerate(group):
        style = _style(number, series)
        if any(other.fitted for other in group) and not series.fitted:
            style["linestyle"] = ""  # the curve joins its points
        axes.plot(series.x, series.y, label=series.name, **style)
    x, y = group[0].x_name, group[0].y_name
    values = [value for series in group if not series.fitted for value in series.x]
    wide = min(values) > 0 and max(values) / min(values) >= 8
    if wide:
        axes.set_xscale("log")
        _plain(axes.xaxis, sorted(set(values)))
    if group[0].kind == "growth" and wide and all(value > 0 for series in group for value in series.y):
        axes.set_yscale("log")
        low, high = (worst(value for series in group for value in series.y) for worst in (min, max))
        axes.set_ylim(low / ROOM, high * ROOM)  # what is flat looks flat
        _plain_decades(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    title = f"{name}: {y} against {x}"
    told = "; ".join(
        f"{series.name}: from {series.y[0]:,.4g} at {series.x[0]:,.4g} to {series.y[-1]:,.4g} at {series.x[-1]:,.4g}"
        for series in group
    )
    return Plot(title, _finish(figure, axes), f"{y} against {x}. {told}.")


def _plain(axis: Any, values: Sequence[float]) -> None:
    """The measured places are the ticks, as plain numbers, where they are few."""
    if len(values) <= 8:
        axis.set_ticks(values, [f"{value:,.10g}" for value in values])
        axis.set_ticks([], minor=True)


def _plain_decades(axis: Any) -> None:
    """1, 2, 5, 10 and so on, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1000 * max(low, 1e-9) else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_locator(NullLocator())


def _style(number: int, series: Series, *, markevery: int | None = None) -> dict[str, Any]:
    if series.floor:
        marker = "" if len(series.x) > 1 else "x"
        dashes = DASHES[number % len(DASHES)]
        return {"color": "#555555", "linestyle": dashes, "linewidth": 1.4, "marker": marker, "zorder": 1}
    if series.fitted:
        return {"color": "#888888", "linestyle": "-", "linewidth": 1.2, "marker": "", "zorder": 1}
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
        "linewidth": 1.6,
        "markevery": markevery,
    }


def _figure() -> tuple[Any, Any]:
    import matplotlib  # noqa: PLC0415 - of the extra `bench`: only plots need it

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.family": "sans-serif"})
    from matplotlib import pyplot  # noqa: PLC0415

    figure, axes = pyplot.subplots(figsize=(7.2, 4.0))
    axes.grid(alpha=0.25, which="major")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _finish(figure: Any, axes: Any) -> str:
    from matplotlib import pyplot  # noqa: PLC0415

    axes.legend(frameon=False, fontsize=9)
    figure.tight_layout()
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    return file.getvalue()
