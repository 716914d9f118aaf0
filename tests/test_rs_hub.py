"""What sockets are told: everything of what they follow, once, in order; whatever the bus loses, doubles or turns."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from roomservice.bus.local import LocalBus
from roomservice.commit import Commit, Event, Numbered, Subscription
from roomservice.hub import Follower, Hub, Item, Missed
from roomservice.interface import Unavailable
from roomservice.storage.memory import MemoryStorage
from roomservice.storage.retention import Retention
from tests.client import until

NOW = 1767323045.0


class BadBus(LocalBus):
    """Loses, doubles and turns what it is given."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._held: list[Numbered] = []
        self.followed: set[str] = set()

    async def follow(self, streams: Collection[str]) -> None:
        if self._dice.random() < 0.2:
            raise Unavailable("The bus cannot be reached.")
        self.followed |= set(streams)

    async def unfollow(self, streams: Collection[str]) -> None:
        self.followed -= set(streams)

    async def publish(self, events: Sequence[Numbered]) -> None:
        for event in events:
            fate = self._dice.choice(["lost", "kept", "kept", "doubled", "held"])
            if fate == "held":
                self._held.append(event)
            elif fate != "lost":
                await super().publish([event for event in [event] * (1 + (fate == "doubled")) if self._hears(event)])
        if self._held and self._dice.random() < 0.3:
            await super().publish([event for event in reversed(self._held) if self._hears(event)])
            self._held.clear()

    def _hears(self, event: Numbered) -> bool:
        return event.stream in self.followed


class BadStorage(MemoryStorage):
    """Answers late, and sometimes not."""

    def __init__(self, retention: Retention, dice: random.Random) -> None:
        super().__init__(retention)
        self._dice = dice
        self.bad = True

    async def events(self, stream: str, after: int, limit: int) -> object:  # type: ignore[override]
        found = await super().events(stream, after, min(limit, 3) if self.bad else limit)
        await asyncio.sleep(self._dice.random() * 0.003)
        if self.bad and self._dice.random() < 0.1:
            raise Unavailable("The storage cannot be reached.")
        return found


@dataclass
class Client:
    """Checks what it is told."""

    user: str
    device: str = "phone"
    seen: dict[str, int] = field(default_factory=dict)
    got: defaultdict[str, list[Numbered]] = field(default_factory=lambda: defaultdict(list))
    missed: list[Missed] = field(default_factory=list)
    reload: tuple[str, ...] = ()
    follower: Follower | None = None

    def receive(self, item: Item) -> None:
        if isinstance(item, Missed):
            self.missed.append(item)
            self.seen[item.stream] = item.last
            return
        assert isinstance(item, Numbered)
        assert item.seq > self.seen.get(item.stream, 0), "told again, or out of order"
        self.got[item.stream].append(item)
        self.seen[item.stream] = item.seq
        if item.name == "stream_followed":
            self.seen.setdefault(str(item.data["stream"]), int(str(item.data["after"])))

    async def join(self, hub: Hub, resume: Mapping[str, int] | None = None) -> None:
        joined = await hub.join(self.user, self.device, self.receive, resume)
        self.follower, self.reload = joined.follower, joined.reload
        for stream, last in joined.streams.items():
            if resume is None or stream in joined.reload:
                self.seen[stream] = last
        joined.begin()

    def names(self, stream: str) -> list[str]:
        return [event.name for event in self.got[stream]]


@dataclass
class Scene:
    storage: MemoryStorage
    bus: LocalBus
    hub: Hub

    async def commit(self, *events: Event, follow: Sequence[Subscription] = ()) -> None:
        await self.bus.publish(await self.storage.commit(Commit(events=events, subscriptions=tuple(follow)), NOW))

    async def say(self, name: str, stream: str = "room:r") -> None:
        await self.commit(Event(stream, name))


async def scene(*, bus: LocalBus | None = None, storage: MemoryStorage | None = None, poll_s: float = 0.02) -> Scene:
    storage, bus = storage or MemoryStorage(), bus or LocalBus()
    made = Scene(storage, bus, Hub(storage, bus, poll_s))
    await made.hub.start()
    return made


async def test_who_follows_a_stream_is_told_until_he_leaves_it() -> None:
    made = await scene()
    ann = Client("ann")
    await ann.join(made.hub)
    await made.say("before")
    await made.commit(Event("room:r", "entered"), follow=[Subscription("ann", "room:r")])
    await made.say("during")
    await made.commit(Event("room:r", "left"), follow=[Subscription("ann", "room:r", False)])
    await made.say("after")
    await until(lambda: len(ann.got["user:ann"]) == 2, say="ann is told that she left")
    assert ann.names("room:r") == ["entered", "during", "left"]
    assert ann.names("user:ann") == ["stream_followed", "stream_left"]
    await made.hub.stop()


async def test_who_comes_back_is_told_what_he_missed_and_nothing_twice() -> None:
    made = await scene()
    ann = Client("ann")
    await ann.join(made.hub)
    await made.commit(follow=[Subscription("ann", "room:r")])
    await made.say("one")
    await until(lambda: ann.names("room:r") == ["one"], say="ann is told")
    assert ann.follower is not None
    made.hub.leave(ann.follower)
    for name in ("two", "three"):
        await made.say(name)
    await ann.join(made.hub, dict(ann.seen))
    assert ann.reload == ()
    await made.say("four")
    await until(lambda: len(ann.got["room:r"]) == 4, say="ann is told the rest")
    assert ann.names("room:r") == ["one", "two", "three", "four"]
    await made.hub.stop()


async def test_who_was_put_out_while_he_was_away_is_told_up_to_there() -> None:
    made = await scene()
    ann = Client("ann")
    await ann.join(made.hub)
    await made.commit(follow=[Subscription("ann", "room:r")])
    await made.say("one")
    await until(lambda: ann.names("room:r") == ["one"], say="ann is told")
    assert ann.follower is not None
    made.hub.leave(ann.follower)
    await made.commit(Event("room:r", "kicked"), follow=[Subscription("ann", "room:r", False)])
    await made.commit(Event("room:s", "entered"), follow=[Subscription("ann", "room:s")])
    await made.say("not for her")
    await ann.join(made.hub, dict(ann.seen))
    assert ann.reload == ()
    await until(lambda: len(ann.got["user:ann"]) == 3 and bool(ann.got["room:s"]), say="ann is told")
    assert ann.names("room:r") == ["one", "kicked"]
    assert ann.names("room:s") == ["entered"], "from where she followed it"
    await made.hub.stop()


async def test_what_is_kept_no_longer_is_to_be_loaded_anew() -> None:
    made = await scene(storage=MemoryStorage(Retention(events=3)))
    await made.commit(follow=[Subscription("ann", "room:r")])
    for number in range(8):
        await made.say(str(number))
    ann = Client("ann")
    await ann.join(made.hub, {"user:ann": 1, "room:r": 2, "room:other": 1, "room:r2": 0})
    assert ann.reload == ("room:other", "room:r", "room:r2")
    await made.say("on")
    await until(lambda: ann.names("room:r") == ["on"], say="ann goes on from the newest")
    await made.hub.stop()


async def test_a_device_is_not_told_what_is_for_the_others() -> None:
    made = await scene()
    phone, web = Client("ann", "phone"), Client("ann", "web")
    await phone.join(made.hub)
    await web.join(made.hub)
    await made.commit(Event("user:ann", "answered_elsewhere", {}, "phone"), Event("user:ann", "both"))
    await until(lambda: web.names("user:ann") == ["answered_elsewhere", "both"], say="the other is told")
    assert phone.names("user:ann") == ["both"]
    await made.hub.stop()


async def test_a_socket_that_breaks_is_no_matter_of_the_others() -> None:
    made = await scene()

    def broken(_: Item) -> None:
        raise RuntimeError("broken")

    joined = await made.hub.join("ann", "phone", broken)
    joined.begin()
    web = Client("ann", "web")
    await web.join(made.hub)
    await made.say("x", "user:ann")
    await until(lambda: web.names("user:ann") == ["x"], say="the other is told")
    assert joined.follower.gone
    await made.hub.stop()


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_is_lost_doubled_or_turned_by_a_bad_bus_and_a_slow_storage(seed: int) -> None:
    """Clients follow, leave, go away and resume at random; each is compared with what was told while it followed."""
    dice = random.Random(seed)
    storage, bus = BadStorage(Retention(events=100_000), dice), BadBus(dice)
    made = await scene(bus=bus, storage=storage, poll_s=0.005)
    clients = [Client("ann"), Client("ann", "web"), Client("bob"), Client("cyd")]
    followed: defaultdict[str, dict[str, tuple[int, int | None]]] = defaultdict(dict)
    for client in clients:
        await insist(client.join, made.hub)
    for _ in range(150):
        client, stream = dice.choice(clients), dice.choice(["room:r", "room:s"])
        match dice.choice(["say", "say", "say", "follow", "away", "wait"]):
            case "say":
                await made.say("said", stream)
            case "follow" if stream not in followed[client.user]:
                last = (await storage.last([stream]))[stream]
                followed[client.user][stream] = (last, None)
                await made.commit(Event(stream, "entered"), follow=[Subscription(client.user, stream)])
            case "follow" if followed[client.user][stream][1] is None:
                await made.commit(Event(stream, "left"), follow=[Subscription(client.user, stream, False)])
                last = (await storage.last([stream]))[stream]
                followed[client.user][stream] = (followed[client.user][stream][0], last)
            case "away" if client.follower is not None and not client.follower.gone:
                made.hub.leave(client.follower)
            case "away":
                resume = {"user:" + client.user: client.seen.get("user:" + client.user, 0), **client.seen}
                await insist(client.join, made.hub, resume)
            case _:
                await asyncio.sleep(0.002)
    for client in clients:
        if client.follower is None or client.follower.gone:
            resume = {"user:" + client.user: client.seen.get("user:" + client.user, 0), **client.seen}
            await insist(client.join, made.hub, resume)

    def expected(client: Client, stream: str, last: int) -> list[int]:
        began, ended = followed[client.user][stream]
        return list(range(began + 1, (last if ended is None else ended) + 1))

    for client in clients:
        for stream in followed[client.user]:
            last = (await storage.last([stream]))[stream]
            wanted = expected(client, stream, last)
            await until(
                lambda client=client, stream=stream, wanted=wanted: (  # type: ignore[misc]
                    [event.seq for event in client.got[stream][: len(wanted)]] == wanted
                ),
                say=f"{client.user} {client.device} has all of {stream}",
            )
    assert not any(client.missed for client in clients)
    await made.hub.stop()


async def insist(do: Callable[..., object], *arguments: object) -> None:
    while True:
        try:
            await do(*arguments)  # type: ignore[misc]
        except Unavailable:
            continue
        return
