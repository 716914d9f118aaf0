"""What is kept how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """events_s: after so long an event is not kept any more; events: of one stream, at most so many. Who was away for
    longer is told to reload. More lets clients resume later and makes the tables larger.

    messages_s: after so long a message is not kept any more; messages: of one conversation, at most so many; records_s:
    likewise of the history of calls and invitations. Numbers go on all the same."""

    events_s: float = 3600.0
    events: int = 1000
    messages_s: float = 365 * 86_400.0
    messages: int = 10_000
    records_s: float = 365 * 86_400.0
