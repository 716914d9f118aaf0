"""A user as he is kept beside rooms, calls and groups: his attributes, where he is pushed to, whom he has talked with.

Rules held here
- A push subscription is known by its endpoint. There are few of one user; the oldest is forgotten.
- Of whom he has talked with, the newest are known; what was said with the others is kept all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from roomservice.model.attributes import NO_ATTRIBUTES, Attributes, changed
from roomservice.model.effects import Effect, Tell
from roomservice.model.maps import with_, without

MAX_SUBSCRIPTIONS = 10
"""Each is asked at each push."""


MAX_PEERS = 500


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """Of a browser (W3C Push API): its endpoint, its public key (P-256, uncompressed) and its secret, in base64url.
    device: from which one it was registered."""

    endpoint: str
    p256dh: str
    auth: str
    device: str


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    attributes: Attributes = NO_ATTRIBUTES
    subscriptions: Mapping[str, PushSubscription] = field(default_factory=dict)
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetAttributes:
    values: Mapping[str, str | None]
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    subscription: PushSubscription


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """endpoint: that one; device: those of this device. None names none."""

    endpoint: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Meet:
    """The first message from or to this user."""

    user: str


Command = SetAttributes | Subscribe | Unsubscribe | Meet


def apply(person: Person, command: Command, now: float = 0.0) -> tuple[Person, list[Effect]]:
    """The user after it, and what is told to him and to all who follow his presence. Illegal, with the problem's
    name."""
    match command:
        case SetAttributes(values, version):
            attributes, new = changed(person.attributes, values, version)
            if not new:
                return person, []
            said = {"user": person.id, "changed": new, "version": attributes.version}
            told: list[Effect] = [Tell("user_attributes", said), Tell("user_attributes", said, (person.id,))]
            return replace(person, attributes=attributes), told
        case Subscribe(subscription):
            others = without(person.subscriptions, subscription.endpoint)
            newest = dict(list(others.items())[-(MAX_SUBSCRIPTIONS - 1) :])
            return replace(person, subscriptions=with_(newest, subscription.endpoint, subscription)), []
        case Unsubscribe(endpoint, device):
            left = {
                known: subscription
                for known, subscription in person.subscriptions.items()
                if known != endpoint and (device is None or subscription.device != device)
            }
            return replace(person, subscriptions=left), []
        case Meet(user):
            if user in person.peers:
                return person, []
            return replace(person, peers=(*person.peers, user)[-MAX_PEERS:]), []
