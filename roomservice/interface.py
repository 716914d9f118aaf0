"""What the room service asks of the world, one Protocol per responsibility. An app brings its own users, storage, bus,
push or media by an object that has these methods; the rest of the service does not notice.

Users are named by opaque strings. Times are Unix time in seconds. Every method may be called any number of times at
once, and none waits for ever: what cannot be reached raises Unavailable, or MediaError, within some seconds.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mediaserver.client import (
    EffectDocument,
    EffectState,
    MediaDocument,
    ParticipantDocument,
    PlayerDocument,
    PlayerStateDocument,
)
from roomservice.commit import (
    Commit,
    Due,
    Events,
    Job,
    Kept,
    KeptMessage,
    KeptRecord,
    Leased,
    Numbered,
    Session,
    Visits,
)
from roomservice.model.effects import Speaker
from roomservice.model.listing import Listing


class Unavailable(Exception):
    """The storage or the bus cannot be reached, with a sentence. Nothing is known of what was under way; doing it again
    does no harm."""


class Crowded(Unavailable):
    """Too many ask for the same at once. Nothing of it has happened."""


class Conflict(Exception):
    """Somebody else has written a document since it was read, or there is one of this id already, or a message. Nothing
    of the commit has happened."""


class Engaged(Exception):
    """The user is in another call. Nothing of the commit has happened."""

    def __init__(self, user: str, call: str) -> None:
        super().__init__("The user is in another call.")
        self.user = user
        self.call = call


class Users(Protocol):
    """Who there is, and how they prove it."""

    async def authenticate(self, name: str, password: str) -> str | None:
        """The user's id, or None when the password is not his, or there is no such user and none may sign up."""
        ...

    async def known(self, users: Collection[str]) -> frozenset[str]:
        """Which of them there are: nobody else is called, invited or written to."""
        ...


class Storage(Protocol):
    """Documents with revisions, and all that comes of a change of one, kept in the same transaction.

    Streams are numbered gaplessly, from 1, in the order in which commits happen: who has seen n and n + 2 knows that
    he has missed one, and who has read up to n will never see another n.
    """

    # ---- what is true

    async def load(self, kind: str, id: str, known: int = 0) -> Kept | None:
        """As it is after one commit, body and parts. known: the revision that the caller has: of that one neither is
        read."""
        ...

    async def load_many(
        self, kind: str, ids: Collection[str], known: Mapping[str, int] | None = None
    ) -> Sequence[Kept]:
        """Those that there are, likewise."""
        ...

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        """All of it or nothing; what was told, with its numbers. Conflict, Engaged."""
        ...

    async def rooms(self, number: int, size: int, status: int | None = None, search: str = "") -> Sequence[str]:
        """Their ids. The newest first; number from 1; search: in the title, without regard to case."""
        ...

    async def media_rooms(self, after: tuple[str, str] | None, limit: int) -> Sequence[tuple[str, str]]:
        """Kind and id of the documents that there shall be a media room for, in this order."""
        ...

    async def visit(self, room: str, user: str) -> None:
        """Counts."""
        ...

    async def visits(self, rooms: Collection[str]) -> Mapping[str, Visits]:
        """Of each of them."""
        ...

    # ---- what was told

    async def events(self, stream: str, after: int, limit: int) -> Events:
        """The first of those that are kept, in order."""
        ...

    async def last(self, streams: Collection[str]) -> Mapping[str, int]:
        """The number of the newest event of each, 0 where there is none."""
        ...

    async def streams_of(self, user: str) -> Mapping[str, int]:
        """Which streams a user follows, besides his own, and the number after which he does."""
        ...

    async def followers(self, stream: str) -> Sequence[str]: ...

    async def messages(self, conversation: str, before: int | None, limit: int) -> Sequence[KeptMessage]:
        """The newest first, of those with a smaller number."""
        ...

    async def message(self, conversation: str, id: str) -> KeptMessage | None: ...

    async def marks(self, user: str, conversations: Collection[str]) -> Mapping[str, int]:
        """Up to which number the user has read; 0 where nothing is known."""
        ...

    async def records(self, user: str, kind: str, before: float | None, limit: int) -> Sequence[KeptRecord]:
        """Those that concern the user, the newest first, of those that are older."""
        ...

    # ---- who is there

    async def sessions_of(self, users: Collection[str]) -> Sequence[Session]: ...

    async def refresh_sessions(self, sessions: Collection[str], until: float) -> frozenset[str]:
        """Which of them there are still."""
        ...

    async def expired_sessions(self, now: float, limit: int) -> Sequence[Session]:
        """They stay until a commit takes them away."""
        ...

    async def engagement(self, user: str) -> str | None:
        """The call that he is in."""
        ...

    # ---- what is to be done

    async def due_timers(self, now: float, limit: int, lease_s: float) -> Sequence[Due]:
        """Nobody else gets these before the lease is over."""
        ...

    async def due_jobs(
        self,
        now: float,
        limit: int,
        lease_s: float,
        keys: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Sequence[Leased]:
        """Nobody else gets these before the lease is over. keys: none but these, and due or not; without: none of these
        kinds."""
        ...

    async def finish_job(self, leased: Leased) -> bool:
        """False when it is to be done again: somebody has asked anew meanwhile, or the lease was lost."""
        ...

    async def retry_job(self, leased: Leased, due: float) -> None:
        """It could not be done; not before then, unless somebody asks anew."""
        ...

    async def next_due(self) -> float | None:
        """When the next timer or job is."""
        ...

    async def forget(self, now: float) -> int:
        """Some of what is kept no longer, and how much that was; called again while it is not 0."""
        ...

    # ----

    async def start(self) -> None:
        """Makes and upgrades its tables. Unavailable."""
        ...

    async def close(self) -> None: ...

    async def ready(self) -> bool:
        """Can it be read?"""
        ...


class Bus(Protocol):
    """Wakes the other instances. It may lose what it is given: the storage has it, and who follows a stream looks there
    from time to time."""

    async def start(self, receive: Callable[[Sequence[Numbered]], None]) -> None:
        """receive: gets what any instance published, this one too, of the streams that are followed here."""
        ...

    async def publish(self, events: Sequence[Numbered]) -> None:
        """Never raises, and never waits for long."""
        ...

    async def follow(self, streams: Collection[str]) -> None:
        """What is published after this is received. Unavailable."""
        ...

    async def unfollow(self, streams: Collection[str]) -> None: ...

    async def close(self) -> None: ...

    async def ready(self) -> bool: ...


class Push(Protocol):
    """To users who are offline."""

    async def push(self, user: str, event: str, data: Mapping[str, object], key: str) -> None:
        """key: the same when the same is pushed again. PushError when it shall be tried again later."""
        ...


class Words(Protocol):
    """A word filter, or any other judge of what is said in messages."""

    async def pass_on(self, user: str, conversation: str, text: str) -> str | None:
        """The text as it is sent, or None when it is refused. What raises, or thinks for too long, refuses."""
        ...


class PushError(Exception):
    """It could not be pushed, with a sentence why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a user sends and hears: after # the token that WHIP and WHEP take as `Authorization: Bearer`. whip: empty
    for who has no seat."""

    whip: str = ""
    whep: str = ""


class MediaError(Exception):
    """The media server could not be told, with a sentence why. What it was to do stays wanted."""


@dataclass(frozen=True, slots=True)
class MediaRoom:
    """What a media room shall be: who may speak, in which scenario, and who hears a ring-back tone."""

    speakers: Mapping[str, Speaker] = field(default_factory=dict)
    scenario: str = "chat"
    ringing: frozenset[str] = frozenset()


class SoundRefusedError(Exception):
    """The media server does not do this, with a sentence why. kind: what it calls that, as on its page /problems."""

    def __init__(self, sentence: str, kind: str = "") -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that come one after the other. length: of all of them, when it is known before."""

    chunks: AsyncIterator[bytes]
    length: int | None = None


class Sound(Protocol):
    """What is heard in a media room beside its seats, in the media server's own documents. Each raises MediaError, and
    SoundRefusedError for what there is not or cannot be."""

    async def players(self, room: str) -> Sequence[PlayerStateDocument]: ...

    async def put_player(self, room: str, player: str, document: PlayerDocument) -> PlayerStateDocument: ...

    async def set_volume(self, room: str, player: str, volume_db: float) -> PlayerStateDocument: ...

    async def play(self, room: str, player: str, track: str | None, position_ms: int) -> PlayerStateDocument:
        """track: its key; None for what was paused, or the first."""
        ...

    async def pause(self, room: str, player: str) -> PlayerStateDocument: ...

    async def stop(self, room: str, player: str) -> PlayerStateDocument: ...

    async def seek(self, room: str, player: str, position_ms: int) -> PlayerStateDocument: ...

    async def skip(self, room: str, player: str, *, back: bool) -> PlayerStateDocument: ...

    async def delete_player(self, room: str, player: str) -> None: ...

    async def play_effect(self, room: str, document: EffectDocument) -> EffectState:
        """Once."""
        ...

    async def start_effect(self, room: str, effect: str, document: EffectDocument) -> EffectState:
        """Until it is stopped."""
        ...

    async def stop_effect(self, room: str, effect: str) -> None: ...

    async def sounds(self) -> Sequence[str]:
        """Which effects there are."""
        ...

    async def library(self, search: str) -> Sequence[MediaDocument]:
        """Pieces that players can play, by title; search: words that each must have. Some hundreds at most."""
        ...

    async def upload(self, title: str, chunks: AsyncIterator[bytes]) -> tuple[MediaDocument, bool]:
        """A piece for the library, and whether it is new there. title: for one that does not say its own. It is decoded
        to its end before it is told. What the chunks raise is raised, and nothing is left of it then."""
        ...

    async def delete_piece(self, piece: str) -> None:
        """Whatever plays of it plays on."""
        ...

    async def settings(self, room: str) -> tuple[float, bool]:
        """As configure() has them: ducking_db, places."""
        ...

    async def configure(self, room: str, *, ducking_db: float | None, places: bool | None) -> None:
        """ducking_db: by how much music goes down while somebody speaks. places: whether each is heard from his seat's
        place, in stereo. What is None stays."""
        ...

    async def participants(self, room: str, after: str, limit: int) -> tuple[Sequence[ParticipantDocument], str | None]:
        """Who is connected, and how well, by name; and `after` of the next page, None on the last."""
        ...


class Media(Protocol):
    """The media server. What is put is the desired state: putting it again changes nothing."""

    async def put(self, room: str, wanted: MediaRoom) -> None:
        """There is such a room, with these speakers and no others. MediaError."""
        ...

    async def cut_off(self, room: str, user: str, key: str) -> None:
        """His sessions end, and his tokens are revoked. key: the same when the same is asked again. MediaError."""
        ...

    async def close(self, room: str) -> None:
        """Nothing happens when there is none. MediaError."""
        ...

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        """MediaError."""
        ...

    async def ready(self) -> bool: ...


__all__ = [
    "Addresses",
    "Bus",
    "Commit",
    "Conflict",
    "Content",
    "Crowded",
    "Due",
    "Engaged",
    "Events",
    "Job",
    "Kept",
    "KeptMessage",
    "KeptRecord",
    "Leased",
    "Listing",
    "Media",
    "MediaError",
    "MediaRoom",
    "Numbered",
    "Push",
    "PushError",
    "Session",
    "Sound",
    "SoundRefusedError",
    "Storage",
    "Unavailable",
    "Users",
    "Visits",
    "Words",
]
