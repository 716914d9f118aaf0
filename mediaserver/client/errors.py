"""What can go wrong with a call."""

from collections.abc import Sequence
from typing import Any


class CallError(Exception):
    """A call that did not succeed; the message is one sentence."""


class UnreachableError(CallError):
    """No answer came in time. Unless the call was a GET, it may or may not have been done."""


class BadAnswerError(CallError):
    """There is an answer, but a media server does not answer so: another program, or a much newer version."""


class Refused(CallError):
    """The server said no.

    kind: the name of the problem, as on the server's page /problems; empty when it was not the server who answered but
    something before it. errors: what is wrong with which value, `{"in": [...], "detail": ...}` each. retry_after_s:
    after how long it may be worth asking again, None when the server does not say. etag: with 412, of the room's
    document as it is now.
    """

    def __init__(
        self,
        kind: str,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        retry_after_s: float | None = None,
        etag: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status = status
        self.detail = detail
        self.errors = errors
        self.retry_after_s = retry_after_s
        self.etag = etag
