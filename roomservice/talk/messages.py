"""Messages to groups and to users, what was said before, and up to where somebody has read."""

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from roomservice.allowance import Allowances, Rate
from roomservice.commit import Commit, Event, KeptMessage, Mark, Message, Recall, user_stream
from roomservice.engine import Engine
from roomservice.interface import Conflict, Words
from roomservice.model import messages
from roomservice.model.errors import Illegal, Problem
from roomservice.model.groups import check_speaks
from roomservice.model.messages import Content, Kind, Sent, size
from roomservice.model.person import Meet
from roomservice.storage.numbering import counter
from roomservice.talk.groups import Gathering, Groups
from roomservice.talk.names import of_group, of_two, stream_of
from roomservice.talk.people import People
from roomservice.talk.pushing import Pushed, push_jobs

log = logging.getLogger(__name__)

RATE = Rate(per_s=2.0, burst=20.0)
"""Messages of one sender, at one instance; each counts once, and once more for each KiB. More lets one flood a room and
fill the storage, less stops who writes in short lines."""

WORDS_S = 5.0
"""For how long a word filter may think."""

PREVIEW = 200
"""Characters of a message's text that are pushed."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """group, user: with whom it is. last: number of the newest message; read: up to which this user has read."""

    id: str
    group: str | None
    user: str | None
    last: int
    read: int


@dataclass(frozen=True, slots=True)
class _Where:
    """Of a message. to: what tells who reads it where it was said; pushed: who is pushed to when he is offline; meets:
    with whom the sender may not have talked before."""

    conversation: str
    streams: tuple[str, ...]
    to: Mapping[str, object]
    pushed: tuple[str, ...]
    meets: str | None = None


class Messages:
    def __init__(self, engine: Engine, groups: Groups, people: People, words: Words) -> None:
        self._engine = engine
        self._storage = engine.storage
        self._groups = groups
        self._people = people
        self._words = words
        self._allowances = Allowances(RATE)

    # ---- sent

    async def to_group(self, by: str, group: str, content: Content, id: str | None = None) -> KeptMessage:
        """id: the sender's own name for it, by which the same message that comes again is known. NotFound; Illegal:
        those of check_speaks() and check(), too-fast, text-refused, message-exists."""
        found = await self._groups.gather(group)
        check_speaks(found.group, by, self._engine.clock(), found.role_of)
        named = tuple(user for user in content.mentions if user != by and found.role_of(user) is not None)
        where = _Where(of_group(group), (stream_of(found.group),), {"group": group}, named)
        return await self._send(by, where, content, id)

    async def to_user(self, by: str, user: str, content: Content, id: str | None = None) -> KeptMessage:
        """Illegal: those of check(), too-fast, text-refused, message-exists, talks-to-himself, no-such-user."""
        if user == by:
            raise Illegal(Problem.TALKS_TO_HIMSELF)
        streams = (user_stream(by), user_stream(user))
        where = _Where(of_two(by, user), streams, {"to": user}, (user,), meets=user)
        return await self._send(by, where, content, id)

    async def recall_in_group(self, by: str, group: str, id: str) -> None:
        """NotFound; Illegal: no-such-message, not-a-member, not-permitted, recall-too-late."""
        found = await self._groups.inside(group, by)
        await self._recall(by, of_group(group), (stream_of(found.group),), id, found)

    async def recall_to_user(self, by: str, user: str, id: str) -> None:
        """Illegal: no-such-message, not-permitted, recall-too-late."""
        await self._recall(by, of_two(by, user), (user_stream(by), user_stream(user)), id, None)

    # ---- read

    async def of_group(self, by: str, group: str, before: int | None, limit: int) -> Sequence[KeptMessage]:
        """The newest first. NotFound; Illegal: not-a-member, room-dismissed, group-dismissed."""
        await self._groups.inside(group, by)
        return await self._storage.messages(of_group(group), before, limit)

    async def of_two(self, by: str, user: str, before: int | None, limit: int) -> Sequence[KeptMessage]:
        """The newest first."""
        return await self._storage.messages(of_two(by, user), before, limit)

    async def read_in_group(self, by: str, group: str, number: int) -> int:
        """The mark after it. NotFound; Illegal: not-a-member, room-dismissed, group-dismissed."""
        await self._groups.inside(group, by)
        return await self._mark(by, of_group(group), number, {"group": group}, ())

    async def read_to_user(self, by: str, user: str, number: int) -> int:
        """The mark after it; the other is told."""
        return await self._mark(by, of_two(by, user), number, {"to": user}, (user,))

    async def conversations(self, user: str) -> Sequence[Conversation]:
        """Of the groups and rooms that he is in, and with users. Not those in which nothing was said."""
        streams = await self._storage.streams_of(user)
        groups = [name for kind, _, name in (one.partition(":") for one in streams) if kind in ("group", "room")]
        peers = (await self._people.read(user)).peers
        whole: dict[str, tuple[str | None, str | None]] = {of_group(group): (group, None) for group in groups}
        whole |= {of_two(user, peer): (None, peer) for peer in peers}
        last = await self._storage.last([counter(one) for one in whole])
        said = [one for one in whole if last[counter(one)]]
        read = await self._storage.marks(user, said)
        return [Conversation(one, *whole[one], last[counter(one)], read[one]) for one in said]

    # ----

    async def _send(self, by: str, where: _Where, content: Content, id: str | None) -> KeptMessage:
        messages.check(content)
        if id is not None and (known := await self._storage.message(where.conversation, id)):
            return _again(known, by)
        if self._allowances.take(by, 1.0 + size(content) // 1024, self._engine.clock()):
            raise Illegal(Problem.TOO_FAST)
        content = await self._filtered(by, where.conversation, content)
        if where.meets is not None and not await self._last(where.conversation):
            await self._people.check([where.meets])
            await self._people.command(where.meets, Meet(by))
            await self._people.command(by, Meet(where.meets))
        name, shown = id or str(uuid.uuid4()), {**_shown(content), **where.to}
        said = {"by": by, "type": content.kind, "id": name, "text": content.text[:PREVIEW], **where.to}
        pushed = Pushed("message", said, f"message:{where.conversation}:{name}")
        jobs = await push_jobs(self._storage, where.pushed, pushed, self._engine.clock())
        message = Message(where.conversation, name, by, content.kind, shown, where.streams)
        try:
            told: Any = (await self._engine.commit(Commit(messages=(message,), jobs=jobs)))[0].data
        except Conflict:  # of two that are the same, one is the second
            known = await self._storage.message(where.conversation, name)
            if known is None:
                raise
            return _again(known, by)
        return KeptMessage(where.conversation, told["number"], name, by, content.kind, shown, told["at"])

    async def _filtered(self, by: str, conversation: str, content: Content) -> Content:
        """A filter that fails lets nothing through."""
        if not content.text or content.kind is Kind.CUSTOM:
            return content
        try:
            async with asyncio.timeout(WORDS_S):
                text = await self._words.pass_on(by, conversation, content.text)
        except Exception:
            log.exception("The word filter failed.")
            text = None
        if text is None:
            raise Illegal(Problem.TEXT_REFUSED)
        return replace(content, text=text)

    async def _recall(
        self, by: str, conversation: str, streams: tuple[str, ...], id: str, found: Gathering | None
    ) -> None:
        known = await self._storage.message(conversation, id)
        if known is None:
            raise Illegal(Problem.NO_SUCH_MESSAGE)
        role = None if found is None else found.role_of(by)
        of_sender = None if found is None else found.role_of(known.by)
        sent = Sent(known.by, known.at, known.recalled)
        if messages.check_recall(sent, by, self._engine.clock(), role=role, of_sender=of_sender):
            await self._engine.commit(Commit(recalls=(Recall(conversation, id, by, streams),)))

    async def _last(self, conversation: str) -> int:
        """Number of the newest message, 0 without any."""
        return (await self._storage.last([counter(conversation)]))[counter(conversation)]

    async def _mark(
        self, by: str, conversation: str, number: int, data: Mapping[str, object], also: tuple[str, ...]
    ) -> int:
        known = (await self._storage.marks(by, [conversation]))[conversation]
        last = await self._last(conversation)
        after = messages.mark(known, number, last)
        if after > known:
            said = {"conversation": conversation, "by": by, "number": after, **data}
            events = tuple(Event(user_stream(user), "message_read", said) for user in (by, *also))
            await self._engine.commit(Commit(marks=(Mark(by, conversation, after),), events=events))
        return after


def _shown(content: Content) -> dict[str, object]:
    shown: dict[str, object] = {"text": content.text, "mentions": list(content.mentions)}
    if content.media is not None:
        shown["media"] = asdict(content.media)
    return shown


def _again(known: KeptMessage, by: str) -> KeptMessage:
    """The same message that comes a second time is the first. Illegal: message-exists."""
    if known.by != by:
        raise Illegal(Problem.MESSAGE_EXISTS)
    return known
