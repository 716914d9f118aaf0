"""Bearer tokens: those with which participants join, and requests that a room service signed. Both are JWTs (RFC 7519)
signed with HS256 by an API key, which the header names (`kid`).

A participant's token has these claims, required but for the last two:

    room, sub     the room and the user, see valid_name(); the key must reach the room, with right control or admin
    may_publish   whether the user may speak there, true or false
    may_listen    whether the user may listen there, true or false
    exp, iat      until when and since when, Unix time in seconds, fractions allowed; at most 7 days apart
    jti           the token's own name
    mode          the only way of listening that it allows, mix or select
    once          whether it opens at most one WHIP and one WHEP session, true or false

A signed request's header says `"typ": "control+jwt"`. It has `exp` and `iat`, at most 300 s apart, and is good for one
request only if it has a `jti`.

`nbf` is honoured when present; `aud` is refused (RFC 7519 section 4.1.3: we have no name to find in it); other claims
are ignored. Whoever has a key may sign tokens himself. `iat` is required because a kick revokes what was issued before.
The time is an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, cast, get_args

import jwt

from mediaserver.keys import NOBODY, ApiKey, ApiKeys, Rights
from mediaserver.names import MAX_NAME_BYTES, valid_name
from mediaserver.signing import MAX_REQUEST_S, REQUEST_TYPE

MAX_TOKEN_BYTES = 4096
"""Refused unread above this. The longest names, escaped at worst, fit; higher costs parsing time of the event loop."""

CLOCK_SKEW_S = 10.0
"""How far the clock of who signs may be ahead of ours. Lower refuses fresh tokens of machines with sloppy clocks;
higher lets a token survive a kick by as much."""

MAX_LIFE_S = 7 * 24 * 3600.0
"""Of a participant's token. Higher lets a stolen one be used longer, and makes one-time ones be remembered longer."""

ROUNDING_S = 1e-3
"""What adding a lifetime to a Unix time may make it longer by in floating point, many times over."""

MAX_TIME_S = 1e11
"""The year 5138: beyond it a number is milliseconds taken for seconds, and no token would ever expire."""


class Reason(StrEnum):
    """Why a token was refused."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    TOO_LONG = "too_long"
    NOT_ENTITLED = "not_entitled"
    USED = "used"


Mode = Literal["mix", "select"]


class TokenError(ValueError):
    """The token does not prove what it claims; the message is a sentence that repeats nothing of it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """What a participant's token says. expires, issued: Unix time in seconds; key_id: who signed it. ValueError when a
    name is not valid_name() or a time is out of all reason."""

    room: str
    user: str
    may_publish: bool
    may_listen: bool
    expires: float
    issued: float
    id: str
    mode: Mode | None = None
    once: bool = False
    key_id: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name in (self.room, self.user, self.id):
            if not valid_name(name):
                raise ValueError(f"A name must be 1 to {MAX_NAME_BYTES} bytes of UTF-8 without control characters.")
        if not all(abs(time) < MAX_TIME_S for time in (self.expires, self.issued)):
            raise ValueError("A time must be Unix time in seconds.")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Who signed a request. id: None when it may be sent again until it expires, Unix time in seconds."""

    key: ApiKey
    id: str | None
    expires: float


def issue(key: ApiKey, claims: Claims) -> str:
    """A token for these claims, at most MAX_TOKEN_BYTES long."""
    payload: dict[str, Any] = {
        "room": claims.room,
        "sub": claims.user,
        "may_publish": claims.may_publish,
        "may_listen": claims.may_listen,
        "exp": claims.expires,
        "iat": claims.issued,
        "jti": claims.id,
    }
    if claims.mode is not None:
        payload["mode"] = claims.mode
    if claims.once:
        payload["once"] = True
    return jwt.encode(payload, key.secret, algorithm="HS256", headers={"kid": key.id})


def verify(keys: ApiKeys, token: object, now: float) -> Claims:
    """The claims of a participant's token that one of the keys has signed and that is valid at `now`, Unix time in
    seconds.

    token: the text behind "Bearer "; None or empty when there was none. TokenError with its reason otherwise. Whether a
    one-time token has been used is for the caller to know.
    """
    found = verify_any(keys, token, now)
    if not isinstance(found, Claims):
        raise TokenError(Reason.MALFORMED, "This is a signed request, not a participant's token.")
    return found


def verify_any(keys: ApiKeys, token: object, now: float) -> Claims | SignedRequest:
    """What a token says, of whichever of the two kinds it is; as verify()."""
    if token is None or token == "":
        raise TokenError(Reason.MISSING, "There is no token.")
    if not isinstance(token, str) or not token.isascii():
        raise TokenError(Reason.MALFORMED, "The token is not a JWT.")
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(Reason.MALFORMED, f"A token of more than {MAX_TOKEN_BYTES // 1024} KiB is not read.")
    key, header, payload = _signed(keys, token)
    if str(header.get("typ")).lower() == REQUEST_TYPE:
        return _request(key, payload, now)
    claims = _claims(key, payload)
    _check_times(payload, claims.issued, claims.expires, MAX_LIFE_S, now)
    if not key.may(Rights.CONTROL) or not key.reaches(claims.room):
        raise TokenError(Reason.NOT_ENTITLED, "The token's key may not sign tokens for this room.")
    return claims


def _request(key: ApiKey, payload: Mapping[str, object], now: float) -> SignedRequest:
    expires = _time(payload, "exp")
    _check_times(payload, _time(payload, "iat"), expires, MAX_REQUEST_S, now)
    id = _text(payload, "jti") if "jti" in payload else None
    if id is not None and not valid_name(id):
        raise _wrong("jti")
    return SignedRequest(key, id, expires)


def _check_times(payload: Mapping[str, object], issued: float, expires: float, longest_s: float, now: float) -> None:
    starts = max(issued, _time(payload, "nbf") if "nbf" in payload else issued)
    if now < starts - CLOCK_SKEW_S:
        raise TokenError(Reason.NOT_YET_VALID, "The token is not valid yet.")
    if now >= expires:
        raise TokenError(Reason.EXPIRED, "The token has expired.")
    if expires - issued > longest_s + ROUNDING_S:
        raise TokenError(Reason.TOO_LONG, f"The token is for longer than {longest_s:.0f} seconds.")


def _signed(keys: ApiKeys, token: str) -> tuple[ApiKey, Mapping[str, object], Mapping[str, object]]:
    """The key, the header and the signed claims. What PyJWT and its JSON parser raise on bad input is more than their
    documentation says. An unknown key is refused after the same work as a wrong signature, and in the same words."""
    try:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
    except Exception as error:
        raise TokenError(Reason.MALFORMED, "The token is not a JWT.") from error
    if not isinstance(kid, str):
        raise TokenError(Reason.MALFORMED, "The token's header does not name its key.")
    key = keys.get(kid)
    try:
        payload = jwt.decode(
            token,
            (key or NOBODY).secret,
            algorithms=["HS256"],
            # Times are checked by the caller, at its `now`; who is meant by `sub`, by whoever asked.
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
        )
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
        reason = Reason.UNKNOWN_KEY if key is None else Reason.BAD_SIGNATURE
        raise TokenError(reason, "The token is not signed by a key that is known here.") from error
    except Exception as error:
        raise TokenError(Reason.MALFORMED, "The token's claims cannot be read.") from error
    if key is None:
        raise TokenError(Reason.UNKNOWN_KEY, "The token is not signed by a key that is known here.")
    return key, header, payload


def _claims(key: ApiKey, payload: Mapping[str, object]) -> Claims:
    try:
        return Claims(
            room=_text(payload, "room"),
            user=_text(payload, "sub"),
            may_publish=_flag(payload, "may_publish"),
            may_listen=_flag(payload, "may_listen"),
            expires=_time(payload, "exp"),
            issued=_time(payload, "iat"),
            id=_text(payload, "jti"),
            mode=_mode(payload),
            once="once" in payload and _flag(payload, "once"),
            key_id=key.id,
        )
    except TokenError:
        raise
    except ValueError as error:
        raise TokenError(Reason.MALFORMED, str(error)) from error


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str):
        raise _wrong(name)
    return value


def _flag(payload: Mapping[str, object], name: str) -> bool:
    value = payload.get(name)
    if not isinstance(value, bool):
        raise _wrong(name)
    return value


def _mode(payload: Mapping[str, object]) -> Mode | None:
    if "mode" not in payload:
        return None
    value = payload["mode"]
    if value not in get_args(Mode):
        raise _wrong("mode")
    return cast(Mode, value)


def _time(payload: Mapping[str, object], name: str) -> float:
    """A NumericDate (RFC 7519 section 2). JSON's numbers have no bounds, Python's parser knows Infinity and NaN."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_TIME_S:
        raise _wrong(name)
    return float(value)


def _wrong(name: str) -> TokenError:
    return TokenError(Reason.MALFORMED, f"The token's claim {name} is missing or of a wrong type.")
