"""Each role and each operation of rooms, over HTTP and over WebSockets: what it may, or the name of what keeps it."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from roomservice.aggregates import ROOM
from roomservice.model.listing import ListedRoom, Listing
from roomservice.model.room import Role
from roomservice.operations import account, details, library, rooms, sound, stage
from roomservice.operations.everything import TABLE
from roomservice.wire.closing import MEANINGS
from roomservice.wire.events import MEDIA, PRESENCE, ROOMS, STREAMS
from tests.rpc import CallRefusedError, Rpc
from tests.test_rs_authority import WHO, made
from tests.wired import SYSTEM_KEY, Wired, wired

P, S, N, F = "not-permitted", "not-in-room", "not-seated", "forbidden"
PLAYER = {"player": "music", "document": {"tracks": [{"url": "https://example.org/a.mp3"}]}}

# Operation, its parameters beside the room -> system, host, admin, speaker, listener, stranger; "ok", or the problem.
# `self` as a user is who asks.
CASES: list[tuple[str, dict[str, Any], tuple[str, str, str, str, str, str]]] = [
    ("get_room", {}, ("ok",) * 6),
    ("get_attendee_list", {}, ("ok",) * 6),
    ("login_room", {}, (F, "ok", "ok", "ok", "ok", "ok")),
    ("leave_room", {}, (F, "ok", "ok", "ok", "ok", S)),
    ("dismiss_room", {}, ("ok", "ok", P, P, P, S)),
    ("update_room", {"title": "Blues"}, ("ok", "ok", P, P, P, P)),
    ("configure_room", {"settings": {"seats": 4}}, ("ok", "ok", P, P, P, S)),
    ("kick", {"user": "other"}, ("ok", "ok", "ok", P, P, S)),
    ("ban", {"user": "other", "seconds": 60}, ("ok", "ok", "ok", P, P, S)),
    ("unban", {"user": "nobody"}, ("ok", "ok", "ok", P, P, S)),
    ("get_ban_list", {}, ("ok", "ok", "ok", F, F, F)),
    ("hand_over_host", {"user": "other"}, ("ok", "ok", P, P, P, S)),
    ("set_admin", {"user": "other"}, ("ok", "ok", P, P, P, S)),
    ("take_seat", {}, (F, "ok", "ok", "ok", "request-needed", S)),
    ("leave_seat", {}, (F, "ok", N, "ok", N, S)),
    ("move_seat", {"seat": 7}, ("no-such-attendee", "ok", N, "ok", N, S)),
    ("move_seat", {"seat": 7, "user": "guest"}, ("ok", "ok", "ok", P, P, S)),
    ("lock_seat", {"seat": 7}, ("ok", "ok", "ok", P, P, S)),
    ("mute", {}, ("no-such-attendee", "ok", N, "ok", N, S)),
    ("mute", {"user": "guest"}, ("ok", "ok", "ok", P, P, S)),
    ("mute", {"user": "guest", "muted": False}, ("ok", "ok", "ok", P, P, S)),
    ("set_listener", {"user": "guest"}, ("ok", "ok", "ok", P, P, S)),
    ("operate_raise_hand", {}, (F, "already-seated", "ok", "already-seated", "ok", S)),
    ("operate_raise_hand", {"raised": False}, (F, *("no-hand-raised",) * 4, S)),
    ("answer_raise_hand", {"user": "hand", "approve": True}, ("ok", "ok", "ok", P, P, S)),
    ("answer_raise_hand", {"user": "hand", "approve": False}, ("ok", "ok", "ok", P, P, S)),
    ("invite_onstage", {"user": "other"}, ("ok", "ok", "ok", P, P, S)),
    ("cancel_onstage_invite", {"user": "hand"}, ("not-invited",) * 3 + (P, P, S)),
    ("response_onstage_invite", {"accept": True}, (F, *("not-invited",) * 4, S)),
    ("set_room_info", {"values": {"topic": "jazz"}}, ("ok", "ok", "ok", P, P, S)),
    ("set_user_info", {"user": "self", "nick": "me"}, (S, "ok", "ok", "ok", "ok", S)),
    ("set_user_info", {"user": "other", "nick": "you"}, ("ok", "ok", "ok", P, P, S)),
    ("set_user_info", {"user": "guest", "mic_opened": False}, ("ok", "ok", "ok", P, P, S)),
    ("set_user_info", {"user": "guest", "role": "listener"}, ("ok", "ok", "ok", P, P, S)),
    ("like", {}, (F, "ok", "ok", "ok", "ok", S)),
    ("send_command", {"text": "dance", "to": "other"}, ("ok",) * 5 + (S,)),
    ("get_addresses", {}, (F, "ok", "ok", "ok", "ok", S)),
    ("get_participants", {}, ("ok",) * 5 + (S,)),
    ("get_players", {}, ("ok",) * 5 + (S,)),
    ("put_player", PLAYER, ("ok", "ok", "ok", P, P, S)),
    ("control_player", {"player": "music", "action": "pause"}, ("ok", "ok", "ok", P, P, S)),
    ("delete_player", {"player": "nothing"}, ("ok", "ok", "ok", P, P, S)),
    ("play_effect", {"document": {"sound": "applause"}}, ("ok", "ok", "ok", P, P, S)),
    ("get_sound", {}, ("ok",) * 5 + (S,)),
    ("configure_sound", {"ducking_db": 18}, ("ok", "ok", "ok", P, P, S)),
    ("start_effect", {"effect": "rain", "document": {"sound": "applause"}}, ("ok", "ok", "ok", P, P, S)),
    ("stop_effect", {"effect": "rain"}, ("ok", "ok", "ok", P, P, S)),
]


async def fresh_room(service: Wired, name: str) -> None:
    """One of each role, as the model's own table has it."""
    room = made()
    listing = Listing(name, "Jazz", "host", room.created_at, room.created_at, status=1)
    await service.engine.create(ROOM, name, (ListedRoom(listing, replace(room, id=name)), []))


async def over_http(service: Wired, token: str, name: str, params: dict[str, Any]) -> str:
    operation = TABLE[name]
    method, path = operation.http
    for part in operation.in_path:
        path = path.replace("{" + part + "}", str(params[part]))
    query = {key: params[key] for key in operation.in_query if key in params}
    body = {key: params[key] for key in operation.in_body if key in params}
    more: dict[str, Any] = {"json": body} if method in ("POST", "PUT", "PATCH") else {"params": query}
    answer = await service.call(method, path, token, **more)
    return "ok" if answer.is_success else str(answer.json()["problem"])


async def over_socket(socket: Rpc, name: str, params: dict[str, Any]) -> str:
    try:
        await socket.call(name, **params)
    except CallRefusedError as refused:
        return str(refused.problem)
    return "ok"


async def test_each_role_may_do_what_the_table_says_over_http_and_over_websockets() -> None:
    wrong: list[str] = []
    async with wired() as service, AsyncExitStack() as stack:
        service.wire.sockets._desk._users.take = lambda *_: 0.0  # type: ignore[method-assign]
        names = [WHO[role] or "" for role in Role]
        tokens = {name: await service.token(name) if name else SYSTEM_KEY for name in names}
        sockets = {name: await stack.enter_async_context(Rpc(service.url, tokens[name])) for name in names if name}
        for number, (name, more, expected) in enumerate(CASES):
            for role, wanted in zip(Role, expected, strict=True):
                who = WHO[role] or ""
                said = {key: who or "nobody" if value == "self" else value for key, value in more.items()}
                if role is Role.SYSTEM and more.get("user") == "self":
                    wanted = "no-such-attendee"  # noqa: PLW2901
                for wire in ("http", "socket"):
                    room = f"{number}-{who}-{wire}"
                    await fresh_room(service, room)
                    params = {"room": room, **said}
                    if wire == "http":
                        outcome = await over_http(service, tokens[who], name, params)
                    elif who:
                        outcome = await over_socket(sockets[who], name, params)
                    else:
                        continue
                    if outcome != wanted:
                        wrong.append(f"{name} {more} by {role} over {wire}: {outcome}, not {wanted}")
    assert not wrong


def test_the_table_tries_every_operation_of_a_room() -> None:
    of_rooms = {name for name, one in TABLE.items() if one.http[1].startswith("/v1/rooms/{room}")}
    assert of_rooms == {name for name, _, _ in CASES}


def test_the_methods_of_the_zego_document_are_there_by_their_names() -> None:
    assert set(TABLE) >= {
        *("login", "logout", "get_room_list", "create_room", "login_room", "get_attendee_list"),
        *("operate_raise_hand", "set_user_info", "invite_onstage", "response_onstage_invite", "heartbeat"),
    }


def test_the_guide_has_every_operation_event_and_close_code() -> None:
    text = (Path(__file__).parent.parent / "docs/rooms.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(\w+)`", text, re.M))
    themes = (account, rooms, stage, details, sound, library)
    assert told == {one.name for theme in themes for one in theme.OPERATIONS} | {*PRESENCE, *STREAMS, *ROOMS, *MEDIA}
    for theme in themes:
        for one in theme.OPERATIONS:
            assert f"`{one.http[0]} {one.http[1].replace('/v1/rooms/{room}', '…')}`" in text
    for code, meaning in MEANINGS.items():
        assert f"| {int(code)} | `{code.reason}` | {meaning} |" in text
