"""API keys, and the bearer tokens with which participants join: JWTs (RFC 7519) signed by a key with HS256.

A token's header names its key (`kid`). Its claims, all required:

    room, sub     the room and the user, see valid_name()
    may_publish   whether the user may speak there, true or false
    may_listen    whether the user may listen there, true or false
    exp, iat      until when and since when, Unix time in seconds, fractions allowed
    jti           the token's own name, for logs

`nbf` is honoured when present; `aud` is refused (RFC 7519 section 4.1.3: we have no name to find in it); other claims
are ignored. Whoever has a key may sign tokens himself. `iat` is required because a kick revokes what was issued before.
The time is an argument.
"""

import hmac
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import jwt

MAX_TOKEN_BYTES = 4096
"""Refused unread above this. The longest names, escaped at worst, fit; higher costs parsing time of the event loop."""

MAX_NAME_BYTES = 256
"""Of a room's or user's name in UTF-8."""

MIN_SECRET_BYTES = 32
"""HS256 wants as many as its hash has (RFC 7518 section 3.2); shorter secrets can be guessed from a token."""

CLOCK_SKEW_S = 10.0
"""How far the clock of who signs may be ahead of ours. Lower refuses fresh tokens of machines with sloppy clocks;
higher lets a token survive a kick by as much."""

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


class TokenError(ValueError):
    """The token does not prove what it claims; the message is a sentence that repeats nothing of it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API user's name and secret. id: printable ASCII without colon, as HTTP Basic needs it (RFC 7617 section 2);
    secret: at least 32 bytes in UTF-8, no control characters. ValueError when they are not."""

    id: str
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= MAX_NAME_BYTES or not all("!" <= c <= "~" and c != ":" for c in self.id):
            raise ValueError("An API key's id must be printable ASCII without space and colon.")
        if _has_controls(self.secret):
            raise ValueError(f"The secret of API key {self.id!r} has control characters.")
        if len(self.secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"The secret of API key {self.id!r} is shorter than {MIN_SECRET_BYTES} bytes.")


class ApiKeys:
    """The keys that are accepted; several, so that they can be rotated. ValueError when two have the same id."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys: dict[str, ApiKey] = {}
        for key in keys:
            if key.id in self._keys:
                raise ValueError(f"Two API keys have the id {key.id!r}.")
            self._keys[key.id] = key

    def get(self, id: str) -> ApiKey | None:
        return self._keys.get(id)

    def check(self, id: str, secret: str) -> bool:
        """Whether it is the secret of that key. The time it takes does not depend on how much of it is right."""
        key = self._keys.get(id)
        expected = secret if key is None else key.secret
        return hmac.compare_digest(_bytes(expected), _bytes(secret)) and key is not None

    def __repr__(self) -> str:
        return f"ApiKeys({list(self._keys)})"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. expires, issued: Unix time in seconds. ValueError when a name is not valid_name() or a time is
    out of all reason."""

    room: str
    user: str
    may_publish: bool
    may_listen: bool
    expires: float
    issued: float
    id: str

    def __post_init__(self) -> None:
        for name in (self.room, self.user, self.id):
            if not valid_name(name):
                raise ValueError(f"A name must be 1 to {MAX_NAME_BYTES} bytes of UTF-8 without control characters.")
        if not all(abs(time) < MAX_TIME_S for time in (self.expires, self.issued)):
            raise ValueError("A time must be Unix time in seconds.")


def valid_name(name: str) -> bool:
    """Whether it can name a room or a user: opaque UTF-8 of 1 to 256 bytes without control characters and line ends."""
    return not _has_controls(name) and 1 <= len(name.encode()) <= MAX_NAME_BYTES


def issue(key: ApiKey, claims: Claims) -> str:
    """A token for these claims, at most MAX_TOKEN_BYTES long."""
    payload = {
        "room": claims.room,
        "sub": claims.user,
        "may_publish": claims.may_publish,
        "may_listen": claims.may_listen,
        "exp": claims.expires,
        "iat": claims.issued,
        "jti": claims.id,
    }
    return jwt.encode(payload, key.secret, algorithm="HS256", headers={"kid": key.id})


def verify(keys: ApiKeys, token: object, now: float) -> Claims:
    """The claims of a token that one of the keys has signed and that is valid at `now`, Unix time in seconds.

    token: the text behind "Bearer "; None or empty when there was none. TokenError with its reason otherwise.
    """
    if token is None or token == "":
        raise TokenError(Reason.MISSING, "There is no token.")
    if not isinstance(token, str) or not token.isascii():
        raise TokenError(Reason.MALFORMED, "The token is not a JWT.")
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(Reason.MALFORMED, f"A token of more than {MAX_TOKEN_BYTES // 1024} KiB is not read.")
    payload = _payload(keys, token)
    claims = _claims(payload)
    starts = max(claims.issued, _time(payload, "nbf") if "nbf" in payload else claims.issued)
    if now < starts - CLOCK_SKEW_S:
        raise TokenError(Reason.NOT_YET_VALID, "The token is not valid yet.")
    if now >= claims.expires:
        raise TokenError(Reason.EXPIRED, "The token has expired.")
    return claims


def _payload(keys: ApiKeys, token: str) -> Mapping[str, object]:
    """The signed claims. What PyJWT and its JSON parser raise on bad input is more than their documentation says."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except Exception as error:
        raise TokenError(Reason.MALFORMED, "The token is not a JWT.") from error
    if not isinstance(kid, str):
        raise TokenError(Reason.MALFORMED, "The token's header does not name its key.")
    key = keys.get(kid)
    if key is None:
        raise TokenError(Reason.UNKNOWN_KEY, "The token's key is not known here.")
    try:
        return jwt.decode(
            token,
            key.secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},  # by the caller, at its `now`
        )
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as error:
        raise TokenError(Reason.BAD_SIGNATURE, "The token's signature is wrong.") from error
    except Exception as error:
        raise TokenError(Reason.MALFORMED, "The token's claims cannot be read.") from error


def _claims(payload: Mapping[str, object]) -> Claims:
    try:
        return Claims(
            room=_text(payload, "room"),
            user=_text(payload, "sub"),
            may_publish=_flag(payload, "may_publish"),
            may_listen=_flag(payload, "may_listen"),
            expires=_time(payload, "exp"),
            issued=_time(payload, "iat"),
            id=_text(payload, "jti"),
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


def _time(payload: Mapping[str, object], name: str) -> float:
    """A NumericDate (RFC 7519 section 2). JSON's numbers have no bounds, Python's parser knows Infinity and NaN."""
    value = payload.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_TIME_S:
        raise _wrong(name)
    return float(value)


def _wrong(name: str) -> TokenError:
    return TokenError(Reason.MALFORMED, f"The token's claim {name} is missing or of a wrong type.")


def _has_controls(text: str) -> bool:
    """C0, C1 and DEL, half surrogates (which UTF-8 cannot carry), and Unicode's line and paragraph separators."""
    return any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
