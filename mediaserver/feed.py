"""What listeners are told beside the media: who is behind a CSRC, who is muted, who speaks how loudly.

A Feed belongs to a room and turns its state into events; a Subscription is one reader's bounded queue.

| event      | data                                                                               | when               |
|------------|------------------------------------------------------------------------------------|--------------------|
| `active`   | `{}`                                                                               | somebody publishes |
| `inactive` | `{}`                                                                               | the last one left  |
| `sources`  | `{"sources": [{"csrc", "user", "seat", "may_publish", "muted_by", "publishing"}]}` | at start, changes  |
| `levels`   | `{"levels": {user: dBov, -127..0}, "speaking": [user]}` of those who are heard     | while spoken       |
| `muted-speech` | `{"muted_by": [source]}`: to the user himself alone                            | he talks, muted    |
| `microphone` | `{"silent", "clipping"}` of the user's own, to him alone                         | at start, changes  |
| `players`  | `{"players": [{"player", "status", "track", "title", "position_ms", ...}]}`        | at start, changes  |
| `moved`    | `{"room"}`, and then `sources` of that room                                        | moved there        |
| `moving`   | `{"reason": "draining"}`                                                           | before it all ends |

`active` and `inactive` are draft-ietf-wish-whep's own; the others are ours.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mediaserver.model.people import Direction
from mediaserver.model.room import Room

EventName = Literal[
    "active", "inactive", "levels", "microphone", "moved", "moving", "muted-speech", "players", "sources"
]
EVENTS: tuple[EventName, ...] = get_args(EventName)
# Events that a reader may be behind. Raising it costs memory for slow readers, lowering it cuts those on bad networks.
QUEUE = 64
# A player's position that is so far from where it should have come to has jumped. Lower tells of each hiccup.
JUMP_MS = 300
LEVELS_EVERY_MS = 200
"""Of a reader who does not say. Higher makes a page's meters lag, lower costs its bandwidth."""
LEVELS_GRID_MS, LONGEST_LEVELS_MS = 50, 2000
"""What he may say: a multiple of the first, the second at most. A finer grid has the server look more often."""


@dataclass(frozen=True, slots=True)
class Level:
    """Of one publisher, as the plane measures it; level in dBov, -127..0 (RFC 6464)."""

    level_dbov: float
    speaking: bool


@dataclass(frozen=True, slots=True)
class Playing:
    """What a music player does. position_ms of the track were in the mix at the Unix time `at`; title and artist: from
    the track's tags. delay_ms: of music that singers sing to, how much later those without a seat hear it. What is not
    known is None."""

    player: str
    status: str
    track: str | None = None
    title: str | None = None
    artist: str | None = None
    position_ms: int | None = None
    duration_ms: int | None = None
    at: float | None = None
    delay_ms: int | None = None

    def is_news_after(self, before: "Playing") -> bool:
        """Whether who knows `before` should be told this. Time passes anyway, and who knows where it was knows where
        it is; unless it went elsewhere."""
        if self._matter != before._matter:
            return True
        if self.position_ms is None or before.position_ms is None:
            return self.position_ms != before.position_ms
        expected = float(before.position_ms)
        if self.status == "playing" and self.at is not None and before.at is not None:
            expected += (self.at - before.at) * 1000
        return abs(self.position_ms - expected) > JUMP_MS

    @property
    def _matter(self) -> tuple[object, ...]:
        return self.player, self.status, self.track, self.title, self.artist, self.duration_ms, self.delay_ms


class Subscription:
    """The queue of one event stream. It never blocks who writes, and never grows beyond QUEUE.

    Only the newest `levels` waits; nothing else is ever left out: a reader that is behind by QUEUE other events is cut
    off, and starts again with the whole table when it comes back.
    """

    def __init__(self, wanted: Iterable[str] = EVENTS, levels_every_ms: int = LEVELS_EVERY_MS) -> None:
        self.wanted = frozenset(wanted)
        self.levels_every_ms = levels_every_ms
        self._queue: deque[tuple[str, str]] = deque()
        self._wake = asyncio.Event()
        self.closed = False

    def put(self, event: str, data: str) -> None:
        if self.closed or event not in self.wanted:
            return
        if event == "levels":
            self._queue = deque(item for item in self._queue if item[0] != "levels")
        self._queue.append((event, data))
        if len(self._queue) > QUEUE:
            self.close()
        self._wake.set()

    def close(self) -> None:
        """Drops what is queued; the reader's next get() says None."""
        self.closed = True
        self._queue.clear()
        self._wake.set()

    async def get(self) -> tuple[str, str] | None:
        """The next (event, JSON); None when the stream has ended."""
        while not self._queue:
            if self.closed:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()


class Feed:
    """The events of one room."""

    def __init__(self, room: Room, playing: Callable[[Room], Sequence[Playing]] = lambda _: ()) -> None:
        """playing: what the room's players do now."""
        self._room = room
        self._playing = playing
        self._told: list[Playing] = []  # what the readers know of the players
        self._subscriptions: set[Subscription] = set()
        self._by_interval: dict[int, set[Subscription]] = {}  # those who want levels, by how often
        self._sources = ""  # as the readers know it, while there are any
        self._active = False
        self._speaking: list[str] = []

    def __bool__(self) -> bool:
        """Whether anybody reads."""
        return bool(self._subscriptions)

    def subscribe(self, subscription: Subscription) -> None:
        """The reader is told at once what is; the draft wants no `inactive` at the start."""
        if not self._subscriptions:
            self._sources, self._active = _sources(self._room), _is_active(self._room)
            self._told = []
        self._subscriptions.add(subscription)
        if "levels" in subscription.wanted:
            self._by_interval.setdefault(subscription.levels_every_ms, set()).add(subscription)
        subscription.put("sources", self._sources)
        if self._room.programme.players:
            players = list(self._playing(self._room))
            self._told = self._told or players
            subscription.put("players", _players(players))
        if self._active:
            subscription.put("active", "{}")

    def unsubscribe(self, subscription: Subscription) -> None:
        self.hand_over(subscription)
        subscription.close()

    def hand_over(self, subscription: Subscription) -> bool:
        """Lets go of the reader without ending its stream; False when it did not read here."""
        if subscription not in self._subscriptions:
            return False
        self._subscriptions.remove(subscription)
        alike = self._by_interval.get(subscription.levels_every_ms, set())
        alike.discard(subscription)
        if not alike:
            self._by_interval.pop(subscription.levels_every_ms, None)
        return True

    def close(self) -> None:
        for subscription in tuple(self._subscriptions):
            self.unsubscribe(subscription)

    def changed(self) -> None:
        """To be called after the room may have changed: tells what did."""
        if not self._subscriptions:
            return
        sources, active = _sources(self._room), _is_active(self._room)
        if sources != self._sources:
            self._sources = sources
            self._tell("sources", sources)
        if active != self._active:
            self._active = active
            self._tell("active" if active else "inactive", "{}")
        self.played()

    def played(self) -> None:
        """To be called every now and then: tells where the players are, when they did not just play on."""
        if not self._subscriptions or not (self._room.programme.players or self._told):
            return
        players = list(self._playing(self._room))
        known = zip(players, self._told, strict=False)
        if len(players) != len(self._told) or any(now.is_news_after(before) for now, before in known):
            self._told = players
            self._tell("players", _players(players))

    def moving(self, reason: str) -> None:
        """Clients had better go to another server now: this one's sessions are about to end."""
        self._tell("moving", _json({"reason": reason}))

    @property
    def level_intervals(self) -> Iterable[int]:
        """In ms: how often its readers want levels."""
        return self._by_interval.keys()

    def levels(self, levels: Mapping[str, Level], at_ms: int | None = None) -> None:
        """To be called every now and then with the room's publishers: tells when someone speaks or just stopped. Who
        speaks is told to everybody at once; levels to those whose interval divides at_ms, without it to all."""
        heard = {user: level for user, level in levels.items() if self._is_heard(user)}
        speaking = sorted(user for user, level in heard.items() if level.speaking)
        if not speaking and not self._speaking:
            return
        all_are_told = at_ms is None or speaking != self._speaking
        self._speaking = speaking
        due = [group for every, group in self._by_interval.items() if all_are_told or (at_ms or 0) % every == 0]
        if not due:
            return
        rounded = {user: round(level.level_dbov) for user, level in heard.items()}
        data = _json({"levels": rounded, "speaking": speaking})
        for group in due:
            for subscription in group:
                subscription.put("levels", data)

    def _is_heard(self, user: str) -> bool:
        return user in self._room.speakers and self._room.speakers[user].heard

    def _tell(self, event: str, data: str) -> None:
        for subscription in self._subscriptions:
            subscription.put(event, data)


def _is_publishing(room: Room, user: str) -> bool:
    return user in room.participants and Direction.PUBLISH in room.participants[user].peers


def _is_active(room: Room) -> bool:
    return any(_is_publishing(room, user) for user in room.speakers)


def _sources(room: Room) -> str:
    return _json(
        {
            "sources": [
                {
                    "csrc": room.csrcs.of(user),
                    "user": user,
                    "may_publish": speaker.may_publish,
                    "muted_by": sorted(speaker.mutes),
                    "seat": speaker.seat,
                    "publishing": _is_publishing(room, user),
                }
                for user, speaker in room.speakers.items()
            ]
        }
    )


def _players(players: Sequence[Playing]) -> str:
    known = [{name: value for name, value in asdict(player).items() if value is not None} for player in players]
    return _json({"players": known})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
