"""What a decoder's process says: a line of JSON for each of

{"report": "format", "container", "codec", "rate", "channels", "duration_s", "title"...}   once, before sound
{"report": "at", "frames"}                 how far it has come: at least once a second, unless it waits for input
{"report": "seek", "offset"}               the input is wanted from there (framing.py)
{"report": "cover", "bytes"}               a picture is in the output
{"report": "end", "frames", "damaged"}     all has been decoded; frames of 48 kHz
{"report": "error", "reason", "detail"}    and nothing follows
"""

import json
import os
import time

HEARTBEAT_S = 0.5


class Reports:
    """JSON lines to the parent. It reads as fast as they come, or kills this process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._next = 0.0

    def say(self, report: str, **members: object) -> None:
        os.write(self._fd, json.dumps({"report": report, **members}).encode() + b"\n")

    def alive(self, frames: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + HEARTBEAT_S
            self.say("at", frames=frames)
