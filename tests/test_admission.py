"""When somebody new is refused because of load, by made-up samples; and what that looks like to a client."""

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import pairwise

import httpx
import pytest

from mediaserver.admission import (
    MAX_RETURNING,
    OPEN_AFTER,
    RETURN_WITHIN_S,
    Admission,
    Reason,
    Returning,
    Sample,
)
from mediaserver.commands import CloseReason
from mediaserver.load import LAG_BOUNDS_S, LAG_WINDOW_S, PROBE_EVERY_S, Lag, Load, Watch
from mediaserver.plane import Driver
from tests import fake_plane
from tests.client import until
from tests.conftest import StartServer
from tests.control import Control
from tests.edge import ROOM, USER, Edge, assert_problem, serving

TICKS = 50  # a second, of one room


class Seconds:
    """Feeds an Admission once a second."""

    def __init__(self, workers: int = 1, max_load: float = 0.85) -> None:
        self.admission = Admission(workers, max_load)
        self.workers = workers
        self.time = 100.0
        self.cpu = [7.0] * workers
        self.ticks = [1_000] * workers
        self.late = [10] * workers

    def second(
        self,
        share: float = 0.1,
        *,
        worker: int = 0,
        ticks: int = 2 * TICKS,
        late: int = 0,
        lag_s: float | None = 0.0,
        seconds: float = 1.0,
    ) -> Reason | None:
        """What the worker had in the next second; others are idle. Returns why it takes nobody new then."""
        self.time += seconds
        self.cpu[worker] += share * seconds
        self.ticks[worker] += ticks
        self.late[worker] += late
        self.admission.feed(Sample(self.time, tuple(self.cpu), tuple(self.ticks), tuple(self.late), lag_s))
        return self.admission.refusal(worker)


def test_an_idle_server_takes_anybody_from_the_start() -> None:
    load = Seconds()
    assert load.admission.refusal(0) is None
    assert [load.second() for _ in range(20)] == [None] * 20


def test_a_busy_worker_takes_nobody_new_after_three_seconds() -> None:
    load = Seconds()
    load.second()
    assert [load.second(1.0) for _ in range(3)] == [None, None, Reason.WORKER_LOAD]


def test_the_load_is_a_mean_so_a_peak_of_a_second_refuses_nobody() -> None:
    load = Seconds()
    for _ in range(5):
        load.second(0.5)
    assert [load.second(share) for share in (1.0, 0.5, 0.5, 0.5, 1.0)] == [None] * 5


def test_the_load_is_by_the_time_that_passed_however_late_the_sample_comes() -> None:
    load = Seconds()
    for _ in range(4):
        load.second(0.5)
    assert load.second(0.8, seconds=4.0) is None
    assert load.second(0.9, seconds=4.0) is Reason.WORKER_LOAD


def test_admission_opens_again_only_clearly_below_the_limit_and_after_some_seconds() -> None:
    load = Seconds()
    for _ in range(6):
        load.second(0.9)
    assert load.admission.refusal(0)
    for _ in range(20):
        assert load.second(0.82)
    refused = [load.second(0.5) for _ in range(OPEN_AFTER + 3)]
    assert refused[-1] is None
    assert refused[: OPEN_AFTER - 1] == [Reason.WORKER_LOAD] * (OPEN_AFTER - 1)


def test_a_load_about_the_limit_does_not_flap() -> None:
    load = Seconds()
    told = [load.second(0.86 + 0.02 * (-1) ** second) for second in range(60)]
    assert sum(one is not other for one, other in pairwise(told)) == 1


def test_only_the_loaded_worker_refuses() -> None:
    load = Seconds(workers=2)
    for _ in range(6):
        load.second(1.0, worker=1)
    assert load.admission.refusal(1) is Reason.WORKER_LOAD
    assert load.admission.refusal(0) is None


def test_late_ticks_refuse_when_one_in_a_hundred_begins_late() -> None:
    load = Seconds()
    for _ in range(6):
        load.second(late=1)
    assert load.admission.refusal(0) is None
    assert [load.second(late=2) for _ in range(5)][-1] is Reason.TICK_LATENESS
    assert [load.second() for _ in range(OPEN_AFTER + 5)][-1] is None


def test_one_pause_of_the_machine_refuses_nobody() -> None:
    load = Seconds()
    for _ in range(6):
        load.second()
    assert [load.second(late=late) for late in (50, 50, 0, 0, 0, 0, 0)] == [None] * 7


def test_few_ticks_tell_nothing() -> None:
    load = Seconds()
    assert [load.second(ticks=20, late=20) for _ in range(10)] == [None] * 10


def test_a_slow_event_loop_refuses_on_all_workers() -> None:
    load = Seconds(workers=2)
    assert load.second(lag_s=None) is None
    assert load.second(lag_s=0.2) is None
    assert load.second(lag_s=0.3) is Reason.EVENT_LOOP_LAG
    assert load.admission.refusal(1) is Reason.EVENT_LOOP_LAG
    assert [load.second(lag_s=0.01) for _ in range(OPEN_AFTER)][-1] is None


def test_zero_turns_it_off() -> None:
    load = Seconds(max_load=0)
    assert [load.second(1.0, late=TICKS, lag_s=1.0) for _ in range(20)] == [None] * 20


def test_the_lag_is_the_90th_percentile_of_the_last_seconds() -> None:
    lag = Lag()
    probes = round(LAG_WINDOW_S / PROBE_EVERY_S)
    for _ in range(probes - 1):
        lag.note(0.001)
    assert lag.p90_s() is None
    lag.note(3.0)
    assert lag.p90_s() == 0.001
    for _ in range(probes // 10):
        lag.note(0.3)
    assert lag.p90_s() == 0.3
    for _ in range(probes):
        lag.note(-1e-4)
    assert lag.p90_s() == 0.0
    assert sum(lag.counts) == 2 * probes + probes // 10
    assert lag.counts[LAG_BOUNDS_S.index(0.001)] >= 1
    assert lag.counts[-1] == 1


def test_who_comes_back_is_known_for_a_while() -> None:
    returning = Returning()
    returning.lost("ann", 10.0)
    assert returning.is_expected("ann", 10.0 + RETURN_WITHIN_S - 1)
    assert not returning.is_expected("ann", 10.0 + RETURN_WITHIN_S)
    assert not returning.is_expected("bob", 10.0)
    returning.forget("ann")
    assert not returning.is_expected("ann", 10.0)


def test_those_who_come_back_are_bounded() -> None:
    returning = Returning()
    for number in range(MAX_RETURNING + 1):
        returning.lost(number, 0.0)
    assert not returning.is_expected(0, 1.0)
    assert returning.is_expected(1, 1.0)


def test_the_driver_avoids_busy_workers_while_there_is_another() -> None:
    driver = Driver(sys.modules[fake_plane.__name__], [[("127.0.0.1", 0)]] * 3)
    assert (driver.emptiest_worker(), driver.listener_worker(1)) == (0, 1)
    driver.avoided = {0, 1}
    assert (driver.emptiest_worker(), driver.listener_worker(1), driver.listener_worker(2)) == (2, 2, 2)
    driver.avoided = {0, 1, 2}
    assert (driver.emptiest_worker(), driver.listener_worker(1)) == (0, 0)
    driver.plane.stop()


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving(workers=2) as edge:
        yield edge


def overload(edge: Edge, *workers: int) -> None:
    """Looks at workers of which these are busy, for some seconds."""
    now = asyncio.get_running_loop().time()
    for second in range(5):
        for worker in workers:
            edge.plane.cpu_ns[worker] += 1_000_000_000
        edge.node.watch.look(now + second)


async def test_new_rooms_and_sessions_are_refused_while_all_workers_are_busy(edge: Edge) -> None:
    edge.seat()
    overload(edge, 0, 1)
    for refused in (await edge.control("PUT", "rooms", "other"), await edge.whip(), await edge.whep()):
        assert_problem(refused, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
    assert (await edge.control("PUT", "rooms", ROOM)).status_code == 200
    assert (await edge.control("PUT", "rooms", ROOM, "speakers", "bob")).status_code == 200
    text = (await edge.http.get("/metrics")).text
    assert 'mediaserver_admission_refused_total{reason="worker-load"} 3.0\n' in text
    assert 'mediaserver_admission_open{worker="0"} 0.0\n' in text


async def test_a_busy_worker_is_relieved_by_another(edge: Edge) -> None:
    edge.seat()
    assert edge.room.home == 0
    overload(edge, 0)
    listener = edge.peer_of(await edge.whep())
    assert edge.plane.peers[listener].worker == 1
    assert_problem(await edge.whip(), "overloaded")
    await edge.control("PUT", "rooms", "other")
    assert edge.node.rooms["other"].home == 1


async def test_sessions_that_replace_or_return_are_taken_however_busy_the_workers(edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    gone = edge.peer_of(await edge.whep())
    overload(edge, 0, 1)
    assert (await edge.whip()).status_code == 201
    edge.node.census.of(gone).end(CloseReason.CONSENT_EXPIRED)
    assert (await edge.whep()).status_code == 201
    assert (await edge.whep("bob")).status_code == 503


async def test_who_was_kicked_is_new(edge: Edge) -> None:
    edge.seat()
    await edge.whep()
    await edge.control("DELETE", "rooms", ROOM, "participants", USER)
    assert not edge.node.capacity.returning.is_expected((ROOM, USER, "listen"), 0.0)


async def test_the_load_of_a_worker_is_known_after_two_looks(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    assert edge.node.watch.load(1) == Load()
    now = asyncio.get_running_loop().time()
    for second, ticks in enumerate(([7, 0, 0], [57, 0, 0], [97, 10, 0])):
        edge.plane.cpu_ns[1] += 500_000_000
        monkeypatch.setattr(edge.plane, "tick_lateness", lambda _, ticks=ticks: ([0.001, 0.01], ticks, 0.0))
        edge.node.watch.look(now + second)
    assert edge.node.watch.load(1) == Load(0.5, 0.01)
    assert edge.node.watch.load(0).cpu_share == 0.0


async def test_a_node_that_runs_looks_every_second(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    monkeypatch.setattr("mediaserver.load.SAMPLE_EVERY_S", 0.05)
    watch = Watch(edge.node.driver, edge.node.admission)
    monkeypatch.setattr(watch, "look", seen.append)
    watch.start(asyncio.get_running_loop())
    await asyncio.sleep(0.5)
    watch.stop()
    looked = len(seen)
    assert looked >= 3
    assert sum(watch.lag.counts) >= 2
    await asyncio.sleep(0.2)
    assert len(seen) == looked


async def test_a_server_that_moves_media_refuses_when_it_may_do_next_to_nothing(start_server: StartServer) -> None:
    server = start_server("--workers", "1", "--max-worker-load", "0.0001", "--log-format", "json")
    async with Control(server.url) as control, await control.speak(ROOM, "ann", 440) as speaker:
        await speaker.connected()
        await until(lambda: b'"workers": ["worker-load"]' in server.log, within_s=20)
        assert await control.metric("mediaserver_admission_open") == 0
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await control.make_room("other")
        assert_problem(refused.value.response, "overloaded")
        assert await control.metric("mediaserver_event_loop_lag_seconds_count") > 10
