"""What the room service is told: every kind of event there is, its wire form (CloudEvents 1.0), and filters of kinds.

An event is said once, numbered in its room, and then only carried: the store keeps it, webhooks and streams deliver it.
Pure: no clock, no I/O.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

# CloudEvents wants types that no other producer has.
PREFIX = "voicerooms."
GAP = "gap"
# Not in a filter that names nothing: somebody who speaks makes two of these for every sentence.
VOLATILE = ("speaking.started", "speaking.stopped")

# Every type -> what it means, and in `code` the fields of its data. The documentation has this table too.
TYPES: dict[str, str] = {
    "room.started": "The room was made.",
    "room.changed": "The room's document changed; `etag` is the new one's.",
    "room.draining": "The node is about to stop: the room should be moved to another one.",
    "room.ended": "The room is gone, and `reason` says why. The last event of this instance of the room.",
    "speaker.seated": "A user was given a seat: `seat` (a number or null), `may_publish`, `gain_db`.",
    "speaker.changed": "The seat's properties changed: `seat`, `may_publish`, `gain_db` as they are now.",
    "speaker.unseated": "The seat was taken, and `reason` says why.",
    "speaker.muted": "The speaker was muted by `source`: self, host or system.",
    "speaker.unmuted": "The mute of `source` was undone; those of other sources stay.",
    "speaker.talks_muted": "The speaker talks though `muted_by` mutes him; again after 5 s at the earliest.",
    "participant.joined": "The user connected; `directions` lists publish, listen or both.",
    "participant.left": "The user's last session ended, and `reason` says why.",
    "participant.reconnecting": "The user's connection was lost, and is waited for.",
    "participant.reconnected": "The user's connection is back.",
    "participant.moved": "The user was moved to the room `to`.",
    "participant.arrived": "The user was moved here from the room `from`.",
    "publishing.started": "The user's publishing session is connected.",
    "publishing.stopped": "The user's publishing session ended, and `reason` says why.",
    "listening.started": "The user's listening session is connected; `mode` is mix or select.",
    "listening.stopped": "The user's listening session ended, and `reason` says why.",
    "speaking.started": "The speaker began to speak. Only for those who ask for it.",
    "speaking.stopped": "The speaker stopped speaking. Only for those who ask for it.",
    "audio.silent": "Nothing has come of the speaker's open microphone for 10 s, not even noise.",
    "audio.heard": "His microphone is silent no more, or he was muted.",
    "audio.clipping": "The speaker's samples are cut at full scale: his microphone is turned up too far.",
    "audio.clean": "His samples have not been cut for 5 s.",
    "quality.low": "Much of what the user sends or receives is lost: `direction`, `fraction_lost` (0..1).",
    "quality.recovered": "The loss in this `direction` is small again.",
    "player.changed": "The player `player` does something else: `status` says what, `reason` why if it has failed.",
    "player.track_started": "The player `player` begins the track with the key `track`.",
    "player.track_failed": "The player `player` cannot play `track`, or not to its end, and `reason` says why.",
    "effect.started": "The effect `effect` begins: `sound` says which.",
    "effect.ended": "The effect `effect` is over.",
    "effect.failed": "The sound of `effect` cannot be played, and `reason` says why.",
    "gap": "Events are missing here that can no longer be delivered; `dropped` is their number, or null.",
}


@dataclass(frozen=True, slots=True)
class Event:
    """`sequence` counts from 1 in each `instance` of a room; `user` is whom it is about; `time` is Unix time in s.

    A `gap` has neither room nor user; its instance and sequence are those of the reader that it was made for.
    """

    room: str
    instance: str
    sequence: int
    type: str
    user: str | None
    time: float
    data: Mapping[str, Any]


class PatternError(ValueError):
    """A filter is wrong; the message is a sentence for who wrote it."""


@dataclass(frozen=True, slots=True)
class Types:
    """A filter of types. A gap passes every filter: it says that something the filter may have wanted is missing."""

    names: frozenset[str]

    @classmethod
    def parse(cls, patterns: Iterable[str] = ()) -> "Types":
        """Patterns are a type's name, a prefix that ends in `.*`, or `*` for all; none at all means all but
        `speaking.*`. PatternError when one matches nothing."""
        patterns = list(patterns)
        if not patterns:
            return cls(frozenset(TYPES.keys() - set(VOLATILE)))
        names = {GAP}
        for pattern in patterns:
            matched = _matched(pattern)
            if not matched:
                raise PatternError("A filter names a type of event, a group of them as in speaker.*, or * for all.")
            names |= matched
        return cls(frozenset(names))

    def __contains__(self, name: object) -> bool:
        return name in self.names


DEFAULT_TYPES = Types.parse()


def to_wire(event: Event) -> dict[str, Any]:
    """CloudEvents 1.0 in JSON, with the extensions `room` and `sequence`."""
    wire: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"{event.instance}/{event.sequence}",
        "source": _source(event.room),
        "type": PREFIX + event.type,
        "subject": event.user,
        "time": rfc3339(event.time),
        "datacontenttype": "application/json",
        "room": event.room,
        "sequence": str(event.sequence),
        "data": dict(event.data),
    }
    absent = {"room", "sequence", "subject"} if event.type == GAP else {"subject"} if event.user is None else set()
    return {name: value for name, value in wire.items() if name not in absent}


def gap(reader: str, position: int, dropped: int | None, time: float) -> Event:
    """Says that `dropped` events (None: an unknown number) up to `position` do not come. `reader` and position make
    its id: said again, it is the same event."""
    return Event("", f"gap/{reader}", position, GAP, None, time, {"dropped": dropped})


def rfc3339(time: float) -> str:
    """Unix time in s as UTC with milliseconds."""
    seconds, milliseconds = divmod(int(time * 1000), 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


@lru_cache(1024)
def _source(room: str) -> str:
    """A room has a name, and what has none is the log itself."""
    return f"/v1/rooms/{quote(room, safe='')}" if room else "/v1/events"


def _matched(pattern: str) -> set[str]:
    if pattern == "*":
        return set(TYPES)
    if pattern.endswith(".*"):
        return {name for name in TYPES if name.startswith(pattern.removesuffix("*"))}
    return {pattern} & TYPES.keys()
