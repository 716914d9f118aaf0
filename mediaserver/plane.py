"""The packet plane as asyncio sees it: its events reach the peers' owners, and peers are placed on workers."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mediaserver._native import Clip, Plane, Ring, Slot

log = logging.getLogger(__name__)

# A listener leaves its room's home worker only when that one has this many peers more than the emptiest, and half as
# many again. Lower spreads small rooms, and each packet then crosses a queue; higher lets one core fill up first.
CLEARLY_MORE_PEERS = 64


class Event(Enum):
    """What the plane tells about a peer, a deck or an effect; the names are those of the constants in _native."""

    DATAGRAM = auto()
    ICE_CONNECTED = auto()
    MEDIA = auto()
    CONSENT_EXPIRED = auto()
    CONSENT_LATE = auto()
    CONSENT_BACK = auto()
    DECK_STARVED = auto()
    DECK_RESUMED = auto()
    DECK_ENDED = auto()
    EFFECT_ENDED = auto()
    VOICE = auto()
    LOSS = auto()


OF_SOUNDS = frozenset({Event.DECK_STARVED, Event.DECK_RESUMED, Event.DECK_ENDED, Event.EFFECT_ENDED})


class Stage(Protocol):
    """One of kernels.STAGES."""

    @property
    def name(self) -> str: ...
    def values(self, **given: float) -> tuple[float, ...]: ...


Handler = Callable[[Event, bytes], None]
SoundHandler = Callable[[Event], None]


class Driver:
    """Owns the plane. All methods are called from the event loop's thread and return at once."""

    def __init__(self, native: ModuleType, binds: Sequence[Sequence[tuple[str, int]]], *, tcp: bool = False) -> None:
        """`native` is the compiled module, or what stands in for it in tests. OSError when an address is not free.
        tcp: media over TCP too, where those ports are free."""
        self.plane: Plane = native.Plane(binds, tcp=tcp)
        self.make_slot: type[Slot] = native.Slot
        self.counter_meanings: dict[str, str] = native.counter_meanings()
        self._kinds = {getattr(native, event.name): event for event in Event}
        self.stages: Sequence[Stage] = ()  # what the plane can do to a column; server.py tells it
        self.make_ring: type[Ring] = native.Ring
        self.make_clip: type[Clip] = native.Clip
        self._handlers: dict[int, Handler] = {}
        self._sounds: dict[int, SoundHandler] = {}  # by deck or effect
        self._workers: dict[int, int] = {}  # peer -> worker
        self._loads = [0] * self.plane.workers  # peers of each worker
        self.avoided: set[int] = set()  # workers that are too busy for anybody new; load.py says which
        self._last_peer = 0
        self._last_sound = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.plane.start()
        loop.add_reader(self.plane.event_fd, self.drain)

    def stop(self) -> None:
        """Farewells that are queued are sent first."""
        if self._loop is not None:
            self._loop.remove_reader(self.plane.event_fd)
            self._loop = None
        self.plane.stop()

    def drain(self) -> None:
        """Hands out all events. Those of a peer, deck or effect that has just been removed are dropped."""
        for kind, number, data in self.plane.poll():
            event = self._kinds[kind]
            try:
                if event in OF_SOUNDS:
                    if sound := self._sounds.get(number):
                        sound(event)
                elif handler := self._handlers.get(number):
                    handler(event, data)
            except Exception:
                # A bug, and one's own: the others' events must still be handled.
                log.exception("event %s of %d was not handled", event.name, number)

    def emptiest_worker(self) -> int:
        """Of those that are not too busy, if there are any."""
        workers = range(len(self._loads))
        return min(workers, key=lambda worker: (worker in self.avoided, self._loads[worker]))

    def listener_worker(self, home: int) -> int:
        """The room's home worker, unless it is too busy or has clearly more peers than the emptiest."""
        emptiest = self.emptiest_worker()
        if home in self.avoided:
            return emptiest
        most = max(self._loads[emptiest] + CLEARLY_MORE_PEERS, self._loads[emptiest] * 3 // 2)
        return emptiest if self._loads[home] > most else home

    def next_peer(self) -> int:
        """A number for a new peer, never used again."""
        self._last_peer += 1
        return self._last_peer

    def adopt_sound(self, handler: SoundHandler) -> int:
        """A number for a new deck or effect, never used again; its events go to the handler."""
        self._last_sound += 1
        self._sounds[self._last_sound] = handler
        return self._last_sound

    def drop_sound(self, number: int) -> None:
        """No event of this deck or effect comes any more."""
        self._sounds.pop(number, None)

    def adopt(self, peer: int, worker: int, handler: Handler) -> None:
        """The peer has just been added to the plane; from now on its events go to the handler."""
        self._handlers[peer] = handler
        self._workers[peer] = worker
        self._loads[worker] += 1

    def remove_peer(self, peer: int, farewell: Sequence[bytes]) -> None:
        """Says RTCP BYE and these datagrams, then forgets the peer: no event of it comes any more."""
        self.plane.remove_peer(peer, farewell)
        self._loads[self._workers.pop(peer)] -= 1
        del self._handlers[peer]
