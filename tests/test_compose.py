"""The container files name what there is: options of the commands, sources that the image may have, secrets that the
example asks for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("command", ["mediaserver", "roomservice"])
def test_variables_are_options_of_the_commands(command: str) -> None:
    program = Path(sys.executable).with_name(command)
    shown = subprocess.run([program, "serve", "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    known = set(re.findall(rf"{command.upper()}_\w+", shown))
    set_here = {*COMPOSE["services"][command]["environment"], *re.findall(rf"{command.upper()}_\w+(?==)", DOCKERFILE)}
    assert set_here
    assert set_here <= known


def test_services_are_those_that_the_room_service_needs() -> None:
    assert set(COMPOSE["services"]) == {"proxy", "mediaserver", "roomservice", "postgres", "redis", "coturn"}
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    assert {service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service} <= stages
    assert re.findall(r"^FROM .*", DOCKERFILE, re.MULTILINE)[-1].endswith("AS mediaserver")


def test_what_must_be_set_is_in_the_example() -> None:
    example = (ROOT / "compose.env.example").read_text()
    for name in re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text()):
        assert f"\n{name}=" in example


def test_http_and_databases_are_on_loopback_alone() -> None:
    for name, service in COMPOSE["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for name in ("mediaserver", "roomservice"):
        assert COMPOSE["services"][name]["environment"][f"{name.upper()}_HOST"] == "127.0.0.1"


def test_the_proxy_has_both_servers_under_the_names_that_they_know() -> None:
    caddy = (ROOT / "Caddyfile").read_text()
    proxied = dict(re.findall(r"^\{\$(\w+)\} \{\n\treverse_proxy 127\.0\.0\.1:(\d+)\n\}", caddy, re.MULTILINE))
    assert proxied == {"DOMAIN": "8080", "MEDIA_DOMAIN": "8090"}
    assert set(proxied) == set(COMPOSE["services"]["proxy"]["environment"])
    media, rooms = (COMPOSE["services"][name]["environment"] for name in ("mediaserver", "roomservice"))
    assert media["MEDIASERVER_CORS_ORIGIN"] == "https://${DOMAIN}"
    assert rooms["ROOMSERVICE_MEDIA_PUBLIC_URL"] == "https://${MEDIA_DOMAIN}"


def test_what_is_copied_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}
    assert copied <= allowed
