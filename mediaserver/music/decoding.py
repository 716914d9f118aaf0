"""What happens in a decoder's process: bytes in, 48 kHz stereo floats out, and a line of JSON for whatever is to say.

    descriptors: 0 input   a file that was opened for us, or a pipe with frames (framing.py)
                 1 reports a pipe (reports.py)
                 2 nowhere
                 3 output  the ring's memory, or memory for samples or a cover picture

Nothing here can open anything: sandbox.py has seen to that before run() is called.
"""

import io
import mmap
import os
import wave

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from mediaserver.music.formats import (
    CODECS,
    CONTAINERS,
    HONEST,
    MAX_COVER,
    OPTIONS,
    RATE,
    TAGS,
    clean_tag,
    picture_type,
)
from mediaserver.music.inputs import MAX_HEAD, Input, SeekableInput
from mediaserver.music.jobs import Job, JobError, Output, Reason
from mediaserver.music.packets import frames_from
from mediaserver.music.reports import Reports
from mediaserver.music.sinks import Sink, Writer, sink_of
from mediaserver.music.stereo import Stereo

REPORTS, OUTPUT = 1, 3


def warm_up() -> None:
    """Makes everything that decoding loads late, and the decoders' tables, before the fork."""
    av.logging.set_level(None)
    for name in CODECS:
        try:
            av.CodecContext.create(name, "r")
        except (av.FFmpegError, ValueError):
            continue  # not in this build of FFmpeg
    clip = io.BytesIO()
    with wave.open(clip, "wb") as file:
        file.setparams((2, 2, 44_100, 0, "NONE", ""))
        file.writeframes(bytes(44_100))
    clip.seek(0)
    stereo = Stereo()
    with av.open(clip, "r", options=dict(OPTIONS), metadata_errors="replace") as container:
        for frame in container.decode(container.streams.audio[0]):
            for _ in stereo.convert(frame):
                pass
    list(stereo.flush())


def run(job: Job, output: Writer | mmap.mmap | None) -> None:
    """Does the job; whatever goes wrong is a report."""
    reports = Reports(REPORTS)
    source = Input(job, reports) if job.piped and job.size is None else SeekableInput(job, reports)
    try:
        try:
            _decode(job, source, sink_of(job, output, reports), reports)
        except JobError:
            raise
        except MemoryError:
            raise JobError(Reason.TOO_MUCH_MEMORY, "The file needs more memory than a decoder has.") from None
        except (av.FFmpegError, OSError, ValueError, EOFError) as error:
            raise _named(error, source) from None
    except JobError as error:
        reports.say("error", reason=error.reason, detail=str(error))
    except BrokenPipeError:
        return
    except Exception as error:  # a bug of ours; the parent logs it
        reports.say("error", reason=Reason.DEFECT, detail=f"The decoder failed: {type(error).__name__}.")


def _named(error: Exception, source: Input) -> JobError:
    if source.went_too_far:
        return JobError(Reason.HUGE_HEADER, f"No format was found in the first {MAX_HEAD} bytes.")
    if source.was_empty:
        return JobError(Reason.EMPTY, "There are no bytes in it.")
    if getattr(error, "errno", None) == 12:
        return JobError(Reason.TOO_MUCH_MEMORY, "The file needs more memory than a decoder has.")
    return JobError(Reason.UNKNOWN_FORMAT, "It is in no format that is decoded, or damaged from its beginning.")


def _decode(job: Job, source: Input, sink: Sink, reports: Reports) -> None:
    container = av.open(source, "r", options=dict(OPTIONS), metadata_errors="replace")
    stream = _sound_of(container, job, source)
    name, duration_s = container.format.name, _duration_s(container, stream, source)
    reports.say(
        "format",
        container=name,
        codec=stream.codec_context.name,
        rate=stream.codec_context.sample_rate,
        channels=stream.codec_context.channels,
        duration_s=duration_s,
        **_tags(container, stream),
    )
    if job.output is Output.COVER:
        _save_cover(container, reports)
    frames, damaged = 0, 0
    most = job.max_s * RATE
    stereo = Stereo()
    for frame, lost in frames_from(container, stream, job.start_s, source):
        damaged += lost
        for samples in [] if frame is None else stereo.convert(frame):
            frames += len(samples)
            if frames > most:
                raise JobError(Reason.TOO_LONG, f"It is longer than {job.max_s:g} s.")
            sink.put(samples)
            reports.alive(frames)
    for samples in stereo.flush():
        frames += len(samples)
        if frames <= most:
            sink.put(samples)
    if not frames and not job.start_s:
        raise JobError(Reason.DAMAGED, "Nothing in it could be decoded.")
    sink.end()
    expected = (duration_s or 0.0) - job.start_s
    cut = name in HONEST and frames / RATE < 0.98 * expected - 0.2 and not (job.piped and job.size is None)
    if cut and job.output is Output.COVER:
        raise JobError(Reason.TRUNCATED, f"It ends after {frames / RATE:.1f} s of {expected:.1f} s.")
    reports.say("end", frames=frames, damaged=damaged + cut)


def _sound_of(container: InputContainer, job: Job, source: Input) -> AudioStream:
    """The stream to decode. JobError when the file has none that is decoded."""
    if source.went_too_far:
        raise JobError(Reason.HUGE_HEADER, f"The first {MAX_HEAD} bytes are no sound yet.")
    if container.format.name not in CONTAINERS:
        raise JobError(Reason.UNKNOWN_FORMAT, "It is in no format that is decoded.")
    if not container.streams.audio:
        raise JobError(Reason.NO_AUDIO, "There is no sound in it.")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None or context.name not in CODECS:
        raise JobError(Reason.UNSUPPORTED_CODEC, "Its sound is in a codec that is not decoded.")
    context.thread_count = 1
    for other in container.streams:
        if other is not stream and not (job.output is Output.COVER and other.disposition & Disposition.attached_pic):
            other.discard = Discard.all
    source.known()
    return stream


def _duration_s(container: InputContainer, stream: AudioStream, source: Input) -> float | None:
    """What the file says; None for a stream that cannot know."""
    if not isinstance(source, SeekableInput):
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration and container.duration > 0 else None


def _tags(container: InputContainer, stream: AudioStream) -> dict[str, str]:
    found = {name.lower(): value for name, value in [*stream.metadata.items(), *container.metadata.items()]}
    return {name: clean_tag(found[name]) for name in TAGS if clean_tag(found.get(name, ""))}


def _save_cover(container: InputContainer, reports: Reports) -> None:
    """Attached pictures come before all sound, each in one packet."""
    pictures = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
    if not pictures:
        return
    for packet in container.demux(pictures[0]):
        data = bytes(packet)
        if data:
            if len(data) <= MAX_COVER and picture_type(data) is not None:
                os.pwrite(OUTPUT, data, 0)
                reports.say("cover", bytes=len(data))
            break
