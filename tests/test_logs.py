"""What lines look like, whoever logs them, and how many a client can cause."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from mediaserver import logs
from mediaserver.logs import BURST, RATE, Format, chosen
from tests.server import FAULTS

Configure = Callable[..., io.StringIO]


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Logs into a buffer from now on; undone after the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def configure(format_: Format, level: str = "info") -> io.StringIO:
        stream = io.StringIO()
        logs.configure(level, format_, stream)
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("wish", "development", "terminal", "expected"),
    [
        (None, False, False, Format.JSON),
        (None, True, False, Format.TEXT),
        (None, False, True, Format.TEXT),
        ("json", True, True, Format.JSON),
        ("text", False, False, Format.TEXT),
    ],
)
def test_machines_get_json_and_people_text(
    wish: str | None, development: bool, terminal: bool, expected: Format
) -> None:
    assert chosen(wish, development=development, terminal=terminal) is expected


def test_each_line_is_one_json_object_with_time_level_event_logger_and_fields(configure: Configure) -> None:
    stream = configure(Format.JSON)
    logs.get("mediaserver.node").info("session ended", room="a\nb ü", user="ann", duration_s=1.5)
    logging.getLogger("uvicorn.error").warning("a sentence with %s", 'a "quote"')
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert list(ours) == ["time", "level", "event", "logger", "room", "user", "duration_s"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours.pop("time"))
    assert ours == {
        "level": "info",
        "event": "session ended",
        "logger": "mediaserver.node",
        "room": "a\nb ü",
        "user": "ann",
        "duration_s": 1.5,
    }
    assert (theirs["event"], theirs["level"]) == ('a sentence with a "quote"', "warning")


def test_text_is_one_line_whatever_is_in_a_name(configure: Configure) -> None:
    stream = configure(Format.TEXT)
    logs.get("mediaserver.node").info("room opened", room="a\nERROR b", user="ann", workers=["open"])
    logging.getLogger("asyncio").warning("two\nlines")
    first, second = stream.getvalue().splitlines()
    assert first.endswith(r' INFO mediaserver.node: room opened room="a\nERROR b" user=ann workers=["open"]')
    assert second.endswith(r" WARNING asyncio: two\nlines")


@pytest.mark.parametrize("format_", Format)
def test_exceptions_are_told_with_their_traceback(configure: Configure, format_: Format) -> None:
    stream = configure(format_)
    for logger in (logging.getLogger("x"), logs.get("y")):
        try:
            raise RuntimeError("a defect")
        except RuntimeError:
            logger.exception("it failed")
    lines = stream.getvalue()
    assert lines.count("Traceback") == 2
    assert lines.count("RuntimeError: a defect") == 2
    if format_ is Format.JSON:
        assert all("a defect" in json.loads(line)["exception"] for line in lines.splitlines())


@pytest.mark.parametrize("format_", Format)
def test_a_fault_is_one_that_tests_of_the_real_server_notice(configure: Configure, format_: Format) -> None:
    stream = configure(format_)
    logging.getLogger("x").warning("error and critical are only words")
    logs.get("y").info("serving on http://127.0.0.1:8090/")
    assert not FAULTS.search(stream.getvalue().encode())
    logs.get("y").error("this is one")
    assert FAULTS.search(stream.getvalue().encode())


def test_the_level_holds_for_both_kinds_of_loggers(configure: Configure) -> None:
    stream = configure(Format.JSON, "warning")
    logs.get("y").info("not this")
    logging.getLogger("x").info("nor this")
    logs.get("y").warning("this")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["this"]


def test_what_clients_cause_is_limited_and_what_was_left_out_is_counted(configure: Configure) -> None:
    stream = configure(Format.JSON)
    now = 0.0
    log = logs.get("y", limited=True, clock=lambda: now)
    for _ in range(int(BURST) + 7):
        log.info("room opened")
    assert len(stream.getvalue().splitlines()) == BURST
    now += 1.0
    log.info("room opened")
    assert json.loads(stream.getvalue().splitlines()[-1])["suppressed"] == 7
    for _ in range(100):
        log.info("room opened")
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST + RATE
    assert "suppressed" not in json.loads(lines[-1])
