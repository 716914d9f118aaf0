"""What a load found: figures, faults, and whether the generator itself was fast enough to be believed. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from mediaserver.loadgen.plan import Plan

LATE_US = 5_000
"""99th percentile of how late the generator sends, above which its figures are its own. Audio has 20 ms."""
LATE_OFFER_MS = 50.0
"""The same of offers, above which join times are of the generator's own event loop."""
BUSY = 0.85
"""Share of a core of the generator's thread, above which what it measures waits in its own sockets."""
STALL_S = 1.0
# What the network model did to datagrams of every kind, each way.
MODELLED = (
    *("modelled_lost_up", "modelled_lost_down", "modelled_twice_up", "modelled_twice_down"),
    "modelled_overflow",
)

# Fault -> what it means, in the order in which they are printed.
FAULTS = {
    "not_connected": "peers that did not get in",
    "disconnected": "peers that were cut off before the end",
    "silent": "listeners who never heard anything",
    "stalled": "listeners whose audio ended while their room still talked",
    "lost": "packets that never came (RTP sequence numbers)",
    "duplicates": "packets that came twice",
    "reordered": "packets that came behind later ones",
    "restarts": "jumps of an RTP stream",
    "gaps": "times that a stream was late by 200 ms or more",
    "missing": "packets of a speaker that a listener did not get",
    "repeated": "packets of a speaker that the server sent twice",
    "disordered": "packets of a speaker that came behind his later ones",
    "foreign": "packets, or tenths of a second of a mix, with another room's audio",
    "corrupt": "packets with another payload than was sent",
    "unmarked": "forwarded packets that no speaker of ours sent",
    "undecryptable": "packets that did not authenticate",
    "malformed": "packets that are no RTP, or of too many streams",
    "deaf": "tenths of a second of a mix without the room's speakers",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """What became of one. Times in ms from when its offer was due; None when it did not come to that."""

    room: int
    speaks: bool
    offered_ms: float | None = None
    answered_ms: float | None = None
    connected_ms: float | None = None
    first_audio_ms: float | None = None
    failed: str | None = None
    disconnected: bool = False
    heard: bool = False
    last_ns: int = 0
    checked_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Between the last offer and the end. cpu_s: of the whole process; thread_s: of the thread that moves packets;
    peak_mib: the most memory that the process had, from its start."""

    seconds: float
    cpu_s: float
    thread_s: float
    datagrams: int
    peak_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    plan: Plan
    voice: str  # what was played: "recorded", "synthesised", "markers" or "chirps"
    peers: Sequence[Peer]
    snapshot: Mapping[str, Any]
    usage: Usage
    mouth_to_ear_us: Sequence[int] = ()  # of each chirp that was heard, as far as they are kept
    faults: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "faults", _faults(self))

    @property
    def connected(self) -> int:
        return sum(peer.connected_ms is not None for peer in self.peers)

    @property
    def doubts(self) -> list[str]:
        """Why the figures may say more of the generator than of the server. Empty: nothing is known."""
        found = []
        late_us = self.snapshot["lateness"]["p99_us"]
        if late_us > LATE_US:
            found.append(f"The generator sent late: {late_us / 1000:.1f} ms at the 99th percentile.")
        offered_ms = self.join_ms()["offered"].get("p99", 0.0)
        if offered_ms > LATE_OFFER_MS:
            found.append(f"The generator made offers late: {offered_ms:.0f} ms at the 99th percentile.")
        if self.snapshot["packets_skipped"]:
            found.append(
                f"The generator left out {self.snapshot['packets_skipped']:,} packets that it had no time for."
            )
        if self.snapshot["send_failures"]:
            found.append(f"The system refused to send {self.snapshot['send_failures']:,} datagrams.")
        if self.snapshot["modelled_overflow"]:
            found.append(f"The network model had no room for {self.snapshot['modelled_overflow']:,} datagrams.")
        if self.usage.seconds and self.usage.thread_s / self.usage.seconds > BUSY:
            share = 100 * self.usage.thread_s / self.usage.seconds
            found.append(f"The generator's thread was busy {share:.0f} % of the time.")
        return found

    @property
    def rooms_are_verified(self) -> bool:
        """Whether another room's audio would have been noticed: in a mix, only tones can tell."""
        return self.plan.mode == "select" or (self.plan.kind == "markers" and self.plan.ears > 0)

    def failures(self) -> dict[str, int]:
        """Reason -> number of peers."""
        return dict(Counter(peer.failed for peer in self.peers if peer.failed is not None).most_common())

    def document(self) -> dict[str, Any]:
        """For --json."""
        generator = {
            "cpu_seconds": self.usage.cpu_s,
            "thread_cpu_seconds": self.usage.thread_s,
            "measured_seconds": self.usage.seconds,
            "peak_memory_mib": self.usage.peak_mib,
            "core_percent_per_peer": self.cpu_percent_per_peer(),
            "cpu_us_per_datagram": self.cpu_us_per_datagram(),
            "send_lateness_us": self.snapshot["lateness"],
            "receive_queue_us": self.snapshot["queue"],
            "packets_skipped": self.snapshot["packets_skipped"],
            "send_failures": self.snapshot["send_failures"],
            "doubts": self.doubts,
        }
        return {
            "plan": asdict(self.plan) | {"sound": self.plan.kind, "slots": self.plan.sections},
            "voice": self.voice,
            "peers": {"wanted": self.plan.peers, "connected": self.connected, "failures": self.failures()},
            "join_ms": self.join_ms(),
            "packets_sent": self.snapshot["packets_sent"],
            "received": dict(self.snapshot["tally"]),
            "delay_us": self.snapshot["delay"],
            "delay_as_read_us": self.snapshot["delay_as_read"],
            "mouth_to_ear_us": self.snapshot["mouth_to_ear"] | {"chirps_said": self.snapshot["chirps_said"]},
            "network": {name: self.snapshot[name] for name in MODELLED},
            "rooms_are_verified": self.rooms_are_verified,
            "faults": dict(self.faults),
            "generator": generator,
        }

    def join_ms(self) -> dict[str, dict[str, float]]:
        """From when an offer was due to when it was made, to its answer, to the response to a connectivity check, to
        SRTP keys on our side, and to a listener's first packet."""
        return {
            "offered": percentiles([peer.offered_ms for peer in self.peers]),
            "answered": percentiles([peer.answered_ms for peer in self.peers]),
            "checked": percentiles([peer.checked_ms for peer in self.peers]),
            "connected": percentiles([peer.connected_ms for peer in self.peers]),
            "first_audio": percentiles([peer.first_audio_ms for peer in self.peers]),
        }

    def cpu_percent_per_peer(self) -> float:
        """Of a core, the whole process."""
        return 100 * self.usage.cpu_s / max(self.usage.seconds, 1e-9) / max(self.connected, 1)

    def cpu_us_per_datagram(self) -> float:
        """Of the thread, for each that was sent or received."""
        return 1e6 * self.usage.thread_s / max(self.usage.datagrams, 1)


def stages_ms(peers: Sequence[Peer]) -> dict[str, list[float]]:
    """How long each part of a join took, of all peers that came so far: from when the offer was due to when it was made
    (the generator's own part), from there to its answer, to a connectivity check's response, to SRTP keys on our side
    (DTLS), and to a listener's first packet."""
    found: dict[str, list[float]] = {"offer": [], "answer": [], "ice": [], "dtls": [], "first_audio": []}
    for peer in peers:
        times = [0.0, peer.offered_ms, peer.answered_ms, peer.checked_ms, peer.connected_ms, peer.first_audio_ms]
        for name, (before, after) in zip(found, pairwise(times), strict=True):
            if before is not None and after is not None:
                found[name].append(after - before)
    return found


def percentiles(values: Sequence[float | None]) -> dict[str, float]:
    """Nearest rank. Empty without values."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return {}
    ranks = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: known[max(0, -(-round(share * 1000) * len(known) // 1000) - 1)] for name, share in ranks.items()}


def _faults(report: Report) -> dict[str, int]:
    plan, tally = report.plan, report.snapshot["tally"]
    found = {name: int(tally[name]) for name in FAULTS if name in tally}
    found["not_connected"] = sum(peer.connected_ms is None for peer in report.peers)
    found["disconnected"] = sum(peer.disconnected for peer in report.peers)
    talked: dict[int, int] = {}  # room -> when it was last spoken in
    for peer in report.peers:
        if peer.speaks:
            talked[peer.room] = max(talked.get(peer.room, 0), peer.last_ns)
    listeners = [peer for peer in report.peers if not peer.speaks and peer.connected_ms is not None]
    found["silent"] = sum(not peer.heard and talked[peer.room] > 0 for peer in listeners)
    found["stalled"] = sum(peer.heard and talked[peer.room] - peer.last_ns > STALL_S * 1e9 for peer in listeners)
    found["foreign"] += int(tally["foreign_windows"])
    # Whom a listener has no slot for, he need not hear all of.
    if plan.mode != "select" or plan.sections < plan.speakers:
        found["missing"] = 0
    # The first and the last moments of a mix fade.
    deaf = int(tally["windows"] - tally["own_windows"])
    found["deaf"] = deaf if plan.constant and plan.kind == "markers" and deaf > 0.02 * tally["windows"] else 0
    return {name: found[name] for name in FAULTS if found.get(name)}
