"""How late music and voices are to be for singers: estimates, what moves them, and who hears which column. Pure."""

import random
from itertools import pairwise
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.commands import (
    AddRow,
    AddTap,
    ChangePlayer,
    ClosePlayer,
    Command,
    OpenPlayer,
    RemoveColumn,
    SetColumn,
    SetDelay,
    SetListenerRow,
    SetRow,
)
from mediaserver.ktv import (
    INHERENT_MS,
    MAX_LOOP_MS,
    PRESUMED,
    STEP_MS,
    Alignment,
    Choir,
    ClientDelays,
    Figures,
    RoundTrips,
    Singer,
)
from mediaserver.matrix import Ears, Rows, linear
from mediaserver.model import aligning, playing, presence, rows, seats
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.music.plans import Plan, Track
from mediaserver.programme import (
    Audience,
    Crowd,
    PlayerSpec,
    Programme,
    Public,
    player_column,
    tap_column,
)
from tests.seating import set_speaker

PLAN = Plan(tracks=(Track("0", "library:song"),))
SONG = PlayerSpec(PLAN, align=True)
BROWSER = ClientDelays(playout_ms=60.0, capture_ms=30.0)


def figures(round_trip: float | None, waits: float = 40.0, late: float = 0.0, *, heard: bool = True) -> Figures:
    return Figures((round_trip, round_trip), waits, late, heard)


# The loop


def test_a_loop_is_the_sum_of_its_terms() -> None:
    singer = Singer()
    singer.report(BROWSER)
    singer.look(Figures((60.0, 70.0), waits_ms=45.0, late_ms=5.0))
    assert singer.loop_ms == INHERENT_MS + 65.0 + 60.0 + 30.0 + 45.0 - 5.0


def test_the_loop_of_who_has_reported_nothing_is_presumed_until_he_reports() -> None:
    singer = Singer()
    singer.look(figures(60.0))
    assert singer.loop_ms == INHERENT_MS + 60.0 + 40.0 + PRESUMED.playout_ms + PRESUMED.capture_ms
    singer.report(ClientDelays(200.0, 50.0))
    singer.look(figures(60.0))
    assert singer.loop_ms == INHERENT_MS + 60.0 + 40.0 + 250.0


def test_who_reports_no_more_keeps_what_he_said_while_the_server_follows_what_it_sees() -> None:
    singer = Singer()
    singer.report(BROWSER)
    for waits in (40.0, *[90.0] * 60):
        singer.look(figures(60.0, waits))
    assert singer.loop_ms == INHERENT_MS + 60.0 + 90.0 + 90.0


def test_without_a_round_trip_there_is_no_loop() -> None:
    choir = Choir()
    choir.report("ann", BROWSER)
    assert choir.look([("ann", figures(None))]) == Alignment()
    assert choir.look([("ann", Figures((None, 60.0), 40.0, 0.0))]).music_ms == INHERENT_MS + 60.0 + 40.0 + 90.0


def held_on_a_steady_network(seed: int, jitter: float) -> list[float]:
    """What is held over a minute, in ms, less what would be right; jitter: ms, of each way, evenly spread."""
    draw = random.Random(seed)
    singer = Singer()
    singer.report(BROWSER)
    held = []
    for _ in range(60):
        ways = tuple(60.0 + draw.uniform(0, jitter) + draw.uniform(0, jitter) for _ in range(2))
        singer.look(Figures((ways[0], ways[1]), 40.0 + jitter, jitter / 2))
        assert singer.loop_ms is not None
        held.append(singer.loop_ms - (INHERENT_MS + 60.0 + jitter + 90.0 + 40.0 + jitter - jitter / 2))
    return held


@pytest.mark.parametrize(("jitter", "moves"), [(3, 0), (10, 0.25), (20, 2), (30, 4)])
def test_a_steady_network_s_jitter_is_averaged_and_then_hardly_moves_anything(jitter: float, moves: float) -> None:
    minutes = [held_on_a_steady_network(seed, jitter) for seed in range(200)]
    assert max(abs(held[-1]) for held in minutes) <= STEP_MS + jitter / 2
    assert fmean(sum(a != b for a, b in pairwise(held[20:])) for held in minutes) <= moves


@given(before=st.floats(10, 300), after=st.floats(10, 300))
def test_another_network_is_followed_within_seconds_and_a_single_hiccup_is_not(before: float, after: float) -> None:
    trips = RoundTrips()
    for number in range(20):
        trips.look(before + number % 2)
    trips.look(before + 500)
    trips.look(before + 1)
    assert trips.mean_ms == pytest.approx(before + 0.5, abs=0.6)
    for number in range(12):
        trips.look(after + number % 2)
    assert trips.mean_ms == pytest.approx(after + 0.5, abs=3.0)


def test_the_same_round_trip_again_is_no_new_measurement() -> None:
    trips = RoundTrips()
    for measured in (60.0, 60.0, 60.0, 70.0, 70.0):
        trips.look(measured)
    assert trips.mean_ms == 65.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.floats(0, 1000), st.floats(0, 1000))
def test_a_loop_is_within_what_can_be_waited_for(waits: list[float], playout: float, capture: float) -> None:
    singer = Singer()
    singer.report(ClientDelays(playout, capture))
    for wait in waits:
        singer.look(figures(abs(wait), wait))
        assert singer.loop_ms is not None
        assert 0 <= singer.loop_ms <= MAX_LOOP_MS


# Several singers

loops = st.dictionaries(
    st.sampled_from(["ann", "bob", "cem", "dan"]), st.tuples(st.floats(1, 300), st.booleans()), min_size=1
)


@given(loops)
def test_all_who_are_heard_are_as_late_as_the_music(singers: dict[str, tuple[float, bool]]) -> None:
    choir = Choir()
    for user in singers:
        choir.report(user, BROWSER)
    alignment = choir.look([(user, figures(trip, heard=heard)) for user, (trip, heard) in singers.items()])
    heard = {user for user, (_, is_heard) in singers.items() if is_heard}
    for user in heard:
        assert alignment.loops_ms[user] + alignment.voices_ms[user] == pytest.approx(alignment.music_ms)
    assert alignment.music_ms == (max(alignment.loops_ms[user] for user in heard) if heard else 0.0)
    assert min(alignment.voices_ms.values()) >= 0


def test_when_nobody_sings_the_music_stays_as_late_as_it_was() -> None:
    choir = Choir()
    before = choir.look([("ann", figures(60.0))]).music_ms
    assert choir.look([("ann", figures(60.0, heard=False))]).music_ms == before
    choir.keep([])
    assert choir.look([]) == Alignment(before)


# Who hears which column

CROWDS = [Crowd(seated, user) for seated in (False, True) for user in ("", "ann", "bob")]
audiences = st.one_of(
    st.sampled_from([Audience(public) for public in Public]),
    st.frozensets(st.sampled_from(["ann", "bob"]), min_size=1).map(lambda users: Audience(users=users)),
)
players = st.dictionaries(st.sampled_from("xyz"), st.tuples(audiences, st.booleans()))


@given(players, st.sampled_from([0.0, 0.5, 1.0]))
def test_for_whom_a_player_is_he_hears_one_of_its_columns_and_the_others_none(
    wanted: dict[str, tuple[Audience, bool]], music: float
) -> None:
    programme = Programme({name: PlayerSpec(PLAN, audience=to, align=align) for name, (to, align) in wanted.items()})
    for crowd in CROWDS:
        factors = dict(programme.factors(crowd, music))
        for name, (audience, align) in wanted.items():
            live = factors.get(player_column(name), 1.0)
            tap = factors.get(tap_column(name), 1.0) if align else 0.0
            heard = music if audience.has(crowd) else 0.0
            assert (live, tap) == ((0.0, heard) if align and not crowd.seated else (heard, 0.0))


class Plane:
    """What columns and rows there are, by the commands; it refuses what the plane cannot do."""

    def __init__(self) -> None:
        self.columns: dict[int, int | None] = {}  # csrc -> the player that it taps
        self.delays: dict[int, int] = {}
        self.rows: dict[int, dict[int, float]] = {}
        self.row_of: dict[int, int] = {}

    def perform(self, commands: list[Command], room: Room) -> None:
        for command in commands:
            match command:
                case AddRow() | SetRow():
                    self.rows[command.row] = dict(command.cells)
                case SetListenerRow(peer, row):
                    self.row_of[peer] = row
                case OpenPlayer(csrc=csrc):
                    assert csrc not in self.columns
                    self.columns[csrc] = None
                case AddTap(csrc=csrc, player_csrc=player, delay_samples=delay):
                    assert csrc not in self.columns
                    assert self.columns[player] is None
                    self.columns[csrc], self.delays[csrc] = player, delay
                case ClosePlayer(csrc=csrc) | RemoveColumn(csrc=csrc):
                    self.columns.pop(csrc, None)
                    self.delays.pop(csrc, None)
                case SetColumn(csrc=csrc):
                    self.columns.setdefault(csrc, None)
                case ChangePlayer(csrc=csrc):
                    assert csrc in self.columns
                case SetDelay(csrc=csrc, delay_samples=delay):
                    assert csrc in self.columns
                    assert delay != self.delays.get(csrc, 0)
                    self.delays[csrc] = delay
        for participant in room.participants.values():
            self.row_of.update(participant.rows)

    def factor(self, peer: int, csrc: int) -> float:
        return self.rows[self.row_of[peer]].get(csrc, 1.0)


def hear_mix(room: Room, user: str, peer: int) -> list[Command]:
    row, commands = rows.take(room, user)
    return [*commands, *presence.join(room, user, Direction.LISTEN, peer, row)]


@pytest.fixture
def hall() -> tuple[Room, Plane]:
    """ann and dan have seats, bob has none; ann and bob hear the mix, as peers 1 and 2."""
    room, plane = Room(id=7, name="hall", home=0, rows=Rows(4)), Plane()
    for user in ("ann", "dan"):
        plane.perform(set_speaker(room, user), room)
    for peer, user in enumerate(("ann", "bob"), 1):
        plane.perform(hear_mix(room, user, peer), room)
    return room, plane


def tap_of(room: Room) -> int:
    return room.csrcs.of(tap_column("music"))


def test_singers_hear_the_music_and_the_audience_its_tap(hall: tuple[Room, Plane]) -> None:
    room, plane = hall
    commands = playing.set_player(room, "music", PlayerSpec(PLAN, align=True, pan=0.25))
    assert [type(command) for command in commands] == [SetRow, SetRow, OpenPlayer, AddTap]
    plane.perform(commands, room)
    live, tap = room.csrcs.of(player_column("music")), tap_of(room)
    assert [plane.factor(1, live), plane.factor(1, tap)] == [1.0, 0.0]
    assert [plane.factor(2, live), plane.factor(2, tap)] == [0.0, 1.0]
    plane.perform(rows.set_ears(room, "bob", Ears(music_gain_db=-6.0)), room)
    assert [plane.factor(2, live), plane.factor(2, tap)] == [0.0, linear(-6.0)]
    plane.perform(set_speaker(room, "bob"), room)
    assert [plane.factor(2, live), plane.factor(2, tap)] == [linear(-6.0), 0.0]


def test_music_is_aligned_and_is_not_again_while_it_plays(hall: tuple[Room, Plane]) -> None:
    room, plane = hall
    plane.perform(playing.set_player(room, "music", PlayerSpec(PLAN)), room)
    plane.perform(playing.set_player(room, "music", SONG), room)
    tap = tap_of(room)
    assert plane.columns[tap] == room.csrcs.of(player_column("music"))
    plane.perform(aligning.align(room, Alignment(200.0, {"ann": 200.0, "dan": 150.0})), room)
    assert plane.delays == {tap: 9600, room.csrcs.of("dan"): 2400}
    plane.perform(playing.set_player(room, "music", PlayerSpec(PLAN)), room)
    assert tap not in plane.columns
    assert plane.delays == {room.csrcs.of("dan"): 0}
    assert plane.factor(1, tap) == 0.0, "while it fades out nobody hears it who did not before"
    assert plane.factor(2, room.csrcs.of(player_column("music"))) == 1.0


def test_an_offset_moves_the_music_and_a_pan_both_columns(hall: tuple[Room, Plane]) -> None:
    room, plane = hall
    plane.perform(playing.set_player(room, "music", SONG), room)
    plane.perform(aligning.align(room, Alignment(200.0, {"ann": 200.0})), room)
    commands = playing.set_player(room, "music", PlayerSpec(PLAN, align=True, align_offset_ms=-50.0, pan=-0.5))
    assert SetColumn(7, tap_of(room), 1.0, -0.5) in commands
    plane.perform(commands, room)
    assert plane.delays[tap_of(room)] == 7200
    assert aligning.align(room, Alignment(200.0, {"ann": 200.0})) == []
    plane.perform(aligning.align(room, Alignment(30.0, {"ann": 30.0})), room)
    assert plane.delays[tap_of(room)] == 0, "it is never early"


def test_nothing_is_late_where_nothing_is_sung_to(hall: tuple[Room, Plane]) -> None:
    room, _ = hall
    playing.set_player(room, "music", PlayerSpec(PLAN))
    assert aligning.align(room, Alignment(200.0, {"ann": 200.0, "dan": 100.0})) == []
    assert room.alignment == Alignment()


def test_who_takes_a_seat_anew_is_delayed_anew(hall: tuple[Room, Plane]) -> None:
    room, plane = hall
    alignment = Alignment(200.0, {"ann": 200.0, "dan": 100.0})
    plane.perform(playing.set_player(room, "music", SONG), room)
    plane.perform(aligning.align(room, alignment), room)
    plane.perform(seats.remove(room, "dan"), room)
    plane.perform(set_speaker(room, "dan"), room)
    plane.perform(aligning.align(room, alignment), room)
    assert plane.delays[room.csrcs.of("dan")] == 4800


changes = st.lists(
    st.one_of(
        st.tuples(st.just("player"), st.sampled_from("xy"), st.booleans(), audiences),
        st.tuples(st.just("no player"), st.sampled_from("xy")),
        st.tuples(st.just("seat"), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("no seat"), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("align"), st.floats(0, 2000), st.floats(0, 2000)),
    ),
    max_size=20,
)


def make(room: Room, step: tuple[object, ...]) -> list[Command]:
    match step:
        case ("player", str(name), bool(align), Audience() as audience):
            return playing.set_player(room, name, PlayerSpec(PLAN, audience=audience, align=align))
        case ("no player", str(name)):
            return playing.remove_player(room, name)
        case ("seat", str(user)):
            return [*set_speaker(room, user), *aligning.align(room, room.alignment)]  # as the next look says again
        case ("no seat", str(user)):
            return seats.remove(room, user)
        case (_, float(ann), float(bob)):
            return aligning.align(room, Alignment(max(ann, bob), {"ann": ann, "bob": bob}))
    raise AssertionError(step)


@given(changes)
def test_whatever_changes_each_hears_one_column_and_delays_are_as_wanted(steps: list[tuple[object, ...]]) -> None:
    room, plane = Room(id=7, name="hall", home=0, rows=Rows(4)), Plane()
    for peer, user in enumerate(("ann", "bob"), 1):
        plane.perform(hear_mix(room, user, peer), room)
    for step in steps:
        plane.perform(make(room, step), room)
        for name, player in room.programme.players.items():
            tap = room.csrcs.of(tap_column(name)) if player.align else 0
            for peer, user in enumerate(("ann", "bob"), 1):
                seated = user in room.speakers
                heard = 1.0 if player.audience.has(Crowd(seated, user)) else 0.0
                later = heard if player.align and not seated else 0.0
                assert plane.factor(peer, room.csrcs.of(player_column(name))) == heard - later
                assert not tap or plane.factor(peer, tap) == later
            assert plane.delays.get(tap, 0) == (samples(room.alignment.music_ms) if tap else 0)
        for user in room.speakers:
            late = room.alignment.voices_ms.get(user, 0.0)
            assert plane.delays.get(room.csrcs.of(user), 0) == samples(late)


def samples(delay_ms: float) -> int:
    return min(round(delay_ms * 48), 48_000)
