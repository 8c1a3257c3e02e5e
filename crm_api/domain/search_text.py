"""Texts as they are searched: an address or a name becomes its words, so that `ул. Ленина, д. 1` meets `ленина 1`."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_WORDS: Final = 24
"""More than an address has, and few enough to look for in each one."""
_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Return the words of a text: letters and digits alone, without case, and without the dots of the Russian `ё`."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("ё", "е")  # noqa: RUF001 - the Russian letters
    return _WORD.findall(folded)


def search_text(text: str) -> str:
    """Return what is kept of a text for searching: its words, with a space before and after each."""
    return f" {' '.join(words(text))} "


def telling(found: Sequence[str]) -> list[str]:
    """Return which words of a text are looked for: each once, of very many those that few other texts have."""
    once = list(dict.fromkeys(found))
    if len(once) <= MOST_WORDS:
        return once
    return sorted(once, key=lambda word: (not any(map(str.isdigit, word)), -len(word)))[:MOST_WORDS]
