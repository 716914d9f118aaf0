"""The media library over HTTP, with decoders as they are: uploads, lists, pictures, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserver.http.body import MAX_BODY
from tests.clips import encode, png, tone, with_cover
from tests.credentials import CONTROLLER, KEYS, LINES, READER, Headers, basic, request
from tests.decoders import until
from tests.edge import KEY, Edge, assert_problem, bearer, serving

RATE = 48_000
MP3 = encode(tone(440, 2, RATE), "mp3", tags={"title": "Ein Lied", "artist": "Jemand"})
AUDIO = {"Content-Type": "audio/mpeg"}


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with serving(api_key=LINES, media_dir=tmp_path, media_file_mib=1) as edge:
        edge.node.api_keys.replace(KEYS)
        yield edge


def kept(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.is_file()]


async def upload(edge: Edge, content: Any, **headers: str) -> httpx.Response:
    return await edge.control("POST", "media", content=content, headers=AUDIO | headers)


async def test_a_file_is_uploaded_listed_shown_and_removed(edge: Edge, tmp_path: Path) -> None:
    response = await upload(edge, with_cover(MP3, "mp3", png()))
    assert response.status_code == 201, response.text
    item = response.json()
    assert response.headers["location"] == f"/v1/media/{item['id']}"
    assert item["title"] == "Ein Lied"
    assert item["artist"] == "Jemand"
    assert "album" not in item
    assert abs(item["duration_s"] - 2) < 0.05
    assert item["has_cover"]
    assert (await edge.control("GET", "media", item["id"])).json() == item
    assert (await edge.control("GET", "media")).json() == {"media": [item]}
    cover = await edge.control("GET", "media", item["id"], "cover")
    assert cover.content == png()
    assert cover.headers["content-type"] == "image/png"
    assert cover.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in cover.headers["content-security-policy"]
    assert (await edge.control("DELETE", "media", item["id"])).status_code == 204
    for path in ((item["id"],), (item["id"], "cover")):
        assert_problem(await edge.control("GET", "media", *path), "no-media")
    assert_problem(await edge.control("DELETE", "media", item["id"]), "no-media")
    assert (await edge.control("GET", "media")).json() == {"media": []}
    assert not kept(tmp_path)


async def test_the_same_file_again_is_the_same_item(edge: Edge) -> None:
    first, again = await upload(edge, MP3), await upload(edge, MP3)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"]
    keyed = [await upload(edge, MP3, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert [response.status_code for response in keyed] == [200, 200]


async def test_a_file_without_a_picture_has_none(edge: Edge) -> None:
    item = (await upload(edge, MP3)).json()
    assert not item["has_cover"]
    assert_problem(await edge.control("GET", "media", item["id"], "cover"), "no-media")


async def test_lists_are_paged_and_searched(edge: Edge) -> None:
    for number in range(5):
        tags = {"title": f"song {number}", "artist": "even" if number % 2 == 0 else "odd"}
        assert (await upload(edge, encode(tone(300, 0.2, RATE), "flac", tags=tags))).status_code == 201
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = (await edge.control("GET", "media", params=query)).json()
        seen += [item["title"] for item in page["media"]]
        if "next" not in page:
            break
        query["cursor"] = page["next"]
    assert seen == [f"song {number}" for number in range(5)]
    found = (await edge.control("GET", "media", params={"search": "EVEN song"})).json()["media"]
    assert [item["title"] for item in found] == ["song 0", "song 2", "song 4"]
    for bad in ({"limit": "0"}, {"limit": "1001"}, {"search": "x" * 201}, {"cursor": "x" * 257}):
        assert_problem(await edge.control("GET", "media", params=bad), "invalid")


async def test_what_is_no_music_is_refused_by_its_reason(edge: Edge, tmp_path: Path) -> None:
    for content, reason in ((b"", "empty"), (b"<html>" * 99, "unknown-format"), (b"\0" * 100_000, "unknown-format")):
        response = await upload(edge, content)
        assert_problem(response, "not-music")
        assert response.json()["reason"] == reason
    assert not kept(tmp_path)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_what_is_not_sent_as_a_file_with_sound_is_refused(edge: Edge, kind: str) -> None:
    assert_problem(await upload(edge, MP3, **{"Content-Type": kind}), "unsupported-media-type")
    assert (await upload(edge, MP3, **{"Content-Type": "application/octet-stream"})).status_code == 201


async def test_files_are_bounded_announced_or_not(edge: Edge) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1024):
            yield bytes(1024)

    large = 1024**2 + 1024
    assert_problem(await upload(edge, bytes(large)), "too-large")
    assert_problem(await upload(edge, chunks(large)), "too-large")
    long = encode(tone(440, 5, RATE), "wav")
    assert MAX_BODY < len(long) < 1024**2
    assert (await upload(edge, long)).status_code == 201
    for headers in ({}, bearer(), basic(KEY.id, "x" * 32), basic(READER.id, READER.secret)):
        response = await edge.http.post("/v1/media", content=long, headers=AUDIO | headers)
        assert_problem(response, "too-large")


@pytest.mark.parametrize("headers", [basic(CONTROLLER.id, CONTROLLER.secret), request(), request(once=True)])
async def test_whoever_controls_rooms_may_upload(edge: Edge, headers: Headers) -> None:
    response = await edge.http.post("/v1/media", content=MP3, headers=AUDIO | headers)
    assert response.status_code == 201


async def test_an_upload_that_ends_early_leaves_nothing(edge: Edge, tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield MP3[:10_000]
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(upload(edge, half()))
    await begun.wait()
    await until(lambda: any((tmp_path / ".incoming").iterdir()))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not any((tmp_path / ".incoming").iterdir()))
    assert not kept(tmp_path)


async def test_who_does_not_wait_for_the_answer_has_uploaded_nothing(edge: Edge, tmp_path: Path) -> None:
    library = edge.node.playback.music.library
    assert library is not None
    decoding = asyncio.Event()

    async def checks(*_: Any) -> None:
        decoding.set()
        await asyncio.Event().wait()

    real, library._check = library._check, checks  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(upload(edge, MP3))
    await decoding.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: not any((tmp_path / ".incoming").iterdir()))
    assert not kept(tmp_path)
    library._check = real  # type: ignore[method-assign]
    assert (await upload(edge, MP3)).status_code == 201


async def test_without_a_library_there_is_none() -> None:
    async with serving() as edge:
        for method, path in (("GET", ""), ("POST", ""), ("GET", "/x"), ("DELETE", "/x"), ("GET", "/x/cover")):
            response = await edge.http.request(method, f"/v1/media{path}", auth=edge.service)
            assert_problem(response, "no-library")
