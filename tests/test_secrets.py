"""Nothing secret is in a server's log, its refusals or its metrics, however it is misused."""

import signal
import time
from pathlib import Path

import httpx

from mediaserver.keys import ApiKey
from mediaserver.signing import sign, sign_request
from tests.conftest import StartServer
from tests.credentials import basic
from tests.offers import offer

SECRET, OTHER, TURN = "right-" + "s" * 32, "wrong-" + "o" * 32, "turn-credential"
TURN_SECRET = "turn-" + "t" * 32
PATHS = [
    ("POST", "/whip/hall"),
    ("POST", "/whep/hall?mode=mix"),
    ("DELETE", "/whip/hall/x"),
    ("GET", "/v1/rooms"),
    ("PUT", "/v1/rooms/hall"),
    ("POST", "/v1/rooms/hall/tokens"),
    ("PUT", "/v1/rooms/hall/speakers/ann/mutes/self"),
    ("GET", "/healthz"),
    ("POST", "/nowhere"),
]


def credentials(now: float) -> list[str]:
    """Values of Authorization, from good to hopeless."""
    good = {"room": "hall", "sub": "ann", "may_publish": True, "may_listen": True, "exp": now + 60, "iat": now}
    header = {"alg": "HS256", "kid": "alpha"}
    tokens = [
        sign(header, {**good, "jti": "token-name-1"}, SECRET),
        sign(header, {**good, "jti": "token-name-2", "once": True}, SECRET),
        sign(header, {**good, "jti": "token-name-3", "may_listen": "yes"}, SECRET),
        sign(header, {**good, "jti": "token-name-4", "exp": now - 1}, SECRET),
        sign(header, {**good, "jti": "token-name-5"}, OTHER),
        sign({**header, "kid": OTHER}, {**good, "jti": "token-name-6"}, SECRET),
        sign({**header, "alg": "none"}, {**good, "jti": "token-name-7"}, SECRET),
        sign_request("alpha", SECRET, now),
        sign_request("alpha", OTHER, now),
        sign_request("alpha", SECRET, now, 9999),
        "garbage-instead-of-a-token",
    ]
    secrets = [basic("alpha", SECRET), basic("alpha", OTHER), basic(SECRET, "alpha"), basic(OTHER, SECRET)]
    return [f"Bearer {token}" for token in tokens] + [headers["Authorization"] for headers in secrets]


def test_nothing_secret_is_logged_answered_or_counted(start_server: StartServer, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"alpha:{SECRET}\n")
    turn_secret = tmp_path / "turn"
    turn_secret.write_text(TURN_SECRET)
    server = start_server(
        *("--api-key-file", str(keys), "--media-address", "127.0.0.1", "--log-level", "debug"),
        *("--rate-per-address", "0", "--drain-timeout", "0", "--state", "none"),
        *("--ice-server", f"turn:turn.example.org,ann,{TURN}"),
        *("--turn", "turn:turn.example.org", "--turn-secret-file", str(turn_secret)),
    )
    given = credentials(time.time())
    seen = ""
    statuses = set()
    with httpx.Client(base_url=server.url, timeout=10) as http:
        assert http.put("/v1/rooms/hall", auth=("alpha", SECRET)).status_code == 201
        for authorization in given:
            for method, path in PATHS:
                # Twice, so that what may be used once is refused as well.
                for _ in range(2):
                    headers = {"Authorization": authorization, "Content-Type": "application/sdp"}
                    response = http.request(method, path, headers=headers, content=offer().encode())
                    statuses.add(response.status_code)
                    if response.status_code >= 400:
                        seen += f"{response.headers}{response.text}"
        # The operator errs too: id and secret swapped, a word too many, and no key at all.
        for line in (f"{SECRET}:alpha", f"alpha:{SECRET} {OTHER}", SECRET, f"alpha:{SECRET}\nalpha:{OTHER}"):
            before = server.log.count(b"stay as they were")
            keys.write_text(line)
            server.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while server.log.count(b"stay as they were") == before:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert http.get("/v1/rooms", auth=("alpha", SECRET)).status_code == 200
        seen += http.get("/metrics").text
    server.stop()
    seen += server.log.decode()
    assert {401, 403, 404, 415} <= statuses
    assert max(statuses) < 500
    parts = {part for value in given for part in (value, *value.split(" ")[-1].split(".")) if len(part) > 20}
    for secret in [SECRET, OTHER, TURN, TURN_SECRET, "token-name", "garbage-instead", *parts]:
        assert secret not in seen
    assert repr(ApiKey("alpha", SECRET)).count(SECRET) == 0
