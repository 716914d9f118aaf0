"""Signatures of webhooks: what a receiver may believe."""

import base64
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.webhook_signature import ID, SIGNATURE, TIMESTAMP, key_of, sign, verify

SECRET = "a secret of thirty-two bytes, yes"
NOW = 1_700_000_000


def test_what_was_signed_is_believed_and_its_id_told() -> None:
    headers = sign(SECRET, "msg-1", NOW, b"[]")
    assert verify(SECRET, headers, b"[]", NOW + 200) == "msg-1"
    assert verify(SECRET, {name.title(): value for name, value in headers.items()}, b"[]", NOW) == "msg-1"


def test_it_is_the_signature_of_standard_webhooks() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, of its libraries' tests."""
    body = b'{"test": 2432232314}'
    headers = sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers[SIGNATURE] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_one_good_signature_of_several_is_enough() -> None:
    headers = sign(SECRET, "msg-1", NOW, b"[]")
    headers[SIGNATURE] = f"v1,AAAA v2,{headers[SIGNATURE][3:]} {headers[SIGNATURE]}"
    assert verify(SECRET, headers, b"[]", NOW) == "msg-1"


@settings(deadline=None)
@given(st.sampled_from(["body", "id", "time", "signature", "secret"]), st.data())
def test_nothing_that_was_changed_is_believed(part: str, data: st.DataObject) -> None:
    headers, body, secret = sign(SECRET, "msg-1", NOW, b"[1]"), b"[1]", SECRET
    if part == "body":
        body = data.draw(st.binary().filter(lambda other: other != b"[1]"))
    elif part == "secret":
        secret = data.draw(st.text("ab", min_size=24))
    else:
        name = {"id": ID, "time": TIMESTAMP, "signature": SIGNATURE}[part]
        original = headers[name]
        headers[name] = data.draw(st.text().filter(lambda text: original not in text.split(" ")))
    with pytest.raises(ValueError, match=r"\.$"):
        verify(secret, headers, body, NOW)


@pytest.mark.parametrize("now", [NOW - 301, NOW + 301])
def test_what_was_signed_long_ago_or_in_the_future_is_refused(now: float) -> None:
    with pytest.raises(ValueError, match="too long ago, or in the future"):
        verify(SECRET, sign(SECRET, "msg-1", NOW, b""), b"", now)


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
def test_a_header_that_is_missing_is_named(name: str) -> None:
    headers = sign(SECRET, "msg-1", NOW, b"")
    del headers[name]
    with pytest.raises(ValueError, match=f"The header {name} is missing"):
        verify(SECRET, headers, b"", NOW)


def test_secrets_are_bytes_of_text_or_of_base64() -> None:
    assert key_of("x" * 24) == b"x" * 24
    assert key_of("whsec_" + base64.b64encode(bytes(range(24))).decode()) == bytes(range(24))


@pytest.mark.parametrize("secret", ["x" * 23, "whsec_AAAA", "whsec_!!!!" + "A" * 40, ""])
def test_a_weak_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as caught:
        key_of(secret)
    assert not secret or not re.search(re.escape(secret), str(caught.value))
