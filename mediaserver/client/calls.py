"""One call of the control API: signed, sent, sent again where that is safe, and its refusal understood.

Every attempt is signed anew, as a request that is good once and for half a minute; the secret never leaves the process.
Whether an attempt may be repeated:

    it did not reach the server (no connection)      always
    429, 503                                         always: nothing has been done; not before Retry-After
    409 idempotency-conflict                         always: it is our own earlier attempt that is still under way
    its answer was lost, or a gateway's 502, 504     if saying it again changes nothing: not when it is conditional on
                                                     what it may itself have changed (If-Match, If-None-Match)
"""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from mediaserver.client.errors import CallError, Refused, UnreachableError
from mediaserver.client.patience import Patience
from mediaserver.schema_base import check_name
from mediaserver.signing import sign_request

Clock = Callable[[], float]
Query = Sequence[tuple[str, str]]
"""Names and values; a name may come more than once."""
Body = bytes | Callable[[], AsyncIterator[bytes]]
"""All of it, or what gives it from its beginning, again for each attempt."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
CONNECTIONS = 100
"""At a time, streams of events included; further calls wait for one."""

KEPT_ALIVE_S = 3.0
"""An idle connection is not used again after that. The server closes it after 5 s: a request that meets that moment is
lost, and must not be repeated if it is conditional."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_DONE = (429, 503)
_GATEWAY = (502, 504)
_SHOWN = 200  # characters of an answer that is no problem document


class Calls:
    """Of one server, with one API key (id, secret). transport: instead of the network;
    clock: Unix time in s, for signing."""

    def __init__(
        self,
        url: str,
        key: tuple[str, str],
        *,
        patience: Patience,
        transport: httpx.AsyncBaseTransport | None,
        clock: Clock,
    ) -> None:
        check_address(url)
        self._key = key
        self.patience = patience
        self._clock = clock
        self._http = httpx.AsyncClient(
            base_url=url,
            timeout=patience.timeout_s,
            transport=transport,
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEPT_ALIVE_S),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        conditions: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> httpx.Response:
        """The answer, with a status of 2xx. CallError otherwise. headers: with a Content-Type, the body is no JSON;
        patience: not that of other calls."""
        headers = {**(headers or {}), **(conditions or {})}
        patience = patience or self.patience
        if body is not None:
            headers.setdefault("Content-Type", MERGE_PATCH if method == "PATCH" else JSON)
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_urlsafe(16)
        began, attempts = time.monotonic(), 0
        failure: CallError | None = None
        while True:
            attempts += 1
            at_least_s = 0.0
            left_s = patience.deadline_s - (time.monotonic() - began)
            if failure is not None and left_s <= 0:
                raise failure
            try:
                # httpx bounds each read alone: an answer that trickles in would never end.
                async with asyncio.timeout(min(patience.timeout_s, left_s)):
                    response = await self._http.request(
                        method,
                        path,
                        params=_params(query),
                        content=body() if callable(body) else body,
                        headers=headers | self._authorization(),
                        timeout=patience.timeout_s,
                    )
            except (httpx.RequestError, TimeoutError) as error:
                failure = self.unreachable(error)
                again = isinstance(error, _NEVER_SENT) or not conditions
            else:
                if response.is_success:
                    return response
                refused = failure = refusal(response)
                at_least_s = refused.retry_after_s or 0.0
                again = (
                    response.status_code in _NOT_DONE
                    or refused.kind == "idempotency-conflict"
                    or (response.status_code in _GATEWAY and not conditions)
                )
            elapsed_s = time.monotonic() - began
            wait_s = patience.wait_s(attempts, elapsed_s, at_least_s, random.random()) if again else None
            if wait_s is None:
                raise failure
            await asyncio.sleep(wait_s)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Query, headers: Mapping[str, str], silence_s: float
    ) -> AsyncIterator[httpx.Response]:
        """An answer without end, tried once. silence_s: without a byte for so long it counts as broken. What breaks
        here or while it is read is an httpx.RequestError or a TimeoutError; CallError when it is refused."""
        request = self._http.build_request(
            "GET",
            path,
            params=_params(query),
            headers={**headers, **self._authorization()},
            timeout=httpx.Timeout(self.patience.timeout_s, read=silence_s),
        )
        async with asyncio.timeout(self.patience.timeout_s):
            response = await self._http.send(request, stream=True)
        try:
            if not response.is_success:
                async with asyncio.timeout(self.patience.timeout_s):
                    await response.aread()
                raise refusal(response)
            yield response
        finally:
            await response.aclose()

    def unreachable(self, error: Exception) -> UnreachableError:
        url = str(self._http.base_url).rstrip("/")
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            return UnreachableError(f"No answer came from {url} in time.")
        why = str(error).rstrip(".") or type(error).__name__
        return UnreachableError(f"The server at {url} cannot be reached: {why}.")

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {sign_request(*self._key, self._clock())}"}


def check_address(url: str) -> None:
    """ValueError, with a sentence, when it is not one of a server."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and httpx.URL(url).host
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise ValueError("The server's address is one like https://media.example.org or http://127.0.0.1:8090.")


def _params(query: Query) -> httpx.QueryParams | None:
    return httpx.QueryParams(tuple(query)) if query else None


def path(*segments: str) -> str:
    """Below /v1/: literal segments of the API and names of rooms and users, each percent-encoded. ValueError for what
    cannot be a name."""
    return "/v1/" + "/".join(quote(check_name(segment), safe="") for segment in segments)


def refusal(response: httpx.Response) -> Refused:
    """What an answer says that is no success."""
    status, document = response.status_code, _problem(response)
    type_, detail, errors = document.get("type"), document.get("detail"), document.get("errors")
    retry_after = response.headers.get("Retry-After", "")
    if not isinstance(detail, str):
        text = " ".join(response.text.split())[:_SHOWN]
        detail = f"The answer is {status} {response.reason_phrase}, and not from a media server" + (
            f": {text}" if text else "."
        )
    return Refused(
        kind=type_.rpartition("#")[2] if isinstance(type_, str) else "",
        status=status,
        detail=detail,
        errors=[error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else (),
        retry_after_s=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        etag=response.headers.get("ETag"),
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem document (RFC 9457); empty when it is none."""
    if response.headers.get("Content-Type", "").partition(";")[0] != "application/problem+json":
        return {}
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
