"""How often passwords may be tried: by an address, of a name, and by a crowd."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from roomservice.addresses import counted
from roomservice.interface import Crowded
from roomservice.passwords import AT_A_TIME, MAX_WAITING, Passwords
from roomservice.wire.logins import PER_NAME, Logins
from tests.wired import Wired, wired

NOW = 1_800_000_000.0


@pytest.fixture
async def frozen() -> Any:
    """Its clock stands still: allowances do not come back while a slow machine is at work."""
    now = time.time()
    async with wired(clock=lambda: now) as running:
        yield running


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket's path", "a socket's path"),
    ],
)
def test_an_address_of_ipv6_counts_as_its_network(address: str, expected: str) -> None:
    assert counted(address) == expected


async def tried(service: Wired, address: str, user: str, password: str, path: str = "/v1/login") -> int:
    asked = {"username": user, "password": password}
    answer = await service.http.post(path, json=asked, headers={"X-Forwarded-For": address})
    assert ("Retry-After" in answer.headers) == (answer.status_code in (429, 503))
    return answer.status_code


@pytest.mark.parametrize("path", ["/login", "/v1/login"])
async def test_who_has_a_network_of_addresses_tries_no_more_passwords(frozen: Wired, path: str) -> None:
    await frozen.token("ann")
    answers = [await tried(frozen, f"2001:db8::{n:x}", "ann", "wrong", path) for n in range(1, 13)]
    assert answers == [401] * 10 + [429] * 2
    assert await tried(frozen, "2001:db8:0:1::1", "ann", "wrong", path) == 401


@pytest.mark.parametrize("path", ["/login", "/v1/login"])
async def test_a_name_s_passwords_are_tried_slowly_from_however_many_addresses(frozen: Wired, path: str) -> None:
    assert await tried(frozen, "192.0.2.1", "ann", "right", path) == 200
    answers = [await tried(frozen, f"198.51.100.{n}", "ann", "wrong", path) for n in range(40)]
    assert answers == [401] * 30 + [429] * 10
    assert await tried(frozen, "198.51.100.50", "ann", "right", path) == 429
    assert await tried(frozen, "198.51.100.50", "bob", "right", path) == 200, "others are let alone"
    assert await tried(frozen, "192.0.2.1", "ann", "right", path) == 200, "she is let in where she was before"
    frozen.ahead[0] += 2
    assert await tried(frozen, "198.51.100.50", "ann", "right", path) == 200, "and elsewhere a moment later"


def test_one_address_alone_never_keeps_a_user_out() -> None:
    logins = Logins()
    for tenth in range(36_000):
        logins.wait_s("192.0.2.1", "ann", 6.0, NOW + tenth / 10)
        if tenth % 100 == 0:
            assert logins.wait_s("192.0.2.2", "ann", 6.0, NOW + tenth / 10) == 0


def test_only_wrong_passwords_count_and_the_wait_is_short() -> None:
    logins = Logins()
    for number in range(100):
        assert logins.wait_s(f"a{number}", "ann", 6.0, NOW) == 0
        logins.not_tried(f"a{number}", "ann", NOW)
    for number in range(100, 200):
        assert logins.wait_s(f"a{number}", "ann", 6.0, NOW) == 0
        logins.succeeded(f"a{number}", "ann", 6.0, NOW)
    for number in range(200, 230):
        assert logins.wait_s(f"a{number}", "ann", 6.0, NOW) == 0
    assert logins.wait_s("a300", "ann", 6.0, NOW) == 1 / PER_NAME.per_s
    assert logins.wait_s("a100", "ann", 6.0, NOW) == 0
    assert logins.wait_s("a300", "", 1.0, NOW) == 0


def test_places_where_somebody_was_take_no_more_memory_than_there_may_be() -> None:
    logins = Logins(most=10)
    for number in range(100):
        logins.succeeded(f"a{number}", "ann", 6.0, NOW)
    assert len(logins._at_home) == 10


class Slow:
    """A hasher that waits until it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def hash(self, password: str) -> str:
        assert self.may.wait(10)
        return "hashed"


async def test_a_crowd_that_logs_in_is_sent_away_and_not_left_waiting() -> None:
    slow = Slow()
    passwords = Passwords(slow)  # type: ignore[arg-type]
    waiting = [asyncio.create_task(passwords.hash("p")) for _ in range(AT_A_TIME + MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Crowded, match="Too many"):
        await passwords.hash("p")
    waiting.pop().cancel()
    await asyncio.sleep(0.01)
    waiting.append(asyncio.create_task(passwords.hash("p")))
    slow.may.set()
    assert await asyncio.gather(*waiting) == ["hashed"] * len(waiting)


@pytest.mark.parametrize("path", ["/login", "/v1/login"])
async def test_who_is_in_a_crowd_is_told_when_to_come_again(
    frozen: Wired, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomservice.passwords.MAX_WAITING", 0)
    answers = [await tried(frozen, f"192.0.2.{n}", "ann", "hers", path) for n in range(40)]
    assert answers == [503] * 40
    monkeypatch.undo()
    assert await tried(frozen, "192.0.2.99", "ann", "hers", path) == 200


@pytest.mark.parametrize(("body", "status"), [(b" " * 70_000, 413), (b"[" * 60_000, 422), (b"{}", 422), (b"\xff", 422)])
async def test_a_login_that_is_none_is_refused(frozen: Wired, body: bytes, status: int) -> None:
    answer = await frozen.http.post("/login", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (status, 400), answer.text
