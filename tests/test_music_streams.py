"""Decks of files, streams and HLS from servers as they are: what is heard, and how it ends when something breaks."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mediaserver.music import deck as deck_module
from mediaserver.music import gate as gate_module
from mediaserver.music.deck import Stalled, Workshop
from mediaserver.music.gate import FetchError
from mediaserver.music.hls import _load, choose, decrypt, media_of
from mediaserver.music.playlists import addresses, is_list
from tests.clips import Samples, chirp, encode, level_db, pitch_hz, tone
from tests.decks import Listener, studio
from tests.radio import Radio, Request

RATE = 48_000
# An MP4 file that can be played as it comes.
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "2000000"}


@pytest.fixture
async def place() -> AsyncIterator[tuple[Radio, Workshop]]:
    async with studio() as found:
        yield found


def is_tone(samples: Samples, hz: float = 440) -> bool:
    middle = samples[RATE // 4 : -RATE // 4, 0]
    return abs(pitch_hz(middle) - hz) < 1 and abs(level_db(middle) + 9.03) < 0.7


def offset_of(part: Samples, whole: Samples) -> int:
    size = len(whole) + len(part)
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(whole)]))


# Files


@pytest.mark.parametrize("form", ["mp3", "m4a", "ogg opus", "flac", "wav"])
async def test_a_file_is_played_with_and_without_ranges(place: tuple[Radio, Workshop], form: str) -> None:
    server, workshop = place
    data = encode(tone(440, 3, RATE), form, RATE, "stereo", options=FRAGMENTED if form == "m4a" else {})

    @server.route("/plain")
    async def plain(request: Request) -> None:
        await request.answer(data)

    @server.route("/ranges")
    async def ranges(request: Request) -> None:
        await request.answer_range(data)

    for path in ("/plain", "/ranges"):
        listener = Listener(workshop, server.url(path))
        samples = await listener.to_the_end()
        assert listener.broken is None, (path, listener.news)
        assert listener.ready is not None
        assert abs(len(samples) / RATE - 3) < 0.08, path
        assert is_tone(samples), path


@pytest.mark.parametrize("form", ["m4a", "flac", "ogg opus", "wav"])
async def test_a_place_in_a_remote_file_is_found_by_ranges(place: tuple[Radio, Workshop], form: str) -> None:
    server, workshop = place
    data = encode(chirp(60, RATE), form, RATE, "stereo")

    @server.route("/a")
    async def answer(request: Request) -> None:
        await request.answer_range(data)

    listener = Listener(workshop, server.url("/a"), 40.0)
    samples = await listener.to_the_end()
    assert listener.broken is None, listener.news
    assert listener.ready is not None
    assert listener.ready.duration_s == pytest.approx(60, abs=0.1)
    whole = chirp(60, RATE)
    assert abs(offset_of(samples[4800:28_800, 0], whole) - 40 * RATE - 4800) < 0.05 * RATE
    assert sum(len(request.headers.get("range", "")) > 0 for request in server.requests) >= 1


async def test_a_file_whose_index_is_at_its_end_needs_ranges(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data = encode(tone(440, 60, RATE), "m4a alac")

    @server.route("/plain")
    async def plain(request: Request) -> None:
        await request.answer(data)

    listener = Listener(workshop, server.url("/plain"))
    await listener.to_the_end()
    assert listener.broken is not None
    assert listener.broken.reason in ("unknown-format", "huge-header", "damaged")


@pytest.mark.parametrize("how", ["breaks", "stalls"])
async def test_a_file_with_ranges_goes_on_where_it_broke(
    place: tuple[Radio, Workshop], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "READ_TIMEOUT_S", 0.3)
    monkeypatch.setattr(deck_module, "BACK_OFF_S", (0.01, 0.1))
    server, workshop = place
    data = encode(chirp(8, RATE), "wav", RATE)

    @server.route("/a")
    async def answer(request: Request) -> None:
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        span = f"Content-Range: bytes {begin}-{len(data) - 1}/{len(data)}"
        status = "206 Partial Content" if begin else "200 OK"
        await request.head(status, f"Content-Length: {len(data) - begin}", "Accept-Ranges: bytes", span)
        await request.write(data[begin : begin + 200_000])
        if how == "stalls" and begin + 200_000 < len(data):
            await request.stall()

    listener = Listener(workshop, server.url("/a"))
    samples = await listener.to_the_end()
    assert listener.broken is None, listener.news
    assert any(isinstance(news, Stalled) for news in listener.news)
    assert np.max(np.abs(samples[:, 0] - chirp(8, RATE))) < 1e-3  # not a sample is missing, and none came twice


async def test_a_file_without_ranges_that_breaks_is_played_as_far_as_it_came(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data = encode(tone(440, 4, RATE), "mp3")

    @server.route("/short")  # it says that there is more
    async def short(request: Request) -> None:
        await request.head("200 OK", f"Content-Length: {2 * len(data)}")
        await request.write(data)

    @server.route("/long")  # it says that there is less
    async def long(request: Request) -> None:
        await request.head("200 OK", f"Content-Length: {len(data) // 2}")
        await request.write(data)

    for path, seconds in (("/short", 4), ("/long", 2)):
        listener = Listener(workshop, server.url(path))
        samples = await listener.to_the_end()
        assert listener.broken is None
        assert abs(len(samples) / RATE - seconds) < 0.2, path
        assert is_tone(samples)


async def test_a_slow_server_is_waited_for(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data = encode(tone(440, 2, RATE), "mp3")

    @server.route("/a")
    async def answer(request: Request) -> None:
        await request.head("200 OK", f"Content-Length: {len(data)}")
        for begin in range(0, len(data), 1000):
            await request.write(data[begin : begin + 1000])
            await asyncio.sleep(0.03)

    listener = Listener(workshop, server.url("/a"))
    assert is_tone(await listener.to_the_end())


async def test_what_is_no_music_is_broken_for_a_reason(
    place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "READ_TIMEOUT_S", 1.0)
    server, workshop = place

    @server.route("/page")
    async def page(request: Request) -> None:
        await request.answer(b"<html>" * 1000, "audio/mpeg")

    @server.route("/empty")
    async def empty(request: Request) -> None:
        await request.answer(b"")

    @server.route("/zeros")  # for ever
    async def zeros(request: Request) -> None:
        await request.head("200 OK")
        while True:
            await request.write(bytes(100_000))

    @server.route("/silent")
    async def silent(request: Request) -> None:
        await request.head("200 OK")
        await request.stall()

    @server.route("/away")
    async def away(request: Request) -> None:
        await request.redirect("http://10.0.0.1/a.mp3")

    for url, reasons in {
        server.url("/page"): {"unknown-format"},
        server.url("/empty"): {"empty"},
        server.url("/zeros"): {"unknown-format", "huge-header"},
        server.url("/silent"): {"stalled"},
        server.url("/away"): {"refused"},
        server.url("/none"): {"unreachable"},
        "http://127.0.0.1:1/": {"unreachable"},
        "http://10.0.0.1/": {"refused"},
        "file:///etc/passwd": {"refused"},
        "/etc/passwd": {"refused"},
        "concat:/etc/passwd": {"refused"},
        "library:none": {"not-found"},
    }.items():
        listener = Listener(workshop, url)
        await listener.to_the_end()
        assert listener.broken is not None, url
        assert listener.broken.reason in reasons, (url, listener.broken)
        assert "passwd" not in listener.broken.detail


# Radio


async def test_an_endless_stream_is_played_reconnected_and_resumed(
    place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck_module, "BACK_OFF_S", (0.01, 0.05))
    server, workshop = place
    data = encode(tone(440, 5, RATE), "mp3", RATE, "stereo")

    @server.route("/live")
    async def live(request: Request) -> None:
        """Each connection gives 2 s; the second is refused."""
        if len(server.requests) == 2:
            await request.answer(b"", "text/plain", "503 Service Unavailable")
            return
        await request.head("200 OK", "icy-name: Radio", "Content-Type: audio/mpeg")
        await request.write(data[: len(data) * 2 // 5])

    listener = Listener(workshop, server.url("/live"), 99.0)
    await listener.until(lambda: len(server.requests) >= 5)
    assert listener.broken is None
    assert listener.deck.start_s == 0
    assert listener.ready is not None
    assert listener.ready.duration_s is None
    assert any(isinstance(news, Stalled) for news in listener.news)
    assert not listener.ring.finished
    assert len(listener.samples) > 4 * RATE
    assert is_tone(listener.samples[: RATE + RATE // 2])
    listener.deck.close()


async def test_a_station_that_speaks_as_shoutcast_did_is_played(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place

    @server.route("/;stream")
    async def live(request: Request) -> None:
        assert "icy-metadata" not in request.headers  # nothing but sound is asked for
        await request.write(b"ICY 200 OK\r\nicy-name: Radio\r\ncontent-type: audio/mpeg\r\n\r\n")
        await request.write(encode(tone(440, 3, RATE), "mp3", RATE, "stereo"))
        await request.stall()

    listener = Listener(workshop, server.url("/;stream"))
    await listener.until(lambda: len(listener.samples) > 2 * RATE)
    assert is_tone(listener.samples)
    listener.deck.close()


async def test_an_endless_stream_that_does_not_come_back_is_given_up(
    place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck_module, "BACK_OFF_S", (0.01, 0.05))
    monkeypatch.setattr(deck_module, "GIVE_UP_ENDLESS_S", 0.3)
    server, workshop = place

    @server.route("/live")
    async def live(request: Request) -> None:
        if len(server.requests) > 1:
            await request.answer(b"", "text/plain", "404 Not Found")
            return
        await request.head("200 OK", "icy-name: Radio", "Content-Type: audio/mpeg")
        await request.write(encode(tone(440, 2, RATE), "mp3"))

    listener = Listener(workshop, server.url("/live"))
    await listener.until(lambda: listener.broken is not None)
    assert listener.broken is not None
    assert listener.broken.reason == "unreachable"
    assert 3 < len(server.requests) < 20


async def test_a_full_ring_holds_the_server_back(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data, sent = encode(tone(440, 1, RATE), "mp3") * 20, 0

    @server.route("/live")
    async def live(request: Request) -> None:
        nonlocal sent
        await request.head("200 OK", "icy-name: Radio")
        while True:
            await request.write(data)
            sent += len(data)

    listener = Listener(workshop, server.url("/live"))
    await listener.until(lambda: listener.ring.buffered == listener.ring.capacity, reads=False)
    before = sent
    await asyncio.sleep(0.5)
    assert sent - before < 10 * len(data)
    listener.deck.close()


# Lists


async def test_lists_lead_to_what_can_be_played(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data = encode(tone(440, 2, RATE), "mp3")

    @server.route("/a.mp3")
    async def answer(request: Request) -> None:
        await request.answer(data)

    lists = {
        "/a.m3u": f"{server.url('/none')}\n{server.url('/a.mp3')}\n",
        "/b.m3u": "#EXTM3U\n#EXTINF:1,x\na.mp3\n",
        "/c.pls": f"[playlist]\nNumberOfEntries=1\nFile1={server.url('/b.m3u')}\n",
    }
    for path, text in lists.items():

        @server.route(path)
        async def playlist(request: Request, text: str = text) -> None:
            await request.answer(text.encode(), "audio/x-scpls" if text.startswith("[") else "audio/x-mpegurl")

    for path in lists:
        listener = Listener(workshop, server.url(path))
        assert is_tone(await listener.to_the_end()), path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#EXTM3U\nfile:///etc/passwd\n", "refused"),
        ("#EXTM3U\nhttp://10.0.0.1/a.mp3\n", "refused"),
        ("[playlist]\nFile1=http://169.254.169.254/latest/\n", "refused"),
        ("#EXTM3U\n/etc/passwd\n", "unreachable"),  # a path on that server
        ("#EXTM3U\nloop.m3u\n", "unreachable"),
        ("#EXTM3U\n", "unreachable"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "refused"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.2.nip/x\n#EXT-X-ENDLIST\n", "refused"),
        ("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://[::ffff:10.0.0.1]/x\n#EXT-X-ENDLIST\n", "refused"),
        ('#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI="file:///x"\n#EXTINF:2,\na\n#EXT-X-ENDLIST\n', "refused"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://10.0.0.1/a.m3u8\n", "refused"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=x,,,\n\n", "unreachable"),
        (
            '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI="http://10.0.0.1/k"\n'
            "#EXTINF:2,\nnone\n#EXT-X-ENDLIST\n",
            "refused",
        ),
    ],
)
async def test_what_lists_name_goes_through_the_gate(place: tuple[Radio, Workshop], text: str, reason: str) -> None:
    server, workshop = place
    server.mean("127.0.0.2.nip", ["10.0.0.1"])

    @server.route("/loop.m3u")
    async def playlist(request: Request) -> None:
        await request.answer(text.encode(), "audio/x-mpegurl")

    @server.route("/none")
    async def segment(request: Request) -> None:
        await request.answer(bytes(32))

    listener = Listener(workshop, server.url("/loop.m3u"))
    await listener.to_the_end()
    assert listener.broken is not None
    assert listener.broken.reason == reason, listener.broken
    assert len(server.requests) < 10


def test_lists_are_told_from_sound() -> None:
    assert is_list("audio/x-mpegurl", "/live", b"http://radio.example/a\n")
    assert is_list("text/plain", "/a.txt", b"\xef\xbb\xbf#EXTM3U\n")
    assert is_list("", "/a.pls", b"[playlist]\n")
    assert not is_list("audio/x-mpegurl", "/a.m3u", b"ID3\x04")
    assert not is_list("audio/mpeg", "/a.mp3", b"\xff\xfb\x90")
    assert addresses("[Playlist]\nfile1 = http://a\nTitle1=x\nFile2=http://b\n") == ["http://a", "http://b"]
    assert addresses("\ufeff#EXTM3U\r\n#x\r\n http://a \r\n\r\nb.mp3\n") == ["http://a", "b.mp3"]
    assert len(addresses("http://a\n" * 1000)) == 32


# HLS


def segments(form: str, count: int = 4, seconds: float = 2.0) -> list[bytes]:
    """A chirp as independent pieces that follow on each other."""
    whole = chirp(count * seconds, RATE)
    size = int(seconds * RATE)
    return [encode(whole[begin : begin + size], form, RATE, "stereo") for begin in range(0, len(whole), size)]


def serve_segments(server: Radio, pieces: list[bytes]) -> None:
    for number, piece in enumerate(pieces):

        @server.route(f"/hls/{number}")
        async def segment(request: Request, piece: bytes = piece) -> None:
            await request.answer(piece, "video/mp2t")


def serve_list(server: Radio, text: str, path: str = "/hls/list.m3u8") -> str:
    @server.route(path)
    async def playlist(request: Request) -> None:
        await request.answer(text.encode(), "application/vnd.apple.mpegurl")

    return server.url(path)


def media_list(count: int, *, first: int = 0, before: str = "", ended: bool = True) -> str:
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{first}", before]
    lines += [f"#EXTINF:2.0,\n{first + number}" for number in range(count)]
    return "\n".join([*lines, "#EXT-X-ENDLIST" if ended else "", ""])


@pytest.mark.parametrize("form", ["mpegts", "adts"])
async def test_hls_is_played_from_its_beginning_and_from_anywhere(place: tuple[Radio, Workshop], form: str) -> None:
    server, workshop = place
    serve_segments(server, segments(form))
    url = serve_list(server, media_list(4))
    whole = chirp(8, RATE)
    for start_s in (0.0, 5.0):
        listener = Listener(workshop, url, start_s)
        samples = await listener.to_the_end()
        assert listener.broken is None, listener.news
        assert listener.ready is not None
        assert listener.ready.duration_s == 8
        assert abs(len(samples) / RATE - (8 - start_s)) < 0.3
        assert abs(offset_of(samples[2400:12_000, 0], whole) - start_s * RATE - 2400) < 0.06 * RATE
    assert "/hls/0" not in [request.path for request in server.requests[-3:]]


async def test_hls_of_fragmented_mp4_is_played(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    data = encode(chirp(8, RATE), "m4a", RATE, "stereo", options=FRAGMENTED)
    cuts = [place for place in range(4, len(data)) if data[place : place + 4] == b"moof"]
    edges = [*(cut - 4 for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    serve_segments(server, pieces)

    @server.route("/hls/init")
    async def init(request: Request) -> None:
        await request.answer(data[: edges[0]], "video/mp4")

    url = serve_list(server, media_list(len(pieces), before='#EXT-X-MAP:URI="init"'))
    listener = Listener(workshop, url)
    samples = await listener.to_the_end()
    assert listener.broken is None, listener.news
    assert abs(len(samples) / RATE - 8) < 0.2
    assert abs(offset_of(samples[RATE : 2 * RATE, 0], chirp(8, RATE)) - RATE) < 0.06 * RATE
    # The same as ranges of one file, of a server that has them and of one that has not.
    listed = "\n".join(
        f"#EXTINF:2,\n#EXT-X-BYTERANGE:{end - begin}@{begin}\n/hls/all" for begin, end in pairwise(edges)
    )
    for has_ranges in (True, False):

        @server.route("/hls/all")
        async def everything(request: Request, has_ranges: bool = has_ranges) -> None:
            begin, end = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
            body = data[begin : end + 1] if has_ranges else data
            await request.answer(body, "video/mp4", "206 Partial Content" if has_ranges else "200 OK")

        init_range = f'#EXT-X-MAP:URI="/hls/all",BYTERANGE="{edges[0]}@0"'
        text = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n{init_range}\n{listed}\n#EXT-X-ENDLIST\n"
        listener = Listener(workshop, serve_list(server, text, f"/hls/ranges{has_ranges}.m3u8"))
        assert abs(len(await listener.to_the_end()) / RATE - 8) < 0.2


async def test_encrypted_hls_is_played(place: tuple[Radio, Workshop]) -> None:
    server, workshop = place
    key = bytes(range(16))

    def seal(data: bytes, iv: bytes) -> bytes:
        padder = padding.PKCS7(128).padder()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        return encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()

    pieces = segments("mpegts")
    serve_segments(server, [seal(piece, number.to_bytes(16, "big")) for number, piece in enumerate(pieces)])

    @server.route("/hls/key")
    async def answer(request: Request) -> None:
        await request.answer(key)

    listener = Listener(workshop, serve_list(server, media_list(4, before='#EXT-X-KEY:METHOD=AES-128,URI="key"')))
    assert abs(len(await listener.to_the_end()) / RATE - 8) < 0.3
    assert [request.path for request in server.requests].count("/hls/key") == 1
    with pytest.raises(FetchError):
        decrypt(pieces[0][:1000], key, bytes(16))


async def test_live_hls_is_followed(place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.music.hls.asyncio.sleep", _quick(asyncio.sleep))
    server, workshop = place
    pieces = segments("mpegts", 10, 1.0)
    serve_segments(server, pieces)
    asked = 0

    @server.route("/hls/live.m3u8")
    async def playlist(request: Request) -> None:
        nonlocal asked
        first = min(asked // 2, 6)
        text = media_list(4, first=first, ended=first == 6)
        asked += 1
        await request.answer(text.encode(), "application/vnd.apple.mpegurl")

    listener = Listener(workshop, server.url("/hls/live.m3u8"))
    await listener.until(lambda: "/hls/9" in [request.path for request in server.requests])
    await asyncio.sleep(0.3)
    listener.parts.append(listener.ring.read(1 << 20))
    listener.deck.close()
    fetched = [request.path for request in server.requests if request.path[5:].isdigit()]
    assert fetched[:9] == [f"/hls/{number}" for number in range(1, 10)]  # from three before its end, each once
    assert abs(offset_of(listener.samples[RATE : 2 * RATE, 0], chirp(10, RATE)) - 2 * RATE) < 0.1 * RATE


async def test_live_hls_goes_on_with_what_is_new_after_a_fetch_that_failed(
    place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.music.hls.asyncio.sleep", _quick(asyncio.sleep))
    server, workshop = place
    pieces = segments("mpegts", 20, 1.0)
    serve_segments(server, pieces)
    failed, asked = False, 0

    @server.route("/hls/3")
    async def fails(request: Request) -> None:
        nonlocal failed
        failed = True
        for number in range(10):  # and when it is asked again, the stream has gone on
            server.routes.pop(f"/hls/{number}", None)
        await request.answer(b"", "text/plain", "503 Service Unavailable")

    @server.route("/hls/live.m3u8")
    async def playlist(request: Request) -> None:
        nonlocal asked
        asked += failed
        first = min(10 + asked // 2, 16) if failed else 0
        await request.answer(media_list(4, first=first, ended=False).encode(), "application/vnd.apple.mpegurl")

    listener = Listener(workshop, server.url("/hls/live.m3u8"))
    await listener.until(lambda: "/hls/19" in [request.path for request in server.requests])
    listener.deck.close()
    assert listener.broken is None
    fetched = [request.path for request in server.requests if request.path[5:].isdigit()]
    assert fetched == [f"/hls/{number}" for number in (1, 2, 3, *range(11, 20))]


async def test_live_hls_that_has_ended_meanwhile_does_not_play_its_end_again(
    place: tuple[Radio, Workshop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.music.hls.asyncio.sleep", _quick(asyncio.sleep))
    server, workshop = place
    serve_segments(server, segments("mpegts", 4, 1.0))
    asked = 0

    @server.route("/hls/live.m3u8")
    async def playlist(request: Request) -> None:
        nonlocal asked
        asked += 1
        await request.answer(media_list(4, ended=asked > 1).encode(), "application/vnd.apple.mpegurl")

    listener = Listener(workshop, server.url("/hls/live.m3u8"))
    await listener.until(lambda: asked > 4)
    listener.deck.close()
    fetched = [request.path for request in server.requests if request.path[5:].isdigit()]
    assert fetched == [f"/hls/{number}" for number in (1, 2, 3)]


def _quick(sleep: object) -> object:
    async def quick(seconds: float) -> None:
        await sleep(min(seconds, 0.01))  # type: ignore[operator]

    return quick


def test_variants_are_chosen_for_their_sound() -> None:
    def line(bandwidth: int, codecs: str, more: str = "") -> str:
        return f'#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS="{codecs}"{more}\n{bandwidth}.m3u8'

    def chosen(*lines: str) -> str:
        return choose(_load("\n".join(["#EXTM3U", *lines])))

    sound = [line(rate, "mp4a.40.2") for rate in (64_000, 128_000, 900_000)]
    films = [line(rate, "avc1.4d401f,mp4a.40.2", ",RESOLUTION=640x360") for rate in (300_000, 3_000_000)]
    assert chosen(*films, *sound) == "128000.m3u8"
    assert chosen(*films) == "300000.m3u8"
    rendition = '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="x",DEFAULT=YES,URI="sound.m3u8"'
    grouped = line(300_000, "avc1.4d401f,mp4a.40.2", ',RESOLUTION=640x360,AUDIO="a"')
    assert chosen(rendition, grouped) == "sound.m3u8"
    assert media_of(_load("#EXTM3U\n")).segments == []
    for bad in ("#EXT-X-BYTERANGE:x\n", "#EXT-X-BYTERANGE:99999999999\n", '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"\n'):
        with pytest.raises(FetchError):
            media_of(_load(f"#EXTM3U\n#EXTINF:1,\n{bad}a\n"))


# Decoders that die or hang


async def test_a_decoder_that_dies_or_hangs_breaks_its_deck_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck_module, "HANG_S", 2.5)
    path = tmp_path / "a.wav"
    path.write_bytes(encode(tone(440, 60, RATE), "wav"))
    async with studio(lambda _: path) as (_, workshop):
        other = Listener(workshop, "library:x")
        for number, reason in ((signal.SIGKILL, "decoder-died"), (signal.SIGSTOP, "decoder-hung")):
            listener = Listener(workshop, "library:x")
            await listener.until(lambda: listener.ready is not None, reads=False)  # noqa: B023
            child = listener.deck._child
            assert child is not None
            os.kill(child.pid, number)
            await listener.until(lambda: listener.broken is not None)  # noqa: B023
            assert listener.broken is not None
            assert listener.broken.reason == reason
        await other.until(lambda: len(other.samples) > 10 * RATE)
        assert other.broken is None
        other.deck.close()


async def test_a_paused_deck_and_a_silent_source_are_not_taken_for_hung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck_module, "HANG_S", 2.5)
    path = tmp_path / "a.wav"
    path.write_bytes(encode(tone(440, 20, RATE), "wav"))
    async with studio(lambda _: path) as (server, workshop):

        @server.route("/live")
        async def live(request: Request) -> None:
            await request.head("200 OK", "icy-name: Radio")
            await request.write(encode(tone(440, 2, RATE), "mp3"))
            await request.stall()

        decks = [Listener(workshop, "library:x"), Listener(workshop, server.url("/live"))]
        await asyncio.sleep(6)
        for listener in decks:
            assert listener.ready is not None
            assert listener.broken is None
            listener.deck.close()
