"""The room model: who may speak, who is muted by whom, who is connected. Pure: no clock, no sockets, no HTTP.

Every change is a method of Room that returns the commands which make it true in the packet plane; performing them in
order is the caller's part. Every method is idempotent: asking for what already is changes nothing.

Rules held here
- A speaker is heard if and only if he may publish and no mute source is set; his column's gain is 1.0 or 0.0.
- The column exists as long as the seat (the entry in `speakers`), whether or not he is connected.
- A user's CSRC is unique in the room and stays his while the room lives, once he has had a seat.
- A user has at most one publishing and one listening session; a newer one replaces the older of its own direction.
- A kick ends both, takes the seat, and revokes every token issued until then.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from mediaserver.commands import AddRoom, ClosePeer, CloseReason, Command, RemoveColumn, RemoveRoom, SetColumn


class Direction(StrEnum):
    """Seen from the client: WHIP publishes, WHEP listens."""

    PUBLISH = "publish"
    LISTEN = "listen"


class MuteSource(StrEnum):
    """Who muted a speaker. The sources are kept apart: undoing one's own mute must not undo the host's."""

    SELF = "self"
    HOST = "host"
    SYSTEM = "system"


class NoSeatError(LookupError):
    """The user has no seat in this room, so there is nothing to mute."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A seat. `may_publish` false keeps the seat and its mutes but silences it."""

    may_publish: bool = True
    mutes: frozenset[MuteSource] = frozenset()

    @property
    def heard(self) -> bool:
        return self.may_publish and not self.mutes

    @property
    def gain(self) -> float:
        return 1.0 if self.heard else 0.0


@dataclass(slots=True)
class Participant:
    """A connected user: his sessions' plane peers by direction, never empty."""

    csrc: int
    peers: dict[Direction, int] = field(default_factory=dict)


def _random_csrc() -> int:
    return secrets.randbits(32)


@dataclass(slots=True)
class Room:
    """`id` is the plane's number for it, never used again; `home` the plane worker of its publishers."""

    id: int
    name: str
    home: int
    speakers: dict[str, Speaker] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    kicked: dict[str, float] = field(default_factory=dict)  # user -> Unix time of the last kick
    draw_csrc: Callable[[], int] = _random_csrc
    _csrcs: dict[str, int] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=lambda: {0})  # the values of _csrcs; 0 would say "no source"
    _seated: set[str] = field(default_factory=set)  # users who ever had a seat: their CSRC has been on the wire

    def open(self) -> list[Command]:
        return [AddRoom(self.id, self.home)]

    def close(self) -> list[Command]:
        """Everybody out. The room is of no use afterwards."""
        commands: list[Command] = [
            ClosePeer(peer, CloseReason.ROOM_CLOSED)
            for participant in self.participants.values()
            for peer in participant.peers.values()
        ]
        self.participants.clear()
        return [*commands, RemoveRoom(self.id)]

    def csrc_of(self, user: str) -> int:
        """The user's CSRC (the contributing source of RFC 3550), drawn at the first call; never 0."""
        if user not in self._csrcs:
            csrc = 0
            while csrc in self._taken:
                csrc = self.draw_csrc()
            self._csrcs[user] = csrc
            self._taken.add(csrc)
        return self._csrcs[user]

    def may_publish(self, user: str) -> bool:
        return user in self.speakers and self.speakers[user].may_publish

    def is_revoked(self, user: str, issued: float) -> bool:
        """Whether a token issued at this Unix time came before the user's last kick."""
        return user in self.kicked and issued <= self.kicked[user]

    def set_speaker(self, user: str, *, may_publish: bool = True) -> list[Command]:
        """Gives the user a seat, or changes whether he may publish from it. Mutes stay."""
        mutes = self.speakers[user].mutes if user in self.speakers else frozenset()
        self._seated.add(user)
        return self._seat(user, Speaker(may_publish, mutes))

    def remove_speaker(self, user: str) -> list[Command]:
        """Takes the seat: mutes are forgotten, a publishing session is closed, a listening one goes on."""
        if self.speakers.pop(user, None) is None:
            return []
        return [*self._evict(user, (Direction.PUBLISH,), CloseReason.SEAT_REMOVED), self._column_gone(user)]

    def mute(self, user: str, source: MuteSource) -> list[Command]:
        """NoSeatError when the user has no seat."""
        speaker = self._speaker(user)
        return self._seat(user, Speaker(speaker.may_publish, speaker.mutes | {source}))

    def unmute(self, user: str, source: MuteSource) -> list[Command]:
        """Undoes this source's mute alone. NoSeatError when the user has no seat."""
        speaker = self._speaker(user)
        return self._seat(user, Speaker(speaker.may_publish, speaker.mutes - {source}))

    def join(self, user: str, direction: Direction, peer: int) -> list[Command]:
        """Called when the new session has been set up, so that a failed attempt never costs the older one."""
        participant = self.participants.setdefault(user, Participant(self.csrc_of(user)))
        older = participant.peers.get(direction)
        participant.peers[direction] = peer
        return [] if older is None else [ClosePeer(older, CloseReason.REPLACED)]

    def leave(self, user: str, direction: Direction, peer: int) -> None:
        """The session has ended by itself. Nothing happens when it is no longer the user's: it was replaced."""
        participant = self.participants.get(user)
        if participant is not None and participant.peers.get(direction) == peer:
            self._forget(user, direction)

    def kick(self, user: str, now: float) -> list[Command]:
        """Ends both sessions, takes the seat and refuses tokens issued until `now` (Unix time, seconds)."""
        self.kicked[user] = now
        commands = self._evict(user, tuple(Direction), CloseReason.KICKED)
        if self.speakers.pop(user, None) is not None:
            commands.append(self._column_gone(user))
        return commands

    def _speaker(self, user: str) -> Speaker:
        if user not in self.speakers:
            raise NoSeatError(f"{user} has no seat in this room.")
        return self.speakers[user]

    def _seat(self, user: str, speaker: Speaker) -> list[Command]:
        known = self.speakers.get(user)
        self.speakers[user] = speaker
        if known is not None and known.gain == speaker.gain:
            return []
        return [SetColumn(self.id, self.csrc_of(user), speaker.gain)]

    def _column_gone(self, user: str) -> Command:
        return RemoveColumn(self.id, self.csrc_of(user))

    def _evict(self, user: str, directions: tuple[Direction, ...], reason: CloseReason) -> list[Command]:
        participant = self.participants.get(user)
        if participant is None:
            return []
        peers = [
            (direction, participant.peers[direction]) for direction in directions if direction in participant.peers
        ]
        for direction, _ in peers:
            self._forget(user, direction)
        return [ClosePeer(peer, reason) for _, peer in peers]

    def _forget(self, user: str, direction: Direction) -> None:
        participant = self.participants[user]
        del participant.peers[direction]
        if participant.peers:
            return
        del self.participants[user]
        if user not in self._seated:
            # A mere listener's CSRC never went out; keeping one for each who ever came would grow without bound.
            self._taken.remove(self._csrcs.pop(user))
