"""What schemathesis must know beside the OpenAPI document: what names are, and what SDP looks like."""

import secrets
from typing import Any

import schemathesis
from hypothesis import strategies as st

from mediaserver.names import valid_name
from tests.offers import fragment, offer

# The format "name" of the document. Half of the names are those that other calls use too.
NAMES = st.sampled_from(["lobby", "ann", "bob", "table 2"]) | st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=300
).filter(valid_name)
schemathesis.openapi.format("name", NAMES)

OFFERS = {
    "application/sdp": [offer(), offer("recvonly"), offer("recvonly", 3)],
    "application/trickle-ice-sdpfrag": [fragment(), fragment("abcd", "x" * 24)],
}


@schemathesis.serializer(*OFFERS)
def serialize(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.serializer("audio/mpeg")
def serialize_audio(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A key for each request of its own, lest others than the first be refused for having the first one's; and, every
    other time, SDP that leads somewhere instead of any string."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    headers = case.headers
    if headers and headers.get("Idempotency-Key"):
        headers["Idempotency-Key"] = secrets.token_hex(8)
    if case.media_type in OFFERS and isinstance(case.body, str) and len(case.body) % 2:
        offers = OFFERS[case.media_type]
        case.body = offers[len(case.body) // 2 % len(offers)]
