"""The media library: found in it, brought into it, and taken out again."""

from typing import Annotated

from pydantic import Field

from mediaserver.client import MediaDocument
from roomservice.model.room import Role
from roomservice.operations.fields import Name, RoomId
from roomservice.operations.problems import (
    FORBIDDEN,
    LIBRARY_FULL,
    MEDIA_REFUSED,
    NO_LIBRARY,
    NO_MEDIA,
    NOT_MUSIC,
    Refused,
)
from roomservice.operations.rooms import read
from roomservice.operations.table import Caller, Done, Operation, Params, Result
from roomservice.operations.world import World

TAG = "library"
TITLE_LENGTH = 200
LEADING = (Role.SYSTEM, Role.HOST, Role.ADMIN)
KINDS = ("audio/*", "video/*", "application/octet-stream", "application/ogg")

OfRoom = Annotated[RoomId | None, Field(description="Id of a room that the caller leads, where uploads are for such")]


class GetLibrary(Params):
    search: Annotated[str, Field(max_length=200, description="Words, each somewhere in title, artist or album")] = ""
    room: OfRoom = None


class UploadMusic(Params):
    title: Annotated[str, Field(max_length=TITLE_LENGTH, description="For a file that does not say its own")] = ""
    room: OfRoom = None


class OfMedia(Params):
    media: Annotated[Name, Field(description="Id of the piece")]


class Uploads(Result):
    allowed: bool = Field(description="Whether the caller may upload")
    max_bytes: int = Field(description="Of one piece")
    own: list[str] = Field(description="Ids of those pieces here that the caller may delete")


class Library(Result):
    media: list[MediaDocument] = Field(description="Pieces by title, at most 500; a track's `media` is an `id`")
    uploads: Uploads = Field(description="What the caller may bring")


class Uploaded(Result):
    media: MediaDocument = Field(description="What is in the library now")


async def get_library(world: World, caller: Caller, asked: GetLibrary) -> Library:
    pieces = list(await world.sound.library(asked.search))
    ids = [piece.id for piece in pieces]
    own = ids if caller.system else sorted(await world.library.owned(caller.user, ids))
    uploads = Uploads(allowed=await _may_upload(world, caller, asked.room), max_bytes=world.library.max_bytes, own=own)
    return Library(media=pieces, uploads=uploads)


async def upload_music(world: World, caller: Caller, asked: UploadMusic) -> Uploaded:
    if not await _may_upload(world, caller, asked.room):
        raise Refused(FORBIDDEN, "The caller may not bring pieces into the library.")
    assert caller.content is not None
    return Uploaded(media=await world.library.upload(caller.user, asked.title, caller.content))


async def delete_music(world: World, caller: Caller, asked: OfMedia) -> Done:
    if not caller.system and not await world.library.owned(caller.user, [asked.media]):
        raise Refused(FORBIDDEN, "The caller has not brought this piece.")
    await world.library.delete(asked.media)
    return Done()


async def _may_upload(world: World, caller: Caller, room: str | None) -> bool:
    """Refused when there is no such room."""
    leads = room is not None and (await read(world, room)).room.role_of(caller.by) in LEADING
    return caller.system or world.library.takes_from(leads=leads)


OPERATIONS = (
    Operation(
        "get_library",
        ("GET", "/v1/library"),
        GetLibrary,
        Library,
        get_library,
        "Pieces of the media library.",
        TAG,
        weight=5,
        problems=(MEDIA_REFUSED, NO_LIBRARY),
    ),
    Operation(
        "upload_music",
        ("POST", "/v1/library"),
        UploadMusic,
        Uploaded,
        upload_music,
        "Brings a file of music into the library; HTTP only.",
        TAG,
        weight=20,
        problems=(FORBIDDEN, MEDIA_REFUSED, NO_LIBRARY, NOT_MUSIC, LIBRARY_FULL),
        content=KINDS,
    ),
    Operation(
        "delete_music",
        ("DELETE", "/v1/library/{media}"),
        OfMedia,
        Done,
        delete_music,
        "Takes a piece out that the caller has brought.",
        TAG,
        weight=5,
        problems=(FORBIDDEN, MEDIA_REFUSED, NO_LIBRARY, NO_MEDIA),
    ),
)
