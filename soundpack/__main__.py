"""Synthesises the sound effects and writes them as FLAC, and the demo tune."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from soundpack import instruments, people, tones, tune
from soundpack.loudness import integrated_lufs, levelled, true_peak_db
from soundpack.shaping import RATE, Sound

PLACE = Path(__file__).parent.parent / "mediaserver" / "sounds"

SOUNDS: Mapping[str, Callable[[], Sound]] = {
    "air_horn": instruments.air_horn,
    "applause": people.applause,
    "busy": tones.busy,
    "countdown": tones.countdown,
    "ding": instruments.ding,
    "drum_roll": instruments.drum_roll,
    "laugh": people.laugh,
    "ring": instruments.ring,
    "ring_back": tones.ring_back,
}


def synthesise(name: str) -> NDArray[np.int16]:
    """48 kHz, mono, 16 bits."""
    return np.round(levelled(SOUNDS[name]()) * 32767).astype(np.int16)


def write_flac(path: Path, samples: NDArray[np.int16]) -> None:
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono")
        stream.codec_context.format = av.AudioFormat("s16")
        stream.codec_context.options = {"compression_level": "12"}
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="sounds", description=__doc__)
    parser.add_argument("--to", type=Path, default=PLACE, metavar="DIRECTORY", help="default: mediaserver/sounds")
    directory = parser.parse_args().to
    directory.mkdir(parents=True, exist_ok=True)
    for name in SOUNDS:
        samples, path = synthesise(name), directory / f"{name}.flac"
        write_flac(path, samples)
        sound = samples / 32767
        print(
            f"{name:10} {len(samples) / RATE:4.1f} s {integrated_lufs(sound):6.1f} LUFS {true_peak_db(sound):6.1f} dBTP"
            f" {path.stat().st_size / 1024:6.0f} KiB"
        )
    if directory == PLACE:
        tune.write_ogg(tune.PLACE, *tune.synthesise())
        print(f"{tune.TITLE}: {tune.SECONDS:.0f} s, {tune.PLACE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
