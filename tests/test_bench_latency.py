"""The benchmarks of latency measure real servers, on numbers so small that they tell nothing of speed."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from bench import forward_latency, mix_latency, tick
from bench.processes import Histogram, Metrics
from bench.rawpeer import RawPeer
from bench.results import CannotMeasure

INFINITE = float("inf")


def test_the_benchmark_of_forwarding_runs_and_gives_its_figures() -> None:
    found = forward_latency.measure(True, forward_latency.Size({1: 5, 3: 8}, rounds=2))
    assert all((figure or 0) > 0 for figure in found.keys.values()), found.keys
    assert found.keys.keys() >= {"forward_first_p50_us", "forward_first_p99_us", "forward_last_to_floor"}
    assert found.remarks == ["The keys are of 3 listeners."]
    rows = found.tables[0].rows
    assert [row[:4] for row in rows if row[1] == "server"] == [
        [listeners, "server", which, 2 * packets]
        for listeners, packets in ((1, 5), (3, 8))
        for which in ("first", "last")
    ]
    for first, last in zip(rows[::2], rows[1::2], strict=True):
        assert first[4] <= last[4]  # type: ignore[operator]
    assert sum(series.floor for series in found.series) == 2


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Who sends, who receives, both with time stamps."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(sender), closing(receiver):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        for each in (sender, receiver):
            each.setblocking(False)
        forward_latency.stamp_sending(sender)
        forward_latency.stamp_receiving(receiver)
        yield sender, receiver


def test_the_kernel_says_when_a_packet_was_sent_and_came_and_rtcp_is_none() -> None:
    with pair() as (sender, receiver):
        assert forward_latency.received_ns(receiver) is None
        sender.send(b"\x80\xc8report")
        forward_latency.sent_ns(sender)
        sender.send(b"\x90\x6fspeech")
        sent, received = forward_latency.sent_ns(sender), forward_latency.received_ns(receiver)
        assert received is not None
        assert 0 < received - sent < 1_000_000_000
        assert forward_latency.received_ns(receiver) is None


def test_a_copy_that_does_not_come_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_latency, "LOST_S", 0.1)
    with pair() as (sender, receiver):
        sink = RawPeer()
        sink.socket.setblocking(False)
        with pytest.raises(CannotMeasure, match="1 of 1 copies"):
            forward_latency.send_through(sender, [b"\x90nobody"], receiver.getsockname(), [sink])
        sink.close()


def test_the_benchmark_of_mixing_runs_and_gives_its_figures() -> None:
    found = mix_latency.measure(True, mix_latency.Size(rooms=1, seconds=1.5, rounds=1))
    keys = found.keys
    # What cannot be less: the mixer's look-ahead, the limiter, and what its jitter buffer wants.
    assert all((keys[key] or 0) > 5 for key in ("mix_added_p50_ms", "mix_added_p99_ms")), keys
    assert keys["mix_added_p50_ms"] == max(
        keys["mix_added_p50_ms_one_clean"] or 0, keys["mix_added_p50_ms_two_clean"] or 0
    )
    for name in ("one_clean", "two_clean", "one_jittery", "two_jittery"):
        assert (keys[f"mouth_to_ear_p50_ms_{name}"] or 0) > 38
    times, parts = found.tables
    assert [row[0] for row in times.rows] == [case.name for case in mix_latency.CASES]
    assert all(row[1] > 4.9 for row in parts.rows)  # type: ignore[operator]
    assert [series.kind for series in found.series] == ["latency"] * 4


def test_the_parts_of_a_wait_are_the_differences_of_the_servers_own_account() -> None:
    def metrics(scale: float) -> Metrics:
        names = {"playout_target": 0.005, "playout_wait": 0.02, "mix_residence": 0.001, "tick_lateness": 0.0001}
        names["tick_duration"] = 0.0005
        histograms = {
            f"mediaserver_{name}_seconds": Histogram({INFINITE: 10 * scale}, 10 * scale * mean)
            for name, mean in names.items()
        }
        frames = {"passed": 30.0, "encoded": 10.0}
        samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
            (f"mediaserver_plane_frames_{name}_total", ()): scale * count for name, count in frames.items()
        }
        return Metrics(samples, histograms)

    parts = mix_latency.parts_of(metrics(1), metrics(3))
    assert parts.jitter_buffer == pytest.approx(5)
    assert parts.tick == pytest.approx(15)
    assert parts.sending == pytest.approx(1)
    assert parts.passed == pytest.approx(0.75)
    assert parts.together == pytest.approx(5 + 15 + 1 + 5 + 6.5)
    assert mix_latency.mean_ms(Histogram({INFINITE: 0})) == 0


def test_what_mixing_adds_is_of_the_worse_of_one_voice_and_two() -> None:
    parts = mix_latency.Parts(5, 10, 0, 0, 0, 0)
    one, two, *_ = mix_latency.CASES
    heard = [
        mix_latency.Heard(one, [26.5 + ms for ms in range(1, 101)], 100, parts, {}, []),
        mix_latency.Heard(two, [27.5 + ms for ms in range(1, 101)], 100, parts, {}, []),
    ]
    keys = mix_latency.keys_of(heard)
    assert keys["mix_added_p50_ms_one_clean"] == pytest.approx(50)
    assert keys["mix_added_p50_ms"] == pytest.approx(51)
    assert keys["mix_added_p99_ms"] == pytest.approx(100)
    with pytest.raises(ValueError, match="nothing"):
        mix_latency.percentile([], 0.5)


def test_the_benchmark_of_ticks_runs_and_gives_its_figures() -> None:
    size = tick.Size(1, 1, seconds=1.0, rounds=1, joins_per_s=30, calls_per_s=30, lead_s=0.3)
    found = tick.measure(True, size)
    for name in ("quiet", "joins", "collections", "calls"):
        assert (found.keys[f"tick_late_p999_ms_{name}"] or 0) > 0
        assert (found.keys[f"tick_took_p99_ms_{name}"] or 0) > 0
    assert found.keys["tick_late_p999_ms"] == max(
        found.keys[f"tick_late_p999_ms_{each.key}"] or 0 for each in tick.DISTURBANCES
    )
    rows = {row[0]: row for row in found.tables[0].rows}
    assert all(row[1] > 20 for row in rows.values())  # type: ignore[operator]
    assert rows["join storm"][-1] > 5  # type: ignore[operator]
    assert rows["control calls"][-1] > 5  # type: ignore[operator]


def test_lateness_is_never_told_to_be_less_than_it_was() -> None:
    assert tick.quantile_ms(Histogram({0.001: 998, 0.005: 1000, INFINITE: 1000}), 0.999) == 5
    assert tick.quantile_ms(Histogram({0.001: 1, 0.005: 2, INFINITE: 1000}), 0.999) == 5
    with pytest.raises(CannotMeasure, match="ticked"):
        tick.quantile_ms(Histogram({0.001: 0, INFINITE: 0}), 0.5)
