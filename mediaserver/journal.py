"""What is written down of rooms, so that a restart loses nothing: their documents, what is remembered of users, and what
happened, numbered in the order in which it did.

Everything a room has to say is taken from it after each change; the store commits it soon after, and settled() says when.
"""

from collections.abc import Callable

from mediaserver.document import written
from mediaserver.events import Event
from mediaserver.model import Room
from mediaserver.store import Store, StoredRoom


class Journal:
    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        """clock: Unix time in seconds."""
        self.store = store
        self._clock = clock
        self._written: dict[int, int] = {}  # room id -> revision

    def record(self, room: Room) -> None:
        """To be called after the room may have changed."""
        if self._written.get(room.id) != room.revision:
            self._written[room.id] = room.revision
            self.store.put_room(StoredRoom(room.name, room.instance, room.revision, room.sequence, written(room)))
        for kind, user in room.take_facts():
            self.store.put_fact(room.name, kind, user, room.fact(kind, user))
        self._record_news(room)

    def restored(self, room: Room, stored: StoredRoom) -> None:
        """The room has been brought to what was stored of it; none of that is news."""
        room.take_news()
        room.take_facts()
        room.revision = self._written[room.id] = stored.revision
        room.sequence = stored.sequence

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
