"""How often who may ask: token buckets by API key, and by client address for whoever shows none.

- A request with good service credentials is counted for its API key, any other for the client's address.
- A request that is answered 401 costs its address FAILED_COST tokens, so that guessing is slow.
- The address is the connection's, or what a trusted proxy says in X-Forwarded-For: the rightmost entry that is not a
  trusted proxy's own. An IPv6 client is its /64, because it can choose the rest.
- Probes and metrics are free: a server that is asked too much must still be seen to live.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mediaserver.buckets import Bucket
from mediaserver.http.auth import key_of
from mediaserver.http.problems import Problem
from mediaserver.node import Node
from mediaserver.settings import Network

# A tenth of what an address may do in a burst would already be 20 guesses; 4 s of quiet pay for all of them.
FAILED_COST = 10.0
ADDRESS_BURST = 200.0
KEY_BURST_S = 2.0
# Some 200 bytes each. More addresses than that at a time, and the ones unheard of for longest start with a full bucket.
MAX_ADDRESSES = 20_000
# Parsed addresses that are kept: IPv6 costs 12 µs to parse. More cost some 300 bytes each.
CACHED = 4_096
MAX_ADDRESS_LENGTH = 64
EXEMPT = frozenset(("/healthz", "/readyz", "/metrics"))


class Table:
    """A bucket for each of the names that asked last. Pure; `now` in seconds of any one clock. rate 0: no limit."""

    def __init__(self, rate: float, burst: float, size: int = MAX_ADDRESSES) -> None:
        self._rate = rate
        self._burst = burst
        self._size = size
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, now: float) -> int:
        """0 when it may ask now, else after how many whole seconds."""
        if not self._rate:
            return 0
        bucket = self._of(name, now)
        return 0 if bucket.take(now) else max(1, math.ceil(bucket.wait_s(now)))

    def charge(self, name: str, now: float, cost: float) -> None:
        if self._rate:
            self._of(name, now).charge(now, cost)

    def _of(self, name: str, now: float) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._rate, self._burst, now)
            if len(self._buckets) > self._size:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
        return bucket


class Rates:
    """ASGI middleware. To be inside of Cors, so that pages can read the refusal."""

    def __init__(
        self,
        app: ASGIApp,
        node: Node,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = node.settings
        self._app = app
        self._node = node
        self._clock = clock
        self._keys = Table(settings.rate_per_key, settings.rate_per_key * KEY_BURST_S)
        self._addresses = Table(settings.rate_per_address, max(ADDRESS_BURST, settings.rate_per_address))
        self._proxies = settings.trusted_proxies
        self._spares_loopback = settings.development

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in EXEMPT:
            await self._app(scope, receive, send)
            return
        forwarded, has_credentials = "", False
        for name, value in scope["headers"]:
            if name == b"authorization":
                has_credentials = True
            elif name == b"x-forwarded-for":
                forwarded += "," + value.decode("latin-1")
        now = self._clock()
        key = key_of(self._node, scope) if has_credentials else None
        if key is not None:
            if wait_s := self._keys.take(key.id, now):
                await self._refuse("api-key", wait_s, scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        address = client_name(scope["client"][0] if scope["client"] else "", forwarded, self._proxies)
        if self._spares_loopback and (address == "::" or address.startswith("127.")):
            await self._app(scope, receive, send)
            return
        if wait_s := self._addresses.take(address, now):
            await self._refuse("address", wait_s, scope, receive, send)
            return

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                self._addresses.charge(address, self._clock(), FAILED_COST - 1)
            await send(message)

        await self._app(scope, receive, send_noted)

    async def _refuse(self, by: str, wait_s: int, scope: Scope, receive: Receive, send: Send) -> None:
        self._node.refused_rates[by] += 1
        whose = "The API key is used" if by == "api-key" else "This address asks"
        problem = Problem("too-many-requests", f"{whose} too often; wait {wait_s} s.", {"Retry-After": str(wait_s)})
        await problem.response()(scope, receive, send)


def client_name(peer: str, forwarded: str, proxies: Sequence[Network]) -> str:
    """What a client's bucket goes by. peer: the connection's address, "" when not known; forwarded: X-Forwarded-For."""
    if not proxies or not _is_of(peer, proxies):
        return _grouped(peer)
    for entry in reversed(forwarded.split(",")):
        address = entry.strip()[: MAX_ADDRESS_LENGTH + 1]  # the cache keeps what it is asked
        if not address:
            continue
        if not _is_of(address, proxies):
            # What is no address was written by the client; then the proxy's own stands for all such.
            return _grouped(address) if _parsed(address) else _grouped(peer)
    return _grouped(peer)


@lru_cache(CACHED)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is no address. Some proxies write `[address]:port` and `address:port`. IPv4 in IPv6 is IPv4."""
    if len(address) > MAX_ADDRESS_LENGTH:
        return None
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _is_of(address: str, networks: Iterable[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


@lru_cache(CACHED)
def _grouped(address: str) -> str:
    if ":" not in address and address.count(".") == 3 and address.replace(".", "").isdigit():
        return address  # IPv4 as it came from the socket: the usual case, and the fast one
    parsed = _parsed(address)
    if parsed is None:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)).network_address)
