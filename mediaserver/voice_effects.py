"""Voice effects by name: what a speaker's voice may be turned into, as chains of stages that `kernels.chain`
resolves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

Chain: TypeAlias = Sequence[tuple[str, Mapping[str, float]]]
"""Stages by name with those of their params that are not the default, in the order in which sound goes through them."""

VOICE_EFFECTS: Mapping[str, Chain] = MappingProxyType(
    {
        "room": (("reverb", {"room": 0, "wet": 0.25, "decay_s": 0.5}),),
        "hall": (("reverb", {"room": 1, "wet": 0.3, "decay_s": 2.0}),),
        "plate": (("reverb", {"room": 2, "wet": 0.3, "decay_s": 1.4}),),
        "higher": (("pitch", {"semitones": 4}),),
        "lower": (("pitch", {"semitones": -4}),),
        "chipmunk": (("pitch", {"semitones": 9}),),
        "giant": (("pitch", {"semitones": -8}), ("reverb", {"room": 0, "wet": 0.15, "decay_s": 0.6})),
        "robot": (("robot", {}),),
        "telephone": (("telephone", {}),),
    }
)
"""No voice effect is an empty chain; it has no name."""
