"""The media server, by its client."""

from urllib.parse import quote, urlencode

from mediaserver.client import (
    CallError,
    EffectDocument,
    MediaServer,
    Refused,
    RoomDocument,
    ScenarioName,
    SpeakerDocument,
    TokenRequest,
)
from roomservice.interface import Addresses, MediaError, MediaRoom

RING_BACK = "ring-back"
"""Name of the effect that a caller hears while it rings."""

TOKEN_S = 24 * 3600
"""Of WHIP and WHEP. A seat that is taken away ends what they allow at once, so they may live long."""


class MediaServerMedia:
    """public_url: as clients reach the media server. The token of an address is in its fragment, which no client sends
    and no server logs; WHIP and WHEP take it as `Authorization: Bearer`."""

    def __init__(self, server: MediaServer, public_url: str) -> None:
        self._server = server
        self._public_url = public_url.rstrip("/")

    async def put(self, room: str, wanted: MediaRoom) -> None:
        def seat(document: RoomDocument) -> RoomDocument:
            """What others have set, gains and effects of voices, stays with who stays."""
            known = document.speakers
            document.speakers = {
                user: known.get(user, SpeakerDocument()).model_copy(
                    update={"seat": speaker.seat, "mutes": {str(source): True for source in sorted(speaker.mutes)}}
                )
                for user, speaker in wanted.speakers.items()
            }
            document.scenario = ScenarioName(wanted.scenario)
            document.effects.pop(RING_BACK, None)
            if wanted.ringing:
                document.effects[RING_BACK] = EffectDocument(sound="ring_back", audience=sorted(wanted.ringing))
            return document

        try:
            try:
                await self._server.update_room(room, seat)
            except Refused as refused:
                if refused.status != 404:
                    raise
                await self._server.put_room(room, seat(RoomDocument()))
        except CallError as error:
            raise MediaError(str(error)) from error

    async def cut_off(self, room: str, user: str, key: str) -> None:
        try:
            await self._server.kick(room, user)
        except CallError as error:
            if not (isinstance(error, Refused) and error.status == 404):
                raise MediaError(str(error)) from error

    async def close(self, room: str) -> None:
        try:
            await self._server.delete_room(room)
        except CallError as error:
            raise MediaError(str(error)) from error

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        try:
            token = await self._server.token(
                room, TokenRequest(user=user, may_publish=may_publish, may_listen=True, ttl_s=TOKEN_S)
            )
        except CallError as error:
            raise MediaError(str(error)) from error
        return Addresses(
            whip=self._address("whip", room, token.token) if may_publish else "",
            whep=self._address("whep", room, token.token),
        )

    async def ready(self) -> bool:
        try:
            await self._server.node()
        except CallError:
            return False
        return True

    def _address(self, kind: str, room: str, token: str) -> str:
        return f"{self._public_url}/{kind}/{quote(room, safe='')}#{urlencode({'token': token})}"
