"""What comes of a command: one commit, once, whoever else changes the same document at once."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from roomservice.aggregates import CALL, INVITATION, ROOM
from roomservice.bus.local import LocalBus
from roomservice.commit import Commit, Due, Event, Numbered, Write
from roomservice.engine import Engine, NotFound
from roomservice.interface import Conflict, Engaged
from roomservice.model import calls, invitations, listing
from roomservice.model.attendance import Appoint, Dismiss, Enter, Kick, Leave, Lost
from roomservice.model.calls import AnswerCall, Callee, HangUp
from roomservice.model.details import Like, SetUserInfo
from roomservice.model.effects import Timer, What
from roomservice.model.errors import Illegal, Problem
from roomservice.model.listing import Listing, Relist
from roomservice.model.room import SeatMode, Settings, UserInfo
from roomservice.model.seats import Mute, TakeSeat
from roomservice.outcome import KEEP_ENDED_S
from roomservice.storage.memory import MemoryStorage

NOW = 1767323045.0
LEASE_S = 30.0


class SlowStorage(MemoryStorage):
    """Others come between what is read and what is written."""

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        await asyncio.sleep(0)
        return await super().commit(commit, now)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Published(LocalBus):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[Numbered] = []

    async def publish(self, events: Sequence[Numbered]) -> None:
        self.events += events


def engine(storage: MemoryStorage | None = None, bus: LocalBus | None = None) -> tuple[Engine, Clock]:
    clock = Clock()
    return Engine(storage or SlowStorage(), bus or Published(), clock), clock


async def open_room(made: Engine, **settings: object) -> None:
    announced = Listing("r", "Jazz", "ann", 0.0, 0.0)
    wanted = replace(Settings(mode=SeatMode.FREE), **settings)  # type: ignore[arg-type]
    await made.create(ROOM, "r", listing.create(announced, wanted, UserInfo("Ann"), made.clock()))


async def fire_all(*engines: Engine) -> None:
    """All that are due, by all of them."""
    due = await engines[0].storage.due_timers(engines[0].clock(), 100, LEASE_S)
    await asyncio.gather(*(made.fire(one) for one in due for made in engines))


async def test_a_room_is_made_once_and_what_comes_of_it_is_kept() -> None:
    made, _ = engine()
    await open_room(made)
    with pytest.raises(Conflict):
        await open_room(made)
    room = await made.read(ROOM, "r")
    assert (room.listing.created_at, room.room.host) == (NOW, "ann")
    assert await made.storage.streams_of("ann") == {"room:r": 0}
    (job,) = await made.storage.due_jobs(NOW, 9, LEASE_S)
    assert (job.kind, job.key, job.payload) == ("media", "put:room:r", {"kind": "room", "id": "r"})
    assert [event.name for event in (await made.storage.events("room:r", 0, 9)).events] == ["room_created"]
    assert await made.storage.rooms(1, 9) == ["r"]
    assert await made.read_many(ROOM, ["nobody's", "r"]) == [room]


class Noting(MemoryStorage):
    """What is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Write] = []

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        self.writes += commit.writes
        return await super().commit(commit, now)


async def test_a_change_writes_the_attendees_that_it_changes_and_no_others() -> None:
    storage = Noting()
    made, _ = engine(storage)
    await open_room(made)
    commands = [Enter("bob"), Enter("cyd"), Mute("ann"), SetUserInfo("bob", "bob", nick="Bob"), Leave("cyd")]
    for command in commands:
        await made.change(ROOM, "r", lambda _, command=command: [command])  # type: ignore[misc]
    told = [{name: body is not None for name, body in write.parts.items()} for write in storage.writes]
    assert told == [{"ann": True}, {"bob": True}, {"cyd": True}, {}, {"bob": True}, {"cyd": False}]
    assert all('"bob"' not in (write.body or "") for write in storage.writes)


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_reads_a_room_anew_finds_it_as_who_changed_it_knows_it(seed: int) -> None:
    """Attendees in their order, too."""
    random, storage = Random(seed), MemoryStorage()
    made, clock = engine(storage)
    await open_room(made)
    users = [f"u{number}" for number in range(6)]
    for _ in range(60):
        user = random.choice(users)
        commands = (Enter(user), Leave(user), SetUserInfo(user, user, nick=str(random.random())), Kick("ann", user))
        wanted = random.choices(commands, (4, 2, 2, 1), k=random.choice((1, 1, 2)))
        clock.now += random.choice((0, 0, -5, 5))  # clocks of instances are not one
        with suppress(Illegal):
            await made.change(ROOM, "r", lambda _, wanted=wanted: wanted)  # type: ignore[misc]
        known, read = await made.read(ROOM, "r"), await engine(storage)[0].read(ROOM, "r")
        assert read == known
        assert list(read.room.attendees) == list(known.room.attendees)


async def test_of_many_who_change_a_room_at_once_by_several_instances_each_is_heard_once() -> None:
    storage = SlowStorage()
    first, _ = engine(storage)
    others = [engine(storage)[0] for _ in range(3)]
    await open_room(first)
    users = [f"u{number}" for number in range(40)]

    async def come(number: int, user: str) -> None:
        made = [first, *others][number % 4]
        await made.change(ROOM, "r", lambda _: [Enter(user), Like(user, 2)])

    await asyncio.gather(*(come(number, user) for number, user in enumerate(users)))
    room = (await first.read(ROOM, "r")).room
    assert set(room.attendees) == {"ann", *users}
    assert room.likes == 80
    told = (await storage.events("room:r", 0, 1000)).events
    assert [event.seq for event in told] == list(range(1, 82))
    assert [event.data["likes"] for event in told if event.name == "liked"] == list(range(2, 82, 2))
    assert len(await storage.followers("room:r")) == 41


async def test_all_commands_of_a_change_happen_or_none() -> None:
    made, _ = engine()
    await open_room(made)
    with pytest.raises(Illegal) as raised:
        await made.change(ROOM, "r", lambda _: [Enter("bob"), TakeSeat("bob", 0)])
    assert raised.value.problem is Problem.SEAT_TAKEN
    assert "bob" not in (await made.read(ROOM, "r")).room.attendees
    with pytest.raises(NotFound):
        await made.change(ROOM, "none", lambda _: [Enter("bob")])


async def test_what_changes_nothing_writes_nothing() -> None:
    made, _ = engine()
    await open_room(made)
    changed = await made.change(ROOM, "r", lambda _: [Enter("ann")])
    assert (changed.revision, changed.events) == (1, ())
    changed = await made.change(ROOM, "r", lambda _: [Enter("ann")], also=lambda *_: Commit(events=(Event("x", "y"),)))
    assert [event.name for event in changed.events] == ["y"]


async def test_who_is_kicked_is_told_last_and_cut_off_once() -> None:
    made, _ = engine()
    await open_room(made)
    await made.change(ROOM, "r", lambda _: [Enter("bob"), TakeSeat("bob")])
    changed = await made.change(ROOM, "r", lambda _: [Kick("ann", "bob")])
    assert [(event.stream, event.name) for event in changed.events] == [
        ("user:bob", "expelled"),
        ("room:r", "attendee_left"),
        ("user:bob", "stream_left"),
    ]
    jobs = await made.storage.due_jobs(NOW, 9, LEASE_S)
    assert sorted(job.key for job in jobs) == ["cut:room:r:3:0", "put:room:r"]
    assert await made.storage.streams_of("bob") == {}


async def test_a_timer_that_several_fire_has_one_effect() -> None:
    storage = SlowStorage()
    made, clock = engine(storage)
    other, clock_of_other = engine(storage)
    await open_room(made, away_grace_s=10.0)
    await made.change(ROOM, "r", lambda _: [Enter("bob"), Appoint("ann", "bob"), Lost("bob")])
    clock.now = clock_of_other.now = NOW + 10
    await fire_all(made, other, made)
    told = [event.name for event in (await storage.events("room:r", 0, 100)).events]
    assert told.count("attendee_left") == 1
    assert list(await storage.due_timers(NOW + 10_000, 9, LEASE_S)) == []
    assert "bob" not in (await made.read(ROOM, "r")).room.attendees


async def test_a_timer_that_was_moved_while_it_was_fired_stays() -> None:
    made, clock = engine()
    await open_room(made, away_grace_s=10.0)
    await made.change(ROOM, "r", lambda _: [Enter("bob"), Lost("bob")])
    clock.now = NOW + 10
    (due,) = await made.storage.due_timers(clock.now, 9, LEASE_S)
    await made.change(ROOM, "r", lambda _: [Enter("bob")])
    await made.change(ROOM, "r", lambda _: [Lost("bob")])
    await made.fire(due)
    assert "bob" in (await made.read(ROOM, "r")).room.attendees
    clock.now = NOW + 20
    await fire_all(made)
    assert "bob" not in (await made.read(ROOM, "r")).room.attendees


async def test_a_timer_of_what_is_gone_or_unknown_goes_too() -> None:
    made, clock = engine()
    await open_room(made)
    await made.change(ROOM, "r", lambda _: [Enter("bob"), Lost("bob")])
    await made.remove(ROOM, "r")
    clock.now = NOW + 1000
    await fire_all(made)
    await made.fire(Due("nonsense", "x", Timer(What.AWAY), NOW))
    assert list(await made.storage.due_timers(NOW + 10_000, 9, LEASE_S)) == []


async def test_nobody_is_in_two_calls_and_who_is_free_again_can_be_called() -> None:
    made, clock = engine()
    await made.create(CALL, "c", calls.start("c", "ann", "phone", (Callee("bob"),), busy=False, now=NOW))
    with pytest.raises(Engaged) as raised:
        await made.create(CALL, "d", calls.start("d", "cyd", "phone", (Callee("bob"),), busy=False, now=NOW))
    assert (raised.value.user, raised.value.call) == ("bob", "c")
    with pytest.raises(NotFound):
        await made.read(CALL, "d")
    await made.change(CALL, "c", lambda _: [AnswerCall("bob", "web")])
    assert await made.storage.streams_of("bob") == {"call:c": 0}
    clock.now += 10
    await made.change(CALL, "c", lambda _: [HangUp("ann", "phone")])
    assert await made.storage.engagement("bob") is None
    assert await made.storage.streams_of("bob") == {}
    (record,) = await made.storage.records("bob", "call", None, 9)
    assert (record.id, record.data["duration_s"]) == ("c", 10.0)


async def test_what_has_ended_is_forgotten_after_a_while_and_its_record_stays() -> None:
    made, clock = engine()
    await made.create(INVITATION, "i", invitations.invite("i", "ann", "bob", now=NOW))
    await made.change(INVITATION, "i", lambda _: [invitations.Accept("bob")])
    with pytest.raises(Illegal):
        await made.change(INVITATION, "i", lambda _: [invitations.Accept("bob")])
    clock.now = NOW + KEEP_ENDED_S
    await fire_all(made)
    with pytest.raises(NotFound):
        await made.read(INVITATION, "i")
    assert await made.storage.next_due() is None
    assert len(await made.storage.records("bob", "invitation", None, 9)) == 1


async def test_who_asked_and_went_leaves_nothing_unpublished() -> None:
    bus = Published()

    class Waiting(LocalBus):
        async def publish(self, events: Sequence[Numbered]) -> None:
            await asyncio.sleep(0.05)
            await bus.publish(events)

    made, _ = engine(bus=Waiting())
    asked = asyncio.create_task(made.commit(Commit(events=(Event("room:r", "said"),))))
    await asyncio.wait([asked], timeout=0.005)  # it is committed then, and not yet published
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await made.stop()
    assert [event.name for event in bus.events] == ["said"]


async def test_the_list_says_what_the_room_is() -> None:
    made, clock = engine()
    await open_room(made)
    clock.now = NOW + 5
    await made.change(ROOM, "r", lambda _: [listing.Start("ann"), Relist("ann", title="Blues")])
    clock.now = NOW + 9
    with pytest.raises(Illegal):
        await made.change(ROOM, "r", lambda _: [Relist("bob", title="x")])
    with pytest.raises(Illegal):
        await made.change(ROOM, "r", lambda _: [listing.Pause("bob")])
    await made.change(ROOM, "r", lambda _: [listing.Pause("ann"), listing.Start("ann")])
    shown = (await made.read(ROOM, "r")).listing
    assert (shown.title, shown.status, shown.started_at, shown.updated_at) == ("Blues", 1, NOW + 5, NOW + 9)
    await made.change(ROOM, "r", lambda _: [Dismiss("ann")])
    shown = (await made.read(ROOM, "r")).listing
    assert (shown.status, shown.stopped_at) == (2, NOW + 9)
    with pytest.raises(Illegal) as raised:
        await made.change(ROOM, "r", lambda _: [Relist("ann", title="x")])
    assert raised.value.problem is Problem.ROOM_DISMISSED
