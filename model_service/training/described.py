"""The card's description of the features: their limits, and the distribution of their values in the training data."""

from __future__ import annotations

import numpy as np

from serving.card import Choice, Feature, Measure, Shares
from training.settings import Settings

BINS = 10  # of a measure, at its deciles: the usual choice for a population-stability index


def described(inputs: np.ndarray, settings: Settings) -> tuple[Feature, ...]:
    """One entry for each feature, in their order. ``inputs`` [rows, features] as read, with missing values."""
    return tuple(_described(name, inputs[:, at], settings) for at, name in enumerate(settings.names))


def _described(name: str, values: np.ndarray, settings: Settings) -> Feature:
    column = settings.features[name]
    known = values[~np.isnan(values)]
    missing = round(1 - len(known) / len(values), 4)
    if column.codes is not None:
        shares = tuple(round(float((known == code).mean()), 4) for code in column.codes)
        return Choice(name=name, codes=column.codes, spread=Shares(shares=shares, missing=missing))
    # A frequent value can be several deciles at once; it needs only one edge.
    edges = np.unique(np.percentile(known, np.linspace(0, 100, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    assert column.unit is not None and column.low is not None and column.high is not None  # noqa: S101, PT018
    return Measure(
        name=name,
        unit=column.unit,
        low=column.low,
        high=column.high,
        seen=(float(known.min()), float(known.max())),
        spread=Shares(
            edges=tuple(edges.tolist()), shares=tuple(np.round(counts / len(known), 4).tolist()), missing=missing
        ),
    )
