"""How much later the audience hears music that singers sing to, so that voices and music meet. Pure.

A singer hears music at once and sings to what he hears; his voice is back at the mixer a loop later. So the audience
hears the music later by the slowest singer's loop, and the others' voices later by what their loops are shorter. From a
sample of the player's column to the sample of the voice column that was sung to it:

| term       | ms  | what it is                                                                | known from          |
|------------|-----|---------------------------------------------------------------------------|---------------------|
| limiter    | 5   | looks ahead in the singer's mix                                           | kernels/limiter.py  |
| look-ahead | 6.5 | what a decoder gives is 312 samples behind what the mix's encoder got     | Opus                |
| way down   |     | a frame's packet leaves when its first sample is due: nothing more        | round trip          |
| playout_ms |     | from a packet's arrival at the client until its first sound is in the air | his report          |
| capture_ms |     | from a sound in the air until the packet that begins with it leaves him   | his report          |
| look-ahead | 6.5 | that of his encoder                                                       | Opus                |
| way up     |     | of his fastest packet, as the jitter buffer counts from there             | round trip, late_ms |
| waits_ms   |     | from when a sample's packet would have come so, until the mixer takes it  | jitter buffer       |

The ways are the round trip that RTCP measures, on average, less late_ms: how much later than the fastest his packets
come on average. The tick adds nothing of its own: waits_ms ends with the tick that takes the sample. Not counted: what
a voice effect holds back (pitch, some 20 ms), and how far the two ways differ.

What is estimated and what is done
- A round trip is the mean of the last ones, on the way of each of his two sessions. One that is far from it is no
  answer, two in a row are another network: then it counts anew.
- Everything else is the median of the last reports' and looks' sums.
- What is held moves only when the estimate is STEP_MS away from it, and then goes there; the plane glides.
- Who has reported nothing is presumed to have PRESUMED delays. Who no longer reports keeps what he said last while he
  is connected: what the server itself measures is still followed.
- Nothing waits for who is muted; his own voice waits as before. When nobody sings, the music stays as late as it was.
- Who has no seat, does not publish, does not hear the mix, or whose round trip is not known yet, is no singer: nothing
  waits for him, and his voice for nothing.
"""

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

LIMITER_MS = 5.0
LOOK_AHEAD_MS = 6.5
INHERENT_MS = LIMITER_MS + 2 * LOOK_AHEAD_MS

MAX_LOOP_MS = 1000.0
"""As long as the plane's delay lines are. Nobody sings to what he hears so much later."""

MAX_REPORTED_MS = 1000.0
"""Of a client's playout or capture. Bluetooth has 300."""

STEP_MS = 4.0
"""Less does not move what is held. Lower follows each wobble of a network, higher adds to what is off."""

ROUND_TRIPS = 12
"""Of one session that are averaged: at 60 ms with 20 ms of jitter each is off by 8 ms, their mean by 2."""

FAR_MS = 12.0
"""From the mean, or FAR_DEVIATIONS times the mean deviation if that is more, is another network, or a hiccup."""

FAR_DEVIATIONS = 3.5
LOOKS = 5
"""Of which the median counts, one a second."""


@dataclass(frozen=True, slots=True)
class ClientDelays:
    """What a singer's client says of itself, in ms."""

    playout_ms: float
    capture_ms: float


PRESUMED = ClientDelays(playout_ms=70.0, capture_ms=35.0)
"""A browser's on a good network: a jitter buffer of 45 ms and 25 of output; 15 ms of capture before a packet of 20."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What the server knows of a singer, in ms. round_trips: of his listening and his publishing session, None: not
    measured yet. waits_ms: in the jitter buffer; late_ms: of his packets on average, after the fastest. heard: he is
    not muted."""

    round_trips: tuple[float | None, float | None]
    waits_ms: float
    late_ms: float
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Alignment:
    """music_ms: by how much later than singers the audience hears aligned music, which is the longest loop of those who
    are heard. loops_ms: of all singers."""

    music_ms: float = 0.0
    loops_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def voices_ms(self) -> dict[str, float]:
        """By how much later each of them is heard, so that all are as late as the slowest."""
        return {user: max(0.0, self.music_ms - loop) for user, loop in self.loops_ms.items()}


class RoundTrips:
    """Of one session, as RTCP measures them."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._last: float | None = None
        self._stranger: float | None = None

    def look(self, measured: float | None) -> None:
        """measured: the last that there was; the same again is no new one."""
        if measured is None or measured == self._last:
            return
        self._last = measured
        if self._recent and self._is_far(measured):
            stranger, self._stranger = self._stranger, measured
            if stranger is None or (stranger > self.mean_ms) != (measured > self.mean_ms):
                return
            self._recent.clear()
            self._recent.append(stranger)
        self._stranger = None
        self._recent.append(measured)

    @property
    def mean_ms(self) -> float:
        """Only when there are any."""
        return fmean(self._recent)

    def __bool__(self) -> bool:
        return bool(self._recent)

    def _is_far(self, measured: float) -> bool:
        mean = self.mean_ms
        deviation = fmean(abs(value - mean) for value in self._recent)
        return abs(measured - mean) > max(FAR_MS, FAR_DEVIATIONS * deviation)


class Singer:
    """One singer's loop."""

    def __init__(self) -> None:
        self.client: ClientDelays | None = None
        self._ways = (RoundTrips(), RoundTrips())
        self._rests: deque[float] = deque(maxlen=LOOKS)
        self._held_ms: float | None = None

    def look(self, figures: Figures) -> None:
        """Once a second."""
        for way, measured in zip(self._ways, figures.round_trips, strict=True):
            way.look(measured)
        client = self.client or PRESUMED
        self._rests.append(client.playout_ms + client.capture_ms + figures.waits_ms - figures.late_ms)
        if (loop := self._estimate_ms()) is not None:
            loop = min(max(loop, 0.0), MAX_LOOP_MS)
            if self._held_ms is None or abs(loop - self._held_ms) > STEP_MS:
                self._held_ms = loop

    @property
    def loop_ms(self) -> float | None:
        """What is held; None before it is known."""
        return self._held_ms

    def report(self, client: ClientDelays) -> None:
        if self.client is None:
            self._rests.clear()  # they were presumed
        self.client = client

    def _estimate_ms(self) -> float | None:
        known = [way.mean_ms for way in self._ways if way]
        return INHERENT_MS + fmean(known) + median(self._rests) if known and self._rests else None


class Choir:
    """The singers of one room."""

    def __init__(self) -> None:
        self._singers: dict[str, Singer] = {}
        self._music_ms = 0.0

    def report(self, user: str, client: ClientDelays) -> None:
        self._singers.setdefault(user, Singer()).report(client)

    def keep(self, users: Container[str]) -> None:
        """The others are forgotten."""
        self._singers = {user: singer for user, singer in self._singers.items() if user in users}

    def look(self, singers: Iterable[tuple[str, Figures]]) -> Alignment:
        """Once a second: what is measured of those who sing now."""
        loops: dict[str, float] = {}
        heard: list[float] = []
        for user, figures in singers:
            singer = self._singers.setdefault(user, Singer())
            singer.look(figures)
            if singer.loop_ms is not None:
                loops[user] = singer.loop_ms
                heard += [singer.loop_ms] if figures.heard else []
        self._music_ms = max(heard, default=self._music_ms)
        return Alignment(self._music_ms, loops)
