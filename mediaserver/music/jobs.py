"""What a decoder's process is told to do, and by what names it gives up. Loads nothing, for the server's sake."""

import math
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a decoder gave up."""

    EMPTY = "empty"
    UNKNOWN_FORMAT = "unknown-format"
    NO_AUDIO = "no-audio"
    UNSUPPORTED_CODEC = "unsupported-codec"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    TOO_LONG = "too-long"
    HUGE_HEADER = "huge-header"
    TOO_MUCH_MEMORY = "too-much-memory"
    DEFECT = "defect"


class Output(StrEnum):
    RING = "ring"  # samples into a ring, as it empties
    MEMORY = "memory"  # samples into memory, as fast as they come
    COVER = "cover"  # the samples are only counted; a cover picture into memory


@dataclass(frozen=True, slots=True)
class Job:
    """piped: the input is a pipe with frames, else a file. size: bytes of the input, None when it is not known; a pipe
    that knows it can be asked for any place of it. max_s: more than that is an error. finish: the ring is told when all
    is in it."""

    output: Output
    piped: bool = False
    size: int | None = None
    start_s: float = 0.0
    max_s: float = math.inf
    finish: bool = True


class JobError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
