"""Lists of addresses that stand for one thing to play: M3U and PLS, and how they are told from sound. Pure."""

import re

MAX_LIST = 256 * 1024  # bytes
MAX_ENTRIES = 32
MAX_DEPTH = 3  # of lists that name lists

_TYPES = frozenset(
    (
        *("audio/x-mpegurl", "audio/mpegurl", "application/x-mpegurl", "application/vnd.apple.mpegurl"),
        *("application/mpegurl", "audio/x-scpls", "application/pls+xml"),
    )
)
_PLS = re.compile(r"file\d*\s*=\s*(\S.*)", re.IGNORECASE)


def is_list(media_type: str, path: str, start: bytes) -> bool:
    """By what the server calls it, what its address ends with, and how it begins. The last has the last word against
    sound under a list's name."""
    begins = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begins.startswith((b"#extm3u", b"[playlist]")):
        return True
    named = media_type in _TYPES or path.lower().endswith((".m3u", ".m3u8", ".pls"))
    return named and begins.startswith((b"http://", b"https://", b"#"))


def is_hls(text: str) -> bool:
    """RFC 8216: every such list has a tag that other M3U lists have not."""
    return "#EXT-X-" in text


def addresses(text: str) -> list[str]:
    """What a list names, in its order, as it is written there."""
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    if any(line.lower() == "[playlist]" for line in lines[:3]):
        found = [match[1].strip() for line in lines if (match := _PLS.fullmatch(line))]
    else:
        found = [line for line in lines if line and not line.startswith("#")]
    return found[:MAX_ENTRIES]
