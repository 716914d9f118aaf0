"""An instance in a process of its own that kills itself at a point: `python -m tests.crashing POINT STORAGE CALLS`.

It makes a room with ann and bob on seats, and then does the last thing of its life: bob is kicked, or, for the points
of a timer, is lost for good. CALLS: a file of what its media server was told, a line of JSON each.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.commit import Commit, Numbered
from roomservice.instance import Instance
from roomservice.interface import Addresses, MediaRoom
from roomservice.model import listing
from roomservice.model.attendance import Enter, Kick, Lost
from roomservice.model.listing import Listing
from roomservice.model.room import SeatMode, Settings, UserInfo
from roomservice.model.seats import TakeSeat
from roomservice.push.both import PushByAll
from roomservice.storage.sql import SqlStorage

COMMAND_POINTS = ("before commit", "after commit", "before media", "after media", "before publish")
TIMER_POINTS = ("timer, before commit", "timer, after commit")
SETTINGS = Settings(mode=SeatMode.FREE, away_grace_s=0.05)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly:
    """Where to die, once it is armed."""

    def __init__(self, point: str) -> None:
        self._point = point.removeprefix("timer, ")
        self.armed = False

    def at(self, point: str) -> None:
        if self.armed and point == self._point:
            die()


class DyingStorage(SqlStorage):
    def __init__(self, url: str, deadly: Deadly) -> None:
        super().__init__(url)
        self._deadly = deadly

    async def commit(self, commit: Commit, now: float) -> Sequence[Numbered]:
        self._deadly.at("before commit")
        told = await super().commit(commit, now)
        self._deadly.at("after commit")
        return told


class DyingBus(LocalBus):
    def __init__(self, deadly: Deadly) -> None:
        super().__init__()
        self._deadly = deadly

    async def publish(self, events: Sequence[Numbered]) -> None:
        self._deadly.at("before publish")
        await super().publish(events)


class Noted:
    """A media server whose calls are noted in a file, which outlives who made them."""

    def __init__(self, calls: Path, deadly: Deadly | None = None) -> None:
        self._calls = calls
        self._deadly = deadly or Deadly("")

    def _note(self, *said: object) -> None:
        self._deadly.at("before media")
        with self._calls.open("a") as file:
            file.write(json.dumps(said) + "\n")
        self._deadly.at("after media")

    async def put(self, room: str, wanted: MediaRoom) -> None:
        self._note("put", room, sorted(wanted.speakers))

    async def cut_off(self, room: str, user: str, key: str) -> None:
        self._note("cut off", room, user, key)

    async def close(self, room: str) -> None:
        self._note("close", room)

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        return Addresses()

    async def ready(self) -> bool:
        return True


async def live(point: str, url: str, calls: Path) -> None:
    deadly = Deadly(point)
    storage = DyingStorage(url, deadly)
    await storage.start()
    instance = Instance(storage, DyingBus(deadly), Noted(calls, deadly), PushByAll([]), time.time)
    await instance.start()
    engine = instance.engine
    announced = Listing("r", "Jazz", "ann", 0.0, 0.0)
    await engine.create(ROOM, "r", listing.create(announced, SETTINGS, UserInfo(), time.time()))
    await engine.change(ROOM, "r", lambda _: [Enter("bob"), TakeSeat("bob")])
    if point in TIMER_POINTS:
        await engine.change(ROOM, "r", lambda _: [Lost("bob")])
        deadly.armed = True
        await asyncio.sleep(20)
    else:
        deadly.armed = True
        await engine.change(ROOM, "r", lambda _: [Kick("ann", "bob")])


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
