"""The built-in sounds are what they are called, by spectrum, rhythm and level, and can be made again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyloudnorm
import pytest
from scipy import signal as reference

from soundpack.__main__ import PLACE, SOUNDS, synthesise, write_flac
from soundpack.loudness import integrated_lufs, true_peak_db

RATE = 48000
Float64 = npt.NDArray[np.float64]
every_sound = pytest.mark.parametrize("name", SOUNDS)


def decode(path: Path) -> npt.NDArray[np.int16]:
    with av.open(str(path)) as container:
        assert container.streams.audio[0].rate == RATE
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]).astype(np.int16)


@cache
def sound(name: str) -> Float64:
    return np.asarray(decode(PLACE / f"{name}.flac") / 32767)


def strongest_hertz(samples: Float64) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def envelope(samples: Float64, seconds: float = 0.01) -> Float64:
    """RMS of pieces of that length."""
    size = round(seconds * RATE)
    return np.asarray(np.sqrt(np.square(samples[: len(samples) // size * size]).reshape(-1, size).mean(axis=1)))


def share(samples: Float64, low: float, high: float) -> float:
    """Of the power, how much is between these frequencies."""
    power, frequencies = np.abs(np.fft.rfft(samples)) ** 2, np.fft.rfftfreq(len(samples), 1 / RATE)
    return float(power[(frequencies >= low) & (frequencies < high)].sum() / power.sum())


def rhythm_hertz(samples: Float64, low: float, high: float) -> float:
    """The strongest frequency between these of what the envelope does."""
    course = envelope(samples, 0.005)
    spectrum = np.abs(np.fft.rfft((course - course.mean()) * np.hanning(len(course)), 8192))
    frequencies = np.fft.rfftfreq(8192, 0.005)
    spectrum[(frequencies < low) | (frequencies > high)] = 0
    return float(frequencies[np.argmax(spectrum)])


@every_sound
def test_sounds_can_be_made_again(name: str) -> None:
    made, kept = synthesise(name), decode(PLACE / f"{name}.flac")
    assert made.shape == kept.shape
    assert np.abs(made.astype(int) - kept).max() <= 1  # another CPU rounds otherwise


def test_pack_is_what_is_on_disk_and_small() -> None:
    files = list(PLACE.glob("*"))
    assert {path.name for path in files} == {f"{name}.flac" for name in SOUNDS}
    assert len(SOUNDS) >= 8
    assert sum(path.stat().st_size for path in files) < 1_000_000


def test_flac_is_lossless(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(-32768, 32767, 9999).astype(np.int16)
    write_flac(tmp_path / "noise.flac", samples)
    assert (decode(tmp_path / "noise.flac") == samples).all()


@every_sound
def test_sounds_are_equally_loud(name: str) -> None:
    loudness = pyloudnorm.Meter(RATE).integrated_loudness(sound(name))
    assert loudness == pytest.approx(-18, abs=0.3)
    assert loudness == pytest.approx(integrated_lufs(sound(name)), abs=0.05)


@every_sound
def test_no_true_peak_is_above_the_ceiling(name: str) -> None:
    padded = np.pad(sound(name), 4800)
    peak = 20 * np.log10(np.abs(reference.resample(padded, len(padded) * 16)).max())
    assert peak <= -1.0
    assert peak == pytest.approx(true_peak_db(sound(name)), abs=0.1)


@every_sound
def test_sounds_begin_and_end_without_a_step(name: str) -> None:
    samples = sound(name)
    assert abs(samples[0]) < 0.001
    assert np.abs(samples[-48:]).max() < 0.001
    assert abs(samples.mean()) < 1e-3


@pytest.mark.parametrize(("name", "on_s", "off_s"), [("busy", 0.5, 0.5), ("ring_back", 1.0, 4.0)])
def test_telephone_tones_follow_e_180(name: str, on_s: float, off_s: float) -> None:
    samples = sound(name)
    assert len(samples) == round((on_s + off_s) * RATE)
    tone, pause = samples[: round(on_s * RATE)], samples[round(on_s * RATE) :]
    assert strongest_hertz(tone) == pytest.approx(425, abs=1)
    assert share(tone, 405, 445) > 0.99
    assert (pause == 0).all()
    assert envelope(tone)[2:-2].min() > 0.95 * envelope(tone)[2:-2].max()


@pytest.mark.parametrize("name", ["busy", "ring", "ring_back"])
def test_telephone_sounds_can_be_repeated_without_a_step(name: str) -> None:
    twice = np.tile(sound(name), 2)
    seam = np.abs(np.diff(twice[len(twice) // 2 - 240 : len(twice) // 2 + 240]))
    assert seam.max() <= np.abs(np.diff(sound(name))).max()
    assert np.abs(twice[len(twice) // 2 - 480 : len(twice) // 2]).max() < 1e-4


def test_ring_is_a_bell_struck_twenty_times_a_second() -> None:
    bell = sound("ring")[:RATE]
    assert rhythm_hertz(bell, 12, 30) == pytest.approx(20, abs=1)
    assert share(bell, 840, 860) + share(bell, 1055, 1075) > 0.4
    assert envelope(sound("ring"))[200:].max() < 0.001 < envelope(bell).min()


def test_countdown_is_three_short_tones_and_a_long_one() -> None:
    samples = sound("countdown")
    heard = envelope(samples) > 0.01
    begins = np.flatnonzero(np.diff(heard.astype(int), prepend=0) == 1) / 100
    ends = np.flatnonzero(np.diff(heard.astype(int), append=0) == -1) / 100
    assert begins == pytest.approx([0, 1, 2, 3], abs=0.02)
    assert ends - begins == pytest.approx([0.15, 0.15, 0.15, 0.74], abs=0.03)
    tones = [strongest_hertz(samples[k * RATE : k * RATE + 7200]) for k in range(4)]
    assert tones == pytest.approx([880, 880, 880, 1760], abs=7)


def test_ding_rings_out() -> None:
    samples = sound("ding")
    assert strongest_hertz(samples) == pytest.approx(1571, abs=6)
    course = 20 * np.log10(envelope(samples, 0.1)[:14])
    assert course[0] - course[-1] > 35
    treble = [share(samples[begin : begin + 4800], 4000, 12_000) for begin in (0, RATE // 2, RATE)]
    assert treble[0] > 3 * treble[1] > 9 * treble[2]


def test_air_horn_is_three_short_blasts_and_a_long_one_of_a_chord() -> None:
    samples = sound("air_horn")
    heard = envelope(samples) > 0.02
    lengths = np.diff(np.flatnonzero(np.diff(heard.astype(int), prepend=0, append=0)))[::2] / 100
    assert lengths == pytest.approx([0.13, 0.13, 0.13, 1.2], abs=0.03)
    steady = samples[round(0.7 * RATE) : round(1.7 * RATE)]
    assert all(share(steady, f * 0.97, f * 1.03) > 0.005 for f in (311.0, 370.5, 466.0))
    assert share(steady, 1000, 7000) > 0.3  # brass


def test_drum_roll_has_its_strokes_and_grows() -> None:
    samples = sound("drum_roll")
    assert rhythm_hertz(samples[: round(2.2 * RATE)], 12, 40) == pytest.approx(22, abs=1.5)
    course = envelope(samples, 0.2)
    assert course[10] > 1.4 * course[1]
    assert share(samples[: 2 * RATE], 150, 450) > 0.1  # the skin
    assert share(samples[: 2 * RATE], 1500, 10_000) > 0.2  # the wires
    assert share(samples[round(2.5 * RATE) :], 2500, 15_000) > 0.8  # the cymbal


def test_laugh_is_laughter() -> None:
    near = sound("laugh")[: round(1.6 * RATE)]
    assert 4 <= rhythm_hertz(near, 2, 12) <= 6
    assert share(near, 500, 1700) > 0.5  # the formants of "a"
    assert share(near, 4000, 20_000) < 0.1


def test_applause_is_many_claps() -> None:
    samples = sound("applause")
    middle = samples[RATE // 2 : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(middle)) ** 2
    smooth = reference.fftconvolve(spectrum, np.ones(300) / 300, mode="same")
    assert share(middle, 500, 4000) > 0.6
    flat = np.exp(np.log(spectrum[750:9000] / smooth[750:9000] + 1e-12).mean())
    assert flat > 0.3  # noise, not notes: 0.56 is that of white noise, and a chord's is next to 0
    excess = np.mean(middle**4) / np.mean(middle**2) ** 2
    assert 3.3 < excess < 10  # burstier than noise, denser than one pair of hands
    course = envelope(samples, 0.5)
    assert course[1:4].min() > 3 * course[-1]
