"""What an operation is. Each is one method of JSON-RPC and one call of HTTP, with the same parameters, the same result
and the same refusals; wire/ makes both of the table, and their documents.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from roomservice.interface import Content

W_contra = TypeVar("W_contra", contravariant=True)
P = TypeVar("P", bound="Params")
R = TypeVar("R", bound="Result")

_IN_PATH = re.compile(r"\{(\w+)\}")


class Params(BaseModel):
    """What is asked for. A field that it does not know is refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Result(BaseModel):
    """What is answered. Later versions may have more fields."""

    model_config = ConfigDict(frozen=True)


class Nothing(Params):
    """No parameters."""


class Done(Result):
    """It is done. What has changed is told by events."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as his token says. device: which of his devices; session: its socket's, empty over HTTP. system: the
    service itself, by its key; it has neither user nor device. content: of an operation that takes one."""

    user: str
    device: str
    session: str = ""
    system: bool = False
    content: Content | None = None

    @property
    def by(self) -> str | None:
        """As the model's commands have it: None is the service itself."""
        return None if self.system else self.user


@dataclass(frozen=True, slots=True)
class Operation(Generic[W_contra, P, R]):
    """name: the method of JSON-RPC, in snake_case. http: the method and the path of HTTP, whose parameters in braces
    are fields of `params`; the others are in the body's object, or in the query of a GET or DELETE. run: what does it;
    raises Illegal or Refused. tag: which theme of the documents it belongs to. open: needs no token. weight: how many
    of the caller's allowance (wire/desk.py) it takes. tries: the parameter that says whose password is tried. content:
    what kinds of bytes are its body, which run() finds with the caller; JSON-RPC cannot carry them, so that it has no
    such method, and all parameters are in path and query."""

    name: str
    http: tuple[str, str]
    params: type[P]
    result: type[R]
    run: Callable[[W_contra, Caller, P], Awaitable[R]]
    summary: str
    tag: str
    open: bool = False
    weight: float = 1.0
    tries: str = ""
    problems: tuple[str, ...] = field(default=())
    content: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """ValueError for an operation that cannot be served."""
        unknown = set(self.in_path) - set(self.params.model_fields)
        if unknown:
            raise ValueError(f"{self.name} has no parameter {', '.join(sorted(unknown))}, which its path names.")

    @property
    def in_path(self) -> tuple[str, ...]:
        """Names of the parameters that are in the path."""
        return tuple(_IN_PATH.findall(self.http[1]))

    @property
    def in_query(self) -> tuple[str, ...]:
        """Names of the parameters that are in the query: all others of a call without a body of JSON."""
        if self.http[0] not in ("GET", "DELETE") and not self.content:
            return ()
        return tuple(name for name in self.params.model_fields if name not in self.in_path)

    @property
    def in_body(self) -> tuple[str, ...]:
        known = {*self.in_path, *self.in_query}
        return tuple(name for name in self.params.model_fields if name not in known)


Table = dict[str, Operation[Any, Any, Any]]


def table(*operations: Operation[Any, Any, Any]) -> Table:
    """By name. ValueError when two have the same name or the same call of HTTP."""
    found: Table = {}
    calls: set[tuple[str, str]] = set()
    for operation in operations:
        call = (operation.http[0], _IN_PATH.sub("{}", operation.http[1]))
        if operation.name in found or call in calls:
            raise ValueError(f"There are two operations {operation.name} or {' '.join(operation.http)}.")
        found[operation.name] = operation
        calls.add(call)
    return found
