"""What a room and its people show, and what they send each other: information with versions, likes, custom commands.

Rules held here
- A version rises by one with each change. Who names the version that he knows changes nothing when it is not the
  newest.
- Values are the app's own text, bounded in number and length. A value None takes a key away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from roomservice.model.attendance import Outcome, check_attendee
from roomservice.model.authority import check_over
from roomservice.model.effects import Tell
from roomservice.model.errors import Illegal, Problem
from roomservice.model.maps import with_
from roomservice.model.room import Room

MAX_KEYS = 64
MAX_KEY_BYTES = 256
MAX_VALUE_BYTES = 4096
"""Of a value of the room, of what a user shows, and of a custom command, in UTF-8."""

MAX_INFO_BYTES = 64 << 10
"""Of all keys and values of the room together, in UTF-8. More makes each answer with the room in it cost more."""

MAX_LIKES = 100
"""In one command: clients gather taps."""


@dataclass(frozen=True, slots=True)
class SetInfo:
    by: str | None
    values: Mapping[str, str | None]
    version: int | None = None


@dataclass(frozen=True, slots=True)
class SetUserInfo:
    """What is None stays."""

    by: str | None
    user: str
    nick: str | None = None
    avatar: str | None = None
    extra: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Like:
    by: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class SendCommand:
    """To one who is in the room, or to all."""

    by: str | None
    text: str
    to: str | None = None


@dataclass(frozen=True, slots=True)
class DirectSound:
    """Music or an effect is played, changed or stopped. The media server keeps which; the room, who may."""

    by: str | None


def set_info(room: Room, command: SetInfo, now: float) -> Outcome:
    _check_version(command.version, room.info_version)
    for key, value in command.values.items():
        _check_text(key, MAX_KEY_BYTES)
        _check_text(value or "", MAX_VALUE_BYTES)
    info = {key: value for key, value in {**room.info, **command.values}.items() if value is not None}
    if info == room.info:
        return room, []
    size = _size(info)
    if len(info) > MAX_KEYS or (size > MAX_INFO_BYTES and size >= _size(room.info)):  # it may become smaller
        raise Illegal(Problem.TOO_MUCH)
    changed = {key: info.get(key) for key in command.values if info.get(key) != room.info.get(key)}
    room = replace(room, info=info, info_version=room.info_version + 1)
    return room, [Tell("room_info", {"changed": changed, "version": room.info_version, "by": command.by})]


def set_user_info(room: Room, command: SetUserInfo, now: float) -> Outcome:
    user = command.user
    check_attendee(room, user)
    if user != command.by:
        check_over(room, command.by, user)
    attendee = room.attendees[user]
    _check_version(command.version, attendee.info.version)
    wanted = {"nick": command.nick, "avatar": command.avatar, "extra": command.extra}
    changed = {key: text for key, text in wanted.items() if text is not None and text != getattr(attendee.info, key)}
    for text in changed.values():
        _check_text(text, MAX_VALUE_BYTES)
    if not changed:
        return room, []
    version = attendee.info.version + 1
    info = replace(
        attendee.info,
        nick=changed.get("nick", attendee.info.nick),
        avatar=changed.get("avatar", attendee.info.avatar),
        extra=changed.get("extra", attendee.info.extra),
        version=version,
    )
    room = replace(room, attendees=with_(room.attendees, user, replace(attendee, info=info)))
    return room, [Tell("user_info", {"user": user, "changed": changed, "version": version})]


def like(room: Room, command: Like, now: float) -> Outcome:
    if not 1 <= command.count <= MAX_LIKES:
        raise Illegal(Problem.TOO_MUCH)
    room = replace(room, likes=room.likes + command.count)
    return room, [Tell("liked", {"user": command.by, "count": command.count, "likes": room.likes})]


def send_command(room: Room, command: SendCommand, now: float) -> Outcome:
    _check_text(command.text, MAX_VALUE_BYTES)
    if command.to is not None:
        check_attendee(room, command.to)
    users = None if command.to is None else (command.to,)
    return room, [Tell("custom_command", {"room": room.id, "by": command.by, "text": command.text}, users)]


def direct_sound(room: Room, command: DirectSound, now: float) -> Outcome:
    """What becomes of it is told by the media server."""
    return room, []


def _check_version(said: int | None, known: int) -> None:
    if said is not None and said != known:
        raise Illegal(Problem.STALE_VERSION)


def _check_text(text: str, limit: int) -> None:
    if _bytes(text) > limit:
        raise Illegal(Problem.TOO_MUCH)


def _size(info: Mapping[str, str]) -> int:
    return sum(_bytes(key) + _bytes(value) for key, value in info.items())


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
