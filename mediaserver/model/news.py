"""What a change means to others than the plane: news for the room service, and facts that are to survive a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened; events.py has the types."""

    type: str
    user: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)


class Fact(StrEnum):
    """What is remembered of one user beside the room's document, so that it survives a restart."""

    LISTENER = "listener"  # his wishes
    REVOKED = "revoked"  # when his tokens were
    PRESENT = "present"  # the directions in which he is connected
