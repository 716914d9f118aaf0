"""Who asks, by his address, where allowances are counted by that. Pure."""

import ipaddress
from functools import lru_cache

CACHED = 10_000


@lru_cache(CACHED)
def counted(address: str) -> str:
    """As what it counts: IPv6 as its /64, since whoever has one address of it has all 2^64; IPv4 as it is, in IPv6's
    clothes too. What is no address counts as itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
