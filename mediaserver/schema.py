"""What the control API says and is told, as JSON: shared by the server, its OpenAPI document and mediaserver.client.

Fields that are not known are refused, so that a misspelt one is noticed. Every string, list and object has a bound.
"""

import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mediaserver.matrix import MAX_GAIN_DB, MIN_GAIN_DB
from mediaserver.names import MAX_NAME_BYTES, valid_name

MAX_SEATS = 1000
MAX_LISTENERS = 20_000  # whose wishes one document can hold
MAX_WISHES = 64  # users that one listener hears otherwise; more would make rows long
MAX_METADATA_BYTES = 4096
MAX_ROOMS_PER_CALL = 1000
DEFAULT_TTL_S = 3600
MAX_TTL_S = 7 * 24 * 3600
DEFAULT_PAGE, MAX_PAGE = 100, 1000


def check_name(name: str) -> str:
    if not valid_name(name):
        raise ValueError(f"must be 1 to {MAX_NAME_BYTES} bytes of UTF-8 without control characters")
    return name


Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES), AfterValidator(check_name)]
GainDb = Annotated[float, Field(ge=MIN_GAIN_DB, le=MAX_GAIN_DB, allow_inf_nan=False)]
MuteSourceName = Literal["self", "host", "system"]
Seat = Annotated[int, Field(ge=0, lt=MAX_SEATS)]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


# ---- desired state: what is put is what is shown


class SpeakerDocument(Document):
    """A seat."""

    may_publish: bool = Field(default=True, description="false keeps the seat and its mutes but silences it")
    gain_db: GainDb = Field(default=0.0, description="For everybody, in dB, -60 (silence) to 12")
    seat: Seat | None = Field(default=None, description="Number of the seat, for those who show it", examples=[3])
    mutes: dict[MuteSourceName, bool] = Field(
        default_factory=dict,
        description="Who mutes the speaker; heard only when none is true. `self` is the participant's own",
        examples=[{"host": True}],
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


class ScenarioName(StrEnum):
    CHAT = "chat"
    KTV = "ktv"
    CALL = "call"


class MixDocument(Document):
    """How the room's mixes are encoded; what is left out follows the scenario."""

    stereo: bool | None = Field(default=None, description="Two channels")
    bitrate: int | None = Field(default=None, ge=6_000, le=510_000, description="bit/s", examples=[64000])
    ptime_ms: Literal[20, 40, 60] | None = Field(
        default=None, description="Length of a packet in ms; longer costs less and waits longer"
    )
    complexity: int | None = Field(
        default=None,
        ge=0,
        le=10,
        description="Of the Opus encoder: 9 sounds a little better in voice mode and costs twice as much as 5",
    )
    music: bool | None = Field(
        default=None, description="Opus's `audio` application instead of `voip`; soft sounds are kept"
    )


class LimitsDocument(Document):
    """Of this room; the server's own apply as well."""

    speakers: int | None = Field(default=None, ge=0, le=MAX_SEATS, description="Seats", examples=[16])
    listeners: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Listening sessions at a time", examples=[5000]
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
    mix: MixDocument = Field(default_factory=MixDocument)
    limits: LimitsDocument = Field(default_factory=LimitsDocument)
    scenario: ScenarioName = Field(
        default=ScenarioName.CHAT,
        strict=False,
        description="What the room is for: sets how mixes are encoded where `mix` says nothing, and hints for capture",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description=f"The room service's own, at most {MAX_METADATA_BYTES} bytes of JSON",
        examples=[{"title": "Evening talk"}],
    )
    e2ee: bool | None = Field(
        default=None,
        description="Payloads are end-to-end encrypted, so nothing is mixed. Settled when the room is made (false)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        seats = [speaker.seat for speaker in self.speakers.values() if speaker.seat is not None]
        if len(set(seats)) < len(seats):
            raise ValueError("two speakers have the same seat")
        try:
            size = len(json.dumps(self.metadata, ensure_ascii=False, allow_nan=False).encode())
        except (ValueError, RecursionError):
            raise ValueError("metadata must be JSON that is not nested deeply") from None
        if size > MAX_METADATA_BYTES:
            raise ValueError(f"metadata must be at most {MAX_METADATA_BYTES} bytes of JSON")
        return self


class Rooms(Document):
    """Many rooms at once, by name: for a room service that recovers."""

    rooms: dict[Name, RoomDocument] = Field(max_length=MAX_ROOMS_PER_CALL)


class PutResult(Document):
    status: int = Field(description="As if the room had been put by itself", examples=[201])
    etag: str | None = Field(default=None, description="Of the room's document, when it was put")
    problem: dict[str, Any] | None = Field(default=None, description="A problem document, when it was not")


class PutResults(Document):
    rooms: dict[str, PutResult]


# ---- what is: read only


class SpeakerState(SpeakerDocument):
    user: str = Field(examples=["alice"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1; it stays while the room lives")
    heard: bool = Field(description="Whether the user may be heard: he may publish and nobody mutes him")


class MixState(Document):
    """How the room's mixes are encoded now."""

    stereo: bool
    bitrate: int = Field(description="bit/s")
    ptime_ms: int
    complexity: int
    music: bool


class RoomState(Document):
    """A room at a glance."""

    name: str = Field(examples=["lobby"])
    etag: str = Field(description="Of the room's document", examples=['"k3v9x2m1.17"'])
    instance: str = Field(description="Tells the room from earlier and later ones of its name", examples=["k3v9x2m1"])
    scenario: ScenarioName
    mix: MixState
    e2ee: bool
    speakers: int = Field(description="Seats given")
    participants: int = Field(description="Connected users")
    publishing: int = Field(description="Publishing sessions")
    listening: int = Field(description="Listening sessions")
    talking: list[str] = Field(description="Users who speak now and are heard")
    fraction_lost: float = Field(description="RTP, 0..1: the mean over sessions of what each lost in its last interval")
    metadata: dict[str, Any]


class RoomPage(Document):
    rooms: list[RoomState]
    next: str | None = Field(default=None, description="`cursor` of the next page; absent on the last")


class SessionState(StrEnum):
    CONNECTING = "connecting"
    SECURING = "securing"
    CONNECTED = "connected"
    CLOSED = "closed"


DirectionName = Literal["publish", "listen"]


class SessionDocument(Document):
    id: str = Field(description="The last part of the session's address")
    direction: DirectionName = Field(description="As the client sees it: WHIP publishes, WHEP listens")
    state: SessionState
    quality: Literal["good", "low"] = Field(description="`low` while much is lost on the way")
    level_dbov: float = Field(description="Publisher: smoothed level, -127..0 dBov (RFC 6464)")
    speaking: bool
    fraction_lost: float = Field(description="RTP, 0..1. Publisher: last interval here; listener: its last report")
    packets_lost: int = Field(description="RTP. Publisher: of its stream, here; listener: of all slots, as it reports")
    jitter_ms: float = Field(description="RFC 3550 A.8. Publisher: measured here; listener: worst slot it reports")
    round_trip_ms: float | None = Field(default=None, description="By RTCP; absent before the first report that tells")
    packets_received: int = Field(description="Authenticated RTP packets from the client")
    bytes_received: int = Field(description="Their bytes, headers included")
    packets_sent: int = Field(description="RTP packets to the client")
    bytes_sent: int = Field(description="Their bytes, headers included")
    packets_retransmitted: int = Field(description="Listener: packets sent again that it asked for by NACK")
    playout_delay_ms: float = Field(description="Publisher who is mixed: how long his audio waits in the jitter buffer")
    frames_recovered: int = Field(description="Publisher who is mixed: lost frames that in-band FEC brought back")
    frames_concealed: int = Field(description="Publisher who is mixed: lost or late frames that were made up")
    packets_late: int = Field(description="Publisher who is mixed: packets that came too late to be heard")


class ParticipantDocument(Document):
    user: str = Field(examples=["ann"])
    csrc: int = Field(description="The CSRC of the user in RTP packets, 1 to 2^32-1")
    may_publish: bool = Field(description="Whether the user has a seat from which he may publish")
    muted_by: list[MuteSourceName]
    reconnecting: bool = Field(description="Whether the client has not been heard of for some seconds")
    sessions: list[SessionDocument] = Field(description="At most one of each direction")


class ParticipantPage(Document):
    participants: list[ParticipantDocument]
    next: str | None = Field(default=None, description="`cursor` of the next page; absent on the last")


class WorkerState(Document):
    cpu_share: float = Field(description="Of one core, 0..1, over the last seconds")
    tick_late_p99_ms: float = Field(description="99th percentile of how late room ticks began, over the last seconds")
    peers: int
    rooms: int = Field(description="Rooms whose home this worker is")
    mixes: int = Field(description="Distinct mixes")
    packets_received: int
    packets_sent: int


class NodeState(Document):
    """The server at a glance."""

    version: str
    uptime_s: float
    draining: bool
    rooms: int
    sessions: dict[DirectionName, int]
    workers: list[WorkerState]


# ---- tokens, moves


class TokenRequest(Document):
    user: Name = Field(examples=["ann"])
    may_publish: bool = Field(default=False, description="Takes effect only while the user also has a seat in the room")
    may_listen: bool = True
    mode: Literal["mix", "select"] | None = Field(default=None, description="The only mode of WHEP that it allows")
    once: bool = Field(default=False, description="Good for one WHIP and one WHEP session, not for another after it")
    ttl_s: int = Field(default=DEFAULT_TTL_S, ge=1, le=MAX_TTL_S, description="Lifetime in seconds")


class CaptureHints(Document):
    """Constraints for the client's getUserMedia, by the room's scenario."""

    echo_cancellation: bool
    noise_suppression: bool
    auto_gain_control: bool
    channel_count: int


class TokenDocument(Document):
    token: str = Field(description="JWT for `Authorization: Bearer` of WHIP and WHEP", examples=["eyJhbGciOiJIUz…"])
    expires: int = Field(description="Unix time in seconds", examples=[1893456000])
    capture: CaptureHints


class MoveRequest(Document):
    room: Name = Field(description="Where the participant goes; the room exists", examples=["table 2"])
