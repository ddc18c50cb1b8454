"""Drift: how far the requests differ from the training data. Pure arithmetic on records and the model's card.

For each feature the population-stability index (PSI) compares the shares of its known values in the card's bins, now
and in the training data. It is the sum over the bins of ``(now - then) * ln(now / then)``, and 0 if the shares are
equal. By convention an index below 0.1 is a small change and an index from 0.25 is a significant one (N. Siddiqi,
Credit Risk Scorecards, Wiley 2006).

The convention ignores the sample size: with few values the index is high by chance alone. Without any change it is
distributed about as ``(1/n + 1/m)`` times a chi-square with one degree of freedom less than there are bins, where ``n``
and ``m`` are the numbers of values now and then (B. Yurdakul and J. Naranjo, Statistical properties of the population
stability index, Journal of Risk Model Validation 14, 2020). A feature is therefore reported only if its index is also
higher than 99 of 100 such indices would be.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serving.card import Card, Choice, Feature
from serving.model import Record
from serving.text import words

WINDOW = 1_000  # the last predictions, which drift is computed from
ENOUGH = 50  # known values; fewer give no verdict
WATCH = 0.1
DRIFTED = 0.25
ONE_IN_HUNDRED = 2.3263  # the normal distribution's 99th percentile

Word = Literal["too few", "ok", "watch", "drifted"]


@dataclass(frozen=True)
class Drift:
    """One feature, now and in the training data. ``psi`` is None and ``word`` "too few" below 50 known values.

    ``known`` is the number of records with a value. ``missing`` and ``missing_then`` are the shares without a value,
    now (None before the first record) and in the training data.
    """

    name: str
    known: int
    psi: float | None
    word: Word
    missing: float | None
    missing_then: float

    @property
    def missing_change(self) -> float | None:
        """The increase of the share without a value, -1 to 1."""
        return None if self.missing is None else self.missing - self.missing_then


class Window:
    """The records of the last predictions. Several threads may add to it."""

    def __init__(self, card: Card, size: int = WINDOW) -> None:
        self._card = card
        self._records: deque[Record] = deque(maxlen=size)
        self._added = 0
        self._found: tuple[int, list[Drift]] = (-1, [])

    def add(self, record: Record) -> None:
        """Add a record that was answered, and drop the oldest."""
        self._records.append(record)
        self._added += 1

    def drift(self) -> list[Drift]:
        """The drift of every feature, in the card's order. It is computed on demand, so predictions stay fast."""
        added, found = self._found
        if added != self._added:
            added, found = self._added, drift(self._card, list(self._records))
            self._found = added, found
        return found

    def __len__(self) -> int:
        return len(self._records)


def drift(card: Card, records: Sequence[Record]) -> list[Drift]:
    """The drift of every feature of the card, in its order, over these records."""
    return [
        _drift(feature, card.data.rows, [record.get(feature.name) for record in records]) for feature in card.features
    ]


def _drift(feature: Feature, rows: int, values: Sequence[float | str | None]) -> Drift:
    known = [value for value in values if value is not None]
    then = feature.spread
    missing = 1 - len(known) / len(values) if values else None
    if len(known) < ENOUGH:
        return Drift(feature.name, len(known), None, "too few", missing, then.missing)
    trained_on = round(rows * (1 - then.missing))
    index = psi(counts(feature, known), [share * trained_on for share in then.shares])
    chance = by_chance(len(then.shares), len(known), trained_on)
    return Drift(feature.name, len(known), index, word(index, chance), missing, then.missing)


def psi(now: Sequence[float], then: Sequence[float]) -> float:
    """The index of two lists of counts, of the same bins.

    Half a value is added to each bin (Jeffreys' prior), because the logarithm of an empty bin does not exist.
    """
    return sum((p - q) * math.log(p / q) for p, q in zip(_shares(now), _shares(then), strict=True))


def counts(feature: Feature, values: Sequence[float | str]) -> list[int]:
    """The number of values in each of the card's bins. A value on an edge belongs to the bin above, as in training.

    A text counts by its number of words.
    """
    found = [0] * len(feature.spread.shares)
    if not isinstance(feature, Choice):
        for value in values:
            number = len(words(value)) if isinstance(value, str) else value
            found[bisect_right(feature.spread.edges, number)] += 1
    else:
        at = {code: bin_ for bin_, code in enumerate(feature.codes)}
        for value in values:
            found[at[int(value)]] += 1
    return found


def by_chance(bins: int, now: int, then: int) -> float:
    """The index that 99 of 100 samples of these sizes stay below if nothing has changed.

    The chi-square's percentile is Wilson and Hilferty's approximation, within 1 % from 3 bins on (2 bins: 4 %).
    """
    free = max(1, bins - 1)
    chi_square = free * (1 - 2 / (9 * free) + ONE_IN_HUNDRED * math.sqrt(2 / (9 * free))) ** 3
    return (1 / now + 1 / then) * chi_square


def word(index: float, chance: float) -> Word:
    """The verdict on an index that could reach ``chance`` without any change."""
    if index < max(WATCH, chance):
        return "ok"
    return "watch" if index < DRIFTED else "drifted"


def _shares(found: Sequence[float]) -> list[float]:
    total = sum(found) + 0.5 * len(found)
    return [(count + 0.5) / total for count in found]
