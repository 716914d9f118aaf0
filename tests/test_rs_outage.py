"""A storage that was away for longer than sessions last: nobody is logged out by it, and nobody loses his seat."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from roomservice.bus.local import LocalBus
from roomservice.commit import Session
from roomservice.engine import Engine
from roomservice.interface import Unavailable
from roomservice.outbox import Outbox
from roomservice.presence import Presence
from roomservice.runner import Runner
from roomservice.settings import ServiceSettings
from roomservice.storage.memory import MemoryStorage
from tests.rpc import Rpc
from tests.wired import wired

SETTINGS = ServiceSettings("a secret of at least 32 bytes, for tests only")
NOW = 1_800_000_000.0


class Away(MemoryStorage):
    """While it is away, nothing of it can be reached."""

    away = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or not super().__getattribute__("away"):
            return found

        async def nowhere(*_: Any, **__: Any) -> Any:
            raise Unavailable("The database cannot be reached.")

        return nowhere


async def beats(*clients: Rpc) -> None:
    while True:
        for client in clients:
            await client.call("heartbeat")
        await asyncio.sleep(0.05)


async def test_a_storage_that_was_away_logs_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roomservice.runner.SWEEP_S", 0.02)
    monkeypatch.setattr("roomservice.runner.POLL_S", 0.02)
    storage = Away()
    async with (
        wired(storage, heartbeat_s=0.4) as service,
        await service.client("ann") as ann,
        await service.client("bob") as bob,
    ):
        room = (await ann.call("create_room", title="Jazz", settings={"mode": "free"}))["id"]
        await bob.call("login_room", room=room)
        await bob.call("take_seat", room=room)
        beating = asyncio.create_task(beats(ann, bob))
        await asyncio.sleep(0.3)
        storage.away = True
        await asyncio.sleep(2)
        storage.away = False
        await asyncio.sleep(1)
        beating.cancel()
        view = await ann.call("get_room", room=room)
        assert [seat["user"] for seat in view["seats"][:2]] == ["ann", "bob"]
        assert not [one["event"] for one in ann.events if one["event"] in ("attendee_lost", "session_ended")]
        assert [one["online"] for one in (await ann.call("query_online", users=["ann", "bob"]))["users"]] == [True] * 2


@pytest.mark.parametrize("reason", ["expired", "lost"])
async def test_who_was_swept_by_another_instance_comes_again(reason: str) -> None:
    async with wired() as service, await service.client("ann") as ann:
        (session,) = await service.engine.storage.sessions_of(["ann"])
        await service.presence.end(session, reason)
        assert await ann.closed() == (4004, "heartbeat-lost")


async def test_after_an_outage_other_instances_have_time_to_refresh_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LATE_S": 0.2, "OTHERS_S": 0.5, "SWEEP_S": 0.02, "POLL_S": 0.02}.items():
        monkeypatch.setattr(f"roomservice.runner.{name}", value)
    storage, swept = Away(), dict[str, float]()

    async def lost(session: Session) -> None:
        swept.setdefault(session.id, time.monotonic())

    engine = Engine(storage, LocalBus(), lambda: NOW)
    runner = Runner(engine, Outbox(storage, lambda: NOW, {}), lost)
    before = await Presence(engine, SETTINGS, "dead", lambda: NOW - 100).begin("ann", "phone")
    runner.start()
    try:
        await asyncio.sleep(0.1)
        assert set(swept) == {before.id}, "who was over before is swept at once"
        storage.away = True
        await asyncio.sleep(0.4)
        swept.clear()
        storage.away, back = False, time.monotonic()
        await asyncio.sleep(0.3)
        assert not swept
        await asyncio.sleep(0.6)
        assert swept[before.id] - back > 0.45
    finally:
        await runner.stop()


@pytest.mark.parametrize(("goes", "waits"), [(True, True), (False, False)])
async def test_an_outage_in_the_middle_of_a_sweep_is_one_and_a_long_sweep_is_none(
    monkeypatch: pytest.MonkeyPatch, goes: bool, waits: bool
) -> None:
    for name, value in {"LATE_S": 0.2, "OTHERS_S": 0.5, "SWEEP_S": 0.02, "POLL_S": 0.02}.items():
        monkeypatch.setattr(f"roomservice.runner.{name}", value)
    storage, ended = MemoryStorage(), list[float]()

    async def lost(session: Session) -> None:
        await asyncio.sleep(0 if ended else 0.3)
        ended.append(time.monotonic())
        if goes and len(ended) == 1:
            raise Unavailable("The database cannot be reached.")

    engine = Engine(storage, LocalBus(), lambda: NOW)
    runner = Runner(engine, Outbox(storage, lambda: NOW, {}), lost)
    await Presence(engine, SETTINGS, "dead", lambda: NOW - 100).begin("ann", "phone")
    runner.start()
    try:
        await asyncio.sleep(1.2)
        assert (ended[1] - ended[0] > 0.45) == waits
    finally:
        await runner.stop()
