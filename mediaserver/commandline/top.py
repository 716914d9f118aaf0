"""`mediaserver top`."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

import click
from rich.console import Console
from rich.live import Live

from mediaserver.client import CallError, MediaServer, Patience, Refused
from mediaserver.commandline.connection import Connection, connects, run
from mediaserver.commandline.output import console
from mediaserver.commandline.screen import View, busiest, draw
from mediaserver.schema import RoomState

EVERY_S = 1.0
ROOMS_WITH_LEVELS = 12
"""Rooms whose talkers' levels are asked for, one request each. More costs the server a request each second."""

WATCHING = Patience(attempts=1, timeout_s=3.0, deadline_s=3.0)  # the next look is the next attempt


@click.command()
@click.option("--once", help="Print one screen and end.", is_flag=True)
@connects
def top(connection: Connection, once: bool) -> None:
    """Watch the server and its busiest rooms.

    Looks once a second; Ctrl-C ends it. "late" is the 99th percentile of how late a worker's ticks began. Without a
    terminal, one screen is printed after another."""
    # A signal ends the task, and with it the screen, so that the terminal is left as it was.
    with contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        run(_watch(connection, once))


@dataclass(frozen=True, slots=True)
class _Count:
    """Of RTP packets, since the server started."""

    time: float
    received: int
    sent: int


async def _watch(connection: Connection, once: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    screen = console()
    async with connection.server() as server:
        view, count = await _look(server, None, screen.height)
    if once:
        screen.print(draw(view, width_of(screen), None))
        return
    async with connection.server(WATCHING) as server:
        with _Display(screen) as display:
            while True:
                display.show(view)
                await asyncio.sleep(EVERY_S)
                try:
                    view, count = await _look(server, count, screen.height)
                except CallError as error:
                    view = replace(view, problem=str(error))


class _Display:
    """Shows one view after another: on a terminal in place, else below each other."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._live = Live(console=screen, screen=True, auto_refresh=False) if screen.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, view: View) -> None:
        if self._live is not None:
            self._live.update(draw(view, *self._screen.size), refresh=True)
        else:
            self._screen.print(draw(view, width_of(self._screen), None))
            self._screen.print()


def width_of(screen: Console) -> int:
    """Of the terminal, or what the environment says (COLUMNS), or 80."""
    return screen.width if screen.is_terminal else shutil.get_terminal_size().columns


async def _look(server: MediaServer, before: _Count | None, most: int) -> tuple[View, _Count]:
    """What is there now. most: as many rooms as can be seen."""
    node, rooms = await asyncio.gather(server.node(), _active(server))
    count = _Count(
        time.monotonic(),
        sum(worker.packets_received for worker in node.workers),
        sum(worker.packets_sent for worker in node.workers),
    )
    view = View(node, rooms, await _levels(server, busiest(rooms)[:most]))
    if before is None or count.received < before.received or count.sent < before.sent:
        return view, count
    span_s = count.time - before.time
    received_s, sent_s = (count.received - before.received) / span_s, (count.sent - before.sent) / span_s
    return replace(view, received_s=received_s, sent_s=sent_s), count


async def _active(server: MediaServer) -> list[RoomState]:
    return [room async for room in server.rooms(active=True)]


async def _levels(server: MediaServer, rooms: Sequence[RoomState]) -> dict[str, dict[str, float]]:
    """Room -> user -> dBov, of those who talk in the first few of these rooms."""
    asked = list(islice((room.name for room in rooms if room.talking), ROOMS_WITH_LEVELS))
    return dict(zip(asked, await asyncio.gather(*(_levels_in(server, room) for room in asked)), strict=True))


async def _levels_in(server: MediaServer, room: str) -> dict[str, float]:
    try:
        return {
            participant.user: session.level_dbov
            async for participant in server.participants(room, speaking=True)
            for session in participant.sessions
            if session.direction == "publish"
        }
    except Refused as refused:
        if refused.kind == "no-room":  # it has ended meanwhile
            return {}
        raise
