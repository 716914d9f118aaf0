"""The control API under load: 1,000 seat changes a second while a room plays, beside the physical floor.

A real server (its state on disk, everything on loopback), two speakers over SRTP, a listener on the mix, and a room
service with keep-alive connections that gives and takes seats and mutes in an open loop (openloop.py). Meanwhile one
speaker is muted and unmuted, and the mix says in its CSRCs when that was first to be heard: the effect counts from the
request's sending to the kernel's timestamp of the first packet that shows it.

CPU time is the server's own, by thread: the event loop's and the store's. The floor is what the same calls cost an
application that does nothing, behind the same HTTP server, plus a commit of SQLite, as many changes in one as the
server had.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import secrets
import socket
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvloop

from bench import results
from bench.joining import join
from bench.openloop import Call, Connection, Credentials, check, connect, run
from bench.processes import Cpu, Process, Server
from bench.rawpeer import Address, RawPeer
from bench.results import Machine
from bench.speech import packets_of_speech
from mediaserver.signing import sign_request

ROOM = "/v1/rooms/bench"
FRAME_S = 0.02
SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it
CONSENT_EVERY = 250  # packets: 5 s, RFC 7675
STEADY_S = 0.05  # how long a mix must have been as it was for its change to be the call's
COMMITS, LATENESS = "mediaserver_state_commits_total", "mediaserver_tick_lateness_seconds"
STEPS = (("PUT", ""), ("PUT", "/mutes/host"), ("DELETE", "/mutes/host"), ("DELETE", ""))  # of a seat, over and over


# ---- the server


@dataclass(frozen=True)
class Key:
    id: str
    secret: str

    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()

    def signed(self) -> str:
        """For one request, as mediaserver.client does."""
        return "Bearer " + sign_request(self.id, self.secret, time.time())


def start_server(directory: Path, key: Key, rate: int) -> Server:
    # Its rate is limited as in production, but not below what a busy machine makes of the load.
    options = ("--state", str(directory / "state.db"), "--rate-per-key", str(max(2000, 3 * rate)))
    return Server(*options, workers=os.cpu_count() or 1, key=f"{key.id}:{key.secret}")


# ---- the room that plays


def speak(speakers: Sequence[tuple[RawPeer, Address]]) -> None:
    """In a process of its own, for ever: what holds up the load does not hold up the speech."""
    begin = time.monotonic()
    speech = [packets_of_speech(seed) for seed in range(len(speakers))]
    for number in itertools.count():
        for (peer, server), packets in zip(speakers, speech, strict=True):
            if number % CONSENT_EVERY == 0:
                peer.check(server)
            peer.socket.sendto(peer.rtp(packets[number % len(packets)]), server)
        time.sleep(max(0.0, begin + (number + 1) * FRAME_S - time.monotonic()))


class Listener:
    """Notes of each packet of the mix when the kernel took it, in s of CLOCK_REALTIME, and whom it says is in it."""

    def __init__(self, peer: RawPeer, server: Address) -> None:
        self.arrivals: list[float] = []
        self.sources: list[frozenset[int]] = []
        self.socket = peer.socket
        self._peer, self._server = peer, server
        peer.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        peer.socket.setblocking(False)

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, ancillary, _, _ = self._peer.socket.recvmsg(2048, 256)
                if data[0] & 0xC0 != 0x80 or 64 <= data[1] & 0x7F < 96:
                    continue  # STUN, RTCP
                plain = self._peer.opener.rtp(data)
                if plain is None:
                    raise RuntimeError("a packet of the mix cannot be decrypted")
                [stamp] = [value for _, kind, value in ancillary if kind == SO_TIMESTAMPNS]
                seconds, nanoseconds = struct.unpack("qq", stamp)
                self.arrivals.append(seconds + nanoseconds / 1e9)
                self.sources.append(frozenset(struct.unpack_from(f"!{plain[0] & 0x0F}I", plain, 12)))
                if len(self.arrivals) % CONSENT_EVERY == 0:
                    self._peer.check(self._server)

    def effect_ms(self, call: Call, csrc: int) -> float | None:
        """From the sending of this mute or unmute to the first packet that shows it; None when the mix was not steady
        before, so that it would be unclear what it shows."""
        heard = call.method == "DELETE"
        shows = [(csrc in sources) == heard for sources in self.sources]
        first = int(np.searchsorted(self.arrivals, call.sent, side="right"))
        steady = int(np.searchsorted(self.arrivals, call.sent - STEADY_S))
        if any(shows[steady:first]) or True not in shows[first:]:
            return None
        return (self.arrivals[shows.index(True, first)] - call.sent) * 1000


@dataclass
class Room:
    """As it plays: bob talks all the time, ann is the one who is muted and unmuted."""

    listener: Listener
    ann: int  # her CSRC


@contextlib.contextmanager
def playing(http: httpx.Client) -> Iterator[Room]:
    """A room with its speakers and its listener, all connected and heard."""

    def ask(method: str, path: str, **body: Any) -> Any:
        return http.request(method, ROOM + path, json=body or None).raise_for_status().json()

    def token(user: str, **rights: bool) -> str:
        return str(ask("POST", "/tokens", user=user, **rights)["token"])

    ask("PUT", "", metadata={"title": "Benchmark"})
    csrcs = {user: int(ask("PUT", f"/speakers/{user}")["csrc"]) for user in ("ann", "bob")}
    speakers = [join(http, "/whip/bench", token(user, may_publish=True), "sendonly") for user in csrcs]
    ear = join(http, "/whep/bench?mode=mix", token("eve"), "recvonly")
    talking = multiprocessing.get_context("fork").Process(target=speak, args=(speakers,), daemon=True)
    talking.start()
    try:
        listener = Listener(*ear)
        deadline = time.monotonic() + 10
        while not listener.sources or not listener.sources[-1] >= set(csrcs.values()):
            if time.monotonic() > deadline:
                raise RuntimeError("the speakers are not heard")
            time.sleep(FRAME_S)
            listener.read()
        yield Room(listener, csrcs["ann"])
    finally:
        talking.kill()
        talking.join()
        for peer, _ in (*speakers, ear):
            peer.close()


# ---- the load


@dataclass(frozen=True)
class Load:
    rate: int  # calls per second
    seconds: float
    connections: int
    seats: int
    probes: int  # mutes and unmutes of the speaker who is listened for, per second

    def preparation(self) -> list[Call]:
        """What brings each seat to the step at which it begins."""
        return [self._step(seat, step) for seat in range(self.seats) for step in range(seat % len(STEPS))]

    def calls(self) -> list[Call]:
        """Seats take turns, each goes through its steps; evenly in time."""
        found = []
        for number in range(round(self.rate * self.seconds)):
            turn, seat = divmod(number, self.seats)
            found.append(self._step(seat, seat + turn, number / self.rate))
        return found

    def probe_calls(self, seconds: float) -> list[Call]:
        """At random places between the ticks; seeded."""
        random_ = random.Random(1)
        count = round(self.probes * seconds) // 2 * 2  # ends as it began
        return [
            Call(
                ("PUT", "DELETE")[number % 2],
                f"{ROOM}/speakers/ann/mutes/system",
                due=number / self.probes + random_.uniform(0, FRAME_S),
            )
            for number in range(count)
        ]

    @staticmethod
    def _step(seat: int, number: int, due: float = 0.0) -> Call:
        method, what = STEPS[number % len(STEPS)]
        body = json.dumps({"seat": seat}).encode() if (method, what) == STEPS[0] else b""
        return Call(method, f"{ROOM}/speakers/guest-{seat}{what}", body, due)


@dataclass
class Outcome:
    calls: list[Call] = field(default_factory=list)
    probes: list[Call] = field(default_factory=list)
    seconds: float = 0.0  # from the first call's time to the last answer
    cpu: Cpu = field(default_factory=lambda: Cpu(0.0, 0.0, 0.0))

    @property
    def cpu_ms_per_call(self) -> Cpu:
        """Milliseconds, not seconds."""
        each = 1000 / (len(self.calls) + len(self.probes))
        return Cpu(self.cpu.loop * each, self.cpu.plane * each, self.cpu.others * each)

    @property
    def latencies_ms(self) -> list[float]:
        return [call.latency_ms for call in self.calls]


async def drive(
    address: Address,
    credentials: Credentials,
    load: Load,
    process: Process,
    calls: Sequence[Call] = (),
    *,
    probes: Sequence[Call] = (),
    listener: Listener | None = None,
) -> Outcome:
    """Makes the calls, each seat's on one connection, so that they arrive in order."""
    loop = asyncio.get_running_loop()
    connections = [await connect(address, credentials) for _ in range(min(load.connections, load.seats))]
    prober = await connect(address, credentials)

    def connection_of(call: Call) -> Connection:
        seat = int(call.path.rpartition("guest-")[2].partition("/")[0])
        return connections[seat % len(connections)]

    preparation = load.preparation() if calls else []
    await run(((connection_of(call), call) for call in preparation), time.monotonic())
    check(preparation)
    if listener is not None:
        loop.add_reader(listener.socket, listener.read)
    before, begin = process.cpu(), time.monotonic() + 0.1
    await asyncio.gather(
        run(((connection_of(call), call) for call in calls), begin), run(((prober, call) for call in probes), begin)
    )
    after = process.cpu()
    await asyncio.sleep(5 * FRAME_S)  # the last effect
    if listener is not None:
        loop.remove_reader(listener.socket)
    for connection in (*connections, prober):
        connection.close()
    check([*calls, *probes])
    outcome = Outcome(list(calls), list(probes))
    outcome.seconds = max(call.answered for call in (*calls, *probes)) - begin
    outcome.cpu = after - before
    return outcome


# ---- the floor


def floor_of_http(directory: Path, credentials: Credentials, load: Load) -> Outcome:
    """The same calls to an application that does nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = f"from bench.emptyapp import serve; serve({listening.fileno()})"
        with Process([sys.executable, "-c", command], directory / "floor.log", [listening.fileno()]) as process:
            address = listening.getsockname()
            httpx.get(f"http://{address[0]}:{address[1]}/", timeout=30)  # it serves
            return uvloop.run(drive(address, credentials, load, process, load.calls()))


def floor_of_commits(directory: Path, commits: int, rows: float) -> tuple[float, float]:
    """(CPU ms, ms) of a commit: so many small rows, and one with a document of 4 KiB."""
    connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE rooms (name TEXT PRIMARY KEY, document TEXT)")
    connection.execute("CREATE TABLE events (position INTEGER PRIMARY KEY, type TEXT, user TEXT, data TEXT)")
    document = "x" * 4096
    batch = [("speaker.muted", "guest-3", '{"source":"host"}')] * max(1, round(rows))
    cpu, begin = time.thread_time(), time.perf_counter()
    for _ in range(commits):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO events (type, user, data) VALUES (?, ?, ?)", batch)
        connection.execute("INSERT OR REPLACE INTO rooms VALUES ('bench', ?)", (document,))
        connection.execute("COMMIT")
    cpu, seconds = time.thread_time() - cpu, time.perf_counter() - begin
    connection.close()
    return cpu / commits * 1000, seconds / commits * 1000


# ---- all of it


def percentiles(values: Sequence[float], name: str, unit: str = "ms") -> dict[str, float]:
    points = zip((50, 90, 99, 100), ("p50", "p90", "p99", "max"), strict=True)
    return {f"{name}_{label}_{unit}": round(float(np.percentile(values, point)), 3) for point, label in points}


def noise(values: Sequence[float], name: str) -> dict[str, float]:
    """How far the percentiles of the earlier half of these lie from those of the later."""
    middle = len(values) // 2
    halves = [percentiles(half, name) for half in (values[:middle], values[middle:]) if half]
    return {key: results.spread([half[key] for half in halves]) for key in halves[0]} if len(halves) > 1 else {}


def effects(outcome: Outcome, room: Room, method: str = "") -> list[float]:
    """method: PUT for mutes alone, DELETE for unmutes alone."""
    found = [room.listener.effect_ms(call, room.ann) for call in outcome.probes if call.method.startswith(method)]
    clear = [effect for effect in found if effect is not None]
    if len(clear) < len(found) / 2:
        raise RuntimeError(f"only {len(clear)} of {len(found)} changes show in the mix")
    return clear


def measure(load: Load, idle_s: float, *, signed: bool) -> dict[str, Any]:
    key = Key("bench", secrets.token_hex(16))
    credentials = key.signed if signed else key.basic
    with tempfile.TemporaryDirectory(prefix="bench-control-") as name:
        directory = Path(name)
        with (
            start_server(directory, key, load.rate) as process,
            httpx.Client(base_url=process.url, auth=(key.id, key.secret), timeout=10) as http,
            playing(http) as room,
        ):
            target = process.address, credentials, load, process
            probes = load.probe_calls(idle_s)
            quiet = uvloop.run(drive(*target, probes=probes, listener=room.listener))
            before = process.metrics()
            probes = load.probe_calls(load.seconds)
            loaded = uvloop.run(drive(*target, load.calls(), probes=probes, listener=room.listener))
            after = process.metrics()
            idle_effects, load_effects = effects(quiet, room), effects(loaded, room)
            mutes, unmutes = effects(quiet, room, "PUT"), effects(quiet, room, "DELETE")
        commits = after.total(COMMITS) - before.total(COMMITS)
        lateness = after.histogram(LATENESS) - before.histogram(LATENESS)
        calls = len(loaded.calls) + len(loaded.probes)
        floor = floor_of_http(directory, credentials, load)
        commit_cpu_ms, commit_ms = floor_of_commits(directory, max(1, round(commits)), calls / commits)
    cpu, floor_cpu = loaded.cpu_ms_per_call, floor.cpu_ms_per_call.loop + commit_cpu_ms * commits / calls
    return {
        "control_calls_per_s": round(calls / loaded.seconds, 1),
        **percentiles(loaded.latencies_ms, "control_call"),
        **percentiles(load_effects, "control_effect"),
        **percentiles(idle_effects, "control_idle_effect"),
        **percentiles(mutes, "control_idle_mute"),
        **percentiles(unmutes, "control_idle_unmute"),
        "control_effect_samples": len(load_effects),
        "control_idle_effect_samples": len(idle_effects),
        "control_tick_late_p99_ms": 1000 * (lateness.quantile(0.99) or 0.0),
        "control_tick_late_max_ms": 1000 * (lateness.quantile(1.0) or 0.0),
        "control_cpu_ms_per_call": round(cpu.loop + cpu.others, 4),
        "control_loop_cpu_ms_per_call": round(cpu.loop, 4),
        "control_store_cpu_ms_per_call": round(cpu.others, 4),
        "control_commits_per_s": round(commits / loaded.seconds, 1),
        "control_calls_per_commit": round(calls / commits, 2),
        "control_floor_cpu_ms_per_call": round(floor_cpu, 4),
        "control_floor_http_cpu_ms_per_call": round(floor.cpu_ms_per_call.loop, 4),
        "control_floor_commit_cpu_ms": round(commit_cpu_ms, 4),
        "control_floor_commit_ms": round(commit_ms, 3),
        **percentiles(floor.latencies_ms, "control_floor_call"),
        "control_ratio_to_floor": round((cpu.loop + cpu.others) / floor_cpu, 2),
        "noise": {
            **noise(loaded.latencies_ms, "control_call"),
            **noise(load_effects, "control_effect"),
            **noise(idle_effects, "control_idle_effect"),
            **noise(floor.latencies_ms, "control_floor_call"),
        },
    }


def surroundings() -> dict[str, Any]:
    machine, (commit, dirty) = Machine.here(), results.commit()
    return {
        "machine": f"{machine.cores} x {machine.cpu}",
        "kernel": machine.kernel,
        "python": machine.python,
        "commit": commit + ("-dirty" if dirty else ""),
        "command": results.command_line("control"),
    }


def show(figures: dict[str, Any]) -> None:
    found = {name.removeprefix("control_"): value for name, value in figures.items()}

    def spread(name: str) -> str:
        return "  ".join(f"{label} {found[f'{name}_{label}_ms']:7.2f}" for label in ("p50", "p90", "p99", "max"))

    print(
        f"calls reached            {found['calls_per_s']:.0f} per second",
        f"call, ms                 {spread('call')}   (from the time at which it was due)",
        f"  of an empty app        {spread('floor_call')}",
        f"audible effect, ms       {spread('effect')}   ({found['effect_samples']} samples)",
        f"  on an idle server      {spread('idle_effect')}   ({found['idle_effect_samples']} samples)",
        f"    a mute               {spread('idle_mute')}",
        f"    an unmute            {spread('idle_unmute')}",
        f"ticks began late by      p99 <= {found['tick_late_p99_ms']:g} ms, max <= {found['tick_late_max_ms']:g} ms",
        f"server's CPU per call    {found['cpu_ms_per_call']:.3f} ms, {found['ratio_to_floor']:.1f} times the floor",
        f"  event loop, store      {found['loop_cpu_ms_per_call']:.3f} ms, {found['store_cpu_ms_per_call']:.3f} ms",
        f"  floor                  {found['floor_cpu_ms_per_call']:.3f} ms: empty app "
        f"{found['floor_http_cpu_ms_per_call']:.3f}, and its share of a commit of {found['floor_commit_cpu_ms']:.3f}",
        f"commits                  {found['commits_per_s']:.0f} per second, {found['calls_per_commit']:.1f} calls in "
        f"each; one alone takes {found['floor_commit_ms']:.2f} ms",
        *(f"{name:<24} {figures[name]}" for name in surroundings()),
        sep="\n",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench control", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--quick", action="store_true", help="3 s instead of 10")
    parser.add_argument("--signed", action="store_true", help="sign each request, instead of HTTP Basic")
    parser.add_argument("--rate", type=int, default=1000, metavar="N", help="calls per second")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long, instead of 10")
    parser.add_argument("--connections", type=int, default=32, metavar="N")
    parser.add_argument("--seats", type=int, default=32, metavar="N", help="that change, beside the two who talk")
    parser.add_argument("--probes", type=int, default=8, metavar="N", help="effects looked for per second, at most 10")
    arguments = parser.parse_args()
    seconds = arguments.seconds or (3.0 if arguments.quick else 10.0)
    load = Load(arguments.rate, seconds, arguments.connections, arguments.seats, arguments.probes)
    figures = measure(load, seconds, signed=arguments.signed) | surroundings()
    show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
