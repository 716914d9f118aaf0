"""What rooms play: their players and effects, from what is asked for to what is heard, and back to the room."""

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from mediaserver.commands import (
    AddTap,
    ChangeEffect,
    ChangePlayer,
    ClosePlayer,
    Command,
    OpenPlayer,
    StartEffect,
    StopEffect,
)
from mediaserver.effects import Effects, SoundError
from mediaserver.feed import Playing
from mediaserver.jukebox import Jukebox
from mediaserver.model import playing
from mediaserver.model.errors import EncryptedRoomError, FullRoomError, NoTrackError
from mediaserver.model.room import Room
from mediaserver.music.checking import NotMusicError
from mediaserver.music.children import ChildError
from mediaserver.music.cues import (
    FAILURES,
    Effect,
    Next,
    Play,
    Previous,
    Seek,
    StatusChanged,
    TrackFailed,
    TrackStarted,
)
from mediaserver.music.players import Now
from mediaserver.music.service import Music
from mediaserver.music.sounds import load
from mediaserver.plane import Driver
from mediaserver.programme import EffectSpec, PlayerSpec, PlayerState
from mediaserver.schema_programme import MAX_EFFECTS, MAX_PLAYERS
from mediaserver.soundbank import Samples, SoundBank

PlayCommand = OpenPlayer | ChangePlayer | ClosePlayer | AddTap | StartEffect | ChangeEffect | StopEffect


class UnknownSoundError(LookupError):
    """No effect has this sound; a sentence for the room service."""


class Rooms(Protocol):
    """What is needed of a node."""

    def room_of(self, number: int) -> Room | None:
        """By its number in the plane."""

    def change(self, room: Room, commands: Iterable[Command]) -> None:
        """Makes a change of the room true, and known."""


class Playback:
    """failed_tracks: by cues.FAILURES, and "other"."""

    def __init__(self, rooms: Rooms, driver: Driver, music: Music) -> None:
        self.failed_tracks: Counter[str] = Counter()
        self.music = music
        self.sounds = SoundBank(driver.make_clip, self._decode_sound)
        self.jukebox = Jukebox(driver, music.workshop, self._player_tells)
        self._effects = Effects(driver, self.sounds, self._effect_ended)
        self._rooms = rooms
        self._driver = driver

    def close(self) -> None:
        self.jukebox.close()
        self._effects.close()
        self.music.stop()

    # What is asked for

    def play_effect(self, room: Room, spec: EffectSpec) -> str:
        """Once; the name by which it can be stopped. EncryptedRoomError, FullRoomError or UnknownSoundError."""
        name = f"once-{secrets.token_hex(8)}"
        self.start_effect(room, name, spec)
        return name

    def start_effect(self, room: Room, name: str, spec: EffectSpec) -> None:
        """As play_effect(), and EffectTakenError."""
        _check_plain(room)
        self.check_sound(spec.sound)
        if len(room.programme.effects.keys() | {name}) > MAX_EFFECTS:
            raise FullRoomError(f"At most {MAX_EFFECTS} effects play in a room at a time.")
        self._rooms.change(room, playing.start_effect(room, name, spec))

    def set_player(self, room: Room, name: str, spec: PlayerSpec) -> None:
        """EncryptedRoomError or FullRoomError."""
        _check_plain(room)
        if len(room.programme.players.keys() | {name}) > MAX_PLAYERS:
            raise FullRoomError(f"A room has at most {MAX_PLAYERS} players.")
        self._rooms.change(room, playing.set_player(room, name, spec))

    def ask_player(self, room: Room, name: str, event: Seek | Next | Previous | Play) -> None:
        """NoPlayerError or NoTrackError. A player that is asked to play is to be playing from then on."""
        spec = room.player(name)
        if isinstance(event, Play) and event.key is not None and event.key not in {t.key for t in spec.plan.tracks}:
            raise NoTrackError(f"The player {name} has no track {event.key}.")
        self.jukebox.ask(room.id, name, event)
        if isinstance(event, Play):
            spec = replace(spec, state=PlayerState.PLAYING)
        self._rooms.change(room, playing.set_player(room, name, spec))

    def check_sound(self, sound: str) -> None:
        """UnknownSoundError."""
        if not self.sounds.knows(sound):
            raise UnknownSoundError(f"There is no sound {sound}.")

    def perform(self, command: PlayCommand) -> None:
        if isinstance(command, StartEffect | ChangeEffect | StopEffect):
            self._effects.perform(command)
        else:
            self.jukebox.perform(command)

    # What becomes of it

    def now(self, room: Room) -> list[Playing]:
        """What the room's players do now."""
        return [self.shown(room, name, self.jukebox.now(room.id, name)) for name in sorted(room.programme.players)]

    def shown(self, room: Room, name: str, now: Now) -> Playing:
        """As it is told."""
        spec = room.player(name)
        is_somewhere = now.track is not None
        return Playing(
            name,
            now.status,
            now.track,
            now.tags.get("title"),
            now.tags.get("artist"),
            round(now.position_s * 1000) if is_somewhere else None,
            None if now.duration_s is None else round(now.duration_s * 1000),
            self._unix_time(now.at_ns) if now.at_ns else None,
            round(room.music_delay_ms(spec)) if spec.align else None,
        )

    def _unix_time(self, monotonic_ns: int) -> float:
        """Seconds, on the clock of the RTCP sender reports."""
        return self._driver.plane.unix_time_ns(monotonic_ns) / 1e9

    def _effect_ended(self, number: int, name: str, csrc: int, reason: str | None) -> None:
        room = self._rooms.room_of(number)
        if room is not None:
            self._rooms.change(room, playing.effect_ended(room, name, csrc, reason))

    def _player_tells(self, number: int, name: str, effects: Sequence[Effect]) -> None:
        room = self._rooms.room_of(number)
        if room is None:
            return
        for effect in effects:
            match effect:
                case StatusChanged(status, reason):
                    room.tell("player.changed", player=name, status=status, **({"reason": reason} if reason else {}))
                case TrackStarted(key):
                    room.tell("player.track_started", player=name, track=key)
                case TrackFailed(key, reason):
                    # A decoder's own word, and a label is not to have any number of values.
                    self.failed_tracks[reason if reason in FAILURES else "other"] += 1
                    room.tell("player.track_failed", player=name, track=key, reason=reason)
        self._rooms.change(room, ())

    async def _decode_sound(self, media: str) -> Samples:
        """A piece of the library, for an effect. SoundError."""
        path = self.music.library.path(media) if self.music.library is not None else None
        if path is None:
            raise SoundError(f"There is no piece {media} in the library.")
        try:
            return await load(self.music.children, path)
        except (NotMusicError, ChildError, OSError) as error:
            raise SoundError(f"The piece {media} cannot be an effect: {error}") from None


def _check_plain(room: Room) -> None:
    if room.e2ee:
        raise EncryptedRoomError("The room is end-to-end encrypted, so nothing can be mixed into it.")
