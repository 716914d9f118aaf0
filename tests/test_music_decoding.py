"""What comes out of a decoder's process: the right sound at the right place, or a named error, and never more."""

import asyncio
import io
import os
import random
import signal
import struct
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest

from mediaserver.music.children import REPORTS_BURST, Child, ChildError, Children, _Server
from mediaserver.music.formats import clean_tag
from mediaserver.music.framing import frame
from mediaserver.music.inputs import MAX_HEAD
from mediaserver.music.jobs import Job, Output
from mediaserver.music.sandbox import Bounds
from tests.clips import FORMATS, Samples, chirp, encode, level_db, pitch_hz, tone
from tests.decoders import BOUNDS, CAPACITY, Heard, Piped, checked, decode, decoders, drained, file_of, until
from tests.ring import Ring

RATE = 48_000
EVERY = [
    (form, rate, layout) for form, (_, _, rates, layouts) in FORMATS.items() for rate in rates for layout in layouts
]
TAGS = {"title": "Ein Lied", "artist": "Jemand", "album": "Alles"}


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    async with decoders() as found:
        yield found


async def test_every_format_comes_out_at_its_pitch_level_and_length(children: Children) -> None:
    for form, rate, layout in EVERY:
        found = await decode(children, encode(tone(440, 2, rate), form, rate, layout))
        name = f"{form} {rate} {layout}"
        assert found.error is None, (name, found.heard.reports)
        assert found.heard.gone.result() == 0, name
        # AAC in ADTS and in TS says nothing of the encoder's priming and padding: some 2,048 samples of its rate.
        slack = 0.12 if "aac" in FORMATS[form][1] or form == "ogg vorbis" else 0.001
        assert abs(len(found.samples) / RATE - 2) < slack, (name, len(found.samples))
        assert found.heard.of("end")[0]["frames"] == len(found.samples)
        for side in (0, 1):
            middle = found.samples[RATE // 2 : RATE * 3 // 2, side]
            assert abs(pitch_hz(middle) - 440) < 1, name
            # Full scale of every channel stays full scale: 5.1 is made softer by what its channels may add up to.
            assert abs(level_db(middle) - 20 * np.log10(0.5 / np.sqrt(2))) < 0.6, (name, level_db(middle))


async def test_sides_stay_sides(children: Children) -> None:
    left = np.zeros((2, RATE), np.float32)
    left[0] = tone(440, 1, RATE)
    found = await decode(children, encode(left, "flac", RATE, "stereo"))
    assert level_db(found.samples[:, 0]) > -10
    assert level_db(found.samples[:, 1]) < -90


@pytest.mark.parametrize("form", ["mp3", "m4a", "adts", "ogg opus", "ogg flac", "flac", "wav", "mpegts"])
async def test_a_place_that_is_asked_for_is_found_to_a_few_milliseconds(children: Children, form: str) -> None:
    rate = 48_000 if form == "ogg opus" else 44_100
    data = encode(chirp(8, rate), form, rate, "stereo")
    whole = (await decode(children, data)).samples[:, 0]
    for start_s in (0.5, 3.0, 6.789):
        found = await decode(children, data, start_s=start_s)
        begin = round(start_s * RATE)
        assert abs(len(found.samples) - (len(whole) - begin)) < 0.01 * RATE, (form, start_s)
        assert abs(offset_of(found.samples[4800:9600, 0], whole) - begin - 4800) < 0.002 * RATE, (form, start_s)


def offset_of(part: Samples, whole: Samples) -> int:
    """Where in the whole this part is."""
    size = len(whole) + len(part)
    spectrum = np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size))
    return int(np.argmax(np.fft.irfft(spectrum, size)[: len(whole)]))


async def test_a_place_behind_the_end_is_the_end(children: Children) -> None:
    found = await decode(children, encode(tone(440, 1, RATE), "flac"), start_s=100)
    assert found.error is None
    assert len(found.samples) == 0
    assert found.heard.of("end")


async def test_tags_are_read_and_cleaned(children: Children) -> None:
    for form in ("mp3", "m4a", "flac", "ogg opus"):
        found = await decode(children, encode(tone(440, 0.5, RATE), form, tags=TAGS))
        assert {name: found.format.get(name) for name in TAGS} == TAGS, form
    assert clean_tag("a\x00\u2028b\n c\u202e" + "x" * 9999) == "a b c " + "x" * 194


async def test_a_stream_is_decoded_as_it_comes(children: Children) -> None:
    data = encode(tone(440, 3, RATE), "mp3", RATE, "stereo")
    decoder = await Piped.start(children)
    feeding = asyncio.create_task(decoder.feed(data))
    await until(lambda: decoder.ring.buffered > RATE // 2)
    assert decoder.heard.of("format")[0]["duration_s"] is None
    assert not decoder.ring.finished
    draining = asyncio.create_task(drained(decoder.child, decoder.ring, decoder.heard))
    await feeding
    await decoder.end()
    samples = await draining
    decoder.close()
    assert decoder.ring.finished
    assert abs(len(samples) / RATE - 3) < 0.05
    assert abs(pitch_hz(samples[RATE : 2 * RATE, 0]) - 440) < 1


async def test_a_pipe_that_knows_its_size_can_be_asked_for_any_place_of_it(children: Children) -> None:
    """As of a server that has ranges: an MP4 file whose index is at its end, from its middle."""
    data = encode(chirp(20, 44_100), "m4a", 44_100, "stereo")
    whole = (await decode(children, data)).samples[:, 0]
    decoder = await Piped.start(children, size=len(data), start_s=12.0)
    seeks: asyncio.Queue[int] = asyncio.Queue()
    decoder.heard.listen = lambda report: seeks.put_nowait(report["offset"]) if report["report"] == "seek" else None
    draining = asyncio.create_task(drained(decoder.child, decoder.ring, decoder.heard))
    asked = []

    async def feed() -> None:
        place = 0
        while True:
            while not seeks.empty():
                place = seeks.get_nowait()
                asked.append(place)
                decoder.generation += 1
            await decoder.feed(data[place : place + 5000])
            place += 5000
            if place >= len(data):
                await decoder.end()
                place = await seeks.get()
                asked.append(place)
                decoder.generation += 1

    feeding = asyncio.create_task(feed())
    samples = await draining
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    decoder.close()
    assert asked
    assert decoder.heard.error is None
    assert abs(offset_of(samples[:4800, 0], whole) - 12 * RATE) < 0.002 * RATE


async def test_a_full_ring_is_waited_for(children: Children) -> None:
    data, ring, heard = encode(tone(440, 5, RATE)), Ring(CAPACITY), Heard()
    fd = file_of(data)
    child = await children.start(Job(Output.RING, size=len(data)), BOUNDS, [fd, ring.fd], heard)
    os.close(fd)
    await until(lambda: len(heard.of("at")) >= 3)
    assert ring.buffered == CAPACITY
    assert not ring.finished
    assert abs(len(await drained(child, ring, heard)) / RATE - 5) < 0.001


# What is no music


def video() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


NOISE = np.random.default_rng(3).bytes(200_000)
ID3_OF_HUGE = b"ID3\x03\x00\x00" + bytes((20_000_000 >> shift) & 0x7F for shift in (21, 14, 7, 0))
BAD = {
    "empty": (b"", "empty"),
    "one byte": (b"R", "unknown-format"),
    "noise": (NOISE, "unknown-format"),
    "zeros": (bytes(300_000), "unknown-format"),
    "a page": (b"<!DOCTYPE html><html><body>" + b"<p>404</p>" * 1000, "unknown-format"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + NOISE, "unknown-format"),
    "a list of other files": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "unknown-format"),
    "ffmpeg's own list": (b"ffconcat version 1.0\nfile /etc/passwd\n", "unknown-format"),
    "film without sound": (video(), "no-audio"),
    "a container of another kind": (encode(tone(440, 1, RATE), "matroska"), "unknown-format"),
    "a codec that is not on the list": (encode(tone(440, 1, RATE), "wav adpcm"), "unsupported-codec"),
    "a tag and nothing else": (ID3_OF_HUGE + bytes(MAX_HEAD + 5_000_000), "huge-header"),
    "mp4 without its end": (encode(tone(440, 3, RATE), "m4a")[:20_000], "unknown-format"),
    "flac without its end": (encode(tone(440, 9, RATE), "flac")[:20_000], "truncated"),
    "wav whose header is all": (encode(tone(440, 9, RATE), "wav")[:44], None),
    "too long": (encode(tone(440, 9, RATE), "flac"), "too-long"),
    "an mp4 box of 4 GiB": (struct.pack(">I4s", 24, b"ftypM4A ") + bytes(16) + b"\xff\xff\xff\xffmoov" + NOISE, None),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_music_is_called_by_its_name(children: Children, name: str) -> None:
    data, reason = BAD[name]
    heard = await checked(children, data, max_s=5 if name == "too long" else 60)
    assert heard.gone.result() == 0
    assert heard.error is not None
    assert heard.error != "defect", heard.reports
    assert reason in (None, heard.error), heard.reports
    assert not heard.of("end")


async def test_a_file_under_another_name_is_what_it_is(children: Children) -> None:
    """Nobody asks for the name."""
    for form in ("mp3", "flac", "ogg opus"):
        heard = await checked(children, encode(tone(440, 1, RATE), form))
        assert heard.error is None
        assert FORMATS[form][0] in heard.of("format")[0]["container"]


async def test_damage_in_the_middle_is_counted_and_played_over(children: Children) -> None:
    data = bytearray(encode(tone(440, 6, RATE), "mp3", RATE, "stereo"))
    data[40_000:44_000] = NOISE[:4000]
    found = await decode(children, bytes(data))
    assert found.error is None
    assert len(found.samples) > 5 * RATE
    assert np.all(np.isfinite(found.samples))
    assert np.max(np.abs(found.samples)) <= 16


@pytest.mark.parametrize("form", ["mp3", "m4a", "ogg opus", "flac", "wav", "mpegts"])
async def test_files_with_damage_anywhere_never_break_a_decoder(children: Children, form: str) -> None:
    generator = np.random.default_rng(5)
    good = encode(tone(440, 1, RATE), form, tags=TAGS)
    for _ in range(8):
        data = bytearray(good)
        for place in generator.integers(0, min(len(data), 3000), 20):
            data[place] = generator.integers(0, 256)
        heard = await checked(children, bytes(data), max_s=60)
        assert heard.gone.result() == 0
        assert heard.error != "defect", heard.reports
        assert heard.error or heard.of("end")


# The process


async def test_a_decoder_can_open_nothing() -> None:
    async with decoders("tests.sandboxed:Prober") as children:
        ring = Ring(CAPACITY)
        data, heard = encode(tone(440, 0.1, RATE)), Heard()
        fd = file_of(data)
        await children.start(Job(Output.RING, size=len(data)), Bounds(30, 0), [fd, ring.fd], heard)
        os.close(fd)
        await heard.gone
    outcome = {name: bool(value) for name, value in zip(PROBES, ring.frames[: len(PROBES), 0], strict=True)}
    assert outcome.pop("runs")
    if os.geteuid() == 0:
        assert outcome.pop("is nobody")
    else:
        del outcome["is nobody"]
    assert not any(outcome.values()), outcome


PROBES = ("runs", "is nobody", "file", "directory", "socket", "pipe", "fork", "much memory", "memory file")


async def test_a_decoder_that_is_killed_is_reported(children: Children) -> None:
    decoder = await Piped.start(children)
    await decoder.feed(encode(tone(440, 1, RATE), "mp3"))
    os.kill(decoder.child.pid, signal.SIGKILL)
    assert await decoder.heard.gone == -signal.SIGKILL
    assert decoder.child.is_gone
    assert children.count == 0
    decoder.child.kill()
    decoder.close()


async def test_a_decoder_that_has_no_more_cpu_time_is_ended(children: Children) -> None:
    data, heard = encode(tone(440, 600, 8000), "wav", 8000), Heard()
    fd = file_of(data * 8)
    await children.start(Job(Output.COVER, size=len(data)), Bounds(0, 1000), [fd, fd], heard)
    os.close(fd)
    assert await heard.gone in (-signal.SIGXCPU, -signal.SIGKILL)


@pytest.mark.parametrize(
    "line",
    [b"x" * 10_000, b"not json\n", b"[1]\n", b"[" * 4000 + b"\n", b'{"report": 1}\n', b'{"report": "at"}\n' * 900],
)
async def test_a_decoder_that_says_what_is_no_report_is_ended(line: bytes) -> None:
    async with decoders("tests.sandboxed:Babbler") as children:
        ring = Ring(CAPACITY)
        ring.frames.view(np.uint8).reshape(-1)[: len(line)] = np.frombuffer(line, np.uint8)
        ring.memory[32:40] = struct.pack("<Q", len(line))
        data, heard = encode(tone(440, 1, RATE)), Heard()
        fd = file_of(data)
        await children.start(Job(Output.RING, size=len(data)), BOUNDS, [fd, ring.fd], heard)
        os.close(fd)
        assert await heard.gone == -signal.SIGKILL
        assert len(heard.reports) < 600


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_a_decoder_says_is_heard_as_reports_or_ends_it(seed: int) -> None:
    """Good reports, cut, joined, changed and drowned in noise, in pieces of any size: all that gets through is a
    dictionary that names itself, no more of them than may be, and one "gone" at the end."""
    chance = random.Random(seed)
    good = [b'{"report": "format", "duration_s": 3.5}', b'{"report": "seek", "offset": 7}', b'{"report": "gone"}']
    said = b""
    for _ in range(chance.randrange(1, 800)):
        line = bytearray(chance.choice(good))
        match chance.randrange(1000 if seed % 2 else 8):
            case 0:
                line[chance.randrange(len(line))] = chance.randrange(256)
            case 1:
                line = bytearray(chance.randbytes(chance.randrange(1, 6000)))
            case 2:
                del line[chance.randrange(len(line)) :]
        said += bytes(line) + (b"\n" if chance.random() < 0.95 else b"")
    heard: list[Any] = []
    read, write = os.pipe()
    child = Child(0, -1, read, heard.append)
    while said:
        size = chance.randrange(1, 4000)
        piece, said = said[:size], said[size:]
        try:
            os.write(write, piece)
        except BrokenPipeError:
            break  # it has been ended
        for _ in range(2):
            await asyncio.sleep(0)
    os.close(write)
    child.ended(0)
    assert child.is_gone
    assert all(isinstance(report, dict) and isinstance(report["report"], str) for report in heard)
    assert [report["report"] for report in heard].count("gone") == 1
    assert heard[-1] == {"report": "gone", "status": 0}
    assert len(heard) <= REPORTS_BURST + 60


async def test_a_decoder_that_begins_when_nobody_wants_it_any_more_is_ended(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fill its ring and wait for ever."""
    began = _Server._began

    def cancel_then(server: _Server, number: int, pid: int, pidfd: int) -> None:
        began(server, number, pid, pidfd)
        starting.cancel()

    monkeypatch.setattr(_Server, "_began", cancel_then)
    ring, heard = Ring(CAPACITY), Heard()
    data = encode(tone(440, 30, RATE))
    fd = file_of(data)
    starting = asyncio.ensure_future(children.start(Job(Output.RING, size=len(data)), BOUNDS, [fd, ring.fd], heard))
    with pytest.raises(asyncio.CancelledError):
        await starting
    os.close(fd)
    assert await heard.gone == -signal.SIGKILL
    assert children.count == 0


async def test_when_the_fork_server_dies_its_decoders_do_and_the_next_job_starts_another(children: Children) -> None:
    decoder = await Piped.start(children)
    parent = parent_of(decoder.child.pid)
    os.kill(parent, signal.SIGKILL)
    assert await decoder.heard.gone == -signal.SIGKILL
    decoder.close()
    assert (await decode(children, encode(tone(440, 0.1, RATE)))).error is None


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[1])


async def test_decoders_that_cannot_be_started_are_an_error() -> None:
    async with decoders("tests.ring:Nothing") as children:
        with pytest.raises(ChildError):
            await decode(children, b"")


async def test_a_frame_is_a_header_and_its_bytes() -> None:
    assert frame(1, b"ab") == b"\x01\0\0\0\x02\0\0\0ab"
