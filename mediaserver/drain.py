"""How a node is left: no new rooms, time for sessions to end by themselves, a word to those that remain."""

import asyncio
from contextlib import suppress

from mediaserver import logs
from mediaserver.node import Node

log = logs.get(__name__)

LOOK_EVERY_S = 0.1
# From the event `moving` to the end of the sessions: a page needs a round trip or two to be elsewhere before its audio
# stops. Longer delays every restart of a server on which somebody listens.
MOVING_S = 1.0


async def leave(node: Node, timeout_s: float, hurry: asyncio.Event) -> None:
    """Returns when no session is left, or all have been told to go, at the latest after timeout_s + MOVING_S; soon when
    `hurry` is set. The node still runs."""
    loop = asyncio.get_running_loop()
    node.drain(for_good=True)
    deadline = loop.time() + timeout_s
    while node.census.sessions and loop.time() < deadline and not hurry.is_set():
        await _pause(min(LOOK_EVERY_S, deadline - loop.time()), hurry)
    if node.census.sessions:
        log.info("sessions are left", sessions=len(node.census.sessions))
    if not hurry.is_set() and node.streams.moving("draining"):
        await _pause(MOVING_S, hurry)


async def _pause(seconds: float, hurry: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), max(0.0, seconds))
