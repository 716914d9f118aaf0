"""What is pushed, as JSON. Pure."""

import json
from collections.abc import Mapping


def expires_in_s(data: Mapping[str, object], now: float, otherwise_s: float) -> float:
    """For how long the push is of use: until what it is of has ended, when it says so (`until`, Unix time in s)."""
    until = data.get("until")
    return until - now if isinstance(until, int | float) else otherwise_s


def encoded(user: str, event: str, data: Mapping[str, object], max_bytes: int | None = None) -> bytes:
    """{"user", "event", "data"}. What is more than max_bytes loses its longest texts, and says so: `shortened` names
    them."""
    left, shortened = dict(data), list[str]()
    while True:
        said: dict[str, object] = {"user": user, "event": event, "data": left}
        if shortened:
            said["shortened"] = shortened
        body = json.dumps(said, ensure_ascii=False).encode(errors="replace")
        if max_bytes is None or len(body) <= max_bytes or not left:
            return body
        longest = max(left, key=lambda name: len(json.dumps(left[name])))
        del left[longest]
        shortened.append(longest)
