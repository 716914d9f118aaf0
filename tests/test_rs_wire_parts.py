"""The parts of the wire, each alone: framing, queues, allowances, and what is made of a table of operations."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

import httpx
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from pydantic import Field

from roomservice.allowance import Allowances, Rate
from roomservice.media_events import Restarts
from roomservice.model.errors import Illegal, Problem
from roomservice.operations.calling import Refusal, perform
from roomservice.operations.problems import PROBLEMS, UNAUTHORISED, Refused
from roomservice.operations.table import Caller, Nothing, Operation, Params, Result, table
from roomservice.wire import jsonrpc
from roomservice.wire.asyncapi import asyncapi
from roomservice.wire.closing import MEANINGS, Close
from roomservice.wire.http import OperationsHttp
from roomservice.wire.openapi import openapi
from roomservice.wire.outgoing import Outgoing, TooSlowError

# ---- JSON-RPC


def test_a_request_a_notification_and_a_batch_are_told_apart() -> None:
    call = {"jsonrpc": "2.0", "id": 7, "method": "like", "params": {"room": "r"}}
    assert jsonrpc.parse(json.dumps(call)) == jsonrpc.Frame((jsonrpc.Request("like", {"room": "r"}, 7),))
    note = {"jsonrpc": "2.0", "method": "like"}
    assert jsonrpc.parse(json.dumps(note)).calls == (jsonrpc.Request("like", {}, None, answered=False),)
    both = jsonrpc.parse(json.dumps([call, note, 3]))
    assert both.batch
    assert [type(one) for one in both.calls] == [jsonrpc.Request, jsonrpc.Request, jsonrpc.Failure]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", jsonrpc.PARSE_ERROR),
        ("{", jsonrpc.PARSE_ERROR),
        ("[" * 5000, jsonrpc.PARSE_ERROR),
        ('{"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"a": NaN}}', jsonrpc.PARSE_ERROR),
        ('"\\ud800"', jsonrpc.PARSE_ERROR),
        ("[]", jsonrpc.INVALID_REQUEST),
        (json.dumps([1] * 51), jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "1.0", "id": 1, "method": "x"}', jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": true, "method": "x"}', jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": {}, "method": "x"}', jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": 1, "method": 5}', jsonrpc.INVALID_REQUEST),
        ('{"jsonrpc": "2.0", "id": 1, "method": "x", "params": [1]}', jsonrpc.INVALID_PARAMS),
    ],
)
def test_what_is_no_request_is_answered_by_its_error(text: str, code: int) -> None:
    [failure] = jsonrpc.parse(text).calls
    assert isinstance(failure, jsonrpc.Failure)
    assert failure.code == code
    assert json.loads(jsonrpc.text_of(jsonrpc.error(failure)))["error"]["code"] == code


@given(st.text())
def test_no_text_makes_the_parser_raise(text: str) -> None:
    assert jsonrpc.parse(text).calls


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@settings(max_examples=30)
@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params"]), JSON | st.just("2.0")))
def test_no_object_makes_the_parser_raise(value: Mapping[str, Any]) -> None:
    [call] = jsonrpc.parse(json.dumps(value)).calls
    assert isinstance(call, jsonrpc.Failure) or call.method == value["method"]


def test_half_a_surrogate_does_not_keep_an_answer_from_being_sent() -> None:
    assert json.loads(jsonrpc.text_of({"a": ["\ud800", 1]})) == {"a": ["?", 1]}


def test_an_answer_that_a_socket_does_not_take_is_a_refusal_of_its_call_alone() -> None:
    huge, small = jsonrpc.result(1, "x" * (3 << 20)), jsonrpc.result(2, "y")
    alone = json.loads(jsonrpc.text_of(huge))
    assert (alone["id"], alone["error"]["data"], "result" in alone) == (1, {"problem": "too-large"}, False)
    half = jsonrpc.result(3, "z" * (3 << 19))
    batch = json.loads(jsonrpc.text_of([small, half, huge, half, small]))
    assert [(one["id"], "result" in one) for one in batch] == [(2, True), (3, True), (1, False), (3, False), (2, True)]
    Outgoing().put(jsonrpc.text_of([half, *[small] * 49]))


# ---- the queue of a socket, and allowances


async def test_what_waits_is_given_in_order_and_then_the_end() -> None:
    waiting = Outgoing()
    for text in "abc":
        waiting.put(text)
    waiting.end()
    assert [await waiting.next() for _ in range(4)] == ["a", "b", "c", None]


@pytest.mark.parametrize(("most", "most_bytes"), [(3, 1000), (1000, 30)])
async def test_a_queue_that_is_full_ends(most: int, most_bytes: int) -> None:
    waiting = Outgoing(most, most_bytes)
    for _ in range(3):
        waiting.put("0123456789")
    with pytest.raises(TooSlowError):
        waiting.put("0")
    waiting.put("nothing more is taken")
    assert len(waiting) == 3


async def test_who_waits_for_a_queue_gets_what_comes() -> None:
    waiting = Outgoing()
    task = asyncio.create_task(waiting.next())
    await asyncio.sleep(0)
    waiting.put("a")
    assert await task == "a"


def test_an_allowance_comes_back_with_time_and_is_each_ones_own() -> None:
    allowances = Allowances(Rate(per_s=2, burst=4))
    assert allowances.take("ann", 4, 100) == 0
    assert allowances.take("ann", 1, 100) == 0.5
    assert allowances.take("bob", 1, 100) == 0
    assert allowances.take("ann", 1, 100.5) == 0
    allowances.give_back("ann", 1, 100.5)
    assert allowances.take("ann", 1, 100.5) == 0


def test_many_names_take_no_more_memory_than_there_may_be() -> None:
    allowances = Allowances(Rate(1, 2), most=10)
    for number in range(1000):
        allowances.take(str(number), 1, 100)
    assert len(allowances._buckets) == 10
    for number in range(1000):
        allowances.take(str(number), 0, 200)
    assert len(allowances._buckets) <= 10


def test_every_close_code_has_a_meaning_of_its_own() -> None:
    assert set(MEANINGS) == set(Close)
    assert Close.TOO_SLOW.reason == "too-slow"


# ---- the media server


def test_a_media_server_that_is_another_process_or_was_away_is_told_again() -> None:
    restarts = Restarts()
    seen = [5.0, 7.0, None, None, 1.0, 3.0, 2.0, None, 9.0]
    assert [restarts.seen(up_s) for up_s in seen] == [False, False, False, False, True, False, True, False, True]


# ---- a table, and what is made of it


class Where(Params):
    room: Annotated[str, Field(max_length=64, description="Id of the room")]
    seat: Annotated[int | None, Field(ge=0, le=999, description="Number of the seat, from 0")] = None


class Seated(Result):
    seat: int = Field(description="Number of the seat, from 0")
    by: str = Field(description="Who asked")


class Found(Params):
    search: Annotated[str, Field(max_length=10, description="A word")] = ""
    limit: Annotated[int, Field(ge=1, le=100, description="How many")] = 10
    users: Annotated[list[str], Field(max_length=3, description="Of these"), Field(default_factory=list)]


class Texts(Result):
    texts: list[str] = Field(description="What was found")


class TooManyError(Exception):
    pass


async def take(world: list[str], caller: Caller, asked: Where) -> Seated:
    if asked.seat == 1:
        raise Illegal(Problem.SEAT_TAKEN)
    if asked.seat == 2:
        raise TooManyError
    if asked.seat == 3:
        raise RuntimeError("a bug")
    world.append(f"{caller.user} {asked.room}")
    return Seated(seat=asked.seat or 0, by=caller.user)


async def find(_: list[str], __: Caller, asked: Found) -> Texts:
    return Texts(texts=[asked.search, str(asked.limit), *asked.users])


async def greet(_: list[str], __: Caller, ___: Nothing) -> Texts:
    return Texts(texts=["hello"])


TAKE = Operation("take_seat", ("POST", "/v1/rooms/{room}/seats:take"), Where, Seated, take, "Takes a seat.", "seats")
FIND = Operation("find", ("GET", "/v1/found"), Found, Texts, find, "Finds.", "finding")
GREET = Operation("greet", ("GET", "/v1/greeting"), Nothing, Texts, greet, "Greets.", "finding", open=True)
TABLE = table(TAKE, FIND, GREET)
NAMED: dict[type[Exception], Any] = {TooManyError: lambda _: Refused("contended", retry_after_s=1.5)}


async def of_ann(authorization: str, device: str) -> Caller:
    if authorization != "Bearer ann":
        raise Refused(UNAUTHORISED)
    return Caller("ann", device or "http")


@pytest.fixture
def world() -> list[str]:
    return []


@pytest.fixture
async def http(world: list[str]) -> Any:
    async def nothing(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body"})

    async def run(operation: Any, caller: Caller | None, params: dict[str, Any], _: str) -> Result | Refusal:
        return await perform(world, operation, caller or Caller("", ""), params, NAMED)

    app = OperationsHttp(nothing, TABLE, run, of_ann, {"/v1/openapi.json": openapi(TABLE, "1")})
    headers = {"Authorization": "Bearer ann"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", headers=headers) as client:
        yield client


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    found = answer.json()
    assert found["status"] == answer.status_code
    assert found["type"].endswith("#" + found["problem"])
    return answer.status_code, found["problem"]


async def test_a_call_is_done_and_answered(http: httpx.AsyncClient, world: list[str]) -> None:
    answer = await http.post("/v1/rooms/a%2Fb%3A/seats:take", json={"seat": 5})
    assert answer.json() == {"seat": 5, "by": "ann"}
    assert (await http.post("/v1/rooms/r/seats:take")).json() == {"seat": 0, "by": "ann"}
    assert world == ["ann a/b:", "ann r"]


async def test_numbers_and_lists_of_a_query_are_read(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/found?search=%C3%BC&limit=7&users=a&users=b")
    assert answer.json() == {"texts": ["ü", "7", "a", "b"]}
    assert (await http.get("/v1/greeting", headers={"Authorization": ""})).json() == {"texts": ["hello"]}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/v1/rooms/r/seats:take", b'{"seat": 1}', (409, "seat-taken")),
        ("POST", "/v1/rooms/r/seats:take", b'{"seat": 2}', (503, "contended")),
        ("POST", "/v1/rooms/r/seats:take", b'{"seat": 3}', (500, "internal")),
        ("POST", "/v1/rooms/r/seats:take", b'{"seat": "5"}', (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b'{"seat": 1000}', (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b'{"seats": 1}', (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b'{"room": "q"}', (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b"[1]", (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b"{", (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b'"\\ud800"', (400, "invalid-params")),
        ("POST", "/v1/rooms/r/seats:take", b" " * 70_000, (413, "too-large")),
        ("POST", "/v1/rooms/%FF/seats:take", b"{}", (400, "invalid-params")),
        ("POST", f"/v1/rooms/{'x' * 65}/seats:take", b"{}", (400, "invalid-params")),
        ("GET", "/v1/rooms/r/seats:take", b"", (405, "no-such-operation")),
        ("GET", "/v1/nothing", b"", (404, "no-such-operation")),
        ("GET", "/v1/found?limit=x", b"", (400, "invalid-params")),
        ("GET", "/v1/found?limit=0", b"", (400, "invalid-params")),
        ("GET", "/v1/found?limit=1&limit=2", b"", (400, "invalid-params")),
        ("GET", "/v1/found?q=x", b"", (400, "invalid-params")),
        ("GET", "/v1/found?search=%FF", b"", (400, "invalid-params")),
        ("GET", "/v1/found?" + "&".join(["users=a"] * 300), b"", (400, "invalid-params")),
        ("GET", "/v1/found?" + "users=a&" * 3000, b"", (413, "too-large")),
    ],
)
async def test_a_refusal_is_a_problem_document(
    http: httpx.AsyncClient, method: str, path: str, body: bytes, expected: tuple[int, str]
) -> None:
    assert problem(await http.request(method, path, content=body)) == expected


async def test_who_has_no_token_is_told_how_to_prove_himself(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/found", headers={"Authorization": "Bearer bob"})
    assert problem(answer) == (401, "unauthorised")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    retried = await http.post("/v1/rooms/r/seats:take", json={"seat": 2})
    assert retried.headers["Retry-After"] == "2"


async def test_other_paths_are_passed_on(http: httpx.AsyncClient) -> None:
    assert [(await http.get(path)).status_code for path in ("/", "/create", "/v11")] == [299] * 3


async def test_the_openapi_document_is_valid_and_says_what_is_served(http: httpx.AsyncClient) -> None:
    document = (await http.get("/v1/openapi.json", headers={"Authorization": ""})).json()
    validate(document)
    taken = document["paths"]["/v1/rooms/{room}/seats:take"]["post"]
    assert [parameter["name"] for parameter in taken["parameters"]] == ["room", "Device-Id"]
    body = taken["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate({"seat": 5}, body)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"room": "r"}, body)
    assert document["paths"]["/v1/greeting"]["get"]["security"] == []


def test_the_asyncapi_document_has_every_method_and_event() -> None:
    document = asyncapi(TABLE, {"liked": "Somebody likes it."}, {"params": {}, "result": {}}, "1")
    assert set(TABLE) < set(document["operations"])
    references = [text for text in json.dumps(document).split('"') if text.startswith("#/")]
    for reference in references:
        found: Any = document
        for part in reference[2:].split("/"):
            found = found[part]
    assert "4003 `too-slow`" in document["info"]["description"]
    assert document["components"]["messages"]["event"]["payload"]["properties"]["params"]["properties"]["event"] == {
        "type": "string",
        "enum": ["liked"],
    }


def test_a_table_refuses_what_it_could_not_serve() -> None:
    with pytest.raises(ValueError, match="two operations"):
        table(TAKE, TAKE)
    with pytest.raises(ValueError, match="no parameter room"):
        Operation("x", ("GET", "/v1/{room}"), Nothing, Texts, greet, "X.", "x")


def test_every_problem_of_the_model_has_a_status() -> None:
    assert {problem.value for problem in Problem} < set(PROBLEMS)
    assert all(400 <= known.status < 600 and known.sentence.endswith(".") for known in PROBLEMS.values())
