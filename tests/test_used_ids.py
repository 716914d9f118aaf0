"""The memory of one-time tokens: each once, bounded, and forgotten when it does not matter any more."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediaserver.used_ids import KEPT_AFTER_S, FullError, UsedIds, id_of


def test_an_id_is_used_once() -> None:
    used = UsedIds()
    assert used.use("a", 10, 0)
    assert not used.use("a", 10, 1)
    assert not used.use("a", 99, 1)
    assert used.use("b", 10, 1)
    assert "a" in used
    assert "c" not in used


def test_a_use_that_came_to_nothing_may_be_repeated() -> None:
    used = UsedIds()
    assert used.use("a", 10, 0)
    used.release("a")
    assert "a" not in used
    assert used.use("a", 10, 0)
    assert not used.use("a", 10, 0)


def test_when_it_is_full_nothing_is_forgotten_and_nothing_accepted() -> None:
    used = UsedIds(limit=2)
    used.use("a", 10, 0)
    used.use("b", 20, 0)
    with pytest.raises(FullError, match=r"\.$"):
        used.use("c", 30, 0)
    assert not used.use("a", 10, 5)
    assert used.use("c", 30, 10 + KEPT_AFTER_S)
    assert len(used) == 2


def test_it_forgets_only_what_cannot_be_used_even_if_the_clock_is_set_back() -> None:
    used = UsedIds()
    used.use("a", 10, 0)
    used.use("b", 99, 10 + KEPT_AFTER_S - 0.1)
    assert "a" in used
    used.use("c", 99, 10 + KEPT_AFTER_S)
    assert "a" not in used


def test_another_process_takes_over_what_has_been_used() -> None:
    kept: dict[str, float] = {}

    def note(id: str, expires: float | None) -> None:
        if expires is None:
            del kept[id]
        else:
            kept[id] = expires

    used, restarted = UsedIds(limit=4, note=note), UsedIds(limit=3)
    for id, expires in [("a", 10), ("b", 99), ("released", 99), ("early", 1)]:
        used.use(id, expires, 0)
    used.release("released")
    used.use("c", 50, 1 + KEPT_AFTER_S)
    assert kept == {"a": 10, "b": 99, "c": 50}
    restarted.restore(kept)
    assert len(restarted) == 3
    assert not restarted.use("a", 10, 0)
    assert restarted.use("d", 99, 10 + KEPT_AFTER_S)


def test_releasing_again_and_again_does_not_grow_it() -> None:
    used = UsedIds(limit=4)
    for _ in range(1000):
        used.use("a", 10, 0)
        used.release("a")
    assert len(used._order) <= 9
    assert len(used) == 0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.integers(0, 5)), max_size=30))
def test_no_id_is_accepted_twice_while_its_token_is_valid(steps: list[tuple[str, int, int]]) -> None:
    used, now, accepted = UsedIds(limit=2), 0, dict[str, int]()
    for id_, life, wait in steps:
        now += wait
        expires = accepted.get(id_, 0) if accepted.get(id_, 0) > now else now + life
        try:
            is_first = used.use(id_, expires, now)
        except FullError:
            continue
        assert not is_first or accepted.get(id_, 0) <= now
        if is_first:
            accepted[id_] = expires


def test_parts_of_an_id_are_kept_apart_and_not_repeated() -> None:
    assert id_of("a", "bc") != id_of("ab", "c")
    assert id_of("a", "b") == id_of("a", "b")
    assert len(id_of("ü" * 1000)) == 32
    assert "secret" not in id_of("secret")
