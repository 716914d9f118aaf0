"""A client that sends what it likes: each operation of talk with names, texts and numbers that nobody expects, on a
database. The service neither fails nor stalls, and what is kept has its bounds."""

import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from roomservice.operations.everything import TABLE
from roomservice.storage.sql import SqlStorage
from roomservice.talk.messages import RATE
from tests.rpc import CallRefusedError, Rpc
from tests.wired import Wired, wired

TAGS = ("groups", "messages", "signalling", "calls", "attributes", "push")
OPERATIONS = [one for one in TABLE.values() if one.tag in TAGS]
NASTY: tuple[Any, ...] = (
    "",
    "ann",
    "bob",
    "..",
    "a/b%2f",
    "x" * 256,
    "é" * 256,
    "\U0001f600" * 64,
    "\u202e\ufeff",
    "'; DROP TABLE users; --",
    "null\x00",
    "m-1",
    "text",
    "image",
    "open",
    "x" * 60_000,
    -1,
    0,
    1,
    2**53,
    2**70,
    1e308,
    0.5,
    True,
    None,
    [],
    ["ann", "bob", "ann"],
    [["ann"]],
    {},
    {"ann": None},
    {"k" * 64: "v" * 2048},
    {"url": "javascript:alert(1)", "bytes": -1},
    {"url": "https://x", "duration_s": 1e5},
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Wired]:
    storage = SqlStorage(f"sqlite+aiosqlite:///{tmp_path}/rooms.db")
    await storage.start()
    try:
        async with wired(storage, heartbeat_s=300.0) as made:
            yield made
    finally:
        await storage.close()


def taken_by(field: FieldInfo) -> list[Any]:
    adapter = TypeAdapter[Any](field.rebuild_annotation())
    return [one for one in NASTY if is_taken(adapter, one)]


def anything(dice: random.Random, taken: list[Any]) -> Any:
    """Mostly what the field takes, so that the operation is come to."""
    return dice.choice(taken if taken and dice.random() < 0.9 else NASTY)


def is_taken(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_json(to_json(value), strict=True)
    except ValidationError:
        return False
    return True


async def problem(client: Rpc, method: str, params: dict[str, Any]) -> str:
    """Its name; empty when it was done."""
    try:
        await client.call(method, **params)
    except CallRefusedError as refused:
        return str(refused.problem or refused.code)
    return ""


async def test_no_parameters_make_an_operation_fail(service: Wired) -> None:
    dice = random.Random(8)
    answers: dict[str, set[str]] = {}
    async with await service.client("ann") as ann, await service.client("bob") as bob:
        group = (await ann.call("create_group", name="Jazz"))["id"]
        room = (await ann.call("create_room", title="Jazz"))["id"]
        call = (await ann.call("start_call", users=["bob"]))["id"]
        invitation = (await ann.call("invite", user="bob"))["id"]
        known = {"group": (group, room), "call": (call,), "invitation": (invitation,), "user": ("ann", "bob")}
        for operation in OPERATIONS:
            fields = {name: (field, taken_by(field)) for name, field in operation.params.model_fields.items()}
            for _ in range(8):
                params = {
                    name: dice.choice(known[name]) if name in known and dice.random() < 0.8 else anything(dice, taken)
                    for name, (field, taken) in fields.items()
                    if field.is_required() or dice.random() < 0.4
                }
                said = await problem(dice.choice((ann, bob)), operation.name, params)
                answers.setdefault(operation.name, set()).add(said)
                service.ahead[0] += 0.2
        assert {name for name, said in answers.items() if "internal" in said} == set()
        assert {name for name, said in answers.items() if said == {"invalid-params"}} <= {"register_push"}
        assert (await bob.call("get_conversations"))["conversations"] is not None


@pytest.fixture
async def moment() -> AsyncIterator[Wired]:
    """A service for which no time passes."""
    begun = time.time()
    async with wired(clock=lambda: begun) as made:
        yield made


async def test_a_flood_of_messages_is_held_back_and_others_go_on(moment: Wired) -> None:
    async with await moment.client("ann") as ann, await moment.client("bob") as bob:
        await moment.token("cyd")
        said = [await problem(ann, "send_direct_message", {"user": "cyd", "text": "x"}) for _ in range(40)]
        assert said == [""] * 20 + ["too-fast"] * 20
        said = [await problem(bob, "send_direct_message", {"user": "cyd", "text": "x" * 8192}) for _ in range(4)]
        assert said == ["", "", "too-fast", "too-fast"]
        await bob.call("send_direct_message", user="cyd", text="hello")
        moment.ahead[0] += 1 / RATE.per_s
        assert await problem(ann, "send_direct_message", {"user": "cyd", "text": "hello"}) == ""


@pytest.mark.parametrize(
    ("method", "params", "most"),
    # 200 operations at once, of which hello took five and each group takes five.
    [("create_group", {}, 39), ("invite", {"user": "bob"}, 20), ("start_call", {"users": ["bob"]}, 10)],
)
async def test_a_flood_of_what_is_kept_is_held_back(
    moment: Wired, method: str, params: dict[str, Any], most: int
) -> None:
    async with await moment.client("ann") as ann:
        await moment.token("bob")
        said = [await problem(ann, method, params) for _ in range(most + 5)]
        assert set(said[:most]) <= {"", "busy"}
        assert set(said[most:]) == {"too-often" if method == "create_group" else "too-fast"}
