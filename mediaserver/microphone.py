"""What a publisher should be told of his own microphone: that he talks while muted, that it gives nothing, or too much.
Pure."""

from dataclasses import dataclass

AGAIN_AFTER_S = 5.0
"""Between two hints that he talks while muted. Lower nags who talks to somebody beside him."""

STILL_TALKS_AFTER_S = 1.5
"""Who is muted in mid-sentence talks on for so long before he is told: everybody finishes a word."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the plane says of a publisher, and `muted`: nobody else hears him."""

    speaking: bool
    muted: bool
    silent: bool = False
    clipping: bool = False


@dataclass(slots=True)
class Microphone:
    """Of one publishing session; `silent` and `clipping` are as they were told."""

    silent: bool = False
    clipping: bool = False
    _spoke: bool = False
    _muted_talk: float | None = None  # since when, in s
    _hinted: float | None = None

    def update(self, now: float, heard: Heard) -> list[str]:
        """Types of events that are worth telling. now: seconds of any clock that does not jump."""
        news = []
        if self._talks_muted(now, heard):
            news.append("speaker.talks_muted")
        silent = heard.silent and not heard.muted
        if silent != self.silent:
            self.silent = silent
            news.append("audio.silent" if silent else "audio.heard")
        if heard.clipping != self.clipping:
            self.clipping = heard.clipping
            news.append("audio.clipping" if heard.clipping else "audio.clean")
        return news

    def _talks_muted(self, now: float, heard: Heard) -> bool:
        """Whether he is to be told now."""
        spoke, self._spoke = self._spoke, heard.speaking
        if not (heard.speaking and heard.muted):
            self._muted_talk = None
            return False
        if self._muted_talk is None:
            # Who begins to talk is told at once.
            self._muted_talk = now if spoke else now - STILL_TALKS_AFTER_S
        if now - self._muted_talk < STILL_TALKS_AFTER_S:
            return False
        if self._hinted is not None and now - self._hinted < AGAIN_AFTER_S:
            return False
        self._hinted = now
        return True
