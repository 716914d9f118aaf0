"""What a change of a room costs the room service, however many are in the room: a mute, and one who comes and goes.

The room service's engine and storage, in this process and without its edges: what is measured is what a change costs,
and not how it is asked for. The storage is memory, and SQLite on this machine's disk, which is told to have written.
CPU time is of all threads of the process, medians of the changes.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench import results
from bench.results import CannotMeasure, Cell, Column, Result, Run, Table
from roomservice.aggregates import ROOM
from roomservice.bus.local import LocalBus
from roomservice.engine import Engine
from roomservice.interface import Unavailable
from roomservice.model import listing
from roomservice.model.attendance import Enter, Leave
from roomservice.model.listing import Command, Listing
from roomservice.model.room import Settings, UserInfo
from roomservice.model.seats import Mute
from roomservice.storage.opening import open_storage

ATTENDEES = (100, 1_000, 10_000)
AT_ONCE = 250
CHANGES, QUICK = 200, 40
KINDS: dict[str, tuple[Command, Command]] = {
    "mute": (Mute("host", muted=True), Mute("host", muted=False)),
    "enter, leave": (Enter("one more", UserInfo("One More")), Leave("one more")),
}


@dataclass(frozen=True)
class Cost:
    """Of a change, in ms."""

    cpu: float
    latency: float


async def crowd(engine: Engine, attendees: int) -> None:
    """A room with so many in it, its host on a seat."""
    settings = Settings(capacity=2 * attendees)
    made = listing.create(Listing("room", "Crowded", "host", 0.0, 0.0), settings, UserInfo("Host"), 0.0)
    await engine.create(ROOM, "room", made)
    others = [
        Enter(f"user{number}", UserInfo(f"User {number}", f"https://example.org/{number}.webp"))
        for number in range(1, attendees)
    ]
    for first in range(0, len(others), AT_ONCE):
        coming = others[first : first + AT_ONCE]
        await engine.change(ROOM, "room", lambda _, coming=coming: coming)  # type: ignore[misc]


async def measure_room(url: str, attendees: int, changes: int) -> dict[str, Cost]:
    storage = open_storage(url)
    await storage.start()
    try:
        engine = Engine(storage, LocalBus(), time.time)
        await crowd(engine, attendees)
        return {kind: await measure_kind(engine, commands, changes) for kind, commands in KINDS.items()}
    finally:
        await storage.close()


async def measure_kind(engine: Engine, commands: Sequence[Command], changes: int) -> Cost:
    cpu, latency = list[float](), list[float]()
    for number in range(changes):
        command, began, used = commands[number % 2], time.perf_counter(), time.process_time()
        await engine.change(ROOM, "room", lambda _, command=command: [command])  # type: ignore[misc]
        cpu.append((time.process_time() - used) * 1e3)
        latency.append((time.perf_counter() - began) * 1e3)
    return Cost(statistics.median(cpu), statistics.median(latency))


def measure(attendees: Sequence[int], quick: bool) -> Result:
    changes, rows, keys = QUICK if quick else CHANGES, list[list[Cell]](), dict[str, float | None]()
    for name in ("memory", "SQLite"):
        for count in attendees:
            with tempfile.TemporaryDirectory() as directory:
                url = "none" if name == "memory" else f"sqlite:///{directory}/rooms.db"
                try:
                    found = asyncio.run(measure_room(url, count, changes))
                except Unavailable as error:
                    raise CannotMeasure(f"{name}: {error}") from error
            for kind, cost in found.items():
                rows.append([name, count, kind, cost.cpu, cost.latency])
                keys[f"change_{name.lower()}_{kind.partition(',')[0]}_{count}_ms"] = cost.cpu
    columns = [Column("storage"), Column("attendees"), Column("change")]
    columns += [Column("CPU time", "ms", 2), Column("latency", "ms", 2)]
    return Run("attendees", quick=quick).result(keys, tables=[Table("A change of a room", columns, rows)])


def main() -> None:
    parser = results.parser("attendees", __doc__)
    parser.add_argument(
        "--attendees", type=int, nargs="+", default=list(ATTENDEES), metavar="N", help="how many are in the room"
    )
    arguments = parser.parse_args()
    if min(arguments.attendees) < 1:
        parser.error("A room has its host at least.")
    results.finish("attendees", lambda: measure(arguments.attendees, arguments.quick), arguments.json)


if __name__ == "__main__":
    main()
