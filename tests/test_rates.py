"""How often who may ask, by made-up time; and that a refusal is a problem document that says when to ask again."""

import ipaddress
from typing import Any, cast

import httpx
import pytest

from mediaserver.buckets import Bucket
from mediaserver.http.rates import ADDRESS_BURST, Rates, Table, client_name
from mediaserver.signing import sign_request
from tests.edge import KEY, NOW, ROOM, Edge, assert_problem, bearer, serving

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")]


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(rate=8, burst=5, now=0.0)
    assert [bucket.take(0.0) for _ in range(6)] == [True] * 5 + [False]
    assert bucket.wait_s(0.0) == 0.125
    assert [bucket.take(0.125), bucket.take(0.125)] == [True, False]
    assert [bucket.take(100.0) for _ in range(6)] == [True] * 5 + [False]


def test_a_bucket_is_in_debt_for_at_most_a_burst() -> None:
    bucket = Bucket(rate=8, burst=5, now=0.0)
    bucket.charge(0.0, 1_000)
    assert bucket.wait_s(0.0) == 0.75
    assert not bucket.take(0.625)
    assert bucket.take(0.75)


def test_a_bucket_survives_a_clock_that_stands_or_goes_back() -> None:
    bucket = Bucket(rate=8, burst=1, now=5.0)
    assert bucket.take(4.0)
    assert not bucket.take(5.0)
    assert bucket.take(5.125)


def test_the_wait_is_whole_seconds_and_at_least_one() -> None:
    table = Table(rate=0.5, burst=1)
    assert table.take("ann", 0.0) == 0
    assert table.take("ann", 0.0) == 2
    assert table.take("ann", 1.9) == 1
    assert table.take("ann", 2.0) == 0


def test_the_table_is_bounded_and_forgets_who_asked_longest_ago() -> None:
    table = Table(rate=1, burst=1, size=3)
    for name in ("a", "b", "c"):
        assert table.take(name, 0.0) == 0
    assert table.take("a", 0.0) == 1
    assert table.take("d", 0.0) == 0
    assert len(table) == 3
    assert table.take("a", 0.0) == 1
    assert table.take("b", 0.0) == 0


def test_rate_zero_is_no_limit_and_costs_no_memory() -> None:
    table = Table(rate=0, burst=0)
    table.charge("ann", 0.0, 10)
    assert [table.take("ann", 0.0) for _ in range(100)] == [0] * 100
    assert len(table) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "expected"),
    [
        ("192.0.2.1", "", [], "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", [], "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", PROXIES, "192.0.2.1"),
        ("10.0.0.1", "198.51.100.7", PROXIES, "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", PROXIES, "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7, 10.0.0.2", PROXIES, "198.51.100.7"),
        ("10.0.0.1", ",198.51.100.7, ,", PROXIES, "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, unknown", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, 999.1.1.1", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "", PROXIES, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7:4711", PROXIES, "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::5]:4711", PROXIES, "2001:db8::"),
        ("::1", "2001:db8:1:2:3:4:5:6", PROXIES, "2001:db8:1:2::"),
        ("::ffff:10.0.0.1", "198.51.100.7", PROXIES, "198.51.100.7"),
        ("2001:db8:1:2:ffff::1", "", [], "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "", [], "192.0.2.1"),
        ("fe80::1%eth0", "", [], "fe80::"),
        ("testclient", "", [], ""),
        ("", "", PROXIES, ""),
    ],
)
def test_a_client_is_known_by_what_no_client_can_choose(
    peer: str, forwarded: str, proxies: list[Any], expected: str
) -> None:
    assert client_name(peer, forwarded, proxies) == expected


class Asking:
    """Requests of an edge whose middleware has a clock of the test's own."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.time = 0.0
        for middleware in edge.app.user_middleware:
            if cast(object, middleware.cls) is Rates:
                middleware.kwargs["clock"] = lambda: self.time

    def of(self, address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app=self.edge.app, raise_app_exceptions=False, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    async def statuses(self, address: str, path: str, count: int, **options: Any) -> list[int]:
        async with self.of(address) as http:
            return [(await http.get(path, **options)).status_code for _ in range(count)]


async def test_an_address_may_ask_so_often_and_others_are_not_in_its_way() -> None:
    async with serving(rate_per_address=50) as edge:
        asking = Asking(edge)
        burst = int(ADDRESS_BURST)
        assert await asking.statuses("192.0.2.1", "/nowhere", burst + 2) == [404] * burst + [429] * 2
        assert await asking.statuses("192.0.2.2", "/nowhere", 1) == [404]
        asking.time += 0.1
        assert await asking.statuses("192.0.2.1", "/nowhere", 6) == [404] * 5 + [429]
        async with asking.of("192.0.2.1") as http:
            refused = await http.get("/nowhere", headers={"Origin": "https://example.org"})
        assert_problem(refused, "too-many-requests")
        assert refused.headers["retry-after"] == "1"
        assert 'mediaserver_requests_limited_total{by="address"} 4.0\n' in (await edge.http.get("/metrics")).text


async def test_pages_of_other_origins_can_read_the_refusal() -> None:
    async with serving(rate_per_address=1, cors_origin=["*"]) as edge:
        asking = Asking(edge)
        await asking.statuses("192.0.2.1", "/nowhere", int(ADDRESS_BURST))
        async with asking.of("192.0.2.1") as http:
            refused = await http.get("/nowhere", headers={"Origin": "https://example.org"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (429, "*")


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"auth": httpx.BasicAuth(KEY.id, "x" * 32)},
        {"auth": httpx.BasicAuth("beta", KEY.secret)},
        {"headers": {"Authorization": "Basic ="}},
        {"headers": {"Authorization": "Bearer x.y.z"}},
    ],
)
async def test_a_failed_authentication_costs_ten(credentials: dict[str, Any]) -> None:
    async with serving(rate_per_address=50) as edge:
        asking = Asking(edge)
        tried = int(ADDRESS_BURST) // 10
        statuses = await asking.statuses("192.0.2.1", "/v1/rooms", tried + 5, **credentials)
        assert statuses == [401] * tried + [429] * 5
        asking.time += 0.2
        assert await asking.statuses("192.0.2.1", "/v1/rooms", 2, **credentials) == [401, 429]


async def test_a_key_has_its_own_rate_from_whatever_address() -> None:
    async with serving(rate_per_key=10, rate_per_address=1) as edge:
        asking = Asking(edge)
        for address in ("192.0.2.1", "192.0.2.2"):
            assert await asking.statuses(address, "/v1/rooms", 10, auth=edge.service) == [200] * 10
        assert await asking.statuses("192.0.2.3", "/v1/rooms", 1, auth=edge.service) == [429]
        assert await asking.statuses("192.0.2.1", "/nowhere", 1) == [404]
        asking.time += 0.1
        assert await asking.statuses("192.0.2.3", "/v1/rooms", 2, auth=edge.service) == [200, 429]


@pytest.mark.parametrize("once", [True, False])
async def test_signed_requests_are_counted_for_their_key_and_not_used_up(once: bool) -> None:
    async with serving(rate_per_key=1, rate_per_address=1) as edge:
        asking = Asking(edge)

        def signed() -> dict[str, str]:
            return {"Authorization": f"Bearer {sign_request(KEY.id, KEY.secret, NOW, once=once)}"}

        statuses = [(await asking.statuses("192.0.2.1", "/v1/rooms", 1, headers=signed()))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        used = signed()
        asking.time += 2
        assert await asking.statuses("192.0.2.1", "/v1/rooms", 2, headers=used) == [200, 401 if once else 200]


async def test_a_key_is_not_in_the_way_of_an_address_that_is_out_of_tokens() -> None:
    async with serving(rate_per_address=1) as edge:
        asking = Asking(edge)
        await asking.statuses("192.0.2.1", "/nowhere", int(ADDRESS_BURST) + 1)
        assert await asking.statuses("192.0.2.1", "/v1/rooms", 3, auth=edge.service) == [200] * 3


async def test_participants_are_counted_by_their_address() -> None:
    async with serving(rate_per_address=1) as edge:
        edge.seat()
        asking = Asking(edge)
        own = f"/v1/rooms/{ROOM}/listeners/ann"
        burst = int(ADDRESS_BURST)
        assert await asking.statuses("192.0.2.1", own, burst + 1, headers=bearer()) == [200] * burst + [429]


async def test_probes_and_metrics_are_free() -> None:
    async with serving(rate_per_address=1) as edge:
        asking = Asking(edge)
        await asking.statuses("192.0.2.1", "/nowhere", int(ADDRESS_BURST) + 1)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert await asking.statuses("192.0.2.1", path, 3) == [200] * 3


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_loopback_is_limited_but_in_development(address: str) -> None:
    cases: list[tuple[dict[str, Any], int]] = [({"api_key": []}, 404), ({}, 429)]
    for options, expected in cases:
        async with serving(rate_per_address=1, **options) as edge:
            asking = Asking(edge)
            assert (await asking.statuses(address, "/nowhere", int(ADDRESS_BURST) + 1))[-1] == expected


async def test_behind_a_trusted_proxy_each_client_has_his_own_bucket() -> None:
    async with serving(rate_per_address=1, trusted_proxy=["10.0.0.0/8"]) as edge:
        asking = Asking(edge)
        burst = int(ADDRESS_BURST)
        ann, bob = ({"X-Forwarded-For": f"{number}, 198.51.100.{number}"} for number in (1, 2))
        assert (await asking.statuses("10.0.0.1", "/nowhere", burst + 1, headers=ann))[-1] == 429
        assert await asking.statuses("10.0.0.2", "/nowhere", 1, headers=ann) == [429]
        assert await asking.statuses("10.0.0.1", "/nowhere", 1, headers=bob) == [404]
