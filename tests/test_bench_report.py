"""The report names everything: figures, targets met and missed, and what did not run with why; comparisons flag changes
beyond noise alone."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench import compare, document, older, page, plots, readme, report, results
from bench.catalogue import ENTRIES, QUICK_S, Entry
from bench.document import Missing, Report
from bench.results import Column, Machine, Result, Run, Series, Table
from bench.targets import TARGETS, judge

ROOT = Path(__file__).parent.parent
LISTENERS = [100.0, 1000.0]
COSTS = [
    Series("ours", "cost", LISTENERS, [3.2, 3.6], "listeners", "CPU time a packet (µs)"),
    Series("floor", "cost", LISTENERS, [2.7, 3.0], "listeners", "CPU time a packet (µs)", floor=True),
]
KEYS = {"joins_per_s": 270.0, "first_audio_p99_ms": 60.0, "ratio_forward_to_floor": 1.25, "mix_added_p50_ms": 27.0}


def result(
    keys: Mapping[str, float | None], noise: dict[str, float] | None = None, series: list[Series] = COSTS
) -> Result:
    table = Table("Costs", [Column("of"), Column("cost", "µs")], [["<ours>", 3.2], ["floor", None]], note="A note.")
    run = Run("plane", quick=True, command="scripts/bench plane --quick")
    return run.result(dict(keys), noise=noise, tables=[table], series=series, remarks=["DOUBT it.", "So it is."])


def made(*found: Result, missing: list[Missing] | None = None) -> Report:
    return Report(
        kind="report",
        command="scripts/bench report --quick",
        machine=Machine.here(),
        commit="0123456789ab",
        dirty=False,
        started="2026-11-26T04:00:00+00:00",
        seconds=100.0,
        quick=True,
        keys={key: figure for each in found for key, figure in each.keys.items()},
        noise={key: share for each in found for key, share in each.noise.items()},
        results=list(found),
        missing=missing or [],
    )


class Page(HTMLParser):
    """What a page has: its tags balanced, images with their texts, and identifiers of places."""

    EMPTY = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(made_report: Report) -> Page:
    read = Page()
    read.feed(page.page(made_report))
    assert read.open == []
    return read


def test_the_page_has_targets_tables_plots_and_what_did_not_run() -> None:
    latency = results.distribution("alone", [1.0, 2.0, 5.0, 100.0], "from POST to first packet (ms)")
    read = parsed(made(result(KEYS, series=[*COSTS, latency]), missing=[Missing("idle", "There is no core for it.")]))
    assert "3 are met, 1 missed" in read.text
    assert "missed: 0.90 of the target" in read.text
    assert "not measured in this run" in read.text
    assert "idle: There is no core for it." in read.text
    assert "DOUBT it." in read.text
    assert "<ours>" in read.text
    assert "quick run" in read.text
    assert "full run only: 15,000 peers" in read.text
    assert all(each.what in read.text for entry in ENTRIES for each in entry.full_only)
    assert len(read.images) == 2
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in read.images if image["src"])
    assert "ours: from 3.2 at 100 to 3.6 at 1,000" in (read.images[0]["alt"] or "")
    assert "p50 2, p99 100, max 100" in (read.images[1]["alt"] or "")
    assert len(set(read.ids)) == len(read.ids)
    # It needs nothing else: links are within the page.
    assert all(link.startswith(("#", "data:")) for link in read.links)


def test_a_page_without_any_result_says_so() -> None:
    read = parsed(made(missing=[Missing(entry.name, "No.") for entry in ENTRIES]))
    assert f"0 are met, 0 missed, {len(TARGETS)} not measured" in " ".join(read.text.split())
    assert {entry.name for entry in ENTRIES} <= set(read.ids)


@pytest.mark.parametrize("kind", ["cost", "growth", "latency"])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_plots_can_be_drawn_of_few_points_and_many(kind: str, count: int) -> None:
    x = [float(number + 1) for number in range(count)]
    series = Series("a", kind, x, [value / count for value in x], "x (ms)", "y")  # type: ignore[arg-type]
    drawn = plots.plots(result({}, series=[series]))
    assert len(drawn) == (0 if count == 1 and kind != "latency" else 1)  # one point is no line
    assert all("</svg>" in each.svg and each.alt for each in drawn)


def test_plots_of_nothing_are_none() -> None:
    assert plots.plots(result({}, series=[Series("a", "cost", [], [])])) == []


def test_targets_are_met_or_missed_by_so_much() -> None:
    keys = {"joins_per_s": 270.0, "first_audio_p99_ms": 300.0, "idle_core_share": 0.05, "tick_late_p999_ms": 5.0}
    found = {each.target.key: (each.state, each.verdict) for each in judge(keys)}
    assert found["joins_per_s"] == ("missed", "missed: 0.90 of the target")
    assert found["first_audio_p99_ms"] == ("missed", "missed: 2.00 times the limit")
    assert found["idle_core_share"] == ("met", "met, 3.0 times better")
    assert found["tick_late_p999_ms"] == ("met", "met, just")
    assert found["bytes_per_listener"][0] == "unknown"
    close = {each.target.key: each for each in judge({"joins_per_s": 290.0}, {"joins_per_s": 0.05})}["joins_per_s"]
    assert (close.state, close.verdict) == ("missed", "missed: 0.97 of the target, within the noise")


def test_a_report_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    written = made(result(KEYS), missing=[Missing("idle", "No.")])
    document.write(written, tmp_path / "report.json")
    assert document.read(tmp_path / "report.json") == document.read_either(tmp_path / "report.json") == written
    results.write(result(KEYS), tmp_path / "result.json")
    assert isinstance(document.read_either(tmp_path / "result.json"), Result)
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ValueError, match="is no result of a benchmark"):
        document.read_either(tmp_path / "none.json")
    with pytest.raises(ValueError, match="is no report of benchmarks"):
        document.read(tmp_path / "result.json")


# ---- running


def test_what_cannot_run_is_named_with_its_reason(tmp_path: Path) -> None:
    entries = [Entry("no-such", "It is not there", 5, 5), Entry("compare", "It wants two files", 20, 20)]
    found = report.run_all(entries, quick=True, command="x", logs=tmp_path)
    reasons = {each.name: each.reason for each in found.missing}
    assert found.results == []
    assert reasons["no-such"] == "There is no bench.no_such in this checkout."
    assert reasons["compare"].startswith("It ended with status 2: ")


def test_who_takes_more_than_its_share_of_a_quick_run_is_stopped_and_named(tmp_path: Path) -> None:
    entries = [Entry("no-such", "What it leaves is the next one's", 0.2, 1), Entry("plane", "It takes seconds", 0.2, 1)]
    *_, stopped = report.run_all(entries, quick=True, command="x", logs=tmp_path).missing
    assert stopped == Missing("plane", "It was stopped after 0 s, longer than it may take.")


def test_the_shares_of_a_quick_run_fit_into_five_minutes() -> None:
    stopping_s = sum(seconds for _, seconds in report.QUICK_PATIENCE_S)
    assert sum(entry.quick_s for entry in ENTRIES) <= QUICK_S
    assert QUICK_S + stopping_s < 300


def test_a_benchmark_that_hangs_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    child = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    begin = time.monotonic()
    patience = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 20.0))
    with pytest.raises(report.DidNotRun, match="stopped after 3 s, longer than it may take"):
        report._run([sys.executable, "-c", parent], tmp_path / "log", 3.0, patience)
    assert time.monotonic() - begin < 50
    assert (tmp_path / "log").read_text().startswith("up")
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert child not in running


def test_every_benchmark_of_the_catalogue_has_a_place_in_it_once() -> None:
    names = [entry.name for entry in ENTRIES]
    assert len(set(names)) == len(names)
    assert set(older.READERS) <= set(names)
    assert {target.bench for target in TARGETS} <= set(names)


# ---- README.md


def test_the_readme_gets_one_plot_and_three_figures(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    image = tmp_path / "docs" / "images" / "benchmarks.svg"
    for _ in range(2):  # again, over what it wrote
        readme.write(made(result(KEYS)), file, image)
    text = file.read_text()
    assert text.startswith(f"before\n{readme.BEGIN}\n- ")
    assert text.endswith(f"{readme.END}\nafter\n")
    assert "\n- A forwarded packet costs 1.25 times" in text
    assert text.count("\n- ") == 3
    assert "](docs/images/benchmarks.svg)" in text
    assert "`scripts/bench report --quick`" in text
    assert image.read_text().rstrip().endswith("</svg>")


def test_a_report_that_has_too_little_for_the_readme_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"{readme.BEGIN}\nold\n{readme.END}\n")
    for keys, series in (({"joins_per_s": 1.0}, COSTS), (KEYS, [])):
        with pytest.raises(readme.CannotShow):
            readme.write(made(result(dict(keys), series=series)), file, tmp_path / "image.svg")
    assert "old" in file.read_text()
    file.write_text("no place")
    with pytest.raises(readme.CannotShow, match="no line"):
        readme.write(made(result(KEYS)), file, tmp_path / "image.svg")


def test_the_projects_readme_has_a_place_for_it() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.index(readme.BEGIN) < text.index(readme.END)


# ---- comparing


def changes(first: Mapping[str, float | None], second: Mapping[str, float | None], noise: float) -> dict[str, str]:
    found = [result(keys, dict.fromkeys(keys, noise)) for keys in (first, second)]
    return {each.key: each.verdict for each in compare.compare(*found) if each.flagged}


def test_only_changes_beyond_the_noise_are_flagged() -> None:
    assert changes({"a": 100.0}, {"a": 104.0}, 0.0) == {}
    assert changes({"a": 100.0}, {"a": 106.0}, 0.0) == {"a": "changed"}
    assert changes({"a": 100.0}, {"a": 113.0}, 0.1) == {}  # together the noise is 14 %
    assert changes({"a": 100.0}, {"a": 120.0}, 0.1) == {"a": "changed"}
    assert changes({"a": 100.0}, {"a": 89.0}, 0.1) == {}
    assert changes({"a": 100.0}, {"a": 80.0}, 0.1) == {"a": "changed"}


def test_a_change_is_better_or_worse_where_there_is_a_target() -> None:
    better = changes(
        {"joins_per_s": 200.0, "idle_core_share": 0.3}, {"joins_per_s": 300.0, "idle_core_share": 0.1}, 0.0
    )
    assert better == {"joins_per_s": "better", "idle_core_share": "better"}
    worse = changes({"joins_per_s": 300.0, "idle_core_share": 0.1}, {"joins_per_s": 200.0, "idle_core_share": 0.3}, 0.0)
    assert worse == {"joins_per_s": "WORSE", "idle_core_share": "WORSE"}


def test_figures_that_are_missing_or_nothing_are_compared_too() -> None:
    assert changes({"b": 0.0, "c": 0.0}, {"b": 0.0, "c": 1.0}, 0.0) == {"c": "changed"}
    [alone] = compare.compare(result({"a": None}), result({"a": 1.0}))
    assert (alone.flagged, alone.verdict) == (False, "only in one")
    [unknown] = compare.compare(result({"a": 100.0}), result({"a": 115.0}))
    assert (unknown.flagged, unknown.known) == (False, False)


def test_the_command_says_by_its_status_whether_something_changed(tmp_path: Path) -> None:
    first, same, other, single = (tmp_path / f"{name}.json" for name in ("first", "same", "other", "single"))
    document.write(made(result(KEYS, dict.fromkeys(KEYS, 0.01))), first)
    document.write(made(result(KEYS, dict.fromkeys(KEYS, 0.01))), same)
    machine = replace(Machine.here(), kernel="another")
    document.write(replace(made(result({**KEYS, "joins_per_s": 90.0})), machine=machine), other)
    results.write(result({"of its own": 1.0}), single)

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench.compare", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    equal, changed = run(first, same), run(first, other)
    assert (equal.returncode, changed.returncode) == (0, 3)
    assert "0 of 4 figures changed" in equal.stdout
    assert "joins_per_s" in changed.stdout
    assert "WORSE" in changed.stdout
    assert "not the same machine: kernel: " in changed.stdout
    assert run(first, single).returncode == 1
    assert run(first, tmp_path / "none.json").returncode == 2
    assert run(first, ROOT / "README.md").returncode == 2


# ---- files in forms of their own


def test_older_benchmarks_are_read_into_the_common_form() -> None:
    packets = {"n": 100, "forward_us_per_packet": 3.0, "mix_us_per_packet": 4.0, "floor_us_per_packet": 2.5}
    rounds = {"forward_us_all": [2.9, 3.0, 3.2], "mix_us_all": [4.0, 4.0, 4.0], "floor_us_all": [2.5, 2.5, 2.5]}
    plane = older.plane({"results": [packets | rounds | {"ratio_forward": 1.2, "ratio_mix": 1.6}]})
    assert plane.keys["plane_ratio_forward_100"] == 1.2
    assert plane.noise["plane_forward_us_100"] == pytest.approx(0.05)
    assert [series.floor for series in plane.series] == [False, False, True]
    kernel = {
        "kernel": "mix",
        "columns": 8,
        "channels": 1,
        "kernel_min_ns": 1500.0,
        "numpy_min_ns": 3000.0,
        "speedup": 2,
    }
    assert older.kernels({"samples": 960, "results": [kernel]}).keys == {"kernel_mix_8_columns_1_channels_us": 1.5}
    music = {"what": "player, mp3", "per": "room", "plane_us": 5.0, "plane_us_all": [4.0, 6.0]}
    assert older.music({"results": [music]}).keys == {"music_player__mp3_us": 5.0}
    moved = {"listeners": 1, "burst": 32, "home_us": 1.0, "moved_us": 2.0, "more_us": 1.0}
    assert older.moved({"results": [moved]}).keys == {"moved_more_us_1_32": 1.0}
    quality = older.quality({"pesq_loss_clean": 0.01, "features": {}, "machine": {}, "cases": []})
    assert quality.keys == {"pesq_loss_clean": 0.01}
