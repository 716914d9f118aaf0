"""Messages: what one may be, how it is taken back, and up to where somebody has read.

Rules held here
- A conversation is a group's, or that of two users. Its messages are numbered from 1 without gaps, by the storage.
- A message is text, the app's own (custom), or media by reference: the bytes are elsewhere, at its address.
- Who sent a message recalls it for a while; a group's owner and admins recall every member's at any time. Its place and
  number stay, its content goes.
- A read mark goes forward only, and not beyond the last message.
"""

from dataclasses import dataclass
from enum import StrEnum

from roomservice.model.attributes import size as bytes_of
from roomservice.model.errors import Illegal, Problem
from roomservice.model.groups import RANK, GroupRole

MAX_TEXT_BYTES = 8192
"""Of a text, or what is custom. More makes each reader of a busy room download more."""

MAX_URL_BYTES = 2048
MAX_NAME_BYTES = 256
MAX_MENTIONS = 50

RECALL_S = 120.0
"""For how long a sender may take his message back."""


class Kind(StrEnum):
    TEXT = "text"
    CUSTOM = "custom"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """Media that is elsewhere. bytes: its size; duration_s: of audio and video."""

    url: str
    mime: str = ""
    name: str = ""
    bytes: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """text: the text, what is custom, or the words that go with media. mentions: users who are meant above others."""

    kind: Kind
    text: str = ""
    media: Reference | None = None
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of a message when it is to be recalled."""

    sender: str
    at: float
    recalled: bool = False


def check(content: Content) -> None:
    """Illegal: message-empty, message-too-large."""
    of_media = content.kind not in (Kind.TEXT, Kind.CUSTOM)
    if of_media != (content.media is not None) or not (of_media or content.text):
        raise Illegal(Problem.MESSAGE_EMPTY)
    large = bytes_of(content.text) > MAX_TEXT_BYTES or len(content.mentions) > MAX_MENTIONS
    if media := content.media:
        large = large or bytes_of(media.url) > MAX_URL_BYTES
        large = large or max(bytes_of(media.name), bytes_of(media.mime)) > MAX_NAME_BYTES
    if large:
        raise Illegal(Problem.MESSAGE_TOO_LARGE)


def size(content: Content) -> int:
    """Bytes of what the sender chose."""
    media = content.media
    texts = (content.text, *content.mentions, *((media.url, media.name, media.mime) if media else ()))
    return sum(bytes_of(text) for text in texts)


def check_recall(message: Sent, by: str, now: float, *, role: GroupRole | None, of_sender: GroupRole | None) -> bool:
    """Whether there is something to do. role: of who recalls, in a group; of_sender: of who sent it, None when he is
    not in it any more. Illegal: not-permitted, recall-too-late."""
    leads = RANK[role] > 0
    if by != message.sender:
        if RANK[role] <= RANK[of_sender]:
            raise Illegal(Problem.NOT_PERMITTED)
    elif not leads and now > message.at + RECALL_S and not message.recalled:
        raise Illegal(Problem.RECALL_TOO_LATE)
    return not message.recalled


def mark(known: int, wanted: int, last: int) -> int:
    """The read mark after somebody has read up to `wanted`."""
    return max(known, min(wanted, last))
