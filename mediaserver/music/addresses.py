"""Which addresses may be fetched from. Pure: names are resolved elsewhere (gate.py).

- Schemes: http and https. A URL with credentials, without a host, or on a port that is none is refused.
- Hosts: any, or those of the allow-list (`radio.example.org`, or `*.example.org` for all below it).
- A host that is a number in another form than four decimals with dots (2130706433, 0x7f.1, 0177.0.0.1) is refused as a
  name would never look so.
- IP addresses: only such as are routed in the internet, whatever name led to them; those that carry another address
  in themselves (IPv4-mapped, 6to4, Teredo, NAT64) count as the one they carry. Networks that the operator allows, for
  a file server of his own, are let through all the same.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL = 2048
PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*{_LABEL}\.?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")

# What ipaddress calls global and is not to be fetched from all the same, or calls so in some versions of Python only.
_SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata server of one cloud
        "168.63.129.16/32",  # the metadata server of another
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "::/96",  # IPv4-compatible
        "64:ff9b:1::/48",  # NAT64 of one's own network
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",  # site-local
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedError(ValueError):
    """An address may not be fetched from. The message is a sentence for who asked, and does not repeat the address."""


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that may be asked, as far as can be told without its host's IP addresses. `host` is in lower case and
    ASCII, without brackets; `url` has no fragment."""

    url: str
    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Policy:
    """hosts: the allow-list, empty for any; networks: IP addresses that are let through though they are not public;
    ports: empty for any."""

    hosts: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    ports: tuple[int, ...] = ()

    def parse(self, url: str, base: str | None = None) -> Address:
        """The address that this text means, relative to `base` if there is one. RefusedError otherwise."""
        if len(url) > MAX_URL or any(character <= " " or character == "\x7f" for character in url) or "\\" in url:
            raise RefusedError("The address is too long, or has characters that no URL has.")
        try:
            parts = urlsplit(urljoin(base, url) if base is not None else url)
            host, port = parts.hostname or "", parts.port
            host = host.encode("idna").decode("ascii").lower() if ":" not in host else host.lower()
            target = parts._replace(fragment="").geturl()
            target.encode("ascii")
        except (ValueError, UnicodeError):
            raise RefusedError("The address is not a URL.") from None
        scheme = parts.scheme.lower()
        if scheme not in PORTS:
            raise RefusedError("Only http and https addresses are fetched.")
        if parts.username is not None or parts.password is not None:
            raise RefusedError("An address with a user name or password in it is not fetched.")
        port = PORTS[scheme] if port is None else port
        if port == 0 or (self.ports and port not in self.ports):
            raise RefusedError("The address is on a port that is not fetched from.")
        self._check_host(host)
        return Address(target, scheme, host, port)

    def check(self, ips: Iterable[Ip]) -> None:
        """RefusedError unless there are some, and each of them may be connected to."""
        found = list(ips)
        if not found:
            raise RefusedError("The address's host has no IP address.")
        for ip in found:
            if not self.allows(ip):
                raise RefusedError("The address leads to a network that is not fetched from.")

    def allows(self, ip: Ip) -> bool:
        carried = embedded(ip)
        if any(one.version == network.version and one in network for one in (ip, carried) for network in self.networks):
            return True
        return is_public(ip)

    def _check_host(self, host: str) -> None:
        ip = literal(host)
        if ip is not None:
            self.check([ip])
        elif not _NAME.fullmatch(host):
            raise RefusedError("The address has no usable host.")
        elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise RefusedError("The address's host is a number that is no IP address.")
        if self.hosts and not any(_matches(host.rstrip("."), pattern) for pattern in self.hosts):
            raise RefusedError("The address's host is not one of those that are fetched from.")


def literal(host: str) -> Ip | None:
    """The IP address that a URL's host is; None for a name."""
    if "%" in host:
        raise RefusedError("An address with a zone is not fetched.")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def embedded(ip: Ip) -> Ip:
    """The IPv4 address that an IPv6 address leads to through a translator or tunnel; else itself."""
    if ip.version == 4:
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else None) or ip


def is_public(ip: Ip) -> bool:
    """Whether it is routed in the internet, and so is the address that it carries."""
    if ip.version == 6 and (ip.ipv4_mapped is not None or ip in _NAT64):
        return is_public(embedded(ip))
    carried = embedded(ip)
    if carried is not ip:
        return False  # tunnels of another time: nobody serves music there
    if any(ip.version == network.version and ip in network for network in _SPECIAL):
        return False
    refused = ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved
    return ip.is_global and not refused and not ip.is_unspecified


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
