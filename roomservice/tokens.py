"""Tokens of the room service: JWTs (RFC 7519) signed with HS256. Pure: the time is an argument.

A login's token opens the API; with it a device gets an access token, which opens the messaging, and a refresh token,
which gets it a new one. Each kind says what it is, so that none is taken for another.
"""

import math
from collections.abc import Mapping
from typing import Any

import jwt

LOGIN, ACCESS, REFRESH = "login+jwt", "access+jwt", "refresh+jwt"


def issue(kind: str, user: str, secret: str, now: float, ttl_s: float, **claims: str) -> str:
    """A device's says also `at`, exactly when, so that what was issued after a logout is told from what was before."""
    exactly = {} if kind == LOGIN else {"at": now}
    return jwt.encode(
        {**claims, **exactly, "id": user, "orig_iat": int(now), "exp": math.ceil(now + ttl_s)},
        secret,
        algorithm="HS256",
        headers={"typ": kind},
    )


def verify(kind: str, token: str, secret: str, now: float) -> Mapping[str, Any] | None:
    """Its claims; None when it is no such token, or not valid any more."""
    try:
        found = jwt.decode_complete(
            token,
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_iat": False, "require": ["id", "exp", "orig_iat"]},
        )
    except jwt.PyJWTError:
        return None
    claims: Mapping[str, Any] = found["payload"]
    until, user = claims["exp"], claims["id"]
    if found["header"].get("typ") != kind or not isinstance(user, str) or not isinstance(until, int) or now >= until:
        return None
    return claims
