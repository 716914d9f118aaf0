"""The benchmark of joins measures a real server, on numbers so small that they tell nothing of speed."""

import pytest

from bench import join
from bench.processes import Cpu, Histogram
from mediaserver.loadgen.report import Peer, stages_ms


def test_the_benchmark_of_joins_runs_and_gives_its_figures() -> None:
    size = join.Size(rooms=2, alone_s=0.4, storm_s=0.1, rounds=1, ramp_s=0.1, ramp=(100.0,), handshakes=3, requests=8)
    found = join.measure(True, size)
    assert found.keys["joins_failed"] == 0
    positive = (
        *("joins_per_s", "join_cpu_ms", "join_floor_cpu_ms", "join_ratio_to_floor", "first_audio_alone_p50_ms"),
        *("first_audio_p99_ms", "tick_late_p999_ms"),
    )
    assert all((found.keys[key] or 0) > 0 for key in positive), found.keys
    times, costs, ramp, ticks = found.tables
    assert {row[1] for row in times.rows} == {*join.STAGES.values(), "POST due to first packet"}
    assert len(costs.rows) == 7
    assert [row[:3] for row in ramp.rows] == [[100.0, 10, 0]]
    assert ticks.rows[0][1] > 0  # type: ignore[operator]
    assert [len(series.x) > 0 for series in found.series] == [True, True]


def test_what_packets_cost_is_no_part_of_a_join() -> None:
    # Two peers, there for 3 and 1 of 4 seconds, at 0.1 s of CPU time a second each.
    cost = join.cost_of(Cpu(0.5, 0.4, 0.0), 4.0, Cpu(0.0, 0.4, 0.1), 2.0, [1.0, 3.0])
    assert cost.loop == pytest.approx(250)
    assert cost.plane == pytest.approx(0)
    assert cost.others == 0  # less than nothing is nothing
    assert cost.total == pytest.approx(250)


def test_a_rate_is_kept_up_with_while_joins_do_not_pile_up() -> None:
    def at(offered_ms: float, connected_ms: float | None) -> join.Joined:
        peers = [Peer(0, False, offered_ms, 5.0, connected_ms, checked_ms=6.0)] * 10
        return join.Joined(100.0, peers, Histogram({}), None, [])

    assert at(1.0, 20.0).kept_up
    assert not at(1.0, 2000.0).kept_up
    assert not at(1.0, None).kept_up
    late = at(200.0, 300.0)
    assert late.offered_late
    assert not late.kept_up


def test_lateness_beyond_the_last_bound_is_at_least_that_bound() -> None:
    infinite = float("inf")
    assert join.late_ms(Histogram({0.001: 999, 0.005: 1000, infinite: 1000})) == 1
    assert join.late_ms(Histogram({0.001: 900, 0.005: 990, infinite: 1000})) == 5
    assert join.late_ms(Histogram({0.001: 0, infinite: 0})) is None


def test_a_joins_time_is_told_by_its_parts() -> None:
    listener = Peer(0, False, 1.0, 3.0, 10.0, 15.0, checked_ms=6.0)
    speaker = Peer(0, True, 1.0, 3.0, 10.0, checked_ms=6.0)
    refused = Peer(0, False, 2.0, failed="refused with 503")
    assert stages_ms([listener, speaker, refused]) == {
        "offer": [1.0, 1.0, 2.0],
        "answer": [2.0, 2.0],
        "ice": [3.0, 3.0],
        "dtls": [4.0, 4.0],
        "first_audio": [5.0],
    }
