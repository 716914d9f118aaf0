"""What every storage does alike."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from roomservice.commit import (
    Commit,
    Engagement,
    Event,
    Job,
    Mark,
    Message,
    Numbered,
    Recall,
    Record,
    RoomInfo,
    Session,
    SessionChange,
    Subscription,
    TimerChange,
    Visits,
    Write,
)
from roomservice.interface import Conflict, Engaged, Storage
from roomservice.model.effects import Timer, What
from roomservice.storage.memory import MemoryStorage
from roomservice.storage.retention import Retention
from roomservice.storage.sql import SqlStorage

NOW = 1767323045.0
RETENTION = Retention(events_s=100.0, events=5, messages_s=1000.0, messages=4, records_s=1000.0)
RING = Timer(What.RINGING, "bob")
LEASE_S = 30.0


@pytest.fixture
async def storage(storage_url: str) -> AsyncIterator[Storage]:
    made: Storage = MemoryStorage(RETENTION) if storage_url == "none" else SqlStorage(storage_url, RETENTION)
    await made.start()
    try:
        assert await made.ready()
        yield made
    finally:
        await made.close()


def info(room: str, title: str = "Jazz", created_at: float = NOW, status: int = 0) -> RoomInfo:
    return RoomInfo(room, title, "ann", "ann", created_at, created_at, status)


def shown(events: object) -> list[tuple[str, int, str]]:
    assert isinstance(events, list | tuple)
    found: list[tuple[str, int, str]] = []
    for event in events:
        assert isinstance(event, Numbered)
        found.append((event.stream, event.seq, event.name))
    return found


# ---- documents


async def test_a_document_has_a_revision_and_of_two_writers_one_reads_again(storage: Storage) -> None:
    assert await storage.load("room", "r") is None
    await storage.commit(Commit(writes=(Write("room", "r", None, '{"a": "é\\u0000"}', info("r")),)), NOW)
    kept = await storage.load("room", "r")
    assert kept is not None
    assert (kept.kind, kept.id, kept.revision, kept.body) == ("room", "r", 1, '{"a": "é\\u0000"}')
    await storage.commit(Commit(writes=(Write("room", "r", 1, "2"),)), NOW)
    for write in (Write("room", "r", 1, "3"), Write("room", "r", None, "3"), Write("room", "s", 1, "3")):
        with pytest.raises(Conflict):
            await storage.commit(Commit(writes=(write,)), NOW)
    assert await storage.load("room", "s") is None
    assert await storage.load("call", "r") is None
    await storage.commit(Commit(writes=(Write("room", "r", 2, None),)), NOW)
    assert await storage.load("room", "r") is None
    assert await storage.rooms(1, 10) == []


async def test_parts_of_a_document_change_one_by_one_and_go_with_it(storage: Storage) -> None:
    first = Write("room", "r", None, "1", parts={"ann": '{"ann":1}', "b\u00f6b": '{"b\u00f6b":1}', "Ann": "{}"})
    others = Write("room", "s", None, "1", parts={"ann": '{"ann":9}'}), Write("call", "r", None, "1")
    await storage.commit(Commit(writes=(first, *others)), NOW)
    second = Write("room", "r", 1, "2", parts={"b\u00f6b": '{"b\u00f6b":2}', "Ann": None, "nobody": None, "cyd": "{}"})
    await storage.commit(Commit(writes=(second,)), NOW)
    kept = {one.id: one for one in await storage.load_many("room", ["r", "s", "t"])}
    assert dict(kept["r"].parts) == {"ann": '{"ann":1}', "b\u00f6b": '{"b\u00f6b":2}', "cyd": "{}"}
    assert (kept["r"].revision, kept["r"].body, dict(kept["s"].parts)) == (2, "2", {"ann": '{"ann":9}'})
    with pytest.raises(Conflict):
        await storage.commit(Commit(writes=(Write("room", "r", 1, "3", parts={"ann": None}),)), NOW)
    await storage.commit(Commit(writes=(Write("room", "r", 2, None),)), NOW)
    await storage.commit(Commit(writes=(Write("room", "r", None, "4"),)), NOW)
    again = await storage.load("room", "r")
    assert again is not None
    assert (again.body, dict(again.parts)) == ("4", {})
    assert [dict(one.parts) for one in await storage.load_many("room", ["s"])] == [{"ann": '{"ann":9}'}]


async def test_of_a_revision_that_is_known_neither_body_nor_parts_are_read(storage: Storage) -> None:
    writes = (Write("room", name, None, name, parts={"ann": "{}"}) for name in ("r", "s"))
    await storage.commit(Commit(writes=tuple(writes)), NOW)
    found = await storage.load_many("room", ["r", "s", "t"], {"r": 1, "s": 7, "t": 1})
    assert {(one.id, one.revision, one.body, len(one.parts)) for one in found} == {("r", 1, "", 0), ("s", 1, "s", 1)}
    await storage.commit(Commit(writes=(Write("room", "r", 1, "new"),)), NOW)
    changed = await storage.load("room", "r", 1)
    assert changed is not None
    assert (changed.revision, changed.body, dict(changed.parts)) == (2, "new", {"ann": "{}"})


async def test_more_parts_than_a_statement_has_parameters_come_and_go(storage: Storage) -> None:
    names = [f"u{number}" for number in range(12_000)]
    await storage.commit(Commit(writes=(Write("room", "r", None, "1", parts=dict.fromkeys(names, "{}")),)), NOW)
    kept = await storage.load("room", "r")
    assert kept is not None
    assert len(kept.parts) == len(names)
    await storage.commit(Commit(writes=(Write("room", "r", 1, "2", parts=dict.fromkeys(names[1:])),)), NOW)
    kept = await storage.load("room", "r")
    assert kept is not None
    assert dict(kept.parts) == {"u0": "{}"}


async def test_of_a_commit_that_conflicts_nothing_has_happened(storage: Storage) -> None:
    await storage.commit(Commit(writes=(Write("call", "c", None, "1"),)), NOW)
    everything = Commit(
        writes=(Write("room", "r", None, "1", info("r")), Write("call", "c", None, "2")),
        events=(Event("room:r", "said"),),
        timers=(TimerChange("room", "r", RING, NOW),),
        jobs=(Job("media", "put:r"),),
        subscriptions=(Subscription("ann", "room:r"),),
        engagements=(Engagement("ann", "c"),),
        messages=(Message("g", "m", "ann", "text", {}),),
        records=(Record("call", "c", ("ann",), {}),),
        sessions=(SessionChange(Session("s", "ann", "d", "i", NOW, NOW)),),
        marks=(Mark("ann", "g", 1),),
    )
    with pytest.raises(Conflict):
        await storage.commit(everything, NOW)
    assert await storage.load("room", "r") is None
    assert await storage.last(["room:r", "user:ann"]) == {"room:r": 0, "user:ann": 0}
    assert await storage.next_due() is None
    assert await storage.streams_of("ann") == {}
    assert await storage.engagement("ann") is None
    assert await storage.message("g", "m") is None
    assert list(await storage.records("ann", "call", None, 9)) == []
    assert list(await storage.sessions_of(["ann"])) == []
    assert await storage.marks("ann", ["g"]) == {"g": 0}


async def test_ids_that_differ_by_case_accents_or_blanks_are_different(storage: Storage) -> None:
    names = ["a", "A", "ä", "a ", " a", "\uff41"]
    writes = tuple(Write("user", name, None, name) for name in names)
    await storage.commit(Commit(writes=writes, events=tuple(Event(f"user:{name}", "x") for name in names)), NOW)
    assert {kept.id: kept.body for kept in await storage.load_many("user", names)} == {name: name for name in names}
    assert await storage.last([f"user:{name}" for name in names]) == {f"user:{name}": 1 for name in names}


async def test_rooms_are_listed_newest_first_by_page_status_and_title(storage: Storage) -> None:
    for number in range(5):
        room = f"r{number}"
        said = info(room, f"Jazz {number}%", NOW + number, number % 2)
        await storage.commit(Commit(writes=(Write("room", room, None, room, said),)), NOW)
    assert await storage.rooms(1, 2) == ["r4", "r3"]
    assert await storage.rooms(3, 2) == ["r0"]
    assert await storage.rooms(1, 9, status=1) == ["r3", "r1"]
    assert await storage.rooms(1, 9, search="jAZZ 2") == ["r2"]
    assert await storage.rooms(1, 9, search="2%") == ["r2"]
    assert await storage.rooms(1, 9, search="J_zz") == []


async def test_visits_and_visitors_are_counted(storage: Storage) -> None:
    for user in ("ann", "bob", "ann"):
        await storage.visit("r", user)
    assert await storage.visits(["r", "s"]) == {"r": Visits(3, 2), "s": Visits(0, 0)}


# ---- streams


async def test_a_stream_is_numbered_from_one_without_gaps_and_each_by_itself(storage: Storage) -> None:
    told = await storage.commit(Commit(events=(Event("room:r", "a"), Event("room:s", "b"), Event("room:r", "c"))), NOW)
    assert shown(told) == [("room:r", 1, "a"), ("room:s", 1, "b"), ("room:r", 2, "c")]
    told = await storage.commit(Commit(events=(Event("room:r", "d", {"x": [1, "é"]}, "phone"),)), NOW + 1)
    assert shown(told) == [("room:r", 3, "d")]
    found = await storage.events("room:r", 1, 10)
    assert found.complete
    assert shown(found.events) == [("room:r", 2, "c"), ("room:r", 3, "d")]
    last = found.events[-1]
    assert (last.at, last.data, last.except_device) == (NOW + 1, {"x": [1, "é"]}, "phone")
    assert shown((await storage.events("room:r", 0, 2)).events) == [("room:r", 1, "a"), ("room:r", 2, "c")]
    assert (await storage.events("room:r", 3, 10)).complete
    assert not (await storage.events("room:r", 4, 10)).complete, "nobody can have seen what was never told"


async def test_what_is_too_old_or_too_much_is_forgotten_and_this_is_said(storage: Storage) -> None:
    for number in range(8):
        await storage.commit(Commit(events=(Event("room:r", str(number)),)), NOW)
    while await storage.forget(NOW):
        pass
    found = await storage.events("room:r", 0, 10)
    assert not found.complete
    assert [event.seq for event in found.events] == [4, 5, 6, 7, 8]
    assert (await storage.events("room:r", 3, 10)).complete
    while await storage.forget(NOW + 101):
        pass
    found = await storage.events("room:r", 7, 10)
    assert (found.events, found.complete) == ((), False)
    assert (await storage.events("room:r", 8, 10)).complete
    assert shown(await storage.commit(Commit(events=(Event("room:r", "on"),)), NOW)) == [("room:r", 9, "on")]


async def test_who_follows_is_told_in_his_own_stream_from_where_to_where(storage: Storage) -> None:
    await storage.commit(Commit(events=(Event("room:r", "before"),)), NOW)
    follow = Commit(subscriptions=(Subscription("ann", "room:r"),), events=(Event("room:r", "entered"),))
    told = await storage.commit(follow, NOW)
    assert shown(told) == [("user:ann", 1, "stream_followed"), ("room:r", 2, "entered")]
    assert told[0].data == {"stream": "room:r", "after": 1}
    assert shown(await storage.commit(follow, NOW)) == [("room:r", 3, "entered")]
    assert await storage.streams_of("ann") == {"room:r": 1}
    assert list(await storage.followers("room:r")) == ["ann"]
    leave = Commit(subscriptions=(Subscription("ann", "room:r", False),), events=(Event("room:r", "left"),))
    told = await storage.commit(leave, NOW)
    assert shown(told) == [("room:r", 4, "left"), ("user:ann", 2, "stream_left")]
    assert told[-1].data == {"stream": "room:r", "last": 4}
    assert shown(await storage.commit(leave, NOW)) == [("room:r", 5, "left")]
    assert await storage.streams_of("ann") == {}


async def test_whatever_begins_and_ends_at_once_is_just_those_that_were_named(storage: Storage) -> None:
    users, streams = ("ann", "bob", "cyd"), ("room:r", "room:s")
    pairs = [(user, stream) for user in users for stream in streams]
    await storage.commit(Commit(subscriptions=tuple(Subscription(*pair) for pair in pairs)), NOW)
    ended = (("ann", "room:r"), ("bob", "room:s"), ("cyd", "room:r"), ("dan", "room:s"))
    told = await storage.commit(Commit(subscriptions=tuple(Subscription(*pair, False) for pair in ended)), NOW)
    assert [event.stream for event in told] == ["user:ann", "user:bob", "user:cyd"]
    assert {user: list(await storage.streams_of(user)) for user in users} == {
        "ann": ["room:s"],
        "bob": ["room:r"],
        "cyd": ["room:s"],
    }
    many = [Subscription("dan", f"presence:{number}", on=True) for number in range(1500)]
    assert len(await storage.commit(Commit(subscriptions=tuple(many)), NOW)) == 1500
    assert await storage.commit(Commit(subscriptions=tuple(many)), NOW) == ()
    gone = tuple(Subscription("dan", one.stream, on=False) for one in many[1:])
    assert len(await storage.commit(Commit(subscriptions=gone), NOW)) == 1499
    assert list(await storage.streams_of("dan")) == ["presence:0"]


async def test_of_names_those_are_known_that_were_added(storage: Storage) -> None:
    assert isinstance(storage, MemoryStorage | SqlStorage)
    await storage.add_user("ann", "hash")
    names = ["ann", "Ann", "ann ", *(f"nobody {number}" for number in range(1500))]
    assert await storage.known_users(names) == {"ann"}
    assert await storage.known_users([]) == frozenset()


async def test_of_many_commits_at_once_each_is_numbered_once_and_none_blocks_another(storage: Storage) -> None:
    """They tell several streams, in different orders, of which some are new; and two users change places in calls."""
    streams = [f"room:{number}" for number in range(4)]

    async def tell(number: int) -> None:
        turned = [*streams[number % 4 :], *streams[: number % 4]]
        call = f"c{number}"
        engaged = (Engagement(f"u{number}", call), Engagement(f"u{number}", call, False))
        told = tuple(Event(stream, str(number)) for stream in turned)
        follows = (Subscription(f"u{number % 5}", streams[number % 4], number % 2 == 0),)
        await storage.commit(Commit(events=told, engagements=engaged[: 1 + number % 2], subscriptions=follows), NOW)

    await asyncio.gather(*(tell(number) for number in range(5)))
    for number in range(5, 30, 5):
        await asyncio.gather(*(tell(number + one) for one in range(5)))
    assert await storage.last(streams) == dict.fromkeys(streams, 30)
    for stream in streams:
        kept = (await storage.events(stream, 25, 100)).events
        assert [event.seq for event in kept] == list(range(26, 31))


# ---- messages and records


async def test_messages_are_numbered_kept_and_told(storage: Storage) -> None:
    for number in range(3):
        message = Message("g", f"m{number}", "ann", "text", {"text": "hé"}, ("group:g", "user:bob"))
        told = await storage.commit(Commit(messages=(message,)), NOW + number)
        assert [event.name for event in told] == ["message", "message"]
        assert told[0].data == {
            "conversation": "g",
            "id": f"m{number}",
            "number": number + 1,
            "by": "ann",
            "type": "text",
            "data": {"text": "hé"},
            "at": NOW + number,
        }
    assert [one.number for one in await storage.messages("g", None, 2)] == [3, 2]
    assert [one.number for one in await storage.messages("g", 2, 2)] == [1]
    with pytest.raises(Conflict):
        await storage.commit(Commit(messages=(Message("g", "m1", "bob", "text", {}),)), NOW)
    await storage.commit(Commit(messages=(Message("h", "m1", "bob", "text", {}),)), NOW)
    found = await storage.message("g", "m1")
    assert found is not None
    assert (found.number, found.by, found.data, found.recalled) == (2, "ann", {"text": "hé"}, False)


async def test_a_message_is_recalled_once(storage: Storage) -> None:
    await storage.commit(Commit(messages=(Message("g", "m", "ann", "text", {"text": "oh"}),)), NOW)
    recall = Commit(recalls=(Recall("g", "m", "ann", ("group:g",)), Recall("g", "none", "ann", ("group:g",))))
    told = await storage.commit(recall, NOW)
    assert [(event.name, event.data) for event in told] == [
        ("message_recalled", {"conversation": "g", "id": "m", "by": "ann"})
    ]
    assert list(await storage.commit(recall, NOW)) == []
    found = await storage.message("g", "m")
    assert found is not None
    assert (found.data, found.recalled) == ({}, True)


async def test_read_marks_go_forward_only(storage: Storage) -> None:
    for number in (3, 2):
        await storage.commit(Commit(marks=(Mark("ann", "g", number),)), NOW)
    assert await storage.marks("ann", ["g", "h"]) == {"g": 3, "h": 0}


async def test_records_are_in_the_history_of_those_whom_they_concern(storage: Storage) -> None:
    for number in range(3):
        record = Record("call", f"c{number}", ("ann", "bob"), {"n": number})
        await storage.commit(Commit(records=(record,)), NOW + number)
    await storage.commit(Commit(records=(Record("room", "r", ("ann",), {}),)), NOW)
    assert [one.id for one in await storage.records("bob", "call", None, 2)] == ["c2", "c1"]
    assert [one.data for one in await storage.records("ann", "call", NOW + 1, 9)] == [{"n": 0}]
    assert list(await storage.records("cyd", "call", None, 9)) == []


# ---- who is there


async def test_a_user_is_engaged_in_one_call_at_most(storage: Storage) -> None:
    await storage.commit(Commit(engagements=(Engagement("ann", "c"), Engagement("bob", "c"))), NOW)
    await storage.commit(Commit(engagements=(Engagement("ann", "c"),)), NOW)
    with pytest.raises(Engaged) as raised:
        await storage.commit(Commit(engagements=(Engagement("cyd", "d"), Engagement("bob", "d"))), NOW)
    assert (raised.value.user, raised.value.call) == ("bob", "c")
    assert await storage.engagement("cyd") is None
    await storage.commit(Commit(engagements=(Engagement("bob", "d", False),)), NOW)
    assert await storage.engagement("bob") == "c", "only his own call frees him"
    both = Commit(engagements=(Engagement("bob", "d"), Engagement("bob", "c", False)))
    await storage.commit(both, NOW)
    assert await storage.engagement("bob") == "d"


async def test_sessions_live_as_long_as_they_are_refreshed(storage: Storage) -> None:
    phone = Session("s1", "ann", "phone", "i", NOW, NOW + 10, {"os": "ios"})
    web = Session("s2", "ann", "web", "i", NOW, NOW + 10)
    await storage.commit(Commit(sessions=(SessionChange(phone), SessionChange(web))), NOW)
    assert sorted(one.id for one in await storage.sessions_of(["ann", "bob"])) == ["s1", "s2"]
    assert await storage.refresh_sessions(["s1", "gone"], NOW + 20) == {"s1"}
    assert list(await storage.expired_sessions(NOW + 9, 9)) == []
    assert list(await storage.expired_sessions(NOW + 10, 9)) == [web]
    await storage.commit(Commit(sessions=(SessionChange(web, False), SessionChange(web, False))), NOW)
    (left,) = await storage.sessions_of(["ann"])
    assert (left.id, left.until, left.data) == ("s1", NOW + 20, {"os": "ios"})


# ---- timers and jobs


async def test_a_timer_is_due_once_until_its_lease_is_over(storage: Storage) -> None:
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, NOW + 60),)), NOW)
    assert await storage.next_due() == NOW + 60
    assert list(await storage.due_timers(NOW + 59, 9, LEASE_S)) == []
    (due,) = await storage.due_timers(NOW + 60, 9, LEASE_S)
    assert (due.kind, due.id, due.timer, due.deadline) == ("call", "c", RING, NOW + 60)
    assert list(await storage.due_timers(NOW + 60, 9, LEASE_S)) == []
    assert await storage.next_due() == NOW + 60 + LEASE_S
    assert len(await storage.due_timers(NOW + 60 + LEASE_S, 9, LEASE_S)) == 1
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, NOW + 100),)), NOW)
    assert await storage.next_due() == NOW + 100, "a timer that is set anew has no lease"
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, None, only=NOW + 60),)), NOW)
    assert await storage.next_due() == NOW + 100, "the one that was meant is not there any more"
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, None, only=NOW + 100),)), NOW)
    assert await storage.next_due() is None
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, NOW + 1),)), NOW)
    await storage.commit(Commit(timers=(TimerChange("call", "c", RING, None),)), NOW)
    assert await storage.next_due() is None


async def test_a_job_is_done_once(storage: Storage) -> None:
    await storage.commit(Commit(jobs=(Job("media", "put:r", {"n": 1}, NOW), Job("push", "p", {}, NOW + 5))), NOW)
    (job,) = await storage.due_jobs(NOW, 9, LEASE_S)
    assert (job.kind, job.key, job.payload, job.attempts) == ("media", "put:r", {"n": 1}, 0)
    assert list(await storage.due_jobs(NOW, 9, LEASE_S)) == []
    assert await storage.finish_job(job)
    assert [one.key for one in await storage.due_jobs(NOW + 100, 9, LEASE_S)] == ["p"]


async def test_a_job_that_could_not_be_done_is_tried_later(storage: Storage) -> None:
    await storage.commit(Commit(jobs=(Job("media", "put:r", {}, NOW),)), NOW)
    (job,) = await storage.due_jobs(NOW, 9, LEASE_S)
    await storage.retry_job(job, NOW + 3)
    assert list(await storage.due_jobs(NOW + 2, 9, LEASE_S)) == []
    (job,) = await storage.due_jobs(NOW + 3, 9, LEASE_S)
    assert job.attempts == 1


async def test_a_job_that_is_asked_for_anew_while_it_is_done_is_done_again(storage: Storage) -> None:
    again = Commit(jobs=(Job("media", "put:r", {"n": 2}, NOW),))
    await storage.commit(Commit(jobs=(Job("media", "put:r", {"n": 1}, NOW),)), NOW)
    (job,) = await storage.due_jobs(NOW, 9, LEASE_S)
    await storage.commit(again, NOW)
    assert list(await storage.due_jobs(NOW, 9, LEASE_S)) == [], "never by two at once"
    assert not await storage.finish_job(job)
    (job,) = await storage.due_jobs(NOW, 9, LEASE_S)
    assert job.payload == {"n": 2}
    await storage.commit(again, NOW)
    await storage.retry_job(job, NOW + 50)
    assert len(await storage.due_jobs(NOW, 9, LEASE_S)) == 1


async def test_who_has_lost_the_lease_of_a_job_does_not_finish_it(storage: Storage) -> None:
    await storage.commit(Commit(jobs=(Job("media", "put:r", {}, NOW),)), NOW)
    (late,) = await storage.due_jobs(NOW, 9, LEASE_S)
    (job,) = await storage.due_jobs(NOW + LEASE_S, 9, LEASE_S)
    assert not await storage.finish_job(late)
    await storage.retry_job(late, NOW)
    assert list(await storage.due_jobs(NOW + LEASE_S, 9, LEASE_S)) == []
    assert await storage.finish_job(job)


async def test_a_job_is_found_by_its_key_before_it_is_due(storage: Storage) -> None:
    await storage.commit(Commit(jobs=(Job("media", "a", {}, NOW + 9), Job("media", "b", {}, NOW))), NOW)
    assert list(await storage.due_jobs(NOW, 9, LEASE_S, ["a"], ["media", "push"])) == []
    assert [one.key for one in await storage.due_jobs(NOW, 9, LEASE_S, ["a"])] == ["a"]


async def test_old_messages_and_those_beyond_the_bound_are_forgotten_and_numbers_go_on(storage: Storage) -> None:
    for number in range(6):
        await storage.commit(Commit(messages=(Message("group:g", f"m{number}", "ann", "text", {}),)), NOW + number)
    while await storage.forget(NOW + 10):
        pass
    assert [one.id for one in await storage.messages("group:g", None, 10)] == ["m5", "m4", "m3", "m2"]
    while await storage.forget(NOW + 1004.5):
        pass
    assert [one.number for one in await storage.messages("group:g", None, 10)] == [6]
    assert await storage.message("group:g", "m4") is None
    await storage.commit(Commit(messages=(Message("group:g", "m6", "ann", "text", {}),)), NOW + 1010)
    assert [one.number for one in await storage.messages("group:g", None, 10)] == [7, 6]


async def test_old_records_are_forgotten(storage: Storage) -> None:
    for number, user in enumerate(("ann", "bob")):
        await storage.commit(Commit(records=(Record("call", f"c{number}", (user, "cyd"), {}),)), NOW + number)
    while await storage.forget(NOW + 1000.5):
        pass
    assert await storage.records("ann", "call", None, 10) == []
    assert [one.id for one in await storage.records("cyd", "call", None, 10)] == ["c1"]
