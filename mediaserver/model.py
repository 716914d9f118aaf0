"""The room model: who may speak, who is muted by whom, who is connected. Pure: no clock, no sockets, no HTTP.

Every change is a method of Room that returns the commands which make it true in the packet plane; performing them in
order is the caller's part. Every method is idempotent: asking for what already is changes nothing. What a change means
to others gathers in the room until it is taken: `news` for the room service, in the order in which it happened, and
`facts`, what must be written down to survive. `revision` rises with whatever the room's document shows (document.py),
`wishes` with what of it belongs to participants.

Rules held here
- A speaker is heard if and only if he may publish and no mute source is set; else his column's gain is 0.
- The column exists as long as the seat (the entry in `speakers`), whether or not he is connected.
- A user's CSRC is unique in the room and stays his while the room lives, once he has had a seat.
- A user has at most one publishing and one listening session; a newer one replaces the older of its own direction, once
  it is connected and its media has begun.
- A kick ends both, takes the seat, and revokes every token issued until then.
- A user has joined once a session of his is connected, and left when the last has ended; a session that replaces
  another is no news.
- Who listens to a mix has a row of the gain matrix: it follows from his seat, his own wishes, and what the room plays
  for whom (matrix.py). What he wishes stays while the room lives, connected or not.
- What a room plays (programme.py) changes the rows of those whom it is not for before it is heard.
- Voices are heard later than they come only while there is music that singers sing to (ktv.py).
"""

import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mediaserver.commands import (
    AddRoom,
    AddRow,
    AddTap,
    ChangePlayer,
    ClosePeer,
    ClosePlayer,
    CloseReason,
    Command,
    ConfigureRoom,
    Mix,
    MovePeer,
    OpenPlayer,
    RemoveColumn,
    RemoveRoom,
    RemoveRow,
    SetChain,
    SetColumn,
    SetDelay,
    SetListenerRow,
    SetRow,
    StartEffect,
    StopEffect,
)
from mediaserver.ktv import MAX_LOOP_MS, Alignment
from mediaserver.matrix import Ears, Hearing, Rows, hearing_of, is_wished, linear
from mediaserver.place import arc
from mediaserver.programme import Crowd, EffectSpec, PlayerSpec, Programme, effect_column, player_column, tap_column
from mediaserver.scenarios import MIXES, Scenario
from mediaserver.voices import Chain, Speech, VoiceEffect, chain_of


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


class NotConnectedError(LookupError):
    """The user has no session in this room, so there is nothing to move."""


class EncryptedRoomError(Exception):
    """The room is end-to-end encrypted, and what was asked needs its payloads; a sentence for the client."""


class SeatTakenError(Exception):
    """Another speaker has this seat; a sentence for the room service."""


class NoPlayerError(LookupError):
    """The room has no player of this name."""


class NoTrackError(LookupError):
    """The playlist has no track of this key; a sentence for the room service."""


class EffectTakenError(Exception):
    """An effect of that name plays already; a sentence for the room service."""


class FullRoomError(Exception):
    """The room has as many speakers or listeners as its own limits allow; a sentence for the room service."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """A seat. `may_publish` false keeps the seat and its mutes but silences it. seat: its number, for those who show
    it. pan: where it is heard in stereo mixes, -1 (left) to 1; None leaves it to the room's layout. voice_effect:
    what is done to his voice."""

    may_publish: bool = True
    mutes: frozenset[MuteSource] = frozenset()
    gain_db: float = 0.0
    seat: int | None = None
    pan: float | None = None
    voice_effect: VoiceEffect | None = None

    @property
    def heard(self) -> bool:
        return self.may_publish and not self.mutes

    @property
    def gain(self) -> float:
        """Of his column, for everybody."""
        return linear(self.gain_db) if self.heard else 0.0


@dataclass(slots=True)
class Participant:
    """A user with sessions: their plane peers by direction, never empty.

    coming: newer sessions that are to take the place of connected ones, ready once they are connected too. rows: of the
    gain matrix, by peers that listen to a mix. connected: the directions in which media can flow; late: those whose
    client has not been heard of for seconds.
    """

    csrc: int
    peers: dict[Direction, int] = field(default_factory=dict)
    coming: dict[Direction, int] = field(default_factory=dict)
    ready: set[Direction] = field(default_factory=set)
    rows: dict[int, int] = field(default_factory=dict)
    connected: set[Direction] = field(default_factory=set)
    late: set[Direction] = field(default_factory=set)


class Layout(StrEnum):
    """Where seats are heard in a stereo mix, unless they say so themselves."""

    NONE = "none"
    ARC = "arc"


PLACES = 8
"""Of an arc, in a room that has no limit of speakers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one room; None leaves it to the server's."""

    speakers: int | None = None
    listeners: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened; events.py has the types."""

    type: str
    user: str | None = None
    data: Mapping[str, object] = field(default_factory=dict)


class Fact(StrEnum):
    """What is remembered of one user beside the room's document, so that it survives a restart."""

    LISTENER = "listener"  # his wishes
    REVOKED = "revoked"  # when his tokens were
    PRESENT = "present"  # the directions in which he is connected


REVOCATION_LIFETIME_S = 8 * 24 * 3600.0
"""How long a kick is remembered: longer than any token lives (tokens.py), and a day for clocks."""


MAX_EARS = 20_000
"""Listeners' wishes that a room keeps. When there are more, those of who has left go first."""


def _but_for_own_mute(speaker: Speaker) -> Speaker:
    return replace(speaker, mutes=speaker.mutes - {MuteSource.SELF})


def _of_document(programme: Programme) -> tuple[object, ...]:
    """What of it the room's document has: effects that are played once are of the moment."""
    return programme.players, {name: effect for name, effect in programme.effects.items() if effect.repeat}


def _samples(delay_ms: float) -> int:
    """At 48 kHz, as much as the plane can delay."""
    return round(min(max(delay_ms, 0.0), MAX_LOOP_MS) * 48)


def _random_csrc() -> int:
    return secrets.randbits(32)


@dataclass(slots=True)
class Room:
    """`id` is the plane's number for it, never used again; `home` the plane worker of its publishers; `instance`
    tells it from an earlier or later room of the same name."""

    id: int
    name: str
    home: int
    instance: str = ""
    speakers: dict[str, Speaker] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    kicked: dict[str, float] = field(default_factory=dict)  # user -> Unix time of the last kick
    scenario: Scenario = Scenario.CHAT
    mix_settings: Mapping[str, Any] = field(default_factory=dict)  # fields of Mix that differ from the scenario's
    layout: Layout = Layout.NONE
    speech: Speech = field(default_factory=Speech)
    limits: Limits = field(default_factory=Limits)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    e2ee: bool = False
    ears: dict[str, Ears] = field(default_factory=dict)  # of those who wish for something
    rows: Rows = field(default_factory=lambda: Rows(wished_limit=32))
    programme: Programme = field(default_factory=Programme)
    alignment: Alignment = field(default_factory=Alignment)
    draw_csrc: Callable[[], int] = _random_csrc
    revision: int = 1
    wishes: int = 0
    sequence: int = 0  # of the last event
    _news: list[News] = field(default_factory=list)
    _facts: set[tuple[Fact, str]] = field(default_factory=set)
    _csrcs: dict[str, int] = field(default_factory=dict)
    _delays: dict[str, int] = field(default_factory=dict)  # samples by which columns are late, where it is not 0
    _taken: set[int] = field(default_factory=lambda: {0})  # the values of _csrcs; 0 would say "no source"
    _seated: set[str] = field(default_factory=set)  # users who ever had a seat: their CSRC has been on the wire

    @property
    def mix(self) -> Mix:
        """How its mixes are encoded."""
        return replace(MIXES[self.scenario], **self.mix_settings)

    @property
    def etag(self) -> str:
        """Strong entity tag of the room's document (RFC 9110 section 8.8.3)."""
        return f'"{self.instance}.{self.revision}.{self.wishes}"'

    def is_current(self, etag: str) -> bool:
        """Whether nothing has changed since but what belongs to participants: a room service that changes a room must
        not be held up by each listener who turns somebody down, and undoes nothing of that."""
        return etag.rpartition(".")[0] == self.etag.rpartition(".")[0]

    def open(self) -> list[Command]:
        self.tell("room.started")
        return [AddRoom(self.id, self.home, self.mix, self.e2ee)]

    def configure(
        self,
        *,
        scenario: Scenario = Scenario.CHAT,
        mix: Mapping[str, Any] | None = None,
        layout: Layout = Layout.NONE,
        speech: Speech | None = None,
        limits: Limits | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Command]:
        """Other settings; what is left out gets its default. A mix is encoded otherwise from the next frame on."""
        settings = (scenario, dict(mix or {}), layout, speech or Speech(), limits or Limits(), dict(metadata or {}))
        if settings == (self.scenario, self.mix_settings, self.layout, self.speech, self.limits, self.metadata):
            return []
        before, heard = self.mix, {user: self._heard(user) for user in self.speakers}
        self.scenario, self.mix_settings, self.layout, self.speech, self.limits, self.metadata = settings
        self.revision += 1
        self.tell("room.changed", etag=self.etag)
        commands: list[Command] = [] if self.mix == before else [ConfigureRoom(self.id, self.mix, self.e2ee)]
        for user, was in heard.items():
            commands += self._hear(user, was)
        return commands

    def factors(self) -> Iterator[tuple[int, dict[int, float]]]:
        """(id, factors on columns by their CSRC, where they are not 1) of each row of the gain matrix."""
        for row, hearing in self.rows:
            yield row, dict(self._cells(hearing))

    def _heard(self, user: str) -> tuple[float, float, Chain]:
        """How a speaker is heard: gain, pan, and what is done to his voice."""
        speaker = self.speakers[user]
        return speaker.gain, self._pan(speaker), chain_of(self.speech, speaker.voice_effect)

    def _pan(self, speaker: Speaker) -> float:
        if speaker.pan is not None:
            return speaker.pan
        places = arc(self.limits.speakers or PLACES) if self.layout is Layout.ARC else ()
        return places[speaker.seat] if speaker.seat is not None and speaker.seat < len(places) else 0.0

    def _hear(self, user: str, was: tuple[float, float, Chain] | None) -> list[Command]:
        """What it takes to hear him as he is to be heard now. was: _heard() before; None: he had no column."""
        (gain, pan, chain), csrc = self._heard(user), self.csrc_of(user)
        commands: list[Command] = []
        if was is None or was[:2] != (gain, pan):
            commands.append(SetColumn(self.id, csrc, gain, pan))
        if chain != (was[2] if was else ()):
            commands.append(SetChain(self.id, csrc, chain))
        return commands

    def close(self) -> list[Command]:
        """Everybody out. The room is of no use afterwards."""
        commands = self.play(Programme())
        for user in tuple(self.participants):
            commands += self._evict(user, tuple(Direction), CloseReason.ROOM_CLOSED)
        self.tell("room.ended", reason=CloseReason.ROOM_CLOSED)
        return [*commands, RemoveRoom(self.id)]

    def tell(self, type: str, user: str | None = None, **data: object) -> None:
        self._news.append(News(type, user, data))

    def take_news(self) -> list[News]:
        """What has happened since the last call."""
        news, self._news = self._news, []
        return news

    def take_facts(self) -> set[tuple[Fact, str]]:
        """Of whom what has changed since the last call; fact() has the values."""
        facts, self._facts = self._facts, set()
        return facts

    def fact(self, kind: Fact, user: str) -> Any:
        """A value for JSON; None when there is nothing to remember."""
        match kind:
            case Fact.LISTENER:
                return None if user not in self.ears else self.ears[user].to_json()
            case Fact.REVOKED:
                return self.kicked.get(user)
            case Fact.PRESENT:
                return sorted(self.participants[user].connected) if self.is_present(user) else None

    def recall(self, kind: Fact, user: str, value: Any) -> None:
        """What fact() said before a restart. Who was present then has left since."""
        match kind:
            case Fact.LISTENER:
                self.ears[user] = Ears.from_json(value)
            case Fact.REVOKED:
                self.kicked[user] = float(value)
            case Fact.PRESENT:
                for direction in value:
                    self._tell_stopped(Direction(direction), user, CloseReason.RESTARTED)
                self.tell("participant.left", user, reason=CloseReason.RESTARTED)
                self._facts.add((Fact.PRESENT, user))

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

    def is_present(self, user: str) -> bool:
        return user in self.participants and bool(self.participants[user].connected)

    def is_revoked(self, user: str, issued: float) -> bool:
        """Whether a token issued at this Unix time came before the user's last kick."""
        return user in self.kicked and issued <= self.kicked[user]

    def set_speaker(
        self,
        user: str,
        *,
        may_publish: bool = True,
        gain_db: float = 0.0,
        seat: int | None = None,
        mutes: Iterable[MuteSource] | None = None,
    ) -> list[Command]:
        """Gives the user a seat, or changes whether he may publish from it, how loud, and which it is. mutes: all that
        are set; None leaves them. As take_seat()."""
        known = self.speakers.get(user)
        if mutes is None:
            mutes = known.mutes if known else ()
        return self.take_seat(user, Speaker(may_publish, frozenset(mutes), gain_db, seat))

    def take_seat(self, user: str, speaker: Speaker) -> list[Command]:
        """SeatTakenError or FullRoomError: then nothing has changed."""
        self._check_seat(user, speaker.seat)
        self._seated.add(user)
        return [*self._seat(user, speaker), *self._follow_row(user)]

    def set_speakers(self, speakers: Mapping[str, Speaker]) -> list[Command]:
        """These are all the seats from now on. The caller has seen to it that they are no more than the room's
        limit and that no two have the same number."""
        commands: list[Command] = []
        for user in [user for user in self.speakers if user not in speakers]:
            commands += self.remove_speaker(user)
        for user, speaker in speakers.items():
            self._seated.add(user)
            commands += [*self._seat(user, speaker), *self._follow_row(user)]
        return commands

    def remove_speaker(self, user: str, reason: CloseReason = CloseReason.SEAT_REMOVED) -> list[Command]:
        """Takes the seat: mutes are forgotten, a publishing session is closed, a listening one goes on."""
        if user not in self.speakers:
            return []
        commands = self._evict(user, (Direction.PUBLISH,), reason)
        return [*commands, *self._unseat(user, reason), *self._follow_row(user)]

    def mute(self, user: str, source: MuteSource) -> list[Command]:
        """NoSeatError when the user has no seat."""
        speaker = self.speaker(user)
        return self._seat(user, replace(speaker, mutes=speaker.mutes | {source}))

    def unmute(self, user: str, source: MuteSource) -> list[Command]:
        """Undoes this source's mute alone. NoSeatError when the user has no seat."""
        speaker = self.speaker(user)
        return self._seat(user, replace(speaker, mutes=speaker.mutes - {source}))

    def take_row(self, user: str) -> tuple[int, list[Command]]:
        """The row that a new session of this user on the mix is to get; it is handed to join(). TooManyMixesError."""
        self._check_mixes({user: self.ears.get(user, Ears())}, joining=True)
        return self._take_row(user, None)

    def set_ears(self, user: str, ears: Ears) -> list[Command]:
        """What the user wants to hear otherwise than others do. TooManyMixesError: then nothing has changed."""
        return self.set_all_ears({user: ears})

    def set_all_ears(self, wishes: Mapping[str, Ears]) -> list[Command]:
        """Likewise of several users at once: all or none."""
        changed = {user: ears for user, ears in wishes.items() if ears != self.ears.get(user, Ears())}
        self._check_mixes(changed)
        commands: list[Command] = []
        for user, ears in changed.items():
            self.ears.pop(user, None)
            if ears != Ears():
                self.ears[user] = ears
            self._facts.add((Fact.LISTENER, user))
            self.wishes += 1
            commands += self._follow_row(user)
        while len(self.ears) > MAX_EARS:
            gone = next((name for name in self.ears if name not in self.participants), None)
            if gone is None:
                break
            del self.ears[gone]
            self._facts.add((Fact.LISTENER, gone))
        return commands

    # What is played

    def player(self, name: str) -> PlayerSpec:
        """NoPlayerError when there is none."""
        if name not in self.programme.players:
            raise NoPlayerError(f"The room has no player {name}.")
        return self.programme.players[name]

    def csrc_of_player(self, name: str) -> int:
        return self.csrc_of(player_column(name))

    def set_player(self, name: str, spec: PlayerSpec) -> list[Command]:
        return self.play(replace(self.programme, players={**self.programme.players, name: spec}))

    def remove_player(self, name: str) -> list[Command]:
        """Nothing happens when there is none."""
        others = {other: spec for other, spec in self.programme.players.items() if other != name}
        return self.play(replace(self.programme, players=others))

    def start_effect(self, name: str, spec: EffectSpec) -> list[Command]:
        """EffectTakenError when one of this name plays another sound."""
        known = self.programme.effects.get(name)
        if known is not None and (known.sound, known.repeat) != (spec.sound, spec.repeat):
            raise EffectTakenError(f"The effect {name} plays another sound. Stop it first, or take another name.")
        return self.play(replace(self.programme, effects={**self.programme.effects, name: spec}))

    def stop_effect(self, name: str) -> list[Command]:
        """Nothing happens when there is none."""
        others = {other: spec for other, spec in self.programme.effects.items() if other != name}
        return self.play(replace(self.programme, effects=others))

    def effect_ended(self, name: str, csrc: int, reason: str | None = None) -> list[Command]:
        """By itself, or because it failed. Nothing happens when it was of an earlier effect of that name."""
        if self._csrcs.get(effect_column(name)) != csrc:
            return []
        if reason is not None:
            self.tell("effect.failed", effect=name, reason=reason)
        others = {other: spec for other, spec in self.programme.effects.items() if other != name}
        return [
            command
            for command in self.play(replace(self.programme, effects=others))
            if not isinstance(command, StopEffect)
        ]

    def play(self, programme: Programme) -> list[Command]:
        """This is what is played from now on. Rows change before what is new begins, so that nobody hears what is not
        for him."""
        before = self.programme
        if programme == before:
            return []
        if _of_document(programme) != _of_document(before):
            self.revision += 1
        stopped = sorted(before.players.keys() - programme.players.keys())
        ended = sorted(before.effects.keys() - programme.effects.keys())
        taps = sorted(before.aligned().keys() - programme.aligned().keys())
        gone = {*map(player_column, stopped), *map(effect_column, ended), *map(tap_column, taps)}
        commands: list[Command] = [RemoveColumn(self.id, self._csrcs[tap_column(name)]) for name in taps]
        commands += [ClosePlayer(self.id, name, self._csrcs[player_column(name)]) for name in stopped]
        commands += [StopEffect(self.id, name, self._csrcs[effect_column(name)]) for name in ended]
        commands += self._to_crowds(programme, {self._csrcs[column] for column in gone})
        for column in gone:
            self._taken.remove(self._csrcs.pop(column))
            self._delays.pop(column, None)
        for name in ended:
            self.tell("effect.ended", effect=name)
        for name, player in programme.players.items():
            csrc = self.csrc_of(player_column(name))
            if name not in before.players:
                commands.append(OpenPlayer(self.id, name, csrc, player))
            elif player != before.players[name]:
                commands.append(ChangePlayer(self.id, name, csrc, player))
            if player.align:
                commands += self._tap(name, csrc, player, before.aligned().get(name))
        for name, effect in programme.effects.items():
            csrc = self.csrc_of(effect_column(name))
            if name not in before.effects:
                commands.append(StartEffect(self.id, name, csrc, effect))
                self.tell("effect.started", effect=name, sound=effect.sound)
            elif effect != before.effects[name]:
                commands.append(SetColumn(self.id, csrc, linear(effect.gain_db), effect.pan))
        return commands + self.align(self.alignment)

    def _tap(self, name: str, player_csrc: int, player: PlayerSpec, known: PlayerSpec | None) -> list[Command]:
        """An aligned player's second column. known: the player, if it has one already."""
        csrc = self.csrc_of(tap_column(name))
        if known is not None:
            return [] if known.pan == player.pan else [SetColumn(self.id, csrc, 1.0, player.pan)]
        delay = self._delays[tap_column(name)] = _samples(self.music_delay_ms(player))
        return [AddTap(self.id, csrc, player_csrc, player.pan, delay)]

    # What singers sing to

    def music_delay_ms(self, player: PlayerSpec) -> float:
        """By how much later those without a seat hear an aligned player."""
        return min(max(self.alignment.music_ms + player.align_offset_ms, 0.0), MAX_LOOP_MS)

    def align(self, alignment: Alignment) -> list[Command]:
        """Music and voices are to be so late from now on. Nothing waits while nothing is sung to."""
        aligned = self.programme.aligned()
        self.alignment = alignment if aligned else Alignment()
        wanted = {tap_column(name): _samples(self.music_delay_ms(player)) for name, player in aligned.items()}
        voices = self.alignment.voices_ms
        wanted |= {user: _samples(voices.get(user, 0.0)) for user in self.speakers}
        commands: list[Command] = []
        for column, delay in wanted.items():
            if delay != self._delays.get(column, 0):
                self._delays[column] = delay
                commands.append(SetDelay(self.id, self.csrc_of(column), delay))
        return commands

    def _to_crowds(self, programme: Programme, gone: Container[int]) -> list[Command]:
        """Brings rows to what is played for whom. gone: columns that are about to fade out, so that for whom they were
        not they must stay silent: their cells stay until the row changes again."""
        before = {row: self._cells(hearing) for row, hearing in self.rows}
        regrouped = self.programme.named() ^ programme.named()
        self.programme = programme
        commands: list[Command] = []
        for row, hearing in self.rows:
            cells = (*self._cells(hearing), *((csrc, factor) for csrc, factor in before[row] if csrc in gone))
            if set(cells) != set(before[row]):
                commands.append(SetRow(self.id, row, cells, self._places(hearing)))
        for user in sorted(regrouped):
            commands += self._follow_row(user)
        return commands

    def join(self, user: str, direction: Direction, peer: int, row: int | None = None) -> list[Command]:
        """Called when the new session's offer has been accepted. An older one that is connected goes on until
        take_over(), so that the others hear no gap, and a session that fails to connect costs nobody anything. row:
        of a listener to the mix, from take_row()."""
        participant = self.participants.setdefault(user, Participant(self.csrc_of(user)))
        if row is not None:
            participant.rows[peer] = row
        if direction in participant.connected:
            older = participant.coming.get(direction)
            participant.coming[direction] = peer
            participant.ready.discard(direction)
        else:
            older = participant.peers.get(direction)
            participant.peers[direction] = peer
        return [] if older is None else self._replaced(participant, older)

    def connected(self, user: str, direction: Direction, peer: int) -> None:
        """Media can flow over the session."""
        if self._is_coming(user, direction, peer):
            self.participants[user].ready.add(direction)
            self._back_in_time(user, direction)
            return
        participant = self._participant(user, direction, peer)
        if participant is None or direction in participant.connected:
            return
        if not participant.connected:
            self.tell("participant.joined", user)
        participant.connected.add(direction)
        self._facts.add((Fact.PRESENT, user))
        if direction is Direction.PUBLISH:
            self.tell("publishing.started", user)
        else:
            self.tell("listening.started", user, mode="mix" if peer in participant.rows else "select")

    def take_over(self, user: str, direction: Direction, peer: int) -> list[Command]:
        """The session is connected and its media has begun: the older one goes. Nothing happens when there is none."""
        if not self._is_coming(user, direction, peer):
            return []
        participant = self.participants[user]
        older, participant.peers[direction] = participant.peers[direction], participant.coming.pop(direction)
        participant.ready.discard(direction)
        return self._replaced(participant, older)

    def late(self, user: str, direction: Direction, peer: int) -> None:
        """The client has not been heard of for seconds; it may be on its way to another network."""
        participant = self._participant(user, direction, peer)
        if participant is None or direction not in participant.connected:
            return
        if not participant.late:
            self.tell("participant.reconnecting", user)
        participant.late.add(direction)

    def in_time(self, user: str, direction: Direction, peer: int) -> None:
        """The client has been heard of again."""
        if self._participant(user, direction, peer) is not None:
            self._back_in_time(user, direction)

    def leave(
        self, user: str, direction: Direction, peer: int, reason: CloseReason = CloseReason.DELETED
    ) -> list[Command]:
        """The session has ended by itself. Nothing happens when it is no longer the user's: it was replaced."""
        if self._is_coming(user, direction, peer):
            participant = self.participants[user]
            del participant.coming[direction]
            participant.ready.discard(direction)
            return self._drop_row(participant.rows.pop(peer, None))
        if self._participant(user, direction, peer) is None:
            return []
        return self._forget(user, direction, reason)

    def kick(self, user: str, now: float) -> list[Command]:
        """Ends both sessions, takes the seat and refuses tokens issued until `now` (Unix time, seconds)."""
        for name in [name for name, time in self.kicked.items() if time < now - REVOCATION_LIFETIME_S]:
            del self.kicked[name]
            self._facts.add((Fact.REVOKED, name))
        self.kicked[user] = now
        self._facts.add((Fact.REVOKED, user))
        commands = self._evict(user, tuple(Direction), CloseReason.KICKED)
        return [*commands, *self._unseat(user, CloseReason.KICKED)]

    def move(self, user: str, target: "Room") -> list[Command]:
        """The user's sessions go over to another room, without a new connection, and his seat if he has one; a seat
        that the other room gives him already stays as it is. NotConnectedError when he is not here;
        EncryptedRoomError, FullRoomError or TooManyMixesError of the other room: then nothing has changed."""
        if user not in self.participants:
            raise NotConnectedError(f"{user} is not connected to this room.")
        if target is self:
            return []
        participant = self.participants[user]
        target._check_arrival(user, participant)
        commands: list[Command] = []
        if user in self.speakers and user not in target.speakers:
            commands += target._take_over_seat(user, self.speakers[user])
        del self.participants[user]
        if participant.connected:
            self._facts.add((Fact.PRESENT, user))
            for way in sorted(participant.connected):
                self._tell_stopped(way, user, CloseReason.MOVED)
            self.tell("participant.left", user, reason=CloseReason.MOVED, to=target.name)
        for way, peer in (*participant.peers.items(), *participant.coming.items()):
            row = None
            if peer in participant.rows:
                row, added = target._take_row(user, None)
                commands += added
            commands.append(MovePeer(peer, target.id, target.csrc_of(user), row))
            commands += target.join(user, way, peer, row)
            is_coming = participant.coming.get(way) == peer
            if way in (participant.ready if is_coming else participant.connected):
                target.connected(user, way, peer)
        for row in participant.rows.values():
            commands += self._drop_row(row)
        commands += self._unseat(user, CloseReason.MOVED)
        self._release_csrc(user)
        return commands

    def _check_arrival(self, user: str, participant: Participant) -> None:
        """Whether the user can move here with his sessions."""
        if not participant.rows:
            return
        if self.e2ee:
            raise EncryptedRoomError("The other room is end-to-end encrypted, so it has no mix to listen to.")
        self._check_mixes({user: self.ears.get(user, Ears())}, joining=True)

    def _take_over_seat(self, user: str, speaker: Speaker) -> list[Command]:
        """One that he had in another room, where it had another number. FullRoomError."""
        return self.take_seat(user, replace(speaker, seat=None))

    def _is_coming(self, user: str, direction: Direction, peer: int) -> bool:
        participant = self.participants.get(user)
        return participant is not None and participant.coming.get(direction) == peer

    def _back_in_time(self, user: str, direction: Direction) -> None:
        participant = self.participants[user]
        if direction not in participant.late:
            return
        participant.late.remove(direction)
        if not participant.late:
            self.tell("participant.reconnected", user)

    def _replaced(self, participant: Participant, peer: int) -> list[Command]:
        """Its end, which is nobody's news: another session of the user has its place."""
        return [ClosePeer(peer, CloseReason.REPLACED), *self._drop_row(participant.rows.pop(peer, None))]

    def _participant(self, user: str, direction: Direction, peer: int) -> Participant | None:
        """The user, if this peer is his session of that direction."""
        participant = self.participants.get(user)
        return participant if participant is not None and participant.peers.get(direction) == peer else None

    def speaker(self, user: str) -> Speaker:
        """His seat. NoSeatError when he has none."""
        if user not in self.speakers:
            raise NoSeatError(f"{user} has no seat in this room.")
        return self.speakers[user]

    def _check_seat(self, user: str, seat: int | None) -> None:
        limit = self.limits.speakers
        if user not in self.speakers and limit is not None and len(self.speakers) >= limit:
            raise FullRoomError(f"The room's own limit is {limit} speakers.")
        if seat is not None:
            holder = next((name for name, speaker in self.speakers.items() if speaker.seat == seat), user)
            if holder != user:
                raise SeatTakenError(f"Seat {seat} is taken.")

    def _check_mixes(self, wishes: Mapping[str, Ears], *, joining: bool = False) -> None:
        """TooManyMixesError when the mixes that come of these wishes would be more than the room allows. joining:
        of users who are about to listen to the mix, not only of those who do."""
        listening = dict(self._listening(wishes))
        moving = wishes if joining else listening
        hearings = [hearing_of(user, wishes[user], self._crowd(user)) for user in moving]
        if any(is_wished(hearing, self.speakers) for hearing in hearings):
            leaving = [row for participant in listening.values() for row in participant.rows.values()]
            self.rows.check(hearings, leaving, self.speakers)

    def _listening(self, users: Iterable[str]) -> Iterator[tuple[str, Participant]]:
        """Those of them who listen to the mix."""
        for user in users:
            participant = self.participants.get(user)
            if participant is not None and participant.rows:
                yield user, participant

    def _seat(self, user: str, speaker: Speaker) -> list[Command]:
        known = self.speakers.get(user)
        if known == speaker:
            return []
        was = self._heard(user) if known else None
        self.speakers[user] = speaker
        if known is not None and _but_for_own_mute(known) == _but_for_own_mute(speaker):
            self.wishes += 1
        else:
            self.revision += 1
        shown = {"seat": speaker.seat, "may_publish": speaker.may_publish, "gain_db": speaker.gain_db}
        if known is None:
            self.tell("speaker.seated", user, **shown)
        elif (known.seat, known.may_publish, known.gain_db) != (speaker.seat, speaker.may_publish, speaker.gain_db):
            self.tell("speaker.changed", user, **shown)
        before = known.mutes if known else frozenset()
        for source in sorted(speaker.mutes - before):
            self.tell("speaker.muted", user, source=source)
        for source in sorted(before - speaker.mutes):
            self.tell("speaker.unmuted", user, source=source)
        return self._hear(user, was)

    def _unseat(self, user: str, reason: CloseReason) -> list[Command]:
        if self.speakers.pop(user, None) is None:
            return []
        self._delays.pop(user, None)
        self.revision += 1
        self.tell("speaker.unseated", user, reason=reason)
        return [RemoveColumn(self.id, self.csrc_of(user))]

    def _evict(self, user: str, directions: tuple[Direction, ...], reason: CloseReason) -> list[Command]:
        participant = self.participants.get(user)
        if participant is None:
            return []
        commands: list[Command] = []
        for direction in directions:
            if direction in participant.coming:
                peer = participant.coming.pop(direction)
                participant.ready.discard(direction)
                commands += [ClosePeer(peer, reason), *self._drop_row(participant.rows.pop(peer, None))]
        there = [direction for direction in directions if direction in participant.peers]
        commands += [ClosePeer(participant.peers[direction], reason) for direction in there]
        for direction in there:
            commands += self._forget(user, direction, reason)
        return commands

    def _forget(self, user: str, direction: Direction, reason: CloseReason) -> list[Command]:
        """A session has ended. One that is coming has its place; that is no news if it is ready."""
        participant = self.participants[user]
        if direction in participant.ready:
            (_, *commands) = self.take_over(user, direction, participant.coming[direction])
            return commands
        commands = self._drop_row(participant.rows.pop(participant.peers.pop(direction), None))
        participant.late.discard(direction)
        if direction in participant.connected:
            participant.connected.remove(direction)
            self._facts.add((Fact.PRESENT, user))
            self._tell_stopped(direction, user, reason)
            if not participant.connected:
                self.tell("participant.left", user, reason=reason)
        if direction in participant.coming:
            participant.peers[direction] = participant.coming.pop(direction)
        if not participant.peers:
            del self.participants[user]
            self._release_csrc(user)
        return commands

    def _tell_stopped(self, direction: Direction, user: str, reason: CloseReason) -> None:
        self.tell("publishing.stopped" if direction is Direction.PUBLISH else "listening.stopped", user, reason=reason)

    def _release_csrc(self, user: str) -> None:
        """A CSRC that never went out and that nothing names; keeping one for each who ever came would grow without
        bound."""
        if user in self._seated or user in self.participants or self.rows.name(user):
            return
        if user in self._csrcs:
            self._taken.remove(self._csrcs.pop(user))

    def _take_row(self, user: str, like: int | None) -> tuple[int, list[Command]]:
        hearing = hearing_of(user, self.ears.get(user, Ears()), self._crowd(user))
        row, is_new = self.rows.take(hearing)
        if not is_new:
            return row, []
        return row, [AddRow(self.id, row, self._cells(hearing), like, self._places(hearing))]

    def _crowd(self, user: str) -> Crowd:
        return Crowd(user in self.speakers, user if user in self.programme.named() else "")

    def _cells(self, hearing: Hearing) -> tuple[tuple[int, float], ...]:
        factors = (*hearing.cells, *self.programme.factors(hearing.crowd, hearing.music))
        return tuple((self.csrc_of(name), factor) for name, factor in factors)

    def _places(self, hearing: Hearing) -> tuple[tuple[int, float], ...]:
        return tuple((self.csrc_of(name), pan) for name, pan in hearing.places)

    def _drop_row(self, row: int | None) -> list[Command]:
        hearing = None if row is None else self.rows.drop(row)
        if row is None or hearing is None:
            return []
        for name, _ in (*hearing.cells, *hearing.places):
            self._release_csrc(name)
        return [RemoveRow(self.id, row)]

    def _follow_row(self, user: str) -> list[Command]:
        """A seat or a wish changed: the user's sessions on the mix, if there are any, move to the row they have now."""
        participant = self.participants.get(user)
        commands: list[Command] = []
        if participant is None:
            return []
        for peer, before in participant.rows.items():
            row, added = self._take_row(user, before)
            commands += added
            if row != before:
                participant.rows[peer] = row
                commands.append(SetListenerRow(peer, row))
            commands += self._drop_row(before)
        return commands
