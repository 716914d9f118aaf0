"""What is kept, and what a change of it brings with it: the words between the engine and a storage. Pure.

Rules held here
- A commit is all or nothing. What a command makes the outside do is part of it: an event that was told, a timer, a job
  of the outbox. So a crash after it loses none of these, and one before it leaves none.
- A stream is what clients follow: `user:U`, `room:R`, `group:G`, `call:C`, `presence:U`, and others alike.
- Who begins to follow a stream, or ceases to, is told of it in his own stream (`stream_followed`, `stream_left`), with
  the number after which, or up to which, he does: so every instance where he has a socket hears of it in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from roomservice.model.effects import Timer

FOLLOWED, LEFT = "stream_followed", "stream_left"
"""Events of a user's own stream: {"stream": ..., "after": n} and {"stream": ..., "last": n}."""

MESSAGE, RECALLED = "message", "message_recalled"


def user_stream(user: str) -> str:
    return f"user:{user}"


# ---- parts of a commit


@dataclass(frozen=True, slots=True)
class RoomInfo:
    """A row of the AppServer document's table `room_infos`, for other programs to read, and for lists. Times: Unix
    time in s; mode, status: as Listing."""

    id: str
    title: str
    anchor: str
    anchor_id: str
    created_at: float
    updated_at: float
    status: int = 0
    mode: int = 0
    chat_id: str = ""
    notice: str = ""
    cover_url: str = ""
    extends: str = ""
    anchor_nick: str = ""
    meeting_info: str = ""
    started_at: float | None = None
    stopped_at: float | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """revision: what was read, None when it is new. body: its JSON, None when it goes, with all its parts. info: of
    kind `room`. media: there shall be a media room for it. parts: what of it is kept by itself, JSON by name: None
    takes one away, and those that are not named stay."""

    kind: str
    id: str
    revision: int | None
    body: str | None
    info: RoomInfo | None = None
    media: bool = False
    parts: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """except_device: which device of the user it is not shown to."""

    stream: str
    name: str
    data: Mapping[str, object] = field(default_factory=dict)
    except_device: str | None = None


@dataclass(frozen=True, slots=True)
class TimerChange:
    """deadline: None drops it. only: the one alone that runs out at this time, not one that was set anew."""

    kind: str
    id: str
    timer: Timer
    deadline: float | None
    only: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Of the outbox. kind: who does it, `media` or `push`. key: of those with the same only one waits: a second
    replaces it, and one that is being done already is done again."""

    kind: str
    key: str
    payload: Mapping[str, object] = field(default_factory=dict)
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whose sockets follow which stream, besides their user's own."""

    user: str
    stream: str
    on: bool = True


@dataclass(frozen=True, slots=True)
class Engagement:
    """A user is in one call at most."""

    user: str
    call: str
    on: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """It is numbered in its conversation, kept, and told as event `message` in each of the streams, with the fields
    `conversation`, `id`, `number`, `by`, `type`, `data` and `at`. id: one that is there already is a Conflict."""

    conversation: str
    id: str
    by: str
    type: str
    data: Mapping[str, object]
    streams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recall:
    """Its data goes; told as `message_recalled` with `conversation`, `id` and `by`. Nothing, if it is so already."""

    conversation: str
    id: str
    by: str
    streams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """The user has read up to this number; a smaller one changes nothing."""

    user: str
    conversation: str
    number: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of something that has ended. users: whose history has it."""

    kind: str
    id: str
    users: tuple[str, ...]
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Session:
    """A device that is there. instance: who has its socket; until: when it is taken to be lost without a refresh."""

    id: str
    user: str
    device: str
    instance: str
    since: float
    until: float
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionChange:
    """One that begins, or ends."""

    session: Session
    on: bool = True


@dataclass(frozen=True, slots=True)
class Commit:
    writes: tuple[Write, ...] = ()
    events: tuple[Event, ...] = ()
    timers: tuple[TimerChange, ...] = ()
    jobs: tuple[Job, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    engagements: tuple[Engagement, ...] = ()
    messages: tuple[Message, ...] = ()
    recalls: tuple[Recall, ...] = ()
    marks: tuple[Mark, ...] = ()
    records: tuple[Record, ...] = ()
    sessions: tuple[SessionChange, ...] = ()

    def __add__(self, other: "Commit") -> "Commit":
        """Both, in one."""
        return Commit(
            self.writes + other.writes,
            self.events + other.events,
            self.timers + other.timers,
            self.jobs + other.jobs,
            self.subscriptions + other.subscriptions,
            self.engagements + other.engagements,
            self.messages + other.messages,
            self.recalls + other.recalls,
            self.marks + other.marks,
            self.records + other.records,
            self.sessions + other.sessions,
        )


# ---- what a storage gives back


@dataclass(frozen=True, slots=True)
class Kept:
    """A document. revision: rises by one with each write, from 1. body: empty, and without parts, where who asks knows
    this revision."""

    kind: str
    id: str
    revision: int
    body: str
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Numbered:
    """An event as it was told. at: Unix time in s."""

    stream: str
    seq: int
    at: float
    name: str
    data: Mapping[str, object]
    except_device: str | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """complete: False when some after the number that was asked for are kept no longer."""

    events: tuple[Numbered, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """number: its place in the conversation, from 1. data: empty when it was recalled."""

    conversation: str
    number: int
    id: str
    by: str
    type: str
    data: Mapping[str, object]
    at: float
    recalled: bool = False


@dataclass(frozen=True, slots=True)
class KeptRecord:
    kind: str
    id: str
    at: float
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Due:
    """A timer that has run out."""

    kind: str
    id: str
    timer: Timer
    deadline: float


@dataclass(frozen=True, slots=True)
class Leased:
    """A job, and by what the storage knows who does it. attempts: how often it could not be done before."""

    kind: str
    key: str
    payload: Mapping[str, object]
    due: float
    attempts: int
    version: int
    lease: str


@dataclass(frozen=True, slots=True)
class Visits:
    """pv, uv: visits, and different visitors."""

    pv: int = 0
    uv: int = 0
