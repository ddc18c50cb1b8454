"""How far what is asked differs from what the model was trained on: pure arithmetic on records and the model's card.

For each feature the population-stability index (PSI) compares how its known values fall into the card's bins with how
the training data fell: the sum over the bins of ``(now - then) * ln(now / then)``, 0 when they are equal. By custom
below 0.1 is little change and from 0.25 a significant one (N. Siddiqi, Credit Risk Scorecards, Wiley 2006). The custom
knows no sample size: with few values the index is high by chance alone. Were nothing changed, it would be distributed
about as ``(1/n + 1/m)`` times a chi-square with one degree of freedom less than there are bins, ``n`` and ``m`` being
the numbers of values now and then (B. Yurdakul and J. Naranjo, Statistical properties of the population stability
index, Journal of Risk Model Validation 14, 2020). So a feature is only spoken of when its index is also higher than
99 of 100 such would be.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serving.card import Card, Feature, Measure
from serving.model import Record

WINDOW = 1_000  # predictions looked at, the last ones
ENOUGH = 50  # known values, fewer tell nothing
WATCH = 0.1
DRIFTED = 0.25
ONE_IN_HUNDRED = 2.3263  # the normal distribution's 99th percentile

Word = Literal["too few", "ok", "watch", "drifted"]


@dataclass(frozen=True)
class Drift:
    """One feature, now and in the training data. ``psi`` is None and ``word`` "too few" below 50 known values.

    ``known`` of the looked-at records had a value; ``missing`` and ``missing_then`` are the shares without one, now
    (None before the first record) and in the training data.
    """

    name: str
    known: int
    psi: float | None
    word: Word
    missing: float | None
    missing_then: float

    @property
    def missing_change(self) -> float | None:
        """By how much the share without a value rose, -1 to 1."""
        return None if self.missing is None else self.missing - self.missing_then


class Window:
    """The last predictions' records. Safe to add to from several threads."""

    def __init__(self, card: Card, size: int = WINDOW) -> None:
        self._card = card
        self._records: deque[Record] = deque(maxlen=size)
        self._added = 0
        self._found: tuple[int, list[Drift]] = (-1, [])

    def add(self, record: Record) -> None:
        """Take in a record that was answered; the oldest leaves."""
        self._records.append(record)
        self._added += 1

    def drift(self) -> list[Drift]:
        """Every feature, in the card's order. Worked out when asked for, so that answers do not pay for it."""
        added, found = self._found
        if added != self._added:
            added, found = self._added, drift(self._card, list(self._records))
            self._found = added, found
        return found

    def __len__(self) -> int:
        return len(self._records)


def drift(card: Card, records: Sequence[Record]) -> list[Drift]:
    """Every feature of the card, in its order, over these records."""
    return [
        _drift(feature, card.data.rows, [record.get(feature.name) for record in records]) for feature in card.features
    ]


def _drift(feature: Feature, rows: int, values: Sequence[float | None]) -> Drift:
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

    Each bin is counted half a value fuller than it is (Jeffreys' prior), as an empty one has no logarithm.
    """
    return sum((p - q) * math.log(p / q) for p, q in zip(_shares(now), _shares(then), strict=True))


def counts(feature: Feature, values: Sequence[float]) -> list[int]:
    """How many of the values lie in each of the card's bins. A value on an edge belongs above it, as in training."""
    found = [0] * len(feature.spread.shares)
    if isinstance(feature, Measure):
        for value in values:
            found[bisect_right(feature.spread.edges, value)] += 1
    else:
        at = {code: bin_ for bin_, code in enumerate(feature.codes)}
        for value in values:
            found[at[int(value)]] += 1
    return found


def by_chance(bins: int, now: int, then: int) -> float:
    """The index that 99 of 100 samples of these sizes stay below when nothing has changed.

    The chi-square's percentile is Wilson and Hilferty's approximation, within 1 % from 3 bins on (2 bins: 4 %).
    """
    free = bins - 1
    chi_square = free * (1 - 2 / (9 * free) + ONE_IN_HUNDRED * math.sqrt(2 / (9 * free))) ** 3
    return (1 / now + 1 / then) * chi_square


def word(index: float, chance: float) -> Word:
    """What an index means, when by chance it could be as high as ``chance``."""
    if index < max(WATCH, chance):
        return "ok"
    return "watch" if index < DRIFTED else "drifted"


def _shares(found: Sequence[float]) -> list[float]:
    total = sum(found) + 0.5 * len(found)
    return [(count + 0.5) / total for count in found]
