"""What a room plays, and for whom: the rows that follow from audiences, and in what order the plane is told."""

import pytest

from mediaserver.commands import (
    AddRow,
    ChangeEffect,
    ChangePlayer,
    ClosePlayer,
    Command,
    OpenPlayer,
    SetChain,
    SetColumn,
    SetListenerRow,
    SetRow,
    StartEffect,
    StopEffect,
)
from mediaserver.matrix import Ears, Rows, linear
from mediaserver.model import lifecycle, playing, presence, rows, seats
from mediaserver.model.errors import EffectTakenError
from mediaserver.model.people import Direction, Speaker
from mediaserver.model.room import Layout, Limits, Room
from mediaserver.music.plans import Plan, Track
from mediaserver.programme import Audience, Crowd, EffectSpec, PlayerSpec, PlayerState, Programme, Public
from mediaserver.voices import Speech, VoiceEffect, chain_of
from tests.seating import set_speaker

SONG = PlayerSpec(Plan(tracks=(Track("0", "library:song"),)))
DING = EffectSpec("ding")
RING = EffectSpec("ring", repeat=True, audience=Audience(users=frozenset({"bob"})))


def make_room() -> Room:
    return Room(id=7, name="hall", home=0, rows=Rows(2))


def hear_mix(room: Room, user: str, peer: int) -> list[Command]:
    row, commands = rows.take(room, user)
    return [*commands, *presence.join(room, user, Direction.LISTEN, peer, row)]


class Ear:
    """What rows hold, as the plane would have them."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[int, float]] = {}
        self.row_of: dict[int, int] = {}

    def perform(self, commands: list[Command], room: Room) -> None:
        for command in commands:
            if isinstance(command, AddRow | SetRow):
                self.rows[command.row] = dict(command.cells)
            elif isinstance(command, SetListenerRow):
                self.row_of[command.peer] = command.row
        for participant in room.participants.values():
            self.row_of.update(participant.rows)

    def factor(self, peer: int, csrc: int) -> float:
        return self.rows[self.row_of[peer]].get(csrc, 1.0)


@pytest.fixture
def hall() -> tuple[Room, Ear]:
    """ann has a seat, bob and cem have none; all hear the mix, as peers 1, 2, 3."""
    room, ear = make_room(), Ear()
    ear.perform(set_speaker(room, "ann"), room)
    for peer, user in enumerate(("ann", "bob", "cem"), 1):
        ear.perform(hear_mix(room, user, peer), room)
    return room, ear


def csrc_of(commands: list[Command], kind: type[OpenPlayer] | type[StartEffect]) -> int:
    return next(command.csrc for command in commands if isinstance(command, kind))


@pytest.mark.parametrize(
    ("audience", "heard"),
    [
        (Audience(), (1.0, 1.0, 1.0)),
        (Audience(Public.LISTENERS), (0.0, 1.0, 1.0)),
        (Audience(Public.SPEAKERS), (1.0, 0.0, 0.0)),
        (Audience(users=frozenset({"bob"})), (0.0, 1.0, 0.0)),
        (Audience(users=frozenset({"ann", "cem", "nobody"})), (1.0, 0.0, 1.0)),
    ],
)
def test_an_audience_is_a_pattern_of_rows(
    hall: tuple[Room, Ear], audience: Audience, heard: tuple[float, float, float]
) -> None:
    room, ear = hall
    commands = playing.set_player(room, "music", PlayerSpec(SONG.plan, audience=audience))
    assert isinstance(commands[-1], OpenPlayer), "rows are ready before it is heard"
    ear.perform(commands, room)
    csrc = csrc_of(commands, OpenPlayer)
    assert tuple(ear.factor(peer, csrc) for peer in (1, 2, 3)) == heard


def test_music_for_everybody_changes_no_row(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    assert [type(command) for command in playing.set_player(room, "music", SONG)] == [OpenPlayer]
    assert [type(command) for command in playing.start_effect(room, "x", DING)] == [StartEffect]


def test_thousands_of_listeners_are_told_of_an_audience_by_one_command() -> None:
    room = make_room()
    for peer in range(1000):
        hear_mix(room, f"user {peer}", peer)
    commands = playing.set_player(room, "monitor", PlayerSpec(SONG.plan, audience=Audience(Public.SPEAKERS)))
    assert [type(command) for command in commands] == [SetRow, OpenPlayer]


def test_who_comes_while_something_is_played_for_others_does_not_hear_it(hall: tuple[Room, Ear]) -> None:
    room, ear = hall
    commands = playing.start_effect(room, "call", RING)
    ear.perform(commands, room)
    ear.perform(hear_mix(room, "dan", 4), room)
    assert ear.factor(4, csrc_of(commands, StartEffect)) == 0.0


def test_who_takes_a_seat_hears_what_speakers_hear(hall: tuple[Room, Ear]) -> None:
    room, ear = hall
    commands = playing.set_player(room, "monitor", PlayerSpec(SONG.plan, audience=Audience(Public.SPEAKERS)))
    ear.perform(commands, room)
    ear.perform(set_speaker(room, "bob"), room)
    csrc = csrc_of(commands, OpenPlayer)
    assert [ear.factor(peer, csrc) for peer in (1, 2, 3)] == [1.0, 1.0, 0.0]


def test_for_whom_an_effect_was_not_it_is_silent_to_its_end(hall: tuple[Room, Ear]) -> None:
    room, ear = hall
    started = playing.start_effect(room, "call", RING)
    ear.perform(started, room)
    csrc = csrc_of(started, StartEffect)
    stopped = playing.stop_effect(room, "call")
    assert stopped[0] == StopEffect(7, "call", csrc)
    ear.perform(stopped, room)
    assert ear.factor(3, csrc) == 0.0
    assert csrc not in room.csrcs._taken


def test_an_effect_that_has_ended_is_forgotten_and_an_older_one_s_end_is_not_its(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    first = csrc_of(playing.start_effect(room, "x", DING), StartEffect)
    playing.stop_effect(room, "x")
    second = csrc_of(playing.start_effect(room, "x", DING), StartEffect)
    assert playing.effect_ended(room, "x", first) == []
    assert "x" in room.programme.effects
    assert playing.effect_ended(room, "x", second) == []
    assert room.programme.effects == {}
    assert [news.type for news in room.take_news()].count("effect.ended") == 2


def test_effects_of_the_moment_are_not_in_the_document(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    before = room.revision
    playing.start_effect(room, "once", DING)
    assert room.revision == before
    playing.start_effect(room, "call", RING)
    assert room.revision == before + 1


def test_an_effect_s_name_is_not_taken_over_by_another_sound(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    playing.start_effect(room, "call", RING)
    with pytest.raises(EffectTakenError):
        playing.start_effect(room, "call", EffectSpec("busy", repeat=True))
    [softer] = playing.start_effect(room, "call", EffectSpec("ring", -6.0, 0.5, RING.audience, repeat=True))
    assert isinstance(softer, ChangeEffect)
    assert (softer.spec.gain_db, softer.spec.pan) == (-6.0, 0.5)


def test_a_player_is_changed_and_removed(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    csrc = csrc_of(playing.set_player(room, "music", SONG), OpenPlayer)
    paused = PlayerSpec(SONG.plan, PlayerState.PAUSED)
    assert playing.set_player(room, "music", paused) == [ChangePlayer(7, "music", csrc, paused)]
    assert playing.set_player(room, "music", paused) == []
    assert playing.remove_player(room, "music") == [ClosePlayer(7, "music", csrc)]
    assert playing.remove_player(room, "music") == []


def test_a_closing_room_stops_what_it_plays(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    playing.set_player(room, "music", SONG)
    playing.start_effect(room, "call", RING)
    kinds = [type(command) for command in lifecycle.end(room)]
    assert kinds[:2] == [ClosePlayer, StopEffect]


# Own ears


def test_a_listener_turns_music_down_for_himself(hall: tuple[Room, Ear]) -> None:
    room, ear = hall
    ear.perform(rows.set_ears(room, "bob", Ears(music_gain_db=-9.0)), room)
    commands = playing.set_player(room, "music", SONG)
    ear.perform(commands, room)
    csrc = csrc_of(commands, OpenPlayer)
    assert [ear.factor(peer, csrc) for peer in (1, 2, 3)] == [1.0, pytest.approx(linear(-9.0)), 1.0]
    ear.perform(rows.set_ears(room, "bob", Ears(music_gain_db=-60.0)), room)
    assert ear.factor(2, csrc) == 0.0


def test_effects_are_not_music(hall: tuple[Room, Ear]) -> None:
    room, ear = hall
    ear.perform(rows.set_ears(room, "bob", Ears(music_gain_db=-60.0)), room)
    commands = playing.start_effect(room, "x", DING)
    ear.perform(commands, room)
    assert ear.factor(2, csrc_of(commands, StartEffect)) == 1.0


def test_a_listener_places_another_where_he_likes(hall: tuple[Room, Ear]) -> None:
    room, _ = hall
    commands = rows.set_ears(room, "bob", Ears(user_pans={"ann": -0.6}))
    [added] = [command for command in commands if isinstance(command, AddRow)]
    assert added.places == ((room.csrcs.of("ann"), -0.5),)


# Places and voices


def test_seats_of_an_arc_are_heard_from_the_middle_outwards_and_a_pan_of_one_s_own_counts_more() -> None:
    room = make_room()
    lifecycle.configure(room, layout=Layout.ARC, limits=Limits(speakers=5))
    pans = {}
    for seat in range(5):
        [column] = seats.take(room, f"user {seat}", Speaker(seat=seat))
        assert isinstance(column, SetColumn)
        pans[seat] = column.pan
    assert pans[0] == 0.0
    assert -pans[2] == pans[1] > 0
    assert -pans[4] == pans[3] > pans[1]
    [column] = seats.take(room, "user 1", Speaker(seat=1, pan=-1.0))
    assert isinstance(column, SetColumn)
    assert column.pan == -1.0
    moved = lifecycle.configure(room, limits=Limits(speakers=5))
    assert {command.csrc for command in moved if isinstance(command, SetColumn)} == {
        room.csrcs.of(f"user {seat}") for seat in (2, 3, 4)
    }


def test_a_voice_effect_and_the_room_s_care_for_speech_make_a_chain() -> None:
    room = make_room()
    speech = Speech(high_pass=True, target_lufs=-20.0)
    lifecycle.configure(room, speech=speech)
    _, chain = seats.take(room, "ann", Speaker(voice_effect=VoiceEffect.HALL))
    assert chain == SetChain(7, room.csrcs.of("ann"), chain_of(speech, VoiceEffect.HALL))
    assert isinstance(chain, SetChain)
    assert [stage for stage, _ in chain.chain] == ["high_pass", "level", "reverb"]
    assert lifecycle.configure(room) == [SetChain(7, room.csrcs.of("ann"), chain_of(Speech(), VoiceEffect.HALL))]
    assert seats.take(room, "ann", Speaker()) == [SetChain(7, room.csrcs.of("ann"), ())]


def test_a_crowd_hears_what_its_audience_says() -> None:
    programme = Programme({"music": SONG}, {"call": RING})
    assert dict(programme.factors(Crowd(seated=False), 0.5)) == {"\x01music": 0.5, "\x02call": 0.0}
    assert dict(programme.factors(Crowd(seated=True, user="bob"), 1.0)) == {}
