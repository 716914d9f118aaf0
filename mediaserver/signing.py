"""Signed requests: a room service proves who it is without sending its secret. For clients: standard library only."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping

REQUEST_TYPE = "control+jwt"
"""`typ` of the header: it keeps participants' tokens and signed requests from being taken for each other."""

MAX_REQUEST_S = 300.0
"""The longest from iat to exp. Higher lets an intercepted one be used longer, lower demands better clocks."""


def sign_request(key_id: str, secret: str, now: float, ttl_s: float = 30, once: bool = True) -> str:
    """A token for `Authorization: Bearer` of the control API. now: Unix time in seconds; ttl_s: at most 300.

    once: it is good for one request only. Otherwise it is good for any number until it expires.
    """
    claims: dict[str, object] = {"iat": now, "exp": now + ttl_s}
    if once:
        claims["jti"] = secrets.token_urlsafe(16)
    return sign({"alg": "HS256", "kid": key_id, "typ": REQUEST_TYPE}, claims, secret)


def sign(header: Mapping[str, object], claims: Mapping[str, object], secret: str) -> str:
    """A JWT (RFC 7515 section 7.1) signed with HS256."""
    signed = b".".join(_encode(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return (signed + b"." + _encode(hmac.digest(secret.encode(), signed, hashlib.sha256))).decode()


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
