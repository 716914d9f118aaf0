"""Passwords as they are kept: argon2id (RFC 9106), in its own format with salt and cost.

A hash takes some 50 ms of a core and 64 MiB: it is made in a thread, few at a time, and few wait for one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from roomservice.interface import Crowded

AT_A_TIME = 2
"""More lets strangers who try passwords take more cores and memory from everybody else; fewer makes logins queue."""

MAX_WAITING = 48
"""Who wait for their turn, so for 1.2 s at most. More lets a crowd wait for what it is tired of by then."""

MAX_BYTES = 1024


class Passwords:
    """hasher: with another cost than RFC 9106's for little memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0
        self._nobody = ""

    async def hash(self, password: str) -> str:
        """Crowded."""
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def is_right(self, password: str, kept: str | None) -> bool:
        """kept: None when there is no such user; that takes as long as a wrong password, so that nobody learns it.
        Crowded."""
        if not self._nobody:
            self._nobody = await self.hash("nobody's")
        async with self._turn():
            return await asyncio.to_thread(self._verify, password, kept) and kept is not None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MAX_WAITING:
            raise Crowded("Too many log in at once: try again.")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _verify(self, password: str, kept: str | None) -> bool:
        try:
            return self._hasher.verify(kept or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
