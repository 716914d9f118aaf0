"""What more a node takes: rooms, seats and sessions within its limits, and new ones only where workers have time."""

from collections import Counter

from mediaserver.admission import Admission, OverloadedError, Reason, Returning
from mediaserver.census import Census
from mediaserver.model.errors import FullRoomError
from mediaserver.model.people import Direction
from mediaserver.model.room import Room
from mediaserver.plane import Driver
from mediaserver.settings import Limits


class FullError(Exception):
    """A limit of the settings is reached; the message is a sentence for the client."""


class Capacity:
    """refused: new rooms and sessions, by admission control."""

    def __init__(self, limits: Limits, driver: Driver, admission: Admission, census: Census) -> None:
        self.refused: Counter[Reason] = Counter()
        self.returning = Returning()
        self._limits = limits
        self._driver = driver
        self._admission = admission
        self._census = census

    def check_rooms(self, count: int) -> None:
        """FullError when there may not be so many."""
        if count > self._limits.rooms:
            raise FullError("The server has as many rooms as it allows.")

    def check_seats(self, count: int) -> None:
        """FullRoomError when a room may not have so many."""
        limit = self._limits.speakers_per_room
        if count > limit:
            raise FullRoomError(f"The server allows {limit} speakers in a room.")

    def check_session(self, room: Room, user: str, direction: Direction, now: float) -> None:
        """FullError, or OverloadedError for who is new."""
        if user in room.participants and direction in room.participants[user].peers:
            return  # the new session takes the place of an older one
        if len(self._census.sessions) >= self._limits.sessions:
            raise FullError("The server has as many sessions as it allows.")
        # Publishers need no limit of their own: each needs a seat.
        if direction is Direction.LISTEN:
            self.check_listeners(room, user)
        if not self.returning.is_expected((room.name, user, direction), now):
            publishes = direction is Direction.PUBLISH
            self.admit(room.home if publishes else self._driver.listener_worker(room.home))

    def check_listeners(self, room: Room, user: str) -> None:
        """FullError when the room has no place for him to listen."""
        if user in room.participants and Direction.LISTEN in room.participants[user].peers:
            return
        listeners = self._census.population(room)[Direction.LISTEN]
        if listeners >= self._limits.listeners_per_room:
            raise FullError("The room has as many listeners as the server allows.")
        limit = room.limits.listeners
        if limit is not None and listeners >= limit:
            raise FullError("The room has as many listeners as its own limit allows.")

    def admit(self, worker: int) -> None:
        """OverloadedError when nobody new may be put on this worker."""
        if reason := self._admission.refusal(worker):
            self.refused[reason] += 1
            raise OverloadedError(reason)
