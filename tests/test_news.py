"""What a room says of itself: every change once, in the order in which it happened, and only when something changed."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.commands import ClosePeer, CloseReason
from mediaserver.events import TYPES
from mediaserver.matrix import Ears
from mediaserver.model import kicks, lifecycle, memory, moves, presence, rows, seats
from mediaserver.model.news import Fact, News
from mediaserver.model.people import Direction, MuteSource, Participant, Speaker
from mediaserver.model.room import Room
from mediaserver.scenarios import Scenario
from tests.seating import set_speaker

PUBLISH, LISTEN = Direction.PUBLISH, Direction.LISTEN


def make_room(name: str = "hall", number: int = 7) -> Room:
    room = Room(id=number, name=name, home=0, instance=f"i{number}")
    lifecycle.start(room)
    assert said(room) == ["room.started"]
    return room


def said(room: Room) -> list[str]:
    """Types of the news since the last call, with the user where there is one."""
    return [news.type if news.user is None else f"{news.type} {news.user}" for news in room.take_news()]


def arrive(room: Room, user: str, direction: Direction, peer: int) -> None:
    row = None
    if direction is LISTEN:
        row, _ = rows.take(room, user)
    presence.join(room, user, direction, peer, row)
    presence.connected(room, user, direction, peer)


def test_a_user_has_joined_when_he_is_connected_and_left_with_his_last_session() -> None:
    room = make_room()
    presence.join(room, "ann", PUBLISH, 1)
    assert said(room) == []
    presence.connected(room, "ann", PUBLISH, 1)
    assert said(room) == ["participant.joined ann", "publishing.started ann"]
    arrive(room, "ann", LISTEN, 2)
    assert said(room) == ["listening.started ann"]
    presence.leave(room, "ann", PUBLISH, 1, CloseReason.DELETED)
    assert said(room) == ["publishing.stopped ann"]
    presence.leave(room, "ann", LISTEN, 2, CloseReason.CONSENT_EXPIRED)
    stopped, left = room.take_news()
    assert stopped == News("listening.stopped", "ann", {"reason": "consent-expired"})
    assert left == News("participant.left", "ann", {"reason": "consent-expired"})


def test_a_session_that_never_connects_is_no_news() -> None:
    room = make_room()
    presence.join(room, "ann", PUBLISH, 1)
    presence.leave(room, "ann", PUBLISH, 1, CloseReason.HANDSHAKE_TIMEOUT)
    assert said(room) == []


def test_a_session_that_takes_the_place_of_another_is_no_news() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    said(room)
    assert presence.join(room, "ann", PUBLISH, 2) == []
    presence.connected(room, "ann", PUBLISH, 2)
    assert presence.take_over(room, "ann", PUBLISH, 2) == [ClosePeer(1, CloseReason.REPLACED)]
    presence.leave(room, "ann", PUBLISH, 1, CloseReason.REPLACED)
    assert said(room) == []
    presence.leave(room, "ann", PUBLISH, 2, CloseReason.PEER_CLOSED)
    assert said(room) == ["publishing.stopped ann", "participant.left ann"]


def test_an_older_session_that_ends_when_the_newer_is_ready_is_no_news() -> None:
    room = make_room()
    arrive(room, "ann", LISTEN, 1)
    said(room)
    row, _ = rows.take(room, "ann")
    presence.join(room, "ann", LISTEN, 2, row)
    presence.connected(room, "ann", LISTEN, 2)
    assert presence.leave(room, "ann", LISTEN, 1, CloseReason.CONSENT_EXPIRED) == []
    assert said(room) == []
    assert (room.participants["ann"].peers, room.participants["ann"].rows) == ({LISTEN: 2}, {2: row})


def test_a_newer_session_that_cannot_connect_costs_the_older_nothing() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    said(room)
    presence.join(room, "ann", PUBLISH, 2)
    assert presence.join(room, "ann", PUBLISH, 3) == [ClosePeer(2, CloseReason.REPLACED)]
    assert presence.leave(room, "ann", PUBLISH, 3, CloseReason.HANDSHAKE_TIMEOUT) == []
    assert (said(room), room.participants["ann"].peers) == ([], {PUBLISH: 1})


def test_who_leaves_while_a_newer_session_is_not_connected_has_left_and_joins_with_it() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    said(room)
    presence.join(room, "ann", PUBLISH, 2)
    presence.leave(room, "ann", PUBLISH, 1)
    assert said(room) == ["publishing.stopped ann", "participant.left ann"]
    presence.connected(room, "ann", PUBLISH, 2)
    assert said(room) == ["participant.joined ann", "publishing.started ann"]


def test_a_client_that_is_late_is_told_once_and_again_when_it_is_back() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    arrive(room, "ann", LISTEN, 2)
    said(room)
    presence.late(room, "ann", PUBLISH, 1)
    presence.late(room, "ann", LISTEN, 2)
    assert said(room) == ["participant.reconnecting ann"]
    presence.in_time(room, "ann", PUBLISH, 1)
    assert said(room) == []
    presence.in_time(room, "ann", LISTEN, 2)
    assert said(room) == ["participant.reconnected ann"]


def test_who_comes_back_by_a_new_session_is_back() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    presence.late(room, "ann", PUBLISH, 1)
    said(room)
    arrive(room, "ann", PUBLISH, 2)
    assert said(room) == ["participant.reconnected ann"]


def test_a_late_client_that_does_not_come_back_has_left() -> None:
    room = make_room()
    arrive(room, "ann", PUBLISH, 1)
    presence.late(room, "ann", PUBLISH, 1)
    presence.leave(room, "ann", PUBLISH, 1, CloseReason.CONSENT_EXPIRED)
    assert said(room)[-1] == "participant.left ann"
    arrive(room, "ann", PUBLISH, 2)
    assert said(room) == ["participant.joined ann", "publishing.started ann"]


def test_seats_and_mutes_are_told_with_what_they_are() -> None:
    room = make_room()
    set_speaker(room, "ann", seat=3, mutes=[MuteSource.HOST])
    seated, muted = room.take_news()
    assert seated == News("speaker.seated", "ann", {"seat": 3, "may_publish": True, "gain_db": 0.0})
    assert muted == News("speaker.muted", "ann", {"source": "host"})
    seats.mute(room, "ann", MuteSource.SELF)
    seats.unmute(room, "ann", MuteSource.HOST)
    assert said(room) == ["speaker.muted ann", "speaker.unmuted ann"]
    set_speaker(room, "ann", gain_db=-3.0, seat=3)
    assert said(room) == ["speaker.changed ann"]
    seats.remove(room, "ann")
    assert said(room) == ["speaker.unseated ann"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda room: set_speaker(room, "ann", seat=1),
        lambda room: seats.mute(room, "ann", MuteSource.HOST),
        lambda room: seats.unmute(room, "ann", MuteSource.SYSTEM),
        lambda room: seats.remove(room, "nobody"),
        lambda room: lifecycle.configure(room, scenario=Scenario.KTV),
        lambda room: rows.set_ears(room, "bob", Ears({"ann": -3.0})),
        lambda room: seats.take_all(room, dict(room.speakers)),
    ],
)
def test_what_is_so_already_is_no_news_and_no_revision(ask: Callable[[Room], object]) -> None:
    room = make_room()
    set_speaker(room, "ann", seat=1, mutes=[MuteSource.HOST])
    lifecycle.configure(room, scenario=Scenario.KTV)
    rows.set_ears(room, "bob", Ears({"ann": -3.0}))
    room.take_facts()
    said(room)
    etag = room.etag
    ask(room)
    assert (said(room), room.etag, room.take_facts()) == ([], etag, set())


def test_a_kick_tells_the_end_of_everything_and_why() -> None:
    room = make_room()
    set_speaker(room, "ann")
    arrive(room, "ann", PUBLISH, 1)
    arrive(room, "ann", LISTEN, 2)
    said(room)
    kicks.kick(room, "ann", 100.0)
    news = room.take_news()
    assert [item.type for item in news] == [
        "publishing.stopped",
        "listening.stopped",
        "participant.left",
        "speaker.unseated",
    ]
    assert {item.data["reason"] for item in news} == {CloseReason.KICKED}
    assert memory.fact(room, Fact.REVOKED, "ann") == 100.0


def test_a_move_is_a_leave_here_and_a_join_there() -> None:
    here, there = make_room(), make_room("table", 8)
    set_speaker(here, "ann", mutes=[MuteSource.HOST])
    arrive(here, "ann", PUBLISH, 1)
    arrive(here, "ann", LISTEN, 2)
    said(here)
    moves.move(here, "ann", there)
    news = here.take_news()
    assert [item.type for item in news] == [
        "listening.stopped",
        "publishing.stopped",
        "participant.left",
        "speaker.unseated",
    ]
    assert news[2].data == {"reason": "moved", "to": "table"}
    assert said(there) == [
        "speaker.seated ann",
        "speaker.muted ann",
        "participant.joined ann",
        "publishing.started ann",
        "listening.started ann",
    ]


def test_a_closed_rooms_last_word_is_its_end() -> None:
    room = make_room()
    set_speaker(room, "ann")
    arrive(room, "ann", LISTEN, 1)
    said(room)
    lifecycle.end(room)
    assert said(room) == ["listening.stopped ann", "participant.left ann", "room.ended"]


def test_who_was_there_before_a_restart_has_left_with_it() -> None:
    room = make_room()
    memory.recall(room, Fact.PRESENT, "ann", ["listen", "publish"])
    news = room.take_news()
    assert [item.type for item in news] == ["listening.stopped", "publishing.stopped", "participant.left"]
    assert {item.data["reason"] for item in news} == {CloseReason.RESTARTED}
    assert room.take_facts() == {(Fact.PRESENT, "ann")}
    assert memory.fact(room, Fact.PRESENT, "ann") is None


def test_revocations_are_forgotten_when_no_token_can_be_that_old() -> None:
    room = make_room()
    kicks.kick(room, "ann", 0.0)
    kicks.kick(room, "bob", 9 * 24 * 3600.0)
    assert room.kicked == {"bob": 9 * 24 * 3600.0}
    assert (Fact.REVOKED, "ann") in room.take_facts()
    assert memory.fact(room, Fact.REVOKED, "ann") is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["join", "connect", "join newer", "take over", "leave", "late", "back", "seat", "unseat", "kick", "move"]
        ),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from([PUBLISH, LISTEN]),
    ),
    max_size=40,
)


@given(STEPS)
@settings(deadline=None)
def test_whatever_happens_each_spell_begins_before_it_ends_and_is_told_once(
    steps: list[tuple[str, str, Direction]],
) -> None:
    rooms = [make_room(), make_room("table", 8)]
    where = {"ann": 0, "bob": 0}
    story: dict[int, list[News]] = {0: [], 1: []}
    peers = iter(range(1, 1000))
    for what, user, direction in steps:
        room = rooms[where[user]]
        if what == "move":
            if user in room.participants:
                moves.move(room, user, rooms[1 - where[user]])
                where[user] = 1 - where[user]
        else:
            step(room, what, user, direction, next(peers))
        for number, each in enumerate(rooms):
            story[number] += each.take_news()
    for number, each in enumerate(rooms):
        lifecycle.end(each)
        story[number] += each.take_news()
        check(story[number])


def step(room: Room, what: str, user: str, direction: Direction, new_peer: int) -> None:
    participant = room.participants.get(user)
    peer = participant.peers.get(direction, 0) if participant else 0
    coming = participant.coming.get(direction, 0) if participant else 0
    match what:
        case "join" | "join newer":
            row = rows.take(room, user)[0] if direction is LISTEN else None
            presence.join(room, user, direction, new_peer, row)
        case "connect":
            presence.connected(room, user, direction, coming or peer)
        case "take over" if coming in ready(participant, direction):
            presence.take_over(room, user, direction, coming)
        case "leave":
            presence.leave(room, user, direction, peer)
        case "late":
            presence.late(room, user, direction, peer)
        case "back":
            presence.in_time(room, user, direction, peer)
        case "seat":
            set_speaker(room, user)
        case "unseat":
            seats.remove(room, user)
        case "kick":
            kicks.kick(room, user, 1.0)


def ready(participant: Participant | None, direction: Direction) -> set[int]:
    return {participant.coming[direction]} if participant and direction in participant.ready else set()


SPELLS = {
    "participant.joined": "participant.left",
    "publishing.started": "publishing.stopped",
    "listening.started": "listening.stopped",
    "speaker.seated": "speaker.unseated",
}


def check(story: list[News]) -> None:
    """Of each user every spell has begun when it ends, and none begins twice; within the spell of his being there."""
    running: set[tuple[str | None, str]] = set()
    for news in story:
        assert news.type in TYPES
        for begin, end in SPELLS.items():
            if news.type == begin:
                assert (news.user, begin) not in running
                running.add((news.user, begin))
            if news.type == end:
                running.remove((news.user, begin))
        if news.type.startswith(("publishing", "listening", "participant.re")):
            assert (news.user, "participant.joined") in running
    assert not [spell for spell in running if spell[1] != "speaker.seated"]


def test_every_seat_that_a_document_gives_is_told() -> None:
    room = make_room()
    seats.take_all(room, {"ann": Speaker(seat=1), "bob": Speaker(mutes=frozenset({MuteSource.HOST}))})
    assert said(room) == ["speaker.seated ann", "speaker.seated bob", "speaker.muted bob"]
    seats.take_all(room, {"bob": Speaker()})
    assert said(room) == ["speaker.unseated ann", "speaker.unmuted bob"]
