"""A room: what is so in it. The files beside this one change it, and it answers questions.

What a change means to others gathers here until it is taken: `news` for the room service, in the order in which it
happened, and `facts`, what must be written down to survive. `revision` rises with whatever the room's document shows
(document.py), `wishes` with what of it belongs to participants.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mediaserver.commands import Mix
from mediaserver.ktv import MAX_LOOP_MS, Alignment
from mediaserver.matrix import Ears, Rows
from mediaserver.model.csrcs import Csrcs
from mediaserver.model.errors import NoPlayerError, NoSeatError
from mediaserver.model.news import Fact, News
from mediaserver.model.people import Participant, Speaker
from mediaserver.programme import PlayerSpec, Programme
from mediaserver.scenarios import MIXES, Scenario
from mediaserver.voices import Speech


class Layout(StrEnum):
    """Where seats are heard in a stereo mix, unless they say so themselves."""

    NONE = "none"
    ARC = "arc"


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one room; None leaves it to the server's."""

    speakers: int | None = None
    listeners: int | None = None


@dataclass(slots=True)
class Room:
    """`id` is the plane's number for it, never used again; `home` the plane worker of its publishers; `instance`
    tells it from an earlier or later room of the same name."""

    id: int
    name: str
    home: int
    instance: str = ""
    speakers: dict[str, Speaker] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    kicked: dict[str, float] = field(default_factory=dict)  # user -> Unix time of the last kick
    scenario: Scenario = Scenario.CHAT
    mix_settings: Mapping[str, Any] = field(default_factory=dict)  # fields of Mix that differ from the scenario's
    layout: Layout = Layout.NONE
    speech: Speech = field(default_factory=Speech)
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    e2ee: bool = False
    ears: dict[str, Ears] = field(default_factory=dict)  # of those who wish for something
    rows: Rows = field(default_factory=lambda: Rows(wished_limit=32))
    programme: Programme = field(default_factory=Programme)
    alignment: Alignment = field(default_factory=Alignment)
    delays: dict[str, int] = field(default_factory=dict)  # samples by which columns are late, where it is not 0
    csrcs: Csrcs = field(default_factory=Csrcs)
    revision: int = 1
    wishes: int = 0
    sequence: int = 0  # of the last event
    _news: list[News] = field(default_factory=list)
    _facts: set[tuple[Fact, str]] = field(default_factory=set)

    @property
    def mix(self) -> Mix:
        """How its mixes are encoded."""
        return replace(MIXES[self.scenario], **self.mix_settings)

    @property
    def etag(self) -> str:
        """Strong entity tag of the room's document (RFC 9110 section 8.8.3)."""
        return f'"{self.instance}.{self.revision}.{self.wishes}"'

    def is_current(self, etag: str) -> bool:
        """Whether nothing has changed since but what belongs to participants: a room service that changes a room must
        not be held up by each listener who turns somebody down, and undoes nothing of that."""
        return etag.rpartition(".")[0] == self.etag.rpartition(".")[0]

    def speaker(self, user: str) -> Speaker:
        """His seat. NoSeatError when he has none."""
        if user not in self.speakers:
            raise NoSeatError(f"{user} has no seat in this room.")
        return self.speakers[user]

    def may_publish(self, user: str) -> bool:
        return user in self.speakers and self.speakers[user].may_publish

    def is_present(self, user: str) -> bool:
        return user in self.participants and bool(self.participants[user].connected)

    def is_revoked(self, user: str, issued: float) -> bool:
        """Whether a token issued at this Unix time came before the user's last kick."""
        return user in self.kicked and issued <= self.kicked[user]

    def player(self, name: str) -> PlayerSpec:
        """NoPlayerError when there is none."""
        if name not in self.programme.players:
            raise NoPlayerError(f"The room has no player {name}.")
        return self.programme.players[name]

    def music_delay_ms(self, player: PlayerSpec) -> float:
        """By how much later those without a seat hear an aligned player."""
        return min(max(self.alignment.music_ms + player.align_offset_ms, 0.0), MAX_LOOP_MS)

    def release_csrc(self, user: str) -> None:
        """To be called where the last that names his CSRC may have gone."""
        if user not in self.participants and not self.rows.name(user):
            self.csrcs.release(user)

    def tell(self, type: str, user: str | None = None, **data: object) -> None:
        self._news.append(News(type, user, data))

    def take_news(self) -> list[News]:
        """What has happened since the last call."""
        news, self._news = self._news, []
        return news

    def note(self, kind: Fact, user: str) -> None:
        """It has changed, and must be written down."""
        self._facts.add((kind, user))

    def take_facts(self) -> set[tuple[Fact, str]]:
        """Of whom what has changed since the last call; memory.py has the values."""
        facts, self._facts = self._facts, set()
        return facts
