"""What a room plays beside its speakers, as the control API says it: music players and sound effects."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from mediaserver.ktv import MAX_REPORTED_MS
from mediaserver.schema_base import Document, GainDb, Name, Pan, State, Whole

MAX_PLAYERS = 4  # a column each, a decoder or two, and memory for seconds of sound
MAX_EFFECTS = 16  # at a time
MAX_TRACKS = 500
MAX_AUDIENCE = 64  # users that an audience can name; each has a row of his own then
MAX_FADE_MS = 30_000
MAX_OFFSET_MS = 200

Milliseconds = Annotated[int, Whole]
Fade = Annotated[int, Field(ge=0, le=MAX_FADE_MS), Whole]
Offset = Annotated[int, Field(ge=-MAX_OFFSET_MS, le=MAX_OFFSET_MS), Whole]
Reported = Annotated[float, Field(ge=0, le=MAX_REPORTED_MS, allow_inf_nan=False)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
PublicName = Literal["everybody", "listeners", "speakers"]
AudienceField = PublicName | Annotated[list[Name], Field(min_length=1, max_length=MAX_AUDIENCE)]
_AUDIENCE = "`everybody`, `listeners` (who have no seat), `speakers` (who have one), or a list of users"


class TrackDocument(Document):
    """One entry of a playlist: a piece of the library, or an address."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["media"], "properties": {"media": {"type": "string"}, "url": {"type": "null"}}},
                {"required": ["url"], "properties": {"url": {"type": "string"}, "media": {"type": "null"}}},
            ]
        }
    )

    media: Name | None = Field(default=None, description="Id in the library", examples=["q3v9x2m1"])
    url: Address | None = Field(
        default=None,
        description="http(s) address of a file, a stream, or a playlist (HLS, M3U, PLS)",
        examples=["https://radio.example.org/stream.mp3"],
    )
    key: Name | None = Field(
        default=None, description="Its name in this playlist; without one it is its place in it", examples=["opening"]
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.media is None) == (self.url is None):
            raise ValueError("a track has either media or url")
        return self


class RepeatName(StrEnum):
    NONE = "none"
    ONE = "one"
    ALL = "all"


class PlayerDocument(Document):
    """A music player: what it shall play, how, and for whom. Where it is in it is its state."""

    tracks: list[TrackDocument] = Field(
        default_factory=list, max_length=MAX_TRACKS, description="The playlist", examples=[[{"media": "q3v9x2m1"}]]
    )
    state: Literal["playing", "paused", "stopped"] = Field(
        default="playing", description="What it shall do", examples=["playing"]
    )
    volume_db: GainDb = Field(default=0.0, description="In dB, -60 (silence) to 12", examples=[-12])
    repeat: RepeatName = Field(
        default=RepeatName.NONE, strict=False, description="One track or all of them again", examples=["all"]
    )
    shuffle: bool = Field(default=False, description="In an order of its own", examples=[True])
    fade_in_ms: Fade = Field(default=20, description="When a track begins or goes on, in ms", examples=[500])
    fade_out_ms: Fade = Field(default=20, description="When it pauses or stops, in ms", examples=[500])
    crossfade_ms: Fade = Field(
        default=0,
        description="By how much one track's end and the next one's beginning overlap, in ms",
        examples=[4000],
    )
    audience: AudienceField = Field(
        default="everybody", description=f"For whom it is: {_AUDIENCE}", examples=["everybody"]
    )
    pan: Pan = Field(default=0.0, description="In stereo mixes, a number from -1 (left) to 1 (right)", examples=[0])
    align: bool = Field(
        default=False,
        description="Speakers sing to it: those without a seat hear it as much later as voices take, so that both meet",
        examples=[True],
    )
    align_offset_ms: Offset = Field(
        default=0,
        description="By how much later (or, below 0, earlier) than measured they hear it, in ms",
        examples=[20],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        keys = [track.key or str(place) for place, track in enumerate(self.tracks)]
        if len(set(keys)) < len(keys):
            raise ValueError("two tracks have the same key")
        return self


class EffectDocument(Document):
    """A sound effect, and for whom it is."""

    sound: Name = Field(
        description="Of the built-in pack (GET /v1/sounds), or `library:` and the id of a short piece of the library",
        examples=["applause"],
    )
    gain_db: GainDb = Field(default=0.0, description="In dB, -60 (silence) to 12", examples=[-6])
    pan: Pan = Field(default=0.0, description="In stereo mixes, a number from -1 (left) to 1 (right)", examples=[0])
    audience: AudienceField = Field(default="everybody", description=f"For whom it is: {_AUDIENCE}", examples=[["bob"]])


class PlayerStatus(StrEnum):
    IDLE = "idle"
    LOADING = "loading"
    PLAYING = "playing"
    PAUSED = "paused"
    STALLED = "stalled"
    ENDED = "ended"
    FAILED = "failed"


class PlayerStateDocument(PlayerDocument):
    """A player, and what becomes of it."""

    name: Name = Field(description="Of the player", examples=["music"])
    csrc: int = Field(description="Of its column, 1 to 2^32-1", examples=[2857740885])
    status: PlayerStatus = Field(strict=False, description="What it does now", examples=["playing"])
    failure: str | None = Field(default=None, description="Why it, or its last track, has failed", examples=["timeout"])
    track: str | None = Field(default=None, description="Key of the track that is played", examples=["opening"])
    position_ms: int | None = Field(default=None, description="How far that track has come, in ms", examples=[61_040])
    duration_ms: int | None = Field(
        default=None, description="How long it is, in ms; absent when nobody knows", examples=[201_000]
    )
    at: float | None = Field(
        default=None,
        description=(
            "Unix time in seconds at which the position is in the mixes, on the clock of the RTCP sender reports: with "
            "these, or with estimatedPlayoutTimestamp of a browser's statistics, lyrics follow what is heard"
        ),
        examples=[1893456000.25],
    )
    delay_ms: int | None = Field(
        default=None,
        description="Of a player with `align`: how much later than that those without a seat hear it, in ms",
        examples=[232],
    )


class PlayersState(State):
    """All players of a room."""

    players: list[PlayerStateDocument] = Field(description="By name")


class EffectState(EffectDocument):
    """An effect that plays."""

    id: Name = Field(description="Its name, by which it is stopped", examples=["call"])
    repeat: bool = Field(description="Until it is stopped", examples=[True])


class EffectsState(State):
    """All effects that play in a room now."""

    effects: list[EffectState] = Field(description="By name")


class PlayRequest(Document):
    """From where to play on. Without a track what was paused, or the first."""

    track: Name | None = Field(default=None, description="Key of a track of the playlist", examples=["opening"])
    position_ms: Milliseconds = Field(
        default=0, ge=0, le=7 * 24 * 3600 * 1000, description="Into it, in ms", examples=[0]
    )


class SeekRequest(Document):
    """Where to go in the track that is played."""

    position_ms: Milliseconds = Field(
        ge=0, le=7 * 24 * 3600 * 1000, description="From its beginning, in ms", examples=[60000]
    )


class SoundsState(State):
    """Sounds that effects can name."""

    sounds: list[str] = Field(description="The built-in pack", examples=[["applause", "ring"]])


class DelaysReport(Document):
    """What a singer's client says of its own delays, once a second."""

    playout_ms: Reported = Field(
        description="From a packet's arrival until its first sound is in the air, in ms: jitter buffer and output",
        examples=[64.5],
    )
    capture_ms: Reported = Field(
        description="From a sound in the air until the packet that begins with it leaves, in ms: input and a packet's "
        "length",
        examples=[31.0],
    )


class DelaysState(State):
    """What becomes of it. Nothing where no player has `align`."""

    loop_ms: float | None = Field(
        default=None,
        description="From what he hears to what he sings in the mixer, in ms; absent until it is measured",
        examples=[212.5],
    )
    voice_delay_ms: float = Field(
        default=0.0, description="By how much later he is heard, to meet slower singers, in ms", examples=[20.0]
    )
    music_delay_ms: float | None = Field(
        default=None,
        description="The longest loop: by how much later those without a seat hear the music, in ms, but for offsets",
        examples=[232.5],
    )
