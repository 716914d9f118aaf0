"""Talk survives the end of a process that nobody can prepare for: the installed command on SQLite, killed and started
again. What was answered is there, and a timer that ran out meanwhile fires, once."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from mediaserver.client import verify_webhook
from tests.client import Listener, listen, speak, until
from tests.conftest import StartServer
from tests.phones import parted
from tests.push_receiver import Receiver, receiver
from tests.rpc import Rpc
from tests.server import Server
from tests.test_rooms import ANN_HZ, BOB_HZ, connected, hears
from tests.test_rs_serve import Process

SECRET = "the app and the service know it"
OPTIONS = ("--sign-up", "open", "--secret", "a secret of at least 32 bytes, for tests only", "--heartbeat", "300")


class Restarted:
    """A service that can be killed."""

    def __init__(self, directory: Path, media_url: str, hook: Receiver) -> None:
        self._directory = directory
        self._media_url = media_url
        self.hook = hook
        self.process = self._begun()

    def dies_and_comes_back(self) -> None:
        self.process.kill()
        self.process = self._begun()

    def _begun(self) -> Process:
        pushes = ("--push-hook", f"{self.hook.url}/push", "--push-hook-secret", SECRET)
        return Process(self._directory, self._media_url, *OPTIONS, *pushes)

    async def token(self, user: str) -> str:
        asked = {"username": user, "password": f"{user}'s password", "device_id": "d1"}
        async with httpx.AsyncClient(base_url=self.process.url, timeout=20, trust_env=False) as http:
            return str((await http.post("/v1/login", json=asked)).raise_for_status().json()["access_token"])

    async def client(self, user: str, **more: Any) -> Rpc:
        return Rpc(self.process.url, await self.token(user), **more)


@pytest.fixture
async def service(server: Server, tmp_path: Path) -> AsyncIterator[Restarted]:
    with receiver() as hook:
        made = Restarted(tmp_path, server.url, hook)
        try:
            yield made
        finally:
            made.process.stop()


async def test_messages_invitations_and_calls_survive_a_kill(service: Restarted) -> None:
    async with AsyncExitStack() as stack:
        ann = await stack.enter_async_context(await service.client("ann"))
        bob = await stack.enter_async_context(await service.client("bob"))
        await service.token("cyd")
        sent = await ann.call("send_direct_message", user="bob", text="hello")
        invitation = await ann.call("invite", user="bob", timeout_s=1.0)
        call = await ann.call("start_call", users=["bob", "cyd"])
        await bob.event("call_incoming")
        seen = dict(bob.seen)
        await until(lambda: service.hook.received, say="cyd is pushed to")
        service.dies_and_comes_back()
    (pushed, *_) = service.hook.received
    assert verify_webhook(SECRET, pushed.headers, pushed.body, time.time())
    assert json.loads(pushed.body)["user"] == "cyd"
    async with await service.client("bob", resume=seen) as bob, await service.client("ann") as ann:
        assert (await bob.event("invitation_timed_out"))["data"]["id"] == invitation["id"]
        page = await bob.call("get_direct_messages", user="ann")
        assert [one["id"] for one in page["messages"]] == [sent["id"]]
        again = await ann.call("send_direct_message", user="bob", text="hello again", id="m-1")
        assert again["number"] == 2
        assert (await bob.call("get_current_call"))["call"]["id"] == call["id"]
        await bob.call("answer_call", call=call["id"])
        media = await bob.call("get_call_media", call=call["id"])
        assert media["whip"]
        late = [one for one in bob.events if one["event"] == "invitation_timed_out"]
        assert len(late) == 1
        numbers = [one["seq"] for one in bob.events if one["stream"] == "user:bob"]
        assert numbers == list(range(seen["user:bob"] + 1, seen["user:bob"] + 1 + len(numbers)))


async def test_a_call_is_heard_again_after_the_media_server_was_killed(
    tmp_path: Path, start_server: StartServer
) -> None:
    first = Server(tmp_path / "first")
    first.wait_ready()
    with receiver() as hook:
        service = Restarted(tmp_path, first.url, hook)
        try:
            async with AsyncExitStack() as stack:
                http = await stack.enter_async_context(httpx.AsyncClient(timeout=20, trust_env=False))

                async def joins(client: Rpc, call: str, pitch_hz: int) -> Listener:
                    media = await client.call("get_call_media", call=call)
                    speaker = await stack.enter_async_context(await speak(http, *parted(media["whip"]), pitch_hz))
                    ear = await listen(http, *parted(media["whep"], "?mode=mix"), slots=1)
                    await stack.enter_async_context(ear)
                    await connected(speaker, ear)
                    return ear

                ann, bob = [await stack.enter_async_context(await service.client(user)) for user in ("ann", "bob")]
                call = (await ann.call("start_call", users=["bob"]))["id"]
                await bob.call("answer_call", call=call)
                ears = await joins(ann, call, ANN_HZ), await joins(bob, call, BOB_HZ)
                await hears(ears[0], BOB_HZ)
                first.kill()
                start_server("--port", first.url.rpartition(":")[2])
                await ann.call("mute_party", call=call, user="bob")  # while the media server hardly is there
                await bob.event("call_muted")
                await ann.call("mute_party", call=call, user="bob", muted=False)
                ears = await joins(ann, call, ANN_HZ), await joins(bob, call, BOB_HZ)
                await hears(ears[0], BOB_HZ)
                await hears(ears[1], ANN_HZ)
                assert not [one for one in bob.events if one["event"] in ("call_ended", "call_party_lost")]
        finally:
            service.process.stop()
