"""How conversations and streams are called. Pure.

A conversation of two has a name of bounded length, whatever the users are called; both are told with whom it is.
"""

import json
from hashlib import sha256

from roomservice.model.groups import Group

GROUP = "group:"


def of_group(group: str) -> str:
    return GROUP + group


def of_two(one: str, other: str) -> str:
    names = json.dumps(sorted((one, other)))
    return "pair:" + sha256(names.encode(errors="surrogatepass")).hexdigest()[:40]


def stream_of(group: Group) -> str:
    """Where what happens in it is told: a room's audience hears it with the room."""
    return f"room:{group.id}" if group.of_room else f"group:{group.id}"
