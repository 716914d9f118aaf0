"""Databases and a Redis for tests: Debian's programs, each with its data in a directory of its own, on a free port, as
a user who may do nothing else."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, MetaData, delete
from sqlalchemy.ext.asyncio import create_async_engine

from roomservice.storage.sql import SqlStorage, address
from roomservice.storage.tables import metadata
from tests.ports import free_port

NOBODY = "nobody"
START_S = 60.0


@dataclass
class Program:
    """A server that runs. url: of its only database, which stays the same when it is killed and started again."""

    url: str
    command: Sequence[str]
    directory: Path
    answers: Callable[[], bool]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Returns when it answers."""
        with self.log.open("ab") as log:
            self.process = _begin(self.command, self.directory, log)
        deadline = time.monotonic() + START_S
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)


async def emptied(url: str) -> str:
    """The same, with tables that are empty."""
    storage = SqlStorage(url)
    await storage.start()
    await storage.close()
    engine = create_async_engine(address(url))
    async with engine.begin() as connection:
        for table in metadata.sorted_tables:
            await connection.execute(delete(table))
    await engine.dispose()
    return url


async def without_tables(url: str) -> None:
    engine = create_async_engine(address(url))

    def drop(connection: Connection) -> None:
        known = MetaData()
        known.reflect(connection)
        known.drop_all(connection)

    async with engine.begin() as connection:
        await connection.run_sync(drop)
    await engine.dispose()


# PostgreSQL and MariaDB do not run as root.
_USER, _GROUP, _GROUPS = (NOBODY, "nogroup", list[str]()) if os.geteuid() == 0 else (None, None, None)


def _begin(command: Sequence[str], directory: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=directory, stdout=log, stderr=subprocess.STDOUT, user=_USER, group=_GROUP, extra_groups=_GROUPS
    )


def _done(command: Sequence[str], directory: Path) -> None:
    """AssertionError, with what it said."""
    log = directory / "made"
    with log.open("wb") as file:
        status = _begin(command, directory, file).wait(START_S)
    assert status == 0, log.read_text()


@contextmanager
def _directory() -> Iterator[Path]:
    """Where nobody may write."""
    path = Path(tempfile.mkdtemp(prefix="roomservice-"))
    if os.geteuid() == 0:
        shutil.chown(path, NOBODY, "nogroup")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _program(name: str, *places: str) -> str:
    found = next((str(path) for place in places for path in sorted(Path("/").glob(place))), None) or shutil.which(name)
    assert found, f"There is no {name}: run scripts/setup test."
    return found


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _running(program: Program) -> Iterator[Program]:
    program.start()
    try:
        yield program
    finally:
        program.kill()


@contextmanager
def postgresql(port: int = 0, database: str = "postgres") -> Iterator[Program]:
    """port: 0 for one that is free."""
    with _directory() as directory:
        data, port = directory / "data", port or free_port()
        initdb = _program("initdb", "usr/lib/postgresql/*/bin/initdb")
        made = [initdb, "-D", str(data), "-U", "rooms", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        _done(made, directory)
        server, ready = Path(initdb).with_name("postgres"), Path(initdb).with_name("pg_isready")
        asks = [str(ready), "-q", "-h", "127.0.0.1", "-p", str(port)]
        command = [
            *(str(server), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(directory)),
            *("-c", "fsync=off", "-c", "max_connections=200"),
        ]
        made_one = Program(
            f"postgresql://rooms@127.0.0.1:{port}/{database}",
            command,
            directory,
            lambda: subprocess.run(asks, check=False).returncode == 0,
            directory / "log",
        )
        with _running(made_one) as program:
            if database != "postgres":
                create = [
                    str(server.with_name("createdb")),
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(port),
                    "-U",
                    "rooms",
                    database,
                ]
                _done(create, directory)
            yield program


@contextmanager
def mariadb() -> Iterator[Program]:
    with _directory() as directory:
        data, port = directory / "data", free_port()
        install = _program("mariadb-install-db")
        options: list[str] = ["--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        made = [install, *options, "--skip-name-resolve"]
        _done(made, directory)
        command = [
            *(_program("mariadbd", "usr/sbin/mariadbd"), "--no-defaults", f"--datadir={data}"),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--socket={directory}/socket"),
            *("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", f"--pid-file={directory}/pid"),
        ]
        url = f"mysql://root@127.0.0.1:{port}/test"
        with _running(Program(url, command, directory, lambda: _listens(port), directory / "log")) as program:
            yield program


@contextmanager
def redis(port: int = 0) -> Iterator[Program]:
    """port: 0 for one that is free."""
    with _directory() as directory:
        port = port or free_port()
        command = [_program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "."]
        url = f"redis://127.0.0.1:{port}/0"
        with _running(Program(url, command, directory, lambda: _listens(port), directory / "log")) as program:
            yield program
