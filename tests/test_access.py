"""Who is let in: keys and their rights, signed requests, one-time tokens, and that nothing is given away on the way."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mediaserver import tokens
from mediaserver.http.body import MAX_BODY, MAX_ROOM_BODY, MAX_ROOMS_BODY
from mediaserver.keys import ApiKey, ApiKeys
from mediaserver.model import seats
from mediaserver.signing import sign
from mediaserver.used_ids import UsedIds
from tests.credentials import CONTROLLER, ELSEWHERE, LINES, READER, Headers, basic, request, signed
from tests.edge import KEY, NOW, ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import offer


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving(api_key=LINES) as edge:
        edge.seat()
        yield edge


async def publish(edge: Edge, headers: Headers, content: str = "") -> httpx.Response:
    return await edge.http.post(f"/whip/{ROOM}", content=content or offer(), headers=SDP | headers)


async def listen(edge: Edge, headers: Headers, query: str = "", content: str = "") -> httpx.Response:
    url = f"/whep/{ROOM}{query}"
    return await edge.http.post(url, content=content or offer("recvonly"), headers=SDP | headers)


# Keys


async def test_a_key_sees_the_rooms_that_it_reaches(edge: Edge) -> None:
    for room in ("hall", "other 1", "attic"):
        edge.node.open_room(room)
    for key, seen in [(KEY, ["attic", "hall", "other 1"]), (CONTROLLER, ["hall"]), (ELSEWHERE, ["other 1"])]:
        response = await edge.http.get("/v1/rooms", headers=basic(key.id, key.secret))
        assert [room["name"] for room in response.json()["rooms"]] == seen


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_key_does_not_learn_whether_a_room_exists_that_it_does_not_reach(edge: Edge, method: str) -> None:
    headers = basic(ELSEWHERE.id, ELSEWHERE.secret)
    existing = await edge.http.request(method, f"/v1/rooms/{ROOM}", headers=headers)
    absent = await edge.http.request(method, "/v1/rooms/nowhere", headers=headers)
    assert_problem(existing, "forbidden")
    assert existing.json() == absent.json()


@pytest.mark.parametrize(
    ("path", "reached"), [("other%2Fhall", True), ("%6fther", True), ("hall", False), ("%68all", False)]
)
async def test_patterns_are_compared_with_the_decoded_name(edge: Edge, path: str, reached: bool) -> None:
    response = await edge.http.put(f"/v1/rooms/{path}", headers=basic(ELSEWHERE.id, ELSEWHERE.secret))
    assert response.status_code == (201 if reached else 403)


@pytest.mark.parametrize("path", ["%ff", "a%00b", "x" * 257])
async def test_a_name_that_is_none_is_invalid_for_who_may_and_unauthorized_for_others(edge: Edge, path: str) -> None:
    for key in (KEY, ELSEWHERE):
        assert_problem(await edge.http.put(f"/v1/rooms/{path}", headers=basic(key.id, key.secret)), "invalid")
    assert (await edge.http.put(f"/v1/rooms/{path}", headers=basic("alpha", "x" * 32))).status_code == 401


async def test_a_refused_request_is_told_the_same_whether_its_key_exists(edge: Edge) -> None:
    wrong = await edge.http.get("/v1/rooms", headers=basic(KEY.id, "x" * 32))
    unknown = await edge.http.get("/v1/rooms", headers=basic("nobody", "x" * 32))
    assert (wrong.json(), wrong.headers) == (unknown.json(), unknown.headers)
    for make in (request, lambda key: bearer(key=key)):
        wrong = await edge.http.get("/v1/rooms", headers=make(ApiKey(KEY.id, "x" * 32)))
        unknown = await edge.http.get("/v1/rooms", headers=make(ApiKey("nobody", "x" * 32)))
        assert (wrong.json(), wrong.headers) == (unknown.json(), unknown.headers)


async def test_what_a_key_may_not_is_named_as_rfc_6750_has_it(edge: Edge) -> None:
    response = await edge.http.put(f"/v1/rooms/{ROOM}", headers=request(READER))
    assert_problem(response, "forbidden")
    assert 'error="insufficient_scope"' in response.headers["www-authenticate"]
    response = await edge.http.get("/v1/rooms")
    assert "error" not in response.headers["www-authenticate"]
    assert "Basic" in response.headers["www-authenticate"]
    assert "Bearer" in response.headers["www-authenticate"]


async def test_a_removed_key_ends_the_tokens_that_it_signed_and_not_the_sessions(edge: Edge) -> None:
    headers = bearer(key=CONTROLLER)
    assert (await publish(edge, headers)).status_code == 201
    edge.node.api_keys.replace([KEY])
    assert_problem(await publish(edge, headers), "invalid-token")
    assert len(edge.node.census.sessions) == 1


async def test_a_key_does_not_follow_a_session_to_a_room_that_it_does_not_reach(edge: Edge) -> None:
    edge.node.open_room("attic")
    session = (await publish(edge, bearer())).headers["location"]
    path = ("rooms", ROOM, "participants", USER, "move")
    controller = basic(CONTROLLER.id, CONTROLLER.secret)
    refused = await edge.http.post("/v1/" + "/".join(path), json={"room": "attic"}, headers=controller)
    assert_problem(refused, "forbidden")
    assert (await edge.control("POST", *path, json={"room": "attic"})).status_code == 200
    assert_problem(await edge.http.delete(session, headers=controller), "forbidden")
    # His own token goes on being good for it.
    assert (await edge.http.delete(session, headers=bearer())).status_code == 200


async def test_of_many_rooms_a_key_puts_those_that_it_reaches(edge: Edge) -> None:
    body: dict[str, object] = {"rooms": {"halle": {}, "attic": {}}}
    response = await edge.http.put("/v1/rooms", json=body, headers=basic(CONTROLLER.id, CONTROLLER.secret))
    statuses = {name: result["status"] for name, result in response.json()["rooms"].items()}
    assert statuses == {"halle": 201, "attic": 403}
    assert "attic" not in edge.node.rooms


async def test_signed_requests_are_counted_for_their_key_and_bad_ones_for_the_address() -> None:
    async with serving(api_key=LINES, rate_per_key=2, rate_per_address=1) as edge:
        found = [(await edge.http.get("/v1/rooms", headers=request(once=True))).status_code for _ in range(6)]
        assert found[:4] == [200] * 4
        assert 429 in found
        assert (await edge.http.get("/v1/rooms", headers=request(CONTROLLER))).status_code == 200
        assert (await edge.http.get("/v1/rooms", headers=request(now=NOW - 99))).status_code == 401


async def test_a_removed_key_reads_no_more_events(edge: Edge) -> None:
    headers = basic(READER.id, READER.secret)
    reading = asyncio.create_task(edge.http.get("/v1/events", headers=headers))
    async with asyncio.timeout(10):
        while not edge.node.outbox.streams:  # noqa: ASYNC110 (the outbox tells nobody of its readers)
            await asyncio.sleep(0.01)
        edge.node.api_keys.replace([KEY])
        edge.node.open_room("after")
        await edge.node.settled()
        response = await reading
    assert response.status_code == 200
    assert '"after"' not in response.text
    assert (await edge.http.get("/v1/events", headers=headers)).status_code == 401


# Signed requests


def named(jti: object, key: ApiKey = KEY) -> Headers:
    """A signed request with this id."""
    header = {"alg": "HS256", "kid": key.id, "typ": "control+jwt"}
    return {"Authorization": f"Bearer {sign(header, {'iat': NOW, 'exp': NOW + 9, 'jti': jti}, key.secret)}"}


async def test_a_one_time_request_is_answered_once_wherever_it_goes(edge: Edge) -> None:
    headers = request(once=True)
    assert (await edge.http.get("/v1/rooms", headers=headers)).status_code == 200
    for method, path in [("GET", "/v1/rooms"), ("DELETE", f"/v1/rooms/{ROOM}"), ("GET", f"/v1/rooms/{ROOM}")]:
        response = await edge.http.request(method, path, headers=headers)
        assert_problem(response, "invalid-token")
        assert "has been used" in response.json()["detail"]
    assert ROOM in edge.node.rooms


async def test_a_request_without_jti_is_good_until_it_expires(edge: Edge) -> None:
    headers = request(ttl_s=300)
    for edge.now, status in [(NOW, 200), (NOW, 200), (NOW + 299.9, 200), (NOW + 300, 401)]:
        assert (await edge.http.get("/v1/rooms", headers=headers)).status_code == status


async def test_the_clock_of_who_signs_may_be_ahead_a_little(edge: Edge) -> None:
    assert (await edge.http.get("/v1/rooms", headers=request(now=NOW + 10))).status_code == 200
    assert_problem(await edge.http.get("/v1/rooms", headers=request(now=NOW + 10.1)), "invalid-token")


async def test_of_two_at_the_same_moment_one_is_answered(edge: Edge) -> None:
    headers = request(once=True)
    found = await asyncio.gather(*(edge.http.get("/v1/rooms", headers=headers) for _ in range(20)))
    assert sorted(response.status_code for response in found) == [200] + [401] * 19


async def test_two_keys_may_use_the_same_id(edge: Edge) -> None:
    for key in (KEY, READER):
        response = await edge.http.get("/v1/rooms", headers=named("1", key))
        assert response.status_code == 200


async def test_what_cannot_be_remembered_is_refused_and_the_rest_goes_on(edge: Edge) -> None:
    edge.node.used_requests = UsedIds(limit=1)
    assert (await edge.http.get("/v1/rooms", headers=request(once=True))).status_code == 200
    response = await edge.http.get("/v1/rooms", headers=request(once=True))
    assert_problem(response, "limit-reached")
    assert response.headers["retry-after"]
    assert (await edge.http.get("/v1/rooms", headers=request())).status_code == 200
    edge.node.used_tokens = UsedIds(limit=1)
    headers = bearer(once=True)
    assert (await publish(edge, headers)).status_code == 201
    assert_problem(await listen(edge, headers), "limit-reached")
    assert_problem(await publish(edge, headers), "invalid-token")
    assert (await listen(edge, bearer())).status_code == 201


@pytest.mark.parametrize("jti", [1, "", "a\nb", "x" * 257, None])
async def test_an_id_of_a_wrong_kind_is_not_taken_for_none(edge: Edge, jti: object) -> None:
    assert_problem(await edge.http.get("/v1/rooms", headers=named(jti)), "invalid-token")


async def test_a_signed_request_is_no_participants_token_and_the_other_way_round(edge: Edge) -> None:
    assert_problem(await publish(edge, signed({"typ": "control+jwt"})), "invalid-token")
    assert (await edge.http.get("/v1/rooms", headers=signed({"typ": "control+jwt"}, jti="2"))).status_code == 200
    assert_problem(await edge.http.get("/v1/rooms", headers=signed({"typ": "JWT"})), "forbidden")


# One-time tokens


async def test_a_one_time_token_opens_one_session_of_each_kind(edge: Edge) -> None:
    headers = bearer(once=True)
    created = await publish(edge, headers)
    listening = await listen(edge, headers)
    assert (created.status_code, listening.status_code) == (201, 201)
    for response in (await publish(edge, headers), await listen(edge, headers)):
        assert_problem(response, "invalid-token")
        assert "has been used" in response.json()["detail"]
    # Everything else goes on.
    mute = f"/v1/rooms/{ROOM}/speakers/{USER}/mutes/self"
    assert (await edge.http.put(mute, headers=headers)).status_code == 200
    assert (await edge.http.get(f"/v1/rooms/{ROOM}/listeners/{USER}", headers=headers)).status_code == 200
    assert (await edge.http.post(f"{listening.headers['location']}/sse", headers=headers)).status_code == 201
    assert (await edge.http.delete(created.headers["location"], headers=headers)).status_code == 200
    assert_problem(await publish(edge, headers), "invalid-token")


async def test_a_refused_post_does_not_use_a_token_up(edge: Edge) -> None:
    headers = bearer(once=True)
    assert_problem(await publish(edge, headers, "not SDP"), "bad-sdp")
    assert_problem(await publish(edge, headers, offer("recvonly")), "unsupported-offer")
    assert_problem(await listen(edge, headers, "?mode=all"), "unknown-mode")
    assert_problem(await listen(edge, headers, "?mode=select&speakers=nobody"), "no-speaker")
    edge.node.change(edge.room, seats.remove(edge.room, USER))
    assert_problem(await publish(edge, headers), "forbidden")
    edge.seat()
    assert (await publish(edge, headers)).status_code == 201
    assert (await listen(edge, headers)).status_code == 201


async def test_of_two_posts_at_the_same_moment_one_opens_a_session(edge: Edge) -> None:
    headers = bearer(once=True)
    found = await asyncio.gather(*(publish(edge, headers) for _ in range(8)))
    assert sorted(response.status_code for response in found) == [201] + [401] * 7
    assert len(edge.node.census.sessions) == 1


async def test_a_used_token_is_used_after_a_restart_too_and_a_refused_one_is_not(tmp_path: Path) -> None:
    used, refused = bearer(once=True), bearer(once=True)
    async with serving(state=str(tmp_path / "state")) as edge:
        edge.seat()
        assert (await publish(edge, used)).status_code == 201
        assert_problem(await publish(edge, refused, content="nonsense"), "bad-sdp")
    async with serving(state=str(tmp_path / "state")) as edge:
        assert_problem(await publish(edge, used), "invalid-token")
        assert (await publish(edge, refused)).status_code == 201


async def test_a_token_for_one_mode_allows_no_other(edge: Edge) -> None:
    mix, select = bearer(mode="mix"), bearer(mode="select")
    assert (await listen(edge, mix, "?mode=mix")).status_code == 201
    assert_problem(await listen(edge, mix, "?mode=select"), "forbidden")
    assert_problem(await listen(edge, select, "?mode=mix"), "forbidden")
    # Without a mode it is the token's, whatever the offer would make of it.
    assert (await listen(edge, select)).status_code == 201
    assert [peer.row for peer in edge.plane.peers.values()] == [None]
    assert (await listen(edge, mix, content=offer("recvonly", 2))).status_code == 201
    assert [peer.row for peer in edge.plane.peers.values()] != [None]
    assert_problem(await listen(edge, mix, f"?speakers={USER}"), "malformed")


async def test_a_service_asks_for_a_mode_and_for_one_use(edge: Edge) -> None:
    wish = {"user": USER, "mode": "select", "once": True}
    document = (await edge.control("POST", "rooms", ROOM, "tokens", json=wish)).json()
    claims = tokens.verify(ApiKeys([KEY]), document["token"], NOW)
    assert (claims.mode, claims.once) == ("select", True)
    headers = {"Authorization": f"Bearer {document['token']}"}
    assert_problem(await listen(edge, headers, "?mode=mix"), "forbidden")
    assert (await listen(edge, headers)).status_code == 201
    assert_problem(await listen(edge, headers), "invalid-token")
    for wrong in ({"mode": "all"}, {"mode": 1}, {"once": "yes"}):
        assert_problem(await edge.control("POST", "rooms", ROOM, "tokens", json={"user": USER, **wrong}), "invalid")


# Bodies


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("PUT", f"/v1/rooms/{ROOM}", MAX_ROOM_BODY),
        ("PATCH", f"/v1/rooms/{ROOM}", MAX_ROOM_BODY),
        ("PUT", "/v1/rooms", MAX_ROOMS_BODY),
        ("POST", f"/v1/rooms/{ROOM}", MAX_BODY),
        ("PUT", f"/v1/rooms/{ROOM}/speakers/{USER}", MAX_BODY),
    ],
)
async def test_only_a_service_that_says_who_it_is_may_send_much(edge: Edge, method: str, path: str, limit: int) -> None:
    spent = request(once=True)
    await edge.http.get("/v1/rooms", headers=spent)
    may = [basic(KEY.id, KEY.secret), request(CONTROLLER), request(once=True)]
    may_not = [{}, basic(KEY.id, "x" * 32), bearer(), basic(READER.id, READER.secret), spent, request(now=NOW - 99)]
    for headers, allowed in [*((headers, limit) for headers in may), *((headers, MAX_BODY) for headers in may_not)]:
        refused = await edge.http.request(method, path, content=bytes(allowed + 1), headers=headers)
        assert_problem(refused, "too-large")
        assert refused.headers["connection"] == "close"
        read = await edge.http.request(method, path, content=bytes(allowed), headers=headers)
        assert read.status_code not in (413, 500)


async def test_looking_at_the_length_does_not_use_a_request_up(edge: Edge) -> None:
    headers = {**request(once=True), "Content-Type": "application/json"}
    body = b"{" + b" " * MAX_BODY + b"}"
    assert (await edge.http.put(f"/v1/rooms/{ROOM}", content=body, headers=headers)).status_code == 200
    assert_problem(await edge.http.put(f"/v1/rooms/{ROOM}", content=b"{}", headers=headers), "invalid-token")


# Anything


HEADER = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda scheme, rest: scheme + b" " + rest,
        st.sampled_from([b"Basic", b"bearer", b"BEARER", b"Bearer ", b"Digest"]),
        st.one_of(
            st.binary(max_size=120),
            st.from_regex(rb"[A-Za-z0-9_=-]{0,60}(\.[A-Za-z0-9_=-]{0,60}){0,4}", fullmatch=True),
        ),
    ),
)


def test_any_header_is_refused_politely_everywhere() -> None:
    numbers = itertools.count()

    async def ask(header: bytes) -> None:
        async with serving(api_key=LINES) as edge:
            edge.seat()
            for method, path in [
                ("POST", f"/whip/{ROOM}"),
                ("GET", f"/whip/{ROOM}/x"),
                ("PUT", f"/v1/rooms/{ROOM}"),
                ("PUT", "/v1/rooms"),
                ("PUT", f"/v1/rooms/{ROOM}/speakers/{USER}/mutes/self"),
            ]:
                response = await edge.http.request(method, path, headers=[(b"Authorization", header)])
                assert response.status_code in (401, 405), (next(numbers), response.text)

    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(HEADER)
    def check(header: bytes) -> None:
        asyncio.run(ask(header))

    check()
