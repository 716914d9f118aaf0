"""The command as a process, with the stand-in for the compiled plane: how it starts, how it stops, what it prints."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from mediaserver.keys import MIN_SECRET_BYTES
from mediaserver.store import Store
from tests.offers import offer

# The stand-in says at the end what it was told, so that the test can see it from outside.
PROGRAM = """
import sys
from tests import fake_plane
from mediaserver.cli import main
class Plane(fake_plane.Plane):
    def stop(self):
        super().stop()
        print("plane stopped, peers left:", len(self.peers), "removed:", len(self.removed), flush=True)
fake_plane.Plane = Plane
sys.modules["mediaserver._native"] = fake_plane
main(sys.argv[1:])
"""


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.output = ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Reads lines until one matches."""
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.output += line
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"{pattern} is not in:\n{self.output}")

    async def end(self) -> int:
        assert self.process.stdout is not None
        self.output += (await self.process.stdout.read()).decode()
        return await self.process.wait()


@asynccontextmanager
async def serve(*options: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, "serve", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(30):
            yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_sessions_streams_and_process_in_order(number: signal.Signals) -> None:
    async with serve("--port", "0") as server:
        url = (await server.until(r"serving on (\S+)/"))[1]
        assert "DEVELOPMENT MODE" in server.output
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            entry = (await http.post("/dev/join", json={"room": "hall", "user": "ann"})).json()
            headers = {"Authorization": f"Bearer {entry['token']}"}
            created = await http.post(
                entry["whep"], content=offer("recvonly"), headers={**headers, "Content-Type": "application/sdp"}
            )
            link = re.findall("<(.*)>", created.headers["link"])[0]
            stream = (await http.post(link, headers=headers)).headers["location"]
            async with http.stream("GET", stream) as response:
                lines = response.aiter_lines()
                assert await anext(lines) == "event: sources"
                server.process.send_signal(number)
                told = [line async for line in lines if line.startswith("event:")]
                assert told == (["event: moving"] if number == signal.SIGTERM else [])
        assert await server.end() == 0
    assert "plane stopped, peers left: 0 removed: 1" in server.output
    assert "Traceback" not in server.output
    assert re.search(r"session ended room=hall user=ann .*reason=shutdown", server.output)
    assert entry["token"] not in server.output


async def test_a_production_server_says_nothing_of_development(tmp_path_factory: pytest.TempPathFactory) -> None:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"alpha:{'s' * MIN_SECRET_BYTES}\n")
    state = str(keys.parent / "state.db")
    options = ("--port", "0", "--api-key-file", str(keys), "--media-address", "127.0.0.1", "--state", state)

    async with serve(*options, "--production") as server:
        url = (await server.until(r"serving on (\S+)/"))[1]
        async with httpx.AsyncClient(base_url=url, timeout=10) as http:
            assert (await http.post("/dev/join", json={"room": "hall", "user": "ann"})).status_code == 404
        server.process.terminate()
        assert await server.end() == 0
    assert "DEVELOPMENT" not in server.output
    assert "s" * MIN_SECRET_BYTES not in server.output


async def test_a_state_file_that_is_in_use_is_said_in_one_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = str(tmp_path_factory.mktemp("state") / "state.db")
    store = Store(path)
    async with serve("--port", "0", "--state", path) as server:
        assert await server.end() == 1
    assert server.output == f"mediaserver: The state file {path} is in use by another process.\n"
    store.stop()


async def test_a_port_that_is_taken_is_said_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serve("--port", str(port)) as server:
            assert await server.end() == 1
    assert server.output == f"mediaserver: 127.0.0.1 port {port} cannot be listened on: Address already in use.\n"
