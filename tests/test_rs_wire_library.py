"""The library by the room service: who may bring pieces and take them out, how many and how large, and that they are
passed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserver.client import MediaDocument
from roomservice.model.room import Role
from roomservice.settings import LibraryUploads
from tests.client import until
from tests.clips import encode
from tests.conftest import StartServer
from tests.rpc import CallRefusedError
from tests.sound import tone
from tests.test_rs_authority import WHO
from tests.test_rs_serve import room_service
from tests.test_rs_wire_roles import fresh_room
from tests.wired import SYSTEM_KEY, Played, Wired, wired

MUSIC = b"this is music"
MIB = 1024**2


async def brings(service: Wired, token: str, content: Any = MUSIC, kind: str = "audio/mpeg", **query: str) -> Any:
    """What is in the library then, or the problem's name."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    answer = await service.http.post("/v1/library", content=content, params=query, headers=headers)
    return answer.json()["media"] if answer.is_success else answer.json()["problem"]


async def sees(service: Wired, token: str, **query: str) -> Any:
    return (await service.call("GET", "/v1/library", token, params=query)).raise_for_status().json()


@pytest.mark.parametrize(
    ("policy", "may"),
    [
        (LibraryUploads.NOBODY, {Role.SYSTEM}),
        (LibraryUploads.LEADERS, {Role.SYSTEM, Role.HOST, Role.ADMIN}),
        (LibraryUploads.EVERYBODY, set(Role)),
    ],
)
async def test_each_role_may_upload_what_the_policy_says_and_is_told_so_before(
    policy: LibraryUploads, may: set[Role]
) -> None:
    async with wired(library_uploads=policy) as service:
        await fresh_room(service, "jazz")
        for role in Role:
            who = WHO[role]
            token = await service.token(who) if who else SYSTEM_KEY
            told = (await sees(service, token, room="jazz"))["uploads"]
            assert told["allowed"] is (role in may), role
            found = await brings(service, token, MUSIC + str(role).encode(), room="jazz", title="Song")
            assert (found if isinstance(found, str) else found["title"]) == ("Song" if role in may else "forbidden")
        outside = await brings(service, await service.token("host"))
        assert (outside == "forbidden") is (policy is not LibraryUploads.EVERYBODY), "he leads a room, and names none"
        assert await brings(service, await service.token("host"), room="nowhere") == "no-such-room"


async def test_a_piece_is_of_who_brought_it_first_and_he_alone_may_delete_it() -> None:
    async with wired(library_uploads=LibraryUploads.EVERYBODY) as service:
        ann, bob = await service.token("ann"), await service.token("bob")
        piece = (await brings(service, ann))["id"]
        assert (await brings(service, bob))["id"] == piece
        assert [(await sees(service, token))["uploads"]["own"] for token in (ann, bob)] == [[piece], []]

        async def delete(token: str, id: str = piece) -> str:
            answer = await service.call("DELETE", f"/v1/library/{id}", token)
            return "ok" if answer.is_success else str(answer.json()["problem"])

        assert [await delete(bob), await delete(ann), await delete(ann)] == ["forbidden", "ok", "forbidden"]
        assert service.played.pieces == {}
        await brings(service, bob)
        assert [await delete(ann), await delete(SYSTEM_KEY)] == ["forbidden", "ok"]
        assert await delete(SYSTEM_KEY) == "no-media"
        by_hand = (await service.played.upload("", one(MUSIC)))[0].id
        assert (await brings(service, ann))["id"] == by_hand
        assert [await delete(ann, by_hand), await delete(SYSTEM_KEY, by_hand)] == ["forbidden", "ok"]
        async with await service.client("bob") as socket:
            with pytest.raises(CallRefusedError, match="brought"):
                await socket.call("delete_music", media=by_hand)
            with pytest.raises(CallRefusedError) as refused:
                await socket.call("upload_music", title="x")
            assert refused.value.problem == "no-such-operation"


async def one(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_what_is_no_file_of_music_and_what_is_too_large_is_told_so() -> None:
    async with wired(library_uploads=LibraryUploads.EVERYBODY, library_upload_mib=1) as service:
        ann = await service.token("ann")

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(64 * 1024)

        assert await brings(service, ann, b"noise") == "not-music"
        assert await brings(service, ann, MUSIC, kind="multipart/form-data; boundary=x") == "invalid-params"
        assert await brings(service, ann, MUSIC, kind="") == "invalid-params"
        assert await brings(service, ann, MUSIC + bytes(MIB)) == "too-large", "its length is told before"
        assert await brings(service, ann, finite(endless(), 3 * MIB)) == "too-large", "it is not"
        assert await brings(service, ann, (MUSIC + bytes(MIB))[:MIB], title="x" * 201) == "invalid-params"
        assert (await brings(service, ann, (MUSIC + bytes(MIB))[:MIB]))["size"] == MIB
        assert len(service.played.pieces) == 1


async def finite(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        size -= len(chunk)
        if size <= 0:
            return


class Watching(Played):
    """Tells when the first chunk has come."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()
        self.over = asyncio.Event()
        self.broken: list[str] = []

    async def upload(self, title: str, chunks: AsyncIterator[bytes]) -> tuple[MediaDocument, bool]:
        async def watched() -> AsyncIterator[bytes]:
            try:
                async for chunk in chunks:
                    self.first.set()
                    yield chunk
            except Exception as error:
                self.broken.append(str(error))
                self.over.set()
                raise

        return await super().upload(title, watched())


async def test_it_is_passed_on_as_it_comes_one_at_a_time_of_each_user_and_what_breaks_off_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("roomservice.library.BUSY_S", 0.3)
    media = Watching()
    async with wired(library_uploads=LibraryUploads.EVERYBODY, sound=media) as service:
        ann, bob = await service.token("ann"), await service.token("bob")

        async def slow() -> AsyncIterator[bytes]:
            yield MUSIC
            await media.first.wait()  # or this would wait for ever
            assert await brings(service, ann, MUSIC + b"2") == "too-often"
            assert (await brings(service, bob, MUSIC + b"3"))["size"] == len(MUSIC) + 1
            yield b", all of it"

        async with asyncio.timeout(20):
            assert (await brings(service, ann, slow()))["size"] == len(MUSIC + b", all of it")

        async def breaks() -> AsyncIterator[bytes]:
            yield MUSIC + b", some"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await brings(service, ann, breaks())
        async with asyncio.timeout(10):
            await media.over.wait()
        assert media.broken == ["The body did not come to its end."]
        assert len(media.pieces) == 2
        assert (await brings(service, ann, MUSIC + b"4"))["size"] == len(MUSIC) + 1, "and he may go on"


class Deciding(Played):
    """Thinks long about what has come, until it is told to be quick."""

    def __init__(self) -> None:
        super().__init__()
        self.has_come = asyncio.Event()
        self.cancelled = 0
        self.is_quick = False

    async def upload(self, title: str, chunks: AsyncIterator[bytes]) -> tuple[MediaDocument, bool]:
        done = await super().upload(title, chunks)
        if not self.is_quick:
            self.has_come.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.pieces.clear()
                self.cancelled += 1
                raise
        return done


async def test_one_that_is_cancelled_while_it_is_checked_leaves_nothing_and_the_next_waits_for_its_end() -> None:
    media = Deciding()
    async with wired(library_uploads=LibraryUploads.EVERYBODY, sound=media) as service:
        ann = await service.token("ann")
        cancelled = asyncio.create_task(brings(service, ann, MUSIC))
        await media.has_come.wait()
        media.is_quick = True
        next_ = asyncio.create_task(brings(service, ann, MUSIC + b"2"))  # it is there before the other is over
        await asyncio.sleep(0.2)
        assert not next_.done()
        cancelled.cancel()
        assert (await next_)["size"] == len(MUSIC) + 1
        assert media.cancelled == 1
        assert [piece.size for piece in media.pieces.values()] == [len(MUSIC) + 1]


async def test_one_that_is_cancelled_when_it_is_in_the_library_is_taken_out_again() -> None:
    keeping = asyncio.Event()

    async def keeps(*_: Any) -> None:
        keeping.set()
        await asyncio.Event().wait()

    async with wired(library_uploads=LibraryUploads.EVERYBODY) as service:
        ann, library = await service.token("ann"), service.world.library
        real, library._keep = library._keep, keeps  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(brings(service, ann))
        await keeping.wait()
        task.cancel()
        await until(lambda: not service.played.pieces)
        library._keep = real  # type: ignore[method-assign]
        assert (await brings(service, ann))["size"] == len(MUSIC)
        assert (await sees(service, ann))["uploads"]["own"] == list(service.played.pieces)


async def test_a_body_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roomservice.wire.bytes.STALLED_S", 0.3)
    async with wired(library_uploads=LibraryUploads.EVERYBODY) as service:
        ann = await service.token("ann")
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/library HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann}\r\nContent-Type: audio/mpeg\r\n"
        writer.write(f"{head}Content-Length: 1000\r\n\r\nmusic".encode())
        async with asyncio.timeout(15):
            said = await reader.readuntil(b"\r\n")
        writer.close()
        assert b" 400 " in said
        assert service.played.pieces == {}


async def test_so_many_in_a_row_and_then_one_each_half_minute() -> None:
    async with wired(library_uploads=LibraryUploads.EVERYBODY) as service:
        ann = await service.token("ann")
        service.wire.sockets._desk._users.take = lambda *_: 0.0  # type: ignore[method-assign]
        found = [await brings(service, ann, MUSIC + bytes([number])) for number in range(21)]
        assert [one if isinstance(one, str) else "ok" for one in found] == ["ok"] * 20 + ["too-often"]
        service.ahead[0] += 31
        assert isinstance(await brings(service, ann, MUSIC + b"x"), dict)
        assert isinstance(await brings(service, await service.token("bob"), MUSIC + b"y"), dict)


async def test_a_real_media_server_checks_what_it_is_and_its_refusals_are_told_as_they_are(
    start_server: StartServer, tmp_path: Path
) -> None:
    for path in ("with", "without"):
        (tmp_path / path).mkdir()
    media = start_server("--media-dir", str(tmp_path / "with"), "--media-file-mib", "1")
    secret = ("--sign-up", "open", "--secret", "s" * 32, "--library-uploads", "everybody")
    song = encode(tone(440, 2, 48_000), "flac")

    def served(url: str, directory: str, *asked: bytes) -> list[Any]:
        with room_service(tmp_path / directory, url, *secret) as address, httpx.Client(base_url=address) as http:
            token = http.post("/v1/login", json={"username": "ann", "password": "her password"}).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "audio/flac"}
            found = []
            for content in asked:
                answer = http.post("/v1/library?title=Song", content=content, headers=headers, timeout=60).json()
                found.append(answer.get("media", {}).get("title") or (answer["problem"], answer["detail"]))
            return found

    problems = await asyncio.to_thread(served, media.url, "with", song, b"no music at all", song + bytes(2 * MIB))
    assert problems[0] == "Song"
    assert [name for name, _ in problems[1:]] == ["not-music", "too-large"]
    assert problems[1][1] == "It is in no format that is decoded, or damaged from its beginning.", (
        "what the media server says"
    )
    bare = start_server()
    assert await asyncio.to_thread(served, bare.url, "without", song) == [
        ("no-library", "This server was started without a media library.")
    ]
