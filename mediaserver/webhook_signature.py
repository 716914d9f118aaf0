"""Signatures of webhooks (standardwebhooks.com): HMAC-SHA256 over the delivery's id, its time and its body.

For receivers, too: the file needs nothing but Python's standard library.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MIN_SECRET_BYTES = 24
# How far the clocks of sender and receiver may be apart. More lets a recorded delivery be replayed for longer.
TOLERANCE_S = 300.0
_VERSION = "v1,"


def key_of(secret: str) -> bytes:
    """`whsec_` and base64, or else the bytes of the text itself. ValueError when it is too short; the message does not
    repeat it."""
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("A webhook secret that starts with whsec_ goes on in base64.") from None
    else:
        key = secret.encode()
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError(f"A webhook secret has at least {MIN_SECRET_BYTES} bytes.")
    return key


def sign(secret: str, identifier: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery. `timestamp` is Unix time in s."""
    digest = hmac.digest(key_of(secret), _content(identifier, str(timestamp), body), hashlib.sha256)
    signature = _VERSION + base64.b64encode(digest).decode()
    return {ID: identifier, TIMESTAMP: str(timestamp), SIGNATURE: signature}


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float, tolerance_s: float = TOLERANCE_S) -> str:
    """The delivery's id, by which one that comes twice is known. ValueError, a sentence, when it is not genuine or not
    of this time. `body`: the bytes as they came; `now`: Unix time in s."""
    given = {name.lower(): value for name, value in headers.items()}
    if missing := [name for name in (ID, TIMESTAMP, SIGNATURE) if not given.get(name)]:
        raise ValueError(f"The header {missing[0]} is missing.")
    text = given[TIMESTAMP]
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ValueError("The header webhook-timestamp is not a time.")
    # A sender that changes its secret may sign with both for a while.
    expected = sign(secret, given[ID], int(text), body)[SIGNATURE].encode()
    genuine = False
    for signature in given[SIGNATURE].split(" "):
        genuine |= hmac.compare_digest(signature.encode(), expected)
    # Leading zeros would be another text with the same number.
    if not genuine or text != str(int(text)):
        raise ValueError("The signature is not that of this delivery and this secret.")
    if abs(now - int(text)) > tolerance_s:
        raise ValueError("The delivery was signed too long ago, or in the future.")
    return given[ID]


def _content(identifier: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((identifier.encode(), timestamp.encode(), body))
