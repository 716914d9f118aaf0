"""The table of events, their wire form, and filters of them."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.events import DEFAULT_TYPES, TYPES, Event, PatternError, Types, gap, rfc3339, to_wire

PROTOCOL = (Path(__file__).parent.parent / "docs/protocol.md").read_text()


def test_an_event_is_a_cloudevent_with_its_room_and_its_number() -> None:
    event = Event("großer saal/1", "k3v9", 7, "speaker.muted", "ann", 1_700_000_000.0625, {"source": "host"})
    assert to_wire(event) == {
        "specversion": "1.0",
        "id": "k3v9/7",
        "source": "/v1/rooms/gro%C3%9Fer%20saal%2F1",
        "type": "voicerooms.speaker.muted",
        "subject": "ann",
        "time": "2023-11-14T22:13:20.062Z",
        "datacontenttype": "application/json",
        "room": "großer saal/1",
        "sequence": "7",
        "data": {"source": "host"},
    }


def test_an_event_about_nobody_has_no_subject() -> None:
    assert "subject" not in to_wire(Event("hall", "k3v9", 1, "room.started", None, 0, {}))


def test_a_gap_belongs_to_no_room_and_has_the_same_id_when_it_is_said_again() -> None:
    wire = to_wire(gap("reader", 41, 3, 0))
    assert wire == to_wire(gap("reader", 41, 3, 0))
    assert (wire["source"], wire["type"], wire["data"]) == ("/v1/events", "voicerooms.gap", {"dropped": 3})
    assert not {"room", "sequence", "subject"} & wire.keys()


@settings(deadline=None)
@given(st.floats(0, 4e9))
def test_times_are_of_one_form_and_order_as_they_do(time: float) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rfc3339(time))
    assert rfc3339(time) <= rfc3339(time + 0.0015)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_name_makes_a_source_that_is_a_path(room: str) -> None:
    wire = json.loads(json.dumps(to_wire(Event(room, "i", 1, "room.started", None, 0, {}))))
    assert wire["room"] == room
    assert re.fullmatch(r"/v1/rooms/[A-Za-z0-9_.~%-]+", wire["source"])


def test_speaking_is_only_for_those_who_ask_for_it() -> None:
    speaking = {name for name in TYPES if name.startswith("speaking.")}
    assert len(speaking) == 2
    assert DEFAULT_TYPES.names == TYPES.keys() - speaking
    assert Types.parse(["*"]).names == TYPES.keys()
    assert Types.parse(["speaking.*"]).names == speaking | {"gap"}


def test_a_filter_takes_names_and_groups_and_always_gaps() -> None:
    assert Types.parse(["speaker.muted", "room.*"]).names == {
        *("speaker.muted", "room.started", "room.changed", "room.draining", "room.ended", "gap")
    }


@pytest.mark.parametrize("pattern", ["", "room", "room.", "rooms.*", "speaker.mut*", ".*", "**", "*.muted", "Room.*"])
def test_a_filter_that_matches_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match=r"\.$"):
        Types.parse(["room.*", pattern])


def test_the_documentation_has_the_table() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+(?:\.[a-z_]+)?)` +\| (.*?) +\|$", PROTOCOL, re.M))
    assert {name: rows.get(name) for name in TYPES} == TYPES
