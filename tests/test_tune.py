"""The demo tune is the one that the program makes: its length, its harmony, its loudness; and small enough to ship."""

from functools import cache

import av
import numpy as np
import numpy.typing as npt

from soundpack import tune
from soundpack.loudness import integrated_lufs, true_peak_db

RATE = 48_000


@cache
def decoded() -> npt.NDArray[np.float64]:
    """[2, samples]."""
    with av.open(str(tune.PLACE)) as container:
        stream = container.streams.audio[0]
        assert stream.metadata["title"] == tune.TITLE
        assert stream.metadata["artist"] == tune.ARTIST
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.asarray(np.concatenate(frames, axis=1), np.float64)


def test_it_is_what_the_program_makes_and_no_larger_than_it_may_be() -> None:
    made = np.stack(tune.synthesise())
    pcm = decoded()
    assert abs(pcm.shape[1] - made.shape[1]) < RATE / 10
    size = min(pcm.shape[1], made.shape[1])
    for side in range(2):
        assert np.corrcoef(pcm[side, :size], made[side, :size])[0, 1] > 0.95
    assert tune.PLACE.stat().st_size < 400_000


def test_each_bar_has_its_chord() -> None:
    middle = decoded().mean(axis=0)
    for bar, (root, chord) in enumerate(tune.CHORDS):
        begin = round(bar * 4 * tune.BEAT_S * RATE)
        piece = middle[begin : begin + round(4 * tune.BEAT_S * RATE)]
        power = np.abs(np.fft.rfft(piece * np.hanning(len(piece)))) ** 2

        def power_of(note: int, power: npt.NDArray[np.float64] = power, size: int = len(piece)) -> float:
            bin_ = round(tune.hertz(note) * size / RATE)
            return float(power[bin_ - 2 : bin_ + 3].max())

        others = [note for note in range(54, 72) if note % 12 not in {part % 12 for part in (root, *chord)}]
        assert min(power_of(note) for note in chord) > 4 * float(np.median([power_of(note) for note in others]))


def test_it_is_as_loud_as_music_under_voices_is_and_is_not_cut() -> None:
    left, right = decoded()
    assert -24 < integrated_lufs((left + right) / 2) < -16
    assert max(true_peak_db(left), true_peak_db(right)) < 0
    assert np.corrcoef(left, right)[0, 1] < 0.95, "it is in stereo"
