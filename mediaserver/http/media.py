"""Content types: which one a request has, and whether its sender takes ours (RFC 9110 sections 8.3 and 12.5.1)."""

from fastapi import Request

from mediaserver.http.problems import Problem

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
EVENT_STREAM = "text/event-stream"


def require_content_type(request: Request, expected: str, *others: str) -> None:
    """415 for any other; parameters do not matter."""
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found not in (expected, *others):
        accept = {"PATCH": "Accept-Patch", "POST": "Accept-Post"}.get(request.method)
        raise Problem(
            "unsupported-media-type", f"The content type must be {expected}.", {accept: expected} if accept else None
        )


def require_accepts(request: Request, offered: str) -> None:
    """406 when the request's Accept excludes the only media type that the answer can have."""
    header = ",".join(request.headers.getlist("accept"))
    if not header.strip():
        return
    ranges = {offered, offered.partition("/")[0] + "/*", "*/*"}
    for item in header.split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        if media_range in ranges and not any(_is_zero(parameter) for parameter in parameters):
            return
    raise Problem("not-acceptable", f"The answer would be {offered}, which Accept excludes.")


async def require_json(request: Request) -> None:
    """As a dependency of addresses whose body is JSON or absent; of a PATCH it is a merge patch (RFC 7396), which may
    also go by the name of plain JSON."""
    if not await request.body():
        return
    if request.method == "PATCH":
        require_content_type(request, MERGE_PATCH, JSON)
    else:
        require_content_type(request, JSON)


def _is_zero(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip().strip("0.")
