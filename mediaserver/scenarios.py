"""What a room is for sets how its mixes are encoded and how its speakers should capture their voices. Pure.

| scenario | mix                                          | capture                                              |
|----------|----------------------------------------------|------------------------------------------------------|
| `chat`   | mono, 48 kb/s, voice                         | echo cancellation, noise suppression, automatic gain |
| `ktv`    | stereo, 96 kb/s, music: soft sounds are kept | stereo and untouched: singers wear headphones        |
| `call`   | mono, 32 kb/s, voice                         | echo cancellation, noise suppression, automatic gain |

Music makes way for speech by 12 dB, but not for singers.
"""

from dataclasses import dataclass
from enum import StrEnum

from mediaserver.commands import Mix


class Scenario(StrEnum):
    CHAT = "chat"
    KTV = "ktv"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Capture:
    """Constraints for getUserMedia, under their names there (Media Capture and Streams), in snake case."""

    echo_cancellation: bool = True
    noise_suppression: bool = True
    auto_gain_control: bool = True
    channel_count: int = 1


# Music 12 dB below what it was is still heard in the pauses and no longer masks consonants.
DUCKING_DB = 12.0

MIXES = {
    Scenario.CHAT: Mix(ducking_db=DUCKING_DB),
    # A singer's own packets would never do: they are mono, or he is not alone with the music.
    Scenario.KTV: Mix(stereo=True, bitrate=96_000, music=True, passthrough=False),
    Scenario.CALL: Mix(bitrate=32_000, ducking_db=DUCKING_DB),
}
CAPTURES = {
    Scenario.CHAT: Capture(),
    Scenario.KTV: Capture(False, False, False, 2),
    Scenario.CALL: Capture(),
}
