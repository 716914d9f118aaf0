"""What a message may be, and how it is taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomservice.model import messages
from roomservice.model.errors import Illegal
from roomservice.model.groups import GroupRole
from roomservice.model.messages import RECALL_S, Content, Kind, Reference, Sent

NOW = 1_000.0
PICTURE = Reference("https://cdn.example.org/cat.webp", "image/webp", "cat.webp", 51_200)
MEMBER, ADMIN, OWNER = GroupRole.MEMBER, GroupRole.ADMIN, GroupRole.OWNER


@pytest.mark.parametrize(
    "content",
    [
        Content(Kind.TEXT, "hello"),
        Content(Kind.CUSTOM, '{"gift": 7}'),
        Content(Kind.IMAGE, media=PICTURE),
        Content(Kind.AUDIO, "listen to this", Reference("https://cdn.example.org/a.ogg", duration_s=3.5)),
        Content(Kind.TEXT, "é" * 4096),
    ],
)
def test_a_message_is_text_custom_or_media_by_reference(content: Content) -> None:
    messages.check(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Content(Kind.TEXT), "message-empty"),
        (Content(Kind.TEXT, "look", PICTURE), "message-empty"),
        (Content(Kind.FILE, "look"), "message-empty"),
        (Content(Kind.TEXT, "é" * 4097), "message-too-large"),
        (Content(Kind.TEXT, "\ud800" * 2731), "message-too-large"),
        (Content(Kind.IMAGE, media=Reference("https://" + "x" * 2048)), "message-too-large"),
        (Content(Kind.FILE, media=Reference("x", name="n" * 257)), "message-too-large"),
        (Content(Kind.TEXT, "all", mentions=tuple(map(str, range(51)))), "message-too-large"),
    ],
)
def test_what_is_no_message_has_its_problem(content: Content, expected: str) -> None:
    with pytest.raises(Illegal) as caught:
        messages.check(content)
    assert caught.value.problem == expected


def asked(sender: str, by: str, late_s: float, role: GroupRole | None, of_sender: GroupRole | None) -> str:
    """The problem's name; empty when it is recalled."""
    try:
        assert messages.check_recall(Sent(sender, NOW), by, NOW + late_s, role=role, of_sender=of_sender)
    except Illegal as illegal:
        return illegal.problem
    return ""


@pytest.mark.parametrize(
    ("by", "role", "of_sender", "late_s", "expected"),
    [
        ("ann", None, None, RECALL_S, ""),
        ("ann", None, None, RECALL_S + 1, "recall-too-late"),
        ("ann", MEMBER, MEMBER, RECALL_S + 1, "recall-too-late"),
        ("ann", ADMIN, ADMIN, 1e6, ""),
        ("bob", None, None, 0, "not-permitted"),
        ("bob", MEMBER, MEMBER, 0, "not-permitted"),
        ("bob", ADMIN, MEMBER, 1e6, ""),
        ("bob", ADMIN, None, 1e6, ""),
        ("bob", ADMIN, ADMIN, 0, "not-permitted"),
        ("bob", ADMIN, OWNER, 0, "not-permitted"),
        ("bob", OWNER, ADMIN, 1e6, ""),
    ],
)
def test_who_recalls_what(
    by: str, role: GroupRole | None, of_sender: GroupRole | None, late_s: float, expected: str
) -> None:
    assert asked("ann", by, late_s, role, of_sender) == expected


def test_what_is_recalled_is_recalled_once() -> None:
    recalled = Sent("ann", NOW, recalled=True)
    assert not messages.check_recall(recalled, "ann", NOW + 1e6, role=None, of_sender=None)


@given(st.integers(0, 9), st.integers(-1, 12), st.integers(0, 9))
def test_a_read_mark_goes_forward_and_not_beyond_what_there_is(known: int, wanted: int, last: int) -> None:
    known = min(known, last)
    assert known <= messages.mark(known, wanted, last) <= last
