"""What the library knows of one file, and how that is kept: a JSON file beside it. Pure."""

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

ID = re.compile(r"[0-9a-f]{32}")
# Order of lists: by title, then by id, so that every item has a place of its own.
MAX_SORTED = 100


@dataclass(frozen=True, slots=True)
class Item:
    """id: of its content, so that what is uploaded again is the same item. path: relative to the library. mtime_ns:
    when the file was changed last, by which a file that was put there by hand is known again."""

    id: str
    path: str
    media_type: str
    size: int
    duration_s: float
    codec: str
    sampling_rate: int
    channels: int
    added: float
    mtime_ns: int
    title: str = ""
    artist: str = ""
    album: str = ""
    cover_type: str = ""

    @property
    def order(self) -> str:
        # What parts them comes before all that a title can have, so that "ab" is before "ab c".
        return f"{self.title.casefold()[:MAX_SORTED]}\t{self.id}"

    def fits(self, words: list[str]) -> bool:
        """Each word is somewhere in what is shown of it."""
        text = f"{self.title}\n{self.artist}\n{self.album}".casefold()
        return all(word in text for word in words)


_TYPES: dict[Any, type | tuple[type, ...]] = {int: int, float: (int, float), str: str}


def to_json(item: Item) -> str:
    return json.dumps(asdict(item), ensure_ascii=False)


def from_json(text: str) -> Item | None:
    """None for what is none: written by another version, or by hand."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    known: dict[str, Any] = {member.name: found.get(member.name) for member in fields(Item)}
    for member in fields(Item):
        value, expected = known[member.name], _TYPES[member.type]
        if not isinstance(value, expected) or isinstance(value, bool):
            return None
    item = Item(**known)
    return item if ID.fullmatch(item.id) else None


def moved(item: Item, path: str, mtime_ns: int) -> Item:
    return replace(item, path=path, mtime_ns=mtime_ns)
