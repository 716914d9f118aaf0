"""Web Push (RFC 8030) to the browsers that a user has registered: encrypted for each (RFC 8291) by pywebpush, and
signed with the service's own key (VAPID, RFC 8292).

Whom a browser names as its push service gets requests from here. So these are the known push services, and those that
the operator adds: nobody makes this service call an address of his choice.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02, VapidException
from pywebpush import WebPusher

from roomservice.interface import PushError
from roomservice.model.person import PushSubscription
from roomservice.push.payload import encoded, expires_in_s

log = logging.getLogger(__name__)

KNOWN_SERVICES = (
    "fcm.googleapis.com",
    "*.push.services.mozilla.com",
    "*.notify.windows.com",
    "*.push.apple.com",
)
"""Of Chromium and Edge on Android, Firefox, Edge, and Safari."""

MAX_BYTES = 3900
"""Of plain text: push services take 4,096 bytes of what becomes of it (RFC 8291, section 4)."""

TIMEOUT_S = 10.0
KEPT_S = 24 * 3600.0
"""For how long a push service keeps what is of no certain time."""

SIGNED_S = 12 * 3600
"""Of a VAPID signature; RFC 8292 allows 24 h."""

GONE = (404, 410)


class Subscriptions(Protocol):
    async def of(self, user: str) -> Sequence[PushSubscription]: ...

    async def forget(self, user: str, endpoint: str) -> None:
        """Its push service knows it no longer."""
        ...


class WebPush:
    """key: of VAPID. subject: mailto: or https: of whom push services may turn to. services: host, or host:port, with
    *. for all below it. clock: Unix time in s."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        subscriptions: Subscriptions,
        key: Vapid02,
        subject: str,
        clock: Callable[[], float],
        *,
        services: Sequence[str] = KNOWN_SERVICES,
    ) -> None:
        self._http = http
        self._subscriptions = subscriptions
        self._key = key
        self._subject = subject
        self._clock = clock
        self._services = tuple(services)

    @property
    def public_key(self) -> str:
        """For a browser's `applicationServerKey`: in base64url."""
        point = self._key.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    def takes(self, endpoint: str) -> bool:
        """Whether it is one of a push service that is pushed to."""
        return is_of_service(endpoint, self._services)

    def reads(self, p256dh: str, auth: str) -> bool:
        """Whether a browser with these keys can read what is pushed."""
        return valid_keys(p256dh, auth)

    async def push(self, user: str, event: str, data: Mapping[str, object], key: str) -> None:
        """To all of the user's browsers. PushError when one is to be tried again; all get it again then, and the
        topic lets it replace what waits: what is of the same call, or the same push."""
        now = self._clock()
        ttl_s = expires_in_s(data, now, KEPT_S)
        if ttl_s <= 0:
            return
        body, failed = encoded(user, event, data, MAX_BYTES), list[str]()
        for subscription in await self._subscriptions.of(user):
            status = await self._send(subscription, body, str(data.get("call") or key), ttl_s, now)
            if status in GONE:
                await self._subscriptions.forget(user, subscription.endpoint)
            elif status == 0 or status in (408, 429) or status >= 500:
                failed.append(urlsplit(subscription.endpoint).hostname or "")
            elif not 200 <= status < 300:
                log.warning("The push service %s answered %d.", urlsplit(subscription.endpoint).hostname, status)
        if failed:
            raise PushError(f"These push services did not take it: {', '.join(sorted(set(failed)))}.")

    async def _send(self, subscription: PushSubscription, body: bytes, about: str, ttl_s: float, now: float) -> int:
        """about: of which the newest alone is worth keeping. The status of the answer; 0 when there was none."""
        if not self.takes(subscription.endpoint):
            return 404
        parts = urlsplit(subscription.endpoint)
        claims = {"sub": self._subject, "aud": f"{parts.scheme}://{parts.netloc}", "exp": int(now) + SIGNED_S}
        pusher = WebPusher(
            {"endpoint": subscription.endpoint, "keys": {"p256dh": subscription.p256dh, "auth": subscription.auth}}
        )
        headers = {
            **self._key.sign(claims),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(max(1, int(ttl_s))),
            "urgency": "high",
            "topic": topic(about),
        }
        try:
            async with self._http.stream(
                "POST",
                subscription.endpoint,
                content=pusher.encode(body)["body"],
                headers=headers,
                timeout=TIMEOUT_S,
                follow_redirects=False,
            ) as answer:
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            return 0


def vapid_key(text: str) -> Vapid02:
    """From a PEM file, or the private key itself in base64url. ValueError, with a sentence that does not repeat it."""
    try:
        if Path(text).is_file():
            return Vapid02.from_file(text)
        return Vapid02.from_string(text)
    except (VapidException, ValueError, TypeError, OSError, binascii.Error):
        raise ValueError("The VAPID key is a PEM file, or a private key of P-256 in base64url.") from None


def valid_keys(p256dh: str, auth: str) -> bool:
    """Whether a browser can have made these: a point of P-256 and 16 bytes."""
    try:
        point, secret = _decoded(p256dh), _decoded(auth)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return False
    return len(point) == 65 and len(secret) == 16


def is_of_service(endpoint: str, services: Sequence[str]) -> bool:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or parts.username is not None or not endpoint.isascii() or not endpoint.isprintable():
        return False
    named = host if port in (None, 443) else f"{host}:{port}"
    return any(named.endswith(one[1:]) if one.startswith("*.") else named == one for one in services)


def topic(about: str) -> str:
    """At most 32 characters of base64url (RFC 8030, section 5.4): what has the same replaces what waits."""
    return base64.urlsafe_b64encode(sha256(about.encode()).digest()[:24]).decode()


def _decoded(text: str) -> bytes:
    """ValueError."""
    if len(text) > 200 or not text.isascii():
        raise ValueError("This is no key.")
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
