"""What the AppServer API takes and answers, by its document's names. Fields that it does not name are ignored."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from roomservice.operations.fields import Name

Line = Annotated[str, Field(max_length=256)]
Text = Annotated[str, Field(max_length=60_000)]
Id = Name
"""Of a user, too: the media server takes no other."""


class Asked(BaseModel):
    model_config = ConfigDict(strict=True)


class Login(Asked):
    username: Id
    password: Annotated[str, Field(min_length=1, max_length=1024)]


class TokenRequest(Asked):
    user_id: Id
    device_id: Id
    device_type: Annotated[str, Field(pattern="^(android|ios|web|win|mac)$")]


class CreateRequest(Asked):
    anchor: Id
    title: Annotated[str, Field(min_length=1, max_length=256)]
    anchor_nick: Line = ""
    cover_url: Line = ""
    extends: Text = ""
    mode: Annotated[int, Field(ge=0, le=2)] = 0
    notice: Line = ""


class RoomRequest(Asked):
    """Of `/get`, `/start`, `/pause`, `/stop`, `/delete`."""

    id: Id
    user_id: Id


class ListRequest(Asked):
    page_num: Annotated[int, Field(ge=1, le=1_000_000)]
    page_size: Annotated[int, Field(ge=1, le=100)]
    user_id: Id
    status: Annotated[int, Field(ge=-1, le=2)] = -1


class UpdateRequest(Asked):
    """What is left out stays."""

    id: Id
    title: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    notice: Line | None = None
    extends: Text | None = None


class MeetingInfoRequest(Asked):
    id: Id


class Member(Asked):
    user_id: Id
    user_nick: Line = ""
    user_avatar: Line = ""
    mic_opened: bool = True
    camera_opened: bool = False
    rtc_pull_url: Annotated[str, Field(max_length=4096)] = ""


class MeetingActionRequest(Asked):
    id: Id
    members: Annotated[list[Member], Field(max_length=1000)]


class LoginAnswer(BaseModel):
    """code: 200. expire: when the token does, RFC 3339 in UTC."""

    code: int = 200
    expire: str
    token: str


class TokenAnswer(BaseModel):
    access_token: str
    refresh_token: str


class Status(BaseModel):
    """Of every answer that is no success. code: that of HTTP; details: `problem`, the name of what is wrong, or
    `errors`, which value is."""

    code: int
    message: str
    details: dict[str, Any] = {}
