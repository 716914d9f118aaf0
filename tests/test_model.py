"""The room model against a plain re-computation from the history of what was asked of it."""

from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mediaserver.commands import AddRoom, ClosePeer, CloseReason, Command, RemoveColumn, RemoveRoom, SetColumn
from mediaserver.model import kicks, lifecycle, presence, seats
from mediaserver.model.csrcs import Csrcs
from mediaserver.model.errors import NoSeatError
from mediaserver.model.people import Direction, MuteSource
from mediaserver.model.room import Room
from mediaserver.scenarios import MIXES, Scenario
from tests.seating import set_speaker

USERS = ("ann", "bob", "cem")
users = st.sampled_from(USERS)
sources = st.sampled_from(MuteSource)
directions = st.sampled_from(Direction)


def make_room() -> Room:
    return Room(id=7, name="hall", home=0)


def test_speaker_is_silent_while_any_of_two_mutes_is_set() -> None:
    room = make_room()
    csrc = room.csrcs.of("ann")
    assert set_speaker(room, "ann") == [SetColumn(7, csrc, 1.0)]
    assert seats.mute(room, "ann", MuteSource.HOST) == [SetColumn(7, csrc, 0.0)]
    assert seats.mute(room, "ann", MuteSource.SELF) == []
    assert seats.unmute(room, "ann", MuteSource.HOST) == []
    assert seats.unmute(room, "ann", MuteSource.SELF) == [SetColumn(7, csrc, 1.0)]


def test_muting_somebody_without_a_seat_is_refused() -> None:
    with pytest.raises(NoSeatError):
        seats.mute(make_room(), "ann", MuteSource.HOST)
    with pytest.raises(NoSeatError):
        seats.unmute(make_room(), "ann", MuteSource.HOST)


def test_taking_the_right_to_publish_silences_and_keeps_the_mutes() -> None:
    room = make_room()
    set_speaker(room, "ann")
    seats.mute(room, "ann", MuteSource.SELF)
    set_speaker(room, "ann", may_publish=False)
    assert not room.may_publish("ann")
    set_speaker(room, "ann")
    assert room.speakers["ann"].mutes == {MuteSource.SELF}


def test_a_new_seat_after_a_removed_one_has_no_mutes() -> None:
    room = make_room()
    set_speaker(room, "ann")
    seats.mute(room, "ann", MuteSource.HOST)
    csrc = room.csrcs.of("ann")
    assert seats.remove(room, "ann") == [RemoveColumn(7, csrc)]
    assert set_speaker(room, "ann") == [SetColumn(7, csrc, 1.0)]


def test_a_newer_session_replaces_the_older_of_its_direction_only() -> None:
    room = make_room()
    set_speaker(room, "ann")
    assert presence.join(room, "ann", Direction.PUBLISH, 1) == []
    assert presence.join(room, "ann", Direction.LISTEN, 2) == []
    assert presence.join(room, "ann", Direction.PUBLISH, 3) == [ClosePeer(1, CloseReason.REPLACED)]
    presence.leave(room, "ann", Direction.PUBLISH, 1)
    assert room.participants["ann"].peers == {Direction.PUBLISH: 3, Direction.LISTEN: 2}


def test_losing_the_seat_ends_publishing_but_not_listening() -> None:
    room = make_room()
    set_speaker(room, "ann")
    presence.join(room, "ann", Direction.PUBLISH, 1)
    presence.join(room, "ann", Direction.LISTEN, 2)
    assert seats.remove(room, "ann") == [
        ClosePeer(1, CloseReason.SEAT_REMOVED),
        RemoveColumn(7, room.csrcs.of("ann")),
    ]
    assert room.participants["ann"].peers == {Direction.LISTEN: 2}


def test_a_kick_ends_both_sessions_and_revokes_the_tokens_issued_until_then() -> None:
    room = make_room()
    set_speaker(room, "ann")
    presence.join(room, "ann", Direction.PUBLISH, 1)
    presence.join(room, "ann", Direction.LISTEN, 2)
    assert kicks.kick(room, "ann", 1000.0) == [
        ClosePeer(1, CloseReason.KICKED),
        ClosePeer(2, CloseReason.KICKED),
        RemoveColumn(7, room.csrcs.of("ann")),
    ]
    assert not room.participants
    assert not room.may_publish("ann")
    assert room.is_revoked("ann", 999.0)
    assert room.is_revoked("ann", 1000.0)
    assert not room.is_revoked("ann", 1001.0)
    assert not room.is_revoked("bob", 999.0)


def test_closing_a_room_ends_every_session_before_the_room() -> None:
    room = make_room()
    assert lifecycle.start(room) == [AddRoom(7, 0, MIXES[Scenario.CHAT])]
    presence.join(room, "ann", Direction.LISTEN, 1)
    presence.join(room, "bob", Direction.LISTEN, 2)
    reason = CloseReason.ROOM_CLOSED
    assert lifecycle.end(room) == [ClosePeer(1, reason), ClosePeer(2, reason), RemoveRoom(7)]


def test_csrc_is_never_zero_nor_somebody_elses() -> None:
    draws = iter([0, 5, 5, 0, 6])
    room = Room(id=1, name="hall", home=0, csrcs=Csrcs(lambda: next(draws)))
    assert [room.csrcs.of("ann"), room.csrcs.of("bob"), room.csrcs.of("ann")] == [5, 6, 5]


def test_a_listeners_csrc_is_given_up_and_a_speakers_is_kept() -> None:
    room = make_room()
    set_speaker(room, "ann")
    csrc = room.csrcs.of("ann")
    presence.join(room, "ann", Direction.PUBLISH, 1)
    seats.remove(room, "ann")
    assert room.csrcs.of("ann") == csrc
    for peer in range(2, 1000):
        presence.join(room, f"listener {peer}", Direction.LISTEN, peer)
        presence.leave(room, f"listener {peer}", Direction.LISTEN, peer)
    assert list(room.csrcs._known) == ["ann"]
    assert room.csrcs._taken == {0, csrc}


@dataclass(frozen=True)
class Asked:
    """One thing that was asked of the room."""

    what: str
    user: str
    may_publish: bool = True
    source: MuteSource = MuteSource.SELF
    direction: Direction = Direction.LISTEN
    peer: int = 0


@dataclass
class Plane:
    """What the commands, performed in order, add up to."""

    columns: dict[int, float] = field(default_factory=dict)
    peers: set[int] = field(default_factory=set)

    def perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case SetColumn(_, csrc, gain):
                    self.columns[csrc] = gain
                case RemoveColumn(_, csrc):
                    del self.columns[csrc]
                case ClosePeer(peer, _):
                    self.peers.remove(peer)
                case _:
                    raise AssertionError(command)


def seat_of(history: list[Asked], user: str) -> float | None:
    """The gain of the user's column, or None without a seat, from the history alone."""
    own = [asked for asked in history if asked.user == user]
    ends = [at for at, asked in enumerate(own) if asked.what in {"remove_speaker", "kick"}]
    own = own[ends[-1] + 1 :] if ends else own
    grants = [asked for asked in own if asked.what == "set_speaker"]
    if not grants:
        return None
    last = {asked.source: asked.what for asked in own if asked.what in {"mute", "unmute"}}
    return 1.0 if grants[-1].may_publish and "mute" not in last.values() else 0.0


def session_of(history: list[Asked], user: str, direction: Direction) -> int | None:
    """The peer of the user's session in this direction, or None, from the history alone."""
    enders = {"kick"} | ({"remove_speaker"} if direction is Direction.PUBLISH else set())
    peer = None
    for asked in (asked for asked in history if asked.user == user):
        if asked.what == "join" and asked.direction is direction:
            peer = asked.peer
        elif asked.what in enders or (asked.what == "leave" and asked.peer == peer):
            peer = None
    return peer


class RoomAgainstHistory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.room = make_room()
        self.plane = Plane()
        self.history: list[Asked] = []
        self.csrcs: dict[str, int] = {}
        self.numbers = count(1)

    def note(self, asked: Asked, commands: list[Command]) -> None:
        self.history.append(asked)
        self.plane.perform(commands)

    @rule(user=users, may_publish=st.booleans())
    def set_speaker(self, user: str, may_publish: bool) -> None:
        commands = set_speaker(self.room, user, may_publish=may_publish)
        self.note(Asked("set_speaker", user, may_publish=may_publish), commands)
        assert self.csrcs.setdefault(user, self.room.csrcs.of(user)) == self.room.csrcs.of(user)

    @rule(user=users)
    def remove_speaker(self, user: str) -> None:
        self.note(Asked("remove_speaker", user), seats.remove(self.room, user))

    @precondition(lambda self: self.room.speakers)
    @rule(data=st.data(), source=sources, on=st.booleans())
    def mute_or_unmute(self, data: st.DataObject, source: MuteSource, on: bool) -> None:
        user = data.draw(st.sampled_from(sorted(self.room.speakers)))
        change = seats.mute if on else seats.unmute
        self.note(Asked("mute" if on else "unmute", user, source=source), change(self.room, user, source))

    @rule(user=users, direction=directions)
    def join(self, user: str, direction: Direction) -> None:
        if direction is Direction.PUBLISH and not self.room.may_publish(user):
            return
        peer = next(self.numbers)
        self.plane.peers.add(peer)
        self.note(Asked("join", user, direction=direction, peer=peer), presence.join(self.room, user, direction, peer))

    @precondition(lambda self: any(asked.what == "join" for asked in self.history))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        joined = data.draw(st.sampled_from([asked for asked in self.history if asked.what == "join"]))
        presence.leave(self.room, joined.user, joined.direction, joined.peer)
        self.plane.peers.discard(joined.peer)
        self.note(Asked("leave", joined.user, direction=joined.direction, peer=joined.peer), [])

    @rule(user=users)
    def kick(self, user: str) -> None:
        self.note(Asked("kick", user), kicks.kick(self.room, user, float(len(self.history))))

    @invariant()
    def columns_are_the_seats(self) -> None:
        gains = {user: gain for user in USERS if (gain := seat_of(self.history, user)) is not None}
        assert self.plane.columns == {self.room.csrcs.of(user): gain for user, gain in gains.items()}

    @invariant()
    def open_peers_are_the_sessions(self) -> None:
        sessions = {
            (user, direction): peer
            for user in USERS
            for direction in Direction
            if (peer := session_of(self.history, user, direction)) is not None
        }
        assert self.plane.peers == set(sessions.values())
        assert sessions == {
            (user, direction): peer
            for user, participant in self.room.participants.items()
            for direction, peer in participant.peers.items()
        }

    @invariant()
    def csrcs_are_unique_and_a_speakers_never_changes(self) -> None:
        csrcs = [self.room.csrcs.of(user) for user in self.room.participants]
        assert 0 not in csrcs
        assert len(set(csrcs)) == len(csrcs)
        assert all(self.room.csrcs.of(user) == csrc for user, csrc in self.csrcs.items())


RoomAgainstHistory.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_any_history_leaves_what_a_plain_recomputation_says = RoomAgainstHistory.TestCase
