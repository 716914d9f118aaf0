"""The sounds that effects play: our own pack, which comes with the package, and short pieces of the library."""

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from mediaserver.effects import SoundError

if TYPE_CHECKING:
    from mediaserver._native import Clip

PACK = Path(__file__).parent / "sounds"
LIBRARY = "library:"
MAX_CLIPS = 64
"""Pieces of the library that are kept in memory: each is at most a minute, 11 MB in mono and 23 MB in stereo."""

Samples = NDArray[np.float32]


class SoundBank:
    def __init__(
        self, make_clip: "Callable[[Samples], Clip]", decode: Callable[[str], Awaitable[Samples]], pack: Path = PACK
    ) -> None:
        """decode: a piece of the library by its id, [samples, 1 or 2] at 48 kHz; SoundError."""
        self._make_clip = make_clip
        self._decode = decode
        self._files = {path.stem: path for path in sorted(pack.glob("*.flac"))}
        self._pack: dict[str, Clip] = {}
        self._clips: OrderedDict[str, Clip] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Of the pack."""
        return list(self._files)

    def knows(self, sound: str) -> bool:
        """Whether it could be a sound: of the pack, or a piece of the library, which may be there or not."""
        return sound in self._files or bool(re.fullmatch(rf"{LIBRARY}.+", sound))

    def ready(self, sound: str) -> "Clip | None":
        """The clip, if it can be had at once. Those of the pack are small, and decoded when asked for first."""
        if sound in self._files and sound not in self._pack:
            self._pack[sound] = self._make_clip(_read(self._files[sound]))
        return self._pack.get(sound) or self._recent(sound)

    async def load(self, sound: str) -> "Clip":
        """The clip, decoded if need be. SoundError when it is not there or cannot be played."""
        if clip := self.ready(sound):
            return clip
        if not sound.startswith(LIBRARY):
            raise SoundError(f"There is no sound {sound}.")
        clip = self._make_clip(await self._decode(sound.removeprefix(LIBRARY)))
        self._clips[sound] = clip
        if len(self._clips) > MAX_CLIPS:
            self._clips.popitem(last=False)
        return clip

    def _recent(self, sound: str) -> "Clip | None":
        if sound in self._clips:
            self._clips.move_to_end(sound)
        return self._clips.get(sound)


def _read(path: Path) -> Samples:
    """Of our own files: [samples, channels] at 48 kHz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        channels = stream.codec_context.channels
        resampler = av.AudioResampler("flt", "stereo" if channels == 2 else "mono", 48_000)
        frames = [frame for decoded in container.decode(stream) for frame in resampler.resample(decoded)]
        return np.concatenate([frame.to_ndarray().reshape(-1, channels) for frame in frames]).astype(np.float32)
