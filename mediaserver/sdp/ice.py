"""Where and as whom one side is reached by ICE (RFC 8839)."""

import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from mediaserver.sdp.text import ICE_CHAR, SdpError


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """Our side's ufrag and password (RFC 8839 section 5.4). ValueError when they are not."""

    ufrag: str
    pwd: str = field(repr=False)

    def __post_init__(self) -> None:
        check_credentials(self.ufrag, self.pwd)

    @classmethod
    def generate(cls) -> "IceCredentials":
        """64 and 192 random bits, in characters that need no quoting in URLs and ETags."""
        return cls(secrets.token_hex(8), secrets.token_hex(24))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host candidate: an IPv4 or IPv6 address, without zone, and a UDP port; `tcp`: a TCP port to which clients
    connect (RFC 6544). ValueError when it is not."""

    address: str
    port: int
    tcp: bool = False

    def __post_init__(self) -> None:
        ip = ipaddress.ip_address(self.address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id is not None:
            raise ValueError(f"{self.address} has a zone, which means nothing to others.")
        if not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is not a port.")

    @property
    def connection(self) -> str:
        """As a c= line has it (RFC 8866 section 5.7)."""
        ip = ipaddress.ip_address(self.address)
        return f"IN IP{ip.version} {ip.compressed}"


def candidate_lines(candidates: Sequence[Candidate]) -> list[str]:
    """Host candidates in the given order of preference (RFC 8445 section 5.1.2.1), but TCP after UDP. Those of one
    address and protocol share a foundation (section 5.1.1.3)."""
    bases = [(candidate.connection, candidate.tcp) for candidate in candidates]
    lines = []
    for place, candidate in enumerate(candidates):
        foundation = bases.index(bases[place]) + 1
        address = candidate.connection.split(" ")[2]
        if candidate.tcp:
            # RFC 6544 section 4.2: a type preference below all of UDP's, and 4 for the direction of a passive one.
            priority = (90 << 24) + ((4 << 13 | 8191 - place) << 8) + 255
            protocol, kind = "tcp", "host tcptype passive"
        else:
            priority = (126 << 24) + ((65535 - place) << 8) + 255
            protocol, kind = "udp", "host"
        lines.append(f"a=candidate:{foundation} 1 {protocol} {priority} {address} {candidate.port} typ {kind}")
    return [*lines, "a=end-of-candidates"]


def check_credentials(ufrag: str, pwd: str) -> None:
    """SdpError when they are none (RFC 8839 section 5.4)."""
    if not re.fullmatch(rf"{ICE_CHAR}{{4,256}}", ufrag) or not re.fullmatch(rf"{ICE_CHAR}{{22,256}}", pwd):
        raise SdpError("ICE credentials must be 4 to 256 and 22 to 256 letters, digits, + and /.")
