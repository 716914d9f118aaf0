"""A music player as a state machine: what is asked, what its decks report, and what is to be done. Pure.

    step(state, event, now) -> (state, effects)          now: seconds of any one clock

A deck is one decoder with its ring (deck.py), and from Start on one source in the player's column of the gain matrix.
There are at most two:

    current   is heard, or is held while the player is paused
    coming    is opened: for now (play, seek, next, previous), or ahead of the end of the current one
    leaving   fades out, while the current one is heard

Rules
- Seek, next, previous and cross-fade are one thing: `coming` is started when it is ready, and `current` leaves. The
  current one goes on meanwhile, for PATIENCE_S: a file is ready in milliseconds, a stream may need seconds.
- When a third deck would be needed, the one that leaves is cut short.
- What every deck that is heard goes to is the volume that was asked for last; nothing is ever heard at another one for
  longer than a fade.
- A track that cannot be played is told and passed over, but no more of them in a row than MAX_FAILURES or the playlist
  has: then the player has failed.
- Every deck that is opened is closed. After that it is never named again, and what it still reports is dropped.
"""

from dataclasses import dataclass, field, replace

from mediaserver.music.cues import (
    Close,
    Configure,
    Effect,
    Ended,
    Event,
    Fade,
    Failed,
    Next,
    Open,
    Opened,
    Pause,
    Play,
    Previous,
    Progress,
    Resumed,
    Seek,
    Start,
    Starved,
    Status,
    StatusChanged,
    Stop,
    Tick,
    TrackFailed,
    TrackStarted,
)
from mediaserver.music.plans import CUT_MS, Plan, Repeat, Track, order_of

PATIENCE_S = 1.0
MAX_FAILURES = 10
# Before a track's end, or before its cross-fade: the next deck is opened. Streams need seconds to begin.
OPEN_AHEAD_S = 5.0
VOLUME_MS = 100.0
# `previous` within so much of a track's beginning goes to the one before; later it goes to its beginning.
RESTART_S = 3.0
# The plane needs a deck's ring until its fade is over, which it may begin some ticks later than we.
LEAVING_SLACK_S = 0.25


@dataclass(frozen=True, slots=True)
class Deck:
    """`ready`: its ring has sound. `started`: the plane has it. `starved`: its ring ran empty. `until`: when one that
    leaves is given up, or how long the current one goes on while this one is awaited. `looked_ahead`: what follows it
    has been opened; `is_last`: and nothing that could be played was found."""

    number: int
    track: Track
    start_s: float = 0.0
    duration_s: float | None = None
    position_s: float = 0.0
    ready: bool = False
    started: bool = False
    starved: bool = False
    held: bool = False
    at_end: bool = False
    looked_ahead: bool = False
    is_last: bool = False
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """`failure`: why the player has failed, or the last track did."""

    plan: Plan = field(default_factory=Plan)
    order: tuple[str, ...] = ()  # keys of the tracks as they are played
    status: Status = Status.IDLE
    paused: bool = False
    current: Deck | None = None
    coming: Deck | None = None
    leaving: Deck | None = None
    failures: int = 0
    failure: str = ""
    decks: int = 0  # numbers that have been given out

    @property
    def track(self) -> Track | None:
        """What is played, or about to be."""
        deck = self.shown
        return deck.track if deck else None

    @property
    def shown(self) -> Deck | None:
        """Whose position and duration are the player's."""
        if self.coming is not None and not self.coming.at_end:
            return self.coming
        return self.current


def step(state: State, event: Event, now: float) -> tuple[State, list[Effect]]:
    change = _Change(state, now)
    change.happen(event)
    return change.done()


@dataclass(slots=True)
class _Change:
    """One step: the state on its way, and what follows."""

    state: State
    now: float
    effects: list[Effect] = field(default_factory=list)
    before: Status = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.state.status

    def done(self) -> tuple[State, list[Effect]]:
        self.set(status=self._status())
        if self.state.status is not self.before:
            reason = self.state.failure if self.state.status is Status.FAILED else ""
            self.effects.append(StatusChanged(self.state.status, reason))
        return self.state, self.effects

    def set(self, **members: object) -> None:
        self.state = replace(self.state, **members)  # type: ignore[arg-type]  # mypy cannot tell them by their names

    def happen(self, event: Event) -> None:  # noqa: PLR0912  # one list of all that can happen
        match event:
            case Configure(plan):
                self._configure(plan)
            case Play(None, position_s):
                self._resume(position_s)
            case Play(key, position_s):
                self._play_key(key, position_s)
            case Pause():
                self._pause()
            case Stop():
                self._stop(Status.IDLE)
            case Seek(position_s):
                self._seek(position_s)
            case Next():
                self._skip(self._neighbour(1))
            case Previous():
                self._previous()
            case Opened(deck, duration_s):
                self._opened(deck, duration_s)
            case Failed(deck, reason):
                self._failed(deck, reason)
            case Starved(deck):
                self._note(deck, starved=True)
            case Resumed(deck):
                self._note(deck, starved=False)
            case Ended(deck):
                self._ended(deck)
            case Progress(deck, position_s):
                self._progress(deck, position_s)
            case Tick():
                pass
        self._be_impatient()

    # What is asked

    def _configure(self, plan: Plan) -> None:
        old, state = self.state.plan, self.state
        playing = state.track.key if state.track else None
        place = state.order.index(playing) if playing in state.order else 0
        later = [*state.order[place + 1 :], *state.order[:place]]
        self.set(plan=plan)
        if (plan.tracks, plan.shuffle, plan.seed) != (old.tracks, old.shuffle, old.seed):
            self.set(order=order_of(plan, playing))
        if plan.volume_db != old.volume_db:
            self._set_volume()
        ahead = self.state.coming
        if ahead is not None and ahead.at_end and self._following() != ahead.track:
            self._close_coming()
        if state.track is not None and state.track not in plan.tracks:
            kept = {track.key: track for track in plan.tracks}
            # The same entry with another source is another track; else the next that is still there.
            follow = kept.get(state.track.key) or next((kept[key] for key in later if key in kept), None)
            self._skip(follow)

    def _set_volume(self) -> None:
        deck = self.state.current
        if deck is not None and deck.started and not deck.held:
            self.effects.append(Fade(deck.number, self.state.plan.volume_db, VOLUME_MS, "go on"))

    def _resume(self, position_s: float) -> None:
        if self.state.shown is None:
            first = self._track(self.state.order[0]) if self.state.order else None
            if first is not None:
                self.set(paused=False, failures=0)
                self._load(first, position_s)
        elif self.state.paused:
            self.set(paused=False)
            self._unhold()

    def _unhold(self) -> None:
        deck, plan = self.state.current, self.state.plan
        if deck is None or (self.state.coming is not None and not self.state.coming.at_end):
            return  # what is awaited takes its place
        if not deck.started:
            self._start_current(plan.fade_in_ms)
        elif deck.held:
            self.effects.append(Fade(deck.number, plan.volume_db, max(CUT_MS, plan.fade_in_ms), "go on"))
            self.set(current=replace(deck, held=False))

    def _play_key(self, key: str | None, position_s: float) -> None:
        track = self._track(key)
        if track is not None:
            self.set(paused=False, failures=0)
            if self.state.plan.shuffle and self.state.shown is None:
                self.set(order=order_of(self.state.plan, key))
            self._load(track, position_s)

    def _pause(self) -> None:
        state = self.state
        if state.paused or state.shown is None:
            return
        self.set(paused=True)
        self._close_leaving()
        deck = self.state.current
        if deck is not None and deck.started:
            self.effects.append(Fade(deck.number, None, max(CUT_MS, state.plan.fade_out_ms), "hold"))
            self.set(current=replace(deck, held=True))

    def _stop(self, status: Status, reason: str = "") -> None:
        self._close_coming()
        if self.state.current is not None:
            self._let_go(self.state.plan.fade_out_ms)
        self.set(paused=False, status=status, failure=reason)

    def _seek(self, position_s: float) -> None:
        deck = self.state.shown
        if deck is not None:
            if deck.duration_s is not None:
                position_s = min(position_s, deck.duration_s)
            self._load(deck.track, max(0.0, position_s))
            if self.state.coming is not None:
                self.set(coming=replace(self.state.coming, duration_s=deck.duration_s))

    def _previous(self) -> None:
        deck = self.state.shown
        if deck is not None and deck.position_s > RESTART_S:
            self._seek(0.0)
        else:
            self._skip(self._neighbour(-1) or (deck.track if deck else None))

    def _skip(self, track: Track | None) -> None:
        if self.state.shown is None:
            return
        self.set(failures=0)
        if track is None:
            self._stop(Status.ENDED)
        else:
            ahead = self.state.coming
            if ahead is not None and ahead.at_end and ahead.track == track:
                self._want_coming_now()
            else:
                self._load(track, 0.0)

    # What is reported

    def _opened(self, number: int, duration_s: float | None) -> None:
        deck = self.state.coming
        if deck is None or deck.number != number:
            return
        self.set(coming=replace(deck, ready=True, duration_s=duration_s if duration_s is not None else deck.duration_s))
        self._start_if_ready()

    def _failed(self, number: int, reason: str) -> None:
        state = self.state
        if state.leaving is not None and state.leaving.number == number:
            self._close_leaving()
        elif state.coming is not None and state.coming.number == number:
            deck = state.coming
            self._close_coming()
            self._pass_over(deck, reason)
        elif state.current is not None and state.current.number == number:
            deck = state.current
            self._let_go(CUT_MS)
            if self.state.coming is not None:
                self._tell_failure(deck, reason)
                self._want_coming_now()
            else:
                self._pass_over(deck, reason)

    def _tell_failure(self, deck: Deck, reason: str) -> None:
        self.effects.append(TrackFailed(deck.track.key, reason))
        self.set(failures=self.state.failures + 1, failure=reason)

    def _pass_over(self, deck: Deck, reason: str) -> None:
        """Another track instead of this one, which was to be heard now, or after the current one."""
        self._tell_failure(deck, reason)
        follow = None if self.state.plan.repeat is Repeat.ONE else self._neighbour(1, deck.track.key)
        if self._has_failed:
            follow = None
        if deck.at_end and self.state.current is not None:
            if follow is not None:
                self._open(follow, 0.0, at_end=True)
            else:
                self.set(current=replace(self.state.current, is_last=True))
        elif follow is not None:
            self._load(follow, 0.0)
        else:
            self._come_to_the_end()

    @property
    def _has_failed(self) -> bool:
        most = 1 if self.state.plan.repeat is Repeat.ONE else min(MAX_FAILURES, len(self.state.order))
        return self.state.failures >= most

    def _come_to_the_end(self) -> None:
        if self._has_failed:
            self._stop(Status.FAILED, self.state.failure)
        else:
            self._stop(Status.ENDED)

    def _note(self, number: int, *, starved: bool) -> None:
        deck = self.state.current
        if deck is not None and deck.number == number:
            self.set(current=replace(deck, starved=starved))

    def _ended(self, number: int) -> None:
        state = self.state
        if state.leaving is not None and state.leaving.number == number:
            self._close_leaving(told=True)
        elif state.current is not None and state.current.number == number:
            deck = state.current
            self.effects.append(Close(number))
            self.set(current=None)
            if self.state.coming is not None:
                self._want_coming_now()
                return
            follow = None if deck.is_last else self._following(deck.track.key)
            if follow is None:
                self._come_to_the_end()
            else:
                self._load(follow, 0.0)

    def _progress(self, number: int, position_s: float) -> None:
        deck = self.state.current
        if deck is None or deck.number != number:
            return
        if position_s > deck.start_s + PATIENCE_S and not deck.looked_ahead:
            self.set(failures=0)
        self.set(current=replace(deck, position_s=position_s))
        if deck.duration_s is None or self.state.paused:
            return
        left_s = deck.duration_s - position_s
        crossfade_s = self._crossfade_s(deck)
        has_place = self.state.coming is None and self.state.leaving is None  # what still fades is not cut short for it
        if has_place and left_s <= crossfade_s + OPEN_AHEAD_S and not deck.looked_ahead:
            follow = self._following()
            if follow is not None:
                self._open(follow, 0.0, at_end=True)
                self.set(current=replace(self.state.current or deck, looked_ahead=True))
        coming = self.state.coming
        if coming is not None and coming.at_end and coming.ready and crossfade_s and left_s <= crossfade_s:
            self._start_coming(min(crossfade_s, max(left_s, 0.0)) * 1000)

    def _be_impatient(self) -> None:
        state = self.state
        if state.leaving is not None and self.now >= state.leaving.until:
            self._close_leaving(told=True)
        coming = state.coming
        waits = coming is not None and not coming.at_end and not coming.ready and self.now >= coming.until
        if waits and state.current is not None:
            self._let_go(state.plan.fade_out_ms)

    # Decks

    def _load(self, track: Track, position_s: float) -> None:
        """This is to be heard as soon as it can."""
        self._open(track, position_s, at_end=False)

    def _open(self, track: Track, position_s: float, *, at_end: bool) -> None:
        self._close_coming()
        if self.state.current is not None:
            self._close_leaving()
        number = self.state.decks + 1
        deck = Deck(number, track, position_s, position_s=position_s, at_end=at_end, until=self.now + PATIENCE_S)
        self.set(decks=number, coming=deck, status=Status.LOADING)
        self.effects.append(Open(number, track.source, position_s))

    def _want_coming_now(self) -> None:
        if self.state.coming is not None:
            self.set(coming=replace(self.state.coming, at_end=False, until=self.now + PATIENCE_S))
            self._start_if_ready()

    def _start_if_ready(self) -> None:
        coming = self.state.coming
        if coming is None or not coming.ready or coming.at_end:
            return
        fade_ms = self.state.plan.fade_in_ms
        if self.state.current is not None and self.state.current.track == coming.track:
            fade_ms = CUT_MS  # a seek
        self._start_coming(fade_ms)

    def _start_coming(self, fade_ms: float) -> None:
        deck = self.state.coming
        assert deck is not None
        is_new = self.state.current is None or self.state.current.track != deck.track or deck.at_end
        if self.state.current is not None:
            self._let_go(fade_ms)
        self.set(coming=None, current=replace(deck, at_end=False))
        if is_new:
            self.effects.append(TrackStarted(deck.track.key))
        if not self.state.paused:
            self._start_current(fade_ms)

    def _start_current(self, fade_ms: float) -> None:
        deck = self.state.current
        assert deck is not None
        self.effects.append(Start(deck.number, self.state.plan.volume_db, max(CUT_MS, fade_ms)))
        self.set(current=replace(deck, started=True))

    def _let_go(self, fade_ms: float) -> None:
        """The current deck leaves: fading if it is heard, else at once."""
        deck = self.state.current
        assert deck is not None
        self._close_leaving()
        fade_ms = max(CUT_MS, fade_ms)
        if deck.started and not deck.held:
            self.effects.append(Fade(deck.number, None, fade_ms, "remove"))
            until = self.now + fade_ms / 1000 + LEAVING_SLACK_S
            self.set(current=None, leaving=replace(deck, until=until))
        else:
            if deck.started:
                self.effects.append(Fade(deck.number, None, CUT_MS, "remove"))
            self.effects.append(Close(deck.number))
            self.set(current=None)

    def _close_coming(self) -> None:
        if self.state.coming is not None:
            self.effects.append(Close(self.state.coming.number))
            self.set(coming=None)

    def _close_leaving(self, *, told: bool = False) -> None:
        """told: the plane has none of it any more."""
        deck = self.state.leaving
        if deck is not None:
            if not told:
                self.effects.append(Fade(deck.number, None, CUT_MS, "remove"))
            self.effects.append(Close(deck.number))
            self.set(leaving=None)

    # The playlist

    def _track(self, key: str | None) -> Track | None:
        return next((track for track in self.state.plan.tracks if track.key == key), None)

    def _following(self, key: str | None = None) -> Track | None:
        """What is played when this track, or the current one, has ended."""
        current = self.state.current
        key = key if key is not None else current.track.key if current else None
        if self.state.plan.repeat is Repeat.ONE:
            return self._track(key) or self._neighbour(1, key)
        return self._neighbour(1, key)

    def _neighbour(self, by: int, key: str | None = None) -> Track | None:
        """The track after or before this one, or the shown one; None behind the ends, unless all is repeated."""
        order = self.state.order
        key = key if key is not None else self.state.track.key if self.state.track else None
        if key not in order:
            return self._track(order[0]) if order else None
        place = order.index(key) + by
        if not 0 <= place < len(order):
            if self.state.plan.repeat is not Repeat.ALL:
                return None
            place %= len(order)
        return self._track(order[place])

    def _crossfade_s(self, deck: Deck) -> float:
        """Never more than half of what is played of a track."""
        whole_s = (deck.duration_s or 0.0) - deck.start_s
        return max(0.0, min(self.state.plan.crossfade_ms / 1000, whole_s / 2))

    def _status(self) -> Status:
        state = self.state
        shown = state.shown
        if shown is None:
            resting = (Status.IDLE, Status.ENDED, Status.FAILED)
            return state.status if state.status in resting else Status.IDLE
        if state.paused:
            return Status.PAUSED
        if state.current is None or (shown is state.coming and not shown.ready):
            return Status.LOADING
        return Status.STALLED if state.current.starved else Status.PLAYING
