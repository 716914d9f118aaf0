"""A room's document: the state that it shall have, and the commands that bring it there. Pure.

The document is the truth: putting it again changes nothing, and putting it after a restart brings everything back. Only
what belongs to participants (their `self` mutes, what listeners want for themselves) outlives a PUT that does not
name it."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel

from mediaserver.commands import Command
from mediaserver.matrix import Ears
from mediaserver.model import lifecycle, playing, rows, seats
from mediaserver.model.errors import EncryptedRoomError, FullRoomError
from mediaserver.model.people import MuteSource, Speaker
from mediaserver.model.room import Layout, Limits, Room
from mediaserver.music.plans import Plan, Repeat, Track
from mediaserver.programme import Audience, EffectSpec, PlayerSpec, PlayerState, Programme, Public
from mediaserver.scenarios import Scenario
from mediaserver.schema import (
    LimitsDocument,
    ListenerDocument,
    MixDocument,
    RoomDocument,
    ScenarioName,
    SpeakerDocument,
    SpeechDocument,
    VoiceEffectName,
)
from mediaserver.schema_base import MAX_SEATS
from mediaserver.schema_programme import EffectDocument, PlayerDocument, PublicName, RepeatName, TrackDocument
from mediaserver.voices import Speech, VoiceEffect

LIBRARY = "library:"
"""Before the id of a piece of the library."""


def show(room: Room) -> RoomDocument:
    """The document of the room as it is; put() with it changes nothing."""
    return RoomDocument(
        speakers={user: show_speaker(speaker) for user, speaker in room.speakers.items()},
        listeners={user: show_listener(ears) for user, ears in room.ears.items()},
        players={name: show_player(player) for name, player in room.programme.players.items()},
        effects={name: show_effect(effect) for name, effect in room.programme.effects.items() if effect.repeat},
        mix=_mix_of(room),
        limits=LimitsDocument(**asdict(room.limits)),
        scenario=ScenarioName(room.scenario),
        metadata=dict(room.metadata),
        e2ee=room.e2ee,
    )


def written(room: Room) -> str:
    """What show() shows, as JSON without the listeners. It is said at every change, and a change is of one seat:
    what was said of the others is said again, and nothing is validated."""
    seats = ",".join(_written_seat(user, speaker) for user, speaker in room.speakers.items())
    rest = {
        "players": _shown({name: show_player(player) for name, player in room.programme.players.items()}),
        "effects": _shown(
            {name: show_effect(effect) for name, effect in room.programme.effects.items() if effect.repeat}
        ),
        "mix": _mix_of(room).model_dump(exclude_defaults=True),
        "limits": {"speakers": room.limits.speakers, "listeners": room.limits.listeners},
        "scenario": room.scenario,
        "metadata": room.metadata,
        "e2ee": room.e2ee,
    }
    return f'{{"speakers":{{{seats}}},{json.dumps(rest, ensure_ascii=False, separators=(",", ":"))[1:]}'


@lru_cache(16 * MAX_SEATS)
def _written_seat(user: str, speaker: Speaker) -> str:
    document = show_speaker(speaker).model_dump_json(exclude_defaults=True)
    return f"{json.dumps(user, ensure_ascii=False)}:{document}"


def show_speaker(speaker: Speaker) -> SpeakerDocument:
    return SpeakerDocument(**speaker_fields(speaker))


def speaker_fields(speaker: Speaker) -> dict[str, Any]:
    return {
        "may_publish": speaker.may_publish,
        "gain_db": speaker.gain_db,
        "seat": speaker.seat,
        "mutes": {str(source): True for source in sorted(speaker.mutes)},
        "pan": speaker.pan,
        "voice_effect": VoiceEffectName(speaker.voice_effect) if speaker.voice_effect else None,
    }


def _mix_of(room: Room) -> MixDocument:
    layout: Literal["arc"] | None = None if room.layout is Layout.NONE else "arc"
    speech = None if room.speech == Speech() else SpeechDocument.model_validate(asdict(room.speech))
    return MixDocument(**room.mix_settings, layout=layout, speech=speech)


def _shown(documents: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {name: document.model_dump(mode="json", exclude_defaults=True) for name, document in documents.items()}


def show_player(player: PlayerSpec) -> PlayerDocument:
    plan = player.plan
    return PlayerDocument(
        tracks=[_show_track(place, track) for place, track in enumerate(plan.tracks)],
        state=player.state.value,
        volume_db=plan.volume_db,
        repeat=RepeatName(plan.repeat),
        shuffle=plan.shuffle,
        fade_in_ms=round(plan.fade_in_ms),
        fade_out_ms=round(plan.fade_out_ms),
        crossfade_ms=round(plan.crossfade_ms),
        audience=_show_audience(player.audience),
        pan=player.pan,
        align=player.align,
        align_offset_ms=round(player.align_offset_ms),
    )


def _show_track(place: int, track: Track) -> TrackDocument:
    key = None if track.key == str(place) else track.key
    if track.source.startswith(LIBRARY):
        return TrackDocument(media=track.source.removeprefix(LIBRARY), key=key)
    return TrackDocument(url=track.source, key=key)


def wanted_player(document: PlayerDocument, name: str) -> PlayerSpec:
    """name: of the player; its order when it shuffles is the same after a restart."""
    tracks = tuple(
        Track(track.key or str(place), track.url or f"{LIBRARY}{track.media}")
        for place, track in enumerate(document.tracks)
    )
    plan = Plan(
        tracks=tracks,
        repeat=Repeat(document.repeat),
        shuffle=document.shuffle,
        seed=zlib.crc32(name.encode()),
        volume_db=document.volume_db,
        fade_in_ms=document.fade_in_ms,
        fade_out_ms=document.fade_out_ms,
        crossfade_ms=document.crossfade_ms,
    )
    return PlayerSpec(
        plan,
        PlayerState(document.state),
        wanted_audience(document.audience),
        document.pan,
        document.align,
        document.align_offset_ms,
    )


def show_effect(effect: EffectSpec) -> EffectDocument:
    return EffectDocument(
        sound=effect.sound, gain_db=effect.gain_db, pan=effect.pan, audience=_show_audience(effect.audience)
    )


def wanted_effect(document: EffectDocument, *, repeat: bool) -> EffectSpec:
    return EffectSpec(document.sound, document.gain_db, document.pan, wanted_audience(document.audience), repeat)


def _show_audience(audience: Audience) -> PublicName | list[str]:
    return audience.public.value if audience.users is None else sorted(audience.users)


def wanted_audience(named: PublicName | list[str]) -> Audience:
    return Audience(users=frozenset(named)) if isinstance(named, list) else Audience(Public(named))


def wanted_programme(document: RoomDocument, before: Programme) -> Programme:
    """What the document wants to be played, and what is played once and has not ended."""
    once = {name: effect for name, effect in before.effects.items() if not effect.repeat}
    return Programme(
        {name: wanted_player(player, name) for name, player in document.players.items()},
        once | {name: wanted_effect(effect, repeat=True) for name, effect in document.effects.items()},
    )


def show_listener(ears: Ears) -> ListenerDocument:
    return ListenerDocument(**ears.to_json())


def ears_of(listener: ListenerDocument) -> Ears:
    return Ears.from_json(listener.model_dump())


def check(document: RoomDocument, room: Room | None) -> None:
    """Whether the document can be, for this room or a new one. EncryptedRoomError or FullRoomError."""
    if room is not None and document.e2ee is not None and document.e2ee != room.e2ee:
        raise EncryptedRoomError("Whether a room is end-to-end encrypted is settled when it is made.")
    is_e2ee = document.e2ee if room is None else room.e2ee
    if is_e2ee and (document.players or document.effects):
        raise EncryptedRoomError("The room is end-to-end encrypted, so nothing can be mixed into it.")
    limit = document.limits.speakers
    if limit is not None and len(document.speakers) > limit:
        raise FullRoomError(f"The room's own limit is {limit} speakers.")


def put(room: Room, document: RoomDocument, *, exact: bool = False) -> list[Command]:
    """Brings the room to the document, which has been checked. exact: what belongs to participants too is as the
    document says. TooManyMixesError: then nothing has changed."""
    wishes = {user: ears_of(listener) for user, listener in document.listeners.items()}
    if exact:
        wishes = dict.fromkeys(room.ears, Ears()) | wishes
    commands = rows.set_all_ears(room, wishes)
    speakers = {
        user: wanted_speaker(speaker, room.speakers.get(user), exact=exact)
        for user, speaker in document.speakers.items()
    }
    commands += seats.take_all(room, speakers)
    commands += playing.play(room, wanted_programme(document, room.programme))
    # Last, so that the ETag it tells is that of the whole document.
    return commands + lifecycle.configure(
        room,
        scenario=Scenario(document.scenario),
        mix=document.mix.model_dump(exclude_none=True, exclude={"layout", "speech"}),
        layout=Layout(document.mix.layout or Layout.NONE),
        speech=Speech(**document.mix.speech.model_dump()) if document.mix.speech else Speech(),
        limits=Limits(**document.limits.model_dump()),
        metadata=document.metadata,
    )


def wanted_speaker(document: SpeakerDocument, known: Speaker | None, *, exact: bool = False) -> Speaker:
    """The seat that a document asks for. exact: the speaker's own mute too is as the document says."""
    mutes = wanted_mutes(document.mutes)
    if not exact and "self" not in document.mutes and known is not None:
        mutes |= known.mutes & {MuteSource.SELF}
    return seat_of(document, mutes)


def seat_of(document: SpeakerDocument, mutes: frozenset[MuteSource]) -> Speaker:
    effect = None if document.voice_effect is None else VoiceEffect(document.voice_effect)
    return Speaker(document.may_publish, mutes, document.gain_db, document.seat, document.pan, effect)


def wanted_mutes(mutes: Mapping[Any, bool]) -> frozenset[MuteSource]:
    return frozenset(MuteSource(source) for source, is_set in mutes.items() if is_set)
