"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a POST that is sent again is answered again, not done
again.

Answers are kept in memory for KEPT_S, KEPT at most, the oldest going first; they do not outlive the process, and
neither do the connections that a repeated move could touch twice."""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response

from mediaserver.http.nodes import NodeOf
from mediaserver.http.problems import Problem
from mediaserver.node import Node

KEPT = 10_000
KEPT_S = 600.0
MAX_KEY_LENGTH = 256


@dataclass(slots=True)
class _Answer:
    fingerprint: bytes
    until: float
    status: int | None = None  # None: under way
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Answers:
    """Of one node. Times are seconds of any clock that does not jump."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], _Answer] = OrderedDict()

    async def once(
        self, who: str, key: str, fingerprint: bytes, now: float, make: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The answer that make() gave first for this key of this caller. Refusals are not kept: what was refused
        has not been done. 422 when the key was used for another request, 409 while that is under way."""
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        known = self._kept.get((who, key))
        if known is not None:
            if known.fingerprint != fingerprint:
                raise Problem("idempotency-mismatch", "The Idempotency-Key was used for another request.")
            if known.status is None:
                raise Problem("idempotency-conflict", "The request with this Idempotency-Key is still under way.")
            return Response(known.body, known.status, dict(known.headers))
        self._kept[who, key] = answer = _Answer(fingerprint, now + KEPT_S)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        try:
            response = await make()
        except BaseException:
            self._kept.pop((who, key), None)
            raise
        answer.body, answer.headers = bytes(response.body), tuple(response.headers.items())
        answer.status = response.status_code
        return response


class Repeatable:
    """One POST, and whether it has been answered before."""

    def __init__(self, answers: Answers, key: str | None, fingerprint: bytes, now: float) -> None:
        self._answers, self._key, self._fingerprint, self._now = answers, key, fingerprint, now

    async def answer(self, who: str, make: Callable[[], Awaitable[Response]]) -> Response:
        """who: the caller, whose keys are his own."""
        if self._key is None:
            return await make()
        return await self._answers.once(who, self._key, self._fingerprint, self._now, make)


IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Sent again with the same key, the request is answered again and not done again",
        examples=["4c1b2f0e-9c55-4a7e-8f6e-2a7d3c0b9a11"],
    ),
]


async def _repeatable(request: Request, node: NodeOf, idempotency_key: IdempotencyKey = None) -> Repeatable:
    return _of(request, node, idempotency_key, await request.body())


async def _repeatable_upload(request: Request, node: NodeOf, idempotency_key: IdempotencyKey = None) -> Repeatable:
    """Of a body that is not read here: it is known by its length and type."""
    known = [request.headers.get(name, "") for name in ("content-length", "content-type")]
    return _of(request, node, idempotency_key, "\n".join(known).encode())


def _of(request: Request, node: Node, key: str | None, body: bytes) -> Repeatable:
    target = f"{request.method} {request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
    fingerprint = hashlib.sha256(target.encode("latin-1") + b"\n" + body).digest()
    return Repeatable(request.app.state.answers, key, fingerprint, node.uptime_s)


RepeatableOf = Annotated[Repeatable, Depends(_repeatable)]
RepeatableUploadOf = Annotated[Repeatable, Depends(_repeatable_upload)]
