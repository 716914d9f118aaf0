"""The flows of the seed documents, over real HTTP and WebSockets, with a real media server and aiortc clients.

000 Alibaba ARTC voice chat room, 001 ZEGO live voice chat; 003 and 004 have files of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.client import RefusedError, listen, until
from tests.conftest import StartServer
from tests.control import Control
from tests.server import Server
from tests.stage import SILENT_DB, People, parted
from tests.test_rooms import ANN_HZ, BOB_HZ, hears, loudness
from tests.test_rs_serve import Process, room_service


@pytest.fixture
async def people(server: Server, tmp_path: Path) -> AsyncIterator[People]:
    with room_service(tmp_path, server.url, "--sign-up", "open") as url:
        async with People(url) as made:
            yield made


async def test_000_alibaba_artc_the_six_flows(people: People, server: Server) -> None:
    """Create, enter, request a microphone, leave the microphone, leave the room, dismiss."""
    ann, bob, cyd = [await people.come(user) for user in ("ann", "bob", "cyd")]
    room = (await ann.call("create_room", title="Jazz", nick="Ann"))["id"]
    entered = await bob.call("login_room", room=room, nick="Bob")
    assert [seat["user"] for seat in entered["seats"]][:2] == ["ann", None]
    await cyd.call("login_room", room=room)
    assert (await ann.event("attendee_entered"))["data"]["nick"] == "Bob"
    host = await people.speaks(ann, room, ANN_HZ)
    ear = await people.listens(cyd, room)
    await hears(ear, ANN_HZ)

    assert (await bob.call("get_addresses", room=room))["whip"] == ""
    await bob.call("operate_raise_hand", room=room)
    await ann.event("hand_raised", user="bob")
    assert loudness(ear, BOB_HZ) < SILENT_DB
    await ann.call("answer_raise_hand", room=room, user="bob", approve=True)
    for one in (ann, bob, cyd):
        await one.event("seat_taken", user="bob", seat=1)
    guest = await people.speaks(bob, room, BOB_HZ)
    await hears(ear, BOB_HZ)

    await bob.call("leave_seat", room=room)
    await cyd.event("seat_left", user="bob")
    await guest.closed()
    await until(lambda: loudness(ear, BOB_HZ) < SILENT_DB, say="bob is off the microphone")
    await hears(ear, ANN_HZ)

    await cyd.call("leave_room", room=room)
    await ann.event("attendee_left", user="cyd", reason="left")
    await ear.closed()
    await ann.call("dismiss_room", room=room)
    await bob.event("room_dismissed", room=room)
    await host.closed()
    assert (await bob.call("get_room_list", status=2))["rooms"][0]["id"] == room
    assert await bob.refused("login_room", room=room) == "room-dismissed"


async def test_001_zego_raise_hand_invite_set_to_listener_and_mute(people: People) -> None:
    """By the names of that document's methods."""
    host, guest, listener = [await people.come(user) for user in ("host", "guest", "listener")]
    room = (await host.call("create_room", title="Talk"))["id"]
    found = (await listener.call("get_room_list"))["rooms"]
    assert room in [one["id"] for one in found]
    for one in (guest, listener):
        await one.call("login_room", room=room)
    roles = {one["user"]: one["role"] for one in (await guest.call("get_attendee_list", room=room))["attendees"]}
    assert roles == {"host": "host", "guest": "listener", "listener": "listener"}
    await people.speaks(host, room, ANN_HZ)  # so that there is a mix to be missing from
    ear = await people.listens(listener, room)

    # 3: he raises his hand, and is invited; he answers.
    await guest.call("operate_raise_hand", room=room)
    await host.event("hand_raised", user="guest")
    await host.call("invite_onstage", room=room, user="guest")
    await guest.event("stage_invited", room=room, by="host")
    await guest.call("response_onstage_invite", room=room, accept=True)
    await listener.event("seat_taken", user="guest")
    await people.speaks(guest, room, BOB_HZ)
    await hears(ear, BOB_HZ)

    # 6: the host closes his microphone; he stays on the stage, and cannot open it himself.
    await host.call("set_user_info", room=room, user="guest", mic_opened=False)
    await guest.event("muted", user="guest", source="host")
    await until(lambda: loudness(ear, BOB_HZ) < SILENT_DB, say="the guest is muted")
    await guest.call("mute", room=room, muted=True)
    await guest.call("mute", room=room, muted=False)
    assert (await guest.call("get_room", room=room))["seats"][1]["mutes"] == ["host"]
    await host.call("set_user_info", room=room, user="guest", mic_opened=True)
    await hears(ear, BOB_HZ)
    await guest.media_event("speaking_started", user="guest")

    # 5: the host sets him to listener.
    await host.call("set_user_info", room=room, user="guest", role="listener")
    await listener.event("seat_left", user="guest", reason="set to listener")
    await until(lambda: loudness(ear, BOB_HZ) < SILENT_DB, say="the guest is a listener")

    # 4: a listener is invited without having asked, and says no.
    await host.call("invite_onstage", room=room, user="listener")
    await listener.event("stage_invited")
    await listener.call("response_onstage_invite", room=room, accept=False)
    await host.event("stage_invite_ended", how="rejected")

    # Extra information and custom commands; heartbeat; logout.
    await host.call("set_room_info", room=room, values={"topic": "tea"})
    assert (await guest.event("room_info"))["data"] == {"changed": {"topic": "tea"}, "version": 1, "by": "host"}
    await host.call("send_command", room=room, text="dance", to="guest")
    assert (await guest.event("custom_command"))["stream"] == "user:guest"
    assert (await guest.call("heartbeat"))["heartbeat_s"] == 15
    await guest.call("logout")
    assert await guest.closed() == (4006, "ended")
    await host.event("attendee_lost", user="guest")


async def test_who_is_kicked_or_banned_hears_no_more_and_his_address_is_worth_nothing(people: People) -> None:
    ann, bob = await people.come("ann"), await people.come("bob")
    room = (await ann.call("create_room", title="Jazz"))["id"]
    await bob.call("login_room", room=room)
    await people.speaks(ann, room, ANN_HZ)
    address = (await bob.call("get_addresses", room=room))["whep"]
    ear = await people.listens(bob, room)
    await hears(ear, ANN_HZ)
    await ann.call("kick", room=room, user="bob")
    await bob.event("expelled", room=room, reason="kicked")
    await ear.closed()
    url, token = parted(address)
    with pytest.raises(RefusedError):
        await listen(people.http, f"{url}?mode=mix", token, slots=1)
    assert await bob.refused("get_addresses", room=room) == "not-in-room"
    await bob.call("login_room", room=room)
    ear = await people.listens(bob, room)
    await hears(ear, ANN_HZ)
    await ann.call("ban", room=room, user="bob", seconds=3600)
    await ear.closed()
    assert await bob.refused("login_room", room=room) == "banned"


async def test_music_effects_and_the_scenario_reach_the_media_server(people: People, server: Server) -> None:
    ann, bob = await people.come("ann"), await people.come("bob")
    room = (await ann.call("create_room", title="Karaoke", settings={"scenario": "ktv"}))["id"]
    await bob.call("login_room", room=room)
    assert "applause" in (await bob.call("get_sounds"))["sounds"]
    assert await bob.refused("play_effect", room=room, document={"sound": "applause"}) == "not-permitted"
    await ann.call("play_effect", room=room, document={"sound": "applause"})
    await bob.media_event("effect_started", sound="applause")
    assert await ann.refused("play_effect", room=room, document={"sound": "nothing"}) == "media-refused"
    await ann.call("start_effect", room=room, effect="rain", document={"sound": "countdown", "audience": ["bob"]})
    await ann.call("put_player", room=room, player="music", document={"tracks": [], "volume_db": -6})
    await ann.call("control_player", room=room, player="music", action="volume", volume_db=-9)
    assert (await bob.call("get_players", room=room))["players"][0]["volume_db"] == -9
    async with Control(server.url) as control:
        document = await control.call("GET", "rooms", room)
        assert (document["scenario"], list(document["effects"])) == ("ktv", ["rain"])
        await ann.call("stop_effect", room=room, effect="rain")
        await ann.call("delete_player", room=room, player="music")
        await ann.call("configure_room", room=room, settings={"scenario": "chat"})
        document = await control.call("GET", "rooms", room)
        assert (document["scenario"], document["effects"], document["players"]) == ("chat", {}, {})


@pytest.mark.parametrize("state", ["kept", "none"])
async def test_after_the_media_servers_kill_who_was_heard_is_heard_again(
    tmp_path: Path, start_server: StartServer, state: str
) -> None:
    """The room service says again what shall be, whether the media server remembers it or not."""
    kept = str(tmp_path / "state.db") if state == "kept" else "none"
    first = Server(tmp_path / "first", "--state", kept)
    first.wait_ready()
    port = first.url.rpartition(":")[2]
    with room_service(tmp_path, first.url, "--sign-up", "open") as url:
        async with People(url) as people:
            ann, bob, cyd = [await people.come(user) for user in ("ann", "bob", "cyd")]
            room = (await ann.call("create_room", title="Jazz", settings={"mode": "free"}))["id"]
            for one in (bob, cyd):
                await one.call("login_room", room=room)
            await bob.call("take_seat", room=room, seat=5)
            await people.speaks(bob, room, BOB_HZ)
            ear = await people.listens(cyd, room)
            await hears(ear, BOB_HZ)
            first.kill()
            start_server("--port", port, "--state", kept)
            await ann.call("mute", room=room, user="ann", muted=True)  # while the media server hardly is there
            async with Control(first.url) as control:

                async def seated() -> dict[str, object]:
                    found = await control.http.get(f"/v1/rooms/{room}/speakers", auth=control._auth)
                    speakers = found.json()["speakers"] if found.is_success else []
                    return {one["user"]: (one["seat"], list(one["mutes"])) for one in speakers}

                wanted = {"ann": (0, ["self"]), "bob": (5, [])}
                for _ in range(400):
                    if await seated() == wanted:
                        break
                    await asyncio.sleep(0.05)
                assert await seated() == wanted
            assert (await bob.call("get_room", room=room))["seats"][5]["user"] == "bob"
            await people.speaks(bob, room, BOB_HZ)
            ear = await people.listens(cyd, room)
            await hears(ear, BOB_HZ)
            assert not [one for one in cyd.events if one["event"] in ("seat_left", "attendee_lost")]


async def test_after_the_room_services_kill_the_seat_and_the_voice_are_there(server: Server, tmp_path: Path) -> None:
    """Media goes on meanwhile; the clients come back to the next process and have missed nothing."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    storage = ("--storage", f"sqlite+aiosqlite:///{tmp_path}/shared.db", "--secret", "s" * 40, "--sign-up", "open")
    first = Process(tmp_path / "first", server.url, *storage)
    try:
        async with People(first.url) as people:
            bob, cyd = await people.come("bob"), await people.come("cyd")
            room = (await bob.call("create_room", title="Jazz"))["id"]
            await cyd.call("login_room", room=room)
            await people.speaks(bob, room, BOB_HZ)
            ear = await people.listens(cyd, room)
            await hears(ear, BOB_HZ)
            await cyd.event("attendee_entered", user="cyd")
            seen = dict(cyd.seen)
            first.kill()
            first.judge()
            await bob.closed()
            with room_service(tmp_path / "second", server.url, *storage) as url:
                people.url = url
                await hears(ear, BOB_HZ)
                again = await people.come("cyd", resume=seen)
                assert again.welcome["reload"] == []
                bob = await people.come("bob")
                await bob.call("send_command", room=room, text="hello again")
                await again.event("custom_command", text="hello again")
                assert (await again.call("get_room", room=room))["seats"][0]["user"] == "bob"
                assert not [one for one in again.events if one["event"] in ("seat_left", "attendee_left")]
                await hears(ear, BOB_HZ)
    finally:
        first.kill()
