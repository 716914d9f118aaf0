"""Who may do what in a group, in a room's audience group, and in a call: each role tries each operation over HTTP, and
is answered 200 or a named problem."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.wired import Wired, wired

OK = ""
NOT, STRANGER, OUTRANKED = "not-permitted", "not-a-member", "outranked"

# Operation, path below the group, body, and what owner, admin, member and stranger are answered.
OF_GROUP: list[tuple[str, str, Any, tuple[str, str, str, str]]] = [
    ("GET", "", None, (OK, OK, OK, OK)),
    ("GET", "/members", None, (OK, OK, OK, STRANGER)),
    ("GET", "/messages", None, (OK, OK, OK, STRANGER)),
    ("POST", "/messages", {"text": "hello"}, (OK, OK, OK, STRANGER)),
    ("POST", "/messages:read", {"number": 1}, (OK, OK, OK, STRANGER)),
    ("POST", "/messages/m-1:recall", {}, (OK, OK, NOT, STRANGER)),
    ("POST", "/invitations", {"users": ["target"]}, (OK, OK, OK, STRANGER)),
    ("PATCH", "", {"notice": "x"}, (OK, OK, NOT, STRANGER)),
    ("PATCH", "/attributes", {"values": {"k": "v"}}, (OK, OK, NOT, STRANGER)),
    ("POST", ":silence", {}, (OK, OK, NOT, STRANGER)),
    ("POST", "/members/target:silence", {}, (OK, OK, NOT, STRANGER)),
    ("POST", "/members/owner:silence", {}, (OUTRANKED, OUTRANKED, NOT, STRANGER)),
    ("PUT", "/members/target/card", {"card": "x"}, (OK, OK, NOT, STRANGER)),
    ("POST", "/members:invite", {"users": ["outsider"]}, (OK, OK, NOT, STRANGER)),
    ("POST", "/members/target:set_admin", {}, (OK, NOT, NOT, STRANGER)),
    ("POST", "/members/target:remove", {}, (OK, OK, NOT, STRANGER)),
    ("POST", "/members/owner:remove", {}, (OUTRANKED, OUTRANKED, NOT, STRANGER)),
    ("POST", "/members/target:make_owner", {}, (OK, NOT, NOT, STRANGER)),
    ("POST", "/members:quit", {}, ("owner-stays", OK, OK, STRANGER)),
    ("POST", "/members:join", {}, (OK, OK, OK, "not-invited")),
    ("POST", ":dismiss", {}, (OK, NOT, NOT, STRANGER)),
]

# In the audience group of a room what is of members is the room's.
ROOM = "group-of-room"
OF_ROOM: list[tuple[str, str, Any, tuple[str, str, str, str]]] = [
    *OF_GROUP[:12],
    *((method, path, body, (ROOM, ROOM, ROOM, ROOM)) for method, path, body, _ in OF_GROUP[12:]),
]
ROLES = ("owner", "admin", "member", "stranger")


class Tried:
    def __init__(self, service: Wired, tokens: dict[str, str]) -> None:
        self._service = service
        self._tokens = tokens

    async def call(self, user: str, method: str, path: str, body: Any = None) -> Any:
        """200 and its answer, or the problem's name."""
        self._service.ahead[0] += 0.2  # nobody asks too often
        more = {} if body is None else {"json": body}
        answer = await self._service.call(method, path, self._tokens[user], **more)
        return answer.json() if answer.status_code == 200 else answer.json()["problem"]


@pytest.fixture
async def tried() -> AsyncIterator[Tried]:
    async with wired(heartbeat_s=300.0) as service:
        users = (*ROLES, "target", "outsider")
        yield Tried(service, {user: await service.token(user) for user in users})


async def group(tried: Tried) -> str:
    made = await tried.call("owner", "POST", "/v1/groups", {"name": "Jazz"})
    path = f"/v1/groups/{made['id']}"
    for user in ("admin", "member", "target"):
        await tried.call(user, "POST", f"{path}/members:join", {})
    await tried.call("owner", "POST", f"{path}/members/admin:set_admin", {})
    await tried.call("owner", "PATCH", path, {"joining": "invitation"})
    return path


async def room(tried: Tried) -> str:
    made = await tried.call("owner", "POST", "/v1/rooms", {"title": "Jazz"})
    path, inside = f"/v1/groups/{made['id']}", f"/v1/rooms/{made['id']}/attendees"
    for user in ("admin", "member", "target"):
        await tried.call(user, "POST", f"{inside}:enter", {})
    await tried.call("owner", "POST", f"{inside}/admin:set_admin", {})
    return path


@pytest.mark.parametrize(("make", "table"), [(group, OF_GROUP), (room, OF_ROOM)], ids=["group", "room"])
async def test_each_role_tries_each_operation_of_a_group(tried: Tried, make: Any, table: Any) -> None:
    path = ""
    for method, below, body, expected in table:
        for role, problem in zip(ROLES, expected, strict=True):
            path = path or await make(tried)
            if below.endswith(":recall"):
                await tried.call("target", "POST", f"{path}/messages", {"text": "x", "id": "m-1"})
            answer = await tried.call(role, method, f"{path}{below}", body)
            assert (answer if isinstance(answer, str) else OK) == problem, (role, method, below, answer)
            if problem == OK and method != "GET":
                path = ""  # it is not as it was


ALLOWED = {
    "owner": {"get", "mute other", "mute self", "remove", "hand over", "call in", "media", "hang up"},
    "party": {"get", "mute self", "call in", "media", "hang up"},
    "ringing": {"get", "ring", "answer", "reject"},
    "stranger": set[str](),
}
CALLS: dict[str, tuple[str, str, Any]] = {
    "get": ("GET", "", None),
    "mute other": ("POST", ":mute", {"user": "second"}),
    "mute self": ("POST", ":mute", {}),
    "call in": ("POST", "/parties", {"users": ["outsider"]}),
    "media": ("POST", "/media", {}),
    "ring": ("POST", ":ring", {}),
    "hand over": ("POST", "/parties/second:make_owner", {}),
    "remove": ("POST", "/parties/second:remove", {}),
    "answer": ("POST", ":answer", {}),
    "reject": ("POST", ":reject", {}),
    "hang up": ("POST", ":hang_up", {}),
}
PROBLEMS = {"not-in-call", "not-permitted", "already-answered", "answered-elsewhere"}


async def test_each_role_tries_each_operation_of_a_call() -> None:
    users = ("owner", "party", "second", "ringing", "stranger", "outsider")
    async with wired(heartbeat_s=300.0) as service:
        tried = Tried(service, {user: await service.token(user) for user in users})
        for what, (method, below, body) in CALLS.items():
            for role, allowed in ALLOWED.items():
                service.ahead[0] += 10.0  # calls have a rate
                called = await tried.call("owner", "POST", "/v1/calls", {"users": ["party", "second", "ringing"]})
                path = f"/v1/calls/{called['id']}"
                for user in ("party", "second"):
                    await tried.call(user, "POST", f"{path}:answer", {})
                answer = await tried.call(role, method, f"{path}{below}", body)
                if what in allowed:
                    assert not isinstance(answer, str), (role, what, answer)
                elif not (role in ("owner", "party") and what == "answer"):  # again, on the same device, is no move
                    assert answer in PROBLEMS, (role, what, answer)
                for user in users:
                    await tried.call(user, "POST", f"{path}:reject", {})
                    await tried.call(user, "POST", f"{path}:hang_up", {})
