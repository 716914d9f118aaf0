"""What the control API says and is told, as JSON: shared by the server, its OpenAPI document and mediaserver.client.

Fields that are not known are refused, so that a misspelt one is noticed. Every string, list and object has a bound.
"""

import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from mediaserver.schema_base import MAX_SEATS, Document, GainDb, MuteSourceName, Name, Pan, Seat, State, Whole
from mediaserver.schema_programme import MAX_EFFECTS, MAX_PLAYERS, EffectDocument, PlayerDocument

MAX_LISTENERS = 20_000  # whose wishes one document can hold
MAX_WISHES = 64  # users that one listener hears otherwise; more would make rows long
MAX_METADATA_BYTES = 4096
MAX_METADATA_DEPTH = 32  # deeper than some 250 cannot be written as JSON again
MAX_ROOMS_PER_CALL = 1000
DEFAULT_TTL_S = 3600
MAX_TTL_S = 7 * 24 * 3600
DEFAULT_PAGE, MAX_PAGE = 100, 1000


def is_deeper(value: Any, limit: int) -> bool:
    """Whether JSON has more than so many objects and lists one in another."""
    level = [value]
    for _ in range(limit):
        level = [
            member
            for found in level
            if isinstance(found, dict | list)
            for member in (found.values() if isinstance(found, dict) else found)
        ]
    return any(isinstance(found, dict | list) for found in level)


# ---- desired state: what is put is what is shown


class VoiceEffectName(StrEnum):
    ROOM = "room"
    HALL = "hall"
    PLATE = "plate"
    HIGHER = "higher"
    LOWER = "lower"
    ROBOT = "robot"
    TELEPHONE = "telephone"


class SpeakerDocument(Document):
    """A seat: what its user may do, and how he is heard."""

    may_publish: bool = Field(
        default=True, description="false keeps the seat and its mutes but silences it", examples=[True]
    )
    gain_db: GainDb = Field(default=0.0, description="For everybody, in dB, -60 (silence) to 12", examples=[-3])
    seat: Seat | None = Field(
        default=None,
        description=f"Number of the seat, 0 to {MAX_SEATS - 1}, for those who show it; no two speakers have the same",
        examples=[3],
    )
    mutes: dict[MuteSourceName, bool] = Field(
        default_factory=dict,
        description="Who mutes the speaker; heard only when none is true. `self` is the participant's own",
        examples=[{"host": True}],
    )
    pan: Pan | None = Field(
        default=None,
        description="Where he is heard in stereo mixes, a number from -1 (left) to 1; without it as `mix.layout` says",
        examples=[-0.5],
    )
    voice_effect: VoiceEffectName | None = Field(
        default=None,
        strict=False,
        description="What is done to his voice: a place, another pitch, a disguise",
        examples=["hall"],
    )


class ListenerDocument(Document):
    """What one listener to the mix wants otherwise than others."""

    user_gains_db: dict[Name, GainDb] = Field(
        default_factory=dict,
        max_length=MAX_WISHES,
        description="By user, in dB, -60 (silence) to 12, rounded to 3 dB in the mix",
        examples=[{"carol": -6}],
    )
    user_mutes: dict[Name, bool] = Field(
        default_factory=dict, max_length=MAX_WISHES, description="Who is not to be heard", examples=[{"dave": True}]
    )
    user_pans: dict[Name, Pan] = Field(
        default_factory=dict,
        max_length=MAX_WISHES,
        description="Where whom is heard in a stereo mix, a number from -1 (left) to 1, in steps of 0.25",
        examples=[{"carol": -0.5}],
    )
    music_gain_db: GainDb = Field(
        default=0.0, description="Of all players, in dB, -60 (no music) to 12, rounded to 3 dB", examples=[-9]
    )


class ScenarioName(StrEnum):
    CHAT = "chat"
    KTV = "ktv"
    CALL = "call"


class SpeechDocument(Document):
    """What is done to every voice before it is mixed. All off by default: browsers do most of it."""

    high_pass: bool = Field(
        default=False, description="Nothing below 80 Hz: rumble, wind, a bumped table", examples=[True]
    )
    noise_suppression: bool = Field(default=False, description="Steady noise goes down", examples=[True])
    gate: bool = Field(default=False, description="Silence between words is silent", examples=[False])
    target_lufs: float | None = Field(
        default=None,
        ge=-40,
        le=-10,
        allow_inf_nan=False,
        description="Loudness that quiet and loud speakers are brought to, LUFS (dB, ITU-R BS.1770)",
        examples=[-20],
    )


class MixDocument(Document):
    """How the room's mixes are made and encoded; what is left out follows the scenario."""

    stereo: bool | None = Field(default=None, description="Two channels", examples=[True])
    bitrate: Annotated[int | None, Whole] = Field(
        default=None, ge=6_000, le=510_000, description="In bit/s", examples=[64000]
    )
    ptime_ms: Annotated[Literal[20, 40, 60] | None, Whole] = Field(
        default=None, description="Length of a packet in ms; longer costs less and waits longer", examples=[20]
    )
    complexity: Annotated[int | None, Whole] = Field(
        default=None,
        ge=0,
        le=10,
        description="Of the Opus encoder, 0 to 10: 9 sounds a little better in voice mode and costs twice as much as 5",
        examples=[5],
    )
    music: bool | None = Field(
        default=None, description="Coded for music instead of voice; soft sounds are kept", examples=[False]
    )
    passthrough: bool | None = Field(
        default=None,
        description="While one voice alone is heard, its own packets are sent on instead of being decoded and encoded",
        examples=[True],
    )
    ducking_db: float | None = Field(
        default=None,
        ge=0,
        le=60,
        allow_inf_nan=False,
        description="By how much music goes down while somebody speaks, in dB; 0 is off, 60 is silence",
        examples=[12],
    )
    layout: Literal["none", "arc"] | None = Field(
        default=None,
        description="Where seats are heard in stereo mixes: all in the middle, or on an arc by their numbers",
        examples=["arc"],
    )
    speech: SpeechDocument | None = Field(
        default=None,
        description="What is done to every voice; nothing where it says nothing",
        examples=[{"high_pass": True, "target_lufs": -20}],
    )


class LimitsDocument(Document):
    """Of this room; the server's own apply as well."""

    speakers: Annotated[int | None, Whole] = Field(
        default=None, ge=0, le=MAX_SEATS, description="Number of seats", examples=[16]
    )
    listeners: Annotated[int | None, Whole] = Field(
        default=None, ge=0, le=1_000_000, description="Number of listening sessions at a time", examples=[5000]
    )


class RoomDocument(Document):
    """The state that a room shall have. What a PUT leaves out gets its default; but what belongs to participants, their
    `self` mutes and what listeners want for themselves, stays as it is where it is not named."""

    speakers: dict[Name, SpeakerDocument] = Field(
        default_factory=dict,
        max_length=MAX_SEATS,
        description="Seats by user, whether they are connected or not",
        examples=[{"alice": {"mutes": {"host": True}, "gain_db": 0, "seat": 3}}],
    )
    listeners: dict[Name, ListenerDocument] = Field(
        default_factory=dict,
        max_length=MAX_LISTENERS,
        description="What listeners want for themselves, by user",
        examples=[{"bob": {"user_gains_db": {"carol": -6}, "user_mutes": {"dave": True}}}],
    )
    players: dict[Name, PlayerDocument] = Field(
        default_factory=dict,
        max_length=MAX_PLAYERS,
        description="Music players by name",
        examples=[{"music": {"tracks": [{"media": "q3v9x2m1"}], "volume_db": -12}}],
    )
    effects: dict[Name, EffectDocument] = Field(
        default_factory=dict,
        max_length=MAX_EFFECTS,
        description="Sounds that are repeated until they are no longer named here, such as a ring tone for one callee",
        examples=[{"call": {"sound": "ring", "audience": ["bob"]}}],
    )
    mix: MixDocument = Field(
        default_factory=MixDocument, description="How mixes are encoded, where it is not as the scenario has it"
    )
    limits: LimitsDocument = Field(
        default_factory=LimitsDocument, description="Of this room, below the server's own; none where it says nothing"
    )
    scenario: ScenarioName = Field(
        default=ScenarioName.CHAT,
        strict=False,
        description="What the room is for: sets how mixes are encoded where `mix` says nothing, and hints for capture",
        examples=["chat"],
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description=f"The room service's own, at most {MAX_METADATA_BYTES} bytes of JSON, {MAX_METADATA_DEPTH} deep",
        examples=[{"title": "Evening talk"}],
    )
    e2ee: bool | None = Field(
        default=None,
        description="Payloads are end-to-end encrypted, so nothing is mixed. Settled when the room is made (false)",
        examples=[False],
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        seats = [speaker.seat for speaker in self.speakers.values() if speaker.seat is not None]
        if len(set(seats)) < len(seats):
            raise ValueError("two speakers have the same seat")
        if is_deeper(self.metadata, MAX_METADATA_DEPTH):
            raise ValueError(f"metadata must be nested at most {MAX_METADATA_DEPTH} deep")
        try:
            size = len(json.dumps(self.metadata, ensure_ascii=False, allow_nan=False).encode())
        except ValueError:
            raise ValueError("metadata must be JSON: without NaN, infinity and half surrogates") from None
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"metadata must be at most {MAX_METADATA_BYTES} bytes of JSON")
        return self


class Rooms(Document):
    """Many rooms at once, by name: for a room service that recovers."""

    rooms: dict[Name, RoomDocument] = Field(
        max_length=MAX_ROOMS_PER_CALL,
        description="Documents by the room's name",
        examples=[{"lobby": {"speakers": {"alice": {"seat": 3}}}, "stage": {"scenario": "ktv"}}],
    )


class PutResult(Document):
    """What became of one room of many."""

    status: int = Field(description="The HTTP status, as if the room had been put by itself", examples=[201])
    etag: str | None = Field(
        default=None, description="Of the room's document, when it was put", examples=['"k3v9x2m1.1.1"']
    )
    problem: dict[str, Any] | None = Field(
        default=None,
        description="A problem document, when it was not",
        examples=[{"type": "/problems#seats-taken", "title": "No seat left", "status": 409, "detail": "Why."}],
    )


class PutResults(Document):
    """What became of each room."""

    rooms: dict[Name, PutResult] = Field(
        description="By the room's name",
        examples=[
            {
                "lobby": {"status": 201, "etag": '"k3v9x2m1.1.1"'},
                "stage": {
                    "status": 409,
                    "problem": {
                        "type": "/problems#seats-taken",
                        "title": "No seat left",
                        "status": 409,
                        "detail": "The room's own limit is 16 speakers.",
                    },
                },
            }
        ],
    )


# ---- what is: read only


class SpeakerState(SpeakerDocument):
    """A seat, and what the server adds to it."""

    model_config = ConfigDict(extra="ignore")

    user: Name = Field(description="Name of the user", examples=["alice"])
    csrc: int = Field(
        description="The CSRC of the user in RTP packets, 1 to 2^32-1; it stays while the room lives",
        examples=[2857740885],
    )
    heard: bool = Field(
        description="Whether the user may be heard: he may publish and nobody mutes him", examples=[False]
    )


class SpeakerPage(State):
    """Seats by user, a page of them."""

    speakers: list[SpeakerState] = Field(description="At most `limit`")
    next: str | None = Field(
        default=None, description="`cursor` of the next page; absent on the last", examples=["alice"]
    )


class MixState(State):
    """How the room's mixes are encoded now."""

    stereo: bool = Field(description="Two channels", examples=[False])
    bitrate: int = Field(description="In bit/s", examples=[48000])
    ptime_ms: int = Field(description="Length of a packet in ms", examples=[20])
    complexity: int = Field(description="Of the Opus encoder, 0 to 10", examples=[5])
    music: bool = Field(description="Coded for music instead of voice", examples=[False])
    passthrough: bool = Field(
        description="Whether the packets of one voice alone are sent on, not encoded again", examples=[True]
    )
    ducking_db: float = Field(description="By how much music goes down while somebody speaks, in dB", examples=[12])


class RoomState(State):
    """A room at a glance."""

    name: Name = Field(description="Name of the room", examples=["lobby"])
    etag: str = Field(description="Of the room's document", examples=['"k3v9x2m1.17.4"'])
    instance: str = Field(description="Tells the room from earlier and later ones of its name", examples=["k3v9x2m1"])
    scenario: ScenarioName = Field(description="What the room is for", examples=["chat"])
    mix: MixState = Field(description="What the scenario and the document's `mix` come to")
    e2ee: bool = Field(description="Whether payloads are end-to-end encrypted", examples=[False])
    speakers: int = Field(description="Number of seats given", examples=[16])
    participants: int = Field(description="Number of connected users", examples=[212])
    publishing: int = Field(description="Number of publishing sessions", examples=[12])
    listening: int = Field(description="Number of listening sessions", examples=[212])
    talking: list[str] = Field(description="Users who speak now and are heard", examples=[["alice"]])
    fraction_lost: float = Field(
        description="RTP, 0..1: the mean over sessions of what each lost in its last interval", examples=[0.004]
    )
    metadata: dict[str, Any] = Field(description="The room service's own", examples=[{"title": "Evening talk"}])


class RoomPage(State):
    """Rooms by name, a page of them."""

    rooms: list[RoomState] = Field(description="At most `limit`")
    next: str | None = Field(
        default=None, description="`cursor` of the next page; absent on the last", examples=["lobby"]
    )


class SessionState(StrEnum):
    CONNECTING = "connecting"
    SECURING = "securing"
    CONNECTED = "connected"
    CLOSED = "closed"


DirectionName = Literal["publish", "listen"]
TierName = Literal["clean", "lossy", "very-lossy"]


class SessionDocument(State):
    """A connection, and how it does."""

    id: str = Field(description="The last part of the session's address", examples=["Xq3vJ0pTz1uYh8sK"])
    direction: DirectionName = Field(
        description="As the client sees it: WHIP publishes, WHEP listens", examples=["publish"]
    )
    state: SessionState = Field(description="From the first ICE check to the end", examples=["connected"])
    quality: Literal["good", "low"] = Field(description="`low` while much is lost on the way", examples=["good"])
    protocol: Literal["udp", "tcp"] | None = Field(
        default=None, description="That carries the media; absent before the first ICE check", examples=["udp"]
    )
    red: bool = Field(description="Whether redundant audio (RFC 2198) was agreed on", examples=[True])
    tier: TierName = Field(
        description="Listener of a mix, or with `red`: how much repair goes with it, by the loss that it reports",
        examples=["clean"],
    )
    level_dbov: float = Field(description="Publisher: smoothed level, -127..0 dBov (RFC 6464)", examples=[-31.5])
    speaking: bool = Field(description="Publisher: whether he speaks now", examples=[True])
    silent: bool = Field(
        description="Publisher who is not muted: not even noise has come of his microphone for 10 s", examples=[False]
    )
    clipping: bool = Field(
        description="Publisher who is mixed: his samples are cut at full scale, or were in the last 5 s",
        examples=[False],
    )
    fraction_lost: float = Field(
        description="RTP, 0..1. Publisher: last interval here; listener: its last report", examples=[0.004]
    )
    packets_lost: int = Field(
        description="Number of RTP packets. Publisher: of its stream, here; listener: of all slots, as it reports",
        examples=[17],
    )
    jitter_ms: float = Field(
        description="In ms (RFC 3550 A.8). Publisher: measured here; listener: worst slot it reports", examples=[2.4]
    )
    round_trip_ms: float | None = Field(
        default=None, description="In ms, by RTCP; absent before the first report that tells", examples=[38.2]
    )
    packets_received: int = Field(description="Number of authenticated RTP packets from the client", examples=[15012])
    bytes_received: int = Field(description="Their bytes, headers included", examples=[1501200])
    packets_sent: int = Field(description="Number of RTP packets to the client", examples=[0])
    bytes_sent: int = Field(description="Their bytes, headers included", examples=[0])
    packets_nacked: int = Field(description="Listener: number of RTP packets that it asked for again", examples=[0])
    packets_retransmitted: int = Field(
        description="Listener: number of RTP packets sent again that it asked for by NACK", examples=[0]
    )
    playout_delay_ms: float = Field(
        description="Publisher who is mixed: ms that his audio waits in the jitter buffer", examples=[41.0]
    )
    playout_target_ms: float = Field(
        description="Publisher who is mixed: ms that it should wait, by how late his packets come", examples=[35.0]
    )
    accelerated_ms: float = Field(
        description="Publisher who is mixed: ms of audio taken out to play faster, by whole periods of pitch",
        examples=[120.5],
    )
    decelerated_ms: float = Field(
        description="Publisher who is mixed: ms of audio put in to play slower, by whole periods of pitch",
        examples=[140.25],
    )
    frames_recovered: int = Field(
        description="Publisher who is mixed: number of lost frames that in-band FEC brought back", examples=[12]
    )
    frames_from_red: int = Field(
        description="Publisher who is mixed: number of lost frames that redundant copies brought back", examples=[9]
    )
    frames_from_nack: int = Field(
        description="Publisher who is mixed: number of lost frames that were sent again in time", examples=[3]
    )
    packets_asked: int = Field(description="Publisher: number of packets that it was asked for again", examples=[4])
    frames_concealed: int = Field(
        description="Publisher who is mixed: number of lost or late frames that were made up", examples=[5]
    )
    packets_late: int = Field(
        description="Publisher who is mixed: number of packets that came too late to be heard", examples=[2]
    )


class ParticipantDocument(State):
    """A user who is connected."""

    user: Name = Field(description="Name of the user", examples=["ann"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1", examples=[2857740885])
    may_publish: bool = Field(description="Whether the user has a seat from which he may publish", examples=[True])
    muted_by: list[MuteSourceName] = Field(description="Who mutes him", examples=[["host"]])
    reconnecting: bool = Field(
        description="Whether the client has not been heard of for some seconds", examples=[False]
    )
    sessions: list[SessionDocument] = Field(description="At most one of each direction")


class ParticipantPage(State):
    """Participants by name, a page of them."""

    participants: list[ParticipantDocument] = Field(description="At most `limit`")
    next: str | None = Field(
        default=None, description="`cursor` of the next page; absent on the last", examples=["ann"]
    )


class WorkerState(State):
    """A thread that moves packets."""

    cpu_share: float = Field(description="Of one core, 0..1, over the last seconds", examples=[0.31])
    tick_late_p99_ms: float = Field(
        description="How late room ticks began over the last seconds, 99th percentile: ms that it lies below",
        examples=[0.5],
    )
    peers: int = Field(description="Number of sessions", examples=[224])
    rooms: int = Field(description="Number of rooms whose home this worker is", examples=[3])
    mixes: int = Field(description="Number of distinct mixes", examples=[9])
    packets_received: int = Field(description="Number of RTP packets since the start", examples=[1204411])
    packets_sent: int = Field(description="Number of RTP packets since the start", examples=[8841020])


class NodeState(State):
    """The server at a glance."""

    version: str = Field(description="Of the server", examples=["0.1.0"])
    uptime_s: float = Field(description="Seconds since the start", examples=[86400.5])
    draining: bool = Field(description="Whether it takes no new rooms", examples=[False])
    rooms: int = Field(description="Number of rooms", examples=[3])
    sessions: dict[DirectionName, int] = Field(
        description="Number of sessions by direction", examples=[{"publish": 12, "listen": 212}]
    )
    workers: list[WorkerState] = Field(description="One for each thread that moves packets")


# ---- tokens, moves


class TokenRequest(Document):
    """What a participant is to be allowed."""

    user: Name = Field(description="Who the participant is", examples=["ann"])
    may_publish: bool = Field(
        default=False,
        description="Takes effect only while the user also has a seat in the room",
        examples=[True],
    )
    may_listen: bool = Field(default=True, description="Whether it opens WHEP sessions", examples=[True])
    mode: Literal["mix", "select"] | None = Field(
        default=None, description="The only mode of WHEP that it allows", examples=["mix"]
    )
    once: bool = Field(
        default=False, description="Good for one WHIP and one WHEP session, not for another after it", examples=[False]
    )
    ttl_s: Annotated[int, Whole] = Field(
        default=DEFAULT_TTL_S, ge=1, le=MAX_TTL_S, description="Lifetime in seconds, at most a week", examples=[3600]
    )


class CaptureHints(State):
    """Constraints for the client's getUserMedia, by the room's scenario."""

    echo_cancellation: bool = Field(description="Its `echoCancellation`", examples=[True])
    noise_suppression: bool = Field(description="Its `noiseSuppression`", examples=[True])
    auto_gain_control: bool = Field(description="Its `autoGainControl`", examples=[True])
    channel_count: int = Field(description="Its `channelCount`: number of channels", examples=[1])


class TokenDocument(State):
    """A token for one user in one room."""

    token: str = Field(description="JWT for `Authorization: Bearer` of WHIP and WHEP", examples=["eyJhbGciOiJIUz…"])
    expires: int = Field(description="Unix time in seconds", examples=[1893456000])
    capture: CaptureHints = Field(description="How to open the microphone for this room")


class MoveRequest(Document):
    """Where a participant goes."""

    room: Name = Field(description="Name of the other room, which exists", examples=["table 2"])
