"""API keys and participants' tokens: what is accepted, and everything that is not."""

import base64
import dataclasses
import hashlib
import hmac
import json
import math
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.keys import ApiKey, ApiKeys, Rights, RoomPattern
from mediaserver.names import MAX_NAME_BYTES, valid_name
from mediaserver.signing import MAX_REQUEST_S, sign_request
from mediaserver.tokens import (
    CLOCK_SKEW_S,
    MAX_LIFE_S,
    MAX_TOKEN_BYTES,
    Claims,
    Reason,
    SignedRequest,
    TokenError,
    issue,
    verify,
    verify_any,
)

NOW = 1_750_000_000.25
KEY = ApiKey("studio", "correct-horse-battery-staple-and-then-some")
OTHER = ApiKey("rotated", "another-secret-that-has-its-thirty-two-bytes")
KEYS = ApiKeys([KEY, OTHER])
CLAIMS = Claims("lobby", "ada", True, False, NOW + 60.5, NOW, "t-1")
PAYLOAD: dict[str, Any] = {
    "room": "lobby",
    "sub": "ada",
    "may_publish": True,
    "may_listen": False,
    "exp": NOW + 60.5,
    "iat": NOW,
    "jti": "t-1",
}


def encode(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(payload: object, header: object = None, secret: str = KEY.secret) -> str:
    """A token made by hand, so that anything can be in it."""
    parts = f"{encode({'alg': 'HS256', 'kid': KEY.id} if header is None else header)}.{encode(payload)}"
    return f"{parts}.{encode(hmac.digest(secret.encode(), parts.encode(), hashlib.sha256))}"


def refused(token: object, now: float = NOW, keys: ApiKeys = KEYS) -> Reason:
    with pytest.raises(TokenError) as caught:
        verify(keys, token, now)
    assert str(caught.value).endswith(".")
    return caught.value.reason


# Tokens


def test_an_issued_token_says_what_it_was_issued_for() -> None:
    assert verify(KEYS, issue(KEY, CLAIMS), NOW) == CLAIMS
    assert verify(KEYS, issue(OTHER, CLAIMS), NOW) == CLAIMS


def test_a_token_signed_by_somebody_else_is_accepted() -> None:
    assert verify(KEYS, sign(PAYLOAD), NOW) == CLAIMS
    assert verify(KEYS, sign({**PAYLOAD, "iss": "room service", "seat": 3}), NOW) == CLAIMS


def test_the_header_names_the_key_and_the_algorithm() -> None:
    assert jwt.get_unverified_header(issue(KEY, CLAIMS)) == {"alg": "HS256", "kid": "studio", "typ": "JWT"}


names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1).filter(
    lambda name: len(name.encode()) <= MAX_NAME_BYTES
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.builds(
        Claims, names, names, st.booleans(), st.booleans(), st.floats(2e9, 2.0003e9), st.floats(1.9997e9, 2e9), names
    )
)
def test_every_valid_claim_survives_the_way_through_a_token(claims: Claims) -> None:
    token = issue(KEY, claims)
    assert len(token) <= MAX_TOKEN_BYTES
    assert verify(KEYS, token, math.nextafter(2e9, 0)) == claims


@pytest.mark.parametrize("name", ["\U0001f399" * 64, '"' * 256, "\\" * 256, "é" * 128, "\x7e" * 256])
def test_a_token_of_the_longest_names_is_not_too_long(name: str) -> None:
    key = ApiKey("k" * 256, KEY.secret)
    claims = dataclasses.replace(CLAIMS, room=name, user=name, id=name)
    assert verify(ApiKeys([key]), issue(key, claims), NOW) == claims


def test_a_token_expires_at_its_second_and_not_before() -> None:
    token = issue(KEY, CLAIMS)
    assert verify(KEYS, token, CLAIMS.expires - 0.001) == CLAIMS
    assert refused(token, CLAIMS.expires) is Reason.EXPIRED
    assert refused(token, CLAIMS.expires + 1e6) is Reason.EXPIRED


def test_a_future_nbf_is_honoured_with_some_clock_skew() -> None:
    token = sign({**PAYLOAD, "nbf": NOW + 30})
    assert refused(token, NOW) is Reason.NOT_YET_VALID
    assert verify(KEYS, token, NOW + 30 - CLOCK_SKEW_S) == CLAIMS
    assert verify(KEYS, sign({**PAYLOAD, "nbf": NOW - 5}), NOW) == CLAIMS


def test_a_token_issued_in_the_future_is_not_yet_valid() -> None:
    # It would survive a kick, which revokes what was issued before.
    assert refused(issue(KEY, CLAIMS), NOW - CLOCK_SKEW_S - 0.001) is Reason.NOT_YET_VALID
    assert verify(KEYS, issue(KEY, CLAIMS), NOW - CLOCK_SKEW_S) == CLAIMS


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_missing(token: object) -> None:
    assert refused(token) is Reason.MISSING


@pytest.mark.parametrize(
    "token",
    [
        42,
        b"a.b.c",
        ["a"],
        "abc",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        " " + issue(KEY, CLAIMS),
        issue(KEY, CLAIMS) + "\n",
        issue(KEY, CLAIMS).replace(".", "\u2024", 1),
        "\ud800.a.b",
        encode({"kid": "studio"}) + ".%%%.",
        sign(PAYLOAD, {"alg": "HS256"}),
        sign(PAYLOAD, {"alg": "HS256", "kid": 7}),
        sign(PAYLOAD, {"alg": "HS256", "kid": None}),
        sign(PAYLOAD, ["alg", "HS256"]),
        sign(PAYLOAD, b"[" * 2500),
        sign(b"[" * 2500),
        sign(b"not json"),
        sign(b"\xff\xfe"),
        sign([1, 2]),
        sign("text"),
        sign(PAYLOAD, {"alg": "HS256", "kid": KEY.id, "crit": ["exp"]}),
        sign(PAYLOAD, {"alg": "HS256", "kid": KEY.id, "b64": False, "crit": ["b64"]}),
    ],
    ids=lambda token: repr(token)[:40],
)
def test_what_is_not_a_jwt_is_malformed(token: object) -> None:
    assert refused(token) is Reason.MALFORMED


def test_a_huge_token_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("The token was read.")

    fitting = sign({**PAYLOAD, "x": "y" * 2500})
    assert len(fitting) <= MAX_TOKEN_BYTES
    assert verify(KEYS, fitting, NOW) == CLAIMS
    monkeypatch.setattr(jwt, "get_unverified_header", unexpected)
    assert refused(sign({**PAYLOAD, "x": "y" * 3000})) is Reason.MALFORMED
    assert refused("a" * 10_000_000) is Reason.MALFORMED


def test_a_key_that_is_not_known_is_not_trusted() -> None:
    assert refused(sign(PAYLOAD, {"alg": "HS256", "kid": "stranger"})) is Reason.UNKNOWN_KEY
    assert refused(issue(KEY, CLAIMS), keys=ApiKeys([OTHER])) is Reason.UNKNOWN_KEY
    assert refused(issue(KEY, CLAIMS), keys=ApiKeys([])) is Reason.UNKNOWN_KEY


def test_a_token_signed_with_another_keys_secret_is_refused() -> None:
    assert refused(sign(PAYLOAD, {"alg": "HS256", "kid": OTHER.id})) is Reason.BAD_SIGNATURE
    assert refused(sign(PAYLOAD, secret=OTHER.secret)) is Reason.BAD_SIGNATURE


ALGORITHMS = ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "", None, 1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_hs256_is_accepted(algorithm: object) -> None:
    header = {"alg": algorithm, "kid": KEY.id}
    assert refused(sign(PAYLOAD, header)) in (Reason.BAD_SIGNATURE, Reason.MALFORMED)
    assert refused(f"{encode(header)}.{encode(PAYLOAD)}.") in (Reason.BAD_SIGNATURE, Reason.MALFORMED)


def test_an_unsigned_token_is_refused() -> None:
    token = jwt.encode(PAYLOAD, "", algorithm="none", headers={"kid": KEY.id})
    assert refused(token) is Reason.BAD_SIGNATURE
    assert refused(issue(KEY, CLAIMS).rsplit(".", 1)[0] + ".") is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_with_the_right_secret_is_refused(algorithm: str) -> None:
    secret = KEY.secret + "-long-enough-for-every-hash"
    keys = ApiKeys([ApiKey(KEY.id, secret)])
    assert verify(keys, jwt.encode(PAYLOAD, secret, algorithm="HS256", headers={"kid": KEY.id}), NOW) == CLAIMS
    token = jwt.encode(PAYLOAD, secret, algorithm=algorithm, headers={"kid": KEY.id})
    assert refused(token, keys=keys) is Reason.BAD_SIGNATURE


def test_a_token_signed_with_a_private_key_is_refused() -> None:
    private = rsa.generate_private_key(65537, 2048)
    token = jwt.encode(PAYLOAD, private, algorithm="RS256", headers={"kid": KEY.id})
    assert refused(token) is Reason.BAD_SIGNATURE


def test_a_tampered_part_is_refused() -> None:
    header, payload, signature = issue(KEY, CLAIMS).split(".")
    promoted = encode({**PAYLOAD, "may_listen": True})
    assert refused(f"{header}.{promoted}.{signature}") is Reason.BAD_SIGNATURE
    other_header = encode({"alg": "HS256", "kid": KEY.id, "typ": "jwt"})
    assert refused(f"{other_header}.{payload}.{signature}") is Reason.BAD_SIGNATURE
    first = "A" if signature[0] != "A" else "B"
    assert refused(f"{header}.{payload}.{first}{signature[1:]}") is Reason.BAD_SIGNATURE


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_no_change_of_a_single_character_is_accepted(data: st.DataObject) -> None:
    token = issue(KEY, CLAIMS)
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda character: character != token[place]))
    refused(token[:place] + other + token[place + 1 :])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.text("eyJ.abc_-AB=", min_size=5)))
def test_random_text_is_refused(token: str) -> None:
    refused(token)


@pytest.mark.parametrize("name", PAYLOAD)
def test_every_claim_is_required(name: str) -> None:
    assert refused(sign({key: value for key, value in PAYLOAD.items() if key != name})) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("may_publish", "yes"),
        ("may_publish", 1),
        ("may_publish", None),
        ("may_listen", "false"),
        ("may_listen", 0),
        ("may_listen", []),
        ("room", 7),
        ("room", ["lobby"]),
        ("room", ""),
        ("room", "a\nb"),
        ("room", "a" * 257),
        ("sub", None),
        ("sub", 7),
        ("sub", "\0"),
        ("sub", "\ud800"),
        ("jti", 7),
        ("jti", ""),
        ("exp", "soon"),
        ("exp", str(NOW + 60)),
        ("exp", True),
        ("exp", None),
        ("exp", math.inf),
        ("exp", math.nan),
        ("exp", 10**400),
        ("exp", (NOW + 60) * 1000),
        ("exp", -(10**400)),
        ("iat", "now"),
        ("iat", -math.inf),
        ("iat", False),
        ("nbf", "later"),
        ("nbf", True),
        ("nbf", math.nan),
        ("nbf", None),
        ("aud", "another service"),
        ("aud", ["another service"]),
        ("mode", ""),
        ("mode", "all"),
        ("mode", None),
        ("mode", ["mix"]),
        ("once", 1),
        ("once", "true"),
        ("once", None),
    ],
)
def test_a_claim_of_a_wrong_type_or_value_is_refused(name: str, value: object) -> None:
    assert refused(sign({**PAYLOAD, name: value})) is Reason.MALFORMED


def test_refusals_do_not_repeat_the_token_or_the_secret() -> None:
    token = sign({**PAYLOAD, "may_publish": "yes"})
    with pytest.raises(TokenError) as caught:
        verify(KEYS, token, NOW)
    assert token not in str(caught.value)
    assert KEY.secret not in str(caught.value)


IMPOSSIBLE: list[dict[str, Any]] = [
    {"room": ""},
    {"user": "a\x00"},
    {"id": "x" * 257},
    {"expires": math.inf},
    {"issued": math.nan},
    {"expires": 1e12},
]


@pytest.mark.parametrize("change", IMPOSSIBLE)
def test_claims_that_no_token_could_carry_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        dataclasses.replace(CLAIMS, **change)


def test_mode_and_once_are_optional() -> None:
    for claims in (dataclasses.replace(CLAIMS, mode="mix"), dataclasses.replace(CLAIMS, mode="select", once=True)):
        assert verify(KEYS, issue(KEY, claims), NOW) == claims
        assert verify(KEYS, issue(KEY, claims), NOW).key_id == KEY.id
    assert verify(KEYS, sign({**PAYLOAD, "once": False}), NOW) == CLAIMS


def test_a_token_lives_at_most_a_week() -> None:
    longest = dataclasses.replace(CLAIMS, expires=NOW + MAX_LIFE_S)
    assert verify(KEYS, issue(KEY, longest), NOW) == longest
    assert refused(issue(KEY, dataclasses.replace(CLAIMS, expires=NOW + MAX_LIFE_S + 1))) is Reason.TOO_LONG
    # Also when most of it is over.
    assert refused(issue(KEY, dataclasses.replace(CLAIMS, issued=NOW - MAX_LIFE_S))) is Reason.TOO_LONG


@pytest.mark.parametrize(
    ("rights", "pattern", "allowed"),
    [
        (Rights.READ, "*", False),
        (Rights.CONTROL, "*", True),
        (Rights.ADMIN, "lob*", True),
        (Rights.ADMIN, "hall*", False),
    ],
)
def test_a_key_signs_for_rooms_that_it_controls(rights: Rights, pattern: str, allowed: bool) -> None:
    key = ApiKey(KEY.id, KEY.secret, rights, (RoomPattern.parse(pattern),))
    if allowed:
        assert verify(ApiKeys([key]), issue(key, CLAIMS), NOW) == CLAIMS
    else:
        assert refused(issue(key, CLAIMS), keys=ApiKeys([key])) is Reason.NOT_ENTITLED


# Signed requests

REQUEST_HEADER = {"alg": "HS256", "kid": KEY.id, "typ": "control+jwt"}


def test_a_client_signs_requests_that_are_told_apart_and_expire() -> None:
    found = verify_any(KEYS, sign_request(KEY.id, KEY.secret, NOW), NOW)
    assert isinstance(found, SignedRequest)
    assert (found.key, found.expires) == (KEY, NOW + 30)
    other = verify_any(KEYS, sign_request(KEY.id, KEY.secret, NOW), NOW)
    assert isinstance(other, SignedRequest)
    assert other.id != found.id is not None
    assert verify_any(KEYS, sign_request(KEY.id, KEY.secret, NOW, 300, once=False), NOW) == SignedRequest(
        KEY, None, NOW + 300
    )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iat": NOW}, Reason.MALFORMED),
        ({"exp": NOW + 9}, Reason.MALFORMED),
        ({"iat": NOW, "exp": "soon"}, Reason.MALFORMED),
        ({"iat": NOW, "exp": math.inf}, Reason.MALFORMED),
        ({"iat": NOW, "exp": NOW + 9, "jti": 7}, Reason.MALFORMED),
        ({"iat": NOW, "exp": NOW + 9, "jti": None}, Reason.MALFORMED),
        ({"iat": NOW, "exp": NOW + 9, "nbf": "later"}, Reason.MALFORMED),
        ({"iat": NOW, "exp": NOW + 9, "aud": "another"}, Reason.MALFORMED),
        ({"iat": NOW, "exp": NOW + 9, "nbf": NOW + CLOCK_SKEW_S + 0.1}, Reason.NOT_YET_VALID),
        ({"iat": NOW + CLOCK_SKEW_S + 0.1, "exp": NOW + 60}, Reason.NOT_YET_VALID),
        ({"iat": NOW - 9, "exp": NOW}, Reason.EXPIRED),
        ({"iat": NOW, "exp": NOW + MAX_REQUEST_S + 1}, Reason.TOO_LONG),
    ],
)
def test_a_request_that_is_not_right_is_refused(claims: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(TokenError) as caught:
        verify_any(KEYS, sign(claims, REQUEST_HEADER), NOW)
    assert caught.value.reason is reason


def test_a_signed_request_is_no_participants_token() -> None:
    assert refused(sign(PAYLOAD, REQUEST_HEADER)) is Reason.MALFORMED
    assert refused(sign(PAYLOAD, {**REQUEST_HEADER, "typ": "CONTROL+JWT"})) is Reason.MALFORMED
    assert verify(KEYS, sign(PAYLOAD, {**REQUEST_HEADER, "typ": 7}), NOW) == CLAIMS


def test_an_unknown_key_costs_a_signature_check_and_is_told_as_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    decode = jwt.decode

    def spy(token: str, secret: str, **options: Any) -> Any:
        checked.append(secret)
        return decode(token, secret, **options)

    monkeypatch.setattr(jwt, "decode", spy)
    said = set()
    for kid in (KEY.id, "stranger"):
        with pytest.raises(TokenError) as caught:
            verify(KEYS, sign(PAYLOAD, {"alg": "HS256", "kid": kid}, "x" * 32), NOW)
        said.add(str(caught.value))
    assert len(checked) == 2
    assert len(said) == 1


# Names


NAMES = ["a", "Zimmer 1", "ä/b?c#d", "%2e", "\U0001f399", "a" * 256, "é" * 128, "\u200d", "...", " "]
CONTROLS = ["a\tb", "a\r\nb", "\0", "\x1f", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "\udfff"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_opaque_text(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", "a" * 257, "é" * 129, *CONTROLS])
def test_empty_long_and_control_characters_are_no_names(name: str) -> None:
    assert not valid_name(name)


# API keys


def test_only_the_right_secret_of_the_right_key_is_accepted() -> None:
    assert KEYS.check(KEY.id, KEY.secret)
    assert KEYS.check(OTHER.id, OTHER.secret)
    assert not KEYS.check(KEY.id, OTHER.secret)
    assert not KEYS.check(KEY.id, KEY.secret[:-1])
    assert not KEYS.check(KEY.id, KEY.secret + "x")
    assert not KEYS.check(KEY.id, "")
    assert not KEYS.check("stranger", KEY.secret)
    assert not KEYS.check("", "")
    assert not KEYS.check(KEY.id, "\ud800")
    assert not ApiKeys([]).check(KEY.id, KEY.secret)


def test_a_secret_need_not_be_ascii() -> None:
    key = ApiKey("k", "ü" * 16)
    keys = ApiKeys([key])
    assert keys.check("k", "ü" * 16)
    assert not keys.check("k", "u" * 32)
    assert verify(keys, issue(key, CLAIMS), NOW) == CLAIMS


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spy(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return compare(a, b)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    for name in (KEY.id, "stranger"):
        KEYS.check(name, "wrong")
        KEYS.check(name, KEY.secret * 9)
    assert len(compared) == 4
    assert {len(part) for parts in compared for part in parts} == {32}


def test_secrets_are_never_in_a_repr() -> None:
    for value in (KEY, KEYS, [KEY], {"key": KEY}):
        assert KEY.secret not in repr(value)
        assert KEY.secret not in str(value)
    assert KEY.id in repr(KEYS)


@pytest.mark.parametrize("secret", ["", "hunter2", "x" * 31, "ü" * 15])
def test_a_secret_of_less_than_32_bytes_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(ValueError, match="shorter than 32 bytes") as caught:
        ApiKey("studio", secret)
    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("secret", ["x" * 32 + "\n", "x" * 32 + "\0", "x" * 32 + "\ud800"])
def test_a_secret_with_control_characters_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        ApiKey("studio", secret)


@pytest.mark.parametrize("id_", ["", "a:b", "a b", "ä", "a\n", "a" * 257])
def test_a_key_id_that_http_basic_cannot_carry_is_refused(id_: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        ApiKey(id_, KEY.secret)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="Two API keys"):
        ApiKeys([KEY, ApiKey(KEY.id, OTHER.secret)])


def test_a_key_is_found_by_its_id() -> None:
    assert KEYS.get("studio") is KEY
    assert KEYS.get("stranger") is None
