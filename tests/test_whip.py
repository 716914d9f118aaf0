"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) at the HTTP edge, request by request."""

import re
from collections.abc import AsyncIterator

import pytest

from mediaserver import sdp
from mediaserver.commands import CloseReason
from tests.edge import NOW, ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import PWD, UFRAG, fragment, offer
from tests.seating import set_speaker

EVENTS_LINK = re.compile(r'<(/whep/hall/[\w-]+/sse)>; rel="urn:ietf:params:whep:ext:core:server-sent-events"')


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        edge.seat()
        yield edge


async def test_an_offer_is_answered_with_a_session_and_its_entity_tag(edge: Edge) -> None:
    response = await edge.whip()
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/sdp"
    assert re.fullmatch(rf"/whip/{ROOM}/[\w-]{{22}}", response.headers["location"])
    assert re.fullmatch(r'"\w+"', response.headers["etag"])
    assert "a=recvonly" in response.text
    options = edge.plane.peers[edge.peer_of(response)].options
    assert f"a=ice-ufrag:{options['ufrag']}" in response.text
    assert f"a=ice-pwd:{options['pwd']}" in response.text
    assert options["csrc"] == edge.room.csrcs.of(USER)
    assert (options["payload_type"], options["level_id"]) == (111, 1)


async def test_a_listener_gets_a_slot_for_each_audio_section_and_a_link_to_the_events(edge: Edge) -> None:
    response = await edge.whep(sections=3)
    assert response.status_code == 201
    assert EVENTS_LINK.match(response.headers["link"])
    assert (
        'events="active,inactive,levels,microphone,moved,moving,muted-speech,players,sources"'
        in response.headers["link"]
    )
    slots = edge.plane.peers[edge.peer_of(response)].options["slots"]
    assert [(slot.mid, slot.mid_id, slot.level_id, slot.payload_type) for slot in slots] == [
        (mid, 4, 1, 111) for mid in ("0", "1", "2")
    ]
    assert len({slot.ssrc for slot in slots}) == 3
    assert all(f"a=ssrc:{slot.ssrc} cname:" in response.text for slot in slots)


async def test_named_speakers_are_put_in_the_slots_in_order(edge: Edge) -> None:
    edge.seat("bob, jr.")
    response = await edge.whep(params={"speaker": ["bob, jr.", USER]})
    csrcs = [edge.room.csrcs.of("bob, jr."), edge.room.csrcs.of(USER)]
    assert edge.plane.peers[edge.peer_of(response)].sources == csrcs
    response = await edge.whep(params={"mode": "select", "speakers": USER})
    assert edge.plane.peers[edge.peer_of(response)].sources == [edge.room.csrcs.of(USER)]


async def test_naming_nobody_or_too_many_is_refused(edge: Edge) -> None:
    assert_problem(await edge.whep(params={"speakers": "nobody"}), "no-speaker")
    edge.seat("bob")
    assert_problem(await edge.whep(sections=1, params={"speakers": f"{USER},bob"}), "unsupported-offer")


async def test_an_unknown_mode_is_refused_with_the_known_ones(edge: Edge) -> None:
    response = await edge.whep(params={"mode": "karaoke"})
    assert_problem(response, "unknown-mode")
    assert "select" in response.json()["detail"]


@pytest.mark.parametrize(
    ("content", "headers", "kind"),
    [
        (offer(), {"Content-Type": "text/plain"}, "unsupported-media-type"),
        (offer(), {"Content-Type": ""}, "unsupported-media-type"),
        (offer(), {**SDP, "Accept": "application/json, text/*"}, "not-acceptable"),
        (offer(), {**SDP, "Accept": "application/sdp;q=0"}, "not-acceptable"),
        ("v=0", SDP, "bad-sdp"),
        ("", SDP, "bad-sdp"),
        (b"v=0\r\n\xff\r\n", SDP, "bad-sdp"),
        (offer("recvonly"), SDP, "unsupported-offer"),
        ("x" * 65537, SDP, "too-large"),
    ],
)
async def test_a_bad_offer_is_refused_and_changes_nothing(
    edge: Edge, content: str | bytes, headers: dict[str, str], kind: str
) -> None:
    older = edge.peer_of(await edge.whip())
    response = await edge.http.post(f"/whip/{ROOM}", content=content, headers={**headers, **bearer()})
    assert_problem(response, kind)
    assert list(edge.plane.peers) == [older]


@pytest.mark.parametrize("accept", ["*/*", "application/*;q=0.5", "text/html, application/sdp", "APPLICATION/SDP"])
async def test_whoever_accepts_sdp_gets_it(edge: Edge, accept: str) -> None:
    headers = {"Content-Type": "Application/SDP; charset=utf-8", "Accept": accept, **bearer()}
    assert (await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=headers)).status_code == 201


async def test_publishing_needs_the_token_and_the_seat(edge: Edge) -> None:
    async def status(headers: dict[str, str]) -> int:
        response = await edge.http.post(f"/whip/{ROOM}", content=offer(), headers={**SDP, **headers})
        return response.status_code

    assert await status(bearer(may_publish=False)) == 403
    assert await status(bearer("bob")) == 403
    edge.node.change(edge.room, set_speaker(edge.room, USER, may_publish=False))
    assert await status(bearer()) == 403
    edge.node.change(edge.room, set_speaker(edge.room, USER))
    assert await status(bearer()) == 201


async def test_listening_needs_the_token_only(edge: Edge) -> None:
    headers = {**SDP, **bearer("bob", may_publish=False, may_listen=False)}
    assert_problem(await edge.http.post(f"/whep/{ROOM}", content=offer("recvonly"), headers=headers), "forbidden")
    assert (await edge.whep("bob")).status_code == 201


async def test_a_session_ends_once_with_delete(edge: Edge) -> None:
    response = await edge.whip()
    peer, url = edge.peer_of(response), response.headers["location"]
    # Section 4.3.1: an entity tag does not matter here.
    assert (await edge.http.delete(url, headers={**bearer(), "If-Match": '"other"'})).status_code == 200
    assert peer in edge.plane.removed
    assert_problem(await edge.http.delete(url, headers=bearer()), "no-session")
    assert edge.node.census.endings[CloseReason.DELETED] == 1


async def test_a_newer_session_replaces_the_older_of_its_direction(edge: Edge) -> None:
    first, listening = edge.peer_of(await edge.whip()), edge.peer_of(await edge.whep())
    second = edge.peer_of(await edge.whip())
    assert set(edge.plane.peers) == {listening, second}
    assert first in edge.plane.removed
    assert edge.plane.peers[second].options["csrc"] == edge.plane.removed[first].options["csrc"]


async def test_trickled_candidates_need_the_current_entity_tag(edge: Edge) -> None:
    response = await edge.whip()
    url, etag = response.headers["location"], response.headers["etag"]
    for headers, expected in [
        ({"If-Match": etag}, 204),
        ({"If-Match": f'"other", {etag}'}, 204),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": f"W/{etag}"}, 412),
        ({"If-Match": ""}, 428),
        ({}, 428),
    ]:
        patched = await edge.patch(url, fragment(), headers)
        assert patched.status_code == expected, headers
        if expected == 204:
            assert "etag" not in patched.headers
            assert patched.content == b""
    assert_problem(await edge.patch(url, fragment(), {}), "precondition-required")
    assert_problem(await edge.patch(url, fragment(), {"If-Match": '"other"'}), "precondition-failed")


@pytest.mark.parametrize("by_tag", [False, True])
async def test_new_credentials_restart_ice(edge: Edge, by_tag: bool) -> None:
    response = await edge.whip()
    url, etag, peer = response.headers["location"], response.headers["etag"], edge.peer_of(response)
    before = dict(edge.plane.peers[peer].options)
    restarted = await edge.patch(url, fragment("newu", PWD), {"If-Match": etag if by_tag else "*"})
    assert restarted.status_code == 200
    assert restarted.headers["content-type"] == "application/trickle-ice-sdpfrag"
    assert restarted.headers["etag"] != etag
    answer = sdp.parse_fragment(restarted.text)
    after = edge.plane.peers[peer].options
    assert (answer.ufrag, answer.pwd) == (after["ufrag"], after["pwd"])
    assert (answer.candidates, answer.mid) == (2, "0")
    assert after["ufrag"] != before["ufrag"]
    # What belongs to the former ICE session comes too late now; what belongs to the new one does not.
    assert (await edge.patch(url, fragment(UFRAG, PWD), {"If-Match": etag})).status_code == 412
    assert (await edge.patch(url, fragment("newu", PWD), {"If-Match": restarted.headers["etag"]})).status_code == 204


@pytest.mark.parametrize(
    ("content", "headers", "kind"),
    [
        (fragment(), {"Content-Type": "application/sdp"}, "unsupported-media-type"),
        ("nonsense", {}, "bad-sdp"),
        ("", {}, "bad-sdp"),
        (fragment("x", PWD), {}, "bad-sdp"),
    ],
)
async def test_a_bad_fragment_is_refused_and_the_session_goes_on(
    edge: Edge, content: str, headers: dict[str, str], kind: str
) -> None:
    response = await edge.whip()
    patched = await edge.patch(response.headers["location"], content, {"If-Match": "*", **headers})
    assert_problem(patched, kind)
    assert edge.peer_of(response) in edge.plane.peers


async def test_a_session_is_its_own_users_and_the_room_services(edge: Edge) -> None:
    edge.seat("bob")
    url = (await edge.whip()).headers["location"]
    assert_problem(await edge.http.delete(url, headers=bearer("bob")), "forbidden")
    assert_problem(await edge.http.delete(url), "unauthorized")
    assert_problem(await edge.http.delete(url.replace("whip", "whep"), headers=bearer()), "no-session")
    assert (await edge.http.delete(url, auth=edge.service)).status_code == 200


async def test_a_token_from_before_the_kick_is_revoked_and_one_from_after_is_good(edge: Edge) -> None:
    response = await edge.whip()
    await edge.control("DELETE", "rooms", ROOM, "participants", USER)
    assert not edge.plane.peers
    refused = await edge.whep()
    assert_problem(refused, "invalid-token")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert_problem(await edge.http.delete(response.headers["location"], headers=bearer()), "invalid-token")
    headers = {**SDP, **bearer(issued=NOW + 1)}
    assert (await edge.http.post(f"/whep/{ROOM}", content=offer("recvonly"), headers=headers)).status_code == 201
    # The seat went with the kick, so publishing needs a new one.
    assert (await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=headers)).status_code == 403


async def test_a_room_that_is_not_there_has_no_sessions(edge: Edge) -> None:
    headers = {**SDP, **bearer(room="other")}
    assert_problem(await edge.http.post("/whip/other", content=offer(), headers=headers), "no-room")
    assert_problem(await edge.http.post("/whep/other", content=offer("recvonly"), headers=headers), "no-room")


@pytest.mark.parametrize("path", [f"/whip/{ROOM}", f"/whep/{ROOM}"])
async def test_an_endpoint_has_no_representation_and_takes_no_other_method(edge: Edge, path: str) -> None:
    """RFC 9725 section 4.1."""
    for method in ("GET", "HEAD"):
        response = await edge.http.request(method, path)
        assert (response.status_code, response.content) == (204, b"")
    for method in ("PUT", "PATCH", "DELETE"):
        response = await edge.http.request(method, path)
        assert_problem(response, "method-not-allowed")
        assert response.headers["allow"] == "GET, HEAD, POST, OPTIONS"
    options = await edge.http.options(path)
    assert options.status_code == 200
    assert options.headers["accept-post"] == "application/sdp"
    assert options.headers["allow"] == "GET, HEAD, POST, OPTIONS"


async def test_a_session_has_no_representation_and_takes_no_other_method(edge: Edge) -> None:
    url = (await edge.whip()).headers["location"]
    for method in ("GET", "HEAD"):
        assert (await edge.http.request(method, url, headers=bearer())).status_code == 204
    for method in ("PUT", "POST"):
        response = await edge.http.request(method, url, headers=bearer())
        assert_problem(response, "method-not-allowed")
        assert response.headers["allow"] == "GET, HEAD, PATCH, DELETE, OPTIONS"
    options = await edge.http.options(url)
    assert options.headers["accept-patch"] == "application/trickle-ice-sdpfrag"


async def test_names_are_any_utf8_and_come_back_as_they_were() -> None:
    room, user = "a/b ü?#%", "ann:ä/.."
    path = "a%2Fb%20%C3%BC%3F%23%25"
    async with serving() as edge:
        found, _ = edge.node.open_room(room)
        edge.node.change(found, set_speaker(found, user))
        headers = {**SDP, **bearer(user, room)}
        response = await edge.http.post(f"/whip/{path}", content=offer(), headers=headers)
        assert response.status_code == 201, response.text
        assert response.headers["location"].startswith(f"/whip/{path}/")
        assert (await edge.http.delete(response.headers["location"], headers=headers)).status_code == 200


@pytest.mark.parametrize("name", ["%FF", "%C3", "a%00b", "%0A", "x" * 257])
async def test_names_that_are_not_are_refused(edge: Edge, name: str) -> None:
    response = await edge.http.post(f"/whip/{name}", content=offer(), headers={**SDP, **bearer()})
    assert_problem(response, "invalid")


async def test_the_answer_has_a_candidate_for_each_protocol() -> None:
    async with serving() as edge:
        edge.seat()
        _, port = edge.plane.addresses(0)[0]
        assert f" udp 2130706431 127.0.0.1 {port} typ host\r\n" in (await edge.whip()).text
        assert f" tcp 1520434943 127.0.0.1 {port} typ host tcptype passive\r\n" in (await edge.whip()).text
    async with serving(media_tcp=False) as edge:
        edge.seat()
        assert "tcptype" not in (await edge.whip()).text


async def test_ice_servers_are_linked() -> None:
    async with serving(ice_server=["stun:stun.example.org", "turn:turn.example.org,ann,secret"]) as edge:
        edge.seat()
        assert (await edge.whip()).headers["link"] == (
            '<stun:stun.example.org>; rel="ice-server", '
            '<turn:turn.example.org>; rel="ice-server"; username="ann"; credential="secret"; credential-type="password"'
        )


async def test_limits_are_kept_but_a_users_own_session_can_always_be_renewed() -> None:
    async with serving(listeners_per_room=1, sessions=2, rooms=1, speakers_per_room=1) as edge:
        edge.seat()
        assert (await edge.whep()).status_code == 201
        assert_problem(await edge.whep("bob"), "limit-reached")
        assert (await edge.whip()).status_code == 201
        assert (await edge.whip()).status_code == 201
        assert (await edge.whep()).status_code == 201
        refused = await edge.control("PUT", "rooms", "another")
        assert_problem(refused, "limit-reached")
        assert int(refused.headers["retry-after"]) > 0
        assert (await edge.control("PUT", "rooms", ROOM)).status_code == 200
        assert_problem(await edge.control("PUT", "rooms", ROOM, "speakers", "bob"), "seats-taken")


async def test_a_server_that_is_about_to_stop_takes_no_sessions(edge: Edge) -> None:
    await edge.whip()
    edge.node.close()
    assert not edge.plane.peers
    assert_problem(await edge.http.get("/readyz"), "shutting-down")
    assert (await edge.http.get("/healthz")).status_code == 200
    assert_problem(await edge.control("PUT", "rooms", ROOM), "shutting-down")


async def test_a_listener_goes_to_another_worker_when_the_rooms_is_full() -> None:
    async with serving(workers=2) as edge:
        edge.seat()
        home = edge.room.home
        first = await edge.whep("first")
        for number in range(100):
            await edge.whep(f"listener {number}")
        workers = {peer.worker for peer in edge.plane.peers.values()}
        assert edge.plane.peers[edge.peer_of(first)].worker == home
        assert workers == {0, 1}
        last = await edge.whep("last")
        worker = edge.plane.peers[edge.peer_of(last)].worker
        assert worker is not None
        _, port = edge.plane.addresses(worker)[0]
        assert f"127.0.0.1 {port} typ host" in last.text
