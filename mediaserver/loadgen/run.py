"""One load from its first offer to its report."""

import asyncio
import contextlib
import itertools
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin

from mediaserver import _native
from mediaserver.client import CallError
from mediaserver.loadgen.description import MAX_ANSWER_BYTES, Answer, AnswerError, Ice, offer, parse_answer
from mediaserver.loadgen.handshake import ClientHandshake, Identity
from mediaserver.loadgen.http import Http, HttpError
from mediaserver.loadgen.limits import raise_descriptors
from mediaserver.loadgen.network import Network
from mediaserver.loadgen.places import Places
from mediaserver.loadgen.plan import FRAME_S, Join, Plan
from mediaserver.loadgen.report import Peer, Report, Usage
from mediaserver.loadgen.sounds import chirping, speech, tones

JOIN_TIMEOUT_S = 15.0
"""From an offer's time to keys. Lower counts slow joins as failures, higher lets those that hang hold up the rest."""
AT_ONCE = 512
"""Joins under way. Those that are due beyond wait, and the wait is part of their time."""
TICK_S = 0.25  # between two looks at handshakes' timers
TICKS_OF_PROGRESS = 4
"""Ticks between two looks at all counters, which hold up the generator's thread for 0.1 µs a listener."""
DRAIN_S = 0.5
"""After the speakers have fallen silent: what is on its way, through jitter buffers as well, arrives."""
LEAVES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """For who watches. stage: "joining", "measuring" or "leaving"; elapsed_s, total_s: of all."""

    stage: str
    elapsed_s: float
    total_s: float
    due: int
    connected: int
    failed: int
    snapshot: dict[str, Any]


@dataclass(slots=True)
class _Client:
    """A peer while the load runs. number: the generator's, None before the answer."""

    join: Join
    number: int | None = None
    handshake: ClientHandshake | None = None
    expected: Answer | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    session: str | None = None
    token: str | None = field(default=None, repr=False)
    report: Peer = field(init=False)
    due_ns: int = 0

    def __post_init__(self) -> None:
        self.report = Peer(self.join.room, self.join.speaks)

    def since_due_ms(self) -> float:
        return (time.monotonic_ns() - self.due_ns) / 1e6


class _JoinError(Exception):
    """Why a peer did not get in, in a few words that are the same for all with the same trouble."""


class Load:
    """rewrite: what is made of an answer before it is read, such as a relay in the place of its candidates."""

    def __init__(
        self,
        plan: Plan,
        places: Places,
        *,
        bind: str = "127.0.0.1",
        rewrite: Callable[[str], str] = str,
        show: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._plan = plan
        self._places = places
        self._ipv6 = ":" in bind
        self._rewrite = rewrite
        self._show = show
        self._identity = Identity()
        self._clients: list[_Client] = []
        self._by_number: dict[int, _Client] = {}
        self._shaking: set[int] = set()  # numbers of those whose handshake is under way
        self._places_at_once = asyncio.Semaphore(AT_ONCE)
        self._ending = self._opened = False
        self._run_id = plan.random(Join(0, 0, True, 0)).getrandbits(32) ^ (time.time_ns() & 0xFFFFFFFF)
        self._generator = _native.LoadGenerator(bind, _path(plan.up), _path(plan.down), plan.seed)

    async def run(self) -> Report:
        """The whole load. client.CallError, OSError and ValueError, with a sentence, when it cannot begin."""
        raise_descriptors(self._plan.peers)
        self._sounds, voice = self._make_sounds()
        loop = asyncio.get_running_loop()
        async with Http(max_body=MAX_ANSWER_BYTES) as http:
            self._generator.start()
            loop.add_reader(self._generator.event_fd, self._on_events)
            try:
                await self._places.open(self._plan)
                self._opened = True
                async with asyncio.TaskGroup() as group:
                    looking = group.create_task(self._look())
                    usage = await self._play(http, group)
                    looking.cancel()
                return self._report(voice, usage)
            finally:
                self._ending = True
                loop.remove_reader(self._generator.event_fd)
                await self._leave(http)
                self._generator.stop()

    async def _play(self, http: Http, group: asyncio.TaskGroup) -> Usage:
        """Joins at their times, whatever becomes of those before; then waits, and says what it cost."""
        self._begun_ns = time.monotonic_ns()
        joins = []
        for join in self._plan.joins():
            await self._until(join.at_s)
            client = _Client(join, due_ns=self._begun_ns + round(join.at_s * 1e9))
            self._clients.append(client)
            joins.append(group.create_task(self._join(http, client)))
        before, before_cpu_s, before_s = self._generator.snapshot(), time.process_time(), time.monotonic()
        await self._until(self._plan.last_join_s + self._plan.duration_s)
        await asyncio.gather(*joins)
        after = self._generator.snapshot()
        usage = Usage(
            time.monotonic() - before_s,
            time.process_time() - before_cpu_s,
            after["cpu_s"] - before["cpu_s"],
            _datagrams(after) - _datagrams(before),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # Linux counts in KiB
        )
        self._ending = True
        self._generator.hush()
        ways = (self._plan.up, self._plan.down)
        await asyncio.sleep(DRAIN_S + sum(way.delay_ms + way.jitter_ms for way in ways) / 1000)
        return usage

    async def _until(self, at_s: float) -> None:
        left_s = self._begun_ns / 1e9 + at_s - time.monotonic()
        # Also when it is late: others must have their turn.
        await asyncio.sleep(max(0.0, left_s))

    async def _join(self, http: Http, client: _Client) -> None:
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S), self._places_at_once:
                await self._connect(http, client)
        except TimeoutError:
            client.report = replace(client.report, failed="not connected in time")
        except HttpError as error:
            client.report = replace(client.report, failed=f"HTTP failed: {error}")
        except _JoinError as error:
            client.report = replace(client.report, failed=str(error))
        finally:
            if client.number is not None:
                self._shaking.discard(client.number)

    async def _connect(self, http: Http, client: _Client) -> None:
        join, random = client.join, self._plan.random(client.join)
        ice = Ice(f"{random.getrandbits(48):012x}", f"{random.getrandbits(128):032x}")
        ssrc = random.getrandbits(32) or 1
        cname = f"{join.user}-{join.room}"
        place = self._places.place(self._plan, join)
        sections = 1 if join.speaks else self._plan.sections
        sdp = offer(ice, self._identity.fingerprint, sends=join.speaks, sections=sections, ssrc=ssrc, cname=cname)
        headers = {"Content-Type": "application/sdp", "Accept": "application/sdp"}
        if place.token:
            headers["Authorization"] = f"Bearer {place.token}"
        client.token = place.token
        client.report = replace(client.report, offered_ms=client.since_due_ms())
        response = await http.request("POST", place.url, headers, sdp.encode())
        if response.status != 201:
            raise _JoinError(f"refused with {response.status} {response.reason}".rstrip())
        if location := response.headers.get("location"):
            client.session = urljoin(place.url, location)
        client.report = replace(client.report, answered_ms=client.since_due_ms())
        try:
            client.expected = parse_answer(self._rewrite(response.body.decode("utf-8", "replace")), ipv6=self._ipv6)
            client.number = self._add(client, ice, ssrc, cname)
        except (AnswerError, ValueError) as error:
            raise _JoinError(str(error).rstrip(".")) from None
        except OSError as error:
            raise _JoinError(f"no socket: {error.strerror or error}") from None
        self._by_number[client.number] = client
        await client.ready.wait()

    def _add(self, client: _Client, ice: Ice, ssrc: int, cname: str) -> int:
        plan, join, answer = self._plan, client.join, client.expected
        assert answer is not None
        random = plan.random(join)
        common: dict[str, Any] = {
            "local": ice.pair,
            "remote": answer.ice.pair,
            "candidates": list(answer.candidates),
            "seed": random.getrandbits(63),
            "run": self._run_id,
            "room": join.room,
            "cname": cname,
        }
        if not join.speaks:
            return self._generator.add_listener(
                **common,
                report_ssrc=ssrc,
                forwarded=plan.mode == "select",
                constant=plan.constant,
                ear=plan.mode == "mix" and plan.kind != "speech" and join.number < plan.ears,
                own_tones=plan.own_tones(join.room, _native.LOAD_TONES),
                chirps=plan.kind == "chirps",
            )
        sound = plan.tone(join.room, join.number, _native.LOAD_TONES) if plan.kind == "markers" else 0
        if plan.kind == "chirps":
            sound = join.number
        return self._generator.add_speaker(
            **common,
            speaker=join.number,
            payload_type=answer.payload_type,
            level_id=answer.level_id,
            ssrc=ssrc,
            sound=self._sounds[sound],
            first_frame=0 if plan.kind == "markers" else random.getrandbits(16),
            spurt_frames=plan.spurt_s / FRAME_S,
            silence_frames=plan.silence_s / FRAME_S,
            phase_ms=random.random() * FRAME_S * 1000,
        )

    def _make_sounds(self) -> tuple[list[_native.LoadSound], str]:
        plan = self._plan
        if plan.kind == "speech":
            frames, voice = speech(plan.seed)
            return [_native.LoadSound(frames)], voice
        if plan.kind == "chirps":
            chirps = [chirping(kind, _native.load_chirp(kind), plan.seed) for kind in range(plan.speakers)]
            return [_native.LoadSound(frames, chirp) for frames, chirp in chirps], "chirps"
        count = min(_native.LOAD_TONES, plan.rooms * plan.speakers)
        made = tones(_native.load_tone_hz(tone) for tone in range(count))
        return [_native.LoadSound(frames) for frames in made], "markers"

    def _on_events(self) -> None:
        for kind, number, data in self._generator.poll():
            client = self._by_number[number]
            if kind == _native.LOAD_ICE_CONNECTED:
                self._begin(client, number)
            elif kind == _native.LOAD_DATAGRAM:
                if client.handshake is not None and client.handshake.keys is None:
                    self._handle(client, number, client.handshake.receive(data))
            elif client.ready.is_set():
                if not self._ending:
                    client.report = replace(client.report, disconnected=True)
            elif kind == _native.LOAD_ICE_FAILED:
                self._fail(client, "no candidate answered")

    def _begin(self, client: _Client, number: int) -> None:
        if client.handshake is None and client.expected is not None:
            client.report = replace(client.report, checked_ms=client.since_due_ms())
            client.handshake = ClientHandshake(self._identity, client.expected.fingerprints)
            self._shaking.add(number)
            self._handle(client, number, client.handshake.begin())

    def _handle(self, client: _Client, number: int, datagrams: list[bytes]) -> None:
        handshake = client.handshake
        assert handshake is not None
        for datagram in datagrams:
            self._generator.send(number, datagram)
        if handshake.keys is not None:
            self._generator.set_keys(number, handshake.keys.profile, handshake.keys.material)
            client.report = replace(client.report, connected_ms=client.since_due_ms())
            self._shaking.discard(number)
            client.ready.set()
        elif handshake.failed is not None:
            self._fail(client, handshake.failed.rstrip("."))

    def _fail(self, client: _Client, why: str) -> None:
        if client.number is not None:
            self._shaking.discard(client.number)
        client.report = replace(client.report, failed=why)
        client.ready.set()

    async def _look(self) -> None:
        """Handshakes' timers and the progress, until it is cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            for tick in itertools.count():
                await asyncio.sleep(TICK_S)
                for number in [*self._shaking]:
                    client = self._by_number[number]
                    if client.handshake is not None:
                        self._handle(client, number, client.handshake.timeout())
                if tick % TICKS_OF_PROGRESS == 0:
                    self._show(self._progress())

    def _progress(self) -> Progress:
        plan = self._plan
        elapsed_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        joining = len(self._clients) < plan.peers
        stage = "leaving" if self._ending else "joining" if joining else "measuring"
        failed = sum(client.report.failed is not None for client in self._clients)
        snapshot = self._generator.snapshot()
        total_s = plan.last_join_s + plan.duration_s
        return Progress(stage, elapsed_s, total_s, len(self._clients), snapshot["connected"], failed, snapshot)

    def _report(self, voice: str, usage: Usage) -> Report:
        return Report(
            self._plan, voice, [*self._peers()], self._generator.snapshot(), usage, self._generator.mouth_to_ear_us()
        )

    def _peers(self) -> Iterator[Peer]:
        for client in self._clients:
            if client.number is None:
                yield client.report
                continue
            outcome = self._generator.outcome(client.number)
            heard = bool(outcome["listener"] and outcome["packets"])
            first_audio_ms = (outcome["first_ns"] - client.due_ns) / 1e6 if heard else None
            yield replace(client.report, first_audio_ms=first_audio_ms, heard=heard, last_ns=outcome["last_ns"])

    async def _leave(self, http: Http) -> None:
        """Says goodbye for everybody; what a server does not answer now, its timeouts will end."""
        for client in self._clients:
            if client.number is not None:
                self._generator.leave(client.number)
        sessions = iter([client for client in self._clients if client.session is not None])

        async def one_after_another() -> None:
            for client in sessions:
                assert client.session is not None
                headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}
                with contextlib.suppress(HttpError):
                    await http.request("DELETE", client.session, headers)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                await asyncio.gather(*(one_after_another() for _ in range(LEAVES_AT_ONCE)))
        if self._opened:
            with contextlib.suppress(CallError):  # a server that has died meanwhile has no rooms any more
                await self._places.close(self._plan)


def _datagrams(snapshot: dict[str, Any]) -> int:
    return int(snapshot["datagrams_sent"] + snapshot["datagrams_received"])


def _path(network: Network) -> _native.LoadPath:
    return _native.LoadPath(
        loss=network.loss,
        burst=network.burst,
        delay_ms=network.delay_ms,
        jitter_ms=network.jitter_ms,
        duplicate=network.duplicate,
    )
