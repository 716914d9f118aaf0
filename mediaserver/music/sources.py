"""What an address gives: bytes of a file, of an endless stream, or of HLS, found out by asking it."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol
from urllib.parse import urlsplit

from mediaserver.music.addresses import RefusedError
from mediaserver.music.gate import Answer, FetchError, Gate
from mediaserver.music.hls import HlsSource
from mediaserver.music.playlists import MAX_DEPTH, MAX_LIST, addresses, is_hls, is_list

# Of a file. A stream that says no length is not bounded by it: nothing of it is kept.
MAX_FILE = 2 * 1024**3
SNIFFED = 512


class Source(Protocol):
    """size: bytes, if any place of it can be asked for. is_endless: when it ends, it is broken. duration_s: if that is
    known before it is decoded."""

    @property
    def size(self) -> int | None: ...
    @property
    def is_endless(self) -> bool: ...
    @property
    def duration_s(self) -> float | None: ...
    def begin_at(self, start_s: float) -> float:
        """To be asked for from there on, as far as it can; how many seconds of what it gives are still before it."""

    def chunks(self, offset: int) -> AsyncGenerator[bytes, None]:
        """From this byte on; from 0 again and again, if it is endless. FetchError when it breaks."""

    async def close(self) -> None:
        """Connections that are still open."""


async def open_source(gate: Gate, url: str) -> Source:
    """FetchError or RefusedError, a sentence, when there is nothing to play at the address."""
    return await _open(gate, url, None, 0)


async def _open(gate: Gate, url: str, base: str | None, depth: int) -> Source:
    source = HttpSource(gate, url, base)
    try:
        start = await source.start()
    except BaseException:
        await source.close()
        raise
    if not is_list(source.answer.media_type, urlsplit(source.answer.url).path, start):
        return source
    text, where = (await source.whole(MAX_LIST)).decode("utf-8", "replace"), source.answer.url
    await source.close()
    if is_hls(text):
        return await HlsSource.open(gate, text, where)
    if depth == MAX_DEPTH:
        raise FetchError("Playlists name playlists without end.")
    failure: Exception = FetchError("The playlist names nothing.")
    for entry in addresses(text):
        try:
            return await _open(gate, entry, where, depth + 1)
        except FetchError as error:
            failure = error
    raise failure


class HttpSource:
    """A file or a stream. The answer that start() got is the one that chunks(0) gives first."""

    duration_s = None

    def __init__(self, gate: Gate, url: str, base: str | None = None) -> None:
        self._gate = gate
        self._url = url
        self._base = base
        self._stack = contextlib.AsyncExitStack()
        self._chunks: AsyncIterator[bytes] | None = None
        self._start: list[bytes] = []
        self.answer: Answer
        self.size: int | None = None
        self.is_endless = False

    async def start(self) -> bytes:
        """Asks, and gives the first bytes."""
        await self._ask(0)
        found = self.answer.headers
        length = self.answer.length
        if length is not None and length > MAX_FILE:
            await self.close()
            raise FetchError(f"The file is larger than {MAX_FILE} bytes.")
        if length and found.get("accept-ranges", "").lower() == "bytes":
            self.size = length
        self.is_endless = length is None and any(name.startswith("icy-") for name in found)
        # From now on it is asked where the redirects have led to, as far as that still leads anywhere.
        self._url, self._base = self.answer.url, None
        size = 0
        while size < SNIFFED and (chunk := await self._next()) is not None:
            self._start.append(chunk)
            size += len(chunk)
        return b"".join(self._start)

    async def whole(self, limit: int) -> bytes:
        """All of it. FetchError when that is more than `limit` bytes."""
        body = bytearray()
        async for chunk in self.chunks(0):
            body += chunk
            if len(body) > limit:
                await self.close()
                raise FetchError(f"The playlist is larger than {limit} bytes.")
        return bytes(body)

    def begin_at(self, start_s: float) -> float:
        return 0.0 if self.is_endless else start_s

    async def chunks(self, offset: int) -> AsyncGenerator[bytes, None]:
        given = offset
        if offset or self._chunks is None:
            self._start.clear()
            await self._ask(offset)
        start, self._start = self._start, []
        try:
            for chunk in start:
                given += len(chunk)
                yield chunk
            while (chunk := await self._next()) is not None:  # type: ignore[assignment]
                given += len(chunk)
                if given > MAX_FILE and not self.is_endless:
                    raise FetchError(f"The file is larger than {MAX_FILE} bytes.")
                yield chunk
        finally:
            await self.close()

    async def close(self) -> None:
        self._chunks = None
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        await stack.aclose()

    async def _ask(self, offset: int) -> None:
        await self.close()
        headers = [("Range", f"bytes={offset}-")] if offset else []
        answer = await self._stack.enter_async_context(self._gate.open(self._url, base=self._base, headers=headers))
        if offset and not answer.headers.get("content-range", "").startswith(f"bytes {offset}-"):
            await self.close()
            raise FetchError("The server does not go on where it was asked to.")
        self.answer = answer
        self._chunks = aiter(answer.chunks)

    async def _next(self) -> bytes | None:
        if self._chunks is None:
            return None
        try:
            return await anext(self._chunks, None)
        except (FetchError, RefusedError):
            await self.close()
            raise
