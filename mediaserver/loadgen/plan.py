"""What a load consists of and when each peer joins. Pure."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from mediaserver.loadgen.network import CLEAN, Network

MAX_PEERS = 20_000
"""Each has a port of one address, of which Linux gives 28,232."""
MAX_SLOTS = 8
"""Streams that a listener authenticates; see Hearing in native/load/hearing.hpp."""
MAX_SPEAKERS = 64
"""Of a room: those that one listener keeps apart."""
FRAME_S = 0.02

Mode = Literal["mix", "select"]
SoundKind = Literal["speech", "markers", "chirps"]
MAX_CHIRPING = 2
"""Speakers of a room whose chirps an ear tells apart; see chirp_kinds in native/load/chirp.hpp."""


@dataclass(frozen=True, slots=True)
class Join:
    """One peer. at_s: when its offer is due, from the beginning; number: among its room's speakers, or listeners."""

    at_s: float
    room: int
    speaks: bool
    number: int

    @property
    def user(self) -> str:
        return f"{'speaker' if self.speaks else 'listener'}-{self.number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """speakers, listeners: of each room. slots: audio sections of a listener's offer, None: one for a mix, else one for
    each speaker, at most 8. spurt_s, silence_s: means of talking and being silent; without silence, speakers talk all
    the time. sound: None is speech when it is forwarded, markers when it is mixed. ears: listeners of each room whose
    mix is decoded. join_rate: offers a second. duration_s: from the last offer to the end. up, down: each peer's
    network, on its way to the server and back."""

    rooms: int = 1
    speakers: int = 1
    listeners: int = 10
    mode: Mode = "select"
    slots: int | None = None
    sound: SoundKind | None = None
    spurt_s: float = 1.2
    silence_s: float = 0.0
    ears: int = 1
    join_rate: float = 50.0
    duration_s: float = 10.0
    seed: int = 1
    prefix: str = "load"
    up: Network = CLEAN
    down: Network = CLEAN

    def __post_init__(self) -> None:
        """ValueError, with a sentence, when it cannot be done."""
        if min(self.rooms, self.speakers) < 1 or min(self.listeners, self.ears) < 0:
            raise ValueError("A load needs at least one room with one speaker, and no number can be negative.")
        if self.peers > MAX_PEERS:
            raise ValueError(f"A load has at most {MAX_PEERS:,} peers; these are {self.peers:,}.")
        if self.speakers > MAX_SPEAKERS:
            raise ValueError(f"A room has at most {MAX_SPEAKERS} speakers.")
        if self.slots is not None and not 1 <= self.slots <= MAX_SLOTS:
            raise ValueError(f"A listener has 1 to {MAX_SLOTS} slots.")
        if self.mode == "mix" and self.slots not in (None, 1):
            raise ValueError("A mix has one slot.")
        if self.sound == "chirps" and (self.mode != "mix" or self.speakers > MAX_CHIRPING):
            raise ValueError(f"Chirps are for mixes of at most {MAX_CHIRPING} speakers.")
        if not 0.1 <= self.join_rate <= 10_000:
            raise ValueError("The join rate is 0.1 to 10,000 a second.")
        if not 0 < self.duration_s <= 86_400:
            raise ValueError("The duration is at most a day, and more than nothing.")
        if not (FRAME_S <= self.spurt_s <= 3600 and 0 <= self.silence_s <= 3600):
            raise ValueError("Spurts last 20 ms to an hour on average, silences up to an hour.")
        if not 0 <= self.seed < 2**63:
            raise ValueError("A seed is a number from 0 to 2^63 - 1.")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.prefix):
            raise ValueError("The rooms' prefix is 1 to 64 letters, digits, hyphens and underscores.")

    @property
    def peers(self) -> int:
        return self.rooms * (self.speakers + self.listeners)

    @property
    def constant(self) -> bool:
        return self.silence_s == 0

    @property
    def sections(self) -> int:
        """Audio sections of a listener's offer."""
        if self.mode == "mix":
            return 1
        return self.slots or min(self.speakers, MAX_SLOTS)

    @property
    def kind(self) -> SoundKind:
        return self.sound or ("markers" if self.mode == "mix" else "speech")

    @property
    def last_join_s(self) -> float:
        return (self.peers - 1) / self.join_rate

    def room_name(self, room: int) -> str:
        return f"{self.prefix}-{room}"

    def tone(self, room: int, speaker: int, tones: int) -> int:
        """Of a speaker who is to be known in a mix. Rooms beyond the first `tones` speakers share tones with others."""
        return (room * self.speakers + speaker) % tones

    def own_tones(self, room: int, tones: int) -> int:
        """Bit k: tone k is one of the room's."""
        mask = 0
        for speaker in range(self.speakers):
            mask |= 1 << self.tone(room, speaker, tones)
        return mask

    def joins(self) -> Iterator[Join]:
        """Evenly over time, speakers before listeners, room by room in turn: no room fills before another."""
        order = [(True, n, room) for n in range(self.speakers) for room in range(self.rooms)]
        order += [(False, n, room) for n in range(self.listeners) for room in range(self.rooms)]
        for k, (speaks, number, room) in enumerate(order):
            yield Join(k / self.join_rate, room, speaks, number)

    def random(self, join: Join) -> random.Random:
        """A peer's own, so that a seed means the same schedule whatever order the answers come in."""
        return random.Random(f"{self.seed}/{join.room}/{join.speaks}/{join.number}")
