"""The text of a description: its lines, and what is refused of any."""

from collections.abc import Iterable, Mapping, Sequence

MAX_BYTES = 64 * 1024
"""Of a description. A browser's offer of 16 audio sections has 20 KiB; more costs parsing time of the event loop."""

TOKEN = r"[!#-'*+\-.0-9A-Z^-z{|}~]+"  # RFC 8866 section 9
ICE_CHAR = r"[0-9A-Za-z+/]"  # ice-char, RFC 8839 section 5.1
Attributes = Mapping[str, Sequence[str]]


class SdpError(ValueError):
    """The peer's description or fragment cannot be used; the message is a sentence for it."""


def lines_of(text: str) -> list[str]:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise SdpError(f"A description of more than {MAX_BYTES // 1024} KiB is not read.")
    return text.splitlines()


def text_of(lines: Sequence[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def attributes_of(lines: Iterable[str]) -> dict[str, list[str]]:
    """The values of each attribute in order; an attribute without a value has the value ""."""
    attributes: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            attributes.setdefault(name, []).append(value)
    return attributes


def inherited(name: str, levels: Iterable[Attributes]) -> Sequence[str]:
    """The values at the first level that has the attribute."""
    return next((level[name] for level in levels if name in level), ())
