"""Results of benchmarks come back from their files as they were, and what a server is charged for is the kernel's."""

import io
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from bench import results
from bench.processes import Histogram, Metrics, process_cpu_s, tree, tree_cpu_s, tree_memory
from bench.results import Column, Machine, Result, Run, Series, Table

ROOT = Path(__file__).parent.parent
TABLE = Table(
    "Packets", [Column("of"), Column("cost", "µs", 1), Column("count")], [["us", 2.74, 1000], ["floor", None, 3]]
)
SERIES = Series("us", "latency", [1.0, 2.0], [0.5, 1.0], "ms", "share of samples")


def result() -> Result:
    run = Run("example", quick=True, command="scripts/bench example")
    return run.result({"a": 1.5, "b": None}, noise={"a": 0.1}, tables=[TABLE], series=[SERIES], remarks=["DOUBT it."])


def test_a_result_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    written = result()
    results.write(written, tmp_path / "a.json")
    assert results.read(tmp_path / "a.json") == written


def test_a_result_says_where_it_was_measured() -> None:
    machine = Machine.here()
    assert machine.cores == os.cpu_count()
    assert machine.kernel == os.uname().release
    assert machine.memory_mib > 100
    assert "OpenSSL" in machine.openssl
    commit, _ = results.commit()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert head.startswith(commit) or commit == "unknown"


@pytest.mark.parametrize(
    "change",
    [
        {"keys": "none"},
        {"keys": {"a": "fast"}},
        {"noise": {"unknown": 0.1}},
        {"another": 1},
        {"tables": [{"title": "x", "columns": [{"name": "a"}], "rows": [[1, 2]]}]},
        {"series": [{"name": "x", "kind": "cost", "x": [1], "y": []}]},
        {"series": [{"name": "x", "kind": "pie", "x": [], "y": []}]},
    ],
)
def test_a_file_that_is_no_result_is_refused_with_a_sentence(tmp_path: Path, change: dict[str, object]) -> None:
    file = tmp_path / "a.json"
    results.write(result(), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=r"a\.json is no result of a benchmark: .*\.$"):
        results.read(file)


def test_a_figure_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        Run("example", quick=True, command="").result({"a": math.nan})


def test_a_result_is_shown_with_its_figures_units_and_doubts() -> None:
    shown = io.StringIO()
    results.show(result(), Console(width=120, file=shown))
    text = shown.getvalue()
    assert [line.split() for line in text.splitlines()[1:4]] == [
        ["of", "cost", "(µs)", "count"],
        ["us", "2.7", "1,000"],
        ["floor", "-", "3"],
    ]
    assert "DOUBT it." in text
    assert "± 10.0% from round to round" in text


def test_spread_is_half_the_range_over_the_median() -> None:
    assert results.spread([9.0, 10.0, 12.0]) == pytest.approx(0.15)
    assert results.spread([3.0]) == results.spread([]) == results.spread([0.0, 0.0]) == 0


def test_a_distribution_keeps_its_quantiles_and_its_worst_sample() -> None:
    values = [float(value) for value in range(100_000)]
    series = results.distribution("delay", values[::-1], "ms")
    assert len(series.x) < 500
    assert (series.x[-1], series.y[-1]) == (99_999, 1.0)
    for share in (0.5, 0.99, 0.999):
        at = next(x for x, y in zip(series.x, series.y, strict=True) if y >= share)
        assert at / 100_000 == pytest.approx(share, abs=(1 - share) / 10)
    assert results.distribution("none", [], "ms").x == []


EXPOSITION = """\
# HELP late_seconds How late.
# TYPE late_seconds histogram
late_seconds_bucket{worker="0",le="0.001"} 90.0
late_seconds_bucket{worker="0",le="0.005"} 98.0
late_seconds_bucket{worker="0",le="+Inf"} 100.0
late_seconds_count{worker="0"} 100.0
late_seconds_sum{worker="0"} 0.3
late_seconds_bucket{worker="1",le="0.001"} 100.0
late_seconds_bucket{worker="1",le="0.005"} 100.0
late_seconds_bucket{worker="1",le="+Inf"} 100.0
late_seconds_count{worker="1"} 100.0
late_seconds_sum{worker="1"} 0.1
# HELP sent_total Sent.
# TYPE sent_total counter
sent_total{worker="0",to="a"} 5.0
sent_total{worker="1",to="a"} 7.0
sent_total{worker="1",to="b"} 9.0
"""


def test_metrics_are_read_over_all_workers() -> None:
    metrics = Metrics.of(EXPOSITION)
    late = metrics.histogram("late_seconds")
    assert late.cumulated == {0.001: 190, 0.005: 198, math.inf: 200}
    assert late.sum == pytest.approx(0.4)
    assert metrics.total("sent_total") == 21
    assert metrics.total("sent_total", to="a") == 12
    with pytest.raises(KeyError):
        metrics.total("received_total")


def test_quantiles_of_a_histogram() -> None:
    late = Histogram({0.001: 190, 0.005: 198, math.inf: 200}, 0.4)
    assert late.count == 200
    assert late.above(0.005) == 2
    assert [late.quantile(share) for share in (0.5, 0.95, 0.96, 0.999)] == [0.001, 0.001, 0.005, math.inf]
    assert late.interpolated(0.475) == pytest.approx(0.0005)
    assert late.interpolated(0.97) == pytest.approx(0.003)
    assert late.interpolated(0.999) == 0.005  # there is no upper end
    since = late - Histogram({0.001: 100, 0.005: 100, math.inf: 100}, 0.1)
    assert since.cumulated == {0.001: 90, 0.005: 98, math.inf: 100}
    assert since.sum == pytest.approx(0.3)
    assert Histogram({0.001: 0, math.inf: 0}).quantile(0.5) is None


def test_a_process_is_charged_for_its_children() -> None:
    work = "import subprocess, sys, time\nwhile time.process_time() < 0.2: bytes(1000)\n"
    parent = f"{work}print(1, flush=True)\nsubprocess.run([sys.executable, '-c', {(work + 'time.sleep(60)')!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            while tree_cpu_s(process.pid) - process_cpu_s(process.pid) < 0.2:
                assert process.poll() is None
                time.sleep(0.01)
            assert len(tree(process.pid)) == 2
            assert process_cpu_s(process.pid) >= 0.2
            memory = tree_memory(process.pid)
            assert memory.rss >= memory.pss >= memory.private > 1 << 20
        finally:
            os.killpg(process.pid, 9)
    with pytest.raises(ProcessLookupError):
        process_cpu_s(process.pid)
    with pytest.raises(ProcessLookupError):
        tree_memory(process.pid)


def test_the_script_lists_what_can_be_run_and_refuses_what_cannot() -> None:
    for name in ("", "joining", "quality_report", "../scripts/bench", "no such"):
        done = subprocess.run([ROOT / "scripts/bench", name], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert {"control", "plane", "quality"} <= set(done.stderr.split())
