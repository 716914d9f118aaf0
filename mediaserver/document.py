"""A room's document: the state that it shall have, and the commands that bring it there. Pure.

The document is the truth: putting it again changes nothing, and putting it after a restart brings everything back. Only
what belongs to participants (their `self` mutes, what listeners want for themselves) outlives a PUT that does not
name it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from mediaserver.commands import Command
from mediaserver.matrix import Ears
from mediaserver.model import EncryptedRoomError, FullRoomError, Limits, MuteSource, Room, Speaker
from mediaserver.scenarios import Scenario
from mediaserver.schema import (
    MAX_SEATS,
    LimitsDocument,
    ListenerDocument,
    MixDocument,
    RoomDocument,
    ScenarioName,
    SpeakerDocument,
)


def show(room: Room) -> RoomDocument:
    """The document of the room as it is; put() with it changes nothing."""
    return RoomDocument(
        speakers={user: show_speaker(speaker) for user, speaker in room.speakers.items()},
        listeners={user: show_listener(ears) for user, ears in room.ears.items()},
        mix=MixDocument(**room.mix_settings),
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
        "mix": room.mix_settings,
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
    }


def show_listener(ears: Ears) -> ListenerDocument:
    return ListenerDocument(**ears.to_json())


def ears_of(listener: ListenerDocument) -> Ears:
    return Ears.from_json(listener.model_dump())


def check(document: RoomDocument, room: Room | None) -> None:
    """Whether the document can be, for this room or a new one. EncryptedRoomError or FullRoomError."""
    if room is not None and document.e2ee is not None and document.e2ee != room.e2ee:
        raise EncryptedRoomError("Whether a room is end-to-end encrypted is settled when it is made.")
    limit = document.limits.speakers
    if limit is not None and len(document.speakers) > limit:
        raise FullRoomError(f"The room's own limit is {limit} speakers.")


def put(room: Room, document: RoomDocument, *, exact: bool = False) -> list[Command]:
    """Brings the room to the document, which has been checked. exact: what belongs to participants too is as the
    document says. TooManyMixesError: then nothing has changed."""
    wishes = {user: ears_of(listener) for user, listener in document.listeners.items()}
    if exact:
        wishes = dict.fromkeys(room.ears, Ears()) | wishes
    commands = room.set_all_ears(wishes)
    speakers = {
        user: wanted_speaker(speaker, room.speakers.get(user), exact=exact)
        for user, speaker in document.speakers.items()
    }
    commands += room.set_speakers(speakers)
    # Last, so that the ETag it tells is that of the whole document.
    return commands + room.configure(
        scenario=Scenario(document.scenario),
        mix=document.mix.model_dump(exclude_none=True),
        limits=Limits(**document.limits.model_dump()),
        metadata=document.metadata,
    )


def wanted_speaker(document: SpeakerDocument, known: Speaker | None, *, exact: bool = False) -> Speaker:
    """The seat that a document asks for. exact: the speaker's own mute too is as the document says."""
    mutes = wanted_mutes(document.mutes)
    if not exact and "self" not in document.mutes and known is not None:
        mutes |= known.mutes & {MuteSource.SELF}
    return Speaker(document.may_publish, mutes, document.gain_db, document.seat)


def wanted_mutes(mutes: Mapping[Any, bool]) -> frozenset[MuteSource]:
    return frozenset(MuteSource(source) for source, is_set in mutes.items() if is_set)
