"""The library: what is in it can be played, what is not leaves nothing, and all of it survives a restart."""

import asyncio
import errno
import itertools
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mediaserver.music.checking import NotMusicError
from mediaserver.music.children import Children
from mediaserver.music.config import Bounds
from mediaserver.music.items import Item, from_json, to_json
from mediaserver.music.library import Library, LibraryError, LibraryFullError, TooLargeError
from mediaserver.music.sounds import load
from tests.clips import encode, pitch_hz, png, tone, with_cover
from tests.decoders import decoders, until

RATE = 48_000
WAV = encode(tone(440, 1, RATE))


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    async with decoders() as found:
        yield found


async def chunks(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


def files(directory: Path) -> set[str]:
    """All that is there, but what is known of items."""
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return {path for path in found if not path.startswith(".library/")}


async def test_what_is_uploaded_is_there_with_what_it_is(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children, clock=lambda: 1000.0)
    tags = {"title": "Ein Lied", "artist": "Jemand", "album": "Alles"}
    for form, kind, rate in [
        ("mp3", "audio/mpeg", 44_100),
        ("m4a", "audio/mp4", 44_100),
        ("ogg opus", "audio/ogg", 48_000),
        ("flac", "audio/flac", 44_100),
        ("wav", "audio/wav", 22_050),
    ]:
        data = encode(tone(440, 2, rate), form, rate, "stereo", tags=tags)
        item, is_new = await library.add(chunks(data))
        assert is_new
        assert item.media_type == kind, form
        assert abs(item.duration_s - 2) < 0.08
        assert (item.sampling_rate, item.channels, item.size, item.added) == (rate, 2, len(data), 1000.0)
        if form != "wav":
            assert (item.title, item.artist, item.album) == ("Ein Lied", "Jemand", "Alles"), form
        path = library.path(item.id)
        assert path is not None
        assert path.read_bytes() == data
    assert len(library) == 5
    assert library.total == sum((tmp_path / name).stat().st_size for name in files(tmp_path))


async def test_a_title_is_for_a_file_that_does_not_say_its_own(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children)
    item, _ = await library.add(chunks(WAV), "A\tsong\n")
    assert item.title == "Asong", "what orders lists is left out"
    assert (await library.add(chunks(WAV), "Another"))[0].title == "Asong"
    tagged = encode(tone(440, 1, RATE), "flac", tags={"title": "Its own"})
    assert (await library.add(chunks(tagged), "Another"))[0].title == "Its own"
    assert [item.title for item in Library(tmp_path, children).page("", 10)[0]] == ["Asong", "Its own"]


async def test_the_same_file_is_the_same_item(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children)
    first = await library.add(chunks(WAV))
    assert await library.add(chunks(WAV, 777)) == (first[0], False)
    both = await asyncio.gather(library.add(chunks(WAV + b"\0\0")), library.add(chunks(WAV + b"\0\0")))
    assert both[0][0] == both[1][0]
    assert sorted(is_new for _, is_new in both) == [False, True]
    assert len(library) == 2
    assert len(files(tmp_path)) == 2


async def test_a_restart_changes_nothing(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children)
    data = with_cover(encode(tone(440, 1, RATE), "mp3"), "mp3", png())
    item, _ = await library.add(chunks(data))
    assert item.cover_type == "image/png"
    other = Library(tmp_path, children)
    assert other.get(item.id) == item
    assert await other.cover(item.id) == png()
    await other.scan()
    assert other.get(item.id) == item
    assert len(other) == 1


@pytest.mark.parametrize("form", ["mp3", "flac"])
async def test_covers_are_kept_if_they_are_pictures(tmp_path: Path, children: Children, form: str) -> None:
    library = Library(tmp_path, children)
    for number, (cover, kind) in enumerate([(png(), "image/png"), (b"<svg onload=alert()>", ""), (png(3_000_000), "")]):
        data = with_cover(encode(tone(440 + number, 1, RATE), form), form, cover)
        item, _ = await library.add(chunks(data))
        assert item.cover_type == kind
        assert await library.cover(item.id) == (cover if kind else None)


async def test_what_is_no_music_or_does_not_come_whole_leaves_nothing(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children, Bounds(max_file=200_000, max_total=300_000, max_duration_s=10))

    async def breaks() -> AsyncIterator[bytes]:
        yield WAV[:50_000]
        raise ConnectionError

    async def hangs() -> AsyncIterator[bytes]:
        yield WAV[:50_000]
        await asyncio.Event().wait()

    for data, reason in [
        (b"", "empty"),
        (b"<html>" * 100, "unknown-format"),
        (encode(tone(440, 5, RATE), "flac")[:30_000], "truncated"),
        (encode(tone(440, 11, 8000), "wav", 8000), "too-long"),
    ]:
        with pytest.raises(NotMusicError) as refused:
            await library.add(chunks(data))
        assert refused.value.reason == reason
    with pytest.raises(TooLargeError):
        await library.add(chunks(bytes(200_001)))
    with pytest.raises(ConnectionError):
        await library.add(breaks())
    upload = asyncio.create_task(library.add(hangs()))
    await until(lambda: bool(files(tmp_path)))
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)
    assert not files(tmp_path)
    for moment in ("_check", "_register"):  # while it is decoded, and when it is nearly there
        upload = asyncio.create_task(library.add(chunks(WAV)))
        await at(library, moment)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert not files(tmp_path)
        assert library.page("", 10) == ([], None)
    for number in range(3):
        await library.add(chunks(encode(tone(300 + number, 0.9, RATE))))
    with pytest.raises(LibraryFullError):
        await library.add(chunks(WAV))
    assert len(files(tmp_path)) == 3
    assert library._arriving == 0


async def test_an_upload_that_is_cancelled_takes_nothing_from_another_of_the_same(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, children)
    register, held, release = library._register, asyncio.Event(), asyncio.Event()

    async def holds(*args: Any) -> None:
        held.set()
        await release.wait()
        await register(*args)

    monkeypatch.setattr(library, "_register", holds)
    first = asyncio.create_task(library.add(chunks(WAV)))
    await held.wait()
    second = asyncio.create_task(library.add(chunks(WAV)))
    await until(lambda: bool(library._keeping._waiters))
    first.cancel()
    release.set()
    results = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert not isinstance(results[1], BaseException)
    item, _ = results[1]
    assert library.get(item.id) is not None
    assert files(tmp_path) == {item.path}
    # And told when all is done but who brought it, who is cancelled then, does not know yet.
    await library.remove(item.id)
    keep = library._keep

    async def cancelled_at_the_end(*args: Any) -> Any:
        kept = await keep(*args)
        again = await library.add(chunks(WAV))
        assert not again[1]
        first.cancel()
        return kept

    monkeypatch.setattr(library, "_keep", cancelled_at_the_end)
    first = asyncio.create_task(library.add(chunks(WAV)))
    with pytest.raises(asyncio.CancelledError):
        await first
    assert files(tmp_path) == {item.path}
    assert library.get(item.id) is not None


async def at(library: Library, method: str) -> None:
    """When it is called next."""
    called, real = asyncio.Event(), getattr(library, method)

    async def tells(*args: Any) -> Any:
        called.set()
        setattr(library, method, real)
        return await real(*args)

    setattr(library, method, tells)
    await called.wait()


async def test_a_process_that_was_killed_in_an_upload_leaves_nothing(tmp_path: Path, children: Children) -> None:
    Library(tmp_path, children)
    (tmp_path / ".incoming" / "half").write_bytes(WAV[:100])
    (tmp_path / ".library" / "x.json").write_text("{}")
    library = Library(tmp_path, children)
    assert not files(tmp_path)
    assert not list((tmp_path / ".library").iterdir())
    assert len(library) == 0


async def test_what_is_put_there_by_hand_is_found_followed_and_forgotten(tmp_path: Path, children: Children) -> None:
    now = time.time()
    library = Library(tmp_path, children, clock=lambda: now)
    (tmp_path / "Album" / "CD 1").mkdir(parents=True)
    path = tmp_path / "Album" / "CD 1" / "01 Ein Lied.flac"
    path.write_bytes(encode(tone(440, 1, RATE), "flac"))
    (tmp_path / "cover.txt").write_text("no music")
    (tmp_path / ".hidden.wav").write_bytes(WAV)
    (tmp_path / "link.wav").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.wav")
    await library.scan()
    assert len(library) == 0  # it may still be written
    now += 10
    await library.scan()
    (item,) = library.page("", 10)[0]
    assert item.title == "01 Ein Lied"
    assert item.path == "Album/CD 1/01 Ein Lied.flac"
    assert library.path(item.id) == path
    added, path = item.added, path.rename(tmp_path / "other name.flac")
    await library.scan()
    (item,) = library.page("", 10)[0]
    assert (item.path, item.added) == ("other name.flac", added)
    assert [kept.id for kept in Library(tmp_path, children).page("", 10)[0]] == [item.id]
    path.write_bytes(encode(tone(880, 1, RATE), "flac"))
    now += 10
    await library.scan()
    (changed,) = library.page("", 10)[0]
    assert changed.id != item.id
    path.unlink()
    await library.scan()
    assert len(library) == 0
    assert library.total == 0


async def test_what_cannot_be_named_or_read_is_left_out_and_said_once(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tmp_path, children, clock=lambda: time.time() + 10)
    latin = os.fsencode(tmp_path) + b"/Caf\xe9"
    os.mkdir(latin)
    for path in (latin + b"/song.wav", latin + b".wav"):
        os.symlink(b"anywhere", path)
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "song.wav").write_bytes(WAV)
    scandir = os.scandir

    def guarded(path: Path) -> Any:  # tests may run as root, who may read everything
        if path.name == "lost+found":
            raise PermissionError(errno.EACCES, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with caplog.at_level("WARNING"):
        for _ in range(3):
            await library.scan()
    assert [item.path for item in library.page("", 10)[0]] == ["song.wav"]
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 3
    assert sum("Permission denied" in line for line in said) == 1
    assert sum("not UTF-8" in line for line in said) == 2


async def test_the_watch_goes_on_whatever_a_look_comes_to(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, children)
    looks = 0

    async def scan() -> None:
        nonlocal looks
        looks += 1
        raise UnicodeEncodeError("utf-8", "x", 0, 1, "a defect") if looks == 1 else OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(library, "scan", scan)
    monkeypatch.setattr("mediaserver.music.library.SCAN_S", 0.001)
    watching = asyncio.create_task(library.watch())
    await until(lambda: looks > 3 or watching.done(), 5)
    assert not watching.done()
    watching.cancel()


async def test_one_file_that_is_a_defect_s_occasion_keeps_no_other_out(
    tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path, children, clock=lambda: time.time() + 10)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").write_bytes(encode(tone(300 + ord(name), 0.2, RATE)))
    register = library._register

    async def fails(item: Item, found: Any) -> None:
        if item.path == "b.wav":
            raise ValueError("a defect")
        await register(item, found)

    monkeypatch.setattr(library, "_register", fails)
    await library.scan()
    assert {item.path for item in library.page("", 10)[0]} == {"a.wav", "c.wav"}


async def test_what_is_removed_is_gone_with_its_picture(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children)
    item, _ = await library.add(chunks(with_cover(encode(tone(440, 1, RATE), "mp3"), "mp3", png())))
    assert await library.remove(item.id)
    assert not await library.remove(item.id)
    assert not files(tmp_path)
    assert not os.listdir(tmp_path / ".library")
    assert library.path(item.id) is None
    await library.add(chunks(WAV))  # and can come back


async def test_pages_are_by_title_and_search_is_by_words(tmp_path: Path, children: Children) -> None:
    library = Library(tmp_path, children)
    titles = ["Zebra", "apple", "Äpfel", "banana", "Banana split", "x" * 300]
    for number, title in enumerate(titles):
        tags = {"title": title, "artist": f"Somebody {number}"}
        await library.add(chunks(encode(tone(300 + number, 0.2, RATE), "flac", tags=tags)))
    seen, cursor = [], ""
    for _ in itertools.count():
        page, following = library.page(cursor, 2)
        seen += [item.title for item in page]
        if following is None:
            break
        cursor = following
        assert len(cursor) <= 256
    assert seen == sorted((title[:200] for title in titles), key=str.casefold)
    assert [item.title for item in library.page("", 10, "BANANA")[0]] == ["banana", "Banana split"]
    assert [item.title for item in library.page("", 10, "some split")[0]] == ["Banana split"]
    assert library.page("", 10, "nothing of this")[0] == []
    assert library.page("", 3, "banana")[1] is None


async def test_an_item_is_read_back_or_refused(tmp_path: Path, children: Children) -> None:
    item, _ = await Library(tmp_path, children).add(chunks(WAV))
    assert from_json(to_json(item)) == item
    for text in (
        "",
        "[]",
        "{}",
        to_json(item).replace(item.id, "../../etc/passwd"),
        to_json(item).replace("1.0", '"x"'),
    ):
        assert from_json(text) is None, text


async def test_a_directory_that_cannot_be_used_is_an_error(tmp_path: Path, children: Children) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LibraryError):
        Library(tmp_path / "file", children)


async def test_a_sound_is_loaded_whole_and_bounded(tmp_path: Path, children: Children) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode(tone(440, 2, 44_100), "mp3", 44_100))
    samples = await load(children, path)
    assert samples.shape == (2 * RATE, 2)
    assert samples.dtype == np.float32
    assert abs(pitch_hz(samples[:, 0]) - 440) < 1
    for data, max_s in ((WAV, 0.5), (b"", 60.0), (b"x" * 1000, 60.0)):
        path.write_bytes(data)
        with pytest.raises(NotMusicError):
            await load(children, path, max_s)
    with pytest.raises(OSError, match="No such file"):
        await load(children, tmp_path / "none")
