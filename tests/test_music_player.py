"""The player as a state machine: what is opened is closed, two decks do, and what is heard is what was asked."""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
from mediaserver.music.plans import Plan, Repeat, Track
from mediaserver.music.player import MAX_FAILURES, PATIENCE_S, State, step

TRACKS = tuple(Track(key, f"library:{key}") for key in "abcd")


@dataclass
class Heard:
    """A deck as decoder and plane have it. gain: where its volume goes, None for silence."""

    source: str
    start_s: float
    ready: bool = False
    started: bool = False
    removed: bool = False
    gain: float | None = None


@dataclass
class Plays:
    """A player with the world around it; everything that an effect says must make sense there."""

    state: State = field(default_factory=State)
    now: float = 100.0
    open: dict[int, Heard] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    told: list[Effect] = field(default_factory=list)
    opens: int = 0

    def do(self, event: Event) -> list[Effect]:
        self.state, effects = step(self.state, event, self.now)
        for effect in effects:
            self._perform(effect)
        return effects

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Open(deck, source, start_s):
                assert deck not in self.open
                assert deck not in self.closed
                self.open[deck] = Heard(source, start_s)
                self.opens += 1
            case Start(deck, volume_db, fade_ms):
                found = self.open[deck]
                assert found.ready
                assert not found.started
                assert fade_ms > 0
                found.started, found.gain = True, volume_db
            case Fade(deck, volume_db, fade_ms, then):
                found = self.open[deck]
                assert found.started
                assert not found.removed or then == "remove"  # cut short
                assert fade_ms > 0
                assert (then == "go on") == (volume_db is not None)
                found.gain, found.removed = volume_db, then == "remove"
            case Close(deck):
                del self.open[deck]
                self.closed.add(deck)
            case _:
                self.told.append(effect)
        assert len(self.open) <= 2

    @property
    def audible(self) -> dict[int, Heard]:
        return {number: deck for number, deck in self.open.items() if deck.gain is not None}

    def ready(self, deck: int | None = None, duration_s: float | None = 60.0) -> list[Effect]:
        number = max(self.open) if deck is None else deck
        if number in self.open:
            self.open[number].ready = True
        return self.do(Opened(number, duration_s))

    def at(self, position_s: float) -> list[Effect]:
        assert self.state.current is not None
        return self.do(Progress(self.state.current.number, position_s))

    @property
    def playing(self) -> str | None:
        return self.state.track.key if self.state.track else None


def player(first: str | None = "a", **plan: object) -> Plays:
    """One whose first track is heard."""
    found = Plays()
    found.do(Configure(Plan(**{"tracks": TRACKS, **plan})))  # type: ignore[arg-type]
    if first is not None:
        found.do(Play(first))
        found.ready()
        assert found.state.status is Status.PLAYING
    found.told.clear()
    return found


def test_a_track_is_opened_then_heard() -> None:
    plays = player(None, volume_db=-6.0, fade_in_ms=500)
    assert plays.state.status is Status.IDLE
    assert plays.do(Play()) == [Open(1, "library:a", 0.0), StatusChanged(Status.LOADING)]
    assert plays.ready() == [TrackStarted("a"), Start(1, -6.0, 500), StatusChanged(Status.PLAYING)]
    assert plays.do(Play()) == []


def test_pause_holds_and_play_goes_on_from_there() -> None:
    plays = player(volume_db=-6.0, fade_in_ms=300, fade_out_ms=200)
    assert plays.do(Pause()) == [Fade(1, None, 200, "hold"), StatusChanged(Status.PAUSED)]
    assert plays.do(Pause()) == []
    assert plays.do(Play()) == [Fade(1, -6.0, 300, "go on"), StatusChanged(Status.PLAYING)]


def test_stop_fades_out_and_the_deck_is_closed_when_it_is_out() -> None:
    plays = player(fade_out_ms=1000)
    assert plays.do(Stop()) == [Fade(1, None, 1000, "remove"), StatusChanged(Status.IDLE)]
    assert plays.do(Ended(1)) == [Close(1)]
    plays = player(fade_out_ms=1000)
    plays.do(Stop())
    plays.now += 5  # nobody said that it is out
    assert plays.do(Tick()) == [Close(1)]


def test_a_seek_is_a_new_deck_that_takes_over_when_it_is_ready() -> None:
    plays = player(fade_in_ms=2000)
    assert plays.do(Seek(30)) == [Open(2, "library:a", 30), StatusChanged(Status.LOADING)]
    assert plays.audible.keys() == {1}
    assert plays.ready() == [Fade(1, None, 20, "remove"), Start(2, 0.0, 20), StatusChanged(Status.PLAYING)]
    plays.at(31)
    assert plays.do(Seek(-5))[0] == Fade(1, None, 20, "remove")  # the one that still leaves is cut short
    assert plays.state.coming is not None
    assert plays.state.coming.start_s == 0
    plays.do(Seek(1e9))
    assert plays.state.coming.start_s == 60


def test_a_seek_while_paused_is_heard_when_it_goes_on() -> None:
    plays = player()
    plays.do(Pause())
    plays.do(Seek(30))
    assert plays.ready() == [Fade(1, None, 20, "remove"), Close(1)]
    assert plays.state.status is Status.PAUSED
    assert plays.do(Play()) == [Start(2, 0.0, 20), StatusChanged(Status.PLAYING)]


def test_what_takes_long_to_open_is_awaited_in_silence() -> None:
    plays = player()
    plays.do(Next())
    assert plays.audible.keys() == {1}
    plays.now += PATIENCE_S
    assert plays.do(Tick()) == [Fade(1, None, 20, "remove")]
    assert plays.ready()[-2:] == [Start(2, 0.0, 20), StatusChanged(Status.PLAYING)]


def test_tracks_follow_each_other_without_a_cross_fade() -> None:
    plays = player()
    assert plays.at(50) == []
    assert plays.at(56) == [Open(2, "library:b", 0.0)]
    assert plays.ready() == []
    assert plays.at(59.9) == []
    assert plays.do(Ended(1)) == [Close(1), TrackStarted("b"), Start(2, 0.0, 20)]


def test_tracks_fade_into_each_other() -> None:
    plays = player(crossfade_ms=4000, volume_db=-3.0)
    assert plays.at(51.5) == [Open(2, "library:b", 0.0)]
    plays.ready()
    assert plays.at(55.9) == []
    fade, started, start = plays.at(56.0)
    assert (fade, started, start) == (Fade(1, None, 4000, "remove"), TrackStarted("b"), Start(2, -3.0, 4000))
    assert plays.do(Ended(1)) == [Close(1)]
    assert plays.playing == "b"


def test_nothing_is_opened_ahead_while_another_track_still_fades() -> None:
    plays = player(crossfade_ms=4000)
    plays.at(52)
    plays.ready()
    plays.at(56)
    plays.ready(duration_s=6.0)
    assert plays.at(0.5) == []
    assert plays.audible.keys() == {2}
    plays.do(Ended(1))
    assert plays.do(Progress(2, 51.5)) == [Open(3, "library:c", 0.0)]


def test_a_cross_fade_is_no_longer_than_half_a_track() -> None:
    plays = player(crossfade_ms=60_000)
    plays.at(26)
    plays.ready()
    assert plays.at(29.5) == []
    assert plays.at(30)[0] == Fade(1, None, 30_000, "remove")


def test_next_takes_what_was_opened_ahead() -> None:
    plays = player()
    plays.at(58)
    plays.ready()
    assert Start(2, 0.0, 20) in plays.do(Next())
    assert plays.opens == 2


def test_previous_begins_the_track_again_or_goes_to_the_one_before() -> None:
    plays = player("b")
    plays.at(10)
    plays.do(Previous())
    plays.ready()
    assert plays.playing == "b"
    plays.at(1)
    plays.do(Previous())
    assert plays.playing == "a"
    plays.do(Previous())
    assert plays.playing == "a"


@pytest.mark.parametrize(
    ("repeat", "expected"), [(Repeat.NONE, "abcd"), (Repeat.ALL, "abcdabcda"), (Repeat.ONE, "aaaaaaaaa")]
)
def test_what_follows_is_as_repeat_says(repeat: Repeat, expected: str) -> None:
    plays, seen = player(repeat=repeat), ["a"]
    for _ in range(8):
        if plays.state.current is None:
            break
        plays.at(58)
        if plays.state.coming is not None:
            plays.ready()
        plays.do(Ended(plays.state.current.number))
        seen += plays.playing or ""
    assert "".join(seen) == expected
    assert (plays.state.status is Status.ENDED) == (repeat is Repeat.NONE)


def test_shuffle_plays_each_track_once_in_the_order_of_its_seed() -> None:
    orders = set()
    for seed in range(20):
        plays = player("c", shuffle=True, seed=seed)
        assert sorted(plays.state.order) == list("abcd")
        assert plays.state.order[0] == "c"
        again = player("c", shuffle=True, seed=seed)
        assert again.state.order == plays.state.order
        orders.add(plays.state.order)
    assert len(orders) > 3


def test_a_new_volume_is_where_everything_heard_goes() -> None:
    plays = player(fade_out_ms=1000)
    assert plays.do(Configure(Plan(TRACKS, volume_db=-12))) == [Fade(1, -12, 100, "go on")]
    plays.do(Pause())
    assert plays.do(Configure(Plan(TRACKS, volume_db=-20))) == []
    assert plays.do(Play())[0] == Fade(1, -20, 20, "go on")


def test_a_track_that_cannot_be_played_is_told_and_passed_over() -> None:
    plays = player(None)
    plays.do(Play())
    assert plays.do(Failed(1, "no-audio")) == [
        *(Close(1), TrackFailed("a", "no-audio"), Open(2, "library:b", 0.0)),
    ]
    plays.ready()
    assert plays.state.status is Status.PLAYING
    assert plays.playing == "b"


@pytest.mark.parametrize("repeat", Repeat)
@pytest.mark.parametrize("count", [1, 3, 40])
def test_when_nothing_can_be_played_the_player_fails_and_tries_no_more(repeat: Repeat, count: int) -> None:
    plays = player(None, repeat=repeat, tracks=tuple(Track(str(n), "x") for n in range(count)))
    plays.do(Play())
    while plays.open:
        plays.do(Failed(max(plays.open), "damaged"))
    assert plays.state.status is Status.FAILED
    assert plays.told[-1] == StatusChanged(Status.FAILED, "damaged")
    assert plays.opens == (1 if repeat is Repeat.ONE else min(count, MAX_FAILURES))
    assert StatusChanged(Status.LOADING) in plays.do(Play())


def test_bad_tracks_that_are_opened_ahead_are_tried_once() -> None:
    plays = player("a")
    plays.at(58)
    for deck in (2, 3, 4):
        plays.do(Failed(deck, "damaged"))
        plays.at(58.1)
    assert plays.opens == 4
    assert plays.audible.keys() == {1}
    assert plays.do(Ended(1)) == [Close(1), StatusChanged(Status.ENDED)]


def test_a_deck_that_dies_is_followed_by_the_next_track() -> None:
    plays = player()
    effects = plays.do(Failed(1, "decoder-died"))
    assert TrackFailed("a", "decoder-died") in effects
    assert Open(2, "library:b", 0.0) in effects
    plays.ready()
    assert plays.playing == "b"


def test_a_stalled_source_shows_and_recovers() -> None:
    plays = player()
    assert plays.do(Starved(1)) == [StatusChanged(Status.STALLED)]
    assert plays.do(Resumed(1)) == [StatusChanged(Status.PLAYING)]


def test_a_playlist_that_changes_is_followed() -> None:
    plays = player("b")
    plays.at(58)
    plays.ready()
    ahead = plays.state.coming
    assert ahead is not None
    assert ahead.track.key == "c"
    effects = plays.do(Configure(Plan((TRACKS[0], TRACKS[1], TRACKS[3]))))
    assert effects == [Close(ahead.number)]  # what is played goes on
    effects = plays.do(Configure(Plan((TRACKS[0], TRACKS[3]))))
    assert Open(3, "library:d", 0.0) in effects  # it is gone: what came after it
    plays.ready()
    plays.do(Configure(Plan((TRACKS[0], Track("d", "library:other")))))
    assert plays.open[max(plays.open)].source == "library:other"
    plays.do(Configure(Plan()))
    assert plays.state.status is Status.ENDED
    assert not plays.audible


class Anything(RuleBasedStateMachine):
    """Whatever is asked and reported, in any order."""

    plays: Plays

    @initialize()
    def begin(self) -> None:
        self.plays = Plays()

    @rule(
        tracks=st.lists(st.sampled_from([*TRACKS, Track("a", "library:z")]), max_size=4, unique_by=lambda t: t.key),
        repeat=st.sampled_from(Repeat),
        shuffle=st.booleans(),
        volume_db=st.sampled_from([0.0, -6.0, -60.0]),
        fade_ms=st.sampled_from([0.0, 500.0]),
        crossfade_ms=st.sampled_from([0.0, 3000.0, 1e6]),
    )
    def configure(  # noqa: PLR0917
        self, tracks: list[Track], repeat: Repeat, shuffle: bool, volume_db: float, fade_ms: float, crossfade_ms: float
    ) -> None:
        self.plays.do(Configure(Plan(tuple(tracks), repeat, shuffle, 7, volume_db, fade_ms, fade_ms, crossfade_ms)))

    @rule(event=st.sampled_from([Play(), Play("a"), Play("b", 5.0), Play("x"), Pause(), Stop(), Next(), Previous()]))
    def ask(self, event: Event) -> None:
        self.plays.do(event)

    @rule(position_s=st.floats(-10, 100))
    def seek(self, position_s: float) -> None:
        self.plays.do(Seek(position_s))

    @rule(back=st.integers(0, 3), duration_s=st.sampled_from([None, 0.0, 1.0, 60.0]))
    def opened(self, back: int, duration_s: float | None) -> None:
        number = self.plays.state.decks - back
        found = self.plays.open.get(number)
        if found is None or not found.ready:  # said once of a deck, or of one that is closed
            self.plays.ready(number, duration_s)

    @rule(back=st.integers(0, 3), kind=st.sampled_from([Starved, Resumed]))
    def report(self, back: int, kind: type[Starved] | type[Resumed]) -> None:
        self.plays.do(kind(self.plays.state.decks - back))

    @rule(back=st.integers(0, 3))
    def ended(self, back: int) -> None:
        number = self.plays.state.decks - back
        found = self.plays.open.get(number)
        if found is None or found.started:
            if found is not None:
                found.removed, found.gain = True, None
            self.plays.do(Ended(number))

    @rule(back=st.integers(0, 3))
    def failed(self, back: int) -> None:
        self.plays.do(Failed(self.plays.state.decks - back, "damaged"))

    @precondition(lambda self: self.plays.state.current is not None)
    @rule(position_s=st.floats(0, 100))
    def progress(self, position_s: float) -> None:
        self.plays.at(position_s)

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.plays.now += seconds
        self.plays.do(Tick())

    @invariant()
    def what_is_open_is_known(self) -> None:
        state = self.plays.state
        known = [deck.number for deck in (state.current, state.coming, state.leaving) if deck is not None]
        assert sorted(known) == sorted(self.plays.open)
        assert self.plays.closed.isdisjoint(self.plays.open)

    @invariant()
    def what_is_heard_is_what_was_asked(self) -> None:
        state, audible = self.plays.state, self.plays.audible
        assert len(audible) <= 1
        assert all(deck.gain == state.plan.volume_db for deck in audible.values())
        if state.status in (Status.IDLE, Status.PAUSED, Status.ENDED, Status.FAILED):
            assert not audible
        if state.status in (Status.PLAYING, Status.STALLED):
            assert state.current is not None
            assert audible.keys() == {state.current.number}
            assert state.current.track in state.plan.tracks

    @invariant()
    def a_track_is_of_the_plan(self) -> None:
        assert sorted(self.plays.state.order) == sorted(track.key for track in self.plays.state.plan.tracks)

    def teardown(self) -> None:
        if hasattr(self, "plays"):
            self.plays.do(Stop())
            self.plays.now += 100
            self.plays.do(Tick())
            assert not self.plays.open


TestAnything = Anything.TestCase
TestAnything.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
