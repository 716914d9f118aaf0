"""What jobs of the outbox do at the media server.

Both kinds bring it to what the documents say at that time, so that none does harm when it is done again or late: a
room is put as it shall be, or closed; and a user is cut off unless he may be there by now.
"""

from roomservice.aggregates import Aggregate
from roomservice.commit import Commit, Leased
from roomservice.engine import Engine, NotFound
from roomservice.interface import Media
from roomservice.outcome import put_job

PAGE = 200


class MediaJobs:
    def __init__(self, engine: Engine, media: Media) -> None:
        self._engine = engine
        self._media = media

    async def do(self, leased: Leased) -> None:
        """MediaError, Unavailable."""
        kind, id = str(leased.payload["kind"]), str(leased.payload["id"])
        aggregate = self._engine.aggregates[kind]
        user = leased.payload.get("user")
        if user is None:
            await self._put(aggregate, id)
        else:
            await self._cut_off(aggregate, id, str(user), leased.key)

    async def put_all(self) -> None:
        """Every media room that there shall be is put anew, soon: as when the media server has forgotten them.
        Unavailable."""
        after: tuple[str, str] | None = None
        while found := await self._engine.storage.media_rooms(after, PAGE):
            now = self._engine.clock()
            await self._engine.storage.commit(Commit(jobs=tuple(put_job(kind, id, now) for kind, id in found)), now)
            after = found[-1]

    async def _put(self, aggregate: Aggregate[object], id: str) -> None:
        try:
            wanted = aggregate.media(await self._engine.read(aggregate, id))
        except NotFound:
            wanted = None
        if wanted is None:
            await self._media.close(id)
        else:
            await self._media.put(id, wanted)

    async def _cut_off(self, aggregate: Aggregate[object], id: str, user: str, key: str) -> None:
        try:
            state = await self._engine.read(aggregate, id)
        except NotFound:
            return
        if aggregate.media(state) is not None and user not in aggregate.followers(state):
            await self._media.cut_off(id, user, key)
