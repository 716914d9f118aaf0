"""The benchmark of silent rooms measures a real server, on numbers so small that they tell nothing of speed."""

from bench import idle


def test_the_benchmark_of_silent_rooms_runs_and_gives_its_figures() -> None:
    found = idle.measure(True, idle.Size(rooms=(3,), modes=("mix",), idle_s=1.5, pause_s=0.5, join_rate=30.0))
    assert found.keys["idle_not_connected"] == 0
    assert found.keys["idle_core_share"] is None  # of 5,000 rooms
    for key in ("idle_core_share_projected", "idle_us_per_room_second", "bytes_per_room"):
        assert (found.keys[key] or 0) > 0, found.keys
    cpu, memory = found.tables
    [[rooms, mode, peers, *shares]] = cpu.rows
    assert (rooms, mode, peers) == (3, "mix", 9)
    assert shares[0] > 0  # type: ignore[operator]
    assert [row[:2] for row in memory.rows] == [[3, "mix"]]
    assert any("5,000 rooms were not measured" in remark for remark in found.remarks)


def test_stages_of_joins_have_pauses_between_them() -> None:
    plan = idle.plan_of(4, "mix", idle_s=2.0, pause_s=10.0, join_rate=2.0)
    joins = [*plan.joins()]
    assert [(join.speaks, join.number) for join in joins] == [(True, 0)] * 4 + [(False, 0)] * 4 + [(False, 1)] * 4
    assert [join.at_s for join in joins[::4]] == [0.0, 12.0, 24.0]
    assert joins[-1].at_s == plan.last_join_s == 25.5
    assert plan.ends_s() == [12.0, 24.0, 36.0]
    assert plan.ends_s()[-1] + 2.0 < plan.last_join_s + plan.duration_s
