"""One call: parameters are validated, the operation is run, and whatever goes wrong gets a name."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from roomservice.model.errors import Illegal
from roomservice.operations.problems import INTERNAL, INVALID_PARAMS, Refused
from roomservice.operations.table import Caller, Operation, Result

log = logging.getLogger(__name__)

MAX_ERRORS = 10
"""Of one call's parameters that are told."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no result. problem: a name in problems.PROBLEMS; detail: a sentence; errors: which parameter is
    wrong, `{"in": [...], "detail": ...}` each."""

    problem: str
    detail: str
    errors: tuple[dict[str, Any], ...] = ()
    retry_after_s: float | None = None


Named = Mapping[type[Exception], Callable[[Any], Refused]]
"""What exceptions of the world are called."""


async def perform(
    world: Any, operation: Operation[Any, Any, Any], caller: Caller, params: Mapping[str, Any], named: Named
) -> Result | Refusal:
    """Never raises: an exception that nobody foresaw is logged, and called `internal`."""
    try:
        # By way of JSON, so that names of enumerations are what they are in HTTP, and nothing else is converted.
        asked = operation.params.model_validate_json(to_json(dict(params)))
    except ValidationError as error:
        return invalid(error)
    try:
        result: Result = await operation.run(world, caller, asked)
        return result
    except Illegal as illegal:
        return Refusal(illegal.problem, str(illegal))
    except Refused as refused:
        return _refusal(refused)
    except Exception as error:
        for kind, name in named.items():
            if isinstance(error, kind):
                return _refusal(name(error))
        log.exception("The operation %s failed.", operation.name)
        return Refusal(INTERNAL, "Something is wrong with the service.")


def invalid(error: ValidationError) -> Refusal:
    found = tuple(
        {"in": [str(part) for part in one["loc"]], "detail": one["msg"]}
        for one in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    )
    return Refusal(INVALID_PARAMS, "The parameters are not as they must be.", found)


def _refusal(refused: Refused) -> Refusal:
    return Refusal(refused.problem, str(refused), retry_after_s=refused.retry_after_s)
