"""The media library in the control API. It is the node's: a key sees all of it, whatever rooms it reaches."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from mediaserver.http.answers import answer, done
from mediaserver.http.auth import ControlsOf, controls, reads
from mediaserver.http.describe import described
from mediaserver.http.idempotency import RepeatableUploadOf
from mediaserver.http.media import require_json
from mediaserver.http.nodes import NodeOf
from mediaserver.http.paging import Cursor, Limit
from mediaserver.http.problems import Problem, refusals
from mediaserver.http.upload import Upload
from mediaserver.music.items import Item
from mediaserver.music.library import Library
from mediaserver.schema_media import MediaDocument, MediaPage

router = APIRouter(prefix="/v1/media", tags=["library"])

MediaId = Annotated[str, Path(description="Id of the item", examples=["9f86d081884c7d659a2feaa0c55ad015"])]
BINARY = {"schema": {"type": "string", "format": "binary"}, "example": "ID3…"}
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
# Taken under any of these names, for what it is is found out otherwise. Not taken is what was meant for another place.
_TAKEN = ("audio/", "video/", "application/octet-stream", "application/ogg")


async def library_of(node: NodeOf) -> Library:
    """404 without one."""
    if node.playback.music.library is None:
        raise Problem("no-library", "This server was started without a media library.")
    return node.playback.music.library


LibraryOf = Annotated[Library, Depends(library_of)]


@router.get(
    "",
    summary="Files of the library",
    dependencies=[Depends(require_json), Depends(reads)],
    response_model=MediaPage,
    responses={200: described("A page of files"), **refusals("no-library")},
)
async def get_media(
    library: LibraryOf,
    *,
    limit: Limit = 100,
    cursor: Cursor = "",
    search: Annotated[
        str, Query(max_length=200, description="Words, each somewhere in title, artist or album", examples=["nocturne"])
    ] = "",
) -> Response:
    """By title, a page at a time."""
    items, following = library.page(cursor, limit, search)
    return answer(MediaPage(media=[_document(item) for item in items], next=following))


@router.post(
    "",
    summary="Upload a file",
    status_code=201,
    response_model=MediaDocument,
    responses={
        200: described("The library had it already", "Location", model=MediaDocument),
        201: described("It is in the library", "Location"),
        **refusals("no-library", "not-music", "library-full"),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "The file itself, whatever its name: MP3, AAC, MP4 (AAC, ALAC), Ogg (Opus, Vorbis, FLAC), "
            "FLAC or WAV",
            "content": {"audio/mpeg": BINARY, "application/octet-stream": BINARY},
        }
    },
)
async def post_media(
    request: Request,
    key: ControlsOf,
    library: LibraryOf,
    repeatable: RepeatableUploadOf,
    *,
    title: Annotated[
        str, Query(max_length=200, description="For a file that does not say its own", examples=["Nocturne"])
    ] = "",
) -> Response:
    """It is decoded to its end before the answer comes: what is answered can be played. A file that does not come to
    its end, or is no music, leaves nothing; nor does one whose sender does not wait for the answer."""
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not kind.startswith(_TAKEN):
        raise Problem(
            "unsupported-media-type", "The content type must be that of a file with sound.", {"Accept-Post": "audio/*"}
        )

    async def make() -> Response:
        try:
            item, is_new = await Upload(request).into(library, title)
        except ClientDisconnect:
            raise Problem("malformed", "The body did not come to its end.") from None
        response = answer(_document(item), status=201 if is_new else 200)
        response.headers["Location"] = f"/v1/media/{item.id}"
        return response

    return await repeatable.answer(key.id, make)


@router.get(
    "/{media}",
    summary="A file of the library",
    dependencies=[Depends(require_json), Depends(reads)],
    response_model=MediaDocument,
    responses={200: described("What is known of it"), **refusals("no-library", "no-media")},
)
async def get_item(media: MediaId, library: LibraryOf) -> Response:
    return answer(_document(_existing(library, media)))


@router.delete(
    "/{media}",
    summary="Remove a file from the library",
    dependencies=[Depends(require_json), Depends(controls)],
    status_code=204,
    responses={204: described("It is gone"), **refusals("no-library", "no-media")},
)
async def delete_item(media: MediaId, library: LibraryOf) -> Response:
    """Whatever is playing of it plays on."""
    _existing(library, media)
    await library.remove(media)
    return done()


@router.get(
    "/{media}/cover",
    summary="The picture of a file",
    dependencies=[Depends(require_json), Depends(reads)],
    response_class=Response,
    responses={
        200: described("The picture", content=dict.fromkeys(PICTURES, BINARY)),
        **refusals("no-library", "no-media"),
    },
)
async def get_cover(media: MediaId, library: LibraryOf) -> Response:
    """As it is in the file's tags."""
    item = _existing(library, media)
    picture = await library.cover(media)
    if picture is None:
        raise Problem("no-media", "The file has no picture.")
    headers = {
        # It comes from whoever made the file: a picture, whatever else it may look like.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=86400",
    }
    return Response(picture, headers=headers, media_type=item.cover_type)


def _existing(library: Library, media: str) -> Item:
    item = library.get(media)
    if item is None:
        raise Problem("no-media", "There is no such file in the library.")
    return item


def _document(item: Item) -> MediaDocument:
    found: dict[str, Any] = {
        name: getattr(item, name) or None for name in ("title", "artist", "album") if getattr(item, name)
    }
    return MediaDocument(
        id=item.id,
        duration_s=item.duration_s,
        media_type=item.media_type,
        codec=item.codec,
        sampling_rate=item.sampling_rate,
        channels=item.channels,
        size=item.size,
        added=item.added,
        has_cover=bool(item.cover_type),
        **found,
    )
