"""Peers of the packet plane change rooms, whose homes are different workers: who is heard where, what goes on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from mediaserver.matrix import linear
from tests.mixplane import RATE, MixListener, MixPlane, decode, levels_db, say, tone
from tests.rawplane import ROOM, RawPeer

HALL = 2  # the other room, at home on worker 1
ROW, HALL_ROW = 1, 5  # of all columns as they are
TONE_DB = -18.0
FAITHFUL = {"music": True, "bitrate": 96_000}


@pytest.fixture
def plane() -> Iterator[MixPlane]:
    with MixPlane(workers=2, **FAITHFUL) as plane:
        plane.add_room(HALL, 1, **FAITHFUL)
        plane.plane.add_row(ROOM, ROW, [])
        plane.plane.add_row(HALL, HALL_ROW, [])
        yield plane


def publisher(plane: MixPlane, csrc: int, room: int = ROOM, *, levels: bool = True) -> tuple[int, RawPeer]:
    number, peer = plane.add_publisher(csrc, room=room, levels=levels)
    return number, plane.connect(number, peer)


def select_listener(plane: MixPlane, csrc: int, room: int = ROOM, *, worker: int = 0, slots: int = 1) -> MixListener:
    number, peer = plane.add_listener(csrc, room=room, worker=worker, slots=slots)
    return MixListener(number, plane.connect(number, peer))


def mix_listener(plane: MixPlane, csrc: int, room: int = ROOM, *, worker: int = 0) -> MixListener:
    return plane.mix_listener(csrc, ROW if room == ROOM else HALL_ROW, room=room, worker=worker)


def heard(listener: MixListener, since: float = 0.0) -> set[int]:
    """CSRCs in what arrived since then (CLOCK_REALTIME)."""
    packets = listener.packets()
    return {csrc for packet, at in zip(packets, listener.arrivals, strict=True) if at >= since for csrc in packet.csrc}


def until_heard(plane: MixPlane, listener: MixListener, *csrcs: int) -> None:
    """Until just these are heard in the last 100 ms."""
    plane.until(lambda: heard(listener, time.time() - 0.1) == set(csrcs))


def assert_streams_go_on(listener: MixListener) -> None:
    """libsrtp has taken every packet once; by SSRC none is missing and time goes forward."""
    by_ssrc = itertools.groupby(sorted(listener.packets(), key=lambda packet: packet.ssrc), lambda packet: packet.ssrc)
    for ssrc, group in by_ssrc:
        assert ssrc // 1000 == listener.number
        for before, after in itertools.pairwise(group):
            assert (after.sequence_number - before.sequence_number) % 2**16 == 1
            assert 0 < (after.timestamp - before.timestamp) % 2**32 < 2**31


def test_a_publisher_is_heard_where_it_is_and_nowhere_else(plane: MixPlane) -> None:
    number, speaker = publisher(plane, 1)
    plane.plane.set_column(HALL, 11, 1.0)
    makers = (mix_listener, select_listener)
    here = [make(plane, 90, ROOM, worker=worker) for make in makers for worker in (0, 1)]
    there = [make(plane, 91, HALL, worker=worker) for make in makers for worker in (0, 1)]
    with plane.talk(say(speaker, tone(440, 14.0))):
        for listener in here:
            until_heard(plane, listener, 1)
        for _ in range(2):
            plane.plane.move_peer(number, HALL, csrc=11)
            for listener in there:
                until_heard(plane, listener, 11)
            for listener in here:
                until_heard(plane, listener)
            time.sleep(0.8)
            assert not {csrc for listener in here for csrc in heard(listener, time.time() - 0.5)}
            plane.plane.move_peer(number, ROOM, csrc=1)
            for listener in here:
                until_heard(plane, listener, 1)
            for listener in there:
                until_heard(plane, listener)
            time.sleep(0.5)
    for listener in (*here, *there):
        assert_streams_go_on(listener)
        assert heard(listener) == {1 if listener in here else 11}
    # As loud as it is, and no step: it comes with a ramp of 5 ms, and goes with one of a frame.
    for listener in (here[0], there[0]):
        packets = listener.packets()
        spoken = [i for i, packet in enumerate(packets) if packet.csrc]
        pcm = decode(packets, timed=False)
        middle = pcm[(spoken[0] + 10) * 960 : (spoken[0] + 30) * 960]
        assert levels_db(middle, 440)[0] == pytest.approx(TONE_DB, abs=1)
        steepest = linear(TONE_DB) * (2 * np.pi * 440 / RATE + 1 / 240)
        assert np.abs(np.diff(pcm[:, 0])).max() <= 1.25 * steepest
    assert plane.counter("dropped_overload") == 0
    assert plane.stats[number].packets_lost == 0


def test_a_moved_publishers_level_and_playout_are_told(plane: MixPlane) -> None:
    number, speaker = publisher(plane, 1)
    mix_listener(plane, 90, HALL)
    stats = plane.stats[number]
    plane.plane.set_column(HALL, 11, 1.0)
    plane.plane.move_peer(number, HALL, csrc=11)
    with plane.talk(say(speaker, tone(440, 2.0))):
        plane.until(lambda: stats.speaking and stats.playout_delay_ms > 0)
        assert stats.level_dbov == pytest.approx(-21, abs=1)
    plane.until(lambda: not stats.speaking)


def test_a_moved_listeners_stream_goes_on(plane: MixPlane) -> None:
    _, ann = publisher(plane, 1)
    _, bob = publisher(plane, 2, HALL)
    mixed, selecting = mix_listener(plane, 90), select_listener(plane, 91)
    plane.plane.set_sources(selecting.number, [1])
    with (
        plane.talk(say(ann, tone(440, 10.0))),
        plane.talk(say(bob, tone(1000, 10.0)), worker=1),
    ):
        for listener in (mixed, selecting):
            until_heard(plane, listener, 1)
        for room, row, csrc in [(HALL, HALL_ROW, 2), (ROOM, ROW, 1), (HALL, HALL_ROW, 2)]:
            plane.plane.move_peer(mixed.number, room, csrc=90, row=row)
            plane.plane.move_peer(selecting.number, room, csrc=91)
            for listener in (mixed, selecting):
                until_heard(plane, listener, csrc)
        # In the last room he is bob's other half: he never gets that voice back.
        plane.plane.move_peer(selecting.number, HALL, csrc=2)
        until_heard(plane, selecting)
    assert_streams_go_on(mixed)
    assert_streams_go_on(selecting)
    assert {packet.ssrc for packet in mixed.packets()} == {1000 * mixed.number}
    assert max(mixed.gaps_s()) < 0.3


def test_who_moves_in_under_a_users_csrc_is_heard_instead_until_he_leaves(plane: MixPlane) -> None:
    number, ann = publisher(plane, 1)
    _, other = publisher(plane, 7, HALL)
    listener = select_listener(plane, 90, HALL)
    for talker, payload in [(other, b"other"), (ann, b"ann"), (other, b"other")]:
        plane.plane.move_peer(number, HALL if talker is ann else ROOM, csrc=7)
        for _ in range(25):
            for peer, said in ((ann, b"ann"), (other, b"other")):
                peer.send(said * 8)
            time.sleep(0.01)
        last = [packet.payload for packet in listener.packets()[-10:]]
        assert last == [payload * 8] * 10
    assert_streams_go_on(listener)


def test_no_payload_is_looked_into_where_a_publisher_is_encrypted_end_to_end(plane: MixPlane) -> None:
    plane.add_room(3, 1, e2ee=True)
    plane.plane.set_column(3, 1, 1.0)
    number, speaker = publisher(plane, 1, levels=False)
    listener = select_listener(plane, 90, 3)
    speaker.send(bytes(10), level_dbov=None)
    plane.until(lambda: plane.counter("level_decodes") == 1)
    plane.plane.move_peer(number, 3, csrc=1)
    for _ in range(20):
        speaker.send(bytes(10), level_dbov=None)
        time.sleep(0.01)
    until_heard(plane, listener, 1)
    assert plane.counter("level_decodes") == 1


def test_a_peer_may_leave_right_after_a_move(plane: MixPlane) -> None:
    for number in range(20):
        peer, speaker = publisher(plane, 1)
        listener = select_listener(plane, 90, worker=number % 2)
        speaker.send(bytes(10))
        plane.plane.move_peer(peer, HALL, csrc=1)
        plane.plane.move_peer(listener.number, HALL, csrc=90)
        speaker.send(bytes(10))
        if number % 3 == 0:
            plane.plane.move_peer(peer, ROOM, csrc=1)
        plane.plane.remove_peer(peer, [])
        plane.plane.remove_peer(listener.number, [])
    plane.plane.move_peer(peer, HALL, csrc=1)  # too late: nothing happens
    plane.plane.remove_room(ROOM)
    plane.plane.remove_room(HALL)
    plane.until(lambda: plane.counter("peers") == plane.counter("rooms") == 0)


def test_moves_that_could_never_be_right_are_refused(plane: MixPlane) -> None:
    number, _ = publisher(plane, 1)
    mixed = mix_listener(plane, 90)
    for peer, room, csrc, row in [(number, 99, 1, None), (number, HALL, 0, None), (number, HALL, 1, HALL_ROW)]:
        with pytest.raises(ValueError, match=r"room|csrc|row"):
            plane.plane.move_peer(peer, room, csrc=csrc, row=row)
    with pytest.raises(ValueError, match="row"):
        plane.plane.move_peer(mixed.number, HALL, csrc=90)
    plane.plane.move_peer(mixed.number, HALL, csrc=90, row=HALL_ROW)
    plane.plane.remove_peer(number, [])
    plane.plane.remove_room(ROOM)
    with pytest.raises(ValueError, match="still has peers"):
        plane.plane.remove_room(HALL)
    plane.plane.remove_peer(mixed.number, [])
    plane.plane.remove_room(HALL)


def test_after_200_moves_everybody_hears_who_is_in_the_room(plane: MixPlane) -> None:
    random = Random(4)
    rooms = (ROOM, HALL)
    speakers = {csrc: publisher(plane, csrc, rooms[csrc % 2]) for csrc in (1, 2, 3, 4)}
    place = {number: rooms[csrc % 2] for csrc, (number, _) in speakers.items()}
    mixed = [mix_listener(plane, 90 + i, ROOM, worker=i % 2) for i in range(4)]
    selecting = [select_listener(plane, 94 + i, ROOM, worker=i % 2, slots=4) for i in range(4)]
    csrcs = {number: csrc for csrc, (number, _) in speakers.items()}
    csrcs |= {listener.number: 90 + i for i, listener in enumerate([*mixed, *selecting])}
    place |= {listener.number: ROOM for listener in (*mixed, *selecting)}
    rows = {listener.number for listener in mixed}
    for room, csrc in itertools.product(rooms, speakers):
        plane.plane.set_column(room, csrc, 1.0)
    by_worker: dict[int, list[tuple[float, int, bytes]]] = {0: [], 1: []}
    for csrc, (_, peer) in speakers.items():
        by_worker[csrc % 2] += say(peer, tone(300 + 100 * csrc, 16.0))
    with plane.talk(by_worker[0]), plane.talk(by_worker[1], worker=1):
        for _ in range(200):
            number, room = random.choice([*place]), random.choice(rooms)
            row = (ROW if room == ROOM else HALL_ROW) if number in rows else None
            plane.plane.move_peer(number, room, csrc=csrcs[number], row=row)
            place[number] = room
            time.sleep(random.choice([0.0, 0.0, 0.01, 0.05]))
        assert len(set(place.values())) == 2
        for listener in (*mixed, *selecting):
            wanted = {csrc for csrc, (number, _) in speakers.items() if place[number] == place[listener.number]}
            until_heard(plane, listener, *wanted)
    for listener in (*mixed, *selecting):
        assert_streams_go_on(listener)
    assert plane.counter("dropped_overload") == 0
    assert plane.counter("dropped_unauthentic") == 0
    for number in place:
        plane.plane.remove_peer(number, [])
    for room in rooms:
        plane.plane.remove_room(room)
    plane.until(lambda: plane.counter("peers") == plane.counter("rooms") == plane.counter("mixes") == 0)
