"""What listeners are told, and what a slow reader loses."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mediaserver.feed import EVENTS, QUEUE, Feed, Level, Playing, Subscription
from mediaserver.model import playing, presence, seats
from mediaserver.model.people import Direction, MuteSource
from mediaserver.model.room import Room
from mediaserver.programme import PlayerSpec
from mediaserver.streams import STREAMS_PER_SESSION, Streams, TooManyStreamsError
from tests.seating import set_speaker

LOUD, QUIET = Level(-21.4, True), Level(-80.0, False)


def make_room() -> Room:
    room = Room(1, "hall", 0)
    set_speaker(room, "ann")
    set_speaker(room, "bob")
    return room


async def waiting(subscription: Subscription) -> AsyncIterator[tuple[str, object]]:
    """What is queued now."""
    while subscription._queue:
        item = await subscription.get()
        assert item is not None
        yield item[0], json.loads(item[1])


async def events(subscription: Subscription) -> list[str]:
    return [event async for event, _ in waiting(subscription)]


async def test_a_reader_is_told_the_table_and_the_activity_at_the_start() -> None:
    room = make_room()
    presence.join(room, "ann", Direction.PUBLISH, 1)
    seats.mute(room, "bob", MuteSource.HOST)
    feed, subscription = Feed(room), Subscription()
    feed.subscribe(subscription)
    (sources, active) = [item async for item in waiting(subscription)]
    ann = {
        "csrc": room.csrcs.of("ann"),
        "user": "ann",
        "may_publish": True,
        "muted_by": [],
        "seat": None,
        "publishing": True,
    }
    bob = {
        "csrc": room.csrcs.of("bob"),
        "user": "bob",
        "may_publish": True,
        "muted_by": ["host"],
        "seat": None,
        "publishing": False,
    }
    assert sources == ("sources", {"sources": [ann, bob]})
    assert active == ("active", {})


async def test_no_inactive_is_sent_at_the_start() -> None:
    feed, subscription = Feed(make_room()), Subscription()
    feed.subscribe(subscription)
    assert await events(subscription) == ["sources"]


async def test_changes_are_told_and_what_did_not_change_is_not() -> None:
    room = make_room()
    feed, subscription = Feed(room), Subscription()
    feed.subscribe(subscription)
    assert await events(subscription) == ["sources"]
    feed.changed()
    assert await events(subscription) == []
    seats.mute(room, "ann", MuteSource.SELF)
    feed.changed()
    assert await events(subscription) == ["sources"]
    presence.join(room, "ann", Direction.PUBLISH, 1)
    feed.changed()
    assert await events(subscription) == ["sources", "active"]
    presence.leave(room, "ann", Direction.PUBLISH, 1)
    feed.changed()
    assert await events(subscription) == ["sources", "inactive"]
    presence.join(room, "zoe", Direction.LISTEN, 2)
    feed.changed()
    assert await events(subscription) == []


async def test_levels_are_told_while_someone_speaks_and_once_after() -> None:
    feed, subscription = Feed(make_room()), Subscription(["levels"])
    feed.subscribe(subscription)
    feed.levels({"ann": QUIET, "bob": QUIET})
    assert await events(subscription) == []
    feed.levels({"ann": LOUD, "bob": QUIET})
    told = [item async for item in waiting(subscription)]
    assert told == [("levels", {"levels": {"ann": -21, "bob": -80}, "speaking": ["ann"]})]
    feed.levels({"ann": QUIET, "bob": QUIET})
    told = [item async for item in waiting(subscription)]
    assert told == [("levels", {"levels": {"ann": -80, "bob": -80}, "speaking": []})]
    feed.levels({"ann": QUIET, "bob": QUIET})
    assert await events(subscription) == []


async def test_who_is_muted_is_not_said_to_speak() -> None:
    room = make_room()
    seats.mute(room, "ann", MuteSource.HOST)
    feed, subscription = Feed(room), Subscription(["levels"])
    feed.subscribe(subscription)
    feed.levels({"ann": LOUD})
    assert await events(subscription) == []


async def test_only_wanted_events_are_told() -> None:
    room = make_room()
    presence.join(room, "ann", Direction.PUBLISH, 1)
    feed, subscription = Feed(room), Subscription(["active"])
    feed.subscribe(subscription)
    feed.levels({"ann": LOUD})
    assert await events(subscription) == ["active"]


async def test_a_slow_reader_loses_old_levels_and_no_sources() -> None:
    room = make_room()
    feed, subscription = Feed(room), Subscription()
    feed.subscribe(subscription)
    for _ in range(5):
        for change in (seats.mute, seats.unmute):
            change(room, "bob", MuteSource.HOST)
            feed.changed()
            feed.levels({"ann": LOUD})
    told = await events(subscription)
    assert told.count("sources") == 11
    assert told.count("levels") == 1


async def test_a_reader_that_is_too_far_behind_is_cut_off() -> None:
    subscription = Subscription()
    for number in range(QUEUE):
        subscription.put("sources", str(number))
    assert not subscription.closed
    subscription.put("sources", "one more")
    assert subscription.closed
    assert await subscription.get() is None


async def test_any_number_of_levels_does_not_cut_a_reader_off() -> None:
    subscription = Subscription()
    for number in range(10 * QUEUE):
        subscription.put("levels", str(number))
    assert await subscription.get() == ("levels", str(10 * QUEUE - 1))
    assert not subscription.closed


async def test_streams_are_bounded_and_end_with_their_session() -> None:
    room, streams = make_room(), Streams()
    streams.open_room(room)
    first, *_ = [streams.create("session", EVENTS) for _ in range(STREAMS_PER_SESSION)]
    with pytest.raises(TooManyStreamsError):
        streams.create("session", EVENTS)
    reader = streams.read(room, "session", first)
    assert reader is not None
    assert streams.are_read(room)
    streams.end(room, "session")
    assert await reader.get() is None
    assert streams.read(room, "session", first) is None
    assert not streams.are_read(room)


async def test_a_newer_reader_of_a_stream_cuts_off_the_older() -> None:
    room, streams = make_room(), Streams()
    streams.open_room(room)
    stream = streams.create("session", ["sources"])
    older = streams.read(room, "session", stream)
    newer = streams.read(room, "session", stream)
    assert older is not None
    assert newer is not None
    assert await older.get() is None
    assert await events(newer) == ["sources"]


async def test_closing_a_room_ends_its_readers() -> None:
    room, streams = make_room(), Streams()
    streams.open_room(room)
    reader = streams.read(room, "session", streams.create("session"))
    assert reader is not None
    streams.close_room(room)
    assert await reader.get() is None
    streams.changed(room)


async def test_a_player_is_told_of_when_it_jumps_and_not_while_it_plays_on() -> None:
    room = make_room()
    playing.set_player(room, "music", PlayerSpec())
    now = Playing("music", "playing", "song", "Song", "Ann", 1000, 60_000, 500.0)
    feed, subscription = Feed(room, lambda _: [now]), Subscription(["players"])
    feed.subscribe(subscription)
    assert await events(subscription) == ["players"]
    for second in range(1, 30):
        # Ticks and clocks are some ms apart.
        now = replace(now, position_ms=1000 + 1000 * second + 40 * (second % 3), at=500.0 + second)
        feed.played()
    assert await events(subscription) == []
    now = replace(now, position_ms=5000)
    feed.played()
    assert await events(subscription) == ["players"]
    now = replace(now, status="paused")
    feed.played()
    assert await events(subscription) == ["players"]
    now = replace(now, at=600.0)
    feed.played()
    assert await events(subscription) == [], "what stands still has not jumped"
    now = replace(now, position_ms=20_000)
    feed.played()
    assert await events(subscription) == ["players"]


async def test_levels_come_at_each_readers_interval_and_who_speaks_at_once() -> None:
    feed = Feed(make_room())
    often, usual = Subscription(["levels"], 50), Subscription(["levels"])
    for subscription in (often, usual):
        feed.subscribe(subscription)
    assert set(feed.level_intervals) == {50, 200}
    counts = {often: 0, usual: 0}
    for at_ms in range(0, 1000, 50):
        feed.levels({"ann": LOUD}, at_ms)
        for subscription in counts:
            counts[subscription] += len(await events(subscription))
    assert counts == {often: 20, usual: 5}
    feed.levels({"ann": LOUD, "bob": LOUD}, 1050)
    assert (await events(often), await events(usual)) == (["levels"], ["levels"])
    feed.unsubscribe(often)
    assert set(feed.level_intervals) == {200}


async def test_one_session_can_be_told_something_alone() -> None:
    room, streams = make_room(), Streams()
    streams.open_room(room)
    readers = {}
    for session in ("one", "other"):
        readers[session] = streams.read(room, session, streams.create(session, ["muted-speech"]))
    streams.tell("one", "muted-speech", {"muted_by": ["host"]})
    streams.tell("nobody", "muted-speech", {"muted_by": ["host"]})
    assert readers["one"] is not None
    assert readers["other"] is not None
    assert [item async for item in waiting(readers["one"])] == [("muted-speech", {"muted_by": ["host"]})]
    assert await events(readers["other"]) == []
