"""A player's column in the plane."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from mediaserver.music.cues import Ended, Resumed, Starved
from mediaserver.music.deck import RingLike
from mediaserver.plane import Driver, Event

if TYPE_CHECKING:
    from mediaserver._native import Ring

_KINDS: dict[Event, type[Starved] | type[Resumed] | type[Ended]] = {
    Event.DECK_STARVED: Starved,
    Event.DECK_RESUMED: Resumed,
    Event.DECK_ENDED: Ended,
}


class PlaneColumn:
    """players.Output. The column must be there (plane.add_player()) while its player is."""

    def __init__(self, driver: Driver, room: int, csrc: int) -> None:
        self._driver, self._room, self._csrc = driver, room, csrc

    def add_deck(self, deck: int, ring: RingLike, gain: float, fade_samples: int) -> None:
        plane = self._driver.plane
        plane.add_deck(self._room, self._csrc, deck, cast("Ring", ring), gain=gain, fade_samples=fade_samples)

    def fade_deck(self, deck: int, gain: float, fade_samples: int, then: str) -> None:
        plane = self._driver.plane
        plane.fade_deck(self._room, self._csrc, deck, gain=gain, fade_samples=fade_samples, then=then)

    def adopt(self, hear: Callable[[type[Starved] | type[Resumed] | type[Ended]], None]) -> int:
        return self._driver.adopt_sound(lambda event: hear(_KINDS[event]))

    def drop(self, deck: int) -> None:
        self._driver.drop_sound(deck)
