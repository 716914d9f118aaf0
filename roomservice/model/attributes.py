"""Attributes of a user or a group: the app's own text by key, with one version.

Rules held here
- The version rises by one with each change. Who names the version that he knows changes nothing when it is not the
  newest.
- A value None takes its key away. What is as it was is no change.
- Number and length are bounded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from roomservice.model.errors import Illegal, Problem

MAX_KEYS = 32
MAX_KEY_BYTES = 64
MAX_VALUE_BYTES = 2048
"""In UTF-8. All of them are read and written with each change of one."""


@dataclass(frozen=True, slots=True)
class Attributes:
    values: Mapping[str, str] = field(default_factory=dict)
    version: int = 0


NO_ATTRIBUTES = Attributes()


def changed(
    before: Attributes, values: Mapping[str, str | None], version: int | None = None
) -> tuple[Attributes, dict[str, str | None]]:
    """The attributes after it, and what is new of them; None is what went. Illegal: stale-version,
    too-many-attributes, attribute-too-large."""
    if version is not None and version != before.version:
        raise Illegal(Problem.STALE_VERSION)
    for key, value in values.items():
        if not 1 <= size(key) <= MAX_KEY_BYTES or size(value or "") > MAX_VALUE_BYTES:
            raise Illegal(Problem.ATTRIBUTE_TOO_LARGE)
    after = {key: value for key, value in {**before.values, **values}.items() if value is not None}
    if len(after) > MAX_KEYS:
        raise Illegal(Problem.TOO_MANY_ATTRIBUTES)
    new = {key: after.get(key) for key in values if after.get(key) != before.values.get(key)}
    return (Attributes(after, before.version + 1) if new else before), new


def size(text: str) -> int:
    """Bytes of UTF-8."""
    return len(text.encode(errors="surrogatepass"))
