"""The room model: who may speak, who is muted by whom, who is connected. Pure: no clock, no sockets, no HTTP.

Every change is a method of Room that returns the commands which make it true in the packet plane; performing them in
order is the caller's part. Every method is idempotent: asking for what already is changes nothing.

Rules held here
- A speaker is heard if and only if he may publish and no mute source is set; else his column's gain is 0.
- The column exists as long as the seat (the entry in `speakers`), whether or not he is connected.
- A user's CSRC is unique in the room and stays his while the room lives, once he has had a seat.
- A user has at most one publishing and one listening session; a newer one replaces the older of its own direction.
- A kick ends both, takes the seat, and revokes every token issued until then.
- Who listens to a mix has a row of the gain matrix: it follows from his seat and his own wishes alone (matrix.py), and
  what he wishes stays while the room lives, connected or not.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mediaserver.commands import (
    AddRoom,
    AddRow,
    ClosePeer,
    CloseReason,
    Command,
    ConfigureRoom,
    Mix,
    RemoveColumn,
    RemoveRoom,
    RemoveRow,
    SetColumn,
    SetListenerRow,
)
from mediaserver.matrix import Ears, Rows, TooManyMixesError, cells_of, linear


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
    gain_db: float = 0.0

    @property
    def heard(self) -> bool:
        return self.may_publish and not self.mutes

    @property
    def gain(self) -> float:
        """Of his column, for everybody."""
        return linear(self.gain_db) if self.heard else 0.0


@dataclass(slots=True)
class Participant:
    """A connected user: his sessions' plane peers by direction, never empty. row: of the gain matrix, while he listens
    to a mix."""

    csrc: int
    peers: dict[Direction, int] = field(default_factory=dict)
    row: int | None = None


MAX_EARS = 20_000
"""Listeners' wishes that a room keeps. When there are more, those of who has left go first."""


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
    mix: Mix = field(default_factory=Mix)
    e2ee: bool = False
    ears: dict[str, Ears] = field(default_factory=dict)  # of those who wish for something
    rows: Rows = field(default_factory=lambda: Rows(wished_limit=32))
    draw_csrc: Callable[[], int] = _random_csrc
    _csrcs: dict[str, int] = field(default_factory=dict)
    _taken: set[int] = field(default_factory=lambda: {0})  # the values of _csrcs; 0 would say "no source"
    _seated: set[str] = field(default_factory=set)  # users who ever had a seat: their CSRC has been on the wire

    def open(self) -> list[Command]:
        return [AddRoom(self.id, self.home, self.mix, self.e2ee)]

    def configure(self, mix: Mix) -> list[Command]:
        """Other mix settings, from the next frame on."""
        if mix == self.mix:
            return []
        self.mix = mix
        return [ConfigureRoom(self.id, mix, self.e2ee)]

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

    def set_speaker(self, user: str, *, may_publish: bool = True, gain_db: float = 0.0) -> list[Command]:
        """Gives the user a seat, or changes whether he may publish from it and how loud. Mutes stay."""
        mutes = self.speakers[user].mutes if user in self.speakers else frozenset()
        self._seated.add(user)
        return [*self._seat(user, Speaker(may_publish, mutes, gain_db)), *self._follow_row(user)]

    def remove_speaker(self, user: str) -> list[Command]:
        """Takes the seat: mutes are forgotten, a publishing session is closed, a listening one goes on."""
        if self.speakers.pop(user, None) is None:
            return []
        commands = self._evict(user, (Direction.PUBLISH,), CloseReason.SEAT_REMOVED)
        return [*commands, self._column_gone(user), *self._follow_row(user)]

    def mute(self, user: str, source: MuteSource) -> list[Command]:
        """NoSeatError when the user has no seat."""
        speaker = self._speaker(user)
        return self._seat(user, replace(speaker, mutes=speaker.mutes | {source}))

    def unmute(self, user: str, source: MuteSource) -> list[Command]:
        """Undoes this source's mute alone. NoSeatError when the user has no seat."""
        speaker = self._speaker(user)
        return self._seat(user, replace(speaker, mutes=speaker.mutes - {source}))

    def take_row(self, user: str) -> tuple[int, list[Command]]:
        """The row that a new session of this user on the mix is to get; it is handed to join(). TooManyMixesError."""
        return self._take_row(user, None)

    def set_ears(self, user: str, ears: Ears) -> list[Command]:
        """What the user wants to hear otherwise than others do. TooManyMixesError: then nothing has changed."""
        before = self.ears.pop(user, None)
        if ears != Ears():
            self.ears[user] = ears
        try:
            commands = self._follow_row(user, limited=True)
        except TooManyMixesError:
            self.ears.pop(user, None)
            if before is not None:
                self.ears[user] = before
            raise
        if len(self.ears) > MAX_EARS:
            gone = next((name for name in self.ears if name not in self.participants), next(iter(self.ears)))
            if gone not in self.participants:
                del self.ears[gone]
        return commands

    def join(self, user: str, direction: Direction, peer: int, row: int | None = None) -> list[Command]:
        """Called when the new session's offer has been accepted: a refused one never costs the older session, one that
        then fails to connect does. row: of a listener to the mix, from take_row()."""
        participant = self.participants.setdefault(user, Participant(self.csrc_of(user)))
        older = participant.peers.get(direction)
        participant.peers[direction] = peer
        commands: list[Command] = [] if older is None else [ClosePeer(older, CloseReason.REPLACED)]
        if direction is Direction.LISTEN:
            before, participant.row = participant.row, row
            commands += self._drop_row(before)
        return commands

    def leave(self, user: str, direction: Direction, peer: int) -> list[Command]:
        """The session has ended by itself. Nothing happens when it is no longer the user's: it was replaced."""
        participant = self.participants.get(user)
        if participant is None or participant.peers.get(direction) != peer:
            return []
        return self._forget(user, direction)

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
        commands: list[Command] = [ClosePeer(peer, reason) for _, peer in peers]
        for direction, _ in peers:
            commands += self._forget(user, direction)
        return commands

    def _forget(self, user: str, direction: Direction) -> list[Command]:
        participant = self.participants[user]
        del participant.peers[direction]
        commands: list[Command] = []
        if direction is Direction.LISTEN:
            row, participant.row = participant.row, None
            commands = self._drop_row(row)
        if not participant.peers:
            del self.participants[user]
            self._release_csrc(user)
        return commands

    def _release_csrc(self, user: str) -> None:
        """A CSRC that never went out and that nothing names; keeping one for each who ever came would grow without
        bound."""
        if user in self._seated or user in self.participants or self.rows.name(user):
            return
        if user in self._csrcs:
            self._taken.remove(self._csrcs.pop(user))

    def _take_row(self, user: str, like: int | None, *, limited: bool = True) -> tuple[int, list[Command]]:
        cells = cells_of(user, self.ears.get(user, Ears()), seated=user in self.speakers)
        row, is_new = self.rows.take(cells, self.speakers, instead_of=like, limited=limited)
        if not is_new:
            return row, []
        return row, [AddRow(self.id, row, tuple((self.csrc_of(name), factor) for name, factor in cells), like)]

    def _drop_row(self, row: int | None) -> list[Command]:
        cells = None if row is None else self.rows.drop(row)
        if row is None or cells is None:
            return []
        for name, _ in cells:
            self._release_csrc(name)
        return [RemoveRow(self.id, row)]

    def _follow_row(self, user: str, *, limited: bool = False) -> list[Command]:
        """A seat or a wish changed: the user's session on the mix, if there is one, moves to the row it has now."""
        participant = self.participants.get(user)
        if participant is None or participant.row is None:
            return []
        before = participant.row
        participant.row, commands = self._take_row(user, before, limited=limited)
        if participant.row != before:
            commands.append(SetListenerRow(participant.peers[Direction.LISTEN], participant.row))
        return [*commands, *self._drop_row(before)]
