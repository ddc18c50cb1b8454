"""The card's description of the features: their limits, and the distribution of their values in the training data."""

from __future__ import annotations

import numpy as np

from serving.card import Choice, Feature, Measure, Shares, Text
from serving.text import words
from training.data import Table
from training.settings import Settings

BINS = 10  # of a measure, at its deciles: the usual choice for a population-stability index


def described(table: Table, settings: Settings) -> tuple[Feature, ...]:
    """One entry for each feature, in their order."""
    return tuple(_described(name, table, settings) for name in settings.names)


def _described(name: str, table: Table, settings: Settings) -> Feature:
    column = settings.features[name]
    if column.longest is not None:
        lengths = np.array([np.nan if text is None else len(words(text)) for text in table.texts[name]])
        return Text(name=name, longest=column.longest, terms=table.terms[name], spread=_spread(lengths))
    values = table.inputs[:, table.columns.index(name)]
    known = values[~np.isnan(values)]
    if column.codes is not None:
        shares = tuple(round(float((known == code).mean()), 4) for code in column.codes)
        return Choice(name=name, codes=column.codes, spread=Shares(shares=shares, missing=_missing(values)))
    assert column.unit is not None and column.low is not None and column.high is not None  # noqa: S101, PT018
    return Measure(
        name=name,
        unit=column.unit,
        low=column.low,
        high=column.high,
        seen=(float(known.min()), float(known.max())),
        spread=_spread(values),
    )


def _spread(values: np.ndarray) -> Shares:
    known = values[~np.isnan(values)]
    # A frequent value can be several deciles at once; it needs only one edge.
    edges = np.unique(np.percentile(known, np.linspace(0, 100, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    shares = tuple(np.round(counts / len(known), 4).tolist())
    return Shares(edges=tuple(edges.tolist()), shares=shares, missing=_missing(values))


def _missing(values: np.ndarray) -> float:
    return round(float(np.isnan(values).mean()), 4)
