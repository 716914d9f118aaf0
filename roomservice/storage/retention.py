"""What is kept how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """events_s: after so long an event is not kept any more; events: of one stream, at most so many. Who was away for
    longer is told to reload. More lets clients resume later and makes the tables larger."""

    events_s: float = 3600.0
    events: int = 1000
