"""OpenAPI 3.1 of `/v1`, made of the table."""

from typing import Any

from roomservice.operations.problems import (
    CONTENDED,
    INTERNAL,
    INVALID_PARAMS,
    MEDIA_UNREACHABLE,
    PROBLEMS,
    TOO_LARGE,
    TOO_OFTEN,
    UNAUTHORISED,
)
from roomservice.operations.table import Operation, Table
from roomservice.wire.schemas import properties_of, schemas_of

PROBLEM_JSON = "application/problem+json"
_DEVICE = {
    "name": "Device-Id",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 256, "default": "http"},
    "description": "With a token of `/login`: which of the user's devices asks. An access token says it itself.",
}


def openapi(table: Table, version: str) -> dict[str, Any]:
    operations = list(table.values())
    references, schemas = schemas_of(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        method, path = operation.http
        paths.setdefault(path, {})[method.lower()] = _operation(operation, references, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Room service",
            "version": version,
            "description": (
                "Voice rooms, messages and calls. Every operation, but for those that take bytes, is also a method of "
                "JSON-RPC 2.0 over the WebSocket `/v1/ws` by its operationId, with the same parameters: "
                "`/v1/asyncapi.json`."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "security": [{"token": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**schemas, "Problem": problem_schema()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The access token of `/token` or `log_in`, or the token of `/login`.",
                }
            },
        },
    }


def problem_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "title": "Problem",
        "description": "RFC 9457. `problem` is the name that JSON-RPC has as `error.data.problem`.",
        "required": ["type", "title", "status", "problem"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "examples": ["/v1/problems#seat-taken"]},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "problem": {"type": "string", "enum": sorted(PROBLEMS)},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"in": {"type": "array", "items": {"type": "string"}}, "detail": {"type": "string"}},
                },
            },
        },
    }


def _operation(operation: Operation[Any, Any, Any], references: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    reference = references[operation.params]
    properties, required = properties_of(operation.params, schemas, reference)
    where = {**dict.fromkeys(operation.in_path, "path"), **dict.fromkeys(operation.in_query, "query")}
    parameters = [
        {
            "name": name,
            "in": place,
            "required": place == "path" or name in required,
            "schema": {key: value for key, value in properties[name].items() if key != "description"},
            "description": properties[name].get("description", name),
        }
        for name, place in where.items()
    ]
    said: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": parameters if operation.open else [*parameters, _DEVICE],
        "responses": {
            "200": {
                "description": "Done",
                "content": {"application/json": {"schema": {"$ref": references[operation.result]}}},
            },
            **_problems(operation),
        },
    }
    if operation.open:
        said["security"] = []
    if operation.content:
        binary = {"schema": {"type": "string", "format": "binary"}}
        said["requestBody"] = {"required": True, "content": dict.fromkeys(operation.content, binary)}
    elif operation.http[0] in ("POST", "PUT", "PATCH"):
        body = {name: properties[name] for name in operation.in_body}
        needed = [name for name in required if name in body]
        schema = {"type": "object", "properties": body, "additionalProperties": False}
        if needed:
            schema["required"] = needed
        said["requestBody"] = {"required": bool(needed), "content": {"application/json": {"schema": schema}}}
    return said


def _problems(operation: Operation[Any, Any, Any]) -> dict[str, Any]:
    """By status. Which of the model's names can come is in the guide, docs/rooms.md."""
    names: dict[int, list[str]] = {403: [], 404: [], 409: [], 422: []}
    every = [INVALID_PARAMS, TOO_LARGE, TOO_OFTEN, INTERNAL, CONTENDED, MEDIA_UNREACHABLE, *operation.problems]
    for name in [*every, *([] if operation.open else [UNAUTHORISED])]:
        names.setdefault(PROBLEMS[name].status, []).append(name)
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {"description": ", ".join(found) or "Refused by the rules", "content": content}
        for status, found in sorted(names.items())
    }
