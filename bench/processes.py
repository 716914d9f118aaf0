"""The server that is measured: a process of its own, on a core of its own, and what it costs by the kernel's account.

CPU time is of the whole process tree, as its clock says it (ns); memory is the kernel's proportional set size, in which
a page that two processes share counts half for each.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.results import ROOT, CannotMeasure

DEVELOPMENT_KEY = "dev:known-to-everybody-for-development-only"
START_S = 60.0
STOP_S = 15.0


@dataclass(frozen=True)
class Memory:
    """Bytes. rss: resident. pss: the same, shared pages shared out. private: what only this process has."""

    rss: int
    pss: int
    private: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.rss + other.rss, self.pss + other.pss, self.private + other.private)


@dataclass(frozen=True)
class Cpu:
    """CPU seconds: of the thread that runs the event loop (the main one), of the plane's workers, of all else (other
    threads, those that have ended, child processes)."""

    loop: float
    plane: float
    others: float

    @property
    def total(self) -> float:
        return self.loop + self.plane + self.others

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.loop - other.loop, self.plane - other.plane, self.others - other.others)


class Process:
    """A child, in a `with` statement; SIGTERM ends it. core: the one it is bound to, None: any."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        descriptors: Sequence[int] = (),
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        bound = [] if core is None else ["taskset", "-c", str(core)]  # which becomes the command: it has the same pid
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*bound, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> bytes:
        return self._log.read_bytes()

    def wait_for(self, pattern: str, within_s: float = START_S) -> str:
        """The first group of the pattern in the log. RuntimeError with the log when it does not come."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(pattern, self.log.decode(errors="replace")):
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"{self.process.args!r} does not start:\n{self.log.decode(errors='replace')}")

    def cpu(self) -> Cpu:
        """So far. ProcessLookupError when it has ended."""
        loop = plane = 0.0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just ended
                seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
                if (task / "comm").read_text().startswith("plane-"):
                    plane += seconds
                elif task.name == str(self.pid):
                    loop = seconds
        total = process_cpu_s(self.pid) + sum(tree_cpu_s(child) for child in children(self.pid))
        return Cpu(loop, plane, max(0.0, total - loop - plane))

    def cpu_s(self) -> float:
        """CPU seconds so far, of the whole tree."""
        return tree_cpu_s(self.pid)

    def memory(self) -> Memory:
        """Of the whole tree."""
        return tree_memory(self.pid)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Server(Process):
    """The installed `mediaserver serve` on ports that the kernel chose, ready when this returns.

    In development mode unless there is a key (ID:SECRET); without admission control, without rates, without a state
    file and with one worker unless `options` say otherwise (the last one counts)."""

    def __init__(
        self,
        *options: str,
        workers: int = 1,
        core: int | None = None,
        key: str | None = None,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        """program: what runs in the place of the installed command, with the same arguments."""
        self._directory = tempfile.TemporaryDirectory(prefix="bench-server-")
        self.program = program or [str(Path(sys.executable).with_name("mediaserver"))]
        command = [
            *(
                *self.program,
                "serve",
                "--port",
                "0",
                "--workers",
                str(workers),
                "--log-format",
                "text",
                "--state",
                "none",
            ),
            *("--max-worker-load", "0", "--rate-per-address", "0", "--rate-per-key", "0", "--drain-timeout", "0"),
            *(["--api-key", key, "--media-address", "127.0.0.1"] if key is not None else []),
            *options,
        ]
        self.key = key if key is not None else DEVELOPMENT_KEY
        basic = base64.b64encode(self.key.encode()).decode()
        self.http = httpx.Client(timeout=20, headers={"Authorization": f"Basic {basic}"})
        super().__init__(command, Path(self._directory.name) / "log", core=core, environment=environment)
        try:
            self.url = self.wait_for(r"serving on (https?://\S+)/")
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if self.http.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the server does not become ready:\n{self.log.decode(errors='replace')}")

    @property
    def address(self) -> tuple[str, int]:
        """Of its HTTP."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The document that is answered. httpx.HTTPStatusError when it is refused."""
        response = self.http.request(method, f"{self.url}{path}", json=body)
        response.raise_for_status()
        return response.json() if response.content else None

    def make_room(self, room: str, users: list[str], mix: Mapping[str, object] | None = None) -> None:
        """With a seat for each of the users."""
        self.call("PUT", f"/v1/rooms/{quote(room)}", {"mix": dict(mix)} if mix else None)
        for user in users:
            self.call("PUT", f"/v1/rooms/{quote(room)}/speakers/{quote(user)}")

    def close_room(self, room: str) -> None:
        self.call("DELETE", f"/v1/rooms/{quote(room)}")

    def token(self, room: str, user: str, *, may_publish: bool) -> str:
        body = {"user": user, "may_publish": may_publish, "may_listen": not may_publish}
        return str(self.call("POST", f"/v1/rooms/{quote(room)}/tokens", body)["token"])

    def publishers(self, room: str) -> dict[str, dict[str, Any]]:
        """What the server says of each publishing session, by user."""
        page = self.call("GET", f"/v1/rooms/{quote(room)}/participants?limit=1000")
        return {
            participant["user"]: session
            for participant in page["participants"]
            for session in participant["sessions"]
            if session["direction"] == "publish"
        }

    def metrics(self) -> Metrics:
        return Metrics.of(self.http.get(f"{self.url}/metrics").raise_for_status().text)

    def ticks(self) -> tuple[float, float]:
        """How many ticks of rooms began more than 5 ms late, and how many there were."""
        lateness = self.metrics().histogram("mediaserver_tick_lateness_seconds")
        return lateness.above(0.005), lateness.count

    def stop(self) -> None:
        self.http.close()
        super().stop()
        self._directory.cleanup()


# ---- what the server says of itself


@dataclass(frozen=True)
class Histogram:
    """bounds -> how many samples were not larger; in the metric's unit, the last bound is infinite."""

    cumulated: Mapping[float, float]
    sum: float = 0.0

    def __sub__(self, earlier: Histogram) -> Histogram:
        """The samples since then."""
        since = {bound: count - earlier.cumulated.get(bound, 0.0) for bound, count in self.cumulated.items()}
        return Histogram(since, self.sum - earlier.sum)

    @property
    def count(self) -> float:
        return max(self.cumulated.values(), default=0.0)

    def above(self, bound: float) -> float:
        """Samples that were larger than this bound, which is one of the histogram's."""
        return self.count - self.cumulated[bound]

    def quantile(self, share: float) -> float | None:
        """The smallest bound that at least this share of the samples kept: the figure is at most that. None without
        samples; infinite where it is beyond the last bound."""
        if not self.count:
            return None
        return min(bound for bound, count in self.cumulated.items() if count >= share * self.count)

    def interpolated(self, share: float) -> float | None:
        """As quantile(), between the bucket's bounds as if its samples lay evenly in it; never beyond the last finite
        bound."""
        if not self.count:
            return None
        wanted, below, so_far = share * self.count, 0.0, 0.0
        for bound, count in sorted(self.cumulated.items()):
            if count >= wanted and count > so_far:
                return (
                    below if bound == float("inf") else below + (bound - below) * (wanted - so_far) / (count - so_far)
                )
            below, so_far = bound, count
        return below


@dataclass(frozen=True)
class Metrics:
    """One scrape of /metrics: (sample's name, its labels but `le`) -> value, and histograms by their family's name."""

    samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
    histograms: Mapping[str, Histogram] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Metrics:
        samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        histograms: dict[str, Histogram] = {}
        for family in text_string_to_metric_families(text):
            buckets: dict[float, float] = {}
            total = 0.0
            for sample in family.samples:
                if sample.name == f"{family.name}_bucket" and "le" in sample.labels:
                    bound = float(sample.labels["le"])
                    buckets[bound] = buckets.get(bound, 0.0) + sample.value
                    continue
                samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
                total += sample.value if sample.name == f"{family.name}_sum" else 0.0
            if buckets:
                histograms[family.name] = Histogram(buckets, total)
        return cls(samples, histograms)

    def histogram(self, name: str) -> Histogram:
        """Of all workers. KeyError when there is none of this name."""
        return self.histograms[name]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples that have this name and these labels. KeyError when there are none."""
        wanted = labels.items()
        found = [value for (n, has), value in self.samples.items() if n == name and wanted <= dict(has).items()]
        if not found:
            raise KeyError(name)
        return sum(found)


# ---- the kernel's account


def cores() -> tuple[int, int | None]:
    """(the server's, the generator's) of those that this process may use; None when there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[1] if len(allowed) > 1 else None


@contextlib.contextmanager
def bound_to(core: int | None) -> Iterator[None]:
    """All threads that begin within it, and the calling one, run on this core; None: nothing changes."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def two_cores() -> tuple[int, int]:
    """The server's and the generator's. CannotMeasure when this process may use but one."""
    server, generator = cores()
    if generator is None:
        raise CannotMeasure("The server and what loads it need a core each, and this process may use one only.")
    return server, generator


def process_cpu_s(pid: int) -> float:
    """All threads' so far, with those that have ended. ProcessLookupError when there is no such process."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of a process: what clock_getcpuclockid(3) gives
    except OSError:
        raise ProcessLookupError(pid) from None


def children(pid: int) -> list[int]:
    """That run now."""
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += map(int, (task / "children").read_text().split())
    return found


def tree(pid: int) -> list[int]:
    """The process, its children, theirs and so on."""
    return [pid, *(each for child in children(pid) for each in tree(child))]


def tree_cpu_s(pid: int) -> float:
    """CPU seconds so far of a process and all of its descendants that run. ProcessLookupError when it has ended."""
    seconds = process_cpu_s(pid)
    for child in tree(pid)[1:]:
        with contextlib.suppress(ProcessLookupError):
            seconds += process_cpu_s(child)
    return seconds


def process_memory(pid: int) -> Memory:
    """ProcessLookupError when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(pid) from None
    kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return Memory(1024 * kib["Rss"], 1024 * kib["Pss"], 1024 * (kib["Private_Clean"] + kib["Private_Dirty"]))


def tree_memory(pid: int) -> Memory:
    found = process_memory(pid)
    for child in tree(pid)[1:]:
        with contextlib.suppress(ProcessLookupError):
            found += process_memory(child)
    return found
