"""HLS (RFC 8216) as a source of bytes: MPEG-TS segments as they follow on each other, fragmented MP4 behind its header,
packed audio; whole or live; AES-128. Every address goes through the gate."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import m3u8
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mediaserver.music.gate import FetchError, Gate
from mediaserver.music.playlists import MAX_LIST

MAX_SEGMENT = 16 * 1024 * 1024
MAX_SEGMENTS = 20_000
TIMEOUT_S = 20.0
# Where a live stream is begun (RFC 8216 section 6.3.3): nearer to its end runs dry, further is later.
LIVE_SEGMENTS = 3
# A list that does not change for so long has been left by whoever made it.
STALE_S = 60.0
# Variants with sound alone: the best up to here.
MAX_BANDWIDTH = 512_000


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to fetch. span: (offset, length) of it; key and iv: how it is encrypted."""

    url: str
    span: tuple[int, int] | None = None
    key: str | None = None
    iv: bytes = b""


@dataclass(frozen=True, slots=True)
class Segment:
    number: int
    duration_s: float
    part: Part
    header: Part | None


@dataclass(frozen=True, slots=True)
class Media:
    segments: list[Segment]
    target_s: float
    is_live: bool

    @property
    def duration_s(self) -> float:
        return sum(segment.duration_s for segment in self.segments)


class HlsSource:
    """See sources.Source."""

    size = None

    def __init__(self, gate: Gate, url: str, media: Media) -> None:
        self._gate = gate
        self._url = url
        self._media = media
        self._keys: dict[str, bytes] = {}
        self._first = 0
        self._last = -1  # number of the last segment of a live stream that was given
        self._has_begun = False
        self.is_endless = media.is_live

    @classmethod
    async def open(cls, gate: Gate, text: str, url: str) -> "HlsSource":
        """text: the list at this address. FetchError when it is none that can be played."""
        playlist = await asyncio.to_thread(_load, text)
        if playlist.is_variant:
            chosen = choose(playlist)
            text, url = await gate.text(chosen, base=url, limit=MAX_LIST, timeout_s=TIMEOUT_S)
            playlist = await asyncio.to_thread(_load, text)
        media = media_of(playlist)
        if not media.segments and not media.is_live:
            raise FetchError("The HLS playlist has no segments.")
        return cls(gate, url, media)

    @property
    def duration_s(self) -> float | None:
        return None if self.is_endless else self._media.duration_s

    def begin_at(self, start_s: float) -> float:
        """Whole segments before this place are left out; how much there is still to be left out."""
        if self.is_endless:
            return 0.0
        self._first = 0
        for segment in self._media.segments[:-1]:
            if start_s < segment.duration_s:
                break
            start_s -= segment.duration_s
            self._first += 1
        return start_s

    async def close(self) -> None:
        """There is no connection between segments."""

    async def chunks(self, offset: int) -> AsyncGenerator[bytes, None]:
        """Segment by segment; of a live stream the newest that have not been given yet. FetchError when it breaks, or
        is left by its maker."""
        assert offset == 0
        header: Part | None = None
        async for segment in self._segments():
            if segment.header is not None and segment.header != header:
                header = segment.header
                yield await self._fetch(header)
            yield await self._fetch(segment.part)

    async def _segments(self) -> AsyncIterator[Segment]:
        if not self.is_endless:
            for segment in self._media.segments[self._first :]:
                yield segment
            return
        loop = asyncio.get_running_loop()
        # What it was opened with is old when it is asked for again.
        media = await self._reload() if self._has_begun else self._media
        self._has_begun, joins, changed = True, True, loop.time()
        while True:
            if media.segments and media.segments[-1].number < self._last - len(media.segments):
                self._last, joins = -1, True  # its maker has begun anew
            listed = media.segments[-LIVE_SEGMENTS:] if joins else media.segments
            new = [segment for segment in listed if segment.number > self._last]
            for segment in new:
                yield segment
                self._last, joins = segment.number, False
            now = loop.time()
            if new:
                changed = now
            elif now - changed > max(STALE_S, 3 * media.target_s):
                raise FetchError("The HLS playlist does not go on.")
            if not media.is_live:
                return
            await asyncio.sleep(media.target_s if new else media.target_s / 2)
            media = await self._reload()

    async def _reload(self) -> Media:
        text, _ = await self._gate.text(self._url, limit=MAX_LIST, timeout_s=TIMEOUT_S)
        return media_of(await asyncio.to_thread(_load, text))

    async def _fetch(self, part: Part) -> bytes:
        headers = []
        if part.span is not None:
            offset, length = part.span
            headers.append(("Range", f"bytes={offset}-{offset + length - 1}"))
        data, _ = await self._gate.bytes(
            part.url, base=self._url, limit=MAX_SEGMENT, timeout_s=TIMEOUT_S, headers=headers
        )
        if part.span is not None and len(data) > part.span[1]:
            data = data[part.span[0] :][: part.span[1]]  # of a server without ranges
        return data if part.key is None else decrypt(data, await self._key(part.key), part.iv)

    async def _key(self, url: str) -> bytes:
        if url not in self._keys:
            key, _ = await self._gate.bytes(url, base=self._url, limit=16, timeout_s=TIMEOUT_S)
            if len(key) != 16:
                raise FetchError("The HLS key is none.")
            self._keys = {**dict(list(self._keys.items())[-3:]), url: key}
        return self._keys[url]


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """AES-128 as RFC 8216 section 4.3.2.4 has it: CBC, PKCS#7. FetchError when it is not."""
    try:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
    except ValueError:
        raise FetchError("The HLS segment is not encrypted as it says.") from None


def choose(playlist: m3u8.M3U8) -> str:
    """Which of the variants: the best with sound alone, else the sound of the smallest."""
    variants = sorted(playlist.playlists, key=lambda variant: variant.stream_info.bandwidth or 0)
    if not variants:
        raise FetchError("The HLS playlist has no variants.")
    alone = [variant for variant in variants if _is_sound(variant)]
    fit = [variant for variant in alone if (variant.stream_info.bandwidth or 0) <= MAX_BANDWIDTH]
    chosen = fit[-1] if fit else alone[0] if alone else variants[0]
    group = chosen.stream_info.audio
    renditions = [media for media in playlist.media if media.type == "AUDIO" and media.group_id == group and media.uri]
    renditions.sort(key=lambda media: media.default != "YES")
    found = renditions[0].uri if renditions else chosen.uri
    if not found:
        raise FetchError("The HLS playlist names no media.")
    return str(found)


def _is_sound(variant: m3u8.Playlist) -> bool:
    info = variant.stream_info
    if info.resolution is not None or info.video is not None:
        return False
    codecs = [codec.strip() for codec in (info.codecs or "").split(",") if codec.strip()]
    return bool(codecs) and all(codec.startswith(("mp4a", "ac-3", "ec-3", "opus", "flac")) for codec in codecs)


def media_of(playlist: m3u8.M3U8) -> Media:
    """What a media playlist says. FetchError when it has what is not played here."""
    segments: list[Segment] = []
    sequence = playlist.media_sequence or 0
    ends: dict[str, int] = {}
    for number, segment in enumerate(playlist.segments[:MAX_SEGMENTS], sequence):
        if not segment.uri:
            continue
        key = segment.key if segment.key is not None and segment.key.method not in (None, "NONE") else None
        if key is not None and (key.method != "AES-128" or not key.uri):
            raise FetchError("The HLS stream is encrypted by a method that is not supported.")
        iv = _iv(key.iv, number) if key is not None else b""
        span = _span(segment.byterange, ends.get(segment.uri, 0))
        if span is not None:
            ends[segment.uri] = sum(span)
        init = segment.init_section
        header = Part(init.uri, _span(init.byterange, 0)) if init is not None and init.uri else None
        part = Part(segment.uri, span, key.uri if key is not None else None, iv)
        duration_s = segment.duration or 0.0
        segments.append(Segment(number, duration_s if 0 < duration_s < 3600 else 0.0, part, header))
    target_s = float(playlist.target_duration or 6)
    return Media(segments, min(max(target_s, 1.0), 60.0) if math.isfinite(target_s) else 6.0, not playlist.is_endlist)


def _iv(text: str | None, number: int) -> bytes:
    try:
        return (int(text, 16) if text else number).to_bytes(16, "big")
    except (ValueError, OverflowError):
        raise FetchError("The HLS playlist has a malformed initialization vector.") from None


def _span(text: str | None, follows: int) -> tuple[int, int] | None:
    """`length[@offset]` (RFC 8216 section 4.3.2.2)."""
    if not text:
        return None
    length, _, offset = str(text).partition("@")
    try:
        found = (int(offset) if offset else follows, int(length))
    except ValueError:
        found = (-1, -1)
    if found[0] < 0 or not 0 < found[1] <= MAX_SEGMENT:
        raise FetchError("The HLS playlist has a malformed byte range.")
    return found


def _load(text: str) -> m3u8.M3U8:
    try:
        return m3u8.loads(text)
    except Exception:  # whatever a list that is none does to the parser
        raise FetchError("The HLS playlist cannot be read.") from None
