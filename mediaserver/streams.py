"""The event streams of all sessions: which there are, and who reads them.

A stream belongs to a listening session and ends with it (draft-ietf-wish-whep, server-sent events). Its id cannot be
guessed, because a browser's EventSource can send no credentials.
"""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence

from mediaserver.feed import EVENTS, LEVELS_EVERY_MS, EventName, Feed, Level, Playing, Subscription
from mediaserver.model.room import Room

# A page needs one, and a second while it reconnects.
STREAMS_PER_SESSION = 4


class TooManyStreamsError(Exception):
    """The session has as many event streams as it may."""


class Streams:
    """Rooms are known by their ids here, sessions and streams by theirs."""

    def __init__(self, playing: Callable[[Room], Sequence[Playing]] = lambda _: ()) -> None:
        """playing: what a room's players do now."""
        self._playing = playing
        self._feeds: dict[int, Feed] = {}
        self._read: dict[int, Room] = {}  # those that anybody reads
        self._streams: dict[str, dict[str, Subscription]] = {}  # session -> stream -> the queue of its reader

    def open_room(self, room: Room) -> None:
        self._feeds[room.id] = Feed(room, self._playing)

    def close_room(self, room: Room) -> None:
        self._feeds.pop(room.id).close()
        self._read.pop(room.id, None)

    def changed(self, room: Room) -> None:
        """To be called after the room may have changed. A room that is being closed has nobody to tell."""
        if room.id in self._feeds:
            self._feeds[room.id].changed()

    def played(self, room: Room) -> None:
        """To be called every now and then; see Feed."""
        self._feeds[room.id].played()

    def are_read(self, room: Room) -> bool:
        return room.id in self._read

    def read_rooms(self) -> list[Room]:
        """Those of which somebody reads events."""
        return list(self._read.values())

    def level_intervals(self, room: Room) -> Iterable[int]:
        """In ms: how often the room's readers want levels."""
        return self._feeds[room.id].level_intervals

    def levels(self, room: Room, levels: Mapping[str, Level], at_ms: int | None = None) -> None:
        """See Feed."""
        self._feeds[room.id].levels(levels, at_ms)

    def tell(self, session: str, event: EventName, data: Mapping[str, object]) -> None:
        """The readers of this session alone."""
        for subscription in self._streams.get(session, {}).values():
            subscription.put(event, json.dumps(data, ensure_ascii=False, separators=(",", ":")))

    def moving(self, reason: str) -> bool:
        """Tells all readers to go to another server; False when there is none."""
        for feed in self._feeds.values():
            feed.moving(reason)
        return bool(self._read)

    def create(self, session: str, wanted: Iterable[str] = EVENTS, levels_every_ms: int = LEVELS_EVERY_MS) -> str:
        """A new stream of the session, of these events; returns its id. TooManyStreamsError."""
        streams = self._streams.setdefault(session, {})
        if len(streams) >= STREAMS_PER_SESSION:
            raise TooManyStreamsError
        stream = secrets.token_urlsafe(16)
        streams[stream] = Subscription(wanted, levels_every_ms)
        return stream

    def read(self, room: Room, session: str, stream: str) -> Subscription | None:
        """Begins to read the stream; a reader that it had before is cut off. None when there is no such stream."""
        streams = self._streams.get(session, {})
        if stream not in streams:
            return None
        self._unsubscribe(room, streams[stream])
        streams[stream] = Subscription(streams[stream].wanted, streams[stream].levels_every_ms)
        self._feeds[room.id].subscribe(streams[stream])
        self._note_readers(room)
        return streams[stream]

    def stop_reading(self, room: Room, subscription: Subscription) -> None:
        """The reader has gone; the stream stays for when it comes back."""
        self._unsubscribe(room, subscription)

    def delete(self, room: Room, session: str, stream: str) -> bool:
        """Ends the stream for good; False when there is none."""
        subscription = self._streams.get(session, {}).pop(stream, None)
        if subscription is not None:
            self._unsubscribe(room, subscription)
        return subscription is not None

    def end(self, room: Room, session: str) -> None:
        """Ends all streams of a session."""
        for subscription in self._streams.pop(session, {}).values():
            self._unsubscribe(room, subscription)

    def move(self, session: str, before: Room, after: Room) -> None:
        """The session has moved: its readers are told, and then what is in the other room."""
        for subscription in self._streams.get(session, {}).values():
            if before.id in self._feeds and self._feeds[before.id].hand_over(subscription):
                subscription.put("moved", json.dumps({"room": after.name}, ensure_ascii=False))
                self._feeds[after.id].subscribe(subscription)
                self._note_readers(before)
                self._note_readers(after)

    def _unsubscribe(self, room: Room, subscription: Subscription) -> None:
        if room.id in self._feeds:
            self._feeds[room.id].unsubscribe(subscription)
            self._note_readers(room)
        subscription.close()

    def _note_readers(self, room: Room) -> None:
        if self._feeds[room.id]:
            self._read[room.id] = room
        else:
            self._read.pop(room.id, None)
