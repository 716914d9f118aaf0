"""Fixtures with the real server. Tests of a module share one; a test that stops it, or needs options, has its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.client import Listener
from tests.control import Control
from tests.quiet import QUIET
from tests.server import Server
from tests.singer import ahead_of_others, to_song
from tests.voices import voice, write_wav

StartServer = Callable[..., Server]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    if unknown := QUIET - files:
        raise pytest.UsageError(f"tests/quiet.py names what is not there: {', '.join(sorted(unknown))}")
    for item in items:
        if item.path.stem.removeprefix("test_") in QUIET:
            item.add_marker(pytest.mark.quiet)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for this module: with two workers, so that packets also pass from one to the other."""
    running = Server(tmp_path_factory.mktemp("server") / "log", "--workers", "2")
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with options of the test's own; those that still run are stopped, and all are judged."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(tmp_path / f"log{len(started)}", *options))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
async def control(server: Server) -> AsyncIterator[Control]:
    async with Control(server.url) as made:
        yield made


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A room that no other test uses; the name has what paths must escape."""
    return f"{request.node.name} / ü"


@pytest.fixture(scope="session")
def microphones(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """WAV files for fake microphones, by pitch."""
    directory = tmp_path_factory.mktemp("microphones")

    def microphone(pitch_hz: int) -> Path:
        path = directory / f"{pitch_hz}.wav"
        return path if path.exists() else write_wav(path, voice(pitch_hz, 4))

    return microphone


# Singers


@pytest.fixture
def prompt() -> Iterator[None]:
    with ahead_of_others():
        yield


@pytest.fixture
async def ktv_control(prompt: None, start_server: StartServer, tmp_path: Path) -> AsyncIterator[Control]:
    """Of a server that has a library, and goes before the machine's other work, as the test does."""
    library = tmp_path / "library"
    library.mkdir()
    server = start_server("--media-dir", str(library))
    async with Control(server.url) as control:
        yield control


@pytest.fixture
async def audience(ktv_control: Control, room: str) -> AsyncIterator[Listener]:
    """Of a room with music that singers sing to."""
    async with await to_song(ktv_control, room) as listener:
        await listener.connected()
        yield listener


@pytest.fixture(scope="session")
def postgresql() -> Iterator[databases.Program]:
    with databases.postgresql() as program:
        yield program


@pytest.fixture(scope="session")
def mariadb() -> Iterator[databases.Program]:
    with databases.mariadb() as program:
        yield program


@pytest.fixture(scope="session")
def redis() -> Iterator[databases.Program]:
    with databases.redis() as program:
        yield program


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mariadb"])
async def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of storage, empty."""
    if request.param == "memory":
        return "none"
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/rooms.db"
    program: databases.Program = request.getfixturevalue(request.param)
    return await databases.emptied(program.url)
