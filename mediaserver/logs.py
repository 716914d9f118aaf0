"""What is logged looks the same whoever logs it: lines for people, or one JSON object a line for machines.

Our own modules log events with fields (`get(__name__).info("session ended", room=…, user=…)`), libraries log sentences
by the standard library's loggers; both go through one handler.

Rules
- Addresses, tokens and secrets are in no field and no sentence at info or above. Names of rooms and users may be.
- What a client can cause is logged by get(..., limited=True): at most RATE lines a second, after BURST at once. The
  next line that is let through says how many were not: `suppressed`.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from mediaserver.buckets import Bucket

# Lines a second and logger. More can fill a disk when a crowd comes and goes, fewer lose what an operator looks for.
RATE = 20.0
BURST = 200.0

_ORDER = ("time", "level", "event", "logger")


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


def chosen(wish: str | None, *, development: bool, terminal: bool) -> Format:
    """The format to log in; without a wish people get text, machines JSON."""
    if wish is not None:
        return Format(wish)
    return Format.TEXT if development or terminal else Format.JSON


def configure(level: str, format_: Format, stream: TextIO | None = None) -> None:
    """Everything that is logged in this process goes to `stream` (standard error) from now on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    render = _json if format_ is Format.JSON else _text
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[_describe, structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())


def get(
    name: str, *, limited: bool = False, clock: Callable[[], float] = time.monotonic
) -> structlog.stdlib.BoundLogger:
    """A logger of events with fields; `limited` if clients can cause them. `clock` in seconds."""
    processors: list[Any] = [structlog.stdlib.filter_by_level]
    if limited:
        processors.append(Limit(clock))
    processors.append(structlog.stdlib.ProcessorFormatter.wrap_for_formatter)
    logger = structlog.wrap_logger(
        logging.getLogger(name), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )
    return cast(structlog.stdlib.BoundLogger, logger)


@contextmanager
def surviving(log: structlog.stdlib.BoundLogger, event: str, **fields: object) -> Iterator[None]:
    """A defect within is logged as this event and goes no further: what is done beside it must not end with it."""
    try:
        yield
    except Exception:
        log.exception(event, **fields)


class Limit:
    """A processor that drops events which are too many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bucket = Bucket(RATE, BURST, clock())
        self._suppressed = 0

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        if not self._bucket.take(self._clock()):
            self._suppressed += 1
            raise structlog.DropEvent
        if self._suppressed:
            event["suppressed"] = self._suppressed
            self._suppressed = 0
        return event


def _describe(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Adds what every line has, of whichever kind its logger is."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC)
    event["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event["level"] = record.levelname.lower()
    event["logger"] = record.name
    event.pop("stack_info", None)
    return structlog.processors.format_exc_info(logger, method, event)


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    ordered = {name: event.pop(name) for name in _ORDER} | dict(event)
    return json.dumps(ordered, ensure_ascii=False, default=str)


def _text(_: WrappedLogger, __: str, event: EventDict) -> str:
    moment, level, text, logger = (event.pop(name) for name in _ORDER)
    exception = event.pop("exception", None)
    line = f"{moment} {level.upper()} {logger}: {_plain(str(text))}{_fields(event)}"
    return f"{line}\n{exception}" if exception else line


def _fields(event: Mapping[str, Any]) -> str:
    """key=value for each, quoted as in JSON unless it is a word."""
    words = []
    for name, value in event.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        is_word = text and all(character.isalnum() or character in "-_.:/" for character in text)
        words.append(
            f" {name}={text if is_word or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)}"
        )
    return "".join(words)


def _plain(text: str) -> str:
    """A line stays one line, whoever chose a part of it."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
