"""The calls for the media library."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from pathlib import Path

from mediaserver.client.calls import Body, path
from mediaserver.client.patience import Patience
from mediaserver.client.reading import Reader, query_of
from mediaserver.client.tagged import Tagged
from mediaserver.schema import MAX_PAGE
from mediaserver.schema_media import MediaDocument, MediaPage

UPLOADING = Patience(attempts=2, timeout_s=600.0, deadline_s=1200.0)
"""The answer comes when all has been sent and decoded to its end."""

READ_BYTES = 256 * 1024
_UNKNOWN = "application/octet-stream"  # what a file is, the server finds out itself


class LibraryCalls(Reader):
    """A part of MediaServer."""

    async def media(self, *, search: str = "", page: int = MAX_PAGE) -> AsyncGenerator[MediaDocument, None]:
        """The files of the library, by title. search: words, each somewhere in title, artist or album; page: how many
        are asked for at a time."""
        cursor: str | None = None
        while True:
            query = query_of(search=search or None, limit=page, cursor=cursor)
            found = (await self._read(MediaPage, "GET", path("media"), query=query)).document
            for item in found.media:
                yield item
            if (cursor := found.next) is None:
                return

    async def media_item(self, media: str) -> MediaDocument:
        return (await self._read(MediaDocument, "GET", path("media", media))).document

    async def upload_media(
        self, source: Path | bytes | AsyncIterator[bytes], *, title: str = "", patience: Patience = UPLOADING
    ) -> Tagged[MediaDocument]:
        """A file of music, as it is: `created` says whether the library did not have it yet. title: for one that does
        not say its own. A stream is sent once and
        cannot be sent again; OSError when the file cannot be read."""
        headers = {"Content-Type": _UNKNOWN}
        body: Body
        if isinstance(source, bytes):
            body = source
        elif isinstance(source, Path):
            headers["Content-Length"] = str((await asyncio.to_thread(source.stat)).st_size)
            body = partial(_chunks, source)
        else:
            body = partial(_as_it_is, source)
            patience = Patience(1, patience.timeout_s, patience.deadline_s)
        query = query_of(title=title or None)
        return await self._read(
            MediaDocument, "POST", path("media"), body, query=query, headers=headers, patience=patience
        )

    async def delete_media(self, media: str) -> None:
        """Whatever is playing of it plays on. Refused when there is none."""
        await self._calls.call("DELETE", path("media", media))


async def _chunks(file: Path) -> AsyncIterator[bytes]:
    opened = await asyncio.to_thread(file.open, "rb")
    try:
        while chunk := await asyncio.to_thread(opened.read, READ_BYTES):
            yield chunk
    finally:
        opened.close()


def _as_it_is(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    return stream
