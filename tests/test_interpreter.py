"""Media needs no interpreter: while a Python thread of the server holds it, packets are forwarded as ever."""

import asyncio
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame

from tests.client import Listener, Speaker, assert_continuous, until
from tests.control import Control
from tests.server import Server

PITCH_HZ = 440
HOLD_S = 0.5
HOLDS = 3
# Of a packet from the speaker's to the listener's socket, both in this process: what a busy machine may add, and far
# less than a hold.
LATE_S = 0.1


class HeldServer(Server):
    """A server whose interpreter can be taken away from it."""

    def __init__(self, log: Path) -> None:
        program = [sys.executable, "-m", "tests.held_server"]
        super().__init__(log, "--workers", "1", program=program, stdin=subprocess.PIPE)

    def hold(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"%d\n" % (HOLD_S * 1e6))
        self.process.stdin.flush()

    @property
    def holds(self) -> list[tuple[float, float]]:
        """Begin and end of each hold that is over, as time.monotonic()."""
        return [(float(begin), float(end)) for begin, end in re.findall(rb"^held (\S+) (\S+)$", self.log, re.M)]


@pytest.fixture
def held_server(tmp_path: Path) -> Iterator[HeldServer]:
    server = HeldServer(tmp_path / "log")
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()
        assert server.process.stdin
        server.process.stdin.close()


def stamp(speaker: Speaker) -> list[float]:
    """When each packet from now on was given to the socket, filled as it happens."""
    times: list[float] = []
    next_frame = speaker.sender._next_encoded_frame

    async def stamped(codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        frame = await next_frame(codec)
        times.append(time.monotonic())
        return frame

    speaker.sender._next_encoded_frame = stamped  # type: ignore[method-assign]
    return times


async def delays(listener: Listener, speaker: Speaker, spoken: list[float]) -> list[tuple[float, float]]:
    """When each packet was spoken, and how long it took; the speaker ends here."""
    speaker.paused = True
    heard = listener.slots[0].packets
    await until(lambda: time.monotonic() - max(spoken[-1], heard[-1].at) > 3 * LATE_S)
    assert_continuous(heard)  # so they can be counted off from the end
    arrivals = [packet.at for packet in heard][-len(spoken) :]
    return [(at, arrival - at) for at, arrival in zip(spoken, arrivals, strict=True)]


async def test_packets_are_forwarded_in_time_while_a_thread_holds_the_interpreter(
    held_server: HeldServer, room: str
) -> None:
    async with (
        Control(held_server.url) as control,
        await control.speak(room, "ann", PITCH_HZ) as ann,
        await control.listen(room, "eve", slots=1) as eve,
    ):
        await asyncio.gather(ann.connected(), eve.connected())
        await until(lambda: len(eve.slots[0].packets) > 5)
        spoken = stamp(ann)
        await until(lambda: len(spoken) > 50)
        for number in range(HOLDS):
            held_server.hold()
            await until(lambda number=number: held_server.log.count(b"holding") > number)  # type: ignore[misc]
            asked = time.monotonic()
            assert (await control.http.get("/healthz")).status_code == 200
            assert time.monotonic() - asked > HOLD_S / 2, "what needs the interpreter had to wait"
        await until(lambda: len(held_server.holds) == HOLDS)  # the last one may still be on its way to the log
        holds = held_server.holds
        assert [end - begin > HOLD_S for begin, end in holds] == [True] * HOLDS

        while_held: list[float] = []
        otherwise: list[float] = []
        for at, delay in await delays(eve, ann, spoken):
            (while_held if any(begin < at < end for begin, end in holds) else otherwise).append(delay)
        assert len(while_held) > HOLDS * HOLD_S * 50 / 2
        assert max(while_held) < LATE_S
        assert statistics.median(while_held) < statistics.median(otherwise) + LATE_S / 10
        # The server's own figures: from a packet's arrival to the system call that sent it.
        count = await control.metric("mediaserver_residence_seconds_count")
        assert count >= len(spoken)
        assert await control.metric("mediaserver_residence_seconds_bucket", le=str(LATE_S)) == count
