"""Calls, as the anyRTC and Tencent documents have them. A call is a media room for who is in it."""

import uuid
from collections.abc import Sequence

from roomservice.aggregates import CALL
from roomservice.allowance import Allowances, Rate
from roomservice.commit import KeptRecord
from roomservice.engine import ATTEMPTS, Engine, NotFound, TooBusy
from roomservice.interface import Addresses, Engaged, Media
from roomservice.model import calls
from roomservice.model.calls import Call, Callee, CallIn, Command, DeviceBack, DeviceLost, State
from roomservice.model.errors import Illegal, Problem
from roomservice.talk.people import People

RATE = Rate(per_s=0.1, burst=10.0)
"""Calls of one caller, at one instance, and callees who are called in. More lets one make another's phone ring without
end, less stops who dials the wrong one twice."""


class Calls:
    def __init__(self, engine: Engine, people: People, media: Media) -> None:
        self._engine = engine
        self._people = people
        self._storage = engine.storage
        self._media = media
        self._allowances = Allowances(RATE)

    async def start(self, by: str, device: str, users: Sequence[str], data: str) -> Call:
        """Who is online and who is engaged is looked up; of two who call the same user at once, one finds him busy.
        TooBusy; Illegal of the model, and no-such-user, too-fast."""
        self._spend(by)
        name = str(uuid.uuid4())
        for _ in range(ATTEMPTS):
            busy = await self._storage.engagement(by) is not None
            callees = await self._callees(users)
            outcome = calls.start(name, by, device, callees, busy=busy, now=self._engine.clock(), data=data)
            try:
                return (await self._engine.create(CALL, name, outcome)).after
            except Engaged:
                continue
        raise TooBusy

    async def call_in(self, by: str, call: str, users: Sequence[str]) -> Call:
        """NotFound, TooBusy; Illegal of the model, and no-such-user, too-fast."""
        self._spend(by)
        for _ in range(ATTEMPTS):
            callees = await self._callees(users)
            try:
                return await self.command(call, CallIn(by, callees))
            except Engaged:
                continue
        raise TooBusy

    async def command(self, call: str, command: Command) -> Call:
        """NotFound, TooBusy, Engaged; Illegal of the model."""
        return (await self._engine.change(CALL, call, lambda _: [command])).after

    async def read(self, by: str, call: str) -> Call:
        """NotFound; Illegal: not-in-call."""
        found = await self._engine.read(CALL, call)
        if by not in found.parties:
            raise Illegal(Problem.NOT_IN_CALL)
        return found

    async def of(self, user: str) -> Call | None:
        """The one that rings with him or that he is in."""
        name = await self._storage.engagement(user)
        try:
            if name is None:
                return None
            return await self._engine.read(CALL, name)
        except NotFound:
            return None

    async def addresses(self, by: str, device: str, call: str) -> Addresses:
        """Where he speaks and hears, on the device by which he is in; looked at again when the token is there, which
        may be newer than what cut him off. NotFound, MediaError; Illegal: not-in-call, answered-elsewhere."""
        await self._check_in(by, device, call)
        addresses = await self._media.addresses(call, by, may_publish=True)
        await self._check_in(by, device, call)
        return addresses

    async def _check_in(self, by: str, device: str, call: str) -> None:
        found = await self.read(by, call)
        if by not in found.of(State.IN):
            raise Illegal(Problem.NOT_IN_CALL)
        if found.parties[by].device != device:
            raise Illegal(Problem.ANSWERED_ELSEWHERE)

    async def history(self, user: str, before: float | None, limit: int) -> Sequence[KeptRecord]:
        """Calls that have ended, the newest first."""
        return await self._storage.records(user, "call", before, limit)

    async def lost(self, user: str, device: str, *, last: bool) -> None:
        """There is no sign of life from this device any more; last: nor from any other of his."""
        await self._sign(user, DeviceLost(user, device), *([DeviceLost(user)] if last else []))

    async def back(self, user: str, device: str) -> None:
        await self._sign(user, DeviceBack(user, device))

    def _spend(self, by: str) -> None:
        if self._allowances.take(by, 1.0, self._engine.clock()):
            raise Illegal(Problem.TOO_FAST)

    async def _sign(self, user: str, *signs: Command) -> None:
        name = await self._storage.engagement(user)
        if name is not None:
            try:
                await self._engine.change(CALL, name, lambda _: signs)
            except NotFound:
                return

    async def _callees(self, users: Sequence[str]) -> tuple[Callee, ...]:
        """Illegal: no-such-user."""
        await self._people.check(users)
        names, now = list(dict.fromkeys(users)), self._engine.clock()
        online = {session.user for session in await self._storage.sessions_of(names) if session.until > now}
        busy = {name for name in names if await self._storage.engagement(name) is not None}
        return tuple(Callee(name, name in online, name in busy) for name in names)
