"""What holds for every address: who may, what is refused and how, what other origins see, what is documented."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mediaserver.http.body import MAX_BODY
from mediaserver.http.problems import KINDS
from mediaserver.keys import ApiKey
from mediaserver.settings import DEVELOPMENT_KEY
from tests.edge import FRAGMENT, KEY, NOW, ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import fragment, offer

CREDENTIALS: dict[str, Any] = {
    "nothing": {},
    "another scheme": {"Authorization": "Digest x"},
    "no token": {"Authorization": "Bearer"},
    "not a token": {"Authorization": "Bearer x.y.z"},
    "expired": bearer(expires=NOW),
    "forged": bearer(key=ApiKey(KEY.id, "x" * 32)),
    "unknown key": bearer(key=ApiKey("beta", KEY.secret)),
    "other room": bearer(room="other"),
    "other user": bearer("bob"),
    "listener": bearer(may_publish=False),
    "own": bearer(),
    "not base64": {"Authorization": "Basic ="},
    "wrong secret": httpx.BasicAuth(KEY.id, "x" * 32),
    "wrong key": httpx.BasicAuth("beta", KEY.secret),
    "service": httpx.BasicAuth(KEY.id, KEY.secret),
}
BAD = ["no token", "not a token", "expired", "forged", "unknown key"]


def expect(default: int, **others: int) -> dict[str, int]:
    """Status by credential."""
    expected = dict.fromkeys(CREDENTIALS, default)
    return expected | {name.replace("_", " "): status for name, status in others.items()}


# Participants' addresses refuse API keys, the room service's refuse participants; both refuse what proves nothing.
JOINING = expect(401, other_room=403, other_user=201, listener=201, own=201)
PUBLISHING = JOINING | {"other user": 403, "listener": 403}
SERVICE = expect(401, other_room=403, other_user=403, listener=403, own=403)
SESSION = expect(401, other_room=403, other_user=403)
MUTING = expect(401, other_room=403, other_user=403, listener=200, own=200, service=200)

PATCHING = SESSION | {"listener": 204, "own": 204, "service": 204}
ENDING = SESSION | {"listener": 200, "own": 200, "service": 200}
CREATING = SESSION | {"listener": 201, "own": 201, "service": 201}

TABLE: list[tuple[str, str, Any, dict[str, int]]] = [
    ("POST", "/whip/hall", (offer(), SDP), PUBLISHING),
    ("POST", "/whep/hall", (offer("recvonly"), SDP), JOINING),
    ("PATCH", "{whip}", (fragment(), FRAGMENT | {"If-Match": "*"}), PATCHING),
    ("PATCH", "{whep}", (fragment(), FRAGMENT | {"If-Match": "*"}), PATCHING),
    ("GET", "{whip}", None, PATCHING),
    ("DELETE", "{whip}", None, ENDING),
    ("DELETE", "{whep}", None, ENDING),
    ("POST", "{whep}/sse", None, CREATING),
    ("GET", "/v1/rooms", None, SERVICE | {"service": 200}),
    ("PUT", "/v1/rooms/new", None, SERVICE | {"service": 201}),
    ("GET", "/v1/rooms/hall", None, SERVICE | {"service": 200}),
    ("DELETE", "/v1/rooms/hall", None, SERVICE | {"service": 204}),
    ("POST", "/v1/rooms/hall/tokens", {"user": "ann"}, SERVICE | {"service": 200}),
    ("PUT", "/v1/rooms/hall/speakers/ann", None, SERVICE | {"service": 200}),
    ("DELETE", "/v1/rooms/hall/speakers/ann", None, SERVICE | {"service": 204}),
    ("PUT", "/v1/rooms/hall/speakers/ann/mutes/host", None, SERVICE | {"service": 200}),
    ("DELETE", "/v1/rooms/hall/speakers/ann/mutes/system", None, SERVICE | {"service": 200}),
    ("PUT", "/v1/rooms/hall/speakers/ann/mutes/self", None, MUTING),
    ("DELETE", "/v1/rooms/hall/speakers/ann/mutes/self", None, MUTING),
    ("GET", "/v1/rooms/hall/participants", None, SERVICE | {"service": 200}),
    ("DELETE", "/v1/rooms/hall/participants/ann", None, SERVICE | {"service": 204}),
    ("GET", "/healthz", None, expect(200)),
    ("GET", "/readyz", None, expect(200)),
    ("GET", "/metrics", None, expect(200)),
    ("GET", "/", None, expect(200)),
    ("POST", "/dev/join", {"room": "hall", "user": "ann"}, expect(404)),
]


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        edge.seat()
        yield edge


@pytest.mark.parametrize(("method", "path", "body", "expected"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
async def test_each_address_takes_the_credentials_it_should(
    method: str, path: str, body: Any, expected: dict[str, int]
) -> None:
    async with serving() as edge:
        for name, credential in CREDENTIALS.items():
            edge.seat()
            sessions = {
                "whip": (await edge.whip()).headers["location"],
                "whep": (await edge.whep()).headers["location"],
            }
            options: dict[str, Any] = {"headers": {}}
            if isinstance(body, tuple):
                options = {"content": body[0], "headers": dict(body[1])}
            elif body is not None:
                options["json"] = body
            if isinstance(credential, dict):
                options["headers"] |= credential
            else:
                options["auth"] = credential
            response = await edge.http.request(method, path.format(**sessions), **options)
            assert response.status_code == expected[name], (name, response.text)
            if response.status_code >= 400:
                assert_problem(response, response.json()["type"].partition("#")[2])
            if response.status_code == 401:
                assert re.match(r"(Bearer|Basic) realm=", response.headers["www-authenticate"])
            for room in tuple(edge.node.rooms):
                edge.node.close_room(room)


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_called_so_and_not_repeated(edge: Edge, name: str) -> None:
    headers = {**SDP, **CREDENTIALS[name]}
    response = await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=headers)
    assert_problem(response, "invalid-token")
    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    token = headers["Authorization"].removeprefix("Bearer").strip()
    assert not token or token not in response.text


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/nowhere", "not-found"),
        ("GET", "/whip", "not-found"),
        ("GET", "/whip/", "not-found"),
        ("GET", f"/whip/{ROOM}/", "not-found"),
        ("GET", "/v1", "not-found"),
        ("GET", "/room.js/x", "not-found"),
        ("GET", "/../pyproject.toml", "not-found"),
        ("GET", "/..%2Fpyproject.toml", "not-found"),
        ("POST", "/nowhere", "not-found"),
        ("OPTIONS", "/nowhere", "not-found"),
        ("POST", "/", "method-not-allowed"),
        ("DELETE", "/v1/rooms", "method-not-allowed"),
        ("BREW", "/healthz", "method-not-allowed"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(edge: Edge, method: str, path: str, kind: str) -> None:
    response = await edge.http.request(method, path)
    assert_problem(response, kind)
    if kind == "method-not-allowed":
        assert "OPTIONS" in response.headers["allow"]


async def test_a_defect_is_a_problem_that_says_nothing_of_itself(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise RuntimeError("a secret")

    monkeypatch.setattr(edge.node, "publish", fail)
    response = await edge.whip()
    assert_problem(response, "internal")
    assert "secret" not in response.text


async def test_a_long_body_is_refused_announced_or_in_chunks(edge: Edge) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1024):
            yield bytes(1024)

    async def post(content: Any) -> httpx.Response:
        return await edge.http.post(f"/whip/{ROOM}", content=content, headers={**SDP, **bearer()})

    assert_problem(await post(bytes(MAX_BODY + 1)), "too-large")
    assert_problem(await post(chunks(MAX_BODY + 1024)), "too-large")
    assert_problem(await post(chunks(MAX_BODY)), "bad-sdp")
    assert_problem(await post(bytes(MAX_BODY)), "bad-sdp")


async def test_an_endless_body_is_not_read_to_its_end(edge: Edge) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1024)

    response = await edge.http.put(f"/v1/rooms/{ROOM}", content=endless())
    assert_problem(response, "too-large")
    assert taken <= MAX_BODY // 1024 + 2


async def test_other_origins_see_nothing_unless_they_may(edge: Edge) -> None:
    response = await edge.http.get("/healthz", headers={"Origin": "https://example.org"})
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(("origins", "allowed"), [(["https://example.org"], "https://example.org"), (["*"], "*")])
async def test_a_preflight_says_what_the_address_takes(origins: list[str], allowed: str) -> None:
    async with serving(cors_origin=origins) as edge:
        preflight = {
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        response = await edge.http.options(f"/whip/{ROOM}", headers=preflight)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == allowed
        assert "POST" in response.headers["access-control-allow-methods"]
        for name in ("Authorization", "Content-Type", "If-Match"):
            assert name in response.headers["access-control-allow-headers"]
        assert response.headers["accept-post"] == "application/sdp"
        edge.seat()
        created = await edge.http.post(
            f"/whep/{ROOM}",
            content=offer("recvonly"),
            headers={**SDP, **bearer(), "Origin": "https://example.org"},
        )
        assert created.headers["access-control-allow-origin"] == allowed
        for name in ("Location", "ETag", "Link"):
            assert name in created.headers["access-control-expose-headers"]
        refused = await edge.http.post(f"/whip/{ROOM}", headers={"Origin": "https://example.org"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, allowed)


async def test_an_origin_that_was_not_named_is_not_let_in() -> None:
    async with serving(cors_origin=["https://example.org"]) as edge:
        response = await edge.http.get("/healthz", headers={"Origin": "https://example.com"})
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin"


async def test_development_mode_lets_anybody_join_and_says_so() -> None:
    async with serving(api_key=[]) as edge:
        edge.now = NOW
        wish = {"room": ROOM, "user": USER, "publish": True}
        entry = (await edge.http.post("/dev/join", json=wish)).json()
        headers = {**SDP, "Authorization": f"Bearer {entry['token']}"}
        assert (await edge.http.post(entry["whip"], content=offer(), headers=headers)).status_code == 201
        assert (await edge.http.post(entry["whep"], content=offer("recvonly"), headers=headers)).status_code == 201
        entry = (await edge.http.post("/dev/join", json={"room": ROOM, "user": "bob"})).json()
        headers = {**SDP, "Authorization": f"Bearer {entry['token']}"}
        assert (await edge.http.post(entry["whip"], content=offer(), headers=headers)).status_code == 403
        assert (await edge.http.post(entry["whep"], content=offer("recvonly"), headers=headers)).status_code == 201
        assert (await edge.http.get("/v1/rooms", auth=DEVELOPMENT_KEY)).status_code == 200
        assert "Development mode" in (await edge.http.get("/")).text


async def test_the_page_and_its_files_are_served(edge: Edge) -> None:
    page = await edge.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "Development mode" not in page.text
    sources = re.findall(r'(?:src|href)="([\w.]+)"', page.text)
    assert "room.js" in sources
    for source in sources:
        response = await edge.http.get(f"/{source}")
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"
        assert (await edge.http.head(f"/{source}")).status_code == 200


async def test_every_kind_of_problem_is_explained_where_its_type_leads(edge: Edge) -> None:
    page = (await edge.http.get("/problems")).text
    for kind in KINDS.values():
        assert f'id="{kind.name}"' in page


async def test_openapi_describes_every_operation_and_refers_to_nothing_that_is_not_there(edge: Edge) -> None:
    document = (await edge.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)
    for reference in re.findall(r'"#/([^"]*)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]
    for name, model in document["components"]["schemas"].items():
        if name != "ProblemDocument":
            assert model.get("type") == "string" or model["additionalProperties"] is False, name
    listing = (await edge.http.get("/docs")).text
    assert all(path in listing for path in document["paths"])


async def test_metrics_count_without_naming_anybody(edge: Edge) -> None:
    await edge.whip()
    peer = edge.peer_of(await edge.whep("bob"))
    edge.plane.peers[peer].stats.packets_lost = 7
    await edge.http.delete(f"/v1/rooms/{ROOM}/participants/bob", auth=edge.service)
    edge.plane.peers[peer - 1].stats.packets_lost = 2
    text = (await edge.http.get("/metrics")).text
    for line in [
        "mediaserver_rooms 1.0",
        'mediaserver_sessions{direction="publish",state="connecting"} 1.0',
        'mediaserver_sessions{direction="listen",state="connecting"} 0.0',
        'mediaserver_sessions_ended_total{reason="kicked"} 1.0',
        'mediaserver_handshakes_failed_total{reason="handshake-timeout"} 0.0',
        'mediaserver_rtp_packets_lost_total{direction="listen"} 7.0',
        'mediaserver_rtp_packets_lost_total{direction="publish"} 2.0',
        'mediaserver_residence_seconds_bucket{le="0.001",worker="0"} 3.0',
        'mediaserver_residence_seconds_bucket{le="+Inf",worker="0"} 4.0',
        'mediaserver_residence_seconds_sum{worker="0"} 0.004',
        'mediaserver_tick_lateness_seconds_count{worker="0"} 2.0',
        "# HELP mediaserver_plane_cpu_seconds_total Of a worker: meaning of cpu_ns.",
        'mediaserver_plane_peers{worker="0"} 1.0',
        'mediaserver_plane_packets_forwarded_total{worker="0"} 0.0',
        'mediaserver_plane_cpu_seconds_total{worker="0"} 0.0',
    ]:
        assert f"{line}\n" in text
    for secret in (ROOM, USER, "bob", "127.0.0.1"):
        assert secret not in text


async def test_logs_name_rooms_and_users_but_no_address_and_no_token(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="mediaserver")
    await edge.whip()
    await edge.whep("bob")
    await edge.control("DELETE", "rooms", ROOM, "participants", "bob")
    await edge.control("DELETE", "rooms", ROOM)
    assert "kicked" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}
    assert f"'room': '{ROOM}', 'user': 'bob'" in caplog.text
    for secret in ("127.0.0.1", "eyJ", KEY.secret):
        assert secret not in caplog.text
