"""What routes tell OpenAPI of themselves; openapi.py makes the document of it."""

from typing import Any

KINDS_OF = "x-problems"
"""Member of a response: the kinds of problems that it can be. Does not reach the document."""

PATCH = "Patch"
"""What is added to a model's name to name the schema of its merge patches."""


def described(description: str, *headers: str, **members: Any) -> dict[str, Any]:
    """An answer: in a sentence, its headers (of openapi.HEADERS), and other members."""
    found: dict[str, Any] = {"description": description, **members}
    if headers:
        found["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return found


def text(media_type: str, example: str) -> dict[str, Any]:
    """The content of a body that is not JSON."""
    return {media_type: {"schema": {"type": "string"}, "example": example}}


def merge_patch(model: str, example: Any) -> dict[str, Any]:
    """The `requestBody` of a PATCH (RFC 7396) of a document of this model."""
    content = {"schema": {"$ref": f"#/components/schemas/{model}{PATCH}"}, "example": example}
    return {"required": True, "content": {"application/merge-patch+json": content, "application/json": content}}
