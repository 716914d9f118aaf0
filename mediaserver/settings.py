"""The server's settings, checked once: whatever is in a Settings can be used without looking at it again."""

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mediaserver import webhook_signature
from mediaserver.events import DEFAULT_TYPES, PatternError, Types
from mediaserver.files import read
from mediaserver.keys import ApiKey, parse_file
from mediaserver.music.config import Bounds, MusicSettings
from mediaserver.tls import Tls
from mediaserver.turn import Turn

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# From SIGTERM to the end of sessions that are still there, in production. Orchestrators kill after 30 s by default.
DRAIN_TIMEOUT_S = 20.0
DEVELOPMENT_KEY = ("dev", "known-to-everybody-for-development-only")  # id and secret

_HOST = r"[A-Za-z0-9.:\[\]-]+"
_QUOTABLE = r"[!#-+\--\[\]-~]+"  # what can stand in a quoted string as it is, but for the comma
_ICE_SERVER = re.compile(
    rf"(stuns?:{_HOST}|turns?:{_HOST}(?:\?transport=(?:udp|tcp))?)(?:,({_QUOTABLE}),({_QUOTABLE}))?"
)
_TURN_URL = re.compile(rf"turns?:{_HOST}(?:\?transport=(?:udp|tcp))?")
# Whoever was given one credential can try secrets at home. A day outlasts a call; more would serve whoever copied them.
MIN_TURN_SECRET_BYTES = 16
DEFAULT_TURN_TTL_S = 86_400
_HTTP_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+(/[!-~]*)?")
DEFAULT_STATE = "mediaserver.db"
# Each is a task, a connection, and up to 10,000 kept events.
MAX_WEBHOOKS = 16

_MEDIA_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]+")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class SettingsError(ValueError):
    """A setting is wrong; the message is one sentence for whoever started the server."""


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """An address that the workers' sockets are bound to, and the one that clients are told: they differ behind NAT."""

    bind: str
    announced: str

    @classmethod
    def parse(cls, text: str) -> "MediaAddress":
        """`ADDRESS` or `ADDRESS=ANNOUNCED`, IPv4 or IPv6. SettingsError otherwise."""
        bind, equals, announced = text.partition("=")
        addresses = [_ip(bind), _ip(announced if equals else bind)]
        if addresses[0].version != addresses[1].version:
            raise SettingsError(f"The media address {text} is announced in another IP version than it is bound in.")
        if addresses[1].is_unspecified:
            raise SettingsError(f"Clients cannot reach {addresses[1]}: write {bind}=ANNOUNCED, where they can.")
        return cls(str(addresses[0]), str(addresses[1]))


LOOPBACK = (MediaAddress("127.0.0.1", "127.0.0.1"),)


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server that clients are told to use; a TURN server's credentials go to every client."""

    url: str
    username: str = ""
    credential: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> "IceServer":
        """`URL` or `URL,USERNAME,CREDENTIAL`. SettingsError otherwise."""
        match = _ICE_SERVER.fullmatch(text)
        if match is None:
            raise SettingsError("An ICE server is written stun:HOST[:PORT] or turn:HOST[:PORT],USERNAME,CREDENTIAL.")
        return cls(match[1], match[2] or "", match[3] or "")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are posted to, and which: those of these types, of rooms whose name is like `rooms`, in which `*`
    stands for any characters. The address may hold a secret as well."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    types: Types = DEFAULT_TYPES
    rooms: str = "*"

    @classmethod
    def parse(cls, text: str) -> "Webhook":
        """`URL SECRET [TYPES[,TYPES] [ROOMS]]`; `default` stands for the types that there are without it. SettingsError
        otherwise, which never repeats the text."""
        parts = text.split(None, 3)
        if len(parts) < 2:
            raise SettingsError("A webhook is written URL SECRET [TYPE,TYPE [ROOMS]].")
        _check_webhook_url(parts[0])
        try:
            webhook_signature.key_of(parts[1])
            types = Types.parse(parts[2].split(",")) if parts[2:] and parts[2] != "default" else DEFAULT_TYPES
        except PatternError as error:
            raise SettingsError(f"A webhook's types are wrong: {error}") from None
        except ValueError as error:
            raise SettingsError(str(error)) from None
        return cls(parts[0], parts[1], types, parts[3].rstrip() if parts[3:] else "*")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients and the room service together can make the server hold. Raising one costs memory alone."""

    rooms: int = 1_000
    sessions: int = 20_000
    listeners_per_room: int = 10_000
    speakers_per_room: int = 64
    mixes_per_room: int = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """`development` is true when nobody gave a key: then the known key is the only one and everything is loopback."""

    host: str = "127.0.0.1"
    port: int = 8090
    media: tuple[MediaAddress, ...] = LOOPBACK
    media_port: int = 0
    media_tcp: bool = True
    workers: int = 1
    api_keys: tuple[ApiKey, ...] = (ApiKey(*DEVELOPMENT_KEY),)
    option_api_keys: tuple[ApiKey, ...] = ()
    api_key_file: Path | None = None
    development: bool = True
    tls: Tls | None = None
    cors_origins: tuple[str, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    turn: Turn | None = None
    log_level: str = "info"
    log_format: str | None = None
    otlp_endpoint: str | None = None
    drain_timeout_s: float = 0.0
    real_time: bool = False  # a real-time priority for the threads that move packets
    max_worker_load: float = 0.85
    rate_per_key: float = 2_000.0
    rate_per_address: float = 50.0
    trusted_proxies: tuple[Network, ...] = ()
    state: str | None = None  # the file; None keeps it in memory
    webhooks: tuple[Webhook, ...] = ()
    limits: Limits = field(default_factory=Limits)
    music: MusicSettings = field(default_factory=MusicSettings)

    @classmethod
    def check(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 8090,
        media_address: Sequence[str] = (),
        media_port: int = 0,
        media_tcp: bool = True,
        workers: int | None = None,
        api_key: Sequence[str] = (),
        api_key_file: Path | None = None,
        production: bool = False,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        cors_origin: Sequence[str] = (),
        ice_server: Sequence[str] = (),
        turn: Sequence[str] = (),
        turn_secret: str | None = None,
        turn_secret_file: Path | None = None,
        turn_ttl: int = DEFAULT_TURN_TTL_S,
        log_level: str = "info",
        state: str | None = None,
        webhook: Sequence[str] = (),
        webhook_file: Path | None = None,
        log_format: str | None = None,
        otlp_endpoint: str | None = None,
        drain_timeout: float | None = None,
        real_time: bool = False,
        max_worker_load: float = 0.85,
        rate_per_key: float = 2_000.0,
        rate_per_address: float = 50.0,
        trusted_proxy: Sequence[str] = (),
        media_dir: Path | None = None,
        media_allow_host: Sequence[str] = (),
        media_allow_network: Sequence[str] = (),
        media_file_mib: int = 512,
        media_total_gib: float = 50.0,
        **limits: int,
    ) -> "Settings":
        """From the options as they were written. SettingsError with one sentence when they cannot be."""
        option_keys = _api_keys(api_key)
        keys = (*option_keys, *(_keys_of_file(api_key_file) if api_key_file else ()))
        if len({key.id for key in keys}) < len(keys):
            raise SettingsError("Two API keys have the same id.")
        development = not keys
        if not development and not media_address:
            raise SettingsError("Say with --media-address where clients can reach the server's UDP ports.")
        media = tuple(MediaAddress.parse(text) for text in media_address) or LOOPBACK
        if len({address.bind for address in media}) < len(media):
            raise SettingsError("A media address is given twice.")
        if development:
            _check_development(production, host, media)
        workers = len(os.sched_getaffinity(0)) if workers is None else workers
        if not 1 <= workers <= 64:
            raise SettingsError("The number of workers must be 1 to 64.")
        _check_port("port", port)
        _check_port("media port", media_port)
        if media_port:
            _check_port("last worker's media port", media_port + workers - 1)
        for origin in cors_origin:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise SettingsError(f"The CORS origin {origin!r} is neither * nor of the form https://example.org.")
        if otlp_endpoint is not None and not _HTTP_URL.fullmatch(otlp_endpoint):
            raise SettingsError("The OTLP endpoint is not of the form http://collector:4318.")
        drain_timeout = (DRAIN_TIMEOUT_S if keys else 0.0) if drain_timeout is None else drain_timeout
        _check_number("drain timeout", drain_timeout, 0, 86_400)
        _check_number("highest load of a worker", max_worker_load, 0, 1)
        _check_number("rate per key", rate_per_key, 0, 1e6)
        _check_number("rate per address", rate_per_address, 0, 1e6)
        for name, value in limits.items():
            if value < 1:
                raise SettingsError(f"The limit on {name.replace('_', ' ')} must be at least 1.")
        return cls(
            host=host,
            port=port,
            media=media,
            media_port=media_port,
            media_tcp=media_tcp,
            workers=workers,
            api_keys=keys or cls().api_keys,
            option_api_keys=option_keys,
            api_key_file=api_key_file,
            development=development,
            tls=_tls(tls_cert, tls_key),
            cors_origins=tuple(cors_origin),
            ice_servers=tuple(IceServer.parse(text) for text in ice_server),
            turn=_turn(turn, turn_secret, turn_secret_file, turn_ttl),
            log_level=log_level,
            log_format=log_format,
            otlp_endpoint=otlp_endpoint,
            drain_timeout_s=drain_timeout,
            real_time=real_time,
            max_worker_load=max_worker_load,
            rate_per_key=rate_per_key,
            rate_per_address=rate_per_address,
            trusted_proxies=tuple(_network(text) for text in trusted_proxy),
            state=_state(state, development=not keys),
            webhooks=_webhooks([*webhook, *(_lines("webhook", webhook_file) if webhook_file else [])]),
            limits=Limits(**limits),
            music=_music(media_dir, media_allow_host, media_allow_network, media_file_mib, media_total_gib),
        )

    def binds(self) -> list[list[tuple[str, int]]]:
        """For each worker the (address, port) pairs of its sockets; port 0 lets the kernel choose."""
        return [
            [(address.bind, self.media_port + worker if self.media_port else 0) for address in self.media]
            for worker in range(self.workers)
        ]

    def announced(self, bound: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
        """The (address, port) pairs that clients are told for these bound ones, in the order of the settings."""
        ports = dict(bound)
        return [(address.announced, ports[address.bind]) for address in self.media if address.bind in ports]


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_development(production: bool, host: str, media: tuple[MediaAddress, ...]) -> None:
    if production:
        raise SettingsError("Production mode needs an API key of your own: give --api-key or --api-key-file.")
    outside = [text for text in (host, *(address.announced for address in media)) if not is_loopback(text)]
    outside += [address.bind for address in media if not is_loopback(address.bind)]
    if outside:
        raise SettingsError(
            f"Serving on {outside[0]} needs an API key of your own (--api-key or --api-key-file): "
            "the known development key is for loopback addresses only."
        )


def _ip(text: str) -> Any:
    try:
        return ipaddress.ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        raise SettingsError(f"The media address {text!r} is not an IPv4 or IPv6 address.") from None


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise SettingsError(f"The trusted proxy {text!r} is neither an address nor a network (CIDR).") from None


def _music(
    directory: Path | None, hosts: Sequence[str], networks: Sequence[str], file_mib: int, total_gib: float
) -> MusicSettings:
    for host in hosts:
        if not _MEDIA_HOST.fullmatch(host):
            raise SettingsError(f"The media host {host!r} is neither a name nor *.NAME.")
    found = []
    for text in networks:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            raise SettingsError(f"The media network {text!r} is neither an address nor a network (CIDR).") from None
    _check_number("size of a media file in MiB", file_mib, 1, 65_536)
    _check_number("size of the media library in GiB", total_gib, 0.001, 1e6)
    bounds = Bounds(max_file=file_mib * 1024**2, max_total=int(total_gib * 1024**3))
    return MusicSettings(directory, tuple(host.lower() for host in hosts), tuple(found), bounds)


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"The {name} must be {low:g} to {high:g}, not {value:g}.")


def _check_port(name: str, port: int) -> None:
    if not 0 <= port <= 65_535:
        raise SettingsError(f"The {name} must be 0 to 65535, not {port}.")


def _api_keys(texts: Sequence[str]) -> tuple[ApiKey, ...]:
    """An environment variable is split at white space, so a text without colon belongs to the key before it."""
    lines: list[str] = []
    for text in texts:
        if lines and ":" not in "".join(text.split()[:1]):
            lines[-1] += f" {text}"
        else:
            lines.append(text)
    try:
        return tuple(ApiKey.parse(line) for line in lines)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("TLS needs both --tls-cert and --tls-key.")
    try:
        return Tls(certificate, key)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _turn(urls: Sequence[str], secret: str | None, file: Path | None, ttl_s: int) -> Turn | None:
    """No message repeats the secret."""
    if not urls and secret is None and file is None:
        return None
    if not urls:
        raise SettingsError("A TURN secret is of no use without --turn.")
    if (secret is None) == (file is None):
        raise SettingsError(
            "TURN servers need the secret that they know: --turn-secret or --turn-secret-file, not both."
        )
    for url in urls:
        if not _TURN_URL.fullmatch(url):
            raise SettingsError(f"The TURN server {url!r} is not written turn:HOST[:PORT][?transport=udp|tcp].")
    if file is not None:
        lines = _lines("TURN secret", file)
        if len(lines) != 1:
            raise SettingsError(f"The TURN secret file {file} must have one line.")
        secret = lines[0]
    if secret is None or not re.fullmatch(rf"[!-~]{{{MIN_TURN_SECRET_BYTES},}}", secret):
        raise SettingsError(f"A TURN secret has at least {MIN_TURN_SECRET_BYTES} printable characters and no space.")
    _check_number("lifetime of TURN credentials", ttl_s, 60, 30 * 86_400)
    return Turn(tuple(urls), secret, ttl_s)


def _state(option: str | None, *, development: bool) -> str | None:
    """The path; None for memory."""
    if option == "":
        raise SettingsError("The state is kept in a file with a name, or in none.")
    if option is None:
        return None if development else DEFAULT_STATE
    return None if option == "none" else option


def _webhooks(texts: Sequence[str]) -> tuple[Webhook, ...]:
    webhooks = tuple(Webhook.parse(text) for text in texts)
    if len(webhooks) > MAX_WEBHOOKS:
        raise SettingsError(f"There can be at most {MAX_WEBHOOKS} webhooks.")
    if len({webhook.url for webhook in webhooks}) < len(webhooks):
        raise SettingsError("Two webhooks have the same URL.")
    return webhooks


def _check_webhook_url(url: str) -> None:
    """The address is never repeated in a message: it may hold a secret."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        url.encode("ascii")
    except ValueError:
        usable = False
    if not usable or any(character <= " " or character == "\x7f" for character in url):
        raise SettingsError("A webhook's URL is of the form https://example.org/path, in ASCII.")
    if parts.username is not None or parts.password is not None:
        raise SettingsError("A webhook's URL has no user and password: deliveries are signed with the secret.")


def _lines(what: str, path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"The {what} file {path} cannot be read.") from None
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _keys_of_file(path: Path) -> list[ApiKey]:
    try:
        return parse_file(read(path))
    except ValueError as error:
        raise SettingsError(str(error)) from None
