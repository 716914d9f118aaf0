"""What a room and its people show, and what they send each other."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from roomservice.model.details import MAX_LIKES, Like, SendCommand, SetInfo, SetUserInfo
from roomservice.model.listing import Command, ListedRoom
from roomservice.model.seats import Mute, SetListener
from roomservice.operations.fields import Line, Text, UserId, Version
from roomservice.operations.problems import INVALID_PARAMS, Refused
from roomservice.operations.rooms import InRoom, WhoInRoom, change, commanding, himself
from roomservice.operations.table import Caller, Done, Operation
from roomservice.operations.world import World

TAG = "details"

Key = Annotated[str, StringConstraints(min_length=1, max_length=256)]
KnownVersion = Annotated[
    Version | None, Field(description="The version that is known; when it is not the newest, nothing is changed")
]


class SetRoomInfo(InRoom):
    values: Annotated[
        dict[Key, Text | None],
        Field(min_length=1, max_length=64, description="The app's own values; null takes one away"),
    ]
    version: KnownVersion = None


class SetUserInfoParams(WhoInRoom):
    """What is left out stays."""

    role: Annotated[Literal["listener"] | None, Field(description="`listener` takes his seat")] = None
    mic_opened: Annotated[
        bool | None, Field(description="False mutes him, true takes the caller's own kind of mute away")
    ] = None
    nick: Annotated[Line | None, Field(description="What he is called here")] = None
    avatar: Annotated[Line | None, Field(description="Address of his picture")] = None
    extra: Annotated[Text | None, Field(description="The app's own text about him")] = None
    version: KnownVersion = None


class LikeParams(InRoom):
    count: Annotated[int, Field(ge=1, le=MAX_LIKES, description="How often; clients gather taps")] = 1


class SendCommandParams(InRoom):
    text: Annotated[Text, Field(description="The app's own")]
    to: Annotated[UserId | None, Field(description="An attendee; all of them without it")] = None


async def set_user_info(world: World, caller: Caller, asked: SetUserInfoParams) -> Done:
    """All of it, or nothing."""

    def wanted(_: ListedRoom) -> list[Command]:
        commands: list[Command] = []
        if (asked.nick, asked.avatar, asked.extra) != (None, None, None):
            shown = SetUserInfo(caller.by, asked.user, asked.nick, asked.avatar, asked.extra, asked.version)
            commands.append(shown)
        if asked.mic_opened is not None:
            commands.append(Mute(caller.by, asked.user, not asked.mic_opened))
        if asked.role is not None:
            commands.append(SetListener(caller.by, asked.user))
        return commands

    if asked.model_dump(exclude={"room", "user", "version"}, exclude_none=True) == {}:
        raise Refused(INVALID_PARAMS, "Nothing is to be changed.")
    await change(world, asked.room, wanted)
    return Done()


OPERATIONS = (
    Operation(
        "set_room_info",
        ("PATCH", "/v1/rooms/{room}/info"),
        SetRoomInfo,
        Done,
        commanding(lambda caller, asked: SetInfo(caller.by, asked.values, asked.version)),
        "Changes the room's extra information; all attendees are told.",
        TAG,
    ),
    Operation(
        "set_user_info",
        ("PATCH", "/v1/rooms/{room}/attendees/{user}"),
        SetUserInfoParams,
        Done,
        set_user_info,
        "Changes what an attendee shows, his microphone, or his role.",
        TAG,
    ),
    Operation(
        "like",
        ("POST", "/v1/rooms/{room}/likes"),
        LikeParams,
        Done,
        commanding(lambda caller, asked: Like(himself(caller), asked.count)),
        "Likes the room.",
        TAG,
    ),
    Operation(
        "send_command",
        ("POST", "/v1/rooms/{room}/commands"),
        SendCommandParams,
        Done,
        commanding(lambda caller, asked: SendCommand(caller.by, asked.text, asked.to)),
        "Sends the app's own command to an attendee, or to all.",
        TAG,
    ),
)
