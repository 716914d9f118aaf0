"""What is done to a speaker's voice before it is mixed: the room's care for speech, and the effect that he has. Pure.

A chain is a list of stages by name with the parameters that are not at their defaults; what they are and cost is
kernels/ to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

Chain = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]
"""((stage, ((parameter, value), ...)), ...), in the order in which they are run."""


class VoiceEffect(StrEnum):
    ROOM = "room"
    HALL = "hall"
    PLATE = "plate"
    HIGHER = "higher"
    LOWER = "lower"
    ROBOT = "robot"
    TELEPHONE = "telephone"


@dataclass(frozen=True, slots=True)
class Speech:
    """What is done to everybody's voice. target_lufs: the loudness that quiet and loud speakers are brought to
    (BS.1770), None for as they are."""

    high_pass: bool = False
    noise_suppression: bool = False
    gate: bool = False
    target_lufs: float | None = None


# Pitch by a fourth: less is hardly noticed, more is hardly understood.
_EFFECTS: Mapping[VoiceEffect, Chain] = {
    VoiceEffect.ROOM: (("reverb", (("room", 0.0), ("wet", 0.25), ("decay_s", 0.5))),),
    VoiceEffect.HALL: (("reverb", (("room", 1.0), ("wet", 0.3), ("decay_s", 2.0))),),
    VoiceEffect.PLATE: (("reverb", (("room", 2.0), ("wet", 0.35), ("decay_s", 1.4))),),
    VoiceEffect.HIGHER: (("pitch", (("semitones", 5.0),)),),
    VoiceEffect.LOWER: (("pitch", (("semitones", -5.0),)),),
    VoiceEffect.ROBOT: (("robot", ()),),
    VoiceEffect.TELEPHONE: (("telephone", ()),),
}


def chain_of(speech: Speech, effect: VoiceEffect | None) -> Chain:
    """Cleaned first, then brought to its loudness, and then played with."""
    chain: list[tuple[str, tuple[tuple[str, float], ...]]] = []
    if speech.high_pass:
        chain.append(("high_pass", ()))
    if speech.noise_suppression:
        chain.append(("denoise", ()))
    if speech.gate:
        chain.append(("gate", ()))
    if speech.target_lufs is not None:
        chain.append(("level", (("target_lufs", speech.target_lufs),)))
    return (*chain, *(_EFFECTS[effect] if effect else ()))
