"""A room's document over HTTP: what is put is what is, for whoever reads it, the plane and the next writer."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mediaserver import document as documents
from mediaserver.http import idempotency
from mediaserver.model.room import Room
from mediaserver.programme import effect_column, player_column, tap_column
from mediaserver.schema import MAX_METADATA_BYTES, MAX_METADATA_DEPTH, MAX_ROOMS_PER_CALL, MAX_WISHES, RoomDocument
from mediaserver.schema_programme import MAX_EFFECTS, MAX_PLAYERS
from mediaserver.sessions import State
from mediaserver.voices import VoiceEffect
from tests.edge import ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import offer

EMPTY: dict[str, Any] = {
    "speakers": {},
    "listeners": {},
    "players": {},
    "effects": {},
    "mix": {},
    "limits": {},
    "scenario": "chat",
    "metadata": {},
    "e2ee": False,
}
DOCUMENT: dict[str, Any] = {
    "speakers": {
        "alice": {"mutes": {"host": True}, "gain_db": -3.0, "seat": 3, "may_publish": True},
        "bob": {"mutes": {}, "gain_db": 0.0, "may_publish": False},
    },
    "listeners": {
        "bob": {
            "user_gains_db": {"carol": -6.0},
            "user_mutes": {"dave": True},
            "user_pans": {"carol": -0.5},
            "music_gain_db": -9.0,
        }
    },
    "players": {
        "music": {
            "tracks": [{"media": "q3v9", "key": "opening"}, {"url": "https://radio.example.org/stream"}],
            "state": "stopped",
            "volume_db": -12.0,
            "repeat": "all",
            "shuffle": True,
            "fade_in_ms": 500,
            "fade_out_ms": 20,
            "crossfade_ms": 4000,
            "audience": "listeners",
            "pan": 0.0,
            "align": True,
            "align_offset_ms": -20,
        }
    },
    "effects": {"call": {"sound": "ring", "gain_db": -6.0, "pan": 0.5, "audience": ["bob", "eve"]}},
    "mix": {"stereo": True, "bitrate": 64000, "ptime_ms": 20},
    "limits": {"speakers": 16, "listeners": 5000},
    "scenario": "chat",
    "metadata": {"title": "Evening talk", "tags": [1, 2.5, None, {"deep": True}]},
    "e2ee": False,
}
PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


async def put(edge: Edge, document: Any, room: str = ROOM, **headers: str) -> httpx.Response:
    return await edge.control("PUT", "rooms", room, json=document, headers=_header_names(headers))


async def patch(edge: Edge, change: Any, *path: str, **headers: str) -> httpx.Response:
    return await edge.control("PATCH", "rooms", ROOM, *path, json=change, headers={**PATCH, **_header_names(headers)})


async def get(edge: Edge, *path: str, **headers: str) -> httpx.Response:
    return await edge.control("GET", "rooms", ROOM, *path, headers=_header_names(headers))


def _header_names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


# What is put is what is


async def test_what_is_put_is_what_is_shown_and_putting_it_again_changes_nothing(edge: Edge) -> None:
    first = await put(edge, DOCUMENT)
    assert (first.status_code, first.json()) == (201, DOCUMENT)
    again = await put(edge, DOCUMENT)
    assert (again.status_code, again.json()) == (200, DOCUMENT)
    assert again.headers["etag"] == first.headers["etag"]
    found = await get(edge)
    assert (found.json(), found.headers["etag"]) == (DOCUMENT, first.headers["etag"])
    csrc = edge.room.csrcs.of
    gains = {csrc: gain for (_, csrc), gain in edge.plane.columns.items()}
    assert gains == {
        csrc("alice"): 0.0,
        csrc("bob"): 0.0,
        csrc(player_column("music")): 1.0,
        csrc(tap_column("music")): 1.0,
        csrc(effect_column("call")): pytest.approx(10 ** (-6 / 20)),
    }
    assert edge.plane.mixes[edge.room.id]["bitrate"] == 64_000


@pytest.mark.parametrize("effect", VoiceEffect)
async def test_a_voice_effect_is_named_and_taken_away(edge: Edge, effect: str) -> None:
    document = {"speakers": {"ann": {"voice_effect": str(effect)}}}
    found = (await edge.control("PUT", "rooms", ROOM, json=document)).json()
    assert found["speakers"]["ann"]["voice_effect"] == effect
    [chain] = edge.plane.chains.values()
    assert chain
    change = {"voice_effect": None}
    found = (await edge.control("PATCH", "rooms", ROOM, "speakers", "ann", json=change)).json()
    assert "voice_effect" not in found
    assert list(edge.plane.chains.values()) == [[]]


async def test_what_a_put_leaves_out_gets_its_default(edge: Edge) -> None:
    await put(edge, DOCUMENT)
    response = await put(edge, {"speakers": {"bob": {}}})
    assert response.json() == {
        **EMPTY,
        "speakers": {"bob": {"may_publish": True, "gain_db": 0.0, "mutes": {}}},
        "listeners": DOCUMENT["listeners"],  # his own
    }
    assert edge.plane.columns == {(edge.room.id, edge.room.csrcs.of("bob")): 1.0}


async def test_a_put_leaves_what_belongs_to_participants_and_names_it_to_change_it(edge: Edge) -> None:
    await put(edge, {"speakers": {USER: {}}})
    mute = await edge.http.put(f"/v1/rooms/{ROOM}/speakers/{USER}/mutes/self", headers=bearer())
    assert mute.status_code == 200
    wishes = {"user_gains_db": {"bob": -6.0}, "user_mutes": {}, "user_pans": {}, "music_gain_db": 0.0}
    own = await edge.http.put(f"/v1/rooms/{ROOM}/listeners/{USER}", json=wishes, headers=bearer())
    assert own.status_code == 200
    left = (await put(edge, {"speakers": {USER: {"mutes": {"host": True}}}})).json()
    assert left["speakers"][USER]["mutes"] == {"host": True, "self": True}
    assert left["listeners"] == {USER: wishes}
    named = {"speakers": {USER: {"mutes": {"self": False}}}, "listeners": {USER: {}}}
    assert (await put(edge, named)).json()["speakers"][USER]["mutes"] == {}
    assert (await get(edge)).json()["listeners"] == {}


async def test_a_seat_that_the_document_does_not_name_is_lost_with_its_session(edge: Edge) -> None:
    edge.seat()
    peer = edge.peer_of(await edge.whip())
    await put(edge, {"speakers": {"bob": {}}})
    assert peer in edge.plane.removed
    assert list(edge.room.speakers) == ["bob"]


@pytest.mark.parametrize(
    "document",
    [
        {"speaker": {}},
        {"speakers": {"alice": {"mute": True}}},
        {"speakers": {"alice": {"mutes": {"cat": True}}}},
        {"speakers": {"alice": {"mutes": {"host": 1}}}},
        {"speakers": {"alice": {"seat": 3}, "bob": {"seat": 3}}},
        {"speakers": {"alice": {"seat": -1}}},
        {"speakers": {"alice": {"seat": 1.5}}},
        {"speakers": {"": {}}},
        {"speakers": {"a\nb": {}}},
        {"speakers": {"ü" * 200: {}}},
        {"speakers": {"alice": {"voice_effect": "opera"}}},
        {"speakers": {"alice": {"pan": 1.5}}},
        {"speakers": []},
        {"listeners": {"bob": {"user_gains_db": {f"u{n}": -3 for n in range(MAX_WISHES + 1)}}}},
        {"listeners": {"bob": {"music_gain_db": 13}}},
        {"mix": {"ducking_db": -1}},
        {"mix": {"layout": "circle"}},
        {"mix": {"speech": {"target_lufs": 0}}},
        {"players": {"music": {"tracks": [{"media": "a", "url": "http://b"}]}}},
        {"players": {"music": {"tracks": [{}]}}},
        {"players": {"music": {"tracks": [{"media": "a", "key": "x"}, {"media": "b", "key": "x"}]}}},
        {"players": {"music": {"audience": []}}},
        {"players": {"music": {"audience": "nobody"}}},
        {"players": {f"p{n}": {} for n in range(MAX_PLAYERS + 1)}},
        {"effects": {"call": {}}},
        {"effects": {f"e{n}": {"sound": "ring"} for n in range(MAX_EFFECTS + 1)}},
        {"limits": {"speakers": -1}},
        {"limits": {"mixes": 3}},
        {"scenario": "opera"},
        {"scenario": None},
        {"metadata": {"x": "y" * MAX_METADATA_BYTES}},
        {"metadata": "text"},
        {"e2ee": "yes"},
    ],
)
async def test_what_is_not_known_or_not_there_yet_is_refused_and_changes_nothing(edge: Edge, document: Any) -> None:
    first = await put(edge, DOCUMENT)
    assert_problem(await put(edge, document), "invalid")
    assert_problem(await put(edge, document, "another"), "invalid")
    assert list(edge.node.rooms) == [ROOM]
    assert (await get(edge)).headers["etag"] == first.headers["etag"]


async def test_a_whole_number_may_be_written_with_a_point(edge: Edge) -> None:
    document = {
        "speakers": {"alice": {"seat": 3.0}},
        "mix": {"bitrate": 64000.0, "ptime_ms": 40.0, "complexity": 5.0},
        "limits": {"speakers": 16.0, "listeners": 1.0e3},
    }
    found = (await put(edge, document)).json()
    assert (found["speakers"]["alice"]["seat"], found["mix"]["ptime_ms"], found["limits"]["listeners"]) == (3, 40, 1000)
    assert "3.0" not in json.dumps(found["speakers"])
    token = await edge.control("POST", "rooms", ROOM, "tokens", json={"user": USER, "ttl_s": 60.0})
    assert token.status_code == 200


@pytest.mark.parametrize("depth", [MAX_METADATA_DEPTH, 300, 900, 20_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
async def test_metadata_that_is_nested_deeply_is_refused_and_spoils_no_list(
    edge: Edge, depth: int, brackets: str
) -> None:
    nested = '{"x":' * depth + "1" + "}" * depth if brackets == "{}" else "[" * depth + "]" * depth
    text = f'{{"metadata": {{"x": {nested}}}}}'
    headers = {"Content-Type": "application/json"}
    response = await edge.control("PUT", "rooms", ROOM, content=text, headers=headers)
    assert response.status_code in (400, 422)
    assert not edge.node.rooms
    await put(edge, {})
    response = await edge.control("PATCH", "rooms", ROOM, content=text, headers=PATCH)
    assert response.status_code in (400, 422)
    assert (await get(edge)).status_code == (await edge.control("GET", "rooms")).status_code == 200


async def test_metadata_may_be_nested_some_way(edge: Edge) -> None:
    nested: Any = 1
    for _ in range(MAX_METADATA_DEPTH - 1):
        nested = {"x": nested}
    assert (await put(edge, {"metadata": {"x": nested}})).json()["metadata"] == {"x": nested}


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", r'"\ud800"', r'{"\ud800": 1}'])
async def test_metadata_that_is_no_json_is_refused(edge: Edge, text: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await edge.control("PUT", "rooms", ROOM, content=f'{{"metadata": {{"x": {text}}}}}', headers=headers)
    assert_problem(response, "invalid")
    assert "surrogates" in response.json()["detail"]


async def test_a_refusal_does_not_repeat_long_names(edge: Edge) -> None:
    response = await put(edge, {"x" * 10_000: 1, **{f"{n}{'y' * 1000}": 1 for n in range(50)}})
    assert_problem(response, "invalid")
    assert len(response.content) < 5000
    assert response.json()["errors"][0]["in"] == ["body", "x" * 64 + "…"]


# Merge patches


async def test_a_patch_changes_what_it_names_alone(edge: Edge) -> None:
    await put(edge, DOCUMENT)
    response = await patch(edge, {"speakers": {"alice": {"mutes": {"host": None}, "seat": 1}, "bob": None}})
    assert response.status_code == 200
    alice = {"mutes": {}, "gain_db": -3.0, "seat": 1, "may_publish": True}
    assert response.json() == {**DOCUMENT, "speakers": {"alice": alice}}
    assert edge.plane.columns[edge.room.id, edge.room.csrcs.of("alice")] == pytest.approx(10 ** (-3 / 20))


async def test_a_patch_reaches_what_belongs_to_participants_too(edge: Edge) -> None:
    await put(edge, {"speakers": {USER: {"mutes": {"self": True}}}, "listeners": {USER: {"user_mutes": {"bob": True}}}})
    await patch(edge, {"speakers": {USER: {"mutes": {"self": None}}}, "listeners": {USER: None}})
    assert (await get(edge)).json() == {
        **EMPTY,
        "speakers": {USER: {"may_publish": True, "gain_db": 0.0, "mutes": {}}},
    }


async def test_two_speakers_change_seats_in_one_patch(edge: Edge) -> None:
    await put(edge, {"speakers": {"alice": {"seat": 1}, "bob": {"seat": 2}}})
    await patch(edge, {"speakers": {"alice": {"seat": 2}, "bob": {"seat": 1}}})
    assert {user: speaker.seat for user, speaker in edge.room.speakers.items()} == {"alice": 2, "bob": 1}


@pytest.mark.parametrize(
    "change", [None, [], "x", 1, {"speakers": 1}, {"speakers": {"alice": {"gain_db": "x"}}}, {"x": 1}]
)
async def test_a_patch_whose_result_is_no_document_is_refused(edge: Edge, change: Any) -> None:
    await put(edge, DOCUMENT)
    assert_problem(await patch(edge, change), "invalid")
    assert (await get(edge)).json() == DOCUMENT


async def test_a_patch_of_no_room_or_seat_is_refused(edge: Edge) -> None:
    assert_problem(await patch(edge, {}), "no-room")
    await put(edge, {})
    assert_problem(await patch(edge, {}, "speakers", "alice"), "no-speaker")


async def test_a_patch_says_what_it_is(edge: Edge) -> None:
    await put(edge, {})
    text = await edge.control("PATCH", "rooms", ROOM, content="{}", headers={"Content-Type": "text/plain"})
    assert_problem(text, "unsupported-media-type")
    assert text.headers["accept-patch"] == "application/merge-patch+json"
    plain = await edge.control("PATCH", "rooms", ROOM, json={"metadata": {"a": 1}})
    assert plain.json()["metadata"] == {"a": 1}


async def test_shorthands_say_the_same_as_patches(edge: Edge) -> None:
    for name in (ROOM, "other"):
        await put(edge, DOCUMENT, name)
    long = ("PATCH", "rooms", "other")
    steps: list[tuple[tuple[Any, ...], Any]] = [
        (("PUT", "speakers", "carol", {"gain_db": 3, "seat": 5}), {"speakers": {"carol": {"gain_db": 3, "seat": 5}}}),
        (("PATCH", "speakers", "carol", {"seat": None}), {"speakers": {"carol": {"seat": None}}}),
        (("PUT", "speakers", "carol", "mutes", "system", None), {"speakers": {"carol": {"mutes": {"system": True}}}}),
        (("PATCH", "speakers", "carol", {"mutes": {"host": True}}), {"speakers": {"carol": {"mutes": {"host": True}}}}),
        (
            ("DELETE", "speakers", "carol", "mutes", "system", None),
            {"speakers": {"carol": {"mutes": {"system": None}}}},
        ),
        (("DELETE", "speakers", "alice", None), {"speakers": {"alice": None}}),
        (
            ("PUT", "listeners", "eve", {"user_mutes": {"bob": True}}),
            {"listeners": {"eve": {"user_mutes": {"bob": True}}}},
        ),
        (
            ("PATCH", "listeners", "eve", {"user_gains_db": {"x": 3}}),
            {"listeners": {"eve": {"user_gains_db": {"x": 3}}}},
        ),
        (("DELETE", "listeners", "bob", None), {"listeners": {"bob": None}}),
    ]
    for short, change in steps:
        method, *path, body = short
        response = await edge.control(method, "rooms", ROOM, *path, json=body)
        assert response.status_code in (200, 204), response.text
        assert response.headers["etag"] == edge.room.etag
        assert (await edge.control(*long, json=change, headers=PATCH)).status_code == 200
        assert (await get(edge)).json() == (await edge.control("GET", "rooms", "other")).json()


async def test_a_seat_that_is_put_again_keeps_mutes_that_it_does_not_name(edge: Edge) -> None:
    await put(edge, DOCUMENT)
    speaker = ("rooms", ROOM, "speakers", "alice")
    assert (await edge.control("PUT", *speaker)).json()["seat"] == 3
    changed = (await edge.control("PUT", *speaker, json={"gain_db": 0, "mutes": {"system": True}})).json()
    assert (changed["gain_db"], changed["mutes"], changed["heard"]) == (0.0, {"host": True, "system": True}, False)
    assert "seat" not in changed


async def test_a_taken_seat_is_refused(edge: Edge) -> None:
    await put(edge, DOCUMENT)
    assert_problem(await edge.control("PUT", "rooms", ROOM, "speakers", "carol", json={"seat": 3}), "seats-taken")
    assert "carol" not in edge.room.speakers


# Limits and scenarios


async def test_a_rooms_own_limits_hold(edge: Edge) -> None:
    await put(edge, {"speakers": {"alice": {}}, "limits": {"speakers": 1, "listeners": 1}})
    assert_problem(await edge.control("PUT", "rooms", ROOM, "speakers", "bob"), "seats-taken")
    assert_problem(await patch(edge, {"speakers": {"bob": {}}}), "seats-taken")
    assert_problem(await put(edge, {"speakers": {"a": {}, "b": {}}, "limits": {"speakers": 1}}, "new"), "seats-taken")
    assert "new" not in edge.node.rooms
    assert (await edge.whep("one")).status_code == 201
    assert (await edge.whep("one")).status_code == 201  # his newer session takes the older's place
    assert_problem(await edge.whep("two"), "limit-reached")


async def test_the_servers_limit_of_seats_holds_for_documents() -> None:
    async with serving(speakers_per_room=2) as edge:
        assert_problem(await put(edge, {"speakers": {"a": {}, "b": {}, "c": {}}}), "seats-taken")
        assert not edge.node.rooms
        assert (await put(edge, {"speakers": {"a": {}, "b": {}}})).status_code == 201


async def test_a_scenario_sets_what_the_mix_leaves_open(edge: Edge) -> None:
    for scenario, stereo, bitrate, music in [
        ("chat", False, 48_000, False),
        ("ktv", True, 96_000, True),
        ("call", False, 32_000, False),
    ]:
        await put(edge, {"scenario": scenario})
        mix = edge.plane.mixes[edge.room.id]
        assert (mix["stereo"], mix["bitrate"], mix["music"]) == (stereo, bitrate, music)
        await put(edge, {"scenario": scenario, "mix": {"bitrate": 50_000}})
        assert edge.plane.mixes[edge.room.id] == {**mix, "bitrate": 50_000}
        (listed,) = (await edge.control("GET", "rooms")).json()["rooms"]
        assert (listed["scenario"], listed["mix"]["bitrate"], listed["mix"]["stereo"]) == (scenario, 50_000, stereo)
        hints = (await edge.control("POST", "rooms", ROOM, "tokens", json={"user": USER})).json()["capture"]
        assert hints["echo_cancellation"] is not music
        assert hints["channel_count"] == (2 if stereo else 1)


# Two writers


async def test_of_two_writers_with_the_same_etag_the_second_is_refused(edge: Edge) -> None:
    etag = (await put(edge, DOCUMENT)).headers["etag"]
    first = await patch(edge, {"metadata": {"by": "first"}}, If_Match=etag)
    assert first.status_code == 200
    second = await patch(edge, {"metadata": {"by": "second"}}, If_Match=etag)
    assert_problem(second, "precondition-failed")
    assert second.headers["etag"] == first.headers["etag"] != etag
    assert (await get(edge)).json()["metadata"]["by"] == "first"
    assert (await patch(edge, {"metadata": {"by": "second"}}, If_Match=second.headers["etag"])).status_code == 200


async def test_two_writers_at_once_never_both_win(edge: Edge) -> None:
    await put(edge, {})
    for _ in range(20):
        etag = edge.room.etag
        responses = await asyncio.gather(
            *(patch(edge, {"metadata": {"by": by}}, If_Match=etag) for by in (f"{etag}a", f"{etag}b"))
        )
        assert sorted(response.status_code for response in responses) == [200, 412]


@pytest.mark.parametrize(
    "call",
    [
        ("PUT", None),
        ("PATCH", None),
        ("DELETE", None),
        ("PUT", "speakers/alice"),
        ("PATCH", "speakers/alice"),
        ("DELETE", "speakers/alice"),
        ("PUT", "speakers/alice/mutes/host"),
        ("DELETE", "speakers/alice/mutes/host"),
        ("PUT", "listeners/bob"),
        ("PATCH", "listeners/bob"),
        ("DELETE", "listeners/bob"),
        ("DELETE", "participants/bob"),
        ("POST", "participants/bob/move"),
    ],
)
async def test_every_change_of_a_room_heeds_if_match(edge: Edge, call: tuple[str, str | None]) -> None:
    await put(edge, DOCUMENT)
    await put(edge, {}, "other")
    await edge.whep("bob")
    method, path = call
    parts = path.split("/") if path else []
    body = {"room": "other"} if method == "POST" else None if method == "DELETE" or "mutes" in parts else {}
    stale = {"If-Match": '"other"'}
    response = await edge.control(method, "rooms", ROOM, *parts, json=body, headers=stale)
    assert_problem(response, "precondition-failed")
    assert (await get(edge)).json() == DOCUMENT
    fresh = {"If-Match": f'"other", {edge.room.etag}'}
    response = await edge.control(method, "rooms", ROOM, *parts, json=body, headers=fresh)
    assert response.status_code in (200, 204), response.text


async def test_if_none_match_makes_a_room_only_once_and_spares_a_reader_what_he_knows(edge: Edge) -> None:
    first = await put(edge, DOCUMENT, If_None_Match="*")
    assert first.status_code == 201
    assert_problem(await put(edge, {}, If_None_Match="*"), "precondition-failed")
    etag = first.headers["etag"]
    for tags in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        unchanged = await get(edge, If_None_Match=tags)
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert (await get(edge, If_None_Match='"x"')).status_code == 200
    assert_problem(await put(edge, {}, "new", If_Match="*"), "precondition-failed")


async def test_a_room_that_is_made_again_never_has_an_earlier_ones_etag(edge: Edge) -> None:
    etags = set()
    for _ in range(5):
        etags.add((await put(edge, {})).headers["etag"])
        await edge.control("DELETE", "rooms", ROOM)
    assert len(etags) == 5


# Many rooms


async def test_many_rooms_are_put_at_once_and_each_is_answered_for(edge: Edge) -> None:
    await put(edge, {}, "kept")
    encrypted = (await put(edge, {"e2ee": True}, "encrypted")).headers["etag"]
    rooms = {"a / b": DOCUMENT, "c": {}, "encrypted": {"e2ee": False}, "kept": {}}
    response = await edge.control("PUT", "rooms", json={"rooms": rooms})
    assert response.status_code == 200
    results = response.json()["rooms"]
    assert {name: result["status"] for name, result in results.items()} == {
        "a / b": 201,
        "c": 201,
        "encrypted": 409,
        "kept": 200,
    }
    assert results["encrypted"]["problem"]["type"] == "/problems#encrypted-room"
    assert results["a / b"]["etag"] == edge.node.rooms["a / b"].etag
    assert edge.node.rooms["encrypted"].etag == encrypted
    assert (await edge.control("GET", "rooms", "a / b")).json() == DOCUMENT


async def test_more_rooms_than_one_call_takes_are_refused(edge: Edge) -> None:
    rooms: dict[str, Any] = {f"room {number}": {} for number in range(MAX_ROOMS_PER_CALL + 1)}
    assert_problem(await edge.control("PUT", "rooms", json={"rooms": rooms}), "invalid")
    assert not edge.node.rooms


async def test_a_document_of_which_one_room_is_wrong_changes_none(edge: Edge) -> None:
    assert_problem(await edge.control("PUT", "rooms", json={"rooms": {"a": {}, "b": {"x": 1}}}), "invalid")
    assert not edge.node.rooms


# Lists


async def test_rooms_are_listed_a_page_at_a_time(edge: Edge) -> None:
    names = sorted(f"room {number:02}" for number in range(25))
    for name in reversed(names):
        await put(edge, {}, name)
    found: list[str] = []
    cursor = ""
    while True:
        page = (await edge.control("GET", "rooms", params={"limit": 10, "cursor": cursor})).json()
        found += [room["name"] for room in page["rooms"]]
        if "next" not in page:
            break
        cursor = page["next"]
        await edge.control("DELETE", "rooms", found[0])  # who goes meanwhile hides nobody
    assert found == names


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"cursor": "x" * 257}, {"active": "x"}]
)
async def test_a_query_that_makes_no_sense_is_refused(edge: Edge, query: dict[str, Any]) -> None:
    assert_problem(await edge.control("GET", "rooms", params=query), "invalid")


async def test_rooms_are_found_by_what_is_asked(edge: Edge) -> None:
    await put(edge, {"speakers": {"alice": {}}, "scenario": "ktv"}, "one")
    await put(edge, {}, "only")
    await put(edge, {}, ROOM)
    await edge.whep("bob")

    async def names(**query: Any) -> list[str]:
        page = (await edge.control("GET", "rooms", params=query)).json()
        return [room["name"] for room in page["rooms"]]

    assert await names() == [ROOM, "one", "only"]
    assert await names(prefix="on") == ["one", "only"]
    assert await names(user="alice") == ["one"]
    assert await names(user="bob") == [ROOM]
    assert await names(active=True) == [ROOM]
    assert await names(active=False) == ["one", "only"]
    assert await names(scenario="ktv") == ["one"]
    assert await names(prefix="x") == []


async def test_participants_are_listed_a_page_at_a_time_and_by_direction(edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    for number in range(4):
        await edge.whep(f"listener {number}")
    page = (await get(edge, "participants")).json()
    assert [participant["user"] for participant in page["participants"]] == [USER, *(f"listener {n}" for n in range(4))]

    async def users(**query: Any) -> list[str]:
        response = await edge.control("GET", "rooms", ROOM, "participants", params=query)
        return [participant["user"] for participant in response.json()["participants"]]

    assert await users(direction="publish") == [USER]
    assert await users(limit=2, cursor="listener 0") == ["listener 1", "listener 2"]
    assert await users(speaking=True) == []
    one = await get(edge, "participants", "listener 2")
    assert one.json()["user"] == "listener 2"
    assert_problem(await get(edge, "participants", "nobody"), "no-participant")


# POSTs that are sent again


async def token(edge: Edge, key: str, **wish: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await edge.control("POST", "rooms", ROOM, "tokens", json={"user": USER, **wish}, headers=headers)


async def test_a_post_that_is_sent_again_is_answered_again_and_not_done_again(edge: Edge) -> None:
    await put(edge, {})
    first, again, other = await token(edge, "a"), await token(edge, "a"), await token(edge, "b")
    assert again.status_code == first.status_code == 200
    assert again.json() == first.json() != other.json()
    assert again.headers["cache-control"] == "no-store"


async def test_an_idempotency_key_is_for_one_request(edge: Edge) -> None:
    await put(edge, {})
    await token(edge, "a")
    assert_problem(await token(edge, "a", ttl_s=7), "idempotency-mismatch")
    assert_problem(await token(edge, ""), "invalid")
    assert_problem(await token(edge, "x" * 257), "invalid")


async def test_what_was_refused_may_be_tried_again_with_the_same_key(edge: Edge) -> None:
    assert_problem(await token(edge, "a"), "no-room")
    await put(edge, {})
    assert (await token(edge, "a")).status_code == 200


async def test_kept_answers_are_bounded_and_the_oldest_go(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "KEPT", 3)
    await put(edge, {})
    answers = [(await token(edge, str(number))).json() for number in range(4)]
    assert (await token(edge, "3")).json() == answers[3]
    assert (await token(edge, "0")).json() != answers[0]


# Moving


async def test_a_participant_moves_with_his_sessions_and_his_seat(edge: Edge) -> None:
    await put(edge, {"speakers": {USER: {"gain_db": -6, "mutes": {"self": True}, "seat": 4}, "bob": {}}})
    await put(edge, {"speakers": {"carol": {}}}, "other")
    whip, whep = await edge.whip(), await edge.whep(sections=1)
    publishing, listening = edge.peer_of(whip), edge.peer_of(whep)
    response = await edge.control("POST", "rooms", ROOM, "participants", USER, "move", json={"room": "other"})
    assert response.status_code == 200
    other = edge.node.rooms["other"]
    assert response.headers["etag"] == other.etag
    assert {session["direction"] for session in response.json()["sessions"]} == {"publish", "listen"}
    assert USER not in edge.room.speakers
    assert not edge.room.participants
    assert other.speakers[USER].gain_db == -6
    assert other.speakers[USER].mutes
    assert other.speakers[USER].seat is None
    csrc = other.csrcs.of(USER)
    assert {edge.plane.peers[peer].room for peer in (publishing, listening)} == {other.id}
    row = edge.plane.peers[listening].row
    assert row is not None
    assert edge.plane.rows[other.id, row] == {csrc: 0.0}
    assert not [key for key in edge.plane.rows if key[0] == edge.room.id]
    # The sessions keep their addresses and the token that opened them, which is good for his own things there too.
    mute = f"/v1/rooms/other/speakers/{USER}/mutes/self"
    assert (await edge.http.delete(mute, headers=bearer())).json()["mutes"] == {}
    assert_problem(await edge.http.put("/v1/rooms/other/speakers/carol/mutes/self", headers=bearer()), "forbidden")
    assert_problem(await edge.http.delete(mute, headers=bearer("carol")), "forbidden")
    headers = {"Content-Type": "application/sdp", **bearer()}
    assert_problem(await edge.http.post("/whep/other", content=offer("recvonly"), headers=headers), "forbidden")
    ended = await edge.http.delete(whip.headers["location"], headers=bearer())
    assert ended.status_code == 200
    assert publishing in edge.plane.removed
    assert other.participants[USER].peers.keys() == {"listen"}
    await edge.control("DELETE", "rooms", ROOM)
    assert (await edge.http.delete(whep.headers["location"], headers=bearer())).status_code == 200


async def test_who_moves_to_where_he_is_connected_takes_the_place_of_his_older_sessions(edge: Edge) -> None:
    await put(edge, {}, "other")
    await put(edge, {})
    mover = edge.peer_of(await edge.whep())
    headers = {"Content-Type": "application/sdp", **bearer(room="other")}
    sitting = await edge.http.post("/whep/other", content=offer("recvonly"), headers=headers)
    older = edge.peer_of(sitting)
    response = await edge.control("POST", "rooms", ROOM, "participants", USER, "move", json={"room": "other"})
    assert response.status_code == 200
    assert older in edge.plane.removed
    assert edge.node.rooms["other"].participants[USER].peers == {"listen": mover}


async def test_who_moves_to_where_he_talks_and_listens_too_has_one_session_of_each_kind_there(edge: Edge) -> None:
    there: dict[str, list[int]] = {}
    for name in ("other", ROOM):
        await put(edge, {"speakers": {USER: {}}}, name)
        headers = {**SDP, **bearer(room=name)}
        whip = await edge.http.post(f"/whip/{name}", content=offer("sendonly"), headers=headers)
        whep = await edge.http.post(f"/whep/{name}?mode=mix", content=offer("recvonly"), headers=headers)
        there[name] = [edge.peer_of(whip), edge.peer_of(whep)]
        for peer in there[name]:
            session = edge.node.census.of(peer)
            session.state = State.CONNECTED
            edge.node.connected(session)
    response = await edge.control("POST", "rooms", ROOM, "participants", USER, "move", json={"room": "other"})
    assert response.status_code == 200
    other = edge.node.rooms["other"]
    participant = other.participants[USER]
    assert list(participant.peers.values()) == there[ROOM]
    assert (participant.coming, participant.ready) == ({}, set())
    assert participant.connected == {"publish", "listen"}
    assert set(edge.plane.removed) == set(there["other"])
    assert {row for room, row in edge.plane.rows if room == other.id} == {edge.plane.peers[there[ROOM][1]].row}


async def test_a_move_that_cannot_be_changes_nothing(edge: Edge) -> None:
    move = ("POST", "rooms", ROOM, "participants", USER, "move")
    await put(edge, {"speakers": {USER: {}}})
    assert_problem(await edge.control(*move, json={"room": "other"}), "no-room")
    await put(edge, {"limits": {"speakers": 0}}, "other")
    assert_problem(await edge.control(*move, json={"room": "other"}), "no-participant")
    await edge.whip()
    await edge.whep(sections=1)
    assert_problem(await edge.control(*move, json={"room": "other"}), "seats-taken")
    await put(edge, {"e2ee": True}, "secret")
    assert_problem(await edge.control(*move, json={"room": "secret"}), "encrypted-room")
    await put(edge, {"limits": {"listeners": 0}}, "full")
    assert_problem(await edge.control(*move, json={"room": "full"}), "limit-reached")
    assert len(edge.room.participants[USER].peers) == 2
    assert {peer.room for peer in edge.plane.peers.values()} == {edge.room.id}
    assert (await edge.control(*move, json={"room": ROOM})).status_code == 200


RED = "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"


async def test_who_sends_redundant_audio_is_not_moved_to_where_nobody_can_take_it_apart(edge: Edge) -> None:
    await put(edge, {"speakers": {USER: {}}})
    for name, encrypted in (("secret", True), ("open", False)):
        await put(edge, {"e2ee": encrypted}, name)
    redundant = offer("sendonly").replace("SAVPF 111", "SAVPF 63 111") + RED
    published = await edge.http.post(f"/whip/{ROOM}", content=redundant, headers={**SDP, **bearer()})
    assert published.status_code == 201
    move = ("POST", "rooms", ROOM, "participants", USER, "move")
    response = await edge.control(*move, json={"room": "secret"})
    assert_problem(response, "encrypted-room")
    assert "join anew" in response.json()["detail"]
    assert edge.room.participants[USER].peers == {"publish": edge.peer_of(published)}
    assert (await edge.control(*move, json={"room": "open"})).status_code == 200


async def test_who_sends_plain_audio_is_moved_to_an_encrypted_room(edge: Edge) -> None:
    await put(edge, {"speakers": {USER: {}}})
    await put(edge, {"e2ee": True}, "secret")
    await edge.whip()
    move = ("POST", "rooms", ROOM, "participants", USER, "move")
    assert (await edge.control(*move, json={"room": "secret"})).status_code == 200


@pytest.mark.parametrize(("sections", "refused"), [(1, True), (2, False)])
async def test_a_listener_is_not_moved_to_a_mix_whose_packets_he_does_not_take(
    edge: Edge, sections: int, refused: bool
) -> None:
    await put(edge, {})
    await put(edge, {"mix": {"ptime_ms": 60}}, "slow")
    await put(edge, {"mix": {"ptime_ms": 40}}, "bearable")
    short = offer("recvonly", sections).replace("a=recvonly\r\n", "a=recvonly\r\na=maxptime:40\r\n")
    listening = await edge.http.post(f"/whep/{ROOM}", content=short, headers={**SDP, **bearer()})
    assert listening.status_code == 201
    move = ("POST", "rooms", ROOM, "participants", USER, "move")
    response = await edge.control(*move, json={"room": "slow"})
    if refused:
        assert_problem(response, "unsuited-session")
        assert edge.room.participants[USER].peers == {"listen": edge.peer_of(listening)}
        response = await edge.control(*move, json={"room": "bearable"})
    assert response.status_code == 200  # who hears chosen speakers gets the packets that they send


async def test_a_move_that_is_sent_again_is_answered_again(edge: Edge) -> None:
    for name in (ROOM, "other"):
        await put(edge, {}, name)
    await edge.whep()
    move = ("POST", "rooms", ROOM, "participants", USER, "move")
    headers = {"Idempotency-Key": "once"}
    first = await edge.control(*move, json={"room": "other"}, headers=headers)
    again = await edge.control(*move, json={"room": "other"}, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content) == (200, first.content)
    assert_problem(await edge.control(*move, json={"room": "other"}), "no-participant")


async def test_what_participants_do_for_themselves_keeps_no_writer_from_his_change(edge: Edge) -> None:
    etag = (await put(edge, {"speakers": {USER: {}}})).headers["etag"]
    await edge.http.put(f"/v1/rooms/{ROOM}/speakers/{USER}/mutes/self", headers=bearer())
    await edge.http.put(f"/v1/rooms/{ROOM}/listeners/{USER}", json={"user_mutes": {"bob": True}}, headers=bearer())
    assert (await get(edge, If_None_Match=etag)).status_code == 200  # it does look otherwise
    changed = await put(edge, {"speakers": {USER: {"seat": 1}}}, If_Match=etag)
    assert changed.status_code == 200
    assert changed.json()["speakers"][USER]["mutes"] == {"self": True}
    assert changed.json()["listeners"][USER]["user_mutes"] == {"bob": True}
    assert_problem(await put(edge, {}, If_Match=etag), "precondition-failed")


async def test_the_change_that_is_told_has_the_etag_of_the_whole_document(edge: Edge) -> None:
    response = await put(edge, DOCUMENT)
    rows = await edge.node.store.read(
        lambda connection: connection.execute("SELECT data FROM events WHERE type = 'room.changed'").fetchall()
    )
    assert [json.loads(data) for (data,) in rows] == [{"etag": response.headers["etag"]}]


async def test_seats_are_listed_with_what_is_heard(edge: Edge) -> None:
    await put(edge, DOCUMENT)
    page = (await get(edge, "speakers")).json()
    assert [(seat["user"], seat["heard"], seat["csrc"]) for seat in page["speakers"]] == [
        ("alice", False, edge.room.csrcs.of("alice")),
        ("bob", False, edge.room.csrcs.of("bob")),
    ]


@pytest.mark.parametrize("name", [".", ".."])
async def test_names_that_paths_cannot_carry_are_refused(edge: Edge, name: str) -> None:
    assert_problem(await put(edge, {"speakers": {name: {}}}), "invalid")
    response = await edge.http.put(f"/v1/rooms/%2E{'%2E' * (len(name) - 1)}", auth=edge.service)
    assert response.status_code in (404, 405, 422)
    assert not edge.node.rooms


def test_what_is_written_down_is_the_document_without_what_listeners_want() -> None:
    room = Room(1, "hall", home=0)
    document = RoomDocument.model_validate(DOCUMENT | {"speakers": DOCUMENT["speakers"] | {'"ü\\/\u200d ': {}}})
    documents.put(room, document)
    assert RoomDocument.model_validate_json(documents.written(room)) == documents.show(room).model_copy(
        update={"listeners": {}}
    )
    assert RoomDocument.model_validate_json(documents.written(Room(2, "", home=0))) == documents.show(
        Room(2, "", home=0)
    )
