"""Rooms of the server that is measured, for the load generator's peers."""

from __future__ import annotations

import secrets
import time

from mediaserver.client import MediaServer
from mediaserver.keys import ApiKey, Rights
from mediaserver.loadgen.places import OwnRooms
from mediaserver.loadgen.plan import Join, Plan
from mediaserver.schema import RoomDocument
from mediaserver.tokens import Claims, issue

TOKEN_LIFE_S = 3600.0


class SignedRooms(OwnRooms):
    """Tokens are signed here: asking the server for each would keep it busy before it is measured."""

    def __init__(self, server: MediaServer, url: str, key: str, document: RoomDocument = RoomDocument()) -> None:  # noqa: B008
        super().__init__(server, url, document)
        key_id, _, secret = key.partition(":")
        self._key = ApiKey(key_id, secret, Rights.ADMIN)

    async def _fetch(self, plan: Plan, join: Join) -> None:
        now = time.time()
        claims = Claims(
            plan.room_name(join.room),
            join.user,
            may_publish=join.speaks,
            may_listen=not join.speaks,
            expires=now + TOKEN_LIFE_S,
            issued=now,
            id=secrets.token_hex(8),
        )
        self._tokens[join.room, join.speaks, join.number] = issue(self._key, claims)
