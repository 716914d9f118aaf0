"""Signalling, as the Tencent document has it: one invites another, or some of a group."""

import uuid
from collections.abc import Sequence

from roomservice.aggregates import INVITATION
from roomservice.allowance import Allowances, Rate
from roomservice.commit import Commit, TimerChange
from roomservice.engine import Engine
from roomservice.model import invitations
from roomservice.model.effects import Timer, What
from roomservice.model.errors import Illegal, Problem
from roomservice.model.invitations import Accept, Cancel, Invitation, Outcome, Reject
from roomservice.talk.groups import Groups
from roomservice.talk.people import People
from roomservice.talk.pushing import Pushed, push_jobs

KEEP_OPEN_S = 24 * 3600.0
"""An invitation without a timeout that nobody answers is forgotten then, and nobody is told."""

PUSHED = 100
"""Invitees who are pushed to when they are offline; those that were named first."""


RATE = Rate(per_s=0.2, burst=20.0)
"""Invitations of one user, at one instance. More lets one fill the storage with those that nobody answers."""


class Invitations:
    def __init__(self, engine: Engine, groups: Groups, people: People) -> None:
        self._engine = engine
        self._people = people
        self._groups = groups
        self._allowances = Allowances(RATE)

    async def invite(self, by: str, invitee: str, timeout_s: float, data: str) -> Invitation:
        """Illegal of the model, and no-such-user, too-fast."""
        self._spend(by)
        await self._people.check([invitee])
        name, now = str(uuid.uuid4()), self._engine.clock()
        return await self._begin(invitations.invite(name, by, invitee, now=now, timeout_s=timeout_s, data=data))

    async def invite_in_group(
        self, by: str, group: str, invitees: Sequence[str], timeout_s: float, data: str
    ) -> Invitation:
        """NotFound; Illegal of the model, and room-dismissed, group-dismissed, too-fast."""
        self._spend(by)
        found = await self._groups.inside(group, by)
        return await self._begin(
            invitations.invite_in_group(
                str(uuid.uuid4()),
                by,
                group,
                members=frozenset(found.people),
                invitees=tuple(dict.fromkeys(invitees)),
                now=self._engine.clock(),
                timeout_s=timeout_s,
                data=data,
                of_room=found.group.of_room,
            )
        )

    async def read(self, by: str, invitation: str) -> Invitation:
        """NotFound; Illegal: not-invited, not-a-member."""
        found = await self._engine.read(INVITATION, invitation)
        if by != found.inviter and by not in found.invitees:
            if found.group is None:
                raise Illegal(Problem.NOT_INVITED)
            await self._groups.inside(found.group, by)
        return found

    async def answer(self, invitation: str, command: Accept | Reject | Cancel) -> Invitation:
        """NotFound, TooBusy; Illegal of the model."""
        return (await self._engine.change(INVITATION, invitation, lambda _: [command])).after

    def _spend(self, by: str) -> None:
        if self._allowances.take(by, 1.0, self._engine.clock()):
            raise Illegal(Problem.TOO_FAST)

    async def _begin(self, outcome: Outcome) -> Invitation:
        invitation, now = outcome[0], self._engine.clock()
        said = {
            "id": invitation.id,
            "inviter": invitation.inviter,
            "group": invitation.group,
            "data": invitation.data,
            "until": invitation.deadline,
        }
        invitees = list(invitation.invitees)[:PUSHED]
        pushed = Pushed("invitation_received", said, f"invitation:{invitation.id}")
        jobs = await push_jobs(self._engine.storage, invitees, pushed, now)
        forget = TimerChange(INVITATION.kind, invitation.id, Timer(What.FORGET), now + KEEP_OPEN_S)
        also = Commit(jobs=jobs, timers=(forget,))
        return (await self._engine.create(INVITATION, invitation.id, outcome, also)).after
