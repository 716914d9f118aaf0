"""Rows of the gain matrix: what follows from seats and wishes; the room's commands against a plain re-computation."""

import copy
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mediaserver.commands import (
    AddRow,
    ClosePeer,
    CloseReason,
    Command,
    RemoveColumn,
    RemoveRow,
    SetColumn,
    SetListenerRow,
)
from mediaserver.matrix import (
    MAX_GAIN_DB,
    MIN_GAIN_DB,
    Ears,
    Hearing,
    Rows,
    TooManyMixesError,
    cells_of,
    is_wished,
    linear,
)
from mediaserver.model import kicks, presence, rows, seats
from mediaserver.model.csrcs import Csrcs
from mediaserver.model.people import Direction, MuteSource
from mediaserver.model.room import Room
from mediaserver.model.rows import MAX_EARS
from mediaserver.programme import Crowd
from tests.seating import set_speaker

LIMIT = 2
PLAIN = Ears()


def make_room(limit: int = LIMIT) -> Room:
    return Room(id=7, name="hall", home=0, rows=Rows(limit))


def hear_mix(room: Room, user: str, peer: int) -> list[Command]:
    """What a new session on the mix asks of the plane; its row stands in room.participants."""
    row, commands = rows.take(room, user)
    return [*commands, *presence.join(room, user, Direction.LISTEN, peer, row)]


def row_of(room: Room, user: str) -> int | None:
    return next(iter(room.participants[user].rows.values()), None)


# What one listener's row is


def test_a_listener_without_seat_or_wishes_hears_every_column_as_it_is() -> None:
    assert cells_of("ann", PLAIN, seated=False) == ()


def test_a_speaker_does_not_hear_himself() -> None:
    assert cells_of("ann", PLAIN, seated=True) == (("ann", 0.0),)
    assert cells_of("ann", Ears({"ann": 6.0}), seated=True) == (("ann", 0.0),)


def test_what_a_listener_wishes_of_himself_makes_no_row() -> None:
    assert cells_of("ann", Ears({"ann": -6.0}, frozenset({"ann"})), seated=False) == ()


def test_a_mute_counts_more_than_a_gain() -> None:
    assert cells_of("ann", Ears({"bob": 6.0}, frozenset({"bob"})), seated=False) == (("bob", 0.0),)


def test_a_gain_that_rounds_to_nothing_is_no_cell() -> None:
    assert cells_of("ann", Ears({"bob": 1.4, "cem": -1.4}), seated=False) == ()


def test_the_lowest_gain_is_silence() -> None:
    assert linear(MIN_GAIN_DB) == 0.0
    assert linear(MIN_GAIN_DB + 0.1) == pytest.approx(10 ** (-59.9 / 20))
    assert cells_of("ann", Ears({"bob": MIN_GAIN_DB}), seated=False) == (("bob", 0.0),)


@given(st.floats(MIN_GAIN_DB, MAX_GAIN_DB))
def test_a_listeners_gain_is_at_most_half_a_step_of_3_db_from_what_he_wished(gain_db: float) -> None:
    factor = Ears({"bob": gain_db}).cells()["bob"]
    steps = [step for step in range(-60, 13, 3) if abs(step - gain_db) <= 1.5]
    assert factor in [linear(step) for step in steps]


def test_the_order_of_wishes_does_not_matter() -> None:
    one, other = Ears({"bob": 3.0, "cem": -3.0}), Ears({"cem": -3.0, "bob": 3.0})
    assert cells_of("ann", one, seated=True) == cells_of("ann", other, seated=True)


def test_only_a_row_of_mere_mix_minus_is_not_wished() -> None:
    speakers = {"ann", "bob"}
    assert not is_wished(Hearing(), speakers)
    assert not is_wished(Hearing((("ann", 0.0),)), speakers)
    assert not is_wished(Hearing(music=0.0, crowd=Crowd(seated=True, user="ann")), speakers)
    assert is_wished(Hearing((("cem", 0.0),)), speakers)
    assert is_wished(Hearing((("ann", 0.5),)), speakers)
    assert is_wished(Hearing((("ann", 0.0), ("bob", 0.0))), speakers)
    assert is_wished(Hearing(places=(("ann", 0.5),)), speakers)
    assert is_wished(Hearing(music=0.5), speakers)


# What a room makes of them


def test_listeners_who_wish_for_nothing_share_one_row() -> None:
    room = make_room()
    assert hear_mix(room, "ann", 1) == [AddRow(7, 1, (), None)]
    assert hear_mix(room, "bob", 2) == []
    assert row_of(room, "ann") == row_of(room, "bob") == 1


def test_the_last_listener_of_a_row_takes_it_along() -> None:
    room = make_room()
    hear_mix(room, "ann", 1)
    hear_mix(room, "bob", 2)
    assert presence.leave(room, "ann", Direction.LISTEN, 1) == []
    assert presence.leave(room, "bob", Direction.LISTEN, 2) == [RemoveRow(7, 1)]
    assert len(room.rows) == 0


def test_who_gets_a_seat_moves_from_the_audiences_row_to_one_without_himself() -> None:
    room = make_room()
    hear_mix(room, "ann", 1)
    commands = set_speaker(room, "ann")
    csrc = room.csrcs.of("ann")
    assert commands == [
        SetColumn(7, csrc, 1.0),
        AddRow(7, 2, ((csrc, 0.0),), 1),
        SetListenerRow(1, 2),
        RemoveRow(7, 1),
    ]


def test_who_loses_the_seat_is_audience_again() -> None:
    room = make_room()
    set_speaker(room, "ann")
    hear_mix(room, "ann", 1)
    hear_mix(room, "bob", 2)
    assert seats.remove(room, "ann") == [
        RemoveColumn(7, room.csrcs.of("ann")),
        SetListenerRow(1, 2),
        RemoveRow(7, 1),
    ]


def test_a_new_session_keeps_the_row_of_the_one_it_replaces() -> None:
    room = make_room()
    hear_mix(room, "ann", 1)
    assert hear_mix(room, "ann", 2) == [ClosePeer(1, CloseReason.REPLACED)]
    assert row_of(room, "ann") == 1


def test_who_changes_from_the_mix_to_a_selection_has_no_row() -> None:
    room = make_room()
    hear_mix(room, "ann", 1)
    assert presence.join(room, "ann", Direction.LISTEN, 2) == [ClosePeer(1, CloseReason.REPLACED), RemoveRow(7, 1)]
    assert row_of(room, "ann") is None


def test_wishes_hold_for_later_sessions_too() -> None:
    room = make_room()
    assert rows.set_ears(room, "ann", Ears({"bob": -6.0})) == []
    for peer in (1, 2):
        [added] = hear_mix(room, "ann", peer)
        assert added == AddRow(7, peer, ((room.csrcs.of("bob"), linear(-6.0)),), None)
        presence.leave(room, "ann", Direction.LISTEN, peer)


def test_nearly_equal_wishes_are_one_mix() -> None:
    room = make_room()
    rows.set_ears(room, "ann", Ears({"bob": -6.4}))
    rows.set_ears(room, "cem", Ears({"bob": -5.0}))
    hear_mix(room, "ann", 1)
    assert hear_mix(room, "cem", 2) == []


def test_a_wish_for_one_mix_too_many_is_refused_and_changes_nothing() -> None:
    room = make_room()
    for peer, user in enumerate(("ann", "bob", "cem"), 1):
        hear_mix(room, user, peer)
    rows.set_ears(room, "ann", Ears({"dan": -3.0}))
    rows.set_ears(room, "bob", Ears({"dan": -6.0}))
    with pytest.raises(TooManyMixesError, match="has 2 mixes"):
        rows.set_ears(room, "cem", Ears({"dan": -9.0}))
    assert "cem" not in room.ears
    assert row_of(room, "cem") == 1
    rows.set_ears(room, "cem", Ears({"dan": -6.0}))
    assert row_of(room, "cem") == row_of(room, "bob")


def test_who_changes_his_only_wish_needs_no_free_mix() -> None:
    room = make_room()
    for peer, user in enumerate(("ann", "bob"), 1):
        hear_mix(room, user, peer)
        rows.set_ears(room, user, Ears({"dan": -3.0 * peer}))
    rows.set_ears(room, "bob", Ears({"dan": -9.0}))
    assert len(room.rows) == 2


def test_a_listener_whose_wishes_find_no_free_mix_is_refused() -> None:
    room = make_room()
    for peer, user in enumerate(("ann", "bob"), 1):
        hear_mix(room, user, peer)
        rows.set_ears(room, user, Ears({"dan": -3.0 * peer}))
    rows.set_ears(room, "cem", Ears({"dan": -9.0}))
    with pytest.raises(TooManyMixesError):
        rows.take(room, "cem")
    assert len(room.rows) == 2


def test_seats_are_given_and_taken_though_listeners_wish_for_as_many_mixes_as_there_may_be() -> None:
    room = make_room(limit=1)
    for peer, user in enumerate(("ann", "bob"), 1):
        hear_mix(room, user, peer)
        rows.set_ears(room, user, Ears({"dan": -3.0}))
    set_speaker(room, "ann")
    assert len(room.rows) == 2
    rows.set_ears(room, "bob", Ears({"dan": -3.0}, frozenset({"ann"})))
    assert {hearing.wish for _, hearing in room.rows} == {Hearing((("ann", 0.0), ("dan", linear(-3.0))))}
    seats.remove(room, "ann")
    assert room.may_publish("ann") is False
    assert len(room.rows) == 2


def test_who_is_on_a_wished_mix_may_come_again_though_a_seat_has_made_them_more_than_there_may_be() -> None:
    room = make_room(limit=1)
    for peer, user in enumerate(("ann", "bob"), 1):
        hear_mix(room, user, peer)
        rows.set_ears(room, user, Ears({"dan": -3.0}))
    set_speaker(room, "ann")  # two mixes now
    for peer, user in enumerate(("ann", "bob"), 3):
        row, commands = rows.take(room, user)
        assert (row, commands) == (row_of(room, user), [])
        presence.join(room, user, Direction.LISTEN, peer, row)
    with pytest.raises(TooManyMixesError):
        rows.set_ears(room, "bob", Ears({"dan": -9.0}))


def test_mix_minus_of_a_speaker_whom_others_mute_takes_none_of_the_wished_mixes() -> None:
    room = make_room(limit=1)
    set_speaker(room, "ann")
    hear_mix(room, "bob", 1)
    rows.set_ears(room, "bob", Ears(user_mutes=frozenset({"ann"})))
    hear_mix(room, "cem", 2)
    rows.set_ears(room, "cem", Ears({"ann": -3.0}))
    assert len(room.rows) == 2


def test_a_user_who_is_wished_away_keeps_his_csrc_while_the_row_lives() -> None:
    draws = itertools.count(1)
    room = Room(id=7, name="hall", home=0, csrcs=Csrcs(lambda: next(draws)))
    hear_mix(room, "ann", 1)
    rows.set_ears(room, "ann", Ears(user_mutes=frozenset({"bob"})))
    bob = room.csrcs.of("bob")
    presence.join(room, "bob", Direction.LISTEN, 2)
    presence.leave(room, "bob", Direction.LISTEN, 2)
    assert room.csrcs.of("bob") == bob
    rows.set_ears(room, "ann", PLAIN)
    assert room.csrcs.known("bob") is None


def test_wishes_of_those_who_left_are_forgotten_before_there_are_too_many() -> None:
    room = make_room()
    hear_mix(room, "here", 1)
    rows.set_ears(room, "here", Ears({"bob": -3.0}))
    for number in range(MAX_EARS + 10):
        rows.set_ears(room, f"gone {number}", Ears({"bob": -3.0}))
    assert len(room.ears) == MAX_EARS
    assert "here" in room.ears
    assert "gone 0" not in room.ears


# Any history against a plain re-computation


@dataclass
class Matrix:
    """What commands, performed in order, add up to. It refuses what the plane may not be asked."""

    columns: dict[int, float] = field(default_factory=dict)
    rows: dict[int, dict[int, float]] = field(default_factory=dict)
    listeners: dict[int, int | None] = field(default_factory=dict)  # peer -> row; None: a selection
    publishers: set[int] = field(default_factory=set)
    used: set[int] = field(default_factory=set)

    def perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SetColumn(_, csrc, gain):
                    self.columns[csrc] = gain
                case RemoveColumn(_, csrc):
                    del self.columns[csrc]
                case AddRow(_, row, cells, like):
                    assert row not in self.used
                    assert like is None or like in self.rows
                    assert len(dict(cells)) == len(cells)
                    self.used.add(row)
                    self.rows[row] = dict(cells)
                case RemoveRow(_, row):
                    assert row not in self.listeners.values()
                    del self.rows[row]
                case SetListenerRow(peer, row):
                    assert self.listeners[peer] is not None
                    assert row in self.rows
                    self.listeners[peer] = row
                case ClosePeer(peer, _):
                    self.close(peer)
                case _:
                    raise AssertionError(command)

    def close(self, peer: int) -> None:
        if peer in self.publishers:
            self.publishers.remove(peer)
        else:
            del self.listeners[peer]

    def gain(self, peer: int, csrc: int) -> float:
        row = self.listeners[peer]
        assert row is not None
        return self.columns[csrc] * self.rows[row].get(csrc, 1.0)


@dataclass
class Seat:
    may_publish: bool
    gain_db: float
    mutes: set[MuteSource] = field(default_factory=set)


USERS = ("ann", "bob", "cem", "dan", "eve")
users = st.sampled_from(USERS)
# No halves of a step: which way they go is nobody's concern.
gains_db = st.sampled_from([-60.0, -59.0, -31.7, -6.0, -5.0, -1.0, 0.0, 2.0, 12.0])


def amplitude(gain_db: float) -> float:
    return 0.0 if gain_db <= -60 else 10 ** (gain_db / 20)


class RoomAgainstPlainState(RuleBasedStateMachine):
    """`seats`, `wishes` and `sessions` are what was asked for; everything else must follow from them."""

    def __init__(self) -> None:
        super().__init__()
        draws = itertools.cycle(range(2 * len(USERS)))  # few, so that one which is given up soon comes again
        self.room = Room(id=7, name="hall", home=0, rows=Rows(LIMIT), csrcs=Csrcs(lambda: next(draws)))
        self.matrix = Matrix()
        self.seats: dict[str, Seat] = {}
        self.wishes: dict[str, Ears] = {}
        self.sessions: dict[tuple[str, Direction], int] = {}
        self.on_mix: dict[str, int] = {}  # user -> peer
        self.peers = itertools.count(1)
        self.now = 0.0
        self.seated: set[str] = set()  # ever
        self.csrcs: dict[str, int] = {}  # as they were at the last step

    def cells(self, user: str, wishes: Ears | None = None) -> dict[str, float]:
        """What the user wants to hear otherwise than at the columns' gains."""
        ears = wishes or self.wishes.get(user, PLAIN)
        cells = {name: amplitude(3 * round(gain_db / 3)) for name, gain_db in ears.user_gains_db.items()}
        cells |= dict.fromkeys(ears.user_mutes, 0.0)
        cells.pop(user, None)
        if user in self.seats:
            cells[user] = 0.0
        return {name: factor for name, factor in cells.items() if factor != 1.0}

    def is_one_too_many(self, cells: dict[str, float], others: list[str]) -> bool:
        """Whether a row with these cells is more than listeners may wish for, while these others listen."""
        plain = [{}, *({user: 0.0} for user in self.seats)]
        present = [self.cells(user) for user in others]
        wished = {tuple(sorted(row.items())) for row in present if row not in plain}
        return cells not in plain and cells not in present and len(wished) >= LIMIT

    def state(self) -> object:
        room = self.room
        return copy.deepcopy((room.ears, room.rows, room.participants, room.speakers, self.matrix))

    @rule(user=users, may_publish=st.booleans(), gain_db=gains_db)
    def give_seat(self, user: str, may_publish: bool, gain_db: float) -> None:
        mutes = self.seats[user].mutes if user in self.seats else set()
        self.seats[user] = Seat(may_publish, gain_db, mutes)
        self.seated.add(user)
        self.matrix.perform(set_speaker(self.room, user, may_publish=may_publish, gain_db=gain_db))

    @rule(user=users)
    def take_seat(self, user: str) -> None:
        self.seats.pop(user, None)
        self.sessions.pop((user, Direction.PUBLISH), None)
        self.matrix.perform(seats.remove(self.room, user))

    @precondition(lambda self: self.seats)
    @rule(data=st.data(), source=st.sampled_from(MuteSource), on=st.booleans())
    def mute_or_unmute(self, data: st.DataObject, source: MuteSource, on: bool) -> None:
        user = data.draw(st.sampled_from(sorted(self.seats)))
        (self.seats[user].mutes.add if on else self.seats[user].mutes.discard)(source)
        self.matrix.perform((seats.mute if on else seats.unmute)(self.room, user, source))

    @rule(
        user=users,
        gains=st.dictionaries(users, gains_db, max_size=2),
        mutes=st.frozensets(users, max_size=1),
    )
    def wish(self, user: str, gains: Mapping[str, float], mutes: frozenset[str]) -> None:
        ears = Ears(gains, mutes)
        others = [name for name in self.on_mix if name != user]
        refused = user in self.on_mix and self.is_one_too_many(self.cells(user, ears), others)
        # Already on such a row, above what is allowed since a seat was given or taken: nothing new is wanted.
        refused = refused and self.cells(user, ears) != self.cells(user)
        before = self.state()
        try:
            commands = rows.set_ears(self.room, user, ears)
        except TooManyMixesError:
            assert refused
            assert self.state() == before
            return
        assert not refused
        self.wishes[user] = ears
        self.matrix.perform(commands)

    @rule(user=users)
    def hear_mix(self, user: str) -> None:
        refused = self.is_one_too_many(self.cells(user), list(self.on_mix))
        before = self.state()
        try:
            row, commands = rows.take(self.room, user)
        except TooManyMixesError:
            assert refused
            assert self.state() == before
            return
        assert not refused
        self.matrix.perform(commands)
        self.join(user, Direction.LISTEN, row)

    @rule(user=users)
    def hear_selection(self, user: str) -> None:
        self.join(user, Direction.LISTEN, None)

    @rule(user=users)
    def publish(self, user: str) -> None:
        if self.room.may_publish(user):
            self.join(user, Direction.PUBLISH, None)

    def join(self, user: str, direction: Direction, row: int | None) -> None:
        peer = next(self.peers)
        if direction is Direction.PUBLISH:
            self.matrix.publishers.add(peer)
        else:
            assert row is None or row in self.matrix.rows
            self.matrix.listeners[peer] = row
            self.on_mix.pop(user, None)
            if row is not None:
                self.on_mix[user] = peer
        self.sessions[user, direction] = peer
        self.matrix.perform(presence.join(self.room, user, direction, peer, row))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        user, direction = data.draw(st.sampled_from(sorted(self.sessions)))
        peer = self.sessions.pop((user, direction))
        if self.on_mix.get(user) == peer:
            del self.on_mix[user]
        self.matrix.close(peer)
        self.matrix.perform(presence.leave(self.room, user, direction, peer))

    @rule(user=users)
    def kick(self, user: str) -> None:
        self.now += 1
        self.seats.pop(user, None)
        self.on_mix.pop(user, None)
        for direction in Direction:
            self.sessions.pop((user, direction), None)
        self.matrix.perform(kicks.kick(self.room, user, self.now))

    @invariant()
    def everybody_on_the_mix_hears_each_speaker_as_loud_as_he_should(self) -> None:
        for listener, peer in self.on_mix.items():
            cells = self.cells(listener)
            for speaker, seat in self.seats.items():
                heard = seat.may_publish and not seat.mutes
                expected = cells.get(speaker, 1.0) * (amplitude(seat.gain_db) if heard else 0.0)
                assert self.matrix.gain(peer, self.room.csrcs.of(speaker)) == pytest.approx(expected)

    @invariant()
    def a_row_says_what_its_listeners_want_and_names_nobody_else(self) -> None:
        for listener, peer in self.on_mix.items():
            row = self.matrix.listeners[peer]
            assert row is not None
            expected = {self.room.csrcs.of(name): factor for name, factor in self.cells(listener).items()}
            assert self.matrix.rows[row] == pytest.approx(expected)

    @invariant()
    def rows_are_as_many_as_different_things_are_heard(self) -> None:
        wanted = {(user in self.seats, *sorted(self.cells(user).items())) for user in self.on_mix}
        rows = {self.matrix.listeners[peer] for peer in self.on_mix.values()}
        assert len(wanted) == len(rows)
        assert rows == set(self.matrix.rows)
        assert len(self.room.rows) == len(rows)

    @invariant()
    def peers_are_the_sessions(self) -> None:
        assert self.matrix.publishers | set(self.matrix.listeners) == set(self.sessions.values())
        on_mix = {peer for peer, row in self.matrix.listeners.items() if row is not None}
        assert on_mix == set(self.on_mix.values())

    @invariant()
    def a_user_keeps_his_csrc_while_anything_names_it_and_no_longer(self) -> None:
        named = {name for user in self.on_mix for name in self.cells(user)}
        known = named | self.seated | {user for user, _ in self.sessions}
        before, self.csrcs = self.csrcs, dict(self.room.csrcs._known)
        assert set(self.csrcs) == known
        assert len(set(self.csrcs.values()) - {0}) == len(known)
        assert all(before[user] == self.csrcs[user] for user in before.keys() & known)


RoomAgainstPlainState.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_any_history_of_seats_and_wishes_leaves_the_matrix_that_follows_from_them = RoomAgainstPlainState.TestCase
