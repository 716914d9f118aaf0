"""A media server as users run it: the installed command in a process of its own, on free ports."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import httpx

from tests.ports import free_port

COMMAND = str(Path(sys.executable).with_name("mediaserver"))
# What a healthy server never writes. The sanitizers' own words are for servers that were built with them.
FAULTS = re.compile(
    rb"ERROR|CRITICAL|\"level\": \"(error|critical)\"|Traceback|runtime error:|Sanitizer|was never (awaited|retrieved)"
)


class Server:
    """Starts at once, without admission control unless `options` set it: a machine that is busy with other tests would
    make it refuse sessions. `wait_ready()` then gives it an address. `stop()` or `finish()` judges how it ends."""

    def __init__(
        self, log: Path, *options: str, program: Sequence[str] = (COMMAND,), stdin: IO[bytes] | int | None = None
    ) -> None:
        self.url = ""
        self._log_path = log
        self._log: IO[bytes] = log.open("wb")
        command = [*program, "serve", "--port", str(free_port()), "--max-worker-load", "0", *options]
        self.process = subprocess.Popen(command, stdin=stdin, stdout=self._log, stderr=subprocess.STDOUT)

    @property
    def log(self) -> bytes:
        return self._log_path.read_bytes()

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Returns when /readyz says so. AssertionError with the server's log when it does not come to that."""
        deadline = time.monotonic() + within_s
        while True:
            assert self.process.poll() is None, f"the server ended:\n{self.log.decode()}"
            assert time.monotonic() < deadline, f"the server is not ready:\n{self.log.decode()}"
            address = re.search(rb"serving on (https?://\S+)/", self.log)
            if address:
                self.url = address[1].decode()
                try:
                    if httpx.get(f"{self.url}/readyz", verify=False).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(0.05)

    def terminate(self) -> None:
        """Asks it to end, as an operator does."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """The end that nobody can prepare for."""
        self.process.kill()
        self.process.wait()
        self._log.close()
        assert not FAULTS.search(self.log), f"the server complained:\n{self.log.decode()}"

    def finish(self, within_s: float = 15.0) -> None:
        """Waits for its end, and asserts that it ended well and has never complained."""
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end:\n{self.log.decode()}") from None
        finally:
            if not self._log.closed:
                self._log.close()
        log = self.log
        assert status == 0, f"the server ended with {status}:\n{log.decode()}"
        assert not FAULTS.search(log), f"the server complained:\n{log.decode()}"

    def stop(self) -> None:
        """Nothing happens to one that was killed."""
        if self.process.returncode == -signal.SIGKILL:
            return
        if self.process.poll() is None:
            self.terminate()
        self.finish()
