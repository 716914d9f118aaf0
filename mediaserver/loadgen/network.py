"""The network between each peer and the server, as a model that the generator applies to its own sockets. Pure."""

from dataclasses import dataclass, fields

MAX_MS = 2_000.0
"""Of delay and of jitter: beyond, nobody converses, and what is held of thousands of peers takes gigabytes."""
MAX_BURST = 1_000.0


@dataclass(frozen=True, slots=True)
class Network:
    """One direction. loss, duplicate: shares of datagrams, 0 to 1. burst: the mean number lost in a row (two-state
    model); 1: each by itself. delay_ms: of each. jitter_ms: more than that, evenly spread, and the order is kept."""

    loss: float = 0.0
    burst: float = 1.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        """ValueError, with a sentence, when no network is like that."""
        if not (0 <= self.loss < 1 and 0 <= self.duplicate <= 1):
            raise ValueError("A network loses and duplicates shares of 0 to 1, and not everything.")
        if not 1 <= self.burst <= MAX_BURST:
            raise ValueError(f"Bursts of loss are 1 to {MAX_BURST:,.0f} datagrams on average.")
        if not (0 <= self.delay_ms <= MAX_MS and 0 <= self.jitter_ms <= MAX_MS):
            raise ValueError(f"A network's delay and jitter are 0 to {MAX_MS:,.0f} ms each.")

    @property
    def clean(self) -> bool:
        return self == CLEAN

    def text(self) -> str:
        """As parse() reads it; "clean" when it is."""
        changed = [(f.name, getattr(self, f.name)) for f in fields(self) if getattr(self, f.name) != f.default]
        return ",".join(f"{name.removesuffix('_ms')}={value:g}" for name, value in changed) or "clean"


CLEAN = Network()
_NAMES = {f.name.removesuffix("_ms"): f.name for f in fields(Network)}


def parse(text: str) -> Network:
    """Of `loss=0.05,burst=3,delay=20,jitter=30,duplicate=0.01`, any of them; times in ms. ValueError, with a sentence,
    for anything else."""
    given: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            given[_NAMES[name.strip()]] = float(value)
        except (KeyError, ValueError):
            raise ValueError(f"{part!r} says nothing of a network: give {', '.join(_NAMES)} as NAME=NUMBER.") from None
    return Network(**given)
