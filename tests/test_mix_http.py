"""The mix over HTTP: who gets one, how a room's is encoded, what a listener may turn up, down and off for himself."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mediaserver.matrix import linear
from mediaserver.scenarios import MIXES, Scenario
from tests.edge import KEY, ROOM, SDP, Edge, assert_problem, bearer, serving
from tests.offers import offer

CSRC_LEVEL = "urn:ietf:params:rtp-hdrext:csrc-audio-level"
DEFAULTS = {"stereo": False, "bitrate": 48_000, "ptime_ms": 20, "complexity": 5, "music": False, "passthrough": True}
DUCKING = pytest.approx(10 ** (-12 / 20))
NO_WISHES: dict[str, Any] = {"user_gains_db": {}, "user_mutes": {}, "user_pans": {}, "music_gain_db": 0.0}


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        edge.node.open_room(ROOM)
        yield edge


async def listen(
    edge: Edge, user: str, query: str = "mode=mix", *, lines: str = "", sections: int = 1
) -> httpx.Response:
    """A WHEP request; `lines` are added to each audio section of the offer."""
    content = offer("recvonly", sections) if not lines else offer("recvonly", sections) + lines
    return await edge.http.post(f"/whep/{ROOM}?{query}", content=content, headers={**SDP, **bearer(user)})


async def wish(edge: Edge, user: str, **wishes: dict[str, Any]) -> httpx.Response:
    return await edge.control("PUT", "rooms", ROOM, "listeners", user, json=wishes)


def cells_heard(edge: Edge, response: httpx.Response) -> dict[int, float]:
    """The row that the plane gives to the listener of this answer."""
    row = edge.plane.peers[edge.peer_of(response)].row
    assert row is not None
    return edge.plane.rows[edge.room.id, row]


def hears_mix(edge: Edge, response: httpx.Response) -> bool:
    assert response.status_code == 201, response.text
    return edge.plane.peers[edge.peer_of(response)].row is not None


# Mix or selection


@pytest.mark.parametrize(
    ("query", "sections", "mixed"),
    [
        ("mode=mix", 1, True),
        ("mode=mix", 3, True),
        ("mode=select", 1, False),
        ("mode=select", 3, False),
        ("", 1, True),
        ("", 3, False),
        ("speakers=bob", 1, False),
        ("speaker=bob", 1, False),
    ],
)
async def test_a_listener_gets_what_he_asks_for_and_else_what_fits_his_offer(
    edge: Edge, query: str, sections: int, mixed: bool
) -> None:
    edge.seat("bob")
    response = await listen(edge, "ann", query, sections=sections)
    assert hears_mix(edge, response) is mixed


async def test_a_mix_is_one_stream_and_the_offers_other_sections_are_refused(edge: Edge) -> None:
    response = await listen(edge, "ann", sections=3)
    assert len(edge.plane.peers[edge.peer_of(response)].options["slots"]) == 1
    ports = [int(port) for port in re.findall(r"^m=audio (\d+)", response.text, re.M)]
    assert ports[0] > 0
    assert ports[1:] == [0, 0]
    assert len(set(re.findall(r"^a=ssrc:(\d+)", response.text, re.M))) == 1


@pytest.mark.parametrize("mode", ["MIX", "mixed", "all", "mix,select"])
async def test_an_unknown_mode_is_refused_with_those_there_are(edge: Edge, mode: str) -> None:
    response = await listen(edge, "ann", f"mode={mode}")
    assert_problem(response, "unknown-mode")
    assert "mix, select" in response.json()["detail"]
    assert not edge.plane.peers


@pytest.mark.parametrize("speakers", ["speakers=bob", "speaker=bob"])
async def test_a_mix_of_named_speakers_is_refused(edge: Edge, speakers: str) -> None:
    edge.seat("bob")
    assert_problem(await listen(edge, "ann", f"mode=mix&{speakers}"), "malformed")


async def test_a_listener_changes_between_mix_and_selection_by_a_new_session(edge: Edge) -> None:
    first = await listen(edge, "ann")
    peer = edge.peer_of(first)
    second = await listen(edge, "ann", "mode=select")
    assert peer in edge.plane.removed
    assert not hears_mix(edge, second)
    assert edge.plane.rows == {}
    assert hears_mix(edge, await listen(edge, "ann"))
    assert len(edge.plane.peers) == 1


async def test_csrc_levels_are_sent_to_those_who_offer_the_extension(edge: Edge) -> None:
    asked = await listen(edge, "ann", lines=f"a=extmap:9 {CSRC_LEVEL}\r\n")
    assert f"a=extmap:9 {CSRC_LEVEL}" in asked.text
    [slot] = edge.plane.peers[edge.peer_of(asked)].options["slots"]
    assert slot.csrc_level_id == 9
    silent = await listen(edge, "bob")
    assert CSRC_LEVEL not in silent.text
    [slot] = edge.plane.peers[edge.peer_of(silent)].options["slots"]
    assert slot.csrc_level_id == 0


# End-to-end encrypted rooms


async def test_an_encrypted_room_has_no_mix() -> None:
    async with serving() as edge:
        response = await edge.control("PUT", "rooms", ROOM, json={"e2ee": True})
        assert response.json()["e2ee"] is True
        assert edge.plane.mixes[edge.room.id]["e2ee"] is True
        assert_problem(await listen(edge, "ann"), "encrypted-room")
        assert not edge.plane.peers
        assert not edge.plane.rows
        assert not hears_mix(edge, await listen(edge, "ann", ""))
        assert not hears_mix(edge, await listen(edge, "ann", "mode=select"))


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_room_stays_encrypted_or_not(encrypted: bool) -> None:
    async with serving() as edge:
        assert (await edge.control("PUT", "rooms", ROOM, json={"e2ee": encrypted})).status_code == 201
        change = {"e2ee": not encrypted, "mix": {"stereo": True}}
        assert_problem(await edge.control("PUT", "rooms", ROOM, json=change), "encrypted-room")
        found = (await edge.control("GET", "rooms", ROOM)).json()
        assert found["e2ee"] is encrypted
        assert found["mix"] == {}
        assert (await edge.control("PUT", "rooms", ROOM)).status_code == 200


# How mixes are encoded


async def test_a_new_room_has_the_mix_settings_it_is_made_with() -> None:
    async with serving() as edge:
        settings = {
            "stereo": True,
            "bitrate": 96_000,
            "ptime_ms": 60,
            "complexity": 5,
            "music": True,
            "passthrough": False,
        }
        response = await edge.control("PUT", "rooms", ROOM, json={"mix": settings})
        assert response.status_code == 201
        assert response.json()["mix"] == settings
        assert edge.plane.mixes[edge.room.id] == {**settings, "ducking": DUCKING, "e2ee": False}


async def test_mix_settings_change_while_the_room_lives(edge: Edge) -> None:
    response = await edge.control("PUT", "rooms", ROOM, json={"mix": {"bitrate": 24_000, "ptime_ms": 40}})
    assert response.status_code == 200
    changed = {"bitrate": 24_000, "ptime_ms": 40}
    assert response.json()["mix"] == changed
    assert edge.plane.mixes[edge.room.id] == {**DEFAULTS, **changed, "ducking": DUCKING, "e2ee": False}
    await edge.control("PUT", "rooms", ROOM)
    assert (await edge.control("GET", "rooms", ROOM)).json()["mix"] == changed
    await edge.control("PUT", "rooms", ROOM, json={})
    assert edge.plane.mixes[edge.room.id] == {**DEFAULTS, "ducking": DUCKING, "e2ee": False}
    assert edge.room.mix == MIXES[Scenario.CHAT]


async def test_equal_mix_settings_do_not_disturb_the_plane(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    def configure_room(*_: object, **__: object) -> None:
        raise AssertionError("encoders would begin anew")

    monkeypatch.setattr(edge.plane, "configure_room", configure_room)
    assert (await edge.control("PUT", "rooms", ROOM, json={"mix": DEFAULTS})).status_code == 200


@pytest.mark.parametrize(
    "mix",
    [
        {"bitrate": 5_999},
        {"bitrate": 510_001},
        {"bitrate": "48000"},
        {"ptime_ms": 10},
        {"ptime_ms": 30},
        {"complexity": -1},
        {"complexity": 11},
        {"stereo": 1},
        {"channels": 2},
    ],
)
async def test_mix_settings_that_opus_has_not_are_refused(edge: Edge, mix: dict[str, Any]) -> None:
    assert_problem(await edge.control("PUT", "rooms", ROOM, json={"mix": mix}), "invalid")
    assert edge.room.mix == MIXES[Scenario.CHAT]


@pytest.mark.parametrize(("maxptime", "served"), [(20, False), (40, True), (60, True)])
async def test_an_offer_that_takes_only_shorter_packets_than_the_mixs_is_refused(
    edge: Edge, maxptime: int, served: bool
) -> None:
    await edge.control("PUT", "rooms", ROOM, json={"mix": {"ptime_ms": 40}})
    response = await listen(edge, "ann", lines=f"a=maxptime:{maxptime}\r\n")
    if served:
        assert hears_mix(edge, response)
    else:
        assert_problem(response, "unsupported-offer")
        assert "40 ms" in response.json()["detail"]
        assert not edge.plane.rows


# Speakers' gains, for everybody


async def test_a_speakers_gain_scales_his_column(edge: Edge) -> None:
    for gain_db, factor in [(-12.0, 10 ** (-12 / 20)), (6, 10 ** (6 / 20)), (-60, 0.0), (0, 1.0)]:
        response = await edge.control("PUT", "rooms", ROOM, "speakers", "ann", json={"gain_db": gain_db})
        assert response.json()["gain_db"] == gain_db
        assert edge.plane.columns == {(edge.room.id, response.json()["csrc"]): pytest.approx(factor)}


@pytest.mark.parametrize("gain_db", [-60.1, 12.1, "0", None, True])
async def test_a_gain_out_of_range_is_refused(edge: Edge, gain_db: Any) -> None:
    speakers = ("rooms", ROOM, "speakers", "ann")
    assert_problem(await edge.control("PUT", *speakers, json={"gain_db": gain_db}), "invalid")
    assert_problem(await wish(edge, "ann", user_gains_db={"bob": gain_db}), "invalid")
    assert not edge.room.speakers
    assert not edge.room.ears


# What one listener hears otherwise


async def test_a_listener_turns_speakers_down_and_off_for_himself(edge: Edge) -> None:
    edge.seat("bob")
    edge.seat("cem")
    ann, dan = await listen(edge, "ann"), await listen(edge, "dan")
    bob, cem = edge.room.csrcs.of("bob"), edge.room.csrcs.of("cem")
    wishes: dict[str, Any] = {"user_gains_db": {"bob": -5.2}, "user_mutes": {"cem": True, "eve": False}}
    response = await wish(edge, "ann", **wishes)
    assert response.status_code == 200
    assert response.json() == {**NO_WISHES, **wishes, "user_mutes": {"cem": True}}
    assert cells_heard(edge, ann) == {bob: linear(-6.0), cem: 0.0}
    assert cells_heard(edge, dan) == {}
    found = await edge.control("GET", "rooms", ROOM, "listeners", "ann")
    assert found.json() == {**NO_WISHES, "user_gains_db": {"bob": -5.2}, "user_mutes": {"cem": True}}
    await wish(edge, "ann")
    assert cells_heard(edge, ann) == {}
    assert (await edge.control("GET", "rooms", ROOM, "listeners", "ann")).json() == NO_WISHES


async def test_wishes_wait_for_a_listener_who_is_not_there_yet(edge: Edge) -> None:
    edge.seat("bob")
    await wish(edge, "ann", user_mutes={"bob": True})
    for _ in range(2):
        response = await listen(edge, "ann")
        assert cells_heard(edge, response) == {edge.room.csrcs.of("bob"): 0.0}
        await edge.http.delete(response.headers["Location"], headers=bearer("ann"))


async def test_wishes_belong_to_their_listener_and_the_room_service(edge: Edge) -> None:
    address = f"/v1/rooms/{ROOM}/listeners/ann"
    wishes = {**NO_WISHES, "user_gains_db": {"bob": -6}}
    calls: list[tuple[str, dict[str, Any]]] = [("PUT", {"json": wishes}), ("GET", {})]
    for method, options in calls:
        own = await edge.http.request(method, address, headers=bearer("ann"), **options)
        assert own.json() == wishes
        assert (await edge.control(method, "rooms", ROOM, "listeners", "ann", **options)).json() == wishes
        others = await edge.http.request(method, address, headers=bearer("bob"), **options)
        assert_problem(others, "forbidden")
        assert_problem(await edge.http.request(method, address, headers=bearer(room="den"), **options), "forbidden")
        assert_problem(await edge.http.request(method, address, **options), "unauthorized")
        wrong = httpx.BasicAuth(KEY.id, "x" * 32)
        assert_problem(await edge.http.request(method, address, auth=wrong, **options), "unauthorized")


async def test_who_was_kicked_has_no_say_in_what_he_hears(edge: Edge) -> None:
    await edge.control("DELETE", "rooms", ROOM, "participants", "ann")
    address = f"/v1/rooms/{ROOM}/listeners/ann"
    assert_problem(await edge.http.put(address, headers=bearer("ann"), json=NO_WISHES), "invalid-token")


async def test_wishes_in_a_room_that_is_not_are_refused(edge: Edge) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("PUT", {"json": NO_WISHES}), ("GET", {})]
    for method, options in calls:
        assert_problem(await edge.control(method, "rooms", "den", "listeners", "ann", **options), "no-room")


@pytest.mark.parametrize(
    "wishes",
    [
        {"user_gains_db": {"": 0}},
        {"user_gains_db": {"bob\n": 0}},
        {"user_gains_db": {"x" * 500: 0}},
        {"user_gains_db": {f"user {number}": 0 for number in range(65)}},
        {"user_mutes": {f"user {number}": True for number in range(65)}},
        {"user_mutes": {"bob": 1}},
        {"user_mutes": ["bob"]},
        {"gains": {}},
    ],
)
async def test_wishes_that_are_none_are_refused(edge: Edge, wishes: dict[str, Any]) -> None:
    assert_problem(await edge.control("PUT", "rooms", ROOM, "listeners", "ann", json=wishes), "invalid")
    assert not edge.room.ears


async def test_mixes_of_listeners_wishes_are_limited() -> None:
    async with serving(mixes_per_room=2) as edge:
        edge.seat("bob")
        answers = {user: await listen(edge, user) for user in ("ann", "cem", "dan")}
        assert (await wish(edge, "ann", user_gains_db={"bob": -6})).status_code == 200
        assert (await wish(edge, "cem", user_gains_db={"bob": 6})).status_code == 200
        assert_problem(await wish(edge, "dan", user_gains_db={"bob": 3}), "mixes-taken")
        assert cells_heard(edge, answers["dan"]) == {}
        assert (await edge.control("GET", "rooms", ROOM, "listeners", "dan")).json() == NO_WISHES
        assert (await wish(edge, "dan", user_gains_db={"bob": -6})).status_code == 200, "this mix exists"
        assert (await wish(edge, "dan", user_gains_db={})).status_code == 200

        await wish(edge, "eve", user_gains_db={"bob": 9})
        assert_problem(await listen(edge, "eve"), "mixes-taken")
        assert len(edge.plane.peers) == 3
        await edge.http.delete(answers["ann"].headers["Location"], headers=bearer("ann"))
        assert hears_mix(edge, await listen(edge, "eve"))


async def test_a_seat_is_given_and_taken_while_the_wished_mixes_are_used_up() -> None:
    async with serving(mixes_per_room=1) as edge:
        edge.seat("bob")
        answers = [await listen(edge, user) for user in ("ann", "cem")]
        for user in ("ann", "cem"):
            await wish(edge, user, user_mutes={"bob": True})
        response = await edge.control("PUT", "rooms", ROOM, "speakers", "ann")
        assert response.status_code == 200
        csrc = response.json()["csrc"]
        assert edge.plane.columns[edge.room.id, csrc] == 1.0
        assert cells_heard(edge, answers[0]) == {csrc: 0.0, edge.room.csrcs.of("bob"): 0.0}
        assert (await edge.control("DELETE", "rooms", ROOM, "speakers", "ann")).status_code == 204
        assert cells_heard(edge, answers[0]) == cells_heard(edge, answers[1])


async def test_a_closed_room_takes_its_rows_along(edge: Edge) -> None:
    await listen(edge, "ann")
    assert edge.plane.rows
    await edge.control("DELETE", "rooms", ROOM)
    assert not edge.plane.rows
    assert not edge.plane.peers
