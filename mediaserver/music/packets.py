"""A container's packets and frames, from any place in it on, whatever is damaged."""

from collections.abc import Iterator
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from mediaserver.music.formats import RATE, UNINDEXED
from mediaserver.music.inputs import Input, SeekableInput
from mediaserver.music.jobs import JobError, Reason

# In a row. A stream that lost a second has fewer; a file that is something else gives up soon.
MAX_DAMAGED = 200
# Decoded before the place that was asked for: an AAC decoder, or MP3's bit reservoir, needs some frames to be right.
PREROLL_S = 0.25


def frames_from(
    container: InputContainer, stream: AudioStream, start_s: float, source: Input
) -> Iterator[tuple[AudioFrame | None, int]]:
    """Decoded frames from this place on, exactly, and how many packets before each were damaged."""
    base = float(stream.time_base or 1 / RATE)
    origin = (stream.start_time or 0) * base
    place = start_s + origin
    if start_s and isinstance(source, SeekableInput) and not _is_walked(container, stream, source):
        container.seek(max(0, int((place - PREROLL_S) / base)), stream=stream, backward=True)
    in_a_row = lost = 0
    for packet in _packets(container, stream):
        if packet is None:
            lost += 1
            continue
        if start_s and packet.pts is not None and packet.pts * base < place - PREROLL_S:
            continue
        try:
            decoded = packet.decode()
        except (av.FFmpegError, ValueError):
            lost += 1
            in_a_row += 1
            if in_a_row > MAX_DAMAGED:
                raise JobError(Reason.DAMAGED, f"{in_a_row} packets in a row could not be decoded.") from None
            continue
        for frame in decoded:
            in_a_row = 0
            if start_s:
                if frame.pts is None:
                    continue  # of the preroll: a page of Ogg says the place of its last packet alone
                begin = frame.pts * float(frame.time_base or base)
                skip = round((place - begin) * frame.sample_rate)
                if skip >= frame.samples:
                    continue
                start_s = 0.0
                yield _behind(frame, skip) if skip > 0 else frame, lost
            else:
                yield frame, lost
            lost = 0


def _packets(container: InputContainer, stream: AudioStream) -> "Iterator[Packet[AudioStream] | None]":
    """The stream's packets, and None where there was something that could not be read."""
    failures = 0
    while failures <= MAX_DAMAGED:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
            return
        except (av.FFmpegError, IndexError):  # the latter of a stream that began later than all others
            failures += 1
            yield None
    raise JobError(Reason.DAMAGED, f"Nothing could be read {failures} times in a row.")


def _is_walked(container: InputContainer, stream: AudioStream, source: SeekableInput) -> bool:
    """Whether the place is found by walking there: exact, and quick when the bytes are at hand."""
    name = container.format.name
    # After a seek in Ogg, FFmpeg counts FLAC from a place that is some frames off.
    is_unsure = name in UNINDEXED or (name == "ogg" and stream.codec_context.name == "flac")
    return is_unsure and source.is_at_hand


def _behind(frame: AudioFrame, skip: int) -> AudioFrame:
    """The frame without its first samples."""
    data: Any = frame.to_ndarray()
    kept = data[:, skip:] if frame.format.is_planar else data[:, skip * frame.layout.nb_channels :]
    rest = AudioFrame.from_ndarray(np.ascontiguousarray(kept), frame.format.name, frame.layout.name)
    rest.sample_rate = frame.sample_rate
    return rest
