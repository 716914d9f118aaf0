"""JSON merge patch (RFC 7396). Pure."""

import json
from collections.abc import Mapping
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


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `after` of `before`, the smallest there is. Members that are null in `after` are as if they
    were not there: a merge patch cannot say otherwise."""
    patch: dict[str, Any] = {name: None for name in before if after.get(name) is None and before[name] is not None}
    for name, value in after.items():
        known = before.get(name)
        if value is None or _same(value, known):
            continue
        if isinstance(value, dict) and isinstance(known, dict):
            patch[name] = difference(known, value)
        else:
            patch[name] = value
    return patch


def _same(one: Any, other: Any) -> bool:
    """As JSON: Python takes true for 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
