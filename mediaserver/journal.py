"""What is written down of rooms, so that a restart loses nothing: their documents, what is remembered of users, and
what happened, numbered in the order in which it did.

Everything a room has to say is taken from it after each change; the store commits it soon after, and settled() says
when."""

import secrets
from collections.abc import Callable

from mediaserver.document import written
from mediaserver.events import Event
from mediaserver.model import memory
from mediaserver.model.room import Room
from mediaserver.schema import RoomDocument
from mediaserver.store import StateError, Store, StoredRoom

USED = "used"


class Journal:
    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """clock: Unix time in seconds."""
        self.store = store
        self._clock = clock
        self._written: dict[int, str] = {}  # room id -> ETag

    def load(self) -> list[tuple[StoredRoom, RoomDocument]]:
        """The rooms that were there before; before the store is started. StateError when one cannot be read."""
        try:
            return [(stored, RoomDocument.model_validate_json(stored.document)) for stored in self.store.load()]
        except ValueError:
            raise StateError("The state file has a room in it that this version of the server cannot read.") from None

    def note_use(self, id: str, expires: float | None) -> None:
        """A one-time token has been used, or need not be remembered any more (None)."""
        self.store.put_fact("", USED, id, expires)

    def uses(self) -> dict[str, float]:
        """Of one-time tokens, with when these expire; before the store is started."""
        return self.store.facts(USED)

    def record(self, room: Room) -> None:
        """To be called after the room may have changed."""
        if self._written.get(room.id) != room.etag:
            self._written[room.id] = room.etag
            self.store.put_room(StoredRoom(room.name, room.instance, room.revision, room.sequence, written(room)))
        for kind, user in room.take_facts():
            self.store.put_fact(room.name, kind, user, memory.fact(room, kind, user))
        self._record_news(room)

    def restored(self, room: Room, stored: StoredRoom) -> None:
        """The room has been brought to what was stored of it; none of that is news."""
        room.take_news()
        room.take_facts()
        room.revision, room.sequence = stored.revision, stored.sequence
        # Not as it was, which is not written down: so no ETag that was given before can mean other wishes.
        room.wishes = secrets.randbits(32)
        self._written[room.id] = room.etag

    def forget(self, room: Room) -> None:
        """The room has been closed; only what happened in it is kept."""
        self._record_news(room)
        self._written.pop(room.id, None)
        self.store.delete_room(room.name)

    def _record_news(self, room: Room) -> None:
        for news in room.take_news():
            room.sequence += 1
            event = Event(room.name, room.instance, room.sequence, news.type, news.user, self._clock(), dict(news.data))
            self.store.append(event)
