"""The OpenAPI document: valid, complete, and true of itself."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from mediaserver.events import GAP, PREFIX, TYPES, Event, gap, to_wire
from mediaserver.http.describe import KINDS_OF
from mediaserver.http.openapi import HEADERS, TAGS, operations
from mediaserver.http.problems import KINDS
from mediaserver.http.reference import inline, pretty
from tests.edge import NOW, ROOM, SDP, USER, Edge, bearer, serving

Json = dict[str, Any]

# In development mode, which has one operation more.
DOCUMENT: Json = json.loads(json.dumps(Edge(api_key=[]).app.openapi()))
SCHEMAS: Json = DOCUMENT["components"]["schemas"]
OPERATIONS = list(operations(DOCUMENT))
each_operation = pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=[f"{method.upper()} {path}" for path, method, _ in OPERATIONS]
)
UNIT = re.compile(r"\b(dB|dBov|ms|[Ss]econds|bit/s|bytes|0\.\.1|0 to \d+|[Nn]umber|1 to 2\^32-1|HTTP status)\b")


def resolved(found: Json) -> Json:
    """What a reference refers to; anything else itself."""
    while "$ref" in found:
        target: Any = DOCUMENT
        for part in found["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        found = target
    return found


def validate(value: Any, schema: Json) -> None:
    """As JSON Schema 2020-12, which OpenAPI 3.1 means."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def contents(operation: Json) -> Iterator[tuple[str, Json]]:
    """Every media type of the request and the answers, with where it is."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {media_type}", content
    for status, response in operation["responses"].items():
        for media_type, content in resolved(response).get("content", {}).items():
            yield f"{status} {media_type}", content


def examples(content: Json) -> list[Any]:
    return [content["example"]] if "example" in content else [item["value"] for item in content["examples"].values()]


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["info"]["license"]["identifier"] == "Apache-2.0"
    assert DOCUMENT["externalDocs"]["url"] == "/docs"
    assert KINDS_OF not in json.dumps(DOCUMENT)


async def test_a_server_in_production_describes_no_development() -> None:
    async with serving() as edge:
        document = (await edge.http.get("/openapi.json")).json()
    assert document["paths"].keys() == DOCUMENT["paths"].keys() - {"/dev/join"}
    assert [tag["name"] for tag in document["tags"]] == [name for name in TAGS if name != "development"]


@each_operation
def test_an_operation_says_what_it_is(path: str, method: str, operation: Json) -> None:
    assert operation["summary"]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", operation["operationId"])
    assert set(operation["tags"]) <= TAGS.keys()
    assert len(operation["tags"]) == 1
    for name in re.findall(r"\{(\w+)\}", path):
        assert any(item["name"] == name and item["in"] == "path" for item in operation["parameters"])


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@each_operation
def test_an_operation_has_every_status_with_headers_and_examples(path: str, method: str, operation: Json) -> None:
    statuses = operation["responses"].keys()
    assert any(status.startswith("2") for status in statuses)
    assert all(re.fullmatch(r"\d{3}", status) for status in statuses)
    for status, response in operation["responses"].items():
        assert response["description"]
        for header in response.get("headers", {}).values():
            assert resolved(header) in HEADERS.values()
        if status >= "4":
            (media_type,) = response["content"]
            assert media_type == "application/problem+json"
            for example in examples(response["content"][media_type]):
                assert example["status"] == int(status)
                assert KINDS[example["type"].partition("#")[2]].status == int(status)
    assert {"413", "500"} <= statuses
    secured = bool(operation.get("security"))
    assert secured == ("401" in statuses) == ("403" in statuses)
    for status, header in [("401", "WWW-Authenticate"), ("429", "Retry-After"), ("503", "Retry-After")]:
        if status in statuses:
            assert header in operation["responses"][status]["headers"]


@each_operation
def test_examples_are_what_their_schemas_say(path: str, method: str, operation: Json) -> None:
    for where, content in contents(operation):
        found = examples(content)
        assert found, where
        for example in found:
            validate(example, content["schema"])
    for parameter in operation.get("parameters", ()):
        if "example" in parameter:
            validate(parameter["example"], parameter["schema"])


@each_operation
def test_every_parameter_is_described_and_bounded(path: str, method: str, operation: Json) -> None:
    for parameter in operation.get("parameters", ()):
        assert parameter["description"], parameter
        schema = resolved(parameter["schema"])
        if parameter["in"] == "path" and "enum" not in schema:
            assert "example" in parameter, parameter
        if parameter["name"] in ("room", "user") and parameter["in"] == "path":
            assert (schema["minLength"], schema["maxLength"], schema["format"]) == (1, 256, "name")
        if parameter["in"] == "header":
            assert "example" in parameter, parameter


@each_operation
def test_an_operation_has_the_headers_of_its_conditions(path: str, method: str, operation: Json) -> None:
    names = {item["name"] for item in operation.get("parameters", ()) if item["in"] == "header"}
    if path.startswith("/v1/rooms/") and method in ("put", "patch", "delete"):
        assert {"If-Match", "If-None-Match"} <= names
        assert "412" in operation["responses"]
    if path.startswith("/v1/") and method == "post":
        assert "Idempotency-Key" in names
        assert {"409", "422"} <= operation["responses"].keys()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_property_says_what_it_is(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema.get("description") or "enum" in schema, name
    for member, found in schema.get("properties", {}).items():
        assert found.get("description"), member
        if name.endswith("Patch"):
            continue  # as of what it patches
        if "$ref" not in found and resolved(found.get("items", {})).get("type") != "object":
            assert found.get("examples") or "const" in found, member
        for example in found.get("examples", ()):
            validate(example, found)
        types = {found.get("type"), *(choice.get("type") for choice in found.get("anyOf", ()))}
        if types & {"integer", "number"}:
            assert UNIT.search(found["description"]) or member in ("channel_count",), f"{member} has no unit"


def test_every_kind_of_problem_is_somewhere() -> None:
    seen = {
        example["type"].partition("#")[2]
        for _, _, operation in OPERATIONS
        for where, content in contents(operation)
        if where.endswith("problem+json")
        for example in examples(content)
    }
    elsewhere = {
        example["type"].partition("#")[2]
        for response in DOCUMENT["components"]["responses"].values()
        for example in examples(response["content"]["application/problem+json"])
    }
    assert elsewhere == {"not-found", "method-not-allowed"}  # of addresses that are in no operation
    assert seen | elsewhere == KINDS.keys()
    assert SCHEMAS["ProblemDocument"]["properties"]["type"]["examples"] == [kind.type for kind in KINDS.values()]


def test_events_are_described_as_they_are_delivered() -> None:
    webhook = DOCUMENT["webhooks"]["events"]["post"]
    (content,) = webhook["requestBody"]["content"].values()
    validate(content["example"], content["schema"])
    assert {item["name"] for item in webhook["parameters"]} == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    for name in TYPES:
        assert f"`{PREFIX}{name}`" in SCHEMAS["Event"]["description"]


@pytest.mark.parametrize("name", TYPES)
def test_every_event_is_as_described(name: str) -> None:
    event = gap("reader", 7, 3, NOW) if name == GAP else Event(ROOM, "k3v9", 1, name, USER, NOW, {"reason": "left"})
    validate(to_wire(event), SCHEMAS["Event"])


async def test_the_offers_in_the_examples_are_good() -> None:
    async with serving() as edge:
        edge.seat()
        for protocol in ("whip", "whep"):
            operation = DOCUMENT["paths"][f"/{protocol}/{{room}}"]["post"]
            sent = operation["requestBody"]["content"]["application/sdp"]["example"]
            response = await edge.http.post(f"/{protocol}/{ROOM}", content=sent, headers=SDP | bearer())
            assert response.status_code == 201, response.text
            path = DOCUMENT["paths"][f"/{protocol}/{{room}}/{{session}}"]["patch"]
            sent = path["requestBody"]["content"]["application/trickle-ice-sdpfrag"]["example"]
            patched = await edge.patch(response.headers["location"], sent, {"If-Match": "*"})
            assert patched.status_code == 200, patched.text


async def test_the_page_shows_everything_and_needs_nothing_from_elsewhere() -> None:
    async with serving(api_key=[]) as edge:
        response = await edge.http.get("/docs")
        problems = await edge.http.get("/problems")
    for page in (response, problems):
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"<script|<link|<img|url\(|https?://|\son\w+=", page.text)
    ids = set(re.findall(r'\bid="?([\w-]+)', response.text))
    for anchor in re.findall(r'href="#([^"]*)"', response.text):
        assert anchor in ids, anchor
    for kind in re.findall(r'href="/problems#([^"]*)"', response.text):
        assert f'id="{kind}"' in problems.text
    for path, _, operation in OPERATIONS:
        assert f'id="{operation["operationId"]}"' in response.text
        assert path in response.text
    assert {f"schema-{name}" for name in SCHEMAS} <= ids
    assert "receive_events" in ids


def test_the_page_escapes_what_it_shows() -> None:
    assert inline("a <b> & `<c>` **d** [e](/f)") == (
        'a &lt;b&gt; &amp; <code>&lt;c&gt;</code> <strong>d</strong> <a href="/f">e</a>'
    )
    assert "<a" not in inline("[x](javascript:alert)")


def test_examples_are_shown_on_as_few_lines_as_are_not_long() -> None:
    assert pretty({"a": [1, 2], "b": None}) == '{"a": [1, 2], "b": null}'
    long = {"name": "x" * 40, "members": [{"name": "y" * 40}]}
    assert pretty(long).splitlines()[1:3] == [f'  "name": "{"x" * 40}",', f'  "members": [{{"name": "{"y" * 40}"}}]']
    assert json.loads(pretty(long)) == long


def test_bounds_are_said_in_the_words_of_json_schema() -> None:
    """Pydantic writes the constraints of a type behind a validator as it got them, which means nothing to others."""
    words = {"ge", "gt", "le", "lt", "multiple_of"}

    def check(schema: Any, where: str) -> None:
        if isinstance(schema, dict):
            assert not words & schema.keys(), where
            for name, value in schema.items():
                check(value, f"{where}/{name}")
        elif isinstance(schema, list):
            for number, value in enumerate(schema):
                check(value, f"{where}/{number}")

    check(DOCUMENT["components"]["schemas"], "schemas")
