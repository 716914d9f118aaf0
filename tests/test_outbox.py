"""Cursors over the log: order, filters, bounds, gaps, what is forgotten and what is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.events import Event, Types
from mediaserver.outbox import BATCH, Batch, Cursor, Filter, Outbox, rooms_like
from mediaserver.store import LAZY_S, Placed, Store

ALL = Filter(Types.parse(["*"]))


def event(sequence: int, room: str = "hall", type_: str = "speaker.muted") -> Event:
    return Event(room, "k3v9", sequence, type_, "ann", float(sequence), {})


@asynccontextmanager
async def running(path: str | None = None, **options: int) -> AsyncIterator[Outbox]:
    store = Store(path)
    outbox = Outbox(store, **options)
    store.start(asyncio.get_running_loop())
    try:
        yield outbox
    finally:
        store.stop()


async def append(outbox: Outbox, *events: Event) -> None:
    for item in events:
        outbox.store.append(item)
    await outbox.store.settled()
    await asyncio.sleep(0)


async def append_many(outbox: Outbox, first: int, last: int, **attributes: str) -> None:
    await append(outbox, *(event(number, **attributes) for number in range(first, last + 1)))


async def held(outbox: Outbox, reader: str = "reader", filter_: Filter = ALL, limit: int = 1000) -> Cursor:
    cursor = outbox.hold(reader, filter_, limit)
    await outbox.catch_up(cursor)
    return cursor


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [item.sequence for _, item in batch.events]


async def drain(outbox: Outbox, cursor: Cursor) -> list[Event]:
    """All that waits, gaps included."""
    found: list[Placed] = []
    while cursor.pending or cursor.dropped or cursor.unknown:
        batch = await asyncio.wait_for(outbox.take(cursor), 5)
        assert batch is not None
        found += batch.with_gap("test", 0.0)
        cursor.done(batch)
    return [item for _, item in found]


async def test_a_reader_gets_what_happens_from_now_on_in_batches_and_the_same_again_until_it_is_done() -> None:
    async with running() as outbox:
        await append_many(outbox, 1, 5)
        cursor = await held(outbox)
        await append_many(outbox, 6, 5 + BATCH + 20)
        batch = await outbox.take(cursor)
        assert numbers(batch) == list(range(6, 6 + BATCH)) == numbers(await outbox.take(cursor))
        assert batch is not None
        cursor.done(batch)
        assert numbers(await outbox.take(cursor)) == list(range(6 + BATCH, 26 + BATCH))


async def test_a_waiting_reader_is_woken_by_what_it_wants_alone() -> None:
    async with running() as outbox:
        wanted = Filter(Types.parse(["room.*"]), rooms_like("music/*"))
        waiting = asyncio.ensure_future(outbox.take(await held(outbox, filter_=wanted)))
        await append(outbox, event(1, "music/1"), event(1, "hall", "room.started"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await append(outbox, event(2, "music/1", "room.ended"))
        assert numbers(await asyncio.wait_for(waiting, 5)) == [2]


@pytest.mark.parametrize(
    ("pattern", "room", "matches"),
    [
        ("*", "", True),
        ("music/*", "music/", True),
        ("music/*", "Music/1", False),
        ("a*c", "a\u2028b.c", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
    ],
)
def test_a_star_in_a_pattern_of_rooms_stands_for_any_characters(pattern: str, room: str, matches: bool) -> None:
    assert rooms_like(pattern)(room) is matches


async def test_more_than_its_bound_drops_the_oldest_and_says_how_many() -> None:
    async with running() as outbox:
        cursor = await held(outbox, limit=10)
        await append_many(outbox, 1, 25)
        assert (cursor.pending, cursor.dropped_ever) == (10, 15)
        events = await drain(outbox, cursor)
        assert [item.type for item in events] == ["gap"] + ["speaker.muted"] * 10
        assert events[0].data == {"dropped": 15}
        assert [item.sequence for item in events[1:]] == list(range(16, 26))


async def test_what_arrives_although_it_was_dropped_on_its_way_is_not_counted() -> None:
    async with running() as outbox:
        cursor = await held(outbox, limit=10)
        await append_many(outbox, 1, 10)
        batch = await outbox.take(cursor)
        assert batch is not None
        await append_many(outbox, 11, 25)
        assert cursor.is_stale(batch)
        cursor.done(batch)  # events 1..10 have arrived; 11..15 are lost
        events = await drain(outbox, cursor)
        assert events[0].data == {"dropped": 5}
        assert [item.sequence for item in events[1:]] == list(range(16, 26))
        assert cursor.dropped_ever == 5


async def test_a_reader_goes_on_where_it_was_when_the_server_was_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("state") / "db")
    async with running(path) as outbox:
        await append_many(outbox, 1, 5)
        cursor = await held(outbox, limit=200)
        await append_many(outbox, 6, 150)
        batch = await outbox.take(cursor)
        assert batch is not None
        cursor.done(batch)
        await held(outbox, "another")
    async with running(path) as outbox:
        cursor = await held(outbox, limit=20)
        outbox.forget_others()
        # Of 106..150 the 25 oldest are more than this bound.
        events = await drain(outbox, cursor)
        assert events[0].data == {"dropped": 25}
        assert [item.sequence for item in events[1:]] == list(range(131, 151))
        await asyncio.sleep(LAZY_S + 0.2)
    async with running(path) as outbox:
        cursor = await held(outbox)
        assert cursor.pending == cursor.dropped == 0
        assert (await held(outbox, "another")).position == 150  # forgotten, so it begins anew


async def test_a_gap_that_was_not_told_before_the_end_is_told_after_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = str(tmp_path_factory.mktemp("state") / "db")
    async with running(path) as outbox:
        await held(outbox, limit=10)
        await append_many(outbox, 1, 25)
    async with running(path) as outbox:
        events = await drain(outbox, await held(outbox, limit=10))
        assert events[0].data == {"dropped": 15}
        assert [item.sequence for item in events[1:]] == list(range(16, 26))


async def count(outbox: Outbox) -> int:
    return int(await outbox.store.read(lambda base: base.execute("SELECT count(*) FROM events").fetchone()[0]))


async def test_what_a_webhook_still_wants_is_kept_and_no_more() -> None:
    async with running(kept=20, prune_every=10) as outbox:
        dead = await held(outbox, filter_=Filter(Types.parse(["room.*"])))
        quick = await held(outbox, "quick")
        for start in range(1, 1001, 10):
            await append_many(outbox, start, start + 9, type_="room.changed" if start % 100 == 1 else "speaker.muted")
            await drain(outbox, quick)
        await asyncio.sleep(LAZY_S + 0.2)
        assert await count(outbox) <= 100 + 20 + 20
        events = await drain(outbox, dead)
        assert [item.sequence for item in events] == [n for n in range(1, 1001) if (n - 1) % 100 < 10]
        await append_many(outbox, 1001, 1040)
        await asyncio.sleep(LAZY_S + 0.2)
        assert await count(outbox) <= 20 + 20


async def test_a_stream_resumes_after_the_id_that_it_had_last() -> None:
    async with running() as outbox:
        await append_many(outbox, 1, 30)
        cursor = await outbox.follow(ALL, outbox.id(12))
        assert [item.sequence for item in await drain(outbox, cursor)] == list(range(13, 31))
        assert outbox.place(cursor) == outbox.id(30)


@pytest.mark.parametrize(
    "last", ["other.12", "", "12", "{id}.", "{id}.x", "{id}.-1", "{id}.999", "{id}.\u0661", "{id}.5"]
)
async def test_a_stream_with_an_id_that_the_log_does_not_reach_begins_with_a_gap(last: str) -> None:
    async with running(kept=20, prune_every=10) as outbox:
        await append_many(outbox, 1, 30)
        cursor = await outbox.follow(ALL, last.format(id=outbox.store.id))
        events = await drain(outbox, cursor)
        assert (events[0].type, events[0].data) == ("gap", {"dropped": None})
        assert [item.sequence for item in events[1:]] == list(range(11, 31))


async def test_a_stream_that_is_not_read_falls_behind_and_gets_a_gap() -> None:
    async with running(kept=20, prune_every=10) as outbox:
        cursor = await outbox.follow(ALL)
        for start in range(1, 101, 10):
            await append_many(outbox, start, start + 9)
        events = await drain(outbox, cursor)
        kept = [item.sequence for item in events[1:]]
        assert events[0].data == {"dropped": 100 - len(kept)}
        assert kept == list(range(101 - len(kept), 101))
        assert 20 <= len(kept) <= 30


async def test_streams_end_when_they_have_what_has_happened() -> None:
    async with running() as outbox:
        cursor = await outbox.follow(ALL)
        outbox.store.append(event(1))
        outbox.end_streams()
        batch = await outbox.take(cursor)
        assert numbers(batch) == [1]
        assert batch is not None
        cursor.done(batch)
        assert await asyncio.wait_for(outbox.take(cursor), 5) is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "take", "done", "settle", "stream"]), st.integers(1, 30)), max_size=40
)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.integers(1, 40))
def test_delivered_and_dropped_are_always_all_that_happened(steps: list[tuple[str, int]], limit: int) -> None:
    """Whatever the order of appending, taking and delivering: in order, none twice, and each either came or was
    counted."""

    async def run() -> None:
        async with running(kept=25, prune_every=5) as outbox:
            cursors = {"hook": await held(outbox, limit=limit)}
            start = {"hook": 0}
            got: dict[str, list[int]] = {"hook": []}
            told = {"hook": 0}
            on_their_way: dict[str, Batch] = {}
            number = 0

            def done(name: str) -> None:
                if batch := on_their_way.pop(name, None):
                    got[name] += [item.sequence for _, item in batch.events]
                    told[name] += batch.dropped or 0
                    cursors[name].done(batch)

            for step, amount in steps:
                if step == "append":
                    for _ in range(amount):
                        number += 1
                        outbox.store.append(event(number))
                elif step == "stream" and "stream" not in cursors:
                    await outbox.store.settled()
                    await asyncio.sleep(0)
                    cursors["stream"] = await outbox.follow(ALL, limit=limit)
                    start["stream"], got["stream"], told["stream"] = number, [], 0
                elif step == "settle":
                    await outbox.store.settled()
                    await asyncio.sleep(0)
                for name, cursor in cursors.items():
                    if step == "take" and (cursor.pending or cursor.dropped):
                        batch = await outbox.take(cursor)
                        assert batch is not None
                        on_their_way[name] = batch
                    elif step == "done":
                        done(name)
            await outbox.store.settled()
            await asyncio.sleep(0)
            for name, cursor in cursors.items():
                done(name)
                for item in await drain(outbox, cursor):
                    if item.type == "gap":
                        told[name] += item.data["dropped"]
                    else:
                        got[name].append(item.sequence)
                assert got[name] == sorted(set(got[name]))
                assert len(got[name]) + told[name] == number - start[name]
                assert cursor.dropped_ever == told[name]

    asyncio.run(run())
