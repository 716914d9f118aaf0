"""Performs what players decide: decks are opened, the plane is told, and what both report goes back to the player.

MusicPlayer(workshop, output, hear)               output: its column (columns.py), which whoever made it removes
MusicPlayer.ask(event)                            of cues.py: Configure, Play, Pause, Stop, Seek, Next, Previous
MusicPlayer.now() -> Now                          what it does, and where it is
hear(effects)                                     StatusChanged, TrackStarted, TrackFailed, as they happen
MusicPlayer.close()                               before the column is removed
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mediaserver.music.cues import (
    Close,
    Effect,
    Ended,
    Event,
    Fade,
    Failed,
    Open,
    Opened,
    Progress,
    Resumed,
    Start,
    Starved,
    Status,
    Stop,
    Tick,
)
from mediaserver.music.deck import Broken, Deck, News, Ready, RingLike, Stalled, Workshop
from mediaserver.music.formats import RATE, TAGS
from mediaserver.music.player import State, step

# How exactly a cross-fade begins. Lower costs a wake-up of some microseconds each.
TICK_S = 0.1


class Output(Protocol):
    """The plane, as far as a player's column goes; and its events by deck."""

    def add_deck(self, deck: int, ring: RingLike, gain: float, fade_samples: int) -> None: ...
    def fade_deck(self, deck: int, gain: float, fade_samples: int, then: str) -> None: ...
    def adopt(self, hear: "Callable[[type[Starved] | type[Resumed] | type[Ended]], None]") -> int:
        """A number for a new deck; what the plane says of it goes to `hear`."""

    def drop(self, deck: int) -> None:
        """Nothing of it is heard any more."""


@dataclass(frozen=True, slots=True)
class Now:
    """track: its key; position: so many seconds of it were in the room's mixes at `at_ns` of the monotonic clock."""

    status: Status
    track: str | None
    position_s: float
    at_ns: int
    duration_s: float | None
    failure: str
    tags: dict[str, str]


@dataclass(slots=True)
class _Playing:
    deck: Deck
    plane_deck: int
    tags: dict[str, str]


class MusicPlayer:
    """All methods are called in the event loop and return at once."""

    def __init__(self, workshop: Workshop, output: Output, hear: Callable[[Sequence[Effect]], None]) -> None:
        self.state = State()
        self._workshop = workshop
        self._output = output
        self._hear = hear
        self._decks: dict[int, _Playing] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def ask(self, event: Event) -> None:
        if self._closed:
            return
        self.state, effects = step(self.state, event, self._loop.time())
        told = [effect for effect in effects if not self._perform(effect)]
        if self._decks and self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        if told:
            self._hear(told)

    def now(self) -> Now:
        shown, at_ns, tags = self.state.shown, 0, {}
        position_s = shown.position_s if shown is not None else 0.0
        playing = self._decks.get(shown.number) if shown is not None else None
        if playing is not None:
            frames, at_ns = playing.deck.ring.position
            position_s = playing.deck.start_s + frames / RATE
            tags = playing.tags
        return Now(
            self.state.status,
            shown.track.key if shown is not None else None,
            position_s,
            at_ns,
            shown.duration_s if shown is not None else None,
            self.state.failure,
            tags,
        )

    def close(self) -> None:
        """Everything ends at once; nothing is heard of it any more."""
        self.ask(Stop())
        self._closed = True
        for number in list(self._decks):
            self._perform(Close(number))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _perform(self, effect: Effect) -> bool:
        """Whether it was done here; what was not is news."""
        match effect:
            case Open(number, source, start_s):
                plane_deck = self._output.adopt(lambda kind: self.ask(kind(number)))
                deck = Deck(self._workshop, source, start_s, lambda news: self._deck_says(number, news))
                self._decks[number] = _Playing(deck, plane_deck, {})
            case Start(number, volume_db, fade_ms):
                playing = self._decks[number]
                gain = 10 ** (volume_db / 20)
                self._output.add_deck(playing.plane_deck, playing.deck.ring, gain, samples(fade_ms))
            case Fade(number, volume_db, fade_ms, then):
                gain = 0.0 if volume_db is None else 10 ** (volume_db / 20)
                self._output.fade_deck(self._decks[number].plane_deck, gain, samples(fade_ms), then)
            case Close(number):
                playing = self._decks.pop(number)
                playing.deck.close()
                self._output.drop(playing.plane_deck)
            case _:
                return False
        return True

    def _deck_says(self, number: int, news: News) -> None:
        match news:
            case Ready(duration_s, found):
                if number in self._decks:
                    self._decks[number].tags = {name: str(found[name]) for name in TAGS if name in found}
                self.ask(Opened(number, duration_s))
            case Broken(reason, _):
                self.ask(Failed(number, reason))
            case Stalled():
                pass  # while the ring lasts nobody hears it; then the plane says that it is starved

    def _tick(self) -> None:
        self._timer = None
        current = self.state.current
        if current is not None and current.number in self._decks:
            self.ask(Progress(current.number, self._decks[current.number].deck.position_s))
        else:
            self.ask(Tick())


def samples(milliseconds: float) -> int:
    """At 48 kHz; the plane's fades are at most a minute."""
    return max(1, min(60 * RATE, math.ceil(milliseconds * RATE / 1000)))
