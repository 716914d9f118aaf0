"""What is heard: where an attendee speaks and listens, who is connected how, music and effects."""

from typing import Annotated, Literal

from pydantic import Field

from mediaserver.client import (
    EffectDocument,
    EffectState,
    ParticipantDocument,
    PlayerDocument,
    PlayerStateDocument,
)
from roomservice.model.details import DirectSound
from roomservice.model.errors import Illegal, Problem
from roomservice.model.room import Role, Room
from roomservice.operations.fields import Name
from roomservice.operations.problems import INVALID_PARAMS, MEDIA_REFUSED, Refused
from roomservice.operations.rooms import InRoom, change, himself, read
from roomservice.operations.table import Caller, Done, Nothing, Operation, Result
from roomservice.operations.world import World

TAG = "sound"

MAX_MS = 7 * 24 * 3600 * 1000


class OfPlayer(InRoom):
    player: Annotated[Name, Field(description="Name of the player")]


class PutPlayer(OfPlayer):
    document: Annotated[PlayerDocument, Field(description="What it plays, how, and for whom")]


class ControlPlayer(OfPlayer):
    action: Annotated[
        Literal["play", "pause", "stop", "seek", "next", "previous", "volume"], Field(description="What it shall do")
    ]
    track: Annotated[Name | None, Field(description="With `play`: key of a track; what was paused without it")] = None
    position_ms: Annotated[int, Field(ge=0, le=MAX_MS, description="With `play` and `seek`: into the track, in ms")] = 0
    volume_db: Annotated[float | None, Field(ge=-60, le=12, description="With `volume`: in dB, -60 is silence")] = None


class PlayEffect(InRoom):
    document: Annotated[EffectDocument, Field(description="Which sound, and for whom")]


class OfEffect(InRoom):
    effect: Annotated[Name, Field(description="Name of the effect")]


class StartEffect(OfEffect):
    document: Annotated[EffectDocument, Field(description="Which sound, and for whom")]


class ConfigureSound(InRoom):
    ducking_db: Annotated[
        float | None,
        Field(ge=0, le=60, description="By how much music goes down while somebody speaks, in dB; 0 is off"),
    ] = None
    places: Annotated[
        bool | None, Field(description="Whether each is heard from his seat's place on an arc, in stereo")
    ] = None


class SoundSettings(Result):
    ducking_db: float = Field(description="By how much music goes down while somebody speaks, in dB; 0 is off")
    places: bool = Field(description="Whether each is heard from his seat's place on an arc, in stereo")


class AddressView(Result):
    whip: str = Field(description="Where to speak: WHIP, the token after `#token=`; empty without a seat")
    whep: str = Field(description="Where to listen: WHEP, the token after `#token=`")


class PlayerView(Result):
    player: PlayerStateDocument = Field(description="What it shall do, what it does, and where it is")


class Players(Result):
    players: list[PlayerStateDocument] = Field(description="By name")


class EffectView(Result):
    effect: EffectState = Field(description="Which plays; by its `id` it is stopped")


class Sounds(Result):
    sounds: list[str] = Field(description="What an effect's `sound` may be")


class ListParticipants(InRoom):
    after: Annotated[str, Field(max_length=256, description="`next` of the page before; empty for the first")] = ""
    limit: Annotated[int, Field(ge=1, le=500, description="Participants on a page")] = 100


class Participants(Result):
    participants: list[ParticipantDocument] = Field(description="By name")
    next: str | None = Field(description="`after` of the next page, null on the last")


async def get_addresses(world: World, caller: Caller, asked: InRoom) -> AddressView:
    """Looked at again when the token is there: it may be newer than the kick that ended his others."""
    user = himself(caller)
    room = await _room_of(world, user, asked)
    found = await world.media.addresses(room.id, user, may_publish=room.seat_of(user) is not None)
    await _room_of(world, user, asked)
    return AddressView(whip=found.whip, whep=found.whep)


async def _room_of(world: World, user: str, asked: InRoom) -> Room:
    """Illegal: room-dismissed, not-in-room."""
    room = (await read(world, asked.room)).room
    if room.dismissed_at is not None:
        raise Illegal(Problem.ROOM_DISMISSED)
    if room.role_of(user) is Role.STRANGER:
        raise Illegal(Problem.NOT_IN_ROOM)
    return room


async def get_participants(world: World, caller: Caller, asked: ListParticipants) -> Participants:
    await _check_inside(world, caller, asked)
    found, following = await world.sound.participants(asked.room, asked.after, asked.limit)
    return Participants(participants=list(found), next=following)


async def get_players(world: World, caller: Caller, asked: InRoom) -> Players:
    await _check_inside(world, caller, asked)
    return Players(players=list(await world.sound.players(asked.room)))


async def put_player(world: World, caller: Caller, asked: PutPlayer) -> PlayerView:
    await _check_leader(world, caller, asked)
    return PlayerView(player=await world.sound.put_player(asked.room, asked.player, asked.document))


async def control_player(world: World, caller: Caller, asked: ControlPlayer) -> PlayerView:
    await _check_leader(world, caller, asked)
    sound, room, player = world.sound, asked.room, asked.player
    match asked.action:
        case "play":
            done = await sound.play(room, player, asked.track, asked.position_ms)
        case "pause":
            done = await sound.pause(room, player)
        case "stop":
            done = await sound.stop(room, player)
        case "seek":
            done = await sound.seek(room, player, asked.position_ms)
        case "next" | "previous":
            done = await sound.skip(room, player, back=asked.action == "previous")
        case "volume":
            if asked.volume_db is None:
                raise Refused(INVALID_PARAMS, "A volume has volume_db.")
            done = await sound.set_volume(room, player, asked.volume_db)
    return PlayerView(player=done)


async def delete_player(world: World, caller: Caller, asked: OfPlayer) -> Done:
    await _check_leader(world, caller, asked)
    await world.sound.delete_player(asked.room, asked.player)
    return Done()


async def play_effect(world: World, caller: Caller, asked: PlayEffect) -> EffectView:
    await _check_leader(world, caller, asked)
    return EffectView(effect=await world.sound.play_effect(asked.room, asked.document))


async def start_effect(world: World, caller: Caller, asked: StartEffect) -> EffectView:
    await _check_leader(world, caller, asked)
    return EffectView(effect=await world.sound.start_effect(asked.room, asked.effect, asked.document))


async def stop_effect(world: World, caller: Caller, asked: OfEffect) -> Done:
    await _check_leader(world, caller, asked)
    await world.sound.stop_effect(asked.room, asked.effect)
    return Done()


async def get_sounds(world: World, _: Caller, __: Nothing) -> Sounds:
    return Sounds(sounds=list(await world.sound.sounds()))


async def get_sound(world: World, caller: Caller, asked: InRoom) -> SoundSettings:
    await _check_inside(world, caller, asked)
    ducking_db, places = await world.sound.settings(asked.room)
    return SoundSettings(ducking_db=ducking_db, places=places)


async def configure_sound(world: World, caller: Caller, asked: ConfigureSound) -> Done:
    await _check_leader(world, caller, asked)
    await world.sound.configure(asked.room, ducking_db=asked.ducking_db, places=asked.places)
    return Done()


async def _check_leader(world: World, caller: Caller, asked: InRoom) -> None:
    """Illegal."""
    await change(world, asked.room, lambda _: [DirectSound(caller.by)])


async def _check_inside(world: World, caller: Caller, asked: InRoom) -> None:
    """Illegal."""
    if (await read(world, asked.room)).room.role_of(caller.by) is Role.STRANGER:
        raise Illegal(Problem.NOT_IN_ROOM)


_REFUSED = (MEDIA_REFUSED,)

OPERATIONS = (
    Operation(
        "get_addresses",
        ("GET", "/v1/rooms/{room}/addresses"),
        InRoom,
        AddressView,
        get_addresses,
        "Where the caller speaks, if he has a seat, and listens.",
        TAG,
    ),
    Operation(
        "get_participants",
        ("GET", "/v1/rooms/{room}/participants"),
        ListParticipants,
        Participants,
        get_participants,
        "Who is connected to the media server, by name: levels, loss, delays.",
        TAG,
        weight=5,
        problems=_REFUSED,
    ),
    Operation(
        "get_players",
        ("GET", "/v1/rooms/{room}/players"),
        InRoom,
        Players,
        get_players,
        "The room's music players.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "put_player",
        ("PUT", "/v1/rooms/{room}/players/{player}"),
        PutPlayer,
        PlayerView,
        put_player,
        "Makes a music player, or brings it to the document.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "control_player",
        ("POST", "/v1/rooms/{room}/players/{player}:control"),
        ControlPlayer,
        PlayerView,
        control_player,
        "Plays, pauses, stops, seeks, goes to another track, or sets the volume.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "delete_player",
        ("DELETE", "/v1/rooms/{room}/players/{player}"),
        OfPlayer,
        Done,
        delete_player,
        "Removes a music player.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "play_effect",
        ("POST", "/v1/rooms/{room}/effects"),
        PlayEffect,
        EffectView,
        play_effect,
        "Plays a sound once.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "start_effect",
        ("PUT", "/v1/rooms/{room}/effects/{effect}"),
        StartEffect,
        EffectView,
        start_effect,
        "Plays a sound until it is stopped.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "stop_effect",
        ("DELETE", "/v1/rooms/{room}/effects/{effect}"),
        OfEffect,
        Done,
        stop_effect,
        "Stops a sound.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "get_sound",
        ("GET", "/v1/rooms/{room}/sound"),
        InRoom,
        SoundSettings,
        get_sound,
        "How music makes way for voices, and where these are heard.",
        TAG,
        problems=_REFUSED,
    ),
    Operation(
        "configure_sound",
        ("PATCH", "/v1/rooms/{room}/sound"),
        ConfigureSound,
        Done,
        configure_sound,
        "How music makes way for voices, and where these are heard. What is left out stays.",
        TAG,
        problems=_REFUSED,
    ),
    Operation("get_sounds", ("GET", "/v1/sounds"), Nothing, Sounds, get_sounds, "Sounds that effects can name.", TAG),
)
