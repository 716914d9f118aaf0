"""JSON-RPC 2.0: text into requests, answers into text. Pure.

Rules held here
- What is no JSON, or no request, is answered by an error with its id if it has one, else null.
- A request without an id is a notification: it is done, and not answered.
- A batch is an array of at most MAX_BATCH; its answers come in one array, when all are done.
- Parameters are an object. Positional ones are refused: operations have named parameters only.
"""

from dataclasses import dataclass, field
from typing import Any

from pydantic_core import PydanticSerializationError, from_json, to_json

from roomservice.operations.problems import TOO_LARGE

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""Of all that the service refuses; `data.problem` says what."""

MAX_BATCH = 50
MAX_ID_LENGTH = 128
MAX_ANSWER = 2 << 20
"""Characters of one message. A socket's queue (wire/outgoing.py) takes twice as much: it alone never fills it."""

Id = str | int | float | None


@dataclass(frozen=True, slots=True)
class Request:
    """answered: whether it has an id. params: the object as it was parsed."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)
    id: Id = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """What is answered instead of a result."""

    code: int
    message: str
    id: Id = None
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: a call, or several that are answered together."""

    calls: tuple[Request | Failure, ...]
    batch: bool = False


def parse(text: str) -> Frame:
    """Never raises: what is wrong is a Failure in it."""
    try:
        found = from_json(text, allow_inf_nan=False)
    except ValueError:
        return Frame((Failure(PARSE_ERROR, "This is no JSON."),))
    if not isinstance(found, list):
        return Frame((_request(found),))
    if not 1 <= len(found) <= MAX_BATCH:
        return Frame((Failure(INVALID_REQUEST, f"A batch has 1 to {MAX_BATCH} requests."),))
    return Frame(tuple(_request(one) for one in found), batch=True)


def result(id_: Id, value: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": value}


def error(failure: Failure) -> dict[str, Any]:
    said: dict[str, Any] = {"code": failure.code, "message": failure.message}
    if failure.data is not None:
        said["data"] = failure.data
    return {"jsonrpc": "2.0", "id": failure.id, "error": said}


def notification(method: str, params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def text_of(message: object) -> str:
    """JSON. What cannot be in JSON text, half a surrogate, becomes a question mark. Results that are larger than
    MAX_ANSWER become refusals; of a batch, those after which it would be."""
    text = _json(message)
    if len(text) <= MAX_ANSWER:
        return text
    if not isinstance(message, list):
        return _json(_within(message, len(text), MAX_ANSWER))
    left, bounded = MAX_ANSWER, []
    for answer in message:
        size = len(_json(answer))
        bounded.append(_within(answer, size, left))
        left -= size if bounded[-1] is answer else 0
    return _json(bounded)


def _within(answer: Any, size: int, left: int) -> Any:
    if size <= left or not isinstance(answer, dict) or "result" not in answer:
        return answer
    return error(Failure(REFUSED, "The answer is too large for a WebSocket.", answer["id"], {"problem": TOO_LARGE}))


def _json(message: object) -> str:
    try:
        return to_json(message).decode()
    except PydanticSerializationError:
        return to_json(_plain(message)).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _request(found: Any) -> Request | Failure:
    if not isinstance(found, dict):
        return Failure(INVALID_REQUEST, "A request is an object.")
    id_ = found.get("id")
    if not _is_id(id_):
        return Failure(INVALID_REQUEST, "An id is a short string, a number or null.")
    if found.get("jsonrpc") != "2.0":
        return Failure(INVALID_REQUEST, 'A request has "jsonrpc": "2.0".', id_)
    method, params = found.get("method"), found.get("params", {})
    if not isinstance(method, str):
        return Failure(INVALID_REQUEST, "A request has a method.", id_)
    if not isinstance(params, dict):
        return Failure(INVALID_PARAMS, "Parameters are an object.", id_)
    return Request(method, params, id_, "id" in found)


def _is_id(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return len(value) <= MAX_ID_LENGTH
    return value is None or (isinstance(value, int | float) and abs(value) < 2**53)
