"""Sound effects: from a command of the room model to a clip in the plane, and back when it has ended."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from mediaserver import logs
from mediaserver.commands import ChangeEffect, StartEffect, StopEffect
from mediaserver.matrix import linear
from mediaserver.place import pan_gains
from mediaserver.plane import Driver, Event

if TYPE_CHECKING:
    from mediaserver._native import Clip

traffic = logs.get(__name__, limited=True)


class SoundError(Exception):
    """A sound is not there, or cannot be played; a sentence for the room service."""


class Sounds(Protocol):
    """Where clips come from."""

    def ready(self, sound: str) -> "Clip | None":
        """The clip, if it is in memory."""

    async def load(self, sound: str) -> "Clip":
        """The clip, from wherever it is. SoundError."""


Ended = Callable[[int, str, int, str | None], None]
"""(room, effect, csrc, reason): it has ended by itself, or with a reason failed."""


@dataclass(slots=True)
class _Playing:
    command: StartEffect
    number: int | None = None  # in the plane; None: its sound is being loaded
    task: "asyncio.Task[None] | None" = None


class Effects:
    def __init__(self, driver: Driver, sounds: Sounds, ended: Ended) -> None:
        self._driver = driver
        self._sounds = sounds
        self._ended = ended
        self._playing: dict[int, _Playing] = {}  # by csrc, which is unique while it plays

    def perform(self, command: StartEffect | ChangeEffect | StopEffect) -> None:
        match command:
            case StartEffect():
                self._prepare(command)
            case ChangeEffect():
                self._change(command)
            case StopEffect():
                self._stop(command)

    def close(self) -> None:
        for csrc in tuple(self._playing):
            self._drop(csrc)

    def _prepare(self, command: StartEffect) -> None:
        playing = self._playing[command.csrc] = _Playing(command)
        if clip := self._sounds.ready(command.spec.sound):
            self._start(playing, clip)
        else:
            playing.task = asyncio.get_running_loop().create_task(self._load(playing))

    def _change(self, change: ChangeEffect) -> None:
        """What is not heard yet begins as it is wished by then: it has no column before."""
        playing, spec = self._playing.get(change.csrc), change.spec
        if playing is None:
            return
        playing.command = replace(playing.command, spec=spec)
        if playing.number is not None:
            self._driver.plane.set_column(change.room, change.csrc, linear(spec.gain_db), *pan_gains(spec.pan))

    def _start(self, playing: _Playing, clip: "Clip") -> None:
        command, spec = playing.command, playing.command.spec
        playing.number = self._driver.adopt_sound(lambda event: self._happened(command, event))
        left, right = pan_gains(spec.pan)
        self._driver.plane.start_effect(
            command.room,
            command.csrc,
            playing.number,
            clip,
            gain=linear(spec.gain_db),
            left=left,
            right=right,
            repeat=spec.repeat,
        )

    async def _load(self, playing: _Playing) -> None:
        command = playing.command
        try:
            clip = await self._sounds.load(command.spec.sound)
            playing.task = None
            self._start(playing, clip)
        except SoundError as error:
            traffic.info("effect not played", effect=command.effect, reason=str(error))
            self._fail(command, str(error))
        except Exception:  # a defect: the room must still hear that it is over
            traffic.exception("effect not played", effect=command.effect)
            self._fail(command, "The effect could not be played.")

    def _fail(self, command: StartEffect, reason: str) -> None:
        self._drop(command.csrc)
        self._ended(command.room, command.effect, command.csrc, reason)

    def _stop(self, command: StopEffect) -> None:
        playing = self._drop(command.csrc)
        if playing is not None and playing.number is not None:
            self._driver.plane.stop_effect(command.room, command.csrc)

    def _happened(self, command: StartEffect, event: Event) -> None:
        if event is Event.EFFECT_ENDED and self._drop(command.csrc) is not None:
            self._ended(command.room, command.effect, command.csrc, None)

    def _drop(self, csrc: int) -> _Playing | None:
        playing = self._playing.pop(csrc, None)
        if playing is None:
            return None
        if playing.number is not None:
            self._driver.drop_sound(playing.number)
        if playing.task is not None and playing.task is not asyncio.current_task():
            playing.task.cancel()
        return playing
