"""What a network does to a stream of packets, decided by a seed: random or bursty loss, delay and jitter. Pure.

Times are seconds. Loss in bursts is a Gilbert-Elliott chain whose long-run rate is the given one. Jitter is uniform in
0..jitter_ms on top of the path's delay, and packets keep their order, as in a queue that fills and empties.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

BURST_PACKETS = 3.0
"""Mean length of a loss burst. Longer ones nothing but a retransmission repairs; at 1 they would be random losses."""


@dataclass(frozen=True)
class Network:
    """One direction. loss: 0..1; path_ms: the delay of a packet that nothing holds up."""

    loss: float = 0.0
    bursty: bool = False
    jitter_ms: float = 0.0
    path_ms: float = 0.0


class Emulation:
    """The fate of one packet after the other. `seed` names the stream: the same packets have the same fates."""

    def __init__(self, network: Network, seed: str) -> None:
        self.network = network
        self._losses = random.Random(f"{seed}/loss")
        self._delays = random.Random(f"{seed}/delay")
        self._bursting = False
        self._last = 0.0

    def arrival(self, sent: float) -> float | None:
        """When a packet sent then arrives; None: it is lost. Calls are in the order of sending."""
        network = self.network
        jitter_s = self._delays.random() * network.jitter_ms / 1000  # drawn for lost ones too: fates stay comparable
        if self._lost():
            return None
        self._last = max(self._last, sent + network.path_ms / 1000 + jitter_s)
        return self._last

    def _lost(self) -> bool:
        network = self.network
        if network.loss <= 0:
            return False
        if not network.bursty:
            return self._losses.random() < network.loss
        recover = 1 / BURST_PACKETS
        enter = recover * network.loss / (1 - network.loss)
        self._bursting ^= self._losses.random() < (recover if self._bursting else enter)
        return self._bursting
