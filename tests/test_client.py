"""The client of the control API: against the real application without sockets, and against transports that fail as
written."""

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver import _native, events, schema_programme, tokens
from mediaserver.client import (
    BadAnswerError,
    MediaServer,
    Patience,
    Refused,
    StreamEvent,
    UnreachableError,
)
from mediaserver.client.calls import Calls
from mediaserver.client.following import follow
from mediaserver.client.sse import MAX_MESSAGE_BYTES, Parser
from mediaserver.keys import ApiKeys
from mediaserver.merge import difference, merge
from mediaserver.schema import (
    LimitsDocument,
    ListenerDocument,
    RoomDocument,
    ScenarioName,
    SpeakerDocument,
    TokenRequest,
)
from mediaserver.schema_programme import EffectDocument, PlayerDocument, RepeatName, TrackDocument
from tests import fake_plane
from tests.clips import encode, tone
from tests.edge import KEY, ROOM, USER, Edge, serving

QUICK = Patience(first_wait_s=0.001, longest_wait_s=0.002)
OTHER = "a/b ü?#%"
DOCUMENTATION = Path(__file__).parent.parent / "docs/client.md"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with serving() as edge:
        yield edge


@pytest.fixture
async def server(edge: Edge) -> AsyncIterator[MediaServer]:
    async with client_of(edge) as server:
        yield server


def client_of(edge: Edge) -> MediaServer:
    transport = httpx.ASGITransport(app=edge.app)
    return MediaServer("http://test", KEY.id, KEY.secret, patience=QUICK, transport=transport, clock=lambda: edge.now)


# ---- the surface


async def test_a_room_is_put_read_patched_and_deleted(server: MediaServer) -> None:
    document = RoomDocument(
        speakers={USER: SpeakerDocument(seat=3, gain_db=-6)},
        scenario=ScenarioName.KTV,
        metadata={"title": "Evening", "tags": [None, 1]},
    )
    made = await server.put_room(OTHER, document)
    assert made.created
    assert made.document.speakers == document.speakers
    assert not (await server.put_room(OTHER)).created
    assert await server.room(OTHER) == await server.put_room(OTHER)
    patched = await server.patch_room(OTHER, {"metadata": {"title": None}, "limits": {"speakers": 4}})
    assert patched.document.metadata == {"tags": [None, 1]}
    assert patched.document.limits == LimitsDocument(speakers=4)
    assert patched.etag != made.etag
    for _ in range(2):
        await server.delete_room(OTHER)
    with pytest.raises(Refused) as refused:
        await server.room(OTHER)
    assert (refused.value.kind, refused.value.status) == ("no-room", 404)


async def test_names_reach_their_own_room_and_no_other(server: MediaServer) -> None:
    names = ["...", "a/b", "%2E", "?x=1", "#", "ü", " ", "\u202e"]
    for name in names:
        await server.put_room(name, RoomDocument(metadata={"name": name}))
    assert [(room.name, room.metadata["name"]) async for room in server.rooms()] == [(n, n) for n in sorted(names)]
    await server.delete_room("a/b")
    assert [room.name async for room in server.rooms()] == sorted({*names} - {"a/b"})


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 257, "a\nb", "\x1b[2J", "\ud800"])
async def test_what_can_be_no_name_is_not_sent(name: str) -> None:
    async with MediaServer("http://test", KEY.id, KEY.secret, transport=httpx.MockTransport(unexpected)) as server:
        for call in (server.delete_room(name), server.kick(ROOM, name)):
            with pytest.raises(ValueError, match="1 to 256 bytes"):
                await call


def unexpected(request: httpx.Request) -> httpx.Response:
    raise AssertionError(request.url)


async def test_rooms_come_page_by_page_and_by_filters(server: MediaServer, edge: Edge) -> None:
    names = [f"room {number:02}" for number in range(7)]
    results = await server.put_rooms({name: RoomDocument() for name in names})
    assert {name: result.status for name, result in results.rooms.items()} == dict.fromkeys(names, 201)
    assert [room.name async for room in server.rooms(page=3)] == names
    await server.put_speaker("room 03", USER)
    assert [room.name async for room in server.rooms(user=USER)] == ["room 03"]
    assert [room.name async for room in server.rooms(prefix="room 06")] == ["room 06"]
    assert [room.name async for room in server.rooms(scenario=ScenarioName.CALL)] == []
    edge.seat()
    await edge.whip()
    assert [room.name async for room in server.rooms(active=True)] == [ROOM]
    assert [room.name async for room in server.rooms(active=False)] == names


async def test_one_refused_room_of_many_says_why(server: MediaServer) -> None:
    await server.put_room("sealed", RoomDocument(e2ee=True))
    results = await server.put_rooms({"sealed": RoomDocument(e2ee=False), "open": RoomDocument()})
    assert results.rooms["open"].status == 201
    refused = results.rooms["sealed"]
    assert refused.status == 409
    assert refused.problem is not None
    assert refused.problem["type"].endswith("#encrypted-room")


@pytest.fixture
async def musical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MediaServer]:
    """A client of a server with a library, and with rings that decoders can fill."""
    monkeypatch.setattr(fake_plane, "Ring", _native.Ring)
    async with serving(media_dir=tmp_path) as edge, client_of(edge) as server:
        yield server


async def test_players_are_made_asked_and_removed(musical: MediaServer) -> None:
    server = musical
    await server.put_room(ROOM)
    song = (await server.upload_media(encode(tone(440, 30, 48_000), "flac"))).document
    tracks = [TrackDocument(media=song.id, key=key) for key in ("one", "two")]
    made = await server.put_player(ROOM, OTHER, PlayerDocument(tracks=tracks, repeat=RepeatName.ALL))
    assert (made.document.name, made.document.state, made.document.tracks) == (OTHER, "playing", tracks)
    assert [player.name for player in (await server.players(ROOM)).document.players] == [OTHER]
    assert (await server.next_track(ROOM, OTHER)).document.track == "two"
    assert (await server.previous_track(ROOM, OTHER)).document.track == "one"
    assert (await server.play(ROOM, OTHER, "two", 4000)).document.position_ms == 4000
    assert (await server.seek(ROOM, OTHER, 9000)).document.position_ms == 9000
    assert (await server.pause(ROOM, OTHER)).document.state == "paused"
    assert (await server.play(ROOM, OTHER)).document.state == "playing"
    assert (await server.patch_player(ROOM, OTHER, {"volume_db": -6})).document.volume_db == -6
    assert (await server.stop(ROOM, OTHER)).document.status == "idle"
    known = await server.player(ROOM, OTHER)
    await server.patch_room(ROOM, {"metadata": {"changed": True}})
    for call in (server.pause, server.stop, server.next_track, server.previous_track, server.delete_player):
        with pytest.raises(Refused) as refused:
            await call(ROOM, OTHER, if_match=known.etag)
        assert refused.value.status == 412
    with pytest.raises(Refused) as refused:
        await server.play(ROOM, OTHER, "three")
    assert refused.value.kind == "no-track"
    for _ in range(2):
        await server.delete_player(ROOM, OTHER)
    with pytest.raises(Refused) as refused:
        await server.player(ROOM, OTHER)
    assert refused.value.kind == "no-player"


async def test_the_example_of_the_documentation_plays_music(
    musical: MediaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [program] = re.findall(r"```python\n(async def evening.*?)```", DOCUMENTATION.read_text(), re.S)
    names = {**vars(schema_programme), "MediaServer": MediaServer, "Path": Path}
    exec(program, names)
    (tmp_path / "song.mp3").write_bytes(encode(tone(440, 90, 48_000), "mp3"))
    monkeypatch.chdir(tmp_path)
    await musical.put_room("lobby")
    evening: Any = names["evening"]
    await evening(musical)
    assert " opening 60000 " in capsys.readouterr().out


async def test_effects_are_played_once_or_until_they_are_stopped(server: MediaServer) -> None:
    await server.put_room(ROOM)
    assert "ding" in await server.sounds()
    once = (await server.play_effect(ROOM, EffectDocument(sound="ding", gain_db=-3))).document
    assert (once.repeat, once.gain_db) == (False, -3)
    ring = await server.start_effect(ROOM, OTHER, EffectDocument(sound="ring", audience=[USER]))
    assert (ring.document.id, ring.document.repeat, ring.document.audience) == (OTHER, True, [USER])
    playing = {effect.id for effect in (await server.effects(ROOM)).document.effects}
    assert playing == {once.id, OTHER}
    assert list((await server.room(ROOM)).document.effects) == [OTHER]
    for name in (OTHER, OTHER, once.id):
        await server.stop_effect(ROOM, name)
    assert (await server.effects(ROOM)).document.effects == []
    with pytest.raises(Refused) as refused:
        await server.play_effect(ROOM, EffectDocument(sound="nosuch"))
    assert refused.value.kind == "no-sound"


async def test_the_library_takes_files_bytes_and_streams(musical: MediaServer, tmp_path: Path) -> None:
    server = musical
    data = [encode(tone(hz, 2, 48_000), "flac", tags={"title": f"Tone {hz}"}) for hz in (300, 400, 500)]
    file = tmp_path.with_suffix(".flac")
    file.write_bytes(data[0])

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(data[2]), 1000):
            yield data[2][start : start + 1000]

    uploads = [await server.upload_media(source) for source in (file, data[1], stream())]
    assert all(upload.created for upload in uploads)
    assert not (await server.upload_media(file)).created
    items = [upload.document for upload in uploads]
    assert [item async for item in server.media(page=2)] == items
    assert [item async for item in server.media(search="tone 400")] == [items[1]]
    assert await server.media_item(items[2].id) == items[2]
    await server.delete_media(items[0].id)
    assert [item async for item in server.media()] == items[1:]
    for call in (server.delete_media(items[0].id), server.media_item(items[0].id)):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.kind == "no-media"
    untitled = await server.upload_media(encode(tone(600, 1, 48_000), "flac"), title="Töne & more")
    assert untitled.document.title == "Töne & more"
    with pytest.raises(Refused) as refused:
        await server.upload_media(b"no music at all")
    assert (refused.value.kind, refused.value.status) == ("not-music", 422)
    with pytest.raises(FileNotFoundError):
        await server.upload_media(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["file", "bytes"])
async def test_an_upload_whose_answer_is_lost_is_sent_again_from_its_beginning(tmp_path: Path, kind: str) -> None:
    data = bytes(range(256)) * 4000
    (tmp_path / "song").write_bytes(data)
    came: list[tuple[str, str]] = []

    async def lose_the_first(request: httpx.Request) -> httpx.Response:
        assert await request.aread() == data
        came.append((request.headers["Idempotency-Key"], request.headers["Content-Length"]))
        if len(came) == 1:
            raise httpx.ReadError("lost")
        return httpx.Response(201, json=ITEM)

    transport = httpx.MockTransport(lose_the_first)
    async with MediaServer("http://test", KEY.id, KEY.secret, patience=QUICK, transport=transport) as server:
        source = tmp_path / "song" if kind == "file" else data
        assert (await server.upload_media(source)).document.id == ITEM["id"]
    assert came == [came[0]] * 2
    assert came[0][1] == str(len(data))


async def test_a_stream_is_sent_once(tmp_path: Path) -> None:
    attempts = 0

    async def lose(request: httpx.Request) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        raise httpx.ReadError("lost")

    async def stream() -> AsyncIterator[bytes]:
        yield b"some"

    async with MediaServer("http://test", KEY.id, KEY.secret, transport=httpx.MockTransport(lose)) as server:
        with pytest.raises(UnreachableError):
            await server.upload_media(stream())
    assert attempts == 1


ITEM = {
    "id": "9f86d081884c7d659a2feaa0c55ad015",
    "duration_s": 2.0,
    "media_type": "audio/flac",
    "codec": "flac",
    "sampling_rate": 48_000,
    "channels": 1,
    "size": 10,
    "added": 1.0,
    "has_cover": False,
}


async def test_seats_and_mutes(server: MediaServer) -> None:
    await server.put_room(ROOM)
    assert (await server.put_speaker(ROOM, USER, SpeakerDocument(seat=1))).document.heard
    muted = await server.mute(ROOM, USER)
    assert (muted.document.mutes, muted.document.heard) == ({"host": True}, False)
    await server.mute(ROOM, USER, "system")
    assert (await server.unmute(ROOM, USER)).document.mutes == {"system": True}
    assert (await server.patch_speaker(ROOM, USER, {"gain_db": -3, "seat": None})).document.seat is None
    assert (await server.speaker(ROOM, USER)).document.gain_db == -3
    await server.delete_speaker(ROOM, USER)
    with pytest.raises(Refused, match="seat") as refused:
        await server.mute(ROOM, USER)
    assert refused.value.kind == "no-speaker"


async def test_wishes_of_a_listener(server: MediaServer) -> None:
    await server.put_room(ROOM)
    wishes = ListenerDocument(user_gains_db={"carol": -6.0}, user_mutes={"dave": True})
    assert (await server.put_listener(ROOM, USER, wishes)).document == wishes
    patched = await server.patch_listener(ROOM, USER, {"user_mutes": {"dave": None}})
    assert (
        patched.document
        == (await server.listener(ROOM, USER)).document
        == ListenerDocument(user_gains_db={"carol": -6})
    )
    await server.delete_listener(ROOM, USER)
    assert (await server.listener(ROOM, USER)).document == ListenerDocument()


async def test_participants_are_read_moved_and_kicked(server: MediaServer, edge: Edge) -> None:
    edge.seat()
    await edge.whip()
    await edge.whep("bob")
    assert [one.user async for one in server.participants(ROOM, page=1)] == [USER, "bob"]
    second = await server.participant_page(ROOM, USER, page=1)
    assert ([one.user for one in second.participants], second.next) == (["bob"], None)
    assert [one.user async for one in server.participants(ROOM, direction="listen")] == ["bob"]
    (session,) = (await server.participant(ROOM, USER)).sessions
    assert (session.direction, session.round_trip_ms) == ("publish", None)
    await server.put_room(OTHER)
    moved = await server.move(ROOM, USER, OTHER)
    assert moved.document.user == USER
    assert moved.etag == (await server.room(OTHER)).etag
    await server.kick(OTHER, USER)
    with pytest.raises(Refused) as refused:
        await server.participant(OTHER, USER)
    assert refused.value.kind == "no-participant"


async def test_a_token_is_what_was_asked(server: MediaServer, edge: Edge) -> None:
    await server.put_room(ROOM)
    document = await server.token(ROOM, TokenRequest(user=USER, may_publish=True, mode="mix", ttl_s=60))
    claims = tokens.verify(ApiKeys([KEY]), document.token, edge.now)
    assert (claims.user, claims.may_publish, claims.mode, claims.expires) == (USER, True, "mix", document.expires)


async def test_the_node_is_drained_and_takes_rooms_again(server: MediaServer) -> None:
    assert (await server.drain()).draining
    with pytest.raises(Refused) as refused:
        await server.put_room(ROOM)
    assert (refused.value.kind, refused.value.retry_after_s) == ("draining", 10)
    assert not (await server.undrain()).draining
    assert (await server.node()).sessions == {"publish": 0, "listen": 0}


async def test_a_refusal_says_what_is_wrong_with_which_value(server: MediaServer) -> None:
    await server.put_room(ROOM)
    with pytest.raises(Refused) as refused:
        await server.patch_room(ROOM, {"limits": {"speakers": -1}})
    assert (refused.value.kind, refused.value.status) == ("invalid", 422)
    assert refused.value.errors[0]["in"] == ["body", "limits", "speakers"]


# ---- conditions


async def test_a_change_is_made_only_while_nobody_else_has_changed_the_room(server: MediaServer) -> None:
    first = await server.put_room(ROOM)
    second = await server.put_speaker(ROOM, USER, if_match=first.etag)
    with pytest.raises(Refused) as refused:
        await server.put_room(ROOM, RoomDocument(), if_match=first.etag)
    assert (refused.value.status, refused.value.etag) == (412, second.etag)
    with pytest.raises(Refused):
        await server.put_room(ROOM, only_new=True)
    for late in (
        server.patch_room(ROOM, {}, if_match=first.etag),
        server.mute(ROOM, USER, if_match=first.etag),
        server.kick(ROOM, USER, if_match=first.etag),
        server.delete_room(ROOM, if_match=first.etag),
    ):
        with pytest.raises(Refused) as refused:
            await late
        assert refused.value.kind == "precondition-failed"
    assert USER in (await server.room(ROOM)).document.speakers


async def test_updates_by_many_at_once_all_arrive(server: MediaServer) -> None:
    await server.put_room(ROOM)

    def seating(user: str) -> Callable[[RoomDocument], RoomDocument]:
        def seat(document: RoomDocument) -> RoomDocument:
            document.speakers[user] = SpeakerDocument()
            return document

        return seat

    users = [f"user {number}" for number in range(5)]
    await asyncio.gather(*(server.update_room(ROOM, seating(user)) for user in users))
    assert sorted((await server.room(ROOM)).document.speakers) == users


async def test_an_update_is_exact_and_takes_away_what_belongs_to_participants(server: MediaServer) -> None:
    wishes = {USER: ListenerDocument(user_mutes={"bob": True})}
    await server.put_room(ROOM, RoomDocument(speakers={USER: SpeakerDocument(mutes={"self": True})}, listeners=wishes))

    def clear(document: RoomDocument) -> RoomDocument:
        document.speakers[USER].mutes.clear()
        document.listeners.clear()
        return document

    updated = await server.update_room(ROOM, clear)
    assert (updated.document.speakers[USER].mutes, updated.document.listeners) == ({}, {})
    assert await server.update_room(ROOM, clear) == updated


json_values = st.recursive(
    st.booleans() | st.integers(0, 2) | st.text("ab", max_size=1),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), json_values, max_size=3)


@given(objects, objects)
def test_the_difference_of_two_documents_is_the_patch_between_them(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    patch = difference(before, after)
    assert json.dumps(merge(before, patch), sort_keys=True) == json.dumps(after, sort_keys=True)
    assert difference(after, after) == {}


# ---- what fails on the way

Step = httpx.Response | Exception | Callable[[httpx.Request], Awaitable[httpx.Response]]


class Script(httpx.AsyncBaseTransport):
    """Answers request after request as written; the last line holds for ever."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, httpx.Response) else await step(request)

    def server(self, **patience: Any) -> MediaServer:
        patience = {"first_wait_s": 0.001, "longest_wait_s": 0.002, **patience}
        return MediaServer("http://test", KEY.id, KEY.secret, transport=self, patience=Patience(**patience))


def problem(kind: str, status: int, retry_after: str | None = None) -> httpx.Response:
    document = {"type": f"/problems#{kind}", "title": kind, "status": status, "detail": f"It is {kind}."}
    headers = {"Content-Type": "application/problem+json"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    return httpx.Response(status, headers=headers, content=json.dumps(document).encode())


def ok(document: object = None) -> httpx.Response:
    return httpx.Response(200, json={} if document is None else document, headers={"ETag": '"x.1"'})


NODE = {"version": "9", "uptime_s": 1.0, "draining": True, "rooms": 0, "sessions": {}, "workers": []}
REFUSED = httpx.ConnectError("refused")
CUT = httpx.ReadError("cut")


@pytest.mark.parametrize(
    "failure",
    [
        REFUSED,
        CUT,
        httpx.ReadTimeout("late"),
        problem("overloaded", 503, "0"),
        problem("too-many-requests", 429, "0"),
        httpx.Response(503),
        httpx.Response(502, text="<h1>Bad Gateway</h1>"),
        problem("idempotency-conflict", 409),
    ],
    ids=str,
)
async def test_what_passes_is_tried_again_with_one_key_and_new_signatures(failure: Step) -> None:
    script = Script(failure, failure, ok(NODE))
    async with script.server() as server:
        await server.drain()
    assert len(script.requests) == 3
    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 1
    signatures = {request.headers["Authorization"] for request in script.requests}
    assert len(signatures) == 3
    for request in script.requests:
        assert KEY.secret not in str(request.headers.raw)
        signed = tokens.verify_any(ApiKeys([KEY]), request.headers["Authorization"].split()[1], time.time())
        assert isinstance(signed, tokens.SignedRequest)
        assert signed.id is not None


async def test_every_post_has_a_key_of_its_own() -> None:
    script = Script(ok(NODE))
    async with script.server() as server:
        await server.drain()
        await server.drain()
    assert len({request.headers["Idempotency-Key"] for request in script.requests}) == 2


async def test_attempts_are_bounded() -> None:
    script = Script(REFUSED)
    async with script.server() as server:
        with pytest.raises(UnreachableError, match=r"^The server at http://test cannot be reached: refused\.$"):
            await server.node()
    assert len(script.requests) == 4


async def test_who_must_wait_too_long_is_told_at_once() -> None:
    script = Script(problem("limit-reached", 503, "10"))
    async with script.server() as server:
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            await server.put_room(ROOM)
    assert time.monotonic() - began < 5
    assert (refused.value.kind, refused.value.retry_after_s) == ("limit-reached", 10)
    assert len(script.requests) == 1


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    script = Script(hang)
    async with script.server(timeout_s=0.05, deadline_s=0.12) as server:
        began = time.monotonic()
        with pytest.raises(UnreachableError, match="No answer came from http://test in time"):
            await server.node()
    assert time.monotonic() - began < 5
    assert 2 <= len(script.requests) <= 4


async def test_an_answer_that_trickles_is_not_waited_for() -> None:
    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    script = Script(httpx.Response(200, stream=Trickle()))
    async with script.server(timeout_s=0.1, attempts=1) as server:
        with pytest.raises(UnreachableError):
            await server.node()


async def test_a_conditional_change_whose_answer_was_lost_is_not_repeated() -> None:
    """It may have been done, and would then be refused for that."""
    cases: list[tuple[Step, int]] = [
        (CUT, 1),
        (httpx.Response(502), 1),
        (REFUSED, 2),
        (problem("overloaded", 503, "0"), 2),
    ]
    for step, attempts in cases:
        script = Script(step, ok())
        async with script.server() as server:
            if attempts == 1:
                with pytest.raises((UnreachableError, Refused)):
                    await server.put_room(ROOM, RoomDocument(), if_match='"x.1"')
            else:
                await server.put_room(ROOM, RoomDocument(), if_match='"x.1"')
        assert len(script.requests) == attempts


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 500])
async def test_a_no_is_a_no(status: int) -> None:
    script = Script(problem("some-kind", status))
    async with script.server() as server:
        with pytest.raises(Refused, match="It is some-kind") as refused:
            await server.node()
    assert (refused.value.kind, refused.value.status, len(script.requests)) == ("some-kind", status, 1)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="not here"),
        httpx.Response(307, headers={"Location": "https://elsewhere/"}),
        httpx.Response(500, content=b"\xff{", headers={"Content-Type": "application/problem+json"}),
        httpx.Response(400, json=[], headers={"Content-Type": "application/problem+json"}),
        httpx.Response(400, json={"type": 7, "detail": 8, "errors": {"a": 1}}),
    ],
    ids=str,
)
async def test_refusals_by_something_else_have_no_kind(answer: httpx.Response) -> None:
    async with Script(answer).server() as server:
        with pytest.raises(Refused, match="not from a media server") as refused:
            await server.node()
    assert (refused.value.kind, refused.value.status) == ("", answer.status_code)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b"{}", b"\xff", b'{"version": 1}', b"[" * 100_000])
async def test_answers_by_something_else_are_told_apart(content: bytes) -> None:
    async with Script(httpx.Response(200, content=content)).server() as server:
        with pytest.raises(BadAnswerError, match="not one of a media server"):
            await server.node()


async def test_a_newer_server_may_say_more() -> None:
    async with Script(ok(NODE | {"region": "eu", "workers": []})).server() as server:
        assert (await server.node()).version == "9"


@pytest.mark.parametrize("url", ["", "media.example.org", "ftp://x", "http://[", "http://x:99999999"])
def test_an_address_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="The server's address"):
        MediaServer(url, KEY.id, KEY.secret)


def test_waits_double_and_end() -> None:
    patience = Patience(attempts=4, first_wait_s=1, longest_wait_s=3, deadline_s=10)
    assert [patience.wait_s(attempts, 0, 0, 1.0) for attempts in range(1, 5)] == [1, 2, 3, None]
    assert patience.wait_s(1, 0, 5, 0.5) == 5.5
    assert patience.wait_s(1, 5, 5, 0.5) is None
    assert patience.backoff_s(10**9, 1.0) == 3


# ---- events


def wire(number: int, type_: str = "room.changed", **data: Any) -> dict[str, Any]:
    return events.to_wire(events.Event("hall\u2028", "i1", number, type_, None, 1e9 + 0.25, data))


def text(number: int, position: str, end: str = "\n") -> bytes:
    data = json.dumps(wire(number), ensure_ascii=False)
    return f"id: {position}{end}event: x{end}data: {data}{end}{end}".encode()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_a_stream_is_the_same_in_chunks_of_any_size(end: str, size: int) -> None:
    stream = (
        b"\xef\xbb\xbf"
        + f"retry: 250{end}:hello{end}id: 0{end}{end}".encode()
        + text(1, "p1", end)
        + text(2, "p2", end)
    )
    stream += f"data: a{end}data{end}data:b{end}{end}data: never ended".encode()
    parser = Parser()
    found = [
        message for at in range(0, len(stream), size) for message in parser.feed(stream[at : at + size])
    ] + parser.feed(b"")
    assert [message.id for message in found] == ["p1", "p2", "p2"]
    assert [json.loads(message.data) for message in found[:2]] == [wire(1), wire(2)]
    assert found[2].data == "a\n\nb"
    assert (parser.last_id, parser.retry_s) == ("p2", 0.25)


def test_a_position_without_an_event_counts_only_when_it_is_whole() -> None:
    parser = Parser("p0")
    assert parser.feed(b"id: p1\n") == []
    assert parser.last_id == "p0"
    assert parser.feed(b"\n") == []
    assert parser.last_id == "p1"


@pytest.mark.parametrize("junk", [b"x" * (MAX_MESSAGE_BYTES + 1), b"data: " + b"x" * 1000 + b"\n"])
def test_a_message_without_end_is_refused(junk: bytes) -> None:
    parser = Parser()
    with pytest.raises(ValueError, match="more than"):
        feed_for_ever(parser, junk)


def feed_for_ever(parser: Parser, chunk: bytes) -> None:
    for _ in range(MAX_MESSAGE_BYTES):
        parser.feed(chunk)


class Stream(httpx.AsyncByteStream):
    """Chunks, and then the end or an exception."""

    def __init__(self, *chunks: bytes, end: Exception | None = None) -> None:
        self._chunks = chunks
        self._end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._end is not None:
            raise self._end


def streaming(*chunks: bytes, end: Exception | None = None) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Stream(*chunks, end=end))


async def followed(script: Script, number: int, last_event_id: str | None = None) -> list[StreamEvent]:
    """So many events, with waits that are short."""
    calls = Calls("http://test", (KEY.id, KEY.secret), patience=QUICK, transport=script, clock=time.time)
    found: list[StreamEvent] = []
    async with aclosing(follow(calls, (), last_event_id, QUICK)) as stream:
        async for event in stream:
            found.append(event)
            if len(found) == number:
                break
    await calls.close()
    return found


async def test_a_broken_stream_goes_on_where_it_was() -> None:
    script = Script(
        REFUSED,
        streaming(b"id: p0\n\n"),
        streaming(text(1, "p1"), text(2, "p2")[:-1], end=CUT),
        httpx.Response(502),
        problem("shutting-down", 503, "0"),
        problem("too-many-requests", 429, "0"),
        streaming(text(2, "p2"), text(3, "p3"), end=httpx.ReadTimeout("silent")),
        streaming(text(4, "p4")),
    )
    found = await followed(script, 4)
    assert [(event.sequence, event.position) for event in found] == [(1, "p1"), (2, "p2"), (3, "p3"), (4, "p4")]
    assert (found[0].room, found[0].instance, found[0].type, found[0].time) == (
        "hall\u2028",
        "i1",
        "room.changed",
        1e9 + 0.25,
    )
    asked = [request.headers.get("Last-Event-ID") for request in script.requests]
    assert asked == [None, None, "p0", "p1", "p1", "p1", "p1", "p3"]
    assert len({request.headers["Authorization"] for request in script.requests}) == len(asked)


async def test_a_stream_begins_where_it_is_told() -> None:
    script = Script(streaming(text(8, "p8")))
    await followed(script, 1, "p7")
    assert script.requests[0].headers["Last-Event-ID"] == "p7"


async def test_a_gap_is_an_event() -> None:
    gap = events.to_wire(events.gap("stream", 17, 5, 1e9))
    (event,) = await followed(Script(streaming(b"id: p17\ndata: " + json.dumps(gap).encode() + b"\n\n")), 1)
    assert (event.type, event.room, event.user, event.data) == ("gap", "", None, {"dropped": 5})


async def test_a_stream_that_is_refused_for_good_ends() -> None:
    for script in (
        Script(problem("forbidden", 403)),
        Script(streaming(text(1, "p1")), problem("invalid-token", 401)),
    ):
        with pytest.raises(Refused):
            await followed(script, 2)
    script = Script(REFUSED)
    with pytest.raises(UnreachableError):
        await followed(script, 1)
    assert len(script.requests) == QUICK.attempts


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(200, text="hello"),
        lambda: streaming(b"data: {}\n\n"),
        lambda: streaming(b"data: [\n\n"),
        lambda: streaming(b"data: 7\n\n"),
        lambda: streaming(b'data: {"id": "a/b", "type": 7, "time": "x", "data": {}}\n\n'),
        lambda: streaming(b"x" * (MAX_MESSAGE_BYTES + 1)),
    ],
)
async def test_what_is_no_stream_of_events_is_said(answer: Callable[[], httpx.Response]) -> None:
    with pytest.raises(BadAnswerError):
        await followed(Script(answer()), 1)


async def test_filters_of_events_are_passed_on() -> None:
    script = Script(streaming(text(1, "p1")))
    async with script.server() as server, aclosing(server.events(["room.*", "gap"], ["a,b", "c"])) as stream:
        await anext(stream)
    assert script.requests[0].url.params.multi_items() == [("types", "room.*,gap"), ("room", "a,b"), ("room", "c")]


# ---- what it brings along


def test_importing_the_client_loads_nothing_that_serves() -> None:
    program = (
        "import sys, time; began = time.monotonic(); import mediaserver.client; took = time.monotonic() - began;"
        "heavy = {'numba', 'numpy', 'aiortc', 'av', 'fastapi', 'starlette', 'uvicorn', 'mediaserver._native'};"
        "print(sorted(heavy & set(sys.modules)), took)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    loaded, _, took_s = output.rpartition(" ")
    assert loaded == "[]"
    assert float(took_s) < 5  # 0.4 s on an idle machine
