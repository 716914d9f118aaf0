"""The twelve endpoints against their document: every answer is validated by it, on every storage."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import jwt
import pytest
import yaml
from argon2 import PasswordHasher

from roomservice import tokens
from roomservice.appserver.app import ENDPOINTS, Edge, create_app
from roomservice.bus.local import LocalBus
from roomservice.instance import Instance
from roomservice.interface import Addresses, MediaError, MediaRoom
from roomservice.model.attendance import Ban, Dismiss, Enter, Kick
from roomservice.model.effects import MuteSource, Speaker
from roomservice.passwords import Passwords
from roomservice.push.both import PushByAll
from roomservice.service import Service
from roomservice.settings import ServiceSettings, SignUp
from roomservice.storage.opening import open_storage
from roomservice.users import OwnUsers
from tests.client import until

SWAGGER = yaml.safe_load((Path(__file__).parent / "fixtures" / "appserver-swagger.yaml").read_text(encoding="utf-8"))
SECRET = "a secret of at least 32 bytes, for tests only"
# 2026-01-02 03:04:05 UTC
NOW = 1767323045.0
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Mixer:
    """A media server that keeps what it was told, and can be away. meanwhile: what happens once, while a token is asked
    for; cut: who was cut off."""

    rooms: dict[str, dict[str, Speaker]] = field(default_factory=dict)
    away: bool = False
    meanwhile: Callable[[], Awaitable[object]] | None = None
    cut: list[str] = field(default_factory=list)

    def _check(self) -> None:
        if self.away:
            raise MediaError("No answer came from the media server.")

    async def put(self, room: str, wanted: MediaRoom) -> None:
        self._check()
        self.rooms[room] = dict(wanted.speakers)

    async def cut_off(self, room: str, user: str, key: str) -> None:
        self._check()
        self.cut.append(user)
        self.rooms[room].pop(user, None)

    async def close(self, room: str) -> None:
        self._check()
        self.rooms.pop(room, None)

    async def addresses(self, room: str, user: str, *, may_publish: bool) -> Addresses:
        self._check()
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return Addresses(f"https://m/whip/{room}#token={user}" if may_publish else "", f"https://m/whep/{room}#{user}")

    async def ready(self) -> bool:
        return not self.away


def schema_of(path: str, status: int) -> dict[str, Any]:
    """By the document; of a definition's properties none may be missing and none added."""
    responses = SWAGGER["paths"][path]["post"]["responses"]
    # It describes all of 4xx, and of 5xx, once.
    schema = responses["200" if status == 200 else "400" if status < 500 else "500"]["schema"]
    definitions = {
        name: {**definition, "additionalProperties": False, "required": list(definition["properties"])}
        for name, definition in SWAGGER["definitions"].items()
    }
    return {**schema, "definitions": definitions}


@dataclass
class App:
    """A client that validates what it is answered."""

    http: httpx.AsyncClient
    mixer: Mixer
    time: list[float]
    service: Service
    tokens: dict[str, str] = field(default_factory=dict)

    async def call(self, path: str, body: object, user: str = "", status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"} if user else {}
        response = await self.http.post(path, json=body, headers=headers)
        answer = response.json()
        assert response.status_code == status, answer
        if path == "/login" and status == 200:  # the document's prose adds `code` to the definition
            assert answer.pop("code") == 200
        jsonschema.validate(answer, schema_of(path, status))
        if status != 200:
            assert answer["code"] == status
        return answer

    async def login(self, *users: str) -> None:
        for user in users:
            answer = await self.call("/login", {"username": user, "password": f"{user}'s password"})
            self.tokens[user] = answer["token"]

    async def create(self, anchor: str = "ann", **more: object) -> str:
        return str((await self.call("/create", {"anchor": anchor, "title": "Jazz", **more}, anchor))["id"])

    async def seat(self, room: str, by: str, *members: Mapping[str, object], status: int = 200) -> Any:
        return await self.call("/updateMeetingInfo", {"id": room, "members": members}, by, status)


@asynccontextmanager
async def running(url: str, sign_up: SignUp = SignUp.OPEN, mixer: Mixer | None = None) -> AsyncIterator[App]:
    now = [NOW]
    storage = open_storage(url)
    await storage.start()
    mixer = mixer or Mixer()
    settings = ServiceSettings(SECRET, sign_up=sign_up)
    service = Service(Instance(storage, LocalBus(), mixer, PushByAll([]), lambda: now[0]), settings.rooms_per_user)
    app = create_app(Edge(service, OwnUsers(storage, CHEAP, sign_up), settings, lambda: now[0]))
    transport = httpx.ASGITransport(app)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as http,
        ):
            yield App(http, mixer, now, service)
    finally:
        await storage.close()


@pytest.fixture
async def app(storage_url: str) -> AsyncIterator[App]:
    async with running(storage_url) as made:
        yield made


def test_there_are_the_twelve_endpoints_and_no_others() -> None:
    assert set(ENDPOINTS) == set(SWAGGER["paths"])
    assert len(ENDPOINTS) == 12


async def test_a_login_is_answered_as_the_prose_says(app: App) -> None:
    await app.login("ann")
    claims = jwt.decode(app.tokens["ann"], SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"id": "ann", "orig_iat": int(NOW), "exp": int(NOW) + 86_400}
    answer = await app.call("/login", {"username": "ann", "password": "ann's password"})
    assert answer["expire"] == "2026-01-03T03:04:05+00:00"


async def test_a_wrong_password_is_refused_and_kept_ones_are_not_readable(app: App) -> None:
    await app.login("ann")
    await app.call("/login", {"username": "ann", "password": "guessed"}, status=401)


async def test_closed_sign_up_knows_only_who_was_added(tmp_path: Path) -> None:
    async with running(f"sqlite+aiosqlite:///{tmp_path}/rooms.db", SignUp.CLOSED) as app:
        await app.call("/login", {"username": "ann", "password": "ann's password"}, status=401)


@pytest.mark.parametrize("name", ["", ".", "a\nb", "x" * 300, "ü" * 200])
async def test_a_name_that_cannot_be_one_does_not_log_in(name: str) -> None:
    async with running("none") as app:
        answer = await app.http.post("/login", json={"username": name, "password": "p"})
        assert answer.status_code in (400, 401)


@pytest.mark.parametrize("path", sorted(set(ENDPOINTS) - {"/login"}))
async def test_every_endpoint_but_login_needs_a_valid_token(path: str) -> None:
    async with running("none") as app:
        await app.login("ann")
        room = await app.create()
        body = {
            "id": room,
            "user_id": "ann",
            "anchor": "ann",
            "title": "x",
            "members": [],
            "page_num": 1,
            "page_size": 10,
            "device_id": "d",
            "device_type": "web",
        }
        good = app.tokens["ann"]
        for wrong in (
            "",
            "Bearer nonsense",
            f"Basic {good}",
            f"Bearer {good[:-4]}AAAA",
            f"Bearer {tokens.issue(tokens.ACCESS, 'ann', SECRET, NOW, 60)}",
            f"Bearer {jwt.encode({'id': 'ann', 'orig_iat': 0, 'exp': 1 << 40}, '', algorithm='none')}",
        ):
            answer = await app.http.post(path, json=body, headers={"Authorization": wrong})
            assert answer.status_code == 401, wrong
            jsonschema.validate(answer.json(), schema_of(path, 401))
        app.time[0] = NOW + 86_400
        assert (await app.http.post(path, json=body, headers={"Authorization": f"Bearer {good}"})).status_code == 401


async def test_a_device_gets_tokens_of_its_own(app: App) -> None:
    await app.login("ann")
    asked = {"user_id": "ann", "device_id": "phone-1", "device_type": "android"}
    answer = await app.call("/token", asked, "ann")
    claims = tokens.verify(tokens.ACCESS, answer["access_token"], SECRET, NOW)
    assert claims is not None
    assert (claims["id"], claims["device_id"], claims["device_type"]) == ("ann", "phone-1", "android")
    assert tokens.verify(tokens.ACCESS, answer["access_token"], SECRET, NOW + 3600) is None
    assert tokens.verify(tokens.REFRESH, answer["access_token"], SECRET, NOW) is None
    assert tokens.verify(tokens.REFRESH, answer["refresh_token"], SECRET, NOW + 3600) is not None
    await app.call("/token", asked | {"user_id": "bob"}, "ann", 403)
    await app.call("/token", asked | {"device_type": "toaster"}, "ann", 400)


async def test_a_room_lives_from_create_to_delete(app: App) -> None:
    await app.login("ann", "bob")
    asked = {"anchor": "ann", "title": "Jazz", "anchor_nick": "Ann", "notice": "n", "extends": '{"a":1}', "mode": 1}
    made = await app.call("/create", asked, "ann")
    room = made["id"]
    assert {key: made[key] for key in ("title", "anchor_id", "anchor_nick", "notice", "extends", "mode", "status")} == {
        "title": "Jazz",
        "anchor_id": "ann",
        "anchor_nick": "Ann",
        "notice": "n",
        "extends": '{"a":1}',
        "mode": 1,
        "status": 0,
    }
    assert made["created_at"] == made["updated_at"] == "2026-01-02T03:04:05+00:00"
    assert made["push_url_info"]["rts_url"] == made["link_info"]["rtc_push_url"] == f"https://m/whip/{room}#token=ann"
    assert made["pull_url_info"]["rts_url"] == made["link_info"]["rtc_pull_url"] == f"https://m/whep/{room}#ann"
    assert app.mixer.rooms == {room: {"ann": Speaker(0)}}

    app.time[0] += 60
    started = await app.call("/start", {"id": room, "user_id": "ann"}, "ann")
    assert (started["status"], started["started_at"]) == (1, "2026-01-02T03:05:05+00:00")
    assert (await app.call("/pause", {"id": room, "user_id": "ann"}, "ann"))["status"] == 0
    changed = await app.call("/update", {"id": room, "title": "Blues"}, "ann")
    assert (changed["title"], changed["notice"]) == ("Blues", "n")

    seen = await app.call("/get", {"id": room, "user_id": "bob"}, "bob")
    await app.call("/get", {"id": room, "user_id": "bob"}, "bob")
    again = await app.call("/get", {"id": room, "user_id": "ann"}, "ann")
    assert seen["metrics"] == {"pv": 1, "uv": 1, "online_count": 1, "like_count": 0}
    assert again["metrics"] == {"pv": 3, "uv": 2, "online_count": 1, "like_count": 0}
    assert seen["link_info"]["rtc_push_url"] == "", "who has no seat has no address to send to"

    app.time[0] += 60
    stopped = await app.call("/stop", {"id": room, "user_id": "ann"}, "ann")
    assert (stopped["status"], stopped["stopped_at"]) == (2, "2026-01-02T03:06:05+00:00")
    assert app.mixer.rooms == {}
    assert (await app.call("/start", {"id": room, "user_id": "ann"}, "ann", 400))["details"] == {
        "problem": "room-dismissed"
    }
    await app.call("/delete", {"id": room, "user_id": "ann"}, "ann")
    await app.call("/get", {"id": room, "user_id": "ann"}, "ann", 404)


async def test_a_room_that_is_open_ends_when_it_is_deleted(app: App) -> None:
    await app.login("ann")
    room = await app.create()
    assert (await app.call("/delete", {"id": room, "user_id": "ann"}, "ann"))["status"] == 2
    assert app.mixer.rooms == {}


@pytest.mark.parametrize("path", ["/start", "/pause", "/stop", "/delete", "/update"])
async def test_only_the_host_has_the_room_in_hand(app: App, path: str) -> None:
    await app.login("ann", "bob")
    room = await app.create()
    refused = await app.call(path, {"id": room, "user_id": "bob", "title": "Mine"}, "bob", 403)
    assert refused["details"]["problem"] in ("not-permitted", "not-in-room")
    await app.call(path, {"id": "nowhere", "user_id": "ann"}, "ann", 404)


async def test_rooms_are_listed_by_page_and_status_the_newest_first(app: App) -> None:
    await app.login("ann")
    rooms = []
    for _ in range(5):
        app.time[0] += 1
        rooms.append(await app.create())
    await app.call("/start", {"id": rooms[1], "user_id": "ann"}, "ann")
    page = {"user_id": "ann", "page_num": 1, "page_size": 2}
    assert [room["id"] for room in await app.call("/list", page, "ann")] == [rooms[4], rooms[3]]
    assert [room["id"] for room in await app.call("/list", page | {"page_num": 3}, "ann")] == [rooms[0]]
    assert await app.call("/list", page | {"page_num": 4}, "ann") == []
    assert [room["id"] for room in await app.call("/list", page | {"status": 1}, "ann")] == [rooms[1]]
    assert len(await app.call("/list", page | {"status": -1}, "ann")) == 2


async def test_who_takes_a_seat_speaks_and_who_is_taken_out_does_not(app: App) -> None:
    await app.login("ann", "bob")
    room = await app.create()
    answer = await app.seat(room, "bob", {"user_id": "ann"}, {"user_id": "bob", "user_nick": "Bob"})
    assert [(one["user_id"], one["user_nick"], one["mic_opened"]) for one in answer["members"]] == [
        ("ann", "", True),
        ("bob", "Bob", True),
    ]
    assert app.mixer.rooms[room] == {"ann": Speaker(0), "bob": Speaker(1)}
    assert await app.call("/getMeetingInfo", {"id": room}, "bob") == answer
    info = await app.call("/get", {"id": room, "user_id": "bob"}, "bob")
    assert info["push_url_info"]["rts_url"]
    assert [one["user_id"] for one in json.loads(info["meeting_info"])["members"]] == ["ann", "bob"]
    await app.seat(room, "ann", {"user_id": "ann"})
    assert app.mixer.rooms[room] == {"ann": Speaker(0)}


async def test_who_is_banned_is_told_no_address_and_hears_no_more(app: App) -> None:
    await app.login("ann", "bob")
    room = await app.create()
    asked = {"id": room, "user_id": "bob"}
    assert (await app.call("/get", asked, "bob"))["pull_url_info"]["rts_url"], "without being in the room"
    await app.service.change(room, lambda _: [Ban("ann", "bob", 60)])
    assert app.mixer.cut == ["bob"], "the address that he has ends"
    for info in (await app.call("/get", asked, "bob"), await app.call("/get", asked, "bob")):
        assert (info["pull_url_info"]["rts_url"], info["link_info"]["rtc_pull_url"]) == ("", "")
    heard = await app.call("/getMeetingInfo", {"id": room}, "bob")
    assert [one["rtc_pull_url"] for one in heard["members"]] == [""]
    app.time[0] += 60
    assert (await app.call("/get", asked, "bob"))["pull_url_info"]["rts_url"]


@pytest.mark.parametrize("command", [Kick("ann", "bob"), Ban("ann", "bob"), Dismiss("ann")])
async def test_a_token_that_comes_after_its_user_was_sent_out_is_not_given(command: Any) -> None:
    async with running("none") as app:
        await app.login("ann", "bob")
        room = await app.create()
        await app.seat(room, "bob", {"user_id": "bob"})
        app.mixer.meanwhile = lambda: app.service.change(room, lambda _: [command])
        info = await app.call("/get", {"id": room, "user_id": "bob"}, "bob")
        assert (info["push_url_info"]["rts_url"], info["pull_url_info"]["rts_url"]) == ("", "")


async def test_a_closed_microphone_is_muted_by_who_closed_it(app: App) -> None:
    await app.login("ann", "bob")
    room = await app.create()
    host, bob = {"user_id": "ann"}, {"user_id": "bob"}
    closed = bob | {"mic_opened": False}
    await app.seat(room, "bob", host, bob)
    await app.seat(room, "bob", host, closed)
    assert app.mixer.rooms[room]["bob"].mutes == {MuteSource.SELF}
    await app.seat(room, "ann", host, closed)
    assert app.mixer.rooms[room]["bob"].mutes == {MuteSource.SELF}, "the list shows it closed: nobody asked for more"
    await app.seat(room, "bob", host, bob)
    await app.seat(room, "ann", host, closed)
    assert app.mixer.rooms[room]["bob"].mutes == {MuteSource.HOST}
    answer = await app.seat(room, "bob", host, bob)
    assert answer["members"][1]["mic_opened"] is False, "the host's mute is not the guest's to undo"
    info = await app.call("/get", {"id": room, "user_id": "bob"}, "bob")
    assert info["user_status"] == {"mute": True, "mute_source": ["host"]}


async def test_a_guest_s_list_says_nothing_of_others(app: App) -> None:
    await app.login("ann", "bob", "cyd")
    room = await app.create()
    await app.seat(room, "cyd", {"user_id": "cyd"})
    await app.seat(room, "bob", {"user_id": "bob"}, {"user_id": "ann", "mic_opened": False}, {"user_id": "dan"})
    assert app.mixer.rooms[room] == {"ann": Speaker(0), "cyd": Speaker(1), "bob": Speaker(2)}


async def test_nobody_is_brought_into_a_room_by_a_list_and_who_is_in_it_is_seated_by_its_host(app: App) -> None:
    await app.login("ann", "bob")
    room = await app.create()
    host, bob = {"user_id": "ann"}, {"user_id": "bob"}
    assert (await app.seat(room, "ann", host, bob, status=400))["details"] == {"problem": "no-such-attendee"}
    assert (await app.call("/get", {"id": room, "user_id": "ann"}, "ann"))["metrics"]["online_count"] == 1
    await app.service.change(room, lambda _: [Enter("bob")])
    await app.seat(room, "ann", host, bob)
    assert app.mixer.rooms[room] == {"ann": Speaker(0), "bob": Speaker(1)}


@pytest.mark.parametrize("name", ["bad\nname", ".", "ü" * 200, "\u2028"])
async def test_a_name_that_the_media_server_does_not_take_gets_no_seat(name: str) -> None:
    async with running("none") as app:
        await app.login("ann")
        room = await app.create()
        refused = await app.seat(room, "ann", {"user_id": "ann"}, {"user_id": name}, status=400)
        assert refused["details"]["errors"][0]["in"] == ["body", "members", "1", "user_id"]


async def test_there_are_no_more_seats_than_the_room_has(app: App) -> None:
    users = [f"u{number}" for number in range(8)]
    await app.login("ann")
    room = await app.create()
    await app.service.change(room, lambda _: [Enter(user) for user in users])
    refused = await app.seat(room, "ann", {"user_id": "ann"}, *({"user_id": user} for user in users), status=400)
    assert refused["details"] == {"problem": "no-free-seat"}
    assert app.mixer.rooms[room] == {"ann": Speaker(0)}, "all of it or nothing"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/create", {"anchor": "ann"}),
        ("/create", {"anchor": "ann", "title": 7}),
        ("/create", {"anchor": "ann", "title": "x" * 257}),
        ("/create", {"anchor": "ann", "title": "t", "mode": 3}),
        ("/list", {"user_id": "ann", "page_num": 0, "page_size": 1}),
        ("/list", {"user_id": "ann", "page_num": 1, "page_size": 1e9}),
        ("/get", {}),
        ("/get", []),
        ("/updateMeetingInfo", {"id": "x", "members": [{}]}),
        ("/login", {"username": "ann"}),
    ],
)
async def test_what_is_not_as_the_document_says_is_a_400_that_names_it(path: str, body: object) -> None:
    async with running("none") as app:
        await app.login("ann")
        assert (await app.call(path, body, "ann", 400))["details"]["errors"]


async def test_bodies_that_are_no_json_or_too_large_are_refused() -> None:
    async with running("none") as app:
        await app.login("ann")
        headers = {"Authorization": f"Bearer {app.tokens['ann']}", "Content-Type": "application/json"}
        for body, status in ((b"{", 400), (b'{"id": "\\ud800", "user_id": "ann"}', 400), (b" " * (2 << 20), 413)):
            answer = await app.http.post("/get", content=body, headers=headers)
            assert answer.status_code == status
            jsonschema.validate(answer.json(), schema_of("/get", status))


async def test_rooms_and_users_survive_a_restart_and_the_media_server_is_told_all_again(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/rooms.db"
    async with running(url) as app:
        await app.login("ann", "bob")
        room = await app.create()
        await app.seat(room, "bob", {"user_id": "bob", "mic_opened": False})
        before = await app.call("/getMeetingInfo", {"id": room}, "bob")
    async with running(url) as app:
        await app.login("ann")
        assert await app.call("/getMeetingInfo", {"id": room}, "ann") != before  # addresses are of who asks
        told = {room: {"ann": Speaker(0), "bob": Speaker(1, frozenset({MuteSource.SELF}))}}
        await until(lambda: app.mixer.rooms == told)
        await app.call("/login", {"username": "bob", "password": "another"}, status=401)


async def test_a_media_server_that_is_away_is_told_when_it_is_back() -> None:
    async with running("none") as app:
        await app.login("ann", "bob")
        room = await app.create()
        app.mixer.away = True
        await app.seat(room, "bob", {"user_id": "bob"}, status=503)
        assert app.mixer.rooms[room] == {"ann": Speaker(0)}
        app.mixer.away = False
        app.time[0] += 2
        await until(lambda: app.mixer.rooms[room] == {"ann": Speaker(0), "bob": Speaker(1)})


async def test_a_room_that_nobody_could_hear_is_not_made() -> None:
    async with running("none", mixer=Mixer(away=True)) as app:
        await app.login("ann")
        await app.call("/create", {"anchor": "ann", "title": "Jazz"}, "ann", 503)
        assert await app.call("/list", {"user_id": "ann", "page_num": 1, "page_size": 9}, "ann") == []


async def test_of_changes_at_once_none_is_lost(app: App) -> None:
    users = [f"u{number}" for number in range(5)]
    await app.login("ann", *users)
    room = await app.create()
    await asyncio.gather(*(app.seat(room, user, {"user_id": user}) for user in users))
    assert set(app.mixer.rooms[room]) == {"ann", *users}
    assert len({speaker.seat for speaker in app.mixer.rooms[room].values()}) == 6


async def test_the_table_has_the_document_s_columns(tmp_path: Path) -> None:
    async with running(f"sqlite+aiosqlite:///{tmp_path}/rooms.db") as app:
        await app.login("ann")
        room = await app.create(notice="n")
    with sqlite3.connect(tmp_path / "rooms.db") as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(room_infos)")]
        kept = dict(zip(columns, database.execute("SELECT * FROM room_infos").fetchone(), strict=True))
        (password,) = database.execute("SELECT password FROM users").fetchone()
    database.close()
    assert columns == [
        *("id", "created_at", "updated_at", "title", "anchor", "extends", "status", "mode", "chat_id", "pk_id"),
        *("notice", "meeting_id", "cover_url", "anchor_id", "anchor_nick", "vod_id", "meeting_info"),
        *("started_at", "stopped_at"),
    ]
    assert (kept["id"], kept["title"], kept["anchor"], kept["notice"], kept["status"]) == (room, "Jazz", "ann", "n", 0)
    assert kept["created_at"].startswith("2026-01-02 03:04:05")
    assert json.loads(kept["meeting_info"])["members"][0]["user_id"] == "ann"
    assert password.startswith("$argon2id$")


async def test_a_password_costs_what_rfc_9106_says_for_little_memory() -> None:
    passwords = Passwords()
    kept = await passwords.hash("open sesame")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert await passwords.is_right("open sesame", kept)
    assert not await passwords.is_right("open barley", kept)
    assert not await passwords.is_right("nobody's", None), "not even by the password that nobody has"


async def test_probes() -> None:
    async with running("none") as app:
        assert (await app.http.get("/healthz")).text == "ok\n"
        assert (await app.http.get("/readyz")).text == "ready\n"
        assert (await app.http.get("/nowhere")).json()["code"] == 404
