"""What a request can carry to prove who sends it, and what each kind of address should make of it."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from mediaserver.keys import ApiKey, Rights, RoomPattern
from mediaserver.signing import MAX_REQUEST_S, REQUEST_TYPE, sign, sign_request
from mediaserver.tokens import MAX_LIFE_S
from tests.edge import KEY, NOW, ROOM, USER, bearer

Headers = dict[str, str]

READER = ApiKey("reader", "r" * 32, Rights.READ)
CONTROLLER = ApiKey("controller", "c" * 32, Rights.CONTROL, (RoomPattern.parse("ha*"), RoomPattern.parse("new*")))
ELSEWHERE = ApiKey("elsewhere", "e" * 32, Rights.CONTROL, (RoomPattern.parse("other*"),))
REMOVED = ApiKey("removed", "d" * 32)
STRANGER = ApiKey("stranger", "n" * 32)
KEYS = [KEY, READER, CONTROLLER, ELSEWHERE]
LINES = [
    f"{KEY.id}:{KEY.secret}",
    f"{READER.id}:{READER.secret} read",
    f"{CONTROLLER.id}:{CONTROLLER.secret} control ha* new*",
    f"{ELSEWHERE.id}:{ELSEWHERE.secret} control other*",
    f"{REMOVED.id}:{REMOVED.secret}",
]
# The user was kicked then, and has come back: older tokens of his are revoked.
KICKED = NOW - 50


class Access(Enum):
    """What an address asks for."""

    OPEN = auto()
    PARTICIPANT_PUBLISH = auto()
    PARTICIPANT_LISTEN = auto()
    OWN_SESSION = auto()
    OWN_RESOURCE_READ = auto()
    OWN_RESOURCE = auto()
    ROOM_READ = auto()
    ROOM_CONTROL = auto()
    NODE_READ = auto()
    NODE_CONTROL = auto()
    NODE_ADMIN = auto()


_RIGHTS = {
    Access.OWN_SESSION: Rights.CONTROL,
    Access.OWN_RESOURCE_READ: Rights.READ,
    Access.OWN_RESOURCE: Rights.CONTROL,
    Access.ROOM_READ: Rights.READ,
    Access.ROOM_CONTROL: Rights.CONTROL,
    Access.NODE_READ: Rights.READ,
    Access.NODE_CONTROL: Rights.CONTROL,
    Access.NODE_ADMIN: Rights.ADMIN,
}
_OF_NODE = (Access.NODE_READ, Access.NODE_CONTROL, Access.NODE_ADMIN)
_OWN = (Access.OWN_SESSION, Access.OWN_RESOURCE_READ, Access.OWN_RESOURCE)


@dataclass(frozen=True, slots=True)
class Participant:
    """Whose token is good, and what is the matter with it."""

    user: str = USER
    room: str = ROOM
    may_publish: bool = True
    may_listen: bool = True
    is_revoked: bool = False
    is_used: bool = False


# Who it proves to be there: nobody, a participant or a key.
Who = Participant | ApiKey | None


@dataclass(frozen=True, slots=True)
class Credential:
    """make: the headers, anew for each request. spend: they have been used before, as often as they can be."""

    who: Who
    make: Callable[[], Headers]
    spend: bool = False


def basic(identifier: str, secret: str) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"{identifier}:{secret}".encode()).decode()}


def request(key: ApiKey = KEY, now: float = NOW, ttl_s: float = 30, *, once: bool = False) -> Headers:
    return {"Authorization": f"Bearer {sign_request(key.id, key.secret, now, ttl_s, once)}"}


def unsigned(header: Mapping[str, object], claims: Mapping[str, object]) -> Headers:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return {"Authorization": f"Bearer {parts[0]}.{parts[1]}."}


CLAIMS: dict[str, Any] = {
    "room": ROOM,
    "sub": USER,
    "may_publish": True,
    "may_listen": True,
    "exp": NOW + 60,
    "iat": NOW - 1,
    "jti": "t",
}


def signed(header: Mapping[str, object], **claims: object) -> Headers:
    """A participant's token with other claims, and a header that adds to the usual."""
    return {
        "Authorization": f"Bearer {sign({'alg': 'HS256', 'kid': KEY.id, **header}, {**CLAIMS, **claims}, KEY.secret)}"
    }


# Participants' tokens that are no good, and signed requests likewise: 401 invalid-token wherever they are looked at.
BAD_TOKENS: dict[str, Callable[[], Headers]] = {
    "no token": lambda: {"Authorization": "Bearer"},
    "malformed": lambda: {"Authorization": "Bearer x.y.z"},
    "expired": lambda: bearer(expires=NOW),
    "not yet valid": lambda: bearer(issued=NOW + 11),
    "not yet valid by nbf": lambda: signed({}, nbf=NOW + 11),
    "forged": lambda: bearer(key=ApiKey(KEY.id, "x" * 32)),
    "of an unknown key": lambda: bearer(key=STRANGER),
    "of a removed key": lambda: bearer(key=REMOVED),
    "of a key that only reads": lambda: bearer(key=READER),
    "of a key of other rooms": lambda: bearer(key=ELSEWHERE),
    "alg none": lambda: unsigned({"alg": "none", "kid": KEY.id}, CLAIMS),
    "too long-lived": lambda: bearer(expires=NOW + MAX_LIFE_S),
    "for an audience": lambda: signed({}, aud="another service"),
    "of a mode that is none": lambda: signed({}, mode="all"),
    "once of a wrong type": lambda: signed({}, once=1),
    "request expired": lambda: request(now=NOW - 30),
    "request not yet valid": lambda: request(now=NOW + 11),
    "request forged": lambda: request(ApiKey(KEY.id, "x" * 32)),
    "request of an unknown key": lambda: request(STRANGER),
    "request of a removed key": lambda: request(REMOVED),
    "request too long-lived": lambda: request(ttl_s=MAX_REQUEST_S + 1),
    "request with a participant's claims, long-lived": lambda: signed({"typ": REQUEST_TYPE}, exp=NOW + 400),
    "request alg none": lambda: unsigned(
        {"alg": "none", "kid": KEY.id, "typ": REQUEST_TYPE}, {"iat": NOW, "exp": NOW + 30}
    ),
}
CREDENTIALS: dict[str, Credential] = {
    "nothing": Credential(None, dict),
    "another scheme": Credential(None, lambda: {"Authorization": "Digest x"}),
    **{name: Credential(None, make) for name, make in BAD_TOKENS.items()},
    "own": Credential(Participant(), bearer),
    "one-time": Credential(Participant(), lambda: bearer(once=True)),
    "mix only": Credential(Participant(), lambda: bearer(mode="mix")),
    "of a controlling key": Credential(Participant(), lambda: bearer(key=CONTROLLER)),
    "used": Credential(Participant(is_used=True), lambda: bearer(once=True), spend=True),
    "revoked": Credential(Participant(is_revoked=True), lambda: bearer(issued=KICKED - 1)),
    "other room": Credential(Participant(room="other"), lambda: bearer(room="other")),
    "other user": Credential(Participant("bob"), lambda: bearer("bob")),
    "listener": Credential(Participant(may_publish=False), lambda: bearer(may_publish=False)),
    "publisher": Credential(Participant(may_listen=False), lambda: bearer(may_listen=False)),
    "not base64": Credential(None, lambda: {"Authorization": "Basic ="}),
    "wrong secret": Credential(None, lambda: basic(KEY.id, "x" * 32)),
    "wrong key": Credential(None, lambda: basic(STRANGER.id, KEY.secret)),
    "removed key": Credential(None, lambda: basic(REMOVED.id, REMOVED.secret)),
    "read key": Credential(READER, lambda: basic(READER.id, READER.secret)),
    "control key of other rooms": Credential(ELSEWHERE, lambda: basic(ELSEWHERE.id, ELSEWHERE.secret)),
    "control key": Credential(CONTROLLER, lambda: basic(CONTROLLER.id, CONTROLLER.secret)),
    "admin key": Credential(KEY, lambda: basic(KEY.id, KEY.secret)),
    "read request": Credential(READER, lambda: request(READER)),
    "control request of other rooms": Credential(ELSEWHERE, lambda: request(ELSEWHERE)),
    "control request": Credential(CONTROLLER, lambda: request(CONTROLLER, ttl_s=MAX_REQUEST_S)),
    "one-time admin request": Credential(KEY, lambda: request(once=True)),
    "replayed request": Credential(None, lambda: request(once=True), spend=True),
}


def expected(access: Access, who: Who, success: int) -> int:
    """The status. `success` is for those who may; 401 for who has not proved who he is, 403 for who may not."""
    if access is Access.OPEN:
        return success
    if who is None:
        return 401
    if isinstance(who, ApiKey):
        return _of_key(access, who, success)
    if access in (Access.PARTICIPANT_PUBLISH, Access.PARTICIPANT_LISTEN):
        return _of_joining(access is Access.PARTICIPANT_PUBLISH, who, success)
    return _of_owner(who, success) if access in _OWN else 403


def _of_key(access: Access, key: ApiKey, success: int) -> int:
    if access not in _RIGHTS:
        return 401
    reaches = access in _OF_NODE or key.reaches(ROOM)
    return success if reaches and key.may(_RIGHTS[access]) else 403


def _of_owner(who: Participant, success: int) -> int:
    if who.room == ROOM and who.is_revoked:
        return 401
    return success if (who.room, who.user) == (ROOM, USER) else 403


def _of_joining(is_publishing: bool, who: Participant, success: int) -> int:
    if is_publishing and (not who.may_publish or who.user != USER):  # only USER has a seat
        return 403
    if not is_publishing and not who.may_listen:
        return 403
    if who.room != ROOM:
        return 403
    return 401 if who.is_revoked or who.is_used else success
