"""A stand-in for the compiled packet plane: it moves no packets, notes what it is told and says what a test wants.

As a module it has the names of `mediaserver._native` that the server uses, so it can be handed to plane.Driver in its
place; test_fake_plane.py compares it with the interface file.
"""

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATAGRAM = 11
ICE_CONNECTED = 12
MEDIA = 14
CONSENT_EXPIRED = 15
CONSENT_LATE = 16
CONSENT_BACK = 17
DECK_STARVED = 18
DECK_RESUMED = 19
DECK_ENDED = 20
EFFECT_ENDED = 21
VOICE = 22
LOSS = 23

COUNTERS = (
    "datagrams_received",
    "bytes_received",
    "datagrams_sent",
    "bytes_sent",
    "packets_forwarded",
    "packets_mixed",
    "rtp_received",
    "dropped_malformed",
    "cpu_ns",
    "peers",
    "rooms",
    "mixes",
)


def counter_meanings() -> dict[str, str]:
    return {name: f"meaning of {name}" for name in COUNTERS}


@dataclass(kw_only=True)
class Slot:
    ssrc: int
    payload_type: int
    mid: str = ""
    mid_id: int = 0
    level_id: int = 0
    csrc_level_id: int = 0
    red_payload_type: int = 0
    nack: bool = False


@dataclass
class PeerStats:
    packets_received: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    packets_nacked: int = 0
    packets_retransmitted: int = 0
    packets_lost: int = 0
    fraction_lost: float = 0.0
    jitter_ms: float = 0.0
    round_trip_ms: float | None = None
    level_dbov: float = -127.0
    speaking: bool = False
    silent: bool = False
    clipping: bool = False
    playout_delay_ms: float = 0.0
    playout_target_ms: float = 0.0
    lateness_ms: float = 0.0
    accelerated_ms: float = 0.0
    decelerated_ms: float = 0.0
    frames_recovered: int = 0
    frames_from_red: int = 0
    frames_from_nack: int = 0
    packets_asked: int = 0
    frames_concealed: int = 0
    packets_late: int = 0
    tier: int = 0
    over_tcp: bool = False
    ssrc: int = 0
    address: str = ""


@dataclass
class Peer:
    """What add_publisher or add_listener was told, and what followed."""

    room: int
    worker: int | None  # None: a publisher, on the home worker of the room that it joined
    options: dict[str, Any]
    stats: PeerStats = field(default_factory=PeerStats)
    sent: list[bytes] = field(default_factory=list)
    keys: tuple[int, bytes] | None = None
    released: bool = False
    sources: list[int] = field(default_factory=list)
    row: int | None = None
    farewell: list[bytes] | None = None  # set when the peer was removed


class Ring:
    """Nobody fills it but a test."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.fd = -1
        self.buffered = 0
        self.finished = False
        self.position = (0, 0)


class Clip:
    def __init__(self, samples: NDArray[np.float32]) -> None:
        self.frames = len(samples)


@dataclass(frozen=True)
class Stage:
    """One of kernels.PLANE_STAGES, by its name; kernels need not be compiled for that."""

    name: str

    def values(self, **given: float) -> tuple[float, ...]:
        return tuple(given.values())


STAGES = tuple(map(Stage, ("high_pass", "denoise", "gate", "level", "reverb", "pitch", "robot", "telephone")))


@dataclass
class Deck:
    ring: Ring
    gain: float
    fade_samples: int
    then: str = "go on"


@dataclass
class Effect:
    id: int
    clip: Clip
    repeat: bool


class Plane:
    """Refuses, by AssertionError, what the interface file forbids."""

    def __init__(self, binds: Sequence[Sequence[tuple[str, int]]], *, tcp: bool = False) -> None:
        self.binds = binds
        self.tcp = tcp
        self.running = False
        self.stopped = False
        self.rooms: dict[int, int] = {}  # room -> home
        self.mixes: dict[int, dict[str, Any]] = {}  # room -> how its mixes are encoded
        self.columns: dict[tuple[int, int], float] = {}  # (room, csrc) -> gain
        self.rows: dict[tuple[int, int], dict[int, float]] = {}  # (room, row) -> factor by csrc
        self.places: dict[tuple[int, int], tuple[float, float]] = {}  # (room, csrc) -> left, right
        self.row_places: dict[tuple[int, int], dict[int, tuple[float, float]]] = {}  # (room, row)
        self.chains: dict[tuple[int, int], list[tuple[int, list[float]]]] = {}  # (room, csrc) -> stages
        self.delays: dict[tuple[int, int], int] = {}  # (room, csrc) -> samples
        self.decks: dict[tuple[int, int], dict[int, Deck]] = {}  # (room, csrc) -> those of a player
        self.effects: dict[tuple[int, int], Effect] = {}  # (room, csrc)
        self.kernels: dict[str, int] = {}
        self.stages: list[tuple[int, int, int, int, int]] = []
        self.cpu_ns = [0] * len(binds)  # for tests: what the workers have used
        self.peers: dict[int, Peer] = {}
        self.removed: dict[int, Peer] = {}
        self._events: deque[tuple[int, int, bytes]] = deque()
        self._event_fd = os.eventfd(0, os.EFD_NONBLOCK)

    def emit(self, kind: int, peer: int, data: bytes = b"") -> None:
        """For tests: what the plane would report."""
        self._events.append((kind, peer, data))
        os.eventfd_write(self._event_fd, 1)

    def start(self) -> None:
        assert not self.stopped
        self.running = True

    def stop(self) -> None:
        self.running = False
        if not self.stopped:
            os.close(self._event_fd)
        self.stopped = True

    @property
    def workers(self) -> int:
        return len(self.binds)

    def addresses(self, worker: int) -> list[tuple[str, int]]:
        return [(address, port or 40_000 + worker) for address, port in self.binds[worker]]

    def tcp_addresses(self, worker: int) -> list[tuple[str, int]]:
        return self.addresses(worker) if self.tcp else []

    def tcp_failures(self, worker: int) -> list[str]:
        return []

    @property
    def event_fd(self) -> int:
        return self._event_fd

    def poll(self) -> list[tuple[int, int, bytes]]:
        events = list(self._events)
        self._events.clear()
        if events:
            os.eventfd_read(self._event_fd)
        return events

    def set_kernels(
        self,
        *,
        mix: int,
        limit: int,
        levels: int,
        limiter_state_mono: int,
        limiter_state_stereo: int,
        limiter_delay: int,
    ) -> None:
        assert not self.rows
        self.kernels = {"mix": mix, "limit": limit, "levels": levels}

    def set_stages(self, stages: Sequence[tuple[int, int, int, int, int]]) -> None:
        self.stages = list(stages)

    def add_room(
        self,
        room: int,
        home: int,
        *,
        stereo: bool = False,
        bitrate: int = 48000,
        ptime_ms: int = 20,
        complexity: int = 5,
        music: bool = False,
        passthrough: bool = False,
        e2ee: bool = False,
        ducking: float = 1.0,
    ) -> None:
        assert room not in self.rooms
        self.rooms[room] = home
        self.configure_room(
            room,
            stereo=stereo,
            bitrate=bitrate,
            ptime_ms=ptime_ms,
            complexity=complexity,
            music=music,
            passthrough=passthrough,
            e2ee=e2ee,
            ducking=ducking,
        )

    def configure_room(
        self,
        room: int,
        *,
        stereo: bool,
        bitrate: int,
        ptime_ms: int,
        complexity: int,
        music: bool,
        passthrough: bool,
        e2ee: bool,
        ducking: float = 1.0,
    ) -> None:
        assert room in self.rooms
        assert ptime_ms in (20, 40, 60)
        assert 0 <= complexity <= 10
        assert 6_000 <= bitrate <= 510_000
        self.mixes[room] = {
            "stereo": stereo,
            "bitrate": bitrate,
            "ptime_ms": ptime_ms,
            "complexity": complexity,
            "music": music,
            "passthrough": passthrough,
            "e2ee": e2ee,
            "ducking": ducking,
        }

    def remove_room(self, room: int) -> None:
        assert not [peer for peer in self.peers.values() if peer.room == room]
        del self.rooms[room]
        del self.mixes[room]
        self.columns = {key: gain for key, gain in self.columns.items() if key[0] != room}
        self.rows = {key: cells for key, cells in self.rows.items() if key[0] != room}

    def set_column(self, room: int, csrc: int, gain: float, left: float = 1.0, right: float = 1.0) -> None:
        assert room in self.rooms
        self.columns[room, csrc] = gain
        self.places[room, csrc] = (left, right)

    def set_chain(self, room: int, csrc: int, stages: Sequence[tuple[int, Sequence[float]]]) -> None:
        assert (room, csrc) in self.columns
        self.chains[room, csrc] = [(number, list(params)) for number, params in stages]

    def add_player(self, room: int, csrc: int, gain: float, left: float = 1.0, right: float = 1.0) -> None:
        assert (room, csrc) not in self.columns
        self.set_column(room, csrc, gain, left, right)
        self.decks[room, csrc] = {}

    def add_tap(
        self,
        room: int,
        csrc: int,
        player: int,
        *,
        gain: float,
        left: float = 1.0,
        right: float = 1.0,
        delay_samples: int,
    ) -> None:
        assert (room, csrc) not in self.columns
        assert (room, player) in self.decks
        self.set_column(room, csrc, gain, left, right)
        self.set_delay(room, csrc, delay_samples)

    def set_delay(self, room: int, csrc: int, delay_samples: int) -> None:
        assert (room, csrc) in self.columns
        assert delay_samples <= 48_000
        self.delays[room, csrc] = delay_samples

    def add_deck(self, room: int, csrc: int, deck: int, ring: Ring, *, gain: float, fade_samples: int) -> None:
        self.decks[room, csrc][deck] = Deck(ring, gain, fade_samples)

    def fade_deck(
        self, room: int, csrc: int, deck: int, *, gain: float, fade_samples: int, then: str = "go on"
    ) -> None:
        assert then in {"go on", "hold", "remove"}
        faded = self.decks[room, csrc].get(deck)
        if faded is None:
            return
        faded.gain, faded.fade_samples, faded.then = gain, fade_samples, then
        if then == "remove":
            del self.decks[room, csrc][deck]

    def start_effect(
        self,
        room: int,
        csrc: int,
        effect: int,
        clip: Clip,
        *,
        gain: float,
        left: float = 1.0,
        right: float = 1.0,
        repeat: bool = False,
    ) -> None:
        assert (room, csrc) not in self.columns
        self.set_column(room, csrc, gain, left, right)
        self.effects[room, csrc] = Effect(effect, clip, repeat)

    def stop_effect(self, room: int, csrc: int) -> None:
        effect = self.effects.pop((room, csrc), None)
        if effect is not None:
            del self.columns[room, csrc]
            self.emit(EFFECT_ENDED, effect.id)

    def remove_column(self, room: int, csrc: int) -> None:
        del self.columns[room, csrc]
        for kept in (self.places, self.chains, self.delays, self.decks, self.effects):
            kept.pop((room, csrc), None)

    def add_row(
        self,
        room: int,
        row: int,
        cells: Sequence[tuple[int, float]],
        like: int | None = None,
        places: Sequence[tuple[int, float, float]] = [],
    ) -> None:
        assert room in self.rooms
        assert (room, row) not in self.rows
        assert like is None or (room, like) in self.rows
        self.rows[room, row] = dict(cells)
        self.row_places[room, row] = {csrc: (left, right) for csrc, left, right in places}

    def set_row(
        self,
        room: int,
        row: int,
        cells: Sequence[tuple[int, float]],
        places: Sequence[tuple[int, float, float]] = [],
    ) -> None:
        assert (room, row) in self.rows
        self.rows[room, row] = dict(cells)
        self.row_places[room, row] = {csrc: (left, right) for csrc, left, right in places}

    def remove_row(self, room: int, row: int) -> None:
        assert not [peer for peer in self.peers.values() if peer.room == room and peer.row == row]
        del self.rows[room, row]

    def move_peer(self, peer: int, room: int, *, csrc: int, row: int | None = None) -> None:
        moved = self.peers[peer]
        assert room in self.rooms
        assert csrc != 0 or moved.worker is not None
        assert (row is None) == (moved.row is None), "a listener of a mix moves to a row, and nobody else"
        assert row is None or (room, row) in self.rows
        moved.room, moved.row = room, row
        moved.options["csrc"] = csrc
        moved.sources = []

    def set_listener_row(self, peer: int, row: int) -> None:
        assert self.peers[peer].row is not None
        assert (self.peers[peer].room, row) in self.rows
        self.peers[peer].row = row

    def add_publisher(
        self,
        peer: int,
        room: int,
        *,
        ufrag: str,
        pwd: str,
        csrc: int,
        payload_type: int,
        level_id: int,
        report_ssrc: int,
        red_payload_type: int = 0,
        nack: bool = False,
    ) -> PeerStats:
        options = {
            "ufrag": ufrag,
            "pwd": pwd,
            "csrc": csrc,
            "payload_type": payload_type,
            "level_id": level_id,
            "report_ssrc": report_ssrc,
            "red_payload_type": red_payload_type,
            "nack": nack,
        }
        return self._add(peer, Peer(room, None, options))

    def add_listener(
        self,
        peer: int,
        worker: int,
        room: int,
        *,
        ufrag: str,
        pwd: str,
        csrc: int,
        slots: Sequence[Slot],
        cname: str,
        row: int | None = None,
    ) -> PeerStats:
        assert 0 <= worker < self.workers
        assert row is None or ((room, row) in self.rows and len(slots) == 1)
        options = {"ufrag": ufrag, "pwd": pwd, "csrc": csrc, "slots": list(slots), "cname": cname}
        return self._add(peer, Peer(room, worker, options, row=row))

    def set_sources(self, peer: int, csrcs: Sequence[int]) -> None:
        self.peers[peer].sources = list(csrcs)

    def restart_ice(self, peer: int, ufrag: str, pwd: str) -> None:
        self.peers[peer].options |= {"ufrag": ufrag, "pwd": pwd}

    def send(self, peer: int, datagrams: Sequence[bytes]) -> None:
        self.peers[peer].sent += datagrams

    def set_keys(self, peer: int, profile: int, material: bytes) -> None:
        assert self.peers[peer].keys is None, "keys are set once"
        self.peers[peer].keys = (profile, material)

    def release_handshake(self, peer: int) -> None:
        assert not self.peers[peer].released
        self.peers[peer].released = True

    def remove_peer(self, peer: int, farewell: Sequence[bytes]) -> None:
        self.removed[peer] = self.peers.pop(peer)
        self.removed[peer].farewell = list(farewell)

    def unix_time_ns(self, monotonic_ns: int) -> int:
        return monotonic_ns + 1_700_000_000_000_000_000

    def counters(self, worker: int) -> dict[str, int]:
        counters = dict.fromkeys(COUNTERS, 0)
        counters["cpu_ns"] = self.cpu_ns[worker]
        counters["peers"] = len(self.peers)
        counters["rooms"] = sum(home == worker for home in self.rooms.values())
        return counters

    def residence(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [3, 1, 0], 0.004

    def mix_residence(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [4, 0, 0], 0.001

    def playout_wait(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [0, 0, 5], 0.1

    def playout_target(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [0, 5, 0], 0.025

    def tick_lateness(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [2, 0, 0], 0.001

    def tick_duration(self, worker: int) -> tuple[list[float], list[int], float]:
        return [0.001, 0.01], [2, 0, 0], 0.001

    def _add(self, peer: int, added: Peer) -> PeerStats:
        assert added.room in self.rooms
        assert peer not in self.peers
        assert peer not in self.removed
        ufrags = {known.options["ufrag"] for known in self.peers.values()}
        assert added.options["ufrag"] not in ufrags
        self.peers[peer] = added
        return added.stats
