"""Users' attributes, and where they are pushed to."""

from typing import Annotated

from pydantic import Field

from roomservice.model.errors import Illegal, Problem
from roomservice.model.person import PushSubscription, SetAttributes, Subscribe, Unsubscribe
from roomservice.operations.fields import UserId, Version
from roomservice.operations.rooms import himself
from roomservice.operations.table import Caller, Done, Nothing, Operation, Params, Result
from roomservice.operations.talking import AttributesView, Values, attributes_view
from roomservice.operations.world import World

Endpoint = Annotated[str, Field(min_length=1, max_length=2048, description="Address at the browser's push service")]


class WhoseAttributes(Params):
    user: UserId


class SetAttributesParams(Params):
    values: Annotated[Values, Field(description="By key; null takes one away; others stay")]
    version: Annotated[Version | None, Field(description="The one that is known; else nothing changes")] = None


class BrowserKeys(Params):
    p256dh: Annotated[str, Field(max_length=200, description="The browser's public key, base64url")]
    auth: Annotated[str, Field(max_length=200, description="The browser's secret, base64url")]


class RegisterPush(Params):
    """As `JSON.stringify(subscription)` has it (W3C Push API)."""

    endpoint: Endpoint
    keys: Annotated[BrowserKeys, Field(description="What is pushed is encrypted for them")]
    expirationTime: Annotated[float | None, Field(description="Not looked at: its service says when it is")] = None


class UnregisterPush(Params):
    endpoint: Annotated[Endpoint | None, Field(description="Which one; those of the caller's device if null")] = None


class PushKey(Result):
    key: str = Field(description="`applicationServerKey` of the browser's `subscribe`, base64url")


async def get_attributes(world: World, _: Caller, asked: WhoseAttributes) -> AttributesView:
    return attributes_view((await world.talk.people.read(asked.user)).attributes)


async def set_attributes(world: World, caller: Caller, asked: SetAttributesParams) -> AttributesView:
    person = await world.talk.people.command(himself(caller), SetAttributes(asked.values, asked.version))
    return attributes_view(person.attributes)


async def get_push_key(world: World, _: Caller, __: Nothing) -> PushKey:
    if world.talk.browsers is None:
        raise Illegal(Problem.NO_PUSH)
    return PushKey(key=world.talk.browsers.public_key)


async def register_push(world: World, caller: Caller, asked: RegisterPush) -> Done:
    browsers, keys = world.talk.browsers, asked.keys
    if browsers is None:
        raise Illegal(Problem.NO_PUSH)
    if not browsers.takes(asked.endpoint) or not browsers.reads(keys.p256dh, keys.auth):
        raise Illegal(Problem.PUSH_REFUSED)
    subscription = PushSubscription(asked.endpoint, keys.p256dh, keys.auth, caller.device)
    await world.talk.people.command(himself(caller), Subscribe(subscription))
    return Done()


async def unregister_push(world: World, caller: Caller, asked: UnregisterPush) -> Done:
    device = caller.device if asked.endpoint is None else None
    await world.talk.people.command(himself(caller), Unsubscribe(asked.endpoint, device))
    return Done()


OPERATIONS = (
    Operation(
        "get_user_attributes",
        ("GET", "/v1/users/{user}/attributes"),
        WhoseAttributes,
        AttributesView,
        get_attributes,
        "The app's own values of a user.",
        "attributes",
    ),
    Operation(
        "set_user_attributes",
        ("PATCH", "/v1/attributes"),
        SetAttributesParams,
        AttributesView,
        set_attributes,
        "Changes one's own values. Who follows one's presence is told.",
        "attributes",
    ),
    Operation(
        "get_push_key",
        ("GET", "/v1/push/key"),
        Nothing,
        PushKey,
        get_push_key,
        "With which a browser subscribes to pushes.",
        "push",
        problems=(Problem.NO_PUSH,),
    ),
    Operation(
        "register_push",
        ("POST", "/v1/push/subscriptions"),
        RegisterPush,
        Done,
        register_push,
        "Has the caller's browser pushed to while he is offline.",
        "push",
        problems=(Problem.NO_PUSH, Problem.PUSH_REFUSED),
    ),
    Operation(
        "unregister_push",
        ("DELETE", "/v1/push/subscriptions"),
        UnregisterPush,
        Done,
        unregister_push,
        "No longer.",
        "push",
    ),
)
