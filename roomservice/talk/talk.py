"""All of it together: what operations have as `world.talk`."""

from dataclasses import dataclass
from typing import Protocol

from roomservice.engine import Engine
from roomservice.interface import Media, Users, Words
from roomservice.talk.calls import Calls
from roomservice.talk.groups import Groups
from roomservice.talk.invitations import Invitations
from roomservice.talk.messages import Messages
from roomservice.talk.people import People


class BrowserPush(Protocol):
    """What registering a browser needs of Web Push."""

    @property
    def public_key(self) -> str:
        """In base64url."""
        ...

    def takes(self, endpoint: str) -> bool:
        """Whether it is of a push service that is pushed to."""
        ...

    def reads(self, p256dh: str, auth: str) -> bool:
        """Whether a browser with these keys can read what is pushed."""
        ...


@dataclass(frozen=True, slots=True)
class Talk:
    """browsers: None when there is no Web Push."""

    groups: Groups
    messages: Messages
    people: People
    invitations: Invitations
    calls: Calls
    browsers: BrowserPush | None = None


def make_talk(engine: Engine, users: Users, media: Media, words: Words, browsers: BrowserPush | None = None) -> Talk:
    people = People(engine, users)
    groups = Groups(engine, people)
    return Talk(
        groups,
        Messages(engine, groups, people, words),
        people,
        Invitations(engine, groups, people),
        Calls(engine, people, media),
        browsers,
    )
