"""Rooms: made, found, entered, left, led and ended."""

import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, TypeVar

from pydantic import Field

from roomservice import hosting
from roomservice.aggregates import ROOM
from roomservice.commit import Visits
from roomservice.model.attendance import Appoint, Ban, Dismiss, Enter, HandOver, Kick, Leave, Unban
from roomservice.model.configuring import Configure
from roomservice.model.errors import Problem
from roomservice.model.listing import STARTED, Command, ListedRoom, Listing, Pause, Relist, Start
from roomservice.model.listing import create as new_room
from roomservice.model.room import HostGone, Role, Scenario, SeatMode, Settings, UserInfo
from roomservice.operations.fields import Line, LongText, RoomId, SeatNumber, UserId
from roomservice.operations.problems import FORBIDDEN, INVALID_PARAMS, NO_SUCH_ROOM, Refused
from roomservice.operations.table import Caller, Done, Operation, Params, Result
from roomservice.operations.views import (
    AttendeePage,
    AttendeeView,
    RoomPage,
    RoomView,
    attendee_view,
    listed_view,
    room_view,
)
from roomservice.operations.world import World

TAG = "rooms"
A = TypeVar("A", bound="InRoom")


class InRoom(Params):
    room: RoomId


class WhoInRoom(InRoom):
    user: UserId


class RoomSettings(Params):
    """What is left out is as it was, or in a new room as here."""

    seats: Annotated[int | None, Field(ge=1, le=1000, description="How many there are (8)")] = None
    mode: Annotated[
        SeatMode | None, Field(description="How a listener comes to one: free, by request, by invitation (request)")
    ] = None
    host_seat: Annotated[
        SeatNumber | None, Field(description="Which one the host of a new room gets; -1 is said by `no_host_seat` (0)")
    ] = None
    no_host_seat: Annotated[bool, Field(description="The host of a new room gets none")] = False
    capacity: Annotated[int | None, Field(ge=1, le=10_000, description="Attendees at a time (10,000)")] = None
    away_grace_s: Annotated[
        float | None,
        Field(ge=0, le=3600, description="Seconds without a sign of life until an attendee has left (30)"),
    ] = None
    host_grace_s: Annotated[
        float | None, Field(ge=0, le=24 * 3600, description="Seconds that the host may be gone (120)")
    ] = None
    host_gone: Annotated[HostGone | None, Field(description="What happens then (next admin)")] = None
    invite_s: Annotated[
        float | None,
        Field(ge=0, le=3600, description="Seconds for which an invitation to a seat stands, 0 without end (60)"),
    ] = None
    scenario: Annotated[Scenario | None, Field(description="What the room is for: how its mixes sound (chat)")] = None

    def over(self, known: Settings) -> Settings:
        """Refused for what no room can be."""
        said = self.model_dump(exclude_none=True, exclude={"no_host_seat"})
        if self.no_host_seat:
            said["host_seat"] = None
        whole = {name: getattr(known, name) for name in Settings.__dataclass_fields__} | said
        seat = whole["host_seat"]
        if "host_seat" not in said and seat is not None and seat >= whole["seats"]:
            whole["host_seat"] = 0
        try:
            return Settings(**whole)
        except ValueError as error:
            raise Refused(INVALID_PARAMS, str(error)) from None


class CreateRoom(Params):
    title: Annotated[Line, Field(min_length=1, description="What the list shows")]
    notice: Annotated[Line, Field(description="What it is about")] = ""
    cover_url: Annotated[Line, Field(description="Address of a picture")] = ""
    extends: Annotated[LongText, Field(description="The app's own text")] = ""
    mode: Annotated[int, Field(ge=0, le=2, description="As the AppServer document's `mode`")] = 1
    nick: Annotated[Line, Field(description="What the host is called in it")] = ""
    avatar: Annotated[Line, Field(description="Address of the host's picture")] = ""
    settings: Annotated[RoomSettings, Field(description="How it works")] = RoomSettings()


class EnterRoom(InRoom):
    nick: Annotated[Line, Field(description="What the user is called in it")] = ""
    avatar: Annotated[Line, Field(description="Address of his picture")] = ""
    extra: Annotated[Line, Field(description="The app's own text about him")] = ""


class ListRooms(Params):
    page: Annotated[int, Field(ge=1, le=1_000_000, description="Number of the page, from 1")] = 1
    size: Annotated[int, Field(ge=1, le=100, description="Rooms on a page")] = 20
    status: Annotated[int | None, Field(ge=0, le=2, description="0 prepared, 1 started, 2 ended; all without it")] = (
        None
    )
    search: Annotated[Line, Field(description="Part of the title")] = ""


class UpdateRoom(InRoom):
    """What is left out stays."""

    title: Annotated[Line | None, Field(min_length=1, description="What the list shows")] = None
    notice: Annotated[Line | None, Field(description="What it is about")] = None
    cover_url: Annotated[Line | None, Field(description="Address of a picture")] = None
    extends: Annotated[LongText | None, Field(description="The app's own text")] = None
    started: Annotated[bool | None, Field(description="False: the list shows it as prepared, as after a pause")] = None


class ConfigureRoom(InRoom):
    settings: Annotated[RoomSettings, Field(description="What of it is to change")]


class ListAttendees(InRoom):
    after: Annotated[str, Field(max_length=256, description="`next` of the page before; empty for the first")] = ""
    limit: Annotated[int, Field(ge=1, le=500, description="Attendees on a page")] = 100
    role: Annotated[Role | None, Field(description="Those of this role alone")] = None


class BanUser(WhoInRoom):
    seconds: Annotated[
        float | None, Field(gt=0, le=10 * 365 * 86_400, description="For how long; for ever without it")
    ] = None


class SetAdmin(WhoInRoom):
    admin: Annotated[bool, Field(description="Whether he is one")] = True


class Bans(Result):
    bans: dict[str, float | None] = Field(description="User -> until when, Unix time in seconds; null is for ever")


# ---- commands of the model


async def change(world: World, room: str, commands: Callable[[ListedRoom], Iterable[Command]]) -> ListedRoom:
    """All of them, or none. Illegal, NotFound, TooBusy."""
    return (await world.engine.change(ROOM, room, commands)).after


async def read(world: World, room: str) -> ListedRoom:
    """NotFound."""
    return await world.engine.read(ROOM, room)


async def shown(world: World, caller: Caller, listed: ListedRoom) -> RoomView:
    visits = await world.engine.storage.visits([listed.room.id])
    talking = world.talking.of(listed.room.id)
    return room_view(listed, visits.get(listed.room.id, Visits()), talking, caller.user)


def himself(caller: Caller) -> str:
    """Refused to the service itself: it has no body."""
    if caller.system:
        raise Refused(FORBIDDEN, "The service itself is in no room.")
    return caller.user


async def is_there(world: World, caller: Caller) -> str:
    """Who he is. A device without a socket is there by its heartbeats over HTTP, from now on: so that it is missed when
    it is lost, and nobody waits for it for ever."""
    user = himself(caller)
    if not caller.session:
        await world.presence.beat(user, caller.device)
    return user


def commanding(
    command: Callable[[Caller, A], Command], *, there: bool = False
) -> Callable[[World, Caller, A], Awaitable[Done]]:
    """An operation that is one command to the model. there: as is_there has it."""

    async def run(world: World, caller: Caller, asked: A) -> Done:
        wanted = command(caller, asked)
        if there:
            await is_there(world, caller)
        await change(world, asked.room, lambda _: [wanted])
        return Done()

    return run


# ---- what is more than that


async def create_room(world: World, caller: Caller, asked: CreateRoom) -> RoomView:
    host, now, name = await is_there(world, caller), world.clock(), str(uuid.uuid4())
    listing = Listing(
        id=name,
        title=asked.title,
        anchor=host,
        created_at=now,
        updated_at=now,
        anchor_nick=asked.nick,
        notice=asked.notice,
        cover_url=asked.cover_url,
        extends=asked.extends,
        mode=asked.mode,
        chat_id=name,
        status=STARTED,
        started_at=now,
    )
    outcome = new_room(listing, asked.settings.over(Settings()), UserInfo(asked.nick, asked.avatar), now)
    made = await hosting.create(world.engine, outcome, world.settings.rooms_per_user)
    return await shown(world, caller, made.after)


async def get_room(world: World, caller: Caller, asked: InRoom) -> RoomView:
    return await shown(world, caller, await read(world, asked.room))


async def get_room_list(world: World, _: Caller, asked: ListRooms) -> RoomPage:
    found = await world.engine.storage.rooms(asked.page, asked.size, asked.status, asked.search)
    listed = await world.engine.read_many(ROOM, found)
    visits = await world.engine.storage.visits([one.room.id for one in listed])
    return RoomPage(
        rooms=[listed_view(one, visits.get(one.room.id, Visits()), world.talking.of(one.room.id)) for one in listed]
    )


async def login_room(world: World, caller: Caller, asked: EnterRoom) -> RoomView:
    user = await is_there(world, caller)
    enter = Enter(user, UserInfo(asked.nick, asked.avatar, asked.extra))
    listed = await change(world, asked.room, lambda _: [enter])
    await world.engine.storage.visit(asked.room, user)
    return await shown(world, caller, listed)


async def update_room(world: World, caller: Caller, asked: UpdateRoom) -> RoomView:
    wanted: list[Command] = [Relist(caller.by, asked.title, asked.notice, asked.cover_url, asked.extends)]
    if asked.started is not None:
        wanted.append(Start(caller.by) if asked.started else Pause(caller.by))
    return await shown(world, caller, await change(world, asked.room, lambda _: wanted))


async def configure_room(world: World, caller: Caller, asked: ConfigureRoom) -> RoomView:
    def wanted(listed: ListedRoom) -> list[Command]:
        return [Configure(caller.by, asked.settings.over(listed.room.settings))]

    return await shown(world, caller, await change(world, asked.room, wanted))


async def get_attendee_list(world: World, _: Caller, asked: ListAttendees) -> AttendeePage:
    room = (await read(world, asked.room)).room
    names = list(room.attendees)
    if asked.after:
        if asked.after not in room.attendees:
            raise Refused(INVALID_PARAMS, "The attendee has left after whom the page would begin: begin anew.")
        names = names[names.index(asked.after) + 1 :]
    found: list[AttendeeView] = []
    for name in names:
        if len(found) == asked.limit:
            return AttendeePage(attendees=found, total=len(room.attendees), next=found[-1].user)
        view = attendee_view(room, name)
        if asked.role is None or view.role is asked.role:
            found.append(view)
    return AttendeePage(attendees=found, total=len(room.attendees), next=None)


async def get_ban_list(world: World, caller: Caller, asked: InRoom) -> Bans:
    room = (await read(world, asked.room)).room
    if room.role_of(caller.by) not in (Role.SYSTEM, Role.HOST, Role.ADMIN):
        raise Refused(FORBIDDEN, "Only host and admins see who is banned.")
    now = world.clock()
    return Bans(bans={user: until for user, until in room.bans.items() if room.is_banned(user, now)})


OPERATIONS = (
    Operation(
        "create_room",
        ("POST", "/v1/rooms"),
        CreateRoom,
        RoomView,
        create_room,
        "Makes a room; the caller is its host and in it.",
        TAG,
        weight=5,
        problems=(Problem.TOO_MANY_ROOMS,),
    ),
    Operation("get_room_list", ("GET", "/v1/rooms"), ListRooms, RoomPage, get_room_list, "Rooms, newest first.", TAG),
    Operation(
        "get_room",
        ("GET", "/v1/rooms/{room}"),
        InRoom,
        RoomView,
        get_room,
        "A room as it is now; who is told to reload asks for it.",
        TAG,
        problems=(NO_SUCH_ROOM,),
    ),
    Operation(
        "login_room",
        ("POST", "/v1/rooms/{room}/attendees:enter"),
        EnterRoom,
        RoomView,
        login_room,
        "Enters the room. From then on its events come.",
        TAG,
    ),
    Operation(
        "leave_room",
        ("POST", "/v1/rooms/{room}/attendees:leave"),
        InRoom,
        Done,
        commanding(lambda caller, _: Leave(himself(caller))),
        "Leaves the room, and his seat before.",
        TAG,
    ),
    Operation(
        "dismiss_room",
        ("POST", "/v1/rooms/{room}:dismiss"),
        InRoom,
        Done,
        commanding(lambda caller, _: Dismiss(caller.by)),
        "Ends the room for all.",
        TAG,
    ),
    Operation(
        "update_room", ("PATCH", "/v1/rooms/{room}"), UpdateRoom, RoomView, update_room, "What the list shows.", TAG
    ),
    Operation(
        "configure_room",
        ("PATCH", "/v1/rooms/{room}/settings"),
        ConfigureRoom,
        RoomView,
        configure_room,
        "Changes how the room works, while it is open.",
        TAG,
    ),
    Operation(
        "get_attendee_list",
        ("GET", "/v1/rooms/{room}/attendees"),
        ListAttendees,
        AttendeePage,
        get_attendee_list,
        "Who is in the room, in the order in which they came.",
        TAG,
    ),
    Operation(
        "kick",
        ("POST", "/v1/rooms/{room}/attendees/{user}:kick"),
        WhoInRoom,
        Done,
        commanding(lambda caller, asked: Kick(caller.by, asked.user)),
        "Sends an attendee out. His media sessions end at once; he may come again.",
        TAG,
    ),
    Operation(
        "ban",
        ("PUT", "/v1/rooms/{room}/bans/{user}"),
        BanUser,
        Done,
        commanding(lambda caller, asked: Ban(caller.by, asked.user, asked.seconds)),
        "Sends a user out, and keeps him out.",
        TAG,
    ),
    Operation(
        "unban",
        ("DELETE", "/v1/rooms/{room}/bans/{user}"),
        WhoInRoom,
        Done,
        commanding(lambda caller, asked: Unban(caller.by, asked.user)),
        "Lets a user come again.",
        TAG,
    ),
    Operation("get_ban_list", ("GET", "/v1/rooms/{room}/bans"), InRoom, Bans, get_ban_list, "Who is banned.", TAG),
    Operation(
        "hand_over_host",
        ("POST", "/v1/rooms/{room}/attendees/{user}:make_host"),
        WhoInRoom,
        Done,
        commanding(lambda caller, asked: HandOver(caller.by, asked.user)),
        "Makes an attendee the host; who was host is an admin then.",
        TAG,
    ),
    Operation(
        "set_admin",
        ("POST", "/v1/rooms/{room}/attendees/{user}:set_admin"),
        SetAdmin,
        Done,
        commanding(lambda caller, asked: Appoint(caller.by, asked.user, asked.admin)),
        "Makes an attendee an admin, or no admin any more.",
        TAG,
    ),
)
