"""Who speaks in which room at this moment, as the media server tells it: what a list of rooms shows. Nothing of it is
kept, and after a start it is known from each speaker's next word on.
"""

from collections.abc import Sequence

BEGINS, ENDS = "speaking.started", "speaking.stopped"
ENDS_WITH_HIM = ("participant.left", "publishing.stopped")


class TalkingNow:
    def __init__(self) -> None:
        self._users: dict[str, dict[str, None]] = {}

    def of(self, room: str) -> Sequence[str]:
        """Who began first comes first."""
        return tuple(self._users.get(room, ()))

    def take(self, type: str, room: str, user: str | None) -> None:
        """An event of the media server."""
        if type == BEGINS and user is not None:
            self._users.setdefault(room, {})[user] = None
        elif user is not None and (type == ENDS or type in ENDS_WITH_HIM):
            users = self._users.get(room, {})
            users.pop(user, None)
            if not users:
                self._users.pop(room, None)

    def forget(self) -> None:
        """Events may have been missed."""
        self._users.clear()
