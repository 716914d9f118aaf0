"""Calls: rung, answered, led and ended; and what became of them."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from pydantic import Field

from roomservice.model.calls import (
    MAX_DATA_BYTES,
    AnswerCall,
    Call,
    Command,
    HandOverCall,
    HangUp,
    MuteParty,
    Reason,
    RejectCall,
    RemoveParty,
    Ringing,
    State,
)
from roomservice.model.effects import MuteSource
from roomservice.operations.fields import Name, UserId
from roomservice.operations.rooms import himself, is_there
from roomservice.operations.table import Caller, Nothing, Operation, Params, Result
from roomservice.operations.talking import Data
from roomservice.operations.world import World

TAG = "calls"
C = TypeVar("C", bound="OfCall")
CallId = Annotated[Name, Field(description="Id of the call")]
Callees = Annotated[list[UserId], Field(min_length=1, max_length=99, description="Whom to call")]


class StartCall(Params):
    users: Callees
    data: Annotated[Data, Field(max_length=MAX_DATA_BYTES, description="The app's own text for who is called")] = ""


class OfCall(Params):
    call: CallId


class CallInParams(OfCall):
    users: Callees


class RejectCallParams(OfCall):
    data: Annotated[Data, Field(max_length=MAX_DATA_BYTES, description="The app's own text for the others")] = ""


class MutePartyParams(OfCall):
    user: Annotated[UserId | None, Field(description="Whom the owner mutes; oneself if null")] = None
    muted: Annotated[bool, Field(description="Or not any more")] = True


class PartyOfCall(OfCall):
    user: UserId


class GetCallHistory(Params):
    before: Annotated[float | None, Field(ge=0, description="Calls that ended before, Unix time in seconds")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="How many at most")] = 20


# ---- what is answered


class PartyView(Result):
    user: str = Field(description="Id of the user")
    state: State = Field(description="ringing, in or out")
    by: str = Field(description="Who called him")
    device: str | None = Field(description="By which device he is in")
    rings: bool = Field(description="Whether a device of his has said that it rings")
    ring_until: float | None = Field(description="While it rings: until when, Unix time in seconds")
    lost_until: float | None = Field(description="While his device gives no sign of life: when he is out")
    mutes: list[MuteSource] = Field(description="Who mutes him; nobody when it is empty")
    reason: Reason | None = Field(description="Why he is out")


class CallView(Result):
    id: str = Field(description="Id of the call")
    caller: str = Field(description="Who called")
    owner: str = Field(description="Who may mute, remove and hand over")
    data: str = Field(description="What the caller said")
    parties: list[PartyView] = Field(description="In the order in which they were called")
    created_at: float = Field(description="Unix time in seconds")
    answered_at: float | None = Field(description="When two were in first; its duration counts from then")
    ended_at: float | None = Field(description="Unix time in seconds")
    reason: Reason | None = Field(description="Why it ended")
    duration_s: float = Field(description="Of a call that has ended; 0 when nobody answered")


class MaybeCall(Result):
    call: CallView | None = Field(description="The call that rings or that the caller is in, or null")


class CallMedia(Result):
    whip: str = Field(description="Where to send audio to (WHIP); the token is after #token=")
    whep: str = Field(description="Where to hear the others, or the ring-back tone (WHEP); the token is after #token=")


class CallRecord(Result):
    call: str = Field(description="Id of the call")
    caller: str = Field(description="Who called")
    reason: Reason = Field(description="Why it ended")
    duration_s: float = Field(description="From when two were in; 0 when nobody answered")
    begun_at: float = Field(description="Unix time in seconds")
    ended_at: float = Field(description="Unix time in seconds")
    parties: dict[str, Reason] = Field(description="Who took part, and how it ended for him")


class CallHistory(Result):
    calls: list[CallRecord] = Field(description="The newest first")


def call_view(call: Call) -> CallView:
    return CallView(
        id=call.id,
        caller=call.caller,
        owner=call.owner,
        data=call.data,
        parties=[
            PartyView(
                user=user,
                state=party.state,
                by=party.by,
                device=party.device,
                rings=party.rings,
                ring_until=party.ring_until,
                lost_until=party.lost_until,
                mutes=sorted(party.mutes),
                reason=party.reason,
            )
            for user, party in call.parties.items()
        ],
        created_at=call.created_at,
        answered_at=call.answered_at,
        ended_at=call.ended_at,
        reason=call.reason,
        duration_s=call.duration_s,
    )


def _record_view(data: Any) -> CallRecord:
    return CallRecord(
        **{name: data[name] for name in ("call", "caller", "reason", "duration_s", "parties")},
        begun_at=data["from"],
        ended_at=data["to"],
    )


# ---- what is done


def commanding(command: Callable[[Caller, C], Command]) -> Callable[[World, Caller, C], Awaitable[CallView]]:
    """An operation that is one command to the model."""

    async def run(world: World, caller: Caller, asked: C) -> CallView:
        await is_there(world, caller)
        return call_view(await world.talk.calls.command(asked.call, command(caller, asked)))

    return run


async def start_call(world: World, caller: Caller, asked: StartCall) -> CallView:
    return call_view(
        await world.talk.calls.start(await is_there(world, caller), caller.device, asked.users, asked.data)
    )


async def call_in(world: World, caller: Caller, asked: CallInParams) -> CallView:
    return call_view(await world.talk.calls.call_in(himself(caller), asked.call, asked.users))


async def get_call(world: World, caller: Caller, asked: OfCall) -> CallView:
    return call_view(await world.talk.calls.read(himself(caller), asked.call))


async def get_current_call(world: World, caller: Caller, _: Nothing) -> MaybeCall:
    call = await world.talk.calls.of(himself(caller))
    return MaybeCall(call=None if call is None else call_view(call))


async def get_call_media(world: World, caller: Caller, asked: OfCall) -> CallMedia:
    found = await world.talk.calls.addresses(himself(caller), caller.device, asked.call)
    return CallMedia(whip=found.whip, whep=found.whep)


async def get_call_history(world: World, caller: Caller, asked: GetCallHistory) -> CallHistory:
    found = await world.talk.calls.history(himself(caller), asked.before, asked.limit)
    return CallHistory(calls=[_record_view(one.data) for one in found])


OPERATIONS = (
    Operation(
        "start_call",
        ("POST", "/v1/calls"),
        StartCall,
        CallView,
        start_call,
        "Calls one user or several. Who is engaged is busy at once; who is offline is pushed to.",
        TAG,
        weight=5,
    ),
    Operation(
        "get_current_call",
        ("GET", "/v1/calls/current"),
        Nothing,
        MaybeCall,
        get_current_call,
        "The call that rings, or that the caller is in: for who has just come back, as by a push.",
        TAG,
    ),
    Operation(
        "get_call_history",
        ("GET", "/v1/calls/history"),
        GetCallHistory,
        CallHistory,
        get_call_history,
        "Calls that have ended.",
        TAG,
    ),
    Operation(
        "get_call",
        ("GET", "/v1/calls/{call}"),
        OfCall,
        CallView,
        get_call,
        "A call as it is. For its parties.",
        TAG,
    ),
    Operation(
        "get_call_media",
        ("POST", "/v1/calls/{call}/media"),
        OfCall,
        CallMedia,
        get_call_media,
        "Where the caller sends and hears audio. For who is in, on the device by which he is.",
        TAG,
    ),
    Operation(
        "call_in",
        ("POST", "/v1/calls/{call}/parties"),
        CallInParams,
        CallView,
        call_in,
        "Calls others into a call. By who is in.",
        TAG,
        weight=5,
    ),
    Operation(
        "ring",
        ("POST", "/v1/calls/{call}:ring"),
        OfCall,
        CallView,
        commanding(lambda caller, _: Ringing(caller.user)),
        "Says that the device rings. Who calls is told.",
        TAG,
    ),
    Operation(
        "answer_call",
        ("POST", "/v1/calls/{call}:answer"),
        OfCall,
        CallView,
        commanding(lambda caller, _: AnswerCall(caller.user, caller.device)),
        "Answers on this device; the user's others stop ringing.",
        TAG,
    ),
    Operation(
        "reject_call",
        ("POST", "/v1/calls/{call}:reject"),
        RejectCallParams,
        CallView,
        commanding(lambda caller, asked: RejectCall(caller.user, asked.data)),
        "Rejects a call, on all devices.",
        TAG,
    ),
    Operation(
        "hang_up",
        ("POST", "/v1/calls/{call}:hang_up"),
        OfCall,
        CallView,
        commanding(lambda caller, _: HangUp(caller.user, caller.device)),
        "Leaves a call; before anybody has answered, the one who called cancels it by that.",
        TAG,
    ),
    Operation(
        "mute_party",
        ("POST", "/v1/calls/{call}:mute"),
        MutePartyParams,
        CallView,
        commanding(lambda caller, asked: MuteParty(caller.user, asked.user or caller.user, asked.muted)),
        "Mutes oneself, or another by the owner; each undoes only his own.",
        TAG,
    ),
    Operation(
        "remove_party",
        ("POST", "/v1/calls/{call}/parties/{user}:remove"),
        PartyOfCall,
        CallView,
        commanding(lambda caller, asked: RemoveParty(caller.user, asked.user)),
        "Sends a party out: what he sends and hears ends at once. By the owner.",
        TAG,
    ),
    Operation(
        "hand_over_call",
        ("POST", "/v1/calls/{call}/parties/{user}:make_owner"),
        PartyOfCall,
        CallView,
        commanding(lambda caller, asked: HandOverCall(caller.user, asked.user)),
        "Makes another party the owner.",
        TAG,
    ),
)
