"""Passwords as they are kept: argon2id (RFC 9106), in its own format with salt and cost.

A hash takes some 50 ms of a core and 64 MiB: it is made in a thread, and few at a time.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_A_TIME = 2
"""More lets strangers who try passwords take more cores and memory from everybody else; fewer makes logins queue."""

MAX_BYTES = 1024


class Passwords:
    """hasher: with another cost than RFC 9106's for little memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._nobody = ""

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, password: str, kept: str | None) -> bool:
        """kept: None when there is no such user; that takes as long as a wrong password, so that nobody learns it."""
        if not self._nobody:
            self._nobody = await self.hash("nobody's")
        async with self._turns:
            return await asyncio.to_thread(self._verify, password, kept) and kept is not None

    def _verify(self, password: str, kept: str | None) -> bool:
        try:
            return self._hasher.verify(kept or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
