"""Debian's coturn as a TURN server on loopback, with the secret of the media server under test."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

SECRET = "secret-of-both-servers-" + "t" * 16
OLD_SECRET = "secret-that-was-before-" + "o" * 16


class Coturn:
    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    def url(self, transport: str) -> str:
        return f"turn:127.0.0.1:{self.port}?transport={transport}"

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def coturn(directory: Path) -> Iterator[Coturn]:
    """It listens on UDP and TCP, and keeps its files in the directory."""
    log = directory / "coturn.log"
    port = free_port()
    command = ["turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--verbose", "--realm", "test"]
    command += ["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--listening-port", str(port)]
    command += ["--allow-loopback-peers", "--use-auth-secret", "--static-auth-secret", SECRET]
    command += ["--static-auth-secret", OLD_SECRET]  # as while it is rotated
    command += ["--log-file", "stdout", "--pidfile", str(directory / "pid"), "--userdb", str(directory / "turndb")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=directory)
    server = Coturn(port, log)
    try:
        deadline = time.monotonic() + 20
        while True:
            assert process.poll() is None, server.log
            assert time.monotonic() < deadline, server.log
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
