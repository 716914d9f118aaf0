"""What a request of HTTP says: which operation it is, and the parameters in its path, its query and its body.

Paths are matched before percent-decoding, so that a name may hold what it likes.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import TypeAdapter
from pydantic_core import from_json
from starlette.requests import Request

from roomservice.operations.problems import INVALID_PARAMS, TOO_LARGE, Refused
from roomservice.operations.table import Operation

MAX_BODY_BYTES = 64 << 10
MAX_QUERY_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Route:
    """read: for each parameter that comes as text, what it is made into."""

    pattern: re.Pattern[str]
    operation: Operation[Any, Any, Any]
    read: dict[str, TypeAdapter[Any]]


def route_of(operation: Operation[Any, Any, Any]) -> Route:
    path = operation.http[1]
    pattern = "".join(
        rf"(?P<{part[1:-1]}>[^/]+?)" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{\w+\})", path)
    )
    fields = operation.params.model_fields
    read = {
        name: TypeAdapter(fields[name].rebuild_annotation(), config={"strict": False})
        for name in (*operation.in_path, *operation.in_query)
    }
    return Route(re.compile(pattern), operation, read)


async def params_of(route: Route, match: re.Match[str], request: Request) -> dict[str, Any]:
    """As they were said, text of path and query as what it stands for. Refused, ValidationError, ClientDisconnect."""
    operation = route.operation
    if operation.in_query or operation.content:
        params = _in_query(route, request)
    else:
        params = await _in_body(operation, request)
    for name in operation.in_path:
        try:
            text = unquote(match[name], errors="strict")
        except UnicodeDecodeError:
            raise Refused(INVALID_PARAMS, "The path is no UTF-8.") from None
        params[name] = _read(route, name, text)
    return params


def _in_query(route: Route, request: Request) -> dict[str, Any]:
    operation, query = route.operation, request.scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise Refused(TOO_LARGE, "The query is too large.")
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=200, errors="strict")
    except ValueError:
        raise Refused(INVALID_PARAMS, "The query cannot be read.") from None
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    params: dict[str, Any] = {}
    for name, values in given.items():
        if name not in operation.in_query:
            raise Refused(INVALID_PARAMS, "The query has a parameter that is not known.")
        listed = _is_list(operation, name)
        if len(values) > 1 and not listed:
            raise Refused(INVALID_PARAMS, f"The query has {name} more than once.")
        params[name] = _read(route, name, values if listed else values[0])
    return params


async def _in_body(operation: Operation[Any, Any, Any], request: Request) -> dict[str, Any]:
    body = await _body(request)
    if not body:
        return {}
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise Refused(INVALID_PARAMS, "The body is no JSON.") from None
    if not isinstance(found, dict):
        raise Refused(INVALID_PARAMS, "The body is no object.")
    if set(found) & set(operation.in_path):
        raise Refused(INVALID_PARAMS, "The body has a parameter that is in the path.")
    return found


def _read(route: Route, name: str, text: str | list[str]) -> Any:
    """Text as what the parameter is: a number, say. What it cannot be is refused with all other parameters."""
    adapter = route.read[name]
    return adapter.dump_python(adapter.validate_python(text), mode="json")


def _is_list(operation: Operation[Any, Any, Any], name: str) -> bool:
    annotation = str(operation.params.model_fields[name].annotation)
    return annotation.startswith(("list[", "tuple["))


async def _body(request: Request) -> bytes:
    """Refused."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(TOO_LARGE, f"A body has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)
