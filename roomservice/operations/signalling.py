"""Signalling, by the names of the Tencent document: invite, inviteInGroup, accept, reject, cancel."""

from typing import Annotated

from pydantic import Field

from roomservice.model.invitations import (
    MAX_INVITEES,
    MAX_TIMEOUT_S,
    Accept,
    Answer,
    Cancel,
    Invitation,
    Reject,
)
from roomservice.operations.fields import Name, UserId
from roomservice.operations.rooms import himself
from roomservice.operations.table import Caller, Operation, Params, Result
from roomservice.operations.talking import Data, GroupId
from roomservice.operations.world import World

TAG = "signalling"
InvitationId = Annotated[Name, Field(description="Id of the invitation")]
Timeout = Annotated[float, Field(ge=0, le=MAX_TIMEOUT_S, description="Seconds for the answer; 0 is without end")]


class Invite(Params):
    user: UserId
    timeout_s: Timeout = 0.0
    data: Data = ""


class InviteInGroup(Params):
    group: GroupId
    users: Annotated[list[UserId], Field(min_length=1, max_length=MAX_INVITEES, description="Members who are invited")]
    timeout_s: Timeout = 0.0
    data: Data = ""


class OfInvitation(Params):
    invitation: InvitationId


class AnswerInvitation(OfInvitation):
    data: Data = ""


class InvitationView(Result):
    id: str = Field(description="Its id")
    inviter: str = Field(description="Who invites")
    group: str | None = Field(description="In which group; null from one to one")
    data: str = Field(description="What the inviter said")
    answers: dict[str, Answer] = Field(description="By invitee: none, accepted, rejected, timed out or cancelled")
    until: float | None = Field(description="When it times out, Unix time in seconds; null without end")
    ended: bool = Field(description="Whether nobody's answer is waited for any more")
    created_at: float = Field(description="Unix time in seconds")


def invitation_view(invitation: Invitation) -> InvitationView:
    return InvitationView(
        id=invitation.id,
        inviter=invitation.inviter,
        group=invitation.group,
        data=invitation.data,
        answers=dict(invitation.invitees),
        until=invitation.deadline,
        ended=invitation.ended,
        created_at=invitation.created_at,
    )


async def invite(world: World, caller: Caller, asked: Invite) -> InvitationView:
    by = himself(caller)
    return invitation_view(await world.talk.invitations.invite(by, asked.user, asked.timeout_s, asked.data))


async def invite_in_group(world: World, caller: Caller, asked: InviteInGroup) -> InvitationView:
    by = himself(caller)
    found = await world.talk.invitations.invite_in_group(by, asked.group, asked.users, asked.timeout_s, asked.data)
    return invitation_view(found)


async def get_invitation(world: World, caller: Caller, asked: OfInvitation) -> InvitationView:
    return invitation_view(await world.talk.invitations.read(himself(caller), asked.invitation))


async def accept(world: World, caller: Caller, asked: AnswerInvitation) -> InvitationView:
    command = Accept(himself(caller), asked.data)
    return invitation_view(await world.talk.invitations.answer(asked.invitation, command))


async def reject(world: World, caller: Caller, asked: AnswerInvitation) -> InvitationView:
    command = Reject(himself(caller), asked.data)
    return invitation_view(await world.talk.invitations.answer(asked.invitation, command))


async def cancel(world: World, caller: Caller, asked: AnswerInvitation) -> InvitationView:
    command = Cancel(himself(caller), asked.data)
    return invitation_view(await world.talk.invitations.answer(asked.invitation, command))


OPERATIONS = (
    Operation(
        "invite",
        ("POST", "/v1/invitations"),
        Invite,
        InvitationView,
        invite,
        "Invites a user, who accepts, rejects, or lets it time out.",
        TAG,
        weight=2,
    ),
    Operation(
        "invite_in_group",
        ("POST", "/v1/groups/{group}/invitations"),
        InviteInGroup,
        InvitationView,
        invite_in_group,
        "Invites members of a group; all of it is told to the whole group.",
        TAG,
        weight=5,
    ),
    Operation(
        "get_invitation",
        ("GET", "/v1/invitations/{invitation}"),
        OfInvitation,
        InvitationView,
        get_invitation,
        "An invitation as it is now. For who invites, is invited, or is in its group.",
        TAG,
    ),
    Operation(
        "accept",
        ("POST", "/v1/invitations/{invitation}:accept"),
        AnswerInvitation,
        InvitationView,
        accept,
        "Accepts an invitation.",
        TAG,
    ),
    Operation(
        "reject",
        ("POST", "/v1/invitations/{invitation}:reject"),
        AnswerInvitation,
        InvitationView,
        reject,
        "Rejects an invitation; `data` may say why, as that the line is busy.",
        TAG,
    ),
    Operation(
        "cancel",
        ("POST", "/v1/invitations/{invitation}:cancel"),
        AnswerInvitation,
        InvitationView,
        cancel,
        "Takes back what nobody has answered yet. By the inviter.",
        TAG,
    ),
)
