"""How many rooms a user has open: a document of his names those that he has made, and changes with each new one.

Who is host now is of no account, so that nobody makes room for more by handing rooms over.
"""

import json
from collections.abc import Sequence

from roomservice.aggregates import ROOM
from roomservice.commit import Commit, Write
from roomservice.engine import ATTEMPTS, Changed, Engine, TooBusy
from roomservice.interface import Conflict
from roomservice.model.effects import Effect
from roomservice.model.errors import Illegal, Problem
from roomservice.model.listing import ListedRoom

KIND = "hosting"
"""Document of a user: ids of rooms that he has made; those that have ended go with the next."""


async def create(engine: Engine, outcome: tuple[ListedRoom, Sequence[Effect]], most: int) -> Changed[ListedRoom]:
    """The new room, if its host has fewer than `most` open. Of two that he makes at once the second counts the first.
    TooBusy; Illegal: too-many-rooms."""
    room = outcome[0].room
    for _ in range(ATTEMPTS):
        kept = await engine.storage.load(KIND, room.host)
        made = [] if kept is None else json.loads(kept.body)
        still = [one.room.id for one in await engine.read_many(ROOM, made) if one.room.dismissed_at is None]
        if len(still) >= most:
            raise Illegal(Problem.TOO_MANY_ROOMS)
        write = Write(KIND, room.host, None if kept is None else kept.revision, json.dumps([*still, room.id]))
        try:
            return await engine.create(ROOM, room.id, outcome, Commit(writes=(write,)))
        except Conflict:
            continue
    raise TooBusy
