"""In memory: nothing survives a restart, and there is one instance. For tests and for trying things out."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    RoomInfo,
    Session,
    Visits,
)
from roomservice.interface import Conflict, Engaged
from roomservice.model.effects import Timer
from roomservice.storage.numbering import counted, number
from roomservice.storage.retention import Retention


@dataclass(slots=True)
class _Waiting:
    job: Job
    attempts: int = 0
    version: int = 1
    lease: str = ""
    leased_until: float = 0.0


@dataclass(slots=True)
class _Running:
    deadline: float
    leased_until: float = 0.0


@dataclass(slots=True)
class _Stream:
    last: int = 0
    events: list[Numbered] = field(default_factory=list)


class MemoryStorage:
    """Nothing here waits: each method is a transaction."""

    def __init__(self, retention: Retention | None = None) -> None:
        self._retention = retention or Retention()
        self._documents: dict[tuple[str, str], Kept] = {}
        self._parts: dict[tuple[str, str], dict[str, str]] = {}
        self._with_media: set[tuple[str, str]] = set()
        self._infos: dict[str, RoomInfo] = {}
        self._visitors: dict[str, dict[str, int]] = {}
        self._users: dict[str, str] = {}
        self._streams: defaultdict[str, _Stream] = defaultdict(_Stream)
        self._follows: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._followers: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._engaged: dict[str, str] = {}
        self._timers: dict[tuple[str, str, Timer], _Running] = {}
        self._jobs: dict[str, _Waiting] = {}
        self._messages: defaultdict[str, dict[str, KeptMessage]] = defaultdict(dict)
        self._marks: dict[tuple[str, str], int] = {}
        self._records: list[tuple[tuple[str, ...], KeptRecord]] = []
        self._sessions: dict[str, Session] = {}

    async def start(self) -> None:
        """There is nothing to be made."""

    async def close(self) -> None:
        """There is nothing to be closed."""

    async def ready(self) -> bool:
        return True

    # ---- what is true

    async def load(self, kind: str, id: str, known: int = 0) -> Kept | None:
        found = self._documents.get((kind, id))
        if found is None:
            return None
        if found.revision == known:
            return Kept(kind, id, known, "")
        return replace(found, parts=dict(self._parts[kind, id]))

    async def load_many(
        self, kind: str, ids: Collection[str], known: Mapping[str, int] | None = None
    ) -> Sequence[Kept]:
        found = [await self.load(kind, id, (known or {}).get(id, 0)) for id in ids]
        return [one for one in found if one is not None]

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        self._check(commit)
        last = {stream: self._streams[stream].last for stream in counted(commit)}
        outcome = number(commit, now, last, self._following(commit), self._recalled(commit))
        for stream, value in outcome.last.items():
            self._streams[stream].last = value
        for event in outcome.events:
            self._streams[event.stream].events.append(event)
            del self._streams[event.stream].events[: -self._retention.events]
        for message in outcome.messages:
            self._keep(message)
        self._write(commit)
        self._follow(commit, last)
        self._set_timers_and_jobs(commit)
        for record in commit.records:
            self._records.append((record.users, KeptRecord(record.kind, record.id, now, record.data)))
        for change in commit.sessions:
            if change.on:
                self._sessions[change.session.id] = change.session
            else:
                self._sessions.pop(change.session.id, None)
        return outcome.events

    def _keep(self, message: KeptMessage) -> None:
        known = self._messages[message.conversation]
        known[message.id] = message
        if len(known) > self._retention.messages:
            del known[next(iter(known))]

    def _check(self, commit: Commit) -> None:
        for write in commit.writes:
            known = self._documents.get((write.kind, write.id))
            if (None if known is None else known.revision) != write.revision:
                raise Conflict
        for message in commit.messages:
            if message.id in self._messages[message.conversation]:
                raise Conflict
        engaged = dict(self._engaged)
        for one in sorted(commit.engagements, key=lambda one: one.on):
            if not one.on:
                if engaged.get(one.user) == one.call:
                    del engaged[one.user]
            elif engaged.setdefault(one.user, one.call) != one.call:
                raise Engaged(one.user, engaged[one.user])
        self._engaged = engaged

    def _following(self, commit: Commit) -> set[tuple[str, str]]:
        asked = {(one.user, one.stream) for one in commit.subscriptions}
        return {(user, stream) for user, stream in asked if stream in self._follows[user]}

    def _recalled(self, commit: Commit) -> set[tuple[str, str]]:
        found = set()
        for recall in commit.recalls:
            known = self._messages[recall.conversation].get(recall.id)
            if known is None or known.recalled:
                found.add((recall.conversation, recall.id))
            else:
                recalled = replace(known, data={}, recalled=True)
                self._messages[recall.conversation][recall.id] = recalled
        return found

    def _write(self, commit: Commit) -> None:
        for write in commit.writes:
            key = (write.kind, write.id)
            self._with_media.discard(key)
            if write.body is None:
                del self._documents[key], self._parts[key]
                if write.kind == "room":
                    self._infos.pop(write.id, None)
                    self._visitors.pop(write.id, None)
                continue
            self._documents[key] = Kept(write.kind, write.id, (write.revision or 0) + 1, write.body)
            parts = self._parts.setdefault(key, {})
            for name, part in write.parts.items():
                if part is None:
                    parts.pop(name, None)
                else:
                    parts[name] = part
            if write.media:
                self._with_media.add(key)
            if write.info is not None:
                self._infos[write.id] = write.info
        for mark in commit.marks:
            key = (mark.user, mark.conversation)
            self._marks[key] = max(self._marks.get(key, 0), mark.number)

    def _follow(self, commit: Commit, last: Mapping[str, int]) -> None:
        for one in commit.subscriptions:
            if one.on:
                self._follows[one.user].setdefault(one.stream, last.get(one.stream, 0))
                self._followers[one.stream][one.user] = None
            else:
                self._follows[one.user].pop(one.stream, None)
                self._followers[one.stream].pop(one.user, None)

    def _set_timers_and_jobs(self, commit: Commit) -> None:
        for change in commit.timers:
            key = (change.kind, change.id, change.timer)
            if change.deadline is None:
                if change.only is None or (key in self._timers and self._timers[key].deadline == change.only):
                    self._timers.pop(key, None)
            else:
                self._timers[key] = _Running(change.deadline)
        for job in commit.jobs:
            known = self._jobs.get(job.key)
            if known is None:
                self._jobs[job.key] = _Waiting(job)
            else:
                known.job, known.version, known.attempts = job, known.version + 1, 0

    async def rooms(self, number: int, size: int, status: int | None = None, search: str = "") -> Sequence[str]:
        chosen = [
            info
            for info in self._infos.values()
            if status in (None, info.status) and search.lower() in info.title.lower()
        ]
        chosen.sort(key=lambda info: (-info.created_at, info.id))
        return [info.id for info in chosen[(number - 1) * size : number * size]]

    async def media_rooms(self, after: tuple[str, str] | None, limit: int) -> Sequence[tuple[str, str]]:
        return sorted(key for key in self._with_media if after is None or key > after)[:limit]

    async def visit(self, room: str, user: str) -> None:
        visitors = self._visitors.setdefault(room, {})
        visitors[user] = visitors.get(user, 0) + 1

    async def visits(self, rooms: Collection[str]) -> Mapping[str, Visits]:
        found = {}
        for room in rooms:
            visitors = self._visitors.get(room, {})
            found[room] = Visits(sum(visitors.values()), len(visitors))
        return found

    # ---- what was told

    async def events(self, stream: str, after: int, limit: int) -> Events:
        known = self._streams.get(stream, _Stream())
        later = [event for event in known.events if event.seq > after]
        first = later[0].seq if later else known.last + 1
        return Events(tuple(later[:limit]), complete=first <= after + 1 and after <= known.last)

    async def last(self, streams: Collection[str]) -> Mapping[str, int]:
        return {stream: self._streams[stream].last if stream in self._streams else 0 for stream in streams}

    async def streams_of(self, user: str) -> Mapping[str, int]:
        return dict(self._follows.get(user, {}))

    async def followers(self, stream: str) -> Sequence[str]:
        return list(self._followers.get(stream, {}))

    async def messages(self, conversation: str, before: int | None, limit: int) -> Sequence[KeptMessage]:
        known = self._messages.get(conversation, {}).values()
        return [one for one in reversed(list(known)) if before is None or one.number < before][:limit]

    async def message(self, conversation: str, id: str) -> KeptMessage | None:
        return self._messages.get(conversation, {}).get(id)

    async def marks(self, user: str, conversations: Collection[str]) -> Mapping[str, int]:
        return {conversation: self._marks.get((user, conversation), 0) for conversation in conversations}

    async def records(self, user: str, kind: str, before: float | None, limit: int) -> Sequence[KeptRecord]:
        return [
            record
            for users, record in reversed(self._records)
            if user in users and record.kind == kind and (before is None or record.at < before)
        ][:limit]

    # ---- who is there

    async def sessions_of(self, users: Collection[str]) -> Sequence[Session]:
        return [session for session in self._sessions.values() if session.user in users]

    async def refresh_sessions(self, sessions: Collection[str], until: float) -> frozenset[str]:
        there = frozenset(sessions) & self._sessions.keys()
        for session in there:
            self._sessions[session] = replace(self._sessions[session], until=until)
        return there

    async def expired_sessions(self, now: float, limit: int) -> Sequence[Session]:
        return [session for session in self._sessions.values() if session.until <= now][:limit]

    async def engagement(self, user: str) -> str | None:
        return self._engaged.get(user)

    # ---- what is to be done

    async def due_timers(self, now: float, limit: int, lease_s: float) -> Sequence[Due]:
        due = [key for key, one in self._timers.items() if max(one.deadline, one.leased_until) <= now]
        due.sort(key=lambda key: self._timers[key].deadline)
        for key in due[:limit]:
            self._timers[key].leased_until = now + lease_s
        return [Due(kind, id, timer, self._timers[kind, id, timer].deadline) for kind, id, timer in due[:limit]]

    async def due_jobs(
        self,
        now: float,
        limit: int,
        lease_s: float,
        keys: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Sequence[Leased]:
        chosen = [
            one
            for key, one in self._jobs.items()
            if one.leased_until <= now
            and one.job.kind not in without
            and (one.job.due <= now if keys is None else key in keys)
        ]
        chosen.sort(key=lambda one: one.job.due)
        found = []
        for one in chosen[:limit]:
            one.lease, one.leased_until, job = str(uuid.uuid4()), now + lease_s, one.job
            found.append(Leased(job.kind, job.key, job.payload, job.due, one.attempts, one.version, one.lease))
        return found

    async def finish_job(self, leased: Leased) -> bool:
        known = self._jobs.get(leased.key)
        if known is None or known.lease != leased.lease:
            return False
        if known.version == leased.version:
            del self._jobs[leased.key]
            return True
        known.leased_until = 0.0
        return False

    async def retry_job(self, leased: Leased, due: float) -> None:
        known = self._jobs.get(leased.key)
        if known is None or known.lease != leased.lease:
            return
        known.leased_until = 0.0
        if known.version == leased.version:
            known.attempts += 1
            known.job = replace(known.job, due=due)

    async def next_due(self) -> float | None:
        timers = [max(one.deadline, one.leased_until) for one in self._timers.values()]
        return min([*timers, *(max(one.job.due, one.leased_until) for one in self._jobs.values())], default=None)

    async def forget(self, now: float) -> int:
        gone = 0
        for stream in self._streams.values():
            kept = [event for event in stream.events if event.at > now - self._retention.events_s]
            gone += len(stream.events) - len(kept)
            stream.events = kept
        for conversation, messages in self._messages.items():
            young = {id: one for id, one in messages.items() if one.at > now - self._retention.messages_s}
            gone += len(messages) - len(young)
            self._messages[conversation] = young
        records = [one for one in self._records if one[1].at > now - self._retention.records_s]
        gone += len(self._records) - len(records)
        self._records = records
        return gone

    # ---- users

    async def password_of(self, user: str) -> str | None:
        return self._users.get(user)

    async def known_users(self, users: Collection[str]) -> frozenset[str]:
        return frozenset(users) & self._users.keys()

    async def add_user(self, user: str, password_hash: str) -> bool:
        """Whether there was none of this name."""
        return self._users.setdefault(user, password_hash) is password_hash
