"""Development mode only: how the page gets a room and a token without a room service."""

from fastapi import APIRouter, Depends
from pydantic import Field

from mediaserver.http.auth import issue
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf
from mediaserver.http.participants import capture_of
from mediaserver.http.paths import encode
from mediaserver.http.problems import RESPONSES
from mediaserver.model import Speaker
from mediaserver.schema import DEFAULT_TTL_S, CaptureHints, Document, Name

router = APIRouter(prefix="/dev", tags=["development"], responses=RESPONSES, dependencies=[Depends(require_json)])


class Wish(Document):
    room: Name = Field(examples=["lobby"])
    user: Name = Field(examples=["ann"])
    publish: bool = Field(default=False, description="Whether to get a seat and a token that allows publishing")


class Entry(Document):
    token: str
    whip: str = Field(description="Path of the WHIP endpoint", examples=["/whip/lobby"])
    capture: CaptureHints
    whep: str = Field(description="Path of the WHEP endpoint", examples=["/whep/lobby"])


@router.post("/join", summary="A room, a seat and a token for whoever asks")
async def join(wish: Wish, node: NodeOf) -> Entry:
    room, _ = node.open_room(wish.room)
    if wish.publish and wish.user not in room.speakers:
        node.take_seat(room, wish.user, Speaker())
    key = node.settings.api_keys[0]
    token, _ = issue(node, key, room.name, wish.user, may_publish=wish.publish, may_listen=True, ttl_s=DEFAULT_TTL_S)
    return Entry(
        token=token, capture=capture_of(room), whip=f"/whip/{encode(room.name)}", whep=f"/whep/{encode(room.name)}"
    )
