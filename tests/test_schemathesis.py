"""Schemathesis tries what the OpenAPI document says on a live server, as three callers with different rights.

It makes requests that are as described and some that are not, single ones and sequences. It looks for failures of the
server, for answers that are not described or not as described, for bad data that is taken and good data that is not,
for credentials that are not asked for. schemathesis.toml says what is not looked for, and why.

SCHEMATHESIS_S=600 scripts/test schemathesis takes so many seconds for each caller.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from mediaserver.settings import DEVELOPMENT_KEY
from tests.conftest import StartServer

COMMAND = str(Path(sys.executable).with_name("schemathesis"))
CONFIG = Path(__file__).with_name("schemathesis.toml").read_text()
SECONDS = int(os.environ.get("SCHEMATHESIS_S", "0"))
SECRET = "s" * 32
# Beyond what rooms, repeated answers and pools need after some thousand requests.
MAX_GROWTH_MB = 64
# 401s of guesses cost an address so much that everything after them would be 429.
OPTIONS = (
    *("--state", "none", "--workers", "1", "--media-address", "127.0.0.1", "--drain-timeout", "0"),
    *("--rate-per-address", "0", "--rate-per-key", "0"),
)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(url: str, directory: Path, seconds: int, *options: str, config: str = "", phases: str = "") -> None:
    """AssertionError with what schemathesis says when it has found something. phases: those of a short run, which does
    not try for each caller what has little to do with who calls (coverage, whose time has no bound)."""
    (directory / "schemathesis.toml").write_text(CONFIG + config)
    limit = SECONDS or seconds
    command = [COMMAND, "--no-color", "--config-file", str(directory / "schemathesis.toml"), "run"]
    command += [f"{url}/openapi.json", "--checks", "all", "--max-time", str(limit), *options]
    if not SECONDS:  # a long run is another each time, and says with which seed
        command += ["--seed", "1", *(["--phases", phases] if phases else [])]
    found = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        cwd=directory,  # it leaves files where it runs
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit + 60,
        check=False,
    )
    assert found.returncode == 0, found.stdout
    assert "No API operations" not in found.stdout


@pytest.mark.timeout(2 * SECONDS + 120)
def test_the_room_services_calls_are_as_described(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(*OPTIONS)
    before = resident_mb(server.process.pid)
    run(server.url, tmp_path, 16, "--auth", ":".join(DEVELOPMENT_KEY))
    growth = resident_mb(server.process.pid) - before
    assert growth < MAX_GROWTH_MB, f"{growth:.0f} MB more than before"


@pytest.mark.timeout(2 * SECONDS + 120)
def test_a_participants_calls_are_as_described(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(*OPTIONS, "--api-key", f"admin:{SECRET}")
    lobby = f"{server.url}/v1/rooms/lobby"
    with httpx.Client(auth=("admin", SECRET)) as service:
        assert service.put(lobby, json={"speakers": {"ann": {}}}).status_code == 201
        asked = {"user": "ann", "may_publish": True, "ttl_s": 7 * 24 * 3600}
        token = service.post(f"{lobby}/tokens", json=asked).json()["token"]
    mine = '[parameters]\n"path.room" = "lobby"\n"path.user" = "ann"\n"path.source" = "self"\n'
    run(
        server.url,
        tmp_path,
        10,
        "--header",
        f"Authorization: Bearer {token}",
        # A session whose client never connects ends after seconds, and with the user's next one: 404 may follow 201.
        "--exclude-checks",
        "ensure_resource_availability",
        config=mine,
        phases="examples,fuzzing,stateful",
    )


@pytest.mark.timeout(2 * SECONDS + 120)
def test_the_calls_of_a_key_that_only_reads_are_as_described(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(*OPTIONS, "--api-key", f"admin:{SECRET}", "--api-key", f"reader:{SECRET} read")
    with httpx.Client(auth=("admin", SECRET)) as service:
        assert service.put(f"{server.url}/v1/rooms/lobby", json={"speakers": {"ann": {}}}).status_code == 201
        before = service.get(f"{server.url}/v1/rooms/lobby").text
        run(server.url, tmp_path, 7, "--auth", f"reader:{SECRET}", phases="examples,fuzzing")
        assert service.get(f"{server.url}/v1/rooms/lobby").text == before
        assert len(service.get(f"{server.url}/v1/rooms").json()["rooms"]) == 1
