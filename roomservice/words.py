"""Word filters: what may be said in messages. An app brings its own by an object with the same method
(interface.Words); these are two that need nothing."""

import re
from collections.abc import Iterable
from pathlib import Path

from roomservice.interface import Words

MAX_WORDS = 50_000


class AnyWords:
    """Everything."""

    async def pass_on(self, user: str, conversation: str, text: str) -> str | None:
        return text


class WordList:
    """No text that has one of these words in it, or that text with stars for them. Case does not matter; a word of
    letters counts as a whole word only, so that Scunthorpe may be named; one of a script that writes without spaces
    counts anywhere."""

    def __init__(self, words: Iterable[str], *, mask: bool = False) -> None:
        """ValueError, with a sentence, for more than MAX_WORDS."""
        chosen = sorted({word.strip() for word in words} - {""}, key=lambda word: (-len(word), word))
        if len(chosen) > MAX_WORDS:
            raise ValueError(f"A word list has at most {MAX_WORDS} words.")
        self._pattern = re.compile("|".join(map(_pattern, chosen)) or "(?!)", re.IGNORECASE)
        self._mask = mask

    async def pass_on(self, user: str, conversation: str, text: str) -> str | None:
        """None when it is refused."""
        if not self._mask:
            return None if self._pattern.search(text) else text
        return self._pattern.sub(lambda found: "*" * len(found[0]), text)


def words_in(file: str) -> list[str]:
    """One in each line; lines that begin with # are none. ValueError, with a sentence."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ValueError("The word list cannot be read, or is no UTF-8.") from None
    return [line for line in lines if not line.startswith("#")]


def open_words(file: str, *, mask: bool) -> Words:
    """file: empty for none. ValueError, with a sentence."""
    return WordList(words_in(file), mask=mask) if file else AnyWords()


def _pattern(word: str) -> str:
    spaced = word.isascii()
    return (
        (r"\b" if spaced and word[0].isalnum() else "")
        + re.escape(word)
        + (r"\b" if spaced and word[-1].isalnum() else "")
    )
