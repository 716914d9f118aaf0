"""The control API: what a room service says is what is, however often it says it."""

from collections.abc import AsyncIterator

import pytest

from mediaserver import tokens
from mediaserver.keys import ApiKeys
from mediaserver.schema import MAX_TTL_S
from tests import fake_plane
from tests.edge import KEY, NOW, ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import offer


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


async def test_rooms_are_made_listed_and_closed_any_number_of_times(edge: Edge) -> None:
    document = {
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
    for expected in (201, 200):
        response = await edge.control("PUT", "rooms", "a/b ü", json={})
        assert (response.status_code, response.json()) == (expected, document)
    assert (await edge.control("GET", "rooms", "a/b ü")).json() == document
    (listed,) = (await edge.control("GET", "rooms")).json()["rooms"]
    assert (listed["name"], listed["speakers"], listed["participants"]) == ("a/b ü", 0, 0)
    for _ in range(2):
        assert (await edge.control("DELETE", "rooms", "a/b ü")).status_code == 204
    assert_problem(await edge.control("GET", "rooms", "a/b ü"), "no-room")
    assert not edge.plane.rooms


async def test_closing_a_room_ends_its_sessions(edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    await edge.whep("bob")
    await edge.control("DELETE", "rooms", ROOM)
    assert not edge.plane.peers
    assert not edge.plane.columns


async def test_a_seat_is_a_column_of_the_matrix(edge: Edge) -> None:
    await edge.control("PUT", "rooms", ROOM)
    response = await edge.control("PUT", "rooms", ROOM, "speakers", USER)
    assert response.status_code == 200
    speaker = response.json()
    assert speaker == {
        "user": USER,
        "csrc": speaker["csrc"],
        "may_publish": True,
        "gain_db": 0.0,
        "mutes": {},
        "heard": True,
    }
    assert edge.plane.columns == {(edge.room.id, speaker["csrc"]): 1.0}
    silenced = await edge.control("PUT", "rooms", ROOM, "speakers", USER, json={"may_publish": False})
    assert silenced.json() == {**speaker, "may_publish": False, "heard": False}
    assert edge.plane.columns == {(edge.room.id, speaker["csrc"]): 0.0}
    for _ in range(2):
        assert (await edge.control("DELETE", "rooms", ROOM, "speakers", USER)).status_code == 204
    assert edge.plane.columns == {}


async def test_losing_the_seat_ends_publishing_and_the_csrc_stays_for_a_new_one(edge: Edge) -> None:
    edge.seat()
    publishing, listening = edge.peer_of(await edge.whip()), edge.peer_of(await edge.whep())
    csrc = edge.room.csrcs.of(USER)
    await edge.control("DELETE", "rooms", ROOM, "speakers", USER)
    assert publishing in edge.plane.removed
    assert listening in edge.plane.peers
    assert (await edge.whip()).status_code == 403
    assert (await edge.control("PUT", "rooms", ROOM, "speakers", USER)).json()["csrc"] == csrc


async def test_a_speaker_is_heard_only_when_nobody_mutes_him(edge: Edge) -> None:
    edge.seat()
    column = (edge.room.id, edge.room.csrcs.of(USER))
    path = ("rooms", ROOM, "speakers", USER, "mutes")
    for method, source, muted_by, gain in [
        ("PUT", "host", ["host"], 0.0),
        ("PUT", "host", ["host"], 0.0),
        ("PUT", "self", ["host", "self"], 0.0),
        ("DELETE", "host", ["self"], 0.0),
        ("PUT", "system", ["self", "system"], 0.0),
        ("DELETE", "self", ["system"], 0.0),
        ("DELETE", "system", [], 1.0),
        ("DELETE", "system", [], 1.0),
    ]:
        response = await edge.control(method, *path, source)
        assert (response.status_code, list(response.json()["mutes"])) == (200, muted_by)
        assert response.json()["heard"] == (gain > 0)
        assert edge.plane.columns[column] == gain
    assert_problem(await edge.control("PUT", *path, "cat"), "invalid")
    assert_problem(await edge.control("PUT", "rooms", ROOM, "speakers", "nobody", "mutes", "host"), "no-speaker")


async def test_a_participant_mutes_himself_and_nobody_else(edge: Edge) -> None:
    edge.seat()
    edge.seat("bob")
    for method, muted in [("PUT", True), ("DELETE", False)]:
        path = f"/v1/rooms/{ROOM}/speakers/{USER}/mutes"
        response = await edge.http.request(method, f"{path}/self", headers=bearer())
        assert (response.status_code, bool(response.json()["mutes"])) == (200, muted)
        assert_problem(await edge.http.request(method, f"{path}/host", headers=bearer()), "forbidden")
        assert_problem(await edge.http.request(method, f"{path}/self", headers=bearer("bob")), "forbidden")
        assert_problem(await edge.http.request(method, f"{path}/self", headers=bearer(room="other")), "forbidden")
        assert_problem(await edge.http.request(method, f"{path}/self"), "unauthorized")


async def test_a_token_says_what_was_asked_and_lets_its_user_in(edge: Edge) -> None:
    edge.seat()
    wish = {"user": USER, "may_publish": True, "may_listen": False, "ttl_s": 60}
    response = await edge.control("POST", "rooms", ROOM, "tokens", json=wish)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    document = response.json()
    claims = tokens.verify(ApiKeys([KEY]), document["token"], NOW)
    assert (claims.room, claims.user, claims.may_publish, claims.may_listen) == (ROOM, USER, True, False)
    assert document["expires"] == claims.expires == NOW + 60
    headers = {**SDP, "Authorization": f"Bearer {document['token']}"}
    assert (await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=headers)).status_code == 201
    edge.now = NOW + 61
    assert_problem(await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=headers), "invalid-token")


async def test_a_token_is_for_listening_unless_more_is_asked(edge: Edge) -> None:
    edge.seat()
    document = (await edge.control("POST", "rooms", ROOM, "tokens", json={"user": USER})).json()
    claims = tokens.verify(ApiKeys([KEY]), document["token"], NOW)
    assert (claims.may_publish, claims.may_listen) == (False, True)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"user": ""},
        {"user": "x" * 257},
        {"user": "a\nb"},
        {"user": 1},
        {"user": USER, "ttl_s": 0},
        {"user": USER, "ttl_s": MAX_TTL_S + 1},
        {"user": USER, "ttl_s": "60"},
        {"user": USER, "may_publish": "yes"},
        {"user": USER, "may_moderate": True},
        [],
        "ann",
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(edge: Edge, wish: object) -> None:
    edge.seat()
    response = await edge.control("POST", "rooms", ROOM, "tokens", json=wish)
    assert_problem(response, "invalid")
    assert response.json()["errors"]


async def test_unknown_fields_are_refused_everywhere(edge: Edge) -> None:
    edge.seat()
    assert_problem(await edge.control("PUT", "rooms", ROOM, json={"x": 1}), "invalid")
    assert_problem(await edge.control("PUT", "rooms", ROOM, "speakers", USER, json={"x": 1}), "invalid")


async def test_a_body_that_is_not_json_is_refused(edge: Edge) -> None:
    edge.seat()
    path = ("rooms", ROOM, "speakers", USER)
    json = {"Content-Type": "application/json"}
    assert_problem(await edge.control("PUT", *path, content="{", headers=json), "malformed")
    text = {"Content-Type": "text/plain"}
    assert_problem(await edge.control("PUT", *path, content="{}", headers=text), "unsupported-media-type")
    assert_problem(await edge.control("PUT", *path, content="{}"), "unsupported-media-type")


async def test_participants_are_told_with_what_the_plane_measures(edge: Edge) -> None:
    edge.seat()
    await edge.control("PUT", "rooms", ROOM, "speakers", USER, "mutes", "host")
    peer = edge.peer_of(await edge.whip())
    await edge.whep("bob")
    stats = edge.plane.peers[peer].stats
    stats.level_dbov, stats.speaking, stats.fraction_lost, stats.packets_lost = -20.0, True, 0.25, 3
    stats.jitter_ms, stats.round_trip_ms, stats.packets_received, stats.bytes_received = 1.5, 20.0, 9, 900
    stats.address, stats.over_tcp = "127.0.0.1:50000", True
    edge.plane.emit(fake_plane.ICE_CONNECTED, peer)
    edge.node.driver.drain()
    response = await edge.control("GET", "rooms", ROOM, "participants")
    ann, bob = response.json()["participants"]
    (session,) = ann.pop("sessions")
    csrc = edge.room.csrcs.of(USER)
    assert ann == {"user": USER, "csrc": csrc, "may_publish": True, "muted_by": ["host"], "reconnecting": False}
    del session["id"]
    assert session == {
        "direction": "publish",
        "state": "securing",
        "quality": "good",
        "protocol": "tcp",
        "red": False,
        "tier": "clean",
        "level_dbov": -20.0,
        "speaking": True,
        "silent": False,
        "clipping": False,
        "fraction_lost": 0.25,
        "packets_lost": 3,
        "jitter_ms": 1.5,
        "round_trip_ms": 20.0,
        "packets_received": 9,
        "bytes_received": 900,
        "packets_sent": 0,
        "bytes_sent": 0,
        "packets_nacked": 0,
        "packets_retransmitted": 0,
        "playout_delay_ms": 0.0,
        "playout_target_ms": 0.0,
        "accelerated_ms": 0.0,
        "decelerated_ms": 0.0,
        "frames_recovered": 0,
        "frames_from_red": 0,
        "frames_from_nack": 0,
        "packets_asked": 0,
        "frames_concealed": 0,
        "packets_late": 0,
    }
    assert (bob["user"], bob["may_publish"], bob["muted_by"]) == ("bob", False, [])
    assert [(session["direction"], session.get("round_trip_ms")) for session in bob["sessions"]] == [("listen", None)]


async def test_a_kick_can_be_said_again_and_before_its_user_comes(edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    for _ in range(2):
        assert (await edge.control("DELETE", "rooms", ROOM, "participants", USER)).status_code == 204
    assert not edge.plane.peers
    assert edge.room.speakers == {}
    assert (await edge.control("DELETE", "rooms", ROOM, "participants", "nobody yet")).status_code == 204
    assert_problem(await edge.whep("nobody yet"), "invalid-token")
