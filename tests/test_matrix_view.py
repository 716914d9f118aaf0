"""The gain matrix as people are shown it: from a room's seats, wishes and programme. Pure."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.matrix import MAX_GAIN_DB, MIN_GAIN_DB, Ears, decibels, linear
from mediaserver.matrix_view import columns, rows
from mediaserver.model import playing, seats
from mediaserver.model.people import MuteSource, Speaker
from mediaserver.model.room import Room
from mediaserver.model.rows import set_ears
from mediaserver.programme import EffectSpec, player_column
from tests.test_programme import RING, SONG, hear_mix, make_room


def hall() -> Room:
    """ann sits on 2, bob on 0 and is turned up; cem and 30 more have no seat. All hear the mix."""
    room = make_room()
    seats.take(room, "ann", Speaker(seat=2))
    seats.take(room, "bob", Speaker(seat=0, gain_db=6.0))
    for peer, user in enumerate(["ann", "bob", "cem", *(f"guest {n}" for n in range(30))], 1):
        hear_mix(room, user, peer)
    return room


def test_voices_come_by_seat_and_nobody_hears_himself() -> None:
    room = hall()
    shown = columns(room)
    assert [(column.kind, column.name, column.gain_db) for column in shown] == [
        ("voice", "bob", 6.0),
        ("voice", "ann", 0.0),
    ]
    audience, *seated = rows(room, shown)
    assert (audience.listeners, audience.gains_db) == (31, (6.0, 0.0))
    assert len(audience.users) == 20
    assert {row.users: row.gains_db for row in seated} == {("ann",): (6.0, MIN_GAIN_DB), ("bob",): (MIN_GAIN_DB, 0.0)}


def test_a_mute_silences_a_column_and_a_wish_makes_a_row() -> None:
    room = hall()
    seats.mute(room, "ann", MuteSource.HOST)
    set_ears(room, "cem", Ears(user_gains_db={"bob": -9.0}))
    shown = columns(room)
    assert [column.gain_db for column in shown] == [6.0, MIN_GAIN_DB]
    (cem,) = [row for row in rows(room, shown) if row.users == ("cem",)]
    assert cem.gains_db == (-3.0, MIN_GAIN_DB)


def test_what_a_room_plays_is_a_column_that_only_its_audience_hears() -> None:
    room = hall()
    playing.set_player(room, "music", replace(SONG, align=True))
    playing.start_effect(room, "call", RING)
    playing.start_effect(room, "ding", EffectSpec("ding", gain_db=-6.0))
    shown = columns(room)
    assert [(column.kind, column.name) for column in shown[2:]] == [
        ("player", "music"), ("tap", "music"), ("effect", "call"), ("effect", "ding"),
    ]  # fmt: skip
    assert shown[2].csrc == room.csrcs.of(player_column("music"))
    heard = {row.users[0]: row.gains_db[2:] for row in rows(room, shown)}
    silent = MIN_GAIN_DB
    assert heard["ann"] == (0.0, silent, silent, -6.0)
    assert heard["cem"] == (silent, 0.0, silent, -6.0)
    assert heard["bob"] == (0.0, silent, 0.0, -6.0)


@given(st.floats(MIN_GAIN_DB, MAX_GAIN_DB))
def test_decibels_are_what_a_factor_came_from(gain_db: float) -> None:
    assert abs(decibels(linear(gain_db)) - gain_db) <= 0.051
