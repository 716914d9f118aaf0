"""Sessions that begin and end at once, at several instances and through crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence

import pytest

from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.commit import Commit, Kept, Numbered, Session
from roomservice.engine import Engine
from roomservice.model import listing
from roomservice.model.attendance import Enter
from roomservice.model.listing import Listing
from roomservice.model.room import SeatMode, Settings, UserInfo
from roomservice.model.seats import TakeSeat
from roomservice.presence import Presence, presence_stream
from roomservice.room_signs import RoomSigns
from roomservice.settings import DevicePolicy, ServiceSettings
from roomservice.storage.memory import MemoryStorage

SETTINGS = ServiceSettings("a secret of at least 32 bytes, for tests only")
NOW = 1_800_000_000.0


class Winding(MemoryStorage):
    """Others come between, here and there, by dice."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice

    async def _between(self) -> None:
        for _ in range(self._dice.choice((0, 0, 1, 2, 5, 20))):
            await asyncio.sleep(0)

    async def load(self, kind: str, id: str, known: int = 0) -> Kept | None:
        await self._between()
        return await super().load(kind, id, known)

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        await self._between()
        told = await super().commit(commit, now)
        await self._between()
        return told

    async def sessions_of(self, users: Collection[str]) -> Sequence[Session]:
        await self._between()
        return await super().sessions_of(users)

    async def streams_of(self, user: str) -> Mapping[str, int]:
        found = await super().streams_of(user)
        await self._between()
        return found


class Instances:
    """Some of them on one storage, with a room in which bob is."""

    def __init__(self, seed: int, number: int = 2) -> None:
        self.dice = random.Random(seed)
        self.now = NOW
        self.storage = Winding(self.dice)
        self.all = [self._new(str(one)) for one in range(number)]

    def _new(self, name: str) -> Presence:
        engine = Engine(self.storage, LocalBus(), lambda: self.now)
        return Presence(engine, SETTINGS, name, lambda: self.now, [RoomSigns(engine)])

    async def opened(self) -> Engine:
        engine = Engine(self.storage, LocalBus(), lambda: self.now)
        announced = Listing("r", "Jazz", "ann", 0.0, 0.0)
        made = listing.create(announced, Settings(mode=SeatMode.FREE), UserInfo(), NOW)
        await engine.create(ROOM, "r", made)
        await engine.change(ROOM, "r", lambda _: [Enter("bob"), TakeSeat("bob")])
        return engine

    async def check(self) -> None:
        """The room and who follows him know what is."""
        there = await self.storage.sessions_of(["bob"])
        room = (await Engine(self.storage, LocalBus(), lambda: self.now).read(ROOM, "r")).room
        assert ("bob" in room.away) == (not there)
        told = [one.data for one in (await self.storage.events(presence_stream("bob"), 0, 1000)).events]
        assert told[-1]["online"] == bool(there)
        assert told[-1]["devices"] == sorted({one.device for one in there})


@pytest.mark.parametrize("seed", range(40))
async def test_of_two_devices_that_end_at_once_one_is_the_last(seed: int) -> None:
    instances = Instances(seed)
    await instances.opened()
    ann, bob = instances.all
    phone, tablet = await ann.begin("bob", "phone"), await bob.begin("bob", "tablet")
    await instances.check()
    await asyncio.gather(ann.end(phone, "lost"), bob.end(tablet, "lost"))
    assert await instances.storage.sessions_of(["bob"]) == []
    await instances.check()


@pytest.mark.parametrize("seed", range(60))
async def test_whoever_comes_and_goes_when_the_room_knows_it_in_the_end(seed: int) -> None:
    instances = Instances(seed, 3)
    await instances.opened()

    async def life(device: str) -> None:
        presence = instances.dice.choice(instances.all)
        for _ in range(instances.dice.randrange(1, 4)):
            session = await presence.begin("bob", device)
            await instances.storage._between()
            await instances.dice.choice(instances.all).end(session, "lost")
        if instances.dice.random() < 0.3:
            await presence.begin("bob", device)

    await asyncio.gather(*(life(device) for device in ("phone", "tablet", "watch")))
    await instances.check()


@pytest.mark.parametrize("seed", range(60))
async def test_an_instance_that_dies_while_a_device_ends_leaves_nobody_there(seed: int) -> None:
    instances = Instances(seed)
    await instances.opened()
    dies, lives = instances.all
    phone, tablet = await dies.begin("bob", "phone"), await lives.begin("bob", "tablet")
    ends = asyncio.create_task(dies.end(phone, "lost")), asyncio.create_task(lives.end(tablet, "lost"))
    for _ in range(instances.dice.randrange(60)):
        await asyncio.sleep(0)
    ends[0].cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    instances.now += 46
    for session in await instances.storage.expired_sessions(instances.now, 100):
        await lives.expire(session)
    assert await instances.storage.sessions_of(["bob"]) == []
    await instances.check()


async def test_a_session_that_is_refreshed_before_it_is_swept_stays() -> None:
    instances = Instances(1)
    await instances.opened()
    presence, other = instances.all
    session = await presence.begin("bob", "phone")
    instances.now += 46
    (over,) = await instances.storage.expired_sessions(instances.now, 10)
    await presence.refresh([session])
    await other.expire(over)
    assert [one.id for one in await instances.storage.sessions_of(["bob"])] == [session.id]
    instances.now += 46
    await other.expire(over)
    assert await instances.storage.sessions_of(["bob"]) == []
    await instances.check()


async def test_a_beat_over_http_ends_no_socket_s_session_that_could_not_be_refreshed() -> None:
    instances = Instances(1)
    await instances.opened()
    presence, _ = instances.all
    session = await presence.begin("bob", "phone")
    instances.now += 46
    await presence.beat("bob", "phone")
    assert [one.id for one in await instances.storage.sessions_of(["bob"])] == [session.id]


async def test_a_device_that_is_replaced_is_lost() -> None:
    heard = []

    class Heard:
        async def lost(self, user: str, device: str, *, last: bool) -> None:
            heard.append(("lost", device, last))

        async def back(self, user: str, device: str) -> None:
            heard.append(("back", device, False))

    engine = Engine(MemoryStorage(), LocalBus(), lambda: NOW)
    settings = ServiceSettings(SETTINGS.secret, devices=DevicePolicy.REPLACE)
    presence = Presence(engine, settings, "here", lambda: NOW, [Heard()])
    await presence.begin("bob", "phone")
    await presence.begin("bob", "tablet")
    await presence.begin("bob", "tablet")
    assert heard == [
        ("back", "phone", False),
        ("lost", "phone", False),
        ("back", "tablet", False),
        ("back", "tablet", False),
    ]
