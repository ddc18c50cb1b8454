"""The figures of a task on held-out answers, each with its interval. serving/card.py names them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from serving.card import Estimate, Metrics, Task
from training.candidates import SEED

RESAMPLES = 1000  # of the rows, for the intervals
BINS = 10  # of the calibration error, with equally many rows
# A wrong probability of 0 or 1 has an infinite loss, so the probabilities of every candidate are clipped to this.
LEAST = 1e-3


def metrics(task: Task, answers: np.ndarray, targets: np.ndarray) -> Metrics:
    """The figures of held-out ``answers`` [repeats, rows, answers], each the mean over the repeats.

    The 95 % intervals are percentile bootstrap intervals: the rows are resampled, and their answers stay the same.
    They show how much a figure depends on the rows in the data. The calibration error is a sum of absolute values,
    which resampling only makes larger, so its plain interval may not contain the figure itself. Its interval is moved
    down by the average difference between the resampled figures and the figure.
    """
    rows = len(targets)
    drawn = np.random.default_rng(SEED).multinomial(rows, np.full(rows, 1 / rows), RESAMPLES)
    weights = np.vstack([np.ones(rows), drawn])  # the first row is the data without resampling
    return {name: _estimate(values) for name, values in _FIGURES[task](answers, targets, weights).items()}


def loss(task: Task, answers: np.ndarray, targets: np.ndarray) -> float:
    """What decides between models, for one set of answers [rows, answers]: log loss in nats, or the squared error."""
    if task == "regression":
        return float(((answers[:, 0] - targets) ** 2).mean())
    return float(_log_losses(task, answers[None], targets).mean())


def _binary(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    given = answers[:, :, 0].clip(LEAST, 1 - LEAST)
    square = ((given - targets) ** 2).mean(axis=0)
    losses = _log_losses("binary", answers, targets).mean(axis=0)
    return {
        "roc_auc": np.mean([_auc(one, targets, weights) for one in given], axis=0),
        "log_loss": _mean(losses, weights),
        "brier": _mean(square, weights),
        "ece": _unbiased(np.mean([_calibration_error(one, targets, weights) for one in given], axis=0)),
    }


def _multiclass(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    named, sure = answers.argmax(axis=2), answers.max(axis=2)
    right = (named == targets).astype(float)
    classes = answers.shape[2]
    errors = [_calibration_error(one, hits, weights) for one, hits in zip(sure, right, strict=True)]
    return {
        "macro_f1": np.mean([_macro_f1(one, targets, weights, classes) for one in named], axis=0),
        "accuracy": _mean(right.mean(axis=0), weights),
        "log_loss": _mean(_log_losses("multiclass", answers, targets).mean(axis=0), weights),
        "ece": _unbiased(np.mean(errors, axis=0)),
    }


def _regression(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    off = answers[:, :, 0] - targets
    square = _mean((off**2).mean(axis=0), weights)
    variance = _mean(targets**2, weights) - _mean(targets, weights) ** 2
    return {
        "rmse": np.sqrt(square),
        "mae": _mean(np.abs(off).mean(axis=0), weights),
        "r2": 1 - square / variance,
    }


_FIGURES: dict[Task, Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _log_losses(task: Task, answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The loss of each answer: [repeats, rows]."""
    if task == "binary":
        given = answers[:, :, 0].clip(LEAST, 1 - LEAST)
        return np.asarray(-np.where(targets == 1, np.log(given), np.log1p(-given)))
    true = targets.astype(int)[None, :, None]
    return np.asarray(-np.log(np.take_along_axis(answers, true, axis=2)[:, :, 0].clip(LEAST, 1 - LEAST)))


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _macro_f1(named: np.ndarray, targets: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """The mean over the classes of F1 = 2 hits / (rows named so + rows that are so); 0 for a class without both."""
    found = []
    for one in range(classes):
        hits = weights @ ((named == one) & (targets == one))
        total = weights @ ((named == one).astype(float) + (targets == one))
        found.append(np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0))
    return np.asarray(np.mean(found, axis=0))


def _unbiased(values: np.ndarray) -> np.ndarray:
    """The first value, followed by the others moved so that their mean is the first value, but not below 0."""
    return np.append(values[:1], (values[1:] - (values[1:].mean() - values[0])).clip(min=0))


def _estimate(values: np.ndarray) -> Estimate:
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Estimate(value=round(float(values[0]), 4), low=round(float(low), 4), high=round(float(high), 4))


def _auc(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The share of pairs of a row with the target and one without it in the right order. A tie counts as half."""
    order = np.argsort(answers, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(answers[order]) > 0))  # of each group of equal answers
    with_it = np.add.reduceat(weights[:, order] * targets[order], starts, axis=1)
    without = np.add.reduceat(weights[:, order] * (1 - targets[order]), starts, axis=1)
    below = without.cumsum(axis=1) - without / 2
    return np.asarray((with_it * below).sum(axis=1) / (with_it.sum(axis=1) * without.sum(axis=1)))


def _calibration_error(answers: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The expected calibration error: |mean probability - share of hits| over bins of equally many rows."""
    bins = np.array_split(np.argsort(answers, kind="stable"), BINS)
    gap = answers - targets
    return np.asarray(sum(np.abs(weights[:, members] @ gap[members]) for members in bins) / weights.sum(axis=1))
