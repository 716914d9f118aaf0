"""The OpenAPI 3.1 document: what FastAPI reads off the routes, and what it cannot know.

    routes, models ─▶ FastAPI ─▶ complete(): every refusal by status, headers, examples, merge patches, webhooks

An operation names the refusals of its own (problems.refusals()); those that come of what it has (credentials, a body,
parameters, conditions) are added here, so that no route can forget one.
"""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from mediaserver import webhook_signature
from mediaserver.events import PREFIX, TYPES, Event, to_wire
from mediaserver.http.describe import KINDS_OF, PATCH
from mediaserver.http.media import JSON
from mediaserver.http.problems import KINDS, MEDIA_TYPE, Problem, ProblemDocument
from mediaserver.http.rates import EXEMPT
from mediaserver.webhooks import MEDIA_TYPE as EVENTS_MEDIA_TYPE

Json = dict[str, Any]

METHODS = ("get", "put", "post", "patch", "delete")

DESCRIPTION = """Voice rooms over WebRTC: publish by WHIP (RFC 9725), listen by WHEP (draft-ietf-wish-whep).

A room service makes rooms, gives seats and issues tokens with an API key; clients publish and listen with tokens. Every
refusal is a [problem document](/problems) (RFC 9457). What is not at any address is 404, and a method that an address
does not take is 405 with `Allow`; `OPTIONS` says what it takes. What cannot be read as HTTP at all is 400 in plain
text, and the connection is closed.

- **Names** of rooms and users (format `name`) are opaque UTF-8: 1 to 256 **bytes** without control characters and line
  separators, and not a dot or two. In a path a name is one percent-encoded segment. JSON Schema counts characters, so
  `maxLength` is only a bound on them.
- **Units** are in names: `_ms`, `_s`, `_db`, `_dbov`; a `bitrate` is in bit/s, a `fraction_` is 0 to 1.
- **Unknown members** of a body are refused, not ignored.
- **Bodies** are at most 64 KiB; a room's document 1 MiB and `PUT /v1/rooms` 8 MiB, for who has a key that may change
  rooms.
- **An answer** may have more members in later versions, and there may be more kinds of problems and events.
"""

TAGS = {
    "rooms": "A room is one document, which the server converges to: put it, patch it, read it. `ETag` and `If-Match` "
    "keep two writers from undoing each other's work.",
    "speakers": "Seats, and who mutes whom: shorthands for patches of the room's document.",
    "listeners": "What each listener hears otherwise than others, for himself alone: shorthands for patches of the "
    "room's document.",
    "players": "Music: what each player shall play, how loud and for whom, and where in it it is.",
    "effects": "Sounds that are played once, or again and again until they are stopped.",
    "participants": "Who is connected and how well; tokens, moves to another room, kicks.",
    "events": "What happened in rooms, as CloudEvents: read as one stream here, or delivered to webhooks. Each has a "
    "number in its room, without gaps.",
    "node": "The server itself.",
    "library": "Music that players can play: files that were uploaded here, or put into the server's media directory.",
    "media": "WHIP and WHEP: an offer in, an answer out, and the session at its own address.",
    "operation": "Probes and metrics. They need no credentials, and no rate limit counts them.",
    "development": "Only of a server in development mode.",
}

HEADERS: dict[str, Json] = {
    "ETag": {
        "description": "The state that the answer is about: of a room's document, or of an ICE session (RFC 9110)",
        "schema": {"type": "string", "pattern": '^"[^"]+"$'},
        "example": '"k3v9x2m1.17.4"',
    },
    "Location": {
        "description": "Path of what was made",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/whep/lobby/Xq3vJ0pTz1uYh8sK",
    },
    "Link": {
        "description": "ICE servers (RFC 9725 section 4.6), and of WHEP the address of the session's events",
        "schema": {"type": "string"},
        "example": '</whep/lobby/Xq3vJ0pTz1uYh8sK/sse>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; '
        'events="active,inactive,levels,sources"',
    },
    "Cache-Control": {
        "description": "`no-store`: the answer holds a secret",
        "schema": {"type": "string"},
        "example": "no-store",
    },
    "Retry-After": {
        "description": "Seconds to wait before asking again",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
        "example": "10",
    },
    "WWW-Authenticate": {
        "description": "How to prove who one is (RFC 7617, RFC 6750), and with `error` what is wrong with the token",
        "schema": {"type": "string"},
        "example": 'Basic realm="control", charset="UTF-8", Bearer realm="control"',
    },
    "Allow": {
        "description": "The methods that the address takes",
        "schema": {"type": "string"},
        "example": "GET, PUT, OPTIONS",
    },
    "Accept-Patch": {
        "description": "The content type that the PATCH must have",
        "schema": {"type": "string"},
        "example": "application/merge-patch+json",
    },
    "Accept-Post": {
        "description": "The content type that the POST must have",
        "schema": {"type": "string"},
        "example": "application/sdp",
    },
}
# Status of a refusal -> its headers, and whether they always come.
_REFUSAL_HEADERS: dict[int, dict[str, bool]] = {
    401: {"WWW-Authenticate": True},
    403: {"WWW-Authenticate": False},
    405: {"Allow": True},
    412: {"ETag": False},
    429: {"Retry-After": True},
    503: {"Retry-After": True},
}

_ETAG = '"k3v9x2m1.17.4"'
_CONDITIONS = {
    "If-Match": ("Only if the room's ETag is one of these, or with `*` if it exists", _ETAG),
    "If-None-Match": ("Only if the room's ETag is none of these, or with `*` if there is no room", "*"),
}
_CACHED = {"If-None-Match": ("ETags that the caller has: 304 when it is one of them", _ETAG)}
# What makes something -> the answers after which it is there.
_LINKED = {"put_room": ("200", "201"), "put_speaker": ("200",)}

_EVENT = Event("lobby", "k3v9x2m1", 17, "speaker.muted", "alice", 1_764_104_400.125, {"source": "host"})


def install(app: FastAPI) -> None:
    """Makes app.openapi() give the complete document. It is made once and must not be changed."""
    plain = app.openapi
    kept: list[Json] = []

    def openapi() -> Json:
        if not kept:
            kept.append(complete(plain()))
        return kept[0]

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation has it


def complete(document: Json) -> Json:
    """The document with all that FastAPI does not know; changes it."""
    document["info"] |= {
        "description": DESCRIPTION,
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    }
    document["externalDocs"] = {"description": "This document as a page", "url": "/docs"}
    document["servers"] = [{"url": "/", "description": "The server that this document comes from"}]
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    components = document["components"]
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDocument"] = _problem_schema()
    schemas["Event"] = _event_schema()
    for name in ("RoomDocument", "SpeakerDocument", "ListenerDocument"):
        schemas.update(_patches(name, schemas))
    components["headers"] = HEADERS
    components["responses"] = {
        "NotFound": _refusal(404, ["not-found"]),
        "MethodNotAllowed": _refusal(405, ["method-not-allowed"]),
    }
    for path, method, operation in operations(document):
        _add_conditions(operation)
        if parameters := operation.get("parameters"):
            # In the order of the path; others as the route has them.
            parameters.sort(key=lambda parameter: path.find(f"{{{parameter['name']}}}") % (len(path) + 1))
        for parameter in parameters or ():
            _complete_parameter(parameter)
        _add_refusals(path, method, operation)
        for content in _contents(operation):
            if "example" not in content and "examples" not in content:
                content["example"] = example_of(content["schema"], schemas)
    _add_links(document)
    document["webhooks"] = {"events": {"post": _webhook()}}
    _without_titles(schemas)
    return document


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """(path, method in lower case, operation) of all."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def example_of(schema: Json, schemas: Json) -> Any:
    """An example of this schema, put together from those of its properties."""
    match schema:
        case {"examples": [first, *_]} | {"const": first} | {"enum": [first, *_]}:
            example = first
        case {"$ref": reference}:
            example = example_of(schemas[reference.rpartition("/")[2]], schemas)
        case {"anyOf": [first, *_]}:
            example = example_of(first, schemas)
        case {"properties": properties}:
            example = {name: example_of(member, schemas) for name, member in properties.items()}
        case {"type": "array", "items": items}:
            example = [example_of(items, schemas)]
        case _:
            raise ValueError(f"There is no example of {schema}.")
    return example


def _contents(operation: Json) -> Iterator[Json]:
    """Every media type of the request and of the answers that are no refusals."""
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for status, response in operation["responses"].items():
        if status < "4":
            yield from response.get("content", {}).values()


def _complete_parameter(parameter: Json) -> None:
    """What is absent is not there, and never null; an example is the parameter's own."""
    schema = parameter["schema"]
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    for choice in choices:
        schema.update(choice)
    if schema.get("default", ...) in (None, ""):
        del schema["default"]
    if parameter["in"] == "header" and parameter["name"].islower():
        parameter["name"] = parameter["name"].title()
    schema.pop("title", None)
    schema.pop("description", None)  # the parameter has it
    examples = schema.pop("examples", None)
    if examples:
        parameter["example"] = examples[0]


def _add_conditions(operation: Json) -> None:
    """The headers that a route looks at which can answer 412 or 304. Routes read them themselves, for they may come
    several times; and to declare them there would cost each call some microseconds."""
    named = {name for response in operation["responses"].values() for name in response.get(KINDS_OF, ())}
    if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ())):
        return  # its own
    found = _CACHED if "304" in operation["responses"] else _CONDITIONS if "precondition-failed" in named else {}
    for name, (description, example) in found.items():
        schema = {"type": "string", "examples": [example]}
        parameter = {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
        operation.setdefault("parameters", []).append(parameter)


def _add_refusals(path: str, method: str, operation: Json) -> None:
    """Turns the kinds that the route names, and those that come of what it has, into responses by status."""
    responses = operation["responses"]
    if KINDS_OF not in responses.get("422", {}):
        responses.pop("422", None)  # FastAPI's own, which problems.py replaces
    names = {name for response in responses.values() for name in response.pop(KINDS_OF, ())}
    names |= _implied(path, method, operation)
    for status in sorted({KINDS[name].status for name in names}):
        kinds = [name for name in KINDS if name in names and KINDS[name].status == status]
        refusal = _refusal(status, kinds)
        if status == 415 and method in ("patch", "post"):
            refusal["headers"] = {f"Accept-{method.title()}": _header(f"Accept-{method.title()}")}
        responses[str(status)] = refusal
    operation["responses"] = dict(sorted(responses.items()))


def _implied(path: str, method: str, operation: Json) -> set[str]:
    names = {"too-large", "internal"}
    parameters = {parameter["name"].lower() for parameter in operation.get("parameters", ())}
    if path not in EXEMPT:
        names.add("too-many-requests")
    if operation.get("security"):
        names |= {"unauthorized", "invalid-token", "forbidden", "limit-reached"}
    if parameters:
        names.add("invalid")
    if JSON in operation.get("requestBody", {}).get("content", {}):
        names |= {"malformed", "invalid"}
    if "requestBody" in operation or (path.startswith("/v1/") and path != "/v1/events"):
        names.add("unsupported-media-type")
    if path.startswith("/v1/") and method != "get":
        names.add("state-not-kept")
    if "idempotency-key" in parameters:
        names |= {"idempotency-conflict", "idempotency-mismatch"}
    return names


def _add_links(document: Json) -> None:
    """From the operations that make a room and give a seat to those that are about it."""
    found = {operation["operationId"]: (path, operation) for path, _, operation in operations(document)}
    for source, statuses in _LINKED.items():
        given = _path_names(found[source][0])
        links = {
            name: {"operationId": name, "parameters": {part: f"$request.path.{part}" for part in sorted(given)}}
            for name, (path, _) in found.items()
            if path.startswith("/v1/") and name != source and given <= _path_names(path)
        }
        for status in statuses:
            found[source][1]["responses"][status]["links"] = links


def _path_names(path: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", path))


def _refusal(status: int, names: list[str]) -> Json:
    kinds = [KINDS[name] for name in names]
    response: Json = {
        "description": "; ".join(f"[{kind.title}]({kind.type})" for kind in kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                "examples": {
                    kind.name: {"summary": kind.title, "value": Problem(kind.name, kind.meaning).document()}
                    for kind in kinds
                },
            }
        },
    }
    if status in _REFUSAL_HEADERS:
        response["headers"] = {name: _header(name) for name in _REFUSAL_HEADERS[status]}
    return response


def _header(name: str) -> Json:
    return {"$ref": f"#/components/headers/{name}"}


def _problem_schema() -> Json:
    schema = ProblemDocument.model_json_schema()
    schema["properties"]["type"]["examples"] = [kind.type for kind in KINDS.values()]
    return schema


def _patches(name: str, schemas: Json) -> Json:
    """Schemas of merge patches of this model, by name: each member may be left out, or null to take it away."""
    found: Json = {}

    def patched(schema: Json) -> Json:
        if "$ref" in schema:
            inner = schema["$ref"].rpartition("/")[2]
            if "properties" not in schemas[inner]:
                return {member: value for member, value in schema.items() if member != "default"}
            if inner + PATCH not in found:
                found[inner + PATCH] = {}
                found[inner + PATCH] = patched(schemas[inner])
            return schema | {"$ref": f"#/components/schemas/{inner}{PATCH}"}
        dropped = ("default", "required", "examples")
        result = {member: value for member, value in schema.items() if member not in dropped}
        if "properties" in schema:
            result["properties"] = {key: removable(value) for key, value in schema["properties"].items()}
            result["description"] = f"A merge patch (RFC 7396): {schema.get('description', '')}"
        if isinstance(schema.get("additionalProperties"), dict):
            result["additionalProperties"] = removable(schema["additionalProperties"])
        if "patternProperties" in schema:
            result["patternProperties"] = {key: removable(value) for key, value in schema["patternProperties"].items()}
        return result

    def removable(schema: Json) -> Json:
        if any(choice == {"type": "null"} for choice in schema.get("anyOf", ())):
            return {member: value for member, value in schema.items() if member not in ("default", "examples")}
        outer = {member: schema[member] for member in ("description",) if member in schema}
        inner = {member: value for member, value in schema.items() if member not in ("description", "default")}
        return outer | {"anyOf": [patched(inner), {"type": "null"}]}

    patched({"$ref": f"#/components/schemas/{name}"})
    return found


def _event_schema() -> Json:
    kinds = "\n".join(f"- `{PREFIX}{name}`: {meaning}" for name, meaning in TYPES.items())
    example = to_wire(_EVENT)
    properties: Json = {
        "specversion": {"const": "1.0", "description": "Of CloudEvents"},
        "id": {"type": "string", "description": "The room's instance and `sequence`: the same when it comes again"},
        "source": {"type": "string", "format": "uri-reference", "description": "The room's path"},
        "type": {"type": "string", "description": "What happened. There may be more types in later versions"},
        "subject": {"type": "string", "description": "The user whom it is about; absent when it is about nobody"},
        "time": {"type": "string", "format": "date-time", "description": "When it happened, UTC, to the ms"},
        "datacontenttype": {"const": "application/json", "description": "Of `data`"},
        "room": {"type": "string", "description": "Name of the room; absent of a gap"},
        "sequence": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "Number of the event in this instance of the room, from 1, without gaps; absent of a gap",
        },
        "data": {"type": "object", "description": "What belongs to the type, see the list above"},
    }
    return {
        "description": f"What happened in a room (CloudEvents). Types, and in `code` what `data` has:\n\n{kinds}",
        "type": "object",
        "properties": {name: {**schema, "examples": [example[name]]} for name, schema in properties.items()},
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
        "examples": [example],
    }


def _webhook() -> Json:
    headers = {
        webhook_signature.ID: ("Id of the delivery, by which one that comes twice is known", "msg_6f1d2c3b_118"),
        webhook_signature.TIMESTAMP: ("When it was signed, Unix time in seconds", "1764104400"),
        webhook_signature.SIGNATURE: (
            "`v1,` and the base64 of HMAC-SHA256 with the webhook's secret over id, time and body, with dots between",
            "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        ),
    }
    return {
        "operationId": "receive_events",
        "tags": ["events"],
        "summary": "Events are delivered to a webhook of the room service",
        "description": "The server calls it, with the next events in their order, at least once. Signed as "
        "standardwebhooks.com has it. Until the answer is 2xx the same batch comes again, after 1 to 60 s.",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "string"},
                "example": example,
            }
            for name, (description, example) in headers.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                EVENTS_MEDIA_TYPE: {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Event"},
                        "minItems": 1,
                        "maxItems": 101,
                    },
                    "example": [to_wire(_EVENT)],
                }
            },
        },
        "responses": {
            "2XX": {"description": "They have been taken, and do not come again"},
            "default": {"description": "They have not, and come again; redirects are not followed"},
        },
    }


def _without_titles(schemas: Json) -> None:
    """FastAPI's titles repeat the names."""
    for schema in schemas.values():
        _drop_titles(schema)


def _drop_titles(schema: Any) -> None:
    if isinstance(schema, list):
        for item in schema:
            _drop_titles(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for name, item in schema.items():
            if name in ("properties", "$defs"):
                for member in item.values():
                    _drop_titles(member)
            elif name not in ("examples", "example", "default", "const", "enum"):
                _drop_titles(item)
