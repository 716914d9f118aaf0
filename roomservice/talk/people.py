"""Users' attributes, where they are pushed to, and with whom they have talked."""

from collections.abc import Collection, Sequence

from roomservice.aggregates import PERSON
from roomservice.allowance import Allowances, Rate
from roomservice.engine import Engine, NotFound
from roomservice.interface import Conflict, Users
from roomservice.model import person
from roomservice.model.errors import Illegal, Problem
from roomservice.model.person import Command, Person, PushSubscription, Unsubscribe

NAMES = Rate(per_s=50.0, burst=2000.0)
"""Whose presence one user follows, or follows no more, at one instance. More lets one client hold the storage's lock;
fewer delays the contacts of who comes."""


class People:
    def __init__(self, engine: Engine, users: Users) -> None:
        self._engine = engine
        self._users = users
        self._names = Allowances(NAMES)

    def spend(self, by: str, names: int) -> None:
        """For so many names at once. Illegal: too-fast."""
        if self._names.take(by, names, self._engine.clock()):
            raise Illegal(Problem.TOO_FAST)

    async def check(self, users: Collection[str]) -> None:
        """Whether there are all of them. Illegal: no-such-user."""
        if frozenset(users) - await self._users.known(users):
            raise Illegal(Problem.NO_SUCH_USER)

    async def read(self, user: str) -> Person:
        """One of whom nothing is kept has nothing."""
        try:
            return await self._engine.read(PERSON, user)
        except NotFound:
            return Person(user)

    async def command(self, user: str, command: Command) -> Person:
        """TooBusy; Illegal of the model."""
        try:
            return (await self._engine.change(PERSON, user, lambda _: [command])).after
        except NotFound:
            pass
        outcome = person.apply(Person(user), command)
        if outcome[0] == Person(user):
            return outcome[0]
        try:
            return (await self._engine.create(PERSON, user, outcome)).after
        except Conflict:  # of two first changes at once, one is the second
            return (await self._engine.change(PERSON, user, lambda _: [command])).after


class KeptSubscriptions:
    """Of browsers, for Web Push."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def of(self, user: str) -> Sequence[PushSubscription]:
        return list((await self._people.read(user)).subscriptions.values())

    async def forget(self, user: str, endpoint: str) -> None:
        await self._people.command(user, Unsubscribe(endpoint))
