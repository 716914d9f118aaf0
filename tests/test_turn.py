"""Credentials for TURN servers: what WHIP and WHEP answers give, and whether Debian's coturn takes it."""

import asyncio
import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator

import aioice.stun
import aioice.turn
import pytest

from mediaserver.turn import Turn
from tests.coturn import OLD_SECRET, SECRET, Coturn, coturn
from tests.edge import NOW, serving
from tests.offers import fragment

URLS = ["turn:turn.example.org", "turns:turn.example.org:443?transport=tcp"]
LINK = re.compile(
    r'<(turns?:[^>]+)>; rel="ice-server"; username="([^"]+)"; credential="([^"]+)"; credential-type="password"'
)


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


async def test_every_answer_has_credentials_of_its_own_that_end_with_their_time() -> None:
    async with serving(turn=URLS, turn_secret=SECRET, turn_ttl=600) as edge:
        edge.seat()
        names = set()
        for response in (await edge.whip(), await edge.whep(), await edge.whep("bob")):
            servers = LINK.findall(response.headers["link"])
            assert [url for url, _, _ in servers] == URLS
            ((username, credential),) = {(username, credential) for _, username, credential in servers}
            end, _, name = username.partition(":")
            assert int(end) == NOW + 600
            digest = hmac.digest(SECRET.encode(), username.encode(), hashlib.sha1)
            assert base64.b64decode(credential) == digest
            names.add(name)
        assert len(names) == 3


async def test_static_servers_stay_and_stand_first() -> None:
    async with serving(turn=URLS[:1], turn_secret=SECRET, ice_server=["stun:stun.example.org"]) as edge:
        edge.seat()
        link = (await edge.whip()).headers["link"]
        assert link.startswith('<stun:stun.example.org>; rel="ice-server", <turn:turn.example.org>; rel="ice-server"; ')


async def test_an_ice_restart_gives_fresh_credentials() -> None:
    async with serving(turn=URLS[:1], turn_secret=SECRET, turn_ttl=600) as edge:
        edge.seat()
        created = await edge.whip()
        edge.now += 30
        restarted = await edge.patch(created.headers["location"], fragment("abcd", "p" * 22), {"If-Match": "*"})
        assert restarted.status_code == 200
        assert restarted.headers["cache-control"] == "no-store"
        ((_, username, _),) = LINK.findall(restarted.headers["link"])
        assert int(username.partition(":")[0]) == NOW + 30 + 600


async def allocate(relay: Coturn, transport: str, username: str, credential: str) -> tuple[str, int]:
    """The address that coturn relays for us. aioice.stun.TransactionFailed when it refuses."""
    made, _ = await asyncio.wait_for(
        aioice.turn.create_turn_endpoint(
            asyncio.DatagramProtocol, ("127.0.0.1", relay.port), username, credential, transport=transport
        ),
        10,
    )
    address: tuple[str, int] = made.get_extra_info("sockname")
    made.close()
    return address


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_coturn_takes_our_credentials_until_they_expire(relay: Coturn, transport: str) -> None:
    turn = Turn((), SECRET, 60)
    for accepted in (turn, Turn((), OLD_SECRET, 60)):
        host, _ = await allocate(relay, transport, *accepted.credentials(time.time()))
        assert host == "127.0.0.1"
    for refused in (turn.credentials(time.time() - 120), Turn((), "another" + SECRET, 60).credentials(time.time())):
        with pytest.raises(aioice.stun.TransactionFailed) as failure:
            await allocate(relay, transport, *refused)
        assert failure.value.response.attributes["ERROR-CODE"][0] == 401
