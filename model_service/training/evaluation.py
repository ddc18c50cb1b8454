"""The answers of a kind of model on held-out rows: repeated cross-validation, stratified by class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from training.candidates import SEED, Candidate
from training.data import Table, completed
from training.marginal import Marginal, answered, donors
from training.settings import Settings

FOLDS = 10
REPEATS = 3


def held_out(candidate: Candidate, table: Table, settings: Settings) -> np.ndarray:
    """The answers for each row from models that were not trained on it: [REPEATS, rows, answers]."""
    inputs = completed(table.inputs, settings)
    found = [np.empty((len(table.targets), settings.answers)) for _ in range(REPEATS)]
    for at, (known, asked) in enumerate(_folds(table, settings, REPEATS)):
        fitted = candidate(settings).fit(inputs[known], table.targets[known])
        found[at // FOLDS][asked] = answered(fitted, inputs[asked], settings)
    return np.array(found)


def held_out_partly(
    candidate: Candidate, table: Table, settings: Settings, names: tuple[str, ...], closeness: tuple[float, ...]
) -> np.ndarray:
    """The same if only the features in ``names`` are known, for each closeness: [closeness, rows, answers]."""
    inputs = completed(table.inputs, settings)
    found = np.empty((len(closeness), len(table.targets), settings.answers))
    masked = np.where([name in names for name in table.columns], inputs, np.nan)
    for known, asked in _folds(table, settings, 1):
        fitted = candidate(settings).fit(inputs[known], table.targets[known])
        marginal = Marginal(fitted, donors(inputs[known]), settings, closeness[0])
        completed_answers, apart = marginal.completed_answers(masked[asked]), marginal.distances(masked[asked])
        for at, close in enumerate(closeness):
            found[at, asked] = marginal.averaged(completed_answers, apart, close)[0]
    return found


def _folds(table: Table, settings: Settings, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    kind = RepeatedKFold if settings.model.task == "regression" else RepeatedStratifiedKFold
    yield from kind(n_splits=FOLDS, n_repeats=repeats, random_state=SEED).split(table.inputs, table.targets)
