"""Names of rooms and users: opaque UTF-8. Pure."""

import re

MAX_NAME_BYTES = 256
"""In UTF-8. Raising it lets every seat, wish and path be so long."""

# Unicode's categories Cc, Cs, Zl and Zp. Names are checked several times in each call: an expression takes 0.2 µs.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def valid_name(name: str) -> bool:
    """Whether it can name a room or a user: 1 to 256 bytes of UTF-8 without control characters and line ends; and not a
    dot or two, which browsers and proxies take out of paths, however they are written (RFC 3986 section 6.2.2.3)."""
    return not has_controls(name) and 1 <= len(name.encode()) <= MAX_NAME_BYTES and name not in (".", "..")


def has_controls(text: str) -> bool:
    """C0, C1 and DEL, half surrogates (which UTF-8 cannot carry), and Unicode's line and paragraph separators."""
    return _CONTROLS.search(text) is not None
