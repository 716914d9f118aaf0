"""What holds for every address: who may, what is refused and how, what other origins see, what is documented."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from mediaserver.http.body import MAX_BODY
from mediaserver.http.problems import KINDS
from mediaserver.model import kicks
from mediaserver.settings import DEVELOPMENT_KEY
from tests.credentials import (
    BAD_TOKENS,
    CREDENTIALS,
    KEYS,
    KICKED,
    LINES,
    Access,
    Credential,
    Participant,
    expected,
)
from tests.edge import FRAGMENT, KEY, NOW, ROOM, SDP, USER, Edge, assert_problem, bearer, serving
from tests.offers import fragment, offer

# One row for each address and method: what it asks for, the status for who has that, and the body that it takes. {whip}
# and {whep} are sessions of the user. A new endpoint needs a row, or a test fails.
TABLE: list[tuple[str, str, Access, int, Any]] = [
    ("POST", "/whip/hall", Access.PARTICIPANT_PUBLISH, 201, (offer(), SDP)),
    ("POST", "/whep/hall", Access.PARTICIPANT_LISTEN, 201, (offer("recvonly"), SDP)),
    ("PATCH", "{whip}", Access.OWN_SESSION, 204, (fragment(), FRAGMENT | {"If-Match": "*"})),
    ("PATCH", "{whep}", Access.OWN_SESSION, 204, (fragment(), FRAGMENT | {"If-Match": "*"})),
    ("GET", "/whip/hall", Access.OPEN, 204, None),
    ("GET", "/whep/hall", Access.OPEN, 204, None),
    ("GET", "{whip}", Access.OWN_SESSION, 204, None),
    ("GET", "{whep}", Access.OWN_SESSION, 204, None),
    ("DELETE", "{whip}", Access.OWN_SESSION, 200, None),
    ("DELETE", "{whep}", Access.OWN_SESSION, 200, None),
    ("POST", "{whep}/sse", Access.OWN_SESSION, 201, None),
    # The address of a stream is its secret; this one is not.
    ("GET", "{whep}/sse/none", Access.OPEN, 404, None),
    ("DELETE", "{whep}/sse/none", Access.OPEN, 404, None),
    ("GET", "/v1/rooms", Access.NODE_READ, 200, None),
    ("PUT", "/v1/rooms", Access.NODE_CONTROL, 200, {"rooms": {}}),
    ("PUT", "/v1/rooms/hall", Access.ROOM_CONTROL, 200, None),
    ("PATCH", "/v1/rooms/hall", Access.ROOM_CONTROL, 200, {}),
    ("GET", "/v1/rooms/hall", Access.ROOM_READ, 200, None),
    ("DELETE", "/v1/rooms/hall", Access.ROOM_CONTROL, 204, None),
    ("POST", "/v1/rooms/hall/tokens", Access.ROOM_CONTROL, 200, {"user": "ann"}),
    ("GET", "/v1/rooms/hall/speakers/ann", Access.ROOM_READ, 200, None),
    ("PUT", "/v1/rooms/hall/speakers/ann", Access.ROOM_CONTROL, 200, None),
    ("PATCH", "/v1/rooms/hall/speakers/ann", Access.ROOM_CONTROL, 200, {}),
    ("DELETE", "/v1/rooms/hall/speakers/ann", Access.ROOM_CONTROL, 204, None),
    ("PUT", "/v1/rooms/hall/speakers/ann/mutes/host", Access.ROOM_CONTROL, 200, None),
    ("DELETE", "/v1/rooms/hall/speakers/ann/mutes/system", Access.ROOM_CONTROL, 200, None),
    ("PUT", "/v1/rooms/hall/speakers/ann/mutes/self", Access.OWN_RESOURCE, 200, None),
    ("DELETE", "/v1/rooms/hall/speakers/ann/mutes/self", Access.OWN_RESOURCE, 200, None),
    ("GET", "/v1/rooms/hall/listeners/ann", Access.OWN_RESOURCE_READ, 200, None),
    ("PUT", "/v1/rooms/hall/listeners/ann", Access.OWN_RESOURCE, 200, {"user_mutes": {"bob": True}}),
    ("PATCH", "/v1/rooms/hall/listeners/ann", Access.OWN_RESOURCE, 200, {}),
    ("DELETE", "/v1/rooms/hall/listeners/ann", Access.OWN_RESOURCE, 204, None),
    ("GET", "/v1/rooms/hall/players", Access.ROOM_READ, 200, None),
    ("PUT", "/v1/rooms/hall/players/music", Access.ROOM_CONTROL, 200, {"state": "stopped"}),
    # There is no such player, which only those learn who reach the room.
    ("GET", "/v1/rooms/hall/players/none", Access.ROOM_READ, 404, None),
    ("PATCH", "/v1/rooms/hall/players/none", Access.ROOM_CONTROL, 404, {}),
    ("DELETE", "/v1/rooms/hall/players/none", Access.ROOM_CONTROL, 204, None),
    ("POST", "/v1/rooms/hall/players/none/play", Access.ROOM_CONTROL, 404, {}),
    ("POST", "/v1/rooms/hall/players/none/seek", Access.ROOM_CONTROL, 404, {"position_ms": 0}),
    ("POST", "/v1/rooms/hall/players/none/next", Access.ROOM_CONTROL, 404, None),
    ("POST", "/v1/rooms/hall/players/none/previous", Access.ROOM_CONTROL, 404, None),
    ("GET", "/v1/rooms/hall/effects", Access.ROOM_READ, 200, None),
    ("POST", "/v1/rooms/hall/effects", Access.ROOM_CONTROL, 201, {"sound": "ding"}),
    ("PUT", "/v1/rooms/hall/effects/call", Access.ROOM_CONTROL, 200, {"sound": "ring"}),
    ("DELETE", "/v1/rooms/hall/effects/call", Access.ROOM_CONTROL, 204, None),
    ("GET", "/v1/rooms/hall/matrix", Access.ROOM_READ, 200, None),
    ("GET", "/v1/sounds", Access.NODE_READ, 200, None),
    ("GET", "/v1/rooms/hall/participants", Access.ROOM_READ, 200, None),
    ("GET", "/v1/rooms/hall/participants/ann", Access.ROOM_READ, 200, None),
    ("PUT", "/v1/rooms/hall/participants/ann/delays", Access.OWN_RESOURCE, 200, {"playout_ms": 64, "capture_ms": 31}),
    # There is no such room, which only those learn who reach it.
    ("POST", "/v1/rooms/hall/participants/ann/move", Access.ROOM_CONTROL, 404, {"room": "hallway"}),
    ("DELETE", "/v1/rooms/hall/participants/ann", Access.ROOM_CONTROL, 204, None),
    # Who may read the stream is told that there are no such types; the stream itself would not end.
    ("GET", "/v1/events?types=!", Access.NODE_READ, 422, None),
    ("GET", "/v1/rooms/hall/speakers", Access.ROOM_READ, 200, None),
    # It has no library, which only those learn who may use one.
    ("GET", "/v1/media", Access.NODE_READ, 404, None),
    ("POST", "/v1/media", Access.NODE_CONTROL, 404, (b"RIFF", {"Content-Type": "audio/wav"})),
    ("GET", "/v1/media/none", Access.NODE_READ, 404, None),
    ("DELETE", "/v1/media/none", Access.NODE_CONTROL, 404, None),
    ("GET", "/v1/media/none/cover", Access.NODE_READ, 404, None),
    ("GET", "/v1/node", Access.NODE_READ, 200, None),
    ("POST", "/v1/node/drain", Access.NODE_ADMIN, 200, None),
    ("DELETE", "/v1/node/drain", Access.NODE_ADMIN, 200, None),
    ("GET", "/healthz", Access.OPEN, 200, None),
    ("GET", "/readyz", Access.OPEN, 200, None),
    ("GET", "/metrics", Access.OPEN, 200, None),
    ("GET", "/", Access.OPEN, 200, None),
    ("POST", "/dev/join", Access.OPEN, 404, {"room": "hall", "user": "ann"}),
]


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        edge.seat()
        yield edge


async def prepare(edge: Edge, credential: Credential, path: str) -> tuple[dict[str, str], dict[str, str]]:
    """The headers of the credential, and, for paths to them, the sessions of a user who has come back after a kick."""
    edge.node.undrain()
    room, _ = edge.node.open_room(ROOM)
    edge.node.change(room, kicks.kick(room, USER, KICKED))
    edge.seat()
    headers = credential.make()
    if credential.spend and isinstance(credential.who, Participant):
        assert (await edge.http.post(f"/whip/{ROOM}", content=offer(), headers=SDP | headers)).status_code == 201
        listening = await edge.http.post(f"/whep/{ROOM}", content=offer("recvonly"), headers=SDP | headers)
        assert listening.status_code == 201
    elif credential.spend:
        assert (await edge.http.get("/v1/rooms", headers=headers)).status_code == 200
    if "{" not in path and "/participants/" not in path:
        return headers, {}
    return headers, {
        "whip": (await edge.whip()).headers["location"],
        "whep": (await edge.whep()).headers["location"],
    }


@pytest.mark.parametrize(
    ("method", "path", "access", "success", "body"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE]
)
async def test_each_address_takes_the_credentials_it_should(
    method: str, path: str, access: Access, success: int, body: Any
) -> None:
    async with serving(api_key=LINES) as edge:
        edge.node.api_keys.replace(KEYS)
        for name, credential in CREDENTIALS.items():
            headers, sessions = await prepare(edge, credential, path)
            options: dict[str, Any] = {"headers": headers}
            if isinstance(body, tuple):
                options = {"content": body[0], "headers": body[1] | headers}
            elif body is not None:
                options["json"] = body
            response = await edge.http.request(method, path.format(**sessions), **options)
            assert response.status_code == expected(access, credential.who, success), (name, response.text)
            if response.status_code >= 400:
                assert_problem(response, response.json()["type"].partition("#")[2])
            if response.status_code == 401:
                assert re.match(r"(Bearer|Basic) realm=", response.headers["www-authenticate"])
            given = headers.get("Authorization", "").partition(" ")[2]
            assert len(given) < 9 or given not in response.text + str(response.headers)
            edge.node.close_room(ROOM)


async def test_every_documented_operation_has_a_row(edge: Edge) -> None:
    rows = [
        (method, path.partition("?")[0].format(whip="/whip/hall/x", whep="/whep/hall/x")) for method, path, *_ in TABLE
    ]
    for path, operations in edge.app.openapi()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))
        for method in operations:
            found = [row for row in rows if row[0] == method.upper() and re.fullmatch(pattern, row[1])]
            assert found, f"{method.upper()} {path} has no row in TABLE"


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize(("method", "path"), [("POST", f"/whip/{ROOM}"), ("GET", "/v1/rooms")])
async def test_a_bad_token_is_called_so_and_not_repeated(name: str, method: str, path: str) -> None:
    async with serving(api_key=LINES) as edge:
        edge.node.api_keys.replace(KEYS)
        headers = BAD_TOKENS[name]()
        body: Any = {"content": offer(), "headers": SDP | headers} if method == "POST" else {"headers": headers}
        response = await edge.http.request(method, path, **body)
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
        ("GET", "/page.js/x", "not-found"),
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
        allowed_headers = response.headers["access-control-allow-headers"].split(", ")
        for name in ("Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID"):
            assert name in allowed_headers
        assert response.headers["accept-post"] == "application/sdp"
        edge.seat()
        created = await edge.http.post(
            f"/whep/{ROOM}",
            content=offer("recvonly"),
            headers={**SDP, **bearer(), "Origin": "https://example.org"},
        )
        assert created.headers["access-control-allow-origin"] == allowed
        for name in ("Location", "ETag", "Link", "Retry-After", "WWW-Authenticate"):
            assert name in created.headers["access-control-expose-headers"].split(", ")
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
    assert {"page.js", "page.css", "tokens.css"} <= set(sources)
    for source in sources:
        response = await edge.http.get(f"/{source}")
        assert response.status_code == 200
        assert response.headers["x-content-type-options"] == "nosniff"
        assert (await edge.http.head(f"/{source}")).status_code == 200
    asked, seen = ["/page.js"], set[str]()
    while asked:
        module = asked.pop()
        seen.add(module)
        response = await edge.http.get(module)
        assert response.headers["content-type"].startswith("text/javascript"), module
        for name in re.findall(r"from '([^']+)'", response.text):
            path = name if name.startswith("/") else f"{module.rpartition('/')[0]}/{name.removeprefix('./')}"
            asked += [path] if path not in seen else []
    assert {"/music.js", "/sdk/media.js", "/sdk/session.js"} <= seen


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
    # What is asked is refused when it holds something unknown; what is answered may grow.
    for operation in operations:
        for content in operation.get("requestBody", {}).get("content", {}).values():
            reference = content["schema"].get("$ref", "").rpartition("/")[2]
            if reference:
                assert document["components"]["schemas"][reference]["additionalProperties"] is False, reference
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
        'mediaserver_mix_residence_seconds_count{worker="0"} 4.0',
        'mediaserver_playout_wait_seconds_sum{worker="0"} 0.1',
        'mediaserver_playout_target_seconds_sum{worker="0"} 0.025',
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
