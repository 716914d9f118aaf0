"""Time-limited credentials for TURN servers that share a secret with us: coturn's `use-auth-secret`, the scheme of
draft-uberti-behave-turn-rest. The server keeps no state for them, and neither do we."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Turn:
    """`urls` of the servers, all with the same secret. ttl_s: for how long credentials allow new allocations."""

    urls: tuple[str, ...]
    secret: str = field(repr=False)
    ttl_s: int

    def credentials(self, now: float) -> tuple[str, str]:
        """A new username and its credential. now: Unix time in seconds.

        The name says nothing of the user: TURN servers log it, and a random one has its quota for itself."""
        return self.credentials_of(f"{int(now) + self.ttl_s}:{secrets.token_hex(8)}")

    def credentials_of(self, username: str) -> tuple[str, str]:
        """username: the Unix time of its end, a colon and anything."""
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return username, base64.b64encode(digest).decode()
