"""API keys: who a room service is, what it may do and in which rooms.

A key is written as one line, `ID:SECRET [RIGHTS [PATTERN...]]`, its words apart by white space:

    RIGHTS    read, control or admin (the default); each includes those before it
    PATTERN   rooms that it reaches: `*` stands for any characters, all else for itself, and what cannot be written is
              percent-encoded (%20 a space, %2A an asterisk, %25 a percent sign). Default: all rooms

No message of this module repeats any of a line: whoever swaps id and secret would find the secret in a log.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote_to_bytes

from mediaserver.files import WatchedFiles

MAX_ID_BYTES = 256

MIN_SECRET_BYTES = 32
"""HS256 wants as many as its hash has (RFC 7518 section 3.2); shorter secrets can be guessed from a token."""


class Rights(StrEnum):
    """In order: each includes those before it."""

    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"

    def include(self, other: "Rights") -> bool:
        order = list(Rights)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class RoomPattern:
    """The literal pieces between the asterisks of a pattern."""

    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "RoomPattern":
        """ValueError when the percent-encoding is not one of UTF-8."""
        if re.search(r"%(?![0-9A-Fa-f]{2})", text):
            raise ValueError("In a room pattern, a percent sign is written %25.")
        try:
            return cls(tuple(unquote_to_bytes(piece).decode("utf-8") for piece in text.split("*")))
        except UnicodeError:
            raise ValueError("A room pattern must be percent-encoded UTF-8.") from None

    def matches(self, name: str) -> bool:
        """In time linear in the name for each piece, whatever the pattern: names come from strangers."""
        if len(self.pieces) == 1:
            return name == self.pieces[0]
        first, *middle, last = self.pieces
        place, end = len(first), len(name) - len(last)
        if place > end or not name.startswith(first) or not name.endswith(last):
            return False
        for piece in middle:
            found = name.find(piece, place, end)
            if found < 0:
                return False
            place = found + len(piece)
        return True


EVERY_ROOM = (RoomPattern(("", "")),)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """id: printable ASCII without colon, as HTTP Basic needs it (RFC 7617 section 2); secret: at least 32 bytes in
    UTF-8, neither white space nor control characters. ValueError when they are not."""

    id: str
    secret: str = field(repr=False)
    rights: Rights = Rights.ADMIN
    rooms: tuple[RoomPattern, ...] = EVERY_ROOM

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= MAX_ID_BYTES or not all("!" <= c <= "~" and c != ":" for c in self.id):
            raise ValueError("An API key's id must be printable ASCII without space and colon.")
        if any(unicodedata.category(c)[0] == "Z" or unicodedata.category(c) in ("Cc", "Cs") for c in self.secret):
            raise ValueError("An API key's secret must have neither white space nor control characters.")
        if len(self.secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"An API key's secret is shorter than {MIN_SECRET_BYTES} bytes.")

    @classmethod
    def parse(cls, line: str) -> "ApiKey":
        """From a line as above. ValueError otherwise."""
        name, *more = line.split() or [""]
        identifier, colon, secret = name.partition(":")
        if not colon:
            raise ValueError("An API key is written ID:SECRET, and RIGHTS and room patterns after it.")
        if more and more[0] not in list(Rights):
            raise ValueError("An API key's rights are read, control or admin, and its secret has no white space.")
        rights = Rights(more[0]) if more else Rights.ADMIN
        return cls(identifier, secret, rights, tuple(map(RoomPattern.parse, more[1:])) or EVERY_ROOM)

    def may(self, right: Rights) -> bool:
        return self.rights.include(right)

    def reaches(self, room: str) -> bool:
        """Whether it is for this room, whatever it may do there."""
        return any(pattern.matches(room) for pattern in self.rooms)


# Stands in for a key that does not exist, so that it takes as long to be refused as a wrong secret does.
NOBODY = ApiKey("-", secrets.token_hex(MIN_SECRET_BYTES))


class ApiKeys:
    """The keys that are accepted; several, so that they can be rotated. ValueError when two have the same id."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys: dict[str, ApiKey] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """From now on these. ValueError as above: then nothing has changed."""
        replaced: dict[str, ApiKey] = {}
        for key in keys:
            if key.id in replaced:
                raise ValueError("Two API keys have the same id.")
            replaced[key.id] = key
        self._keys = replaced

    def get(self, id: str) -> ApiKey | None:
        return self._keys.get(id)

    def check(self, id: str, secret: str) -> bool:
        """Whether it is the secret of that key. The time it takes depends neither on how much of it is right, nor on
        its length, nor on whether there is such a key."""
        key = self._keys.get(id, NOBODY)
        return hmac.compare_digest(_digest(key.secret), _digest(secret)) and key is not NOBODY

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"ApiKeys({list(self._keys)})"


class KeyRing(ApiKeys):
    """The keys of a running server: those of its options, and those of its key file as it is now."""

    def __init__(self, keys: Iterable[ApiKey], fixed: Iterable[ApiKey] = (), file: Path | None = None) -> None:
        """keys: all for now; fixed: those among them that do not come from the file. The file is looked at later, by
        `files`: it may be a pipe, which can be read only once."""
        super().__init__(keys)
        self._fixed = tuple(fixed)
        self.files = WatchedFiles("API keys", [file] if file else [], self._take)

    def _take(self, contents: Sequence[bytes]) -> None:
        self.replace([*self._fixed, *(key for content in contents for key in parse_file(content))])


def parse_file(content: bytes) -> list[ApiKey]:
    """The keys of a key file: one a line, but for empty lines and comments (#). ValueError when one is at fault, two
    have the same id, or there is none."""
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError("The API key file is not UTF-8.") from None
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            key = ApiKey.parse(line)
        except ValueError as error:
            raise ValueError(f"Line {number} of the API key file: {error}") from None
        if key.id in keys:
            raise ValueError(f"Line {number} of the API key file has the id of a line before it.")
        keys[key.id] = key
    if not keys:
        raise ValueError("The API key file has no key.")
    return list(keys.values())


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
