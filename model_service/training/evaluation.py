"""How good a kind of model is on held-out patients: repeated stratified cross-validation, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold

from serving.card import Calibration, Estimate, Metrics, Seen
from training.candidates import SEED, Candidate
from training.data import Table, completed
from training.marginal import Marginal
from training.settings import Settings

FOLDS = 10
REPEATS = 3
RESAMPLES = 1000  # of the patients, for the intervals
BINS = 10  # of the calibration error, with equally many patients
NEAREST = 60  # patients (a fifth of the data) for the share of ill people at a probability
GRID = 101  # probabilities with such a share
Z90 = 1.6448536269514722  # the normal distribution's 95th percentile, for a two-sided 90 %
# A wrong probability of 0 or 1 has an infinite loss, so the probabilities of every candidate are clipped to this.
LEAST = 1e-3


def held_out(candidate: Candidate, table: Table, settings: Settings) -> np.ndarray:
    """The probability of each patient from models that were not trained on them: [REPEATS, rows]."""
    inputs = completed(table.inputs, settings)
    answers = np.empty((REPEATS, len(table.targets)))
    for at, (known, asked) in enumerate(_folds(table, REPEATS)):
        fitted = candidate(settings).fit(inputs[known], table.targets[known])
        answers[at // FOLDS, asked] = fitted.predict_proba(inputs[asked])[:, 1]
    return answers


def held_out_partly(
    candidate: Candidate, table: Table, settings: Settings, names: tuple[str, ...], closeness: tuple[float, ...]
) -> np.ndarray:
    """The same if only the features in ``names`` are known, for each closeness: [closeness, rows]."""
    inputs = completed(table.inputs, settings)
    answers = np.empty((len(closeness), len(table.targets)))
    masked = np.where([name in names for name in settings.names], inputs, np.nan)
    for known, asked in _folds(table, 1):
        fitted = candidate(settings).fit(inputs[known], table.targets[known])
        marginal = Marginal(fitted, inputs[known], settings, closeness[0])
        completed_answers, apart = marginal.completed_answers(masked[asked]), marginal.distances(masked[asked])
        for at, close in enumerate(closeness):
            answers[at, asked] = marginal.averaged(completed_answers, apart, close)[0]
    return answers


def metrics(answers: np.ndarray, targets: np.ndarray) -> Metrics:
    """The figures of held-out ``answers`` [repeats, rows], each the mean over the repeats.

    The 95 % intervals are percentile bootstrap intervals: the patients are resampled, and their answers stay the same.
    They show how much a figure depends on the patients in the data. The calibration error is a sum of absolute values,
    which resampling only makes larger, so its plain interval may not contain the figure itself. Its interval is moved
    down by the average difference between the resampled figures and the figure.
    """
    answers = answers.clip(LEAST, 1 - LEAST)
    rows = len(targets)
    drawn = np.random.default_rng(SEED).multinomial(rows, np.full(rows, 1 / rows), RESAMPLES)
    weights = np.vstack([np.ones(rows), drawn])  # the first row is the data without resampling
    loss = -np.where(targets == 1, np.log(answers), np.log1p(-answers)).mean(axis=0)
    square = ((answers - targets) ** 2).mean(axis=0)
    return Metrics(
        roc_auc=_estimate(_auc(answers, targets, weights)),
        log_loss=_estimate(weights @ loss / weights.sum(axis=1)),
        brier=_estimate(weights @ square / weights.sum(axis=1)),
        ece=_estimate(_unbiased(np.mean([_calibration_error(one, targets, weights) for one in answers], axis=0))),
    )


def log_loss(answers: np.ndarray, targets: np.ndarray) -> float:
    """The mean log loss in nats of one set of answers [rows]."""
    answers = answers.clip(LEAST, 1 - LEAST)
    return float(-np.where(targets == 1, np.log(answers), np.log1p(-answers)).mean())


def calibration(answers: np.ndarray, targets: np.ndarray) -> tuple[Calibration, ...]:
    """For probabilities from 0 to 1: how many of the NEAREST patients by predicted probability were ill."""
    given = answers.mean(axis=0)
    return tuple(_calibration_at(float(at), given, targets) for at in np.linspace(0, 1, GRID))


def patients(answers: np.ndarray, targets: np.ndarray) -> tuple[Seen, ...]:
    """Every patient of the data in the order of their probability, for the page's picture."""
    pairs = sorted(zip(answers.mean(axis=0).tolist(), targets.tolist(), strict=True))
    return tuple(Seen(probability=round(p, 4), ill=bool(ill)) for p, ill in pairs)


def _folds(table: Table, repeats: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=repeats, random_state=SEED)
    yield from folds.split(table.inputs, table.targets)


def _unbiased(values: np.ndarray) -> np.ndarray:
    """The first value, followed by the others moved so that their mean is the first value, but not below 0."""
    return np.append(values[:1], (values[1:] - (values[1:].mean() - values[0])).clip(min=0))


def _estimate(values: np.ndarray) -> Estimate:
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Estimate(value=round(float(values[0]), 4), low=round(float(low), 4), high=round(float(high), 4))


def _auc(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of pairs of an ill and a healthy patient in the right order. A tie counts as half."""
    ill, well = answers[:, targets == 1], answers[:, targets == 0]
    order = (np.sign(ill[:, :, None] - well[:, None, :]).mean(axis=0) + 1) / 2
    of_ill, of_well = weights[:, targets == 1], weights[:, targets == 0]
    pairs = of_ill.sum(axis=1) * of_well.sum(axis=1)
    return np.asarray(((of_ill @ order) * of_well).sum(axis=1) / pairs)


def _calibration_error(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The expected calibration error: |mean probability - share of ill| over bins of equally many patients."""
    bins = np.array_split(np.argsort(answers, kind="stable"), BINS)
    gap = answers - targets
    return np.asarray(sum(np.abs(weights[:, members] @ gap[members]) for members in bins) / weights.sum(axis=1))


def _calibration_at(at: float, given: np.ndarray, targets: np.ndarray) -> Calibration:
    nearest = np.argsort(np.abs(given - at), kind="stable")[:NEAREST]
    low, high = _wilson(int(targets[nearest].sum()), len(nearest))
    return Calibration(
        probability=round(at, 4),
        patients=len(nearest),
        ill=int(targets[nearest].sum()),
        low=round(low, 4),
        high=round(high, 4),
    )


def _wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 90 % interval of a share (E. B. Wilson, JASA 22 (1927), 209)."""
    share, z2 = hits / tries, Z90 * Z90
    middle = (share + z2 / (2 * tries)) / (1 + z2 / tries)
    half = Z90 / (1 + z2 / tries) * math.sqrt(share * (1 - share) / tries + z2 / (4 * tries * tries))
    return max(0.0, middle - half), min(1.0, middle + half)
