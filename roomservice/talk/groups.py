"""Groups of their own, and the audience groups of rooms, which are as the rooms are."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from roomservice.aggregates import GROUP, ROOM
from roomservice.commit import Commit, Mark
from roomservice.engine import Engine, NotFound
from roomservice.interface import Conflict
from roomservice.model import groups
from roomservice.model.errors import Illegal, Problem
from roomservice.model.groups import (
    MAX_AT_ONCE,
    MAX_GROUPS,
    Command,
    Group,
    GroupRole,
    InviteMembers,
    Join,
    Profile,
    RoleOf,
)
from roomservice.model.room import Role, Room
from roomservice.storage.numbering import counter
from roomservice.talk.names import of_group
from roomservice.talk.people import People

_OF_ROOM = {Role.HOST: GroupRole.OWNER, Role.ADMIN: GroupRole.ADMIN, Role.STRANGER: None}


@dataclass(frozen=True, slots=True)
class Gathering:
    """A group and who is what in it. kept: there is a document of it; people: everybody in it, in the order in which
    they came."""

    group: Group
    role_of: RoleOf
    people: Sequence[str]
    kept: bool = True


class Groups:
    def __init__(self, engine: Engine, people: People) -> None:
        self._engine = engine
        self._people = people
        self._storage = engine.storage

    async def create(self, owner: str, profile: Profile) -> Group:
        """Illegal: too-many-groups, too-much."""
        await self._check_number(owner)
        name, now = str(uuid.uuid4()), self._engine.clock()
        return (await self._engine.create(GROUP, name, groups.create(name, owner, profile, now))).after

    async def gather(self, group: str) -> Gathering:
        """NotFound; Illegal: room-dismissed."""
        found = next(iter(await self._engine.read_many(GROUP, [group])), None)
        if found is not None and not found.of_room:
            return Gathering(found, found.role_of, list(found.members))
        try:
            room = (await self._engine.read(ROOM, group)).room
        except NotFound:
            raise NotFound(GROUP.kind, group) from None
        if room.dismissed_at is not None:
            raise Illegal(Problem.ROOM_DISMISSED)
        known = found or groups.of_room(group, room.host, room.created_at)
        return Gathering(replace(known, owner=room.host), _roles(room), list(room.attendees), found is not None)

    async def inside(self, group: str, user: str) -> Gathering:
        """NotFound; Illegal: room-dismissed, group-dismissed, not-a-member."""
        found = await self.gather(group)
        if found.group.dismissed_at is not None:
            raise Illegal(Problem.GROUP_DISMISSED)
        if found.role_of(user) is None:
            raise Illegal(Problem.NOT_A_MEMBER)
        return found

    async def command(self, group: str, command: Command) -> Group:
        """NotFound, TooBusy; Illegal of the model, and too-many-groups, no-such-user."""
        found = await self.gather(group)
        if isinstance(command, InviteMembers) and len(command.users) <= MAX_AT_ONCE:
            await self._people.check(command.users)
        if not found.group.of_room:
            if isinstance(command, Join):
                return await self._join(found.group, command)
            return (await self._engine.change(GROUP, group, lambda _: [command])).after
        aggregate = replace(GROUP, apply=lambda known, said, now: groups.apply(known, said, now, found.role_of))
        if not found.kept:
            outcome = groups.apply(found.group, command, self._engine.clock(), found.role_of)
            try:
                return (await self._engine.create(GROUP, group, outcome)).after
            except Conflict:  # of two first changes at once, one is the second
                pass
        return (await self._engine.change(aggregate, group, lambda _: [command])).after

    async def of(self, user: str) -> Sequence[Group]:
        """Those that he has joined."""
        found = await self._engine.read_many(GROUP, await self._names(user))
        return [group for group in found if user in group.members]

    async def _join(self, group: Group, command: Join) -> Group:
        """What was said before is read."""
        if command.by not in group.members:
            await self._check_number(command.by)
        conversation = of_group(group.id)
        last = (await self._storage.last([counter(conversation)]))[counter(conversation)]

        def read(before: Group, after: Group) -> Commit:
            new = command.by not in before.members
            return Commit(marks=(Mark(command.by, conversation, last),)) if new and last else Commit()

        return (await self._engine.change(GROUP, group.id, lambda _: [command], read)).after

    async def _names(self, user: str) -> list[str]:
        streams = await self._storage.streams_of(user)
        return [stream.removeprefix("group:") for stream in streams if stream.startswith("group:")]

    async def _check_number(self, user: str) -> None:
        if len(await self._names(user)) >= MAX_GROUPS:
            raise Illegal(Problem.TOO_MANY_GROUPS)


def _roles(room: Room) -> RoleOf:
    return lambda user: _OF_ROOM.get(room.role_of(user), GroupRole.MEMBER)
