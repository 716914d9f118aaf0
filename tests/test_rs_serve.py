"""The installed commands: a room service in front of a real media server, which does what the room service is told."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.client import listen, speak, until
from tests.control import Control
from tests.ports import free_port
from tests.server import Server
from tests.test_rooms import ANN_HZ, BOB_HZ, connected, hears, loudness

COMMAND = str(Path(sys.executable).with_name("roomservice"))
SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
SILENT_DB = -50
"""What a voice that is not heard leaves at its pitch."""


class Process:
    """The installed command with a media server; its address, once it is ready."""

    def __init__(self, directory: Path, media_url: str, *options: str) -> None:
        storage = f"sqlite+aiosqlite:///{directory}/rooms.db"
        command = [
            COMMAND,
            "serve",
            "--port",
            str(free_port()),
            "--storage",
            storage,
            "--media-url",
            media_url,
            *options,
        ]
        self.log = directory / "roomservice.log"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"Uvicorn running on (http://\S+)", self.log.read_text())):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)
            self.url = found[1]
            assert httpx.get(f"{self.url}/readyz").text == "ready\n"
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Politely; its end and its log are judged."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(15)
        assert status == 0, self.log.read_text()
        self.judge()

    def kill(self) -> None:
        """The end that nobody can prepare for."""
        self.process.kill()
        self.process.wait()

    def judge(self) -> None:
        text = self.log.read_text()
        assert not re.search("ERROR|CRITICAL|Traceback", text), text


@contextmanager
def room_service(directory: Path, media_url: str, *options: str) -> Iterator[str]:
    """Its address, once it is ready. Its end is judged."""
    running = Process(directory, media_url, *options)
    try:
        yield running.url
    except BaseException:
        running.kill()
        print(running.log.read_text())
        raise
    running.stop()


async def log_in(http: httpx.AsyncClient, user: str) -> dict[str, str]:
    answer = await http.post("/login", json={"username": user, "password": f"{user}'s password"})
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['token']}"}


def parted(address: str, query: str = "") -> tuple[str, str]:
    """Of WHIP or WHEP: what is posted to, and the token that goes with it."""
    bare, _, token = address.partition("#token=")
    return bare + query, token


async def test_who_takes_a_seat_is_heard_and_who_is_taken_out_is_not(server: Server, tmp_path: Path) -> None:
    with room_service(tmp_path, server.url, "--sign-up", "open") as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http, Control(server.url) as control:
            ann, bob, cyd = [await log_in(http, user) for user in ("ann", "bob", "cyd")]

            async def call(path: str, who: dict[str, str], **body: object) -> Any:
                return (await http.post(path, json=body, headers=who)).raise_for_status().json()

            made = await call("/create", ann, anchor="ann", title="Jazz")
            room = made["id"]
            seated = [{"user_id": "ann"}, {"user_id": "bob"}]
            await call("/updateMeetingInfo", bob, id=room, members=seated)
            whip = (await call("/get", bob, id=room, user_id="bob"))["push_url_info"]["rts_url"]
            whep = (await call("/get", cyd, id=room, user_id="cyd"))["pull_url_info"]["rts_url"]
            assert whip.startswith(f"{server.url}/whip/{room}#")
            async with (
                await speak(control.http, *parted(made["push_url_info"]["rts_url"]), ANN_HZ) as host,
                await speak(control.http, *parted(whip), BOB_HZ) as guest,
                await listen(control.http, *parted(whep, "?mode=mix"), slots=1) as listener,
            ):
                await connected(host, guest, listener)
                await hears(listener, BOB_HZ)
                closed = [{"user_id": "ann"}, {"user_id": "bob", "mic_opened": False}]
                await call("/updateMeetingInfo", ann, id=room, members=closed)
                await until(lambda: loudness(listener, BOB_HZ) < SILENT_DB, say="bob is muted")
                await until(lambda: loudness(listener, ANN_HZ) > SILENT_DB + 20, say="ann goes on")
                await call("/updateMeetingInfo", ann, id=room, members=seated)
                await hears(listener, BOB_HZ)
                await call("/updateMeetingInfo", ann, id=room, members=[{"user_id": "ann"}])
                await until(lambda: loudness(listener, BOB_HZ) < SILENT_DB, say="bob is off the stage")
                assert set((await control.call("GET", "rooms", room))["speakers"]) == {"ann"}
            await call("/stop", ann, id=room, user_id="ann")
            rooms = await control.call("GET", "rooms")
            assert room not in [one["name"] for one in rooms["rooms"]]


def test_schemathesis_finds_nothing_that_the_document_does_not_say(
    server: Server, tmp_path: Path, storage_url: str
) -> None:
    """Some hundreds of requests, good and bad, to all twelve endpoints; answers as the document describes them."""
    with room_service(tmp_path, server.url, "--sign-up", "open", "--storage", storage_url) as url:
        # The document's own example of a user.
        asked = {"username": "主播userId", "password": "p"}
        token = httpx.post(f"{url}/login", json=asked, timeout=20).raise_for_status().json()["token"]
        document = Path(__file__).parent / "fixtures" / "appserver-swagger.yaml"
        ended = subprocess.run(
            [
                *(SCHEMATHESIS, "run", document, "--url", url, "-H", f"Authorization: Bearer {token}"),
                *("--checks", "not_a_server_error,response_schema_conformance,content_type_conformance"),
                *("--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--seed", "1", "--no-color"),
                *("--generation-database", "none"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "Tested: 12" in ended.stdout
        headers = {"Authorization": f"Bearer {token}"}
        everything = {"user_id": "主播userId", "page_num": 1, "page_size": 100}
        made = httpx.post(f"{url}/list", json=everything, headers=headers).raise_for_status().json()
        assert made, "its good requests made rooms"


def test_only_users_that_were_added_log_in(server: Server, tmp_path: Path) -> None:
    storage = f"sqlite+aiosqlite:///{tmp_path}/rooms.db"
    adding = [COMMAND, "add-user", "ann", "--storage", storage, "--password", "ann's password"]
    subprocess.run(adding, check=True)
    again = subprocess.run(adding, check=False, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (1, "roomservice: There is a user ann.\n")
    with room_service(tmp_path, server.url) as url:
        for user, status in (("ann", 200), ("bob", 401)):
            asked = {"username": user, "password": f"{user}'s password"}
            assert httpx.post(f"{url}/login", json=asked, timeout=20).status_code == status


def test_what_it_cannot_start_with_is_one_sentence() -> None:
    for options, said in (
        (["--secret", "short"], "roomservice: The secret that signs tokens has at least 32 bytes.\n"),
        (["--storage", "nonsense"], "roomservice: The storage is none, or a URL like sqlite+aiosqlite:///"),
        (["--media-url", "nonsense", "--storage", "none"], "roomservice: The server's address is one like"),
        (["--redis", "nonsense", "--storage", "none"], "roomservice: Redis has a URL like"),
        (["--storage", "postgresql://u@127.0.0.1:1/d"], "roomservice: The database cannot be reached: "),
        (["--storage", "mysql://u@127.0.0.1:1/d"], "roomservice: The database cannot be reached: "),
        (["--storage", "sqlite:////nowhere/at/all.db"], "roomservice: The database cannot be reached: "),
    ):
        ended = subprocess.run([COMMAND, "serve", *options], check=False, capture_output=True, text=True)
        assert ended.returncode == (1 if "cannot be reached" in said else 2)
        assert ended.stderr.startswith(said)
        assert ended.stderr.count("\n") == 1
