"""Debian's Janus on a core of its own, as an admin who wants speed would configure it, behind the gateway.

One event loop in place of a thread for each client (or those, as installed), ICE-lite, no event handlers, only the
plugins and the transport that are used, log lines of errors alone. Rooms are of 48 kHz, Opus alone, and tell nobody who
comes and who talks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from bench.processes import Process

USED = {"libjanus_videoroom.so", "libjanus_audiobridge.so", "libjanus_http.so"}
PACKAGE = "janus"


def version() -> str | None:
    """Of the installed package; None without."""
    if shutil.which("janus") is None:
        return None
    query = ["dpkg-query", "-W", "-f", "${Version}", PACKAGE]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.stdout if found.returncode == 0 and found.stdout else None


def install() -> None:
    """By apt-get, as root. RuntimeError with its last lines when that fails."""
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", PACKAGE]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def own_address() -> str | None:
    """An IPv4 address of this machine that is not loopback's, since Janus gathers no candidates there: packets to it do
    not leave the machine either. None without."""
    query = ["ip", "-json", "-4", "address", "show", "up", "scope", "global"]
    try:
        found = json.loads(subprocess.run(query, capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    addresses = [address["local"] for interface in found for address in interface.get("addr_info", [])]
    return addresses[0] if addresses else None


def configuration(directory: Path, plugins: Path, address: str, port: int, *, event_loops: int = 1) -> dict[str, str]:
    """File name -> contents. plugins: of Debian's package; its transports are beside them. event_loops: 0 is a
    thread for each peer, as Debian has it."""
    transports = plugins.with_name("transports")

    def others(folder: Path) -> str:
        return ",".join(sorted(file.name for file in folder.glob("*.so") if file.name not in USED))

    return {
        "janus.jcfg": f"""general: {{
    configs_folder = "{directory}"
    plugins_folder = "{plugins}"
    transports_folder = "{transports}"
    events_folder = "{directory}"
    loggers_folder = "{directory}"
    debug_level = 2
    session_timeout = 0
    event_loops = {event_loops}
}}
media: {{ ipv6 = false }}
nat: {{ ice_lite = true, ice_enforce_list = "{address}" }}
plugins: {{ disable = "{others(plugins)}" }}
transports: {{ disable = "{others(transports)}" }}
events: {{ broadcast = false }}
""",
        "janus.transport.http.jcfg": f"""general: {{
    json = "compact", base_path = "/janus", http = true, https = false, port = {port}, ip = "127.0.0.1"
}}
admin: {{ admin_http = false }}
""",
        "janus.plugin.videoroom.jcfg": "general: { string_ids = true }\n",
        "janus.plugin.audiobridge.jcfg": "general: { string_ids = true }\n",
    }


class Janus:
    """Janus and its gateway, in a `with` statement. RuntimeError with the log when they do not start."""

    def __init__(self, address: str, *, core: int | None, gateway_core: int | None, event_loops: int = 1) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="bench-janus-")
        directory = Path(self._directory.name)
        plugins = next(Path("/usr/lib").glob("*/janus/plugins"))
        port = _free_port()
        for name, text in configuration(directory, plugins, address, port, event_loops=event_loops).items():
            (directory / name).write_text(text, encoding="utf-8")
        files = ["-F", str(directory), "-C", str(directory / "janus.jcfg")]
        self.server = Process(["janus", *files], directory / "janus.log", core=core)
        try:
            wait_for_port(self.server, port)
            command = [sys.executable, "-m", "bench.peers.gateway", f"http://127.0.0.1:{port}/janus"]
            self._gateway = Process(command, directory / "gateway.log", core=gateway_core)
            self.url = self._gateway.wait_for(r"serving on (\S+)/")
        except BaseException:
            self.server.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._gateway.stop()
        self.server.stop()
        self._directory.cleanup()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for_port(process: Process, port: int, within_s: float = 20.0) -> None:
    """Until it listens on TCP. RuntimeError with its log when it does not."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and process.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"It does not start:\n{process.log.decode(errors='replace')}")
