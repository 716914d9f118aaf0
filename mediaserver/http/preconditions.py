"""Conditional requests (RFC 9110 section 13): what keeps two writers from undoing each other's work."""

from fastapi import Request

from mediaserver.http.problems import Problem
from mediaserver.model.room import Room


def tags(request: Request, header: str) -> list[str] | None:
    """The entity tags of If-Match or If-None-Match, ["*"] among them; None without the header."""
    values = request.headers.getlist(header)
    if not values:
        return None
    return [tag.strip() for tag in ",".join(values).split(",") if tag.strip()]


def require(request: Request, room: Room | None) -> None:
    """412 unless the room, or that there is none, is as the request expects. What participants did to what belongs to
    them does not count against If-Match.

    To be called where nothing can come between it and the change."""
    etag = None if room is None else room.etag
    wanted = tags(request, "if-match")
    if wanted is not None and (room is None or not (wanted == ["*"] or any(map(room.is_current, wanted)))):
        raise Problem("precondition-failed", "If-Match names a state that is not the current one.", _current(etag))
    unwanted = tags(request, "if-none-match")
    if unwanted is not None and etag is not None and (unwanted == ["*"] or _weakly(etag, unwanted)):
        raise Problem("precondition-failed", "If-None-Match excludes the current state.", _current(etag))


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether a GET is to be answered with 304."""
    known = tags(request, "if-none-match")
    return known is not None and (known == ["*"] or _weakly(etag, known))


def _weakly(etag: str, candidates: list[str]) -> bool:
    """Section 8.8.3.2: proxies that compress turn a strong tag into a weak one."""
    return etag in (candidate.removeprefix("W/") for candidate in candidates)


def _current(etag: str | None) -> dict[str, str] | None:
    return None if etag is None else {"ETag": etag}
