"""HTTP of `/v1`: each operation of the table at its path, and the documents. An ASGI app.

What is not served here is passed on.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from roomservice.operations.calling import Refusal, invalid
from roomservice.operations.problems import NO_SUCH_OPERATION, PROBLEMS, Refused
from roomservice.operations.table import Caller, Operation, Result, Table
from roomservice.wire.bytes import Bytes
from roomservice.wire.openapi import PROBLEM_JSON
from roomservice.wire.reading import params_of, route_of

Perform = Callable[[Operation[Any, Any, Any], Caller | None, dict[str, Any], str], Awaitable[Result | Refusal]]
"""The operation, who asks, its parameters, and the address from which he does."""

Authenticate = Callable[[str, str], Awaitable[Caller]]
"""Of the headers `Authorization` and `Device-Id`. Refused."""


class OperationsHttp:
    """documents: path -> a JSON document that anybody may read. inner: what all other paths are passed to."""

    def __init__(
        self,
        inner: ASGIApp,
        table: Table,
        perform: Perform,
        authenticate: Authenticate,
        documents: dict[str, dict[str, Any]],
    ) -> None:
        self._inner = inner
        self._perform = perform
        self._authenticate = authenticate
        self._documents = {path: to_json(document) for path, document in documents.items()}
        self._routes = [route_of(operation) for operation in table.values()]
        self._routes.sort(key=lambda route: route.operation.http[1].count("{"))  # what is said exactly goes first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = (scope.get("raw_path") or b"").decode("ascii", "replace")
        if scope["type"] != "http" or not (path == "/v1" or path.startswith("/v1/")):
            await self._inner(scope, receive, send)
            return
        try:
            response = await self._answer(path, Request(scope, receive))
        except ClientDisconnect:
            return
        except Refused as refused:
            response = _problem(Refusal(refused.problem, str(refused), retry_after_s=refused.retry_after_s))
        except ValidationError as error:
            response = _problem(invalid(error))
        await response(scope, receive, send)

    async def _answer(self, path: str, request: Request) -> Response:
        """Refused, ValidationError, ClientDisconnect."""
        if path in self._documents and request.method in ("GET", "HEAD"):
            return Response(self._documents[path], media_type="application/json")
        found = [(route, match) for route in self._routes if (match := route.pattern.fullmatch(path))]
        if not found:
            return _problem(Refusal(NO_SUCH_OPERATION, "There is no such operation."))
        chosen = [(route, match) for route, match in found if route.operation.http[0] == request.method]
        if not chosen:
            allowed = ", ".join(sorted({route.operation.http[0] for route, _ in found}))
            refused = Refusal(NO_SUCH_OPERATION, f"This takes {allowed}.")
            return _problem(refused, status=405, headers={"Allow": allowed})
        route, match = chosen[0]
        caller = None
        if not route.operation.open:
            headers = request.headers
            caller = await self._authenticate(headers.get("authorization", ""), headers.get("device-id", ""))
        params = await params_of(route, match, request)
        address = request.client.host if request.client else ""
        body = None
        if caller is not None and route.operation.content:
            body = Bytes(request, route.operation.content)
            caller = replace(caller, content=body.content)
        performed = self._perform(route.operation, caller, params, address)
        result = await (performed if body is None else body.unless_gone(performed))
        if isinstance(result, Refusal):
            if body is not None:
                await body.discard()
            return _problem(result)
        return Response(result.model_dump_json(), media_type="application/json")


def _problem(refusal: Refusal, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    known = PROBLEMS[refusal.problem]
    status = status or known.status
    headers = dict(headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after_s))
    document: dict[str, Any] = {
        "type": f"/v1/problems#{refusal.problem}",
        "title": known.sentence,
        "status": status,
        "detail": refusal.detail,
        "problem": refusal.problem,
    }
    if refusal.errors:
        document["errors"] = list(refusal.errors)
    return Response(to_json(document), status, headers, PROBLEM_JSON)
