"""Pushes, against a push service and a hook that run here: what they get is genuine, readable by whom it is for alone,
and comes again when it could not be taken."""

import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from py_vapid import Vapid02

from mediaserver.client import verify_webhook
from roomservice.interface import Push, PushError
from roomservice.model import person
from roomservice.model.effects import Tell
from roomservice.model.person import Person, PushSubscription, SetAttributes, Subscribe, Unsubscribe
from roomservice.push.both import PushByAll
from roomservice.push.hook import HookPush
from roomservice.push.opening import open_pushes
from roomservice.push.payload import encoded
from roomservice.push.webpush import KNOWN_SERVICES, WebPush, is_of_service, valid_keys, vapid_key
from roomservice.settings import ServiceSettings
from roomservice.talk.people import KeptSubscriptions
from roomservice.talk.talk import BrowserPush
from tests.push_receiver import Browser, Receiver, receiver
from tests.talking import Town
from tests.test_music_gate import certificate_of

NOW = 1_800_000_000.0
SECRET = "the app and the service know it"
CALL = {"call": "c", "by": "ann", "data": "", "until": NOW + 60}


class Registered:
    """Subscriptions, as an app would keep them."""

    def __init__(self, *browsers: Browser) -> None:
        self.known = {
            browser.endpoint: PushSubscription(browser.endpoint, **browser.keys, device="bob-1") for browser in browsers
        }

    async def of(self, user: str) -> Sequence[PushSubscription]:
        return list(self.known.values()) if user == "bob" else []

    async def forget(self, user: str, endpoint: str) -> None:
        del self.known[endpoint]


class Service:
    """A push service, and what pushes to it."""

    def __init__(self, known: Receiver, http: httpx.AsyncClient) -> None:
        self.known = known
        self.http = http
        self.browser = Browser(f"{known.url}/push/1")
        self.registered = Registered(self.browser)
        self.key = Vapid02()
        self.key.generate_keys()
        services = (known.url.removeprefix("https://"),)
        self.push = WebPush(http, self.registered, self.key, "mailto:ops@example.org", lambda: NOW, services=services)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    context, trusting = certificate_of("localhost", tmp_path)
    with receiver(context) as known:
        known.url = known.url.replace("127.0.0.1", "localhost")
        async with httpx.AsyncClient(verify=trusting) as http:
            yield Service(known, http)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as known:
        yield known


async def test_a_browser_reads_what_was_pushed_and_its_service_knows_who_pushed(service: Service) -> None:
    await service.push.push("bob", "call_incoming", CALL, "call:c:bob")
    (received,) = service.known.received
    assert json.loads(service.browser.read(received.body)) == {"user": "bob", "event": "call_incoming", "data": CALL}
    assert b"ann" not in received.body
    assert received.headers["ttl"] == "60"
    assert received.headers["urgency"] == "high"
    assert received.headers["content-encoding"] == "aes128gcm"
    assert len(received.headers["topic"]) == 32
    scheme, _, rest = received.headers["authorization"].partition(" ")
    token, key = [part.strip().split("=", 1)[1] for part in rest.split(",")]
    assert (scheme, key) == ("vapid", service.push.public_key)
    claims = jwt.decode(token, service.key.public_key, ["ES256"], audience=service.known.url)
    assert claims["sub"] == "mailto:ops@example.org"


async def test_the_same_push_has_the_same_topic(service: Service) -> None:
    for key in ("a", "a", "b"):
        await service.push.push("bob", "message", {"by": "ann", "text": "hello"}, key)
    first, again, other = [received.headers["topic"] for received in service.known.received]
    assert first == again != other


async def test_of_a_call_the_newest_push_replaces_what_waits(service: Service) -> None:
    await service.push.push("bob", "call_incoming", CALL, "a")
    await service.push.push("bob", "call_stopped", {"call": "c", "by": "ann", "reason": "cancelled"}, "b")
    await service.push.push("bob", "call_incoming", {**CALL, "call": "d"}, "c")
    rings, stopped, another = [received.headers["topic"] for received in service.known.received]
    assert rings == stopped != another


async def test_a_subscription_that_is_gone_is_forgotten(service: Service) -> None:
    service.known.answers = [410]
    await service.push.push("bob", "call_incoming", CALL, "k")
    assert service.registered.known == {}
    await service.push.push("bob", "call_incoming", CALL, "k")
    assert len(service.known.received) == 1


async def test_a_push_service_that_fails_is_tried_again(service: Service) -> None:
    for status in (429, 500, 503):
        service.known.answers = [status]
        with pytest.raises(PushError, match="localhost"):
            await service.push.push("bob", "call_incoming", CALL, "k")
    service.known.answers = [403]
    await service.push.push("bob", "call_incoming", CALL, "k")
    assert service.registered.known


async def test_no_redirect_is_followed(service: Service) -> None:
    service.known.answers = [307]
    await service.push.push("bob", "call_incoming", CALL, "k")
    assert len(service.known.received) == 1


async def test_what_is_over_is_not_pushed(service: Service, hook: Receiver) -> None:
    over = {**CALL, "until": NOW}
    await service.push.push("bob", "call_incoming", over, "k")
    async with httpx.AsyncClient() as http:
        await HookPush(http, hook.url, SECRET, lambda: NOW).push("bob", "call_incoming", over, "k")
    assert service.known.received == hook.received == []


async def test_a_long_text_is_left_out_and_named(service: Service) -> None:
    await service.push.push("bob", "call_incoming", {**CALL, "data": "é" * 2048}, "k")
    (received,) = service.known.received
    assert len(received.body) <= 4096
    said = json.loads(service.browser.read(received.body))
    assert said["shortened"] == ["data"]
    assert said["data"] == {"call": "c", "by": "ann", "until": NOW + 60}


async def test_an_endpoint_that_is_none_of_a_push_service_gets_nothing(service: Service, hook: Receiver) -> None:
    other = Browser(f"{hook.url}/push")
    service.registered.known = Registered(other).known
    await service.push.push("bob", "call_incoming", CALL, "k")
    assert hook.received == []
    assert service.registered.known == {}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://fcm.googleapis.com/fcm/send/abc", True),
        ("https://fcm.googleapis.com:443/fcm/send/abc", True),
        ("https://updates.push.services.mozilla.com/wpush/v2/abc", True),
        ("https://web.push.apple.com/abc", True),
        ("http://fcm.googleapis.com/fcm/send/abc", False),
        ("https://fcm.googleapis.com:8443/", False),
        ("https://fcm.googleapis.com@127.0.0.1/", False),
        ("https://user@fcm.googleapis.com/", False),
        ("https://fcm.googleapis.com.example.org/", False),
        ("https://evilpush.services.mozilla.com/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1]/", False),
        ("https://fcm.googleapis.com:port/", False),
        ("https://fcm.googleapis.com/\r\nHost: x", False),
        ("https://[fcm.googleapis.com/", False),
        ("", False),
    ],
)
def test_push_services_are_known_by_name(endpoint: str, expected: bool) -> None:
    assert is_of_service(endpoint, KNOWN_SERVICES) == expected


def test_keys_are_a_point_and_sixteen_bytes() -> None:
    keys = Browser("").keys
    assert valid_keys(**keys)
    assert not valid_keys(keys["p256dh"], keys["auth"][:-2])
    assert not valid_keys(keys["auth"], keys["auth"])
    no_point = base64.urlsafe_b64encode(b"\x04" + b"\x01" * 64).decode()
    assert not valid_keys(no_point, keys["auth"])
    assert not valid_keys("é", keys["auth"])
    assert not valid_keys("A" * 10_000, keys["auth"])


def test_a_vapid_key_is_read_from_a_file_or_given_itself(tmp_path: Path) -> None:
    made = Vapid02()
    made.generate_keys()
    made.save_key(tmp_path / "key.pem")
    numbers = made.private_key.private_numbers().private_value.to_bytes(32, "big")
    given = base64.urlsafe_b64encode(numbers).decode()
    expected = made.public_key.public_numbers()
    for text in (str(tmp_path / "key.pem"), given):
        assert vapid_key(text).public_key.public_numbers() == expected
    for text in ("nonsense", "", str(tmp_path)):
        with pytest.raises(ValueError, match="P-256"):
            vapid_key(text)


# ---- what the service is started with


async def test_the_ways_to_push_are_those_of_the_settings(tmp_path: Path) -> None:
    town, key = Town(), Vapid02()
    key.generate_keys()
    key.save_key(tmp_path / "key.pem")

    def opened(**options: Any) -> BrowserPush | None:
        settings = ServiceSettings("a secret of at least 32 bytes, for tests only", **options)
        return open_pushes(settings, PushByAll(), town.talk.people, http, lambda: NOW)

    subject = "mailto:ops@example.org"
    async with httpx.AsyncClient() as http:
        assert opened() is None
        assert opened(push_hook="https://app.example.org/push", push_hook_secret=SECRET) is None
        browsers = opened(
            vapid_key=str(tmp_path / "key.pem"), vapid_subject=subject, push_services=("push.example.org",)
        )
        assert browsers is not None
        assert browsers.takes("https://push.example.org/1")
        assert browsers.takes("https://fcm.googleapis.com/1")
        for wrong in (
            {"push_hook": "https://app.example.org/push"},
            {"push_hook": "app.example.org", "push_hook_secret": SECRET},
            {"vapid_key": "nonsense", "vapid_subject": subject},
            {"vapid_key": str(tmp_path / "key.pem")},
        ):
            with pytest.raises(ValueError, match=r"\.$"):
                opened(**wrong)


async def test_what_a_user_has_registered_is_kept_and_goes_with_its_push_service(service: Service) -> None:
    town = Town()
    kept = KeptSubscriptions(town.talk.people)
    subscription = PushSubscription(service.browser.endpoint, **service.browser.keys, device="bob-1")
    await town.talk.people.command("bob", Subscribe(subscription))
    services = (service.known.url.removeprefix("https://"),)
    push = WebPush(service.http, kept, service.key, "mailto:ops@example.org", lambda: NOW, services=services)
    await push.push("bob", "call_incoming", CALL, "k")
    assert len(service.known.received) == 1
    service.known.answers = [404]
    await push.push("bob", "call_incoming", CALL, "k")
    assert await kept.of("bob") == []


# ---- the hook


async def test_a_hook_gets_a_signed_request_and_knows_the_same_one_again(hook: Receiver) -> None:
    async with httpx.AsyncClient() as http:
        push = HookPush(http, f"{hook.url}/push", SECRET, lambda: NOW)
        for _ in range(2):
            await push.push("bob", "call_incoming", CALL, "call:c:bob")
    for received in hook.received:
        assert received.path == "/push"
        assert verify_webhook(SECRET, received.headers, received.body, NOW + 1) == "call:c:bob"
        assert json.loads(received.body) == {"user": "bob", "event": "call_incoming", "data": CALL}
        with pytest.raises(ValueError, match="signature"):
            verify_webhook(SECRET + ".", received.headers, received.body, NOW)
    assert len(hook.received) == 2


@pytest.mark.parametrize("mark", ["message:direct:张三 bob:1", "a b\r\nx: y", "half a \ud800", "x" * 256])
async def test_whatever_a_user_is_called_the_hook_is_told(hook: Receiver, mark: str) -> None:
    async with httpx.AsyncClient() as http:
        push = HookPush(http, hook.url, SECRET, lambda: NOW)
        for key in (mark, mark, f"{mark}."):
            await push.push("张三", "message", {"text": "你好"}, key)
    ids = [verify_webhook(SECRET, received.headers, received.body, NOW) for received in hook.received]
    assert ids[0] == ids[1] != ids[2]
    assert all(one.isascii() and one.isprintable() for one in ids)
    assert json.loads(hook.received[0].body)["user"] == "张三"


async def test_a_hook_that_fails_is_asked_again_and_one_that_refuses_is_not(hook: Receiver) -> None:
    async with httpx.AsyncClient() as http:
        push = HookPush(http, hook.url, SECRET, lambda: NOW)
        for status in (408, 429, 500):
            hook.answers = [status]
            with pytest.raises(PushError, match=str(status)):
                await push.push("bob", "call_incoming", CALL, "k")
        hook.answers = [400, 302]
        for _ in range(2):
            await push.push("bob", "call_incoming", CALL, "k")
        assert len(hook.received) == 5
        with pytest.raises(PushError, match="cannot be reached"):
            await HookPush(http, "http://127.0.0.1:1", SECRET, lambda: NOW).push("bob", "x", {}, "k")


@pytest.mark.parametrize(("url", "secret"), [("ftp://x", SECRET), ("https://x", "short")])
async def test_a_hook_has_an_address_and_a_secret(url: str, secret: str) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(ValueError, match=r"\.$"):
            HookPush(http, url, secret, lambda: NOW)


async def test_all_ways_are_tried_though_one_fails(hook: Receiver) -> None:
    async with httpx.AsyncClient() as http:
        ways = [HookPush(http, url, SECRET, lambda: NOW) for url in ("http://127.0.0.1:1", hook.url)]
        with pytest.raises(PushError):
            await PushByAll(ways).push("bob", "call_incoming", CALL, "k")
        await PushByAll(()).push("bob", "call_incoming", CALL, "k")
    assert len(hook.received) == 1


class Broken:
    async def push(self, user: str, event: str, data: Mapping[str, object], key: str) -> None:
        raise ValueError("a bug")


async def test_a_way_that_is_broken_keeps_no_other_from_being_tried(
    hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx.AsyncClient() as http:
        ways: list[Push] = [Broken(), HookPush(http, hook.url, SECRET, lambda: NOW)]
        with pytest.raises(PushError, match="ValueError"):
            await PushByAll(ways).push("bob", "call_incoming", CALL, "k")
    assert len(hook.received) == 1
    assert "a bug" in caplog.text


def test_what_is_too_much_goes_from_the_longest_on() -> None:
    data: dict[str, Any] = {"short": "x", "long": "y" * 500, "longer": "z" * 900}
    assert json.loads(encoded("u", "e", data, 600))["shortened"] == ["longer"]
    assert json.loads(encoded("u", "e", data, 100))["shortened"] == ["longer", "long"]
    assert json.loads(encoded("u", "e", {"half": "\ud800"}))["data"] == {"half": "?"}


# ---- the user's subscriptions


def test_a_user_has_few_subscriptions_and_the_oldest_goes() -> None:
    known = Person("bob")
    for number in range(12):
        subscription = PushSubscription(f"https://fcm.googleapis.com/{number}", "p", "a", f"bob-{number % 2}")
        known, effects = person.apply(known, Subscribe(subscription))
        assert effects == []
    assert list(known.subscriptions) == [f"https://fcm.googleapis.com/{number}" for number in range(2, 12)]
    known, _ = person.apply(known, Unsubscribe("https://fcm.googleapis.com/4"))
    assert len(known.subscriptions) == 9
    known, _ = person.apply(known, Unsubscribe(device="bob-1"))
    assert {one.device for one in known.subscriptions.values()} == {"bob-0"}
    known, _ = person.apply(known, Unsubscribe())
    assert len(known.subscriptions) == 4


def test_a_user_s_attributes_are_told() -> None:
    known, effects = person.apply(Person("bob"), SetAttributes({"mood": "fine"}))
    assert [(effect.event, effect.users) for effect in effects if isinstance(effect, Tell)] == [
        ("user_attributes", None),
        ("user_attributes", ("bob",)),
    ]
    assert person.apply(known, SetAttributes({"mood": "fine"})) == (known, [])
