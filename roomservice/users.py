"""The service's own users: a name, which is the id, and a password."""

import re
from collections.abc import Collection
from typing import Protocol

from roomservice.passwords import MAX_BYTES, Passwords
from roomservice.settings import SignUp

MAX_NAME_BYTES = 256
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def valid_name(name: str) -> bool:
    """Whether the media server takes it as a user's: 1 to 256 bytes of UTF-8 without control characters, not a dot or
    two."""
    return not _CONTROLS.search(name) and 1 <= len(name.encode()) <= MAX_NAME_BYTES and name not in (".", "..")


class UserStore(Protocol):
    async def password_of(self, user: str) -> str | None: ...

    async def known_users(self, users: Collection[str]) -> frozenset[str]: ...

    async def add_user(self, user: str, password_hash: str) -> bool: ...


class OwnUsers:
    def __init__(self, store: UserStore, passwords: Passwords, sign_up: SignUp) -> None:
        self._store = store
        self._passwords = passwords
        self._sign_up = sign_up

    async def authenticate(self, name: str, password: str) -> str | None:
        if not valid_name(name) or len(password.encode(errors="surrogatepass")) > MAX_BYTES or not password:
            return None
        kept = await self._store.password_of(name)
        if kept is None and self._sign_up is SignUp.OPEN and await self.add(name, password):
            return name
        return name if await self._passwords.is_right(password, kept) else None

    async def known(self, users: Collection[str]) -> frozenset[str]:
        """Which of them there are."""
        return await self._store.known_users(users)

    async def add(self, name: str, password: str) -> bool:
        """Whether there was none of this name."""
        return await self._store.add_user(name, await self._passwords.hash(password))
