"""AsyncAPI 3.0 of the WebSocket `/v1/ws`, made of the table and of the list of events."""

from collections.abc import Mapping
from typing import Any

from roomservice.operations.table import Table
from roomservice.wire.closing import MEANINGS
from roomservice.wire.schemas import schemas_of


def asyncapi(table: Table, events: Mapping[str, str], hello: Mapping[str, Any], version: str) -> dict[str, Any]:
    """events: name -> what it says, in a sentence; hello: schemas of the first message's `params` and `result`."""
    table = {name: operation for name, operation in table.items() if not operation.content}
    references, schemas = schemas_of(table.values())
    messages: dict[str, Any] = {
        "hello": _call("hello", "The first message: who it is, and what he saw last.", hello["params"]),
        "hello.result": _result("hello", hello["result"]),
        "event": {
            "name": "event",
            "summary": "Something happened in a stream that this user follows.",
            "payload": _event_schema(events),
        },
        "error": {"name": "error", "summary": "The answer of a call that is refused.", "payload": _error_schema()},
    }
    actions: dict[str, Any] = {
        "hello": _action("receive", "hello", "hello.result"),
        "events": {"action": "send", "channel": _CHANNEL, "messages": [_ref("event")]},
    }
    for name, operation in table.items():
        messages[name] = _call(name, operation.summary, {"$ref": references[operation.params]})
        messages[f"{name}.result"] = _result(name, {"$ref": references[operation.result]})
        actions[name] = _action("receive", name, f"{name}.result", "error")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Room service",
            "version": version,
            "description": (
                "JSON-RPC 2.0, one WebSocket for each device. Close codes:\n\n"
                + "\n".join(f"- {int(code)} `{code.reason}`: {said}" for code, said in MEANINGS.items())
                + "\n\nEvents:\n\n"
                + "\n".join(f"- `{name}`: {said}" for name, said in events.items())
            ),
        },
        "channels": {
            "socket": {
                "address": "/v1/ws",
                "messages": {name: {"$ref": f"#/components/messages/{_key(name)}"} for name in messages},
            }
        },
        "operations": actions,
        "components": {"schemas": schemas, "messages": {_key(name): said for name, said in messages.items()}},
    }


_CHANNEL = {"$ref": "#/channels/socket"}


def _key(name: str) -> str:
    return name.replace(".", "_")


def _ref(message: str) -> dict[str, str]:
    return {"$ref": f"#/channels/socket/messages/{message}"}


def _action(action: str, message: str, *replies: str) -> dict[str, Any]:
    reply = {"channel": _CHANNEL, "messages": [_ref(one) for one in replies]}
    return {"action": action, "channel": _CHANNEL, "messages": [_ref(message)], "reply": reply}


def _call(name: str, summary: str, params: Any) -> dict[str, Any]:
    properties = {
        "jsonrpc": {"const": "2.0"},
        "id": {"type": ["string", "number", "null"]},
        "method": {"const": name},
        "params": params,
    }
    return {
        "name": name,
        "summary": summary,
        "payload": {"type": "object", "required": ["jsonrpc", "method"], "properties": properties},
    }


def _result(name: str, result: Any) -> dict[str, Any]:
    properties = {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "number"]}, "result": result}
    return {
        "name": f"{name}.result",
        "payload": {"type": "object", "required": ["jsonrpc", "id", "result"], "properties": properties},
    }


def _event_schema(events: Mapping[str, str]) -> dict[str, Any]:
    params = {
        "type": "object",
        "required": ["stream", "seq", "at", "event", "data"],
        "properties": {
            "stream": {"type": "string", "examples": ["room:R", "user:ann"]},
            "seq": {"type": "integer", "minimum": 1, "description": "Rises by one with each event of the stream"},
            "at": {"type": "number", "description": "Unix time in seconds"},
            "event": {"type": "string", "enum": sorted(events)},
            "data": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "required": ["jsonrpc", "method", "params"],
        "properties": {"jsonrpc": {"const": "2.0"}, "method": {"const": "event"}, "params": params},
    }


def _error_schema() -> dict[str, Any]:
    error = {
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "examples": [-32000]},
            "message": {"type": "string"},
            "data": {"type": "object", "properties": {"problem": {"type": "string", "examples": ["seat-taken"]}}},
        },
    }
    return {
        "type": "object",
        "required": ["jsonrpc", "id", "error"],
        "properties": {"jsonrpc": {"const": "2.0"}, "id": {"type": ["string", "number", "null"]}, "error": error},
    }
