"""One voice alone on the wire: its own packets come, nothing is encoded or decoded, and others join without a step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mediaserver.matrix import linear
from tests.mixplane import RATE, MixPlane, decode, say, tone
from tests.rawplane import ROOM

AUDIENCE = 1
STRANGER = 99
MUSICAL = {"music": True, "bitrate": 96_000, "passthrough": True}  # as a tone is coded


@pytest.fixture
def room() -> Iterator[MixPlane]:
    with MixPlane(workers=2, **MUSICAL) as plane:
        plane.plane.add_row(ROOM, AUDIENCE, [])
        yield plane


def test_a_room_with_one_talker_encodes_and_decodes_nothing_for_any_audience(room: MixPlane) -> None:
    speaker = room.publisher(1)
    listeners = [room.mix_listener(STRANGER + number, AUDIENCE, worker=number % 2) for number in range(20)]
    room.plane.add_row(ROOM, 2, [(1, 0.0)])
    himself = room.mix_listener(1, 2)
    said = tone(440, 5.0)
    with room.talk(say(speaker, said, level_dbov=-21)):
        listeners[0].wait(lambda packet: packet.csrc == [1])
        time.sleep(0.5)
        ticks, encoded, primed, decoded, passed, sent = room.deltas(
            3.0, "room_ticks", "frames_encoded", "frames_primed", "sources_decoded", "frames_passed", "packets_mixed"
        )
    assert (encoded, primed, decoded) == (0, 0, 0)
    # The counters are read one after the other, and a tick may fall in between.
    assert ticks > 50
    assert ticks - 2 <= passed <= ticks + 2
    assert 20 * (ticks - 3) <= sent <= 20 * (ticks + 3)
    assert not himself.packets()
    for listener in listeners:
        packets = listener.packets()[:150]  # then the talk was broken off
        own = tuple(packet.payload for packet in packets)
        assert any(own == said[first : first + 150] for first in range(10))
        assert all(packet.csrc == [1] for packet in packets)
        assert all((b.timestamp - a.timestamp) % 2**32 == 960 for a, b in itertools.pairwise(packets))
        assert set(itertools.chain(*listener.csrc_levels[:150])) == {-21}


def test_another_who_joins_and_leaves_is_heard_without_a_step(room: MixPlane) -> None:
    pitches_hz = (200, 330)
    speakers = [room.publisher(csrc) for csrc in (1, 2)]
    room.plane.set_column(ROOM, 2, 0.0)
    listener = room.mix_listener(STRANGER, AUDIENCE)
    schedule = [
        departure
        for speaker, pitch_hz in zip(speakers, pitches_hz, strict=True)
        for departure in say(speaker, tone(pitch_hz, 8.0))
    ]
    with room.talk(schedule):
        start = listener.wait(lambda packet: packet.csrc == [1]) + 25
        passed = []
        mark = start
        for gain, csrcs in [(1.0, {1, 2}), (0.0, {1}), (1.0, {1, 2}), (0.0, {1})]:
            listener.wait(lambda _: True, after=mark + 40)
            passed.append(room.deltas(0.2, "frames_passed")[0])
            room.plane.set_column(ROOM, 2, gain)
            mark = listener.wait(lambda packet, csrcs=csrcs: set(packet.csrc) == csrcs, after=mark + 40)  # type: ignore[misc]
        listener.wait(lambda _: True, after=mark + 20)
        end = mark + 20
    assert [count > 0 for count in passed] == [True, False, True, False]
    packets = listener.packets()[start:end]
    assert all((b.sequence_number - a.sequence_number) % 2**16 == 1 for a, b in itertools.pairwise(packets))
    assert all((b.timestamp - a.timestamp) % 2**32 == 960 for a, b in itertools.pairwise(packets))
    pcm = decode(packets, timed=False)
    steepest = linear(-18.0) * (sum(2 * np.pi * pitch_hz / RATE for pitch_hz in pitches_hz) + 1 / 960)
    assert np.abs(np.diff(pcm[960:, 0])).max() <= 1.25 * steepest


def test_a_room_may_be_without_it(room: MixPlane) -> None:
    speaker = room.publisher(1)
    listener = room.mix_listener(STRANGER, AUDIENCE)
    with room.talk(say(speaker, tone(440, 4.0))):
        listener.wait(lambda packet: packet.csrc == [1])
        room.configure(passthrough=False)
        time.sleep(0.5)
        encoded, passed = room.deltas(1.0, "frames_encoded", "frames_passed")
        room.configure(passthrough=True)
        time.sleep(0.5)
        encoded_later, passed_later = room.deltas(1.0, "frames_encoded", "frames_passed")
    assert encoded > 40
    assert passed == 0
    assert encoded_later == 0
    assert passed_later > 40
