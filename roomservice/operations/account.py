"""Logging in and out, devices, heartbeats, and who is online."""

from typing import Annotated, Literal

from pydantic import Field

from roomservice.accounts import Device, Tokens
from roomservice.model.person import Unsubscribe
from roomservice.operations.fields import Name, UserId
from roomservice.operations.problems import FORBIDDEN, TOO_LARGE, UNAUTHORISED, Refused
from roomservice.operations.rooms import himself
from roomservice.operations.table import Caller, Done, Nothing, Operation, Params, Result
from roomservice.operations.world import World
from roomservice.presence import MISSED, TooManyWatchedError

ACCOUNT, PRESENCE = "account", "presence"

LOGIN_WEIGHT = 6.0
"""Of a login that fails; one that succeeds counts once. With what an address may (wire/logins.py) ten passwords can be
tried at once, and then one each 3 s."""

DeviceId = Annotated[Name, Field(description="Which of the user's devices it is; the app's own")]
Users = Annotated[list[UserId], Field(min_length=1, max_length=500)]


class LogIn(Params):
    username: Annotated[str, Field(min_length=1, max_length=256, description="Name of the user")]
    password: Annotated[str, Field(min_length=1, max_length=1024, description="His password")]
    device_id: DeviceId = "http"
    device_type: Annotated[
        Literal["android", "ios", "web", "win", "mac"], Field(description="What kind of device it is")
    ] = "web"


class Refresh(Params):
    refresh_token: Annotated[str, Field(max_length=8192, description="Of an earlier login")]


class EndDevice(Params):
    device: DeviceId


class AskOnline(Params):
    users: Annotated[Users, Field(description="Whom it is about")]


class LoggedIn(Result):
    user: str = Field(description="Id of the user")
    device: str = Field(description="Id of the device")
    access_token: str = Field(description="Opens `/v1` and the WebSocket")
    refresh_token: str = Field(description="Gets another access token by `refresh_tokens`")
    access_until: float = Field(description="When the access token expires, Unix time in seconds")
    refresh_until: float = Field(description="When the refresh token expires, Unix time in seconds")


class Beat(Result):
    now: float = Field(description="Unix time in seconds, here")
    heartbeat_s: float = Field(description="How often it is to come")
    missed: int = Field(description="After how many that did not come the user is gone")


class DeviceView(Result):
    device: str = Field(description="Id of the device")
    session: str = Field(description="Id of its session")
    since: float = Field(description="Unix time in seconds")


class Devices(Result):
    devices: list[DeviceView] = Field(description="Those that are there, the first that came first")


class OnlineView(Result):
    user: str = Field(description="Id of the user")
    online: bool = Field(description="Whether a device of his is there")
    devices: list[str] = Field(description="Ids of these")


class Online(Result):
    users: list[OnlineView] = Field(description="As they were asked for, each once")


async def login(world: World, _: Caller, asked: LogIn) -> LoggedIn:
    user = await world.accounts.authenticate(asked.username, asked.password)
    if user is None:
        raise Refused(UNAUTHORISED, "The name or the password is wrong.")
    device = Device(user, asked.device_id, asked.device_type)
    return _logged_in(device, world.accounts.issue(device))


async def refresh_tokens(world: World, _: Caller, asked: Refresh) -> LoggedIn:
    found = await world.accounts.refresh(asked.refresh_token)
    if found is None:
        raise Refused(UNAUTHORISED, "The refresh token is not valid, or not any more: log in.")
    return _logged_in(*found)


async def logout(world: World, caller: Caller, _: Nothing) -> Done:
    """The device's session ends, so that he is lost to his rooms if it was his last; they forget him after the grace
    period, and at once if he leaves them before."""
    await _end(world, himself(caller), caller.device)
    return Done()


async def end_device(world: World, caller: Caller, asked: EndDevice) -> Done:
    await _end(world, himself(caller), asked.device)
    return Done()


async def get_devices(world: World, caller: Caller, _: Nothing) -> Devices:
    user = himself(caller)
    found = sorted((await world.presence.online([user]))[user], key=lambda one: (one.since, one.id))
    return Devices(devices=[DeviceView(device=one.device, session=one.id, since=one.since) for one in found])


async def heartbeat(world: World, caller: Caller, _: Nothing) -> Beat:
    if caller.system:
        raise Refused(FORBIDDEN, "The service itself is always there.")
    if not caller.session:
        await world.presence.beat(caller.user, caller.device)
    return Beat(now=world.clock(), heartbeat_s=world.settings.heartbeat_s, missed=MISSED)


async def query_online(world: World, _: Caller, asked: AskOnline) -> Online:
    found = await world.presence.online(asked.users)
    return Online(
        users=[
            OnlineView(user=user, online=bool(there), devices=sorted({one.device for one in there}))
            for user, there in found.items()
        ]
    )


async def subscribe_presence(world: World, caller: Caller, asked: AskOnline) -> Online:
    user = himself(caller)
    world.talk.people.spend(user, len(asked.users))
    await world.talk.people.check(asked.users)
    try:
        await world.presence.watch(user, asked.users, True)
    except TooManyWatchedError:
        raise Refused(TOO_LARGE, "So many users' presence cannot be followed.") from None
    return await query_online(world, caller, asked)


async def unsubscribe_presence(world: World, caller: Caller, asked: AskOnline) -> Done:
    user = himself(caller)
    world.talk.people.spend(user, len(asked.users))
    await world.presence.watch(user, asked.users, False)
    return Done()


async def _end(world: World, user: str, device: str) -> None:
    """Nor is the device pushed to any more."""
    await world.accounts.end(user, device)
    await world.talk.people.command(user, Unsubscribe(device=device))
    await world.presence.end_device(user, device, "logged out")


def _logged_in(device: Device, issued: Tokens) -> LoggedIn:
    return LoggedIn(
        user=device.user,
        device=device.id,
        access_token=issued.access,
        refresh_token=issued.refresh,
        access_until=issued.access_until,
        refresh_until=issued.refresh_until,
    )


OPERATIONS = (
    Operation(
        "login",
        ("POST", "/v1/login"),
        LogIn,
        LoggedIn,
        login,
        "Name and password for tokens of one device.",
        ACCOUNT,
        open=True,
        weight=LOGIN_WEIGHT,
        tries="username",
        problems=(UNAUTHORISED,),
    ),
    Operation(
        "refresh_tokens",
        ("POST", "/v1/tokens:refresh"),
        Refresh,
        LoggedIn,
        refresh_tokens,
        "Newer tokens of the same device.",
        ACCOUNT,
        open=True,
        problems=(UNAUTHORISED,),
    ),
    Operation(
        "logout", ("POST", "/v1/logout"), Nothing, Done, logout, "Ends this device's session and its tokens.", ACCOUNT
    ),
    Operation("get_devices", ("GET", "/v1/devices"), Nothing, Devices, get_devices, "One's own devices.", ACCOUNT),
    Operation(
        "end_device",
        ("POST", "/v1/devices/{device}:end"),
        EndDevice,
        Done,
        end_device,
        "Logs another device of one's own out.",
        ACCOUNT,
    ),
    Operation(
        "heartbeat",
        ("POST", "/v1/heartbeat"),
        Nothing,
        Beat,
        heartbeat,
        "Says that the device is there. On a WebSocket every message does.",
        PRESENCE,
    ),
    Operation(
        "query_online",
        ("POST", "/v1/presence:query"),
        AskOnline,
        Online,
        query_online,
        "Which of these users are there.",
        PRESENCE,
    ),
    Operation(
        "subscribe_presence",
        ("POST", "/v1/presence:subscribe"),
        AskOnline,
        Online,
        subscribe_presence,
        "Tells `presence_changed` of these users from now on; how it is now.",
        PRESENCE,
    ),
    Operation(
        "unsubscribe_presence",
        ("POST", "/v1/presence:unsubscribe"),
        AskOnline,
        Done,
        unsubscribe_presence,
        "Tells it no more.",
        PRESENCE,
    ),
)
