"""A text as numbers: how often each known word is in it. Training and serving use this one definition."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

WORD = re.compile(r"\w\w+")
LEAST_TEXTS = 2  # that have a word, for it to be known
MOST_TERMS = 1_000  # the most frequent words


def words(text: str) -> list[str]:
    """The words of two or more letters, in lower case."""
    return WORD.findall(text.casefold())


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """The words that are in several of the texts, in alphabetical order; of very many the most frequent ones."""
    found = Counter(word for text in texts for word in set(words(text)))
    ranked = sorted((-count, word) for word, count in found.items() if count >= LEAST_TEXTS)
    return tuple(sorted(word for _, word in ranked[:MOST_TERMS]))


class Vectors:
    """The numbers of texts for a vocabulary: the logarithm of each word's count, scaled to length 1."""

    def __init__(self, terms: Sequence[str]) -> None:
        self._at = {term: at for at, term in enumerate(terms)}
        self._length = len(terms)

    def row(self, text: str | None) -> list[float]:
        """One number for each term; all NaN if there is no text, all 0 if no word of it is known."""
        if text is None:
            return [math.nan] * self._length
        row = [0.0] * self._length
        counts = Counter(at for word in words(text) if (at := self._at.get(word)) is not None)
        size = math.sqrt(sum((1 + math.log(count)) ** 2 for count in counts.values()))
        for at, count in counts.items():
            row[at] = (1 + math.log(count)) / size
        return row
