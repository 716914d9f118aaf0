"""What an operator says of music. Loads nothing, so that options are checked at once."""

from dataclasses import dataclass, field
from pathlib import Path

from mediaserver.music.addresses import Network


@dataclass(frozen=True, slots=True)
class Bounds:
    """max_file and max_total in bytes."""

    max_file: int = 512 * 1024**2
    max_total: int = 50 * 1024**3
    max_items: int = 10_000
    max_duration_s: float = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class MusicSettings:
    """directory: of the library; None for none. hosts: what may be fetched from, empty for all public ones; networks:
    what may be besides, though it is not public."""

    directory: Path | None = None
    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    bounds: Bounds = field(default_factory=Bounds)
