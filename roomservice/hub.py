"""Events of streams to the sockets of this instance, each socket's in order and without gaps.

The bus only wakes: an event that comes out of turn makes the hub read from the storage, and so does a look at the
newest numbers every few seconds. What a socket follows is in its user's own stream (`stream_followed`, `stream_left`),
so that it changes at the same place for every instance.

Rules held here
- A feed is a stream that somebody here follows, and has been read up to a number. All who follow it live are told of
  each event at once, in order.
- Who comes later, or resumes, is told what he has missed from the storage first, and then follows live.
- Who leaves a stream is told of everything up to the number at which he left, and of nothing from when his instance
  knows of it. Who leaves one and follows it again
  while his socket is away is told of what came after that.
- When events between are kept no longer, the socket is told that it has missed some, and goes on with what is newest.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from roomservice.commit import FOLLOWED, LEFT, Numbered, user_stream
from roomservice.interface import Bus, Storage, Unavailable

log = logging.getLogger(__name__)

POLL_S = 3.0
"""How long an event can be late that the bus has lost. Less costs a query each time."""

BATCH = 200
"""Events that are read at once."""

STREAMS_AT_ONCE = 500
"""Whose newest numbers are asked for at once."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Some events up to this number are kept no longer: what they were about is to be loaded anew."""

    stream: str
    last: int


@dataclass(frozen=True, slots=True)
class Passing:
    """Something that is neither numbered nor kept, and of use at once or never: who speaks, say. at: Unix time in s."""

    stream: str
    at: float
    name: str
    data: Mapping[str, object]


Item = Numbered | Missed | Passing


@dataclass(eq=False, slots=True)
class Follower:
    """One socket. receive: must not wait; what it is given is the same object for all sockets. since: of the user's own
    stream, up to where what he follows is known already; told: of each stream, what the socket was told last."""

    user: str
    device: str
    receive: Callable[[Item], None]
    since: int
    told: dict[str, int] = field(default_factory=dict)
    places: dict[str, "_Place"] = field(default_factory=dict)
    gone: bool = False


@dataclass(eq=False, slots=True)
class _Place:
    """Of a follower in a feed. after: what he was told last; until: where he left the stream; live: he waits for
    nothing from the storage."""

    follower: Follower
    after: int
    until: int | None = None
    live: bool = False


@dataclass(eq=False, slots=True)
class _Feed:
    """last: up to where it was read. heard: the bus follows it. behind: there may be more in the storage."""

    stream: str
    last: int
    places: dict[Follower, _Place] = field(default_factory=dict)
    heard: bool = False
    behind: bool = False
    reading: bool = False


@dataclass(frozen=True, slots=True)
class Joined:
    """streams: what the socket follows, with the number of the newest event; reload: those of which the client misses
    some that are kept no longer, or which its user does not follow. Nothing is received before `begin`; then what was
    missed comes first."""

    follower: Follower
    streams: Mapping[str, int]
    reload: tuple[str, ...]
    begin: Callable[[], None]


class Hub:
    def __init__(self, storage: Storage, bus: Bus, poll_s: float = POLL_S) -> None:
        self._storage = storage
        self._bus = bus
        self._poll_s = poll_s
        self._feeds: dict[str, _Feed] = {}
        self._on_bus: set[str] = set()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Unavailable."""
        await self._bus.start(self.receive)
        self._spawn(self._for_ever(self._tend_bus))
        self._spawn(self._for_ever(self._poll))

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._bus.close()

    # ---- sockets

    async def join(
        self, user: str, device: str, receive: Callable[[Item], None], resume: Mapping[str, int] | None = None
    ) -> Joined:
        """resume: up to where the client has seen which streams. Unavailable."""
        resume, own = resume or {}, user_stream(user)
        newest = (await self._storage.last([own]))[own]  # before what he follows: of later changes he is told
        follows = await self._storage.streams_of(user)
        last = {**await self._storage.last([*follows, *resume]), own: newest}
        after, until = {own: newest, **{stream: last[stream] for stream in follows}}, dict[str, int]()
        reload = {stream for stream, number in resume.items() if number > last[stream]}
        missed = await self._missed(own, resume[own], newest) if own in resume else ()
        if missed is None:
            reload.add(own)
        else:
            after[own] = min(resume.get(own, newest), newest)
            _was_away(missed, follows, resume, after, until)
        after |= {stream: max(resume[stream], since) for stream, since in follows.items() if stream in resume}
        if unknown := resume.keys() - after.keys() - reload:  # what he was told before of his end there, and not all of
            ends = await self._ends(own)
            reload |= unknown - ends.keys()
            for stream in unknown & ends.keys():
                began, ended = ends[stream]
                if resume[stream] < ended:
                    after[stream], until[stream] = max(resume[stream], began), ended
        last |= await self._storage.last(after.keys() - last.keys())
        for stream, number in list(after.items()):
            if stream in reload or not (await self._is_kept(stream, number, last)):
                reload.add(stream)
                after[stream] = last[stream]
        follower = Follower(user, device, receive, newest)

        def begin() -> None:
            for stream, number in after.items():
                self._attach(follower, stream, number, until.get(stream))

        shown = {stream: last[stream] for stream in after if stream not in until}
        return Joined(follower, shown, tuple(sorted(reload)), begin)

    def leave(self, follower: Follower) -> None:
        """Nothing is received after it."""
        follower.gone = True
        for stream in list(follower.places):
            self._detach(follower, stream)

    async def _missed(self, stream: str, after: int, until: int) -> Sequence[Numbered] | None:
        """None when some are kept no longer."""
        events = list[Numbered]()
        while after < until:
            found = await self._storage.events(stream, after, BATCH)
            if not found.complete or not found.events:
                return None
            events += found.events
            after = events[-1].seq
        return [event for event in events if event.seq <= until]

    async def _ends(self, own: str) -> Mapping[str, tuple[int, int]]:
        """Which streams the user has left, as far as it is kept: from after which number to which he followed them
        last."""
        began, ends, after = dict[str, int](), dict[str, tuple[int, int]](), 0
        while events := (await self._storage.events(own, after, BATCH)).events:
            for event in events:
                if event.name == FOLLOWED:
                    began[str(event.data["stream"])] = _number(event.data["after"])
                elif event.name == LEFT and (stream := str(event.data["stream"])) in began:
                    ends[stream] = (began[stream], _number(event.data["last"]))
            after = events[-1].seq
        return ends

    async def _is_kept(self, stream: str, after: int, last: Mapping[str, int]) -> bool:
        return after >= last[stream] or (await self._storage.events(stream, after, 1)).complete

    # ---- events

    def pass_on(self, passing: Passing) -> None:
        """To all who follow its stream here; at other instances, they do the same."""
        feed = self._feeds.get(passing.stream)
        for follower in list(feed.places) if feed is not None else ():
            self._give(follower, passing)

    def streams(self) -> Sequence[str]:
        """That somebody here follows."""
        return list(self._feeds)

    def receive(self, events: Sequence[Numbered]) -> None:
        """From the bus."""
        for event in events:
            feed = self._feeds.get(event.stream)
            if feed is None or event.seq <= feed.last:
                continue
            if event.seq == feed.last + 1 and not feed.reading:
                self._deliver(feed, event)
            else:
                self._catch_up(feed)

    def _deliver(self, feed: _Feed, event: Numbered) -> None:
        feed.last = event.seq
        for place in list(feed.places.values()):
            if place.live:
                self._tell(feed, place, event)

    def _tell(self, feed: _Feed, place: _Place, event: Numbered) -> None:
        follower = place.follower
        if event.seq <= place.after or follower.gone:
            return
        place.after = follower.told[feed.stream] = event.seq
        if event.except_device is None or event.except_device != follower.device:
            self._give(follower, event)
        if event.name in (FOLLOWED, LEFT) and feed.stream == user_stream(follower.user) and event.seq > follower.since:
            self._follow(follower, event)
        self._end_if_left(feed, place)

    def _give(self, follower: Follower, item: Item) -> None:
        """A socket that breaks is no matter of the others'."""
        try:
            follower.receive(item)
        except Exception:
            log.exception("A socket of the user %r does not take what it is told.", follower.user)
            self.leave(follower)

    def _follow(self, follower: Follower, event: Numbered) -> None:
        stream = str(event.data["stream"])
        place = follower.places.get(stream)
        if event.name == FOLLOWED:
            if place is None:
                self._attach(follower, stream, _number(event.data["after"]))
            else:
                place.until = None
        elif place is not None:
            place.until = _number(event.data["last"])
            self._end_if_left(self._feeds[stream], place)

    def _end_if_left(self, feed: _Feed, place: _Place) -> None:
        if place.until is not None and place.after >= place.until:
            self._detach(place.follower, feed.stream)

    # ---- feeds

    def _attach(self, follower: Follower, stream: str, after: int, until: int | None = None) -> None:
        if follower.gone or stream in follower.places:
            return
        after = max(after, follower.told.get(stream, 0))
        feed = self._feeds.get(stream)
        if feed is None:
            feed = self._feeds[stream] = _Feed(stream, after)
            self._changed.set()
        place = _Place(follower, after, until, live=after >= feed.last)
        follower.places[stream] = feed.places[follower] = place
        if not place.live:
            self._spawn(self._fill(feed, place))
        self._end_if_left(feed, place)

    def _detach(self, follower: Follower, stream: str) -> None:
        follower.places.pop(stream, None)
        feed = self._feeds.get(stream)
        if feed is None:
            return
        feed.places.pop(follower, None)
        if not feed.places:
            del self._feeds[stream]
            self._changed.set()

    def _catch_up(self, feed: _Feed) -> None:
        feed.behind = True
        if not feed.reading:
            feed.reading = True
            self._spawn(self._read(feed))

    async def _read(self, feed: _Feed) -> None:
        """Up to the newest. What cannot be read now is read after the next look."""
        try:
            while feed.behind and feed.places:
                feed.behind = False
                found = await self._storage.events(feed.stream, feed.last, BATCH)
                if not found.complete:
                    last = (await self._storage.last([feed.stream]))[feed.stream]
                    feed.last = max(feed.last, last)
                    for place in list(feed.places.values()):
                        if place.live:
                            self._skip(feed, place, last)
                for event in found.events:
                    if event.seq > feed.last:
                        self._deliver(feed, event)
                feed.behind = feed.behind or bool(found.events)
        except Unavailable as error:
            log.warning("%s", error)
        finally:
            feed.reading = False

    async def _fill(self, feed: _Feed, place: _Place) -> None:
        """Tells one what the others of his feed have been told already."""
        while feed.places.get(place.follower) is place:
            try:
                found = await self._storage.events(feed.stream, place.after, BATCH)
                last = feed.last if found.complete else (await self._storage.last([feed.stream]))[feed.stream]
            except Unavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(self._poll_s)
                continue
            if not found.complete:
                self._skip(feed, place, last)
            for event in found.events:
                self._tell(feed, place, event)
            if place.after >= feed.last:
                place.live = True
                return
            if not found.events and found.complete:  # it was told, and the storage does not have it yet to be read
                await asyncio.sleep(0.01)

    def _skip(self, feed: _Feed, place: _Place, last: int) -> None:
        if last > place.after:
            place.after = place.follower.told[feed.stream] = last
            self._give(place.follower, Missed(feed.stream, last))
            self._end_if_left(feed, place)

    # ---- in the background

    async def _tend_bus(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        wanted = set(self._feeds)
        try:
            if gone := self._on_bus - wanted:
                self._on_bus -= gone
                await self._bus.unfollow(gone)
            if new := wanted - self._on_bus:
                await self._bus.follow(new)
                self._on_bus |= new
        except Unavailable as error:
            log.warning("%s", error)
            self._changed.set()
            await asyncio.sleep(self._poll_s)
        for stream in wanted:
            feed = self._feeds.get(stream)
            if feed is not None and not feed.heard and stream in self._on_bus:
                feed.heard = True
                self._catch_up(feed)

    async def _poll(self) -> None:
        await asyncio.sleep(self._poll_s)
        streams = list(self._feeds)
        try:
            for start in range(0, len(streams), STREAMS_AT_ONCE):
                last = await self._storage.last(streams[start : start + STREAMS_AT_ONCE])
                for stream, number in last.items():
                    feed = self._feeds.get(stream)
                    if feed is not None and feed.last < number:
                        self._catch_up(feed)
        except Unavailable as error:
            log.warning("%s", error)

    async def _for_ever(self, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except Exception:
                log.exception("The hub goes on.")
                await asyncio.sleep(self._poll_s)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _was_away(
    missed: Iterable[Numbered],
    follows: Mapping[str, int],
    resume: Mapping[str, int],
    after: dict[str, int],
    until: dict[str, int],
) -> None:
    """What changed in what the user follows while the socket was not there: he is told of what he left up to where he
    left it, and of what he follows since from where he does."""
    began = dict(resume)
    for event in missed:
        if event.name not in (FOLLOWED, LEFT):
            continue
        stream = str(event.data["stream"])
        if stream in follows:
            after[stream] = follows[stream]
        elif event.name == FOLLOWED:
            began[stream] = max(_number(event.data["after"]), resume.get(stream, 0))
        elif stream in began:
            after[stream], until[stream] = began[stream], _number(event.data["last"])


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value
