"""The images as compose.yaml runs them, without Docker: `scripts/check-images` builds them and runs this in a network
of its own, so that each service has the ports that compose.yaml says, and none else can be meant."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import aioice.turn
import httpx
import pytest
import yaml
from aioice import stun

from tests import databases
from tests.images import Image
from tests.server import FAULTS
from tests.stage import People
from tests.test_rooms import ANN_HZ, hears
from tests.test_turn import LINK

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "build" / "images"
HERE = "203.0.113.7"
GIVEN = {
    "DOMAIN": "voice.test",
    "MEDIA_DOMAIN": "media.voice.test",
    "PUBLIC_ADDRESS": HERE,
    "BIND_ADDRESS": HERE,
    "SIGN_UP": "open",
    **{name: name.lower() * 8 for name in ("SECRET", "DATABASE_PASSWORD", "MEDIA_KEY_SECRET", "TURN_SECRET")},
}
DOMAINS = ("DOMAIN", "MEDIA_DOMAIN")
START_S = 60.0


def interpolated(text: str, given: Mapping[str, str]) -> str:
    """As the Compose specification has it: ${NAME}, ${NAME:-default}, ${NAME:?what is wrong without}."""
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda m: given.get(m[1]) or m[2] or "", text)


SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(interpolated((ROOT / "compose.yaml").read_text(), GIVEN))[
    "services"
]


def published(name: str) -> int:
    return int(SERVICES[name]["ports"][0].split(":")[1])


class Container:
    def __init__(self, name: str, log: Path) -> None:
        self.image = Image.built(IMAGES, name)
        self.environment = SERVICES[name].get("environment", {})
        self.log = log
        with log.open("wb") as file:
            command = [*self.image.entry, *self.image.command]
            self.process = subprocess.Popen(
                self.image.entering(command, self.environment), stdout=file, stderr=subprocess.STDOUT
            )

    def healthy(self) -> bool:
        """By the image's own check."""
        asked = self.image.entering(self.image.check, self.environment)
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0


@contextmanager
def container(name: str, directory: Path) -> Iterator[Container]:
    """Ends by the signal that Docker sends, to the process that Docker sends it to: the first of its own."""
    made = Container(name, directory / f"{name}.log")
    try:
        yield made
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(made.process.pid)], check=False)
        try:
            status = made.process.wait(30)
        except subprocess.TimeoutExpired:
            made.process.kill()
            status = made.process.wait()
        print(made.log.read_text())
    assert status in (0, 128 + 15), status
    assert name == "proxy" or not FAULTS.search(made.log.read_bytes())


def wait_for(what: Callable[[], bool], say: str) -> None:
    deadline = time.monotonic() + START_S
    while not what():
        assert time.monotonic() < deadline, say
        time.sleep(0.2)


def serves_tls() -> bool:
    authority = Path(os.environ["SSL_CERT_FILE"])
    try:
        trust = ssl.create_default_context(cafile=authority)
        return all(httpx.get(f"https://{GIVEN[name]}/healthz", verify=trust).is_success for name in DOMAINS)
    except (OSError, httpx.TransportError):
        return False


@contextmanager
def coturn(directory: Path) -> Iterator[None]:
    """Debian's, with the command line of compose.yaml. What it keeps for itself has a place here; the address is named,
    since it finds none by itself where loopback is the only interface."""
    own = [f"--pidfile={directory}/pid", f"--userdb={directory}/db", f"--listening-ip={HERE}"]
    command = ["turnserver", *SERVICES["coturn"]["command"], *own]
    with (directory / "coturn.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
            assert process.poll() is None, (directory / "coturn.log").read_text()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    """All services, ready: what takes part by name, in the order that compose.yaml asks for."""
    directory = tmp_path_factory.mktemp("composed")
    with ExitStack() as stack:
        stack.enter_context(databases.postgresql(published("postgres"), "rooms"))
        stack.enter_context(databases.redis(published("redis")))
        stack.enter_context(coturn(directory))
        shutil.copy(ROOT / "Caddyfile", IMAGES / "proxy/etc/caddy/Caddyfile")
        # Names of no public registry: its certificates are of its own authority then, and nothing else changes.
        with (IMAGES / "proxy/etc/caddy/Caddyfile").open("r+") as file:
            text = file.read()
            file.seek(0)
            file.write("{\n\tlocal_certs\n\tskip_install_trust\n}\n\n" + text)
        (IMAGES / "proxy/etc/hosts").write_text("127.0.0.1 localhost\n")
        names = ("mediaserver", "roomservice", "proxy")
        running = {name: stack.enter_context(container(name, directory)) for name in names}
        for name in ("mediaserver", "roomservice"):
            wait_for(running[name].healthy, f"{name} is not healthy")
        wait_for(serves_tls, "the proxy has no certificate")
        yield running


@pytest.fixture
async def trust(composed: object) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])


def test_each_runs_as_a_user_without_rights(composed: dict[str, Container]) -> None:
    for name, uid in (("mediaserver", 10001), ("roomservice", 10002)):
        children = f"/proc/{composed[name].process.pid}/task/{composed[name].process.pid}/children"
        (child,) = Path(children).read_text().split()
        status = Path(f"/proc/{child}/status").read_text()
        assert f"\nUid:\t{uid}\t{uid}" in status
        assert "\nCapEff:\t0000000000000000" in status


async def test_somebody_signs_up_opens_a_room_and_is_heard_over_tls(
    composed: dict[str, Container], trust: ssl.SSLContext
) -> None:
    async with People("https://voice.test", trust) as people:
        ann, bob = await people.come("ann"), await people.come("bob")
        room = (await ann.call("create_room", title="Jazz"))["id"]
        await bob.call("login_room", room=room)
        await people.speaks(ann, room, ANN_HZ)
        ear = await people.listens(bob, room)
        await hears(ear, ANN_HZ)
        await bob.media_event("speaking_started", user="ann")


async def test_the_page_may_use_the_media_server(composed: dict[str, Container], trust: ssl.SSLContext) -> None:
    async with httpx.AsyncClient(verify=trust) as http:
        page = await http.get("https://voice.test/")
        assert page.status_code == 200
        assert "connect-src 'self' https://media.voice.test;" in page.headers["content-security-policy"]
        asked = {"Origin": "https://voice.test", "Access-Control-Request-Method": "POST"}
        answer = await http.options("https://media.voice.test/whip/jazz", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://voice.test"


class Relayed(asyncio.DatagramProtocol):
    """What comes back through coturn: data, or a refusal."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.came.put_nowait(data)

    def error_received(self, error: Exception) -> None:
        self.came.put_nowait(error)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_coturn_relays_to_the_media_server_alone(
    composed: dict[str, Container], trust: ssl.SSLContext, transport: str
) -> None:
    async with People("https://voice.test", trust) as people:
        ann = await people.come("ann")
        room = (await ann.call("create_room", title="Relayed"))["id"]
        response = (await people.speaks(ann, room, ANN_HZ)).response
        assert response
        servers = LINK.findall(response.headers["link"])
        assert [url for url, _, _ in servers] == [f"turn:{HERE}:3478", f"turn:{HERE}:3478?transport=tcp"]
        _, username, credential = servers[0]
        connecting = aioice.turn.create_turn_endpoint(Relayed, (HERE, 3478), username, credential, transport=transport)
        made, relayed = await asyncio.wait_for(connecting, 10)
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as peer:
            peer.bind((HERE, 0))
            peer.setblocking(False)
            made.sendto(bytes(request), peer.getsockname())
            loop = asyncio.get_running_loop()
            assert await asyncio.wait_for(loop.sock_recv(peer, 2048), 10) == bytes(request)
        made.sendto(bytes(request), ("127.0.0.1", published("postgres")))
        refusal = await asyncio.wait_for(relayed.came.get(), 10)
        assert isinstance(refusal, stun.TransactionFailed)
        assert refusal.response.attributes["ERROR-CODE"][0] == 403
        made.close()


def test_no_port_but_those_of_tls_media_and_turn_is_open_to_others(composed: dict[str, Container]) -> None:
    listening = subprocess.run(["ss", "-Hltun"], check=True, capture_output=True, text=True).stdout
    local = [line.split()[4].rpartition(":") for line in listening.splitlines()]
    open_to_others = {int(port) for address, _, port in local if not address.startswith(("127.", "[::1]"))}
    media = range(20000, 20064)
    assert {port for port in open_to_others if port not in media} - {80, 443, 3478, 3479} == set()
