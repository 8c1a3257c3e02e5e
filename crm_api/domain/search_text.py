"""Texts as they are searched: an address or a name becomes its words, so that `ул. Ленина, д. 1` meets `ленина 1`."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MOST_WORDS: Final = 8
_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Return the words of a text: letters and digits alone, without case, and without the dots of the Russian `ё`."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")  # noqa: RUF001 - the Russian letters
    return _WORD.findall(folded)


def search_text(text: str) -> str:
    """Return what is kept of a text for searching: its words, with a space before and after each."""
    return f" {' '.join(words(text))} "
