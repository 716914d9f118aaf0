"""API keys: how they are written, what they reach, and how they are rotated while the server runs."""

import asyncio
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver import files
from mediaserver.keys import EVERY_ROOM, ApiKey, KeyRing, Rights, RoomPattern, parse_file

SECRET = "s" * 32
OTHER = "o" * 32


def ids(ring: KeyRing) -> list[str]:
    return [key for key in ("alpha", "beta", "gamma") if ring.get(key)]


@pytest.mark.parametrize(
    ("line", "rights", "reached", "missed"),
    [
        (f"alpha:{SECRET}", Rights.ADMIN, ["lobby", "", "a\nb"], []),
        (f"alpha:{SECRET} read", Rights.READ, ["lobby"], []),
        (
            f"  alpha:{SECRET}\tcontrol   lobby  hall ",
            Rights.CONTROL,
            ["lobby", "hall"],
            ["lobby2", "Lobby", "", "lob"],
        ),
        (f"alpha:{SECRET} admin *", Rights.ADMIN, ["", "lobby", "ü/\n"], []),
        (f"alpha:{SECRET} read a-*", Rights.READ, ["a-", "a-b", "a-*"], ["b", "a", "xa-b"]),
        (f"alpha:{SECRET} read *-a", Rights.READ, ["-a", "b-a"], ["-ab"]),
        (f"alpha:{SECRET} read a*b*a", Rights.READ, ["aba", "axbxa", "abba"], ["aa", "ab", "ba"]),
        (f"alpha:{SECRET} read aa*aa", Rights.READ, ["aaaa", "aa.aa"], ["aaa", "aa"]),
        (f"alpha:{SECRET} read room%201 %2A %25 %C3%BC", Rights.READ, ["room 1", "*", "%", "ü"], ["room%201", "x"]),
        (f"alpha:{SECRET} read a.c [ab] ? a:b", Rights.READ, ["a.c", "[ab]", "?", "a:b"], ["abc", "a", "b"]),
    ],
)
def test_a_line_says_what_a_key_may_and_where(line: str, rights: Rights, reached: list[str], missed: list[str]) -> None:
    key = ApiKey.parse(line)
    assert (key.id, key.secret, key.rights) == ("alpha", SECRET, rights)
    assert [name for name in reached + missed if key.reaches(name)] == reached


def test_rights_include_those_before_them() -> None:
    included = {right: [other for other in Rights if right.include(other)] for right in Rights}
    assert included == {
        Rights.READ: [Rights.READ],
        Rights.CONTROL: [Rights.READ, Rights.CONTROL],
        Rights.ADMIN: list(Rights),
    }


def test_a_key_of_no_pattern_reaches_every_room() -> None:
    assert ApiKey("alpha", SECRET).rooms == EVERY_ROOM
    assert ApiKey("alpha", SECRET).rights is Rights.ADMIN


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_pattern_matches_what_its_regular_expression_does(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert RoomPattern.parse(pattern).matches(name) == bool(re.fullmatch(expression, name))


def test_a_pattern_made_to_be_slow_is_not() -> None:
    assert not RoomPattern.parse("a*" * 100 + "b").matches("a" * 255 + "c")
    assert RoomPattern.parse("*a" * 100).matches("a" * 256)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        SECRET,
        f":{SECRET}",
        f"alpha {SECRET}",
        f"alpha: {SECRET}",
        "alpha:short",
        f"{SECRET}:alpha",
        f"älpha:{SECRET}",
        f"alpha:{SECRET} everything",
        f"alpha:{SECRET} READ",
        f"alpha:{SECRET} lobby-*",
        f"alpha:{SECRET} {OTHER}",
        f"alpha:{SECRET}\0",
        f"alpha:{SECRET} read %",
        f"alpha:{SECRET} read %zz",
        f"alpha:{SECRET} read %ff",
        f"alpha:{SECRET} read a\ud800",
    ],
)
def test_a_line_at_fault_is_refused_in_a_sentence_that_repeats_nothing(line: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$") as caught:
        ApiKey.parse(line)
    assert SECRET not in str(caught.value)
    assert OTHER not in str(caught.value)
    assert "lpha" not in str(caught.value)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.one_of(st.text(), st.text(f"a:{SECRET[0]} read*%2\n#", max_size=80)))
def test_any_text_is_keys_or_a_sentence(text: str) -> None:
    complaint = ""
    try:
        assert parse_file(text.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        complaint = str(error)
    assert complaint[-1:] in ("", ".")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "has no key"),
        (b"# none\n\n", "has no key"),
        (b"\xff", "not UTF-8"),
        (f"# keys\nalpha:{SECRET}\nbeta\n".encode(), "Line 3"),
        (f"alpha:{SECRET}\nalpha:{OTHER}\n".encode(), "Line 2"),
    ],
)
def test_a_file_at_fault_is_refused_by_its_line(content: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_file(content)
    assert "alpha" not in str(caught.value)


def test_a_file_has_one_key_a_line_and_comments() -> None:
    keys = parse_file(f"# ours\r\n\n alpha:{SECRET} read\r\n  # theirs\nbeta:{OTHER}".encode())
    assert [(key.id, key.rights) for key in keys] == [("alpha", Rights.READ), ("beta", Rights.ADMIN)]


# Rotation


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """With one key of the options, and one of a file that has not been looked at yet."""
    path = tmp_path / "keys"
    path.write_text(f"beta:{SECRET}\n")
    fixed = ApiKey("alpha", SECRET)
    return KeyRing([fixed, ApiKey("beta", SECRET)], [fixed], path)


async def test_keys_come_and_go_with_their_file_and_those_of_the_options_stay(ring: KeyRing, tmp_path: Path) -> None:
    await ring.files.look()
    assert ids(ring) == ["alpha", "beta"]
    (tmp_path / "keys").write_text(f"beta:{OTHER}\ngamma:{OTHER} read\n")
    await ring.files.look()
    assert ids(ring) == ["alpha", "beta", "gamma"]
    assert ring.check("beta", OTHER)
    assert not ring.check("beta", SECRET)
    (tmp_path / "new").write_text(f"gamma:{SECRET}\n")
    os.replace(tmp_path / "new", tmp_path / "keys")
    await ring.files.look()
    assert ids(ring) == ["alpha", "gamma"]


async def test_a_change_of_the_same_size_within_a_moment_is_seen(ring: KeyRing, tmp_path: Path) -> None:
    await ring.files.look()
    before = (tmp_path / "keys").stat()
    (tmp_path / "keys").write_text(f"beta:{OTHER}\n")
    os.utime(tmp_path / "keys", ns=(before.st_atime_ns, before.st_mtime_ns))
    await ring.files.look()
    assert ring.check("beta", OTHER)


@pytest.mark.parametrize(
    "fault", ["vanished", "directory", "empty", "short", "twice", "of the options", "binary", "huge"]
)
async def test_a_file_at_fault_keeps_the_keys_and_is_complained_of_once(
    ring: KeyRing, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    path = tmp_path / "keys"
    await ring.files.look()
    path.unlink()
    if fault == "directory":
        path.mkdir()
    elif fault != "vanished":
        content = {
            "empty": b"",
            "short": b"beta:hunter2\n",
            "twice": f"gamma:{SECRET}\ngamma:{OTHER}\n".encode(),
            "of the options": f"alpha:{OTHER}\n".encode(),
            "binary": bytes(range(256)),
            "huge": b"# \n" * (files.MAX_FILE_BYTES // 3 + 1),
        }
        path.write_bytes(content[fault])
    for _ in range(3):
        await ring.files.look()
        assert ids(ring) == ["alpha", "beta"]
        assert ring.check("beta", SECRET)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith(". The API keys stay as they were.")
    for secret in (SECRET, OTHER, "hunter2"):
        assert secret not in caplog.text
    if fault == "directory":
        path.rmdir()
    path.write_text(f"gamma:{SECRET}\n")
    await ring.files.look()
    assert ids(ring) == ["alpha", "gamma"]


async def test_a_pipe_is_read_at_the_start_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    ring = KeyRing([ApiKey("beta", SECRET)], [], tmp_path / "pipe")
    async with asyncio.timeout(5):
        await ring.files.look()
    assert ids(ring) == ["beta"]


async def test_a_change_is_noticed_without_being_told(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOOK_EVERY_S", 0.01)
    replaced = asyncio.Event()
    replace = ring.replace

    def spy(keys: Iterable[ApiKey]) -> None:
        replace(keys)
        if ring.get("gamma"):
            replaced.set()

    monkeypatch.setattr(ring, "replace", spy)
    watching = asyncio.create_task(ring.files.watch())
    (tmp_path / "keys").write_text(f"gamma:{SECRET}\n")
    await asyncio.wait_for(replaced.wait(), 5)
    assert ids(ring) == ["alpha", "gamma"]
    watching.cancel()


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    ring = KeyRing([ApiKey("alpha", SECRET)])
    assert not ring.files
    await asyncio.wait_for(ring.files.watch(), 1)
    await ring.files.look()
    assert ids(ring) == ["alpha"]
