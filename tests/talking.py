"""The talk of some users on a storage in memory, in one process and on a clock that a test turns: no sockets, no media
server. What was told to whom is read from the storage's streams."""

from collections.abc import Collection, Mapping
from typing import Any

from roomservice.bus.local import LocalBus
from roomservice.commit import Commit, Numbered, Session, SessionChange
from roomservice.engine import Engine
from roomservice.interface import Addresses, MediaRoom, Storage, Words
from roomservice.storage.memory import MemoryStorage
from roomservice.talk.talk import make_talk
from roomservice.words import AnyWords

NOW = 1_800_000_000.0


class NoMedia:
    """Says where the media would be."""

    async def put(self, room: str, wanted: MediaRoom) -> None: ...

    async def cut_off(self, room: str, user: str, key: str) -> None: ...

    async def close(self, room: str) -> None: ...

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        return Addresses(f"whip/{room}/{user}" if may_publish else "", f"whep/{room}/{user}")

    async def ready(self) -> bool:
        return True


class Everybody:
    """There is whom one names, but nobody."""

    async def authenticate(self, name: str, password: str) -> str | None:
        return name

    async def known(self, users: Collection[str]) -> frozenset[str]:
        return frozenset(users) - {"nobody"}


class Town:
    def __init__(self, words: Words | None = None, storage: Storage | None = None) -> None:
        self.now = NOW
        self.storage = storage or MemoryStorage()
        self.engine = Engine(self.storage, LocalBus(), lambda: self.now)
        self.talk = make_talk(self.engine, Everybody(), NoMedia(), words or AnyWords())

    async def comes(self, user: str, device: str = "") -> None:
        """A device of his is there from now on."""
        name = device or f"{user}-1"
        session = Session(name, user, name, "here", self.now, self.now + 1e6)
        await self.storage.commit(Commit(sessions=(SessionChange(session),)), self.now)

    async def goes(self, user: str, device: str = "") -> None:
        for session in await self.storage.sessions_of([user]):
            if device in ("", session.device):
                await self.storage.commit(Commit(sessions=(SessionChange(session, False),)), self.now)

    async def told(self, stream: str, *names: str) -> list[Mapping[str, Any]]:
        """What was told there, of these events."""
        return [event.data for event in await self.events(stream) if not names or event.name in names]

    async def events(self, stream: str) -> list[Numbered]:
        return list((await self.storage.events(stream, 0, 10_000)).events)

    async def pushed(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Whom, what event, with what; each is told once."""
        found = []
        for leased in await self.storage.due_jobs(self.now, 1000, 60.0):
            if leased.kind == "push":
                payload: Any = leased.payload
                found.append((payload["user"], payload["event"], payload["data"]))
            await self.storage.finish_job(leased)
        return sorted(found, key=lambda one: (one[0], one[1]))

    async def fire(self) -> None:
        """Timers that are due."""
        while due := await self.storage.due_timers(self.now, 100, 60.0):
            for one in due:
                await self.engine.fire(one)
