"""Development mode only: how the page gets a room and a token without a room service."""

from fastapi import APIRouter, Depends
from pydantic import Field

from mediaserver.http.auth import issue
from mediaserver.http.describe import described
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf
from mediaserver.http.participants import capture_of
from mediaserver.http.paths import encode
from mediaserver.http.problems import refusals
from mediaserver.model.people import Speaker
from mediaserver.schema import DEFAULT_TTL_S, CaptureHints
from mediaserver.schema_base import Document, Name
from mediaserver.settings import DEVELOPMENT_KEY

router = APIRouter(prefix="/dev", tags=["development"], dependencies=[Depends(require_json)])


class Wish(Document):
    """Who wants to go where."""

    room: Name = Field(description="Made if there is none", examples=["lobby"])
    user: Name = Field(description="Who asks; nobody checks it", examples=["ann"])
    publish: bool = Field(
        default=False, description="Whether to get a seat and a token that allows publishing", examples=[True]
    )


class PublicKey(Document):
    """For HTTP Basic authentication of the control API."""

    id: str = Field(description="User name", examples=["dev"])
    secret: str = Field(description="Password", examples=["known-to-everybody-for-development-only"])


class Entry(Document):
    """What a page needs to take part."""

    token: str = Field(description="JWT for `Authorization: Bearer` of WHIP and WHEP", examples=["eyJhbGciOiJIUz…"])
    whip: str = Field(description="Path of the WHIP endpoint", examples=["/whip/lobby"])
    capture: CaptureHints = Field(description="How to open the microphone for this room")
    whep: str = Field(description="Path of the WHEP endpoint", examples=["/whep/lobby"])
    has_library: bool = Field(description="Whether the server has a media library", examples=[True])
    api_key: PublicKey = Field(
        description="The key that everybody knows, so that the page can play music into the room"
    )


@router.post(
    "/join",
    summary="A room, a seat and a token for whoever asks",
    responses={
        200: described("Where to go, and with what"),
        **refusals("seats-taken", "limit-reached", "overloaded", "draining", "shutting-down"),
    },
)
async def join(wish: Wish, node: NodeOf) -> Entry:
    room, _ = node.open_room(wish.room)
    if wish.publish and wish.user not in room.speakers:
        node.take_seat(room, wish.user, Speaker())
    key = node.settings.api_keys[0]
    token, _ = issue(node, key, room.name, wish.user, may_publish=wish.publish, may_listen=True, ttl_s=DEFAULT_TTL_S)
    return Entry(
        token=token,
        capture=capture_of(room),
        whip=f"/whip/{encode(room.name)}",
        whep=f"/whep/{encode(room.name)}",
        has_library=node.playback.music.library is not None,
        api_key=PublicKey(id=DEVELOPMENT_KEY[0], secret=DEVELOPMENT_KEY[1]),
    )
