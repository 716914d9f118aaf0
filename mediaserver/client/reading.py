"""A call whose answer is a document."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mediaserver.client.calls import Body, Calls, Query
from mediaserver.client.errors import BadAnswerError
from mediaserver.client.patience import Patience
from mediaserver.client.tagged import Tagged

M = TypeVar("M", bound=BaseModel)


class Reader:
    """What the parts of MediaServer have in common."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def _read(
        self,
        model: type[M],
        method: str,
        address: str,
        body: BaseModel | dict[str, Any] | Body | None = None,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        conditions: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> Tagged[M]:
        if isinstance(body, BaseModel):
            body = body.model_dump_json().encode()
        elif isinstance(body, dict):
            body = json.dumps(body, allow_nan=False).encode()
        response = await self._calls.call(
            method, address, query=query, body=body, headers=headers, conditions=conditions, patience=patience
        )
        try:
            # A newer server may tell more than this client knows.
            document = model.model_validate_json(response.content, extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            raise BadAnswerError(f"The answer is not one of a media server: {place}: {first['msg']}.") from None
        return Tagged(document, response.headers.get("ETag", ""), response.status_code == 201)


def query_of(**values: str | bool | int | None) -> list[tuple[str, str]]:
    return [
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in values.items()
        if value is not None
    ]


def conditions_of(if_match: str | None, only_new: bool = False) -> dict[str, str]:
    conditions = {} if if_match is None else {"If-Match": if_match}
    return conditions | ({"If-None-Match": "*"} if only_new else {})
