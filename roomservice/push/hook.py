"""Pushes by the app's own service: a signed HTTP request for each (standardwebhooks.com), which the app passes on to
whatever reaches its users (APNs, FCM, vendors' channels, SMS).

The request's `webhook-id` is the push's key, percent-encoded as users may be called anything and headers are ASCII: the
same push that comes twice has the same.
"""

import logging
from collections.abc import Callable, Mapping
from urllib.parse import quote

import httpx

from mediaserver.client import sign_webhook
from roomservice.interface import PushError
from roomservice.push.payload import encoded, expires_in_s

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
KEPT_S = 24 * 3600.0


class HookPush:
    """url: http or https, of the operator's own; secret: at least 24 bytes, or whsec_ and base64; clock: Unix time in
    s. ValueError, with a sentence."""

    def __init__(self, http: httpx.AsyncClient, url: str, secret: str, clock: Callable[[], float]) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError("The address of the push hook starts with http:// or https://.")
        sign_webhook(secret, "", 0, b"")
        self._http = http
        self._url = url
        self._secret = secret
        self._clock = clock

    async def push(self, user: str, event: str, data: Mapping[str, object], key: str) -> None:
        """Once 2xx is answered it is done; 4xx is final but for 408 and 429. PushError otherwise."""
        now = self._clock()
        if expires_in_s(data, now, KEPT_S) <= 0:
            return
        body = encoded(user, event, data)
        signed = sign_webhook(self._secret, quote(key, safe=":", errors="surrogatepass"), int(now), body)
        headers = {**signed, "content-type": "application/json"}
        try:
            async with self._http.stream(
                "POST", self._url, content=body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False
            ) as answer:
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PushError(f"The push hook cannot be reached: {type(error).__name__}.") from error
        if status in (408, 429) or status >= 500:
            raise PushError(f"The push hook answered {status}.")
        if not 200 <= status < 300:
            log.warning("The push hook refused %s: it answered %d.", event, status)
