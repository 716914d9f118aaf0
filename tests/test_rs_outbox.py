"""The outbox: turns of each kind, who waits for a job, and which is given up."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

import pytest

from roomservice.commit import Commit, Job, Leased
from roomservice.interface import MediaError
from roomservice.outbox import AT_ONCE, FIRST_S, Handler, Outbox
from roomservice.storage.memory import MemoryStorage
from tests.client import until

NOW = 1767323045.0


class Desk:
    """An outbox with two kinds of jobs, whose media hangs until it is let go."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.now = NOW
        self.media_goes_on = asyncio.Event()
        self.media_fails = False
        self.done: list[str] = []
        self.tried: list[str] = []
        handlers = {
            "media": Handler(self._media, state=True),
            "push": Handler(self._push, attempts=3),
            "wrong": Handler(self._wrong, attempts=3),
        }
        self.outbox = Outbox(self.storage, lambda: self.now, handlers)

    async def commit(self, kind: str, *keys: str) -> float:
        """For how long who commits waits, in s."""
        commit = Commit(jobs=tuple(Job(kind, key, {}, self.now) for key in keys))
        await self.storage.commit(commit, self.now)
        before = time.monotonic()
        await self.outbox.committed(commit)
        return time.monotonic() - before

    async def _media(self, leased: Leased) -> None:
        self.tried.append(leased.key)
        await self.media_goes_on.wait()
        if self.media_fails:
            raise MediaError("No answer came.")
        self.done.append(leased.key)

    async def _push(self, leased: Leased) -> None:
        self.done.append(leased.key)

    async def _wrong(self, leased: Leased) -> None:
        self.tried.append(leased.key)
        raise ZeroDivisionError


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    yield made
    made.media_goes_on.set()
    await made.outbox.stop()


async def test_a_job_that_fails_as_nobody_foresaw_is_given_up_too(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    await desk.commit("wrong", "w")
    for _ in range(5):
        desk.now += 100
        await desk.outbox.due()
        await until(lambda: not desk.outbox._running)
    assert desk.tried == ["w"] * 3
    assert sum(record.exc_info is not None for record in caplog.records) == 1, "not a traceback each time"


async def test_a_kind_that_hangs_keeps_no_other_waiting_and_gets_no_more_turns_than_it_has(desk: Desk) -> None:
    keys = [f"m{number}" for number in range(100)]
    waited = await asyncio.gather(*(desk.commit("media", key) for key in keys))
    assert max(waited) < FIRST_S + 1
    assert len(desk.outbox._running) == len(desk.tried) == AT_ONCE
    assert await desk.commit("push", *(f"p{number}" for number in range(3))) < FIRST_S / 2
    assert sorted(desk.done) == ["p0", "p1", "p2"]
    desk.outbox.woken.clear()
    before = time.monotonic()
    assert await desk.outbox.due() == 0
    assert time.monotonic() - before > 0.01, "it does not look again and again"
    leased = await desk.storage.due_jobs(desk.now, 1000, 30.0)
    assert len(leased) == 100 - AT_ONCE, "what has no turn is leased by nobody"
    for one in leased:
        await desk.storage.retry_job(one, desk.now)
    desk.media_goes_on.set()
    for _ in range(50):
        await desk.outbox.due()
        await asyncio.sleep(0.01)
    await until(lambda: set(desk.done) >= set(keys))


async def test_who_commits_gets_the_next_turn_while_he_waits(desk: Desk) -> None:
    hanging = asyncio.gather(*(desk.commit("media", f"m{number}") for number in range(AT_ONCE)))
    await until(lambda: len(desk.tried) == AT_ONCE)
    last = asyncio.create_task(desk.commit("media", "last"))
    await asyncio.sleep(0.05)
    assert "last" not in desk.tried
    desk.media_goes_on.set()
    await last
    assert "last" in desk.done
    await hanging


async def test_what_is_known_to_fail_is_left_to_who_comes_later(desk: Desk) -> None:
    desk.media_fails = True
    desk.media_goes_on.set()
    await desk.commit("media", "first")
    assert await desk.commit("media", "second") < FIRST_S / 2
    assert (desk.tried, len(desk.outbox._running)) == (["first"], 0)
    assert desk.outbox.woken.is_set()
    desk.media_fails = False
    assert await desk.outbox.due() == 1
    await until(lambda: desk.done == ["second"])
    await desk.commit("media", "third")
    assert desk.done == ["second", "third"]


async def test_a_job_that_was_asked_for_anew_while_it_was_done_is_done_again(desk: Desk) -> None:
    first = asyncio.create_task(desk.commit("media", "m"))
    await until(lambda: desk.tried == ["m"])
    again = asyncio.create_task(desk.commit("media", "m"))
    await asyncio.sleep(0.05)
    desk.media_goes_on.set()
    await asyncio.gather(first, again)
    assert desk.done == ["m", "m"]


class Slow(MemoryStorage):
    async def due_jobs(
        self,
        now: float,
        limit: int,
        lease_s: float,
        keys: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Sequence[Leased]:
        found = await super().due_jobs(now, limit, lease_s, keys, without)
        await asyncio.sleep(0.1)
        return found


async def test_nothing_is_done_by_a_lease_that_is_over(monkeypatch: Any) -> None:
    monkeypatch.setattr("roomservice.outbox.LEASE_S", 0.05)
    desk = Desk(Slow())
    await desk.commit("push", "p")
    assert desk.done == []
    monkeypatch.setattr("roomservice.outbox.LEASE_S", 30.0)
    desk.now += 1
    await desk.outbox.due()
    await until(lambda: desk.done == ["p"])
    await desk.outbox.stop()
