"""JSON merge patch (RFC 7396). Pure."""

from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """What the patch makes of the target; neither is changed. null takes a member away."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result
