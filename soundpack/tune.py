"""A tune to try players with: 44 s for a plucked string, a bass, a pad and brushes, in stereo. It is our own, so nobody
else has rights in it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from soundpack.loudness import levelled
from soundpack.shaping import RATE, Sound, add, band, decaying, ending, in_a_room, ramped, shaped, times

TITLE, ARTIST = "Lantern Walk", "Voice rooms"
PLACE = Path(__file__).parent.parent / "mediaserver" / "demo" / "lantern_walk.ogg"
BEAT_S = 60 / 96
# A bar each: the bass's MIDI note, and the chord above it.
CHORDS = (
    (45, (57, 60, 64, 69)),  # a minor
    (41, (57, 60, 65, 69)),  # F
    (48, (55, 60, 64, 67)),  # C
    (43, (55, 59, 62, 67)),  # G
)
# Of the string, in eighths of a bar: which note of the chord; and in some bars a melody above it (MIDI notes, 0: rest).
FIGURE = (0, 2, 1, 3, 2, 1, 3, 2)
MELODY = (
    (76, 0, 0, 74, 72, 0, 71, 0),
    (69, 0, 0, 72, 0, 0, 74, 0),
    (76, 0, 79, 0, 76, 74, 72, 0),
    (74, 0, 0, 71, 67, 0, 0, 0),
)
BARS = 16
SECONDS = BARS * 4 * BEAT_S + 4.0


def hertz(note: int) -> float:
    """Of a MIDI note."""
    return float(440 * 2 ** ((note - 69) / 12))


def _string(note: int, seconds: float = 1.6) -> Sound:
    """Plucked at a fifth of its length: harmonics by that place, the high ones die first."""
    t, f = times(seconds), hertz(note)
    partials = range(1, max(2, min(14, int(9000 / f))))
    tone = sum(
        np.sin(np.pi * k / 5) / k**1.3 * np.sin(2 * np.pi * k * f * t) * decaying(2.2 / k**0.7, seconds)
        for k in partials
    )
    return ramped(np.asarray(tone), 0.004)


def _bass(note: int, seconds: float) -> Sound:
    t = times(seconds)
    tone = np.sin(2 * np.pi * hertz(note) * t) + 0.35 * np.sin(4 * np.pi * hertz(note) * t)
    return ramped(np.asarray(tone * decaying(2.5, seconds)), 0.01)


def _pad(notes: tuple[int, ...], seconds: float, detune: float) -> Sound:
    """Soft voices a little out of tune with those of the other side."""
    t = times(seconds)
    tone = sum(
        np.sin(2 * np.pi * hertz(note) * detune * t + note) + 0.3 * np.sin(4 * np.pi * hertz(note) * t)
        for note in notes
    )
    return ramped(np.asarray(tone), min(0.6, seconds / 3))


def _brush(random: np.random.Generator) -> Sound:
    return ramped(shaped(random.normal(size=RATE // 8), band(2500, 9000)) * decaying(0.12, 1 / 8), 0.003)


def synthesise() -> tuple[Sound, Sound]:
    """Left and right, 48 kHz."""
    random = np.random.default_rng(12)
    left, right = np.zeros(round(SECONDS * RATE)), np.zeros(round(SECONDS * RATE))

    def put(sound: Sound, at_s: float, gain: float, pan: float) -> None:
        """pan: 0 is left, 1 right, at constant power."""
        add(left, sound, at_s, gain * float(np.cos(pan * np.pi / 2)))
        add(right, sound, at_s, gain * float(np.sin(pan * np.pi / 2)))

    for bar in range(BARS):
        at = bar * 4 * BEAT_S
        root, chord = CHORDS[bar % 4]
        for side, detune in ((0.1, 0.9985), (0.9, 1.0015)):
            put(_pad(chord[:3], 4 * BEAT_S + 0.5, detune), at, 0.05, side)
        for beat in (0, 2.5):
            put(_bass(root - 12 if beat else root, 1.4), at + beat * BEAT_S, 0.4, 0.5)
        for eighth, place in enumerate(FIGURE):
            put(_string(chord[place]), at + eighth * BEAT_S / 2, 0.3 + 0.08 * (eighth % 4 == 0), 0.32)
        if bar >= 4:
            for beat in range(4):
                put(_brush(random), at + (beat + 0.5) * BEAT_S, 0.06 + 0.05 * (beat % 2), 0.6)
        if 4 <= bar < 8 or bar >= 12:
            for eighth, note in enumerate(MELODY[bar % 4]):
                if note:
                    put(_string(note, 2.2), at + eighth * BEAT_S / 2, 0.5, 0.68)
    put(_bass(45, 3.0), BARS * 4 * BEAT_S, 0.4, 0.5)
    for number, note in enumerate((57, 64, 69, 72, 76)):
        put(_string(note, 3.2), BARS * 4 * BEAT_S + 0.06 * number, 0.4, 0.2 + 0.15 * number)
    sides = [ending(in_a_room(side, random, 1.1, 0.35), 2.0) for side in (left, right)]
    # One gain for both, so that what is in the middle stays there.
    middle = (sides[0] + sides[1]) / 2
    gain = float(np.abs(levelled(middle)).max() / np.abs(middle).max())
    gain = min(gain, 0.84 / max(float(np.abs(side).max()) for side in sides))
    return sides[0] * gain, sides[1] * gain


def write_ogg(path: Path, left: Sound, right: Sound) -> None:
    """Opus, 48 kb/s."""
    samples: NDArray[np.int16] = np.round(np.stack([left, right], axis=1) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="stereo")
        stream.metadata.update({"title": TITLE, "artist": ARTIST})
        stream.codec_context.bit_rate = 48_000
        stream.codec_context.format = av.AudioFormat("s16")
        size = 960
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            piece = np.pad(piece, ((0, size - len(piece)), (0, 0)))
            frame = av.AudioFrame.from_ndarray(piece.reshape(1, -1), "s16", "stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
