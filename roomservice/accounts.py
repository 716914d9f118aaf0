"""Who asks: passwords for tokens, tokens for callers, and the end of a device's tokens.

Rules held here
- A login gives a device an access token, which opens HTTP and the WebSocket, and a refresh token, which gets it another
  access token. Logging out ends both of that device: what was issued before that moment is good no more.
- A refresh token is used as often as the device likes; the new access token is of the same device.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from roomservice import tokens
from roomservice.commit import Commit, Write
from roomservice.interface import Conflict, Storage, Users
from roomservice.settings import ServiceSettings

KIND = "devices"
"""Document of a user: device -> since when its tokens are good, Unix time in s."""

MAX_LOGGED_OUT = 200
"""Devices of a user that are remembered. Of more, those that logged out the longest ago are good again with a token
that has not expired; more cost each login."""

ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Device:
    """until: when the token expires that it showed, Unix time in s."""

    user: str
    id: str
    type: str
    until: float = float("inf")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Times: when each expires, Unix time in s."""

    access: str
    refresh: str
    access_until: float
    refresh_until: float


class Accounts:
    """clock: Unix time in s."""

    def __init__(self, storage: Storage, users: Users, settings: ServiceSettings, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._users = users
        self._settings = settings
        self._clock = clock

    async def authenticate(self, name: str, password: str) -> str | None:
        """The user's id, or None."""
        return await self._users.authenticate(name, password)

    def issue(self, device: Device) -> Tokens:
        now, settings = self._clock(), self._settings
        claims = {"device_id": device.id, "device_type": device.type}
        return Tokens(
            tokens.issue(tokens.ACCESS, device.user, settings.secret, now, settings.access_s, **claims),
            tokens.issue(tokens.REFRESH, device.user, settings.secret, now, settings.refresh_s, **claims),
            now + settings.access_s,
            now + settings.refresh_s,
        )

    async def refresh(self, token: str) -> tuple[Device, Tokens] | None:
        """None when it is no refresh token, or good no more."""
        found = await self._device(tokens.REFRESH, token)
        return None if found is None else (found, self.issue(found))

    async def device_of(self, access_token: str) -> Device | None:
        return await self._device(tokens.ACCESS, access_token)

    async def user_of_login(self, token: str) -> str | None:
        """Of the token of `/login`, which is of no device."""
        claims = tokens.verify(tokens.LOGIN, token, self._settings.secret, self._clock())
        return None if claims is None else str(claims["id"])

    async def end(self, user: str, device: str) -> None:
        """The device's tokens are good no more. Conflict when many do this at once."""
        now = self._clock()
        for attempt in range(ATTEMPTS):
            kept = await self._storage.load(KIND, user)
            ended: dict[str, float] = {} if kept is None else json.loads(kept.body)
            ended[device] = now
            newest = sorted(ended.items(), key=lambda item: -item[1])[:MAX_LOGGED_OUT]
            known = {name: since for name, since in newest if since > now - self._settings.refresh_s}
            write = Write(KIND, user, None if kept is None else kept.revision, json.dumps(known))
            try:
                await self._storage.commit(Commit(writes=(write,)), now)
                return
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise

    async def _device(self, kind: str, token: str) -> Device | None:
        claims: Mapping[str, Any] | None = tokens.verify(kind, token, self._settings.secret, self._clock())
        if claims is None or not isinstance(claims.get("device_id"), str):
            return None
        device = Device(str(claims["id"]), claims["device_id"], str(claims.get("device_type", "")), claims["exp"])
        kept = await self._storage.load(KIND, device.user)
        if kept is not None and float(claims.get("at", claims["orig_iat"])) <= json.loads(kept.body).get(
            device.id, 0.0
        ):
            return None
        return device
